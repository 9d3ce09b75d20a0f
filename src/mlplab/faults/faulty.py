"""Networks that fail on purpose, for the members of sweeps."""

import ctypes
import os
import resource
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn


class Faulty(nn.Module):
    """A linear classifier that, for some seeds, does what a network should not.

    Args:
        faults: kind of fault by seed, as text: "constructor", "step", "exit", "os_exit", "kill", "segfault",
            "interrupt", "hang", "hang_in_c", "memory", "grow", "allocate" or
            "nan".
        at_step: forward pass of the training at which it happens, from 1.
    """

    def __init__(
        self, in_features: int, out_features: int, seed: int, faults: Mapping[str, str] | None = None, at_step: int = 3
    ) -> None:
        super().__init__()
        self.kind, self.at_step, self.steps = (faults or {}).get(f"seed{seed}"), at_step, 0
        if self.kind == "constructor":
            raise RuntimeError("no such network\ncan be built")
        self.linear = nn.Linear(in_features, out_features)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.steps += self.training
        if self.kind and self.training and self.steps >= self.at_step:
            return self.fail(x)
        return self.linear(x)

    def fail(self, x: torch.Tensor) -> torch.Tensor:
        kind = self.kind
        if kind == "step":
            raise ValueError("this step fails")
        if kind == "exit":
            sys.exit(0)
        if kind == "os_exit":
            os._exit(3)
        if kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if kind == "segfault":
            ctypes.string_at(0)
        if kind == "memory":
            torch.empty(1 << 60)
        if kind == "grow":  # until no more is to be had
            used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 30), resource.RLIM_INFINITY))
            held = []
            while True:
                held.append(torch.ones(1 << 23))
        if kind == "allocate":
            raise MemoryError
        if kind == "interrupt":
            raise KeyboardInterrupt
        if kind == "hang":
            time.sleep(1000)
        if kind == "hang_in_c":
            ctypes.PyDLL(None).sleep(1000)  # with the interpreter's lock: no other thread runs
        return self.linear(x) * torch.nan
