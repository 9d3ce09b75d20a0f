"""Pictures of approximation by ReLUs: how a sum is built up, error against width, and what depth buys."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from mlplab.plots.charts import add_chart, end_names, label, positive_range
from mlplab.plots.style import BACKGROUND, COLOURS, INK, MUTED, figure, mix, points_of, rgb, text

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
    """Return ``count`` colours from blue over purple to orange, in the order of the knots; shape (count, 3)."""
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
    axes.add_collection(LineCollection(segments, colors=colours, linewidths=points_of(width), alpha=alpha, zorder=3,
                                       capstyle="round"))


def decomposition(x: np.ndarray, target: np.ndarray, columns: Sequence[Mapping[str, Any]], *, title: str,
                  subtitle: str = "", floor: float | None = None, bound: float | None = None) -> Figure:
    """Draw how sums of n ReLUs make a function, a column for each method.

    Rows: the unit-slope activations; the same times their weights; their sum, unit after unit, on the way to
    the estimate; and the error, with the least that any n pieces must have.

    Args:
        x: shape (S,), increasing.
        target: shape (S,).
        columns: one to four, each with ``name``, ``note``, ``knots`` (n,), ``weights`` (n,), ``offset``,
            ``linear``, ``fit`` (S,), ``max_error`` and ``rms_error``.
        title: words above.
        subtitle: words under the title.
        floor: no network of n ReLUs in one layer has a smaller largest error; None where not known.
        bound: no n pieces with n ReLUs, the first at the left end, have a smaller one.

    Returns:
        A ``Figure``, 1420 pixels high.
    """
    count = len(columns)
    across, gap, left = (540, 60, 140) if count < 4 else (430, 44, 140)
    made = figure(left + count * across + (count - 1) * gap + 70, 1420)
    wide = made.get_size_inches()[0] * 160 - 70
    text(made, left - 90, 52, title, 34, width=wide, weight="bold")
    text(made, left - 90, 92, subtitle, 23, width=wide, color=MUTED)
    heights, tops = (215, 215, 270, 240), (198, 455, 712, 1034)
    names = ("activations", "weighted", "summing up", "error")
    # What training misses by would flatten everything else: the constructions set the scale.
    leading = [c for c in columns if not c.get("clipped")] or list(columns)
    worst = max(float(np.abs(np.asarray(c["fit"]) - target).max()) for c in leading)
    worst = worst if worst > 1e-13 * max(float(np.abs(target).max()), 1e-300) else 1.0
    low, high = float(target.min()), float(target.max())
    room = 0.18 * max(high - low, 1e-12)
    weighted = [np.asarray(c["weights"])[:, None] * np.maximum(x - np.asarray(c["knots"])[:, None], 0)
                for c in columns]
    kept = [w for w, c in zip(weighted, columns) if not c.get("clipped")] or weighted
    reach = [float(w.min()) for w in kept], [float(w.max()) for w in kept]
    for place, column in enumerate(columns):
        start = left + place * (across + gap)
        knots, fit = np.asarray(column["knots"]), np.asarray(column["fit"])
        text(made, start, 146, column["name"], 27, width=across, weight="bold")
        text(made, start, 178, column.get("note", ""), 20, width=across, color=MUTED)
        charts = [add_chart(made, start, top, across, height, size=19) for top, height in zip(tops, heights)]
        for row, axes in enumerate(charts):
            axes.set_xlim(x[0], x[-1])
            axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
            axes.yaxis.set_major_locator(MaxNLocator(4))
            if place:
                axes.tick_params(labelleft=False)
            if row < 3:
                axes.tick_params(labelbottom=False)
            if not place:
                label(axes, "", names[row], size=22)
                axes.yaxis.set_label_coords(-82 / across, 0.5)
        _lines(charts[0], x, np.maximum(x - knots[:, None], 0), 3.5)
        charts[0].set_ylim(-0.03 * (x[-1] - x[0]), 1.05 * (x[-1] - x[0]))
        _lines(charts[1], x, weighted[place], 3.5)
        margin = 0.06 * max(max(reach[1]) - min(reach[0]), 1e-12)
        charts[1].set_ylim(min(reach[0]) - margin, max(reach[1]) + margin)
        # The sum after k units leaves the estimate at the next knot and goes on straight.
        sums = column["offset"] + column["linear"] * x + np.cumsum(weighted[place], 0)
        _lines(charts[2], x, np.clip(sums[:-1], low - 9 * room, high + 9 * room), 2, 0.6)
        charts[2].plot(x, target, color=TARGET, lw=points_of(9), zorder=4, solid_capstyle="round")
        charts[2].plot(x, fit, color=FIT, lw=points_of(3), zorder=5)
        inside = (knots >= x[0]) & (knots <= x[-1])
        if inside.sum() <= 64:
            charts[2].scatter(knots[inside], np.interp(knots[inside], x, fit), s=points_of(11) ** 2, zorder=6,
                              color=unit_colours(len(knots))[inside], edgecolors=BACKGROUND,
                              linewidths=points_of(1.5), clip_on=False)
        charts[2].set_ylim(low - room, high + room)
        error = fit - target
        charts[3].fill_between(x, error, color=mix(COLOURS[0], 0.35, BACKGROUND), lw=0, zorder=2)
        charts[3].plot(x, error, color=COLOURS[0], lw=points_of(2), zorder=3)
        charts[3].axhline(0, color=MUTED, lw=points_of(1.5), zorder=2.5)
        for level, dash in ((bound, (0, (5, 3))), (floor, "solid")):
            if level:
                for side in (-1, 1):
                    charts[3].axhline(side * level, color=FLOOR, lw=points_of(2.5), ls=dash, zorder=4)
        charts[3].set_ylim(-1.14 * worst, 1.14 * worst)
        words = f"max {_number(column['max_error'])}   RMS {_number(column['rms_error'])}"
        text(made, start, 1024, words, 21, width=across)
        if np.abs(error).max() > 1.2 * worst:
            charts[3].text(0.98, 0.05, "beyond the scale", transform=charts[3].transAxes, ha="right", color=MUTED,
                           fontsize=points_of(18), fontfamily="DejaVu Sans",
                           bbox={"facecolor": BACKGROUND, "edgecolor": "none", "alpha": 0.8, "pad": 1})
        label(charts[3], "x", size=22)
    words = []
    if bound:
        words.append(f"dashed: no {columns[0]['pieces']} pieces come closer than {_number(bound)}")
    if floor:
        words.append(f"solid: no one-layer network of {len(columns[0]['knots'])} ReLUs comes closer than {_number(floor)}")
    text(made, left - 90, 1388, ";  ".join(words), 21, width=wide, color=FLOOR)
    return made


def _log_axis(axis, low: float, high: float, *, plain: bool, digits: Sequence[int] = (1,)) -> None:
    """Give a logarithmic axis few round numbers: plain integers, or powers of ten."""
    powers = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    ticks = [d * 10.0**p for p in powers for d in digits if low <= d * 10.0**p <= high]
    ticks = ticks[:: max(1, -(-len(ticks) // 8))]
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_minor_locator(NullLocator())
    if plain:
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    else:
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"$10^{{{round(np.log10(value))}}}$"))


def width_sweep(n: np.ndarray, series: Mapping[str, Mapping[str, np.ndarray]], *, title: str, subtitle: str = "",
                floor: np.ndarray | None = None, constants: Mapping[str, float] | None = None,
                dots: Sequence[tuple[str, np.ndarray, np.ndarray, np.ndarray]] = ()) -> Figure:
    """Draw the largest and the RMS error against the number of ReLUs, both scales logarithmic.

    Args:
        n: numbers of ReLUs, shape (W,), increasing, at least two.
        series: method -> ``max`` and ``rms``, each of shape (W,), NaN where there is none.
        title: words above.
        subtitle: words under the title.
        floor: what no one-layer network can go below in the largest error, shape (W,).
        constants: method -> c of the asymptotic law c / n^2 of its largest error.
        dots: trained networks as (name, n, max errors, RMS errors).

    Returns:
        A ``Figure`` of 1980 x 960 pixels.
    """
    made = figure(1980, 960)
    text(made, 60, 54, title, 34, width=1860, weight="bold")
    text(made, 60, 94, subtitle, 23, width=1860, color=MUTED)
    for place, (kind, words) in enumerate((("max", "largest error"), ("rms", "RMS error"))):
        left = 130 if place == 0 else 1115
        text(made, left, 152, words, 26, weight="bold")
        axes = add_chart(made, left, 180, 560, 660, size=21)
        axes.set_xscale("log")
        axes.set_yscale("log")
        values = [s[kind] for s in series.values()] + [d[2 if kind == "max" else 3] for d in dots]
        largest = max(float(np.nanmax(v)) for v in values if np.isfinite(v).any())
        # A target that is itself made of few pieces is met to rounding: that is no curve to scale by.
        low, high = positive_range([*values, *([floor[floor > 0]] if floor is not None and kind == "max" else [])],
                                   floor=largest * 1e-11)
        axes.set_xlim(n[0] / 1.12, n[-1] * 1.12)
        axes.set_ylim(low, high)
        names = []
        if floor is not None and kind == "max" and (floor > 0).all():
            axes.fill_between(np.r_[n[0] / 2, n, n[-1] * 2], np.r_[floor[0], floor, floor[-1]], low / 100,
                              color=mix(FLOOR, 0.13, BACKGROUND), lw=0, zorder=1)
            axes.plot(n, floor, color=mix(FLOOR, 0.6, BACKGROUND), lw=points_of(2), zorder=2)
            axes.text(0.035, 0.035, "no one-layer network\ngets here", transform=axes.transAxes, color=FLOOR,
                      fontsize=points_of(21), fontfamily="DejaVu Sans", va="bottom", linespacing=1.35)
        for method, constant in (constants or {}).items():
            if kind == "max" and constant > 0 and method in series:
                axes.plot(n, constant / n.astype(float) ** 2, color=METHODS[method][0], lw=points_of(2),
                          ls=(0, (2, 3)), zorder=2.5)
        for name, at, top, rms in dots:
            shift = 0.97 if "minimax" in name else 1.03
            axes.plot(at * shift, top if kind == "max" else rms, ls="none", marker="o" if shift > 1 else "D",
                      ms=points_of(10 if shift > 1 else 9), mfc=mix(FIT, 0.45 if shift > 1 else 0.0, BACKGROUND),
                      mec=FIT, mew=points_of(2), zorder=5, clip_on=True)
        for method, errors in series.items():
            colour, heading = METHODS[method]
            good = np.isfinite(errors[kind]) & (errors[kind] > 0)
            if not good.any():
                continue
            axes.plot(n[good], errors[kind][good], color=colour, lw=points_of(4), marker="o", ms=points_of(10),
                      mec=BACKGROUND, mew=points_of(1.5), zorder=4)
            names.append((max(float(errors[kind][good][-1]), low), heading, colour))
        for name in dict.fromkeys(name for name, *_ in dots):
            ends = np.concatenate([d[2 if kind == "max" else 3][d[1] == d[1].max()] for d in dots if d[0] == name])
            names.append((float(np.median(ends)), name, FIT))
        _log_axis(axes.xaxis, n[0] / 1.12, n[-1] * 1.12, plain=True, digits=(1, 2, 5) if n[-1] / n[0] < 1500 else (1,))
        _log_axis(axes.yaxis, low, high, plain=False)
        label(axes, "ReLUs", "", size=23)
        end_names(axes, names, size=20)
    text(made, 60, 934, "dotted: the asymptotic law of each method, constant / n²" if constants else "", 20,
         width=1860, color=MUTED)
    return made


def depth_gain(wide_n: np.ndarray, wide: np.ndarray, deep_n: np.ndarray, deep: np.ndarray, *, title: str,
               subtitle: str = "", laws: Sequence[tuple[str, np.ndarray, np.ndarray, str]] = (),
               floor: np.ndarray | None = None, trained_n: np.ndarray | None = None, trained: np.ndarray | None = None,
               x: np.ndarray | None = None, stages: Sequence[tuple[str, np.ndarray]] = ()) -> Figure:
    """Draw error against the number of ReLUs, deep beside wide, and how the deep network does it.

    Args:
        wide_n, wide: one hidden layer, minimax; shapes (W,).
        deep_n, deep: the construction; shapes (D,).
        title, subtitle: words above.
        laws: (name, n, error, colour key "wide" or "deep") lines of theory.
        floor: what no single hidden layer of that width can go below, shape (W,).
        trained_n, trained: networks of the deep ones' sizes trained from random weights, shapes (T,).
        x: abscissae of the stages, shape (S,).
        stages: (name, values (S,)) of the construction layer by layer, at most four.

    Returns:
        A ``Figure`` of 1900 x 960 pixels.
    """
    made = figure(1900, 960)
    text(made, 60, 54, title, 34, width=1780, weight="bold")
    text(made, 60, 94, subtitle, 23, width=1780, color=MUTED)
    axes = add_chart(made, 150, 160, 720, 680, size=21)
    axes.set_yscale("log")
    low, high = positive_range([wide, deep, *([trained] if trained is not None else [])],
                               floor=float(np.max(wide)) * 1e-9)
    axes.set_ylim(low, high)
    last = float(max(wide_n.max(), deep_n.max()))
    few = last <= 40
    axes.set_xscale("linear" if few else "log")
    axes.set_xlim(0 if few else 1, last * (1.03 if few else 1.1))
    wide_colour, deep_colour = METHODS["minimax"][0], METHODS["depth"][0]
    if floor is not None and (floor > 0).all():
        axes.fill_between(wide_n, floor, low / 100, color=mix(wide_colour, 0.1, BACKGROUND), lw=0, zorder=1)
        axes.text(0.03, 0.035, "no single hidden layer\ngets here", transform=axes.transAxes, color=wide_colour,
                  fontsize=points_of(21), fontfamily="DejaVu Sans", va="bottom", linespacing=1.35)
    for _, at, level, key in laws:
        axes.plot(at, level, color=wide_colour if key == "wide" else deep_colour, lw=points_of(2), ls=(0, (2, 3)),
                  zorder=2.5)
    names = [(float(wide[-1]), "one layer, the best", wide_colour), (float(deep[-1]), "deep, written down", deep_colour)]
    axes.plot(wide_n, wide, color=wide_colour, lw=points_of(4), zorder=3)
    axes.plot(deep_n, deep, color=deep_colour, lw=points_of(4), marker="o", ms=points_of(11), mec=BACKGROUND,
              mew=points_of(1.5), zorder=4)
    if trained is not None and trained.size:
        axes.plot(trained_n, trained, ls="none", marker="o", ms=points_of(9), mfc=mix(FIT, 0.35, BACKGROUND), mec=FIT,
                  mew=points_of(1.8), zorder=5)
        names.append((float(np.median(trained[trained_n == trained_n.max()])), "deep, trained from random", FIT))
    _log_axis(axes.yaxis, low, high, plain=False)
    if few:
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    else:
        _log_axis(axes.xaxis, 1, last * 1.1, plain=True, digits=(1, 2, 5) if last < 1500 else (1,))
    label(axes, "ReLUs in all layers", "largest error", size=23)
    axes.yaxis.set_label_coords(-0.12, 0.5)
    end_names(axes, names, size=20)
    if stages:
        height = (680 - 24 * (len(stages) - 1)) / len(stages)
        for place, (name, values) in enumerate(stages):
            chart = add_chart(made, 1330, 160 + place * (height + 24), 500, height, size=18)
            chart.plot(x, values, color=deep_colour, lw=points_of(3), zorder=3, clip_on=False)
            chart.set_ylim(0 if values.min() >= 0 else 1.1 * values.min(), 1.45 * values.max())
            chart.set_xlim(x[0], x[-1])
            chart.yaxis.set_major_locator(MaxNLocator(3))
            chart.xaxis.set_major_locator(MaxNLocator(5))
            if place < len(stages) - 1:
                chart.tick_params(labelbottom=False)
            chart.text(0.02, 0.97, name, transform=chart.transAxes, fontsize=points_of(20), va="top",
                       fontfamily="DejaVu Sans", color=INK, zorder=6,
                       bbox={"facecolor": BACKGROUND, "edgecolor": "none", "alpha": 0.85, "pad": 2})
        label(chart, "x", size=22)
    text(made, 60, 934, "dotted: theory", 20, color=MUTED) if laws else None
    return made
