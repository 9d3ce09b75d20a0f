"""A trained ReLU network run as a network of spiking LIF neurons.

The bridge is the ReLU limit of the rate: a neuron without leak and refractory time under the current
I = C Vth r_max a fires at r_max a for a > 0, and not at all below. So each hidden activation a, scaled to at
most 1 on training data, becomes a rate; the input is a current; a spike is a current pulse of one step whose
charge is the rate's share; and the output layer sums what comes in.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from mlplab.errors import InputError
from mlplab.studies.lif.exact import ExactStep
from mlplab.studies.lif.neuron import MS_PER_S, Neuron

MOST_STEPS = 10**9


@dataclass
class Weights:
    """Hold the affine maps from input to output: `matrices[l]` of shape (out, in), `biases[l]` (out,)."""

    matrices: list[np.ndarray]
    biases: list[np.ndarray]

    def __post_init__(self):
        self.matrices = [np.asarray(m, dtype=np.float64) for m in self.matrices]
        self.biases = [np.asarray(b, dtype=np.float64) for b in self.biases]

    @property
    def depth(self) -> int:
        """Return the number of hidden layers."""
        return len(self.matrices) - 1


def relu_logits(weights: Weights, x: np.ndarray) -> np.ndarray:
    """Return the ReLU network's logits (N, C) for inputs (N, D)."""
    for matrix, bias in zip(weights.matrices[:-1], weights.biases[:-1], strict=True):
        x = np.maximum(x @ matrix.T + bias, 0.0)
    return x @ weights.matrices[-1].T + weights.biases[-1]


def relu_activations(weights: Weights, x: np.ndarray) -> list[np.ndarray]:
    """Return the activations of each hidden layer, (N, width) each."""
    found = []
    for matrix, bias in zip(weights.matrices[:-1], weights.biases[:-1], strict=True):
        x = np.maximum(x @ matrix.T + bias, 0.0)
        found.append(x)
    return found


def normalise(weights: Weights, x: np.ndarray, quantile: float = 0.999) -> Weights:
    """Scale each hidden layer so that its activations reach 1 on the given inputs; the logits stay.

        W_l := W_l s_{l-1} / s_l,   b_l := b_l / s_l,   s_l = quantile of layer l's activations, s_0 = s_L = 1

    Args:
        weights: of a ReLU network.
        x: training inputs (N, D).
        quantile: in (0, 1]; a little below 1 keeps one outlier from slowing a whole layer down.

    Returns:
        New weights. Source: Rueckauer et al. 2017, eq. 6 and section 2.2.2.
    """
    matrices, biases, before = [], [], 1.0
    for level, (matrix, bias) in enumerate(zip(weights.matrices, weights.biases, strict=True)):
        scale = 1.0
        if level < weights.depth:
            x = np.maximum(x @ matrix.T + bias, 0.0)
            scale = float(np.quantile(x, quantile)) or 1.0
        matrices.append(matrix * before / scale)
        biases.append(bias / scale)
        before = scale
    return Weights(matrices, biases)


