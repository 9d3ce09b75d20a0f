"""The Bayes learner and its rivals: the right parameters, probabilities, and an order among them."""

import json
import math

import numpy as np
import pytest
import torch
from small_runs import base, quick, train  # noqa: F401 (a fixture among them)

from mlplab.cli import rivals
from mlplab.cli.app import main
from mlplab.cli.rivals import plain_config
from mlplab.data.bayes import log_joint, log_posterior, regrets
from mlplab.data.datasets import spiral_density
from mlplab.data.learner import SpiralLearner, fit_spirals, kernel_densities, nearest_neighbours
from mlplab.data.modules import SpiralDataModule


@pytest.fixture(scope="module")
def points():
    data = SpiralDataModule(
        points_per_arm=60, noise=0.2, rotation_degrees=12.0, batch_size=8, fresh_points=2000, seed=3
    )
    data.setup()
    return data


def test_it_finds_the_noise_turn_and_winding_that_it_is_not_told(points):
    learner = fit_spirals(*points.train, arms=4)
    truth = np.array([math.log(0.2), 12.0, 2.0])
    assert (np.abs(learner.mode - truth) < 4 * learner.sd).all() and (learner.sd < [0.1, 4, 0.1]).all()
    assert learner.weights.sum() == pytest.approx(1)
    # Posterior mean and spread of the weighted points are those of Laplace's normal, nearly.
    mean = learner.weights @ learner.parameters
    assert (np.abs(mean - learner.mode) < 0.5 * learner.sd).all()
    sd = np.sqrt(learner.weights @ (learner.parameters - mean) ** 2)
    assert sd == pytest.approx(learner.sd, rel=0.25)
    fresh, posterior = points.fresh, points.log_posterior("fresh")
    found = learner.log_posterior(fresh.x)
    assert torch.allclose(found.exp().sum(1), torch.ones(2000).double())
    own = regrets(found, posterior)[1].mean()
    rivals = [
        nearest_neighbours(*points.train, fresh.x, neighbours=10, classes=4),
        kernel_densities(*points.train, fresh.x, bandwidth=0.1, classes=4),
    ]
    assert 0 < own < 0.005 and all(own < regrets(rival, posterior)[1].mean() / 10 for rival in rivals)


def test_a_learner_that_is_sure_is_bayes(points):
    theta = np.array([[math.log(0.2), 12.0, 2.0]])
    sure = SpiralLearner(theta, np.ones(1), theta[0], np.zeros(3), 4, 0.0, 1.0)
    x = points.fresh.x[:50]
    torch.testing.assert_close(sure.log_posterior(x), log_posterior(x, points.density))
    joint = log_joint(x, spiral_density(noise=0.2, rotation_degrees=12.0))
    torch.testing.assert_close(joint.log_softmax(1), log_posterior(x, points.density))


def test_rivals_by_hand():
    x, y = torch.tensor([[0.0], [1.0], [3.0]]), torch.tensor([0, 1, 1])
    shares = nearest_neighbours(x, y, torch.tensor([[0.2], [2.9]]), neighbours=2, classes=2).exp()
    assert shares.tolist() == [pytest.approx([0.5, 0.5]), pytest.approx([0.5 / 3, 2.5 / 3])]
    near = nearest_neighbours(x, y, torch.tensor([[0.2]]), neighbours=2, classes=2, prior=0.1).exp()[0]
    assert near.tolist() == pytest.approx([1.05 / 2.1, 1.05 / 2.1])
    one = kernel_densities(x, y, torch.tensor([[0.2]]), bandwidth=0.5, classes=2).exp()[0]
    own = math.exp(-0.5 * 0.16), 0.5 * (math.exp(-0.5 * 2.56) + math.exp(-0.5 * 31.36))
    assert one.tolist() == pytest.approx([own[0] / sum(own), own[1] / sum(own)])
    # Three points in all: half a point at the place itself for the two classes is a third of half of one each.
    more = kernel_densities(x, y, torch.tensor([[0.2], [99.0]]), bandwidth=0.5, classes=2, prior=0.5).exp()
    own = [value + 0.5 / 3 for value in own]
    assert more.tolist() == [pytest.approx([own[0] / sum(own), own[1] / sum(own)]), pytest.approx([0.5, 0.5])]


