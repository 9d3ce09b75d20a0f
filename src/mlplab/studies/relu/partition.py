"""Where to part an interval, so that straight pieces, each fitted alone, have the least squares."""

import numpy as np

from mlplab.studies.relu.sampling import Samples


def bend_measure(samples: Samples) -> np.ndarray:
    """Return the running integral of |f''|^(2/5) at the samples: equal steps of it part best."""
    length = np.diff(samples.x)
    share = length * (samples.bend / np.maximum(length, 1e-300)) ** 0.8
    # Straight stretches get a little, so that the inverse exists.
    share += 1e-6 * share.sum() * length / length.sum() + 1e-300 * length
    return np.concatenate([[0.0], np.cumsum(share)])


def split(x: np.ndarray, y: np.ndarray, w: np.ndarray, at: np.ndarray, n: int, widest: int) -> np.ndarray:
    """Choose n pieces, not joined, of the smallest weighted sum of squares, their edges among given ones.

    Args:
        x: nodes, increasing.
        y: values there.
        w: weights.
        at: allowed edges, shape ``(G + 1,)``, both ends included.
        n: pieces, <= G.
        widest: most cells in a piece.

    Returns:
        Edges, shape ``(n + 1,)``.
    """
    cells = at.size - 1
    cut = np.searchsorted(x, at, side="left")
    cut[-1] = x.size
    # Bellman's recursion over cells; sums of squares from running sums of a target made small and central.
    center, scale = (x[0] + x[-1]) / 2, max(x[-1] - x[0], 1e-300)
    z = (x - center) / scale
    z_, y_ = z, y - np.average(y, weights=w)
    sums = [
        np.concatenate([[0.0], np.cumsum(term)])[cut]
        for term in (w, w * z_, w * z_ * z_, w * y_, w * z_ * y_, w * y_ * y_)
    ]
    widest = min(widest, cells)
    ends = np.arange(1, cells + 1)
    starts = ends[:, None] - np.arange(1, widest + 1)
    inside = starts >= 0
    starts = np.maximum(starts, 0)
    s0, s1, s2, t0, t1, tt = (total[ends][:, None] - total[starts] for total in sums)
    with np.errstate(all="ignore"):
        mean_z, mean_y = s1 / s0, t0 / s0
        var, cov = s2 - s1 * mean_z, t1 - t0 * mean_z
        cost = tt - t0 * mean_y - np.where(var > 1e-14 * s2, cov * cov / var, 0)
    cost = np.where(inside, np.where(s0 > 0, np.maximum(cost, 0), 0), np.inf)
    reach = np.full(cells + 1, np.inf)
    reach[0] = 0
    choices = []
    for _ in range(n):
        through = reach[starts] + cost
        pick = through.argmin(1)
        reach = np.concatenate([[np.inf], through[np.arange(cells), pick]])
        choices.append(pick + 1)
    edges = [cells]
    for pick in reversed(choices):
        edges.append(edges[-1] - int(pick[edges[-1] - 1]))
    return at[edges[::-1]]
