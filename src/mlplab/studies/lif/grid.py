"""What a grid simulation of the neuron does under a constant current, in closed form.

Time is counted in whole steps; a refractory time holds the neuron for m = floor(tau_ref/dt) of them.
"""

import numpy as np

from mlplab.errors import InputError
from mlplab.studies.lif.neuron import MS_PER_S, Neuron, checked_current

# Where the membrane meets the threshold exactly on a step (constant input without a leak does so as a rule),
# rounding would decide. Simulation and closed form both lengthen the step by this part, and a tie is a spike.
TIE = 1e-10

# Quotients of two times that miss a whole number by less were meant to be one (0.3 / 0.1 is 2.999...).
_WHOLE = 1e-9


def whole_steps(time_ms, dt_ms) -> np.ndarray:
    """Return how many whole steps of `dt_ms` fit into `time_ms`; 0.3 ms holds three steps of 0.1 ms."""
    return np.floor(np.asarray(time_ms, dtype=np.float64) / dt_ms + _WHOLE)


def divides(time_ms, dt_ms) -> np.ndarray:
    """Say where `time_ms` is a whole number of steps; elsewhere a grid method shortens it to one."""
    quotient = np.asarray(time_ms, dtype=np.float64) / dt_ms
    return np.abs(quotient - np.round(quotient)) <= _WHOLE * np.maximum(1.0, quotient)


def step_weight(neuron: Neuron, dt_ms: float, method: str = "euler") -> np.ndarray:
    """Return w of V := V + w (V_rest + R I - V): dt/(R C) for Euler, 1 - exp(-dt/(R C)) for exponential Euler.

    Raises:
        InputError: for dt <= 0, an unknown method, and dt > 2 R C with Euler, which is unstable there.
    """
    if not (np.isfinite(dt_ms) and dt_ms > 0):
        raise InputError(f"simulation.dt_ms must be a finite number > 0, got {dt_ms}")
    ratio = dt_ms / neuron.time_constant_ms
    if method == "exponential":
        return -np.expm1(-ratio * (1.0 + TIE))
    if method != "euler":
        raise InputError(f"simulation.method must be one of euler, exponential, exact, got {method!r}")
    if np.any(ratio > 2.0):
        limit = 2.0 * float(np.min(neuron.time_constant_ms))
        raise InputError(
            f"simulation.dt_ms must be at most 2 R C = {limit:g} ms, where Euler turns unstable, got {dt_ms:g}"
        )
    return ratio * (1.0 + TIE)


def steps_to_spike(neuron: Neuron, current_ma, dt_ms: float, method: str = "euler", start_v=None) -> np.ndarray:
    """Return the number of integration steps from `start_v` to the spike; infinite where there is none.

    After n steps V = D + (V_start - D)(1 - w)^n with D = V_rest + R I, so n is the smallest integer with V >= Vth.

    Args:
        neuron, current_ma: broadcast together; the current is constant.
        dt_ms: step, > 0 and at most 2 R C for Euler.
        method: "euler" or "exponential".
        start_v: where the membrane starts; the reset potential if None.
    """
    weight = step_weight(neuron, dt_ms, method)
    drive = neuron.drive_ma(checked_current(current_ma))
    gap = neuron.gap_ma
    above = drive - gap
    simple = start_v is None and np.all(weight < 1.0)
    start = 0.0 if start_v is None else (np.asarray(start_v, dtype=np.float64) - neuron.reset_v) / neuron.leak_kohm
    with np.errstate(divide="ignore", invalid="ignore"):
        steps = np.log1p((gap - start) / above) / -np.log1p(-np.minimum(weight, 1.0))
    steps = np.where(above > 0, np.maximum(np.ceil(steps), 1.0), np.inf)
    if simple:
        return steps
    # From above the drive, or with w >= 1, the potential is highest in one of the first two steps.
    first = start + weight * (drive - start)
    second = np.where(weight > 1.0, first + weight * (drive - first), -np.inf)
    steps = np.where(weight >= 1.0, np.inf, steps)
    return np.where(first > gap, 1.0, np.where((second > gap) & (weight > 1.0), 2.0, steps))


def spike_count(
    neuron: Neuron, current_ma, *, steps: int, dt_ms: float, method: str = "euler", start_v=None
) -> np.ndarray:
    """Return how many spikes a grid simulation of `steps` steps would count, without simulating.

    With n steps to a spike and m = floor(tau_ref/dt) refractory steps, from the reset potential:

        count = floor( (steps + m) / (n + m) )

    Args:
        neuron, current_ma: broadcast together; the current is constant.
        steps: number of steps after the initial state, >= 0.
        dt_ms, method, start_v: as in `steps_to_spike`.

    Returns:
        float64 array of whole numbers.
    """
    rest = whole_steps(neuron.tau_ref_ms, dt_ms)
    again = steps_to_spike(neuron, current_ma, dt_ms, method)
    if start_v is None:
        return np.floor((steps + rest) / (again + rest))
    first = steps_to_spike(neuron, current_ma, dt_ms, method, start_v)
    with np.errstate(invalid="ignore"):
        later = np.floor((steps - first) / (again + rest))
    return np.where(first <= steps, 1.0 + np.where(np.isfinite(again), later, 0.0), 0.0)


def grid_rate_hz(neuron: Neuron, current_ma, dt_ms: float, method: str = "euler") -> np.ndarray:
    """Return the rate in Hz of a grid simulation that runs for ever: 1 / (dt (n + m))."""
    period = steps_to_spike(neuron, current_ma, dt_ms, method) + whole_steps(neuron.tau_ref_ms, dt_ms)
    return MS_PER_S / (dt_ms * period)
