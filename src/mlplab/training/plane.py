"""The plane of a decision map: two inputs of a data set, the others at their median, or its first two principal components."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mlplab.errors import InputError
from mlplab.words import listed, plural


def decision_grid(resolution: int = 128, limit: float | tuple[float, float, float, float] = 2.0) -> Tensor:
    """Make the pixel centres of a picture of the plane.

    A centre lies half a pixel inside the edge. The first row is the lowest (x2 ascending), as
    ``imshow(origin="lower")`` draws it; columns are x1 ascending.

    Args:
        resolution: pixels along each side, at least 1.
        limit: the picture covers [-limit, limit] in both directions, or the rectangle (x1 low, x1 high,
            x2 low, x2 high).

    Returns:
        Tensor of shape (resolution * resolution, 2), float32, row after row;
        ``values.reshape(resolution, resolution)`` is the picture.

    >>> decision_grid(2, 1.0).tolist()
    [[-0.5, -0.5], [0.5, -0.5], [-0.5, 0.5], [0.5, 0.5]]
    """
    left, right, bottom, top = limit if isinstance(limit, tuple) else (-limit, limit, -limit, limit)
    # Counted from the middle, so that a square about the origin is symmetric to the bit.
    centred = 2 * torch.arange(resolution, dtype=torch.float64) + 1 - resolution
    x1 = (left + right) / 2 + centred * ((right - left) / 2 / resolution)
    x2 = (bottom + top) / 2 + centred * ((top - bottom) / 2 / resolution)
    x2, x1 = torch.meshgrid(x2, x1, indexing="ij")
    return torch.stack([x1.flatten(), x2.flatten()], dim=1).float()


MARGIN = 0.08  # of the data's range, on each side
MOST_ROWS = 20_000  # from which medians and the choice of the pair are taken
MOST_INPUTS, COMPONENT_ROWS = 2_000, 5_000  # for principal components


@dataclass(frozen=True)
class Plane:
    """Two inputs of a data set as a picture's axes.

    Attributes:
        data: the data module, set up; its inputs are vectors.
        pair: positions of the two inputs.
        names: of the axes, or None where they have none.
        extent: left, right, bottom, top, in the units of the data.
        box: lowest and highest train values of the pair, two arrays (2,).
        middle: all inputs' medians over the train points in the units of the data, (D,); None where there are two.
    """

    data: Any
    pair: tuple[int, int]
    names: tuple[str, str] | None
    extent: tuple[float, float, float, float]
    box: tuple[np.ndarray, np.ndarray]
    middle: Tensor | None

    def inputs(self, resolution: int, extent: tuple | None = None) -> Tensor:
        """Make the network's inputs at the pixel centres, (R * R, D), row after row from the bottom."""
        places = decision_grid(resolution, self.extent if extent is None else extent)
        if self.middle is not None:
            whole = self.middle.repeat(len(places), 1)
            whole[:, list(self.pair)] = places
            places = whole
        return self.data.to_inputs(places)

    def points(self, x: Tensor) -> np.ndarray:
        """Give the pair's values of inputs (N, D) in the units of the data, (N, 2)."""
        return self.data.to_units(x)[:, list(self.pair)].numpy()

    @property
    def remark(self) -> str:
        """Say where the other inputs stand."""
        if self.middle is None:
            return ""
        others = len(self.middle) - 2
        return f"{plural(others, 'other input')} at the median"


def plane_of(data: Any, limit: float | None = None, pair: Sequence[str | int] | None = None) -> Plane | None:
    """Choose what a map of a data set shows.

    With two inputs these; with more, those named, else the two that separate the classes best, each by itself. The map holds all train,
    validation and test points with a margin: data of a file on each axis, synthetic data, whose axes are alike, in a
    square.

    Args:
        data: a data module, set up, with labelled points.
        limit: the square [-limit, limit]^2 instead.
        pair: names of the two inputs to show, or their positions from 1, the one across first.

    Returns:
        The plane; None where the inputs are no vectors of two or more numbers.

    Raises:
        InputError: `pair` names no two inputs.
    """
    shape = data.input_shape
    if shape is None or len(shape) != 1 or shape[0] < 2 or data.shown is None or data.train is None:
        return None
    train = data.to_units(data.train.x[:MOST_ROWS])
    names = data.feature_names
    if pair is not None:
        pair = chosen_pair(pair, names or [f"x{j + 1}" for j in range(shape[0])])
    elif shape[0] > 2:
        pair = tuple(sorted(by_f_ratio(train, data.train.y[:MOST_ROWS])[:2]))
    else:
        pair = (0, 1)
    middle = train.median(dim=0).values if shape[0] > 2 else None
    parts = [part for part in (data.train, data.test, data.validation) if part is not None]
    low, high = (
        torch.stack([f(data.to_units(part.x)[:, list(pair)], 0) for part in parts]) for f in (torch.amin, torch.amax)
    )
    low, high = low.amin(0).double(), high.amax(0).double()
    if limit is not None:
        extent = (-float(limit), float(limit)) * 2
    elif names is None:
        extent = _square(low, high)
    else:
        wide = torch.where(high > low, high - low, torch.clamp(low.abs(), min=1.0))
        low, high = low - MARGIN * wide, high + MARGIN * wide
        extent = (float(low[0]), float(high[0]), float(low[1]), float(high[1]))
    every = data.to_units(data.train.x)[:, list(pair)]
    box = every.amin(0).numpy(), every.amax(0).numpy()
    return Plane(data, pair, names and (names[pair[0]], names[pair[1]]), extent, box, middle)


