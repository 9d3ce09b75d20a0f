"""The fewest straight pieces through a row of gates: the exact inner problem of minimax approximation."""

import math
from dataclasses import dataclass

INFINITY = math.inf
# Stands for the point where the piece before met the wall, which is no gate.
EDGE = -1


@dataclass(frozen=True)
class Passage:
    """Hold a continuous path of straight pieces through all gates.

    Args:
        lines: per piece ``(x0, y0, slope)``.
        exits: per piece but the last, where it leaves the corridor (between two gates).
        contacts: per piece but the last, the index of the first gate that it touches (or :data:`EDGE`),
            of the last one, of the gate that it misses, and the side of that one, +1 above.
        after: per piece but the last, the position of the last touch, right of which the next piece starts.
    """

    lines: list[tuple[float, float, float]]
    exits: list[float]
    contacts: list[tuple[int, int, int, int]]
    after: list[float]


def passage(
    x: list[float], low: list[float], high: list[float], walls: bool = False, most: float = INFINITY
) -> Passage:
    """Go through gates ``{x_j} x [low_j, high_j]`` by a continuous function of the fewest straight pieces.

    Every piece goes on as far as any line can. When all lines that got so far rise above the next gate, the
    lowest of them, E, is the piece: it touches an upper end, then a lower end at gate q, and leaves above
    gate k. The next piece is not below E at q and is below it at k, so it crosses E in between and may be any
    line over the lower ends from q on and under the upper ends from k on. (The other case is the mirror
    image.) No path of fewer pieces exists, knots between gates included, so the count is a lower bound for
    every function that stays within the corridor everywhere. Lines between data ranges: O'Rourke, CACM 24
    (1981) 574; windows: Suri, CVGIP 35 (1986) 99.

    Args:
        x: N >= 1 gate positions, strictly increasing.
        low: lower ends.
        high: upper ends, not below ``low``.
        walls: join the gates' ends by straight walls, so that a piece must leave at the wall itself; without
            them (the default) a knot between two gates may lie anywhere.
        most: give up after this many pieces.

    Returns:
        The path.
    """
    count = len(x)
    lines, exits, contacts, after = [], [], [], []
    k, first_low, first_high, held = 0, 0, 0, None
    while True:
        # Upper hull of the lower ends (bx, by) and lower hull of the upper ends (tx, ty) of this piece.
        bx, by, bi, tx, ty, ti = [], [], [], [], [], []
        if held and first_high == k:
            bx, by, bi = [held[0]], [held[1]], [first_low]
        elif held:
            tx, ty, ti = [held[0]], [held[1]], [first_high]
        for j in range(first_low, k):
            px, py = x[j], low[j]
            while len(bx) > 1 and (by[-1] - by[-2]) * (px - bx[-1]) <= (py - by[-1]) * (bx[-1] - bx[-2]):
                bx.pop(), by.pop(), bi.pop()
            bx.append(px), by.append(py), bi.append(j)
        for j in range(first_high, k):
            px, py = x[j], high[j]
            while len(tx) > 1 and (ty[-1] - ty[-2]) * (px - tx[-1]) >= (py - ty[-1]) * (tx[-1] - tx[-2]):
                tx.pop(), ty.pop(), ti.pop()
            tx.append(px), ty.append(py), ti.append(j)
        # The steepest line (up) and the least steep one (down): a point, a slope and the two gates touched.
        up_x = down_x = x[k] - 1.0
        up_y, up_slope, down_y, down_slope = 0.0, INFINITY, 0.0, -INFINITY
        up_left = up_right = down_left = down_right = k
        at_low = at_high = 0
        start, edge, height = k, 0.0, 0.0
        if walls and exits:
            # The next piece is on this side of the last one where that met the wall, before gate k.
            edge = min(
                max(exits[-1], x[k - 1] + 1e-6 * (x[k] - x[k - 1])), x[k - 1] + 0.999999 * (x[k] - x[k - 1])
            )
            height = lines[-1][1] + lines[-1][2] * (edge - lines[-1][0])
            if first_high == k:
                up_slope, at_low = min(
                    ((height - py) / (edge - px), i) for i, (px, py) in enumerate(zip(bx, by))
                )
                up_x, up_y, up_left, up_right = edge, height, bi[at_low], EDGE
                tx.append(edge), ty.append(height), ti.append(EDGE)
            else:
                down_slope, at_high = max(
                    ((height - py) / (edge - px), i) for i, (px, py) in enumerate(zip(tx, ty))
                )
                down_x, down_y, down_left, down_right = edge, height, ti[at_high], EDGE
                bx.append(edge), by.append(height), bi.append(EDGE)
        left = 0
        while k < count:
            px, bottom, top = x[k], low[k], high[k]
            highest = up_y + up_slope * (px - up_x)
            if highest < bottom:
                left = -1
                break
            lowest = down_y + down_slope * (px - down_x)
            if lowest > top:
                left = 1
                break
            if highest > top:
                size = len(bx)
                up_slope, up_x, up_y, up_right = INFINITY, px, top, k
                if size:
                    if at_low >= size:
                        at_low = size - 1
                    up_slope = (top - by[at_low]) / (px - bx[at_low])
                    while at_low + 1 < size:
                        slope = (top - by[at_low + 1]) / (px - bx[at_low + 1])
                        if slope > up_slope:
                            break
                        up_slope = slope
                        at_low += 1
                    up_left = bi[at_low]
            if lowest < bottom:
                size = len(tx)
                down_slope, down_x, down_y, down_right = -INFINITY, px, bottom, k
                if size:
                    if at_high >= size:
                        at_high = size - 1
                    down_slope = (bottom - ty[at_high]) / (px - tx[at_high])
                    while at_high + 1 < size:
                        slope = (bottom - ty[at_high + 1]) / (px - tx[at_high + 1])
                        if slope < down_slope:
                            break
                        down_slope = slope
                        at_high += 1
                    down_left = ti[at_high]
            while len(bx) > 1 and (by[-1] - by[-2]) * (px - bx[-1]) <= (bottom - by[-1]) * (bx[-1] - bx[-2]):
                bx.pop(), by.pop(), bi.pop()
            bx.append(px), by.append(bottom), bi.append(k)
            while len(tx) > 1 and (ty[-1] - ty[-2]) * (px - tx[-1]) >= (top - ty[-1]) * (tx[-1] - tx[-2]):
                tx.pop(), ty.pop(), ti.pop()
            tx.append(px), ty.append(top), ti.append(k)
            k += 1
        if left == 0 or len(lines) >= most:
            lines.append(_between(x, low, high, (up_x, up_y, up_slope), (down_x, down_y, down_slope)))
            return Passage(lines, exits, contacts, after)
        if left > 0:
            lines.append((down_x, down_y, down_slope))
            contacts.append((down_left, down_right, k, 1))
            after.append(edge if down_right == EDGE else x[down_right])
            exits.append(_crossing(lines[-1], x[k - 1], high[k - 1], x[k], high[k]))
            first_low, first_high = start if down_right == EDGE else down_right, k
            held = (edge, height) if down_right == EDGE else None
        else:
            lines.append((up_x, up_y, up_slope))
            contacts.append((up_left, up_right, k, -1))
            after.append(edge if up_right == EDGE else x[up_right])
            exits.append(_crossing(lines[-1], x[k - 1], low[k - 1], x[k], low[k]))
            first_low, first_high = k, start if up_right == EDGE else up_right
            held = (edge, height) if up_right == EDGE else None


def _between(x, low, high, up, down) -> tuple[float, float, float]:
    """Choose the last piece half way between the steepest and the least steep line."""
    if math.isfinite(up[2]) and math.isfinite(down[2]):
        end = x[-1]
        slope = (up[2] + down[2]) / 2
        return end, (up[1] + up[2] * (end - up[0]) + down[1] + down[2] * (end - down[0])) / 2, slope
    if math.isfinite(up[2]):
        return up
    if math.isfinite(down[2]):
        return down
    return x[-1], (low[-1] + high[-1]) / 2, 0.0


def _crossing(line, x0: float, y0: float, x1: float, y1: float) -> float:
    """Find where a line crosses the chord between two neighbouring gates' ends."""
    gap0 = line[1] + line[2] * (x0 - line[0]) - y0
    gap1 = line[1] + line[2] * (x1 - line[0]) - y1
    return x0 if gap0 == gap1 else min(max(x0 - gap0 * (x1 - x0) / (gap1 - gap0), x0), x1)
