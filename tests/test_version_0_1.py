"""Run folders that version 0.1 wrote are evaluated, reported and trained again: ``version_0_1/sweep`` holds two."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from mlplab.cli.evaluate import evaluate
from mlplab.cli.reproduce import reproduce
from mlplab.config.composition import load_recorded
from mlplab.report.report import report
from mlplab.runs import checkpoint
from mlplab.runs.identity import config_digest

KEPT = Path(__file__).parent / "version_0_1" / "sweep"


@pytest.fixture
def sweep(tmp_path):
    return Path(shutil.copytree(KEPT, tmp_path / "logs" / "sweep" / "v01"))


@pytest.fixture
def run(sweep):
    return sweep / "lr0.1-bb364c47"


def test_its_config_is_read_and_keeps_its_digest(run):
    config = load_recorded(run / "config.yaml")
    assert config.model._target_ == "mlplab.nn.mlp.MLP"
    manifest = json.loads((run / "manifest.json").read_text())
    assert config_digest(OmegaConf.to_container(config)) == manifest["config_digest"]


def test_it_is_evaluated(run, capsys):
    """On all of its points, to rounding."""
    assert evaluate(run) == 0
    assert "equal to the recorded ones, to the rounding by which this version differs from 0.1.0" in " ".join(
        capsys.readouterr().out.split()
    )
    result = json.loads((run / "result.json").read_text())
    result["fresh"]["nll"] += 1e-5
    (run / "result.json").write_text(json.dumps(result))
    assert evaluate(run) == 1


def test_it_is_evaluated_on_other_data(run):
    result = evaluate(run, ["data.noise=0.3"])
    assert 0 <= result["test"]["accuracy"] <= 1 and result["run"] == str(run)


def weights(path):
    payload = checkpoint.load(path)
    found = payload["state_dict"] if "state_dict" in payload else payload["model"]
    return {name.removeprefix("model."): value for name, value in found.items()}


def test_its_training_is_reproduced(run, tmp_path, capsys):
    """To the bit on the machine that wrote it; elsewhere to rounding."""
    assert reproduce(run, tmp_path) in (0, 1)
    (again,) = (tmp_path / "reproduce").iterdir()
    before, now = (weights(folder / "checkpoints" / "last.ckpt") for folder in (run, again))
    assert before.keys() == now.keys()
    for name in before:
        torch.testing.assert_close(now[name], before[name], rtol=1e-4, atol=1e-6)
    results = [json.loads((folder / "result.json").read_text()) for folder in (run, again)]
    assert results[0]["best_epoch"] == results[1]["best_epoch"]


def test_its_sweep_is_reported(sweep, capsys):
    assert report([str(sweep)]) == 0
    out = capsys.readouterr().out
    assert "lr=0.1" in out and "2 runs" not in out
    assert (sweep / "sweep.csv").read_text().count("\n") == 3
