"""The leaky integrate-and-fire neuron: its parameters and what is known of it exactly, in continuous time.

    C dV/dt = -(V - V_rest)/R + I   while not refractory;   on V >= Vth: spike, V := V_reset, held for tau_ref

Units agree without factors: kOhm * uF = ms and kOhm * mA = V.
"""

from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np

from mlplab.errors import InputError

MS_PER_S = 1000.0
# So large a current, either way, that potentials are still far from what float64 cannot hold.
LARGEST_MA = 1e100

# A neuron without a leak is the neuron whose resistance is this power of two: I - V/R then rounds to I and
# R cancels without a rounding error, so that the result is the perfect integrator's to the bit.
_NO_LEAK_KOHM = 2.0**70


@dataclass(frozen=True)
class Neuron:
    """Hold the parameters of one neuron, or of many as arrays that broadcast.

    Args:
        resistance_kohm: membrane resistance R, > 0; infinite for a neuron without a leak.
        capacitance_uf: membrane capacitance C, > 0.
        tau_ref_ms: refractory time, >= 0.
        threshold_v: Vth, above `reset_v`.
        reset_v: the potential after a spike and during the refractory time.
        spike_v: what a trace adds at the step of a spike, so that it shows; it changes nothing else. None: half the
            way from reset to threshold.
        rest_v: where the leak pulls to (E_L); above the threshold the neuron fires without input. Without a leak it
            has no effect.

    Raises:
        InputError: for a value out of its range.
    """

    resistance_kohm: float | np.ndarray = 1.0
    capacitance_uf: float | np.ndarray = 10.0
    tau_ref_ms: float | np.ndarray = 10.0
    threshold_v: float | np.ndarray = 1.0
    reset_v: float | np.ndarray = 0.0
    spike_v: float | np.ndarray | None = None
    rest_v: float | np.ndarray = 0.0

    def __post_init__(self):
        unset = self.spike_v is None
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "spike_v" and value is None:
                value = np.zeros(())  # until the others are known
            object.__setattr__(self, field.name, _checked(field.name, value))
        try:
            self.shape  # noqa: B018 (the property refuses lists that do not go together)
        except ValueError:
            lists = {f"neuron.{field.name}": getattr(self, field.name).shape for field in fields(self)}
            sizes = [f"{name} of {' x '.join(map(str, shape))}" for name, shape in lists.items() if shape]
            raise InputError(f"lists of one value a neuron must be of one length, got {', '.join(sizes)}") from None
        if unset:
            object.__setattr__(self, "spike_v", 0.5 * self.gap_v)
        if np.any(self.threshold_v - self.reset_v < 1e-30):  # less, and what is divided by it may be no number
            raise InputError(
                f"neuron.threshold_v must be above neuron.reset_v by at least 1e-30, got {_shown(self.threshold_v)} "
                f"with reset_v {_shown(self.reset_v)}"
            )

    @cached_property
    def leak_kohm(self) -> np.ndarray:
        """Return the resistance to compute with: finite, and exact where there is no leak."""
        return np.where(np.isinf(self.resistance_kohm), _NO_LEAK_KOHM, self.resistance_kohm)

    @cached_property
    def time_constant_ms(self) -> np.ndarray:
        return self.leak_kohm * self.capacitance_uf

    @cached_property
    def gap_v(self) -> np.ndarray:
        """Return the way from reset to threshold."""
        return self.threshold_v - self.reset_v

    @cached_property
    def reset_ma(self) -> np.ndarray:
        """Return the current that holds the membrane at the reset: (V_reset - V_rest) / R, zero without a leak."""
        return np.where(np.isinf(self.resistance_kohm), 0.0, (self.reset_v - self.rest_v) / self.leak_kohm)

    @cached_property
    def gap_ma(self) -> np.ndarray:
        """Return the way from reset to threshold in currents that hold the membrane there.

        Potentials are computed in this unit, V / R: then the input is where the membrane is drawn to, without
        a product, and an input of just (Vth - V_rest) / R is just at the threshold.
        """
        leaky = (self.threshold_v - self.rest_v) / self.leak_kohm - self.reset_ma
        return np.where(np.isinf(self.resistance_kohm), self.gap_v / self.leak_kohm, leaky)

    @cached_property
    def shape(self) -> tuple[int, ...]:
        return np.broadcast_shapes(*(getattr(self, field.name).shape for field in fields(self)))

    def drive_ma(self, current_ma) -> np.ndarray:
        """Return where the current draws the membrane to, above the reset, in the unit of `gap_ma`."""
        return current_ma - self.reset_ma


