"""Regret against a number of points or of units, on logarithmic scales: means with their errors, and levels beside them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from mlplab.plots.against import short
from mlplab.plots.charts import add_chart, end_names, label, log_ticks, positive_range
from mlplab.plots.style import COLOURS, MUTED, figure, points_of, text


@dataclass
class Line:
    """What one way of learning reaches.

    Attributes:
        name: written at the line's end.
        x: shape (N,), ascending, more than 0.
        values: shape (N, draws), regrets.
    """

    name: str
    x: Sequence[float]
    values: Sequence[Sequence[float]]


def regret_curves(
    lines: Sequence[Line], *, levels: Mapping[str, float] | None = None, x_name: str, title: str, subtitle: str = ""
) -> Figure:
    """Draw the mean of each line over its draws, a bar of one standard error to each side, and named level lines.

    Args:
        lines: at least one.
        levels: name to regret.
        x_name: what x is.
        title: of the picture.
        subtitle: under it.

    Returns:
        A ``Figure`` of 1560 x 900 pixels.
    """
    levels = levels or {}
    made = figure(1560, 900)
    text(made, 60, 50, title, 32, width=1460, weight="bold")
    text(made, 60, 90, subtitle, 23, width=1460, color=MUTED)
    axes = add_chart(made, 150, 130, 940, 660)
    axes.set_xscale("log")
    axes.set_yscale("log")
    means = [np.mean(line.values, axis=1) for line in lines]
    low, high = positive_range([*means, list(levels.values())], floor=1e-7)
    axes.set_ylim(low, high)
    log_ticks(axes.yaxis, low, high)
    every = np.unique(np.concatenate([np.asarray(line.x, dtype=float) for line in lines]))
    axes.set_xlim(*positive_range([every]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_locator(FixedLocator(list(every)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
    names = []
    for line, mean, colour in zip(lines, means, COLOURS):
        x, values = np.asarray(line.x, dtype=float), np.asarray(line.values, dtype=float)
        if values.shape[1] > 1:
            error = values.std(axis=1, ddof=1) / np.sqrt(values.shape[1])
            axes.vlines(x, np.maximum(mean - error, low / 10), mean + error, color=colour, lw=points_of(5), alpha=0.45, zorder=3)
        axes.plot(x, mean, color=colour, lw=points_of(3), marker="o", ms=points_of(11), mec="#ffffff", mew=points_of(2), zorder=4)
        names.append((float(mean[-1]), line.name, colour))
    for (name, level), colour in zip(levels.items(), COLOURS[len(lines) :]):
        axes.axhline(level, color=colour, lw=points_of(3), ls=(0, (4, 2)), zorder=2)
        names.append((level, name, colour))
    end_names(axes, names)
    label(axes, f"{x_name}, log scale", "NLL regret, nats")
    return made
