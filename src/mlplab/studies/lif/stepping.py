"""The step of the grid methods over many neurons, in place and in blocks that stay in the cache."""

import ctypes

import numpy as np

from mlplab.studies.lif.grid import whole_steps
from mlplab.studies.lif.neuron import Neuron

# Neurons advanced together: potentials, drive and masks take 0.7 MB, which a core's own cache holds, and the cost of
# calling an operation (0.3 us in numpy, 1 us in torch) is spread over enough neurons. Measured: 16,384 is slower by a
# tenth, 65,536 no faster.
BLOCK_NEURONS = 32_768

# So few neurons are advanced one by one in C's fma, which gives the bits of torch's pass over many: a step of one neuron
# takes half the time, and the second that torch takes to load is not spent at all.
# (Torch's own pass fuses where the processor can, as all of the last ten years can.)
_FEW = 4
try:
    _fma = ctypes.CDLL(None).fma
    _fma.restype, _fma.argtypes = ctypes.c_double, [ctypes.c_double] * 3
except (AttributeError, OSError, TypeError):  # no C library by that way: torch steps all
    _FEW = 0

# Spikes are added up in a byte a neuron, an eighth of the memory of a float64, for at most so many steps.
_BYTE_STEPS = 255

# A longer refractory time counts as this one, whose end no run sees; whole numbers in float64 are exact up to it.
_LONGEST_STEPS = 2**53


def advance(neuron: Neuron, blocks, state, dt_ms: float, weight, recorder, block_neurons: int):
    """Advance all neurons through the blocks of input; return final potentials and refractory times.

    Args:
        neuron: parameters.
        blocks: pairs of a number of steps and the flattened input, from `input_blocks`.
        state: where to start.
        dt_ms: step in ms.
        weight: w of the step, from `step_weight`.
        recorder: takes counts, traces and spikes.
        block_neurons: how many are advanced together.

    Returns:
        `(above_reset_ma, refractory_ms)`, of the shape of the state.
    """
    shape = state.above_reset_ma.shape
    size = state.above_reset_ma.size
    flat = _Flat(neuron, weight, dt_ms, shape)
    potential = state.above_reset_ma.reshape(size).copy()
    held = np.minimum(whole_steps(state.refractory_ms, dt_ms), _LONGEST_STEPS).reshape(size)
    longest = int(max(np.max(held, initial=0.0), np.max(flat.refractory, initial=0.0)))
    held = held.astype(np.min_scalar_type(longest))  # bytes, as a rule
    count = recorder.count.reshape(size)
    trace = None if recorder.trace_v is None else recorder.trace_v.reshape(len(recorder.trace_v), size)
    scratch = _Scratch(min(size, block_neurons), held.dtype)
    done = 0
    for rows, values in blocks:
        for low in range(0, size, block_neurons):
            cut = slice(low, min(low + block_neurons, size))
            step = _Block(flat, cut, potential[cut], held[cut], count[cut], scratch)
            columns = values if values.shape[1] == 1 else values[:, cut]
            for row in range(rows):
                if row < len(columns):
                    step.set_input(columns[row])
                number = done + row + 1
                step.advance()
                if trace is not None:
                    volts = step.potential * flat.cut(flat.resistance, cut)
                    trace[number, cut] = volts + step.spike * flat.cut(flat.spike, cut)
                if recorder.keep_spikes:
                    recorder.add_spikes((state.step + number) * dt_ms, step.spike.nonzero()[0] + low)
                step.reset_at_once()
            step.add_count()
        done += rows
    if trace is not None:
        trace[1:] += np.broadcast_to(neuron.reset_v, shape).reshape(size)
    # Who spiked in the last step is cleared by the next one; a state shows it cleared. A product with 0 may have left
    # -0.0, and which sign it has depends on where a run was cut: + 0.0 leaves one zero.
    potential = np.where(held > 0, 0.0, potential + 0.0).reshape(shape)
    return potential, held.reshape(shape) * float(dt_ms)


class _Flat:
    """Hold the parameters as floats where all neurons share them, else as arrays over flattened neurons."""

    def __init__(self, neuron, weight, dt_ms, shape):
        self.shape = shape
        self.weight = self._flat(weight)
        self.resistance = self._flat(neuron.leak_kohm)
        self.reset = self._flat(neuron.reset_ma)
        self.gap = self._flat(neuron.gap_ma)
        self.spike = self._flat(neuron.spike_v)
        steps = np.minimum(whole_steps(neuron.tau_ref_ms, dt_ms), _LONGEST_STEPS)
        self.refractory = self._flat(steps)
        self.some_reset_at_once = bool(np.any(steps == 0))

    def _flat(self, values):
        values = np.asarray(values)
        if values.size == 1:
            return float(values.reshape(()))
        return np.broadcast_to(values, self.shape).reshape(-1).copy()

    @staticmethod
    def cut(values, cut):
        return values if isinstance(values, float) else values[cut]


