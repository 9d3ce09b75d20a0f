"""The label column: which it is, its classes, and the class of each row."""

from collections.abc import Sequence

import numpy as np

from mlplab.data.archives import LABELS
from mlplab.data.columns import SEPARATORS, Column, Table
from mlplab.errors import InputError
from mlplab.words import listed

# Names under which a label is looked for, the first one first, whatever their case.
NAMES = ("label", "labels", "class", "target", "species", "y")
# A number with more different values than this is no name of a class, if there are few rows for each.
MOST_CLASSES = 20
FEWEST_ROWS = 5


def find_label(table: Table, wanted: str | int | None) -> int:
    """Find the label column.

    Args:
        table: the data.
        wanted: a column's name, or its position from 1; None takes the column that is called as `NAMES` (y if it is no
            quantity), else the last; of a file without a header the first, where that one is of classes and the last is not.

    Raises:
        InputError: there is no such column, or no column beside it.
    """
    if len(table.columns) < 2:
        hint = (
            ""
            if table.separator is None
            else f"; data.separator says how cells are parted, as in {', '.join(SEPARATORS)}"
        )
        raise InputError(f"'{table.path}' must have a column beside the label, got {listed(table.names)} alone{hint}")
    if wanted is not None:
        return table.find(wanted, "data.label")
    if table.labels == "":
        raise InputError(
            f"'{table.path}' must have labels beside its inputs, in an array of shape (rows,) called {', '.join(LABELS)}; "
            "or data.label=NUMBER says which column of the inputs they are"
        )
    if table.labels is not None:
        return table.names.index(table.labels)
    lowered = [name.lower() for name in table.names]
    last = len(lowered) - 1
    if not table.header and is_continuous(table.columns[last]) and not is_continuous(table.columns[0]):
        last = 0
    found = next((lowered.index(name) for name in NAMES if name in lowered), last)
    # Beside x, y is a place.
    return (
        last
        if lowered[found] == "y" and is_continuous(table.columns[found]) and not is_continuous(table.columns[last])
        else found
    )


def is_continuous(column: Column) -> bool:
    """Say whether a column has so many different values, each in few rows, or so many fractions, that it is no label."""
    codes, names = words_of(column)
    values = column.values[codes >= 0]
    whole = column.levels is not None or bool((values == np.floor(values)).all())
    few = MOST_CLASSES if whole else MOST_CLASSES // 2
    return len(names) > few and (not whole or len(values) < FEWEST_ROWS * len(names))


def words_of(column: Column) -> tuple[np.ndarray, list[str]]:
    """Give the code of each row (N,), -1 where missing, and the distinct values as words: numbers by size, words sorted.

    A whole number is written as such: 1.0 is class 1.
    """
    if column.levels is not None:
        used = np.unique(column.values[column.values >= 0])
        place = np.full(len(column.levels) + 1, -1)
        place[used] = np.arange(len(used))
        return place[column.values], [column.levels[code] for code in used]
    there = ~np.isnan(column.values)
    values, inverse = np.unique(column.values[there], return_inverse=True)
    codes = np.full(len(column.values), -1)
    codes[there] = inverse
    return codes, [
        str(int(value)) if value == np.floor(value) and abs(value) < 1e15 else f"{value:g}" for value in values
    ]


def classes_of(table: Table, column: Column) -> tuple[np.ndarray, tuple[str, ...]]:
    """Map the labels to 0..C-1.

    Args:
        table: for the rows' places in messages.
        column: the labels, none missing.

    Returns:
        The class of each row (N,) int64, and the C names: numbers by size, words sorted.

    Raises:
        InputError: a label is missing or not finite, there is one class, a class has one row, or the labels are a
            continuous quantity.
    """
    _refuse_missing(table, column)
    codes, names = words_of(column)
    counts = np.bincount(codes, minlength=len(names))
    if is_continuous(column):
        example = column.values[0] if column.levels is None else repr(names[codes[0]])
        raise InputError(
            f"'{table.path}': the label '{column.name}' has {len(names)} different values in {len(codes)} rows ({example}, "
            "...): mlplab classifies and does no regression. If another column is the label, say data.label=NAME; "
            "for a quantity take a LightningModule of your own (module._target_)"
        )
    if len(names) == 1:
        raise InputError(
            f"'{table.path}': the label '{column.name}' must have two classes or more, got '{names[0]}' in all "
            f"{len(codes)} rows; if another column is the label, say data.label=NAME"
        )
    if counts.min() == 1:
        k = int(counts.argmin())
        row = int((codes == k).argmax())
        named = "" if table.header or row else "; or, if the first row holds names, say data.header=true"
        raise InputError(
            f"{table.where(row)}: class '{names[k]}' of '{column.name}' has this row alone; a class must be shared by at "
            f"least two rows, to train on one and test on another: leave it out of the file, or join it to another class{named}"
        )
    return codes.astype(np.int64), tuple(names)


def codes_among(table: Table, column: Column, classes: Sequence[str]) -> np.ndarray:
    """Give the class (N,) int64 of each row among the classes that a network was trained on.

    Raises:
        InputError: a label is missing, or is none of them; the message names its row.
    """
    _refuse_missing(table, column)
    codes, names = words_of(column)
    for k, name in enumerate(names):
        if name not in classes:
            row = int((codes == k).argmax())
            raise InputError(
                f"{table.where(row)}: label '{column.name}' must be a class that was trained on ({listed(classes)}), got "
                f"'{name}'"
            )
    return np.array([classes.index(name) for name in names], np.int64)[codes]


def _refuse_missing(table: Table, column: Column) -> None:
    bad = column.missing if column.levels is not None else ~np.isfinite(column.values)
    if bad.any():
        raise InputError(
            f"{table.where(int(bad.argmax()))}: label '{column.name}' must be there and finite, got none; data.missing=drop "
            "leaves such rows out"
        )
