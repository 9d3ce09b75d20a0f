"""The callback by which a population tells its sweep how far it is."""

from collections.abc import Callable
from typing import Any

import lightning.pytorch as L

from mlplab.sweeps.messages import Messages
from mlplab.training.callbacks import MemberCallback
from mlplab.training.members import members_of


class Observer(MemberCallback):
    """Report the epoch to the process that started the group.

    Args:
        tell: where to.
        began: called when a training begins.
    """

    takes_blocks = True

    def __init__(self, tell: Messages, began: Callable[[], None]) -> None:
        self.tell, self.began = tell, began

    def on_fit_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self.began()

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *_: Any) -> None:
        self.tell.progress(members_of(trainer, module).epochs, trainer.max_epochs)
