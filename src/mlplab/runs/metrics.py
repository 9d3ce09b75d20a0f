"""The metrics of a run: ``metrics.csv``, a row an epoch, and those of its result that can be aimed at, by name."""

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mlplab.errors import InputError
from mlplab.runs.files import note, read_bytes, read_text, write_bytes

Number = float | int | None


class MetricsFile:
    """Append rows to a CSV file; no file stays open between calls.

    The first row fixes the header, and ``epoch`` is its first column. A column that turns up later
    (validation that is not run each epoch, say) is added on the right, and the rows before it are
    left empty there.

    Args:
        path: the file; made with the first row.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.header: list[str] | None = None

    def append(self, row: Mapping[str, Number]) -> None:
        """Add one row; it must hold ``epoch``."""
        self.extend([row])

    def extend(self, rows: Iterable[Mapping[str, Number]]) -> None:
        """Add rows in one write.

        Args:
            rows: names to numbers; None or a missing name is an empty cell. Each holds ``epoch``, a
                whole number >= 0.
        """
        rows = list(rows)
        if not rows:
            return
        new = self.header is None and not self._read_header()
        known = [] if new else self.header
        names = dict.fromkeys(known or ["epoch"])
        for row in rows:
            assert "epoch" in row, "a row of metrics.csv needs its epoch"
            names.update(dict.fromkeys(row))
        header = list(names)
        if not new and header != known:
            padding = "," * (len(header) - len(known))
            self._rewrite(header, [f"{line}{padding}" for line in self._lines()[1:]])
        text = "".join(_line([_cell(row.get(name)) for name in header]) for row in rows)
        self.header = header
        if new:
            text = _line(header) + text
            self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(self.path, "ab") as file:
                note(self.path)
                file.write(text.encode())
        except OSError as error:
            raise InputError(f"cannot write {self.path}: {error.strerror or error}") from error

    def cut(self, epoch: int) -> None:
        """Drop the rows after an epoch, and a row that was cut short, as before resuming at ``epoch + 1``.

        Args:
            epoch: the last epoch to keep; -1 keeps none.

        Raises:
            InputError: a row does not begin with a whole number.
        """
        if not self._read_header():
            return
        lines = self._lines()[1:]
        try:
            kept = [line for line in lines if int(line.partition(",")[0]) <= epoch]
        except ValueError as error:
            raise InputError(f"{self.path} is damaged: a row does not begin with its epoch") from error
        if kept:
            self._rewrite(self.header, kept)
        else:
            self.path.unlink()
            self.header = None

    def read(self) -> dict[str, list[Number]]:
        """Read the file with :func:`read`."""
        return read(self.path)

    def _read_header(self) -> bool:
        lines = self._lines() if self.path.exists() else []
        self.header = next(csv.reader(lines[:1]), None)
        if self.header is not None and self.header[:1] != ["epoch"]:
            raise InputError(f"{self.path} is damaged: its first column must be epoch")
        return self.header is not None

    def _rewrite(self, header: list[str], lines: list[str]) -> None:
        write_bytes(self.path, "".join([_line(header), *(f"{line}\n" for line in lines)]).encode())

    def _lines(self) -> list[str]:
        # What follows the last line end is a row that a killed process left unfinished.
        try:
            return read_bytes(self.path).decode().split("\n")[:-1]
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{self.path} is damaged: it is not text ({error})") from error


def read(path: str | Path) -> dict[str, list[Number]]:
    """Read a metrics file as columns.

    Returns:
        Column names to lists of equal length: ``epoch`` as whole numbers, the rest as floats, None
        where a cell is empty.

    Raises:
        InputError: the file is missing, or a row does not fit the header; the message names the row.
    """
    path = Path(path)
    try:
        text = read_text(path)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is damaged: it is not text") from error
    rows = list(csv.reader(io.StringIO(text[: text.rfind("\n") + 1])))
    if not rows or rows[0][:1] != ["epoch"]:
        raise InputError(f"{path} is not a metrics file: its first column must be epoch")
    header = rows[0]
    columns: dict[str, list[Number]] = {name: [] for name in header}
    for number, row in enumerate(rows[1:], start=2):
        try:
            if len(row) != len(header):
                raise ValueError(f"{len(header)} cells expected, {len(row)} found")
            for name, cell in zip(header, row):
                columns[name].append(int(cell) if name == "epoch" else float(cell) if cell else None)
        except ValueError as error:
            raise InputError(f"{path} is damaged in row {number}: {error}") from error
    return columns


def _cell(value: Number) -> str:
    # repr is the shortest text that reads back to the same bits.
    if value is None:
        return ""
    return repr(value) if type(value) is int else repr(float(value))


def _line(cells: list[str]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow(cells)
    return buffer.getvalue()


MINIMIZE, MAXIMIZE = "minimize", "maximize"

# The parts of the data that a result has metrics of, as they are shown; and in the order in which a choice is made by them.
PARTS = ("test", "fresh", "validation", "train")
CHOOSING = ("validation", "fresh", "test", "train")
# What is measured on each part, and which values are better; that of the Bayes classifier beside it.
METRICS = {
    "accuracy": MAXIMIZE,
    "nll": MINIMIZE,
    "accuracy_regret": MINIMIZE,
    "nll_regret": MINIMIZE,
    "calibration_error": MINIMIZE,
}
BAYES = ("bayes_accuracy", "bayes_nll")

# Name -> direction. PART/METRIC is measured on the state that evaluate_state says, by default the best one.
OBJECTIVES: dict[str, str] = {f"{part}/{metric}": way for part in CHOOSING for metric, way in METRICS.items()}
OBJECTIVES |= {"parameters": MINIMIZE, "seconds/fit": MINIMIZE, "epochs": MINIMIZE, "steps": MINIMIZE}


def read_objective(result: Mapping[str, Any], name: str) -> float | None:
    """Read a metric from a job's result.

    Args:
        result: as in ``result.json``.
        name: a key of :data:`OBJECTIVES`.

    Returns:
        The metric, or None where the result has none or it is not finite.
    """
    value: Any = result
    for part in name.split("/"):
        value = value.get(part) if isinstance(value, Mapping) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def judged(result: Mapping[str, Any], names: str | Sequence[str]) -> float | tuple[float, ...]:
    """Give the metrics of a job's result that a sweeper asks for.

    Args:
        result: as in ``result.json``.
        names: one objective, or several.

    Returns:
        A float, or a tuple of one each. A metric that a finished job does not have is nan; those of a job that did
        not finish are the worst there are: inf, or -inf where more is better.
    """
    if not isinstance(names, str):
        return tuple(judged(result, name) for name in names)
    if result.get("status", "finished") != "finished":
        return -math.inf if OBJECTIVES[names] == MAXIMIZE else math.inf
    value = read_objective(result, names)
    return math.nan if value is None else value


# The largest class has this many times its equal share: then accuracy is not shown alone.
UNEQUAL = 1.5


def unequal(confusion: Sequence[Sequence[int]]) -> bool:
    """Say whether classes have so unequal shares that accuracy says little: the largest has 1.5 times its equal share."""
    members = [sum(row) for row in confusion]
    return len(members) > 1 and max(members) * len(members) > UNEQUAL * sum(members)


BINS = 15


def reliability(probabilities, labels, bins: int = BINS) -> tuple[Any, Any, Any]:
    """Bin points by the probability of their predicted class, in bins ((b - 1)/B, b/B] of equal width.

    A probability of exactly 1 lies in the last bin (torchmetrics 1.9 leaves it out of all).

    Args:
        probabilities: shape (N, C).
        labels: true classes, shape (N,).
        bins: how many, B.

    Returns:
        counts, mean probability and accuracy of each bin, arrays of shape (bins,); NaN where a bin is empty.
    """
    import numpy as np  # here, so that a config is checked without it

    values = np.asarray(probabilities, dtype=float)
    sure = values.max(axis=1)
    right = values.argmax(axis=1) == np.asarray(labels)
    place = np.clip(np.ceil(sure * bins).astype(int) - 1, 0, bins - 1)
    counts = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):
        return counts, np.bincount(place, sure, bins) / counts, np.bincount(place, right, bins) / counts


def calibration_error(probabilities, labels, bins: int = BINS) -> float:
    """Compute the expected calibration error, the mean over points of |accuracy - probability| of their bin.

    Args:
        probabilities: shape (N, C), N >= 1; NaN where a row is not finite gives NaN.
        labels: true classes, shape (N,).
        bins: of equal width.

    Source:
        Naeini, Cooper and Hauskrecht 2015, equation 3.
    """
    import numpy as np

    if not np.isfinite(np.asarray(probabilities)).all():
        return float("nan")
    counts, sure, accuracy = reliability(probabilities, labels, bins)
    filled = counts > 0
    return float((np.abs(accuracy - sure)[filled] * counts[filled]).sum() / counts.sum())
