"""The global generators of torch, numpy and Python: put back after a block, seeded together, and in Lightning's loop by epoch."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import lightning.pytorch as L
import numpy as np
import torch

from mlplab.seeds import derive
from mlplab.training.single import members_of


def states() -> dict[str, Any]:
    """Take the states of all of them."""
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None
    return {"torch": torch.get_rng_state(), "cuda": cuda, "numpy": np.random.get_state(), "python": random.getstate()}


def put_back(before: dict[str, Any]) -> None:
    """Let them go on from states that were taken."""
    torch.set_rng_state(before["torch"])
    if before["cuda"] is not None:
        torch.cuda.set_rng_state_all(before["cuda"])
    np.random.set_state(before["numpy"])
    random.setstate(before["python"])


@contextmanager
def kept() -> Iterator[None]:
    """Leave them after a block as they were before it."""
    before = states()
    try:
        yield
    finally:
        put_back(before)


def seed_all(seed: int) -> None:
    """Seed them, with 0 <= seed < 2**63."""
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
