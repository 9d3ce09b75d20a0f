"""A run measured again, on its own data and on others; trained again; and measured from a notebook."""

import json
import math

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningDataModule
from small_runs import base, quick, train  # noqa: F401 (fixtures among them)
from torch import nn
from torch.utils.data import TensorDataset

from mlplab.api import draw_decision_map, fit
from mlplab.api import evaluate as measure_in_notebook
from mlplab.cli.evaluate import evaluate, metrics_of
from mlplab.cli.reproduce import reproduce
from mlplab.data.bayes import log_posterior, score
from mlplab.data.modules import SpiralDataModule
from mlplab.errors import InputError
from mlplab.nn.losses import negative_log_softmax
from mlplab.nn.mlp import MLP
from mlplab.runs import checkpoint
from mlplab.training.classifier import Classifier
from mlplab.training.data_view import viewed
from mlplab.training.members import SingleNetwork
from mlplab.training.results import loss_folds, measure


@pytest.fixture(scope="module")
def finished(base, tmp_path_factory):
    """A run whose best state is not its last."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    config = quick(base, seed=1, optimizer__lr=0.3, trainer__max_epochs=12, data__noise=0.6, model__width=32)
    result = train(config, folder)
    assert result["best_epoch"] < 12
    return folder


def test_figures_by_hand():
    logits, labels = torch.randn(300, 3, generator=torch.Generator().manual_seed(0)), torch.arange(300) % 3
    own = measure(logits, labels)
    confidence, predicted = logits.double().softmax(1).max(1)
    hits = predicted == labels
    assert own["points"] == 300 and own["accuracy"] == int(hits.sum()) / 300
    assert own["nll"] == pytest.approx(
        -sum(logits[i].double().log_softmax(0)[labels[i]].item() for i in range(300)) / 300
    )
    error = 0.0
    for k in range(15):
        inside = (confidence > k / 15) & (confidence <= (k + 1) / 15)
        if inside.any():
            error += inside.sum().item() / 300 * abs(hits[inside].double().mean() - confidence[inside].mean()).item()
    assert own["calibration_error"] == pytest.approx(error, abs=1e-6)
    assert own["bayes_nll"] is None is own["nll_regret"]
    best = -negative_log_softmax(torch.nn.functional.one_hot(labels, 3) * 5.0)
    beside = measure(logits, labels, best)
    p, q = best.exp(), logits.double().softmax(1)
    assert beside["bayes_accuracy"] == 1 and own["accuracy_se"] == pytest.approx(
        float(np.std(hits.numpy(), ddof=1)) / 300**0.5
    )
    missed = [float(p[i].max() - p[i, predicted[i]]) for i in range(300)]
    assert (
        beside["accuracy_regret"]
        == pytest.approx(np.mean(missed))
        == pytest.approx(0.98 * (1 - own["accuracy"]), abs=0.01)
    )
    divergence = [float((p[i] * (p[i] / q[i]).log()).sum()) for i in range(300)]
    assert beside["nll_regret"] == pytest.approx(np.mean(divergence))
    assert beside["nll_regret_se"] == pytest.approx(np.std(divergence, ddof=1) / 300**0.5)


def test_regret_is_zero_of_bayes_itself_and_where_a_class_is_impossible():
    certain = torch.tensor([[0.0, -torch.inf], [-torch.inf, 0.0]])
    figures = measure(torch.tensor([[800.0, -800.0], [-800.0, 800.0]]), torch.tensor([0, 1]), certain)
    assert figures["accuracy_regret"] == figures["nll_regret"] == figures["nll_regret_se"] == 0
    logits = torch.randn(50, 4, generator=torch.Generator().manual_seed(1)).double()
    labels = torch.arange(50) % 4
    figures = measure(logits, labels, logits.log_softmax(1))
    assert figures["accuracy_regret"] == 0 and 0 <= figures["nll_regret"] < 1e-15
    assert measure(logits[:1], labels[:1], logits[:1].log_softmax(1))["nll_regret_se"] is None


def test_regret_without_labels_is_the_same_mean_with_half_the_error():
    stream = torch.Generator().manual_seed(2)
    p = torch.randn(20_000, 3, generator=stream).double().mul(3).log_softmax(1)
    q = p + 0.3 * torch.randn(20_000, 3, generator=stream).double()
    labels = torch.multinomial(p.exp(), 1, generator=stream).squeeze(1)
    figures = measure(q, labels, p)
    by_labels = p.gather(1, labels[:, None]) - q.log_softmax(1).gather(1, labels[:, None])
    error = by_labels.std().item() / 20_000**0.5
    assert figures["nll_regret"] == pytest.approx(by_labels.mean().item(), abs=4 * error)
    assert figures["nll_regret_se"] < error / 2


def test_losses_by_fold_are_the_mean_of_every_twentieth_point():
    logits, labels = torch.randn(47, 3, generator=torch.Generator().manual_seed(3)), torch.arange(47) % 3
    losses = torch.nn.functional.cross_entropy(logits.double(), labels, reduction="none")
    assert loss_folds(logits, labels) == pytest.approx([losses[i::20].mean().item() for i in range(20)])
    assert len(loss_folds(logits[:5], labels[:5])) == 5
    assert loss_folds(logits, labels, logits.double().log_softmax(1)) == pytest.approx([0] * 20, abs=1e-15)


def test_one_class_is_always_right():
    figures = measure(torch.zeros(3, 1), torch.zeros(3, dtype=torch.int64))
    assert (figures["accuracy"], figures["nll"], figures["calibration_error"]) == (1, 0, 0)


def test_a_run_measured_again_is_equal_or_said_not_to_be(finished, capsys):
    assert evaluate(finished) == 0 and "equal to the recorded ones" in capsys.readouterr().out
    path = finished / "result.json"
    text = path.read_text()
    result = json.loads(text)
    result["fresh"]["nll"] = math.nextafter(result["fresh"]["nll"], math.inf)
    path.write_text(json.dumps(result))
    try:
        assert evaluate(finished) == 1 and "NOT the recorded ones" in capsys.readouterr().out
    finally:
        path.write_text(text)


def test_a_run_measured_on_other_data(finished, tmp_path, capsys):
    result = evaluate(finished, ["data.noise=0.2", f"paths.logs={tmp_path / 'first'}", f"paths.logs={tmp_path}"])
    options = json.loads(json.dumps(_data_of(finished))) | {"noise": 0.2}
    data = SpiralDataModule(**options)
    data.setup()
    model = MLP(2, [32], 4, seed=0)
    model.load_state_dict(checkpoint.load(finished / "checkpoints" / "best.ckpt")["state_dict"])
    for part in ("test", "fresh"):
        x, y = getattr(data, part)
        expected = score(model(x).detach().log_softmax(1), y) | {
            f"bayes_{name}": value for name, value in score(log_posterior(x, data.density), y).items()
        }
        assert {name: result[part][name] for name in expected} == pytest.approx(expected, rel=1e-5)
    (folder,) = (tmp_path / "evaluate").iterdir()
    assert {path.name for path in folder.iterdir()} == {"config.yaml", "result.json", "figures"}
    assert json.loads((folder / "result.json").read_text())["test"] == result["test"]
    with pytest.raises(InputError, match="evaluate changes the data alone"):
        evaluate(finished, ["optimizer.lr=1"])
    with pytest.raises(InputError, match="distinguishes 4 classes"):
        evaluate(finished, ["data.arms=3", f"paths.logs={tmp_path}"])


def _data_of(folder):
    from omegaconf import OmegaConf

    node = OmegaConf.to_container(OmegaConf.load(folder / "config.yaml").data)
    return {key: value for key, value in node.items() if key != "_target_"}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("result.json", "[]"),
        ("result.json", "{}"),
        ("result.json", '{"evaluated": "../other"}'),
        ("result.json", '{"evaluated": "best", "test": 3}'),
        ("result.json", '{"evaluated": "best", "test": {}}'),
    ],
)
def test_a_damaged_result_is_answered_in_one_line(finished, tmp_path, name, content):
    text = (finished / name).read_text()
    (finished / name).write_text(content)
    try:
        for call in (lambda: evaluate(finished), lambda: reproduce(finished, tmp_path / "logs")):
            with pytest.raises(InputError, match="result.json is damaged") as caught:
                call()
            assert "\n" not in str(caught.value)
    finally:
        (finished / name).write_text(text)
    assert not (tmp_path / "logs").exists()


def test_a_run_that_cannot_be_trained_again_leaves_no_folder(finished, tmp_path):
    text = (finished / "config.yaml").read_text()
    (finished / "config.yaml").write_text(text.replace("points_per_arm: 40", "points_per_arm: 1000000000000000"))
    try:
        with pytest.raises(InputError, match="this does not fit into memory"):
            reproduce(finished, tmp_path / "logs")
        with pytest.raises(InputError, match="this does not fit into memory"):
            evaluate(finished)
    finally:
        (finished / "config.yaml").write_text(text)
    assert not (tmp_path / "logs").exists()


def test_a_figure_that_was_not_finite_is_compared_as_it_was_recorded(finished, capsys):
    path = finished / "result.json"
    text = path.read_text()
    result = json.loads(text)
    result["test"]["nll"] = None
    path.write_text(json.dumps(result))
    try:
        assert evaluate(finished) == 1
    finally:
        path.write_text(text)
    assert "differs by nan" in capsys.readouterr().out


def test_a_run_trained_again_is_identical_or_said_not_to_be(finished, tmp_path, capsys):
    assert reproduce(finished, tmp_path) == 0 and "\nidentical" in capsys.readouterr().out
    path = finished / "result.json"
    text = path.read_text()
    path.write_text(json.dumps(json.loads(text) | {"state_sha256": "0" * 64}))
    try:
        assert reproduce(finished, tmp_path) == 1
    finally:
        path.write_text(text)
    assert "different, and nothing that is recorded explains it" in capsys.readouterr().out


def test_a_notebook_measures_and_draws_a_network_or_a_classifier():
    data = SpiralDataModule(points_per_arm=40, batch_size=8, validation_points=0, fresh_points=50)
    models = [MLP(2, [6], 4, seed=seed) for seed in (0, 1)]
    for network in (models[0], Classifier(models[1])):
        model = getattr(network, "model", network)
        figures = measure_in_notebook(network, data)
        assert set(figures) == {"train", "test", "fresh"}
        for part, own in figures.items():
            points = getattr(data, part)
            assert own["nll"] == pytest.approx(
                torch.nn.functional.cross_entropy(model(points.x), points.y).item(), rel=1e-5
            )
    drawn = [draw_decision_map(model, data, resolution=8, bayes=True) for model in models]
    titles = [[text.get_text() for text in figure.findobj() if hasattr(text, "get_text")] for figure in drawn]
    wrong = [int((model(data.test.x).argmax(1) != data.test.y).sum()) for model in models]
    assert all(any(str(count) in text for text in texts) for count, texts in zip(wrong, titles))


def test_a_notebook_refuses_what_does_not_fit_together():
    def spirals(**options):
        return SpiralDataModule(points_per_arm=20, batch_size=8, validation_points=0, fresh_points=0, **options)

    classifier = Classifier(MLP(2, [4], 4, seed=0))
    for call in (measure_in_notebook, draw_decision_map):
        with pytest.raises(InputError, match="has 4 outputs; the data have 5 classes"):
            call(classifier, spirals(arms=5))
        with pytest.raises(InputError, match="cannot take inputs of shape"):
            call(Classifier(MLP(3, [4], 4, seed=0)), spirals())
    with pytest.raises(InputError, match="^resolution must be an integer from 1 to 4096, got 0"):
        draw_decision_map(classifier, spirals(), resolution=0)


@pytest.mark.filterwarnings("ignore")
def test_where_nothing_can_be_measured_that_is_said():
    """Of integer inputs the lab takes no points; a network may train on them all the same."""
    points = TensorDataset(torch.arange(16).reshape(8, 2), torch.arange(8) % 3)
    data = LightningDataModule.from_datasets(points, points, points, batch_size=4)
    with torch.random.fork_rng():
        network = nn.Sequential(nn.Embedding(16, 3), nn.Flatten(), nn.Linear(6, 3))
        assert fit(network, data, max_epochs=1, callbacks=[])["test"] is None  # Lightning's loop, which draws
    for measure_it in (
        lambda: measure_in_notebook(network, data),
        lambda: metrics_of(SingleNetwork(network), viewed(data)),
    ):
        with pytest.raises(InputError, match="^there is nothing to measure on LightningDataModule: its loaders must"):
            measure_it()
