"""Fit one job or many as one population: build from configs, train, measure, and leave a run folder for each."""

import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.callbacks import Checkpoint
from omegaconf import OmegaConf
from torch import nn

from mlplab.errors import InputError
from mlplab.population.devices import choose_accelerator, describe_device
from mlplab.population.optimizers import MemberOptimizer
from mlplab.population.stacking import stack
from mlplab.runs import checkpoint
from mlplab.runs.files import remove_leftovers, write_json, write_text
from mlplab.runs.fingerprint import config_digest
from mlplab.runs.folder import RunFolder
from mlplab.runs.manifest import collect
from mlplab.runs.plain_yaml import plain_yaml
from mlplab.runs.status import write_status
from mlplab.seeds import derive
from mlplab.training.callbacks import MemberCallback, Progress
from mlplab.training.callbacks.checkpoints import restore
from mlplab.training.classifier import Classifier
from mlplab.training.members import MemberData, MemberRun, share_data
from mlplab.training.objects import arguments_of, build, find_class, try_loss, try_optimizer, within_memory
from mlplab.training.record import Record
from mlplab.training.results import HYPERPARAMETERS, finish
from mlplab.training.trainer import PRECISIONS, Trainer

# What members of one population must have in common, besides networks that stack.
ALIKE = (
    "loss", "schedule", "trainer", "callbacks", "optimizer._target_", "data.batch_size", "data.drop_last",
)  # fmt: skip


def fit(config: Mapping[str, Any], folder: str | Path | None, *, resume: bool = False) -> dict[str, Any]:
    """Train one job; see :func:`fit_members`."""
    return fit_members([config], [folder], resume=resume)[0]


def fit_members(
    configs: Sequence[Mapping[str, Any]],
    folders: Sequence[str | Path | None],
    *,
    resume: bool = False,
    observer: MemberCallback | None = None,
    on_result: Callable[[int, dict[str, Any]], None] | None = None,
) -> list[dict[str, Any]]:
    """Train jobs whose networks stack, as one population.

    Args:
        configs: one resolved config a job, alike but for seeds, data of equal sizes, and optimiser settings.
        folders: one run folder a job, already claimed; None keeps nothing of it.
        resume: go on from ``checkpoints/last.ckpt`` of each folder.
        observer: a further callback, which takes the place of the progress bar.
        on_result: told each job's number and result as soon as its folder is complete.

    Returns:
        One result a job, as in ``result.json``.

    Raises:
        InputError: a value is wrong or a checkpoint is damaged.
        KeyboardInterrupt: the run was stopped; its state is saved, and its folder says interrupted.
    """
    started = time.perf_counter()
    plain = [_plain(config) for config in configs]
    folders = [RunFolder(Path(folder)) if folder is not None else None for folder in folders]
    first = plain[0]
    torch.set_num_threads(first["trainer"]["threads"])
    accelerator = choose_accelerator(first["trainer"]["accelerator"])
    _expect_alike(plain)
    began, done = False, set()

    def tell(index: int, result: dict[str, Any]) -> None:
        done.add(index)
        if on_result is not None:
            on_result(index, result)

    try:
        with within_memory(plain):
            runs = build_runs(plain, folders)
            classifier = build_classifier(runs)
            trainer = build_trainer(first, accelerator, observer)
            trainer.runs = runs
            began = not (resume and _resume(trainer, classifier))
            if began:
                _describe(runs, trainer)
            began = True
            for run in runs:
                if run.folder is not None:
                    write_status(run.folder.path, "running", sync=False)
            _train(trainer, classifier)
            if classifier.interrupted:
                raise KeyboardInterrupt
            return finish(trainer, classifier, started, tell)
    except BaseException as error:
        # A run that could not begin leaves its folder as it was: one that is resumed stays interrupted.
        if began:
            _fail([folder for index, folder in enumerate(folders) if index not in done], error)
        raise


def _plain(config: Mapping[str, Any]) -> dict[str, Any]:
    return OmegaConf.to_container(config, resolve=True) if OmegaConf.is_config(config) else dict(config)


def _expect_alike(configs: Sequence[dict[str, Any]]) -> None:
    for key in ALIKE:
        group, _, name = key.partition(".")
        values = [config[group].get(name) if name else config[group] for config in configs]
        if any(value != values[0] for value in values):
            raise InputError(f"{key} must be the same in all jobs of one population; train the jobs apart")


