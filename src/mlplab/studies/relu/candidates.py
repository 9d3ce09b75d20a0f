"""The best knots among given candidates: dynamic programming over pieces that join."""

import numpy as np

from mlplab.studies.relu.hats import Moments

# Ordinates at which the costs of reaching a knot are compared, in units of the target's range.
_LOOKS = np.sinh(np.linspace(-5, 5, 41)) / np.sinh(5)


def best_knots(moments: Moments, at: np.ndarray, height: np.ndarray, n: int, keep: int) -> list[np.ndarray]:
    """Choose knots among candidates such that n joined straight pieces have the smallest sum of squares.

    The least cost of all pieces up to a knot is a function of the ordinate there: the least of many parabolas, one
    for each choice of the knots before, since a piece's cost is a quadratic form in the ordinates of its two ends.
    Bellman's recursion carries these parabolas. Those that are nowhere the least, on a grid of ordinates, are
    dropped, so that the answer is the optimum among the candidates up to that grid.

    Args:
        moments: of the target.
        at: candidates, shape ``(G + 1,)``, increasing, both ends of the interval included.
        height: the target there, shape ``(G + 1,)``.
        n: pieces, 1 <= n <= G.
        keep: answers wanted at most, each at least two candidates away from the better ones.

    Returns:
        Edges, each of shape ``(n + 1,)``, the best first.
    """
    cells = at.size - 1
    start, stop = np.triu_indices(cells + 1, 1)
    forms = np.full((5, cells + 1, cells + 1), np.nan)
    forms[:, start, stop] = moments.between(at[start], at[stop])
    looks = height[:, None] + _LOOKS * max(float(np.ptp(height)), 1e-300)
    # Parabolas a v^2 + b v + c at each candidate, the knot that each came from and which of its parabolas.
    none = np.zeros(0)
    level = [(none, none, none, none.astype(int), none.astype(int))] * (cells + 1)
    level[0] = (np.zeros(1), np.zeros(1), np.zeros(1), np.zeros(1, int), np.zeros(1, int))
    history = [level]
    for pieces in range(1, n + 1):
        stops = range(pieces, cells + 1) if pieces < n else [cells]
        made = [history[0][1]] * (cells + 1)
        for j in stops:
            made[j] = _reach(history[-1], forms[:, :, j], j)
            if pieces < n and made[j][0].size:
                a, b, c = (part[:, None] for part in made[j][:3])
                least = np.unique(((a * looks[j] + b) * looks[j] + c).argmin(0))
                made[j] = tuple(part[least] for part in made[j])
        history.append(made)
    a, b, c = history[-1][cells][:3]
    with np.errstate(all="ignore"):
        cost = c - np.where(a > 0, b * b / (4 * a), 0.0)
    found: list[np.ndarray] = []
    for choice in np.argsort(cost, kind="stable").tolist():
        places = [cells]
        for made in reversed(history[1:]):
            *_, came, which = made[places[-1]]
            places.append(int(came[choice]))
            choice = int(which[choice])
        edges = np.array(places[::-1])
        if all(np.abs(edges - other).max() > 2 for other in found):
            found.append(edges)
        if len(found) == keep:
            break
    return [at[edges] for edges in found]


def _reach(level: list[tuple], forms: np.ndarray, j: int) -> tuple:
    """Lengthen all parabolas at the candidates before ``j`` by a piece that ends there."""
    counts = [part[0].size for part in level[:j]]
    came = np.repeat(np.arange(j), counts)
    which = np.concatenate([np.arange(count) for count in counts])
    a, b, c = (np.concatenate([part[field] for part in level[:j]]) for field in range(3))
    left, cross, right, first, last = forms[:, came]
    whole, lean = a + left, b / 2 - first
    good = whole > 1e-12 * (right + left + a)
    came, which, c, cross, right, last = (part[good] for part in (came, which, c, cross, right, last))
    whole, lean = whole[good], lean[good]
    return right - cross**2 / whole, -2 * (last + cross * lean / whole), c - lean**2 / whole, came, which
