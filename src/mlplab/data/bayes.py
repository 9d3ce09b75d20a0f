"""The Bayes classifier of data whose classes are mixtures of isotropic Gaussians; its posterior is computed once for all of a sweep."""

import io
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mlplab.errors import InputError
from mlplab.runs.files import write_bytes
from mlplab.runs.identity import tensor_sha256

# Components this far (in log density) under a lower bound of their class are left out: e^-45 of it is
# 3e-20, and a million of those are still nothing.
NEGLIGIBLE = 45.0
# Exponents computed at a time: wider mixtures take smaller groups of points, which need fewer components.
BLOCK = 2**20


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

    Args:
        x: points of shape (N, D) or (N, ...), finite.
        density: the mixtures.

    Returns:
        Tensor of shape (N, C), float64.

    Raises:
        ValueError: if a point is not finite.
    """
    joint = log_joint(x, density)
    return joint - torch.logsumexp(joint, dim=1, keepdim=True)


def log_joint(x: Tensor, density: MixtureDensity) -> Tensor:
    """Compute log p(c) + log p(x | c) up to a constant, the same for all points and densities of one dimension.

        p(x | c) = sum_m w_cm Normal(x; mu_cm, s_cm^2 I)

    Each exponent is linear in (|x|^2, x, 1), so a matrix product gives all of them. Points are taken in
    groups of neighbours; the components that cannot matter anywhere in the ball round a group are left out.

    Args:
        x: points of shape (N, D) or (N, ...), finite.
        density: the mixtures.

    Returns:
        Tensor of shape (N, C), float64.

    Raises:
        ValueError: if a point is not finite.
    """
    points = x.detach().to("cpu", torch.float64).flatten(1)
    if not torch.isfinite(points).all():
        raise ValueError("the points of a Bayes posterior must be finite")
    dimensions = points.shape[1]
    precision = density.scales**-2
    height = density.log_weights - dimensions * density.scales.log()
    constant = height - 0.5 * precision * density.means.square().sum(dim=2)
    # (C, M, D + 2): what multiplies |x|^2, x and 1.
    coefficients = torch.cat(
        [(-0.5 * precision)[..., None], density.means * precision[..., None], constant[..., None]], dim=2
    )
    inputs = torch.cat([points.square().sum(dim=1, keepdim=True), points, torch.ones(len(points), 1)], dim=1)
    joint = torch.empty(len(points), len(density.priors), dtype=torch.float64)
    most = min(max(BLOCK // height.shape[1], 64), 1024)
    for group in _neighbours(points, most):
        members = points[group]
        centre = (members.amin(dim=0) + members.amax(dim=0)) / 2
        radius = (members - centre).norm(dim=1).max()
        distance = (density.means - centre).norm(dim=2)
        best = height - 0.5 * precision * torch.clamp(distance - radius, min=0) ** 2
        worst = height - 0.5 * precision * (distance + radius) ** 2
        kept = best > worst.amax(dim=1, keepdim=True) - NEGLIGIBLE
        for c, prior in enumerate(density.priors):
            joint[group, c] = _log_sum_exp(inputs[group] @ coefficients[c, kept[c]].T) + prior.log()
    return joint


def _neighbours(points: Tensor, most: int) -> Iterator[Tensor]:
    """Halve the points at the median of their widest direction into groups of at most `most` indices."""
    heap = [torch.arange(len(points))] if len(points) else []
    while heap:
        group = heap.pop()
        if len(group) <= most:
            yield group
            continue
        members = points[group]
        widest = (members.amax(dim=0) - members.amin(dim=0)).argmax()
        order = members[:, widest].argsort()
        heap += [group[order[: len(group) // 2]], group[order[len(group) // 2 :]]]


def score(log_probabilities: Tensor, y: Tensor) -> dict[str, float]:
    """Compute the accuracy and the mean negative log likelihood of predicted probabilities.

    Args:
        log_probabilities: shape (N, C), N at least 1; the largest of a row is the predicted class.
        y: right classes, shape (N,).

    Returns:
        ``accuracy`` (0 to 1) and ``nll`` (nats).
    """
    return {name: values.mean().item() for name, values in scores(log_probabilities, y).items()}


def scores(log_probabilities: Tensor, y: Tensor) -> dict[str, Tensor]:
    """Give ``accuracy`` (1 where the largest is right, else 0) and ``nll`` (nats) at each point, (N, C) to (N,)."""
    right = (log_probabilities.argmax(dim=1) == y).double()
    return {"accuracy": right, "nll": -log_probabilities.double().gather(1, y[:, None]).squeeze(1)}


def regrets(log_probabilities: Tensor, log_posterior: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the distance to the Bayes classifier at each point, from the posterior p instead of drawn labels.

        accuracy:  max_c p(c | x) - p(predicted class | x)
        NLL:       KL(p || q) = sum_c p(c | x) (log p(c | x) - log q(c | x))

    Their means over points are those of "Bayes accuracy minus accuracy" and "NLL minus Bayes NLL" without the noise
    of the labels: never negative, and half the standard error on the same points.

    Args:
        log_probabilities: log q, shape (N, C); the largest of a row is the predicted class.
        log_posterior: log p, shape (N, C).

    Returns:
        Two tensors of shape (N,), float64.
    """
    log_q, log_p = log_probabilities.double(), log_posterior.double()
    p = log_p.exp()
    chosen = p.gather(1, log_q.argmax(dim=1, keepdim=True)).squeeze(1)
    # A class of probability 0 adds nothing, whatever q says of it.
    divergence = ((log_p - log_q) * p).masked_fill(p == 0, 0.0).sum(dim=1)
    return p.amax(dim=1) - chosen, divergence.masked_fill(divergence < 0, 0.0)  # rounding alone is below 0


def _log_sum_exp(exponent: Tensor) -> Tensor:
    """Do `torch.logsumexp` over the last axis in place, without its copies."""
    top = exponent.amax(dim=-1, keepdim=True)
    return exponent.sub_(top).exp_().sum(dim=-1).log_().add_(top[..., 0])


_folder: Path | None = None


def share_posteriors(folder: str | Path | None) -> None:
    """Keep posteriors in a folder from now on, for other processes too; None ends it."""
    global _folder
    _folder = None if folder is None else Path(folder)


def posterior(x: Tensor, density: MixtureDensity) -> Tensor:
    """Compute the log posterior (N, C) on points x (N, D), or read what a process has left: the same bits."""
    if _folder is None:
        return log_posterior(x, density)
    content = {field.name: getattr(density, field.name) for field in fields(density)}
    path = _folder / f"posterior-{tensor_sha256({'x': x, **content})[:32]}.npy"
    try:
        return torch.from_numpy(np.load(path, allow_pickle=False))
    except (OSError, ValueError, EOFError):
        value = log_posterior(x, density)
    buffer = io.BytesIO()
    np.save(buffer, value.numpy())
    if _folder.is_dir():  # a sweep that has ended took it along
        with suppress(InputError):
            write_bytes(path, buffer.getvalue(), sync=False)
    return value
