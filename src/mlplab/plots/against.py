"""Accuracy and NLL against a number: means with their intervals, joined in series, and the Bayes limit."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from mlplab.plots.charts import DASHED, add_chart, categories, dots, label, legend_row, log_ticks, positive_range
from mlplab.plots.curves import BAYES, LEAST_ERROR, accuracy_ticks, bayes_level
from mlplab.plots.order import errors, line_colours
from mlplab.plots.style import INK, page, points_of

HEIGHT = 720
LOG_FROM = 8.0
MOST_TICKS = 8


@dataclass
class Series:
    """The settings along one line.

    Attributes:
        name: for the legend; "" where there is one series alone.
        x: shape (N,), ascending.
        accuracy: shape (N, 3): mean, lower and upper end of the interval; the ends are NaN for a single run.
        nll: the same of the NLL.
    """

    name: str
    x: Sequence[float]
    accuracy: np.ndarray
    nll: np.ndarray


def against(
    series: Sequence[Series],
    *,
    x_name: str,
    title: str,
    subtitle: str = "",
    series_name: str = "",
    names: Sequence[str] | None = None,
    bayes: tuple[Sequence[float], Sequence[float], Sequence[float]] | None = None,
    best: tuple[int, int] | None = None,
    log: bool | None = None,
) -> Figure:
    """Draw accuracy (left) and NLL (right) against x, on logarithmic scales of the error; of categories the points alone.

    Args:
        series: at least one.
        x_name: what x is.
        title: of the picture.
        subtitle: under it.
        series_name: what tells the series apart.
        names: names of x = 0, 1, ... where x is no number.
        bayes: x, and the Bayes classifier's accuracy and NLL there; None draws no limit.
        best: numbers of the series and of the point in it that get the star.
        log: whether x is logarithmic; None decides by the values.

    Returns:
        A ``Figure`` of 1560 x 720 pixels.
    """
    made = page(1560, HEIGHT, title, subtitle)
    colours = line_colours(len(series)) if len(series) > 1 else [INK]
    legend(made, 130, series, colours, series_name, bayes is not None, best is not None)
    every = np.unique(np.concatenate([np.asarray(one.x, dtype=float) for one in series]))
    if log is None:
        log = names is None and len(every) > 1 and every[0] > 0 and every[-1] / every[0] >= LOG_FROM
    for left, kind, words in ((130, "accuracy", "accuracy, %"), (910, "nll", "NLL, nats")):
        axes = add_chart(made, left, 186, 590, 420)
        draw(axes, series, colours, kind, every, bayes, best, log, names is not None)
        value_axis(axes, every, log, names)
        label(axes, f"{x_name}, log scale" if log else x_name, words)
    return made


def draw(axes, series, colours, kind: str, every, bayes, best, log: bool, categories: bool) -> None:
    """Draw one chart of all series."""
    values = [errors(getattr(one, kind), kind) for one in series]
    level = None if bayes is None else np.maximum(errors(bayes[1 if kind == "accuracy" else 2], kind), LEAST_ERROR)
    axes.set_yscale("log")
    lowest = LEAST_ERROR if kind == "accuracy" else 1e-6
    means = [np.maximum(value[:, 0], lowest) for value in values]
    low, high = positive_range([*means, level])
    # Intervals of few runs are wide and may reach below zero: they may widen the chart, but not empty it.
    ends = np.concatenate([value[:, 1:].ravel() for value in values])
    ends = ends[np.isfinite(ends) & (ends > 0)]
    if len(ends):
        low, high = min(low, max(ends.min(), low / 2)), max(high, min(ends.max(), high * 1.5))
    if kind == "accuracy":
        low, high = max(low, LEAST_ERROR / 1.2), min(high, 1.0)
        axes.set_ylim(high, low)
        accuracy_ticks(axes, low, high)
    else:
        axes.set_ylim(low, high)
        log_ticks(axes.yaxis, low, high)
    shift = offsets(len(series), every, log)
    for number, (one, value, mean, colour, by) in enumerate(zip(series, values, means, colours, shift)):
        x = np.asarray(one.x, dtype=float)
        x = x * by if log else x + by
        ends = np.sort(np.clip(value[:, 1:], low / 100, None), axis=1)
        seen = np.isfinite(ends).all(axis=1)
        axes.vlines(x[seen], ends[seen, 0], ends[seen, 1], color=colour, lw=points_of(5), alpha=0.45, zorder=3)
        if not categories:  # between two categories there is nothing that a line could pass through
            axes.plot(x, mean, color=colour, lw=points_of(2.5), zorder=3.5, alpha=0.8)
        dots(axes, x, mean, colour, 13, zorder=4)
        if best is not None and best[0] == number:
            star = {"marker": "*", "edge": INK, "width": 1.5}
            dots(axes, x[[best[1]]], mean[[best[1]]], "#ffa90e", 32, zorder=5, clip_on=False, **star)
    if level is not None and len(np.unique(level)) > 1:
        axes.plot(bayes[0], level, color=BAYES, lw=points_of(3), ls=DASHED, zorder=2)
    else:
        bayes_level(axes, None if level is None else level[0])


def offsets(count: int, every, log: bool) -> np.ndarray:
    """Move series apart a little, so that intervals at one x stay visible; factors where x is log."""
    places = np.linspace(-0.5, 0.5, count) if count > 1 else np.zeros(1)
    if len(every) < 2:
        return np.exp(places * 0) if log else places * 0
    step = np.diff(np.log(every) if log else every).min()
    span = np.log(every[-1] / every[0]) if log else every[-1] - every[0]
    move = places * min(0.24 * step, 0.03 * span)
    return np.exp(move) if log else move


def value_axis(axes, every, log: bool, names) -> None:
    """Give x its scale and a tick at the values themselves where they are few."""
    span = np.log(every[-1] / every[0]) if log else every[-1] - every[0]
    room = 0.06 * span if span else 0.5
    if log:
        axes.set_xscale("log")
        low, high = every[0] * np.exp(-room), every[-1] * np.exp(room)
    else:
        low, high = every[0] - room, every[-1] + room
    axes.set_xlim(low, high)
    axes.xaxis.set_minor_locator(NullLocator())
    if names is not None:
        categories(axes.xaxis, names)
        return
    if len(every) <= MOST_TICKS:
        axes.xaxis.set_major_locator(FixedLocator(list(every)))
    elif log:
        log_ticks(axes.xaxis, low, high, digits=((1, 2, 5), (1, 3), (1,)))
    else:
        axes.xaxis.set_major_locator(MaxNLocator(7))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))


def short(value: float) -> str:
    """Write a number in few letters: 20k for 20,000, 3M for 3,000,000."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= max(size, 1e4):
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def legend(made: Figure, left: float, series, colours, series_name: str, bayes: bool, best: bool) -> None:
    """Name the series, the limit and the star in one line over the charts, from ``left`` pixels on."""
    entries = [("●", colour, one.name) for one, colour in zip(series, colours) if one.name]
    if len(entries) > 8:
        entries = [entries[0], *entries[1 : -1 : len(entries) // 6 + 1], entries[-1]]
    name = series_name if entries else ""
    if bayes:
        entries.append(("--", BAYES, "Bayes limit"))
    if best:
        entries.append(("★", "#e59400", "selected"))
    legend_row(made, left, 142, entries, name)
