"""What each swept key does: main effects and interaction of a full grid, in words."""

import math
from collections.abc import Sequence

from mlplab.report.axes import Axis, axes_of, plain
from mlplab.report.table import Setting, Table
from mlplab.runs.names import shown

# A share of the variation below this is not worth a sentence of its own.
WORTH = 0.01


def effects(table: Table) -> list[str]:
    """Say in sentences what each key does to the NLL that selects, and how far the keys act together.

    The logarithms of the settings' NLL are taken apart as in an analysis of variance with one number a cell: the sum
    of squares of each key's means, and what is left, the interaction (with what chance is in the means).

    Returns:
        Nothing where there is no full grid of finished settings, or one key only.
    """
    having = [setting for setting in table.settings if setting.log_nll is not None]
    axes = axes_of(table)
    if len(axes) < 2 or len(having) < len(table.settings) or len(table.bests) != 1:
        return []
    if math.prod(len(axis.values) for axis in axes) != len(having):
        return []
    means = [setting.log_nll.mean for setting in having]
    grand = math.fsum(means) / len(means)
    total = math.fsum((mean - grand) ** 2 for mean in means)
    if total == 0:
        return []
    lines, explained = [], 0.0
    for axis in axes:
        levels = {value: _mean([m for m, at in zip(means, axis.at) if at == value]) for value in axis.values}
        share = math.fsum((levels[at] - grand) ** 2 for at in axis.at) / total
        explained += share
        lines.append((share, f"{plain(axis)} {percent(share)} ({movement(axis, levels)})"))
    lines.sort(reverse=True)
    rest = max(0.0, 1 - explained)
    together = " and ".join(plain(axis) for axis in axes)
    first = (
        f"Of the variation of log NLL between the settings, {'; '.join(words for _, words in lines)}; "
        f"the rest, {percent(rest)}, is interaction and chance."
    )
    if rest > 0.25:
        first += f" {together} act together: what one does depends on the other; read the cells, not the averages."
    noise = chance(having, total)
    if noise is not None:
        first += f" Chance in the means accounts for about {percent(min(noise, 1.0))}."
    return [first]


def chance(settings: Sequence[Setting], total: float) -> float | None:
    """Estimate which share of the variation between means is that of the seeds; None with single runs."""
    if any(setting.log_nll.sd is None for setting in settings):
        return None
    return math.fsum(s.log_nll.sd**2 / s.log_nll.count for s in settings) * (len(settings) - 1) / len(settings) / total


def movement(axis: Axis, levels: dict[object, float]) -> str:
    """Say how the mean NLL moves from the first value of a key to the last, or which value is best."""
    first, last = axis.values[0], axis.values[-1]
    ordered = [levels[value] for value in axis.values]
    rising = all(a <= b for a, b in zip(ordered, ordered[1:]))
    falling = all(a >= b for a, b in zip(ordered, ordered[1:]))
    if axis.is_number and (rising or falling):
        factor = math.exp(levels[last] - levels[first])
        return f"from {shown(first)} to {shown(last)} NLL x {factor:.2g} on average"
    best = min(axis.values, key=levels.get)
    return f"lowest on average at {shown(best)}"


def percent(share: float) -> str:
    return "under 1 %" if share < WORTH else f"{100 * share:.0f} %"


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
