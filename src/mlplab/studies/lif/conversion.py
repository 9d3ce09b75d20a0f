"""Few time steps: what it takes for a spiking network to answer as its ReLU network within a handful of steps.

In T steps of at most one spike each a neuron can say T + 1 things. Three means from the literature on conversion make
the most of them: each neuron's own threshold (its own range of activations), a start half way to the threshold, and
weights and biases calibrated on inputs, without labels, so that the counts lead to the ReLU network's probabilities.
"""

import numpy as np
import torch
from torch import Tensor

from mlplab.seeds import generator
from mlplab.studies.lif.spiking import Weights, relu_activations

BATCH = 512
# Inputs to calibrate on are moved by so much of their distance from the origin: they are few, and need no labels.
JITTER = 0.1


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


def calibrated(
    weights: Weights, x: np.ndarray, time_steps: int, *, updates: int, lr: float = 1e-2, seed: int = 0
) -> Weights:
    """Adjust weights and biases so that counts in few steps give the ReLU network's probabilities.

    Minimises KL(ReLU network || spiking network) by Adam with a falling rate on jittered inputs. The rates are those of
    the spikes; their derivative is taken as the ReLU's (a straight-through estimator).

    Args:
        weights: balanced weights, whose ReLU network is the one to follow.
        x: calibration inputs (N, D), such as the training data.
        time_steps: T, for which they are adjusted.
        updates: steps of Adam; 0 leaves the weights as they are.
        lr: its first learning rate.
        seed: of the jitter and the choice of inputs.

    Source: in the spirit of Li et al. 2021, "A free lunch from ANN: towards efficient, accurate spiking neural networks
    calibration", which adjusts layer by layer.
    """
    if not updates or not weights.depth:
        return weights
    given = [torch.from_numpy(v).float() for v in (*weights.matrices, *weights.biases)]
    parameters = [tensor.clone().requires_grad_() for tensor in given]
    half, inputs = len(weights.matrices), torch.from_numpy(np.asarray(x)).float()
    optimizer = torch.optim.Adam(parameters, lr=lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, updates)
    draws = generator(seed, "spiking", "calibration")
    for _ in range(updates):
        chosen = inputs[torch.randint(len(inputs), (BATCH,), generator=draws)]
        size = JITTER * chosen.norm(dim=1, keepdim=True)
        batch = chosen + size * torch.randn(chosen.shape, generator=draws)
        with torch.no_grad():
            target = _relu(given[:half], given[half:], batch).log_softmax(1)
        found = _counted(parameters[:half], parameters[half:], batch, time_steps).log_softmax(1)
        loss = (target.exp() * (target - found)).sum(1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    adjusted = [p.detach().double().numpy() for p in parameters]
    return Weights(adjusted[:half], adjusted[half:])


def _relu(matrices: list[Tensor], biases: list[Tensor], x: Tensor) -> Tensor:
    for matrix, bias in zip(matrices[:-1], biases[:-1], strict=True):
        x = (x @ matrix.T + bias).clamp_min(0.0)
    return x @ matrices[-1].T + biases[-1]


def _counted(matrices: list[Tensor], biases: list[Tensor], x: Tensor, time_steps: int) -> Tensor:
    """Compute logits from the counts of perfect integrators, with the ReLU's derivative in place of the counts' own."""
    with torch.no_grad():
        rates = perfect_rates(matrices, biases, x, time_steps)
    for matrix, bias, rate in zip(matrices[:-1], biases[:-1], rates, strict=True):
        soft = (x @ matrix.T + bias).clamp_min(0.0)
        x = rate + (soft - soft.detach())
    return x @ matrices[-1].T + biases[-1]


def perfect_rates(matrices: list[Tensor], biases: list[Tensor], x: Tensor, time_steps: int) -> list[Tensor]:
    """Return spikes a step of each hidden layer of perfect integrators that start half way to the threshold.

    What `run_spiking` does with a neuron without leak and refractory time at one spike a step for activation 1: a step
    adds its input, and each full unit leaves as a spike.
    """
    constant = x @ matrices[0].T + biases[0]
    potentials = [constant.new_full((len(x), len(bias)), 0.5) for bias in biases[:-1]]
    totals = [torch.zeros_like(potential) for potential in potentials]
    for _ in range(time_steps):
        signal = constant
        for level, (potential, total) in enumerate(zip(potentials, totals, strict=True)):
            potential += signal if level == 0 else signal @ matrices[level].T + biases[level]
            signal = potential.floor().clamp_min(0.0)
            potential -= signal
            total += signal
    return [total / time_steps for total in totals]
