"""The running epoch: losses and hits of its minibatches, kept on the device until they are summed up once."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from mlplab.population.devices import wide_float


@dataclass
class EpochSums:
    """Losses and hits of each minibatch of the running epoch, so that a resumed sum has the same bits."""

    losses: list[Tensor] = field(default_factory=list)  # each (P, S)
    correct: list[Tensor] = field(default_factory=list)  # each (P, S)
    sizes: list[int] = field(default_factory=list)  # points of a minibatch, one for each of the S

    def clear(self) -> None:
        self.losses, self.correct, self.sizes = [], [], []

    def to(self, device: torch.device) -> None:
        """Move what is kept to a device."""
        self.losses = [part.to(device) for part in self.losses]
        self.correct = [part.to(device) for part in self.correct]

    def mean(self) -> tuple[Tensor, Tensor]:
        """Give loss and accuracy of the epoch, each (P,), float64 where the device has it."""
        losses, correct = torch.cat(self.losses, 1), torch.cat(self.correct, 1)
        wide = wide_float(losses.device)
        losses, correct = losses.to(wide), correct.to(wide)
        sizes = torch.tensor(self.sizes, dtype=wide, device=losses.device)
        return (losses * sizes).sum(1) / sizes.sum(), correct.sum(1) / sizes.sum()
