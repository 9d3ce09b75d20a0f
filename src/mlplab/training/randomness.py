"""The global generators of torch, numpy and Python: put back after a block, or seeded together."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def states() -> dict[str, Any]:
    """Take the states of all of them."""
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None
    return {"torch": torch.get_rng_state(), "cuda": cuda, "numpy": np.random.get_state(), "python": random.getstate()}


def put_back(before: dict[str, Any]) -> None:
    """Let them go on from states that were taken."""
    torch.set_rng_state(before["torch"])
    if before["cuda"] is not None:
        torch.cuda.set_rng_state_all(before["cuda"])
    np.random.set_state(before["numpy"])
    random.setstate(before["python"])


@contextmanager
def kept() -> Iterator[None]:
    """Leave them after a block as they were before it."""
    before = states()
    try:
        yield
    finally:
        put_back(before)


def seed_all(seed: int) -> None:
    """Seed them, with 0 <= seed < 2**63."""
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)
