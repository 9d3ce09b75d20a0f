"""The best state of each member so far, by a metric on validation points."""

import torch
from torch import Tensor

from mlplab.population.devices import wide_float
from mlplab.population.stacking import Population


class BestState:
    """Keep each member's parameters of the epoch with the best value of a metric; a tie keeps the first.

    Args:
        population: the networks.
        mode: "min" where a lower value is better, "max" where a higher one is.

    Attributes:
        value: best value so far, (P,), its sign changed for "max"; inf before the first.
        epoch: epochs trained when it was reached, (P,); -1 before the first.
        theta: parameters then, (P, S).
        buffers: what the members' modules held besides then, by member and name.
    """

    def __init__(self, population: Population, mode: str = "min") -> None:
        self.population = population
        self.sign = -1.0 if mode == "max" else 1.0
        device = population.theta.device
        self.value = torch.full((population.members,), torch.inf, dtype=wide_float(device), device=device)
        self.epoch = torch.full((population.members,), -1, device=device)
        self.theta = population.theta.detach().clone()
        self.buffers: dict[int, dict[str, Tensor]] = {}

    def offer(self, value: Tensor, epoch: int, active: Tensor) -> None:
        """Take over the members whose value (P,) is better than before; NaN never is."""
        value = self.sign * value.to(self.value)
        better = active & (value < self.value)
        self.value = torch.where(better, value, self.value)
        self.epoch = torch.where(better, epoch, self.epoch)
        self.theta = torch.where(better.unsqueeze(1), self.population.theta.detach(), self.theta)
        if self.population.buffers(0):
            for index in better.nonzero().flatten().tolist():
                self.buffers[index] = self.population.buffers(index)

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """Move what is kept to a device, the parameters as another floating type."""
        self.value, self.epoch = self.value.to(device, wide_float(device)), self.epoch.to(device)
        self.theta = self.theta.to(device, dtype)

    def known(self, index: int) -> bool:
        """Say whether the member has had a finite metric yet."""
        return int(self.epoch[index]) >= 0
