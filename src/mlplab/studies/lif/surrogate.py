"""A perceptron of spiking LIF neurons in discrete time, trained through its spikes by a surrogate."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mlplab.errors import InputError
from mlplab.nn.mlp import MLP
from mlplab.studies.lif.grid import step_weight
from mlplab.studies.lif.neuron import Neuron


def spike(above_threshold: Tensor, steepness: float) -> Tensor:
    """Return 1.0 above threshold, else 0.0; the gradient is that of a fast sigmoid.

        dS/dv := 1 / (1 + steepness |v - Vth|)^2

    Args:
        above_threshold: v - Vth, any shape.
        steepness: > 0; larger keeps the gradient nearer to the threshold.

    Source: Zenke and Ganguli 2018, "SuperSpike", eq. 3.
    """
    soft = above_threshold / (1.0 + steepness * above_threshold.abs())
    # The value is the step's; the soft part cancels in it and is left alone in the gradient.
    return (above_threshold > 0).to(soft) + (soft - soft.detach())


class SpikingMLP(nn.Module):
    """A perceptron whose hidden units are Euler-stepped LIF neurons without a refractory time.

    The input is a constant current into the first layer; each later layer takes the spikes of the one before
    it in the same step. Logits are the mean of the output layer's input over all steps.

    Args:
        in_features, hidden, out_features, width, depth, seed: as for `MLP`.
        steps: time steps of 1 ms, >= 1.
        resistance_kohm, capacitance_uf: of the neurons; Vth = 1 V.
        steepness: of the surrogate gradient, > 0.
    """

    def __init__(
        self,
        in_features: int,
        hidden: Sequence[int] | None = None,
        out_features: int = 1,
        *,
        width: int = 128,
        depth: int = 1,
        steps: int = 25,
        resistance_kohm: float = 5.0,
        capacitance_uf: float = 2.0,
        steepness: float = 5.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not (isinstance(steps, int) and steps >= 1):
            raise InputError(f"model.steps must be an integer >= 1, got {steps!r}")
        if not steepness > 0:
            raise InputError(f"model.steepness must be > 0, got {steepness!r}")
        neuron = Neuron(resistance_kohm=resistance_kohm, capacitance_uf=capacitance_uf, tau_ref_ms=0.0)
        self.weight = float(step_weight(neuron, 1.0))
        self.resistance = float(neuron.leak_kohm)
        self.steps, self.steepness = steps, float(steepness)
        self.network = MLP(in_features, hidden, out_features, width=width, depth=depth, seed=seed)
        self.in_features, self.out_features = in_features, out_features
        self.hidden = self.network.hidden

    def forward(self, x: Tensor) -> Tensor:
        """Compute logits of shape (B, out_features) for a batch of shape (B, ...)."""
        x = x.reshape(len(x), self.in_features)
        if not self.hidden:
            return self.network(x)
        first, *middle, last = self.network.linear_layers()
        drive = self.resistance * first(x)
        potentials = [torch.zeros_like(drive)]
        potentials += [torch.zeros(len(x), layer.out_features, dtype=x.dtype, device=x.device) for layer in middle]
        total = torch.zeros_like(potentials[-1])
        for _ in range(self.steps):
            spikes = self._step(potentials, 0, drive)
            for index, layer in enumerate(middle, start=1):
                spikes = self._step(potentials, index, self.resistance * layer(spikes))
            total = total + spikes
        return last(total / self.steps)

    def _step(self, potentials: list[Tensor], index: int, drive: Tensor) -> Tensor:
        potential = torch.lerp(potentials[index], drive, self.weight)
        spikes = spike(potential - 1.0, self.steepness)
        # The reset is no path for the gradient: through it the potential would learn to spike later.
        potentials[index] = potential * (1.0 - spikes.detach())
        return spikes

    def describe(self) -> str:
        widths = "–".join(str(width) for width in (self.in_features, *self.hidden, self.out_features))
        return f"spiking MLP {widths} ({self.steps} ms)"
