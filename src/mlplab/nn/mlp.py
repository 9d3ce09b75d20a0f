"""The multi-layer perceptron: any input shape, any list of hidden widths, one activation, dropout that repeats, logits out."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from mlplab import options
from mlplab.nn.activations import activation_module, parse_activations
from mlplab.rules import check_all, integer, optional
from mlplab.seeds import derive

# A mask is drawn for widths and minibatches rounded up to these, as the engine lays its networks out.
HIDDEN_MULTIPLE = 4
POINTS_MULTIPLE = 8


@runtime_checkable
class Described(Protocol):
    """A network that names itself for a title."""

    def describe(self) -> str: ...


class Dropout(nn.Dropout):
    """Drop hidden units (Srivastava et al. 2014) as ``torch.nn.Dropout`` does, from a stream of its own if asked to.

    Args:
        p: probability in [0, 1) that a unit is dropped.
        layer: number of the hidden layer, counted from 0.
    """

    def __init__(self, p: float = 0.5, layer: int = 0) -> None:
        super().__init__(p)
        self.layer = layer
        self.stream: tuple[int, int] | None = None

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, layer={self.layer}"

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.stream is None or not self.p:
            return super().forward(x)
        return x * dropout_mask(x.shape[1], len(x), self.p, *self.stream, self.layer, x.dtype).T.to(x.device)


def dropout_mask(width: int, points: int, p: float, seed: int, step: int, layer: int, dtype: torch.dtype) -> Tensor:
    """Draw the mask (width, points) of a hidden layer at a step: 0, or 1/(1 - p)."""
    room = torch.empty(
        -(-width // HIDDEN_MULTIPLE) * HIDDEN_MULTIPLE, -(-points // POINTS_MULTIPLE) * POINTS_MULTIPLE, dtype=dtype
    )
    room.bernoulli_(1 - p, generator=torch.Generator().manual_seed(derive(seed, "dropout", step, layer)))
    return room.div_(1 - p)[:width, :points]


@contextmanager
def streams(module: nn.Module, seed: int, step: int) -> Iterator[None]:
    """Let every dropout of a network draw from a seed and a step, for the length of a block."""
    parts = [part for part in module.modules() if isinstance(part, Dropout)]
    try:
        for part in parts:
            part.stream = seed, step
        yield
    finally:
        for part in parts:
            part.stream = None


def _default(weight: Tensor, bias: Tensor, generator: torch.Generator) -> None:
    """Draw as torch.nn.Linear does: weight and bias uniform within 1/sqrt(fan_in)."""
    nn.init.kaiming_uniform_(weight, a=math.sqrt(5), generator=generator)
    bound = 1 / math.sqrt(weight.shape[1])
    nn.init.uniform_(bias, -bound, bound, generator=generator)


def _kaiming(weight: Tensor, bias: Tensor, generator: torch.Generator) -> None:
    """Draw normal weights of variance 2/fan_in (He et al. 2015, eq. 10), bias zero."""
    nn.init.kaiming_normal_(weight, nonlinearity="relu", generator=generator)
    nn.init.zeros_(bias)


def _xavier(weight: Tensor, bias: Tensor, generator: torch.Generator) -> None:
    """Draw uniform weights of variance 2/(fan_in + fan_out) (Glorot and Bengio 2010, eq. 16), bias zero."""
    nn.init.xavier_uniform_(weight, generator=generator)
    nn.init.zeros_(bias)


def _orthogonal(weight: Tensor, bias: Tensor, generator: torch.Generator) -> None:
    """Draw a random orthogonal matrix (Saxe et al. 2014), bias zero."""
    nn.init.orthogonal_(weight, generator=generator)
    nn.init.zeros_(bias)


INITIALIZATIONS: dict[str, Callable[[Tensor, Tensor, torch.Generator], None]] = {
    "default": _default,
    "kaiming": _kaiming,
    "xavier": _xavier,
    "orthogonal": _orthogonal,
}


def hidden_widths(hidden: Sequence[int] | None, width: int, depth: int) -> list[int]:
    """Give the list of hidden widths: ``hidden`` itself, or ``depth`` layers of ``width`` units.

    Raises:
        InputError: if a width is below 1 or the depth below 0.
    """
    check_all(options.MLP, "model", hidden=hidden, width=width, depth=depth)
    return [width] * depth if hidden is None else list(hidden)


def _without_the_classifiers_prefix(module: nn.Module, state: dict, prefix: str, *_: Any) -> None:
    """Let a network take the ``state_dict`` of a checkpoint, in which its names begin with ``model.``."""
    names = [name for name in state if name.startswith("model.")]
    if not prefix and names:
        for name in names:
            state[name.removeprefix("model.")] = state.pop(name)


def shadowed(module: nn.Module) -> list[str]:
    """Name the methods of a module's class that the module itself has others for."""
    return [name for name in vars(module) if callable(getattr(type(module), name, None))]