class _Scratch:
    """Hold what the blocks use one after the other; what it held before does not matter."""

    def __init__(self, size, held_dtype):
        self.drive = np.empty(size)
        self.free, self.spike = np.empty((2, size), dtype=bool)
        self.spike_count = np.empty(size, dtype=np.uint8)
        self.holding = np.empty(size, dtype=held_dtype)


class _Few:
    """Move a few potentials to V + w (D - V), neuron by neuron, with one rounding of product and sum."""

    def __init__(self, potential, weight):
        self.potential, self.weights = potential, np.broadcast_to(weight, potential.shape).tolist()

    def set_drive(self, drive):
        self.drive = drive

    def step(self):
        for k, (w, d, v) in enumerate(zip(self.weights, self.drive.tolist(), self.potential.tolist(), strict=True)):
            self.potential[k] = _fma(w, d - v, v) if w < 0.5 else _fma(w - 1.0, d - v, d)


class _Many:
    """Move many potentials to V + w (D - V) by torch's lerp, one pass over their memory."""

    def __init__(self, potential, weight):
        import torch

        self.tensor = torch.from_numpy
        self.potential, self.weight = self.tensor(potential), weight
        if not isinstance(weight, float):
            self.weight = self.tensor(weight)

    def set_drive(self, drive):
        self.drive = self.tensor(drive)

    def step(self):
        self.potential.lerp_(self.drive, self.weight)


class _Block:
    """Advance the neurons of one block; `spike` says which spiked in the last step.

    Masks stay masks of a byte a neuron, and clear the potentials by a product: it takes the same time whether few
    neurons spike or many, unlike a selection.
    """

    def __init__(self, flat, cut, potential, held, count, scratch):
        n = len(potential)
        self.potential, self.held, self.count = potential, held, count
        self.buffer = scratch.drive[:n]
        self.free, self.spike = scratch.free[:n], scratch.spike[:n]
        self.spike_count, self.holding = scratch.spike_count[:n], scratch.holding[:n]
        self.spike_count[:] = 0
        self.steps_in_bytes = 0
        self.integration = (_Few if n <= _FEW else _Many)(potential, flat.cut(flat.weight, cut))
        # The same memory under the type of sums of bytes.
        self.free_byte, self.spike_byte = self.free.view(np.uint8), self.spike.view(np.uint8)
        self.reset, self.gap = flat.cut(flat.reset, cut), flat.cut(flat.gap, cut)
        self.reset_is_zero = isinstance(self.reset, float) and self.reset == 0.0
        # What `held` becomes at a spike: the refractory steps still to come.
        self.refractory = np.asarray(flat.cut(flat.refractory, cut)).astype(held.dtype)
        self.some_held = bool(self.refractory.any() or held.any())
        self.some_reset_at_once = flat.some_reset_at_once

    def set_input(self, current):
        """Take the current (n,) or (1,) in mA of the steps to come; most often it is used where it lies."""
        lies_well = current.shape == self.buffer.shape and current.dtype == np.float64
        if lies_well and self.reset_is_zero and current.flags.c_contiguous and current.flags.writeable:
            self.integration.set_drive(current)
            return
        np.copyto(self.buffer, current)
        if not self.reset_is_zero:
            np.subtract(self.buffer, self.reset, out=self.buffer)
        self.integration.set_drive(self.buffer)

    def advance(self):
        """Do the next step."""
        self.integration.step()
        if self.some_held:
            np.equal(self.held, 0, out=self.free)
            np.multiply(self.potential, self.free_byte, out=self.potential)
            # One down, save where it is 0 already; a maximum with 0 costs ten times as much in bytes.
            np.add(self.held, self.free_byte, out=self.held)
            np.subtract(self.held, 1, out=self.held)
        # A tie is above the threshold by TIE; what ends on it exactly crept up to a drive of just Vth.
        np.greater(self.potential, self.gap, out=self.spike)
        if self.some_held:
            # Who spikes is not held, so that a sum sets it.
            np.multiply(self.spike_byte, self.refractory, out=self.holding)
            np.add(self.held, self.holding, out=self.held)
        np.add(self.spike_count, self.spike_byte, out=self.spike_count)
        self.steps_in_bytes += 1
        if self.steps_in_bytes == _BYTE_STEPS:
            self.add_count()

    def reset_at_once(self):
        """Clear who spiked and has no refractory step to be cleared in."""
        if self.some_reset_at_once:
            np.logical_not(self.spike, out=self.free)
            np.multiply(self.potential, self.free_byte, out=self.potential)

    def add_count(self):
        """Move the spikes counted in bytes to the count."""
        np.add(self.count, self.spike_count, out=self.count)
        self.spike_count[:] = 0
        self.steps_in_bytes = 0
