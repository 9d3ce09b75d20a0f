"""The figures of neurons in time: the membrane, many under noise, and the explorer as a picture."""

import numpy as np

from mlplab.studies.lif import neuron_plots as pictures
from mlplab.studies.lif import transfer_plots as transfer
from mlplab.studies.lif.currents import Recursive, Samples, WhiteNoise
from mlplab.studies.lif.grid import spike_count
from mlplab.studies.lif.neuron import (
    MS_PER_S,
    Neuron,
    ceiling_hz,
    exact_count,
    rate_hz,
    relu_rate_hz,
    threshold_current_ma,
)
from mlplab.studies.lif.noise_rate import interval_variation, white_noise_rate_hz
from mlplab.studies.lif.scale import one_neuron, scale_of, white_noise
from mlplab.studies.lif.simulation import simulate
from mlplab.studies.lif.transfer_figures import COUNT_STEPS, counted_hz, dense_currents, kohm, relu_distance_hz
from mlplab.studies.lif.units import say
from mlplab.words import plural

METHOD_NAMES = {"euler": "Euler", "exponential": "exponential"}
# What a picture can show of a long run.
MOST_SHOWN_STEPS = 20_000
# A rate is averaged over what follows this part of a run: neurons start at their reset.
SETTLED = 0.2
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
    values = np.concatenate([run.trace_v[below], np.tile([top, top + float(neuron.spike_v), bottom], len(spikes))])
    order = np.argsort(times, kind="stable")
    spans = np.stack([spikes, np.minimum(spikes + float(neuron.tau_ref_ms), grid[-1])], axis=1)
    return times[order], values[order], spans


def membrane(neuron: Neuron, current, *, steps: int, dt_ms: float, method: str):
    """Draw one neuron's trace under the input: stepped by `method`, and exact."""
    neuron = one_neuron(neuron)
    rows = current.block(0, steps)
    rows = np.broadcast_to(rows, (steps, *rows.shape[1:])).reshape(steps, -1)[:, :1].ravel()
    stepped = simulate(neuron, Samples(rows), steps=steps, dt_ms=dt_ms, method=method, trace=True, spikes=True)
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
    first = f"first spike {stepped.spike_times_ms[0]:g} ms stepped" if len(stepped.spike_times_ms) else "no spike"
    if len(spans):
        first += f", {spans[0][0]:.7g} ms exactly"
    subtitle = (
        f"{kohm(float(neuron.resistance_kohm))}, C = {say(float(neuron.capacitance_uf), 'uf')}, "
        f"τref = {say(float(neuron.tau_ref_ms), 'ms')}, Δt = {say(dt_ms, 'ms')}; {first}"
    )
    what = "The membrane charges, spikes, and is held at its reset"
    if not len(spans):
        what = "The membrane stays below its threshold"
    elif neuron.tau_ref_ms == 0:
        what = "The membrane charges, spikes, and starts again from its reset"
    figure = pictures.membrane_trace(
        **arrays, threshold_v=float(neuron.threshold_v), stepped=METHOD_NAMES[method], subtitle=subtitle, title=what
    )
    return figure, arrays


def noise(neuron: Neuron, current, *, duration_ms: float, dt_ms: float, seed: int):
    """Draw raster and rate of many neurons under noise: the input's own neurons, or 100 under white noise.

    Returns:
        The figure, its arrays, and what was measured beside what is known.
    """
    neuron = one_neuron(neuron)
    if not isinstance(current, Recursive) or current.neurons < 2:
        dt_ms = scale_of(neuron).time_ms / 20
        duration_ms = 1000 * dt_ms
        current = WhiteNoise(dt_ms=dt_ms, neurons=100, seed=seed, **white_noise(neuron))
    steps = min(int(round(duration_ms / dt_ms)), MOST_SHOWN_STEPS)
    duration_ms = steps * dt_ms
    run = simulate(neuron, current, steps=steps, dt_ms=dt_ms, method="exact", spikes=True)
    rows = current.block(0, steps)
    neurons = rows.shape[1]
    bins = 50
    counts, edges = np.histogram(run.spike_times_ms, bins=bins, range=(0, duration_ms))
    rates = counts / neurons / (duration_ms / bins) * MS_PER_S
    mean, strength = current.mean_ma, current.intensity_ma_sqrt_ms
    still = float(rate_hz(neuron, mean))
    known = float(white_noise_rate_hz(neuron, mean, strength, dt_ms))
    arrays = {
        "spike_times_ms": run.spike_times_ms,
        "spike_neurons": run.spike_neurons,
        "neurons": neurons,
        "current_times_ms": np.arange(1, steps + 1) * dt_ms,
        "currents_ma": rows[:, :6],
        "rate_times_ms": (edges[1:] + edges[:-1]) / 2,
        "rates_hz": rates,
    }
    late = run.spike_times_ms > SETTLED * duration_ms
    each = np.bincount(run.spike_neurons[late], minlength=neurons) / ((1 - SETTLED) * duration_ms) * MS_PER_S
    average, error = float(each.mean()), float(each.std(ddof=1) / np.sqrt(neurons)) if neurons > 1 else 0.0
    white = isinstance(current, WhiteNoise)
    measured = {
        "noise_rate_hz": average,
        "noise_rate_error_hz": error,
        "noise_white_rate_hz": known,
        "noise_white_is_exact": white,
        "noise_interval_variation": _variation(run.spike_times_ms, run.spike_neurons),
        "noise_white_interval_variation": float(interval_variation(neuron, mean, strength, dt_ms)),
    }
    threshold = float(threshold_current_ma(neuron))
    figure = pictures.raster(
        **arrays,
        duration_ms=duration_ms,
        levels=[(known, "known exactly" if white else "if white"), (still, "no noise")],
        title=_noise_title(mean < threshold, average),
        subtitle=f"{plural(neurons, 'neuron')}, mean input {say(mean, 'ma')} (threshold {say(threshold, 'ma')}): "
        f"{average:.1f} ± {error:.1f} Hz, "
        + (f"{known:.2f} Hz known exactly" if white else f"{known:.2f} Hz if the noise were white")
        + f", {still:.1f} Hz without noise",
    )
    return figure, arrays, measured


