"""Learning-rate schedules as closed forms: the factor of the learning rate at each step."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

from mlplab import options
from mlplab.rules import check_all


class Schedule(ABC):
    """Say the learning rate of every step as a factor of the optimiser's own: a base class for schedules of one's own."""

    @abstractmethod
    def at(self, step: int, steps: int, steps_per_epoch: int) -> float:
        """Give the factor of a step, >= 0.

        Args:
            step: counted from 0.
            steps: of the whole training.
            steps_per_epoch: of an epoch.
        """


@dataclass(frozen=True)
class Constant(Schedule):
    """Keep the learning rate."""

    def at(self, step: int, steps: int, steps_per_epoch: int) -> float:
        """Give 1 at every step."""
        return 1.0


@dataclass(frozen=True)
class Cosine(Schedule):
    """Rise linearly for some epochs, then fall along half a cosine (Loshchilov and Hutter 2017, eq. 5).

    Args:
        final_fraction: factor that the last step would reach one step later, in [0, 1].
        warmup_epochs: epochs of linear rise, >= 0.
    """

    final_fraction: float = 0.0
    warmup_epochs: float = 0.0

    def __post_init__(self) -> None:
        check_all(options.COSINE, "schedule", **vars(self))

    def at(self, step: int, steps: int, steps_per_epoch: int) -> float:
        """Give the factor of the step, counted from 0, of a training of that many steps."""
        warmup = min(round(self.warmup_epochs * steps_per_epoch), steps)
        if step < warmup:
            return (step + 1) / warmup
        progress = (step - warmup) / max(1, steps - warmup)
        return self.final_fraction + (1 - self.final_fraction) * (1 + math.cos(math.pi * progress)) / 2


@dataclass(frozen=True)
class OneCycle(Schedule):
    """Rise and fall along half cosines (Smith and Topin 2019), as torch's OneCycleLR with ``max_lr`` = lr.

    Args:
        warmup_fraction: part of the training that rises, in (0, 1).
        initial_fraction: factor of the first step, in (0, 1].
        final_fraction: factor of the last step, in [0, 1].
    """

    warmup_fraction: float = 0.3
    initial_fraction: float = 0.04
    final_fraction: float = 4e-6

    def __post_init__(self) -> None:
        check_all(options.ONE_CYCLE, "schedule", **vars(self))

    def at(self, step: int, steps: int, steps_per_epoch: int) -> float:
        """Give the factor of the step, counted from 0, of a training of that many steps."""
        peak = self.warmup_fraction * steps - 1
        if step <= peak:
            start, end, progress = self.initial_fraction, 1.0, step / peak if peak > 0 else 1.0
        else:
            start, end, progress = 1.0, self.final_fraction, (step - peak) / max(1e-12, steps - 1 - peak)
        return end + (start - end) * (1 + math.cos(math.pi * min(1.0, progress))) / 2


@dataclass(frozen=True)
class Step(Schedule):
    """Multiply by a factor every so many epochs.

    Args:
        every_epochs: epochs between two falls, >= 1.
        factor: in (0, 1].
    """

    every_epochs: int = 30
    factor: float = 0.1

    def __post_init__(self) -> None:
        check_all(options.STEP, "schedule", **vars(self))

    def at(self, step: int, steps: int, steps_per_epoch: int) -> float:
        """Give the factor of the step, counted from 0."""
        return self.factor ** (step // max(1, steps_per_epoch) // self.every_epochs)