def build_runs(configs: Sequence[dict[str, Any]], folders: Sequence[RunFolder | None]) -> list[MemberRun]:
    """Make each job's data and loggers; jobs with the same points share them."""
    keys = [config_digest({k: v for k, v in c["data"].items() if k != "order_seed"}, ()) for c in configs]
    modules = share_data([build(config["data"], "data") for config in configs], keys)
    return [MemberRun(c, f, m, build_loggers(c, f)) for c, f, m in zip(configs, folders, modules)]


def build_loggers(config: dict[str, Any], folder: RunFolder | None) -> list[Any]:
    """Make a job's loggers; the lab's own are told the folder."""
    loggers = []
    for node in (config.get("logger") or {}).values():
        if node is None or folder is None or config["trainer"]["fast_dev_run"]:
            continue
        place = {}
        if "folder" in arguments_of(find_class(node, "logger")) and "folder" not in node:
            tensorboard = node["_target_"].endswith("TensorBoardLogger")
            place = {"folder": str(folder.tensorboard if tensorboard else folder.path)}
        loggers.append(build(node, "logger", **place))
    return loggers


def build_model(config: dict[str, Any], data: Any) -> nn.Module:
    """Make a job's network; what its class asks for by name and the config leaves open is filled in.

    ``in_features``, ``out_features`` come from the data, ``seed`` from the config. A class that does not take a seed
    is built with torch's global generator seeded for it, which is put back after.
    """
    node = dict(config["model"])
    accepted = arguments_of(find_class(node, "model"))
    features = 1
    for size in data.input_shape:
        features *= size
    known = {"in_features": features, "out_features": data.classes, "seed": config["seed"]}
    node |= {name: value for name, value in known.items() if name in accepted and node.get(name) is None}
    state = torch.get_rng_state()
    try:
        torch.default_generator.manual_seed(derive(config["seed"], "weights"))
        return build(node, "model")
    finally:
        torch.set_rng_state(state)


def build_classifier(runs: Sequence[MemberRun]) -> Classifier:
    """Stack the jobs' networks and give them their loss, optimiser and schedule."""
    first = runs[0].config
    dtype = PRECISIONS.get(first["trainer"]["precision"], torch.float32)
    modules = [build_model(run.config, run.data).to(dtype) for run in runs]
    _try_out(modules[0], runs[0], dtype)
    seeds = [run.config["seed"] for run in runs]
    return Classifier(
        stack(modules, seeds),
        loss=build_loss(first, runs[0].data.classes, dtype),
        optimizer=_optimizer(runs),
        schedule=build(first["schedule"], "schedule"),
    )


def build_loss(config: dict[str, Any], classes: int, dtype: torch.dtype) -> nn.Module:
    """Make the loss; class weights, which torch's own takes as a tensor only, must be one a class."""
    node, weight = dict(config["loss"]), config["loss"].get("weight")
    more = {}
    if isinstance(weight, list):
        if len(weight) != classes:
            raise InputError(f"loss.weight must be a list of {classes}, one a class, got {len(weight)}")
        more["weight"] = torch.tensor(weight, dtype=dtype)
    loss = build(node, "loss", **more)
    try_loss(loss, classes, dtype)
    return loss


def _try_out(model: nn.Module, run: MemberRun, dtype: torch.dtype) -> None:
    """Refuse a network that does not fit the data before anything is trained."""
    x = run.data.train.x[:2].to(dtype)
    try:
        with torch.no_grad():
            shape = tuple(model.eval()(x).shape)
    except Exception as error:  # a user's own code
        reason = " ".join(str(error).split())
        raise InputError(f"model: {type(model).__name__} cannot take inputs {tuple(x.shape)}: {reason}") from error
    if shape != (len(x), run.data.classes):
        raise InputError(
            f"model: {type(model).__name__} must give logits {(len(x), run.data.classes)} for inputs {tuple(x.shape)}, "
            f"got {shape}"
        )


def _optimizer(runs: Sequence[MemberRun]) -> Any:
    """Give a function from parameters to the optimiser; settings that differ between jobs become lists."""
    nodes = [{k: v for k, v in run.config["optimizer"].items() if k != "_partial_"} for run in runs]
    target = find_class(nodes[0], "optimizer")
    if not issubclass(target, MemberOptimizer) and any(node != nodes[0] for node in nodes):
        raise InputError(f"optimizer: {target.__name__} takes one setting for a whole population; train the jobs apart")
    settings = {}
    for name, value in nodes[0].items():
        if name == "_target_":
            continue
        column = [tuple(node[name]) if isinstance(node[name], list) else node[name] for node in nodes]
        settings[name] = column[0] if all(value == column[0] for value in column) else column
    try_optimizer(target, settings, len(runs))
    return lambda parameters: target(parameters, **settings)


