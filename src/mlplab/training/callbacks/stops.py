"""Callbacks that end the training of a member before the others."""

import copy
import math
from typing import Any

import lightning.pytorch as L
import torch

from mlplab import options
from mlplab.errors import InputError
from mlplab.rules import check_all
from mlplab.training.members import MemberCallback, SingleMember, members_of


class DivergenceGuard(MemberCallback):
    """Stop a member at its first non-finite loss, with the state from before that block of minibatches.

    Under Lightning's own loop the state is that of the end of the epoch before.
    """

    takes_blocks = True

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        members = members_of(trainer, module)
        if isinstance(members, SingleMember):
            self._safe = copy.deepcopy(module.state_dict())
        else:
            members.guard = True

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, *_: Any) -> None:
        members = members_of(trainer, module)
        if not isinstance(members, SingleMember) or 0 in members.stops:
            return
        loss = outputs.get("loss") if isinstance(outputs, dict) else outputs
        if isinstance(loss, torch.Tensor) and not bool(torch.isfinite(loss.detach()).all()):
            members.stop(0, "diverged")
            module.load_state_dict(self._safe)

    def on_epoch(self, trainer: L.Trainer, members: Any) -> None:
        if not isinstance(members, SingleMember) or 0 in members.stops:
            return
        state = members.module.state_dict()
        if all(bool(torch.isfinite(value).all()) for value in state.values() if value.is_floating_point()):
            self._safe = copy.deepcopy(state)
        else:  # no loss of the epoch contains its last step
            members.stop(0, "diverged")
            members.module.load_state_dict(self._safe)


class EarlyStopping(MemberCallback):
    """Stop a member whose metric has not improved for some epochs, and that has trained for ``min_epochs`` and ``min_steps``.

    Args:
        monitor: a metric of the epoch; accuracies are to rise, the others to fall.
        patience: measured epochs without improvement after which a member stops, >= 1.
        min_delta: what counts as an improvement must be larger than this, >= 0.
    """

    def __init__(self, monitor: str = "val/loss", patience: int = 10, min_delta: float = 0.0) -> None:
        check_all(
            options.EARLY_STOPPING, "callbacks.early_stopping", monitor=monitor, patience=patience, min_delta=min_delta
        )
        self.monitor, self.patience, self.min_delta = monitor, patience, min_delta
        self.sign = -1.0 if monitor.endswith("accuracy") else 1.0
        self.state: dict[int, dict[str, Any]] = {}

    def on_epoch(self, trainer: L.Trainer, members: Any) -> None:
        if self.monitor not in members.metrics:
            if self.monitor.startswith("val/") and not trainer.enable_validation:
                raise InputError(
                    f"callbacks.early_stopping.monitor is {self.monitor}, but there are no validation points: "
                    "set data.validation_points above 0"
                )
            return
        enough = members.epochs >= (trainer.min_epochs or 0) and members.steps >= (trainer.min_steps or 0)
        for index, value in enumerate(members.metrics[self.monitor].tolist()):
            own = self.state.setdefault(index, {"best": math.inf, "waited": 0})
            if self.sign * value < own["best"] - self.min_delta:
                own["best"], own["waited"] = self.sign * value, 0
            else:
                own["waited"] += 1
                if enough and own["waited"] >= self.patience and index not in members.stops:
                    members.stop(index, "early stopping")
        trainer.should_stop |= len(members.stops) == members.members

    def member_state(self, index: int) -> dict[str, Any]:
        return dict(self.state.get(index, {}))

    def load_member_state(self, index: int, state: dict[str, Any], members: Any) -> None:
        if state:
            self.state[index] = dict(state)
