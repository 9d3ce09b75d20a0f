"""Sums of ReLUs in the basis of hats: integrals over pieces, and the least squares at given knots."""

import numpy as np
from scipy.linalg import solveh_banded

from mlplab.studies.relu.sampling import sample
from mlplab.studies.relu.sums import ReluSum
from mlplab.studies.relu.targets import Target

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(12)
_NODES, _WEIGHTS = (1 + _NODES) / 2, _WEIGHTS / 2
# Pieces no longer than this share of the interval are integrated by themselves.
_SHORT = 1 / 96


class Moments:
    """Integrate a target against the hats of any pieces: (1-u)^2, u(1-u), u^2, (1-u) f, u f, u from 0 to 1 along each.

    Short pieces take twelve Gauss-Legendre nodes each. In a long one a function may oscillate or have kinks, so it is
    integrated cell by cell on a grid that follows its bends; the sums over whole cells are made once.

    Args:
        target: a function, or points, over which weighted sums take the integrals' place.
    """

    def __init__(self, target: Target) -> None:
        self.target = target
        self.span = target.high - target.low
        self._cells: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None

    def __call__(self, edges: np.ndarray) -> np.ndarray:
        """Integrate over the pieces between neighbouring edges, shape ``(n + 1,)``, increasing; shape ``(5, n)``."""
        if self.target.points is None:
            return self.between(edges[:-1], edges[1:])
        points, length = self.target.points, np.diff(edges)
        piece = np.clip(np.searchsorted(edges, points.x, side="right") - 1, 0, length.size - 1)
        u = (points.x - edges[piece]) / length[piece]
        terms = ((1 - u) ** 2, u * (1 - u), u**2, (1 - u) * points.y, u * points.y)
        return np.stack([np.bincount(piece, points.weight * term, length.size) for term in terms])

    def between(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Integrate over any intervals, from shape ``(n,)`` to shape ``(n,)``; of points, those at ``left`` count."""
        length = right - left
        if self.target.points is not None:
            return self._sums(left, right)
        whole, moment = self._integrals(left, right)
        if (length > _SHORT * self.span).any():
            long = np.flatnonzero(length > _SHORT * self.span)
            whole[long], moment[long] = self._by_cells(left[long], right[long])
        share = length / 3
        return np.stack([share, share / 2, share, whole - moment, moment])

    def _integrals(self, left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Integrate f and u f by Gauss-Legendre nodes."""
        length = right - left
        y = self.target(left[:, None] + length[:, None] * _NODES)
        return length * (y @ _WEIGHTS), length * (y @ (_NODES * _WEIGHTS))

    def _by_cells(self, left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if self._cells is None:
            grid = sample(self.target, 2048).x
            whole, moment = self._integrals(grid[:-1], grid[1:])
            first = whole * (grid[:-1] - self.target.low) + moment * np.diff(grid)
            self._cells = grid, *(np.concatenate([[0.0], np.cumsum(part)]) for part in (whole, first))
        grid, whole, first = self._cells
        start = np.clip(np.searchsorted(grid, left, side="left"), 0, grid.size - 1)
        stop = np.clip(np.searchsorted(grid, right, side="right") - 1, start, grid.size - 1)
        before, before_u = self._integrals(left, grid[start])
        after, after_u = self._integrals(grid[stop], right)
        inner = whole[stop] - whole[start]
        # About the left edge, so that all three parts have one origin.
        moment = before_u * (grid[start] - left) + first[stop] - first[start] - (left - self.target.low) * inner
        moment += after_u * (right - grid[stop]) + (grid[stop] - left) * after
        return before + inner + after, moment / (right - left)

    def _sums(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Sum over points from ``left`` to below ``right`` (the last point included at the right end)."""
        points = self.target.points
        x, w = points.x - self.target.low, points.weight
        terms = (w, w * x, w * x * x, w * points.y, w * x * points.y)
        total = [np.concatenate([[0.0], np.cumsum(term)]) for term in terms]
        start = np.searchsorted(points.x, left, side="left")
        stop = np.searchsorted(points.x, right, side="left")
        stop = np.where(right >= self.target.high, points.x.size, stop)
        s0, s1, s2, t0, t1 = (part[stop] - part[start] for part in total)
        a, length = left - self.target.low, right - left
        rise, rise_square = (s1 - a * s0) / length, (s2 - 2 * a * s1 + a * a * s0) / length**2
        end = (t1 - a * t0) / length
        return np.stack([s0 - 2 * rise + rise_square, rise - rise_square, rise_square, t0 - end, end])


def fit_at(moments: np.ndarray, edges: np.ndarray) -> tuple[ReluSum, float]:
    """Fit by least squares with given knots: a tridiagonal system in the basis of hats.

    Hats, not ReLUs: the Gram matrix of n ReLUs has a condition of about 3.9 n^4, that of hats 4.

    Args:
        moments: of the pieces, shape ``(5, n)`` (:class:`Moments`).
        edges: the n knots, the first one at the left end, and the right end.

    Returns:
        The best sum of ReLUs at these knots, and minus what it saves of the sum of squares (a cost).
    """
    left, cross, right, start, end = moments
    bands = np.zeros((2, edges.size))
    bands[0, 1:] = cross
    bands[1, :-1] += left
    bands[1, 1:] += right
    load = np.append(start, 0) + np.append(0, end)
    # A piece without points leaves its hat free; a very small ridge settles it.
    bands[1] += 1e-14 * bands[1].max()
    values = solveh_banded(bands, load)
    return ReluSum(edges[:-1], values[:-1], np.diff(values) / np.diff(edges)), -float(values @ load)


def gradient(moments: np.ndarray, edges: np.ndarray, fit: ReluSum) -> np.ndarray:
    """Differentiate the sum of squares by the n - 1 inner knots, the values being refitted.

    d/dt_i = 2 (s_i - s_i-1) integral over piece i - 1 of (fit - f) u, with s the slopes: the change of the
    values drops out, because they are optimal. At a knot on a point, it is the derivative to the left.
    """
    _, cross, right, _, end = moments
    values = np.append(fit.values, fit.values[-1] + fit.slopes[-1] * (edges[-1] - edges[-2]))
    miss = cross * values[:-1] + right * values[1:] - end
    return 2 * np.diff(fit.slopes) * miss[:-1]


def own_lines(moments: Moments, left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the values at both ends of the best line of each interval alone, each of shape ``(n,)``."""
    *_, start, end = moments.between(left, right) / (right - left)
    return 4 * start - 2 * end, 4 * end - 2 * start
