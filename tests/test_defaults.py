"""What the default run reaches: the mean of five seeds, as the README says it."""

import statistics

import pytest

from mlplab.cli.train import summary
from mlplab.config.composition import compose
from mlplab.training.fit import fit_members


@pytest.fixture(scope="module")
def results():
    words = ["logger=none", "callbacks.decision_maps=null", "callbacks.progress=null", "figures=none"]
    configs = [compose("train", [f"seed={seed}", *words]) for seed in range(5)]
    results = fit_members(configs, [None] * 5)
    assert all((result["parameters"], result["steps"]) == (900, 2500) for result in results)
    return results


@pytest.mark.parametrize(
    "name, limit", [("accuracy_regret", 0.0025), ("nll_regret", 0.03), ("calibration_error", 0.015)]
)
def test_the_default_run_is_a_good_one(results, name, limit):
    assert 0 < statistics.mean(result["fresh"][name] for result in results) <= limit


def test_the_closing_lines_carry_standard_errors(results, tmp_path):
    text = summary({**results[0], "seconds": {"fit": 1.0, "total": 1.0}}, tmp_path)
    figures = results[0]["fresh"]
    assert f"{100 * figures['accuracy']:.2f} ± {100 * figures['accuracy_se']:.2f} %" in text
    assert f"regret: {100 * figures['accuracy_regret']:.2f} ± " in text


def test_one_epoch_is_no_epochs(results, tmp_path):
    one = {**results[0], "parameters": 1, "epochs": 1, "seconds": {"fit": 1.0, "total": 1.0}}
    assert "1 parameter, 1 epoch, 1.0 s" in summary(one, tmp_path)