def _noise_title(below: bool, average_hz: float) -> str:
    if not average_hz:
        return "Under this noise the neurons stay silent"
    return "Under noise a neuron fires below its threshold" if below else "Noise spreads the spikes of equal neurons"


def _variation(times_ms, neurons) -> float | None:
    """Return deviation over mean of all intervals between spikes of one neuron; None for fewer than two."""
    order = np.lexsort((times_ms, neurons))
    gaps = np.diff(times_ms[order])[np.diff(neurons[order]) == 0]
    return float(gaps.std() / gaps.mean()) if len(gaps) > 1 else None


def explorer(neuron: Neuron, current_ma: float):
    """Draw the explorer page as a picture for one neuron and current."""
    neuron = one_neuron(neuron)
    scale = scale_of(neuron)
    dt, ten = scale.count_dt_ms, scale.count_ma
    currents = dense_currents(neuron, scale)
    rates, relu = rate_hz(neuron, currents), relu_rate_hz(neuron, currents)
    counts = counted_hz(neuron, ten, dt)
    rate = float(rate_hz(neuron, current_ma))
    period = MS_PER_S / rate / dt if rate > 0 else np.inf
    span = next((s for s in (20, 50, 100, 200, 500) if s >= 3.2 * period), 500 if rate > 0 else 100)
    rows = np.full(span, float(current_ma))
    stepped = simulate(neuron, Samples(rows), steps=span, dt_ms=dt, trace=True)
    exact_times, exact_v, spans = exact_path(neuron, rows, span, dt)
    trace = {
        "times_ms": np.arange(span + 1.0) * dt,
        "trace_v": stepped.trace_v,
        "exact_times_ms": exact_times,
        "exact_v": exact_v,
        "refractory_ms": spans,
    }
    threshold, top = float(threshold_current_ma(neuron)), float(ceiling_hz(neuron))
    far = float(relu_distance_hz(neuron))
    constant, duration = float(neuron.resistance_kohm * neuron.capacitance_uf), COUNT_STEPS * dt
    readings = [
        ("resistance R", say(float(neuron.resistance_kohm), "kohm")),
        ("refractory time", say(float(neuron.tau_ref_ms), "ms")),
        ("capacitance C", say(float(neuron.capacitance_uf), "uf")),
        ("input current", say(current_ma, "ma")),
        ("time constant RC", say(constant, "ms")),
        ("threshold current", say(threshold, "ma")),
        ("ceiling 1/τref", say(top, "hz")),
        ("rate at this current", say(rate, "hz")),
        ("ReLU limit there", say(float(relu_rate_hz(neuron, current_ma)), "hz")),
        (f"exact spikes in {say(duration, 'ms')}", f"{int(exact_count(neuron, current_ma, duration))}"),
        (f"Euler's, Δt {say(dt, 'ms')}", f"{int(spike_count(neuron, current_ma, steps=COUNT_STEPS, dt_ms=dt))}"),
        ("distance to the ReLU", say(0.0 if far < 1e-9 * relu[-1] else far, "hz")),
    ]
    figure = transfer.explorer(
        currents,
        rates,
        relu,
        ten,
        counts,
        current_ma,
        rate,
        trace,
        readings,
        threshold_ma=threshold,
        ceiling_hz=top,
        threshold_v=float(neuron.threshold_v),
        title="A leaky integrate-and-fire neuron and the ReLU it becomes",
        subtitle=f"circles: counted by {COUNT_STEPS} Euler steps of {say(dt, 'ms')}; "
        "below: the membrane at the chosen current",
    )
    arrays = {"currents_ma": currents, "rates_hz": rates, "relu_hz": relu, "counted_hz": counts, **trace}
    return figure, arrays
