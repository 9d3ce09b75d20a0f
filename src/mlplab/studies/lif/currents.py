"""Input currents in mA over time, cut into blocks of steps, so that memory stays bounded.

Every input has `block(start, stop)`: the current during the integration steps start+1 .. stop, as a float64
array of shape `(stop - start, *neurons)`, or `(1, *neurons)` where it does not change. Step n ends at n dt.
What a block holds depends on its steps alone, not on where the blocks before it were cut.
"""

import re
from dataclasses import dataclass, field

import numpy as np

from mlplab.data.columns import Table
from mlplab.data.table import matrix, read_table
from mlplab.errors import InputError
from mlplab.seeds import derive
from mlplab.studies.lif.neuron import checked_current

# Of a Poisson input: events a step, and steps of its time constant, whose 40-fold is drawn before the first.
MOST_EVENTS, MOST_STEPS_BACK = 1e15, 100_000


def _times_ms(start, stop, dt_ms, axes):
    """Return the times at the ends of the steps, with one axis for each axis of neurons."""
    times = np.arange(start + 1, stop + 1, dtype=np.float64) * dt_ms
    return times.reshape(-1, *([1] * axes))


@dataclass
class Constant:
    """Give each neuron one current; `current_ma` has the shape of the neurons or is a number."""

    current_ma: float | np.ndarray

    def __post_init__(self):
        self.current_ma = checked_current(self.current_ma)

    def block(self, start: int, stop: int) -> np.ndarray:
        return self.current_ma[None]


@dataclass
class Step:
    """Switch from `before_ma` to `after_ma` with the first step that ends after `at_ms`."""

    dt_ms: float
    before_ma: float | np.ndarray = 0.0
    after_ma: float | np.ndarray = 1.5
    at_ms: float = 10.0

    def __post_init__(self):
        self.before_ma, self.after_ma = np.broadcast_arrays(
            checked_current(self.before_ma), checked_current(self.after_ma)
        )

    def block(self, start: int, stop: int) -> np.ndarray:
        late = _times_ms(start, stop, self.dt_ms, self.after_ma.ndim) > self.at_ms * (1 + 1e-12)
        return np.where(late, self.after_ma, self.before_ma)


@dataclass
class Ramp:
    """Rise in a straight line from `from_ma` at 0 to `to_ma` at `over_ms`, and stay there."""

    dt_ms: float
    from_ma: float | np.ndarray = 0.0
    to_ma: float | np.ndarray = 2.0
    over_ms: float = 50.0

    def __post_init__(self):
        self.from_ma, self.to_ma = np.broadcast_arrays(checked_current(self.from_ma), checked_current(self.to_ma))
        _positive("over_ms", self.over_ms)

    def block(self, start: int, stop: int) -> np.ndarray:
        part = np.minimum(_times_ms(start, stop, self.dt_ms, self.to_ma.ndim) / self.over_ms, 1.0)
        return self.from_ma + part * (self.to_ma - self.from_ma)


@dataclass
class Sine:
    """Swing by `amplitude_ma` about `mean_ma` with `frequency_hz`, starting at `phase_degrees`."""

    dt_ms: float
    mean_ma: float | np.ndarray = 1.2
    amplitude_ma: float | np.ndarray = 0.5
    frequency_hz: float | np.ndarray = 20.0
    phase_degrees: float | np.ndarray = 0.0

    def __post_init__(self):
        names = ("mean_ma", "amplitude_ma", "frequency_hz", "phase_degrees")
        values = np.broadcast_arrays(*(checked_current(getattr(self, name)) for name in names))
        self.mean_ma, self.amplitude_ma, self.frequency_hz, self.phase_degrees = values

    def block(self, start: int, stop: int) -> np.ndarray:
        times = _times_ms(start, stop, self.dt_ms, self.mean_ma.ndim)
        angle = 2.0 * np.pi * self.frequency_hz * times / 1000.0 + np.deg2rad(self.phase_degrees)
        return self.mean_ma + self.amplitude_ma * np.sin(angle)


@dataclass
class Recursive:
    """Keep the last value of a recursion; a block that does not follow the last one starts it again."""

    dt_ms: float
    neurons: int = 1
    seed: int = 0
    _at: int = field(default=0, init=False, repr=False)
    _value: np.ndarray = field(default=None, init=False, repr=False)

    def block(self, start: int, stop: int) -> np.ndarray:
        if self._value is None or self._at != start:
            self._at, self._value = 0, self._begin()
            while self._at < start:  # replayed in pieces, so that a late start needs no memory for the past
                self._advance(min(start - self._at, 64))
        return self._offset() + self._advance(stop - start)

    def _advance(self, count):
        rows = np.empty((count, self.neurons))
        for row in rows:
            self._value = self._follow(self._value, self._draws(self._at))
            row[:] = self._value
            self._at += 1
        return rows

    def _draws(self, step):
        # One counter-based stream a step: the draw of a step needs no draw before it.
        key = derive(self.seed, type(self).__name__, "noise")
        return np.random.Generator(np.random.Philox(key=key, counter=[0, 0, 0, step]))


