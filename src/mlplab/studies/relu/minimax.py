"""The best that n straight pieces can do in the largest error, with a proof that none do much better."""

import math
from dataclasses import dataclass, replace

import numpy as np

from mlplab.studies.relu.alternation import Chain, crossing_slope, polish, smooth
from mlplab.studies.relu.corridor import Passage, passage
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


class _Gates:
    """Ask how many pieces pass within a distance of the samples."""

    def __init__(self, x: np.ndarray, y: np.ndarray, bend: np.ndarray, walls: bool) -> None:
        self.x, self.y, self.walls = x, y, walls
        self.positions = x.tolist()
        self.done = np.concatenate([[0.0], np.cumsum(bend)])

    def ask(self, level: float, most: float = math.inf) -> Passage:
        """Return the path of fewest pieces within ``level`` of the samples."""
        return passage(self.positions, (self.y - level).tolist(), (self.y + level).tolist(), self.walls, most)

    def length(self, path: Passage) -> float:
        """Estimate the number of pieces as a real number, the last one by how much bend was left for it."""
        full = len(path.exits)
        if full == 0:
            return 1.0
        passed = float(np.interp(path.exits[-1], self.x, self.done))
        return full + min((self.done[-1] - passed) * full / max(passed, 1e-300), 1.0)

    def best(self, n: int, guess: float, step: float, rtol: float) -> tuple[float, Passage, float, Passage]:
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
        tiny = 2 * float(np.spacing(np.abs(self.y).max()))
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


def minimax(
    target: Target, n: int, *, samples_per_piece: int = 8, gap: float = 1e-3, rounds: int = 2
) -> Minimax:
    """Approximate a target by n straight pieces with the smallest largest error.

    The corridor round the samples is solved exactly for the fewest pieces
    (:func:`mlplab.studies.relu.corridor.passage`) and for its width; Newton's method on the conditions of alternation
    (:func:`mlplab.studies.relu.alternation.polish`) then frees the answer from the samples. The bound needs neither:
    it is the level at which n pieces cannot pass the points of alternation alone, taken as gates with nothing
    required between them. What no n pieces can do there, none can do at all.

    Args:
        target: function or points.
        n: pieces, >= 1; n ReLUs and an offset, the first knot at the left end.
        samples_per_piece: samples at the start; four times as many in every further round.
        gap: stop when the error reached is within this of the bound.
        rounds: solutions at most.

    Returns:
        The approximation, its error and the bound. Where fewer pieces do, spare units get weight 0.

    Raises:
        InputError: n < 1.
    """
    n = check_n(n)
    best, bound, contacts = None, 0.0, np.zeros((0, 2))
    exact = target.points is not None
    for turn in range(rounds):
        samples = sample(target, samples_per_piece * n * 4**turn)
        gates = _Gates(samples.x, samples.y, samples.bend, walls=not exact)
        rounding = 64 * float(np.spacing(np.abs(samples.y).max()))
        path = gates.ask(rounding, n)
        if len(path.lines) <= n:
            fit = _sum(path, target, gates.x)
            return Minimax(pad(fit, n, target.high), _level(target, fit, samples.x), 0.0, contacts)
        guess = max(smooth_level(samples, n), 2 * rounding)
        low, short, high, path = gates.best(n, guess, 0.02, 1e-9 if exact else min(2e-3, 0.1 / n))
        fits = [_sum(path, target, gates.x)]
        chain = Chain.of(short, gates.x, len(short.contacts))
        if exact:
            bound, contacts = low, chain[:n].contacts()
        else:
            # The last exit tells which of the two ends it is; where a grid has misled it, the other is tried.
            near = target.high - chain.exit[n - 1] < 0.3 * (chain.exit - chain.before)[n - 1]
            points = samples.x
            for right in (near, not near):
                touches, level, polished = _free(chain, path, samples, target, low, n, right)
                fits.append(polished)
                points = np.union1d(points, touches[:, 0])
                found = _bound(touches[:, 0], target, n, level * (1 - gap / 100))
                # A chain that is not the one can have a level that is far too low, and a true bound for it.
                if found > 0.95 * low:
                    break
            else:
                found = _bound(points, target, n, low, gap)
            if found > bound:
                bound, contacts = found, touches
        for fit in fits:
            level = _level(target, fit, samples.x)
            if best is None or level < best[1]:
                best = fit, level
        if exact or best[1] - bound <= gap * bound + rounding:
            break
    bound = max(bound * (1 - 1e-12) - rounding, 0.0)
    return Minimax(pad(best[0], n, target.high), best[1], bound, contacts)


def _free(
    chain: Chain, path: Passage, samples: Samples, target: Target, level: float, n: int, right: bool
) -> tuple[np.ndarray, float, ReluSum]:
    """Solve for the optimum without the samples, from the path that just fails and the one that just passes.

    Either the failing path falls short of the right end by a hair, or by a whole piece: then there is a piece
    that a hair higher would slip by its wall and go on, and the optimum is where it grazes it.
    """
    if right:
        head, level = polish(smooth(chain[:n], samples, target.high), target, level)
        return head.contacts(), level, _sum(head.passage(target, level), target)
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
    passed = whole.passage(target, level)
    lines = passed.lines + [_last(whole, target, level, path.lines[-1])]
    passed = Passage(lines, passed.exits + [whole.exit[-1]], [], passed.after + [whole.last[-1]])
    return contacts, level, _sum(passed, target)


def _last(
    chain: Chain, target: Target, level: float, spare: tuple[float, float, float]
) -> tuple[float, float, float]:
    """Find a piece from the chain's last exit to the right end, or else return the spare line."""
    start, side = chain.exit[-1], chain.side[-1]
    x = np.union1d(np.linspace(chain.last[-1], target.high, 1001), [start])
    y, wide = target(x), level * (1 + 1e-5)
    # Before the exit only the wall that the next piece may not cross is there.
    open_ = np.where(x < start, 1e6 * level, wide)
    low, high = (wide, open_) if side > 0 else (open_, wide)
    path = passage(x.tolist(), (y - low).tolist(), (y + high).tolist(), most=1)
    return path.lines[0] if len(path.lines) == 1 else spare


def _bound(points: np.ndarray, target: Target, n: int, level: float, gap: float | None = None) -> float:
    """Return a level at which no n pieces pass the points: the one given or 0, or the best within gap."""
    points = np.unique(np.clip(points[np.isfinite(points)], target.low, target.high))
    held = _Gates(points, target(points), np.diff(points), walls=False)
    if gap is None:
        return level if len(held.ask(level, n).lines) > n else 0.0
    return held.best(n, level * (1 - gap), 0.02, gap / 4)[0]


def _level(target: Target, fit: ReluSum, x: np.ndarray) -> float:
    return float(np.abs(peaks(target, fit, np.concatenate([x, fit.knots]), per_cell=2)[1]).max())


def _sum(path: Passage, target: Target, gates: np.ndarray | None = None) -> ReluSum:
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
        before = exits if gates is None else gates[[contact[2] for contact in path.contacts]]
        # The crossing lies between the last contact and the gate missed, rounding apart.
        knots[1:] = np.clip(cross, path.after, before)
    values[0] = height[0] + slope[0] * (knots[0] - origin[0])
    values[1:] = height[:-1] + slope[:-1] * (knots[1:] - origin[:-1])
    keep = np.concatenate([[True], np.diff(knots) > 0])
    knots, values = knots[keep], values[keep]
    return ReluSum(knots, values, np.append(np.diff(values) / np.diff(knots), slope[-1]))
