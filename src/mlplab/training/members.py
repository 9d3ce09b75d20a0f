"""One job of a run or a sweep: its config, its folder, its data and its loggers."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from mlplab.data.arrays import ArrayDataModule
from mlplab.runs.fingerprint import config_digest
from mlplab.runs.folder import RunFolder
from mlplab.runs.status import Heartbeat
from mlplab.training.data_view import viewed
from mlplab.training.loggers import RunFolderLogger, TensorBoardLogger
from mlplab.training.plan import Plan


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

    def tensorboard(self) -> Any:
        """Give the logger that takes images, if there is one."""
        return next((logger for logger in self.loggers if isinstance(logger, TensorBoardLogger)), None)

    def flush(self) -> None:
        """Bring what the loggers hold to disk."""
        for logger in self.loggers:
            getattr(logger, "flush", logger.save)()


def share_data(modules: Sequence[ArrayDataModule], keys: Sequence[str]) -> list[ArrayDataModule]:
    """Set up data modules, those with the same key once: the others share its arrays.

    Args:
        modules: one a member, not yet set up.
        keys: fingerprints of what the arrays depend on.
    """
    first: dict[str, ArrayDataModule] = {}
    shared = []
    for module, key in zip(modules, keys):
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
