"""Tables from NPZ archives, under the names that people give their arrays, and from Parquet files."""

import zipfile
import zlib
from pathlib import Path

import numpy as np

from mlplab.data.columns import Column, Table
from mlplab.errors import InputError
from mlplab.words import listed, pip_line, plural

# What numpy and zipfile raise for an archive that is damaged, encrypted, or larger than the memory.
DAMAGE = (ValueError, KeyError, EOFError, RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error)
INPUTS, LABELS = ("x", "X", "data", "images", "features"), ("y", "Y", "label", "labels", "target", "targets", "class")
PARTS = {
    "train": ("_train", "train_"),
    "validation": ("_val", "val_", "_valid", "valid_", "_validation"),
    "test": ("_test", "test_"),
}


def read_npz(path: Path) -> Table:
    """Read an archive of arrays of numbers (labels may be words).

    It has an array of inputs (N, ...), called x, X, data, images or features, with labels (N,) called y, label,
    labels, target or class; or such pairs for each part, as ``x_train``, ``y_train``, ``x_test``, ``y_test``; or
    these two without names, as ``numpy.savez(file, x, y)`` leaves them; or arrays (N,), each a column. Names of columns
    and classes may stand beside them, as scikit-learn calls them: ``feature_names`` and ``target_names``.

    Raises:
        InputError: it is damaged, holds objects, or its arrays do not fit together.
    """
    try:
        # Opened here, as numpy leaves a file open that it finds damaged.
        with path.open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise InputError(f"'{path}' must be an NPZ archive of numpy.savez, got a single array")
            arrays = {name: archive[name] for name in archive.files}
            arrays = {name: array for name, array in arrays.items() if array.ndim or array.dtype.kind != "U"}  # remarks
    except DAMAGE as error:
        if isinstance(error, InputError):
            raise
        reason = str(error) or type(error).__name__
        raise InputError(f"'{path}' must be an NPZ archive with arrays of numbers: {reason}") from None
    for name, array in arrays.items():
        if array.dtype.kind not in "biufU" or (array.dtype.kind == "U" and array.ndim != 1):
            raise InputError(f"'{path}': array '{name}' must hold real numbers, got {array.dtype}")
    if list(arrays) == ["arr_0", "arr_1"] and arrays["arr_0"].ndim > 1:
        arrays = {"x": arrays["arr_0"], "y": arrays["arr_1"]}
    features, classes = arrays.pop("feature_names", None), arrays.pop("target_names", None)
    pieces = [(part, *pair) for part, pair in _parts(arrays).items()]
    inputs = next((name for name in INPUTS if name in arrays), None)
    if pieces:
        return _named(_joined(path, arrays, pieces), features, classes)
    if inputs is not None and (arrays[inputs].ndim != 1 or len(arrays) <= 2):
        return _named(_inputs(path, arrays, inputs), features, classes)
    _equal_rows(path, arrays, list(arrays))
    for name, array in arrays.items():
        if array.ndim != 1:
            there = listed([f"{name} {array.shape}" for name, array in arrays.items()])
            raise InputError(
                f"'{path}' must have an array of inputs called {', '.join(INPUTS)}, or columns of shape (rows,), got {there}"
            )
    return _whole(path, [_column(name, array) for name, array in arrays.items()])


def _parts(arrays: dict[str, np.ndarray]) -> dict[str, tuple[str, str | None]]:
    found = {}
    for part, forms in PARTS.items():

        def named(stems: tuple[str, ...], forms: tuple[str, ...] = forms) -> str | None:
            names = [form + s if form.endswith("_") else s + form for form in forms for s in stems]
            return next((name for name in names if name in arrays), None)

        x = named(INPUTS)
        if x is not None:
            found[part] = (x, named(LABELS))
    return found if "train" in found else {}


def _named(table: Table, features: np.ndarray | None, classes: np.ndarray | None) -> Table:
    """Give columns and classes the names that stand beside them in the archive, where there are as many."""
    at = table.names.index(table.labels) if table.labels else len(table.columns)
    if features is not None and features.shape == (at,):
        table.columns[:at] = [column._replace(name=str(name)) for column, name in zip(table.columns, features)]
    if classes is not None and at < len(table.columns) and table.columns[at].levels is None:
        label = table.columns[at]
        if np.isin(label.values, np.arange(classes.size)).all():
            words = _column(label.name, classes.astype(str))
            table.columns[at] = words._replace(values=words.values[label.values.astype(np.int64)])
    return table


def _inputs(path: Path, arrays: dict[str, np.ndarray], name: str) -> Table:
    x = arrays[name]
    labels = [other for other in arrays if other in LABELS]
    _equal_rows(path, arrays, [name, *labels])
    arrays |= {other: _flat_labels(path, other, arrays[other]) for other in labels}
    others = {key: array for key, array in arrays.items() if key != name and array.shape == (len(x),)}
    label = next((key for key in LABELS if key in others), None if others else "")
    return _whole(path, [*_features(path, x, name), *(_column(*pair) for pair in others.items())], label, x.shape[1:])


