"""Pictures of neurons in time: the membrane trace, and raster and rate of many under noise."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from mlplab.plots.charts import add_chart, dots, end_names, label
from mlplab.plots.style import COLOURS, FAINT, INK, MUTED, mix, page, points_of
from mlplab.studies.lif.units import scale_of

EULER, EXACT, INPUT = COLOURS[0], INK, COLOURS[3]
REST = mix(COLOURS[1], 0.22)
RIGHT = 150


def in_unit(axis, suffix: str, values) -> str:
    """Number an axis in a unit that fits its values, which stay in the lab's; return the unit's name."""
    factor, unit = scale_of(values, suffix)
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{round(value * factor, 9) + 0.0:g}".replace("-", "−")))
    return unit


def draw_membrane(axes, times_ms, trace_v, exact_times_ms, exact_v, *, threshold_v, refractory_ms=()) -> None:
    """Draw a stepped trace over the exact one, with the threshold and the refractory times shaded.

    Args:
        axes: a chart.
        times_ms: of the steps, shape (T,).
        trace_v: potential at the steps, raised at spikes, shape (T,).
        exact_times_ms: shape (S,).
        exact_v: shape (S,).
        threshold_v: Vth.
        refractory_ms: pairs (begin, end).
    """
    for begin, end in refractory_ms:
        axes.axvspan(begin, end, color=REST, lw=0, zorder=0.5)
    axes.axhline(threshold_v, color=MUTED, lw=points_of(2), ls=(0, (4, 3)), zorder=1)
    axes.plot(exact_times_ms, exact_v, color=EXACT, lw=points_of(3), zorder=3, solid_joinstyle="miter")
    few = len(times_ms) <= 140
    style = {"marker": "o" if few else None, "ms": points_of(9), "solid_joinstyle": "round", "clip_on": False}
    axes.plot(times_ms, trace_v, color=EULER, lw=points_of(5), zorder=2, **style)
    axes.set_xlim(times_ms[0], times_ms[-1])
    axes.xaxis.set_major_locator(MaxNLocator(10, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))


def membrane_trace(
    times_ms,
    trace_v,
    exact_times_ms,
    exact_v,
    current_ma,
    *,
    threshold_v,
    refractory_ms=(),
    stepped="Euler",
    title,
    subtitle="",
) -> Figure:
    """Draw one neuron's input current and membrane potential, stepped and exact.

    Args:
        times_ms: shape (T,), ascending.
        trace_v: stepped potential, shape (T,).
        exact_times_ms, exact_v: the exact potential on its own times, shape (S,).
        current_ma: input during the step that ends at each time, shape (T,).
        threshold_v: Vth in V.
        refractory_ms: pairs (begin, end) of the exact refractory times.
        stepped: name of the method that stepped.
        title: what is shown.
        subtitle: the figures.

    Returns:
        A ``Figure`` of 1560 x 800 pixels.
    """
    made = page(1560, 800, title, subtitle, left=120)
    top = add_chart(made, 120, 125, 1560 - 120 - RIGHT, 110)
    top.plot(times_ms, current_ma, color=INPUT, lw=points_of(4), drawstyle="steps-pre")
    low, high = min(0.0, float(np.min(current_ma))), max(0.0, float(np.max(current_ma)))
    room = (high - low) or 1.0
    top.set_ylim(low - 0.02 * room, high + 0.15 * room)
    top.set_xlim(times_ms[0], times_ms[-1])
    top.yaxis.set_major_locator(MaxNLocator(2))
    top.xaxis.set_major_locator(MaxNLocator(10, steps=[1, 2, 5, 10]))
    top.tick_params(labelbottom=False)
    label(top, y=in_unit(top.yaxis, "ma", current_ma))
    in_unit(top.xaxis, "ms", times_ms)
    end_names(top, [(current_ma[-1], "input", INPUT)])
    axes = add_chart(made, 120, 275, 1560 - 120 - RIGHT, 420)
    draw_membrane(
        axes, times_ms, trace_v, exact_times_ms, exact_v, threshold_v=threshold_v, refractory_ms=refractory_ms
    )
    volts = in_unit(axes.yaxis, "v", [*trace_v, threshold_v])
    label(axes, f"time, {in_unit(axes.xaxis, 'ms', times_ms)}", f"membrane potential, {volts}")
    end_names(axes, [(threshold_v, "threshold", MUTED), (exact_v[-1], "exact", EXACT), (trace_v[-1], stepped, EULER)])
    return made


def raster(
    spike_times_ms,
    spike_neurons,
    neurons,
    current_times_ms,
    currents_ma,
    rate_times_ms,
    rates_hz,
    *,
    duration_ms,
    levels=(),
    title,
    subtitle="",
) -> Figure:
    """Draw the spikes of many neurons under noisy input, some of their inputs above, their mean rate below.

    Args:
        spike_times_ms, spike_neurons: one entry a spike.
        neurons: how many neurons there are.
        current_times_ms: shape (T,).
        currents_ma: inputs of the first few neurons, shape (T, few).
        rate_times_ms: middles of the bins, shape (B,).
        rates_hz: mean rate of a neuron in each bin, shape (B,).
        duration_ms: length of the time axis.
        levels: pairs (rate in Hz, name) to compare with, drawn as level lines, the most important first.
        title, subtitle: words above.

    Returns:
        A ``Figure`` of 1560 x 1000 pixels.
    """
    made = page(1560, 1000, title, subtitle, left=120)
    width = 1560 - 120 - RIGHT - 60
    inputs, spikes, rate = (
        add_chart(made, 120, top, width, height) for top, height in ((125, 150), (310, 350), (700, 200))
    )
    _draw_inputs(inputs, current_times_ms, np.asarray(currents_ma))
    _draw_spikes(spikes, spike_times_ms, np.asarray(spike_neurons), neurons)
    names = _draw_rate(rate, rate_times_ms, rates_hz, levels, duration_ms)
    for axes in (inputs, spikes, rate):
        axes.set_xlim(0, duration_ms)
        axes.xaxis.set_major_locator(MaxNLocator(10, steps=[1, 2, 5, 10]))
        if axes is not rate:
            axes.tick_params(labelbottom=False)
    end_names(rate, names, size=19)
    return made


def _draw_inputs(axes, times_ms, currents_ma: np.ndarray) -> None:
    """Draw currents (T, few), the first in colour over the others."""
    for k in range(currents_ma.shape[1])[::-1]:
        colour, thick = (FAINT, 1.5) if k else (INPUT, 2.5)
        axes.plot(times_ms, currents_ma[:, k], color=colour, lw=points_of(thick))
    axes.yaxis.set_major_locator(MaxNLocator(3))
    label(axes, y=f"input, {in_unit(axes.yaxis, 'ma', currents_ma)}")


def _draw_spikes(axes, times_ms, which: np.ndarray, neurons: int) -> None:
    """Draw a stroke a spike, a row a neuron, the first neuron's in the colour of its input."""
    size = max(2.0, min(12.0, 700 / max(neurons, 1)))
    dots(axes, times_ms, which + 1, EULER, size, edge=EULER, width=1.8, marker="|")
    own = np.asarray(times_ms)[which == 0]
    dots(axes, own, np.ones(len(own)), INPUT, 12, edge=INPUT, width=2.5, marker="|")
    axes.set_ylim(0, neurons + 1)
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True, steps=[1, 2, 5, 10]))
    axes.grid(False)
    label(axes, y="neuron")


def _draw_rate(axes, times_ms, rates_hz, levels, duration_ms) -> list[tuple]:
    """Draw the rate in bins and the levels to compare with; what to name at the right end."""
    edges = np.concatenate([[0.0], (times_ms[1:] + times_ms[:-1]) / 2, [duration_ms]])
    axes.stairs(rates_hz, edges, color=EULER, fill=True, alpha=0.25, lw=0)
    axes.stairs(rates_hz, edges, color=EULER, lw=points_of(3))
    names = [(rates_hz[-1], "mean rate", EULER)]
    for k, (level, name) in enumerate(levels):
        style = {"color": INK, "ls": (0, (4, 2))} if k == 0 else {"color": MUTED, "ls": (0, (1, 2))}
        axes.axhline(level, lw=points_of(3.5 if k == 0 else 2.5), **style)
        names.append((level, name, style["color"]))
    highest = max([*rates_hz, *(level for level, _ in levels)])
    axes.set_ylim(0, 1.15 * highest if highest > 0 else 1.0)
    axes.yaxis.set_major_locator(MaxNLocator(3))
    label(axes, f"time, {in_unit(axes.xaxis, 'ms', duration_ms)}", f"rate, {in_unit(axes.yaxis, 'hz', highest)}")
    return names
