"""Fit jobs: build each from its config, plan, train by the engine or by Lightning's own loop, measure, leave a run folder."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from itertools import chain
from pathlib import Path
from typing import Any

import lightning.pytorch as L
from omegaconf import OmegaConf

from mlplab.errors import InputError
from mlplab.population.blocks import Serving
from mlplab.population.engine import PopulationModule
from mlplab.runs import checkpoint
from mlplab.runs.files import remove_leftovers, write_text
from mlplab.runs.folder import RunFolder
from mlplab.runs.identity import unlike
from mlplab.runs.manifest import collect, write_status
from mlplab.seeds import same_generators
from mlplab.training.build import build_callbacks, build_runs, trainer_options
from mlplab.training.callbacks import MemberCallback
from mlplab.training.callbacks.checkpoints import expect_last, restore_engine
from mlplab.training.data_view import module_of
from mlplab.training.loggers import RunFolderLogger
from mlplab.training.members import members_of
from mlplab.training.objects import within_memory
from mlplab.training.plan import plan, trainings_of
from mlplab.training.record import MemberRun, Record, describe_device
from mlplab.training.results import finish
from mlplab.training.trainers import (
    EpochStreams,
    failing,
    hand_back,
    lightning_trainer,
    only_process,
    population_of,
    population_trainer,
    run_loop,
    stoppable,
    threads,
)

OnResult = Callable[[int, dict[str, Any]], None]


def fit(config: Mapping[str, Any], folder: str | Path | None, **options: Any) -> dict[str, Any]:
    """Train one job; see :func:`fit_members`, whose options it takes."""
    return fit_members([config], [folder], **options)[0]


@only_process()
def fit_members(
    configs: Sequence[Mapping[str, Any]],
    folders: Sequence[str | Path | None],
    *,
    observer: MemberCallback | None = None,
    resume: bool = False,
    on_result: OnResult = lambda number, result: None,
    serving: Serving = Serving(),
) -> list[dict[str, Any]]:
    """Train jobs: those that are plain as one population, the others one after the other in Lightning's own loop.

    Args:
        configs: one resolved config a job, alike but for seeds, data of equal sizes, and optimiser settings.
        folders: one run folder a job, already claimed; None keeps nothing of it.
        observer: a further callback, which takes the place of the progress bar.
        resume: go on from ``checkpoints/last.ckpt`` of each folder.
        on_result: called with each job's number and result as soon as its folder is complete.
        serving: how the engine serves minibatches.

    Returns:
        One result a job, as in ``result.json``.

    Raises:
        InputError: a value is wrong or a checkpoint is damaged.
        KeyboardInterrupt: the run was stopped, and its folder says interrupted. The engine saves its state at the end of
            the block, where that takes no longer than a second; else, and in Lightning's own loop, the run goes on
            from its last checkpoint.
    """
    started = time.perf_counter()
    plain = [OmegaConf.to_container(c, resolve=True) if OmegaConf.is_config(c) else dict(c) for c in configs]
    places = [RunFolder(Path(folder)) if folder is not None else None for folder in folders]
    if (key := unlike(plain)) is not None:
        raise InputError(f"{key} must be the same in all jobs of one population; train the jobs apart")
    first = plain[0]
    with threads(first["trainer"]["threads"]), within_memory(plain):
        with failing(places, lambda: resume):  # a folder that was never described stays as it was
            runs, trainer = build_runs(plain, places), trainer_options(first)
            callbacks = build_callbacks(first, observer)
            for run in runs:
                engine = first["trainer"].get("engine", "auto")
                run.plan = plan(run.module, module_of(run.data), trainer, callbacks, engine)
        each = chain([callbacks], (build_callbacks(first, observer) for _ in runs))
        return fit_runs(runs, trainer, each, started, resume=resume, on_result=on_result, serving=serving)


@only_process()
def fit_runs(
    runs: Sequence[MemberRun],
    options: Mapping[str, Any],
    callbacks: Iterator[Sequence[L.Callback]],
    started: float,
    *,
    resume: bool = False,
    on_result: OnResult = lambda number, result: None,
    serving: Serving = Serving(),
) -> list[dict[str, Any]]:
    """Train runs whose plan is made: those of the engine that are alike at once, the others one after the other.

    Args:
        runs: with modules, data and plan.
        options: of Lightning's Trainer.
        callbacks: of the first training, the second, and so on.
        started: ``time.perf_counter()`` at the start.
        resume, on_result, serving: as for :func:`fit_members`, and so what it returns and raises.
    """
    results: dict[int, dict[str, Any]] = {}
    for numbers, own in zip(trainings_of(runs), callbacks):
        group = [runs[number] for number in numbers]

        def keep(index: int, result: dict[str, Any], numbers: Sequence[int] = numbers) -> None:
            results[numbers[index]] = result
            on_result(numbers[index], result)

        if group[0].plan.engine == "population":
            trainer, module = population_trainer(group, options, own, serving), population_of(group)
        else:
            trainer, module = lightning_trainer(group[0], options, own), group[0].module
        train(group, trainer, module, keep, time.perf_counter() if results else started, resume=resume)
    return [results[number] for number in range(len(runs))]


def train(
    runs: Sequence[MemberRun],
    trainer: L.Trainer,
    module: L.LightningModule,
    on_result: OnResult,
    started: float,
    *,
    resume: bool,
) -> None:
    """Train runs at once, from the start or from their checkpoints, and measure them."""
    done: set[int] = set()

    def keep(index: int, result: dict[str, Any]) -> None:
        done.add(index)
        on_result(index, result)

    members, folders = members_of(trainer, module), [run.folder for run in runs]
    goes_on = resume and any(f is not None and (f.checkpoints / "last.ckpt").exists() for f in folders)
    record = next(callback for callback in trainer.callbacks if isinstance(callback, Record))
    draws = any(isinstance(callback, EpochStreams) for callback in trainer.callbacks)
    with same_generators() if draws else nullcontext(), failing(folders, lambda: goes_on and not record.began, done):
        if goes_on:
            restart(runs, trainer, module)
        else:
            start(runs, trainer)
        with stoppable(members):
            run_loop(runs, trainer, module, goes_on)
        if not members.interrupted:
            finish(trainer, members, started, keep)
        hand_back(runs, members)
        if members.interrupted:
            raise KeyboardInterrupt


def start(runs: Sequence[MemberRun], trainer: L.Trainer) -> None:
    """Write config and manifest of each job before it trains, over what an earlier attempt left."""
    described = [run for run in runs if run.folder is not None]
    for run in described:
        remove_leftovers(run.folder.path)
        write_text(run.folder.config, run.config_text(), sync=False)
    if described:
        device = describe_device(trainer.strategy.root_device)
        surroundings = collect(described[0].config, data_sha256=described[0].data.sha256, device=device)
    for run in described:
        run.describe(surroundings, len(runs))
        write_status(run.folder.path, "running", sync=False)


def restart(runs: Sequence[MemberRun], trainer: L.Trainer, module: L.LightningModule) -> None:
    """Go back to the runs' checkpoints, and cut what was written after them."""
    payloads = [checkpoint.load(run.folder.checkpoints / "last.ckpt") for run in runs]
    for run, payload in zip(runs, payloads):
        expect_last(run, payload)
    if isinstance(module, PopulationModule):
        restore_engine(trainer, module, payloads)
    for run, payload in zip(runs, payloads):
        write_text(run.folder.config, run.config_text(), sync=False)  # a run that is made longer has a new one
        remove_leftovers(run.folder.path)  # what a kill cut off
        for logger in run.loggers:
            if isinstance(logger, RunFolderLogger):
                logger.cut(payload["mlplab"]["epochs"], payload["mlplab"]["steps"])
    runs[0].tell_drift(describe_device(trainer.strategy.root_device))
