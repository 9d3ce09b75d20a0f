"""Seeds derived by label, so that no two draws of the lab share a random stream."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

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
