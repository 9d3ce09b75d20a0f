"""A callback that works for one network and for many, and whose state belongs to each member."""

from typing import Any

import lightning.pytorch as L

from mlplab.training.single import members_of


class MemberCallback(L.Callback):
    """Override `on_epoch`; for what must outlive an interruption also `member_state` and `load_member_state`.

    Under Lightning's own loop there is one member; in the engine there are P. ``members``, which every method gets,
    has the same attributes in both: ``members`` (their number), ``metrics`` (name to an array of shape (P,)),
    ``epochs``, ``steps``, ``total_epochs``, ``population``, ``best``, ``stops``, ``rates`` and ``stop(index, reason)``.
    A subclass with a hook for minibatches is trained with by Lightning's own loop, unless it says ``takes_blocks``:
    the engine calls ``on_train_batch_start`` and ``..._end`` once for many minibatches.
    """

    takes_blocks = False

    def on_validation_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        if not trainer.sanity_checking and hasattr(members := members_of(trainer, module), "note_validation"):
            members.note_validation()

    def on_train_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        # Lightning calls callbacks before the module, so the epoch is summed up by the first of them.
        members = members_of(trainer, module)
        if members.close_epoch():
            self.on_epoch(trainer, members)

    def on_epoch(self, trainer: L.Trainer, members: Any) -> None:
        """Act on a complete epoch; ``members.metrics`` holds its metrics, each of shape (P,)."""

    def finish_pending(self, trainer: L.Trainer, members: Any) -> None:
        """Finish what was put off: a checkpoint is about to be written."""

    def member_state(self, index: int) -> dict[str, Any]:
        """Give what a member's checkpoint must hold of this callback: tensors and plain values."""
        return {}

    def load_member_state(self, index: int, state: dict[str, Any], members: Any) -> None:
        """Take back what :meth:`member_state` gave."""

    def state_dict(self) -> dict[str, Any]:
        return self.member_state(0)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.load_member_state(0, state_dict, None)
