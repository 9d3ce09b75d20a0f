"""A table in memory: its columns, numbers or words, and where each row stands in its file."""

import re
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mlplab.errors import InputError
from mlplab.words import listed

SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t", "blanks": " "}


class Column(NamedTuple):
    """One column: numbers (N,) float64, NaN where missing; or words as codes (N,) int32 into levels, -1 missing."""

    name: str
    values: np.ndarray
    levels: tuple[str, ...] | None = None

    @property
    def missing(self) -> np.ndarray:
        """Say of each row whether its value is missing, shape (N,)."""
        return np.isnan(self.values) if self.levels is None else self.values < 0

    def take(self, rows: np.ndarray) -> "Column":
        """Return the column of some rows."""
        return self._replace(values=self.values[rows])


@dataclass
class Table:
    """Columns of equal length, and how they were read.

    Attributes:
        path: the file, for messages.
        columns: in the order of the file.
        lines: line of each row in the file, (N,) int64; None where a row has none or it was not counted.
        header: whether the names come from the file.
        separator: name of the separator (a key of `SEPARATORS`); None for files without one.
        labels: name of the column that the file's form says is the label (an NPZ archive's ``y``), empty where the form
            has such a column and the file has not, else None.
        shape: shape of one row's features where they are one array of three or more axes, else None.
        parts: part of each row (``train``, ``validation``, ``test``) where the file says so, else None.
    """

    path: str
    columns: list[Column]
    lines: np.ndarray | None = None
    header: bool = True
    separator: str | None = None
    labels: str | None = None
    shape: tuple[int, ...] | None = None
    parts: np.ndarray | None = None

    @property
    def names(self) -> list[str]:
        """The columns' names."""
        return [column.name for column in self.columns]

    def __len__(self) -> int:
        return len(self.columns[0].values) if self.columns else 0

    def where(self, row: int) -> str:
        """Name a row (counted from 0) for a message."""
        line = "" if self.lines is None else f" (line {self.lines[row]})"
        return f"'{self.path}', row {row + 1}{line}"

    def find(self, wanted: str | int, key: str) -> int:
        """Find a column by its name, else by its position, counted from 1 (-1 is the last).

        Raises:
            InputError: there is no such column; the message names `key`.
        """
        names = self.names
        if str(wanted) in names:
            return names.index(str(wanted))
        position = wanted if isinstance(wanted, int) else int(wanted) if re.fullmatch(r"-?\d+", str(wanted)) else 0
        if position and -len(names) <= position <= len(names):
            return position - 1 if position > 0 else len(names) + position
        raise InputError(
            f"{key} must name a column of '{self.path}' ({listed(names)}) or its position from 1, got '{wanted}'"
        )

    def take(self, rows: np.ndarray) -> "Table":
        """Return a table of some rows."""
        lines = None if self.lines is None else self.lines[rows]
        parts = None if self.parts is None else self.parts[rows]
        columns = [column.take(rows) for column in self.columns]
        return Table(self.path, columns, lines, self.header, self.separator, self.labels, self.shape, parts)
