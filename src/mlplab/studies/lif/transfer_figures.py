"""The figures of the transfer function: families, the way to the ReLU, the cost of a time step."""

import numpy as np

from mlplab.studies.lif import transfer_plots as transfer
from mlplab.studies.lif.grid import grid_rate_hz, spike_count
from mlplab.studies.lif.neuron import MS_PER_S, Neuron, rate_hz, relu_rate_hz, threshold_current_ma
from mlplab.studies.lif.scale import Scale, changed, one_neuron, scale_of
from mlplab.studies.lif.units import say

# The tutorial's transfer function: ten currents, 1000 steps (of a millisecond for its neuron).
COUNT_STEPS = 1000
# In units of the neuron's own: kOhm and ms for the tutorial's.
RESISTANCES = (1.0, 2.0, 5.0, 20.0, np.inf)
REFRACTORIES = (20.0, 10.0, 5.0, 2.0, 0.0)
WAY = ((1.0, 5.0), (3.0, 2.0), (10.0, 1.0), (100.0, 0.3), (np.inf, 0.0))
DISTANCE_REFRACTORIES = (5.0, 1.0, 0.1, 0.01, 0.0)


def kohm(value: float) -> str:
    return "R = ∞" if np.isinf(value) else f"R = {say(value, 'kohm')}"


def dense_currents(neuron: Neuron, scale: Scale) -> np.ndarray:
    """Return currents for a smooth curve: closest just above the threshold, where the rate jumps from 0."""
    thresholds = np.atleast_1d(threshold_current_ma(neuron)).ravel()
    near = (thresholds[:, None] + scale.current_ma * 10.0 ** np.linspace(-12, -1.5, 60)).ravel()
    low, high = scale.axis_ma
    every = np.concatenate([np.linspace(low, high, 501), thresholds, near])
    return np.unique(every[(every >= low) & (every <= high)])


def counted_hz(neuron: Neuron, currents_ma, dt_ms: float) -> np.ndarray:
    """Return the rate that COUNT_STEPS steps of Euler count; for the tutorial's step of 1 ms it is the count.

    It is taken from `spike_count`, to which a simulation is equal spike for spike and takes a hundred times as long.
    """
    return spike_count(neuron, currents_ma, steps=COUNT_STEPS, dt_ms=dt_ms) / (COUNT_STEPS * dt_ms) * MS_PER_S


def families(neuron: Neuron):
    """Draw the transfer function for families of R and of tau_ref, exact curves and simulated counts."""
    neuron, scale = one_neuron(neuron), scale_of(neuron)
    dt, ten = scale.count_dt_ms, scale.count_ma
    resistances = scale.kohm * np.array(RESISTANCES)
    refractories = scale.time_ms / 10 * np.array(REFRACTORIES)
    made = {}
    for key, neurons, names in (
        ("by_resistance", changed(neuron, resistance_kohm=resistances[:, None]), [kohm(r) for r in resistances]),
        (
            "by_refractory",
            changed(neuron, tau_ref_ms=refractories[:, None]),
            [f"τref = {say(t, 'ms')}" for t in refractories],
        ),
    ):
        currents = dense_currents(neurons, scale)
        made[key] = currents, rate_hz(neurons, currents), counted_hz(neurons, ten[None], dt), names
    # Both charts share their currents, so that one ReLU serves both.
    currents = np.union1d(made["by_resistance"][0], made["by_refractory"][0])
    lists = {
        key: [(n, np.interp(currents, own, rates), c) for n, rates, c in zip(names, all_rates, counts, strict=True)]
        for key, (own, all_rates, counts, names) in made.items()
    }
    relu = relu_rate_hz(neuron, currents)
    ceiling = MS_PER_S / dt
    reached = max(float(counts.max()) for _, _, counts, _ in made.values()) >= ceiling
    figure = transfer.transfer_families(
        currents,
        lists["by_resistance"],
        lists["by_refractory"],
        relu,
        ten,
        names=(
            f"resistance, at τref = {say(float(neuron.tau_ref_ms), 'ms')}",
            f"refractory time, at {kohm(float(neuron.resistance_kohm))}",
        ),
        title="The leak sets the threshold, the refractory time the ceiling",
        subtitle=f"lines: exact rate · circles: {COUNT_STEPS} Euler steps of {say(dt, 'ms')}"
        + (f", at most one spike a step ({say(ceiling, 'hz')})" if reached else "")
        + " · dashed: I / (C (Vth − Vreset))",
    )
    arrays = {"currents_ma": currents, "relu_hz": relu, "count_currents_ma": ten, "count_dt_ms": dt}
    arrays |= {"resistances_kohm": resistances, "refractories_ms": refractories}
    for key, entries in lists.items():
        arrays |= {f"{key}_rates_hz": [e[1] for e in entries], f"{key}_counted_hz": [e[2] for e in entries]}
    return figure, arrays


