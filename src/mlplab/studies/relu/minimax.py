"""The best that n straight pieces can do in the largest error, with a proof that none do much better."""

import math
from dataclasses import dataclass, replace

import numpy as np

from mlplab.studies.relu.alternation import Chain, crossing_slope, polish, smooth
from mlplab.studies.relu.min_link_path import LinkPath, min_link_path
from mlplab.studies.relu.sampling import Samples, peaks, sample
from mlplab.studies.relu.sums import ReluSum, check_n, pad
from mlplab.studies.relu.targets import Target


@dataclass(frozen=True)
class Minimax:
    """Hold a minimax approximation and its certificate.

    Args:
        fit: n pieces.
        level: the largest error of ``fit``, measured.
        lower_bound: no continuous function of n straight pieces has a smaller largest error.
        contacts: abscissae that force the bound, with the side (+1 above the target), shape ``(C, 2)``.
    """

    fit: ReluSum
    level: float
    lower_bound: float
    contacts: np.ndarray


def smooth_level(samples: Samples, n: int) -> float:
    """Return the asymptotic minimax error (integral of sqrt|f''|)^2 / (16 n^2) of n pieces; no bound."""
    return samples.total_bend**2 / (16 * n * n)


class _Ranges:
    """Ask how many pieces pass within a distance of some ordinates.

    Args:
        x: positions, shape ``(N,)``, strictly increasing.
        low: the lowest ordinate at each.
        high: the highest ordinate at each: the same, but for points with equal abscissae.
        bend: of each cell, shape ``(N - 1,)``.
        tube: a piece leaves the tube at its boundary (:func:`min_link_path`).
    """

    def __init__(self, x: np.ndarray, low: np.ndarray, high: np.ndarray, bend: np.ndarray, tube: bool) -> None:
        self.x, self.low, self.high, self.tube = x, low, high, tube
        self.positions = x.tolist()
        self.size = float(max(np.abs(low).max(), np.abs(high).max()))
        self.done = np.concatenate([[0.0], np.cumsum(bend)])

    @classmethod
    def on(cls, x: np.ndarray, target: Target) -> "_Ranges":
        """Ask at any abscissae of a function, in any order."""
        x = np.unique(np.clip(x[np.isfinite(x)], target.low, target.high))
        y = target(x)
        return cls(x, y, y, np.diff(x), tube=False)

    def ask(self, level: float, most: float = math.inf) -> LinkPath:
        """Return the path of fewest pieces within ``level`` of the ordinates."""
        low, high = (self.high - level).tolist(), (self.low + level).tolist()
        return min_link_path(self.positions, low, high, self.tube, most)

    def length(self, path: LinkPath) -> float:
        """Estimate the number of pieces as a real number, the last one by how much bend was left for it."""
        full = len(path.exits)
        if full == 0:
            return 1.0
        passed = float(np.interp(path.exits[-1], self.x, self.done))
        return full + min((self.done[-1] - passed) * full / max(passed, 1e-300), 1.0)

    def best(self, n: int, guess: float, step: float, rtol: float) -> tuple[float, LinkPath, float, LinkPath]:
        """Close in on the smallest level at which n pieces pass.

        Args:
            n: pieces.
            guess: where to look first, > 0.
            step: relative size of the first step from there.
            rtol: relative width at which to stop.

        Returns:
            A level at which n pieces do not pass and the path there, one at which they do and the path there.
        """
        low, short, high, path = 0.0, None, math.inf, None
        level, below = guess, []
        tiny = 2 * float(np.spacing(self.size))
        while path is None or high > max(low * (1 + rtol), tiny):
            found = self.ask(level)
            if len(found.lines) <= n:
                high, path = level, found
            else:
                low, short = level, found
                below.append((math.log(level), math.log(self.length(found) / n)))
            if low == 0 or path is None:
                step = min(step, 0.9)
                level *= 1 + step if path is None else 1 - step
                step *= 3
                continue
            level = math.sqrt(low * high)
            # Just below the optimum the length meets n; a secant through two looks from below finds where.
            if len(below) > 1 and below[-1][1] < below[-2][1]:
                (x0, f0), (x1, f1) = below[-2:]
                root = math.exp(min(x1 - f1 * (x1 - x0) / (f1 - f0), math.log(high)))
                aim = root + max(0.2 * (root - low), 0.4 * rtol * low)
                if low < aim < level:
                    level = aim
        return low, short, high, path


