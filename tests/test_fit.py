"""What a run leaves, that it repeats, and how a member ends before the others."""

import json
import threading
from functools import partial

import pytest
import torch
from small_runs import assert_same_run, base, changed, quick, rows, serving, state_in, status, train, whole  # noqa: F401 (fixtures among them)
from torch import nn

from mlplab.nn.losses import gradient_at_logits
from mlplab.population.optimizers import subnormals_flushed
from mlplab.population.state import all_finite
from mlplab.runs import checkpoint
from mlplab.runs.identity import tensor_sha256
from mlplab.training.callbacks import MemberCallback
from mlplab.training.fit import fit, fit_members

# What a run leaves.


def test_a_run_folder_holds_what_the_design_lists(whole, base):
    names = {path.name for path in whole.iterdir()}
    assert names == {
        "config.yaml",
        "manifest.json",
        "status.json",
        "metrics.csv",
        "result.json",
        "checkpoints",
        "tensorboard",
        "figures",
        "run.html",
    }
    assert {p.name for p in (whole / "checkpoints").iterdir()} == {"last.ckpt", "best.ckpt", "snapshots.npz"}
    assert (whole / "figures" / "decision_map.png").stat().st_size > 1000
    assert status(whole) == "finished"
    assert "${" not in (whole / "config.yaml").read_text()
    manifest = json.loads((whole / "manifest.json").read_text())
    result = json.loads((whole / "result.json").read_text())
    assert manifest["config_digest"] == result["config_digest"]
    assert len(manifest["data_sha256"]) == 64 and manifest["seed"] == 0 and manifest["data_seed"] == 2021


def test_the_result_is_true(whole, base):
    result = json.loads((whole / "result.json").read_text())
    assert (result["status"], result["epochs"], result["steps"], result["parameters"]) == ("finished", 4, 32, 46)
    assert (result["seed"], result["data_seed"], result["name"], result["device"]) == (0, 2021, "run", "cpu")
    counts = {part: result[part]["points"] for part in ("test", "fresh", "validation", "train")}
    assert counts == {"test": 32, "fresh": 100, "validation": 40, "train": 128}
    for part in counts:
        figures = result[part]
        # Without labels the regret is another estimate of the same difference, a more exact one.
        error = 4 * figures["nll_se"]
        assert figures["nll_regret"] == pytest.approx(figures["nll"] - figures["bayes_nll"], abs=error) and error < 1
        assert 0 <= figures["accuracy_regret"] <= 1 and figures["nll_regret"] >= 0 < figures["nll_regret_se"]
    assert len(result["validation"]["loss_folds"]) == 20
    assert sum(result["validation"]["loss_folds"]) / 20 == pytest.approx(result["validation"]["nll_regret"])
    table = rows(whole)
    assert [int(row["epoch"]) for row in table] == [1, 2, 3, 4] and [int(row["step"]) for row in table] == [
        8,
        16,
        24,
        32,
    ]
    losses = [float(row["val/loss"]) for row in table]
    assert result["best_epoch"] == 1 + losses.index(min(losses)) and result["evaluated"] == "best"
    assert result["validation"]["nll"] == pytest.approx(min(losses), rel=1e-6)
    last = checkpoint.load(whole / "checkpoints" / "last.ckpt")
    assert tensor_sha256(state_in(last)) == result["state_sha256"]
    assert 0 < result["seconds"]["fit"] < result["seconds"]["total"]


def test_the_best_checkpoint_gives_the_reported_figures(whole, base):
    from mlplab.data.modules import SpiralDataModule
    from mlplab.nn.mlp import MLP

    best = checkpoint.load(whole / "checkpoints" / "best.ckpt")
    model = MLP(2, [6], 4, seed=0)
    model.load_state_dict(best["state_dict"])
    options = {key: value for key, value in base["data"].items() if key != "_target_"}
    data = SpiralDataModule(**options)
    data.setup()
    result = json.loads((whole / "result.json").read_text())
    for name in ("test", "train", "validation", "fresh"):
        points = getattr(data, name)
        logits = model(points.x).detach().double()
        assert result[name]["accuracy"] == (logits.argmax(1) == points.y).double().mean().item()
        expected = nn.functional.cross_entropy(logits, points.y).item()
        assert result[name]["nll"] == pytest.approx(expected, rel=1e-5)