@dataclass
class OrnsteinUhlenbeck(Recursive):
    """Add coloured Gaussian noise to a mean, drawn from its stationary law from the first step on.

        x(t + dt) = rho x(t) + sqrt(1 - rho^2) std xi,   rho = exp(-dt/tau)

    which is exact for every dt (Gillespie 1996, eq. 1.8). `std_ma` is the standard deviation of the current.
    """

    mean_ma: float = 1.0
    std_ma: float = 0.5
    tau_ms: float = 5.0

    def __post_init__(self):
        checked_current(self.mean_ma)
        _positive("tau_ms", self.tau_ms)
        if not (np.isfinite(self.std_ma) and self.std_ma >= 0):
            raise InputError(f"input.std_ma must be a finite number >= 0, got {self.std_ma}")

    @property
    def intensity_ma_sqrt_ms(self) -> float:
        """Return the intensity of the white noise that it becomes as tau tends to 0 at the same std^2 tau."""
        return self.std_ma * np.sqrt(2.0 * self.tau_ms)

    def _begin(self):
        key = derive(self.seed, type(self).__name__, "begin")
        return self.std_ma * np.random.Generator(np.random.Philox(key=key)).standard_normal(self.neurons)

    def _follow(self, value, draws):
        rho = np.exp(-self.dt_ms / self.tau_ms)
        return rho * value + np.sqrt(1.0 - rho**2) * self.std_ma * draws.standard_normal(self.neurons)

    def _offset(self):
        return self.mean_ma


@dataclass
class Poisson(Recursive):
    """Let `synapses` Poisson inputs of `rate_hz` each add charge, which decays with `tau_ms`.

        x(t + dt) = rho x(t) + w' k,   rho = exp(-dt/tau),   w' = weight (tau/dt) (1 - rho),   k ~ Poisson(events in dt)

    An event brings the charge weight * tau whatever dt is, so that the mean, synapses * rate * weight * tau, does not
    depend on it. The variance is synapses * rate * weight^2 * tau/2 (Campbell's theorem) times
    (2 tau/dt) tanh(dt/(2 tau)), which tends to 1. The first step has the stationary law already.
    """

    rate_hz: float = 20.0
    synapses: int = 100
    weight_ma: float = 0.1
    tau_ms: float = 5.0

    def __post_init__(self):
        checked_current(self.weight_ma)
        _positive("tau_ms", self.tau_ms)
        if not (np.isfinite(self.rate_hz) and self.rate_hz >= 0):
            raise InputError(f"input.rate_hz must be a finite number >= 0, got {self.rate_hz}")
        if self.synapses < 0:
            raise InputError(f"input.synapses must be >= 0, got {self.synapses}")
        self._keep = np.exp(-self.dt_ms / self.tau_ms)
        self._jump_ma = self.weight_ma * -np.expm1(-self.dt_ms / self.tau_ms) * self.tau_ms / self.dt_ms
        self._events = self.synapses * self.rate_hz * self.dt_ms / 1000.0
        if not self._events <= MOST_EVENTS:
            raise InputError(
                f"input.rate_hz={self.rate_hz:g} of input.synapses={self.synapses:g} must be at most {MOST_EVENTS:g} "
                f"events a step, got {self._events:g}"
            )
        if not self.tau_ms <= MOST_STEPS_BACK * self.dt_ms:
            raise InputError(
                f"input.tau_ms must be at most {MOST_STEPS_BACK:,} steps of dt_ms={self.dt_ms:g}, got {self.tau_ms:g}"
            )

    @property
    def mean_ma(self) -> float:
        return self.synapses * self.rate_hz / 1000.0 * self.weight_ma * self.tau_ms

    @property
    def intensity_ma_sqrt_ms(self) -> float:
        """Return the intensity of the white noise that it becomes for many quick and small events."""
        return abs(self.weight_ma) * self.tau_ms * np.sqrt(self.synapses * self.rate_hz / 1000.0)

    def _begin(self):
        """Draw the sum over all steps before the first: those older than 40 tau have decayed below rounding."""
        rng = np.random.Generator(np.random.Philox(key=derive(self.seed, type(self).__name__, "begin")))
        steps = int(np.ceil(40.0 * self.tau_ms / self.dt_ms))
        value = np.zeros(self.neurons)
        if self._events < 1.0:  # few events a step: draw them one by one, each with its step
            counts = rng.poisson(self._events * steps, self.neurons)
            for neuron, count in enumerate(counts):
                value[neuron] = np.sum(np.exp(-self.dt_ms / self.tau_ms * rng.integers(0, steps, count)))
        else:
            for _ in range(steps):
                value = self._keep * value + rng.poisson(self._events, self.neurons)
        return self._jump_ma * value

    def _follow(self, value, draws):
        return self._keep * value + self._jump_ma * draws.poisson(self._events, self.neurons)

    def _offset(self):
        return 0.0