def build_trainer(config: dict[str, Any], accelerator: str, observer: MemberCallback | None = None) -> Trainer:
    """Make the trainer with the callbacks of a config."""
    options = {k: v for k, v in config["trainer"].items() if k not in ("threads", "accelerator")}
    nodes = (config.get("callbacks") or {}).items()
    callbacks = [build(node, f"callbacks.{name}") for name, node in nodes if node is not None]
    if options["fast_dev_run"]:
        callbacks = [callback for callback in callbacks if not isinstance(callback, Checkpoint)]
    if observer is not None:
        callbacks = [*(callback for callback in callbacks if not isinstance(callback, Progress)), observer]
    return Trainer(accelerator=accelerator, callbacks=[*callbacks, Record()], **options)


def _train(trainer: Trainer, classifier: Classifier) -> None:
    data = MemberData([run.data for run in trainer.runs])
    dtype = classifier.theta.dtype
    with stoppable(classifier):
        try:
            trainer.fit(
                classifier,
                train_dataloaders=data.train_loader(dtype, classifier.theta.numel()),
                val_dataloaders=data.validation_loader(dtype),
            )
        except SystemExit as error:
            # Lightning turns a Ctrl-C inside of a step into an exit code of 1.
            if isinstance(error.__context__, KeyboardInterrupt):
                raise KeyboardInterrupt from error
            raise


@contextmanager
def stoppable(classifier: Classifier) -> Iterator[None]:
    """Turn the first Ctrl-C or SIGTERM into a stop at the end of the running block; a second one stops at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def request(number: int, frame: Any) -> None:
        if classifier.interrupted:
            raise KeyboardInterrupt
        classifier.interrupted = True

    for number in before:
        signal.signal(number, request)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _describe(runs: Sequence[MemberRun], trainer: Trainer) -> None:
    """Write config and manifest of each job before it trains."""
    device = describe_device(trainer.strategy.root_device)
    shared: dict[str, Any] | None = None
    for run in runs:
        if run.folder is None:
            continue
        text = plain_yaml(run.config)
        write_text(run.folder.config, text, sync=False)
        shared = shared or collect(run.config, data_sha256=run.data.sha256, device=device)
        own = {"config_digest": run.digest, "data_sha256": run.data.sha256, "seed": run.config["seed"]}
        manifest = {**shared, **own, "data_seed": run.config["data"].get("seed"), "members": len(runs)}
        write_json(run.folder.manifest, manifest, sync=False)
        for logger in run.loggers:
            # What an earlier attempt in this folder left.
            if hasattr(logger, "purge"):
                logger.purge(-1)
            if hasattr(logger, "log_config"):
                logger.log_config(text)
            logger.log_hyperparams({key: run.config[key] for key in HYPERPARAMETERS})  # an interrupted run has its row


def _resume(trainer: Trainer, classifier: Classifier) -> bool:
    """Go back to the checkpoints; say no where none was written yet, so that the runs start afresh."""
    files = [run.folder.checkpoints / "last.ckpt" for run in trainer.runs]
    if not any(file.exists() for file in files):
        return False
    payloads = [checkpoint.load(file) for file in files]
    restore(trainer, classifier, payloads)
    for run in trainer.runs:
        for place in (run.folder.path, run.folder.checkpoints, run.folder.figures):
            remove_leftovers(place)  # what a kill cut off
        for logger in run.loggers:
            if hasattr(logger, "purge"):
                # A table counts in epochs, TensorBoard in steps.
                logger.purge(classifier.steps if hasattr(logger, "log_image") else classifier.epochs)
    return True


def _fail(folders: Sequence[RunFolder | None], error: BaseException) -> None:
    """Say in each folder how the run ended; one that was never described stays as it was."""
    if isinstance(error, KeyboardInterrupt):
        state, words = "interrupted", None
    else:
        state, words = "failed", "".join(traceback.format_exception(error))
    for folder in folders:
        if folder is not None and folder.config.is_file():
            write_status(folder.path, state, words)
