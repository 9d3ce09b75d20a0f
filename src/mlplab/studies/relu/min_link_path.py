"""The continuous path of fewest straight links through vertical ranges: the inner problem of minimax approximation."""

import math
from dataclasses import dataclass, field

# Stands for the point where the link before left the tube, which belongs to no range.
EDGE = -1


@dataclass(frozen=True)
class LinkPath:
    """Hold a continuous path of straight links through all ranges.

    Args:
        lines: per link ``(x0, y0, slope)``.
        exits: per link but the last, where it leaves the tube (between two ranges).
        contacts: per link but the last, the index of the first range whose end it touches (or :data:`EDGE`),
            of the last one, of the range that it misses, and the side of that one, +1 above.
        after: per link but the last, the position of the last touch, right of which the next link starts.
    """

    lines: list[tuple[float, float, float]] = field(default_factory=list)
    exits: list[float] = field(default_factory=list)
    contacts: list[tuple[int, int, int, int]] = field(default_factory=list)
    after: list[float] = field(default_factory=list)


class _Steepest:
    """Keep the steepest line over the lower ends and under the upper ends of the ranges added so far.

    It touches a lower end, then an upper end. With all heights negated it is the least steep line's mirror image.
    """

    def __init__(self, origin: float, index: int) -> None:
        self.x, self.y, self.slope = origin, 0.0, math.inf
        self.left = self.right = index
        # The upper hull of the lower ends, and the place in it of the last touch.
        self.hull_x, self.hull_y, self.hull_index, self.touch = [], [], [], 0

    def over(self, x: float, low: float, index: int) -> None:
        """Add a lower end to the hull."""
        hx, hy, hi = self.hull_x, self.hull_y, self.hull_index
        while len(hx) > 1 and (hy[-1] - hy[-2]) * (x - hx[-1]) <= (low - hy[-1]) * (hx[-1] - hx[-2]):
            hx.pop(), hy.pop(), hi.pop()
        hx.append(x), hy.append(low), hi.append(index)

    def under(self, x: float, high: float, index: int) -> None:
        """Turn the line down until it passes under an upper end that it ran above."""
        hx, hy = self.hull_x, self.hull_y
        self.x, self.y, self.right, self.slope = x, high, index, math.inf
        if hx:
            # The touch moves to the right, but by rounding, which among points in a row can lead astray.
            at = min(self.touch, len(hx) - 1)
            slope = (high - hy[at]) / (x - hx[at])
            for step in (1, -1):
                while 0 <= at + step < len(hx):
                    further = (high - hy[at + step]) / (x - hx[at + step])
                    if further > slope or (step < 0 and further == slope):
                        break
                    slope, at = further, at + step
            self.slope, self.touch, self.left = slope, at, self.hull_index[at]

    def through(self, x: float, y: float) -> None:
        """Start from the steepest line through a point where the link before left the tube."""
        slopes = [(y - hy) / (x - hx) for hx, hy in zip(self.hull_x, self.hull_y)]
        self.touch = min(range(len(slopes)), key=slopes.__getitem__)
        self.slope, self.left = slopes[self.touch], self.hull_index[self.touch]
        self.x, self.y, self.right = x, y, EDGE


