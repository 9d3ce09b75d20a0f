"""Data modules: whole data sets in memory, split and ordered by seeds of their own.

A data set of your own: subclass `SyntheticDataModule` with `sample` and `exact_density`, or `ArrayDataModule` with
`prepare`, and name the class in a YAML file of ``conf/data``.
"""

import hashlib
from typing import NamedTuple

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor

from mlplab.core import datasets, densities
from mlplab.core.bayes import MixtureDensity
from mlplab.core.ranges import require_integer, require_number
from mlplab.core.seeds import generator
from mlplab.errors import InputError

SEEDINGS = ("derived", "tutorial")
PARTS = ("train", "validation", "test", "fresh")


class Points(NamedTuple):
    """Inputs x (N, *shape) float32 and their classes y (N,) int64."""

    x: Tensor
    y: Tensor


class ArrayDataModule(LightningDataModule):
    """Serve data that fits in memory: train, validation, test and fresh points, and the order of each epoch.

    Args:
        seed: drives the points and the split.
        batch_size: points of a minibatch, at most the number of train points.
        drop_last: leave out an epoch's last, shorter minibatch.
        test_fraction: share of the points set aside for test, rounded down.
        validation_points: points drawn afresh for validation, 0 for none.
        fresh_points: points drawn afresh to measure regret, 0 for none.
        order_seed: drives the order of the train points, epoch after epoch.
        seeding: ``derived`` gives every draw a seed of its own; ``tutorial`` repeats the tutorial's draws (one
            seed for points, split and order).

    After `setup`: `train`, `validation`, `test`, `fresh` (`Points` or None), `density` (`MixtureDensity` or None
    where it is unknown), `classes`, `input_shape`, `training_box` (lowest and highest train inputs, two float32
    tensors of the input's shape) and `sha256` of all arrays.
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
        self.seed = require_integer("data.seed", seed, 0)
        self.batch_size = require_integer("data.batch_size", batch_size, 1)
        self.drop_last = bool(drop_last)
        self.test_fraction = require_number("data.test_fraction", test_fraction, 0, below=1)
        self.validation_points = require_integer("data.validation_points", validation_points, 0)
        self.fresh_points = require_integer("data.fresh_points", fresh_points, 0)
        self.order_seed = require_integer("data.order_seed", order_seed, 0)
        if seeding not in SEEDINGS:
            raise InputError(f"data.seeding must be one of {', '.join(SEEDINGS)}, got {seeding!r}")
        self.seeding = seeding
        self.train: Points | None = None
        self._replay: tuple[int, torch.Generator] | None = None

    def prepare(self) -> dict[str, Points | None]:
        """Make the four parts, by name; set `density` and `classes`."""
        raise NotImplementedError

    def setup(self, stage: str | None = None) -> None:
        """Draw or read the data once; a second call changes nothing.

        Raises:
            InputError: if no point is left to train or test on, or a minibatch is larger than the train points.
        """
        if self.train is not None:
            return
        parts = self.prepare()
        count = len(parts["train"].y)
        if self.batch_size > count:
            raise InputError(
                f"data.batch_size must be at most the number of train points, {count}, got {self.batch_size}"
            )
        if len(parts["test"].y) == 0:
            raise InputError(
                "data.test_fraction must leave at least one point to test on: "
                f"{self.test_fraction:g} of {count} points is none"
            )
        for name in PARTS:
            setattr(self, name, parts[name])
        x = self.train.x
        self.input_shape = tuple(x.shape[1:])
        self.training_box = (x.amin(dim=0), x.amax(dim=0))
        self.sha256 = _digest(parts)

    def order(self, epoch: int) -> Tensor:
        """Return the permutation of the train points in an epoch (counted from 0).

        It is a function of (order_seed, epoch) only, or of (seed, epoch) with the tutorial's seeding.
        """
        count = len(self.train.y)
        if self.seeding == "tutorial":
            return self._tutorial_order(epoch, count)
        return torch.randperm(count, generator=generator(self.order_seed, "order", epoch))

    def _tutorial_order(self, epoch: int, count: int) -> Tensor:
        # A DataLoader draws a seed for its workers before each epoch's permutation, all from one generator, so
        # an epoch is reached through those before it; the place reached last is kept.
        if self._replay is None or self._replay[0] > epoch:
            self._replay = (0, torch.Generator().manual_seed(self.seed))
        reached, stream = self._replay
        for _ in range(reached, epoch + 1):
            torch.empty((), dtype=torch.int64).random_(generator=stream)
            order = torch.randperm(count, generator=stream)
        self._replay = (epoch + 1, stream)
        return order

    def train_dataloader(self):
        from mlplab.training.blocks import BlockLoader

        return BlockLoader(
            self.train.x[None],
            self.train.y[None],
            orders=[self.order],
            batch_size=self.batch_size,
            drop_last=self.drop_last,
        )

    def val_dataloader(self):
        return _whole(self.validation)

    def test_dataloader(self):
        return _whole(self.test)


def _whole(points: Points | None):
    from mlplab.training.blocks import WholeLoader

    return [] if points is None else WholeLoader(points.x[None], points.y[None])


def _digest(parts: dict[str, Points | None]) -> str:
    """Hash names, shapes and bytes of all arrays in a fixed order."""
    digest = hashlib.sha256()
    for name in PARTS:
        for label, array in zip("xy", parts[name] or ()):
            digest.update(f"{name}.{label} {tuple(array.shape)} {array.dtype}\n".encode())
            digest.update(array.contiguous().numpy())
    return digest.hexdigest()


class SyntheticDataModule(ArrayDataModule):
    """Data that can be drawn at will: validation and fresh points come from the same classes as the rest.

    Args:
        points: points of each class before the split; what the person types is `points_key`.
        noise: standard deviation of the noise, at least 0.
        base: arguments of `ArrayDataModule`.
    """

    points_key = "points_per_class"

    def __init__(self, classes: int, points: int, noise: float, **base):
        super().__init__(**base)
        self.classes = classes
        self.points = require_integer(f"data.{self.points_key}", points, 1)
        self.noise = require_number("data.noise", noise, 0)

    def sample(self, counts: list[int], stream: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw ``counts[k]`` points of each class k."""
        raise NotImplementedError

    def exact_density(self) -> MixtureDensity | None:
        """Make the density that `sample` draws from, None where it is unknown."""
        raise NotImplementedError

    def prepare(self) -> dict[str, Points | None]:
        tutorial = self.seeding == "tutorial"

        def stream(label: str) -> torch.Generator:
            return torch.Generator().manual_seed(self.seed) if tutorial else generator(self.seed, label)

        def afresh(label: str, count: int) -> Points | None:
            if count == 0:
                return None
            return Points(*self.sample(datasets.spread(count, self.classes), generator(self.seed, label)))

        x, y = self.sample([self.points] * self.classes, stream("points"))
        test, train = datasets.shuffle_split(len(y), self.test_fraction, stream("split"))
        self.density = self.exact_density()
        return {
            "train": Points(x[train], y[train]),
            "validation": afresh("validation", self.validation_points),
            "test": Points(x[test], y[test]),
            "fresh": afresh("fresh", self.fresh_points),
        }


