"""Pictures of the transfer function: families of curves, the way to the ReLU, and the cost of a time step."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from mlplab.plots.charts import add_chart, dots, end_names, label, log_scale, log_ticks, plain_log_axis, positive_range
from mlplab.plots.style import COLOURS, INK, MUTED, page, points_of, rgb, text
from mlplab.studies.lif.neuron_plots import draw_membrane, in_unit
from mlplab.studies.lif.units import scale_of

RELU = COLOURS[2]
CURVE = COLOURS[0]


def ramp(count: int, start: str = "#9cc7ef", end: str = "#10355f") -> list:
    """Return ``count`` colours from light to dark blue, in even steps."""
    shares = np.linspace(0, 1, count) if count > 1 else [0.5]
    return [tuple((1 - share) * rgb(start) + share * rgb(end)) for share in shares]


def rounded_up(value: float) -> float:
    """Return a fitting end of a rate axis: a multiple of a fifth of the value's power of ten."""
    if not value > 0:
        return 1.0
    step = 10.0 ** np.floor(np.log10(value)) / 5
    return float(np.ceil(value / step * (1 - 1e-12)) * step)


def name_rate_axes(axes, currents_ma, top_hz: float, y: bool = True) -> None:
    """Label a chart of rates over currents in units that fit them."""
    current, rate = in_unit(axes.xaxis, "ma", currents_ma), in_unit(axes.yaxis, "hz", top_hz)
    label(axes, f"input current, {current}", f"firing rate, {rate}" if y else "")


def draw_rates(axes, currents_ma, families, relu_hz, count_currents_ma=None, *, top_hz) -> None:
    """Draw rate curves from light to dark, each with its spike counts, over the dashed ReLU.

    Args:
        axes: a chart.
        currents_ma: shape (S,).
        families: list of (name, rates (S,), counted rates (K,) or None).
        relu_hz: shape (S,).
        count_currents_ma: currents of the counts, shape (K,).
        top_hz: end of the rate axis.
    """
    names = []
    for colour, (name, rates, counts) in zip(ramp(len(families)), families, strict=True):
        axes.plot(currents_ma, rates, color=colour, lw=points_of(4), zorder=3, solid_joinstyle="round")
        if counts is not None:
            circles = {"edge": colour, "width": 2.5, "zorder": 4, "clip_on": False}
            dots(axes, count_currents_ma, counts, "#ffffff", 11, **circles)
        names.append((min(rates[-1], top_hz), name, colour))
    axes.plot(currents_ma, relu_hz, color=RELU, lw=points_of(3.5), ls=(0, (5, 3)), zorder=3.5)
    names.append((min(relu_hz[-1], top_hz), "ReLU", RELU))
    axes.set_xlim(currents_ma[0], currents_ma[-1])
    axes.set_ylim(0, top_hz)
    axes.axvline(0, color=MUTED, lw=points_of(1.5), zorder=1)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.yaxis.set_major_locator(MaxNLocator(6))
    end_names(axes, names, size=20)


def transfer_families(
    currents_ma, by_resistance, by_refractory, relu_hz, count_currents_ma, *, names, title, subtitle=""
) -> Figure:
    """Draw the transfer function for a family of R (left) and of tau_ref (right).

    Args:
        currents_ma: shape (S,).
        by_resistance, by_refractory: lists of (name, exact rates (S,), rates that a simulation counts (K,)).
        relu_hz: the limit of both, shape (S,).
        count_currents_ma: where the counts were made, shape (K,).
        names: heading of each chart.
        title, subtitle: words above.

    Returns:
        A ``Figure`` of 1760 x 800 pixels.
    """
    made = page(1760, 800, title, subtitle, left=110)
    top = rounded_up(max(relu_hz[-1], *(rates[-1] for _, rates, _ in by_refractory)))
    for left, families, name in ((110, by_resistance, names[0]), (970, by_refractory, names[1])):
        axes = add_chart(made, left, 185, 600, 500)
        text(made, left, 155, name, 25, width=700, weight="bold")
        draw_rates(axes, currents_ma, families, relu_hz, count_currents_ma, top_hz=top)
        name_rate_axes(axes, currents_ma, top)
    return made


