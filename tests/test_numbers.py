"""The README files' numbers: each beside what a benchmark recorded, or what it is when it is computed again."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from readmes import TEXT

from mlplab.config.composition import compose
from mlplab.studies.lif.neuron import Neuron, rate_hz
from mlplab.studies.relu.depth import deep
from mlplab.studies.relu.least_squares import least_squares
from mlplab.studies.relu.minimax import minimax
from mlplab.studies.relu.sampling import errors, sample
from mlplab.studies.relu.targets import make_target
from mlplab.training.fit import fit

HERE = Path(__file__).resolve().parent
README = " ".join(TEXT.split())
# What a benchmark gave when it was last run: command, the sentence, its numbers, and the digits it is rounded to.
RECORDED = json.loads((HERE / "measured.json").read_text(encoding="utf-8"))


def in_readme(pattern):
    """The numbers of a sentence of the README files; a sentence that is gone takes its row here with it."""
    found = re.search(pattern, README)
    assert found, f"no README says {pattern!r}: change or remove its row"
    return [float(number) for number in found.groups()]


@pytest.mark.parametrize("row", RECORDED, ids=lambda row: row["readme"][:40])
def test_what_a_benchmark_recorded(row):
    assert row["command"].startswith("scripts/lab ")
    said = in_readme(row["readme"])
    assert len(said) == len(row["values"])
    digits = row["digits"] if isinstance(row["digits"], list) else [row["digits"]] * len(said)
    for number, value, places in zip(said, row["values"], digits, strict=True):
        assert number == pytest.approx(value, abs=0.501 * 10.0**-places), row["command"]


def test_minimax_errors():
    for name, n, value in (
        ("sin", 9, in_readme(r"n = 9 / 64 / 256 \| ([0-9.]+) /")),
        ("sin", 64, in_readme(r"n = 9 / 64 / 256 \| [0-9.]+ / ([0-9.e-]+) /")),
        ("sqrt", 9, in_readme(r"minimax of sqrt, n = 9 / 256 \| ([0-9.e-]+) /")),
        ("runge", 9, in_readme(r"x²\), n = 9 / 256 \| ([0-9.]+) /")),
        ("sin", 9, in_readme(r"largest error ([0-9.]+) \|")),
    ):
        assert minimax(make_target(name), n).level == pytest.approx(value[0], rel=1e-4)


def test_least_squares_and_depth():
    sine, square = make_target("sin"), make_target("x2")
    assert errors(sine, least_squares(sine, 9), sample(sine, 512).x)[1] == pytest.approx(
        in_readme(r"n = 9 \| RMS ([0-9.]+) in 4 ms")[0], rel=1e-3
    )
    for target, n, pattern in (
        (sine, 64, r"n=64`\) \| ([0-9.e-]+), where"),
        (square, 11, r"n=11`\) \| ([0-9.e-]+) by construction"),
    ):
        x = np.linspace(target.low, target.high, 20_001)
        assert np.abs(deep(target, n)(x) - target(x)).max() == pytest.approx(in_readme(pattern)[0], rel=5e-3)


def test_the_tutorials_neuron():
    rate, spike = in_readme(r"known exactly ([0-9.]+) Hz, first spike at ([0-9.]+) ms")
    assert spike == pytest.approx(10 * math.log(3), abs=5e-6)  # 1.5 mA into 1 kOhm and 10 uF, to 1 V
    neuron = Neuron(resistance_kohm=1.0, capacitance_uf=10.0, tau_ref_ms=10.0)
    assert float(rate_hz(neuron, 1.5)) == pytest.approx(rate, abs=5e-4)
    assert rate == pytest.approx(1e3 / (10 + spike), abs=1e-3)


def test_the_default_run():
    quiet = ["figures=none", "logger=none", "callbacks.decision_maps=null", "callbacks.progress=null"]
    result = fit(compose("train", quiet), None)
    test, fresh = result["test"], result["fresh"]
    for part, (accuracy, error, nll) in (
        (test, in_readme(r"test points ([0-9.]+) ± ([0-9.]+) % ([0-9.]+)")),
        (fresh, in_readme(r"fresh points ([0-9.]+) ± ([0-9.]+) % ([0-9.]+)")),
    ):
        # On another CPU the last bits differ, and after 2500 steps the points by a little.
        assert 100 * part["accuracy"] == pytest.approx(accuracy, abs=0.15)
        assert 100 * part["accuracy_se"] == pytest.approx(error, abs=0.03) and part["nll"] == pytest.approx(
            nll, rel=0.02
        )
    points, nll = in_readme(r"regret: ([0-9.]+) ± [0-9.]+ percentage points of accuracy, ([0-9.]+)")
    assert 100 * fresh["accuracy_regret"] == pytest.approx(points, abs=0.03) and fresh["nll_regret"] == pytest.approx(
        nll, rel=0.03
    )
