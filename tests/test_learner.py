"""The Bayes learner and its rivals: the right parameters, probabilities, and an order among them."""

import inspect
import json
import math

import numpy as np
import pytest
import torch
from small_runs import base, quick, train  # noqa: F401 (a fixture among them)

from mlplab.cli import rivals
from mlplab.cli.app import main
from mlplab.cli.rivals import plain_config
from mlplab.data import learner
from mlplab.data.bayes import log_joint, log_posterior, regrets
from mlplab.data.datasets import spiral_density
from mlplab.data.learner import (
    NODES,
    PRIOR_MEAN,
    PRIOR_SD,
    SpiralLearner,
    _density,
    _derivatives,
    fit_spirals,
    kernel_densities,
    nearest_neighbours,
)
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


def fitted_to(monkeypatch, log_likelihood):
    """Fit where the likelihood of all points is a function of the three parameters; one of 9 lies at the origin."""
    counts = set()

    def joint(x, theta):
        counts.add(len(x))
        return torch.full((len(x), 2), log_likelihood(theta) / len(x), dtype=torch.float64)

    monkeypatch.setattr(learner, "_density", lambda theta, *_: theta)
    monkeypatch.setattr(learner, "log_joint", joint)
    x = torch.ones(9, 2)
    x[3] = 0
    found = fit_spirals(x, torch.arange(9) % 2, arms=2, t_min=0.25, t_max=0.75)
    assert counts == {8} and (found.arms, found.t_min, found.t_max) == (2, 0.25, 0.75)
    assert found.weights.sum() == pytest.approx(1) and (found.weights > 0).all()
    assert found.parameters.shape == (NODES**3 - 8, 3)  # the eight corners carry less than 1e-4 of the mass
    return found


@pytest.mark.parametrize("centre", [(math.log(0.25), 5.0, 2.1), (math.log(0.9), -40.0, 2.6)])
def test_a_normal_posterior_is_found_exactly(monkeypatch, centre):
    own = np.array([[400.0, 3.0, 50.0], [3.0, 0.25, -1.0], [50.0, -1.0, 900.0]])
    found = fitted_to(monkeypatch, lambda theta: -0.5 * (theta - centre) @ own @ (theta - centre))
    precision = own + np.diag(1 / PRIOR_SD**2)
    mean, covariance = np.linalg.solve(precision, own @ centre + PRIOR_MEAN / PRIOR_SD**2), np.linalg.inv(precision)
    sd = np.sqrt(np.diag(covariance))
    np.testing.assert_allclose(found.mode / sd, mean / sd, rtol=0, atol=1e-5)
    np.testing.assert_allclose(found.sd, sd, rtol=1e-6)
    np.testing.assert_allclose(found.weights @ found.parameters / sd, mean / sd, rtol=0, atol=1e-5)
    away = (found.parameters - mean) / sd
    np.testing.assert_allclose((found.weights * away.T) @ away, covariance / np.outer(sd, sd), atol=1e-3)


def test_a_posterior_that_is_not_normal_is_reweighted(monkeypatch):
    """The first parameter's is skew: its mean is an integral, by a fine sum."""

    def skew(noise):
        u = (noise - math.log(0.3)) / 0.2
        return 2 * (u - np.exp(u))

    found = fitted_to(monkeypatch, lambda theta: skew(theta[0]))
    grid = np.linspace(-4, 2, 6001)
    density = np.exp(skew(grid) - 0.5 * ((grid - PRIOR_MEAN[0]) / PRIOR_SD[0]) ** 2)
    mean = (grid * density).sum() / density.sum()
    sd = math.sqrt(((grid - mean) ** 2 * density).sum() / density.sum())
    own = found.weights @ found.parameters
    assert abs(found.mode[0] - grid[density.argmax()]) < 1e-3 < abs(found.mode[0] - mean)
    assert abs(own[0] - mean) < 0.03 * sd and own[1:] == pytest.approx(PRIOR_MEAN[1:], abs=1e-3)
    spread = math.sqrt(found.weights @ (found.parameters[:, 0] - own[0]) ** 2)
    assert spread == pytest.approx(sd, rel=0.05) and found.sd[1:] == pytest.approx(PRIOR_SD[1:], rel=1e-6)


def test_the_prior_is_about_the_spirals_as_they_are_drawn():
    """Log noise, turn in degrees, winding: about a noise of 0.2, no turn, and the winding that the spirals have."""
    winding = inspect.signature(spiral_density).parameters["winding"].default
    assert PRIOR_MEAN.tolist() == [math.log(0.2), 0.0, winding] and PRIOR_SD.tolist() == [1.0, 45.0, 0.5]


def test_derivatives_are_those_of_a_polynomial():
    def value(t):
        return (
            2
            + 3 * t[0]
            - t[1]
            + 4 * t[2]
            + 5 * t[0] ** 2
            + 7 * t[1] ** 2
            - 2 * t[2] ** 2
            + t[0] * t[1]
            - 6 * t[0] * t[2]
            + 8 * t[1] * t[2]
        )

    at = np.array([0.5, -1.0, 2.0])
    gradient, hessian = _derivatives(value, at, value(at), np.array([0.01, 0.1, 0.005]))
    expected = [3 + 10 * 0.5 - 1 - 12, -1 - 14 + 0.5 + 16, 4 - 8 - 3 - 8]
    np.testing.assert_allclose(gradient, expected, rtol=1e-9)
    np.testing.assert_allclose(hessian, [[10, 1, -6], [1, 14, 8], [-6, 8, -4]], rtol=1e-6)


def test_the_density_of_parameters_is_that_of_the_spirals():
    made, wanted = (
        _density(np.array([math.log(0.2), 12.0, 1.8]), 3, 0.1, 0.9),
        spiral_density(arms=3, noise=0.2, t_min=0.1, t_max=0.9, rotation_degrees=12.0, winding=1.8),
    )
    assert torch.equal(made.means, wanted.means)
    torch.testing.assert_close(made.scales, wanted.scales)
    torch.testing.assert_close(
        _density(np.array([-99.0, 0.0, 2.0]), 2, 0.5, 1.0).scales.max(), torch.tensor(1e-3).double(), rtol=0.1, atol=0
    )


def test_parameters_of_little_weight_are_left_out():
    theta = np.array([[math.log(0.2), 0.0, 2.0], [math.log(0.5), 20.0, 2.0]])
    x = torch.tensor([[0.3, 0.2], [-0.7, 0.4]])
    for weight, least, kept in ((1e-5, 1e-4, 1), (1e-3, 1e-4, 2), (1e-3, 1e-3, 1), (0.3, 1e-4, 2)):
        weights = np.array([1 - weight, weight])
        found = SpiralLearner(theta, weights, theta[0], np.ones(3), 2, 0.0, 1.0).log_posterior(x, least)
        joint = sum(w * log_joint(x, _density(t, 2, 0.0, 1.0)).exp() for w, t in list(zip(weights, theta))[:kept])
        torch.testing.assert_close(found, (joint / joint.sum(1, keepdim=True)).log())
    assert SpiralLearner.log_posterior.__defaults__ == (1e-4,)


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
