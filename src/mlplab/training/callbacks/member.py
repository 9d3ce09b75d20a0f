"""A callback that works for one network and for many, and whose state belongs to each member."""

from typing import Any

import lightning.pytorch as L

from mlplab.training.classifier import Classifier


class MemberCallback(L.Callback):
    """Override `on_epoch`; for what must outlive an interruption also `member_state` and `load_member_state`."""

    def on_train_epoch_end(self, trainer: L.Trainer, classifier: Classifier) -> None:
        # Lightning calls callbacks before the module, so the epoch is summed up by whoever comes first.
        if classifier.close_epoch():
            self.on_epoch(trainer, classifier)

    def on_epoch(self, trainer: L.Trainer, classifier: Classifier) -> None:
        """Act on a complete epoch; ``classifier.metrics`` holds its figures, each of shape (P,)."""

    def settle(self, trainer: L.Trainer, classifier: Classifier) -> None:
        """Finish what was put off: a checkpoint is about to be written."""

    def member_state(self, index: int) -> dict[str, Any]:
        """Give what a member's checkpoint must hold of this callback: tensors and plain values."""
        return {}

    def load_member_state(self, index: int, state: dict[str, Any], classifier: Classifier) -> None:
        """Take back what :meth:`member_state` gave."""
