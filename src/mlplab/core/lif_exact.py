"""Advance neurons exactly: spikes and refractory times fall where they fall, not on the grid."""

import numpy as np

from mlplab.core.lif import Neuron

# A spike due at the end of a step belongs to it, though rounding may place it just after.
_TIE = 1e-12


def advance(neuron: Neuron, blocks, state, dt_ms: float, recorder):
    """Advance all neurons through the blocks of input; return final potentials and refractory times in ms.

    Within a step the current is constant, so the membrane follows V(t) = R I + (V - R I) exp(-t/(R C)) and
    meets the threshold after R C ln((R I - V)/(R I - Vth)). A step may hold any number of spikes.

    Args and returns as for the grid's `advance`.
    """
    shape = state.above_reset_v.shape
    size = state.above_reset_v.size
    flat = {
        name: np.broadcast_to(values, shape).reshape(size)
        for name, values in (
            ("resistance", neuron.leak_kohm), ("time_constant", neuron.time_constant_ms),
            ("gap", neuron.gap_v), ("reset", neuron.reset_v), ("tau_ref", neuron.tau_ref_ms),
        )
    }  # fmt: skip
    potential = state.above_reset_v.reshape(size).copy()
    held = state.refractory_ms.reshape(size).copy()
    count = recorder.count.reshape(size)
    trace = None if recorder.trace_v is None else recorder.trace_v.reshape(len(recorder.trace_v), size)
    spike_v = np.broadcast_to(neuron.spike_v, shape).reshape(size)
    done = 0
    for rows, values in blocks:
        for row in range(rows):
            drive = flat["resistance"] * values[min(row, len(values) - 1)] - flat["reset"]
            before = count.copy() if trace is not None else None
            _one_step(flat, drive, potential, held, count, dt_ms, (state.step + done) * dt_ms, recorder)
            done += 1
            if trace is not None:
                fired = count > before
                # A spike inside the step shows at its end, where the potential may have left the reset again.
                trace[done] = np.where(fired, flat["gap"] + spike_v, potential) + flat["reset"]
    return potential.reshape(shape), held.reshape(shape)


def _one_step(flat, drive, potential, held, count, dt_ms, begin_ms, recorder):
    """Advance `potential`, `held` and `count` in place by one step that begins at `begin_ms`."""
    at = np.arange(len(potential))
    left = np.full(len(potential), float(dt_ms))
    while len(at):
        wait = np.minimum(held[at], left)
        held[at] -= wait
        left = left - wait
        above = drive[at] - flat["gap"][at]
        with np.errstate(divide="ignore", invalid="ignore"):
            need = np.log1p(np.maximum(flat["gap"][at] - potential[at], 0.0) / above)
        need = np.where(above > 0, flat["time_constant"][at] * need, np.inf)
        fires = need <= left * (1.0 + _TIE)
        rest = at[~fires]
        gain = -np.expm1(-left[~fires] / flat["time_constant"][rest])
        potential[rest] += gain * (drive[rest] - potential[rest])
        at, left = at[fires], np.maximum(left[fires] - need[fires], 0.0)
        potential[at] = 0.0
        held[at] = flat["tau_ref"][at]
        count[at] += 1.0
        if recorder.keep_spikes and len(at):
            recorder.add_spikes(begin_ms + (dt_ms - left), at)
