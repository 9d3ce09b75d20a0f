"""Settings from best to worst: the interval for the geometric mean, and a dot for each seed."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from mlplab.plots.charts import DASHED, add_chart, dots, label, log_scale, note
from mlplab.plots.curves import BAYES
from mlplab.plots.style import FAINT, INK, MUTED, page, points_of, text

MOST = 24
NAMES = 420
LEAST = 1e-12


def ranking(
    names: Sequence[str],
    values: Sequence[Sequence[float]],
    intervals: Sequence[tuple[float, float]],
    near: Sequence[bool],
    *,
    title: str,
    subtitle: str = "",
    x_name: str,
    bayes: float | None = None,
) -> Figure:
    """Draw one row a setting, the best on top; at most ``MOST`` are drawn.

    Args:
        names: of the settings, best first.
        values: of each setting's runs, >= 0, smaller is better.
        intervals: lower and upper end for each geometric mean; NaN where there is none.
        near: whether a setting is not significantly different from the first.
        title: of the picture.
        subtitle: under it.
        x_name: what the values are.
        bayes: the least that can be reached; None draws no line.

    Returns:
        A ``Figure`` 1560 pixels wide, its height by the number of rows.
    """
    shown = range(min(len(names), MOST))
    step = 38 if len(shown) > 8 else 48
    made = page(1560, 128 + step * len(shown) + 100, title, subtitle)
    left = 60 + NAMES
    axes = add_chart(made, left, 128, 1560 - left - 60, step * len(shown))
    axes.set_ylim(len(shown) - 0.5, -0.5)
    drawn = [np.maximum(values[row], LEAST) for row in shown]
    low, high = log_scale(axes, "x", [*drawn, bayes], digits=((1, 2, 3, 5), (1, 2, 5), (1, 3), (1,)), most=9)
    axes.grid(False, axis="y")
    axes.yaxis.set_major_locator(NullLocator())
    axes.spines["left"].set_visible(False)
    rows = np.arange(len(shown))
    axes.hlines(rows, low, high, color=FAINT, lw=points_of(1), zorder=1)
    for flag, letters, bar in ((True, INK, "#ffa90e"), (False, MUTED, "#b9bec9")):
        own = [row for row in shown if near[row] == flag]
        ends = np.array([intervals[row] for row in own], dtype=float).reshape(-1, 2).clip(low, high)
        seen = np.isfinite(ends).all(axis=1)
        axes.hlines(np.array(own)[seen], *ends[seen].T, color=bar, lw=points_of(13), alpha=0.75, zorder=2)
        runs = [(value, row) for row in own for value in drawn[row]]
        if runs:
            dots(axes, *zip(*runs), letters, 9, width=0, alpha=0.7, zorder=4)
    means = [np.exp(np.mean(np.log(one))) for one in drawn]
    dots(axes, means, rows, INK, 26, edge=INK, width=4, marker="|", zorder=5)
    _name_rows(made, names, near, left - 20, step)
    if bayes is not None:
        axes.axvline(bayes, color=BAYES, lw=points_of(3), ls=DASHED, zorder=2)
        place = {"xycoords": ("data", "axes fraction"), "va": "top", "rotation": 90}
        note(axes, "Bayes limit", (bayes, 1), right=8, up=-8, color=BAYES, **place)
    label(axes, x_name)
    return made


def _name_rows(made: Figure, names: Sequence[str], near: Sequence[bool], right: float, step: float) -> None:
    """Write the names of the first `MOST` settings beside their rows, and how many more there are."""
    for row, name in enumerate(names[:MOST]):
        style = {"color": INK, "weight": "bold"} if near[row] else {"color": MUTED}
        words, at = f"★ {name}" if row == 0 else name, 128 + (row + 0.5) * step
        text(made, right, at, words, 22, ha="right", va="center", width=NAMES - 10, **style)
    if len(names) > MOST:
        last = 128 + MOST * step + 34
        text(made, right, last, f"and {len(names) - MOST} more", 20, ha="right", color=MUTED)
