"""A picture of approximation by ReLUs: how sums of them make a function, method beside method."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mlplab.plots.charts import add_chart, label, note
from mlplab.plots.style import BACKGROUND, COLOURS, INK, MUTED, mix, page, points_of, rgb, text
from mlplab.words import plural

TARGET = "#b9bdc7"
FIT = COLOURS[2]
FLOOR = "#2f7d4f"
# One colour a method, and the heading it goes by; the two methods that are fitted by training are dots.
METHODS: dict[str, tuple[str, str]] = {
    "uniform": (INK, "uniform interpolant"),
    "equidistributed": (COLOURS[0], "equidistributed knots"),
    "least_squares": (COLOURS[5], "least squares, best knots"),
    "greedy": (COLOURS[3], "greedy, one at a time"),
    "minimax": (FLOOR, "minimax, certified"),
    "trained": (COLOURS[2], "trained"),
    "depth": ("#d98200", "deep"),
}


def unit_colours(count: int) -> np.ndarray:
    """Return ``count`` colours from blue over purple to orange, shape (count, 3)."""
    stops = np.stack([rgb(c) for c in ("#1f5fa8", "#6a4bb5", "#b9408f", "#e0663c", "#f0a91f")])
    return np.stack([np.interp(np.linspace(0, 1, max(count, 2)), np.linspace(0, 1, 5), s) for s in stops.T], 1)[:count]


def _number(value: float) -> str:
    """Write an error with four digits, in powers of ten where small."""
    return f"{value:.4g}" if value >= 1e-3 or value == 0 else f"{value:.3e}".replace("e-0", "e-")


def _lines(axes, x: np.ndarray, rows: np.ndarray, width: float, alpha: float = 1.0) -> None:
    """Draw many lines, one a row, each in its unit's colour; past sixty every k-th."""
    step = max(1, len(rows) // 60)
    colours = unit_colours(len(rows))[::step]
    segments = [np.column_stack([x, row]) for row in rows[::step]]
    axes.add_collection(
        LineCollection(segments, colors=colours, linewidths=points_of(width), alpha=alpha, zorder=3, capstyle="round")
    )


_DOTS = {"ls": "none", "marker": "o", "mec": BACKGROUND, "mew": points_of(1), "clip_on": False}


def _summing_up(
    axes,
    x: np.ndarray,
    target: np.ndarray,
    column: Mapping[str, Any],
    weighted: np.ndarray,
    low: float,
    high: float,
    room: float,
) -> None:
    """Draw the sums of the first units, the target and the estimate with its knots."""
    knots, fit = np.asarray(column["knots"]), np.asarray(column["fit"])
    # The sum after k units leaves the estimate at the next knot and goes on straight.
    sums = column["offset"] + column["linear"] * x + np.cumsum(weighted, 0)
    _lines(axes, x, np.clip(sums[:-1], low - 9 * room, high + 9 * room), 2, 0.6)
    axes.plot(x, target, color=TARGET, lw=points_of(9), zorder=4, solid_capstyle="round")
    axes.plot(x, fit, color=FIT, lw=points_of(3), zorder=5)
    inside = (knots >= x[0]) & (knots <= x[-1])
    if inside.sum() <= 64:
        axes.scatter(
            knots[inside],
            np.interp(knots[inside], x, fit),
            s=points_of(11) ** 2,
            zorder=6,
            color=unit_colours(len(knots))[inside],
            edgecolors=BACKGROUND,
            linewidths=points_of(1.5),
            clip_on=False,
        )
    axes.set_ylim(low - room, high + room)


def _error(
    axes, x: np.ndarray, error: np.ndarray, worst: float, bound: float | None, floor: float | None, stems: bool
) -> None:
    """Draw the error between the lines that nothing crosses; at points, as stems."""
    if not stems:
        axes.fill_between(x, error, color=mix(COLOURS[0], 0.35, BACKGROUND), lw=0, zorder=2)
        axes.plot(x, error, color=COLOURS[0], lw=points_of(2), zorder=3)
    else:
        axes.vlines(x, 0, error, color=mix(COLOURS[0], 0.5, BACKGROUND), lw=points_of(4), zorder=3)
        axes.plot(x, error, mfc=COLOURS[0], ms=points_of(9), zorder=5, **_DOTS)
    axes.axhline(0, color=MUTED, lw=points_of(1.5), zorder=2.5)
    for level, dash in ((bound, (0, (5, 3))), (floor, "solid")):
        for side in (-1, 1) if level else ():
            axes.axhline(side * level, color=FLOOR, lw=points_of(2.5), ls=dash, zorder=4)
    axes.set_ylim(-1.14 * worst, 1.14 * worst)
    if np.abs(error).max() > 1.2 * worst:
        plate = {"facecolor": BACKGROUND, "edgecolor": "none", "alpha": 0.8, "pad": 1}
        note(axes, "beyond the scale", (0.98, 0.05), size=18, ha="right", bbox=plate)


ROWS = ("activations", "weighted", "summing up", "error")


def _scale(charts: Sequence[Any], x: np.ndarray, width: float, *, first: bool) -> None:
    """Give the charts of a column their ticks; the first column has numbers and names at its left, the last row below."""
    for row, axes in enumerate(charts):
        axes.set_xlim(x[0], x[-1])
        axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
        axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.tick_params(labelleft=first, labelbottom=row == 3)
        if first:
            label(axes, "", ROWS[row], size=22)
            axes.yaxis.set_label_coords(-82 / width, 0.5)


def _limits(pieces: int, bound: float | None, floor: float | None) -> str:
    """Say what the lines in the last row are."""
    if bound and floor and _number(bound) == _number(floor):  # the two lines lie on each other
        return f"neither {plural(pieces, 'continuous piece')} nor a one-layer network of {plural(pieces, 'ReLU')} come closer than {_number(bound)}"
    words = []
    if bound:
        words.append(
            f"dashed: no {plural(pieces, 'continuous piece comes', 'continuous pieces come')} closer than {_number(bound)}"
        )
    if floor:
        words.append(f"solid: no one-layer network of {plural(pieces, 'ReLU')} comes closer than {_number(floor)}")
    return ";  ".join(words)


def _scales(x: np.ndarray, target: np.ndarray, columns: Sequence[Mapping[str, Any]]) -> tuple[list, tuple, float]:
    """Give each column's weighted activations, the reach of their axis and the largest error, by which all are drawn.

    What training misses by would flatten everything else: the constructions set the scale.
    """
    weighted = [np.asarray(c["weights"])[:, None] * np.maximum(x - np.asarray(c["knots"])[:, None], 0) for c in columns]
    leading = [k for k, c in enumerate(columns) if not c.get("clipped")] or range(len(columns))
    low, high = min(float(weighted[k].min()) for k in leading), max(float(weighted[k].max()) for k in leading)
    margin = 0.06 * max(high - low, 1e-12)
    worst = max(columns[k]["max_error"] for k in leading)
    worst = worst if worst > 1e-13 * max(float(np.abs(target).max()), 1e-300) else 1.0
    return weighted, (low - margin, high + margin), worst


def decomposition(
    x: np.ndarray,
    target: np.ndarray,
    columns: Sequence[Mapping[str, Any]],
    *,
    title: str,
    subtitle: str = "",
    floor: float | None = None,
    bound: float | None = None,
    points: tuple[np.ndarray, np.ndarray] | None = None,
) -> Figure:
    """Draw how sums of n ReLUs make a function, a column for each method.

    Rows: the unit-slope activations; the same times their weights; their sum, unit after unit, on the way to
    the estimate; and the error, with the least that any n continuous pieces must have.

    Args:
        x: shape (S,), increasing.
        target: shape (S,).
        columns: one to four, each with ``name``, ``note``, ``knots`` (n,), ``weights`` (n,), ``offset``,
            ``linear``, ``fit`` (S,), ``max_error`` and ``rms_error``.
        title: words above.
        subtitle: words under the title.
        floor: no network of n ReLUs in one layer has a smaller largest error; None where not known.
        points: abscissae and ordinates where errors count at them alone; they are drawn, with stems.
        bound: no n continuous pieces with n ReLUs, the first at the left end, have a smaller one.

    Returns:
        A ``Figure``, 1420 pixels high.
    """
    count = len(columns)
    across, gap, left = (540, 60, 140) if count < 4 else (430, 44, 140)
    wide = left + count * across + (count - 1) * gap
    made = page(wide + 70, 1420, title, subtitle, left=left - 90)
    heights, tops = (215, 215, 270, 240), (198, 455, 712, 1034)
    weighted, reach, worst = _scales(x, target, columns)
    low, high = float(target.min()), float(target.max())
    room = 0.18 * max(high - low, 1e-12)
    for place, column in enumerate(columns):
        start = left + place * (across + gap)
        knots, fit = np.asarray(column["knots"]), np.asarray(column["fit"])
        text(made, start, 146, column["name"], 27, width=across, weight="bold")
        text(made, start, 178, column.get("note", ""), 20, width=across, color=MUTED)
        charts = [add_chart(made, start, top, across, height, size=19) for top, height in zip(tops, heights)]
        _scale(charts, x, across, first=place == 0)
        _lines(charts[0], x, np.maximum(x - knots[:, None], 0), 3.5)
        charts[0].set_ylim(-0.03 * (x[-1] - x[0]), 1.05 * (x[-1] - x[0]))
        _lines(charts[1], x, weighted[place], 3.5)
        charts[1].set_ylim(*reach)
        _summing_up(charts[2], x, target, column, weighted[place], low, high, room)
        missed = fit - target if points is None else np.interp(points[0], x, fit) - points[1]
        _error(charts[3], x if points is None else points[0], missed, worst, bound, floor, points is not None)
        if points is not None:
            charts[2].plot(*points, mfc=MUTED, ms=points_of(10), zorder=4.5, **_DOTS)
        words = f"max {_number(column['max_error'])}   RMS {_number(column['rms_error'])}"
        text(made, start, 1024, words, 21, width=across)
        label(charts[3], "x", size=22)
    text(made, left - 90, 1388, _limits(columns[0]["pieces"], bound, floor), 21, width=wide, color=FLOOR)
    return made
