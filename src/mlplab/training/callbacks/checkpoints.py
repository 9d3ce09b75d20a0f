"""Checkpoints: the last state, complete, and the best; written now and then, at the end and on a stop."""

import time
from typing import Any

import lightning.pytorch as L
import torch
from lightning.pytorch.callbacks import Checkpoint

from mlplab.errors import InputError
from mlplab.population.blocks import draws_orders
from mlplab.population.epoch import EpochSums
from mlplab.population.limits import Stop
from mlplab.population.optimizers import MemberOptimizer, moments_of
from mlplab.population.state import member_state
from mlplab.runs import checkpoint
from mlplab.training.callbacks.member import MemberCallback
from mlplab.training.classifier import Classifier

FORMAT = 1
# What a run needs to go on, beside the format and the config's digest.
LAST = {
    "model", "buffers", "optimizer", "steps", "epochs", "minibatches", "stop", "gathered", "sums", "best",
    "callbacks",
}  # fmt: skip


class Checkpoints(Checkpoint, MemberCallback):
    """Write ``checkpoints/last.ckpt``, from which a run goes on to the same bits, and ``best.ckpt`` beside it.

    Args:
        every_seconds: time from one saving to the next while the run goes on, >= 0.
    """

    def __init__(self, every_seconds: float = 10.0) -> None:
        self.every_seconds = every_seconds
        self._last = time.monotonic()
        self._saved_best: dict[int, int] = {}

    def on_train_start(self, trainer: L.Trainer, classifier: Classifier) -> None:
        self._last = time.monotonic()

    def on_epoch(self, trainer: L.Trainer, classifier: Classifier) -> None:
        if time.monotonic() - self._last >= self.every_seconds:
            self.save(trainer, classifier)

    def on_train_batch_end(self, trainer: L.Trainer, classifier: Classifier, *_: Any) -> None:
        # Inside an epoch of many blocks.
        partial = classifier.minibatches % classifier.minibatches_per_epoch
        if partial and time.monotonic() - self._last >= self.every_seconds:
            self.save(trainer, classifier)

    def on_train_end(self, trainer: L.Trainer, classifier: Classifier) -> None:
        self.save(trainer, classifier)

    def save(self, trainer: L.Trainer, classifier: Classifier) -> None:
        """Write the files of every member that has a folder."""
        for callback in trainer.callbacks:
            if isinstance(callback, MemberCallback):
                callback.settle(trainer, classifier)
        for index, run in enumerate(getattr(trainer, "runs", [])):
            if run.folder is None:
                continue
            run.flush()
            best = int(classifier.best.epoch[index])
            payload = state_of(trainer, classifier, index)
            checkpoint.save(run.folder.checkpoints / "last.ckpt", payload)
            if best >= 0 and self._saved_best.get(index) != best:
                self._saved_best[index] = best
                content = {"format": FORMAT, "config_digest": run.digest, **payload["best"]}
                checkpoint.save(run.folder.checkpoints / "best.ckpt", content)
        # After the work, so that many members on a slow disk leave time to train.
        self._last = time.monotonic()


def state_of(trainer: L.Trainer, classifier: Classifier, index: int) -> dict[str, Any]:
    """Collect everything that a member needs to go on to the same bits."""
    population, best, stop = classifier.population, classifier.best, classifier.stops.get(index)
    sums = classifier.sums if classifier.minibatches % classifier.minibatches_per_epoch else EpochSums()
    member = {}
    for callback in trainer.callbacks:
        if isinstance(callback, MemberCallback) and (own := callback.member_state(index)):
            member[type(callback).__name__] = own
    return {
        "format": FORMAT,
        "config_digest": trainer.runs[index].digest,
        **member_state(classifier, index),
        "epochs": classifier.epochs,
        "minibatches": classifier.minibatches,
        "drawn": trainer.train_dataloader.draws,
        "stop": None if stop is None else {"reason": stop.reason, "epoch": stop.epoch, "step": stop.step},
        "gathered": None if classifier.gathered is None else classifier.gathered[index],
        # What the running epoch has summed up; nothing between two epochs.
        "sums": {
            "losses": [part[index] for part in sums.losses],
            "correct": [part[index] for part in sums.correct],
            "sizes": list(sums.sizes),
        },
        "best": {
            "value": float(best.value[index]),
            "epoch": int(best.epoch[index]),
            "model": population.split(best.theta[index]),
            "buffers": best.buffers.get(index, {}),
        },
        "callbacks": member,
    }


