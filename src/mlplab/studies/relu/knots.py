"""Interpolation at knots that are uniform, or placed where the target bends."""

import numpy as np

from mlplab.studies.relu.sampling import sample
from mlplab.studies.relu.sums import ReluSum, check_n, interpolant, pad
from mlplab.studies.relu.targets import Target


def uniform(target: Target, n: int) -> ReluSum:
    """Interpolate at n + 1 equidistant points, as the tutorial does; max error L^2 max|f''| / (8 n^2)."""
    n = check_n(n)
    x = np.linspace(target.low, target.high, n + 1)
    return interpolant(x, target(x))


def equidistributed(target: Target, n: int, balance: bool = True, rounds: int = 60) -> ReluSum:
    """Interpolate at n + 1 points between which the target bends equally.

    The integral of sqrt|f''| is the same over all pieces; max error about (integral sqrt|f''|)^2 / (8 n^2),
    where f'' has no zero. At a simple zero of it the rule alone misses that by 2/sqrt(3); balancing the
    chords' errors themselves mends it.

    Args:
        target: what to interpolate.
        n: pieces, >= 1.
        balance: go on until all chords miss the target by about as much.
        rounds: of balancing.

    Returns:
        n ReLUs and an offset.
    """
    n = check_n(n)
    samples = sample(target, 32 * n)
    done = np.concatenate([[0.0], np.cumsum(samples.bend)])
    if not done[-1] > 0:
        return uniform(target, n)
    # Straight stretches get a little, so that every knot has a place.
    done += 1e-6 * done[-1] * (samples.x - samples.x[0]) / (samples.x[-1] - samples.x[0])
    x = np.interp(np.linspace(0, done[-1], n + 1), done, samples.x)
    x[[0, -1]] = target.low, target.high
    best = x
    if balance and n > 1:
        worst = np.inf
        for _ in range(rounds):
            if not (np.diff(x) > 0).all():
                break
            miss = _chord_errors(target, x)
            if miss.max() < worst:
                best, worst = x, miss.max()
            # Lengths that would make the errors equal, were each proportional to its length squared, damped.
            share = np.sqrt(miss) + 1e-3 * np.sqrt(miss.max()) + 1e-300
            length = np.diff(x) * (share.mean() / share) ** 0.5
            x = target.low + (target.high - target.low) * np.concatenate([[0.0], np.cumsum(length) / length.sum()])
            x[-1] = target.high
    best = np.unique(best)
    return pad(interpolant(best, target(best)), n, target.high)


def _chord_errors(target: Target, x: np.ndarray, looks: int = 33) -> np.ndarray:
    """Return how far each chord misses the target, shape ``(len(x) - 1,)``, from interior looks."""
    along = np.linspace(0, 1, looks + 2)[1:-1, None]
    inner = target(x[:-1] + np.diff(x) * along)
    ends = target(x)
    return np.abs(inner - (ends[:-1] * (1 - along) + ends[1:] * along)).max(0)
