"""Functions to approximate, by name, each with the interval that suits it."""

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mlplab.data.table import matrix, read_table
from mlplab.errors import InputError


def takagi(x: np.ndarray, levels: int = 40) -> np.ndarray:
    """Return Takagi's function, sum_k 2^-k dist(2^k x, integers): continuous, with no derivative anywhere."""
    scaled = np.asarray(x, dtype=np.float64)
    total = np.zeros_like(scaled)
    for level in range(levels):
        total += np.abs(scaled - np.round(scaled)) / 2**level
        scaled = 2 * (scaled - np.floor(scaled))
    return total


def sawtooth(x: np.ndarray) -> np.ndarray:
    """Return the triangle wave of period 1/4 between 0 and 1, eight straight pieces on [0, 1]."""
    return 1 - np.abs(2 * np.mod(4 * np.asarray(x, dtype=np.float64), 1) - 1)


# name -> (function of an array, interval, label). Adding a target is adding a line here.
TARGETS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], tuple[float, float], str]] = {
    "sin": (np.sin, (0.0, 2 * np.pi), "sin x"),
    "cos": (np.cos, (0.0, 2 * np.pi), "cos x"),
    "exp": (np.exp, (0.0, 1.0), "exp x"),
    "x2": (np.square, (0.0, 1.0), "x²"),
    "abs": (lambda x: np.abs(x - 0.3), (-1.0, 1.0), "|x − 0.3|"),
    "sqrt": (lambda x: np.sqrt(np.maximum(x, 0)), (0.0, 1.0), "√x"),
    "runge": (lambda x: 1 / (1 + 25 * np.square(x)), (-1.0, 1.0), "1/(1 + 25 x²)"),
    "step": (lambda x: np.tanh(20 * x), (-1.0, 1.0), "tanh 20x"),
    "sawtooth": (sawtooth, (0.0, 1.0), "sawtooth"),
    "cubic": (lambda x: x * (2 * x - 1) * (x - 1), (0.0, 1.0), "2x³ − 3x² + x"),
    "takagi": (takagi, (0.0, 1.0), "Takagi"),
}


