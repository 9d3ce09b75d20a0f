"""Advance neurons exactly: spikes and refractory times fall where they fall, not on the grid."""

import numpy as np

from mlplab.studies.lif.neuron import Neuron

# A spike due at the end of a step belongs to it, though rounding may place it just after.
_TIE = 1e-12
# A neuron that ends its step this near below the threshold is looked at closely.
_NEAR = 1e-9
# A period below what float64 holds.
_TINY = np.finfo(np.float64).tiny


def advance(neuron: Neuron, blocks, state, dt_ms: float, recorder):
    """Advance all neurons through the blocks of input; return final potentials and refractory times in ms.

    Args and returns as for the grid's `advance`.
    """
    shape, size = state.above_reset_ma.shape, state.above_reset_ma.size
    flat = _flattened(neuron, shape)
    step = ExactStep(flat, dt_ms)
    resistance, reset_ma, spike_v = flat.leak_kohm, flat.reset_ma, flat.spike_v
    potential = state.above_reset_ma.reshape(size).copy()
    held = state.refractory_ms.reshape(size).copy()
    count = recorder.count.reshape(size)
    trace = None if recorder.trace_v is None else recorder.trace_v.reshape(len(recorder.trace_v), size)
    on_spikes = None
    done = 0
    for rows, values in blocks:
        fired = None if trace is None else np.empty((rows, size), bool)
        for row in range(rows):
            drive = values[min(row, len(values) - 1)] - reset_ma
            if drive.shape != (size,):
                drive = np.broadcast_to(drive, (size,))
            if recorder.keep_spikes:
                begin_ms = (state.step + done) * dt_ms

                def on_spikes(left_ms, period_ms, number, neurons, begin_ms=begin_ms):
                    recorder.add_trains(begin_ms + (dt_ms - left_ms), period_ms, number, neurons)

            before = count.copy() if trace is not None else None
            step.advance(drive, potential, held, count, on_spikes)
            done += 1
            if trace is not None:
                trace[done] = potential
                np.greater(count, before, out=fired[row])
        if trace is not None:
            # A spike inside the step shows at its end, where the potential may have left the reset again.
            block = trace[done + 1 - rows : done + 1]
            block[:] = np.where(fired, flat.gap_v + spike_v, block * resistance) + flat.reset_v
    return potential.reshape(shape), held.reshape(shape)


class ExactStep:
    """Advance neurons by steps of constant input, in place.

    With D = V_rest + R I the membrane follows V(t) = D + (V - D) exp(-t/(R C)) and meets the threshold after
    R C ln((D - V)/(D - Vth)). A step may hold any number of spikes: those after a neuron's first are a regular train,
    counted in closed form.

    Args:
        neuron: parameters, each of size 1 or N.
        dt_ms: length of a step.
    """

    def __init__(self, neuron: Neuron, dt_ms: float) -> None:
        self.constant, self.gap, self.tau_ref = neuron.time_constant_ms, neuron.gap_ma, neuron.tau_ref_ms
        self.dt_ms, self.share, self.near = float(dt_ms), -np.expm1(-dt_ms / self.constant), self.gap * (1.0 - _NEAR)

    def advance(self, drive_ma, potential, held, count, on_spikes=None) -> None:
        """Do a step.

        Args:
            drive_ma: I - (V_reset - V_rest)/R, (N,).
            potential: (V - V_reset)/R before and after the step, (N,).
            held: remaining refractory time in ms before and after, (N,).
            count: the step's spikes are added, (N,).
            on_spikes: called with the time left in the step at the first spike of a train, the period of the train,
                its number of spikes and the neurons, each (K,).
        """
        # Most neurons are free and stay below threshold: one step for all of them, then the others anew.
        resting = held > 0
        some_resting = resting.any()
        end = potential + self.share * (drive_ma - potential)
        others = (end >= self.near) & (drive_ma > self.gap)
        if some_resting:
            others |= resting
        at = np.flatnonzero(others)
        start = potential[at]
        potential[:] = end
        if not len(at):
            return
        potential[at] = start
        constant, gap = self.constant, self.gap

        def cut(values: np.ndarray) -> np.ndarray:
            return values if values.size == 1 else values.reshape(-1)[at]

        left = np.full(len(at), self.dt_ms)
        while len(at):
            wait = np.minimum(held[at], left)
            held[at] -= wait
            left = left - wait
            above = drive_ma[at] - cut(gap)
            with np.errstate(divide="ignore", invalid="ignore"):
                need = np.log1p(np.maximum(cut(gap) - potential[at], 0.0) / above)
            need = np.where(above > 0, cut(constant) * need, np.inf)
            fires = need <= left * (1.0 + _TIE)
            calm = at[~fires]
            scale = constant if constant.size == 1 else constant.reshape(-1)[calm]
            potential[calm] += -np.expm1(-left[~fires] / scale) * (drive_ma[calm] - potential[calm])
            at, left = at[fires], np.maximum(left[fires] - need[fires], 0.0)
            if not len(at):
                break
            # From the reset on the drive is constant: spike follows spike with one period until the step ends.
            rest = np.broadcast_to(cut(self.tau_ref), at.shape)
            period = np.maximum(rest + cut(constant) * np.log1p(cut(gap) / (drive_ma[at] - cut(gap))), _TINY)
            more = np.floor(left * (1.0 + _TIE) / period)
            if on_spikes is not None:
                on_spikes(left, period, 1.0 + more, at)
            potential[at] = 0.0
            held[at] = rest
            count[at] += 1.0 + more
            left = np.maximum(left - more * period, 0.0)
            # What is left is shorter than a period: the next round ends it without a spike.


def _flattened(neuron: Neuron, shape) -> Neuron:
    """Return the neuron with every parameter of size 1, or flattened to the neurons of a shape."""
    flat = {}
    for name in Neuron.__dataclass_fields__:
        values = getattr(neuron, name)
        flat[name] = values.reshape(()) if values.size == 1 else np.broadcast_to(values, shape).reshape(-1)
    return Neuron(**flat)