def test_the_command_splits_a_runs_regret(base, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(rivals, "plain_config", lambda *words: quick(plain_config(*words), trainer__max_epochs=3))
    folder = tmp_path / "run"
    result = train(quick(base), folder)
    assert main(["limits", str(folder), f"paths.logs={tmp_path / 'logs'}"]) == 0
    out = capsys.readouterr().out
    assert "Bayes learner" in out and "of it optimisation" in out and "NNGP" in out
    found = json.loads((folder / "limits.json").read_text())
    assert found["train_points"] == 128 and found["ntk"]["setting"]["depth"] == 1
    for kind in ("nll_regret", "accuracy_regret"):
        split = found["split"][kind]
        assert list(split) == ["data", "bias", "architecture", "optimisation"]
        assert sum(split.values()) == pytest.approx(result["fresh"][kind])
        assert split["data"] == found["bayes_learner"][kind] >= 0
    # The best were chosen on validation points, among all.
    assert (
        found["best_network"]["validation"]
        <= found["best_of_architecture"]["validation"]
        <= result["validation"]["nll_regret"]
    )
    assert json.loads((folder / "result.json").read_text()) == result_of(result) | {"split": found["split"]}
    assert main(["limits", str(folder), "data.noise=0.3"]) == 2
    assert main(["limits", "data=moons"]) == 2 and "limits needs data=spiral" in capsys.readouterr().err


def test_runs_on_the_same_points_share_their_rivals_and_a_report_shows_the_split(base, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(rivals, "plain_config", lambda *words: quick(plain_config(*words), trainer__max_epochs=3))
    calls = []
    measured = rivals.without_training
    monkeypatch.setattr(rivals, "without_training", lambda *given: calls.append(given) or measured(*given))
    folders = [tmp_path / "sweep" / name for name in ("a", "b")]
    for folder, rate in zip(folders, (0.01, 0.05)):
        train(quick(base, optimizer__lr=rate), folder)
    assert main(["limits", str(tmp_path / "sweep")]) == 0
    found = [json.loads((folder / "limits.json").read_text()) for folder in folders]
    assert len(calls) == 1 and found[0]["bayes_learner"] == found[1]["bayes_learner"]
    # The better of the two runs counts among the architecture's for both.
    assert found[0]["best_of_architecture"] == found[1]["best_of_architecture"]
    assert found[0]["best_of_architecture"]["validation"] <= min(one["run_metrics"]["validation"] for one in found)
    assert main(["report", str(tmp_path / "sweep")]) == 0
    text = (tmp_path / "sweep" / "sweep.md").read_text()
    assert "## Where the NLL regret comes from" in text and f"{found[0]['split']['nll_regret']['bias']:.5f}" in text
    assert "of it data" in (tmp_path / "sweep" / "report.html").read_text()
    assert (
        main(["limits", *map(str, folders), "sizes=[10,20]"]) == 2 and "need one run, got 2" in capsys.readouterr().err
    )
    (tmp_path / "none").mkdir()
    assert main(["limits", str(tmp_path / "none")]) == 2


def result_of(result):
    """What result.json holds of a result."""
    return json.loads(json.dumps(result))


def test_the_command_draws_it_over_points_and_widths(base, tmp_path, monkeypatch):
    monkeypatch.setattr(rivals, "plain_config", lambda *words: quick(plain_config(*words), trainer__max_epochs=3))
    folder = tmp_path / "run"
    train(quick(base), folder)
    assert main(["limits", str(folder), "networks=false", "sizes=[10,20]", "widths=[3,6]", "draws=2"]) == 0
    found = json.loads((folder / "limits.json").read_text())
    assert "split" not in found and found["sizes"]["train_points"] == [32, 64]
    assert np.shape(found["sizes"]["nll_regret"]["run"]) == np.shape(found["widths"]["nll_regret"]) == (2, 2)
    assert all((folder / "figures" / f"limits_{name}.png").stat().st_size > 20_000 for name in ("sizes", "widths"))


def test_a_smaller_set_is_trained_by_as_many_steps(base):
    config, stretch = rivals.resized(base, 10, 3)
    assert (
        config["data"]["points_per_arm"] == 10
        and config["data"]["batch_size"] == 4
        and config["data"]["validation_points"] == 10
    )
    assert (config["seed"], config["data"]["seed"]) == (base["seed"] + 3, base["data"]["seed"] + 3)
    # 128 points in minibatches of 16 for 4 epochs; 32 in minibatches of 4.
    assert stretch == 1 and config["trainer"]["max_epochs"] * (32 // 4) == 4 * (128 // 16)


def test_infinitely_wide_networks_come_near_the_limit(points):
    found = rivals.infinitely_wide(points, 2)
    guess = regrets(torch.zeros(2000, 4).log_softmax(1), points.log_posterior("fresh"))[1].mean()
    assert all(0 < found[name]["nll_regret"] < guess / 10 for name in ("nngp", "ntk"))
