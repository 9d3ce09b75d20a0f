"""The step of the grid methods over many neurons, in place and in blocks that stay in the cache."""

import numpy as np
import torch

from mlplab.core.lif import Neuron
from mlplab.core.lif_grid import whole_steps

# Neurons advanced together. Five float64 arrays of this length lie in the outer caches, and the cost of
# calling an operation (about 1 us) is spread over enough neurons. Measured: 32,768 is slower by a quarter.
_BLOCK_NEURONS = 131_072

# grad where x > threshold, else 0: the one vectorised operation of torch that clears by a comparison.
# Comparing to a mask and filling costs ten times as much.
_clear_unless = torch.ops.aten.threshold_backward.grad_input


@torch.inference_mode()
def advance(neuron: Neuron, blocks, state, dt_ms: float, weight, recorder):
    """Advance all neurons through the blocks of input; return final potentials and refractory times.

    Args:
        neuron: parameters.
        blocks: pairs of a number of steps and the flattened input, from `input_blocks`.
        state: where to start.
        dt_ms: step in ms.
        weight: w of the step, from `step_weight`.
        recorder: takes counts, traces and spikes.

    Returns:
        `(above_reset_ma, refractory_ms)`, of the shape of the state.
    """
    shape = state.above_reset_ma.shape
    size = state.above_reset_ma.size
    flat = _Flat(neuron, weight, dt_ms, shape)
    potential = torch.from_numpy(state.above_reset_ma.reshape(size).copy())
    # Minus the number of the last step in which the neuron is still refractory.
    held = torch.from_numpy(-whole_steps(state.refractory_ms, dt_ms).reshape(size))
    count = torch.zeros(size, dtype=torch.float64)
    trace = None if recorder.trace_v is None else recorder.trace_v.reshape(len(recorder.trace_v), size)
    spike, drive = torch.empty(2, min(size, _BLOCK_NEURONS), dtype=torch.float64)
    done = 0
    for rows, values in blocks:
        values = torch.from_numpy(values if values.flags.writeable else values.copy())
        for low in range(0, size, _BLOCK_NEURONS):
            cut = slice(low, min(low + _BLOCK_NEURONS, size))
            n = cut.stop - low
            step = _Block(flat, cut, potential[cut], held[cut], count[cut], spike[:n], drive[:n], done)
            columns = values if values.shape[1] == 1 else values[:, cut]
            for row in range(rows):
                if row < len(columns):
                    step.set_input(columns[row])
                number = done + row + 1
                step.advance(number)
                if trace is not None:
                    volts = step.potential * flat.cut(flat.resistance, cut)
                    trace[number, cut] = (volts + step.spike * flat.cut(flat.spike, cut)).numpy()
                if recorder.keep_spikes:
                    found = step.spike.nonzero().ravel().numpy()
                    recorder.add_spikes((state.step + number) * dt_ms, found + low)
                step.reset_at_once()
        done += rows
    if trace is not None:
        trace[1:] += np.broadcast_to(neuron.reset_v, shape).reshape(size)
    recorder.count += count.numpy().reshape(shape)
    left = np.maximum(-held.numpy() - done, 0.0).reshape(shape)
    # Who spiked in the last step is cleared by the next one; a state shows it cleared.
    return np.where(left > 0, 0.0, potential.numpy().reshape(shape)), left * dt_ms


class _Flat:
    """Hold the parameters as floats where all neurons share them, else as tensors over flattened neurons."""

    def __init__(self, neuron, weight, dt_ms, shape):
        self.shape = shape
        self.weight = self._flat(weight)
        self.resistance = self._flat(neuron.leak_kohm)
        self.reset = self._flat(neuron.reset_ma)
        self.gap = self._flat(neuron.gap_ma)
        self.spike = self._flat(neuron.spike_v)
        steps = whole_steps(neuron.tau_ref_ms, dt_ms)
        self.refractory = self._flat(steps)
        self.some_reset_at_once = bool(np.any(steps == 0))

    def _flat(self, values):
        values = np.asarray(values)
        if values.size == 1:
            return float(values.reshape(()))
        return torch.from_numpy(np.broadcast_to(values, self.shape).reshape(-1).copy())

    @staticmethod
    def cut(values, cut):
        return values if isinstance(values, float) else values[cut]


class _Block:
    """Advance the neurons of one block; `spike` is 1.0 where a neuron spiked in the last step, else 0.0."""

    def __init__(self, flat, cut, potential, held, count, spike, drive, done):
        self.potential, self.held, self.count = potential, held, count
        self.spike, self.buffer = spike, drive  # what they held before does not matter
        self.drive = drive
        self.weight = flat.cut(flat.weight, cut)
        self.reset, self.gap = flat.cut(flat.reset, cut), flat.cut(flat.gap, cut)
        self.some_reset_at_once = flat.some_reset_at_once
        # What `held` becomes at a spike; falls by one a step.
        self.holding = torch.as_tensor(flat.cut(flat.refractory, cut), dtype=torch.float64).neg() - done

    def set_input(self, current):
        """Take the current (n,) or (1,) in mA of the steps to come; most often it is used where it lies."""
        same = current.dtype == self.buffer.dtype and len(current) == len(self.buffer)
        if same and isinstance(self.reset, float) and self.reset == 0.0:
            self.drive = current
        else:
            self.drive = torch.sub(current.expand(len(self.buffer)), self.reset, out=self.buffer)

    def advance(self, number):
        """Do step `number`, counted from 1."""
        self.potential.lerp_(self.drive, self.weight)
        _clear_unless(self.potential, self.held, -float(number), grad_input=self.potential)
        # A tie is above the threshold by TIE; what ends on it exactly crept up to a drive of just Vth.
        torch.gt(self.potential, self.gap, out=self.spike)
        self.count.add_(self.spike)
        self.holding.sub_(1.0)
        # A weight of exactly 0 or 1 makes lerp a choice without rounding.
        self.held.lerp_(self.holding, self.spike)

    def reset_at_once(self):
        """Clear who spiked and has no refractory step to be cleared in; V - V * 1 is exactly 0."""
        if self.some_reset_at_once:
            self.potential.addcmul_(self.potential, self.spike, value=-1.0)
