"""Few time steps: what it takes for a spiking network to answer as its ReLU network within a handful of steps.

In T steps of at most one spike each a neuron can say T + 1 things. Three means from the literature on conversion make
the most of them: each neuron's own threshold (its own range of activations), a start that puts the edge between two
counts where the smallest inputs lie, and an output layer fitted to the counts, on inputs without labels.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mlplab.seeds import generator
from mlplab.studies.lif.spiking import Weights, relu_activations, relu_logits

# Inputs to fit on are the given ones and copies, moved by so much of their distance from the origin: they are few, and
# need no labels.
COPIES, JITTER = 4, 0.1
# Holds the fitted output layer near the one it came from.
RIDGE = 1e-4
# How far below the edge the centre itself lies, so that rounding decides nothing.
TIE = 1e-6


def balanced(weights: Weights, x: np.ndarray, quantile: float = 0.99) -> Weights:
    """Scale each hidden neuron so that its activations reach 1 on the given inputs; the logits stay.

    Args:
        weights: of a ReLU network.
        x: inputs (N, D).
        quantile: of each neuron's activations that becomes 1, in (0, 1].

    Source: Rueckauer et al. 2017, section 2.2.2, a neuron in place of a layer at a time.
    """
    matrices, biases, before = [], [], 1.0
    activations = relu_activations(weights, x)
    for level, (matrix, bias) in enumerate(zip(weights.matrices, weights.biases, strict=True)):
        scale = np.ones(len(bias))
        if level < weights.depth:
            scale = np.quantile(activations[level], quantile, axis=0)
            scale = np.where(scale > 0, scale, 1.0)
        matrices.append(matrix * before / scale[:, None])
        biases.append(bias / scale)
        before = scale
    return Weights(matrices, biases)


def centred(weights: Weights, time_steps: int, centre: np.ndarray) -> tuple[Weights, list[np.ndarray]]:
    """Start each neuron so that at one input its count lies on the edge between two; correct the biases after it.

    Where every neuron starts half way, inputs much smaller than 1/T give all the same counts. With the edges at the
    centre the neurons tell there on which side of their own line an input lies. A start u in place of 1/2 adds
    (u - 1/2)/T to the mean rate of an active neuron, which the next layer's biases take off.

    Args:
        weights: balanced.
        time_steps: T.
        centre: an input (D,), near which answers are hardest, such as the origin.

    Returns:
        The corrected weights, and for each hidden layer the part of the way to the threshold at which its neurons
        start, shape (width,), in [0, 1).

    Source: in the spirit of Bu et al. 2022, "Optimized potential initialization for low-latency spiking neural
    networks", which chooses one start a layer.
    """
    corrected = Weights(weights.matrices, [bias.copy() for bias in weights.biases])
    starts: list[np.ndarray] = []
    signal = np.asarray(centre, dtype=np.float64)[None]
    for level in range(weights.depth):
        drive = signal @ corrected.matrices[level].T + corrected.biases[level]
        starts.append((-time_steps * drive[0] - TIE) % 1.0)
        corrected.biases[level + 1] -= corrected.matrices[level + 1] @ ((starts[-1] - 0.5) / time_steps)
        signal = rates(corrected, np.asarray(centre, dtype=np.float64)[None], time_steps, starts)[-1]
    return corrected, starts


def fitted(
    weights: Weights, target: Weights, x: np.ndarray, time_steps: int, starts: Sequence[np.ndarray], *, seed: int = 0
) -> Weights:
    """Fit the output layer to the counts: minimise the mean KL(ReLU network || spiking network), a convex problem.

    Args:
        weights: of the spiking network.
        target: those whose ReLU network is followed.
        x: inputs (N, D), such as the training data.
        time_steps: T.
        starts: as from `centred`.
        seed: of the moved copies.

    Source: in the spirit of Li et al. 2021, "A free lunch from ANN: towards efficient, accurate spiking neural networks
    calibration", its last layer.
    """
    draws, given = generator(seed, "spiking", "calibration"), torch.from_numpy(np.asarray(x, dtype=np.float64))
    size = JITTER * given.norm(dim=1, keepdim=True)
    moved = [given + size * torch.randn(given.shape, generator=draws, dtype=torch.float64) for _ in range(COPIES)]
    inputs = torch.cat([given, *moved]).numpy()
    aim = torch.from_numpy(relu_logits(target, inputs)).log_softmax(1)
    counted = torch.from_numpy(rates(weights, inputs, time_steps, starts)[-1] if weights.depth else inputs)
    first = torch.from_numpy(weights.matrices[-1])
    matrix, bias = (torch.from_numpy(part[-1]).clone().requires_grad_() for part in (weights.matrices, weights.biases))
    optimizer = torch.optim.LBFGS([matrix, bias], max_iter=60, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        found = (counted @ matrix.T + bias).log_softmax(1)
        value = (aim.exp() * (aim - found)).sum(1).mean() + RIDGE * (matrix - first).square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    last = [matrix.detach().numpy()], [bias.detach().numpy()]
    return Weights([*weights.matrices[:-1], *last[0]], [*weights.biases[:-1], *last[1]])


def rates(weights: Weights, x: np.ndarray, time_steps: int, starts: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return spikes a step, (N, width) each, of the hidden layers that have a start, as perfect integrators.

    What `run_spiking` does with a neuron without leak and refractory time at one spike a step for activation 1: a step
    adds its input, and each full unit leaves as a spike.
    """
    matrices, biases = ([torch.from_numpy(v) for v in part] for part in (weights.matrices, weights.biases))
    constant = torch.from_numpy(x) @ matrices[0].T + biases[0]
    potentials = [torch.from_numpy(start).repeat(len(x), 1) for start in starts]
    totals = [torch.zeros_like(potential) for potential in potentials]
    for _ in range(time_steps):
        signal = constant
        for level, (potential, total) in enumerate(zip(potentials, totals, strict=True)):
            potential += signal if level == 0 else signal @ matrices[level].T + biases[level]
            signal = potential.floor().clamp_min(0.0)
            potential -= signal
            total += signal
    return [(total / time_steps).numpy() for total in totals]
