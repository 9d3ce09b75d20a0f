"""The tutorial's own setting, and the numbers that it is known to give."""

import csv
import json

import pytest
import torch

from mlplab.config.composition import compose
from mlplab.data.modules import SpiralDataModule
from mlplab.nn.mlp import MLP
from mlplab.runs import checkpoint
from mlplab.training.fit import fit


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tutorial") / "run"
    folder.mkdir()
    options = ["experiment=tutorial", "figures=none", "callbacks.progress=null", "logger.tensorboard=null"]
    fit(compose("train", [*options, f"paths.logs={folder}", "data.fresh_points=0", "trainer.accelerator=cpu"]), folder)
    return folder


@pytest.fixture(scope="module")
def data():
    module = SpiralDataModule(seed=2021, seeding="tutorial", validation_points=0, fresh_points=0)
    module.setup()
    return module


def test_points_and_split(data):
    x = torch.cat([data.train.x, data.test.x])
    assert x.shape == (4000, 2) and len(data.test.y) == 800
    assert x.double().sum(0).tolist() == pytest.approx([0.735573, -10.831866], abs=1e-4)
    assert x.abs().double().sum().item() == pytest.approx(2579.9221, abs=1e-3)
    assert x.abs().max().item() == pytest.approx(1.36883, abs=1e-5)
    assert data.test.y.bincount().tolist() == [184, 196, 211, 209]
    assert (x == 0).all(1).sum() == 4 and (data.test.x == 0).all(1).sum() == 1


def test_the_first_minibatch(data):
    model = MLP(2, [128], 4, init_seed=2021)
    assert sum(parameter.numel() for parameter in model.parameters()) == 900
    chosen = data.order(0)[:128]
    loss = torch.nn.functional.cross_entropy(model(data.train.x[chosen]), data.train.y[chosen])
    assert round(loss.item(), 3) == 1.367


def test_losses_along_the_training(folder):
    with open(folder / "metrics.csv") as file:
        losses = [float(row["train/loss"]) for row in csv.DictReader(file)]
    assert len(losses) == 100 and round(losses[0], 3) == 1.278
    assert losses[-1] == pytest.approx(0.124, abs=2e-3)


def test_figures_at_the_end(folder):
    result = json.loads((folder / "result.json").read_text())
    assert (result["epochs"], result["steps"], result["parameters"]) == (100, 2500, 900)
    assert result["evaluated"] == "last" and result["validation"] is None and result["best_epoch"] is None
    # Rounding turns a point or two in a long training, so the spread over initialisations is what is promised.
    assert result["test"]["accuracy"] == pytest.approx(0.9695, abs=3 * 0.0027)
    assert result["train"]["accuracy"] == pytest.approx(0.98156, abs=0.005)
    assert result["test"]["bayes_accuracy"] == 0.98375 and result["test"]["bayes_nll"] == pytest.approx(
        0.0455, abs=1e-4
    )
    assert result["train"]["bayes_accuracy"] == pytest.approx(0.98781, abs=1e-5)


def test_the_training_is_the_tutorials_loop(folder, data):
    """An ordinary loop of torch over the same order ends at the same network, to rounding."""
    model = MLP(2, [128], 4, init_seed=2021)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for epoch in range(10):
        for chosen in data.order(epoch)[: 25 * 128].split(128):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(data.train.x[chosen]), data.train.y[chosen]).backward()
            optimizer.step()
    short = compose(
        "train",
        [
            "experiment=tutorial",
            "figures=none",
            "callbacks.progress=null",
            "trainer.max_epochs=10",
            "data.fresh_points=0",
            f"paths.logs={folder}",
            "trainer.accelerator=cpu",
            "logger=none",
            "callbacks.decision_maps=null",
        ],
    )
    place = folder.parent / "short"
    place.mkdir()
    fit(short, place)
    state = checkpoint.load(place / "checkpoints" / "last.ckpt")["state_dict"]
    own = {name.removeprefix("model."): value for name, value in state.items()}
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(own[name], parameter.detach(), rtol=1e-3, atol=1e-4)
