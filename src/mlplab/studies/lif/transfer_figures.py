"""The figures of the transfer function: families, the way to the ReLU, the cost of a time step."""

import numpy as np

from mlplab.studies.lif import transfer_plots as transfer
from mlplab.studies.lif.currents import Constant
from mlplab.studies.lif.grid import grid_rate_hz
from mlplab.studies.lif.neuron import Neuron, rate_hz, relu_rate_hz, threshold_current_ma
from mlplab.studies.lif.simulation import simulate

# The tutorial's transfer function: ten currents, a second, steps of a millisecond.
TEN_MA = np.linspace(0.0, 2.0, 10)
SECOND_STEPS, SECOND_DT_MS = 1000, 1.0
AXIS_MA = (-0.5, 2.0)
RESISTANCES_KOHM = (1.0, 2.0, 5.0, 20.0, np.inf)
REFRACTORIES_MS = (20.0, 10.0, 5.0, 2.0, 0.0)


def kohm(value: float) -> str:
    return "R = ∞" if np.isinf(value) else f"R = {value:g} kΩ"


def one_neuron(neuron: Neuron) -> Neuron:
    """Return the first neuron of a batch."""
    pick = lambda value: float(np.asarray(value).reshape(-1)[0])  # noqa: E731
    return Neuron(**{name: pick(getattr(neuron, name)) for name in Neuron.__dataclass_fields__})


def dense_currents(neuron: Neuron) -> np.ndarray:
    """Return currents for a smooth curve: closest just above the threshold, where the rate jumps from 0."""
    thresholds = np.atleast_1d(threshold_current_ma(neuron)).ravel()
    near = (thresholds[:, None] + 10.0 ** np.linspace(-12, -1.5, 60)).ravel()
    every = np.concatenate([np.linspace(*AXIS_MA, 501), thresholds, near])
    return np.unique(every[(every >= AXIS_MA[0]) & (every <= AXIS_MA[1])])


def families(capacitance_uf: float, resistance_kohm: float, tau_ref_ms: float):
    """Draw the transfer function for families of R and of tau_ref, exact curves and simulated counts."""
    made = {}
    for key, neurons, names in (
        (
            "by_resistance",
            Neuron(
                resistance_kohm=np.array(RESISTANCES_KOHM)[:, None],
                tau_ref_ms=tau_ref_ms,
                capacitance_uf=capacitance_uf,
            ),
            [kohm(r) for r in RESISTANCES_KOHM],
        ),
        (
            "by_refractory",
            Neuron(
                resistance_kohm=resistance_kohm,
                tau_ref_ms=np.array(REFRACTORIES_MS)[:, None],
                capacitance_uf=capacitance_uf,
            ),
            [f"τref = {t:g} ms" for t in REFRACTORIES_MS],
        ),
    ):
        currents = dense_currents(neurons)
        counts = simulate(neurons, Constant(TEN_MA[None]), steps=SECOND_STEPS, dt_ms=SECOND_DT_MS).count
        made[key] = currents, rate_hz(neurons, currents), counts, names
    # Both charts share their currents, so that one ReLU serves both.
    currents = np.union1d(made["by_resistance"][0], made["by_refractory"][0])
    lists = {
        key: [
            (n, np.interp(currents, own, rates), c)
            for n, rates, c in zip(names, all_rates, counts, strict=True)
        ]
        for key, (own, all_rates, counts, names) in made.items()
    }
    relu = relu_rate_hz(Neuron(capacitance_uf=capacitance_uf), currents)
    figure = transfer.transfer_families(
        currents,
        lists["by_resistance"],
        lists["by_refractory"],
        relu,
        TEN_MA,
        names=(f"resistance, at τref = {tau_ref_ms:g} ms", f"refractory time, at {kohm(resistance_kohm)}"),
        title="The leak sets the threshold, the refractory time the ceiling",
        subtitle="lines: exact rate · circles: spikes in 1 s of Euler steps of 1 ms · dashed: I / (C Vth)",
    )
    arrays = {"currents_ma": currents, "relu_hz": relu, "count_currents_ma": TEN_MA}
    for key, entries in lists.items():
        arrays |= {f"{key}_rates_hz": [e[1] for e in entries], f"{key}_counts": [e[2] for e in entries]}
    return figure, arrays


def relu_distance_hz(neuron: Neuron) -> np.ndarray:
    """Return the largest distance to the ReLU for currents from 0 to 2 mA.

    Looked for on 2001 currents and at the threshold, where the ReLU is already on its way.
    """
    wide = Neuron(
        **{name: np.asarray(getattr(neuron, name))[..., None] for name in Neuron.__dataclass_fields__}
    )
    threshold = np.clip(threshold_current_ma(wide), 0.0, 2.0)
    currents = np.concatenate(
        [
            np.broadcast_to(np.linspace(0.0, 2.0, 2001), (*wide.shape[:-1], 2001)),
            np.broadcast_to(threshold, (*wide.shape[:-1], 1)),
        ],
        axis=-1,
    )
    return np.abs(rate_hz(wide, currents) - relu_rate_hz(wide, currents)).max(axis=-1)


def limit(capacitance_uf: float):
    """Draw the transfer function on its way to the ReLU as R grows and tau_ref shrinks."""
    way = [(1.0, 5.0), (3.0, 2.0), (10.0, 1.0), (100.0, 0.3), (np.inf, 0.0)]
    neurons = Neuron(
        resistance_kohm=np.array([r for r, _ in way])[:, None],
        tau_ref_ms=np.array([t for _, t in way])[:, None],
        capacitance_uf=capacitance_uf,
    )
    currents = dense_currents(neurons)
    names = [f"R {'∞' if np.isinf(r) else f'{r:g} kΩ'}, τref {t:g} ms" for r, t in way]
    curves = [(name, rates, None) for name, rates in zip(names, rate_hz(neurons, currents), strict=True)]
    resistances = 10 ** np.linspace(0, 5, 61)
    taus = (5.0, 1.0, 0.1, 0.01, 0.0)
    far = [
        (
            f"τref = {t:g} ms",
            relu_distance_hz(
                Neuron(resistance_kohm=resistances, tau_ref_ms=t, capacitance_uf=capacitance_uf)
            ),
        )
        for t in taus
    ]
    relu = relu_rate_hz(Neuron(capacitance_uf=capacitance_uf), currents)
    figure = transfer.relu_limit(
        currents,
        curves,
        relu,
        resistances,
        far,
        title="As R grows and τref shrinks, the neuron becomes a ReLU",
        subtitle="right: largest distance to I / (C Vth) over currents from 0 to 2 mA",
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
    free = Neuron(
        resistance_kohm=neuron.resistance_kohm,
        capacitance_uf=neuron.capacitance_uf,
        tau_ref_ms=0.0,
        threshold_v=neuron.threshold_v,
        reset_v=neuron.reset_v,
    )
    exact = rate_hz(free, currents)
    errors = {
        method: np.array([np.abs(grid_rate_hz(free, currents, dt, method) / exact - 1) for dt in dts])
        for method in ("euler", "exponential")
    }
    orders = {method: order_of_convergence(dts, values) for method, values in errors.items()}
    figure = transfer.convergence(
        dts,
        [("Euler", errors["euler"]), ("exponential", errors["exponential"])],
        title="The error of the rate falls in proportion to the step",
        subtitle=f"order measured: Euler {orders['euler']:.2f}, exponential {orders['exponential']:.2f}; "
        "200 currents each",
    )
    return figure, {"dts_ms": dts, "euler": errors["euler"], "exponential": errors["exponential"]}, orders
