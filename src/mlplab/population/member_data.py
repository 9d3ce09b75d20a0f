"""The data of P members as one: their tensors and orders, by the protocol that a data module offers beside its loaders."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from mlplab.errors import InputError
from mlplab.population.blocks import BlockLoader, WholeLoader


class MemberData:
    """The data of P members as one: shared arrays once, different ones stacked.

    Args:
        modules: one a member, set up, with equal numbers of points. Each offers ``train`` and ``validation``
            (points ``x`` and ``y``, or None), ``order(epoch)``, ``drawn_order_seed``, ``batch_size`` and ``drop_last``.
    """

    def __init__(self, modules: Sequence[Any]) -> None:
        self.modules = list(modules)

    def part(self, name: str, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor] | None:
        """Give x (D, N, ...) and y (D, N) of a part; D is 1 where all members share it.

        Raises:
            InputError: the members' points differ in number or shape.
        """
        parts = [getattr(module, name) for module in self.modules]
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
