"""What a member's training has come to: for its checkpoint, its fingerprint, and to see whether it is finite."""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from mlplab.training.optimizers import moments_of, moments_of_members

if TYPE_CHECKING:
    from mlplab.training.classifier import Classifier


def member_state(classifier: "Classifier", index: int) -> dict[str, Any]:
    """Collect what a member's training has come to: tensors by the names of its module, and plain values.

    Args:
        classifier: after :meth:`Classifier.place`.
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