def _square(low: Tensor, high: Tensor) -> tuple[float, float, float, float]:
    half = float((high - low).max()) / 2 or 1.0
    centre = (low + high) / 2
    if float(centre.abs().max()) < 0.2 * half:  # nearly centred: then the square is centred at 0, with a round limit
        farthest = float(torch.maximum(low.abs(), high.abs()).max())
        limit = np.ceil((1 + MARGIN) * farthest / 0.25) * 0.25
        return (-float(limit), float(limit)) * 2
    half *= 1 + 2 * MARGIN
    return tuple(float(value) for c in centre for value in (c - half, c + half))  # type: ignore[return-value] (four of them)


def chosen_pair(wanted: Sequence[str | int], names: Sequence[str]) -> tuple[int, int]:
    """Find two inputs by their names, or their positions from 1; positions from 0 come back.

    Raises:
        InputError: they are not two of the names.
    """
    places = {**{str(j + 1): j for j in range(len(names))}, **{name: j for j, name in enumerate(names)}}
    pair = tuple(places[str(name)] for name in wanted if str(name) in places)
    if len(pair) != 2 or pair[0] == pair[1] or len(wanted) != 2:
        raise InputError(
            f"callbacks.decision_maps.pair must name two inputs, of {listed(names)}, or their positions from 1, got {list(wanted)}"
        )
    return pair


def by_f_ratio(x: Tensor, y: Tensor) -> list[int]:
    """Sort inputs by how much their class means differ for the spread within classes (the F of an ANOVA), the most first.

    Args:
        x: shape (N, D), D >= 2.
        y: classes, shape (N,).
    """
    x, classes = x.double(), int(y.max()) + 1
    counts = torch.bincount(y, minlength=classes).double()[:, None]
    means = torch.zeros(classes, x.shape[1], dtype=torch.float64).index_add_(0, y, x) / counts.clamp(min=1)
    between = (counts * (means - x.mean(0)) ** 2).sum(0)
    within = ((x - means[y]) ** 2).sum(0)
    score = torch.where(
        between > 0, between / within.clamp(min=1e-12 * float(between.max() or 1)), torch.zeros_like(between)
    )
    return score.argsort(descending=True, stable=True).tolist()


@dataclass(frozen=True)
class Components:
    """The plane of the first two principal components of the train inputs, each input divided by its standard deviation.

    It is used as a :class:`Plane`; the other components stand at their mean. With the centre m and the scale s of the
    inputs x, the components are V' (x - m) / s, where V's columns are the first eigenvectors of the correlations.

    Attributes:
        centre, scale: of the inputs, (D,), float64; the scale of a constant input is 1.
        axes: V, (D, 2); in each column the entry of largest size is positive.
        shape: of one point's inputs.
        names: of the axes, with the share of the variance.
        extent, box, remark: as of a `Plane`.
    """

    centre: Tensor
    scale: Tensor
    axes: Tensor
    shape: tuple[int, ...]
    names: tuple[str, str]
    extent: tuple[float, float, float, float]
    box: tuple[np.ndarray, np.ndarray]
    remark: str

    def inputs(self, resolution: int) -> Tensor:
        """Make the network's inputs at the pixel centres, (R * R, *shape), row after row from the bottom."""
        places = decision_grid(resolution, self.extent).double() @ self.axes.T
        return (places * self.scale + self.centre).float().reshape(-1, *self.shape)

    def points(self, x: Tensor) -> np.ndarray:
        """Give the two components of inputs (N, *shape): (N, 2)."""
        return (((x.double().flatten(1) - self.centre) / self.scale) @ self.axes).numpy()


def components_of(data: Any) -> Components | None:
    """Find the plane of a data set's first two principal components; None for fewer than three inputs, or too many."""
    if data.input_shape is None or data.shown is None or data.train is None:
        return None
    count = int(np.prod(data.input_shape))
    if not 3 <= count <= MOST_INPUTS or len(data.train.y) < 3:
        return None
    x = data.train.x[:COMPONENT_ROWS].double().flatten(1)
    centre, scale = x.mean(0), x.std(0, correction=0)
    scale = torch.where(scale > 1e-9 * (1 + centre.abs()), scale, torch.ones_like(scale))
    values, vectors = torch.linalg.eigh(((x - centre) / scale).T.cov(correction=0))
    axes = vectors[:, [-1, -2]]
    axes = axes * axes.gather(0, axes.abs().argmax(0, keepdim=True)).sign()
    shares = (values[[-1, -2]] / values.clamp(min=0).sum().clamp(min=1e-300)).clamp(min=0).tolist()
    names = tuple(
        f"principal component {k + 1} ({100 * share:.1f} % of the variance)" for k, share in enumerate(shares)
    )
    remark = f"{plural(count - 2, 'other component')} at the mean"
    made = Components(
        centre, scale, axes, tuple(data.input_shape), names, (0.0,) * 4, (np.zeros(2), np.zeros(2)), remark
    )
    train = made.points(data.train.x)
    every = np.concatenate([train, made.points(data.shown.x)])
    low, high = every.min(0), every.max(0)
    margin = MARGIN * np.where(high > low, high - low, 1.0)
    low, high = low - margin, high + margin
    extent = tuple(float(value) for value in (low[0], high[0], low[1], high[1]))
    return replace(made, extent=extent, box=(train.min(0), train.max(0)))
