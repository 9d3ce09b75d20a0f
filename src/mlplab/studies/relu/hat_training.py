"""Training that ends near minimax: hat coordinates, knots that move, a norm from L2 to the largest error."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linprog

from mlplab.studies.relu.hats import Moments, fit_at
from mlplab.studies.relu.sampling import sample
from mlplab.studies.relu.sums import ReluSum, check_n, interpolant, pad
from mlplab.studies.relu.targets import Target
from mlplab.studies.relu.trained import Units, default_start

# The schedule of norms, before the largest error itself.
POWERS = (2, 4, 8, 16)
# Dense linear programs, and trials of units elsewhere, cost too much beyond.
_LARGEST_ERROR_UP_TO = 64
_MOVES_UP_TO = 16


@dataclass(frozen=True)
class _Hats:
    """Hold n pieces by their ordinates at n + 1 edges.

    Args:
        edges: shape ``(n + 1,)``, increasing.
        values: shape ``(n + 1,)``.
    """

    edges: np.ndarray
    values: np.ndarray

    @property
    def n(self) -> int:
        return self.edges.size - 1

    def sum(self) -> ReluSum:
        """Return the pieces as a sum of ReLUs."""
        return ReluSum(self.edges[:-1], self.values[:-1], np.diff(self.values) / np.diff(self.edges))

    def at(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the values at ``x``, shape ``(N,)``, and their derivatives by values and inner knots, ``(N, 2 n)``."""
        piece = np.clip(np.searchsorted(self.edges, x, side="right") - 1, 0, self.n - 1)
        u = (x - self.edges[piece]) / np.diff(self.edges)[piece]
        slope = (np.diff(self.values) / np.diff(self.edges))[piece]
        row, by_value, by_edge = np.arange(x.size), *np.zeros((2, x.size, self.n + 1))
        by_value[row, piece], by_value[row, piece + 1] = 1 - u, u
        by_edge[row, piece], by_edge[row, piece + 1] = -(1 - u) * slope, -u * slope
        values = self.values[piece] * (1 - u) + self.values[piece + 1] * u
        return values, np.concatenate([by_value, by_edge[:, 1:-1]], 1)

    def moved(self, step: np.ndarray, most: float = np.inf) -> "_Hats":
        """Add a step of shape ``(2 n,)``, shortened so that no knot goes over ``most`` of the way to its neighbours."""
        gaps, by_knot, share = np.diff(self.edges), step[self.n + 1 :], 1.0
        if by_knot.size:
            # Pieces keep a length of a millionth of the interval.
            room = most * np.maximum(np.minimum(gaps[:-1], gaps[1:]) - 1e-6 * gaps.sum(), 0)
            share = min(1.0, float((room / np.maximum(np.abs(by_knot), 1e-300)).min()))
        edges = self.edges.copy()
        edges[1:-1] += share * by_knot
        return _Hats(edges, self.values + share * step[: self.n + 1])


def random_knots(target: Target, n: int, seed: int) -> np.ndarray:
    """Draw torch's initial weights and return the edges that they give, shape ``(n + 1,)``.

    Knots outside the interval, more than half of them in the median, are folded back into it: out there a unit
    would be linear, and no gradient would ever bring it in.
    """
    units = Units.of(default_start(n, [seed]))
    with np.errstate(all="ignore"):
        place = np.mod((-units.bias / units.scale)[0] - target.low, 2 * (target.high - target.low))
    span = target.high - target.low
    inner = np.sort(np.where(place > span, 2 * span - place, place)[1:])
    # Two knots in one place would leave a piece without length.
    inner = np.clip(np.nan_to_num(inner), 0, span) * 0.99 + 0.01 * span * np.arange(1, n) / n
    return np.concatenate([[target.low], target.low + inner, [target.high]])


