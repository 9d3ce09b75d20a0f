"""The trials of a search: objective by trial, importance of the keys, objective against each key, the front."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from mlplab.plots.charts import add_chart, categories, dots, label, log_scale, note
from mlplab.plots.style import INK, page, points_of

DOT, BEST = "#3f90da", "#ffa90e"
MOST_KEYS = 12


def history(
    numbers: Sequence[int],
    values: Sequence[float],
    importance: Mapping[str, tuple[float, float]],
    *,
    name: str,
    lowest: bool = True,
    title: str,
    subtitle: str = "",
) -> Figure:
    """Draw the objective by trial with the best so far, and beside it the importance of each key with its error.

    Args:
        numbers: of the trials, ascending.
        values: their objective.
        importance: key to its share in [0, 1] and the standard error; empty draws none.
        name: of the objective.
        lowest: whether smaller is better.
        title: of the picture.
        subtitle: under it.
    """
    made = page(1560, 720, title, subtitle)
    values = np.asarray(values, dtype=float)
    wide = 790 if importance else 1390
    axes = add_chart(made, 130, 150, wide, 460)
    so_far = np.minimum.accumulate(values) if lowest else np.maximum.accumulate(values)
    dots(axes, numbers, values, DOT, 11, width=0, alpha=0.75)
    axes.step(numbers, so_far, where="post", color=INK, lw=points_of(3))
    value_scale(axes, values)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    label(axes, "trial  (line: the best so far)", name)
    if importance:
        keys = list(importance)[:MOST_KEYS]
        bars = add_chart(made, 1150, 150, 350, 460)
        rows = np.arange(len(keys))
        shares = np.array([importance[key][0] for key in keys]) * 100
        errors = np.array([importance[key][1] for key in keys]) * 100
        bars.barh(rows, shares, height=0.55, color=DOT, alpha=0.8)
        bars.hlines(rows, np.maximum(shares - errors, 0), np.minimum(shares + errors, 100), color=INK, lw=points_of(3))
        bars.set_xlim(0, 100)
        bars.set_ylim(max(len(keys), 4) - 0.4, -0.6)
        bars.grid(False, axis="y")
        bars.yaxis.set_major_locator(NullLocator())
        for row, key in enumerate(keys):
            note(bars, key, (1, row - 0.36), xycoords="data", size=21, color=INK, va="bottom")
        label(bars, "variation explained by itself, %")
    return made


def against_keys(
    keys: Mapping[str, Sequence[Any]],
    values: Sequence[float],
    *,
    logarithmic: Sequence[str] = (),
    name: str,
    best: int,
    title: str,
    subtitle: str = "",
) -> Figure:
    """Draw the objective against each key, a dot a trial, later ones darker; the best trial has a star.

    Args:
        keys: name to the trials' values, numbers or categories; at most twelve are drawn.
        values: the objective.
        logarithmic: names whose axis is logarithmic.
        name: of the objective.
        best: place of the best trial.
        title: of the picture.
        subtitle: under it.
    """
    shown = list(keys)[:MOST_KEYS]
    columns = min(3, len(shown))
    rows = -(-len(shown) // columns)
    wide, tall = 1400 // columns - 110, 400 if rows < 3 else 320
    made = page(1560, 140 + rows * (tall + 110) + 10, title, subtitle)
    values = np.asarray(values, dtype=float)
    order = np.linspace(0.25, 1.0, len(values))
    for place, key in enumerate(shown):
        row, column = divmod(place, columns)
        axes = add_chart(made, 130 + column * (wide + 110), 140 + row * (tall + 110), wide, tall)
        own = list(keys[key])
        numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in own)
        if numbers:
            x = np.array(own, dtype=float)
        else:
            kinds = sorted(set(map(str, own)))
            jitter = np.random.default_rng(0).uniform(-0.16, 0.16, len(own))
            x = np.array([kinds.index(str(value)) for value in own]) + jitter
            axes.set_xlim(-0.6, len(kinds) - 0.4)
        if numbers and key in logarithmic and (x > 0).all():
            log_scale(axes, "x", [x], digits=((1,),), most=5)
        for one, at, shade in zip(values, x, order):
            dots(axes, [at], [one], DOT, 12, width=0, alpha=float(shade))
        dots(axes, [x[best]], [values[best]], BEST, 30, edge=INK, width=1.5, marker="*", zorder=5)
        value_scale(axes, values)
        if not numbers:
            categories(axes.xaxis, kinds)
        elif key not in logarithmic:
            kinds = sorted(set(own))
            axes.xaxis.set_major_locator(FixedLocator(kinds) if len(kinds) <= 6 else MaxNLocator(5))
        label(axes, key, name if column == 0 else "")
    return made


def front(
    first: Sequence[float],
    second: Sequence[float],
    on: Sequence[int],
    *,
    names: tuple[str, str],
    title: str,
    subtitle: str = "",
) -> Figure:
    """Draw two objectives against each other, the trials that none beats joined.

    Args:
        first: along x.
        second: along y.
        on: places of the trials on the front.
        names: of the two.
        title: of the picture.
        subtitle: under it.
    """
    made = page(1100, 820, title, subtitle)
    axes = add_chart(made, 150, 140, 890, 570)
    x, y = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    places = sorted(on, key=lambda place: (x[place], y[place]))
    dots(axes, x, y, DOT, 11, width=0, alpha=0.6)
    axes.plot(x[places], y[places], color=INK, lw=points_of(2.5), drawstyle="steps-post")
    dots(axes, x[places], y[places], BEST, 16, edge=INK, width=1.5)
    if (x > 0).all() and x.max() > 8 * x.min():
        log_scale(axes, "x", [x], digits=((1, 2, 5), (1,)), most=8)
    value_scale(axes, y)
    label(axes, *names)
    return made


def value_scale(axes, values: np.ndarray) -> None:
    """Give y a logarithmic scale where the values are positive and far apart."""
    if (values > 0).all() and values.max() > 3 * values.min():
        log_scale(axes, "y", [values])