class MLP(nn.Module):
    """A perceptron with any number of hidden layers.

    ``layers`` is an ordinary ``torch.nn.Sequential`` of Linear, activation and, where asked for, Dropout.

    Args:
        in_features: number of input features (the product of the input shape), >= 1.
        hidden: hidden widths, each >= 1; an empty list is a linear classifier; None for width and depth.
        out_features: number of outputs, >= 1.
        width: units of each hidden layer, >= 1; used when ``hidden`` is None.
        depth: number of hidden layers, >= 0; used when ``hidden`` is None.
        activation: a name of ``ACTIVATIONS`` or a mapping with ``name`` and the activation's arguments; a list of such
            gives each hidden layer its own.
        dropout: probability in [0, 1) that a hidden unit is dropped in training.
        initialization: a name of ``INITIALIZATIONS``.
        seed: what the initial weights are derived from; None to draw them by torch's global generator.
        init_seed: seeds the initial weights' generator with exactly this number, as
            ``torch.manual_seed(init_seed)`` before building the layers would; None to derive it from ``seed``.

    Raises:
        InputError: if an argument is not as above.
    """

    def __init__(
        self,
        in_features: int,
        hidden: Sequence[int] | None = None,
        out_features: int = 1,
        *,
        width: int = 128,
        depth: int = 1,
        activation: str | Mapping | Sequence = "relu",
        dropout: float = 0.0,
        initialization: str = "default",
        seed: int | None = None,
        init_seed: int | None = None,
    ) -> None:
        super().__init__()
        for name, features in (("in_features", in_features), ("out_features", out_features)):
            integer(1).check(f"model.{name}", features)
        optional(options.SEED).check("model.seed", seed)
        check_all(options.MLP, "model", dropout=dropout, initialization=initialization, init_seed=init_seed)
        self.in_features = in_features
        self.out_features = out_features
        self.hidden = hidden_widths(hidden, width, depth)
        self.activations = parse_activations(activation, len(self.hidden))
        same = all(entry == self.activations[0] for entry in self.activations)
        each = [{"name": name, **arguments} if arguments else name for name, arguments in self.activations]
        self.activation = each[0] if each and same else each
        self.dropout = float(dropout)
        self.layers = nn.Sequential()
        generator = torch.default_generator
        if init_seed is not None or seed is not None:
            generator = torch.Generator().manual_seed(derive(seed, "weights") if init_seed is None else init_seed)
        widths = [in_features, *self.hidden, out_features]
        for layer, (fan_in, fan_out) in enumerate(zip(widths, widths[1:]), -1):
            if len(self.layers):
                name, arguments = self.activations[layer]
                self.layers.append(activation_module({"name": name, **arguments}))
                if self.dropout:
                    self.layers.append(Dropout(self.dropout, layer))
            # skip_init: nn.Linear's own initialisation would draw from the global generator.
            linear = nn.utils.skip_init(nn.Linear, fan_in, fan_out)
            with torch.no_grad():
                INITIALIZATIONS[initialization](linear.weight, linear.bias, generator)
            self.layers.append(linear)
        self.initialization = initialization
        self.register_load_state_dict_pre_hook(_without_the_classifiers_prefix)

    @property
    def arguments(self) -> dict[str, Any]:
        """What builds a network of this shape again, as plain values."""
        return {
            "in_features": self.in_features,
            "hidden": list(self.hidden),
            "out_features": self.out_features,
            "activation": self.activation,
            "dropout": self.dropout,
            "initialization": self.initialization,
        }

    def is_as_built(self) -> bool:
        """Say whether the layers are still those that the constructor makes of the arguments, and nothing is put over them."""
        if type(self) is not MLP or list(self._modules) != ["layers"] or type(self.layers) is not nn.Sequential:
            return False
        widths = [self.in_features, *self.hidden, self.out_features]
        expected: list[tuple[type, str]] = []
        for layer, (fan_in, fan_out) in enumerate(zip(widths, widths[1:]), -1):
            if layer >= 0:
                name, arguments = self.activations[layer]
                activation = activation_module({"name": name, **arguments})
                expected.append((type(activation), repr(activation)))
                if self.dropout:
                    expected.append((Dropout, repr(Dropout(self.dropout, layer))))
            expected.append((nn.Linear, f"Linear(in_features={fan_in}, out_features={fan_out}, bias=True)"))
        parts = list(self.layers)
        return [(type(part), repr(part)) for part in parts] == expected and not any(
            map(shadowed, (self, self.layers, *parts))
        )

    def forward(self, x: Tensor) -> Tensor:
        """Compute the logits of a batch.

        Args:
            x: array of shape (B, ...) whose trailing sizes multiply to ``in_features``.

        Returns:
            Array of shape (B, out_features).
        """
        return self.layers(x.reshape(x.shape[0], self.in_features))

    def linear_layers(self) -> list[nn.Linear]:
        """List the affine maps from input to output: one more than there are hidden layers."""
        return [layer for layer in self.layers if isinstance(layer, nn.Linear)]

    def describe(self) -> str:
        """Name the network for a title, such as ``MLP 2–64–64–4 (ReLU)`` or ``MLP 2–32×8–4 (tanh)``."""
        runs = [(width, len(list(same))) for width, same in groupby(self.hidden)]
        hidden = [f"{width}×{count}" if count > 2 else "–".join([str(width)] * count) for width, count in runs]
        widths = "–".join([str(self.in_features), *hidden, str(self.out_features)])
        names = {"relu": "ReLU", "leaky_relu": "leaky ReLU", "gelu": "GELU", "silu": "SiLU", "elu": "ELU"}
        used = [names.get(name, name) for name, _ in self.activations]
        return f"MLP {widths}" + (f" ({', '.join(used[:1] if len(set(used)) == 1 else used)})" if self.hidden else "")
