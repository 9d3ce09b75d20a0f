"""Lightning's Trainer with the options that count minibatches kept true to their names under block loading."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import lightning.pytorch as L
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.plugins.environments import LightningEnvironment

from mlplab.errors import InputError
from mlplab.options import TRAINER
from mlplab.population.blocks import BlockLoader, MemberData, Serving, WholeLoader
from mlplab.population.engine import PopulationModule
from mlplab.population.state import PRECISIONS, Rules
from mlplab.rules import check_all, choice

# Lightning reports at every start which accelerators it sees, and advises on loaders that the lab does not use.
QUIET = (
    ".*does not have many workers.*",
    ".*is smaller than the logging interval.*",
    ".*`isinstance\\(treespec.*",
    ".*available but not used.*",
    ".*[Nn]o `.*_dataloader.*",
    ".*log_every_n_steps.*",
    ".*Checkpoint directory.*",
    ".*barebones.*",
)
# What the engine can do of it; no minibatch at all is answered with how many there are.
RULES = TRAINER | {"precision": choice(*PRECISIONS), "limit_train_batches": TRAINER["overfit_batches"]}


class BlockTrainer(L.Trainer):
    """A Lightning Trainer for a :class:`PopulationModule`; a batch in its options is a minibatch, not a block.

    Args:
        max_epochs: epochs, >= 1.
        max_steps: optimiser steps at most, -1 for no limit.
        limit_train_batches: minibatches an epoch at most: an integer, or a fraction in [0, 1].
        overfit_batches: train, unshuffled, and validate on these first minibatches: an integer or a fraction; 0 off.
        fast_dev_run: run this many minibatches (True is one) of one epoch, without loggers and checkpoints.
        accumulate_grad_batches: minibatches whose mean gradient makes one optimiser step.
        gradient_clip_val: largest norm or absolute value of each member's gradient; None or 0 for no limit.
        gradient_clip_algorithm: "norm" or "value".
        precision: "32-true" or "64-true".
        serving: how minibatches are served.
        **lightning: whatever else Lightning's Trainer takes.
    """

    def __init__(
        self,
        *,
        max_epochs: int = 100,
        max_steps: int = -1,
        limit_train_batches: int | float = 1.0,
        overfit_batches: int | float = 0,
        fast_dev_run: bool | int = False,
        accumulate_grad_batches: int = 1,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str = "norm",
        precision: str = "32-true",
        serving: Serving = Serving(),
        **lightning: Any,
    ) -> None:
        given = {
            "max_epochs": max_epochs,
            "max_steps": max_steps,
            "accumulate_grad_batches": accumulate_grad_batches,
            "check_val_every_n_epoch": lightning.get("check_val_every_n_epoch"),
            "precision": precision,
            "limit_train_batches": limit_train_batches,
            "overfit_batches": overfit_batches,
            "fast_dev_run": fast_dev_run,
            "gradient_clip_val": gradient_clip_val,
            "gradient_clip_algorithm": gradient_clip_algorithm,
        }
        check_all(RULES, "trainer", **given)
        devices = lightning.get("devices", 1)
        if devices not in (1, "1", "auto") and not (isinstance(devices, (list, tuple)) and len(devices) == 1):
            raise InputError(f"trainer.devices must be 1, or a list of 1, got {devices!r}")
        if fast_dev_run:
            max_epochs, limit_train_batches = 1, int(fast_dev_run)
            lightning |= {"logger": False}
        self.rules = Rules(
            max_epochs, max_steps, accumulate_grad_batches, gradient_clip_val or None, gradient_clip_algorithm or "norm"
        )
        # Filled by `fit`: what belongs to each member. Without it nothing is written.
        self.runs: list[Any] = []
        self.serving = serving
        self.limits = {"limit": limit_train_batches, "overfit": overfit_batches}
        quietly = {
            "num_sanity_val_steps": 0,
            "enable_model_summary": False,
            "enable_progress_bar": False,
            # True without a Checkpoint callback would make Lightning add one of its own.
            "enable_checkpointing": any(isinstance(c, Checkpoint) for c in lightning.get("callbacks") or ()),
            "log_every_n_steps": 1,
            "use_distributed_sampler": False,
            "devices": 1,
            "logger": False,
            "plugins": [LightningEnvironment()],
        }
        self._profiled = bool(lightning.get("profiler"))
        with quiet(self._profiled):
            super().__init__(
                max_epochs=max_epochs, max_steps=max_steps, precision=precision, **{**quietly, **lightning}
            )

    @property
    def received_sigterm(self) -> bool:
        """Lightning leaves at once, with nothing saved; a job of the lab is stopped as by Ctrl-C, see ``stoppable``."""
        return super().received_sigterm and not self.runs

    def fit(self, model: PopulationModule, datamodule: Any = None, **loaders: Any) -> None:  # type: ignore[override] (narrower on purpose)
        """Train a classifier on a data module of the lab; other arguments are Lightning's."""
        if datamodule is not None:
            datamodule.setup("fit")
            data = MemberData([datamodule], self.serving)
            loaders = {"train_dataloaders": data.train_loader(), "val_dataloaders": data.validation_loader()}
            datamodule = None
        train = loaders.get("train_dataloaders")
        if isinstance(train, BlockLoader):
            train.to(self.strategy.root_device).restrict(**self.limits)
            if not train.per_epoch:
                overfit = self.limits["overfit"]
                given = f"overfit_batches={overfit}" if overfit else f"limit_train_batches={self.limits['limit']}"
                raise InputError(f"trainer.{given} leaves no minibatch of {train.whole} to train on")
            if self.limits["overfit"]:
                seen = train.per_epoch * train.batch_size
                loaders["val_dataloaders"] = WholeLoader(train.x[:, :seen], train.y[:, :seen])
        model.validation_points = None
        if isinstance(points := loaders.get("val_dataloaders"), WholeLoader):  # Lightning handles the others
            del loaders["val_dataloaders"]
            points.to(self.strategy.root_device)
            model.validation_points = points.x, points.y
        with quiet(self._profiled):
            super().fit(model, datamodule=datamodule, **loaders)
        # Lightning takes its module back to the CPU at the end; the population stays where it was trained.
        model.theta.data = model.population.theta


@contextmanager
def quiet(profiled: bool = False) -> Iterator[None]:
    """Leave out what Lightning says of hardware at every start, and its advice on loaders that the lab does not use."""
    logger = logging.getLogger("lightning.pytorch")
    before = logger.level
    logger.setLevel(logging.INFO if profiled else logging.WARNING)  # a profiler reports through Lightning's log
    try:
        with warnings.catch_warnings():
            for pattern in QUIET:
                warnings.filterwarnings("ignore", pattern)
            yield
    finally:
        logger.setLevel(before)
