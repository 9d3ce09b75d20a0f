"""Checkpoints: what they hold, whichever engine trained, and when the last state and the best are written.

Their content is Lightning's own, and under a key what the engine needs: ``Classifier.load_from_checkpoint(FILE)`` needs
nothing else, ``Trainer.fit(ckpt_path=FILE)`` goes on, and ``torch.load(FILE, weights_only=True)["state_dict"]`` holds
the network.
"""

import copy
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import torch
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.plugins.io import CheckpointIO
from torch import Tensor

from mlplab.errors import InputError
from mlplab.lightning_names import loops_state, set_place
from mlplab.population.schedules import Constant
from mlplab.population.state import Members, Stop, engine_state, expect_the_order, member_state, restore
from mlplab.rules import shown
from mlplab.runs import checkpoint, signals
from mlplab.training.classifier import Classifier
from mlplab.training.loading import KEY, PREFIX, network_state
from mlplab.training.members import MemberCallback, SingleMember, members_of, network_of
from mlplab.training.record import MemberRun, runs_of
from mlplab.words import plural

FORMAT = 2
# What torch's optimisers keep of each parameter in its shape.
MOMENTS = (
    "exp_avg",
    "exp_avg_sq",
    "max_exp_avg_sq",
    "momentum_buffer",
    "square_avg",
    "grad_avg",
    "sum",
    "acc_delta",
    "exp_inf",
)
# What the optimisers of the lab's groups keep of each parameter that they have stepped.
REQUIRED = {kind: ("exp_avg", "exp_avg_sq") for kind in (torch.optim.Adam, torch.optim.AdamW)}
REQUIRED[torch.optim.SGD] = ("momentum_buffer",)


def engine_checkpoint(trainer: L.Trainer, engine: Any, index: int) -> dict[str, Any]:
    """Collect everything that a member of a population needs to go on to the same bits, in Lightning's form."""
    run: MemberRun = trainer.runs[index]
    own = engine_state(engine, index, trainer.train_dataloader.draws)
    member = member_state(engine, index)
    own |= {"format": FORMAT, "engine": "population", "config_digest": run.digest}
    own["callbacks"] = callback_states(trainer, index)
    steps = own["steps"]
    content = {
        **_head(run, own["epochs"], steps),
        "state_dict": {PREFIX + name: value for name, value in _in_order(run.module.model, member).items()}
        | _loss_state(run.module),
        "loops": loops_state(own["epochs"], steps, own["minibatches"], engine.minibatches_per_epoch),
        "callbacks": {},
        "optimizer_states": [_optimizer_state(run.module, member["optimizer"], steps, engine.factor(max(0, steps)))],
        "lr_schedulers": _scheduler_state(run.module, steps, engine.factor),
    }
    return content | {KEY: own}


def best_checkpoint(run: MemberRun, best: Mapping[str, Any]) -> dict[str, Any]:
    """Collect the best state of a member, the network alone, from what the last checkpoint holds of it."""
    own = {"format": FORMAT, "config_digest": run.digest} | {key: best[key] for key in ("monitor", "value", "epoch")}
    network = network_of(run.module)
    if network is run.module:  # a module of one's own
        state = _in_order(network, best)
    else:
        state = {PREFIX + name: value for name, value in _in_order(network, best).items()} | _loss_state(run.module)
    return {**_head(run, best["epoch"], 0), "state_dict": state, KEY: own}


@contextmanager
def reading(file: Path) -> Iterator[None]:
    """Answer in one line what fails because a checkpoint, whole as it is, holds something else than it should."""
    try:
        yield
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, RuntimeError, OverflowError) as error:
        if isinstance(error, InputError):
            raise
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"the checkpoint {file} does not fit this run ({type(error).__name__}: {reason})") from error


