"""Other ways to count the spikes of many neurons under constant currents, for the benchmark."""

import ctypes
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import torch

# R = 1 kOhm, C = 10 uF, Vth = 1 V, tau_ref = dt = 1 ms everywhere: w = 0.1, one refractory step.
# Blocks of neurons and no branches, so that the compiler makes vectors of it.
C_LOOP = """
#define B 1024
void lif(const double *current, double *count, long neurons, long steps, double w, double r, long hold) {
    for (long at = 0; at < neurons; at += B) {
        long n = neurons - at < B ? neurons - at : B;
        double v[B] = {0}, held[B] = {0}, c[B] = {0}, drive[B];
        for (long i = 0; i < n; i++) drive[i] = r * current[at + i];
        for (long t = 0; t < steps; t++)
            for (long i = 0; i < n; i++) {
                double next = held[i] > 0 ? 0.0 : v[i] + w * (drive[i] - v[i]);
                double spike = next >= 1.0 ? 1.0 : 0.0;
                held[i] = spike > 0 ? hold : held[i] - 1.0;
                c[i] += spike;
                v[i] = spike > 0 ? 0.0 : next;
            }
        for (long i = 0; i < n; i++) count[at + i] = c[i];
    }
}
"""


def c_loop(steps: int):
    """Compile the loop in C; None where there is no gcc."""
    if shutil.which("gcc") is None:
        return None
    folder = tempfile.mkdtemp()
    source, library = Path(folder) / "lif.c", Path(folder) / "lif.so"
    source.write_text(C_LOOP)
    subprocess.run(
        ["gcc", "-O3", "-march=native", "-fno-trapping-math", "-shared", "-fPIC", source, "-o", library], check=True
    )
    function = ctypes.CDLL(str(library)).lif
    pointer = ctypes.POINTER(ctypes.c_double)

    def run(current: np.ndarray) -> np.ndarray:
        count = np.empty_like(current)
        function(
            current.ctypes.data_as(pointer),
            count.ctypes.data_as(pointer),
            ctypes.c_long(len(current)),
            ctypes.c_long(steps),
            ctypes.c_double(0.1),
            ctypes.c_double(1.0),
            ctypes.c_long(1),
        )
        return count

    return run


def numba_loop(current: np.ndarray, steps: int):
    """Give the loop in numba; its first call compiles."""
    import numba

    @numba.njit
    def run(current, count, steps, w, hold):
        for i in range(len(current)):
            v, held, n = 0.0, 0, 0
            for _ in range(steps):
                if held:
                    held -= 1
                    v = 0.0
                    continue
                v += w * (current[i] - v)
                if v >= 1.0:
                    n += 1
                    v = 0.0
                    held = hold
            count[i] = n
        return count

    return lambda: run(current, np.empty_like(current), steps, 0.1, 1)


def numpy_loop(current: np.ndarray, steps: int) -> np.ndarray:
    """Step whole arrays, as one writes it first."""
    v, held, count = np.zeros_like(current), np.zeros_like(current), np.zeros_like(current)
    for _ in range(steps):
        v = np.where(held > 0, 0.0, v + 0.1 * (current - v))
        held = np.maximum(held - 1, 0)
        spikes = v >= 1.0
        count += spikes
        held[spikes] = 1
    return count


def tutorial_counts() -> list[int]:
    """Count as the tutorial does: a Python loop over tensors, one current after the other."""
    counts = []
    for current in torch.linspace(0, 2, 10):
        times = torch.arange(0, 1000 + 1.0, 1.0)
        v, rest = torch.zeros(len(times)), 0.0
        for i, t in enumerate(times):
            if t > rest:
                v[i] = v[i - 1] + 1 / 10 * (-v[i - 1] / 1 + current) * 1.0
            if v[i] >= 1:
                v[i] += 0.5
                rest = t + 1.0
        counts.append(int((v > 1).sum()))
    return counts
