"""What a step of training does beside the gradient, as the trainer's options say, and how a member ends."""

from dataclasses import dataclass

import lightning.pytorch as L
import torch

PRECISIONS = {"32-true": torch.float32, "64-true": torch.float64}


@dataclass(frozen=True)
class Rules:
    """What a step does beside the gradient; the names and meanings are Lightning's.

    Attributes:
        max_epochs: epochs at most, -1 for no limit; the schedule's length together with ``max_steps``.
        max_steps: optimiser steps at most, -1 for no limit.
        accumulate_grad_batches: minibatches whose mean gradient makes one optimiser step.
        gradient_clip_val: largest norm (or absolute value) of a member's gradient; None for no limit.
        gradient_clip_algorithm: "norm" or "value".
    """

    max_epochs: int = 100
    max_steps: int = -1
    accumulate_grad_batches: int = 1
    gradient_clip_val: float | None = None
    gradient_clip_algorithm: str = "norm"

    def steps_per_epoch(self, minibatches: int) -> int:
        """Count the optimiser steps of an epoch; the last minibatch of an epoch always makes one."""
        return -(-minibatches // self.accumulate_grad_batches)

    def steps(self, minibatches: int) -> int:
        """Count the optimiser steps of the whole training."""
        steps = self.max_epochs * self.steps_per_epoch(minibatches)
        if self.max_epochs < 0:
            return self.max_steps
        return steps if self.max_steps < 0 else min(steps, self.max_steps)

    def epochs(self, minibatches: int) -> int:
        """Count the epochs of the whole training, the last one perhaps cut short by ``max_steps``."""
        return -(-self.steps(minibatches) // self.steps_per_epoch(minibatches))


@dataclass
class Stop:
    """Why and where one member ended before the others."""

    reason: str
    epoch: int
    step: int


def rules_of(trainer: L.Trainer) -> Rules:
    """Take the rules from the trainer by which Lightning drives the engine."""
    return trainer.rules