def min_link_path(
    x: list[float], low: list[float], high: list[float], tube: bool = False, most: float = math.inf
) -> LinkPath:
    """Go through ranges ``{x_j} x [low_j, high_j]`` by a continuous function of the fewest straight links.

    Every link goes on as far as any line can. When all lines that got so far rise above the next range, the
    lowest of them, E, is the link: it touches an upper end, then a lower end at range q, and leaves above
    range k. The next link is not below E at q and is below it at k, so it crosses E in between and may be any
    line over the lower ends from q on and under the upper ends from k on. (The other case is the mirror
    image.) No path of fewer links exists, knots between ranges included, so the count is a lower bound for
    every function that stays within the ranges. Lines between data ranges: O'Rourke, CACM 24 (1981) 574;
    minimum link paths: Suri, CVGIP 35 (1986) 99.

    Args:
        x: N >= 1 positions, strictly increasing.
        low: lower ends.
        high: upper ends, not below ``low``.
        tube: join the ends by straight lines to a tube, which a link must leave where it meets its boundary;
            without it (the default) a knot between two ranges may lie anywhere.
        most: give up after this many links.

    Returns:
        The path.
    """
    path = LinkPath()
    k, touch, side, held = 0, 0, 0, None
    while True:
        start, up, down = k, _Steepest(x[k] - 1.0, k), _Steepest(x[k] - 1.0, k)
        # After an exit above, the link is over the lower ends from the last touch on; else the mirror image.
        behind, ahead, ends, sign = (up, down, low, 1) if side > 0 else (down, up, high, -1)
        if held:
            behind.over(held[0], sign * held[1], touch)
        for j in range(touch, k):
            behind.over(x[j], sign * ends[j], j)
        edge = _edge(x, k, path) if tube and path.exits else None
        if edge:
            behind.through(edge[0], sign * edge[1])
            ahead.over(edge[0], -sign * edge[1], EDGE)
        k, side = _extend(x, low, high, k, up, down)
        if not side or len(path.lines) >= most:
            path.lines.append(_between(x, low, high, up, down))
            return path
        last, sign, ends = (down, -1, high) if side > 0 else (up, 1, low)
        path.lines.append((last.x, sign * last.y, sign * last.slope))
        path.contacts.append((last.left, last.right, k, side))
        path.after.append(edge[0] if last.right == EDGE else x[last.right])
        path.exits.append(_crossing(path.lines[-1], x[k - 1], ends[k - 1], x[k], ends[k]))
        touch, held = (start, edge) if last.right == EDGE else (last.right, None)


def _extend(x, low, high, k: int, up: _Steepest, down: _Steepest) -> tuple[int, int]:
    """Go on until no line passes; return the range missed and the side of it on which all lines are, or 0."""
    for k in range(k, len(x)):
        px, bottom, top = x[k], low[k], high[k]
        highest = up.y + up.slope * (px - up.x)
        if highest < bottom:
            return k, -1
        lowest = -(down.y + down.slope * (px - down.x))
        if lowest > top:
            return k, 1
        if highest > top:
            up.under(px, top, k)
        if lowest < bottom:
            down.under(px, -bottom, k)
        up.over(px, bottom, k)
        down.over(px, -top, k)
    return len(x), 0


def _edge(x: list[float], k: int, path: LinkPath) -> tuple[float, float] | None:
    """Return the point of the last link where it left the tube, before range k; None in a cell of a few ulps."""
    left, cell = x[k - 1], x[k] - x[k - 1]
    at = min(max(path.exits[-1], left + 1e-6 * cell), left + 0.999999 * cell)
    x0, y0, slope = path.lines[-1]
    return (at, y0 + slope * (at - x0)) if left < at < x[k] else None


def _between(x, low, high, up: _Steepest, down: _Steepest) -> tuple[float, float, float]:
    """Choose the last link half way between the steepest and the least steep line."""
    lines = [(s.x, g * s.y, g * s.slope) for s, g in ((up, 1), (down, -1)) if math.isfinite(s.slope)]
    if not lines:
        return x[-1], (low[-1] + high[-1]) / 2, 0.0
    height = sum(y0 + slope * (x[-1] - x0) for x0, y0, slope in lines) / len(lines)
    return x[-1], height, sum(slope for *_, slope in lines) / len(lines)


def _crossing(line, x0: float, y0: float, x1: float, y1: float) -> float:
    """Find where a line crosses the chord between two neighbouring ranges' ends."""
    gap0 = line[1] + line[2] * (x0 - line[0]) - y0
    gap1 = line[1] + line[2] * (x1 - line[0]) - y1
    return x0 if gap0 == gap1 else min(max(x0 - gap0 * (x1 - x0) / (gap1 - gap0), x0), x1)
