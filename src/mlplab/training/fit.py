"""Fit jobs: build each from its config, plan, train by the engine or by Lightning's own loop, measure, leave a run folder."""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import torch
from omegaconf import OmegaConf

from mlplab.errors import InputError
from mlplab.population.blocks import MemberData
from mlplab.population.devices import describe_device
from mlplab.population.engine import PopulationModule
from mlplab.population.member_axis import ModulePopulation
from mlplab.population.stacking import stack
from mlplab.population.trainer import BlockTrainer, quiet
from mlplab.runs import checkpoint
from mlplab.runs.files import read_record, remove_leftovers, write_bytes, write_json, write_text
from mlplab.runs.folder import RunFolder
from mlplab.runs.identity import CONTENTS, unlike
from mlplab.runs.manifest import collect, differences
from mlplab.runs.plain_yaml import plain_yaml
from mlplab.runs.status import write_status
from mlplab.training.build import build_callbacks, build_runs, trainer_options
from mlplab.training.callbacks import MemberCallback
from mlplab.training.callbacks.checkpoints import RunState, WholeFile, expect_last, reading, restore_engine
from mlplab.training.data_view import module_of, set_up_once
from mlplab.training.loggers import RunFolderLogger
from mlplab.training.members import AVERAGING, members_of
from mlplab.training.objects import within_memory
from mlplab.training.plan import member_optimizer, plan, trainings_of
from mlplab.training.process import EpochStreams, failing, kept, stoppable, threads
from mlplab.training.record import MemberRun, Record
from mlplab.training.results import HYPERPARAMETERS, finish

OnResult = Callable[[int, dict[str, Any]], None]


def fit(config: Mapping[str, Any], folder: str | Path | None, *, resume: bool = False) -> dict[str, Any]:
    """Train one job; see :func:`fit_members`."""
    return fit_members([config], [folder], resume=resume)[0]


