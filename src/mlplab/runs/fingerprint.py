"""Fingerprints: the SHA-256 of a config, of tensors, and of the package's code."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from mlplab.runs.identity import CONTENTS, Role, without
from mlplab.runs.moved import ADDED, LATER, name_for_digest

PACKAGE = Path(__file__).resolve().parent.parent


def config_digest(config: Mapping[str, Any], leave_out: Iterable[str] = without(Role.IDENTITY)) -> str:
    """Fingerprint a resolved config.

    Args:
        config: nested mappings, lists and plain values; the order of keys does not matter.
        leave_out: dotted keys that do not count, such as ``"trainer.profiler"``; missing ones are fine.

    Returns:
        64 hexadecimal digits.
    """
    left_out = frozenset(leave_out)
    canonical = json.dumps(_without(config, left_out, ""), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _without(value: Any, left_out: frozenset[str], prefix: str) -> Any:
    if not isinstance(value, Mapping):
        return value
    return {
        str(key): name_for_digest(part) if key == "_target_" else _without(part, left_out, f"{prefix}{key}.")
        for key, part in value.items()
        if f"{prefix}{key}" not in left_out
        and not (f"{prefix}{key}" in ADDED and part == ADDED[f"{prefix}{key}"])
        and not (part is None and f"{prefix}{key}" in LATER)
        and not value.get(CONTENTS.get(f"{prefix}{key}", "").removeprefix(prefix))
    }


def tensor_sha256(state: Any) -> str:
    """Fingerprint tensors bit by bit: names, types, shapes and bytes.

    Args:
        state: a tensor, an array, a plain value, or nested mappings and sequences of these. Names are
            sorted, so that the order of insertion does not matter; device and strides do not either.

    Returns:
        64 hexadecimal digits.
    """
    digest = hashlib.sha256()
    _update(digest, "", state)
    return digest.hexdigest()


arrays_sha256 = tensor_sha256


def _update(digest: Any, name: str, value: Any) -> None:
    if isinstance(value, Mapping):
        digest.update(f"{name}:mapping:{len(value)};".encode())
        for key in sorted(value, key=str):
            _update(digest, f"{name}/{type(key).__name__}.{key}", value[key])
    elif isinstance(value, (list, tuple)):
        digest.update(f"{name}:sequence:{len(value)};".encode())
        for index, part in enumerate(value):
            _update(digest, f"{name}/{index}", part)
    elif hasattr(value, "detach"):
        import torch  # here, so that a config can be fingerprinted without torch

        flat = value.detach().cpu().contiguous().reshape(-1)
        kind = str(value.dtype).removeprefix("torch.")
        digest.update(f"{name}:{kind}:{tuple(value.shape)};".encode())
        digest.update(memoryview(flat.view(torch.uint8).numpy()))
    elif hasattr(value, "dtype"):
        digest.update(f"{name}:{value.dtype.name}:{tuple(value.shape)};".encode())
        digest.update(value.tobytes())
    elif value is None or isinstance(value, (bool, int, float, str, bytes)):
        digest.update(f"{name}:{type(value).__name__}:{value!r};".encode())
    else:
        raise TypeError(f"cannot fingerprint {name or 'the value'}: {type(value).__name__}")


def file_sha256(path: str | Path) -> str:
    """Fingerprint a file's bytes: 64 hexadecimal digits. A file that did not change is read once a process.

    Raises:
        OSError: there is no such file, or it cannot be read.
    """
    path = Path(path).absolute()
    state = path.stat()
    return _file_sha256(path, state.st_mtime_ns, state.st_size, state.st_ino)


@lru_cache(maxsize=64)
def _file_sha256(path: Path, *state: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@cache
def code_digest(package: Path = PACKAGE) -> str:
    """Fingerprint the ``.py`` files of the package, names and contents, as this process first saw them."""
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py"), key=lambda path: path.relative_to(package).as_posix()):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(package).as_posix()}:{len(content)};".encode())
        digest.update(content)
    return digest.hexdigest()
