"""Synthetic classification data in the plane, drawn class after class from one generator, and their exact densities.

Every function that draws returns ``x`` (N, 2) float32 and ``y`` (N,) int64. A class is a curve with Gaussian noise, so
its density is an integral over the curve's parameter. The nodes and weights of a quadrature rule turn it into a mixture
of Gaussians.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from mlplab.data.bayes import MixtureDensity

SMALLEST_RADIUS = 1e-4
Counts = int | Sequence[int]


def spread(count: int, classes: int) -> list[int]:
    """Share `count` points among `classes`, the first ones taking the remainder.

    >>> spread(10, 4)
    [3, 3, 2, 2]
    """
    share, rest = divmod(count, classes)
    return [share + (k < rest) for k in range(classes)]


def spirals(
    *,
    arms: int = 4,
    points_per_arm: Counts = 1000,
    noise: float = 0.16,
    t_min: float = 0.0,
    t_max: float = 1.0,
    rotation_degrees: float = 0.0,
    with_ends: bool = True,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Draw spiral arms whose noise grows with the radius.

    Arm k at t in [t_min, t_max], evenly spaced:

        x(t) = t * (sin(2 pi/K * (2t + k)) + noise * e1, cos(2 pi/K * (2t + k)) + noise * e2)

    with e1, e2 ~ N(0, 1).

    Args:
        arms: number of arms and classes K, at least 1.
        points_per_arm: points of every arm, or one number for each.
        noise: standard deviation at radius 1, at least 0.
        t_min, t_max: ends of the arms, 0 <= t_min <= t_max; the tutorial's are 0 and 1.
        rotation_degrees: turn of the whole picture, counter-clockwise.
        with_ends: t runs from t_min to t_max, as the tutorial's; else through the middles of as many equal pieces, so
            that no point of any arm lies exactly at the origin, where they all meet.
        generator: gives, for each arm, the noise of the first coordinate, then that of the second.

    Returns:
        x of shape (K * points_per_arm, 2) and the arm y of each point. With the defaults and a generator
        seeded 2021 they are the tutorial's points to the bit.

    Source:
        Neuromatch deep learning, "Biological vs. Artificial Neural Networks", section 2.2.
    """
    pieces = []
    for k, count in enumerate(_counts(points_per_arm, arms)):
        if with_ends:
            t = torch.linspace(t_min, t_max, count)
        else:
            t = t_min + (t_max - t_min) * (torch.arange(count) + 0.5) / max(count, 1)
        angle = 2 * math.pi / arms * (2 * t + k)
        first = t * (torch.sin(angle) + noise * torch.randn(count, generator=generator))
        second = t * (torch.cos(angle) + noise * torch.randn(count, generator=generator))
        pieces.append(torch.stack([first, second], dim=1))
    x, y = _join(pieces)
    # Turning by 0 would still round the points, which must stay the tutorial's.
    return (x if rotation_degrees == 0 else x @ rotation(rotation_degrees).float().T), y


def polar_features(x: Tensor) -> Tensor:
    """Describe points of the plane by direction and distance: (x1/r, x2/r, log r, r).

    The spirals look the same at every scale near the origin, which log r makes a shift. A radius below 1e-4, the
    origin's too, counts as 1e-4.

    Args:
        x: points of shape (N, 2).

    Returns:
        Array of shape (N, 4), of the same type.
    """
    radius = x.norm(dim=1, keepdim=True).clamp_min(SMALLEST_RADIUS)
    return torch.cat([x / radius, radius.log(), radius], dim=1)


