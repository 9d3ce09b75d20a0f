"""Activations by name: a torch module and, where known, the gradient through it.

To add one, put an entry into ``ACTIVATIONS``. Without a gradient function autograd is used, which is
right for any differentiable module and about twice as slow.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from inspect import signature

import torch
from torch import Tensor, nn

from mlplab import options
from mlplab.errors import InputError
from mlplab.nn.lif_rate import LIFRate, lif_rate_gradient
from mlplab.torch_names import aten


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
