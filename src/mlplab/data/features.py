"""From columns to a network's inputs, by what the training part says: names, levels, medians, means and deviations."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mlplab.data.columns import Column, Table
from mlplab.data.table import refuse_words, share_of_numbers
from mlplab.errors import InputError
from mlplab.words import listed, plural

MOST_LEVELS = 50  # of a column of words; more are names of rows, not kinds
INDICES = ("id", "index", "idx", "rownames", "row", "rowid")  # what a column of numbers for the rows is called


@dataclass(frozen=True)
class Preparation:
    """How inputs are made from columns; all of it plain values.

    Attributes:
        columns: names of the file's columns, in the order of the inputs.
        levels: levels of each column of words: an input for each level, 1 where the row has it, else 0.
        medians: what stands for a missing value, by column; empty where missing values are refused.
        means: subtracted from each input, as many as inputs; None where nothing is standardised.
        deviations: each input is divided by it (the standard deviation; 1 for a constant and for levels).
        shape: shape of one row's inputs.
    """

    columns: tuple[str, ...]
    levels: dict[str, tuple[str, ...]]
    medians: dict[str, float]
    means: tuple[float, ...] | None
    deviations: tuple[float, ...] | None
    shape: tuple[int, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The inputs' names: a column's, or COLUMN=LEVEL."""
        return tuple(
            name
            for column in self.columns
            for name in ([f"{column}={level}" for level in self.levels[column]] if column in self.levels else [column])
        )

    def recorded(self) -> dict[str, Any]:
        """Give plain lists and mappings, for JSON."""
        plain = asdict(self)
        plain["levels"] = {name: list(levels) for name, levels in self.levels.items()}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in plain.items()}

    @classmethod
    def from_recorded(cls, plain: Mapping[str, Any]) -> "Preparation":
        """Read back what :meth:`recorded` gave."""

        def row(name: str) -> tuple | None:
            return None if plain[name] is None else tuple(plain[name])

        levels = {name: tuple(levels) for name, levels in plain["levels"].items()}
        return cls(row("columns"), levels, dict(plain["medians"]), row("means"), row("deviations"), row("shape"))

    def scaled(self, x: np.ndarray) -> np.ndarray:
        """Turn inputs in the units of the file (N, inputs) into what the network takes."""
        return x if self.means is None else (x - np.array(self.means)) / np.array(self.deviations)

    def unscaled(self, x: np.ndarray) -> np.ndarray:
        """Turn what the network takes (N, inputs) into the units of the file."""
        return x if self.means is None else x * np.array(self.deviations) + np.array(self.means)


def select(
    table: Table, features: Sequence[str | int] | None, taken: Sequence[int], exclude: Sequence[str | int] = ()
) -> list[int]:
    """Choose the columns to learn from.

    Args:
        table: the data.
        features: names or positions; None takes all but `taken` and `exclude`.
        taken: positions (from 0) of the label and the group.
        exclude: names or positions of columns to leave out.

    Returns:
        Positions; where all were to be taken, without the columns that number the rows, see :func:`numbers_rows`.

    Raises:
        InputError: a name is missing or given twice, nothing is left, or a column that nobody named has no name.
    """
    names = table.names
    if features is not None:
        chosen = [table.find(name, "data.features") for name in features]
        if not chosen or len(set(chosen)) < len(chosen) or set(chosen) & set(taken):
            without = " and ".join(f"'{names[j]}'" for j in taken)
            raise InputError(
                f"data.features must name at least one feature, each once, without {without}, got {list(features)}"
            )
        return chosen
    left_out = {table.find(name, "data.exclude") for name in exclude} | set(taken)
    nameless = [not name or name.startswith("Unnamed: ") for name in names]
    chosen = [j for j in range(len(names)) if j not in left_out and (nameless[j] or not numbers_rows(table.columns[j]))]
    if not chosen:
        numbering = [name for j, name in enumerate(names) if j not in left_out and numbers_rows(table.columns[j])]
        hint = f"; data.features=[{numbering[0]}] takes '{numbering[0]}', which numbers the rows" if numbering else ""
        raise InputError(f"'{table.path}' must have a column beside the label, got {listed(names)}{hint}")
    for j in chosen:
        if nameless[j]:
            # A name goes before a position: where a column is called so, count from the end.
            place = j + 1 if str(j + 1) not in names else j - len(names)
            raise InputError(
                f"'{table.path}': column {j + 1} ('{names[j]}') has no name, as an index does, and is no feature: "
                f"data.exclude=[{place}] leaves it out (or data.features=[...] names those that are)"
            )
    return chosen


