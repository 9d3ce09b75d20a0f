"""torch's Muon on a whole network: matrices by Muon, everything else by AdamW, as one optimiser."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch import nn


class MuonAndAdamW(torch.optim.Optimizer):
    """Step two optimisers as one; schedules and checkpoints see the groups of both (Jordan et al. 2024).

    Args:
        muon: over the matrices.
        adamw: over the other parameters.
    """

    def __init__(self, muon: torch.optim.Optimizer, adamw: torch.optim.Optimizer) -> None:
        self.parts = (muon, adamw)
        super().__init__([group for part in self.parts for group in part.param_groups], {})
        # One dict a group and one state a parameter, shared with the parts.
        self._share()

    def _share(self) -> None:
        first = len(self.parts[0].param_groups)
        self.parts[0].param_groups, self.parts[1].param_groups = self.param_groups[:first], self.param_groups[first:]
        for part in self.parts:
            part.state = self.state

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step of both."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part in self.parts:
            part.step()
        return loss

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self._share()


def optimizer_over(
    make: Callable[..., torch.optim.Optimizer], parameters: Iterable[nn.Parameter]
) -> torch.optim.Optimizer:
    """Make an optimiser of parameters; Muon, which takes matrices alone, gets AdamW beside it for the others."""
    kind = make.func if isinstance(make, partial) else make
    parameters = list(parameters)
    others = [parameter for parameter in parameters if parameter.ndim != 2]
    if kind is not getattr(torch.optim, "Muon", None) or not others:
        return make(parameters)
    muon = make([parameter for parameter in parameters if parameter.ndim == 2])
    return MuonAndAdamW(muon, torch.optim.AdamW(others, lr=muon.param_groups[0]["lr"]))
