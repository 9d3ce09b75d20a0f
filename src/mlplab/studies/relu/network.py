"""Constructions as networks: an ordinary torch.nn.Sequential, or the lab's MLP."""

import numpy as np
import torch
from torch import nn

from mlplab.nn.mlp import MLP
from mlplab.studies.relu.sawtooth import DeepRelu, layered
from mlplab.studies.relu.sums import ReluSum


def centred(fit: ReluSum, low: float, high: float) -> DeepRelu:
    """Write a sum of n ReLUs as one layer of n units whose partial sums stay small on an interval.

    Units left of a piece in the middle face left, relu(t - x), and the first one carries its slope,
    which is right between ``low`` and ``high`` only. A sum of units that all face right cancels more digits.

    Args:
        fit: its first knot at ``low``, without a linear term; else :func:`layered` is returned.
        low: left end.
        high: right end.

    Returns:
        A network equal to the fit on [low, high].
    """
    if fit.linear or fit.knots[0] < low or fit.knots[0] > low + 1e-12 * (high - low):
        return layered(fit)
    # The piece whose slope is least makes the smallest common term among those near the middle.
    inner = np.flatnonzero((fit.knots >= low + 0.25 * (high - low)) & (fit.knots <= low + 0.75 * (high - low)))
    keep = (
        int(inner[np.abs(fit.slopes[inner]).argmin()])
        if inner.size
        else int(np.searchsorted(fit.knots, (low + high) / 2, side="right") - 1)
    )
    side = np.where(np.arange(fit.n) <= keep, -1.0, 1.0)
    side[0] = 1.0
    output = fit.weights.copy()
    output[0] = fit.slopes[keep]
    # At the left end all left-facing units are on; the bias makes the value there right.
    left = side < 0
    bias = fit.values[0] - output[left] @ (fit.knots[left] - fit.knots[0])
    return DeepRelu([(side[:, None], -side * fit.knots), (output[None], np.array([bias]))])


def to_sequential(
    network: ReluSum | DeepRelu, interval: tuple[float, float] | None = None, dtype: torch.dtype = torch.float32
) -> nn.Sequential:
    """Turn a construction into Linear and ReLU modules, in float32 or float64.

    Args:
        network: a sum of ReLUs or a deep construction.
        interval: where a sum of ReLUs is needed; its units then face outwards (:func:`centred`), which keeps
            float32 within 1e-6 up to some hundred units. None for unit-slope ReLUs that all face right.
        dtype: of the weights.

    Returns:
        A ``torch.nn.Sequential`` from shape ``(B, 1)`` to ``(B, 1)``.
    """
    if isinstance(network, ReluSum):
        network = layered(network) if interval is None else centred(network, *interval)
    modules: list[nn.Module] = []
    for weight, bias in network.layers:
        if modules:
            modules.append(nn.ReLU())
        linear = nn.utils.skip_init(nn.Linear, weight.shape[1], weight.shape[0], dtype=dtype)
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(np.ascontiguousarray(weight)))
            linear.bias.copy_(torch.from_numpy(np.ascontiguousarray(bias)))
        modules.append(linear)
    return nn.Sequential(*modules)


def to_mlp(network: ReluSum | DeepRelu, interval: tuple[float, float] | None = None) -> MLP:
    """Turn a construction into the lab's MLP, to be saved or trained on; see :func:`to_sequential`."""
    layers = to_sequential(network, interval)
    linear = [module for module in layers if isinstance(module, nn.Linear)]
    mlp = MLP(linear[0].in_features, [module.out_features for module in linear[:-1]], linear[-1].out_features, seed=0)
    mlp.layers.load_state_dict(layers.state_dict())
    return mlp