def numbers_rows(column: Column) -> bool:
    """Say whether a column of ten rows or more holds whole numbers that go up by one from row to row, or is called as
    `INDICES` and has another whole number in each row."""
    values = column.values
    if column.levels is not None or len(values) < 10 or not (values == np.floor(values)).all():
        return False
    named = column.name.lower() in INDICES and len(np.unique(values)) == len(values)
    return named or bool((np.diff(values) == 1).all())


def complete_rows(table: Table, columns: Sequence[int]) -> np.ndarray:
    """Say which rows have all values of some columns, shape (N,)."""
    complete = np.ones(len(table), bool)
    for j in columns:
        complete &= ~table.columns[j].missing
    return complete


def refuse_missing(table: Table, columns: Sequence[int]) -> None:
    """Refuse a missing value of some columns, by its row and column."""
    complete = complete_rows(table, columns)
    if complete.all():
        return
    row = int((~complete).argmax())
    name = next(table.columns[j].name for j in columns if table.columns[j].missing[row])
    raise InputError(
        f"{table.where(row)}: column '{name}' must have a value ({plural(int((~complete).sum()), 'row')} in all without one); "
        "data.missing=drop leaves such rows out, data.missing=median takes the train rows' median"
    )


def fit_preparation(
    table: Table,
    chosen: Sequence[int],
    rows: np.ndarray,
    *,
    standardize: bool = True,
    missing: str = "refuse",
    categorical: Sequence[str | int] = (),
) -> Preparation:
    """Learn from the training rows how to make inputs.

    Args:
        table: the data.
        chosen: positions of the features.
        rows: the training rows.
        standardize: subtract each input's mean and divide by its standard deviation (over N). Images, whose rows are
            arrays of two or more axes, have one mean and one deviation in all; levels of words stay 0 and 1.
        missing: ``refuse``, ``drop`` (done by the caller before) or ``median``.
        categorical: columns of numbers that are kinds.

    Raises:
        InputError: a column of numbers holds a word, or one of words more than `MOST_LEVELS` kinds.
    """
    kinds = {table.find(name, "data.categorical") for name in categorical}
    levels, medians, means, deviations = {}, {}, [], []
    for j in chosen:
        column = as_words(table.columns[j]) if j in kinds else table.columns[j]
        if column.levels is not None:
            if j not in kinds and share_of_numbers(column) > 0.5:
                refuse_words(table, column)
            levels[column.name] = _levels(table, column, rows)
            means += [0.0] * len(levels[column.name])
            deviations += [1.0] * len(levels[column.name])
            continue
        values = column.values[rows]
        if missing == "median":
            there = values[~np.isnan(values)]
            if not len(there):
                raise InputError(
                    f"'{table.path}': column '{column.name}' has no value in the train rows; data.exclude it"
                )
            medians[column.name] = float(np.median(there))
            values = np.where(np.isnan(values), medians[column.name], values)
        _refuse_infinite(table, column)
        mean, deviation = float(values.mean()), float(values.std())
        means.append(mean)
        # What rounding leaves of a constant is no spread.
        deviations.append(deviation if deviation > 1e-12 * abs(mean) and deviation > 0 else 1.0)
    if table.shape is not None and not levels and len(chosen) == int(np.prod(table.shape)):
        shape = table.shape
        centre = float(np.mean(means))
        spread = float(np.sqrt(np.mean([np.mean((table.columns[j].values[rows] - centre) ** 2) for j in chosen])))
        means, deviations = [centre] * len(chosen), [spread or 1.0] * len(chosen)
    else:
        shape = (len(means),)
    names = tuple(table.columns[j].name for j in chosen)
    scale = (tuple(means), tuple(deviations)) if standardize else (None, None)
    return Preparation(names, levels, medians, *scale, tuple(shape))


