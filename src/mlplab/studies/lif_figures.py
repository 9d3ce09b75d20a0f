"""The figures of the LIF study: numbers from the core, drawn by the plots; each also returns its arrays."""

import numpy as np

from mlplab.core.currents import Constant, OrnsteinUhlenbeck, Samples
from mlplab.core.lif import (
    Neuron,
    ceiling_hz,
    exact_count,
    rate_hz,
    relu_rate_hz,
    threshold_current_ma,
)
from mlplab.core.lif_grid import grid_rate_hz, spike_count
from mlplab.core.lif_simulation import simulate
from mlplab.plots import neuron as pictures
from mlplab.plots import transfer

# The tutorial's transfer function: ten currents, a second, steps of a millisecond.
TEN_MA = np.linspace(0.0, 2.0, 10)
SECOND_STEPS, SECOND_DT_MS = 1000, 1.0
AXIS_MA = (-0.5, 2.0)
RESISTANCES_KOHM = (1.0, 2.0, 5.0, 20.0, np.inf)
REFRACTORIES_MS = (20.0, 10.0, 5.0, 2.0, 0.0)
PATH_POINTS = 4000


def kohm(value: float) -> str:
    return "R = ∞" if np.isinf(value) else f"R = {value:g} kΩ"


def dense_currents(neuron: Neuron) -> np.ndarray:
    """Return currents for a smooth curve: closest just above the threshold, where the rate jumps from 0."""
    thresholds = np.atleast_1d(threshold_current_ma(neuron)).ravel()
    near = (thresholds[:, None] + 10.0 ** np.linspace(-12, -1.5, 60)).ravel()
    every = np.concatenate([np.linspace(*AXIS_MA, 501), thresholds, near])
    return np.unique(every[(every >= AXIS_MA[0]) & (every <= AXIS_MA[1])])


