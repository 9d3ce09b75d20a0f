"""The firing rate of a LIF neuron as an activation, softened at the threshold so that it has a gradient.

In units of C = Vth - V_reset = 1, with the resting potential `rest` counted from the reset, the threshold current is
x0 = (1 - rest)/R. With v = softness/R softplus(R (x - x0) / softness), the current above it, the rate at input x is

    a(x) = 1 / (tau_ref + R ln(1 + 1/(R v)))

(Hunsberger and Eliasmith 2016, eq. 4, there in other units). With softness -> 0 it is the exact rate of
`mlplab.studies.lif.neuron`; with R -> infinity and tau_ref -> 0 as well it is relu(x).
"""

import math

import torch
from torch import Tensor, nn

from mlplab.errors import InputError

# Below this R (x - x0)/softness the softplus is its exponential to the last bit of float32.
_FAR_BELOW = -15.0


class LIFRate(nn.Module):
    """Apply the softened rate to every entry.

    Args:
        resistance: R > 0.
        tau_ref: refractory time >= 0; the ceiling is 1/tau_ref.
        softness: width of the softened threshold, > 0, in units of Vth - V_reset.
        rest: the resting potential, from 0 at the reset to 1 at the threshold and anywhere else; the threshold
            current is (1 - rest)/R.
    """

    def __init__(
        self, resistance: float = 10.0, tau_ref: float = 0.05, softness: float = 0.1, rest: float = 0.0
    ) -> None:
        super().__init__()
        for name, value, low in (
            ("resistance", resistance, "> 0"),
            ("tau_ref", tau_ref, ">= 0"),
            ("softness", softness, "> 0"),
            ("rest", rest, ""),
        ):
            inside = {"> 0": value > 0, ">= 0": value >= 0, "": True}[low]
            if not (math.isfinite(value) and inside):
                raise InputError(f"model.activation.{name} must be a finite number {low}".rstrip() + f", got {value}")
        self.resistance, self.tau_ref, self.softness = float(resistance), float(tau_ref), float(softness)
        self.rest = float(rest)

    def forward(self, x: Tensor) -> Tensor:
        return _Rate.apply(x, self)

    def above(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return u = R (x - x0)/softness; u, or what lies far below taken to there; v of the latter."""
        from_threshold = x - (1.0 - self.rest) / self.resistance
        u = from_threshold * (self.resistance / self.softness)
        near = u.clamp_min(_FAR_BELOW)
        soft = nn.functional.softplus(near) * (self.softness / self.resistance)
        # From here on the softplus is its argument, which may be too large for the format once it is divided.
        return u, near, torch.where(u > 40.0, from_threshold, soft)

    def rate(self, x: Tensor) -> Tensor:
        """Compute a(x) without a gradient."""
        u, near, v = self.above(x)
        # Far below threshold ln(1 + 1/(R v)) is -u - ln(softness), also where v itself is 0 in floating point.
        log_ratio = torch.log1p(1.0 / (self.resistance * v)) + (_FAR_BELOW - u).clamp_min(0.0)
        rate = 1.0 / (self.tau_ref + self.resistance * log_ratio)
        # Far above, R ln(1 + 1/(R v)) is 1/v, which may be too small for the format: without a ceiling a is v.
        far = self.resistance * v > 4.0 / torch.finfo(x.dtype).eps
        return torch.where(far, 1.0 / (self.tau_ref + 1.0 / v) if self.tau_ref > 0 else v, rate)


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
    """Return the gradient at the input: a' = a^2 sigmoid(u) / (v (v + 1/R))."""
    _, near, v = module.above(z)
    # A factor at a time, each of which the format holds: a/v and sigmoid(u)/v stay finite far below and far above.
    return gradient * ((h / v) * torch.sigmoid(near) * (h / (v + 1.0 / module.resistance)))
