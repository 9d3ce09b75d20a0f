"""The Bayes classifier of data whose classes are mixtures of isotropic Gaussians."""

from dataclasses import dataclass

import torch
from torch import Tensor

# Components this far (in log density) under a lower bound of their class are left out: e^-45 of it is
# 3e-20, and a million of those are still nothing.
NEGLIGIBLE = 45.0
CHUNK = 256


@dataclass(frozen=True)
class MixtureDensity:
    """One mixture of M isotropic Gaussians for each of C classes in D dimensions, all float64.

    Attributes:
        means: shape (C, M, D).
        scales: standard deviations, shape (C, M), more than 0.
        log_weights: logarithms of the weights, shape (C, M); a class's weights sum to 1.
        priors: probabilities of the classes, shape (C,).
    """

    means: Tensor
    scales: Tensor
    log_weights: Tensor
    priors: Tensor


def log_posterior(x: Tensor, density: MixtureDensity) -> Tensor:
    """Compute the logarithm of the posterior probability of each class.

        log p(c | x) = log p(c) + log p(x | c) - log sum_j p(j) p(x | j)
        p(x | c) = sum_m w_cm Normal(x; mu_cm, s_cm^2 I)

    Each exponent is linear in (|x|^2, x, 1), so a matrix product gives all of them. Points are taken in the
    order of their radius, and components that cannot matter for a chunk of them are left out.

    Args:
        x: points of shape (N, D) or (N, ...), finite.
        density: the mixtures.

    Returns:
        Tensor of shape (N, C), float64.

    Raises:
        ValueError: if a point is not finite.
    """
    points = x.detach().to(torch.float64).flatten(1)
    if not torch.isfinite(points).all():
        raise ValueError("the points of a Bayes posterior must be finite")
    classes, components, dimensions = density.means.shape
    precision = density.scales**-2
    height = density.log_weights - dimensions * density.scales.log()
    mean_radius = density.means.norm(dim=2)
    # (C, M, D + 2): what multiplies |x|^2, x and 1.
    coefficients = torch.cat(
        [
            (-0.5 * precision)[..., None],
            density.means * precision[..., None],
            (height - 0.5 * precision * mean_radius**2)[..., None],
        ],
        dim=2,
    )
    radius, order = points.norm(dim=1).sort()
    points = points[order]
    inputs = torch.cat([radius[:, None] ** 2, points, torch.ones(len(points), 1, dtype=torch.float64)], dim=1)
    log_density = torch.empty(len(points), classes, dtype=torch.float64)
    for start in range(0, len(points), CHUNK):
        chunk = slice(start, start + CHUNK)
        low, high = radius[chunk][0], radius[chunk][-1]
        nearest = torch.clamp(torch.maximum(low - mean_radius, mean_radius - high), min=0)
        best = height - 0.5 * precision * nearest**2
        worst = height - 0.5 * precision * (high + mean_radius) ** 2
        kept = (best > worst.amax(dim=1, keepdim=True) - NEGLIGIBLE).any(dim=0)
        terms = coefficients[:, kept].flatten(0, 1)
        exponent = (inputs[chunk] @ terms.T).unflatten(1, (classes, -1))
        log_density[chunk] = _log_sum_exp(exponent)
    joint = log_density + density.priors.log()
    result = torch.empty_like(joint)
    result[order] = joint - torch.logsumexp(joint, dim=1, keepdim=True)
    return result


def score(log_probabilities: Tensor, y: Tensor) -> dict[str, float]:
    """Compute the accuracy and the mean negative log likelihood of predicted probabilities.

    Args:
        log_probabilities: shape (N, C), N at least 1; the largest of a row is the predicted class.
        y: right classes, shape (N,).

    Returns:
        ``accuracy`` (0 to 1) and ``nll`` (nats).
    """
    right = log_probabilities.argmax(dim=1) == y
    nll = -log_probabilities.gather(1, y[:, None])
    return {"accuracy": right.double().mean().item(), "nll": nll.double().mean().item()}


def _log_sum_exp(exponent: Tensor) -> Tensor:
    """Do `torch.logsumexp` over the last axis in place, without its copies."""
    top = exponent.amax(dim=-1, keepdim=True)
    return exponent.sub_(top).exp_().sum(dim=-1).log_().add_(top[..., 0])
