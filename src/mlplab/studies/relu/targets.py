"""Functions to approximate, by name, each with the interval that suits it."""

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mlplab.data.table import matrix, read_table
from mlplab.errors import InputError
from mlplab.words import plural

# Headers of a file's third column.
_ERROR_NAMES = ("err", "error", "sigma", "std", "sd", "uncertainty", "dy", "yerr", "y_err", "yerror")
_WEIGHT_NAMES = ("weight", "weights", "w")


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
class Points:
    """Hold rows of a graph, gathered by abscissa, so that each abscissa occurs once and no row is lost.

    Args:
        x: distinct abscissae, shape ``(N,)``, increasing.
        y: weighted mean of the rows' ordinates at each, shape ``(N,)``.
        weight: sum of the rows' weights at each, shape ``(N,)``, > 0.
        lowest: least ordinate at each, shape ``(N,)``.
        highest: greatest ordinate at each, shape ``(N,)``.
        rows_x: all rows' abscissae, shape ``(R,)``, not decreasing.
        rows_y: their ordinates, shape ``(R,)``.
        rows_weight: their weights, shape ``(R,)``, of mean 1.
    """

    x: np.ndarray
    y: np.ndarray
    weight: np.ndarray
    lowest: np.ndarray
    highest: np.ndarray
    rows_x: np.ndarray
    rows_y: np.ndarray
    rows_weight: np.ndarray


@dataclass(frozen=True)
class Target:
    """Hold what is approximated: a function on an interval, or points.

    Args:
        name: key in :data:`TARGETS`, or "points".
        function: vectorised; for points their linear interpolation.
        low: left end.
        high: right end, above ``low``.
        label: as figures write it.
        points: where errors are counted on points alone, else None.
        note: what was done to the points on reading, or "".
    """

    name: str
    function: Callable[[np.ndarray], np.ndarray]
    low: float
    high: float
    label: str
    points: Points | None = None
    note: str = ""

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
        raise InputError(f"target {name} must be finite on [{low:g}, {high:g}], but is not at x = {grid[bad][0]:g}")
    return target


def make_points(
    x: np.ndarray,
    y: np.ndarray,
    label: str = "points",
    *,
    weight: np.ndarray | None = None,
    error: np.ndarray | None = None,
) -> Target:
    """Make a target of points, in any order; equal abscissae count as often as they occur.

    Args:
        x: shape ``(N,)``, N >= 1, finite, in any order.
        y: shape ``(N,)``, finite.
        label: as figures write it.
        weight: how much each row counts in the mean square, shape ``(N,)``, >= 0; a row of weight 0 is left out.
            The largest error is taken over all rows that are left, whatever their weights.
        error: standard error of each ordinate in place of ``weight``, shape ``(N,)``, > 0; the weight is
            1 / error².

    Returns:
        The target; its note says what was done. One abscissa gets an interval of length 1.

    Raises:
        InputError: no point, one that is not finite, a weight or an error out of range, or both.
    """
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if x.ndim != 1 or x.shape != y.shape or x.size == 0:
        raise InputError(f"points must be two lists of one length >= 1, got shapes {x.shape} and {y.shape}")
    bad = np.flatnonzero(~(np.isfinite(x) & np.isfinite(y)))
    if bad.size:
        raise InputError(f"points must be finite, got ({x[bad[0]]}, {y[bad[0]]}) at row {bad[0] + 1}")
    notes = [] if (np.diff(x) >= 0).all() else ["sorted"]
    w = _row_weights(x, weight, error)
    if weight is not None or error is not None:
        notes.append("the mean square is weighted by 1 / error²" if weight is None else "the mean square is weighted")
        if not w.all():
            notes.append(f"{plural(int((w == 0).sum()), 'row')} of weight 0 left out")
            x, y, w = x[w > 0], y[w > 0], w[w > 0]
    w = w / w.mean()
    order = np.lexsort((y, x))
    x, y, w = x[order], y[order], w[order]
    unique, first, inverse, counts = np.unique(x, return_index=True, return_inverse=True, return_counts=True)
    if unique.size < x.size:
        repeated = int((counts > 1).sum())
        notes.append(
            f"{plural(repeated, 'abscissa occurs', 'abscissae occur')} more than once; all {x.size} rows count"
        )
    total = np.bincount(inverse, w)
    # Equal ordinates have themselves as mean, to the bit.
    lowest, highest = y[first], y[first + counts - 1]
    mean = np.where(lowest == highest, lowest, np.bincount(inverse, w * y) / total)
    low, high = (unique[0], unique[-1]) if unique.size > 1 else (unique[0] - 0.5, unique[0] + 0.5)
    points = Points(unique, mean, total, lowest, highest, x, y, w)
    return Target(
        "points", lambda z: np.interp(z, unique, mean), float(low), float(high), label, points, "; ".join(notes)
    )


def _row_weights(x: np.ndarray, weight: np.ndarray | None, error: np.ndarray | None) -> np.ndarray:
    """Check weights or errors and return weights, largest 1, shape ``(N,)``."""
    if weight is not None and error is not None:
        raise InputError("points must have weights or errors of y, got both")
    if weight is None and error is None:
        return np.ones_like(x)
    name, given = ("weight", weight) if error is None else ("error", error)
    given = np.asarray(given, dtype=np.float64)
    if given.shape != x.shape:
        raise InputError(f"{name}s of points must be a list of {x.size} numbers, got shape {given.shape}")
    good = np.isfinite(given) & (given >= 0 if error is None else given > 0)
    if not good.all():
        at = int(np.flatnonzero(~good)[0])
        least = ">= 0" if error is None else "> 0"
        raise InputError(f"the {name} of a point must be a finite number {least}, got {given[at]} at row {at + 1}")
    if not given.any():
        raise InputError("at least one point must have a weight > 0, got 0 at every row")
    return given / given.max() if error is None else (given.min() / given) ** 2


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
    third = {}
    if len(names) == 3 and names[2] in _ERROR_NAMES + _WEIGHT_NAMES:
        kind = "weight" if names[2] in _WEIGHT_NAMES else "error"
        bad = np.flatnonzero(values[:, 2] < 0 if kind == "weight" else values[:, 2] <= 0)
        if bad.size:
            least = ">= 0" if kind == "weight" else "> 0"
            raise InputError(f"{table.where(int(bad[0]))}: the {kind} of y must be {least}, got {values[bad[0], 2]:g}")
        third = {kind: values[:, 2]}
    elif len(names) != 2:
        raise InputError(
            f"'{path}' must have two columns, x and y, or a third whose header says error or weight, "
            f"got {len(names)}: {', '.join(table.names)}"
        )
    return make_points(values[:, 0], values[:, 1], Path(path).stem, **third)
