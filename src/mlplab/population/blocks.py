"""Blocks of minibatches for P members at once: their points, their orders, and the loaders that serve them.

Torch's permutations are drawn one by one on the CPU; ten thousand of them take longer than an epoch on a GPU. There
each place of each network gets a random number that is a function of the network's seed, the epoch and the place
alone, and the numbers are sorted, all networks in one call.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mlplab.errors import InputError
from mlplab.seeds import derive

# Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators": the increment and the two factors.
GOLDEN = 0x9E3779B97F4A7C15 - 2**64
FACTORS = (0xBF58476D1CE4E5B9 - 2**64, 0x94D049BB133111EB - 2**64)


def splitmix64(z: Tensor) -> Tensor:
    """Mix 64-bit integers (...), as splitmix64 makes its output of its state; arithmetic is modulo 2^64."""
    z = (z ^ _shifted(z, 30)) * FACTORS[0]
    z = (z ^ _shifted(z, 27)) * FACTORS[1]
    return z ^ _shifted(z, 31)


def draw_orders(seeds: Tensor, epoch: int, points: int) -> Tensor:
    """Draw a permutation for each seed.

    Args:
        seeds: integers (P,), int64.
        epoch: counted from 0; each has an order of its own.
        points: N, >= 1 and below 2^31.

    Returns:
        Permutations of 0..N-1, (P, N) int64, the same bits on every device.
    """
    place = torch.arange(points, device=seeds.device)
    start = splitmix64(seeds + (epoch + 1) * splitmix64(seeds + GOLDEN))
    numbers = splitmix64(start.unsqueeze(1) + (place + 1) * GOLDEN)
    # The low bits of each number are replaced by its position: no two are equal, and sorting gives the order.
    room = (1 << max(1, (points - 1).bit_length())) - 1
    return ((numbers & ~room) | place).sort(dim=1).values & room


def _shifted(z: Tensor, bits: int) -> Tensor:
    """Shift to the right as an unsigned number is."""
    return (z >> bits) & ((1 << (64 - bits)) - 1)


class Serving(NamedTuple):
    """How minibatches are served. All but `drawing_devices` change no bit of what is trained.

    Attributes:
        minibatches: in a block at most.
        most_bytes: of a block's points.
        most_operations: floating-point operations of a block, on a CPU. Between two blocks a run can be stopped and its
            status file is renewed: on one core, every few seconds.
        drawing_devices: types of the devices that draw the orders themselves.
    """

    minibatches: int = 1024
    most_bytes: int = 512 << 20
    most_operations: float = 5e11
    drawing_devices: tuple[str, ...] = ("cuda",)

    def draws(self, device: torch.device, order_seeds: Sequence[int | None]) -> bool:
        """Say whether a device draws the orders of members with these seeds itself."""
        return device.type in self.drawing_devices and None not in order_seeds


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


class BlockLoader:
    """Yield an epoch as blocks; its whole state is ``served``, the number of minibatches handed over.

    Args:
        x: features, (D, N, ...), where D is 1 (shared by all members) or P.
        y: labels, (D, N).
        orders: one function a member from the epoch to a permutation (N,) of the points.
        batch_size: points in a minibatch, >= 1.
        drop_last: leave out the last short minibatch.
        order_seeds: one seed a member, from which a CUDA device draws orders of its own, see
            :func:`~mlplab.population.blocks.draw_orders`; without them, or with None among them, it takes ``orders``.
        operations: floating-point operations that a minibatch of all members takes; 0 where that is not known.
        serving: how large a block may be, and which devices draw orders.
    """

    def __init__(
        self,
        x: Tensor,
        y: Tensor,
        orders: Sequence[Callable[[int], Tensor]],
        *,
        batch_size: int,
        drop_last: bool = True,
        order_seeds: Sequence[int | None] = (None,),
        operations: int = 0,
        serving: Serving = Serving(),
    ) -> None:
        self.x, self.y, self.orders = x, y, list(orders)
        self.order_seeds = list(order_seeds)
        self._keys = torch.tensor([derive(seed, "device order") for seed in order_seeds if seed is not None])
        self.batch_size = batch_size
        self.shuffle = True
        self.per_epoch = self.whole = count_minibatches(x.shape[1], batch_size, drop_last)
        self.operations, self.serving = operations, serving
        self.served = 0

    @property
    def draws(self) -> bool:
        """Whether the device draws the orders itself."""
        return self.serving.draws(self.x.device, self.order_seeds)

    @property
    def block(self) -> int:
        """Number of minibatches in a block."""
        x, y, most = self.x, self.y, self.serving
        bytes_each = len(self.orders) * self.batch_size * (x[0, 0].numel() * x.element_size() + y.element_size())
        count = min(most.minibatches, most.most_bytes // max(1, bytes_each))
        # At the end of a block the host reads the results: on a GPU best once an epoch, also of 10,000 members.
        return max(
            1, count if x.device.type != "cpu" else min(count, int(most.most_operations // max(1, self.operations)))
        )

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


class MemberData:
    """The data of P members as one: shared arrays once, different ones stacked.

    Args:
        modules: one a member, set up, with equal numbers of points. Each offers ``train`` and ``validation``
            (points ``x`` and ``y``, or None), ``order(epoch)``, ``drawn_order_seed``, ``batch_size`` and ``drop_last``.
        serving: how the train points are served.
    """

    def __init__(self, modules: Sequence[Any], serving: Serving = Serving()) -> None:
        self.modules, self.serving = list(modules), serving

    def part(self, name: str, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor] | None:
        """Give x (D, N, ...) and y (D, N) of a part; D is 1 where all members share it.

        Raises:
            InputError: the members' points differ in number or shape.
        """
        parts = [getattr(module, name) for module in self.modules]
        if len({None if part is None else part.x.shape for part in parts}) > 1:
            raise InputError(
                f"the {name} points must be as many, and of one shape, in all jobs of one population; train the jobs apart"
            )
        if parts[0] is None:
            return None
        if all(part.x is parts[0].x for part in parts):
            parts = parts[:1]
        return torch.stack([part.x for part in parts]).to(dtype), torch.stack([part.y for part in parts])

    def train_loader(self, dtype: torch.dtype = torch.float32, parameters: int = 0) -> BlockLoader:
        """Serve the train points, each member in its own order.

        Args:
            dtype: of the inputs.
            parameters: of all members together, which bound the work of a block on a CPU.
        """
        first = self.modules[0]
        x, y = self.part("train", dtype)
        return BlockLoader(
            x,
            y,
            orders=[module.order for module in self.modules],
            batch_size=first.batch_size,
            drop_last=first.drop_last,
            order_seeds=[module.drawn_order_seed for module in self.modules],
            # Each parameter is multiplied and added for a point three times: forward, and for the two gradients.
            operations=6 * parameters * first.batch_size,
            serving=self.serving,
        )

    def validation_loader(self, dtype: torch.dtype = torch.float32) -> WholeLoader | None:
        """Serve the validation points, or None."""
        part = self.part("validation", dtype)
        return None if part is None else WholeLoader(*part)
