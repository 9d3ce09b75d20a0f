"""The running epoch: losses and hits of its minibatches, kept on the device until they are summed up once."""

from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass
class EpochSums:
    """Losses and hits of the minibatches of the running epoch, kept singly so that a resumed sum has the same bits."""

    losses: list[Tensor] = field(default_factory=list)  # each (P, S)
    correct: list[Tensor] = field(default_factory=list)  # each (P, S)
    sizes: list[int] = field(default_factory=list)  # points of a minibatch, one for each of the S

    def clear(self) -> None:
        self.losses, self.correct, self.sizes = [], [], []

    def mean(self) -> tuple[Tensor, Tensor]:
        """Give loss and accuracy of the epoch, each (P,) float64."""
        losses = torch.cat(self.losses, 1).double()
        correct = torch.cat(self.correct, 1).double()
        sizes = torch.tensor(self.sizes, dtype=torch.float64, device=losses.device)
        return (losses * sizes).sum(1) / sizes.sum(), correct.sum(1) / sizes.sum()
