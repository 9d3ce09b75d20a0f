"""The tour and its notebook hold the lab's own numbers."""

import base64
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from tour_notebook import SHOW, cells, executed

import mlplab
from mlplab.data.bayes import log_posterior
from mlplab.data.modules import SpiralDataModule
from mlplab.population.schedules import Cosine
from mlplab.studies.lif.neuron import Neuron, rate_hz, relu_rate_hz
from mlplab.studies.relu.knots import uniform
from mlplab.studies.relu.targets import make_target

SCRIPTS = Path(__file__).resolve().parent.parent / "scripts"


@pytest.fixture(scope="module")
def notebook():
    return json.loads((SCRIPTS / "tour.ipynb").read_text(encoding="utf-8"))["cells"]


@pytest.fixture(scope="module")
def run(notebook, tmp_path_factory):
    """Execute the notebook: the names that it defines, and the outputs of its cells."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("tour"))
        names, outputs = executed([(cell["cell_type"], "".join(cell["source"])) for cell in notebook])
        assert Path("tour.png").stat().st_size > 100_000
    return names, outputs


@pytest.fixture(scope="module")
def tour(run):
    return run[0]


@pytest.fixture(scope="module")
def data():
    module = SpiralDataModule()
    module.setup()
    return module


def test_it_is_one_file_that_imports_little():
    lines = (SCRIPTS / "tour.py").read_text().splitlines()
    assert len(lines) <= 300
    imported = {line.split()[1].split(".")[0] for line in lines if line.startswith(("import ", "from "))}
    assert imported == {"hashlib", "math", "numpy", "torch", "matplotlib"}


def test_the_notebook_is_the_file_and_its_outputs_are_kept(notebook, run):
    assert [(cell["cell_type"], "".join(cell["source"])) for cell in notebook] == cells()
    for cell, outputs in zip(notebook, run[1], strict=True):
        kept = cell.get("outputs", [])
        assert [one["output_type"] for one in kept] == [one["output_type"] for one in outputs]
        if "".join(cell["source"]) == SHOW:
            pieces = kept[0]["data"]["image/png"]
            assert base64.b64decode("".join(pieces)).startswith(b"\x89PNG")
            assert not any(re.search("XXX|TODO|FIXME|HACK", piece) for piece in pieces)
        else:
            shown, again = (["".join(one["text"]) for one in some] for some in (kept, outputs))
            assert [re.sub(r"[0-9.e-]+", "#", text) for text in shown] == [
                re.sub(r"[0-9.e-]+", "#", text) for text in again
            ]
            numbers = [
                [float(word) for text in some for word in re.findall(r"(?<!e-)\b[0-9]+[.]?[0-9]*\b(?!e-)", text)]
                for some in (shown, again)
            ]
            assert numbers[0] == pytest.approx(numbers[1], rel=0.1)  # on another CPU the last bits differ


def test_the_points_are_equal_to_the_bit(tour, data):
    for part in ("train", "test", "fresh"):
        assert torch.equal(tour[f"x_{part}"], getattr(data, part).x) and torch.equal(
            tour[f"y_{part}"], getattr(data, part).y
        )


def test_the_bayes_classifier_is_the_labs(tour, data):
    exact = data.log_posterior("fresh")
    assert torch.allclose(tour["bayes_fresh"].exp(), exact.exp(), rtol=0, atol=1e-6)
    right = (exact.argmax(1) == data.fresh.y).double().mean().item()
    assert tour["bayes_accuracy"] == right
    assert torch.allclose(
        tour["log_posterior"](data.test.x).exp(), log_posterior(data.test.x, data.density).exp(), atol=1e-6
    )


def test_the_trained_network_is_the_labs(tour, data):
    def adam(parameters):
        return torch.optim.Adam(parameters, lr=tour["RATE"])

    model = mlplab.Classifier(mlplab.MLP(2, [128], 4, seed=0), optimizer=adam, schedule=Cosine(), seed=0)
    trained = mlplab.fit(model, data, max_epochs=tour["EPOCHS"], precision="64-true", callbacks=[], seed=0)
    assert trained["steps"] == tour["STEPS"]
    for own, lab in zip(tour["network"].parameters(), model.model.parameters(), strict=True):
        assert torch.allclose(own, lab.double(), rtol=0, atol=1e-5)
    figures = mlplab.evaluate(model, data)
    for part in ("test", "fresh"):
        assert tour[f"{part}_accuracy"] == pytest.approx(figures[part]["accuracy"], abs=1e-4)
        assert tour[f"{part}_nll"] == pytest.approx(figures[part]["nll"], abs=1e-5)
    assert tour["accuracy_regret"] == pytest.approx(figures["fresh"]["accuracy_regret"], abs=1e-5)
    assert tour["nll_regret"] == pytest.approx(figures["fresh"]["nll_regret"], abs=1e-5)
    assert tour["gap"] < 1e-9


def test_the_relus_and_the_neuron_are_the_labs(tour):
    line, current = tour["line"], tour["current"]
    assert np.allclose(tour["units"].sum(1), uniform(make_target("sin"), 9)(line), rtol=0, atol=1e-12)
    for name, (resistance, refractory) in tour["neurons"].items():
        neuron = Neuron(resistance_kohm=resistance, tau_ref_ms=refractory)
        off = current[np.abs(current - 1 / resistance) > 1e-9]  # at the threshold itself rounding decides
        assert np.allclose(tour["rate_hz"](off, resistance, refractory), rate_hz(neuron, off), rtol=1e-9, atol=1e-9), (
            name
        )
    assert np.array_equal(tour["relu_rate"], relu_rate_hz(Neuron(resistance_kohm=np.inf, tau_ref_ms=0), current))
