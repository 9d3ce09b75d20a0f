"""Learning curves of a sweep: the mean over seeds as a line, from lowest to highest seed as a band."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from mlplab.plots.against import legend
from mlplab.plots.charts import add_chart, dots, epoch_axis, label, log_scale
from mlplab.plots.curves import bayes_level
from mlplab.plots.order import line_colours
from mlplab.plots.style import BACKGROUND, INK, page, points_of, text


@dataclass
class Curves:
    """The runs of one setting.

    Attributes:
        name: of the line; the same name has the same colour in every chart.
        epochs: shape (T,), ascending.
        values: shape (seeds, T); NaN where a run has no value.
        kept: (epoch, value) of the weights that each run kept.
    """

    name: str
    epochs: np.ndarray
    values: np.ndarray
    kept: Sequence[tuple[float, float]] = ()


def bands(
    charts: Sequence[tuple[str, Sequence[Curves]]],
    *,
    title: str,
    subtitle: str = "",
    series_name: str = "",
    y_name: str = "NLL on validation points, nats",
    bayes: float | None = None,
) -> Figure:
    """Draw curves over epochs, both scales logarithmic, in charts that share them.

    Args:
        charts: (title, curves) each; at least one.
        title: of the picture.
        subtitle: under it.
        series_name: what tells the lines apart.
        y_name: what is drawn.
        bayes: the limit, a level line; None draws none.

    Returns:
        A ``Figure`` about 1560 pixels wide.
    """
    columns = min(len(charts), 3 if len(charts) != 4 else 2)
    rows = -(-len(charts) // columns)
    left, gap, over = 120, 56, 52
    wide = (1560 - left - 40 - (columns - 1) * gap) // columns
    tall = 430 if rows == 1 else 300
    made = page(1560, 168 + rows * (tall + over) + 90, title, subtitle)
    names = list(dict.fromkeys(curves.name for _, lines in charts for curves in lines))
    colours = dict(zip(names, line_colours(len(names)) if len(names) > 1 else [INK]))
    keys = [Curves(name, (), ()) for name in names]
    legend(made, left, keys, list(colours.values()), series_name, bayes is not None, False)
    drawn = [curves for _, lines in charts for curves in lines]
    every = [*(curves.values for curves in drawn), *(value for one in drawn for _, value in one.kept), bayes]
    last = max((float(curves.epochs[-1]) for curves in drawn if len(curves.epochs)), default=1.0)
    for index, (name, lines) in enumerate(charts):
        row, column = divmod(index, columns)
        across = left + column * (wide + gap)
        top = 168 + over + row * (tall + over)
        axes = add_chart(made, across, top, wide, tall)
        text(made, across + 4, top - 12, name, 23, weight="bold", width=wide)
        log_scale(axes, "y", every)
        epoch_axis(axes, last)
        if last > 1 and all(curves.epochs[0] >= 1 for curves in drawn if len(curves.epochs)):
            axes.set_xlim(1, last)
        for curves in lines:
            draw(axes, curves, colours[curves.name])
        bayes_level(axes, bayes)
        bottom = index + columns >= len(charts)
        label(axes, "epoch (log scale)" if bottom else "", "")
        axes.tick_params(labelleft=column == 0, labelbottom=bottom)
    middle = 168 + over + (rows * (tall + over) - over) / 2
    text(made, 36, middle, y_name, 22, rotation=90, ha="center", va="center")
    return made


def draw(axes, curves: Curves, colour: str) -> None:
    """Draw one setting's mean and band, and a dot where each run kept its weights; epochs without a value are left out."""
    values = np.asarray(curves.values, dtype=float)
    if curves.kept:
        dots(axes, *np.transpose(curves.kept), colour, 10, edge=BACKGROUND, width=1.5, zorder=5)
    if not values.size:
        return
    seen = np.isfinite(values).any(axis=0)
    epochs, values = np.asarray(curves.epochs, dtype=float)[seen], values[:, seen]
    if not len(epochs):
        return
    if len(values) > 1:
        axes.fill_between(
            epochs, np.nanmin(values, axis=0), np.nanmax(values, axis=0), color=colour, alpha=0.22, lw=0, zorder=3
        )
    axes.plot(
        epochs,
        np.nanmean(values, axis=0),
        color=colour,
        lw=points_of(3.5),
        zorder=4,
        marker="o" if len(epochs) == 1 else None,
        solid_joinstyle="round",
    )