def run_spiking(
    weights: Weights,
    x: np.ndarray,
    neuron: Neuron,
    *,
    duration_ms: float,
    dt_ms: float = 1.0,
    max_rate_hz: float = 200.0,
    start_fraction: float | Sequence[np.ndarray] = 0.5,
    read_ms: Sequence[float] | None = None,
) -> tuple[np.ndarray, np.ndarray, float]:
    """Run a normalised network as LIF neurons and read its output layer as time goes by.

    Args:
        weights: from `normalise`.
        x: inputs (N, D), constant during the run.
        neuron: one neuron's parameters for all hidden units.
        duration_ms: how long to run.
        dt_ms: step; spikes fall between steps, a spike's charge arrives within the next layer's same step.
        max_rate_hz: the rate of activation 1 in the ReLU limit.
        start_fraction: part of the way from reset to threshold at which each neuron starts. With 1/2 a count
            is the rounded, not the floored, product of rate and time. Or for each hidden layer its neurons' own.
        read_ms: when to read the output; every 1 % of the duration if None.

    Returns:
        Times of reading (T,), logits at those times (T, N, C), and mean spikes of a hidden neuron.
    """
    _expect_options(max_rate_hz, duration_ms, dt_ms)
    starts = _starts(start_fraction, weights.depth)
    steps = int(round(duration_ms / dt_ms))
    # Charge of activation 1 during one step: r_max C Vth dt; a spike brings C Vth of it, so its weight is
    # that of 1 / (r_max dt) activations for one step.
    per_step = max_rate_hz / MS_PER_S * dt_ms
    unit_ma = per_step / dt_ms * float(neuron.capacitance_uf * neuron.gap_v)
    reads = np.arange(1, 101) * duration_ms / 100 if read_ms is None else np.asarray(read_ms, dtype=np.float64)
    at_step = np.maximum(1, np.round(reads / dt_ms).astype(int))
    layers = [
        _Layer(neuron, len(x), matrix.shape[0], start, dt_ms)
        for matrix, start in zip(weights.matrices[:-1], starts, strict=True)
    ]
    constant = unit_ma * (x @ weights.matrices[0].T + weights.biases[0])
    pulses = [matrix / per_step for matrix in weights.matrices]
    total = np.zeros((len(x), weights.matrices[-1].shape[1]))
    seen, spikes_seen = {}, 0.0
    wanted = set(at_step.tolist())
    for step in range(1, steps + 1):
        current = constant
        signal = None
        for level, layer in enumerate(layers):
            if level:
                current = unit_ma * (_times(signal, pulses[level]) + weights.biases[level])
            signal = layer.step(current)
            spikes_seen += signal.sum()
        total += signal if layers else x
        if step in wanted:
            mean = total / (step * per_step) if layers else x
            seen[step] = mean @ weights.matrices[-1].T + weights.biases[-1]
    hidden = sum(layer.size for layer in layers) * max(len(x), 1)
    return at_step * dt_ms, np.stack([seen[s] for s in at_step]), spikes_seen / max(hidden, 1)


def _expect_options(max_rate_hz: float, duration_ms: float, dt_ms: float) -> None:
    if not (np.isfinite(max_rate_hz) and max_rate_hz > 0):
        raise InputError(f"simulation.max_rate_hz must be a number > 0, got {max_rate_hz}")
    steps = duration_ms / dt_ms
    if not 1 <= steps <= MOST_STEPS and not math.isclose(steps, 1):  # 0.3 / 0.1 and the like
        raise InputError(
            f"simulation.duration_ms must be from 1 to {MOST_STEPS:,} steps of dt_ms={dt_ms:g}, got {duration_ms:g}"
        )


def _starts(fraction: float | Sequence[np.ndarray], depth: int) -> list[float] | list[np.ndarray]:
    """Give each hidden layer's start."""
    starts = [fraction] * depth if isinstance(fraction, int | float) else list(fraction)
    if not all(((0.0 <= start) & (start < 1.0)).all() for start in map(np.asarray, starts)):
        raise InputError(f"simulation.start_fraction must be from 0 to below 1, got {fraction}")
    return starts


def _times(signal: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Return signal @ matrix.T by torch, whose number of threads the lab sets; numpy's own would spin."""
    return (torch.from_numpy(signal) @ torch.from_numpy(matrix).T).numpy()


class _Layer:
    """Hold the state of one layer of neurons for all inputs."""

    def __init__(self, neuron, count, size, start_fraction, dt_ms):
        self.size, self.shape = size, (count, size)
        self.neuron, self.exact = neuron, ExactStep(neuron, dt_ms)
        self.potential = np.tile(np.broadcast_to(start_fraction, size) * float(neuron.gap_ma), count)
        self.held = np.zeros(count * size)

    def step(self, current_ma):
        """Advance by one step of constant currents (N, size); return spikes in it, same shape."""
        spikes = np.zeros(len(self.potential))
        drive = self.neuron.drive_ma(current_ma.ravel())
        self.exact.advance(drive, self.potential, self.held, spikes)
        return spikes.reshape(self.shape)


def settling_time_ms(times_ms: np.ndarray, accuracies: np.ndarray, target: float) -> float:
    """Return the first time from which on the accuracy stays at or above the target; infinite if never."""
    below = np.flatnonzero(np.asarray(accuracies) < target)
    if not len(below):
        return float(times_ms[0])
    return float(times_ms[below[-1] + 1]) if below[-1] + 1 < len(times_ms) else float("inf")
