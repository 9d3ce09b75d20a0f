"""The member axis: what training sees of P networks, whatever they are made of, and any modules walked one by one.

A single run is a population of one. All parameters live in one array ``theta`` of shape (P, S), their
gradients in ``gradient`` of the same shape, so that an optimiser is one elementwise operation.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy

import torch
from torch import Tensor, nn

from mlplab.errors import InputError
from mlplab.seeds import derive, seed_streams, streams_kept

# Every parameter array starts at a multiple of this many numbers, so that no member meets another code path of
# a kernel than it would alone.
ALIGNMENT = 16


def round_up(value: int, multiple: int) -> int:
    """Round an integer >= 0 up to a multiple."""
    return -(-value // multiple) * multiple


class Population(ABC):
    """What training sees of P networks; :func:`stack` builds the right kind.

    Attributes:
        members: number of networks P.
        theta: parameters, (P, S).
        gradient: gradient of the last minibatch, (P, S).
        seeds: one seed a member, for what the network draws while training.
    """

    members: int
    theta: Tensor
    gradient: Tensor
    seeds: list[int]

    @abstractmethod
    def to(self, device: torch.device, dtype: torch.dtype | None = None) -> "Population":
        """Move the parameters to a device, and turn them into another floating type if one is given."""

    def chunks(self, batch_size: int) -> list[slice]:
        """Split the members into runs that fit a cache when they train on minibatches of this size."""
        return [slice(0, self.members)]

    def minibatches(self, x: Tensor) -> Sequence[Tensor]:
        """Cut a block (p, S, B, ...) into its S minibatches (p, B, ...), laid out in memory as the networks like it."""
        return x.unbind(1)

    @property
    def is_written_out(self) -> bool:
        """Whether :meth:`backward` works without autograd."""
        return False

    @abstractmethod
    def forward(self, x: Tensor, members: slice = slice(None)) -> Tensor:
        """Compute logits in evaluation mode: (P, B, ...) or, shared by all, (1, B, ...) to (P, B, C)."""

    @abstractmethod
    def backward(self, members: slice, x: Tensor, loss_gradient: Callable, step: int) -> Tensor:
        """Write the gradient of one minibatch into ``gradient[members]``.

        Args:
            members: the run of members to compute, p of them.
            x: minibatch of shape (p, B, ...).
            loss_gradient: function from logits (p, B, C) to their gradient, of the same shape.
            step: number of the minibatch since the start of training; what a member draws depends on its seed
                and this number only.

        Returns:
            The logits, (p, B, C).
        """

    @abstractmethod
    def names(self) -> list[tuple[str, tuple[int, ...]]]:
        """List a member's parameters: names and shapes, in the order of its module."""

    @abstractmethod
    def split(self, row: Tensor) -> dict[str, Tensor]:
        """Cut one row (S,) of ``theta`` or of an optimiser's state into named arrays of a member's shapes."""

    @abstractmethod
    def join(self, named: dict[str, Tensor], row: Tensor) -> None:
        """Write named arrays back into one row (S,): the inverse of :meth:`split`."""

    @abstractmethod
    def member(self, index: int) -> nn.Module:
        """Give one member as an ordinary module (B, ...) to (B, C), in evaluation mode, with its own copy."""

    @contextmanager
    def at(self, theta: Tensor, buffers: dict[int, dict[str, Tensor]] | None = None) -> Iterator[None]:
        """Look at other parameters (P, S), and other buffers of some members, for the length of a block."""
        own, own_buffers = self.theta.detach().clone(), {i: self.buffers(i) for i in buffers or {}}
        try:
            with torch.no_grad():
                self.theta.copy_(theta)
            for index, named in (buffers or {}).items():
                self.load_buffers(index, named)
            yield
        finally:
            with torch.no_grad():
                self.theta.copy_(own)
            for index, named in own_buffers.items():
                self.load_buffers(index, named)

    def buffers(self, index: int) -> dict[str, Tensor]:
        """Give a member's state that is no parameter (running means, counters), by name."""
        return {}

    def load_buffers(self, index: int, named: dict[str, Tensor]) -> None:
        """Write a member's state that is no parameter."""


