"""Regret against a number of points or of units, on logarithmic scales: means with their errors, and levels beside them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from mlplab.plots.against import short
from mlplab.plots.charts import DASHED, add_chart, dots, end_names, label, log_scale, note, positive_range
from mlplab.plots.style import COLOURS, DPI, MUTED, figure, points_of, text

# Those of the colours that a thin line and its name can be read in.
DARK = tuple(COLOURS[k] for k in (0, 3, 5, 2, 8, 6, 9))
QUIET = "#8a8f99"


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
    lines: Sequence[Line],
    *,
    others: Sequence[Line] = (),
    parts: Sequence[str] = (),
    levels: Mapping[str, float] | None = None,
    x_name: str,
    title: str,
    subtitle: str = "",
) -> Figure:
    """Draw the mean of each line over its draws, a bar of one standard error to each side, and named level lines.

    Args:
        lines: at least one; with ``parts`` the lowest first.
        others: drawn in grey behind them.
        parts: a name for what lies under each line, down to the one before it: an area of that line's colour.
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
    means = [np.mean(line.values, axis=1) for line in lines]
    grey = [np.mean(line.values, axis=1) for line in others]
    errors = [_standard_error(line) for line in lines]
    upper = [mean + error for mean, error in zip(means, errors)]
    low, high = log_scale(axes, "y", [*means, *upper, *grey, list(levels.values())], floor=1e-7)
    _scale_x(axes, np.unique(np.concatenate([np.asarray(line.x, dtype=float) for line in [*lines, *others]])))
    names = []
    for line, mean in zip(others, grey):
        axes.plot(line.x, mean, color=QUIET, lw=points_of(2), ls=DASHED, zorder=2)
        names.append((float(mean[-1]), line.name, QUIET))
    below = np.full(len(lines[0].x), low)
    for place, (line, mean, error, colour) in enumerate(zip(lines, means, errors, DARK)):
        x = np.asarray(line.x, dtype=float)
        if parts:
            axes.fill_between(x, below, mean, color=colour, alpha=0.13, lw=0, zorder=1)
            _name_area(axes, parts[place], x, below, mean, colour)
            below = np.maximum(below, mean)
        axes.vlines(
            x, np.maximum(mean - error, low / 10), mean + error, color=colour, lw=points_of(5), alpha=0.45, zorder=3
        )
        axes.plot(x, mean, color=colour, lw=points_of(3), zorder=4)
        dots(axes, x, mean, colour, 11, zorder=4)
        names.append((float(mean[-1]), line.name, colour))
    for (name, level), colour in zip(levels.items(), DARK[len(lines) :]):
        axes.axhline(level, color=colour, lw=points_of(3), ls=DASHED, zorder=2)
        names.append((level, name, colour))
    end_names(axes, names)
    label(axes, f"{x_name}, log scale", "NLL regret, nats")
    return made


def _standard_error(line: Line) -> np.ndarray:
    draws = np.shape(line.values)[1]
    return np.std(line.values, axis=1, ddof=min(1, draws - 1)) / np.sqrt(draws)


def _scale_x(axes: Axes, values: np.ndarray) -> None:
    """Give x a logarithmic scale with a tick at each value."""
    axes.set(xscale="log", xlim=positive_range([values]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_locator(FixedLocator(list(values)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))


def _name_area(axes: Axes, name: str, x: np.ndarray, below: np.ndarray, above: np.ndarray, colour: str) -> None:
    """Write what an area is where it is highest, if there is room for letters."""
    ends = axes.transData.transform
    heights = [ends((x[k], above[k]))[1] - ends((x[k], below[k]))[1] for k in range(len(x))]
    # At an end of the axis half of the word would lie outside.
    inner = range(1, len(x) - 1) if len(x) > 2 else range(len(x))
    at = max(inner, key=lambda k: heights[k])
    if heights[at] > 34 * axes.get_figure(root=True).dpi / DPI:
        note(
            axes, name, (x[at], np.sqrt(below[at] * above[at])), xycoords="data", color=colour, ha="center", va="center"
        )
