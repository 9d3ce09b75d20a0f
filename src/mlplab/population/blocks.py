"""Loaders that hand over many minibatches at once: a block, cut from data that stay in memory on the device."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from mlplab.population.orders import draw_orders
from mlplab.seeds import derive

BLOCK_BYTES = 512 << 20
# Between two blocks a run can be stopped and its status file is renewed: on one CPU core, every few seconds.
BLOCK_OPERATIONS = 5e11
# At the end of a block the host reads the results: on a GPU best once an epoch, also of 10,000 members.
GPU_BLOCK_BYTES = 512 << 20
# Devices that draw the orders themselves.
DRAWING_DEVICES = ("cuda",)
BLOCK_MINIBATCHES = 1024


class Block(NamedTuple):
    """Minibatches first..first+S-1 of an epoch, order already drawn.

    Attributes:
        x: features, (P, S, B, ...).
        y: labels, (P, S, B).
        first: number of the first minibatch within the epoch.
    """

    x: Tensor
    y: Tensor
    first: int


def count_minibatches(points: int, batch_size: int, drop_last: bool) -> int:
    """Count the minibatches of an epoch."""
    return points // batch_size if drop_last else -(-points // batch_size)


def draws_orders(device: torch.device, order_seeds: Sequence[int | None]) -> bool:
    """Say whether a device draws the orders of members with these seeds itself."""
    return device.type in DRAWING_DEVICES and None not in order_seeds


class BlockLoader:
    """Yield an epoch as blocks; its whole state is ``served``, the number of minibatches handed over.

    Args:
        x: features, (D, N, ...), where D is 1 (shared by all members) or P.
        y: labels, (D, N).
        orders: one function a member from the epoch to a permutation (N,) of the points.
        batch_size: points in a minibatch, >= 1.
        drop_last: leave out the last short minibatch.
        block_minibatches: minibatches in a block at most.
        order_seeds: one seed a member, from which a CUDA device draws orders of its own, see
            :func:`~mlplab.population.orders.draw_orders`; without them, or with None among them, it takes ``orders``.
        operations: floating-point operations that a minibatch of all members takes; 0 where that is not known.
    """

    def __init__(
        self,
        x: Tensor,
        y: Tensor,
        orders: Sequence[Callable[[int], Tensor]],
        *,
        batch_size: int,
        drop_last: bool = True,
        block_minibatches: int = BLOCK_MINIBATCHES,
        order_seeds: Sequence[int | None] = (None,),
        operations: int = 0,
    ) -> None:
        self.x, self.y, self.orders = x, y, list(orders)
        self.order_seeds = list(order_seeds)
        self._keys = torch.tensor([derive(seed, "device order") for seed in order_seeds if seed is not None])
        self.batch_size = batch_size
        self.shuffle = True
        self.per_epoch = self.whole = count_minibatches(x.shape[1], batch_size, drop_last)
        self.block_minibatches, self.operations = block_minibatches, operations
        self.served = 0

    @property
    def draws(self) -> bool:
        """Whether the device draws the orders itself."""
        return draws_orders(self.x.device, self.order_seeds)

    @property
    def block(self) -> int:
        """Number of minibatches in a block."""
        x, y = self.x, self.y
        bytes_each = len(self.orders) * self.batch_size * (x[0, 0].numel() * x.element_size() + y.element_size())
        if x.device.type != "cpu":
            return max(1, min(self.block_minibatches, GPU_BLOCK_BYTES // max(1, bytes_each)))
        work = int(BLOCK_OPERATIONS // max(1, self.operations))
        return max(1, min(self.block_minibatches, BLOCK_BYTES // max(1, bytes_each), work))

    def restrict(self, limit: int | float = 1.0, overfit: int | float = 0) -> None:
        """Shorten the epoch.

        Args:
            limit: minibatches an epoch at most: an integer >= 0, or a fraction in [0, 1] of them; 1.0 for all.
            overfit: take the same first minibatches each epoch, unshuffled: a number or a fraction; 0 for off.
        """
        self.shuffle = not overfit
        self.per_epoch = limited(self.whole, overfit or limit)

    def __len__(self) -> int:
        """Count the blocks of an epoch."""
        return len(self.spans())

    def spans(self) -> list[tuple[int, int]]:
        """List the minibatches [first, end) of each block; a short last minibatch is a block by itself."""
        whole, block = min(self.per_epoch, self.x.shape[1] // self.batch_size), self.block
        spans = [(first, min(first + block, whole)) for first in range(0, whole, block)]
        return spans + [(whole, self.per_epoch)] * (whole < self.per_epoch)

    def to(self, device: torch.device) -> "BlockLoader":
        """Move the data to a device, once; before anyone counts the blocks, which are larger on a GPU."""
        self.x, self.y = self.x.to(device), self.y.to(device)
        self._keys = self._keys.to(device)
        return self

    def __iter__(self) -> Iterator[Block]:
        """Yield the blocks of the epoch in which ``served`` stands; those already served come empty."""
        epoch, done = divmod(self.served, max(1, self.per_epoch))
        permutation = self._permutation(epoch)
        for first, end in self.spans():
            # Lightning counts blocks, so that a resumed epoch must have as many as any other.
            served = min(max(done, first), end)
            self.served += end - served
            yield self._block(permutation, served, end)

    def _permutation(self, epoch: int) -> Tensor:
        points = self.x.shape[1]
        if not self.shuffle:
            return torch.arange(points, device=self.x.device).expand(len(self.orders), -1)
        if self.draws:
            return draw_orders(self._keys, epoch, points)
        return torch.stack([order(epoch) for order in self.orders]).to(self.x.device)

    def _block(self, permutation: Tensor, first: int, end: int) -> Block:
        size = self.batch_size
        chosen = permutation[:, first * size : end * size]
        if len(self.x) == 1:
            x, y = self.x[0][chosen], self.y[0][chosen]
        else:
            member = torch.arange(len(self.x), device=self.x.device).unsqueeze(1)
            x, y = self.x[member, chosen], self.y[member, chosen]
        steps = end - first
        width = chosen.shape[1] // steps if steps else size
        return Block(x.reshape(len(x), steps, width, *x.shape[2:]), y.reshape(len(y), steps, width), first)


class WholeLoader:
    """Yield all points as one batch: x of shape (D, N, ...) and y of shape (D, N)."""

    def __init__(self, x: Tensor, y: Tensor) -> None:
        self.x, self.y = x, y

    def __len__(self) -> int:
        return 1

    def to(self, device: torch.device) -> "WholeLoader":
        """Move the data to a device, once."""
        self.x, self.y = self.x.to(device), self.y.to(device)
        return self

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        yield self.x, self.y


def limited(whole: int, limit: int | float) -> int:
    """Apply Lightning's limit: an integer is a count, a float in [0, 1] a fraction, rounded down."""
    return int(whole * limit) if isinstance(limit, float) else min(whole, limit)