def test_tensorboard_reads_the_run_back(whole):
    from tensorboard.backend.event_processing import event_accumulator
    from tensorboard.plugins.hparams import plugin_data_pb2

    def read(folder):
        everything = {kind: 0 for kind in ("scalars", "images", "tensors")}
        return event_accumulator.EventAccumulator(str(folder), size_guidance=everything).Reload()

    table, top = rows(whole), read(whole / "tensorboard")
    for run, part in (("train", "train"), ("val", "val")):
        for tag in ("loss", "accuracy"):
            events = read(whole / "tensorboard" / run).Scalars(tag)
            assert [event.step for event in events] == [8, 16, 24, 32]
            assert [event.value for event in events] == pytest.approx([float(row[f"{part}/{tag}"]) for row in table])
    maps = top.Images("decision_map")
    assert [image.step for image in maps] == [0, 8, 16, 32]  # epochs 0, 1, 2 and the last
    files = sorted((whole / "figures" / "epochs").iterdir())
    assert [image.encoded_image_string for image in maps] == [file.read_bytes() for file in files]
    assert top.Images("final/learning")[0].encoded_image_string[:4] == b"GIF8"
    assert b"max_epochs: 4" in top.Tensors("config")[0].tensor_proto.string_val[0]
    content = top.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    start = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info
    assert start.hparams["optimizer.lr"].number_value == 2e-2 and start.hparams["seed"].number_value == 0
    result = json.loads((whole / "result.json").read_text())
    assert top.Scalars("test/accuracy")[-1].value == pytest.approx(result["test"]["accuracy"])
    assert "hp_metric" not in top.Tags()["scalars"]


def test_a_repetition_is_the_same_run(whole, base, tmp_path):
    train(base, tmp_path / "run")
    assert_same_run(whole, tmp_path / "run")


def test_seeds_matter_and_zero_is_a_seed(base, tmp_path):
    results = {seed: train(quick(base, seed=seed), tmp_path / str(seed)) for seed in (0, 1)}
    again = train(quick(base, data__seed=0), tmp_path / "data")
    assert len({result["state_sha256"] for result in (*results.values(), again)}) == 3


