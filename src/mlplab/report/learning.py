"""Learning curves of many runs, thinned as they are read."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mlplab.runs.files import read_text

# Enough places for a line on a logarithmic axis: sixteen in each factor of ten.
EPOCHS = sorted({round(10 ** (k / 16)) for k in range(16 * 6)})
_WANTED = frozenset(EPOCHS)


def read_curve(path: str | Path, names: Sequence[str]) -> tuple[str, dict[int, float]] | None:
    """Read one column of a ``metrics.csv`` at logarithmically spaced epochs and the last one.

    Args:
        path: the file.
        names: of columns; the first that the file has is read.

    Returns:
        The column's name, and values by epoch; None where the file is missing, damaged or has none of them.
    """
    try:
        # What follows the last line end is a row that a killed process left unfinished.
        lines = read_text(path).split("\n")[:-1]
        header = lines[0].split(",")
        name = next(name for name in names if name in header)
        column, last = header.index(name), len(lines) - 1
        values = {}
        for number, line in enumerate(lines[1:], start=1):
            epoch = int(line[: line.index(",")])
            if epoch in _WANTED or number == last:
                cell = line.split(",")[column]
                values[epoch] = float(cell) if cell else float("nan")
    except (OSError, ValueError, IndexError, StopIteration):  # UnicodeDecodeError is a ValueError
        return None
    return (name, values) if values else None


def aligned(curves: Sequence[dict[int, float]]) -> tuple[np.ndarray, np.ndarray]:
    """Put curves on common epochs.

    Returns:
        Epochs, shape (T,), ascending; values, shape (curves, T), NaN where a curve has none.
    """
    epochs = sorted({epoch for curve in curves for epoch in curve})
    values = [[curve.get(epoch, float("nan")) for epoch in epochs] for curve in curves]
    return np.array(epochs, dtype=float), np.array(values, dtype=float).reshape(len(curves), len(epochs))
