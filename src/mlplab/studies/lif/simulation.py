"""Simulate batches of leaky integrate-and-fire neurons for any input, from a state to a state.

On the grid (Euler, exponential Euler) each step does, in this order: a neuron in its refractory time stays at
V_reset; any other integrates, V := V + w (V_rest + R I - V); where V >= Vth it spikes, and for the next
m = floor(tau_ref/dt) steps it is refractory; with m = 0 it integrates from V_reset in the very next step.
That is the tutorial's rule in whole steps, save that it resets whatever tau_ref is.
"""

import sys
from dataclasses import dataclass, field

import numpy as np

from mlplab.errors import InputError
from mlplab.studies.lif import exact, stepping
from mlplab.studies.lif.currents import Constant, Samples
from mlplab.studies.lif.grid import step_weight
from mlplab.studies.lif.neuron import Neuron

# The input is drawn for as many steps at a time as fit into this memory. A block of neurons then stays in the
# cache for all of them: with a million neurons 32 steps, a twentieth faster than 8.
INPUT_BYTES = 2**28
# More spikes in a step than this are not kept as a list.
MOST_SPIKES = 10**8


@dataclass
class State:
    """Hold what a run needs to go on to the same bits; both arrays have the shape of the neurons.

    Potentials are counted from the reset, in mA: as the current that would hold the membrane there,
    (V - V_reset) / R. This is what the methods compute with.
    """

    above_reset_ma: np.ndarray
    refractory_ms: np.ndarray
    step: int = 0


@dataclass
class Recorder:
    """Collect counts, and traces and spikes where asked for, while a method advances.

    `keep_spikes` is 0 for none, else so many of each train; a train is what a neuron fires within a step.
    """

    count: np.ndarray
    trace_v: np.ndarray | None = None
    keep_spikes: int = 0
    _times: list = field(default_factory=list)
    _neurons: list = field(default_factory=list)
    _kept: int = 0

    def add_spikes(self, times_ms, neurons):
        self._times.append(np.broadcast_to(times_ms, neurons.shape))
        self._neurons.append(neurons)

    def add_trains(self, first_ms, period_ms, number, neurons):
        """Add spikes at first + k period, k = 0 .. number - 1, of each of the neurons (K,)."""
        if self._kept >= self.keep_spikes:
            return  # steps come in the order of time: there are enough
        number = np.minimum(number, self.keep_spikes)
        self._kept += number.sum()
        if number.sum() > MOST_SPIKES:
            raise InputError(
                f"simulate(spikes=True) keeps at most {MOST_SPIKES:,} spikes a step, got {number.sum():.3g}; "
                "spikes=N keeps the first N"
            )
        number = number.astype(np.int64)
        index = np.arange(number.sum()) - np.repeat(np.cumsum(number) - number, number)
        times = np.repeat(first_ms, number) + index * np.repeat(period_ms, number)
        self.add_spikes(times, np.repeat(neurons, number))

    def spikes(self):
        """Return times in ms and indices of neurons, in the order of time."""
        times = np.concatenate([np.empty(0), *self._times])
        neurons = np.concatenate([np.empty(0, dtype=np.int64), *self._neurons])
        order = np.lexsort((neurons, times))[: self.keep_spikes]
        return times[order], neurons[order]


@dataclass
class Simulation:
    """Hold the outcome: counts and the final state always, traces and spikes where they were asked for.

    `count` has the shape of the neurons. `trace_v`, `(steps + 1, *neurons)`, starts with the initial state
    and is raised by V_spike at a spike. `spike_times_ms` and `spike_neurons` (index into the flattened
    neurons) list all spikes in the order of time.
    """

    count: np.ndarray
    state: State
    trace_v: np.ndarray | None = None
    spike_times_ms: np.ndarray | None = None
    spike_neurons: np.ndarray | None = None


def initial_state(neuron: Neuron, shape: tuple[int, ...], start_v=None) -> State:
    """Return a rested state of the given shape at `start_v` (the reset potential if None), below Vth."""
    start = neuron.reset_v if start_v is None else np.asarray(start_v, dtype=np.float64)
    if not np.all(start < neuron.threshold_v):
        raise InputError(f"simulation.start_v must be a number below the threshold, got {start_v}")
    return State(np.broadcast_to((start - neuron.reset_v) / neuron.leak_kohm, shape).copy(), np.zeros(shape))