def relu_distance_hz(neuron: Neuron, high_ma: float | None = None) -> np.ndarray:
    """Return the largest distance to the ReLU for currents from 0 to `high_ma`, by default the axis's end.

    Looked for on 2001 currents and at the threshold, where the ReLU is already on its way.
    """
    high_ma = scale_of(neuron).axis_ma[1] if high_ma is None else high_ma
    wide = Neuron(**{name: np.asarray(getattr(neuron, name))[..., None] for name in Neuron.__dataclass_fields__})
    threshold = np.clip(threshold_current_ma(wide), min(0.0, high_ma), max(0.0, high_ma))
    currents = np.concatenate(
        [
            np.broadcast_to(np.linspace(0.0, high_ma, 2001), (*wide.shape[:-1], 2001)),
            np.broadcast_to(threshold, (*wide.shape[:-1], 1)),
        ],
        axis=-1,
    )
    return np.abs(rate_hz(wide, currents) - relu_rate_hz(wide, currents)).max(axis=-1)


def limit(neuron: Neuron):
    """Draw the transfer function on its way to the ReLU as R grows and tau_ref shrinks."""
    neuron, scale = one_neuron(neuron), scale_of(neuron)
    ms = scale.time_ms / 10
    way = [(r * scale.kohm, t * ms) for r, t in WAY]
    neurons = changed(
        neuron,
        resistance_kohm=np.array([r for r, _ in way])[:, None],
        tau_ref_ms=np.array([t for _, t in way])[:, None],
    )
    currents = dense_currents(neurons, scale)
    names = [f"R {'∞' if np.isinf(r) else say(r, 'kohm')}, τref {say(t, 'ms')}" for r, t in way]
    curves = [(name, rates, None) for name, rates in zip(names, rate_hz(neurons, currents), strict=True)]
    resistances = scale.kohm * 10 ** np.linspace(0, 5, 61)
    taus = [t * ms for t in DISTANCE_REFRACTORIES]
    high = scale.axis_ma[1]
    far = [
        (f"τref = {say(t, 'ms')}", relu_distance_hz(changed(neuron, resistance_kohm=resistances, tau_ref_ms=t), high))
        for t in taus
    ]
    relu = relu_rate_hz(neuron, currents)
    figure = transfer.relu_limit(
        currents,
        curves,
        relu,
        resistances,
        far,
        title="As R grows and τref shrinks, the neuron becomes a ReLU",
        subtitle=f"right: largest distance to I / (C (Vth − Vreset)) over currents from 0 to {say(high, 'ma')}",
    )
    arrays = {
        "currents_ma": currents,
        "rates_hz": [c[1] for c in curves],
        "relu_hz": relu,
        "resistances_kohm": resistances,
        "taus_ms": taus,
        "distances_hz": [d for _, d in far],
    }
    return figure, arrays


def order_of_convergence(dts_ms, errors) -> float | None:
    """Return the slope of log(mean error) over log(dt), by least squares; None where an error is zero."""
    means = np.asarray(errors).mean(axis=1)
    return float(np.polyfit(np.log(dts_ms), np.log(means), 1)[0]) if np.all(means > 0) else None


def convergence(neuron: Neuron):
    """Draw the error in rate of the two grid methods against the time step; return their orders as well."""
    neuron, scale = one_neuron(neuron), scale_of(neuron)
    currents = scale.threshold_ma + scale.current_ma * np.linspace(0.2, 2.0, 200)
    dts = scale.time_ms / 10 ** np.linspace(4, 1, 13)
    # A refractory time that the step does not divide would be rounded; here the step alone is at fault.
    free = changed(neuron, tau_ref_ms=0.0)
    exact = rate_hz(free, currents)
    errors = {
        method: np.array([np.abs(grid_rate_hz(free, currents, dt, method) / exact - 1) for dt in dts])
        for method in ("euler", "exponential")
    }
    orders = {method: order_of_convergence(dts, values) for method, values in errors.items()}
    known = [order for order in orders.values() if order is not None]
    first = len(known) == 2 and all(abs(order - 1) < 0.1 for order in known)
    words = ", ".join(
        f"{name} {'none' if orders[key] is None else f'{orders[key]:.2f}'}"
        for name, key in (("Euler", "euler"), ("exponential", "exponential"))
    )
    figure = transfer.convergence(
        dts,
        [("Euler", errors["euler"]), ("exponential", errors["exponential"])],
        title="The error of the rate falls in proportion to the step" if first else "What a time step costs the rate",
        subtitle=f"order measured: {words}; 200 currents each, no refractory time",
    )
    return figure, {"dts_ms": dts, "euler": errors["euler"], "exponential": errors["exponential"]}, orders