def _flat_labels(path: Path, name: str, labels: np.ndarray) -> np.ndarray:
    if labels.ndim > 2 or (labels.ndim == 2 and labels.shape[1] != 1):
        raise InputError(
            f"'{path}': array '{name}' must have shape (rows,), got {labels.shape}; {name}.argmax(1) makes it of one-hot rows"
        )
    return labels.reshape(-1)


def _joined(path: Path, arrays: dict[str, np.ndarray], pieces: list[tuple[str, str, str | None]]) -> Table:
    xs, ys = [arrays[x] for _, x, _ in pieces], [arrays.get(y) for _, _, y in pieces]
    for (_, x, y), values, labels in zip(pieces, xs, ys):
        if values.shape[1:] != xs[0].shape[1:]:
            raise InputError(
                f"'{path}': array '{x}' must have rows {xs[0].shape[1:]} as the others, got {values.shape}"
            )
        if labels is None:
            raise InputError(f"'{path}' must have the labels of '{x}' beside it, got {listed(list(arrays))}")
        _equal_rows(path, arrays, [x, y])
    label = np.concatenate([_flat_labels(path, y, arrays[y]) for _, _, y in pieces])
    columns = [*_features(path, np.concatenate(xs), "x"), _column("y", label)]
    table = _whole(path, columns, "y", xs[0].shape[1:])
    table.parts = np.repeat([part for part, _, _ in pieces], [len(x) for x in xs])
    return table


def _equal_rows(path: Path, arrays: dict[str, np.ndarray], names: list[str]) -> None:
    for name in names:
        array, first = arrays[name], arrays[names[0]]
        if array.ndim == 0 or first.ndim == 0 or len(array) != len(first):
            rows = len(first) if first.ndim else 0
            raise InputError(
                f"'{path}': array '{name}' must have {plural(rows, 'row')} as '{names[0]}' has, got {array.shape}"
            )


def _features(path: Path, x: np.ndarray, name: str) -> list[Column]:
    flat = x.reshape(len(x), -1) if x.size else np.empty((len(x), 0))
    if flat.shape[1] == 0 or not len(x):
        raise InputError(f"'{path}': array '{name}' must have rows of at least one value, got shape {x.shape}")
    names = [f"x{i + 1}" for i in range(flat.shape[1])]
    if x.ndim > 2:
        names = [f"x[{','.join(map(str, np.unravel_index(i, x.shape[1:])))}]" for i in range(flat.shape[1])]
    # Column by column in memory, as each is looked at by itself.
    flat = np.asfortranarray(flat, dtype=np.float64)
    return [Column(name, flat[:, j]) for j, name in enumerate(names)]


def _column(name: str, array: np.ndarray) -> Column:
    if array.dtype.kind == "b":
        return Column(name, array.astype(np.int32), ("False", "True"))
    if array.dtype.kind == "U":
        levels, codes = np.unique(array, return_inverse=True)
        return Column(name, codes.astype(np.int32), tuple(levels.tolist()))
    return Column(name, array.astype(np.float64))


def _whole(path: Path, columns: list[Column], label: str | None = None, shape: tuple[int, ...] = ()) -> Table:
    if not columns or not len(columns[0].values):
        raise InputError(f"'{path}' is empty; it must have at least two rows of each class")
    return Table(str(path), columns, labels=label, shape=tuple(shape) if len(shape) > 1 else None)


def read_parquet(path: Path) -> Table:
    """Read a Parquet file of numbers, words and booleans, by pyarrow.

    Raises:
        InputError: pyarrow is not installed, the file is damaged, or a column holds something else.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise InputError(f"'{path}' needs pyarrow: {pip_line('files')}; or save it as CSV or NPZ") from None
    try:
        read = pyarrow.parquet.read_table(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise InputError(f"'{path}' must be a Parquet file: {error}") from None
    columns = []
    for name, column in zip(read.column_names, read.columns):
        kind = column.type
        if pyarrow.types.is_integer(kind) or pyarrow.types.is_floating(kind) or pyarrow.types.is_decimal(kind):
            columns.append(Column(name, column.cast(pyarrow.float64()).to_numpy()))
            continue
        try:
            words = column.cast(pyarrow.string()).to_pylist()
        except pyarrow.ArrowException:
            raise InputError(f"'{path}': column '{name}' must hold numbers or words, got {kind}") from None
        if pyarrow.types.is_boolean(kind):
            words = [word and word.capitalize() for word in words]
        levels = sorted({word for word in words if word is not None})
        place = {level: code for code, level in enumerate(levels)}
        codes = np.array([-1 if word is None else place[word] for word in words], np.int32)
        columns.append(Column(name, codes, tuple(levels)))
    # What DataFrame.to_parquet keeps of an index has no name either.
    columns = [
        column._replace(name="" if column.name.startswith("__index_level_") else column.name) for column in columns
    ]
    return _whole(path, columns)
