"""Orders of points for thousands of networks at once, drawn where the networks are.

Torch's permutations are drawn one by one on the CPU; ten thousand of them take longer than an epoch on a GPU. Here
each place of each network gets a random number that is a function of the network's seed, the epoch and the place
alone, and the numbers are sorted, all networks in one call.
"""

import torch
from torch import Tensor

# Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators": the increment and the two factors.
GOLDEN = 0x9E3779B97F4A7C15 - 2**64
FACTORS = (0xBF58476D1CE4E5B9 - 2**64, 0x94D049BB133111EB - 2**64)


def splitmix64(z: Tensor) -> Tensor:
    """Mix 64-bit integers (...), as splitmix64 makes its output of its state; arithmetic is modulo 2^64."""
    z = (z ^ _shifted(z, 30)) * FACTORS[0]
    z = (z ^ _shifted(z, 27)) * FACTORS[1]
    return z ^ _shifted(z, 31)


def draw_orders(seeds: Tensor, epoch: int, points: int) -> Tensor:
    """Draw a permutation for each seed.

    Args:
        seeds: integers (P,), int64.
        epoch: counted from 0; each has an order of its own.
        points: N, >= 1 and below 2^31.

    Returns:
        Permutations of 0..N-1, (P, N) int64, the same bits on every device.
    """
    place = torch.arange(points, device=seeds.device)
    start = splitmix64(seeds + (epoch + 1) * splitmix64(seeds + GOLDEN))
    numbers = splitmix64(start.unsqueeze(1) + (place + 1) * GOLDEN)
    # The low bits of each number are replaced by its position: no two are equal, and sorting gives the order.
    room = (1 << max(1, (points - 1).bit_length())) - 1
    return ((numbers & ~room) | place).sort(dim=1).values & room


def _shifted(z: Tensor, bits: int) -> Tensor:
    """Shift to the right as an unsigned number is."""
    return (z >> bits) & ((1 << (64 - bits)) - 1)
