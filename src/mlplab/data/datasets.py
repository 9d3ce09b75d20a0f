"""Synthetic classification data in the plane, drawn class after class from one generator.

Every function returns ``x`` (N, 2) float32 and ``y`` (N,) int64. The densities of the same data are in
`mlplab.data.densities`.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

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