def minimax(target: Target, n: int, *, samples_per_piece: int = 8, gap: float = 1e-3, rounds: int = 60) -> Minimax:
    """Approximate a target by n continuous straight pieces with the smallest largest error.

    The tube round the samples is solved exactly for the fewest pieces
    (:func:`mlplab.studies.relu.min_link_path.min_link_path`) and for its width; Newton's method on the conditions of
    alternation (:func:`mlplab.studies.relu.alternation.polish`) then frees the answer from the samples. Where that
    does not close the gap, which on targets that are not convex it may not, the exchange method does: the answer on
    some points is found, the extrema of its error join the points, and so on. The bound needs none of this: it is a
    level at which n pieces cannot pass a few points alone, with nothing required between them. What no n pieces can
    do there, none can do at all.

    Args:
        target: function or points; at equal abscissae all points count.
        n: pieces, >= 1; n ReLUs and an offset, the first knot at the left end.
        samples_per_piece: samples at the start.
        gap: stop when the error reached is within this share of the bound.
        rounds: of exchange at most.

    Returns:
        The approximation, its error and the bound. Where fewer pieces do, spare units get weight 0.

    Raises:
        InputError: n < 1.
    """
    n = check_n(n)
    if target.points is not None:
        return _of_points(target, n)
    samples = sample(target, max(samples_per_piece * n, 64))
    rounding = 64 * float(np.spacing(np.abs(samples.y).max()))
    tube = _Ranges(samples.x, samples.y, samples.y, samples.bend, tube=True)
    path = tube.ask(rounding, n)
    if len(path.lines) <= n:
        fit = _sum(path, target, tube.x)
        best = Minimax(fit, _level(target, fit, samples.x)[0], 0.0, np.zeros((0, 2)))
        if best.level > 16 * rounding:
            best = _exchange(target, n, best, samples.x, best.level / 2, gap, rounding, rounds)
        return _padded(best, target, n, rounding)
    guess = max(smooth_level(samples, n), 2 * rounding)
    low, short, _, path = tube.best(n, guess, 0.02, min(2e-3, 0.1 / n))
    fit = _sum(path, target, tube.x)
    best = Minimax(fit, _level(target, fit, samples.x)[0], 0.0, np.zeros((0, 2)))
    chain = Chain.of(short, tube.x, len(short.contacts))
    # The last exit tells which of the two ends it is; where a grid has misled it, the other is tried.
    near = target.high - chain.exit[n - 1] < 0.3 * (chain.exit - chain.before)[n - 1]
    for right in (near, not near):
        contacts, level, fit = _free(chain, path, samples, target, low, n, right)
        held = level * (1 - gap / 100)
        bound = held if len(_Ranges.on(contacts[:, 0], target).ask(held, n).lines) > n else 0.0
        best = _better(best, Minimax(fit, _level(target, fit, samples.x)[0], bound, contacts))
        if best.level <= best.lower_bound * (1 + gap) + rounding:
            break
    else:
        best = _exchange(target, n, best, samples.x, low, gap, rounding, rounds)
    return _padded(best, target, n, rounding)


def _padded(best: Minimax, target: Target, n: int, rounding: float) -> Minimax:
    """Give an answer n units, and take off its bound what rounding may have added."""
    bound = max(best.lower_bound * (1 - 1e-12) - rounding, 0.0)
    return replace(best, fit=pad(best.fit, n, target.high), lower_bound=bound)


def _better(one: Minimax, other: Minimax) -> Minimax:
    """Take the smaller error of two answers and the larger bound."""
    fit, bound = min(one, other, key=lambda m: m.level), max(one, other, key=lambda m: m.lower_bound)
    return Minimax(fit.fit, fit.level, bound.lower_bound, bound.contacts)


def _of_points(target: Target, n: int) -> Minimax:
    """Solve for points, on which the search for the level is exact."""
    points = target.points
    ranges = _Ranges(points.x, points.lowest, points.highest, sample(target, 1).bend, tube=False)
    rounding = 64 * float(np.spacing(ranges.size))
    # Points with equal abscissae keep every function at half their distance.
    apart = float((points.highest - points.lowest).max()) / 2
    widest = points.x[[int((points.highest - points.lowest).argmax())] * 2]
    contacts = np.stack([widest, [-1.0, 1.0]], 1) if apart else np.zeros((0, 2))
    bound, path = apart, ranges.ask(apart + rounding, n)
    if len(path.lines) > n:
        guess = max(smooth_level(sample(target, 1), n), 2 * rounding) + apart
        bound, short, _, path = ranges.best(n, guess, 0.02, 1e-9)
        contacts = Chain.of(short, ranges.x, len(short.contacts))[:n].contacts() if short else contacts
    fit = _sum(path, target, ranges.x)
    return _padded(Minimax(fit, _level(target, fit, points.x)[0], bound, contacts), target, n, rounding)