def run_shape(neuron: Neuron, current, first: int, steps: int) -> tuple[int, ...]:
    """Return the shape of the neurons of a run: the parameters' and the input's, broadcast.

    Args:
        neuron: parameters.
        current: an input of `mlplab.studies.lif.currents`.
        first: number of the first step.
        steps: how many there are, >= 0.

    Raises:
        InputError: the two do not go together.
    """
    shape = current.block(first, first + min(steps, 1)).shape[1:]
    try:
        return np.broadcast_shapes(neuron.shape, shape)
    except ValueError:
        raise InputError(
            f"neuron must have one value, or one for each neuron of the input, whose shape is {shape}, "
            f"got values of shape {neuron.shape}"
        ) from None


def simulate(
    neuron: Neuron,
    current,
    *,
    steps: int,
    dt_ms: float,
    method: str = "euler",
    state: State | None = None,
    trace: bool = False,
    spikes: bool | int = False,
    input_bytes: int = INPUT_BYTES,
    block_neurons: int = stepping.BLOCK_NEURONS,
) -> Simulation:
    """Simulate `steps` steps of `dt_ms` for every neuron.

    Args:
        neuron: parameters; their shape broadcasts with the input's.
        current: an input of `mlplab.studies.lif.currents`, in mA.
        steps: number of steps, >= 0.
        dt_ms: step in ms, > 0; at most 2 R C for Euler.
        method: "euler" (the tutorial's), "exponential" (exact between spikes, spikes on the grid) or "exact"
            (spikes and refractory times at their own times; only the input is constant within a step).
        state: where to start, for instance where another run ended; reset and rested if None.
        trace: keep the potential after every step, which takes memory for all of them.
        spikes: keep time and neuron of every spike, or of the first so many.
        input_bytes: memory for the input, which is drawn for as many steps at a time as fit; it changes no bit.
        block_neurons: how many neurons the grid methods advance together; it changes no bit.

    Returns:
        A Simulation. Without trace and spikes its memory does not grow with the number of steps.

    Raises:
        InputError: for a step, method, state or input that is not allowed.
    """
    if steps < 0:
        raise InputError(f"simulation.steps must be >= 0, got {steps}")
    weight = step_weight(neuron, dt_ms, "exponential" if method == "exact" else method)
    first = 0 if state is None else state.step
    shape = run_shape(neuron, current, first, steps)
    state = initial_state(neuron, shape) if state is None else state
    if state.above_reset_ma.shape != shape:
        raise InputError(f"the state has neurons of shape {state.above_reset_ma.shape}, this run has {shape}")

    keep = sys.maxsize if spikes is True else int(spikes)
    recorder = Recorder(np.zeros(shape), np.empty((steps + 1, *shape)) if trace else None, keep)
    if trace:
        recorder.trace_v[0] = state.above_reset_ma * neuron.leak_kohm + neuron.reset_v
    blocks = input_blocks(current, first, steps, shape, input_bytes)
    if method == "exact":
        end = exact.advance(neuron, blocks, state, dt_ms, recorder)
    else:
        end = stepping.advance(neuron, blocks, state, dt_ms, weight, recorder, block_neurons)
    times, neurons = recorder.spikes() if spikes else (None, None)
    return Simulation(recorder.count, State(*end, first + steps), recorder.trace_v, times, neurons)


def input_blocks(current, first: int, steps: int, shape: tuple[int, ...], most_bytes: int):
    """Yield `(rows, values)`: the input of the next `rows` steps, flattened to `(rows or 1, neurons or 1)`.

    One row of values for many rows means that the input stays; one column that all neurons share it.
    """
    size = int(np.prod(shape))
    # Blocks of a constant, and of an array that is there already, need no memory of their own.
    limit = steps if isinstance(current, Constant | Samples) else max(1, most_bytes // (8 * max(size, 1)))
    done = 0
    while done < steps:
        rows = min(limit, steps - done)
        values = current.block(first + done, first + done + rows)
        if values.shape[1:] != shape and values.size > len(values):
            values = np.broadcast_to(values, (len(values), *shape))
        values = values.reshape(len(values), -1)
        yield rows, values
        done += rows
