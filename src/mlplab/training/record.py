"""One job of a run or a sweep: its config, folder, data and loggers, and the record of its metrics, one row an epoch."""

import copy
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import numpy as np
import torch

from mlplab.data.arrays import ArrayDataModule
from mlplab.population.state import Members
from mlplab.runs.files import plain_yaml, read_record, write_bytes, write_json
from mlplab.runs.folder import RunFolder
from mlplab.runs.identity import CONTENTS, config_digest
from mlplab.runs.manifest import Heartbeat, collect, differences, write_status
from mlplab.training.data_view import viewed
from mlplab.training.loggers import RunFolderLogger, TensorBoardLogger
from mlplab.training.members import MemberCallback, members_of
from mlplab.training.plan import Plan

HYPERPARAMETERS = ("seed", "data", "model", "loss", "optimizer", "schedule", "trainer")


@dataclass
class MemberRun:
    """What belongs to one member and to nobody else.

    Attributes:
        config: the resolved config, plain values.
        folder: where it writes; None to keep nothing.
        data: its data module, set up.
        loggers: where its metrics go.
        digest: of the config.
        module: the LightningModule that says what is trained.
        plan: how it is trained, and why so.
        mode: "min" or "max": which values of the module's monitor are better.
        draws: seed of what is drawn by global generators in Lightning's loop; None leaves these as they are.
    """

    config: dict[str, Any]
    folder: RunFolder | None
    data: ArrayDataModule
    loggers: list[Any] = field(default_factory=list)
    digest: str = ""
    heartbeat: Heartbeat | None = None
    module: Any = None
    plan: Plan | None = None
    mode: str = "min"
    draws: int | None = None

    def __post_init__(self) -> None:
        self.digest = self.digest or config_digest(self.config)
        if self.folder is not None:
            self.heartbeat = Heartbeat(self.folder.path)

    @property
    def name(self) -> str:
        return self.folder.name if self.folder is not None else "run"

    @property
    def recorded_loggers(self) -> list[Any]:
        """The loggers that get a row an epoch from the record; the others hear of it by Lightning itself."""
        if self.plan is None or self.plan.engine == "population":
            return self.loggers
        return [logger for logger in self.loggers if isinstance(logger, RunFolderLogger)]

    def describe(self, surroundings: dict[str, Any], members: int) -> None:
        """Write the manifest and begin the loggers' records, over what an earlier attempt left.

        Args:
            surroundings: what :func:`mlplab.runs.manifest.collect` gives.
            members: how many jobs are trained together.
        """
        own = {"config_digest": self.digest, "data_sha256": self.data.sha256, "seed": self.config["seed"]}
        own |= {"engine": self.plan.engine, "engine_reason": self.plan.reason}
        own |= {"data_seed": self.config["data"].get("seed"), "members": members}
        write_json(self.folder.manifest, surroundings | own, sync=False)
        for logger in self.loggers:
            if isinstance(logger, RunFolderLogger):
                logger.cut(epochs=-1, steps=-1)
                logger.log_config(self.folder.config.read_text(encoding="utf-8"))
            # Here too, so that an interrupted run has its row.
            logger.log_hyperparams({key: self.config[key] for key in HYPERPARAMETERS if key in self.config})

    def config_text(self) -> str:
        """Write the config that the folder keeps: of a run that goes on the same as of one that does not.

        With data.copy the files of its data are kept beside it, and named from there.
        """
        config = self.config | ({"resume": self.config["resume"] | {"folder": None}} if "resume" in self.config else {})
        if config["data"].get("copy"):
            config["data"] = dict(config["data"])
            for key in CONTENTS:
                if path := config["data"].get(key := key.removeprefix("data.")):
                    # Of three files some may have one name.
                    kept = Path("data", *key.split("_")[:-1], Path(path).name)
                    config["data"][key] = kept.as_posix()
                    if not (self.folder.path / kept).is_file():
                        with open(path, "rb") as file:
                            write_bytes(self.folder.path / kept, iter(lambda: file.read(1 << 20), b""))
        return plain_yaml(config)

    def tell_drift(self, device: str) -> None:
        """Say what is not as it was when the run began, and may keep it from the bits of one never interrupted."""
        before = read_record(self.folder.manifest) if self.folder.manifest.is_file() else {}
        causes = differences(before, collect(self.config, data_sha256=self.data.sha256, device=device))
        if causes:
            changes = "; ".join(f"{name}: {words}" for name, words in causes)
            print(
                f"{self.name} began with other {changes}; its end may differ from that of an uninterrupted run",
                file=sys.stderr,
            )

    def tensorboard(self) -> Any:
        """Give the logger that takes images, if there is one."""
        return next((logger for logger in self.loggers if isinstance(logger, TensorBoardLogger)), None)

    def flush(self) -> None:
        """Bring what the loggers hold to disk."""
        for logger in self.loggers:
            logger.flush() if isinstance(logger, RunFolderLogger) else logger.save()


def describe_device(device: torch.device) -> str:
    """Name a device for the manifest, such as ``cpu`` or ``cuda:0 NVIDIA H100``."""
    return f"{device} {torch.cuda.get_device_name(device)}" if device.type == "cuda" else str(device)


