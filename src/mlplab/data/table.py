"""Labelled points from a file of the user's own: CSV with a header, or NPZ. Every complaint names the row.

Rows are counted from 1, the header left out.
"""

import csv
import math
import os
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mlplab.errors import InputError

# What numpy and zipfile raise for an archive that is damaged, encrypted, or larger than the memory.
DAMAGE = (ValueError, KeyError, EOFError, RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error)


class Table(NamedTuple):
    """Inputs x (N, *shape) float32, classes y (N,) int64, the features' names, and the number of classes."""

    x: Tensor
    y: Tensor
    features: tuple[str, ...]
    classes: int


def read_table(path: str | Path, *, features: Sequence[str] | None = None, label: str = "label") -> Table:
    """Read and check a data set.

    A CSV file has a header and one column a feature; an NPZ file has either one array ``x`` (N, ...) or an
    array (N,) for each feature. Nothing is ever unpickled.

    Args:
        path: the file; its ending, .csv or .npz, says what it is.
        features: names of the columns or arrays to learn from; None takes every column but the label (CSV) or
            the array ``x`` (NPZ).
        label: name of the column or array with the classes, the integers 0..C-1.

    Raises:
        InputError: if the file cannot be read as such; a name is missing or stands twice; a row has too
            few or too many values; a value is no finite number; a label is no integer from 0 to C-1; a class
            has one member.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise InputError(f"data.path must name a .csv or .npz file, got {path!r}")
    try:
        path = Path(path).expanduser()
    except RuntimeError as error:
        raise InputError(f"data.path must name a file that exists, got '{path}': {error}") from None
    readers = {".csv": _read_csv, ".npz": _read_npz}
    if path.suffix.lower() not in readers:
        raise InputError(f"data.path must name a .csv or .npz file, got '{path}'")
    if not path.is_file():
        raise InputError(f"data.path must name a file that exists, got '{path}'")
    names = None if features is None else [features] if isinstance(features, str) else list(features)
    if names is not None and (not names or len(set(names)) < len(names) or label in names):
        raise InputError(
            f"data.features must name at least one feature, each once, without '{label}', got {names}"
        )
    try:
        x, labels, names = readers[path.suffix.lower()](path, names, label)
    except InputError as error:
        # A name or a value of the file may hold line breaks.
        raise InputError(" ".join(str(error).splitlines())) from None
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"data.path must name a readable file, got '{path}': {reason}") from None
    y, classes = _check_labels(path, label, labels)
    return Table(torch.from_numpy(x), torch.from_numpy(y), tuple(names), classes)


def _read_csv(path: Path, names: list[str] | None, label: str) -> tuple[np.ndarray, np.ndarray, list[str]]:
    rows = _csv_rows(path)
    _, header = next(rows, (0, None))
    if header is None:
        raise InputError(f"'{path}' is empty; it must have a header row with the names of its columns")
    header = [name.strip() for name in header]
    twice = [name for name, times in Counter(header).items() if times > 1]
    if twice:
        raise InputError(f"'{path}', header: column '{twice[0]}' stands there twice; names must differ")
    names = [name for name in header if name != label] if names is None else names
    for key, name in [("data.label", label), *(("data.features", name) for name in names)]:
        if name not in header:
            raise InputError(f"{key} must name a column of '{path}' ({', '.join(header)}), got '{name}'")
    if not names:
        raise InputError(f"'{path}', header: there must be a column beside the label '{label}'")
    columns = [(header.index(name), name) for name in [*names, label]]
    values = []
    for row, (line, cells) in enumerate(rows, 1):
        where = f"'{path}', row {row} (line {line})"
        if len(cells) != len(header):
            raise InputError(f"{where}: must have {len(header)} values as the header has, got {len(cells)}")
        values.append([_number(cells[column], name, where) for column, name in columns])
    if not values:
        raise InputError(f"'{path}' has a header and no rows; it must have at least two of each class")
    table = np.array(values, dtype=np.float64)
    return _as_inputs(path, table[:, :-1], names), table[:, -1], names


def _csv_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows that are not blank, with the line at which each ends."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            yield from ((reader.line_num, cells) for cells in reader if cells)
    except UnicodeDecodeError as error:
        raise InputError(f"'{path}' must be UTF-8 text: {error.reason} at byte {error.start}") from None
    except csv.Error as error:
        raise InputError(f"'{path}', line {reader.line_num}: must be CSV: {error}") from None


def _number(text: str, name: str, where: str) -> float:
    try:
        # float() also takes "1_000", which is as likely a slip of the pen.
        value = float(text.replace("_", "?"))
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{where}: column '{name}' must be a finite number, got '{text}'")
    return value


def _read_npz(path: Path, names: list[str] | None, label: str) -> tuple[np.ndarray, np.ndarray, list[str]]:
    if names is None and label == "x":
        raise InputError("data.label must not be 'x', the array of the inputs; name the inputs in data.features")
    arrays = _load_arrays(path, [*(names or ["x"]), label])
    labels = arrays.pop(label)
    if labels.ndim != 1:
        raise InputError(f"'{path}': array '{label}' must have shape (rows,), got {labels.shape}")
    if len(labels) == 0:
        raise InputError(f"'{path}': array '{label}' is empty; there must be at least two rows of each class")
    for name, array in arrays.items():
        if names is not None and array.ndim != 1:
            raise InputError(f"'{path}': array '{name}' must have shape (rows,), got {array.shape}")
        if array.ndim == 0 or len(array) != len(labels):
            raise InputError(
                f"'{path}': array '{name}' must have {len(labels)} rows as '{label}' has, got {array.shape}"
            )
    x = arrays["x"] if names is None else np.stack(list(arrays.values()), axis=1)
    x = x[:, None] if x.ndim == 1 else x
    if x.size == 0:
        raise InputError(f"'{path}': array 'x' must have at least one value a row, got shape {x.shape}")
    return _as_inputs(path, x, names or ["x"]), labels, names or ["x"]


def _load_arrays(path: Path, names: list[str]) -> dict[str, np.ndarray]:
    """Load the named arrays of an NPZ file, numbers only."""
    try:
        # Opened here, as numpy leaves a file open that it finds damaged.
        with path.open("rb") as file:
            return _real_arrays(path, np.load(file, allow_pickle=False), names)
    except DAMAGE as error:
        if isinstance(error, InputError):
            raise
        reason = str(error) or type(error).__name__
        raise InputError(f"'{path}' must be an NPZ archive with arrays of numbers: {reason}") from None


def _real_arrays(path: Path, archive: np.lib.npyio.NpzFile, names: list[str]) -> dict[str, np.ndarray]:
    if not isinstance(archive, np.lib.npyio.NpzFile):
        raise InputError(f"'{path}' must be an NPZ archive of numpy.savez, got a single array")
    arrays = {}
    for name in names:
        if name not in archive.files:
            key = "data.label" if name == names[-1] else "data.features"
            there = ", ".join(archive.files)
            raise InputError(f"{key} must name an array of '{path}' ({there}), got '{name}'")
        arrays[name] = archive[name]
        if arrays[name].dtype.kind not in "biuf":
            raise InputError(f"'{path}': array '{name}' must hold real numbers, got {arrays[name].dtype}")
    return arrays


def _as_inputs(path: Path, x: np.ndarray, names: list[str]) -> np.ndarray:
    """Turn to float32; what is not finite there is named by its row and column."""
    with np.errstate(over="ignore"):
        x32 = np.ascontiguousarray(x, dtype=np.float32)
    bad = np.argwhere(~np.isfinite(x32))
    if len(bad):
        row, *place = bad[0].tolist()
        column = f"'{names[place[0]]}'" if len(place) == 1 and len(names) == x.shape[1] else f"{place} of 'x'"
        value = x[tuple(bad[0])]
        raise InputError(f"'{path}', row {row + 1}: column {column} must be finite in float32, got {value:g}")
    return x32


def _check_labels(path: Path, label: str, labels: np.ndarray) -> tuple[np.ndarray, int]:
    """Return the labels as int64 and the number of classes."""

    def refuse(bad: np.ndarray, rule: str) -> None:
        if bad.any():
            row = int(bad.argmax())
            raise InputError(f"'{path}', row {row + 1}: label '{label}' must be {rule}, got {labels[row]:g}")

    if labels.dtype.kind == "b":
        labels = labels.astype(np.int64)
    refuse(~np.isfinite(labels), "a finite number")
    refuse(labels != np.floor(labels), "an integer from 0")
    refuse(labels < 0, "an integer from 0")
    values, members = np.unique(labels, return_counts=True)
    classes = len(values)
    refuse(labels >= classes, f"from 0 to {classes - 1}, as the file has {classes} different labels")
    y = labels.astype(np.int64)
    alone = np.flatnonzero(members == 1)
    refuse(np.isin(y, alone), "shared by at least two rows")
    return y, classes
