"""Training deep, thin ReLU networks on the line: what random weights find at that size."""

import numpy as np
import torch

from mlplab.seeds import generator
from mlplab.studies.relu.sawtooth import DeepRelu
from mlplab.studies.relu.targets import Target


def train_deep(
    target: Target,
    widths: list[int],
    *,
    seeds: list[int],
    steps: int = 3000,
    lr: float = 1e-2,
    points: int = 257,
    start: DeepRelu | None = None,
) -> list[DeepRelu]:
    """Train networks of given hidden widths by Adam on equidistant points, full batch.

    Args:
        target: a function.
        widths: units of each hidden layer.
        seeds: one network each.
        steps: of Adam; the rate falls as a cosine to 0.
        lr: Adam's rate.
        points: training points.
        start: weights to go on from in place of torch.nn.Linear's initialisation.

    Returns:
        One network a seed, as trained (float32).
    """
    sizes = [1, *widths, 1]
    parameters = []
    for level, (fan_in, fan_out) in enumerate(zip(sizes, sizes[1:])):
        bound = fan_in**-0.5
        rows = []
        for seed in seeds:
            draw = generator(seed, "deep_training", level)
            row = (2 * torch.rand(fan_out, fan_in + 1, generator=draw) - 1) * bound
            if start is not None:
                weight, bias = start.layers[level]
                row = torch.from_numpy(np.concatenate([weight, bias[:, None]], 1)).float()
            rows.append(row)
        parameters.append(torch.stack(rows).requires_grad_())
    x = torch.linspace(target.low, target.high, points)
    y = torch.from_numpy(target(x.double().numpy())).float()
    inputs = x.expand(len(seeds), 1, points)
    optimizer = torch.optim.Adam(parameters, lr=lr)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = lr * 0.5 * (1 + np.cos(np.pi * step / steps))
        state = inputs
        for level, parameter in enumerate(parameters):
            state = torch.baddbmm(parameter[:, :, -1:], parameter[:, :, :-1], state)
            if level < len(widths):
                state = torch.relu(state)
        # A sum over members leaves each its own gradient.
        loss = ((state[:, 0] - y) ** 2).mean(1).sum()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    arrays = [parameter.detach().double().numpy() for parameter in parameters]
    return [DeepRelu([(array[k, :, :-1], array[k, :, -1]) for array in arrays]) for k in range(len(seeds))]
