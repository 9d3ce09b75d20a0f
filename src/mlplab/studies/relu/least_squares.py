"""The best that n straight pieces can do in the mean square: knots by dynamic programming, then by Newton."""

from dataclasses import replace

import numpy as np
from scipy.linalg import solve_banded, solveh_banded
from scipy.optimize import minimize

from mlplab.studies.relu.partition import bend_measure, split
from mlplab.studies.relu.sampling import quadrature, sample
from mlplab.studies.relu.sums import ReluSum, check_n, interpolant, pad
from mlplab.studies.relu.targets import Target

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(12)
_NODES, _WEIGHTS = (1 + _NODES) / 2, _WEIGHTS / 2


def moments(target: Target, edges: np.ndarray) -> np.ndarray:
    """Integrate (1-u)^2, u(1-u), u^2, (1-u) f, u f over each piece, u running from 0 to 1 along it.

    Args:
        target: a function (twelve Gauss-Legendre nodes a piece), or points (weighted sums over them).
        edges: shape ``(n + 1,)``, increasing.

    Returns:
        Shape ``(5, n)``.
    """
    length = np.diff(edges)
    if target.points is None:
        y = target(edges[:-1, None] + length[:, None] * _NODES)
        share = length / 3
        return np.stack(
            [
                share,
                share / 2,
                share,
                length * (y @ ((1 - _NODES) * _WEIGHTS)),
                length * (y @ (_NODES * _WEIGHTS)),
            ]
        )
    x, y = target.points
    piece = np.clip(np.searchsorted(edges, x, side="right") - 1, 0, length.size - 1)
    u = (x - edges[piece]) / length[piece]
    terms = ((1 - u) ** 2, u * (1 - u), u**2, (1 - u) * y, u * y)
    weights = 1.0 if target.weights is None else target.weights
    return np.stack([np.bincount(piece, weights * term, length.size) for term in terms])


def fit_at(target: Target, edges: np.ndarray, known: np.ndarray | None = None) -> tuple[ReluSum, float]:
    """Fit by least squares with given knots: a tridiagonal system in the basis of hats.

    Hats, not ReLUs: the Gram matrix of n ReLUs has a condition of about 3.9 n^4, that of hats 4.

    Args:
        target: what to fit.
        edges: the n knots, the first one at the left end, and the right end.
        known: the moments of the pieces, where they have been computed more finely.

    Returns:
        The best sum of ReLUs at these knots, and minus what it saves of the sum of squares (a cost).
    """
    left, cross, right, start, end = moments(target, edges) if known is None else known
    bands = np.zeros((2, edges.size))
    bands[0, 1:] = cross
    bands[1, :-1] += left
    bands[1, 1:] += right
    load = np.append(start, 0) + np.append(0, end)
    # A piece without points leaves its hat free; a whisper of ridge settles it.
    bands[1] += 1e-14 * bands[1].max()
    values = solveh_banded(bands, load)
    return ReluSum(edges[:-1], values[:-1], np.diff(values) / np.diff(edges)), -float(values @ load)


def gradient(target: Target, edges: np.ndarray, fit: ReluSum) -> np.ndarray:
    """Differentiate the sum of squares by the n - 1 inner knots, the values being refitted.

    d/dt_i = 2 (s_i - s_i-1) integral over piece i - 1 of (fit - f) u, with s the slopes: the change of the
    values drops out, because they are optimal.
    """
    _, cross, right, _, end = moments(target, edges)
    values = np.append(fit.values, fit.values[-1] + fit.slopes[-1] * (edges[-1] - edges[-2]))
    miss = cross * values[:-1] + right * values[1:] - end
    return 2 * np.diff(fit.slopes) * miss[:-1]


def _own_lines(target: Target, edges: np.ndarray, left: float, right: float) -> tuple[np.ndarray, np.ndarray]:
    """Return both ends of every piece's own best line, its edges moved by shares of its length."""
    length = np.diff(edges)
    ends = np.stack([edges[:-1] + left * length, edges[1:] + right * length])
    nodes = ends[0][:, None] + (ends[1] - ends[0])[:, None] * _NODES
    y = target(nodes)
    start, end = y @ ((1 - _NODES) * _WEIGHTS), y @ (_NODES * _WEIGHTS)
    return 4 * start - 2 * end, 4 * end - 2 * start


def join(target: Target, edges: np.ndarray, rounds: int = 20) -> np.ndarray:
    """Move the knots by Newton's method to where neighbouring pieces' own best lines meet.

    Args:
        target: a function.
        edges: shape ``(n + 1,)``.
        rounds: steps at most.

    Returns:
        Edges of the last step; not improved where no such knots are near.
    """
    edges, step = edges.copy(), 1e-4
    for _ in range(rounds if edges.size > 2 else 0):
        length = np.diff(edges)
        start, end = _own_lines(target, edges, 0, 0)
        by_left = [
            (a - b) / (2 * step * length)
            for a, b in zip(_own_lines(target, edges, step, 0), _own_lines(target, edges, -step, 0))
        ]
        by_right = [
            (a - b) / (2 * step * length)
            for a, b in zip(_own_lines(target, edges, 0, step), _own_lines(target, edges, 0, -step))
        ]
        bands = np.zeros((3, edges.size - 2))
        bands[0, 1:] = by_right[0][1:-1]
        bands[1] = by_left[0][1:] - by_right[1][:-1]
        bands[2, :-1] = -by_left[1][1:-1]
        try:
            move = -solve_banded((1, 1), bands, start[1:] - end[:-1])
        except (np.linalg.LinAlgError, ValueError):
            return edges
        room = np.minimum(length[1:], length[:-1])
        largest = float(np.max(np.abs(move) / room))
        if not np.isfinite(largest):
            return edges
        edges[1:-1] += move * min(1.0, 0.3 / max(largest, 1e-300))
        if largest < 1e-9:
            break
    return edges


