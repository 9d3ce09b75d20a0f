"""One ReLU at a time: each new unit is the one that lowers the mean square most, all weights refitted."""

import numpy as np

from mlplab.studies.relu.hats import Moments, fit_at
from mlplab.studies.relu.sampling import sample
from mlplab.studies.relu.sums import ReluSum, check_n, pad
from mlplab.studies.relu.targets import Target


def _gram_inverse(left: np.ndarray, cross: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the diagonal and the next diagonal of the inverse of the hats' Gram matrix.

    Args:
        left: integral of (1-u)^2 over each of n pieces.
        cross: of u(1-u).
        right: of u^2.

    Returns:
        Shapes ``(n + 1,)`` and ``(n,)``.
    """
    diagonal = np.append(left, 0) + np.append(0, right)
    diagonal += 1e-14 * diagonal.max()
    # Pivots from the left and from the right; entry (i, i) of the inverse is 1 / (both - a_ii).
    size, a, b = diagonal.size, diagonal.tolist(), cross.tolist()
    down, up = a[:], a[:]
    for i in range(1, size):
        down[i] -= b[i - 1] ** 2 / down[i - 1]
    for i in range(size - 2, -1, -1):
        up[i] -= b[i] ** 2 / up[i + 1]
    inverse = 1 / (np.array(down) + np.array(up) - diagonal)
    return inverse, -cross * inverse[1:] / np.array(down[:-1])


def greedy(target: Target, n: int, *, candidates_per_unit: int = 16) -> ReluSum:
    """Add units one by one, each where the mean square falls most (orthogonal least squares).

    A ReLU with its knot inside a piece spans, with the units already there, what a hat psi on that piece
    spans; the fall is <residual, psi>^2 over the squared distance of psi from the hats.

    Args:
        target: function or points.
        n: units, >= 1; the first has its knot at the left end.
        candidates_per_unit: knots to choose from, for each unit.

    Returns:
        n ReLUs and an offset, fitted by least squares.

    Raises:
        InputError: n < 1.
    """
    n = check_n(n)
    if target.points is None:
        grid = sample(target, max(candidates_per_unit * n, 512)).x
        # Sums over a tiny cell are differences of large ones: below this, they are all rounding.
        step = np.floor((grid - grid[0]) / (1e-6 * (grid[-1] - grid[0])))
        grid = np.append(grid[:-1][np.diff(step, prepend=-1)[:-1] > 0], grid[-1])
    else:
        grid = target.points.x
    ends = np.array([target.low, target.high])
    if grid.size < 2:
        return pad(ReluSum(grid, target.points.y, np.zeros(1)), n, target.high)
    # Sums of w, w x, w x^2, w f, w x f over the cells, about the middle, so that any hat is a difference.
    center = ends.mean()
    if target.points is None:
        left, cross, right, start, end = Moments(target)(grid)
        length, x = np.diff(grid), grid[:-1] - center
        w, wu, wuu, wf, wuf = left + 2 * cross + right, cross + right, right, start + end, end
        terms = (w, w * x + wu * length, w * x * x + 2 * wu * x * length + wuu * length**2, wf, wf * x + wuf * length)
    else:
        x, y, w = grid - center, target.points.y, target.points.weight
        terms = tuple(term[:-1] for term in (w, w * x, w * x * x, w * y, w * x * y))
    sums = [np.concatenate([[0.0], np.cumsum(term)]) for term in terms]
    inner = grid[1:-1]
    edges = ends
    fit, cost = fit_at(_moments(grid, sums, center, edges, target), edges)
    while edges.size <= n and edges.size < grid.size:
        at = _next(inner, grid, sums, center, edges, fit, -cost, target)
        if at is None:
            break
        edges = np.insert(edges, np.searchsorted(edges, at), at)
        fit, cost = fit_at(_moments(grid, sums, center, edges, target), edges)
    return pad(fit, n, target.high)


def _moments(grid: np.ndarray, sums: list[np.ndarray], center: float, edges: np.ndarray, target: Target) -> np.ndarray:
    """Return the pieces' moments from the cells' sums: the fit must see the target as the candidates do."""
    if target.points is not None:
        return Moments(target)(edges)
    at, length = np.searchsorted(grid, edges), np.diff(edges)
    plain, moment = (np.diff(total[at]) for total in sums[3:])
    end = (moment - (edges[:-1] - center) * plain) / length
    return np.stack([length / 3, length / 6, length / 3, plain - end, end])


def _next(
    inner: np.ndarray,
    grid: np.ndarray,
    sums: list[np.ndarray],
    center: float,
    edges: np.ndarray,
    fit: ReluSum,
    saved: float,
    target: Target,
) -> float | None:
    """Return the candidate at which one more knot lowers the sum of squares most, None if none does."""
    piece = np.clip(np.searchsorted(edges, inner, side="right") - 1, 0, edges.size - 2)
    a, b, t = edges[piece] - center, edges[piece + 1] - center, inner - center
    free = (inner > edges[piece]) & (inner < edges[piece + 1])
    cut, low, high = np.arange(1, grid.size - 1), *np.searchsorted(grid, [edges[piece], edges[piece + 1]])
    s, r = [s[cut] - s[low] for s in sums], [s[high] - s[cut] for s in sums]
    slope, value = fit.slopes[piece], fit.values[piece]
    up, down = np.where(free, t - a, 1), np.where(free, b - t, 1)

    def line(part: list[np.ndarray], p: np.ndarray, q: np.ndarray) -> tuple[np.ndarray, ...]:
        """Integrate (p + q x) times itself, the fit's two hats in this piece, and the residual."""
        w, wx, wxx, wf, wxf = part
        first, second = p * w + q * wx, p * wx + q * wxx
        rising = (second - a * first) / (b - a)
        residual = p * wf + q * wxf - (value - slope * a) * first - slope * second
        return p * first + q * second, first - rising, rising, residual

    rise, fall = line(s, -a / up, 1 / up), line(r, b / down, -1 / down)
    own, with_left, with_right, residual = (one + two for one, two in zip(rise, fall))
    diagonal, beside = _gram_inverse(*Moments(target)(edges)[:3])
    known = (
        with_left**2 * diagonal[piece]
        + with_right**2 * diagonal[piece + 1]
        + 2 * with_left * with_right * beside[piece]
    )
    # A hat beside a knot is almost in the hats' span: what is left of it is rounding.
    with np.errstate(all="ignore"):
        gain = np.where(free & (own - known > 1e-7 * own), residual**2 / (own - known), 0.0)
    best = int(gain.argmax())
    # Less than rounding of what is saved already is no gain.
    return float(inner[best]) if gain[best] > 1e-16 * saved else None
