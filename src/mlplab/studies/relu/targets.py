"""Functions to approximate, by name, each with the interval that suits it."""

import csv
import difflib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

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
        points: ``(x, y)`` where errors are counted on points alone, else None.
        note: what was done to the points on reading, or "".
    """

    name: str
    function: Callable[[np.ndarray], np.ndarray]
    low: float
    high: float
    label: str
    points: tuple[np.ndarray, np.ndarray] | None = None
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
        raise InputError(
            f"target {name} must be finite on [{low:g}, {high:g}], but is not at x = {grid[bad][0]:g}"
        )
    return target


def make_points(x: np.ndarray, y: np.ndarray, label: str = "points") -> Target:
    """Make a target of points: sort them and average the ordinates of equal abscissae.

    Args:
        x: shape ``(N,)``, N >= 1, finite, in any order.
        y: shape ``(N,)``, finite.
        label: as figures write it.

    Returns:
        The target; its note says what was sorted or averaged. One point gets an interval of length 1.

    Raises:
        InputError: no point, or one that is not finite.
    """
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if x.ndim != 1 or x.shape != y.shape or x.size == 0:
        raise InputError(f"points must be two lists of one length >= 1, got shapes {x.shape} and {y.shape}")
    bad = np.flatnonzero(~(np.isfinite(x) & np.isfinite(y)))
    if bad.size:
        raise InputError(f"points must be finite, got ({x[bad[0]]}, {y[bad[0]]}) at row {bad[0] + 1}")
    notes = [] if (np.diff(x) >= 0).all() else ["sorted"]
    unique, inverse, counts = np.unique(x, return_inverse=True, return_counts=True)
    if unique.size < x.size:
        repeated = int((counts > 1).sum())
        notes.append(f"{x.size - unique.size} rows with repeated x averaged into {repeated}")
    mean = np.bincount(inverse, y) / counts
    low, high = (unique[0], unique[-1]) if unique.size > 1 else (unique[0] - 0.5, unique[0] + 0.5)
    return Target(
        "points",
        lambda z: np.interp(z, unique, mean),
        float(low),
        float(high),
        label,
        (unique, mean),
        "; ".join(notes),
    )


def read_points(path: str | Path) -> Target:
    """Read points from a CSV file of two columns, with or without a header line.

    Args:
        path: the file; empty lines are skipped.

    Returns:
        :func:`make_points` of the two columns, labelled by the file's name.

    Raises:
        InputError: no such file, a row without two numbers, no rows.
    """
    path = Path(path)
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            rows = [
                (number, row) for number, row in enumerate(csv.reader(stream), 1) if any(map(str.strip, row))
            ]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"target.path must be a readable CSV file, got {path} ({error})") from None
    x, y = [], []
    for place, (number, row) in enumerate(rows):
        try:
            if len(row) != 2:
                raise ValueError
            pair = float(row[0]), float(row[1])
        except ValueError:
            if place == 0 and len(row) == 2:
                continue
            raise InputError(
                f"{path} line {number}: a row must be two numbers, x,y, got {','.join(row)}"
            ) from None
        if not np.isfinite(pair).all():
            raise InputError(f"{path} line {number}: points must be finite, got {','.join(row)}")
        x.append(pair[0])
        y.append(pair[1])
    if not x:
        raise InputError(f"{path} must hold at least one row of two numbers, x,y, got none")
    return make_points(np.array(x), np.array(y), path.stem)