def _exchange(
    target: Target, n: int, best: Minimax, x: np.ndarray, guess: float, gap: float, rounding: float, rounds: int
) -> Minimax:
    """Close the gap by the exchange method of semi-infinite programming: solve on points, add the error's extrema."""
    x = np.union1d(x, np.linspace(target.low, target.high, 257))
    for _ in range(rounds):
        ranges = _Ranges.on(np.concatenate([x, best.contacts[:, 0]]), target)
        low, short, _, path = ranges.best(n, max(guess, 2 * rounding), 0.02, gap / 8)
        fit = _sum(path, target, ranges.x)
        level, at, error = _level(target, fit, ranges.x)
        contacts = Chain.of(short, ranges.x, len(short.contacts))[:n].contacts() if short else best.contacts
        best, guess = _better(best, Minimax(fit, level, low, contacts)), low
        fresh = _apart(at[np.abs(error) > low], ranges.x, 1e-7 * (target.high - target.low))
        if best.level <= best.lower_bound * (1 + gap) + rounding or not fresh.size:
            break
        x = np.union1d(ranges.x, fresh)
    return best


def _apart(fresh: np.ndarray, known: np.ndarray, least: float) -> np.ndarray:
    """Leave out places that are next to a known one or to one another: lines through such are rounding alone."""
    fresh = np.unique(fresh)
    fresh = fresh[np.diff(fresh, prepend=-np.inf) > least]
    after = np.minimum(np.searchsorted(known, fresh), known.size - 1)
    return fresh[np.minimum(np.abs(known[after] - fresh), np.abs(known[np.maximum(after - 1, 0)] - fresh)) > least]


def _free(
    chain: Chain, path: LinkPath, samples: Samples, target: Target, level: float, n: int, right: bool
) -> tuple[np.ndarray, float, ReluSum]:
    """Solve for the optimum without the samples, from the path that just fails and the one that just passes.

    Either the failing path falls short of the right end by a hair, or by a whole piece: then there is a piece
    that a hair higher would slip past the boundary and go on, and the optimum is where it grazes it.
    """
    if right:
        head, level = polish(smooth(chain[:n], samples, target.high), target, level)
        return head.contacts(), level, _sum(head.path(target, level), target)
    chain = smooth(chain, samples)
    length = (chain.exit - chain.before)[:n]
    at = 1 + int((np.abs(crossing_slope(chain, target, level)[:n]) * length).argmin())
    head, level = polish(chain[:at], target, level, "graze")
    contacts = head.contacts()
    if at < len(chain.exit):
        tail = replace(chain[at:], origin=head.exit[-1])
        contacts = np.concatenate([contacts, polish(tail, target, level, "free")[0].contacts()])
    if not path.exits:
        return contacts, level, _sum(path, target)
    whole, _ = polish(smooth(Chain.of(path, samples.x, len(path.contacts)), samples), target, level, "free")
    passed = whole.path(target, level)
    lines = passed.lines + [_last(whole, target, level, path.lines[-1])]
    passed = LinkPath(lines, passed.exits + [whole.exit[-1]], [], passed.after + [whole.last[-1]])
    return contacts, level, _sum(passed, target)


def _last(chain: Chain, target: Target, level: float, spare: tuple[float, float, float]) -> tuple[float, float, float]:
    """Find a piece from the chain's last exit to the right end, or else return the spare line."""
    start, side = chain.exit[-1], chain.side[-1]
    x = np.union1d(np.linspace(chain.last[-1], target.high, 1001), [start])
    y, wide = target(x), level * (1 + 1e-5)
    # Before the exit only the side that the next piece may not cross is there.
    open_ = np.where(x < start, 1e6 * level, wide)
    low, high = (wide, open_) if side > 0 else (open_, wide)
    path = min_link_path(x.tolist(), (y - low).tolist(), (y + high).tolist(), most=1)
    return path.lines[0] if len(path.lines) == 1 else spare


def _level(target: Target, fit: ReluSum, x: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Return the largest error, and the places and the sizes of all extrema of the error."""
    at, error = peaks(target, fit, np.concatenate([x, fit.knots]), per_cell=2)
    return float(np.abs(error).max()), at, error


def _sum(path: LinkPath, target: Target, ranges: np.ndarray | None = None) -> ReluSum:
    """Join the pieces of a path where they cross."""
    origin, height, slope = np.array(path.lines).T
    knots, values = np.full(slope.size, target.low), np.empty(slope.size)
    if slope.size > 1:
        # Measured from the exit, where both lines are close, nothing cancels.
        exits = np.array(path.exits)
        here = height[:-1] + slope[:-1] * (exits - origin[:-1])
        there = height[1:] + slope[1:] * (exits - origin[1:])
        turn = slope[1:] - slope[:-1]
        with np.errstate(all="ignore"):
            cross = np.where(turn != 0, exits + (here - there) / turn, exits)
        before = exits if ranges is None else ranges[[contact[2] for contact in path.contacts]]
        # The crossing lies between the last contact and the range missed, rounding apart.
        knots[1:] = np.clip(cross, path.after, before)
    values[0] = height[0] + slope[0] * (knots[0] - origin[0])
    values[1:] = height[:-1] + slope[:-1] * (knots[1:] - origin[:-1])
    keep = np.concatenate([[True], np.diff(knots) > 0])
    knots, values = knots[keep], values[keep]
    return ReluSum(knots, values, np.append(np.diff(values) / np.diff(knots), slope[-1]))