def descend(target: Target, edges: np.ndarray, rounds: int = 200) -> np.ndarray:
    """Move the knots downhill in the sum of squares (L-BFGS on the logarithms of the pieces' lengths)."""
    low, span = edges[0], edges[-1] - edges[0]

    def place(lengths: np.ndarray) -> np.ndarray:
        share = np.exp(lengths - lengths.max())
        return np.concatenate([[low], low + span * np.cumsum(share / share.sum())[:-1], [low + span]])

    def cost(lengths: np.ndarray) -> tuple[float, np.ndarray]:
        placed = place(lengths)
        if not (np.diff(placed) > 0).all():
            return 1e300, np.zeros_like(lengths)
        fit, value = fit_at(target, placed)
        slope = gradient(target, placed, fit)
        by_share = span * np.append(np.cumsum(slope[::-1])[::-1], 0)
        share = np.diff(placed) / span
        # The cost is what is left of a far larger sum, so it is scaled to be felt.
        return value / scale, share * (by_share - share @ by_share) / scale

    value = fit_at(target, edges)[1]
    scale = 1e-6 * abs(value) + 1e-300
    found = minimize(
        cost,
        np.log(np.diff(edges)),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": rounds, "maxcor": 10, "ftol": 1e-15, "gtol": 1e-12},
    )
    return place(found.x)


def _starts(target: Target, n: int) -> list[np.ndarray]:
    samples = sample(target, max(16 * n, 128))
    measure = bend_measure(samples)
    ends = target.low, target.high

    def even(count: int) -> np.ndarray:
        places = np.interp(np.linspace(0, measure[-1], count + 1), measure, samples.x)
        places[[0, -1]] = ends
        return np.unique(places)

    starts = [even(n)] if target.points is None or n < samples.x.size else []
    if n <= 512:
        per_piece = max(4, min(16, 256 // n + 4))
        if target.points is not None:
            x, y = target.points
            # Edges lie between points; many points do with fewer edges, since descent moves them afterwards.
            every = max(1, x.size // max(per_piece * n, 128))
            w, at = np.ones(x.size), np.concatenate([x[:1], ((x[1:-2] + x[2:-1]) / 2)[::every], x[-1:]])
        else:
            at = even(per_piece * n)
            x, w = quadrature(at)
            y = target(x)
        if at.size - 1 >= n:
            starts.insert(0, split(x, y, w, at, n, at.size if n <= 32 else 6 * per_piece))
    return [start for start in starts if start.size == n + 1 and np.isfinite(start).all()]


def _cost(target: Target, edges: np.ndarray) -> float:
    return fit_at(target, edges)[1] if (np.diff(edges) > 0).all() else np.inf


def least_squares(target: Target, n: int) -> ReluSum:
    """Approximate a target by n straight pieces with the smallest mean square of the error.

    Where neighbouring pieces' own best lines meet at the knots, no pieces nearby, joined or not, do better:
    Newton's method finds such knots. Which ones are best is settled before, by dynamic programming for pieces
    that need not join; where lines cannot meet (a knot by an inflection), descent finishes.

    Args:
        target: function, or points that count alike.
        n: pieces, >= 1.

    Returns:
        n ReLUs and an offset.

    Raises:
        InputError: n < 1.
    """
    n = check_n(n)
    if target.points is not None and target.points[0].size <= n + 1:
        return pad(interpolant(*target.points), n, target.high)
    best, cost = None, np.inf
    line = (
        replace(target, points=None)
        if target.points is not None and target.points[0].size >= 20 * n
        else None
    )
    for start in _starts(target, n):
        # So many points are nearly a function: Newton's method on the line through them is a good start.
        tried = [start] if line is None else [start, join(line, start)]
        if target.points is None:
            tried.append(join(target, start))
            start_, end_ = _own_lines(target, tried[-1], 0, 0)
            fit = fit_at(target, tried[-1])[0]
            gap = np.abs(start_[1:] - end_[:-1]).max(initial=0)
            met = gap < 1e-6 * np.abs(start_ - fit(tried[-1][:-1])).max(initial=1e-300) + 1e-13
        else:
            met = False
        if not met and n <= 512:
            tried.append(descend(target, min(tried, key=lambda edges: _cost(target, edges))))
            if target.points is None:
                tried.append(join(target, tried[-1]))
        for edges in tried:
            if (np.diff(edges) > 0).all():
                fit, value = fit_at(target, edges)
                if value < cost:
                    best, cost = fit, value
        if met:
            break
    return best