def exact_path(neuron: Neuron, rows_ma, steps: int, dt_ms: float):
    """Return times, potential and refractory spans of one neuron, exact and finer than the steps.

    Each spike is two points, Vth and Vth + V_spike, and a third at the reset.
    """
    finer = max(1, min(20, PATH_POINTS // max(steps, 1)))
    run = simulate(
        neuron, Samples(np.repeat(rows_ma, finer, axis=0)), steps=steps * finer, dt_ms=dt_ms / finer, method="exact",
        trace=True, spikes=True,
    )  # fmt: skip
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


def one_neuron(neuron: Neuron) -> Neuron:
    """Return the first neuron of a batch."""
    pick = lambda value: float(np.asarray(value).reshape(-1)[0])  # noqa: E731
    return Neuron(**{name: pick(getattr(neuron, name)) for name in Neuron.__dataclass_fields__})


def membrane(neuron: Neuron, current, *, steps: int, dt_ms: float, method: str):
    """Draw one neuron's trace under the input: stepped by `method`, and exact."""
    neuron = one_neuron(neuron)
    rows = current.block(0, steps)
    rows = np.broadcast_to(rows, (steps, *rows.shape[1:])).reshape(steps, -1)[:, :1].ravel()
    stepped = simulate(neuron, Samples(rows), steps=steps, dt_ms=dt_ms, method=method, trace=True, spikes=True)
    times = np.arange(steps + 1) * dt_ms
    exact_times, exact_v, spans = exact_path(neuron, rows, steps, dt_ms)
    arrays = {
        "times_ms": times, "trace_v": stepped.trace_v, "exact_times_ms": exact_times, "exact_v": exact_v,
        "refractory_ms": spans, "current_ma": np.concatenate([rows[:1], rows]),
    }  # fmt: skip
    first = f"first spike {stepped.spike_times_ms[0]:g} ms stepped" if len(stepped.spike_times_ms) else "no spike"
    if len(spans):
        first += f", {spans[0][0]:.5f} ms exactly"
    subtitle = f"{kohm(float(neuron.resistance_kohm))}, C = {float(neuron.capacitance_uf):g} µF, τref = {float(neuron.tau_ref_ms):g} ms, Δt = {dt_ms:g} ms; {first}"
    figure = pictures.membrane_trace(
        **arrays, threshold_v=float(neuron.threshold_v), subtitle=subtitle,
        title="The membrane charges, spikes, and is held at its reset",
    )  # fmt: skip
    return figure, arrays


def families(capacitance_uf: float, resistance_kohm: float, tau_ref_ms: float):
    """Draw the transfer function for families of R and of tau_ref, exact curves and simulated counts."""
    made = {}
    for key, neurons, names in (
        ("by_resistance", Neuron(resistance_kohm=np.array(RESISTANCES_KOHM)[:, None], tau_ref_ms=tau_ref_ms,
                                 capacitance_uf=capacitance_uf), [kohm(r) for r in RESISTANCES_KOHM]),
        ("by_refractory", Neuron(resistance_kohm=resistance_kohm, tau_ref_ms=np.array(REFRACTORIES_MS)[:, None],
                                 capacitance_uf=capacitance_uf), [f"τref = {t:g} ms" for t in REFRACTORIES_MS]),
    ):  # fmt: skip
        currents = dense_currents(neurons)
        counts = simulate(neurons, Constant(TEN_MA[None]), steps=SECOND_STEPS, dt_ms=SECOND_DT_MS).count
        made[key] = currents, rate_hz(neurons, currents), counts, names
    # Both charts share their currents, so that one ReLU serves both.
    currents = np.union1d(made["by_resistance"][0], made["by_refractory"][0])
    lists = {
        key: [(n, np.interp(currents, own, rates), c) for n, rates, c in zip(names, all_rates, counts, strict=True)]
        for key, (own, all_rates, counts, names) in made.items()
    }
    relu = relu_rate_hz(Neuron(capacitance_uf=capacitance_uf), currents)
    figure = transfer.transfer_families(
        currents, lists["by_resistance"], lists["by_refractory"], relu, TEN_MA,
        names=(f"resistance, at τref = {tau_ref_ms:g} ms", f"refractory time, at {kohm(resistance_kohm)}"),
        title="The leak sets the threshold, the refractory time the ceiling",
        subtitle="lines: exact rate   ·   circles: spikes counted in 1 s of Euler steps of 1 ms   ·   dashed: ReLU I / (C Vth)",
    )  # fmt: skip
    arrays = {"currents_ma": currents, "relu_hz": relu, "count_currents_ma": TEN_MA}
    for key, entries in lists.items():
        arrays |= {f"{key}_rates_hz": [e[1] for e in entries], f"{key}_counts": [e[2] for e in entries]}
    return figure, arrays


def relu_distance_hz(neuron: Neuron) -> np.ndarray:
    """Return the largest distance to the ReLU for currents from 0 to 2 mA.

    Looked for on 2001 currents and at the threshold, where the ReLU is already on its way.
    """
    wide = Neuron(**{name: np.asarray(getattr(neuron, name))[..., None] for name in Neuron.__dataclass_fields__})
    threshold = np.clip(threshold_current_ma(wide), 0.0, 2.0)
    currents = np.concatenate(
        [np.broadcast_to(np.linspace(0.0, 2.0, 2001), (*wide.shape[:-1], 2001)),
         np.broadcast_to(threshold, (*wide.shape[:-1], 1))], axis=-1)  # fmt: skip
    return np.abs(rate_hz(wide, currents) - relu_rate_hz(wide, currents)).max(axis=-1)


def limit(capacitance_uf: float):
    """Draw the transfer function on its way to the ReLU as R grows and tau_ref shrinks."""
    way = [(1.0, 5.0), (3.0, 2.0), (10.0, 1.0), (100.0, 0.3), (np.inf, 0.0)]
    neurons = Neuron(
        resistance_kohm=np.array([r for r, _ in way])[:, None], tau_ref_ms=np.array([t for _, t in way])[:, None],
        capacitance_uf=capacitance_uf,
    )  # fmt: skip
    currents = dense_currents(neurons)
    names = [f"R {'∞' if np.isinf(r) else f'{r:g} kΩ'}, τref {t:g} ms" for r, t in way]
    curves = [(name, rates, None) for name, rates in zip(names, rate_hz(neurons, currents), strict=True)]
    resistances = 10 ** np.linspace(0, 5, 61)
    taus = (5.0, 1.0, 0.1, 0.01, 0.0)
    far = [
        (f"τref = {t:g} ms", relu_distance_hz(
            Neuron(resistance_kohm=resistances, tau_ref_ms=t, capacitance_uf=capacitance_uf)))
        for t in taus
    ]  # fmt: skip
    relu = relu_rate_hz(Neuron(capacitance_uf=capacitance_uf), currents)
    figure = transfer.relu_limit(
        currents, curves, relu, resistances, far, title="As R grows and τref shrinks, the neuron becomes a ReLU",
        subtitle="right: largest distance to I / (C Vth) over currents from 0 to 2 mA",
    )  # fmt: skip
    arrays = {
        "currents_ma": currents, "rates_hz": [c[1] for c in curves], "relu_hz": relu,
        "resistances_kohm": resistances, "taus_ms": taus, "distances_hz": [d for _, d in far],
    }  # fmt: skip
    return figure, arrays


def order_of_convergence(dts_ms, errors) -> float:
    """Return the slope of log(mean error) over log(dt), by least squares."""
    return float(np.polyfit(np.log(dts_ms), np.log(np.asarray(errors).mean(axis=1)), 1)[0])


def convergence(neuron: Neuron):
    """Draw the error in rate of the two grid methods against the time step; return their orders as well."""
    neuron = one_neuron(neuron)
    threshold = float(threshold_current_ma(neuron))
    currents = np.linspace(threshold + 0.2, threshold + 2.0, 200)
    limit_ms = min(float(neuron.time_constant_ms), 10.0)
    dts = limit_ms / 10 ** np.linspace(4, 1, 13)
    # A refractory time that the step does not divide would be rounded; here the step alone is at fault.
    free = Neuron(resistance_kohm=neuron.resistance_kohm, capacitance_uf=neuron.capacitance_uf, tau_ref_ms=0.0,
                  threshold_v=neuron.threshold_v, reset_v=neuron.reset_v)  # fmt: skip
    exact = rate_hz(free, currents)
    errors = {
        method: np.array([np.abs(grid_rate_hz(free, currents, dt, method) / exact - 1) for dt in dts])
        for method in ("euler", "exponential")
    }
    orders = {method: order_of_convergence(dts, values) for method, values in errors.items()}
    figure = transfer.convergence(
        dts, [("Euler", errors["euler"]), ("exponential", errors["exponential"])],
        title="The error of the rate falls in proportion to the step",
        subtitle=f"measured order: Euler {orders['euler']:.2f}, exponential Euler {orders['exponential']:.2f}; 200 currents each",
    )  # fmt: skip
    return figure, {"dts_ms": dts, "euler": errors["euler"], "exponential": errors["exponential"]}, orders


def noise(neuron: Neuron, current, *, duration_ms: float, dt_ms: float, seed: int):
    """Draw the raster and rate of many neurons under noise: the input's own neurons, or 100 under OU noise."""
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
        "spike_times_ms": run.spike_times_ms, "spike_neurons": run.spike_neurons, "neurons": neurons,
        "current_times_ms": np.arange(1, steps + 1) * dt_ms, "currents_ma": rows[:, :6],
        "rate_times_ms": (edges[1:] + edges[:-1]) / 2, "rates_hz": rates,
    }  # fmt: skip
    average = float(run.count.mean()) / duration_ms * 1000.0
    below = mean < float(threshold_current_ma(neuron))
    figure = pictures.raster(
        **arrays, duration_ms=duration_ms, level_hz=still, level_name="without noise",
        title="Under noise a neuron fires below its threshold" if below else "Noise spreads the spikes of equal neurons",
        subtitle=f"{neurons} neurons, mean input {mean:.2f} mA (threshold {float(threshold_current_ma(neuron)):g} mA): "
        f"{average:.1f} Hz on average, {still:.1f} Hz without the noise",
    )  # fmt: skip
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
    trace = {"times_ms": np.arange(span + 1.0), "trace_v": stepped.trace_v, "exact_times_ms": exact_times,
             "exact_v": exact_v, "refractory_ms": spans}  # fmt: skip
    threshold, top = float(threshold_current_ma(neuron)), float(ceiling_hz(neuron))
    far = float(relu_distance_hz(neuron))
    constant = float(neuron.resistance_kohm * neuron.capacitance_uf)
    word = lambda value, unit: f"{'∞' if np.isinf(value) else f'{value:.4g}'} {unit}"  # noqa: E731
    readings = [
        ("resistance R", word(float(neuron.resistance_kohm), "kΩ")), ("refractory time", word(float(neuron.tau_ref_ms), "ms")),
        ("capacitance C", word(float(neuron.capacitance_uf), "µF")), ("input current", word(current_ma, "mA")),
        ("time constant RC", word(constant, "ms")), ("threshold Vth/R", word(threshold, "mA")),
        ("ceiling 1/τref", word(top, "Hz")), ("rate at this current", word(rate, "Hz")),
        ("ReLU limit there", word(float(relu_rate_hz(neuron, current_ma)), "Hz")),
        ("exact spikes in 1 s", f"{int(exact_count(neuron, current_ma, 1000.0))}"),
        ("Euler count in 1 s", f"{int(spike_count(neuron, current_ma, steps=1000, dt_ms=1.0))}"),
        ("distance to the ReLU", word(0.0 if far < 1e-9 else far, "Hz")),
    ]  # fmt: skip
    figure = transfer.explorer(
        currents, rates, relu, TEN_MA, counts, current_ma, rate, trace, readings, threshold_ma=threshold,
        ceiling_hz=top, threshold_v=float(neuron.threshold_v),
        title="A leaky integrate-and-fire neuron and the ReLU it becomes",
        subtitle="circles: Euler's spike count in 1 s of 1 ms steps; below: the membrane at the chosen current",
    )  # fmt: skip
    arrays = {"currents_ma": currents, "rates_hz": rates, "relu_hz": relu, "counts": counts, **trace}
    return figure, arrays