def as_words(column: Column) -> Column:
    """Turn a column of numbers into one of words, the levels in the order of the numbers."""
    from mlplab.data.labels import words_of

    codes, names = words_of(column)
    return Column(column.name, codes.astype(np.int32), tuple(names))


def _levels(table: Table, column: Column, rows: np.ndarray) -> tuple[str, ...]:
    used = np.unique(column.values[rows])
    used = used[used >= 0]
    if len(used) > MOST_LEVELS:
        raise InputError(
            f"'{table.path}': column '{column.name}' holds {len(used)} different words ('{column.levels[used[0]]}', ...), more "
            f"than {MOST_LEVELS}, and is no feature as it stands: data.exclude=[{column.name}] leaves it out"
        )
    return tuple(column.levels[code] for code in used)


def _refuse_infinite(table: Table, column: Column) -> None:
    with np.errstate(over="ignore"):
        bad = np.isinf(column.values.astype(np.float32))
    if bad.any():
        row = int(bad.argmax())
        raise InputError(
            f"{table.where(row)}: column '{column.name}' must be finite in float32, got {column.values[row]:g}"
        )


def inputs_of(table: Table, preparation: Preparation, *, unseen: str = "refuse") -> np.ndarray:
    """Make inputs of all rows; columns are found by name.

    Args:
        table: with the columns that the preparation names, in any order, and others.
        preparation: of the training part.
        unseen: what becomes of a word that the training part does not have: ``refuse``, or ``zero`` in all levels.

    Returns:
        Array (N, *shape), float32, standardised where the preparation is.

    Raises:
        InputError: a column is missing or of another kind, a value is missing, infinite or an unseen word.
    """
    absent = [name for name in preparation.columns if name not in table.names]
    if absent:
        raise InputError(
            f"'{table.path}' must have the columns that were trained on: {listed(absent)} not among {listed(table.names)}"
        )
    places = [table.names.index(name) for name in preparation.columns]
    refuse_missing(table, [j for j in places if table.columns[j].name not in preparation.medians])
    x = np.empty((len(table), len(preparation.names)), np.float32)
    at = 0
    for j in places:
        column = table.columns[j]
        levels = preparation.levels.get(column.name)
        if levels is not None:
            column = as_words(column) if column.levels is None else column
            x[:, at : at + len(levels)] = _one_hot(table, column, levels, unseen)
            at += len(levels)
            continue
        refuse_words(table, column)
        _refuse_infinite(table, column)
        values = column.values
        if column.name in preparation.medians:
            values = np.where(np.isnan(values), preparation.medians[column.name], values)
        if preparation.means is not None:
            values = (values - preparation.means[at]) / preparation.deviations[at]
        x[:, at] = values
        at += 1
    return x.reshape(len(table), *preparation.shape)


def _one_hot(table: Table, column: Column, levels: Sequence[str], unseen: str) -> np.ndarray:
    place = np.array([levels.index(level) if level in levels else -1 for level in column.levels] + [-1])
    codes = place[column.values]
    if unseen == "refuse" and (codes < 0).any():
        row = int((codes < 0).argmax())
        got = column.levels[column.values[row]]
        raise InputError(
            f"{table.where(row)}: column '{column.name}' must be a kind that was trained on ({listed(levels)}), got '{got}'"
        )
    return codes[:, None] == np.arange(len(levels))
