"""What a member's training has come to: for its checkpoint, its fingerprint, and to see whether it is finite."""

from typing import Any

import torch
from torch import Tensor

from mlplab.population.optimizers import moments_of, moments_of_members


def member_state(classifier: Any, index: int) -> dict[str, Any]:
    """Collect what a member's training has come to: tensors by the names of its module, and plain values.

    Args:
        classifier: a `Classifier` that is placed on its device.
        index: the member.

    Returns:
        ``model``, ``buffers``, ``optimizer`` (moments by name and then parameter) and ``steps``.
    """
    population, stop = classifier.population, classifier.stops.get(index)
    own = moments_of_members(classifier.optimizer, classifier.theta)
    return {
        "model": population.split(population.theta[index]),
        "buffers": population.buffers(index),
        "optimizer": {
            name: population.split(value[index]) if name in own else value
            for name, value in moments_of(classifier.optimizer, classifier.theta).items()
        },
        "steps": stop.step if stop else classifier.steps,
    }


def all_finite(array: Tensor) -> Tensor:
    """Say of each row of (p, S) whether all its numbers are finite."""
    # A sum shows what is not finite in one pass, but may itself overflow.
    finite = torch.isfinite(array.sum(1))
    return finite if finite.all() else torch.isfinite(array).all(1)
