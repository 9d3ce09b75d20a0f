"""The best that n continuous straight pieces can do in the mean square: which knots, then exactly where."""

from dataclasses import replace

import numpy as np
from scipy.linalg import solve_banded
from scipy.optimize import minimize

from mlplab.studies.relu.candidates import best_knots
from mlplab.studies.relu.hats import Moments, fit_at, gradient, own_lines
from mlplab.studies.relu.partition import bend_measure, split
from mlplab.studies.relu.sampling import quadrature, sample
from mlplab.studies.relu.sums import ReluSum, check_n, interpolant, pad
from mlplab.studies.relu.targets import Target

# Up to this many pieces all choices of knots among candidates are compared as they join.
_JOINED_UP_TO = 24
_NEIGHBOURS_UP_TO = 12


def join(moments: Moments, edges: np.ndarray, rounds: int = 20) -> np.ndarray:
    """Move the knots by Newton's method to where neighbouring pieces' own best lines meet.

    Args:
        moments: of a function.
        edges: shape ``(n + 1,)``.
        rounds: steps at most.

    Returns:
        Edges of the last step; not improved where no such knots are near.
    """
    edges, step = edges.copy(), 1e-4
    for _ in range(rounds if edges.size > 2 else 0):
        length = np.diff(edges)
        left, right, by = edges[:-1], edges[1:], step * length
        start, end = own_lines(moments, left, right)
        by_left, by_right = (
            [(a - b) / (2 * by) for a, b in zip(own_lines(moments, *more), own_lines(moments, *less))]
            for more, less in (((left + by, right), (left - by, right)), ((left, right + by), (left, right - by)))
        )
        bands = np.zeros((3, edges.size - 2))
        bands[0, 1:] = by_right[0][1:-1]
        bands[1] = by_left[0][1:] - by_right[1][:-1]
        bands[2, :-1] = -by_left[1][1:-1]
        try:
            with np.errstate(all="ignore"):  # one equation is divided by what may be 0
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


def descend(moments: Moments, edges: np.ndarray, rounds: int = 200) -> np.ndarray:
    """Move the knots downhill in the sum of squares (L-BFGS on the logarithms of the pieces' lengths)."""
    low, span = edges[0], edges[-1] - edges[0]

    def place(lengths: np.ndarray) -> np.ndarray:
        share = np.exp(lengths - lengths.max())
        return np.concatenate([[low], low + span * np.cumsum(share / share.sum())[:-1], [low + span]])

    def cost(lengths: np.ndarray) -> tuple[float, np.ndarray]:
        placed = place(lengths)
        if not (np.diff(placed) > 0).all():
            return 1e300, np.zeros_like(lengths)
        parts = moments(placed)
        fit, value = fit_at(parts, placed)
        slope = gradient(parts, placed, fit)
        by_share = span * np.append(np.cumsum(slope[::-1])[::-1], 0)
        share = np.diff(placed) / span
        # The cost is what is left of a far larger sum, so it is scaled to be felt.
        return value / scale, share * (by_share - share @ by_share) / scale

    value = fit_at(moments(edges), edges)[1]
    scale = 1e-6 * abs(value) + 1e-300
    found = minimize(
        cost,
        np.log(np.diff(edges)),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": rounds, "maxcor": 10, "ftol": 1e-15, "gtol": 1e-12},
    )
    return place(found.x)


