"""Callbacks that add metrics to the record: the learning rate and the time."""

import time
from typing import Any

import lightning.pytorch as L
import torch

from mlplab.training.callbacks.member import MemberCallback
from mlplab.training.single import SingleMember, members_of


class LearningRateMonitor(MemberCallback):
    """Add ``lr``, the learning rate of the last step of the epoch, to each epoch's metrics."""

    takes_blocks = True

    def on_train_batch_start(self, trainer: L.Trainer, module: L.LightningModule, *_: Any) -> None:
        # Lightning moves its schedules before the end of a batch, and so before it can be read after a step.
        members = members_of(trainer, module)
        if isinstance(members, SingleMember):
            self._rates = members.rates

    def on_epoch(self, trainer: L.Trainer, members: Any) -> None:
        rates = self._rates if isinstance(members, SingleMember) else members.rates
        members.metrics["lr"] = torch.tensor(rates, dtype=torch.float64)


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

    def on_fit_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self._start = time.perf_counter()

    def on_epoch(self, trainer: L.Trainer, members: Any) -> None:
        self.epochs += 1

    def on_fit_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self.before, self._start = self.seconds, None

    def member_state(self, index: int) -> dict[str, Any]:
        return {"seconds": self.seconds}

    def load_member_state(self, index: int, state: dict[str, Any], members: Any) -> None:
        self.before = state["seconds"]
