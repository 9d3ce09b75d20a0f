"""Pictures of errors of approximation by ReLUs: against the width, and what depth buys."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from mlplab.plots.charts import add_chart, dots, end_names, label, note, positive_range
from mlplab.plots.style import BACKGROUND, INK, MUTED, mix, page, points_of, text
from mlplab.studies.relu.panels import FIT, FLOOR, METHODS


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


def _forbidden(axes, n: np.ndarray, floor: np.ndarray, low: float, share: float, colour: str, words: str) -> None:
    """Shade what no network of one layer reaches, and say so in the corner of the shade."""
    axes.fill_between(n, floor, low / 100, color=mix(colour, share, BACKGROUND), lw=0, zorder=1)
    (begin, _) = axes.transAxes.inverted().transform(axes.transData.transform((n[0], low)))
    note(axes, words, (max(begin, 0.0) + 0.03, 0.035), size=21, color=colour, va="bottom", linespacing=1.35)


def _curve(axes, n: np.ndarray, error: np.ndarray, colour: str, size: float = 10, zorder: float = 4) -> None:
    """Draw what was measured: a line with dots."""
    axes.plot(
        n,
        error,
        color=colour,
        lw=points_of(4),
        marker="o",
        ms=points_of(size),
        mec=BACKGROUND,
        mew=points_of(1.5),
        zorder=zorder,
    )


def _law(axes, n: np.ndarray, error: np.ndarray, colour: str) -> None:
    """Draw what theory says: dotted."""
    axes.plot(n, error, color=colour, lw=points_of(2), ls=(0, (2, 3)), zorder=2.5)


def _networks(axes, n: np.ndarray, error: np.ndarray, start: str) -> None:
    """Draw trained networks, a mark each: full ones went on from a construction, squares were trained in hats."""
    shift, marker, size, share = {
        "trained from minimax": (0.97, "D", 9, 0.0),
        "trained in hats": (1.0, "s", 9, 0.2),
    }.get(start, (1.03, "o", 10, 0.45))
    dots(axes, n * shift, error, mix(FIT, share, BACKGROUND), size, edge=FIT, marker=marker, zorder=5)


def width_sweep(
    n: np.ndarray,
    series: Mapping[str, Mapping[str, np.ndarray]],
    *,
    title: str,
    subtitle: str = "",
    floor: np.ndarray | None = None,
    constants: Mapping[str, float] | None = None,
    dots: Sequence[tuple[str, np.ndarray, np.ndarray, np.ndarray]] = (),
) -> Figure:
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
    made = page(1980, 960, title, subtitle)
    text(made, 130, 152, "largest error", 26, weight="bold")
    axes = add_chart(made, 130, 180, 560, 660, size=21)
    best = {method: errors["max"] for method, errors in series.items()}
    _against_width(axes, n, best, [(name, at, top) for name, at, top, _ in dots], floor, constants or {})
    text(made, 1115, 152, "RMS error", 26, weight="bold")
    axes = add_chart(made, 1115, 180, 560, 660, size=21)
    best = {method: errors["rms"] for method, errors in series.items()}
    _against_width(axes, n, best, [(name, at, rms) for name, at, _, rms in dots], None, {})
    words = "dotted: the asymptotic law of each method, constant / n²" if constants else ""
    text(made, 60, 934, words, 20, width=1860, color=MUTED)
    return made


def _against_width(
    axes,
    n: np.ndarray,
    series: Mapping[str, np.ndarray],
    networks: Sequence[tuple[str, np.ndarray, np.ndarray]],
    floor: np.ndarray | None,
    constants: Mapping[str, float],
) -> None:
    """Draw one kind of error: floor, laws, trained networks (name, n, errors), methods, and the names of all."""
    axes.set_xscale("log")
    axes.set_yscale("log")
    values = [*series.values(), *(errors for _, _, errors in networks)]
    largest = max(float(np.nanmax(v)) for v in values if np.isfinite(v).any())
    # A target that is itself made of few pieces is met to rounding: that is no curve to scale by.
    low, high = positive_range([*values, floor], floor=largest * 1e-11)
    axes.set_xlim(n[0] / 1.12, n[-1] * 1.12)
    axes.set_ylim(low, high)
    names = []
    if floor is not None and (floor > 0).all():
        wide, high_floor = np.r_[n[0] / 2, n, n[-1] * 2], np.r_[floor[0], floor, floor[-1]]
        _forbidden(axes, wide, high_floor, low, 0.13, FLOOR, "no one-layer network\ngets here")
        axes.plot(n, floor, color=mix(FLOOR, 0.6, BACKGROUND), lw=points_of(2), zorder=2)
    for method, constant in constants.items():
        if constant > 0 and method in series:
            _law(axes, n, constant / n.astype(float) ** 2, METHODS[method][0])
    for name, at, errors in networks:
        _networks(axes, at, errors, name)
    for method, errors in series.items():
        colour, heading = METHODS[method]
        good = np.isfinite(errors) & (errors > 0)
        if good.any():
            _curve(axes, n[good], errors[good], colour)
            names.append((max(float(errors[good][-1]), low), heading, colour))
    for name in dict.fromkeys(name for name, *_ in networks):
        ends = np.concatenate([errors[at == at.max()] for own, at, errors in networks if own == name])
        names.append((float(np.median(ends)), name, FIT))
    _log_axis(axes.xaxis, n[0] / 1.12, n[-1] * 1.12, plain=True, digits=(1, 2, 5) if n[-1] / n[0] < 1500 else (1,))
    _log_axis(axes.yaxis, low, high, plain=False)
    label(axes, "ReLUs", "", size=23)
    end_names(axes, names, size=20)


def _stages(made: Figure, x: np.ndarray, stages: Sequence[tuple[str, np.ndarray]], colour: str) -> None:
    """Draw, one over the other at the right, what the layers of a deep network make."""
    height = (680 - 24 * (len(stages) - 1)) / len(stages)
    for place, (name, values) in enumerate(stages):
        chart = add_chart(made, 1330, 160 + place * (height + 24), 500, height, size=18)
        chart.plot(x, values, color=colour, lw=points_of(3), zorder=3, clip_on=False)
        chart.set_ylim(0 if values.min() >= 0 else 1.1 * values.min(), 1.45 * values.max())
        chart.set_xlim(x[0], x[-1])
        chart.yaxis.set_major_locator(MaxNLocator(3))
        chart.xaxis.set_major_locator(MaxNLocator(5))
        if place < len(stages) - 1:
            chart.tick_params(labelbottom=False)
        plate = {"facecolor": BACKGROUND, "edgecolor": "none", "alpha": 0.85, "pad": 2}
        note(chart, name, (0.02, 0.97), va="top", color=INK, zorder=6, bbox=plate)
    label(chart, "x", size=22)


def _scale_sizes(axes, last: float) -> None:
    """Give x a linear scale up to 40 ReLUs, else a logarithmic one."""
    few = last <= 40
    axes.set_xscale("linear" if few else "log")
    axes.set_xlim(0 if few else 1, last * (1.03 if few else 1.1))
    if few:
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    else:
        _log_axis(axes.xaxis, 1, last * 1.1, plain=True, digits=(1, 2, 5) if last < 1500 else (1,))


def depth_gain(
    wide_n: np.ndarray,
    wide: np.ndarray,
    deep_n: np.ndarray,
    deep: np.ndarray,
    *,
    title: str,
    subtitle: str = "",
    laws: Sequence[tuple[str, np.ndarray, np.ndarray, str]] = (),
    floor: np.ndarray | None = None,
    trained_n: np.ndarray | None = None,
    trained: np.ndarray | None = None,
    x: np.ndarray | None = None,
    stages: Sequence[tuple[str, np.ndarray]] = (),
) -> Figure:
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
        A ``Figure`` of 1900 x 960 pixels, 1260 wide without stages.
    """
    made = page(1900 if stages else 1260, 960, title, subtitle)
    axes = add_chart(made, 150, 160, 720, 680, size=21)
    axes.set_yscale("log")
    low, high = positive_range([wide, deep, trained], floor=float(np.max(wide)) * 1e-9)
    axes.set_ylim(low, high)
    _scale_sizes(axes, float(max(wide_n.max(), deep_n.max())))
    wide_colour, deep_colour = METHODS["minimax"][0], METHODS["depth"][0]
    if floor is not None and (floor > 0).all():
        _forbidden(axes, wide_n, floor, low, 0.1, wide_colour, "no single hidden layer\ngets here")
    for _, at, level, key in laws:
        _law(axes, at, level, wide_colour if key == "wide" else deep_colour)
    names = [(wide[-1], "one layer, the best", wide_colour), (deep[-1], "deep, written down", deep_colour)]
    axes.plot(wide_n, wide, color=wide_colour, lw=points_of(4), zorder=3)
    _curve(axes, deep_n, deep, deep_colour, size=11)
    if trained is not None and trained.size:
        dots(axes, trained_n, trained, mix(FIT, 0.35, BACKGROUND), 9, edge=FIT, width=1.8, zorder=5)
        names.append((float(np.median(trained[trained_n == trained_n.max()])), "deep, trained from random", FIT))
    _log_axis(axes.yaxis, low, high, plain=False)
    label(axes, "ReLUs in all layers", "largest error", size=23)
    axes.yaxis.set_label_coords(-0.12, 0.5)
    end_names(axes, names, size=20)
    if stages:
        _stages(made, x, stages, deep_colour)
    text(made, 60, 934, "dotted: theory", 20, color=MUTED) if laws else None
    return made