def restore(trainer: L.Trainer, classifier: Classifier, payloads: list[dict[str, Any]]) -> None:
    """Put a population back to where its members' checkpoints left it, before ``fit``.

    Raises:
        InputError: a checkpoint is of another config, or the members stopped at different places.
    """
    classifier.place()
    population = classifier.population
    for payload, run in zip(payloads, trainer.runs):
        file = run.folder.checkpoints / "last.ckpt"
        if payload.get("format") != FORMAT or payload.get("config_digest") != run.digest:
            raise InputError(f"the checkpoint {file} is of another config than {run.folder.config}")
        absent = sorted(LAST - payload.keys())
        if absent:
            raise InputError(f"the checkpoint {file} is no last state of a run: it has no {absent[0]}")
    places = {(p["epochs"], p["minibatches"]) for p in payloads if not p["stop"]} or {
        (p["epochs"], p["minibatches"]) for p in payloads
    }
    if len(places) != 1:
        raise InputError(
            f"the checkpoints of a population must be of one place, got epochs and minibatches {sorted(places)}"
        )
    for index, payload in enumerate(payloads):
        population.join(payload["model"], population.theta[index])
        population.load_buffers(index, payload["buffers"])
        population.join(payload["best"]["model"], classifier.best.theta[index])
        classifier.best.value[index] = payload["best"]["value"]
        classifier.best.epoch[index] = payload["best"]["epoch"]
        if payload["best"]["buffers"]:
            classifier.best.buffers[index] = payload["best"]["buffers"]
        _restore_moments(classifier, index, payload["optimizer"])
        if payload["stop"]:
            classifier.stops[index] = Stop(**payload["stop"])
        for callback in trainer.callbacks:
            if isinstance(callback, MemberCallback):
                state = payload["callbacks"].get(type(callback).__name__, {})
                callback.load_member_state(index, state, classifier)
    first = next((p for p in payloads if not p["stop"]), payloads[0])
    _expect_the_order(trainer, first)
    classifier.steps, classifier.minibatches = first["steps"], first["minibatches"]
    classifier.epochs = first["epochs"]
    # One that had ended may be of an earlier saving than the others; its running epoch is of no account.
    running = [p if p["minibatches"] == first["minibatches"] else first for p in payloads]
    if first["gathered"] is not None:
        classifier.gathered = torch.stack([p["gathered"] for p in running]).to(population.theta.device)
    classifier.sums.sizes = list(first["sums"]["sizes"])
    for name in ("losses", "correct"):
        parts = zip(*(p["sums"][name] for p in running))
        setattr(classifier.sums, name, [torch.stack(part).to(population.theta.device) for part in parts])
    # Lightning's own count of epochs and steps.
    progress = trainer.fit_loop.epoch_progress
    for tracker in (progress.current, progress.total):
        tracker.ready = tracker.started = tracker.processed = tracker.completed = classifier.epochs
    steps = trainer.fit_loop.epoch_loop.manual_optimization.optim_step_progress.total
    steps.ready = steps.completed = classifier.steps


def _expect_the_order(trainer: L.Trainer, payload: dict[str, Any]) -> None:
    """Refuse to go on within an epoch on a device where its points would come in another order."""
    drawn = draws_orders(trainer.strategy.root_device, [run.data.drawn_order_seed for run in trainer.runs])
    if payload["sums"]["sizes"] and payload.get("drawn", False) != drawn:
        before, now = ("cpu", "gpu") if drawn else ("gpu", "cpu")
        raise InputError(
            f"this run stopped inside an epoch, whose points come in another order on another device: "
            f"resume it with trainer={before}, got trainer={now}"
        )


def _restore_moments(classifier: Classifier, index: int, moments: dict[str, Any]) -> None:
    population, optimizer = classifier.population, classifier.optimizer
    if isinstance(optimizer, MemberOptimizer):
        for name, named in moments.items():
            population.join(named, optimizer.moments[name][index])
        return
    state = moments_of(optimizer, classifier.theta)
    for name, value in moments.items():
        if isinstance(value, dict):
            array = state.setdefault(name, torch.zeros_like(population.theta))
            population.join(value, array[index])
        else:
            state[name] = value