def test_nothing_is_kept_without_a_folder(base, whole, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = fit(base, None)
    assert result["state_sha256"] == json.loads((whole / "result.json").read_text())["state_sha256"]
    assert list(tmp_path.iterdir()) == []


def test_fitting_works_outside_of_the_main_thread(base, tmp_path):
    found = []
    worker = threading.Thread(target=lambda: found.append(train(quick(base), tmp_path / "run")))
    worker.start()
    worker.join()
    assert found[0]["state_sha256"] == train(quick(base), tmp_path / "main")["state_sha256"]


def test_an_error_is_recorded(base, tmp_path):
    class Broken(MemberCallback):
        def on_epoch(self, trainer, classifier):
            raise RuntimeError("a fault of its own")

    (tmp_path / "run").mkdir()
    with pytest.raises(RuntimeError, match="a fault of its own"):
        fit_members([quick(base)], [tmp_path / "run"], observer=Broken())
    record = json.loads((tmp_path / "run" / "status.json").read_text())
    assert record["status"] == "failed" and "a fault of its own" in record["error"]


@pytest.mark.parametrize("lr", (1e30, 1e10))
def test_divergence_is_recorded_with_a_finite_state(base, tmp_path, serving, lr):
    config = quick(
        base,
        optimizer={
            "_target_": "torch.optim.SGD",
            "_partial_": True,
            "lr": lr,
            "momentum": 0.0,
            "nesterov": False,
            "weight_decay": 0.0,
        },
    )
    result = train(config, tmp_path / "run", serving=serving)
    assert result["status"] == "diverged" == status(tmp_path / "run") and result["stopped"] == "diverged"
    assert result["epochs"] < 4 and result["steps"] <= 32
    assert "not finite" in json.loads((tmp_path / "run" / "status.json").read_text())["error"]
    state = checkpoint.load(tmp_path / "run" / "checkpoints" / "last.ckpt")
    for part in (state["state_dict"], *state["optimizer_states"][0]["state"].values()):
        for value in part.values():
            assert value.isfinite().all()
    assert 0 <= result["test"]["accuracy"] <= 1
    table = rows(tmp_path / "run") if (tmp_path / "run" / "metrics.csv").exists() else []
    assert len(table) == result["epochs"] and "nan" not in str(table)


def test_without_the_guard_training_goes_on(base, tmp_path):
    config = quick(base, callbacks__divergence_guard=None, optimizer__lr=1e30, evaluate_state="last")
    result = train(config, tmp_path / "run")
    assert result["status"] == "diverged" and result["epochs"] == 4


@pytest.mark.parametrize("engine", ["population", "lightning"])
def test_without_the_guard_what_cannot_be_drawn_costs_no_run(base, tmp_path, engine):
    config = changed(base, callbacks__divergence_guard=None, optimizer__lr=1e30, trainer__engine=engine)
    result = train(config, tmp_path / "run")
    assert result["status"] == "diverged" == status(tmp_path / "run") and len(rows(tmp_path / "run")) == 4


def test_early_stopping_ends_after_its_patience(base, tmp_path):
    stopping = {"_target_": "mlplab.training.callbacks.EarlyStopping", "monitor": "val/loss", "patience": 2}
    config = quick(base, callbacks__early_stopping={**stopping, "min_delta": 100.0}, trainer__max_epochs=9)
    result = train(config, tmp_path / "run")
    # The first epoch is an improvement on nothing.
    assert (result["epochs"], result["steps"], result["stopped"]) == (3, 24, "early stopping")
    assert result["status"] == "finished" and len(rows(tmp_path / "run")) == 3


def test_fast_dev_run_keeps_nothing_but_its_result(base, tmp_path):
    result = train(quick(base, trainer__fast_dev_run=True), tmp_path / "run")
    assert (result["epochs"], result["steps"]) == (1, 1)
    assert not (tmp_path / "run" / "checkpoints").exists() and not (tmp_path / "run" / "metrics.csv").exists()


def test_max_steps_inside_of_an_epoch(base, tmp_path, serving):
    result = train(quick(base, trainer__max_steps=11), tmp_path / "run", serving=serving)
    assert (result["epochs"], result["steps"]) == (2, 11)
    assert [int(row["step"]) for row in rows(tmp_path / "run")] == [8, 11]


def test_images_are_classified_too(tmp_path, base):
    from mlplab.data.arrays import ArrayDataModule, Points
    from mlplab.nn.mlp import MLP
    from mlplab.population.engine import PopulationModule
    from mlplab.training.trainers import BlockTrainer

    class Bars(ArrayDataModule):
        def prepare(self):
            x = torch.rand(90, 1, 4, 4, generator=torch.Generator().manual_seed(self.seed))
            y = torch.arange(90) % 3
            x[torch.arange(90), 0, y] += 2
            self.classes, self.density = 3, None
            parts = [Points(x[a:b], y[a:b]) for a, b in ((0, 60), (60, 75), (75, 90))]
            return dict(zip(("train", "validation", "test"), parts)) | {"fresh": None}

    data, classifier = Bars(batch_size=10), PopulationModule(MLP(16, [8], 3, seed=0))
    BlockTrainer(accelerator="cpu", max_epochs=60, callbacks=[]).fit(classifier, data)
    accuracy = (classifier(data.test.x).argmax(1) == data.test.y).double().mean()
    assert accuracy == 1.0


def test_a_state_is_finite_when_all_its_numbers_are_though_their_sum_is_not():
    rows = torch.tensor([[3e38, 3e38], [1.0, torch.nan], [torch.inf, -torch.inf], [0.0, 1.0]])
    assert all_finite(rows).tolist() == [True, False, False, True]
    assert all_finite(rows[:, :0]).all()


class TinyMoments(MemberCallback):
    """Start training with moments that no normal number can hold."""

    def on_train_start(self, trainer, classifier):
        for moment in classifier.optimizer.moments.values():
            moment.fill_(1e-39)

    def on_train_end(self, trainer, classifier):
        self.left = {name: moment.clone() for name, moment in classifier.optimizer.moments.items()}


def test_moments_of_dead_units_do_not_linger_near_zero(base):
    moments = TinyMoments()
    fit_members([changed(base, trainer__max_epochs=1)], [None], observer=moments)
    smallest = torch.finfo(torch.float32).smallest_normal
    for moment in moments.left.values():
        assert ((moment == 0) | (moment.abs() >= smallest)).all() and moment.any()


def test_subnormals_are_flushed_here_and_only_within():
    tiny = torch.full((64,), 1e-39)

    def survives():
        return bool((tiny * 0.5).any())

    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        with subnormals_flushed():
            assert not survives()
            with subnormals_flushed():
                assert not survives()
            assert not survives()
        assert survives()
        with pytest.raises(KeyError), subnormals_flushed():
            raise KeyError
        assert survives()
        torch.set_num_threads(2)
        with subnormals_flushed():
            assert survives()
    finally:
        torch.set_num_threads(threads)


def test_a_population_that_was_trained_can_be_trained_by_hand(base):
    """Training runs in torch's inference mode, which must not be seen in what it leaves."""
    kept = []

    class Keep(MemberCallback):
        def on_epoch(self, trainer, classifier):
            kept[:] = [classifier, *classifier.sums.losses, *classifier.metrics.values()]

    fit_members([changed(base, trainer__max_epochs=1)], [None], observer=Keep())
    classifier, *figures = kept
    population = classifier.population
    q, a = classifier.loss.targets(torch.zeros(1, 16, dtype=torch.long), 4, torch.float32)
    before = population.gradient.clone()
    population.backward(slice(0, 1), torch.ones(1, 16, 2), partial(gradient_at_logits, q=q, a=a), 0)
    classifier.optimizer.update(slice(0, 1), population.gradient, 1, 1.0)
    assert not torch.equal(population.gradient, before)
    for array in (population.theta, population.gradient, *classifier.optimizer.moments.values(), classifier.best.theta):
        assert not array.is_inference()
    assert all(not figure.is_inference() for figure in classifier.metrics.values()) and figures
