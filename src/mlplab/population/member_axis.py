"""The member axis: what training sees of P networks, whatever they are made of.

A single run is a population of one. All parameters live in one array ``theta`` of shape (P, S), their
gradients in ``gradient`` of the same shape, so that an optimiser is one elementwise operation.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

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
