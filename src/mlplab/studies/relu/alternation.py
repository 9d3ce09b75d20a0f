"""Newton's method on the conditions that hold a minimax approximation by straight pieces in its place."""

from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import solve_banded

from mlplab.studies.relu.min_link_path import EDGE, LinkPath
from mlplab.studies.relu.sampling import Samples
from mlplab.studies.relu.targets import Target


@dataclass(frozen=True)
class Chain:
    """Hold what forces each of n pieces: two touches of the tube's boundary, and the exit through it.

    Piece i touches the side opposite to its exit last (``last``), before that the
    side of its exit (``first``) or starts where the piece before left (``starts``), and leaves at ``exit``.

    Args:
        first: abscissae, shape ``(n,)``.
        starts: true where the first touch is the exit of the piece before, shape ``(n,)``.
        last: abscissae, shape ``(n,)``.
        exit: abscissae, shape ``(n,)``.
        side: +1 where the exit is above, shape ``(n,)``.
        origin: where the first piece starts.
    """

    first: np.ndarray
    starts: np.ndarray
    last: np.ndarray
    exit: np.ndarray
    side: np.ndarray
    origin: float

    @classmethod
    def of(cls, path: LinkPath, x: np.ndarray, n: int) -> "Chain":
        """Read the chain off the first n pieces of a path through ranges at ``x``."""
        first, last, missed, side = np.array(path.contacts[:n]).T
        exits = np.array(path.exits[:n])
        before = np.concatenate([x[:1], exits[:-1]])
        starts = first == EDGE
        return cls(
            np.where(starts, before, x[first]), starts, np.array(path.after[:n]), exits, side.astype(float), float(x[0])
        )

    def __getitem__(self, pieces: slice) -> "Chain":
        """Return neighbouring pieces."""
        fields = (field[pieces] for field in (self.first, self.starts, self.last, self.exit, self.side))
        return Chain(*fields, float(self.before[pieces][0]))

    @property
    def before(self) -> np.ndarray:
        """Return where each piece's predecessor left, shape ``(n,)``."""
        return np.concatenate([[self.origin], self.exit[:-1]])

    def contacts(self) -> np.ndarray:
        """Return all touches and exits as ``(abscissa, side)``, shape ``(3 n, 2)``."""
        return np.stack(
            [
                np.stack([self.first, self.last, self.exit], 1).ravel(),
                np.stack([self.side, -self.side, self.side], 1).ravel(),
            ],
            1,
        )

    def lines(self, target: Target, level: float) -> tuple[np.ndarray, np.ndarray]:
        """Return each piece's height at its first touch and its slope."""
        height = target(self.first) + self.side * level
        return height, (target(self.last) - self.side * level - height) / (self.last - self.first)

    def path(self, target: Target, level: float) -> LinkPath:
        """Return the path that the chain forces."""
        height, slope = self.lines(target, level)
        lines = list(zip(self.first.tolist(), height.tolist(), slope.tolist()))
        return LinkPath(lines, self.exit[:-1].tolist(), [], self.last[:-1].tolist())


def polish(chain: Chain, target: Target, level: float, end: str = "right", rounds: int = 20) -> tuple[Chain, float]:
    """Solve for the exits and the level; the touches move to the extrema of the error.

    Piece i gives one equation, line_i(exit_i) = f(exit_i) + side_i level, in exit_i, in exit_i-1 where the
    piece starts there, and in the level: bidiagonal with one column, so a step costs O(n). By the
    envelope theorem a touch that is off by d changes its equation by d^2 only.

    Args:
        chain: a good guess.
        target: the function.
        level: guess of the error.
        end: what fixes the level. "right": the last exit is the right end of the interval. "graze": the last
            piece only touches the boundary at its exit; a hair wider, and it would go on. "free": it is given.
        rounds: Newton steps at most.

    Returns:
        The chain and the level of the last step that made sense; whether it is right is for the caller to
        measure.
    """
    # A wrong guess may run off to infinity: that is checked below and needs no warning.
    with np.errstate(all="ignore"):
        return _polish(chain, target, level, end, rounds)


def _polish(chain: Chain, target: Target, level: float, end: str, rounds: int) -> tuple[Chain, float]:
    reach = 0.3
    for _ in range(rounds):
        chain = _touch(chain, target, level, reach, end == "graze")
        step, change = _newton(chain, target, level, end)
        largest = max(float(np.max(np.abs(step) / (chain.exit - chain.before))), abs(change) / level)
        if not np.isfinite(largest):
            return chain, level
        share = min(1.0, 0.4 / max(largest, 1e-300))
        exits = chain.exit + share * step
        if end == "right" and share == 1:
            exits[-1] = target.high
        exits[-1] = min(exits[-1], target.high)
        if not (np.diff(exits, prepend=chain.origin) > 0).all():
            return chain, level
        level += share * change
        chain = replace(chain, exit=exits)
        chain = replace(chain, first=np.where(chain.starts, chain.before, chain.first))
        reach = 0.1
        if largest < 1e-6:
            break
    return _touch(chain, target, level, reach, end == "graze"), level


