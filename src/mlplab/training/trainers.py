"""The two ways to train runs, the engine driven by a Trainer of Lightning's or Lightning's own loop, and what of its process a training sets."""

import itertools
import signal
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import lightning.pytorch as L
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Checkpoint, ProgressBar
from lightning.pytorch.utilities import rank_zero_only
from lightning.pytorch.utilities.exceptions import SIGTERMException

from mlplab.errors import InputError
from mlplab.options import FURTHER_TRAINER, TRAINER
from mlplab.population.blocks import BlockLoader, MemberData, Serving, WholeLoader
from mlplab.population.engine import PopulationModule
from mlplab.population.member_axis import ModulePopulation
from mlplab.population.stacking import stack
from mlplab.population.state import PRECISIONS, Rules
from mlplab.rules import check_all, choice
from mlplab.runs import signals
from mlplab.runs.folder import RunFolder
from mlplab.runs.manifest import write_status
from mlplab.seeds import derive, in_turn, seed_all
from mlplab.training.callbacks.checkpoints import RunState, WholeFile, reading
from mlplab.training.data_view import module_of, one_process, quiet, set_up_once
from mlplab.training.loggers import Direct
from mlplab.training.members import members_of, replacing
from mlplab.training.objects import wants_memory
from mlplab.training.plan import member_optimizer
from mlplab.training.record import MemberRun, Record

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
        fixed = one_process() | {
            # True without a Checkpoint callback would make Lightning add one of its own.
            "enable_checkpointing": any(isinstance(c, Checkpoint) for c in lightning.get("callbacks") or ()),
            "log_every_n_steps": 1,
            "use_distributed_sampler": False,
        }
        self._profiled = bool(lightning.get("profiler"))
        with quiet(self._profiled):
            super().__init__(max_epochs=max_epochs, max_steps=max_steps, precision=precision, **{**fixed, **lightning})

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


def population_of(runs: Sequence[MemberRun]) -> PopulationModule:
    """Stack the runs' networks and give the engine their loss, optimiser and schedule."""
    modules = [run.module for run in runs]
    networks = [module.model for module in modules]
    seeds = [0 if module.seed is None else module.seed for module in modules]
    return PopulationModule(
        stack(networks, seeds),
        loss=modules[0].loss,
        optimizer=member_optimizer([m.make_optimizer for m in modules]),
        schedule=modules[0].schedule,
        monitor=modules[0].monitor,
        mode=runs[0].mode,
    )


def population_trainer(
    runs: Sequence[MemberRun], options: Mapping[str, Any], callbacks: Sequence[L.Callback], serving: Serving
) -> BlockTrainer:
    """Make the trainer by which Lightning drives the engine."""
    own = {name: value for name, value in options.items() if value is not None}
    with made(own):
        trainer = BlockTrainer(callbacks=[*callbacks, Record()], serving=serving, **own)
    trainer.runs = list(runs)
    return trainer


def lightning_trainer(run: MemberRun, options: Mapping[str, Any], callbacks: Sequence[L.Callback]) -> L.Trainer:
    """Make a stock Trainer for one run, with its callbacks, its foreign loggers and its way of writing checkpoints."""
    # Averaged or pruned weights are to be there when the others look, and the streams seeded after all have drawn.
    own = [*sorted(callbacks, key=lambda callback: not replacing(callback)), Record()]
    if run.draws is not None:
        own.append(EpochStreams(run.draws))
    foreign = [logger for logger in run.loggers if logger not in run.recorded_loggers]
    asking = [run.module, *callbacks]  # of other classes than the lab's, which log by the record
    if run.recorded_loggers and not all(type(one).__module__.startswith("mlplab.") for one in asking):
        foreign.append(Direct(run.recorded_loggers))
    # True without a Checkpoint callback would make Lightning add one of its own.
    checkpoints = any(isinstance(c, Checkpoint) for c in own)
    fixed = one_process() | {"logger": foreign or False, "enable_checkpointing": checkpoints}
    fixed["enable_progress_bar"] = any(isinstance(callback, ProgressBar) for callback in own)
    if run.folder is not None:
        own.append(RunState())
        fixed["plugins"].append(WholeFile())
        fixed["default_root_dir"] = str(run.folder.path)
    with quiet(), made(options):
        trainer = L.Trainer(callbacks=own, **{**fixed, **options})
    if trainer.world_size > 1:
        asked = f"trainer.devices={options.get('devices')} with trainer.strategy={options.get('strategy', 'auto')}"
        raise InputError(
            f"{asked} is {trainer.world_size} processes, and a run is one: use trainer.devices=1, or Lightning's Trainer in Python"
        )
    trainer.runs = [run]
    return trainer


