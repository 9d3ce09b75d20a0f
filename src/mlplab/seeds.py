"""Seeds derived by label, so that no two draws of the lab share a random stream; and the process's global generators.

The lab draws from none of these. What code of somebody else's draws from them is seeded, and they are put back.
"""

from __future__ import annotations

import hashlib
import os
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch


def derive(seed: int, *labels: str | int) -> int:
    """Derive an independent seed from a seed and labels.

    Args:
        seed: any integer; 0 is a seed like any other.
        *labels: what the stream is for, such as ``"order", epoch``.

    Returns:
        An integer in [0, 2**63), a SHA-256 digest of the seed and the labels.
    """
    text = "/".join(str(part) for part in (int(seed), *labels))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *labels: str | int) -> torch.Generator:
    """Make a CPU generator seeded with :func:`derive` of the seed and the labels."""
    import torch  # here, so that what draws with numpy does not wait for it

    return torch.Generator().manual_seed(derive(seed, *labels))


_turn = threading.RLock()


def _begin_anew() -> None:
    global _turn
    _turn = threading.RLock()


if hasattr(os, "register_at_fork"):  # a child has one thread, which waits for none of its parent's
    os.register_at_fork(after_in_child=_begin_anew)


@contextmanager
def in_turn() -> Iterator[None]:
    """Change what the threads of a process have in common: its trainings come one after the other."""
    with _turn:
        yield


def states() -> dict[str, Any]:
    """Take the states of the global generators of torch, CUDA, NumPy and Python."""
    import torch

    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None
    return {"torch": torch.get_rng_state(), "cuda": cuda, "numpy": np.random.get_state(), "python": random.getstate()}


def put_back(before: dict[str, Any]) -> None:
    """Let the global generators go on from states that were taken."""
    import torch

    torch.set_rng_state(before["torch"])
    if before["cuda"] is not None:
        torch.cuda.set_rng_state_all(before["cuda"])
    np.random.set_state(before["numpy"])
    random.setstate(before["python"])


@contextmanager
def same_generators() -> Iterator[None]:
    """Leave the global generators after a block as they were before it."""
    with in_turn():
        before = states()
        try:
            yield
        finally:
            put_back(before)


def seed_all(seed: int) -> None:
    """Seed the global generators, with 0 <= seed < 2**63."""
    import torch

    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)


@contextmanager
def streams_kept(device: torch.device) -> Iterator[None]:
    """Put the global generators from which a module on this device draws, the CPU's and its own, back at the end."""
    import torch

    with torch.random.fork_rng([device] if device.type == "cuda" else [], device_type="cuda"):
        yield


def seed_streams(device: torch.device, seed: int) -> None:
    """Seed the global generators from which a module on this device draws, and no other device's."""
    import torch

    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.default_generators[device.index or 0].manual_seed(seed)