def smooth(chain: Chain, samples: Samples, end: float | None = None, ends: int = 4) -> Chain:
    """Even out long runs of like pieces, which on a grid drift by pieces to and fro.

    Inside such a run the exits have equal bend between them, up to a share of a piece that falls as 1/n; on
    a grid an exit that is off by d puts the next one off by d (1 +- a little), for thousands of pieces.

    Args:
        chain: as found on a grid.
        samples: where the bend is.
        end: move the last exit there.
        ends: pieces at each end of a run that are left as they are.

    Returns:
        The chain; runs shorter than 16 pieces are not touched.
    """
    done = np.concatenate([[0.0], np.cumsum(samples.bend)])
    exits, last = chain.exit.copy(), chain.last.copy()
    breaks = np.flatnonzero(~chain.starts).tolist() + [exits.size]
    for start, stop in zip(breaks[:-1], breaks[1:]):
        start, stop, final = start + ends, stop - ends - 1, stop == exits.size
        if stop - start < 16:
            continue
        if final and end is not None:
            stop, exits[-1] = exits.size - 1, end
        even = np.linspace(*np.interp(exits[[start, stop]], samples.x, done), 2 * (stop - start) + 1)
        at = np.interp(even, done, samples.x)
        exits[start + 1 : stop], last[start + 1 : stop + 1] = at[2:-1:2], at[1::2]
    moved = replace(chain, exit=exits, last=last)
    return replace(moved, first=np.where(chain.starts, moved.before, chain.first))


def crossing_slope(chain: Chain, target: Target, level: float) -> np.ndarray:
    """Return how steeply each line leaves the tube, shape ``(n,)``; 0 where it only grazes it."""
    return chain.lines(target, level)[1] - _derivative(target, chain.exit, chain.exit - chain.before)


def _newton(chain: Chain, target: Target, level: float, end: str) -> tuple[np.ndarray, float]:
    """Return the Newton step of the exits, shape ``(n,)``, and of the level."""
    before = chain.before
    height, slope = chain.lines(target, level)
    along = (chain.exit - chain.first) / (chain.last - chain.first)
    miss = height + slope * (chain.exit - chain.first) - target(chain.exit) - chain.side * level
    length = np.maximum(chain.exit - before, 1e-300)
    by_exit = crossing_slope(chain, target, level)
    by_start = np.where(chain.starts, (1 - along) * (_derivative(target, before, length) - slope), 0.0)
    by_level = -2 * along * chain.side
    # With the last exit prescribed, the equations but the last give the exits in terms of the level.
    solved = miss.size if end == "free" else miss.size - 1
    bands = np.zeros((2, solved))
    bands[0], bands[1, :-1] = by_exit[:solved], by_start[1:solved]
    try:
        fixed, moved = solve_banded((1, 0), bands, -np.stack([miss, by_level], 1)[:solved]).T
    except (np.linalg.LinAlgError, ValueError):
        return np.full(miss.size, np.nan), np.nan
    if end == "free":
        return fixed, 0.0
    last = target.high - chain.exit[-1] if end == "right" else 0.0
    rest, rate = (by_start[-1] * fixed[-1], by_start[-1] * moved[-1]) if solved else (0.0, 0.0)
    total = rate + by_level[-1]
    change = -(miss[-1] + by_exit[-1] * last + rest) / total if total else np.nan
    return np.append(fixed + moved * change, last), float(change)


def _touch(chain: Chain, target: Target, level: float, reach: float, graze: bool) -> Chain:
    """Move every free touch to the extremum of the error near it, within ``reach`` of the piece's length."""
    height, slope = chain.lines(target, level)
    wide = reach * (chain.exit - chain.before)

    def climb(at: np.ndarray, side: np.ndarray) -> np.ndarray:
        at, width = at.copy(), wide
        for _ in range(14):
            looks = np.clip(at + width * np.array([[0.0], [-1.0], [-0.5], [0.5], [1.0]]), target.low, target.high)
            gain = side * (height + slope * (looks - chain.first) - target(looks))
            at = np.take_along_axis(looks, gain.argmax(0)[None], 0)[0]
            width = width / 2
        return at

    last = np.clip(climb(chain.last, -chain.side), None, chain.exit)
    first = np.where(chain.starts, chain.first, climb(chain.first, chain.side))
    good = first < last
    exits = chain.exit
    if graze:
        exits = np.append(exits[:-1], climb(chain.exit, chain.side)[-1])
    return replace(chain, first=np.where(good, first, chain.first), last=np.where(good, last, chain.last), exit=exits)


def _derivative(target: Target, x: np.ndarray, length: np.ndarray) -> np.ndarray:
    """Differentiate by central differences over a small share of a length."""
    left, right = np.maximum(x - 1e-3 * length, target.low), np.minimum(x + 1e-3 * length, target.high)
    return (target(right) - target(left)) / np.where(right > left, right - left, np.inf)