def relu_limit(currents_ma, families, relu_hz, resistances_kohm, distances, *, title, subtitle="") -> Figure:
    """Draw curves on their way to the ReLU, and their largest distance to it against R.

    Args:
        currents_ma: shape (S,).
        families: list of (name, rates (S,), None), from far to near.
        relu_hz: shape (S,).
        resistances_kohm: shape (Q,), finite, ascending.
        distances: list of (name, largest distance in Hz (Q,)), one for each tau_ref.
        title, subtitle: words above.

    Returns:
        A ``Figure`` of 1760 x 800 pixels.
    """
    made = page(1760, 800, title, subtitle, left=110)
    left = add_chart(made, 110, 150, 600, 535)
    top = rounded_up(max(relu_hz[-1], *(rates[-1] for _, rates, _ in families)))
    draw_rates(left, currents_ma, families, relu_hz, top_hz=top)
    name_rate_axes(left, currents_ma, top)
    right = add_chart(made, 1110, 150, 470, 535)
    right.set_xscale("log")
    log_scale(right, "y", [values for _, values in distances], floor=1e-300)
    factor, unit = scale_of(np.median(resistances_kohm), "kohm")
    resistances_kohm = factor * np.asarray(resistances_kohm)
    names = []
    for colour, (name, values) in zip(ramp(len(distances)), distances, strict=True):
        right.plot(resistances_kohm, values, color=colour, lw=points_of(4))
        names.append((values[-1], name, colour))
    right.set_xlim(resistances_kohm[0], resistances_kohm[-1])
    plain_log_axis(right.xaxis, resistances_kohm[0], resistances_kohm[-1])
    label(right, f"membrane resistance R, {unit}", "largest distance to the ReLU, Hz")
    end_names(right, names, size=20)
    return made


def convergence(dts_ms, methods, *, title, subtitle="") -> Figure:
    """Draw the relative error of the rate against the time step, with the measured order of each method.

    Args:
        dts_ms: shape (D,), ascending.
        methods: list of (name, errors (D, currents)); errors are relative and may be 0.
        title, subtitle: words above.

    Returns:
        A ``Figure`` of 1180 x 820 pixels.
    """
    factor, unit = scale_of(np.median(dts_ms), "ms")
    dts_ms = factor * np.asarray(dts_ms, dtype=float)
    made = page(1180, 820, title, subtitle, left=150)
    axes = add_chart(made, 150, 135, 780, 570)
    axes.set_xscale("log")
    axes.set_yscale("log")
    means = [(name, np.asarray(errors).mean(axis=1)) for name, errors in methods]
    low, high = positive_range([mean for _, mean in means])
    names = []
    colours = (CURVE, COLOURS[3], COLOURS[1])
    for k, ((name, mean), (_, errors)) in enumerate(zip(means, methods, strict=True)):
        colour = colours[k % len(colours)]
        spread = 10 ** ((k - (len(methods) - 1) / 2) * 0.05)
        for dt, row in zip(dts_ms, np.asarray(errors), strict=True):
            dots(axes, np.full(len(row), dt * spread), row, colour, 5, width=0, alpha=0.16, zorder=2)
        # Each line thinner than the one below it, so that methods which agree are all seen.
        wide = len(methods) - 1 - k
        size = {"lw": points_of(4 + 5 * wide), "ms": points_of(12 + 7 * wide)}
        axes.plot(dts_ms, mean, color=colour, marker="o", zorder=3, **size)
        names.append((mean[-1], name, colour))
    guide = means[0][1][-1] * 2.5 * dts_ms / dts_ms[-1]
    axes.plot(dts_ms, guide, color=MUTED, lw=points_of(2.5), ls=(0, (4, 3)))
    names.append((guide[-1], "slope 1", MUTED))
    high = max(high, guide[-1] * 1.2, *(float(np.max(errors)) * 1.2 for _, errors in methods))
    axes.set_xlim(dts_ms[0] / 1.15, dts_ms[-1] * 1.15)
    axes.set_ylim(low / 3, high)
    log_ticks(axes.yaxis, low / 3, high)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: np.format_float_positional(value, trim="-")))
    plain_log_axis(axes.xaxis, dts_ms[0], dts_ms[-1])
    label(axes, f"time step Δt, {unit}", "relative error of the rate")
    end_names(axes, names, size=20)
    return made


