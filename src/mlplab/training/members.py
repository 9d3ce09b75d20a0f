"""One job of a run or a sweep: its config, its folder, its data and its loggers."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from mlplab.data.arrays import ArrayDataModule, Points
from mlplab.errors import InputError
from mlplab.population.blocks import BlockLoader, WholeLoader
from mlplab.runs.fingerprint import config_digest
from mlplab.runs.folder import RunFolder
from mlplab.runs.status import Heartbeat


@dataclass
class MemberRun:
    """What belongs to one member and to nobody else.

    Attributes:
        config: the resolved config, plain values.
        folder: where it writes; None to keep nothing.
        data: its data module, set up.
        loggers: where its figures go.
        digest: of the config.
    """

    config: dict[str, Any]
    folder: RunFolder | None
    data: ArrayDataModule
    loggers: list[Any] = field(default_factory=list)
    digest: str = ""
    heartbeat: Heartbeat | None = None

    def __post_init__(self) -> None:
        self.digest = self.digest or config_digest(self.config)
        if self.folder is not None:
            self.heartbeat = Heartbeat(self.folder.path)

    @property
    def name(self) -> str:
        return self.folder.name if self.folder is not None else "run"

    def tensorboard(self) -> Any:
        """Give the logger that takes images, if there is one."""
        return next((logger for logger in self.loggers if hasattr(logger, "log_image")), None)

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
            module.setup("fit")
            first[key] = module
            shared.append(module)
            continue
        twin = copy.copy(first[key])
        # What differs between members with the same points is the order in which they see them.
        twin.order_seed, twin._replay = module.order_seed, None
        shared.append(twin)
    return shared


class MemberData:
    """The data of P members as one: shared arrays once, different ones stacked.

    Args:
        modules: one a member, set up, with equal numbers of points.
    """

    def __init__(self, modules: Sequence[ArrayDataModule]) -> None:
        self.modules = list(modules)

    def part(self, name: str, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor] | None:
        """Give x (D, N, ...) and y (D, N) of a part; D is 1 where all members share it.

        Raises:
            InputError: the members' points differ in number or shape.
        """
        parts: list[Points | None] = [getattr(module, name) for module in self.modules]
        if len({None if part is None else part.x.shape for part in parts}) > 1:
            raise InputError(
                f"the {name} points must be as many, and of one shape, in all jobs of one population; train the jobs apart"
            )
        if parts[0] is None:
            return None
        if all(part.x is parts[0].x for part in parts):
            parts = parts[:1]
        return torch.stack([part.x for part in parts]).to(dtype), torch.stack([part.y for part in parts])

    def train_loader(self, dtype: torch.dtype = torch.float32, parameters: int = 0) -> BlockLoader:
        """Serve the train points, each member in its own order.

        Args:
            dtype: of the inputs.
            parameters: of all members together, which bound the work of a block on a CPU.
        """
        first = self.modules[0]
        x, y = self.part("train", dtype)
        return BlockLoader(
            x,
            y,
            orders=[module.order for module in self.modules],
            batch_size=first.batch_size,
            drop_last=first.drop_last,
            order_seeds=[module.drawn_order_seed for module in self.modules],
            # Each parameter is multiplied and added for a point three times: forward, and for the two gradients.
            operations=6 * parameters * first.batch_size,
        )

    def validation_loader(self, dtype: torch.dtype = torch.float32) -> WholeLoader | None:
        """Serve the validation points, or None."""
        part = self.part("validation", dtype)
        return None if part is None else WholeLoader(*part)