def _leaving(
    moments: Moments, edges: np.ndarray, cell: np.ndarray, at_low: np.ndarray, at_high: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Say which knots at the low end of their cell go downhill into the cell before, and which at the high end go on."""
    points, parts = moments.target.points, moments(edges)
    fit, _ = fit_at(parts, edges)
    inside = gradient(parts, edges, fit)
    point = np.where(at_low, cell, cell + 1)
    kink = 2 * np.diff(fit.slopes) * points.weight[point] * (fit(points.x[point]) - points.y[point])
    last = points.x.size - 2
    return at_low & (inside - kink > 0) & (cell > 0), at_high & (inside + kink < 0) & (cell < last)


def relax_knots(moments: Moments, edges: np.ndarray, rounds: int = 30) -> np.ndarray:
    """Move the knots of a fit of points downhill, each within its cell between points, then into the next cell.

    Between points the sum of squares is smooth in the knots; on a point it has a kink, where a knot often rests.
    A knot that rests there is at its best if the sum of squares rises on both sides.

    Args:
        moments: of points.
        edges: shape ``(n + 1,)``.
        rounds: of moving on to the next cell.

    Returns:
        Edges, at a local optimum; knots that share a cell with another one stay where they are.
    """
    x, span = moments.target.points.x, edges[-1] - edges[0]
    inner, best = edges[1:-1].copy(), fit_at(moments(edges), edges)[1]
    cell = np.clip(np.searchsorted(x, inner, side="right") - 1, 0, x.size - 2)
    scale = 1e-6 * abs(best) + 1e-300

    def placed(knots: np.ndarray) -> np.ndarray:
        return np.concatenate([edges[:1], knots, edges[-1:]])

    def cost(knots: np.ndarray) -> tuple[float, np.ndarray]:
        whole = placed(knots * span)
        if not (np.diff(whole) > 0).all():
            return 1e300, np.zeros_like(knots)
        parts = moments(whole)
        fit, value = fit_at(parts, whole)
        return value / scale, gradient(parts, whole, fit) * span / scale

    for _ in range(rounds if inner.size else 0):
        alone = np.bincount(cell, minlength=x.size)[cell] == 1
        # On a point exactly, the derivative would be that of the cell before.
        room = np.diff(x)[cell]
        low, high = np.where(alone, x[cell] + 1e-9 * room, inner), np.where(alone, x[cell + 1], inner)
        found = minimize(
            cost,
            np.clip(inner, low, high) / span,
            jac=True,
            method="L-BFGS-B",
            bounds=np.stack([low, high], 1) / span,
            options={"maxiter": 200, "ftol": 1e-15, "gtol": 1e-12},
        )
        moved = np.clip(found.x * span, low, high)
        if not (np.diff(placed(moved)) > 0).all():
            break
        inner, best = moved, min(best, found.fun * scale)
        at_low, at_high = alone & (inner <= low + 1e-9 * room), alone & (inner >= high - 1e-9 * room)
        down, up = _leaving(moments, placed(inner), cell, at_low, at_high)
        if not (down | up).any():
            break
        cell = cell - down + up
        inner = np.where(down, x[cell + 1], np.where(up, x[cell] + 1e-9 * np.diff(x)[cell], inner))
        if (np.diff(inner) <= 0).any():
            break
    return placed(inner)


def _candidates(target: Target, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return where knots may lie at first, and the target there: more where it bends, some everywhere."""
    count = 384 if n <= 3 else max(96, min(8 * n, 160))
    if target.points is None:
        samples = sample(target, 16 * count)
        measure = bend_measure(samples)
        at = np.interp(np.linspace(0, measure[-1], 2 * count // 3 + 1), measure, samples.x)
        at = np.concatenate([at, np.linspace(target.low, target.high, count // 3 + 1)])
    else:
        x = target.points.x
        # Few points leave knots between them much room; of many, some will do.
        parts = min(4, max(1, count // x.size))
        at = np.interp(np.linspace(0, x.size - 1, min(count, parts * (x.size - 1)) + 1), np.arange(x.size), x)
    at[np.argmin(at)], at[np.argmax(at)] = target.low, target.high
    at = np.unique(np.clip(at, target.low, target.high))
    at = at[np.concatenate([[True], np.diff(at)[:-1] > 1e-9 * (target.high - target.low), [True]])]
    return at, target(at)


def _starts(target: Target, moments: Moments, n: int) -> list[np.ndarray]:
    """Return edges to go on from: by dynamic programming, and of equal bend."""
    samples = sample(target, max(16 * n, 128))
    measure = bend_measure(samples)
    ends = target.low, target.high

    def even(count: int) -> np.ndarray:
        places = np.interp(np.linspace(0, measure[-1], count + 1), measure, samples.x)
        places[[0, -1]] = ends
        return np.unique(places)

    starts = [even(n)] if target.points is None or n < samples.x.size else []
    if n <= _JOINED_UP_TO:
        at, height = _candidates(target, n)
        if at.size > n:
            starts = best_knots(moments, at, height, n, keep=12 if n <= 3 else 6) + starts
    elif n <= 512:
        per_piece = max(4, min(16, 256 // n + 4))
        if target.points is not None:
            x, y, w = target.points.x, target.points.y, target.points.weight
            # Edges lie between points; many points do with fewer edges, since descent moves them afterwards.
            every = max(1, x.size // max(per_piece * n, 128))
            at = np.concatenate([x[:1], ((x[1:-2] + x[2:-1]) / 2)[::every], x[-1:]])
        else:
            at = even(per_piece * n)
            x, w = quadrature(at)
            y = target(x)
        if at.size - 1 >= n:
            starts.insert(0, split(x, y, w, at, n, at.size if n <= 32 else 6 * per_piece))
    return [start for start in starts if start.size == n + 1 and np.isfinite(start).all()]


def least_squares(target: Target, n: int) -> ReluSum:
    """Approximate a target by n continuous straight pieces with the smallest mean square of the error.

    Which knots are best, up to a small shift, is settled by dynamic programming: up to 24 pieces over all choices
    among some hundred candidates, as they join; beyond that over pieces that need not join, from which Newton's
    method goes on. Where neighbouring pieces' own best lines meet at the knots, no pieces nearby, joined or not, do
    better: Newton's method finds such knots; where lines cannot meet (a knot by an inflection, or on a point),
    descent finishes. For 2 and 3 pieces the answer agrees with brute force over all knots; for many it is a very
    good local optimum, without a proof.

    Args:
        target: function, or points, with weights and equal abscissae counted.
        n: pieces, >= 1.

    Returns:
        n ReLUs and an offset.

    Raises:
        InputError: n < 1.
    """
    n = check_n(n)
    if target.points is not None and target.points.x.size <= n + 1:
        return pad(interpolant(target.points.x, target.points.y), n, target.high)
    moments, best, cost = Moments(target), None, np.inf
    dense = target.points is not None and target.points.x.size >= 20 * n
    line = Moments(replace(target, points=None)) if dense else None
    for start in _starts(target, moments, n):
        edges, met = _refine(moments, start, line)
        value = _cost(moments, edges)
        if value < cost:
            best, cost = edges, value
        if met and n > _JOINED_UP_TO:
            break
    if target.points is not None and n <= _NEIGHBOURS_UP_TO:
        best = _neighbours(moments, best)
    return fit_at(moments(best), best)[0]


def _neighbours(moments: Moments, edges: np.ndarray, rounds: int = 5) -> np.ndarray:
    """Try every knot of a fit of points in the cells beside its own: where the cost is level, descent stays."""
    x, cost = moments.target.points.x, _cost(moments, edges)
    for _ in range(rounds):
        before = cost
        for i in range(1, edges.size - 1):
            cell = int(np.searchsorted(x, edges[i], side="right")) - 1
            for other in (cell - 1, cell + 1):
                if 0 <= other < x.size - 1:
                    tried = edges.copy()
                    tried[i] = (x[other] + x[other + 1]) / 2
                    if (np.diff(tried) > 0).all():
                        tried = relax_knots(moments, tried)
                        value = _cost(moments, tried)
                        if value < cost - 1e-12 * abs(cost):
                            edges, cost = tried, value
        if cost == before:
            break
    return edges


def _refine(moments: Moments, start: np.ndarray, line: Moments | None) -> tuple[np.ndarray, bool]:
    """Improve knots from a start; also say whether neighbouring best lines meet there, so that no more is needed."""
    tried, met = [start], False
    if moments.target.points is None:
        tried.append(join(moments, start))
        left, right = tried[-1][:-1], tried[-1][1:]
        if (left < right).all():
            first, last = own_lines(moments, left, right)
            fit = fit_at(moments(tried[-1]), tried[-1])[0]
            gap = np.abs(first[1:] - last[:-1]).max(initial=0)
            met = gap < 1e-6 * np.abs(first - fit(left)).max(initial=1e-300) + 1e-13
    elif line is not None:
        # So many points are nearly a function: Newton's method on the line through them is a good start.
        tried.append(join(line, start))
    if not met and start.size <= 513:
        tried.append(descend(moments, min(tried, key=lambda edges: _cost(moments, edges))))
        if moments.target.points is None:
            tried.append(join(moments, tried[-1]))
        elif start.size <= 65:
            tried.append(relax_knots(moments, min(tried, key=lambda edges: _cost(moments, edges))))
    # Costs are differences of far larger sums; among equals the last is the most refined.
    costs = np.array([_cost(moments, edges) for edges in tried])
    return tried[int(np.flatnonzero(costs <= costs.min() + 1e-15 * abs(costs.min()))[-1])], met


def _cost(moments: Moments, edges: np.ndarray) -> float:
    return fit_at(moments(edges), edges)[1] if (np.diff(edges) > 0).all() else np.inf
