"""Checkpoints: a header that guards the content, and beside them the weights at some epochs, for a page's maps."""

import hashlib
import io
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlplab.errors import InputError
from mlplab.runs.files import open_file, read_bytes, write_bytes
from mlplab.runs.folder import RunFolder

MARK = b"mlplab sha256 "
_COMMENT = len(MARK) + 64
_PLAIN = (type(None), bool, int, float, str, bytes)


def save(path: str | Path, payload: Mapping[str, Any], *, sync: bool = True) -> str:
    """Write a checkpoint; the previous file stays until the new one is whole.

    Args:
        path: the file, such as ``checkpoints/last.ckpt``; its folder is made when missing.
        payload: nested dicts, lists and tuples of tensors, numbers, strings, bytes, booleans and
            None. Tensors are stored on the CPU, each with its own elements only: a slice of a large
            tensor does not carry the rest along.
        sync: wait for the disk, so that the file survives a loss of power too.

    Returns:
        The SHA-256 of the content, 64 hexadecimal digits.

    Raises:
        TypeError: the payload holds something else (a module, an optimiser, a config object).
        InputError: it cannot be written; the previous file is unchanged.
    """
    import torch

    if not isinstance(payload, Mapping):
        raise TypeError(f"a checkpoint is a dict of tensors and plain values, got {type(payload).__name__}")
    buffer = io.BytesIO()
    torch.save(_plain(payload, "", torch), buffer)
    body = buffer.getvalue()
    # A zip archive ends with the length of its comment, two bytes, zero until now.
    assert body[-22:-18] == b"PK\x05\x06" and body[-2:] == b"\0\0"
    digest = hashlib.sha256(body).hexdigest()
    write_bytes(path, [body[:-2], struct.pack("<H", _COMMENT), MARK, digest.encode()], sync=sync)
    return digest


def load(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint that :func:`save` wrote, onto the CPU.

    Raises:
        InputError: the file is missing, damaged, cut short, or was not written by :func:`save`. Its
            digest is checked before anything is unpickled, and nothing but tensors and plain values is.
    """
    import torch

    path = Path(path)
    try:
        data = read_bytes(path)
    except OSError as error:
        raise InputError(f"cannot read the checkpoint {path}: {error.strerror or error}") from error
    mark = data[-_COMMENT:-64]
    if len(data) <= _COMMENT + 2 or mark != MARK:
        raise InputError(f"{path} is not a checkpoint of this lab, or is cut short: it does not end with its SHA-256")
    body = b"".join((memoryview(data)[: -_COMMENT - 2], b"\0\0"))
    if hashlib.sha256(body).hexdigest().encode() != data[-64:]:
        raise InputError(f"the checkpoint {path} is damaged: its content does not match its SHA-256")
    try:
        payload = torch.load(io.BytesIO(body), map_location="cpu", weights_only=True)
        return _plain(payload, "", torch) if isinstance(payload, Mapping) else _refuse("the whole", payload)
    except Exception as error:  # whatever a pickle that is not ours may raise
        foreign = type(error).__name__ == "UnpicklingError"  # torch would say how to run the file's code all the same
        reason = "it holds more than tensors and plain values" if foreign else str(error).strip().partition("\n")[0]
        raise InputError(f"the checkpoint {path} is refused: {reason}") from error


def _plain(value: Any, name: str, torch: Any) -> Any:
    if isinstance(value, torch.Tensor):
        if type(value) not in (torch.Tensor, torch.nn.Parameter) or value.layout is not torch.strided:
            _refuse(name, value)
        tensor = value.detach().cpu()
        if tensor.untyped_storage().nbytes() != tensor.numel() * tensor.element_size():
            tensor = tensor.clone(memory_format=torch.contiguous_format)
        return tensor
    if isinstance(value, Mapping) and type(value).__name__ in ("dict", "OrderedDict"):
        for key in value:
            if type(key) not in (str, int):
                _refuse(f"the key {key!r} of {name or 'the payload'}", key)
        prefix = f"{name}." if name else ""
        return {key: _plain(part, f"{prefix}{key}", torch) for key, part in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_plain(part, f"{name}[{i}]", torch) for i, part in enumerate(value))
    # Exact types: a numpy float is a float too, and would not load again.
    if type(value) in _PLAIN:
        return value
    return _refuse(name, value)


def _refuse(name: str, value: Any) -> Any:
    raise TypeError(
        f"{name} must be a tensor or a plain value (dict, list, tuple, number, string, bytes, None), "
        f"got {type(value).__module__}.{type(value).__qualname__}"
    )


SNAPSHOTS = "snapshots.npz"
# What a page needs to compute a run's maps at any place and epoch: E epochs, S weights, N points, F features, C classes.
ARRAYS = {
    "widths": "of the layers, inputs and outputs included; empty for a network that is no MLP",
    "epochs": "those of the weights (E,), ascending",
    "epoch": "the one that was measured",
    "chosen": "the weights that were measured (S,)",
    "weights": "at the epochs (E, S), each layer's matrix row after row, then its bias",
    "x": "test points (N, F), as the network sees them",
    "y": "their classes (N,)",
    "probabilities": "of the classes at those points (N, C), float32",
    "box": "lowest and highest train values in the features' units (2, F)",
    "shift": "of the features' units (F,): a value in them is x * scale + shift",
    "scale": "of them (F,)",
    "pair": "the two features of the map, or none",
    "extent": "left, right, bottom, top of the map in those units, or none",
    "classes": "names (C,)",
    "features": "names (F,)",
}


def save_snapshots(folder: RunFolder, arrays: Mapping[str, Any]) -> None:
    """Keep the arrays of :data:`ARRAYS` in a run's folder."""
    import numpy as np

    assert list(arrays) == list(ARRAYS), f"snapshots hold {', '.join(ARRAYS)}, got {', '.join(arrays)}"
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    write_bytes(folder.checkpoints / SNAPSHOTS, buffer.getvalue(), sync=False)


def read_snapshots(folder: RunFolder) -> dict[str, Any] | None:
    """Read what :func:`save_snapshots` kept, NumPy's arrays; None where it is missing or damaged."""
    import numpy as np

    try:
        with open_file(folder.checkpoints / SNAPSHOTS) as file, np.load(file, allow_pickle=False) as arrays:
            found = dict(arrays)
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error):
        return None
    return found if ARRAYS.keys() <= found.keys() else None
