"""Callbacks that add figures to the record: the learning rate and the time."""

import time
from typing import Any

import lightning.pytorch as L
import torch

from mlplab.population.optimizers import MemberOptimizer
from mlplab.training.callbacks.member import MemberCallback
from mlplab.training.classifier import Classifier


class LearningRateMonitor(MemberCallback):
    """Add ``lr``, the learning rate of the last step of the epoch, to each epoch's figures."""

    def on_epoch(self, trainer: L.Trainer, classifier: Classifier) -> None:
        factor = classifier.factor(max(0, classifier.steps - 1))
        optimizer = classifier.optimizer
        if isinstance(optimizer, MemberOptimizer):
            rates = [settings["lr"] * factor for settings in optimizer.settings]
        else:
            rates = [optimizer.param_groups[0].get("initial_lr", optimizer.param_groups[0]["lr"]) * factor]
            rates *= classifier.members
        classifier.metrics["lr"] = torch.tensor(rates, dtype=torch.float64)


class Timing(MemberCallback):
    """Measure the seconds of the fit, over all sessions of a resumed run.

    Attributes:
        seconds: fit time so far, validation and records included.
        epochs: epochs of this session.
    """

    def __init__(self) -> None:
        self.before = 0.0
        self.epochs = 0
        self._start: float | None = None

    @property
    def seconds(self) -> float:
        return self.before + (time.perf_counter() - self._start if self._start is not None else 0.0)

    def on_fit_start(self, trainer: L.Trainer, classifier: Classifier) -> None:
        self._start = time.perf_counter()

    def on_epoch(self, trainer: L.Trainer, classifier: Classifier) -> None:
        self.epochs += 1

    def on_fit_end(self, trainer: L.Trainer, classifier: Classifier) -> None:
        self.before, self._start = self.seconds, None

    def member_state(self, index: int) -> dict[str, Any]:
        return {"seconds": self.seconds}

    def load_member_state(self, index: int, state: dict[str, Any], classifier: Classifier) -> None:
        self.before = state["seconds"]