@dataclass
class WhiteNoise(Recursive):
    """Add white noise to a mean: in each step an independent normal draw of deviation intensity / sqrt(dt).

    The intensity s (mA sqrt(ms)) is that of <eta(t) eta(t')> = s^2 delta(t - t'), so that the noise is the same for
    every dt. The potential of a membrane without a threshold then has the deviation s sqrt(R / (2 C)).
    """

    mean_ma: float = 0.9
    intensity_ma_sqrt_ms: float = 1.3

    def __post_init__(self):
        checked_current(self.mean_ma)
        if not (np.isfinite(self.intensity_ma_sqrt_ms) and self.intensity_ma_sqrt_ms >= 0):
            raise InputError(
                f"input.intensity_ma_sqrt_ms must be a finite number >= 0, got {self.intensity_ma_sqrt_ms}"
            )

    def _begin(self):
        return np.zeros(self.neurons)

    def _follow(self, value, draws):
        return self.intensity_ma_sqrt_ms / np.sqrt(self.dt_ms) * draws.standard_normal(self.neurons)

    def _offset(self):
        return self.mean_ma


@dataclass
class Samples:
    """Take the current from an array of shape `(steps, *neurons)`, float64 or float32; its end is an end."""

    current_ma: np.ndarray

    def __post_init__(self):
        self.current_ma = np.asarray(self.current_ma)
        if self.current_ma.ndim == 0:
            raise InputError("input array must have a first axis of steps, got a single number")
        for row in self.current_ma:  # a row at a time: the whole may fill the memory
            checked_current(row)

    def block(self, start: int, stop: int) -> np.ndarray:
        if stop > len(self.current_ma):
            raise InputError(f"input array holds {len(self.current_ma)} steps, step {stop} was asked for")
        return self.current_ma[start:stop]


def _positive(name, value):
    if not (np.isfinite(value) and value > 0):
        raise InputError(f"input.{name} must be a finite number > 0, got {value}")


class FileSamples(Samples):
    """Take the current from an NPY file, or from a table with a row a step and a column a neuron.

    A first column of evenly spaced times is no neuron: one whose header says time or t (in ms; ``time (s)`` in
    seconds), or, in a file of at least ten rows without a header, one that grows evenly from 0. Its step is `dt_ms`, else
    None.

    Raises:
        InputError: the file is missing, holds something else, a value is not finite, or the times are not even.
    """

    def __init__(self, path: str):
        self.dt_ms: float | None = None
        try:
            if str(path).endswith(".npy"):
                values = np.load(path, allow_pickle=False)
            else:
                values = self._without_times(read_table(path, key="input.path"))
            if np.iscomplexobj(values):
                raise TypeError("it holds complex numbers")
            if values.ndim and values[:1].size == 0 < len(values):
                raise ValueError("it holds no neuron")
            super().__init__(values.astype(np.float64))
        except InputError:
            raise
        except (OSError, EOFError, ValueError, TypeError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"input.path must be an NPY or CSV file of numbers, got {path}: {reason}") from None

    def _without_times(self, table: Table) -> np.ndarray:
        values = matrix(table)
        if values.shape[1] > 1 and len(values) > 1:
            word, unit = re.match(r"\W*(\w*)\W*(\w*)", table.names[0].lower()).groups()
            steps = np.diff(values[:, 0])
            step = (values[-1, 0] - values[0, 0]) / (len(values) - 1)
            even = step > 0 and bool(np.allclose(steps, step, rtol=1e-3, atol=0))
            named = table.header and word in ("time", "times", "t", "time_ms", "t_ms", "time_s", "t_s")
            if named and not even:
                row = int((np.abs(steps - step) > 1e-3 * abs(step)).argmax()) + 1
                raise InputError(f"{table.where(row)}: the times must be evenly spaced, got {values[row, 0]:g}")
            if named or (not table.header and even and len(values) >= 10 and values[0, 0] in (0.0, step)):
                seconds = "s" in (unit, word.rpartition("_")[2])
                self.dt_ms = float(step) * (1000.0 if seconds else 1.0)
                values = values[:, 1:]
        return values[:, 0] if values.shape[1] == 1 else values
