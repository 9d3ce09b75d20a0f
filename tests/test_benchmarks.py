"""What the benchmarks measure against runs: the ordinary program is started, and every benchmark can be loaded."""

import importlib
import subprocess
import sys

import pytest

from mlplab.benchmarks.benchmark import BENCHMARKS


def test_the_ordinary_program_trains_a_sweep(tmp_path):
    words = ["-m", "width=4,5", "epochs=1", f"hydra.sweep.dir={tmp_path}"]
    subprocess.run(
        [sys.executable, "-m", "mlplab.benchmarks.ordinary", *words], check=True, capture_output=True, timeout=900
    )
    for job in ("0", "1"):
        names = {path.name for path in (tmp_path / job).iterdir()}
        assert {"map.png", "last.ckpt", "lightning_logs", ".hydra"} <= names


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_benchmark_loads(name):
    assert callable(importlib.import_module(BENCHMARKS[name]).rows)