def expect_last(run: MemberRun, payload: Mapping[str, Any]) -> None:
    """Refuse a checkpoint that is no last state of a run: of another config, with other arrays, or at no place that there is.

    Raises:
        InputError: one of these.
    """
    file, own = run.folder.checkpoints / "last.ckpt", payload.get(KEY)
    if isinstance(own, Mapping) and (own.get("format") != FORMAT or own.get("config_digest") != run.digest):
        raise InputError(f"the checkpoint {file} is of another config than {run.folder.config}")
    if not isinstance(own, Mapping) or "epochs" not in own or own.get("engine") != run.plan.engine:
        raise InputError(f"the checkpoint {file} is no last state of a run that the engine {run.plan.engine} trains")
    with reading(file):
        counts = [own["epochs"], own["steps"], own.get("minibatches", payload["epoch"] + 1)]
        if not all(type(count) is int and count >= 0 for count in counts) or counts[0] > counts[2]:
            raise InputError(
                f"the checkpoint {file} is damaged: its epochs, steps and minibatches cannot be {shown(counts)}"
            )
        like = {name.removeprefix(PREFIX): value.shape for name, value in run.module.state_dict().items()}
        stored = {name.removeprefix(PREFIX): value.shape for name, value in payload["state_dict"].items()}
        for name, shape in [*stored.items(), *((name, value.shape) for name, value in own["best"]["model"].items())]:
            if name not in like:
                raise InputError(
                    f"the checkpoint {file} cannot be resumed from: its network has come to have {name}, as by a callback "
                    "that prunes; start a new run"
                )
            if shape != like[name]:
                raise InputError(
                    f"the checkpoint {file} does not fit this run: {name} is {tuple(shape)}, not {tuple(like[name])}"
                )
        if own["stop"] is not None:
            Stop(**own["stop"])


def expect_optimizers(optimizers: Sequence[torch.optim.Optimizer], states: Any, steps: int) -> None:
    """Refuse states that these optimisers cannot have after so many steps.

    Raises:
        ValueError: another number of states, moments of other shapes than the parameters, or none.
    """
    if not isinstance(states, list) or len(states) != len(optimizers):
        raise ValueError(f"it must hold the states of {plural(len(optimizers), 'optimiser')}")
    for optimizer, stored in zip(optimizers, states):
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        for number, kept in stored["state"].items():
            for name in MOMENTS if type(optimizer).__module__.startswith("torch.optim.") else ():
                if kept.get(name) is not None and kept[name].shape != parameters[number].shape:
                    raise ValueError(f"{name} of parameter {number} is {tuple(kept[name].shape)}")
            for name in REQUIRED.get(type(optimizer), ()):
                if not isinstance(kept.get(name), Tensor) and (name != "momentum_buffer" or _has_momentum(optimizer)):
                    raise ValueError(f"{name} of parameter {number} is missing")
        has_moments = isinstance(optimizer, torch.optim.Adam) or _has_momentum(optimizer)
        if has_moments and steps and not stored["state"]:
            raise ValueError(f"it holds no moments after {plural(steps, 'step')}")


def _has_momentum(optimizer: torch.optim.Optimizer) -> bool:
    return isinstance(optimizer, torch.optim.SGD) and any(group["momentum"] for group in optimizer.param_groups)


def callback_states(trainer: L.Trainer, index: int) -> dict[str, Any]:
    """Collect what the lab's callbacks keep of a member."""
    states = {}
    for callback in trainer.callbacks:
        if isinstance(callback, MemberCallback) and (own := callback.member_state(index)):
            states[type(callback).__name__] = own
    return states


