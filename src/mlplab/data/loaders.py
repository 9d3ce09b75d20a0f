"""Ordinary DataLoaders over points in memory, whose order is a function of the seed and the epoch only."""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler, default_collate

# Points that are measured at once; a loss that is no plain mean is exact on one batch only.
WHOLE = 65_536


class PointsDataset(Dataset):
    """Points ``(x[i], y[i])``; a whole minibatch is taken by one indexing, which a DataLoader asks for by itself.

    Args:
        x: inputs, (N, ...).
        y: labels, (N,).
    """

    def __init__(self, x: Tensor, y: Tensor) -> None:
        self.x, self.y = x, y

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.x[index], self.y[index]

    def __getitems__(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        chosen = torch.as_tensor(indices)
        return self.x[chosen], self.y[chosen]


class EpochSampler(Sampler[int]):
    """Yield the order of an epoch; Lightning says which by ``set_epoch``, else each pass is the next one.

    Args:
        order: function from the epoch, counted from 0, to a permutation (N,).
        count: number N of points.
    """

    def __init__(self, order: Callable[[int], Tensor], count: int) -> None:
        self.order, self.count, self.epoch = order, count, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next pass."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[int]:
        order = self.order(self.epoch)
        self.epoch += 1
        return iter(order.tolist())


def collate(batch: object) -> object:
    """Join the points of a batch; nothing is left to do where the data set took them at once."""
    return batch if isinstance(batch, tuple) else default_collate(batch)


def own() -> torch.Generator:
    """Give what a loader draws its workers' seeds from, so that torch's global generator stays as it is."""
    return torch.Generator().manual_seed(0)


def training_loader(
    x: Tensor, y: Tensor, order: Callable[[int], Tensor], batch_size: int, drop_last: bool
) -> DataLoader:
    """Serve minibatches ``(x, y)`` in the order of the epoch."""
    sampler = EpochSampler(order, len(y))
    return DataLoader(
        PointsDataset(x, y),
        batch_size=batch_size,
        sampler=sampler,
        drop_last=drop_last,
        collate_fn=collate,
        generator=own(),
    )


def whole_loader(x: Tensor, y: Tensor) -> DataLoader:
    """Serve all points in their order, as one batch where they are no more than 65,536."""
    return DataLoader(PointsDataset(x, y), batch_size=min(max(1, len(y)), WHOLE), collate_fn=collate, generator=own())