@contextmanager
def made(options: Mapping[str, Any]) -> Iterator[None]:
    """Answer options of which Lightning can make no trainer, such as a device that is not there, in one line.

    Raises:
        InputError: names the options that say where and how it trains, and says what Lightning says.
    """
    try:
        yield
    except InputError:
        raise
    except (TypeError, ValueError, RuntimeError, ImportError, MisconfigurationException) as error:
        where = ("accelerator", "devices", "precision", "profiler", "gradient_clip_val", *FURTHER_TRAINER)
        given = [f"trainer.{name}={value}" for name, value in options.items() if name in where and value is not None]
        words = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"Lightning can make no trainer of {', '.join(given)}: {words[:300]}") from error


def _is_refusal(error: Exception) -> bool:
    """Say whether Lightning's or torch's own code says no, such as to a monitor that is never logged.

    Of torch that of its optimisers, or what one of Lightning's callbacks asks of it.
    """
    if isinstance(error, MisconfigurationException):
        return True
    modules, frame = [], error.__traceback__
    while frame is not None:
        modules.append(frame.tb_frame.f_globals.get("__name__", ""))
        frame = frame.tb_next
    own = itertools.takewhile(lambda module: module.startswith(("lightning.", "torch.")), reversed(modules))
    of_callback = any(module.startswith("lightning.pytorch.callbacks.") for module in own)
    said = isinstance(error, (ValueError, TypeError, RuntimeError, AssertionError, KeyError, ImportError))
    if isinstance(error, AttributeError):  # a model without what a callback looks for in it, such as lr or backbone
        return of_callback or modules[-1].startswith("lightning.pytorch.tuner.")
    if (
        not said or wants_memory(error) or isinstance(error, torch.AcceleratorError)
    ):  # a device that fails says no to nothing
        return False
    return of_callback or modules[-1].startswith(("lightning.pytorch.", "torch.optim."))


def run_loop(runs: Sequence[MemberRun], trainer: L.Trainer, module: L.LightningModule, goes_on: bool) -> None:
    """Train: the engine on blocks of minibatches, or Lightning on the data module as it is."""
    try:
        profiled = bool(trainer.profiler and type(trainer.profiler).__name__ != "PassThroughProfiler")
        modules = [module_of(run.data) for run in runs]
        with quiet(profiled), set_up_once(modules, trainer):
            if isinstance(module, PopulationModule):
                data, dtype = MemberData([run.data for run in runs], trainer.serving), module.theta.dtype
                train, validation = data.train_loader(dtype, module.theta.numel()), data.validation_loader(dtype)
                trainer.fit(module, train_dataloaders=train, val_dataloaders=validation)
                return
            path = runs[0].folder.checkpoints / "last.ckpt" if goes_on else None
            trainer.fit(module, datamodule=modules[0], ckpt_path=path)
    except Exception as error:
        if goes_on and not next(callback for callback in trainer.callbacks if isinstance(callback, Record)).began:
            with reading(runs[0].folder.checkpoints / "last.ckpt"):
                raise error
        if _is_refusal(error):
            words = " ".join(str(error).split()) or type(error).__name__
            raise InputError(f"Lightning and torch do not take this training: {words[:300]}") from error
        raise
    except SystemExit as error:
        # Lightning turns a Ctrl-C inside of a step into an exit code of 1, and SIGTERM between two steps into one of 0.
        if isinstance(error, SIGTERMException) or isinstance(error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from error
        raise


def hand_back(runs: Sequence[MemberRun], members: Any) -> None:
    """Copy what the engine trained into the ordinary modules that said what was to be trained."""
    if not isinstance(members, PopulationModule):
        return
    for index, run in enumerate(runs):
        named = members.population.split(members.population.theta[index].cpu())
        with torch.no_grad():
            run.module.to(members.theta.dtype)  # as Lightning leaves it after a training with 64-true
            arrays = dict(run.module.model.named_parameters()) | dict(run.module.model.named_buffers())
            for name, values in {**named, **members.population.buffers(index)}.items():
                arrays[name].copy_(values)
    if isinstance(members.population, ModulePopulation):
        members.population.release()


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
def only_process() -> Iterator[None]:
    """Let loggers write whatever SLURM or torchrun say of other processes: a run is one, and its files are its own."""
    before = rank_zero_only.rank
    rank_zero_only.rank = 0
    try:
        yield
    finally:
        rank_zero_only.rank = before


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