def circles(
    *, classes: int = 2, points_per_class: Counts = 1000, noise: float = 0.1, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draw rings round the origin, class k evenly spaced on the one of radius (k + 1)/classes, with noise.

    Args:
        classes: number of rings, at least 1.
        points_per_class: points of every ring, or one number for each.
        noise: standard deviation of each coordinate, at least 0.
        generator: gives the noise, class after class.

    Returns:
        x of shape (classes * points_per_class, 2) and y.
    """
    pieces = []
    for k, count in enumerate(_counts(points_per_class, classes)):
        angle = 2 * math.pi / max(count, 1) * torch.arange(count)
        ring = (k + 1) / classes * torch.stack([torch.cos(angle), torch.sin(angle)], dim=1)
        pieces.append(ring + noise * torch.randn(count, 2, generator=generator))
    return _join(pieces)


def moons(*, points_per_class: Counts = 1000, noise: float = 0.2, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw two interleaved half circles of radius 1 with noise, centred together on the origin.

    Args:
        points_per_class: points of each moon, or one number for each.
        noise: standard deviation of each coordinate, at least 0.
        generator: gives the noise, class after class.

    Returns:
        x of shape (2 * points_per_class, 2) and y: 0 for the upper moon, 1 for the lower.
    """
    pieces = []
    for k, count in enumerate(_counts(points_per_class, 2)):
        angle = torch.linspace(0, math.pi, count)
        moon = (1 - 2 * k) * torch.stack([torch.cos(angle) - 0.5, torch.sin(angle) - 0.25], dim=1)
        pieces.append(moon + noise * torch.randn(count, 2, generator=generator))
    return _join(pieces)


def xor(*, points_per_class: Counts = 1000, noise: float = 0.35, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw a Gaussian blob at each corner (+-1, +-1); the class says whether the signs differ.

    Args:
        points_per_class: points of each class, dealt in turn to its two corners, or one number for each.
        noise: standard deviation of each coordinate, at least 0.
        generator: gives the noise, class after class.

    Returns:
        x of shape (2 * points_per_class, 2) and y: 0 where the signs are equal, 1 where they differ.
    """
    pieces = []
    for k, count in enumerate(_counts(points_per_class, 2)):
        sign = 1.0 - 2.0 * (torch.arange(count) % 2)
        corner = torch.stack([sign, sign * (1 - 2 * k)], dim=1)
        pieces.append(corner + noise * torch.randn(count, 2, generator=generator))
    return _join(pieces)


def blobs(
    *, classes: int = 3, points_per_class: Counts = 1000, noise: float = 0.4, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draw one Gaussian blob a class, centred evenly on the unit circle, the first at (1, 0).

    Args:
        classes: number of blobs, at least 1.
        points_per_class: points of every blob, or one number for each.
        noise: standard deviation of each coordinate, at least 0.
        generator: gives the noise, class after class.

    Returns:
        x of shape (classes * points_per_class, 2) and y.
    """
    pieces = []
    for k, count in enumerate(_counts(points_per_class, classes)):
        angle = 2 * math.pi * k / classes
        centre = torch.tensor([math.cos(angle), math.sin(angle)])
        pieces.append(centre + noise * torch.randn(count, 2, generator=generator))
    return _join(pieces)


def rotation(degrees: float) -> Tensor:
    """Make the (2, 2) float64 matrix that turns a column vector counter-clockwise."""
    angle = math.radians(degrees)
    return torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]], dtype=torch.float64)