def train_hats(target: Target, n: int, *, seed: int, points: int = 1024) -> ReluSum:
    """Train n ReLUs from random weights for the smallest largest error.

    Where gradient descent on weights stops several times above the minimax error, four things help. The network is
    written in hats, whose Gram matrix has a condition of about 4 in place of 3.9 n^4. Knots are first moved until all
    pieces miss by about as much, the ordinates being refitted each time. Gauss-Newton steps (Levenberg-Marquardt) in
    ordinates and knots follow, on the p-th power of the error for p = 2, 4, 8, 16, then on the largest error itself,
    where such a step is a linear program. Up to 16 units, one that does little is then tried in another place.

    Args:
        target: function or points.
        n: units, >= 1.
        seed: of the initial weights, torch's.
        points: equidistant training points, for a function; at least 16 a unit are taken.

    Returns:
        The network.

    Raises:
        InputError: n < 1.
    """
    n = check_n(n)
    if target.points is not None:
        x, y = target.points.x, target.points.y
        if x.size <= n + 1:
            return pad(interpolant(x, y), n, target.high)
    else:
        x = np.union1d(np.linspace(target.low, target.high, max(points, 16 * n)), sample(target, 8 * n).x)
        y = target(x)
    moments = Moments(target)
    best = _trained(target, _balanced(moments, random_knots(target, n, seed), x, y), x, y)
    level, improved = _largest(target, best, x, y), 1 < n <= _MOVES_UP_TO
    exact = 1e-12 * float(np.abs(y).max())
    while improved and level > exact:
        improved = False
        for start in _elsewhere(moments, best, x, y):
            tried = _trained(target, start, x, y)
            reached = _largest(target, tried, x, y)
            if reached < 0.999 * level:
                best, level, improved = tried, reached, True
                break
    return best.sum()


def _fitted(moments: Moments, edges: np.ndarray) -> _Hats:
    fit, _ = fit_at(moments(edges), edges)
    return _Hats(edges, np.append(fit.values, fit(edges[-1:])))


def _largest(target: Target, hats: _Hats, x: np.ndarray, y: np.ndarray) -> float:
    """Return the largest error at the training points, and at the knots of a function."""
    level = float(np.abs(hats.at(x)[0] - y).max())
    return level if target.points is not None else max(level, float(np.abs(hats.values - target(hats.edges)).max()))


def _trained(target: Target, hats: _Hats, x: np.ndarray, y: np.ndarray) -> _Hats:
    for power in POWERS:
        hats = _descend(hats, x, y, power)
    return _descend_largest(target, hats, x, y) if hats.n <= _LARGEST_ERROR_UP_TO else hats


def _balanced(moments: Moments, edges: np.ndarray, x: np.ndarray, y: np.ndarray, rounds: int = 60) -> _Hats:
    """Refit the ordinates and shorten the pieces that miss most, in turn, until all miss by about as much."""
    for _ in range(rounds):
        hats = _fitted(moments, edges)
        piece = np.clip(np.searchsorted(edges, x, side="right") - 1, 0, hats.n - 1)
        miss = np.zeros(hats.n)
        np.maximum.at(miss, piece, np.abs(hats.at(x)[0] - y))
        share = np.sqrt(miss) + 1e-2 * np.sqrt(miss.max()) + 1e-300
        length = np.diff(edges) * np.sqrt(share.mean() / share)
        inner = np.cumsum(length)[:-1] / length.sum()
        edges = np.concatenate([edges[:1], edges[0] + (edges[-1] - edges[0]) * inner, edges[-1:]])
    return _fitted(moments, edges)


def _descend(hats: _Hats, x: np.ndarray, y: np.ndarray, power: int, steps: int = 40) -> _Hats:
    """Lower the mean of |error|^power by Levenberg and Marquardt's steps in ordinates and knots."""

    def norm(error: np.ndarray) -> float:
        largest = max(float(np.abs(error).max()), 1e-300)
        return largest * float(np.mean((np.abs(error) / largest) ** power)) ** (1 / power)

    damping = 1e-3
    values, slopes = hats.at(x)
    for _ in range(steps):
        error = values - y
        level = norm(error)
        weight = (np.abs(error) / max(float(np.abs(error).max()), 1e-300)) ** (power - 2)
        curvature = (power - 1) * (slopes.T * weight) @ slopes
        downhill = -(slopes.T @ (weight * error))
        diagonal = np.diag(curvature) + 1e-10 * max(np.trace(curvature), 1e-300)
        for _ in range(20):
            tried = hats.moved(np.linalg.solve(curvature + damping * np.diag(diagonal), downhill), most=0.4)
            found = tried.at(x)
            if norm(found[0] - y) < level:
                break
            damping = max(4 * damping, 1e-6)
        else:
            return hats
        hats, (values, slopes), damping = tried, found, max(damping / 5, 1e-10)
        if level - norm(values - y) < 1e-7 * level:
            break
    return hats


