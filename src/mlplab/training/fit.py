"""Fit jobs: build each from its config, plan, train by the engine or by Lightning's own loop, measure, leave a run folder."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import lightning.pytorch as L
from omegaconf import OmegaConf

from mlplab.errors import InputError
from mlplab.population.blocks import Serving
from mlplab.population.devices import describe_device
from mlplab.population.engine import PopulationModule
from mlplab.runs import checkpoint
from mlplab.runs.files import remove_leftovers, write_text
from mlplab.runs.folder import RunFolder
from mlplab.runs.identity import unlike
from mlplab.runs.manifest import collect, write_status
from mlplab.training.build import build_callbacks, build_runs, trainer_options
from mlplab.training.callbacks import MemberCallback
from mlplab.training.callbacks.checkpoints import expect_last, restore_engine
from mlplab.training.data_view import module_of
from mlplab.training.loggers import RunFolderLogger
from mlplab.training.members import members_of
from mlplab.training.objects import within_memory
from mlplab.training.plan import plan, trainings_of
from mlplab.training.process import EpochStreams, failing, same_generators, stoppable, threads
from mlplab.training.record import MemberRun, Record
from mlplab.training.results import finish
from mlplab.training.trainers import hand_back, lightning_trainer, population_of, population_trainer, run_loop

OnResult = Callable[[int, dict[str, Any]], None]


def fit(config: Mapping[str, Any], folder: str | Path | None, **options: Any) -> dict[str, Any]:
    """Train one job; see :func:`fit_members`, whose options it takes."""
    return fit_members([config], [folder], **options)[0]


def fit_members(
    configs: Sequence[Mapping[str, Any]],
    folders: Sequence[str | Path | None],
    *,
    resume: bool = False,
    observer: MemberCallback | None = None,
    on_result: OnResult | None = None,
    serving: Serving = Serving(),
) -> list[dict[str, Any]]:
    """Train jobs: those that are plain as one population, the others one after the other in Lightning's own loop.

    Args:
        configs: one resolved config a job, alike but for seeds, data of equal sizes, and optimiser settings.
        folders: one run folder a job, already claimed; None keeps nothing of it.
        resume: go on from ``checkpoints/last.ckpt`` of each folder.
        observer: a further callback, which takes the place of the progress bar.
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
    _expect_alike(plain)
    with threads(plain[0]["trainer"]["threads"]), within_memory(plain):
        with failing(places, lambda: resume):  # a folder that was never described stays as it was
            runs = build_runs(plain, places)
            options = trainer_options(plain[0])
            callbacks = build_callbacks(plain[0], observer)
            for run in runs:
                run.plan = plan(
                    run.module, module_of(run.data), options, callbacks, plain[0]["trainer"].get("engine", "auto")
                )

        def again() -> list[L.Callback]:
            return build_callbacks(plain[0], observer)

        return fit_runs(runs, options, callbacks, again, started, resume=resume, on_result=on_result, serving=serving)


def fit_runs(
    runs: Sequence[MemberRun],
    options: Mapping[str, Any],
    callbacks: Sequence[L.Callback],
    again: Callable[[], Sequence[L.Callback]],
    started: float,
    *,
    resume: bool = False,
    on_result: OnResult | None = None,
    serving: Serving = Serving(),
) -> list[dict[str, Any]]:
    """Train runs whose plan is made: those of the engine that are alike at once, the others one after the other.

    Args:
        runs: with modules, data and plan.
        options: of Lightning's Trainer.
        callbacks: of the first training.
        again: makes the callbacks of each further training.
        started: ``time.perf_counter()`` at the start.
        resume: go on from the runs' checkpoints.
        on_result: called with each job's number and result.
        serving: how the engine serves minibatches.

    Returns:
        One result a run, as in ``result.json``.

    Raises:
        InputError: a value is wrong or a checkpoint is damaged.
        KeyboardInterrupt: the training was stopped.
    """
    results: dict[int, dict[str, Any]] = {}
    for place, numbers in enumerate(trainings_of(runs)):

        def tell(index: int, result: dict[str, Any], numbers: Sequence[int] = numbers) -> None:
            if on_result is not None:
                on_result(numbers[index], result)

        group, own = [runs[number] for number in numbers], again() if place else callbacks
        if group[0].plan.engine == "population":
            trainer, module = population_trainer(group, options, own, serving), population_of(group)
        else:
            trainer, module = lightning_trainer(group[0], options, own), group[0].module
        made = _train(group, trainer, module, resume, tell, time.perf_counter() if place else started)
        results |= dict(zip(numbers, made))
    return [results[number] for number in range(len(runs))]


def _train(
    runs: Sequence[MemberRun],
    trainer: L.Trainer,
    module: L.LightningModule,
    resume: bool,
    on_result: OnResult | None,
    started: float,
) -> list[dict[str, Any]]:
    done: set[int] = set()

    def tell(index: int, result: dict[str, Any]) -> None:
        done.add(index)
        if on_result is not None:
            on_result(index, result)

    members = members_of(trainer, module)
    folders = [run.folder for run in runs]
    goes_on = resume and any(f is not None and (f.checkpoints / "last.ckpt").exists() for f in folders)
    record = next(callback for callback in trainer.callbacks if isinstance(callback, Record))
    seeded = (
        same_generators()
        if any(isinstance(callback, EpochStreams) for callback in trainer.callbacks)
        else nullcontext()
    )
    with seeded, failing(folders, lambda: goes_on and not record.began, done):
        if goes_on:
            restart(runs, trainer, module)
        else:
            start(runs, trainer)
        with stoppable(members):
            run_loop(runs, trainer, module, goes_on)
        if members.interrupted:
            hand_back(runs, members)
            raise KeyboardInterrupt
        results = finish(trainer, members, started, tell)
        hand_back(runs, members)
        return results


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
        own = payload["mlplab"]
        write_text(run.folder.config, run.config_text(), sync=False)  # a run that is made longer has a new one
        remove_leftovers(run.folder.path)  # what a kill cut off
        for logger in run.loggers:
            if isinstance(logger, RunFolderLogger):
                logger.cut(own["epochs"], own["steps"])
    runs[0].tell_drift(describe_device(trainer.strategy.root_device))


def _expect_alike(configs: Sequence[dict[str, Any]]) -> None:
    key = unlike(configs)
    if key is not None:
        raise InputError(f"{key} must be the same in all jobs of one population; train the jobs apart")