_RANGES = {
    "resistance_kohm": ("a number > 0 (inf for no leak)", lambda v: v > 0),
    "capacitance_uf": ("a finite number > 0", lambda v: (v > 0) & np.isfinite(v)),
    "tau_ref_ms": ("a finite number >= 0", lambda v: (v >= 0) & np.isfinite(v)),
    "threshold_v": ("a finite number", np.isfinite),
    "reset_v": ("a finite number", np.isfinite),
    "spike_v": ("a finite number >= 0", lambda v: (v >= 0) & np.isfinite(v)),
    "rest_v": ("a finite number", np.isfinite),
}


def _checked(name, value):
    allowed, test = _RANGES[name]
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"neuron.{name} must be {allowed}, got {value!r}") from None
    wrong = ~test(array)
    if np.any(wrong):
        raise InputError(f"neuron.{name} must be {allowed}, got {array[wrong].flat[0]:g}")
    return array


def _shown(values):
    values = np.asarray(values)
    return f"{values:g}" if values.ndim == 0 else f"values from {values.min():g} to {values.max():g}"


def checked_current(current_ma) -> np.ndarray:
    """Return currents as float64, or raise an InputError that names the first one that is not finite or too large."""
    current = np.asarray(current_ma, dtype=np.float64)
    fine = np.abs(current) <= LARGEST_MA
    if not fine.all():
        at = tuple(int(i) for i in np.argwhere(~fine)[0])
        finite = f"from -{LARGEST_MA:g} to {LARGEST_MA:g} mA" if np.isfinite(current[at]) else "finite"
        raise InputError(f"input current must be {finite}, got {current[at]} at index {list(at)}")
    return current


def threshold_current_ma(neuron: Neuron) -> np.ndarray:
    """Return the current above which the neuron fires: (Vth - V_rest) / R, zero without a leak."""
    above_rest = (neuron.threshold_v - neuron.rest_v) / neuron.leak_kohm
    return np.where(np.isinf(neuron.resistance_kohm), 0.0, above_rest)


def interval_ms(neuron: Neuron, current_ma, start_v=None) -> np.ndarray:
    """Return the time in ms that a constant current needs to bring the membrane to the threshold.

        R C ln( (V_rest + R I - V_start) / (V_rest + R I - Vth) )   for V_rest + R I > Vth, else infinite

    Args:
        neuron: parameters, broadcast with the current.
        current_ma: constant input in mA.
        start_v: where the membrane starts, at most Vth; the reset potential if None.

    Returns:
        float64 array of the broadcast shape; without the refractory time.
    """
    drive = neuron.drive_ma(checked_current(current_ma))
    gap = neuron.gap_ma
    way = gap if start_v is None else (neuron.threshold_v - np.asarray(start_v, np.float64)) / neuron.leak_kohm
    above = drive - gap
    with np.errstate(divide="ignore", invalid="ignore"):
        # log1p of way/above keeps all digits both just above threshold and far above it.
        time = neuron.time_constant_ms * np.log1p(way / above)
    return np.where(above > 0, time, np.inf)


def rate_hz(neuron: Neuron, current_ma) -> np.ndarray:
    """Return the exact firing rate in Hz under a constant current: 1 / (tau_ref + interval)."""
    return MS_PER_S / (neuron.tau_ref_ms + interval_ms(neuron, current_ma))


def relu_rate_hz(neuron: Neuron, current_ma) -> np.ndarray:
    """Return the rate that R -> infinity and tau_ref -> 0 lead to: relu(I) / (C (Vth - V_reset)), in Hz."""
    return MS_PER_S * np.maximum(checked_current(current_ma), 0.0) / (neuron.capacitance_uf * neuron.gap_v)


def ceiling_hz(neuron: Neuron) -> np.ndarray:
    """Return the rate that no current can pass: 1 / tau_ref, infinite without a refractory time."""
    with np.errstate(divide="ignore"):
        return MS_PER_S / neuron.tau_ref_ms


def spike_times_ms(neuron: Neuron, current_ma: float, duration_ms: float) -> np.ndarray:
    """Return the exact spike times in ms of one neuron under a constant current, in [0, duration]."""
    first = float(interval_ms(neuron, current_ma))
    if first > duration_ms:
        return np.empty(0)
    period = first + float(neuron.tau_ref_ms)
    times = first + period * np.arange(int((duration_ms - first) / period) + 2)
    return times[times <= duration_ms]


def exact_count(neuron: Neuron, current_ma, duration_ms: float) -> np.ndarray:
    """Return how many spikes fall into [0, duration]: floor((duration + tau_ref) / (interval + tau_ref))."""
    period = interval_ms(neuron, current_ma) + neuron.tau_ref_ms
    return np.floor((duration_ms + neuron.tau_ref_ms) / period)
