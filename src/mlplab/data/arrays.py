"""Whole data sets in memory as a Lightning data module: four parts, the order of each epoch, and ordinary loaders."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler, default_collate

from mlplab import options
from mlplab.data.bayes import posterior
from mlplab.errors import InputError
from mlplab.seeds import generator
from mlplab.words import plural

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


def _workers_generator() -> torch.Generator:
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
        generator=_workers_generator(),
    )


def whole_loader(x: Tensor, y: Tensor) -> DataLoader:
    """Serve all points in their order, as one batch where they are no more than 65,536."""
    return DataLoader(
        PointsDataset(x, y), batch_size=min(max(1, len(y)), WHOLE), collate_fn=collate, generator=_workers_generator()
    )


PARTS = ("train", "validation", "test", "fresh")


class Points(NamedTuple):
    """Inputs x (N, *shape) float32 and their classes y (N,) int64."""

    x: Tensor
    y: Tensor


class LabelledData:
    """What the lab asks of data, answered as where nothing is known; a data set overrides what it knows.

    Attributes:
        train, validation, test, fresh: points, or None.
        classes: number of classes, or None.
        input_shape: shape of one input, or None.
        density: where points come from (`MixtureDensity`), or None.
        drawn_order_seed: seed by which a GPU may draw orders of its own, or None.
        class_names, feature_names: a name for each class and each input, or None.
    """

    train: Points | None = None
    validation: Points | None = None
    test: Points | None = None
    fresh: Points | None = None
    classes: int | None = None
    input_shape: tuple[int, ...] | None = None
    density: Any = None
    drawn_order_seed: int | None = None
    class_names: Sequence[str] | None = None
    feature_names: Sequence[str] | None = None

    @property
    def shown_part(self) -> str:
        """Part whose points pictures show: the test points, or those of validation where there are none."""
        return "test" if self.test is not None else "validation"

    @property
    def shown(self) -> Points | None:
        """Points of that part."""
        return getattr(self, self.shown_part)

    def log_posterior(self, part: str) -> Tensor | None:
        """Give the Bayes log posterior (N, C) on a part; None where the density or the part is not there."""
        return None

    def to_units(self, x: Tensor) -> Tensor:
        """Turn inputs (N, *shape) into the units of the data as given."""
        return x

    def to_inputs(self, x: Tensor) -> Tensor:
        """Turn values in the units of the data as given (N, *shape) into inputs."""
        return x

    def recorded(self) -> dict[str, Any] | None:
        """Give what it takes to read another file in the same way; None of data that is of no file."""
        return None


class ArrayDataModule(LabelledData, LightningDataModule, ABC):
    """Serve data that fits in memory as ordinary DataLoaders of ``(x, y)``.

    Beside its loaders it offers its tensors and the order of each epoch, by which many networks are trained at once.

    Args:
        seed: drives the points and the split.
        batch_size: points of a minibatch, at most the number of train points.
        drop_last: leave out an epoch's last, shorter minibatch.
        test_fraction: share of the points set aside for test, rounded down.
        validation_points: points drawn afresh for validation, 0 for none.
        fresh_points: points drawn afresh to measure regret, 0 for none.
        order_seed: drives the order of the train points, epoch after epoch.
        seeding: ``derived`` gives every draw a seed of its own; ``tutorial`` repeats the tutorial's draws,
            with one seed for points, split and order.

    After `setup`: `train`, `validation`, `test`, `fresh` (`Points` or None), `density` (`MixtureDensity` or
    None where it is unknown), `classes`, `input_shape`, `training_box` (lowest and highest train inputs, two
    float32 tensors of the input's shape) and `sha256` of all arrays.
    """

    def __init__(
        self,
        seed: int = 2021,
        batch_size: int = 128,
        drop_last: bool = True,
        test_fraction: float = 0.2,
        validation_points: int = 800,
        fresh_points: int = 20000,
        order_seed: int = 0,
        seeding: str = "derived",
    ):
        super().__init__()
        rules = options.SYNTHETIC
        self.seed = rules["seed"].check("data.seed", seed)
        self.batch_size = rules["batch_size"].check("data.batch_size", batch_size)
        self.drop_last = rules["drop_last"].check("data.drop_last", drop_last)
        self.test_fraction = rules["test_fraction"].check("data.test_fraction", test_fraction)
        self.validation_points = rules["validation_points"].check("data.validation_points", validation_points)
        self.fresh_points = rules["fresh_points"].check("data.fresh_points", fresh_points)
        self.order_seed = rules["order_seed"].check("data.order_seed", order_seed)
        self.seeding = rules["seeding"].check("data.seeding", seeding)
        self._replay: tuple[int, torch.Generator] | None = None
        # One mapping for all copies that share these points, so that each posterior is computed once.
        self._posteriors: dict[str, Tensor] = {}

    @abstractmethod
    def prepare(self) -> dict[str, Points | None]:
        """Make the four parts, by name; set `density` and `classes`."""

    def setup(self, stage: str | None = None) -> None:
        """Draw or read the data once; a second call changes nothing.

        Raises:
            InputError: if no point is left to test on, or a minibatch is larger than the train points.
        """
        if self.train is not None:
            return
        parts = self.prepare()
        count = len(parts["train"].y)
        if self.batch_size > count:
            raise InputError(
                f"data.batch_size must be at most the number of train points, {count}, got {self.batch_size}"
            )
        if parts["test"] is None:
            raise InputError(
                "data.test_fraction must leave at least one point to test on: "
                f"{self.test_fraction:g} of {plural(count, 'point')} is none"
            )
        for name in PARTS:
            setattr(self, name, parts[name])
        x = self.train.x
        self.input_shape = tuple(x.shape[1:])
        self.training_box = (x.amin(dim=0), x.amax(dim=0))
        self.sha256 = _digest(parts)

    def log_posterior(self, part: str) -> Tensor | None:
        points = getattr(self, part)
        if self.density is None or points is None:
            return None
        if part not in self._posteriors:
            self._posteriors[part] = posterior(self.posterior_inputs(part), self.density)
        return self._posteriors[part]

    def posterior_inputs(self, part: str) -> Tensor:
        """Give the points of a part where the density is one: the inputs, unless these are features of them."""
        return getattr(self, part).x

    def order(self, epoch: int) -> Tensor:
        """Return the permutation of the train points in an epoch (counted from 0).

        It is a function of (order_seed, epoch) only, or of (seed, epoch) with the tutorial's seeding. A population
        on a CUDA device takes orders of its own, likewise functions of (order_seed, epoch).
        """
        count = len(self.train.y)
        if self.seeding == "tutorial":
            return self._tutorial_order(epoch, count)
        return torch.randperm(count, generator=generator(self.order_seed, "order", epoch))

    @property
    def drawn_order_seed(self) -> int | None:
        """Seed by which a GPU may draw orders of its own; None where `order` is one that means something."""
        is_own = type(self).order is not ArrayDataModule.order
        return None if is_own or self.seeding == "tutorial" else self.order_seed

    def _tutorial_order(self, epoch: int, count: int) -> Tensor:
        # From one generator a DataLoader draws, an epoch: a seed for its workers, the permutation, and, when
        # its sampler runs dry, one more permutation of which it uses nothing. So an epoch is reached through
        # those before it; the place reached last is kept.
        if self._replay is None or self._replay[0] > epoch:
            self._replay = (0, torch.Generator().manual_seed(self.seed))
        reached, stream = self._replay
        for _ in range(reached, epoch + 1):
            torch.empty((), dtype=torch.int64).random_(generator=stream)
            order = torch.randperm(count, generator=stream)
            torch.randperm(count, generator=stream)
        self._replay = (epoch + 1, stream)
        return order

    def train_dataloader(self) -> DataLoader:
        return training_loader(*self.train, self.order, self.batch_size, self.drop_last)

    def val_dataloader(self) -> DataLoader | list:
        return [] if self.validation is None else whole_loader(*self.validation)

    def test_dataloader(self) -> DataLoader | list:
        return [] if self.test is None else whole_loader(*self.test)

    def predict_dataloader(self) -> DataLoader | list:
        return self.test_dataloader()


def _digest(parts: dict[str, Points | None]) -> str:
    """Hash names, shapes and bytes of all arrays in a fixed order."""
    digest = hashlib.sha256()
    for name in PARTS:
        for label, array in zip("xy", parts[name] or ()):
            digest.update(f"{name}.{label} {tuple(array.shape)} {array.dtype}\n".encode())
            digest.update(array.contiguous().numpy())
    return digest.hexdigest()