def fit_members(
    configs: Sequence[Mapping[str, Any]],
    folders: Sequence[str | Path | None],
    *,
    resume: bool = False,
    observer: MemberCallback | None = None,
    on_result: OnResult | None = None,
) -> list[dict[str, Any]]:
    """Train jobs: those that are plain as one population, the others one after the other in Lightning's own loop.

    Args:
        configs: one resolved config a job, alike but for seeds, data of equal sizes, and optimiser settings.
        folders: one run folder a job, already claimed; None keeps nothing of it.
        resume: go on from ``checkpoints/last.ckpt`` of each folder.
        observer: a further callback, which takes the place of the progress bar.
        on_result: called with each job's number and result as soon as its folder is complete.

    Returns:
        One result a job, as in ``result.json``.

    Raises:
        InputError: a value is wrong or a checkpoint is damaged.
        KeyboardInterrupt: the run was stopped; its state is saved, and its folder says interrupted.
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
        return fit_runs(
            runs, options, callbacks, resume, on_result, started, lambda: build_callbacks(plain[0], observer)
        )


def fit_runs(
    runs: Sequence[MemberRun],
    options: Mapping[str, Any],
    callbacks: Sequence[L.Callback],
    resume: bool,
    on_result: OnResult | None,
    started: float,
    again: Callable[[], Sequence[L.Callback]],
) -> list[dict[str, Any]]:
    """Train runs whose plan is made: those of the engine that are alike at once, the others one after the other.

    Args:
        runs: with modules, data and plan.
        options: of Lightning's Trainer.
        callbacks: of the first training.
        resume: go on from the runs' checkpoints.
        on_result: called with each job's number and result.
        started: ``time.perf_counter()`` at the start.
        again: makes the callbacks of each further training.
    """
    results: dict[int, dict[str, Any]] = {}
    for place, numbers in enumerate(trainings_of(runs)):

        def tell(index: int, result: dict[str, Any], numbers: Sequence[int] = numbers) -> None:
            if on_result is not None:
                on_result(numbers[index], result)

        group, own = [runs[number] for number in numbers], again() if place else callbacks
        if group[0].plan.engine == "population":
            trainer, module = population_trainer(group, options, own), population_of(group)
        else:
            trainer, module = lightning_trainer(group[0], options, own), group[0].module
        made = _train(group, trainer, module, resume, tell, time.perf_counter() if place else started)
        results |= dict(zip(numbers, made))
    return [results[number] for number in range(len(runs))]


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
    runs: Sequence[MemberRun], options: Mapping[str, Any], callbacks: Sequence[L.Callback]
) -> BlockTrainer:
    """Make the trainer by which Lightning drives the engine."""
    own = {name: value for name, value in options.items() if value is not None}
    trainer = BlockTrainer(callbacks=[*callbacks, Record()], **own)
    trainer.runs = list(runs)
    return trainer


def lightning_trainer(run: MemberRun, options: Mapping[str, Any], callbacks: Sequence[L.Callback]) -> L.Trainer:
    """Make a stock Trainer for one run, with its callbacks, its foreign loggers and its way of writing checkpoints."""
    # Averaged weights are to be there when the others look at the end, and the streams seeded after all have drawn.
    own = [*sorted(callbacks, key=lambda callback: not isinstance(callback, AVERAGING)), Record()]
    if run.draws is not None:
        own.append(EpochStreams(run.draws))
    foreign = [logger for logger in run.loggers if logger not in run.recorded_loggers]
    plugins = {}
    if run.folder is not None:
        own.append(RunState())
        plugins = {"plugins": [WholeFile()], "default_root_dir": str(run.folder.path)}
    fixed = {
        "logger": foreign or False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
        # True without a Checkpoint callback would make Lightning add one of its own.
        "enable_checkpointing": any(isinstance(c, L.callbacks.Checkpoint) for c in own),
    }
    with quiet():
        trainer = L.Trainer(callbacks=own, **{**fixed, **plugins, **options})
    if trainer.world_size > 1:
        asked = f"trainer.devices={options.get('devices')} with trainer.strategy={options.get('strategy', 'auto')}"
        raise InputError(
            f"{asked} is {trainer.world_size} processes, and a run is one: use trainer.devices=1, or Lightning's Trainer in Python"
        )
    trainer.runs = [run]
    return trainer


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
    seeded = kept() if any(isinstance(callback, EpochStreams) for callback in trainer.callbacks) else nullcontext()
    with seeded, failing(folders, lambda: goes_on and not record.began, done):
        if goes_on:
            restart(runs, trainer, module)
        else:
            start(runs, trainer)
            for folder in folders:
                if folder is not None:
                    write_status(folder.path, "running", sync=False)
        with stoppable(members):
            run_loop(runs, trainer, module, goes_on)
        if members.interrupted:
            hand_back(runs, members)
            raise KeyboardInterrupt
        results = finish(trainer, members, started, tell)
        hand_back(runs, members)
        return results


def run_loop(runs: Sequence[MemberRun], trainer: L.Trainer, module: L.LightningModule, goes_on: bool) -> None:
    """Train: the engine on blocks of minibatches, or Lightning on the data module as it is."""
    try:
        profiled = bool(trainer.profiler and type(trainer.profiler).__name__ != "PassThroughProfiler")
        modules = [module_of(run.data) for run in runs]
        with quiet(profiled), set_up_once(modules, trainer):
            if isinstance(module, PopulationModule):
                data, dtype = MemberData([run.data for run in runs]), module.theta.dtype
                train, held = data.train_loader(dtype, module.theta.numel()), data.validation_loader(dtype)
                trainer.fit(module, train_dataloaders=train, val_dataloaders=held)
                return
            path = runs[0].folder.checkpoints / "last.ckpt" if goes_on else None
            trainer.fit(module, datamodule=modules[0], ckpt_path=path)
    except Exception as error:
        if goes_on and not next(callback for callback in trainer.callbacks if isinstance(callback, Record)).began:
            with reading(runs[0].folder.checkpoints / "last.ckpt"):
                raise error
        raise
    except SystemExit as error:
        # Lightning turns a Ctrl-C inside of a step into an exit code of 1.
        if isinstance(error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from error
        raise


def start(runs: Sequence[MemberRun], trainer: L.Trainer) -> None:
    """Write config and manifest of each job before it trains, over what an earlier attempt left."""
    device = describe_device(trainer.strategy.root_device)
    shared: dict[str, Any] | None = None
    for run in runs:
        if run.folder is None:
            continue
        remove_leftovers(run.folder.path)
        write_text(run.folder.config, text := config_text(run), sync=False)
        shared = shared or collect(run.config, data_sha256=run.data.sha256, device=device)
        own = {"config_digest": run.digest, "data_sha256": run.data.sha256, "seed": run.config["seed"]}
        own |= {
            "engine": run.plan.engine,
            "engine_reason": run.plan.reason,
            "data_seed": run.config["data"].get("seed"),
        }
        write_json(run.folder.manifest, {**shared, **own, "members": len(runs)}, sync=False)
        for logger in run.loggers:
            if isinstance(logger, RunFolderLogger):
                logger.cut(epochs=-1, steps=-1)
                logger.log_config(text)
            logger.log_hyperparams(
                {key: run.config[key] for key in HYPERPARAMETERS if key in run.config}
            )  # an interrupted run has its row


def config_text(run: MemberRun) -> str:
    """Write the config that a run's folder keeps: of a run that goes on the same as of one that does not.

    With data.copy the files of its data are kept beside it, and named from there.
    """
    config = run.config | ({"resume": run.config["resume"] | {"folder": None}} if "resume" in run.config else {})
    if config["data"].get("copy"):
        config["data"] = dict(config["data"])
        for key in CONTENTS:
            if path := config["data"].get(key := key.removeprefix("data.")):
                # Of three files some may have one name.
                kept = Path("data", *key.split("_")[:-1], Path(path).name)
                config["data"][key] = kept.as_posix()
                if not (run.folder.path / kept).is_file():
                    with open(path, "rb") as file:
                        write_bytes(run.folder.path / kept, iter(lambda: file.read(1 << 20), b""))
    return plain_yaml(config)


def restart(runs: Sequence[MemberRun], trainer: L.Trainer, module: L.LightningModule) -> None:
    """Go back to the runs' checkpoints, and cut what was written after them."""
    payloads = [checkpoint.load(run.folder.checkpoints / "last.ckpt") for run in runs]
    for run, payload in zip(runs, payloads):
        expect_last(run, payload)
    if isinstance(module, PopulationModule):
        restore_engine(trainer, module, payloads)
    for run, payload in zip(runs, payloads):
        own = payload["mlplab"]
        write_text(run.folder.config, config_text(run), sync=False)  # a run that is made longer has a new one
        remove_leftovers(run.folder.path)  # what a kill cut off
        for logger in run.loggers:
            if isinstance(logger, RunFolderLogger):
                logger.cut(own["epochs"], own["steps"])
    _tell_drift(runs[0], trainer)


def _tell_drift(run: MemberRun, trainer: L.Trainer) -> None:
    """Say what is not as it was when a run began, and may keep it from the bits of one that was never interrupted."""
    before = read_record(run.folder.manifest) if run.folder.manifest.is_file() else {}
    now = collect(run.config, data_sha256=run.data.sha256, device=describe_device(trainer.strategy.root_device))
    causes = differences(before, now)
    if causes:
        told = "; ".join(f"{name}: {words}" for name, words in causes)
        print(
            f"{run.folder.path.name} began with other {told}; its end may differ from that of an uninterrupted run",
            file=sys.stderr,
        )


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


def _expect_alike(configs: Sequence[dict[str, Any]]) -> None:
    key = unlike(configs)
    if key is not None:
        raise InputError(f"{key} must be the same in all jobs of one population; train the jobs apart")
