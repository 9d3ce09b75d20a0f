"""The lab's data modules, one a data set.

A data set of your own that can be drawn at will: subclass `SyntheticDataModule` with `sample` and
`exact_density`; any other: subclass `ArrayDataModule` with `prepare`. Then name the class in a YAML file of
``conf/data``.
"""

from abc import abstractmethod

import torch
from torch import Tensor

from mlplab import options
from mlplab.data import datasets
from mlplab.data.arrays import ArrayDataModule, Points
from mlplab.data.bayes import MixtureDensity
from mlplab.errors import InputError
from mlplab.seeds import generator


class SyntheticDataModule(ArrayDataModule):
    """Data that can be drawn at will: validation and fresh points come from the same classes as the rest.

    Args:
        points: points of each class before the split; what the person types is `points_key`.
        noise: standard deviation of the noise, from 0 to 1000.
        base: arguments of `ArrayDataModule`.
    """

    points_key = "points_per_class"

    def __init__(self, classes: int, points: int, noise: float, **base):
        super().__init__(**base)
        self.classes = classes
        self.points = options.CLASSES["points_per_class"].check(f"data.{self.points_key}", points)
        self.noise = options.SYNTHETIC["noise"].check("data.noise", noise)

    @abstractmethod
    def sample(self, counts: list[int], stream: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw ``counts[k]`` points of each class k."""

    def sample_afresh(self, counts: list[int], stream: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw validation and fresh points: as :meth:`sample`, unless that gives a few points a place of their own."""
        return self.sample(counts, stream)

    @abstractmethod
    def exact_density(self) -> MixtureDensity | None:
        """Make the density that `sample` draws from, None where it is unknown."""

    def prepare(self) -> dict[str, Points | None]:
        tutorial = self.seeding == "tutorial"

        def stream(label: str) -> torch.Generator:
            return torch.Generator().manual_seed(self.seed) if tutorial else generator(self.seed, label)

        def afresh(label: str, count: int) -> Points | None:
            if count == 0:
                return None
            return Points(*self.sample_afresh(datasets.spread(count, self.classes), generator(self.seed, label)))

        x, y = self.sample([self.points] * self.classes, stream("points"))
        test, train = datasets.shuffle_split(len(y), self.test_fraction, stream("split"))
        self.density = self.exact_density()
        return {
            "train": Points(x[train], y[train]),
            "validation": afresh("validation", self.validation_points),
            "test": Points(x[test], y[test]) if len(test) else None,
            "fresh": afresh("fresh", self.fresh_points),
        }


class SpiralDataModule(SyntheticDataModule):
    """Serve :func:`mlplab.data.datasets.spirals`; the other arguments are those of `ArrayDataModule`.

    Args:
        inputs: ``plane`` serves the points themselves, ``polar`` :func:`mlplab.data.datasets.polar_features` of them.
    """

    points_key = "points_per_arm"

    def __init__(
        self,
        arms: int = 4,
        points_per_arm: int = 1000,
        noise: float = 0.16,
        t_min: float = 0.0,
        t_max: float = 1.0,
        rotation_degrees: float = 0.0,
        inputs: str = "plane",
        with_ends: bool = False,
        **base,
    ):
        self.save_hyperparameters(logger=False)
        super().__init__(options.SPIRAL["arms"].check("data.arms", arms), points_per_arm, noise, **base)
        self.t_min = options.SPIRAL["t_min"].check("data.t_min", t_min)
        self.t_max = options.SPIRAL["t_max"].check("data.t_max", t_max)
        self.rotation_degrees = options.SPIRAL["rotation_degrees"].check("data.rotation_degrees", rotation_degrees)
        self.inputs = options.SPIRAL["inputs"].check("data.inputs", inputs)
        self.with_ends = options.SPIRAL["with_ends"].check("data.with_ends", with_ends)
        if self.t_min > self.t_max:
            raise InputError(f"data.t_min must be at most data.t_max={t_max}, got {t_min}")

    def sample(self, counts, stream):
        return datasets.spirals(points_per_arm=counts, generator=stream, **self._shape())

    def sample_afresh(self, counts, stream):
        return datasets.spirals(points_per_arm=counts, generator=stream, with_ends=self.with_ends, **self._shape())

    def exact_density(self):
        return datasets.spiral_density(**self._shape())

    def prepare(self):
        parts = super().prepare()
        if self.inputs == "plane":
            return parts
        # The posterior is one of places in the plane, which the features no longer give to the bit.
        self._plane = {name: points.x for name, points in parts.items() if points is not None}
        return {name: points and Points(datasets.polar_features(points.x), points.y) for name, points in parts.items()}

    def posterior_inputs(self, part):
        return self._plane[part] if self.inputs == "polar" else super().posterior_inputs(part)

    def _shape(self) -> dict:
        return {
            "arms": self.classes,
            "noise": self.noise,
            "t_min": self.t_min,
            "t_max": self.t_max,
            "rotation_degrees": self.rotation_degrees,
        }


class CirclesDataModule(SyntheticDataModule):
    """Serve :func:`mlplab.data.datasets.circles`; the other arguments are those of `ArrayDataModule`."""

    def __init__(self, classes: int = 2, points_per_class: int = 1000, noise: float = 0.1, **base):
        self.save_hyperparameters(logger=False)
        super().__init__(options.CLASSES["classes"].check("data.classes", classes), points_per_class, noise, **base)

    def sample(self, counts, stream):
        return datasets.circles(classes=self.classes, points_per_class=counts, noise=self.noise, generator=stream)

    def exact_density(self):
        return datasets.circles_density(classes=self.classes, noise=self.noise)


class MoonsDataModule(SyntheticDataModule):
    """Serve :func:`mlplab.data.datasets.moons`; the other arguments are those of `ArrayDataModule`."""

    def __init__(self, points_per_class: int = 1000, noise: float = 0.2, **base):
        self.save_hyperparameters(logger=False)
        super().__init__(2, points_per_class, noise, **base)

    def sample(self, counts, stream):
        return datasets.moons(points_per_class=counts, noise=self.noise, generator=stream)

    def exact_density(self):
        return datasets.moons_density(noise=self.noise)


class XorDataModule(SyntheticDataModule):
    """Serve :func:`mlplab.data.datasets.xor`; the other arguments are those of `ArrayDataModule`."""

    def __init__(self, points_per_class: int = 1000, noise: float = 0.35, **base):
        self.save_hyperparameters(logger=False)
        super().__init__(2, points_per_class, noise, **base)

    def sample(self, counts, stream):
        return datasets.xor(points_per_class=counts, noise=self.noise, generator=stream)

    def exact_density(self):
        return datasets.xor_density(noise=self.noise)


class BlobsDataModule(SyntheticDataModule):
    """Serve :func:`mlplab.data.datasets.blobs`; the other arguments are those of `ArrayDataModule`."""

    def __init__(self, classes: int = 3, points_per_class: int = 1000, noise: float = 0.4, **base):
        self.save_hyperparameters(logger=False)
        super().__init__(options.CLASSES["classes"].check("data.classes", classes), points_per_class, noise, **base)

    def sample(self, counts, stream):
        return datasets.blobs(classes=self.classes, points_per_class=counts, noise=self.noise, generator=stream)

    def exact_density(self):
        return datasets.blobs_density(classes=self.classes, noise=self.noise)


def __getattr__(name: str) -> type:
    """Find where run folders of version 0.1 have it the class that reads files, which other data need not wait for."""
    if name == "FileDataModule":
        from mlplab.data.file_module import FileDataModule01

        return FileDataModule01
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
