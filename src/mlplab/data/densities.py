"""The exact densities of the synthetic data sets, as mixtures: a quadrature rule along each class's curve.

A class is a curve with Gaussian noise, so its density is an integral over the curve's parameter. The nodes
and weights of a quadrature rule turn it into a mixture of Gaussians.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from mlplab.data.bayes import MixtureDensity
from mlplab.data.datasets import rotation

# Below this noise a quadrature would need too many nodes, and the classes are as good as separate.
SMALLEST_NOISE = 1e-3
# Points within such a circle are not told apart by float32.
SMALLEST_RADIUS = 1e-30
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
        `SMALLEST_NOISE`, or an outermost radius t_max below `SMALLEST_RADIUS`.
    """
    if noise < SMALLEST_NOISE or t_max < SMALLEST_RADIUS:
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