def shuffle_split(count: int, fraction: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Shuffle the indices 0..count-1 and cut them in two.

    Args:
        count: number of points.
        fraction: share of the first part, from 0 to 1; its size is rounded down.
        generator: gives the permutation.

    Returns:
        The first ``int(fraction * count)`` shuffled indices (test) and the others (train).
    """
    order = torch.randperm(count, generator=generator)
    first = int(fraction * count)
    return order[:first], order[first:]


def _counts(points: Counts, classes: int) -> list[int]:
    return [points] * classes if isinstance(points, int) else list(points)


def _join(pieces: list[Tensor]) -> tuple[Tensor, Tensor]:
    y = torch.cat([torch.full((len(piece),), k) for k, piece in enumerate(pieces)])
    return torch.cat(pieces), y


# Below this noise a quadrature would need too many nodes, and the classes are as good as separate.
SMALLEST_NOISE = 1e-3
# Points within such a circle are not told apart by float32.
SMALLEST_SPIRAL = 1e-30
NODES_PER_PANEL = 16


def spiral_density(
    *,
    arms: int = 4,
    noise: float = 0.16,
    t_min: float = 0.0,
    t_max: float = 1.0,
    rotation_degrees: float = 0.0,
    winding: float = 2.0,
) -> MixtureDensity | None:
    """Make the density of each spiral arm, with t uniform in [t_min, t_max].

        p(x | k) = 1/(t_max - t_min) * integral of Normal(x; t s_k(t), t^2 noise^2 I) dt

    The integral is taken in u = log t, where the integrand's peak has nearly the same width everywhere (the
    arms look the same at every scale near the origin); an arm that starts at 0 is cut at 1e-9 t_max.

    Args:
        arms, noise, t_min, t_max, rotation_degrees: as in :func:`mlplab.data.datasets.spirals`.
        winding: the angle at t is 2 pi/K (winding t + k); 2 for the spirals, more than 0.

    Returns:
        The mixtures with equal priors, or None where there is no density to compute: noise below
        `SMALLEST_NOISE`, or an outermost radius t_max below `SMALLEST_SPIRAL`.
    """
    if noise < SMALLEST_NOISE or t_max < SMALLEST_SPIRAL:
        return None
    if t_min == t_max:
        t, weight = np.array([t_max]), np.array([1.0])
    else:
        turn = 2 * math.pi * winding / arms
        low = max(t_min, 1e-9 * t_max)
        u, weight = _quadrature(
            math.log(low),
            math.log(t_max),
            lambda u: min(5 * noise / math.sqrt(1 + (turn * math.exp(u)) ** 2), 1),
            end_width=noise**2 / (12 * (1 + turn * t_max)),
            grade_low=t_min > 0,
        )
        t = np.exp(u)
        weight = weight * t
    k = np.arange(arms)[:, None]
    angle = 2 * math.pi / arms * (winding * t + k)
    means = torch.from_numpy(np.stack([t * np.sin(angle), t * np.cos(angle)], axis=2))
    if rotation_degrees:
        means = means @ rotation(rotation_degrees).T
    return _mixture(means, noise * t, weight)


def circles_density(*, classes: int = 2, noise: float = 0.1) -> MixtureDensity | None:
    """Make the density of each ring; None for noise below `SMALLEST_NOISE`.

    The trapezoid rule on a circle converges exponentially.
    """
    if noise < SMALLEST_NOISE:
        return None
    count = 16 + math.ceil(20 / noise)
    angle = 2 * math.pi / count * np.arange(count)
    radius = np.arange(1, classes + 1)[:, None] / classes
    means = torch.from_numpy(np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=2))
    return _mixture(means, np.full(count, noise), np.ones(count))


def moons_density(*, noise: float = 0.2) -> MixtureDensity | None:
    """Make the density of each moon; None for noise below `SMALLEST_NOISE`."""
    if noise < SMALLEST_NOISE:
        return None
    angle, weight = _quadrature(0.0, math.pi, lambda _: min(5 * noise, 1), end_width=noise**2 / 12, grade_low=True)
    moon = np.stack([np.cos(angle) - 0.5, np.sin(angle) - 0.25], axis=1)
    return _mixture(torch.from_numpy(np.stack([moon, -moon])), np.full(len(angle), noise), weight)


def xor_density(*, noise: float = 0.35) -> MixtureDensity | None:
    """Make the density of the two pairs of blobs; None for noise below `SMALLEST_NOISE`."""
    if noise < SMALLEST_NOISE:
        return None
    means = torch.tensor([[[1, 1], [-1, -1]], [[1, -1], [-1, 1]]], dtype=torch.float64)
    return _mixture(means, np.full(2, noise), np.ones(2))


def blobs_density(*, classes: int = 3, noise: float = 0.4) -> MixtureDensity | None:
    """Make the density of each blob; None for noise below `SMALLEST_NOISE`."""
    if noise < SMALLEST_NOISE:
        return None
    angle = 2 * math.pi / classes * np.arange(classes)
    means = torch.from_numpy(np.stack([np.cos(angle), np.sin(angle)], axis=1)[:, None])
    return _mixture(means, np.full(1, noise), np.ones(1))


def _mixture(means: Tensor, scales: np.ndarray, weights: np.ndarray) -> MixtureDensity:
    """Give every class the same scales and weights (M,), the weights normalised, and equal priors."""
    classes, components, _ = means.shape
    shared = np.log(weights) - math.log(weights.sum())
    return MixtureDensity(
        means.double(),
        torch.from_numpy(scales).double().expand(classes, components),
        torch.from_numpy(shared).expand(classes, components),
        torch.full((classes,), 1 / classes, dtype=torch.float64),
    )


def _quadrature(
    low: float, high: float, width: Callable[[float], float], *, end_width: float, grade_low: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Make Gauss-Legendre nodes and weights on panels from `low` to `high`.

    A panel at u is at most width(u) wide. For a point beyond the end of a curve the integrand falls steeply
    from that end, so the panels there start at `end_width` and double.
    """
    edges = [high]
    step = end_width
    while edges[-1] > low:
        step = min(2 * step, width(edges[-1]))
        edges.append(edges[-1] - step)
    edges[-1] = low
    if grade_low:
        cut = low + end_width * 2.0 ** np.arange(0, 60)
        first = edges[-2]
        edges[-1:] = [*cut[cut < first][::-1], low]
    edges = np.array(edges[::-1])
    nodes, weights = np.polynomial.legendre.leggauss(NODES_PER_PANEL)
    half = np.diff(edges)[:, None] / 2
    middle = (edges[1:] + edges[:-1])[:, None] / 2
    return (middle + half * nodes).ravel(), (half * weights).ravel()