@dataclass(frozen=True)
class Target:
    """Hold what is approximated: a function on an interval, or points.

    Args:
        name: key in :data:`TARGETS`, or "points".
        function: vectorised; for points their linear interpolation.
        low: left end.
        high: right end, above ``low``.
        label: as figures write it.
        points: ``(x, y)`` where errors are counted on points alone, else None; x increases, y is the weighted mean of
            the rows at x.
        weights: of each point, the sum of its rows' weights; None where all are 1.
        rows: ``(x, y, weight)`` of all rows, on which errors are measured; None for a function.
        note: what was done to the points on reading, or "".
    """

    name: str
    function: Callable[[np.ndarray], np.ndarray]
    low: float
    high: float
    label: str
    points: tuple[np.ndarray, np.ndarray] | None = None
    note: str = ""
    weights: np.ndarray | None = None
    rows: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Evaluate the target in float64."""
        return np.asarray(self.function(np.asarray(x, dtype=np.float64)), dtype=np.float64)


def make_target(name: str, low: float | None = None, high: float | None = None) -> Target:
    """Look a target up by name.

    Args:
        name: key of :data:`TARGETS`.
        low: left end, or None for the target's own.
        high: right end, or None for the target's own.

    Returns:
        The target.

    Raises:
        InputError: an unknown name (with the nearest known one), an interval without length, a function
            that is not finite on it.
    """
    if name not in TARGETS:
        near = difflib.get_close_matches(str(name), TARGETS, n=1, cutoff=0.4)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise InputError(f"target.name must be one of {', '.join(TARGETS)} or points, got {name}{hint}")
    function, (default_low, default_high), label = TARGETS[name]
    low = default_low if low is None else float(low)
    high = default_high if high is None else float(high)
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise InputError(f"target.low must be finite and below target.high, got [{low:g}, {high:g}]")
    target = Target(name, function, low, high, label)
    with np.errstate(all="ignore"):
        grid = np.linspace(low, high, 1001)
        bad = ~np.isfinite(target(grid))
    if bad.any():
        raise InputError(
            f"target {name} must be finite on [{low:g}, {high:g}], but is not at x = {grid[bad][0]:g}"
        )
    return target


def make_points(x: np.ndarray, y: np.ndarray, label: str = "points", weights: np.ndarray | None = None) -> Target:
    """Make a target of points: sort them and average the ordinates of equal abscissae.

    Args:
        x: shape ``(N,)``, N >= 1, finite, in any order. An x that stands r times counts r times.
        y: shape ``(N,)``, finite.
        label: as figures write it.
        weights: of each row, shape ``(N,)``, > 0, for weighted least squares; None gives each 1. With errors s of y
            they are 1/s^2.

    Returns:
        The target; its note says what was sorted or averaged. One point gets an interval of length 1.

    Raises:
        InputError: no point, one that is not finite, or a weight that is not above 0.
    """
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if x.ndim != 1 or x.shape != y.shape or x.size == 0:
        raise InputError(f"points must be two lists of one length >= 1, got shapes {x.shape} and {y.shape}")
    bad = np.flatnonzero(~(np.isfinite(x) & np.isfinite(y)))
    if bad.size:
        raise InputError(f"points must be finite, got ({x[bad[0]]}, {y[bad[0]]}) at row {bad[0] + 1}")
    each = np.ones_like(x) if weights is None else np.asarray(weights, dtype=np.float64)
    bad = np.flatnonzero(~(np.isfinite(each) & (each > 0)))
    if each.shape != x.shape or bad.size:
        got = f"{each[bad[0]]:g} at row {bad[0] + 1}" if each.shape == x.shape else f"shape {each.shape}"
        raise InputError(f"weights of points must be as many numbers > 0, got {got}")
    each = each / each.mean()  # 1 on average, so that all costs keep their size
    notes = [] if (np.diff(x) >= 0).all() else ["sorted"]
    unique, inverse, counts = np.unique(x, return_inverse=True, return_counts=True)
    if unique.size < x.size:
        repeated = int((counts > 1).sum())
        notes.append(f"{x.size} rows at {unique.size} different x, {repeated} of which count more than once "
                     "(minimax is of their averages)")
    if weights is not None:
        notes.append("weighted")
    total = np.bincount(inverse, each)
    mean = np.bincount(inverse, each * y) / total
    low, high = (unique[0], unique[-1]) if unique.size > 1 else (unique[0] - 0.5, unique[0] + 0.5)
    return Target(
        "points",
        lambda z: np.interp(z, unique, mean),
        float(low),
        float(high),
        label,
        (unique, mean),
        "; ".join(notes),
        None if (total == 1).all() else total,
        (x, y, each),
    )


# How a third column may be called, and which of the two it is then.
_ERROR_NAMES = ("err", "error", "sigma", "std", "sd", "uncertainty", "dy", "yerr", "y_err", "yerror")
_WEIGHT_NAMES = ("weight", "weights", "w")


def read_points(path: str | Path) -> Target:
    """Read points from a file of two columns x, y, or three: the last is the error of y, or a weight, by its name.

    Args:
        path: as in :func:`mlplab.data.table.read_table`, with or without a header.

    Returns:
        :func:`make_points` of the columns, labelled by the file's name; an error s gives the weight 1/s^2.

    Raises:
        InputError: no such file, a row without its numbers, a third column without a name that tells what it is.
    """
    table = read_table(path, key="target.path")
    values = matrix(table)
    names = [name.lower() for name in table.names]
    weights = None
    if len(names) == 3 and names[2] in _ERROR_NAMES + _WEIGHT_NAMES:
        weights = values[:, 2] if names[2] in _WEIGHT_NAMES else _inverse_square(values[:, 2], table)
    elif len(names) != 2:
        raise InputError(
            f"'{path}' must have two columns, x and y, or a third whose header says error or weight, "
            f"got {len(names)}: {', '.join(table.names)}"
        )
    return make_points(values[:, 0], values[:, 1], Path(path).stem, weights)


def _inverse_square(errors: np.ndarray, table) -> np.ndarray:
    bad = np.flatnonzero(~(errors > 0))
    if bad.size:
        raise InputError(f"{table.where(int(bad[0]))}: the error of y must be > 0, got {errors[bad[0]]:g}")
    return errors**-2.0
