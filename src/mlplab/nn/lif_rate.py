"""The firing rate of a LIF neuron as an activation, softened at the threshold so that it has a gradient.

In units of C = Vth = 1 the rate at input x is, with excess j = softness * softplus((R x - 1) / softness),

    a(x) = 1 / (tau_ref + R ln(1 + 1/j))

(Hunsberger and Eliasmith 2016, eq. 4, there in other units). With softness -> 0 it is the exact rate of
`mlplab.studies.lif.neuron`; with R -> infinity and tau_ref -> 0 as well it is relu(x).
"""

import math

import torch
from torch import Tensor, nn

from mlplab.errors import InputError

# Below this (R x - 1)/softness the softplus is its exponential to the last bit of float32.
_FAR_BELOW = -15.0


class LIFRate(nn.Module):
    """Apply the softened rate to every entry.

    Args:
        resistance: R > 0; the threshold is at 1/R.
        tau_ref: refractory time >= 0; the ceiling is 1/tau_ref.
        softness: width of the softened threshold, > 0, in units of Vth.
    """

    def __init__(self, resistance: float = 10.0, tau_ref: float = 0.05, softness: float = 0.1) -> None:
        super().__init__()
        for name, value, above in (
            ("resistance", resistance, True),
            ("tau_ref", tau_ref, False),
            ("softness", softness, True),
        ):
            if not (math.isfinite(value) and (value > 0 if above else value >= 0)):
                raise InputError(
                    f"model.activation.{name} must be a finite number {'>' if above else '>='} 0, got {value}"
                )
        self.resistance, self.tau_ref, self.softness = float(resistance), float(tau_ref), float(softness)

    def forward(self, x: Tensor) -> Tensor:
        return _Rate.apply(x, self)

    def rate(self, x: Tensor) -> Tensor:
        """Compute a(x) without a gradient."""
        u = (self.resistance * x - 1.0) / self.softness
        near = u.clamp_min(_FAR_BELOW)
        # Far below threshold ln(1 + 1/j) is -u - ln(softness), also where j itself is 0 in floating point.
        log_ratio = torch.log1p(1.0 / (self.softness * nn.functional.softplus(near))) + (near - u)
        return 1.0 / (self.tau_ref + self.resistance * log_ratio)


class _Rate(torch.autograd.Function):
    """Give autograd the written gradient: through log1p it would lose digits at both ends."""

    @staticmethod
    def forward(ctx, x, module):
        ctx.module = module
        rate = module.rate(x)
        ctx.save_for_backward(x, rate)
        return rate

    @staticmethod
    def backward(ctx, gradient):
        x, rate = ctx.saved_tensors
        return lif_rate_gradient(gradient, x, rate, ctx.module), None


def lif_rate_gradient(gradient: Tensor, z: Tensor, h: Tensor, module: LIFRate) -> Tensor:
    """Return the gradient at the input: a' = a^2 R^2 sigmoid(u) / (j (1 + j))."""
    u = (module.resistance * z - 1.0) / module.softness
    near = u.clamp_min(_FAR_BELOW)
    plus = nn.functional.softplus(near)
    # sigmoid(u)/softplus(u) tends to 1 far below threshold, where both vanish.
    slope = torch.sigmoid(near) / plus / (module.softness * (1.0 + module.softness * plus))
    return gradient * (h * module.resistance).square_().mul_(slope)
