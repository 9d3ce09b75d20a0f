"""Activations by name: a torch module and, where known, the gradient through it.

To add one, put an entry into ``ACTIVATIONS``. Without a gradient function autograd is used, which is
right for any differentiable module and about twice as slow.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from inspect import signature

import torch
from torch import Tensor, nn

from mlplab import options
from mlplab.errors import InputError
from mlplab.torch_names import aten

# Below this R (x - x0)/softness the softplus is its exponential to the last bit of float32.
_FAR_BELOW = -15.0


class LIFRate(nn.Module):
    """Apply the firing rate of a LIF neuron, softened at the threshold so that it has a gradient, to every entry.

    In units of C = Vth - V_reset = 1, with the resting potential counted from the reset, the threshold current is
    x0 = (1 - rest)/R. With v = softness/R softplus(R (x - x0) / softness), the current above it, the rate at input x is

        a(x) = 1 / (tau_ref + R ln(1 + 1/(R v)))

    (Hunsberger and Eliasmith 2016, eq. 4, there in other units). With softness -> 0 it is the exact rate of
    `mlplab.studies.lif.neuron`; with R -> infinity and tau_ref -> 0 as well it is relu(x).

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


@dataclass(frozen=True)
class Activation:
    """An elementwise nonlinearity.

    Attributes:
        module: class of a torch module that computes it; its arguments are the activation's arguments.
        gradient: function of (gradient at the output, input z, output h, module) that gives the gradient at
            the input, elementwise; with ``in_place`` it may write over the output h. None to use autograd.
        in_place: the module's function, written over its input; only where the gradient does not ask for z.
    """

    module: Callable[..., nn.Module]
    gradient: Callable[[Tensor, Tensor, Tensor, nn.Module], Tensor] | None = None
    in_place: Callable[[Tensor], Tensor] | None = None


# The gradients are the kernels that autograd itself calls, so both ways give the same bits.
ACTIVATIONS: dict[str, Activation] = {
    "relu": Activation(
        nn.ReLU, lambda g, z, h, m: aten.threshold_backward.grad_input(g, h, 0, grad_input=h), torch.relu_
    ),
    "leaky_relu": Activation(nn.LeakyReLU, lambda g, z, h, m: aten.leaky_relu_backward(g, z, m.negative_slope, False)),
    "tanh": Activation(nn.Tanh, lambda g, z, h, m: aten.tanh_backward.grad_input(g, h, grad_input=h), torch.tanh_),
    "gelu": Activation(nn.GELU, lambda g, z, h, m: aten.gelu_backward(g, z, approximate=m.approximate)),
    "silu": Activation(nn.SiLU, lambda g, z, h, m: aten.silu_backward(g, z)),
    "elu": Activation(nn.ELU, lambda g, z, h, m: aten.elu_backward(g, m.alpha, 1, 1, False, z)),
    "sigmoid": Activation(
        nn.Sigmoid, lambda g, z, h, m: aten.sigmoid_backward.grad_input(g, h, grad_input=h), torch.sigmoid_
    ),
    "lif_rate": Activation(LIFRate, lif_rate_gradient),
    "identity": Activation(nn.Identity, lambda g, z, h, m: g, lambda z: z),
}

# The slope that the tutorial uses; torch's own default is 0.01.
DEFAULT_ARGUMENTS: dict[str, dict] = {"leaky_relu": {"negative_slope": 0.1}}


def parse_activation(activation: str | Mapping) -> tuple[str, dict]:
    """Split an activation into its name and its arguments.

    Args:
        activation: a name such as ``"relu"``, or a mapping such as
            ``{"name": "leaky_relu", "negative_slope": 0.2}``.

    Returns:
        The name, a key of ``ACTIVATIONS``, and the arguments of its module, defaults of the lab included.

    Raises:
        InputError: if the name or an argument is unknown.
    """
    if isinstance(activation, str):
        name, arguments = activation, {}
    elif isinstance(activation, Mapping) and isinstance(activation.get("name"), str):
        arguments = {str(key): value for key, value in activation.items() if key != "name"}
        name = activation["name"]
    else:
        raise InputError(
            f"model.activation must be a name or a mapping {{name: ..., argument: ...}}, got {activation!r}"
        )
    if name not in ACTIVATIONS:
        options.ACTIVATION.check("model.activation", name)
    # `inplace` is torch's own switch: it would overwrite what the backward pass needs.
    hidden = ("inplace", "args", "kwargs")
    allowed = [key for key in signature(ACTIVATIONS[name].module).parameters if key not in hidden]
    for key in arguments:
        if key not in allowed:
            raise InputError(
                f"model.activation: {name} takes {', '.join(allowed) or 'no arguments'}, got the argument {key!r}"
            )
    return name, DEFAULT_ARGUMENTS.get(name, {}) | arguments


def parse_activations(activation: str | Mapping | Sequence, layers: int) -> list[tuple[str, dict]]:
    """Split what a network is given into the activation of each hidden layer.

    Args:
        activation: one for all layers as :func:`parse_activation` takes it, or a list of such, one a hidden layer.
        layers: hidden layers.

    Raises:
        InputError: if an activation is unknown, or the list has another length than there are hidden layers.
    """
    if isinstance(activation, str | Mapping) or not isinstance(activation, Sequence):
        return [parse_activation(activation)] * max(1, layers)
    if len(activation) != layers:
        raise InputError(
            f"model.activation must be one activation or one for each hidden layer: {layers}, got {len(activation)}"
        )
    return [parse_activation(entry) for entry in activation]


def activation_module(activation: str | Mapping) -> nn.Module:
    """Build the torch module of an activation given as for :func:`parse_activation`."""
    name, arguments = parse_activation(activation)
    try:
        module = ACTIVATIONS[name].module(**arguments)
        module(torch.zeros(1))  # torch looks at most arguments only when it computes
    except InputError:
        raise
    except (TypeError, ValueError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(f"model.activation: {name} refuses its arguments {arguments}: {reason}") from error
    return module


def activation_gradient(name: str) -> Callable[[Tensor, Tensor, Tensor, nn.Module], Tensor]:
    """Give the gradient function of an activation, by autograd where no formula is known."""
    return ACTIVATIONS[name].gradient or _gradient_by_autograd


def _gradient_by_autograd(gradient: Tensor, z: Tensor, h: Tensor, module: nn.Module) -> Tensor:
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        return torch.autograd.grad(module(z), z, gradient)[0]
