"""The figures of neurons in time: the membrane, many under noise, and the explorer as a picture."""

import numpy as np

from mlplab.studies.lif import neuron_plots as pictures
from mlplab.studies.lif import transfer_plots as transfer
from mlplab.studies.lif.currents import OrnsteinUhlenbeck, Samples
from mlplab.studies.lif.grid import spike_count
from mlplab.studies.lif.neuron import (
    Neuron,
    ceiling_hz,
    exact_count,
    rate_hz,
    relu_rate_hz,
    threshold_current_ma,
)
from mlplab.studies.lif.simulation import simulate
from mlplab.studies.lif.transfer_figures import (
    SECOND_DT_MS,
    SECOND_STEPS,
    TEN_MA,
    dense_currents,
    kohm,
    one_neuron,
    relu_distance_hz,
)

# Points of an exact path: enough for a picture, whatever the number of steps.
PATH_POINTS = 4000


def exact_path(neuron: Neuron, rows_ma, steps: int, dt_ms: float):
    """Return times, potential and refractory spans of one neuron, exact and finer than the steps.

    Each spike is two points, Vth and Vth + V_spike, and a third at the reset.
    """
    finer = max(1, min(20, PATH_POINTS // max(steps, 1)))
    run = simulate(
        neuron,
        Samples(np.repeat(rows_ma, finer, axis=0)),
        steps=steps * finer,
        dt_ms=dt_ms / finer,
        method="exact",
        trace=True,
        spikes=True,
    )
    grid = np.arange(steps * finer + 1) * dt_ms / finer
    spikes = run.spike_times_ms
    top, bottom = float(neuron.threshold_v), float(neuron.reset_v)
    below = run.trace_v <= top
    times = np.concatenate([grid[below], np.repeat(spikes, 3)])
    values = np.concatenate(
        [run.trace_v[below], np.tile([top, top + float(neuron.spike_v), bottom], len(spikes))]
    )
    order = np.argsort(times, kind="stable")
    spans = np.stack([spikes, np.minimum(spikes + float(neuron.tau_ref_ms), grid[-1])], axis=1)
    return times[order], values[order], spans


def membrane(neuron: Neuron, current, *, steps: int, dt_ms: float, method: str):
    """Draw one neuron's trace under the input: stepped by `method`, and exact."""
    neuron = one_neuron(neuron)
    rows = current.block(0, steps)
    rows = np.broadcast_to(rows, (steps, *rows.shape[1:])).reshape(steps, -1)[:, :1].ravel()
    stepped = simulate(
        neuron, Samples(rows), steps=steps, dt_ms=dt_ms, method=method, trace=True, spikes=True
    )
    times = np.arange(steps + 1) * dt_ms
    exact_times, exact_v, spans = exact_path(neuron, rows, steps, dt_ms)
    arrays = {
        "times_ms": times,
        "trace_v": stepped.trace_v,
        "exact_times_ms": exact_times,
        "exact_v": exact_v,
        "refractory_ms": spans,
        "current_ma": np.concatenate([rows[:1], rows]),
    }
    first = (
        f"first spike {stepped.spike_times_ms[0]:g} ms stepped" if len(stepped.spike_times_ms) else "no spike"
    )
    if len(spans):
        first += f", {spans[0][0]:.5f} ms exactly"
    subtitle = (
        f"{kohm(float(neuron.resistance_kohm))}, C = {float(neuron.capacitance_uf):g} µF, "
        f"τref = {float(neuron.tau_ref_ms):g} ms, Δt = {dt_ms:g} ms; {first}"
    )
    figure = pictures.membrane_trace(
        **arrays,
        threshold_v=float(neuron.threshold_v),
        subtitle=subtitle,
        title="The membrane charges, spikes, and is held at its reset",
    )
    return figure, arrays


def noise(neuron: Neuron, current, *, duration_ms: float, dt_ms: float, seed: int):
    """Draw raster and rate of many neurons under noise: the input's own neurons, or 100 under OU noise."""
    neuron = one_neuron(neuron)
    if getattr(current, "neurons", 1) < 2:
        mean = float(threshold_current_ma(neuron)) * 0.9 or 0.5
        current = OrnsteinUhlenbeck(dt_ms=dt_ms, neurons=100, seed=seed, mean_ma=mean, std_ma=0.5, tau_ms=5.0)
    steps = int(round(duration_ms / dt_ms))
    run = simulate(neuron, current, steps=steps, dt_ms=dt_ms, method="exact", spikes=True)
    rows = current.block(0, steps)
    neurons = rows.shape[1]
    bins = 50
    counts, edges = np.histogram(run.spike_times_ms, bins=bins, range=(0, duration_ms))
    rates = counts / neurons / (duration_ms / bins) * 1000.0
    mean = float(rows.mean())
    still = float(rate_hz(neuron, mean))
    arrays = {
        "spike_times_ms": run.spike_times_ms,
        "spike_neurons": run.spike_neurons,
        "neurons": neurons,
        "current_times_ms": np.arange(1, steps + 1) * dt_ms,
        "currents_ma": rows[:, :6],
        "rate_times_ms": (edges[1:] + edges[:-1]) / 2,
        "rates_hz": rates,
    }
    average = float(run.count.mean()) / duration_ms * 1000.0
    below = mean < float(threshold_current_ma(neuron))
    figure = pictures.raster(
        **arrays,
        duration_ms=duration_ms,
        level_hz=still,
        level_name="without noise",
        title="Under noise a neuron fires below its threshold"
        if below
        else "Noise spreads the spikes of equal neurons",
        subtitle=f"{neurons} neurons, mean input {mean:.2f} mA "
        f"(threshold {float(threshold_current_ma(neuron)):g} mA): "
        f"{average:.1f} Hz on average, {still:.1f} Hz without the noise",
    )
    return figure, arrays, average


def explorer(neuron: Neuron, current_ma: float):
    """Draw the explorer page as a picture for one neuron and current."""
    neuron = one_neuron(neuron)
    currents = dense_currents(neuron)
    rates, relu = rate_hz(neuron, currents), relu_rate_hz(neuron, currents)
    counts = spike_count(neuron, TEN_MA, steps=SECOND_STEPS, dt_ms=SECOND_DT_MS)
    rate = float(rate_hz(neuron, current_ma))
    period = 1000.0 / rate if rate > 0 else np.inf
    span = next((s for s in (20, 50, 100, 200, 500) if s >= 3.2 * period), 500 if rate > 0 else 100)
    rows = np.full(span, float(current_ma))
    stepped = simulate(neuron, Samples(rows), steps=span, dt_ms=1.0, trace=True)
    exact_times, exact_v, spans = exact_path(neuron, rows, span, 1.0)
    trace = {
        "times_ms": np.arange(span + 1.0),
        "trace_v": stepped.trace_v,
        "exact_times_ms": exact_times,
        "exact_v": exact_v,
        "refractory_ms": spans,
    }
    threshold, top = float(threshold_current_ma(neuron)), float(ceiling_hz(neuron))
    far = float(relu_distance_hz(neuron))
    constant = float(neuron.resistance_kohm * neuron.capacitance_uf)
    word = lambda value, unit: f"{'∞' if np.isinf(value) else f'{value:.4g}'} {unit}"  # noqa: E731
    readings = [
        ("resistance R", word(float(neuron.resistance_kohm), "kΩ")),
        ("refractory time", word(float(neuron.tau_ref_ms), "ms")),
        ("capacitance C", word(float(neuron.capacitance_uf), "µF")),
        ("input current", word(current_ma, "mA")),
        ("time constant RC", word(constant, "ms")),
        ("threshold Vth/R", word(threshold, "mA")),
        ("ceiling 1/τref", word(top, "Hz")),
        ("rate at this current", word(rate, "Hz")),
        ("ReLU limit there", word(float(relu_rate_hz(neuron, current_ma)), "Hz")),
        ("exact spikes in 1 s", f"{int(exact_count(neuron, current_ma, 1000.0))}"),
        ("Euler count in 1 s", f"{int(spike_count(neuron, current_ma, steps=1000, dt_ms=1.0))}"),
        ("distance to the ReLU", word(0.0 if far < 1e-9 else far, "Hz")),
    ]
    figure = transfer.explorer(
        currents,
        rates,
        relu,
        TEN_MA,
        counts,
        current_ma,
        rate,
        trace,
        readings,
        threshold_ma=threshold,
        ceiling_hz=top,
        threshold_v=float(neuron.threshold_v),
        title="A leaky integrate-and-fire neuron and the ReLU it becomes",
        subtitle="circles: Euler's count in 1 s of 1 ms steps; below: the membrane at the chosen current",
    )
    arrays = {"currents_ma": currents, "rates_hz": rates, "relu_hz": relu, "counts": counts, **trace}
    return figure, arrays
