"""What a step of training does beside the gradient, as the trainer's options say, and how a member ends."""

from dataclasses import dataclass

import lightning.pytorch as L
import torch

from mlplab.errors import InputError

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
    """Take the rules from the lab's trainer, or from a plain Lightning one, which counts in blocks."""
    if trainer.val_check_interval != 1.0:
        raise InputError("trainer.val_check_interval counts blocks here: use trainer.check_val_every_n_epoch")
    rules = getattr(trainer, "rules", None)
    if rules is not None:
        return rules
    if trainer.precision not in PRECISIONS:
        raise InputError(f"trainer.precision must be one of {', '.join(PRECISIONS)}, got {trainer.precision!r}")
    for name, neutral in (("limit_train_batches", 1.0), ("overfit_batches", 0), ("fast_dev_run", False)):
        if getattr(trainer, name) != neutral:
            raise InputError(f"trainer.{name} counts minibatches only under mlplab's own Trainer: use that in its place")
    return Rules(max_epochs=trainer.max_epochs, max_steps=trainer.max_steps)