class SpiralDataModule(SyntheticDataModule):
    """Serve :func:`mlplab.core.datasets.spirals`; the other arguments are those of `ArrayDataModule`."""

    points_key = "points_per_arm"

    def __init__(
        self,
        arms: int = 4,
        points_per_arm: int = 1000,
        noise: float = 0.16,
        t_min: float = 0.0,
        t_max: float = 1.0,
        rotation_degrees: float = 0.0,
        **base,
    ):
        super().__init__(require_integer("data.arms", arms, 1), points_per_arm, noise, **base)
        self.t_min = require_number("data.t_min", t_min, 0)
        self.t_max = require_number("data.t_max", t_max, self.t_min)
        self.rotation_degrees = require_number("data.rotation_degrees", rotation_degrees)

    def sample(self, counts, stream):
        return datasets.spirals(points_per_arm=counts, generator=stream, **self._shape())

    def exact_density(self):
        return densities.spiral_density(**self._shape())

    def _shape(self) -> dict:
        return {
            "arms": self.classes,
            "noise": self.noise,
            "t_min": self.t_min,
            "t_max": self.t_max,
            "rotation_degrees": self.rotation_degrees,
        }


class CirclesDataModule(SyntheticDataModule):
    """Serve :func:`mlplab.core.datasets.circles`; the other arguments are those of `ArrayDataModule`."""

    def __init__(self, classes: int = 2, points_per_class: int = 1000, noise: float = 0.1, **base):
        super().__init__(require_integer("data.classes", classes, 1), points_per_class, noise, **base)

    def sample(self, counts, stream):
        return datasets.circles(
            classes=self.classes, points_per_class=counts, noise=self.noise, generator=stream
        )

    def exact_density(self):
        return densities.circles_density(classes=self.classes, noise=self.noise)


class MoonsDataModule(SyntheticDataModule):
    """Serve :func:`mlplab.core.datasets.moons`; the other arguments are those of `ArrayDataModule`."""

    def __init__(self, points_per_class: int = 1000, noise: float = 0.2, **base):
        super().__init__(2, points_per_class, noise, **base)

    def sample(self, counts, stream):
        return datasets.moons(points_per_class=counts, noise=self.noise, generator=stream)

    def exact_density(self):
        return densities.moons_density(noise=self.noise)


class XorDataModule(SyntheticDataModule):
    """Serve :func:`mlplab.core.datasets.xor`; the other arguments are those of `ArrayDataModule`."""

    def __init__(self, points_per_class: int = 1000, noise: float = 0.35, **base):
        super().__init__(2, points_per_class, noise, **base)

    def sample(self, counts, stream):
        return datasets.xor(points_per_class=counts, noise=self.noise, generator=stream)

    def exact_density(self):
        return densities.xor_density(noise=self.noise)


class BlobsDataModule(SyntheticDataModule):
    """Serve :func:`mlplab.core.datasets.blobs`; the other arguments are those of `ArrayDataModule`."""

    def __init__(self, classes: int = 3, points_per_class: int = 1000, noise: float = 0.4, **base):
        super().__init__(require_integer("data.classes", classes, 1), points_per_class, noise, **base)

    def sample(self, counts, stream):
        return datasets.blobs(
            classes=self.classes, points_per_class=counts, noise=self.noise, generator=stream
        )

    def exact_density(self):
        return densities.blobs_density(classes=self.classes, noise=self.noise)
