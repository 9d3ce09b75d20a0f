"""Where to look at a function: a grid that follows its curvature, and the errors measured on it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mlplab.studies.relu.targets import Target


@dataclass(frozen=True)
class Samples:
    """Hold a target on a grid of cells whose chords miss it by about as much everywhere.

    Args:
        x: shape ``(N,)``, increasing, both ends of the interval included.
        y: the target there, shape ``(N,)``.
        bend: square root of eight times the chord's miss in each cell, shape ``(N - 1,)``:
            the integral of sqrt|f''| over the cell, where f'' exists.
    """

    x: np.ndarray
    y: np.ndarray
    bend: np.ndarray

    @property
    def total_bend(self) -> float:
        """Return the integral of sqrt|f''| over the interval."""
        return float(self.bend.sum())


def sample(target: Target, cells: int) -> Samples:
    """Sample a target so that every cell bends about equally.

    Cells are halved, worst first, until none bends by more than its share or only by rounding; then they are
    made even. So a singular end (sqrt at 0) or a kink gets its points without being announced.

    Args:
        target: what to sample; for points the points themselves come back.
        cells: number of cells aimed at, >= 1.

    Returns:
        The samples.
    """
    if target.points is not None:
        x, y = target.points.x, target.points.y
        third = np.zeros(max(x.size - 1, 0))
        if x.size > 2:
            turn = np.abs(np.diff(np.diff(y) / np.diff(x)))
            third[:-1] += turn / 2
            third[1:] += turn / 2
        return Samples(x, y, np.sqrt(third * np.diff(x)) if x.size > 1 else third)
    # Uneven cells: a kink on an even grid's node, or a period equal to its step, would be missed.
    count = max(64, cells // 2)
    places = np.arange(count + 1) + 0.3 * np.mod(np.arange(count + 1) * 0.6180339887498949, 1)
    x = target.low + (target.high - target.low) * places / places[-1]
    x[-1] = target.high
    y = target(x)
    middle = (x[1:] + x[:-1]) / 2
    center = target(middle)
    floor = 16 * np.spacing(np.abs(y).max())
    while True:
        miss = np.abs(center - (y[1:] + y[:-1]) / 2)
        bend = np.sqrt(8 * miss)
        # A kink would be halved for ever: the chord of a cell of a few ulps has no slope left.
        open_ = (miss > floor) & (np.diff(x) > 64 * np.spacing(np.abs(middle))) & (bend > bend.sum() / cells)
        if not open_.any():
            break
        split = np.flatnonzero(open_ & (miss >= miss[open_].max() / 4))
        x = np.insert(x, split + 1, middle[split])
        y = np.insert(y, split + 1, center[split])
        at = split + np.arange(split.size)
        middle, center = np.insert(middle, split, 0.0), np.insert(center, split, 0.0)
        fresh = np.concatenate([at, at + 1])
        middle[fresh] = (x[fresh] + x[fresh + 1]) / 2
        center[fresh] = target(middle[fresh])
    # Halved cells differ by up to a factor 4 in their miss; cells of equal bend do not, and a grid whose
    # own error is the same everywhere shifts no knot.
    done = np.concatenate([[0.0], np.cumsum(bend)])
    even = np.interp(np.linspace(0, done[-1], cells + 1), done, x)[1:-1] if done[-1] > 0 else x[:0]
    rough = np.flatnonzero(bend > 1.5 * done[-1] / cells)
    # Straight stretches have no bend to place points by, but need some all the same.
    base = np.linspace(target.low, target.high, 33)
    grid = np.unique(np.concatenate([base, even, x[rough], x[rough + 1]]))
    return Samples(grid, target(grid), np.diff(np.interp(grid, x, done)))


def peaks(
    target: Target, fit: Callable[[np.ndarray], np.ndarray], breaks: np.ndarray, *, per_cell: int = 4, rounds: int = 4
) -> tuple[np.ndarray, np.ndarray]:
    """Find every local extremum of the error fit - target.

    Args:
        target: on points, every row is returned.
        fit: what is compared.
        breaks: sorted abscissae between which the error is smooth or nearly so (knots and samples).
        per_cell: looks in each cell between breaks.
        rounds: how often each extremum is closed in on, by a factor 4 each time.

    Returns:
        Abscissae of the extrema and the signed errors there, both ends of the interval included.
    """
    if target.points is not None:
        return target.points.rows_x, fit(target.points.rows_x) - target.points.rows_y
    breaks = np.unique(np.clip(np.concatenate([[target.low], breaks, [target.high]]), target.low, target.high))
    # A fractal's extrema are at no place that its samples announce; Takagi's cusps are at binary fractions.
    step = 2.0 ** np.floor(np.log2((target.high - target.low) / 4096))
    looks = step * np.arange(np.ceil(target.low / step), np.floor(target.high / step) + 1)
    breaks = np.union1d(breaks, looks)
    parts = breaks[:-1, None] + np.diff(breaks)[:, None] * (np.arange(per_cell) / per_cell)
    x = np.append(parts.ravel(), breaks[-1])
    error = fit(x) - target(x)
    size = np.abs(error)
    inner = np.flatnonzero((size[1:-1] >= size[:-2]) & (size[1:-1] >= size[2:])) + 1
    left, best, right = x[inner - 1], x[inner], x[inner + 1]
    best_error = error[inner]
    for _ in range(rounds):
        grid = np.concatenate(
            [
                left + (best - left) * np.array([[0.5], [0.75]]),
                [best],
                best + (right - best) * np.array([[0.25], [0.5]]),
            ]
        )
        looks = fit(grid) - target(grid)
        pick = np.abs(looks).argmax(0)
        columns = np.arange(best.size)
        fence = np.concatenate([[left], grid, [right]])
        left, right = fence[pick, columns], fence[pick + 2, columns]
        best, best_error = grid[pick, columns], looks[pick, columns]
    # Kinks and fractals keep their peaks between the looks: the largest are closed in on until nothing is between.
    top = np.argsort(-np.abs(best_error), kind="stable")[:256]
    for _ in range(12 if top.size else 0):
        looks = np.linspace(left[top], right[top], 17)
        found = fit(looks) - target(looks)
        pick, columns = np.abs(found).argmax(0), np.arange(top.size)
        better = np.abs(found[pick, columns]) > np.abs(best_error[top])
        best[top] = np.where(better, looks[pick, columns], best[top])
        best_error[top] = np.where(better, found[pick, columns], best_error[top])
        step = (right[top] - left[top]) / 16
        left[top], right[top] = np.maximum(left[top], best[top] - step), np.minimum(right[top], best[top] + step)
    order = np.concatenate([x[:1], best, x[-1:]])
    return order, np.concatenate([error[:1], best_error, error[-1:]])


_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(4)


def quadrature(breaks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Place four Gauss-Legendre nodes in each cell.

    Args:
        breaks: shape ``(N,)``, increasing.

    Returns:
        Nodes and weights, each of shape ``(4 (N - 1),)``.
    """
    half = np.diff(breaks)[:, None] / 2
    return (breaks[:-1, None] + half * (1 + _NODES)).ravel(), (half * _WEIGHTS).ravel()


def errors(target: Target, fit: Callable[[np.ndarray], np.ndarray], breaks: np.ndarray) -> tuple[float, float]:
    """Measure an approximation.

    Args:
        target: with points, both errors are taken over all rows, the mean square by their weights.
        fit: the approximation.
        breaks: its knots and the target's samples, as in :func:`peaks`.

    Returns:
        The largest absolute error, and the root of the mean square over the interval.
    """
    _, extrema = peaks(target, fit, breaks)
    if target.points is not None:
        return float(np.abs(extrema).max()), float(np.sqrt(np.mean(target.points.rows_weight * extrema**2)))
    cells = np.unique(np.clip(np.concatenate([[target.low], breaks, [target.high]]), target.low, target.high))
    nodes, weights = quadrature(cells)
    square = weights @ (fit(nodes) - target(nodes)) ** 2
    return float(np.abs(extrema).max()), float(np.sqrt(square / (target.high - target.low)))
