"""Which swept keys become the axes of a sweep's figures."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mlplab.report.table import Setting, Table, order
from mlplab.runs.names import short_names, shown

WORDS = {
    "model.width": "width",
    "model.depth": "depth (hidden layers)",
    "data.noise": "noise (standard deviation at radius 1)",
    "data.points_per_arm": "points per arm",
    "optimizer.lr": "learning rate",
    "optimizer.weight_decay": "weight decay",
}
# The tutorial's question has an order of its own: width along x, depth up.
FIRST = ("model.width", "model.depth")
# Networks within this factor of each other count as one budget of parameters.
SAME_BUDGET = 1.3


@dataclass
class Axis:
    """One coordinate of the settings.

    Attributes:
        key: the swept key, or a name of its own where the coordinate is derived.
        name: for labels.
        at: the coordinate of each setting, in the table's order.
    """

    key: str
    name: str
    at: list[Any]

    @property
    def values(self) -> list[Any]:
        return sorted(set(self.at), key=order)

    @property
    def names(self) -> list[str]:
        return [shown(value) for value in self.values]

    @property
    def is_number(self) -> bool:
        return all(isinstance(value, int | float) and not isinstance(value, bool) for value in self.at)


def axes_of(table: Table) -> list[Axis]:
    """Give an axis for each key that makes a setting, width and depth first.

    Lists of hidden widths are no axis: they become depth and, where they come in several sizes, a budget of
    parameters.
    """
    axes = []
    for index, (key, short) in enumerate(zip(table.keys, short_names(table.keys))):
        at = [setting.values[index] for setting in table.settings]
        found = budgets(table.settings, at) if key == "model.hidden" else None
        axes += found or [Axis(key, WORDS.get(key, short.replace("_", " ")), at)]
    axes = [axis for axis in axes if len(axis.values) > 1]
    return sorted(axes, key=lambda axis: FIRST.index(axis.key) if axis.key in FIRST else len(FIRST))


def budgets(settings: Sequence[Setting], lists: Sequence[Any]) -> list[Axis] | None:
    """Turn lists of hidden widths into depth and budget; None where these do not tell the settings apart."""
    if not all(isinstance(text, str) and re.fullmatch(r"\[[\d, ]*\]", text) for text in lists):
        return None
    depths = [len(re.findall(r"\d+", text)) for text in lists]
    counts = [setting.parameters for setting in settings]
    axes = [Axis("depth", WORDS["model.depth"], depths)]
    if None not in counts:
        groups: list[list[int]] = []
        for count in sorted(set(counts)):
            if groups and count <= SAME_BUDGET * groups[-1][0]:
                groups[-1].append(count)
            else:
                groups.append([count])
        about = {count: round_number(group[len(group) // 2]) for group in groups for count in group}
        if len(groups) > 1:
            axes.append(Axis("parameters", "parameters, about", [about[count] for count in counts]))
    places = list(zip(*(axis.at for axis in axes)))
    return axes if len(set(places)) == len(set(lists)) else None


def round_number(value: int) -> int:
    """Round to one digit where that is within 5 %, else to two."""
    for digits in (1, 2):
        rounded = int(float(f"{value:.{digits - 1}e}"))
        if abs(rounded - value) <= 0.05 * value:
            break
    return rounded


def plain(axis: Axis) -> str:
    """Name an axis in a sentence."""
    return axis.name.partition(" (")[0].partition(",")[0]