class ModulePopulation(Population):
    """Any modules from (B, ...) to (B, C), walked one by one; the gradient by autograd.

    The modules' trainable parameters become views of ``theta`` and their gradients views of ``gradient``; frozen
    ones count as buffers.

    Args:
        modules: modules whose parameters have the same names and shapes, at least one.
        seeds: one seed a member.
    """

    def __init__(self, modules: Sequence[nn.Module], seeds: Sequence[int]) -> None:
        self.modules = list(modules)
        self.members = len(self.modules)
        self.seeds = list(seeds)
        self.layout: list[tuple[str, tuple[int, ...], int]] = []
        offset = 0
        for name, parameter in trainable(self.modules[0]).items():
            self.layout.append((name, tuple(parameter.shape), offset))
            offset += round_up(parameter.numel(), ALIGNMENT)
        dtypes = {parameter.dtype for parameter in trainable(self.modules[0]).values()} or {torch.float32}
        if len(dtypes) > 1:
            raise ValueError(f"the parameters of a model must be of one floating type, got {dtypes}")
        self.theta = torch.zeros(self.members, offset, dtype=dtypes.pop())
        for row, module in zip(self.theta, self.modules):
            self.join(trainable(module), row)
        self.gradient = torch.zeros_like(self.theta)
        self._modes = [{part: part.training for part in module.modules()} for module in self.modules]
        self._attach()

    def release(self) -> None:
        """Give the modules arrays of their own again, no gradients, and the modes that they came with."""
        for module, modes in zip(self.modules, self._modes):
            for parameter in trainable(module).values():
                parameter.data, parameter.grad = parameter.data.clone(), None
            for part, training in modes.items():
                part.training = training

    def _attach(self) -> None:
        for index, module in enumerate(self.modules):
            module.to(self.theta.device, self.theta.dtype)
            parameters = trainable(module)
            for name, shape, offset in self.layout:
                end = offset + torch.Size(shape).numel()
                parameters[name].data = self.theta[index, offset:end].view(shape)
                parameters[name].grad = self.gradient[index, offset:end].view(shape)

    def to(self, device: torch.device, dtype: torch.dtype | None = None) -> "ModulePopulation":
        dtype = dtype or self.theta.dtype
        self.theta, self.gradient = self.theta.to(device, dtype), self.gradient.to(device, dtype)
        self._attach()
        return self

    def names(self) -> list[tuple[str, tuple[int, ...]]]:
        return [(name, shape) for name, shape, _ in self.layout]

    def split(self, row: Tensor) -> dict[str, Tensor]:
        return {
            name: row[offset : offset + torch.Size(shape).numel()].view(shape).clone()
            for name, shape, offset in self.layout
        }

    def join(self, named: dict[str, Tensor], row: Tensor) -> None:
        with torch.no_grad():
            for name, shape, offset in self.layout:
                row[offset : offset + torch.Size(shape).numel()].view(shape).copy_(named[name])

    def member(self, index: int) -> nn.Module:
        # The copy's parameters are still views as long as the whole population: give each its own array.
        module = deepcopy(self.modules[index])
        for parameter in module.parameters():
            parameter.data = parameter.data.clone()
            parameter.grad = None
        return module.eval()

    def _state(self, index: int) -> dict[str, Tensor]:
        frozen = ((n, p) for n, p in self.modules[index].named_parameters() if not p.requires_grad)
        return dict(frozen) | dict(self.modules[index].named_buffers())

    def buffers(self, index: int) -> dict[str, Tensor]:
        return {name: array.detach().clone() for name, array in self._state(index).items()}

    def load_buffers(self, index: int, named: dict[str, Tensor]) -> None:
        own = self._state(index)
        with torch.no_grad():
            for name, value in named.items():
                own[name].copy_(value)

    def forward(self, x: Tensor, members: slice = slice(None)) -> Tensor:
        logits = []
        with torch.no_grad():
            for row, module in enumerate(self.modules[members]):
                logits.append(module.eval()(x[0 if len(x) == 1 else row]))
        return torch.stack(logits)

    def backward(self, members: slice, x: Tensor, loss_gradient: Callable, step: int) -> Tensor:
        low, high, _ = members.indices(self.members)
        self.gradient[members].zero_()
        outputs = []
        device = self.theta.device
        # A user's module may draw (dropout): it gets a stream of its own, the global ones are put back.
        with streams_kept(device):
            for row, index in enumerate(range(low, high)):
                seed_streams(device, derive(self.seeds[index], "module", step))
                with torch.enable_grad():
                    outputs.append(self.modules[index].train()(x[row]))
        logits = torch.stack([output.detach() for output in outputs])
        for index, output, flow in zip(range(low, high), outputs, loss_gradient(logits)):
            parameters = trainable(self.modules[index])
            found = [None] * len(parameters)
            if parameters and output.requires_grad:
                found = torch.autograd.grad(output, list(parameters.values()), flow, allow_unused=True)
            for (name, parameter), gradient in zip(parameters.items(), found):
                if gradient is None:  # torch's optimisers leave such a parameter as it is in this step
                    raise InputError(
                        f"the network's {name} has no part in its output on some minibatches, which the engine cannot train: "
                        "use trainer.engine=lightning"
                    )
                parameter.grad.add_(gradient)
        return logits


def trainable(module: nn.Module) -> dict[str, nn.Parameter]:
    """Give the parameters of a module that training changes, by name."""
    return {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}
