"""Dropout whose masks are a function of the seed and the step, so that a resumed training draws the same ones."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from mlplab.seeds import derive

# A mask is drawn for widths and minibatches rounded up to these, as the engine lays its networks out.
HIDDEN_MULTIPLE = 4
POINTS_MULTIPLE = 8


class Dropout(nn.Dropout):
    """Drop hidden units (Srivastava et al. 2014) as ``torch.nn.Dropout`` does, from a stream of its own if asked to.

    Args:
        p: probability in [0, 1) that a unit is dropped.
        layer: number of the hidden layer, counted from 0.
    """

    def __init__(self, p: float = 0.5, layer: int = 0) -> None:
        super().__init__(p)
        self.layer = layer
        self.stream: tuple[int, int] | None = None

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, layer={self.layer}"

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.stream is None or not self.p:
            return super().forward(x)
        return x * dropout_mask(x.shape[1], len(x), self.p, *self.stream, self.layer, x.dtype).T.to(x.device)


def dropout_mask(width: int, points: int, p: float, seed: int, step: int, layer: int, dtype: torch.dtype) -> Tensor:
    """Draw the mask (width, points) of a hidden layer at a step: 0, or 1/(1 - p)."""
    room = torch.empty(
        -(-width // HIDDEN_MULTIPLE) * HIDDEN_MULTIPLE, -(-points // POINTS_MULTIPLE) * POINTS_MULTIPLE, dtype=dtype
    )
    room.bernoulli_(1 - p, generator=torch.Generator().manual_seed(derive(seed, "dropout", step, layer)))
    return room.div_(1 - p)[:width, :points]


@contextmanager
def streams(module: nn.Module, seed: int, step: int) -> Iterator[None]:
    """Let every dropout of a network draw from a seed and a step, for the length of a block."""
    parts = [part for part in module.modules() if isinstance(part, Dropout)]
    try:
        for part in parts:
            part.stream = seed, step
        yield
    finally:
        for part in parts:
            part.stream = None