def share_data(modules: Sequence[ArrayDataModule], nodes: Sequence[Mapping[str, Any]]) -> list[ArrayDataModule]:
    """Set up data modules, those that differ in the order of their points alone once: the others share its arrays.

    Args:
        modules: one a member, not yet set up.
        nodes: the config that each was made from.
    """
    first: dict[str, ArrayDataModule] = {}
    shared = []
    for module, node in zip(modules, nodes):
        key = config_digest({name: value for name, value in node.items() if name != "order_seed"}, ())
        if key not in first:
            first[key] = viewed(module)
            shared.append(module)
            continue
        twin = copy.copy(first[key])
        # What differs between members with the same points is the order in which they see them.
        twin.order_seed, twin._replay = module.order_seed, None
        shared.append(twin)
    return shared


def runs_of(trainer: Any) -> list[MemberRun]:
    """Give what belongs to each member of a training; under a stock Trainer its data module, where it has points."""
    runs = getattr(trainer, "runs", None)
    if runs:
        return runs
    data = getattr(trainer, "datamodule", None)
    return [MemberRun({}, None, data, digest="-")] if getattr(data, "train", None) is not None else []


NAN = float("nan")


class Record(MemberCallback):
    """Hand each member's metrics to its own loggers once an epoch, and keep them."""

    def __init__(self) -> None:
        self.began = False  # before the first step a resumed run is unchanged
        self._before: dict[int, dict[str, list[float]]] = {}  # of resumed members
        self._epochs: list[int] = []
        self._metrics: list[dict[str, np.ndarray]] = []  # of each epoch, each (P,)
        self._ended: dict[int, int] = {}  # epochs kept of members that stopped before the others
        self._stacked: dict[str, np.ndarray] = {}

    def on_start(self, trainer: L.Trainer, members: Any) -> None:
        self.began = True
        trainer.should_stop |= len(members.stops) == members.members  # a run that ended early has nothing left to train
        for run in runs_of(trainer):
            if run.folder is not None:
                write_status(run.folder.path, "running", sync=False)

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *_: Any) -> None:
        if not isinstance(module, Members) and members_of(trainer, module).interrupted:
            raise KeyboardInterrupt  # an epoch may be long; the run goes on from its last checkpoint

    on_validation_batch_end = on_train_batch_end

    def on_epoch(self, trainer: L.Trainer, members: Any) -> None:
        for index, stop in members.stops.items():
            if stop.epoch < members.epochs:
                self._ended.setdefault(index, len(self._epochs))
        metrics = {name: value.cpu().numpy().copy() for name, value in members.metrics.items()}
        self._epochs.append(members.epochs)
        self._metrics.append(metrics)
        for index, run in enumerate(runs_of(trainer)):
            if index in self._ended:
                continue
            if run.loggers:
                row = {name: float(column[index]) for name, column in metrics.items()}
                for logger in run.recorded_loggers:
                    _log(logger, row, members.epochs, members.steps)
            if run.heartbeat is not None:
                run.heartbeat.beat()

    def history(self, index: int) -> dict[str, list[float]]:
        """Give a member's metrics by name, one an epoch and ``epoch`` among them; NaN where one was not taken."""
        before, end = self._before.get(index, {"epoch": []}), self._ended.get(index, len(self._epochs))
        since = {"epoch": self._epochs[:end]}
        since |= {name: column[:end, index].tolist() for name, column in self._columns().items()}
        gaps = [NAN] * len(before["epoch"]), [NAN] * end
        return {name: before.get(name, gaps[0]) + since.get(name, gaps[1]) for name in before | since}

    def _columns(self) -> dict[str, np.ndarray]:
        """The metrics of all epochs since the start or the last checkpoint, by name, (epochs, P)."""
        if self._metrics and len(next(iter(self._stacked.values()), ())) != len(self._metrics):
            names = dict.fromkeys(name for metrics in self._metrics for name in metrics)
            gap = np.full_like(next(iter(self._metrics[0].values())), NAN)
            self._stacked = {name: np.stack([metrics.get(name, gap) for metrics in self._metrics]) for name in names}
        return self._stacked

    def member_state(self, index: int) -> dict[str, Any]:
        return {"history": self.history(index)}

    def load_member_state(self, index: int, state: dict[str, Any], members: Any) -> None:
        self._before[index] = {name: list(column) for name, column in state["history"].items()}


def _log(logger: Any, row: dict[str, float], epochs: int, steps: int) -> None:
    """Log the metrics of an epoch: to any logger that is not the lab's own by the calls of Lightning's loop."""
    if isinstance(logger, RunFolderLogger):
        logger.log_metrics({"epoch": epochs} | row, step=steps)
        return
    validation = {name: value for name, value in row.items() if name.startswith("val/")}
    for part in (validation, {name: value for name, value in row.items() if name not in validation}):
        if part:
            logger.log_metrics({**part, "epoch": epochs - 1}, step=steps - 1)  # Lightning counts both from 0
