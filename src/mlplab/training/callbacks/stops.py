"""Callbacks that end the training of a member before the others."""

import math
from typing import Any

import lightning.pytorch as L

from mlplab.errors import InputError
from mlplab.options import MONITOR
from mlplab.training.callbacks.member import MemberCallback
from mlplab.training.classifier import Classifier


class DivergenceGuard(MemberCallback):
    """Stop a member at its first non-finite loss, with the state from before that block of minibatches."""

    def on_train_start(self, trainer: L.Trainer, classifier: Classifier) -> None:
        classifier.guard = True


class EarlyStopping(MemberCallback):
    """Stop a member whose figure has not improved for some epochs.

    Args:
        monitor: a figure of the epoch; accuracies are to rise, the others to fall.
        patience: measured epochs without improvement after which a member stops, >= 1.
        min_delta: what counts as an improvement must be larger than this, >= 0.
    """

    def __init__(self, monitor: str = "val/loss", patience: int = 10, min_delta: float = 0.0) -> None:
        MONITOR.check("callbacks.early_stopping.monitor", monitor)
        self.monitor, self.patience, self.min_delta = monitor, patience, min_delta
        self.sign = -1.0 if monitor.endswith("accuracy") else 1.0
        self.state: dict[int, dict[str, Any]] = {}

    def on_epoch(self, trainer: L.Trainer, classifier: Classifier) -> None:
        if self.monitor not in classifier.metrics:
            if self.monitor.startswith("val/") and not trainer.enable_validation:
                raise InputError(
                    f"callbacks.early_stopping.monitor is {self.monitor}, but there are no validation points: "
                    "set data.validation_points above 0"
                )
            return
        for index, value in enumerate(classifier.metrics[self.monitor].tolist()):
            own = self.state.setdefault(index, {"best": math.inf, "waited": 0})
            if self.sign * value < own["best"] - self.min_delta:
                own["best"], own["waited"] = self.sign * value, 0
            else:
                own["waited"] += 1
                if own["waited"] >= self.patience and index not in classifier.stops:
                    classifier.stop(index, "early stopping")
        trainer.should_stop |= len(classifier.stops) == classifier.members

    def member_state(self, index: int) -> dict[str, Any]:
        return dict(self.state.get(index, {}))

    def load_member_state(self, index: int, state: dict[str, Any], classifier: Classifier) -> None:
        if state:
            self.state[index] = dict(state)