def restore_engine(trainer: L.Trainer, engine: Any, payloads: list[dict[str, Any]]) -> None:
    """Put a population back to where its members' checkpoints left it, before ``fit``.

    Raises:
        InputError: a checkpoint is of another config, or the members stopped at different places.
    """
    engine.place()
    own = [payload[KEY] for payload in payloads]
    names = {name for name, _ in engine.population.names()}
    members = []
    for payload, run in zip(payloads, trainer.runs):
        file = run.folder.checkpoints / "last.ckpt"
        with reading(file):
            _expect_names(file, engine.population, payload[KEY])
            named = network_state(payload, file)
            made = run.module.make_optimizer(run.module.parameters())
            expect_optimizers([made], payload["optimizer_states"], payload[KEY]["steps"])
            members.append(
                {
                    "model": {name: named[name] for name in names},
                    "buffers": {name: value for name, value in named.items() if name not in names},
                    "optimizer": _moments(run.module, payload["optimizer_states"][0]["state"]),
                }
            )
    with reading(trainer.runs[0].folder.checkpoints / "last.ckpt"):
        restore(engine, members, own)
        for index, state in enumerate(own):
            for callback in trainer.callbacks:
                if isinstance(callback, MemberCallback):
                    callback.load_member_state(index, state["callbacks"].get(type(callback).__name__, {}), engine)
    first = next((state for state in own if not state["stop"]), own[0])
    order_seeds = [run.data.drawn_order_seed for run in trainer.runs]
    expect_the_order(trainer.serving.draws(trainer.strategy.root_device, order_seeds), first)
    set_place(trainer, engine.epochs, engine.steps)


def _expect_names(file: Path, population: Any, own: Mapping[str, Any]) -> None:
    """Refuse a best state of other parameters than a population trains."""
    if other := sorted({name for name, _ in population.names()} ^ set(own["best"]["model"])):
        raise InputError(
            f"the checkpoint {file} cannot be resumed from: its best state is of other parameters than train when the "
            f"run is set up, such as {other[0]}, as by a callback that freezes or thaws; start a new run"
        )


