"""The plane of a decision map: two inputs of a data set, in the units of the data as given, the others at their median."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mlplab.data.grid import decision_grid

MARGIN = 0.08  # of the data's range, on each side
MOST_ROWS = 20_000  # from which medians and the choice of the pair are taken


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
        return places if not hasattr(self.data, "to_inputs") else self.data.to_inputs(places)

    def points(self, x: Tensor) -> np.ndarray:
        """Give the pair's values of inputs (N, D) in the units of the data, (N, 2)."""
        return in_units(self.data, x)[:, list(self.pair)].numpy()

    @property
    def remark(self) -> str:
        """Say where the other inputs stand."""
        if self.middle is None:
            return ""
        others = len(self.middle) - 2
        return f"{others} other input{'s' * (others > 1)} at the median"


def in_units(data: Any, x: Tensor) -> Tensor:
    """Turn inputs (N, D) into the units of the data as given."""
    return data.to_units(x) if hasattr(data, "to_units") else x


def plane_of(data: Any, limit: float | None = None) -> Plane | None:
    """Choose what a map of a data set shows.

    With two inputs these; with more, the two that tell the classes apart best, each by itself. The map holds all train,
    validation and test points with a margin: data of a file on each axis, synthetic data, whose axes are alike, in a
    square.

    Args:
        data: a data module, set up, with labelled points.
        limit: the square [-limit, limit]^2 instead.

    Returns:
        The plane; None where the inputs are no vectors of two or more numbers.
    """
    shape = data.input_shape
    if shape is None or len(shape) != 1 or shape[0] < 2 or data.test is None or data.train is None:
        return None
    train = in_units(data, data.train.x[:MOST_ROWS])
    pair, middle = (0, 1), None
    if shape[0] > 2:
        first, second = telling(train, data.train.y[:MOST_ROWS])
        pair, middle = (min(first, second), max(first, second)), train.median(dim=0).values
    names = getattr(data, "feature_names", None)
    parts = [data.train, data.test] + ([data.validation] if data.validation is not None else [])
    low, high = (torch.stack([f(in_units(data, part.x)[:, list(pair)], 0) for part in parts]) for f in (torch.amin, torch.amax))
    low, high = low.amin(0).double(), high.amax(0).double()
    if limit is not None:
        extent = (-float(limit), float(limit)) * 2
    elif names is None:
        extent = _square(low, high)
    else:
        wide = torch.where(high > low, high - low, torch.clamp(low.abs(), min=1.0))
        low, high = low - MARGIN * wide, high + MARGIN * wide
        extent = (float(low[0]), float(high[0]), float(low[1]), float(high[1]))
    every = in_units(data, data.train.x)[:, list(pair)]
    box = every.amin(0).numpy(), every.amax(0).numpy()
    return Plane(data, pair, names and (names[pair[0]], names[pair[1]]), extent, box, middle)


def _square(low: Tensor, high: Tensor) -> tuple[float, float, float, float]:
    half = float((high - low).max()) / 2 or 1.0
    centre = (low + high) / 2
    if float(centre.abs().max()) < 0.2 * half:  # as good as centred: then about 0, with a round limit
        farthest = float(torch.maximum(low.abs(), high.abs()).max())
        limit = np.ceil((1 + MARGIN) * farthest / 0.25) * 0.25
        return (-float(limit), float(limit)) * 2
    half *= 1 + 2 * MARGIN
    return tuple(float(value) for c in centre for value in (c - half, c + half))  # type: ignore[return-value]


def telling(x: Tensor, y: Tensor) -> tuple[int, int]:
    """Find the two inputs whose class means differ most for the spread within classes (the largest F of an ANOVA).

    Args:
        x: shape (N, D), D >= 2.
        y: classes, shape (N,).
    """
    x, classes = x.double(), int(y.max()) + 1
    counts = torch.bincount(y, minlength=classes).double()[:, None]
    means = torch.zeros(classes, x.shape[1], dtype=torch.float64).index_add_(0, y, x) / counts.clamp(min=1)
    between = (counts * (means - x.mean(0)) ** 2).sum(0)
    within = ((x - means[y]) ** 2).sum(0)
    score = torch.where(between > 0, between / within.clamp(min=1e-12 * float(between.max() or 1)), torch.zeros_like(between))
    first, second = score.argsort(descending=True, stable=True)[:2].tolist()
    return first, second