def explorer(
    currents_ma,
    rates_hz,
    relu_hz,
    count_currents_ma,
    counts,
    current_ma,
    rate_hz,
    membrane,
    readings,
    *,
    threshold_ma,
    ceiling_hz,
    threshold_v,
    title,
    subtitle="",
) -> Figure:
    """Draw the explorer page as a picture: transfer function, membrane trace and readings for given values.

    Args:
        currents_ma, rates_hz, relu_hz: shape (S,).
        count_currents_ma, counts: rates that Euler counts, in Hz, shape (K,).
        current_ma, rate_hz: the chosen point.
        membrane: dict of arguments of ``draw_membrane``.
        readings: list of (name, value in words).
        threshold_ma, ceiling_hz: marked with dotted lines where they lie inside.
        threshold_v: Vth.
        title, subtitle: words above.

    Returns:
        A ``Figure`` of 1560 x 1120 pixels.
    """
    made = page(1560, 1120, title, subtitle, left=120)
    axes = add_chart(made, 120, 130, 860, 520)
    top = rounded_up(max(relu_hz[-1], rates_hz[-1]))
    dotted = {"color": MUTED, "lw": points_of(2), "ls": (0, (1, 2))}
    axes.axvline(threshold_ma, **dotted)
    names = [(min(relu_hz[-1], top), "ReLU", RELU), (rates_hz[-1], "exact rate", CURVE)]
    if ceiling_hz <= top:
        axes.axhline(ceiling_hz, **dotted)
        names.append((ceiling_hz, "ceiling", MUTED))
    axes.plot(currents_ma, rates_hz, color=CURVE, lw=points_of(5), zorder=3)
    axes.plot(currents_ma, relu_hz, color=RELU, lw=points_of(3), ls=(0, (5, 3)), zorder=3.5)
    dots(axes, count_currents_ma, counts, "#ffffff", 12, edge=INK, width=2.2, zorder=4, clip_on=False)
    dots(axes, [current_ma], [rate_hz], CURVE, 22, width=3, zorder=5, clip_on=False)
    axes.set_xlim(currents_ma[0], currents_ma[-1])
    axes.set_ylim(0, top)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    name_rate_axes(axes, currents_ma, top)
    end_names(axes, names, size=20)
    for row, (name, value) in enumerate(readings):
        text(made, 1150, 165 + 44 * row, name, 21, width=230, color=MUTED)
        text(made, 1530, 165 + 44 * row, value, 21, ha="right", weight="bold")
    _draw_trace(add_chart(made, 120, 770, 1300, 240), membrane, threshold_v)
    return made


def _draw_trace(axes, membrane, threshold_v) -> None:
    draw_membrane(axes, **membrane, threshold_v=threshold_v)
    times, volts = in_unit(axes.xaxis, "ms", membrane["times_ms"]), in_unit(axes.yaxis, "v", membrane["trace_v"])
    label(axes, f"time, {times}", f"potential, {volts}")
    exact, euler = (membrane["exact_v"][-1], "exact", INK), (membrane["trace_v"][-1], "Euler", CURVE)
    end_names(axes, [(threshold_v, "Vth", MUTED), exact, euler], size=19)