def _descend_largest(target: Target, hats: _Hats, x: np.ndarray, y: np.ndarray, steps: int = 60) -> _Hats:
    """Lower the largest error by Gauss-Newton steps in a trust region, each a linear program."""
    level, reach = _largest(target, hats, x, y), 0.2
    for _ in range(steps):
        values, slopes = hats.at(x)
        size = np.abs(values - y)
        # The extrema with their neighbours, and some points between, in case the step makes them extrema.
        peaks = np.flatnonzero((size[1:-1] >= size[:-2]) & (size[1:-1] >= size[2:])) + 1
        near = np.clip(peaks[:, None] + np.arange(-2, 3), 0, x.size - 1).ravel()
        chosen = np.unique(np.concatenate([near, np.arange(0, x.size, 8), [x.size - 1]]))
        errors, slopes = (values - y)[chosen], slopes[chosen]
        if target.points is None:
            errors = np.append(errors, hats.values - target(hats.edges))
            slopes = np.concatenate([slopes, _at_knots(target, hats)])
        if not level > 0:
            return hats
        column = -np.ones((errors.size, 1))
        sides = np.block([[slopes, column], [-slopes, column]])
        gaps = np.diff(hats.edges)
        room = reach * np.maximum(np.minimum(gaps[:-1], gaps[1:]) - 1e-6 * gaps.sum(), 0) / level
        bounds = [(None, None)] * (hats.n + 1) + [(-r, r) for r in room] + [(0, None)]
        goal = np.append(np.zeros(2 * hats.n), 1.0)
        found = linprog(goal, sides, np.append(-errors, errors) / level, bounds=bounds, method="highs")
        tried = hats.moved(level * found.x[:-1]) if found.status == 0 else hats
        reached = _largest(target, tried, x, y)
        hoped = level * (1 - found.fun) if found.status == 0 else np.inf
        if reached < level:
            reach = min(2 * reach, 0.4) if level - reached > hoped / 2 else reach
            reach = reach / 2 if level - reached < hoped / 5 else reach
            hats, level = tried, reached
        else:
            reach /= 4
        if hoped < 1e-5 * level or reach < 1e-6:
            break
    return hats


def _at_knots(target: Target, hats: _Hats) -> np.ndarray:
    """Differentiate the errors at the edges themselves, which move, shape ``(n + 1, 2 n)``."""
    step = 1e-6 * (target.high - target.low)
    right, left = np.minimum(hats.edges + step, target.high), np.maximum(hats.edges - step, target.low)
    by_edge = np.diag(-(target(right) - target(left)) / (right - left))
    return np.concatenate([np.eye(hats.n + 1), by_edge[:, 1:-1]], 1)


def _elsewhere(moments: Moments, hats: _Hats, x: np.ndarray, y: np.ndarray, keep: int = 4) -> list[_Hats]:
    """Take one knot out and put it in the middle of another piece: the best of all such moves, refitted."""
    found = []
    for out in range(1, hats.n):
        rest = np.delete(hats.edges, out)
        for into in range(hats.n - 1):
            if into != out - 1 and rest[into + 1] - rest[into] > 4e-6 * (rest[-1] - rest[0]):
                moved = _fitted(moments, np.insert(rest, into + 1, (rest[into] + rest[into + 1]) / 2))
                found.append((float(np.abs(moved.at(x)[0] - y).max()), len(found), moved))
    return [moved for *_, moved in sorted(found, key=lambda entry: entry[:2])[:keep]]