class WholeFile(CheckpointIO):
    """Let Lightning write its checkpoints as the lab does: whole or absent, ending with their SHA-256."""

    def save_checkpoint(self, content: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        checkpoint.save(path, content)

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        return checkpoint.load(path)

    def remove_checkpoint(self, path: Any) -> None:
        Path(path).unlink(missing_ok=True)


def _head(run: MemberRun, epochs: int, steps: int) -> dict[str, Any]:
    kept = run.data.state_dict()
    if isinstance(run.module, Classifier):
        run.module.note_hyperparameters()  # of the parts as they now are
    return {
        "epoch": max(0, epochs - 1),
        "global_step": steps,
        "pytorch-lightning_version": L.__version__,
        "hparams_name": "kwargs",
        "hyper_parameters": dict(run.module.hparams),
    } | ({type(run.data).__qualname__: kept} if kept else {})


def _in_order(model: torch.nn.Module, member: Mapping[str, Any]) -> dict[str, Tensor]:
    named = {**member["model"], **member["buffers"]}
    return {name: named[name] for name in model.state_dict() if name in named}


def _loss_state(module: L.LightningModule) -> dict[str, Tensor]:
    return {name: value for name, value in module.state_dict().items() if not name.startswith(PREFIX)}


def _trained(module: L.LightningModule) -> list[tuple[int, str]]:
    """Number, as an optimiser counts, and name within the network of each parameter."""
    return [(i, name.removeprefix(PREFIX)) for i, (name, _) in enumerate(module.named_parameters())]


def _optimizer_state(
    module: L.LightningModule, moments: Mapping[str, Any], steps: int, factor: float
) -> dict[str, Any]:
    """Write moments by name as torch's optimiser keeps them: by the number of the parameter."""
    like = module.make_optimizer(module.parameters()).state_dict()
    for group in like["param_groups"]:
        if type(module.schedule) is not Constant:
            group["initial_lr"], group["lr"] = group["lr"], group["lr"] * factor
    state: dict[int, dict[str, Any]] = {}
    adaptive = "exp_avg" in moments
    momentum = any(group.get("momentum") for group in like["param_groups"])
    for number, name in _trained(module):
        kept = {key: named[name] for key, named in moments.items() if isinstance(named, Mapping) and name in named}
        if kept and steps and (adaptive or momentum):
            state[number] = ({"step": torch.tensor(float(steps), dtype=torch.float32)} if adaptive else {}) | kept
    return {"state": state, "param_groups": like["param_groups"]}


def _moments(module: L.LightningModule, state: Mapping[int, Mapping[str, Any]]) -> dict[str, dict[str, Tensor]]:
    """Read moments back by name; none where no step has been taken, or where the optimiser keeps none."""
    moments: dict[str, dict[str, Tensor]] = {}
    parameters = list(module.parameters())
    for number, name in _trained(module):
        if state and number not in state and parameters[number].requires_grad:
            raise ValueError(f"the moments of {name} are missing")
        for key, value in state.get(number, {}).items():
            if key != "step" and value is not None:
                moments.setdefault(key, {})[name] = value
    return moments


def _scheduler_state(module: L.LightningModule, steps: int, factor: Any) -> list[dict[str, Any]]:
    if type(module.schedule) is Constant:
        return []
    rates = [group["lr"] for group in module.make_optimizer(module.parameters()).param_groups]
    return [
        {
            "base_lrs": rates,
            "last_epoch": steps,
            "_step_count": steps + 1,
            "_is_initial": False,
            "_get_lr_called_within_step": False,
            "_last_lr": [rate * factor(steps) for rate in rates],
            "lr_lambdas": [{}],
        }
    ]


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

    def on_start(self, trainer: L.Trainer, members: Any) -> None:
        self._last = time.monotonic()

    def on_epoch(self, trainer: L.Trainer, members: Any) -> None:
        if time.monotonic() - self._last >= self.every_seconds:
            self.save(trainer, members)

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *_: Any) -> None:
        if not isinstance(module, Members):
            return  # Lightning goes on from the end of an epoch
        # Inside an epoch of many blocks.
        partial = module.minibatches % module.minibatches_per_epoch
        if partial and time.monotonic() - self._last >= self.every_seconds:
            self.save(trainer, module)

    def on_end(self, trainer: L.Trainer, members: Any) -> None:
        self.save(trainer, members)

    def save(self, trainer: L.Trainer, members: Any) -> None:
        """Write the files of every member that has a folder."""
        for callback in trainer.callbacks:
            if isinstance(callback, MemberCallback):
                callback.finish_pending(trainer, members)
        with signals.writing():
            for index, run in enumerate(runs_of(trainer)):
                if run.folder is None:
                    continue
                run.flush()
                # The best first: a run resumed from the last finds a best that is not older.
                self._save_best(run, members, index)
                if isinstance(members, SingleMember):
                    trainer.save_checkpoint(run.folder.checkpoints / "last.ckpt")
                else:
                    checkpoint.save(run.folder.checkpoints / "last.ckpt", engine_checkpoint(trainer, members, index))
        # After the work, so that many members on a slow disk leave time to train.
        self._last = time.monotonic()

    def _save_best(self, run: Any, members: Any, index: int) -> None:
        epoch = int(members.best.epoch[index])
        if epoch < 0 and self._saved_best.pop(index, None) is not None:  # of a network that had other parameters
            (run.folder.checkpoints / "best.ckpt").unlink(missing_ok=True)
        if epoch < 0 or self._saved_best.get(index) == epoch:
            return
        self._saved_best[index] = epoch
        content = best_checkpoint(run, members.best.member_state(index, members.monitor))
        checkpoint.save(run.folder.checkpoints / "best.ckpt", content)


class RunState(MemberCallback):
    """Add to Lightning's checkpoints of a run what the lab needs when it goes on."""

    _trained: dict[str, Any] | None = None
    _loaded: dict[str, Any] | None = None

    def on_epoch(self, trainer: L.Trainer, members: Any) -> None:
        self._trained = copy.deepcopy(members.module.state_dict()) if members.replaced else None

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
        members, file = members_of(trainer, module), runs_of(trainer)[0].folder.checkpoints / "last.ckpt"
        _expect_names(file, members.population, content[KEY])
        members.load_state(content[KEY])
        self._loaded = content

    def on_fit_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Look at what Lightning takes as it is, now that there are optimisers to compare it with."""
        if self._loaded is not None:
            steps = 0 if str(trainer.precision).startswith("16") else self._loaded["global_step"]  # which skips steps
            expect_optimizers(trainer.optimizers, self._loaded["optimizer_states"], steps)
            if len(self._loaded["lr_schedulers"]) != len(trainer.lr_scheduler_configs):
                raise ValueError(f"it must hold the states of {len(trainer.lr_scheduler_configs)} schedules")
            self._loaded = None
