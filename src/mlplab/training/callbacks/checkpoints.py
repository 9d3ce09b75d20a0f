"""Checkpoints: the last state, complete, and the best; written now and then, at the end and on a stop."""

import copy
import time
from typing import Any

import lightning.pytorch as L
from lightning.pytorch.callbacks import Checkpoint

from mlplab.runs import checkpoint
from mlplab.training.callbacks.member import MemberCallback
from mlplab.training.checkpoint_content import FORMAT, KEY, best_checkpoint, engine_checkpoint
from mlplab.training.members import runs_of
from mlplab.training.single import SingleMember, members_of


class Checkpoints(Checkpoint, MemberCallback):
    """Write ``checkpoints/last.ckpt``, from which a run goes on to the same bits, and ``best.ckpt`` beside it.

    Args:
        every_seconds: time from one saving to the next while the run goes on, >= 0.
    """

    takes_blocks = True

    def __init__(self, every_seconds: float = 10.0) -> None:
        self.every_seconds = every_seconds
        self._last = time.monotonic()
        self._saved_best: dict[int, int] = {}

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self._last = time.monotonic()

    def on_epoch(self, trainer: L.Trainer, members: Any) -> None:
        if time.monotonic() - self._last >= self.every_seconds:
            self.save(trainer, members)

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *_: Any) -> None:
        members = members_of(trainer, module)
        if isinstance(members, SingleMember):
            return  # Lightning goes on from the end of an epoch
        # Inside an epoch of many blocks.
        partial = members.minibatches % members.minibatches_per_epoch
        if partial and time.monotonic() - self._last >= self.every_seconds:
            self.save(trainer, members)

    def on_train_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self.save(trainer, members_of(trainer, module))

    def save(self, trainer: L.Trainer, members: Any) -> None:
        """Write the files of every member that has a folder."""
        for callback in trainer.callbacks:
            if isinstance(callback, MemberCallback):
                callback.finish_pending(trainer, members)
        for index, run in enumerate(runs_of(trainer)):
            if run.folder is None:
                continue
            run.flush()
            self._save_best(run, members, index)  # first: a run resumed from the last finds a best that is not older
            if isinstance(members, SingleMember):
                trainer.save_checkpoint(run.folder.checkpoints / "last.ckpt")
            else:
                checkpoint.save(run.folder.checkpoints / "last.ckpt", engine_checkpoint(trainer, members, index))
        # After the work, so that many members on a slow disk leave time to train.
        self._last = time.monotonic()

    def _save_best(self, run: Any, members: Any, index: int) -> None:
        best = members.best
        epoch = int(best.epoch[index])
        if epoch < 0 or self._saved_best.get(index) == epoch:
            return
        self._saved_best[index] = epoch
        own = {"value": float(best.value[index]), "epoch": epoch}
        content = best_checkpoint(run, members.population.split(best.theta[index]), best.buffers.get(index, {}), own)
        checkpoint.save(run.folder.checkpoints / "best.ckpt", content)


class RunState(MemberCallback):
    """Add to Lightning's checkpoints of a run what the lab needs when it goes on."""

    _trained: dict[str, Any] | None = None

    def on_epoch(self, trainer: L.Trainer, members: Any) -> None:
        self._trained = copy.deepcopy(members.module.state_dict()) if members.averages else None

    def on_save_checkpoint(self, trainer: L.Trainer, module: L.LightningModule, content: dict[str, Any]) -> None:
        members, (run,) = members_of(trainer, module), runs_of(trainer)
        content[KEY] = {
            "format": FORMAT,
            "engine": "lightning",
            "config_digest": run.digest,
            "epochs": members.epochs,
            "steps": members.steps,
            **members.state(),
        }
        if "current_model_state" in content and self._trained is not None:
            content["current_model_state"] = self._trained  # at the end the module holds the average already

    def on_load_checkpoint(self, trainer: L.Trainer, module: L.LightningModule, content: dict[str, Any]) -> None:
        members_of(trainer, module).load_state(content[KEY])
