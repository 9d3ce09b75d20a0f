"""Numbers that a study measures, against what was swept: a chart for each, a line for each value of a second key."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from mlplab.plots.charts import add_chart, categories, dots, label, legend_row, log_scale
from mlplab.plots.order import line_colours
from mlplab.plots.style import INK, page, points_of
from mlplab.plots.trials import value_scale

MOST = 4
MOST_LINES = 8

Line = tuple[str, Sequence[Any], Sequence[float]]


def measured_chart(
    charts: Sequence[tuple[str, Sequence[Line]]], *, x_name: str, line_name: str = "", title: str, subtitle: str = ""
) -> Figure:
    """Draw up to four charts side by side, two a row.

    Args:
        charts: what is measured, and its lines: name, x and y. Where x is no number, points alone are drawn.
        x_name: what x is.
        line_name: what tells the lines apart.
        title: of the picture.
        subtitle: under it.
    """
    charts = charts[:MOST]
    rows = -(-len(charts) // 2)
    made = page(1560, 190 + rows * 530, title, subtitle)
    names = list(dict.fromkeys(line[0] for _, lines in charts for line in lines))[:MOST_LINES]
    colours = dict(zip(names, line_colours(len(names)) if len(names) > 1 else [INK]))
    if line_name and names != [""]:
        legend_row(made, 130, 138, [("●", colours[name], name) for name in names], line_name)
    for place, (name, lines) in enumerate(charts):
        row, column = divmod(place, 2)
        wide = 590 if len(charts) > 1 else 1370
        axes = add_chart(made, 130 + column * 780, 180 + row * 530, wide, 390)
        draw(axes, [line for line in lines if line[0] in colours], colours)
        label(axes, x_name, name)
    return made


def draw(axes, lines: Sequence[Line], colours: dict[str, str]) -> None:
    every = list(dict.fromkeys(at for _, x, _ in lines for at in x))
    numbers = all(isinstance(at, int | float) and not isinstance(at, bool) for at in every)
    for name, x, y in lines:
        places = np.array(x, dtype=float) if numbers else np.array([every.index(at) for at in x], dtype=float)
        if numbers and len(x) > 1:
            axes.plot(places, y, color=colours[name], lw=points_of(2.5), alpha=0.8)
        dots(axes, places, y, colours[name], 13)
    axes.xaxis.set_minor_locator(NullLocator())
    if not numbers:
        axes.set_xlim(-0.6, len(every) - 0.4)
        categories(axes.xaxis, every)
    elif min(every) > 0 and max(every) >= 8 * min(every):
        log_scale(axes, "x", [every], digits=((1, 2, 4, 8), (1, 2, 5), (1,)), most=8)
    else:
        axes.xaxis.set_major_locator(FixedLocator(sorted(every)) if len(every) <= 8 else MaxNLocator(7))
    values = np.concatenate([np.asarray(y, dtype=float) for _, _, y in lines]) if lines else np.zeros(0)
    if len(values):
        value_scale(axes, values)
