"""Where a run computes: the accelerator by name, checked before anything is made."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from mlplab.errors import InputError
from mlplab.options import ACCELERATOR


def choose_accelerator(name: str) -> str:
    """Turn ``trainer.accelerator`` into what Lightning is given.

    Args:
        name: "auto" takes a GPU where there is one.

    Raises:
        InputError: this machine or this build of torch has no such device.
    """
    ACCELERATOR.check("trainer.accelerator", name)
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if name == "auto":
        # Apple's GPU loses to its CPU on networks this small, so that it is taken only when asked for.
        return "gpu" if cuda else "cpu"
    if name in ("gpu", "cuda") and not cuda:
        raise InputError(
            f"trainer=gpu needs an NVIDIA or AMD GPU that torch {torch.__version__} can use, and finds none; "
            "use trainer=cpu"
        )
    if name == "mps" and not mps:
        raise InputError("trainer=mps needs an Apple GPU, and torch finds none; use trainer=cpu")
    return name


def wide_float(device: torch.device) -> torch.dtype:
    """Give the widest floating type of a device, in which sums are taken: Apple's GPU has no float64."""
    return torch.float32 if device.type == "mps" else torch.float64


def describe_device(device: torch.device) -> str:
    """Name a device for the manifest, such as ``cpu`` or ``cuda:0 NVIDIA H100``."""
    return f"{device} {torch.cuda.get_device_name(device)}" if device.type == "cuda" else str(device)


@contextmanager
def streams_kept(device: torch.device) -> Iterator[None]:
    """Put the global generators from which a module on this device draws, the CPU's and its own, back at the end."""
    with torch.random.fork_rng([device] if device.type == "cuda" else [], device_type="cuda"):
        yield


def seed_streams(device: torch.device, seed: int) -> None:
    """Seed the global generators from which a module on this device draws, and no other device's."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.default_generators[device.index or 0].manual_seed(seed)


@contextmanager
def subnormals_flushed() -> Iterator[None]:
    """Let this thread's arithmetic on a CPU take numbers nearer to zero than the smallest normal one for zero.

    Adam's moments of a dead unit decay to subnormal numbers and stay there, and each operation on one costs a CPU
    a hundred others. On several threads nothing is flushed: torch's workers are not reached, and a result must not
    depend on which thread met a number.
    """
    before = bool((torch.tensor(torch.finfo(torch.float64).smallest_normal, dtype=torch.float64) / 2) == 0)
    if before or torch.get_num_threads() > 1:
        yield
        return
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
