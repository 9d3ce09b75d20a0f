"""What of its process a training changes and puts back: threads, signals and the global random generators."""

import os
import random
import signal
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import lightning.pytorch as L
import numpy as np
import torch

from mlplab.runs import signals
from mlplab.runs.folder import RunFolder
from mlplab.runs.manifest import write_status
from mlplab.seeds import derive
from mlplab.training.members import members_of

_turn = threading.RLock()


def _begin_anew() -> None:
    global _turn
    _turn = threading.RLock()


if hasattr(os, "register_at_fork"):  # a child has one thread, which waits for none of its parent's
    os.register_at_fork(after_in_child=_begin_anew)


@contextmanager
def in_turn() -> Iterator[None]:
    """Change what the threads of a process have in common: its trainings come one after the other."""
    with _turn:
        yield


def states() -> dict[str, Any]:
    """Take the states of the global generators of torch, CUDA, NumPy and Python."""
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None
    return {"torch": torch.get_rng_state(), "cuda": cuda, "numpy": np.random.get_state(), "python": random.getstate()}


def put_back(before: dict[str, Any]) -> None:
    """Let the global generators go on from states that were taken."""
    torch.set_rng_state(before["torch"])
    if before["cuda"] is not None:
        torch.cuda.set_rng_state_all(before["cuda"])
    np.random.set_state(before["numpy"])
    random.setstate(before["python"])


@contextmanager
def same_generators() -> Iterator[None]:
    """Leave the global generators after a block as they were before it."""
    with in_turn():
        before = states()
        try:
            yield
        finally:
            put_back(before)


def seed_all(seed: int) -> None:
    """Seed the global generators, with 0 <= seed < 2**63."""
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)


class EpochStreams(L.Callback):
    """Seed the global generators anew in each epoch, so that what is drawn depends on the seed and the epoch only.

    The order of the points and what the network draws have streams of their own. Lightning makes the iterator of the first
    epoch before, and those of the others after ``on_train_epoch_start``.

    Args:
        seed: what the streams are derived from.
    """

    def __init__(self, seed: int) -> None:
        self.seed, self._first = seed, 0

    def on_fit_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self._first = members_of(trainer, module).epochs  # which the callbacks' states have brought back
        self._order(self._first)

    def on_train_epoch_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        if trainer.current_epoch != self._first:
            self._order(trainer.current_epoch)

    def on_train_batch_start(self, trainer: L.Trainer, module: L.LightningModule, batch: Any, batch_idx: int) -> None:
        if batch_idx == 0:
            seed_all(derive(self.seed, "batches", trainer.current_epoch))

    def on_train_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        seed_all(derive(self.seed, "end"))  # for a network that draws while it is measured

    def _order(self, epoch: int) -> None:
        seed_all(derive(self.seed, "order", epoch))


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let torch compute on so many threads, and put their number back."""
    with in_turn():
        before = torch.get_num_threads()
        torch.set_num_threads(count)
        try:
            yield
        finally:
            torch.set_num_threads(before)


@contextmanager
def failing(
    folders: Sequence[RunFolder | None], untouched: Callable[[], bool], done: set[int] = frozenset()
) -> Iterator[None]:
    """Say in each folder how its run ended, where it ends with an error; one that was never described stays as it was."""

    def fail(error: BaseException) -> None:
        if not untouched():  # a run that could not go on stays interrupted
            _fail([folder for index, folder in enumerate(folders) if index not in done], error)

    try:
        with signals.at_the_end(lambda: fail(KeyboardInterrupt())):
            yield
    except BaseException as error:
        fail(KeyboardInterrupt() if signals.received() else error)
        raise


def _fail(folders: Sequence[RunFolder | None], error: BaseException) -> None:
    if isinstance(error, KeyboardInterrupt):
        state, words = "interrupted", None
    else:
        state, words = "failed", "".join(traceback.format_exception(error))
    for folder in folders:
        if folder is not None and folder.config.is_file():
            write_status(folder.path, state, words)


@contextmanager
def stoppable(members: Any) -> Iterator[None]:
    """Turn the first Ctrl-C or SIGTERM into a stop at the end of the running block, or of the minibatch in Lightning's loop.

    A second one stops at once, and so does a command whose block takes too long.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def request(number: int, frame: Any) -> None:
        signals.note(number)
        if members.interrupted:
            signals.stop()
        members.interrupted = True

    for number in before:
        signal.signal(number, request)
    try:
        with signals.patient(signals.SAVES_WITHIN_S):
            yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
