"""Runs of Lightning's own loop from a config: they repeat to the bit, and averaged weights are those that count."""

import json
from functools import partial

import lightning.pytorch as L
import numpy as np
import pytest
import torch
from beside_lightning import QUIET, drawing  # noqa: F401 (a fixture)
from lightning.pytorch.callbacks import EMAWeightAveraging, ModelPruning, StochasticWeightAveraging, WeightAveraging
from lightning.pytorch.utilities import rank_zero_only
from small_runs import assert_same_run, base, changed, interrupt, train  # noqa: F401 (base is a fixture)
from torch import nn

import mlplab
from mlplab import seeds
from mlplab.cli.app import main
from mlplab.cli.train import summary
from mlplab.errors import InputError
from mlplab.runs import checkpoint
from mlplab.runs.events import read_events
from mlplab.training.build import build_module
from mlplab.training.callbacks import EarlyStopping
from mlplab.training.loading import start_from
from mlplab.training.plane import plane_of

pytestmark = pytest.mark.filterwarnings("ignore")
OWN = '''
import random
import lightning.pytorch as L
import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split

class Drop(L.LightningModule):
    """Dropout by torch's global generator, and noise by numpy's and Python's."""
    def __init__(self, in_features, out_features):
        super().__init__()
        self.scale = random.random() + np.random.rand()
        self.net = nn.Sequential(nn.Linear(in_features, 16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, out_features))
    def forward(self, x):
        return self.net(x)
    def training_step(self, batch, index):
        noisy = batch[0] + 0.01 * self.scale * (np.random.rand() + random.random())
        loss = nn.functional.cross_entropy(self(noisy), batch[1])
        self.log("train/loss", loss)
        return loss
    def validation_step(self, batch, index):
        self.log("val/loss", nn.functional.cross_entropy(self(batch[0]), batch[1]))
    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.01)

class Shuffled(L.LightningDataModule):
    def __init__(self, workers=0):
        super().__init__()
        self.workers = workers
    def setup(self, stage):
        x = torch.randn(160, 2)
        self.parts = random_split(TensorDataset(x, (x[:, 0] > 0).long() + 2 * (x[:, 1] > 0).long()), [100, 30, 30])
    def train_dataloader(self):
        return DataLoader(self.parts[0], batch_size=20, shuffle=True, num_workers=self.workers)
    def val_dataloader(self):
        return DataLoader(self.parts[1], batch_size=30)
    def test_dataloader(self):
        return DataLoader(self.parts[2], batch_size=30)
'''


@pytest.fixture
def drawn(base, tmp_path, monkeypatch):  # noqa: F811
    (tmp_path / "drawnhere.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("MLPLAB_TRUST", "drawnhere")
    config = changed(base, module={"_target_": "drawnhere.Drop"}, data={"_target_": "drawnhere.Shuffled"})
    return config | {"figures": "none", "callbacks": {**config["callbacks"], "decision_maps": None}}


def test_a_run_that_draws_by_global_generators_repeats_to_the_bit(drawn, tmp_path):
    with seeds.same_generators():
        before = seeds.states()
        first = train(drawn, tmp_path / "first")
        after = seeds.states()
        assert torch.equal(before["torch"], after["torch"]) and before["python"] == after["python"]
        np.testing.assert_array_equal(before["numpy"][1], after["numpy"][1])
        seeds.seed_all(99)  # what stands there before is of no account
        train(drawn, tmp_path / "second")
        other = train(drawn | {"seed": drawn["seed"] + 1}, tmp_path / "other")
    assert_same_run(tmp_path / "first", tmp_path / "second")
    assert first["state_sha256"] != other["state_sha256"]
    manifests = [json.loads((tmp_path / name / "manifest.json").read_text()) for name in ("first", "other")]
    assert manifests[0]["data_sha256"] == manifests[1]["data_sha256"]  # another seed is not another split


@pytest.mark.parametrize("workers", [0, 1])
def test_a_run_that_draws_by_global_generators_goes_on_to_the_same_bits(drawn, tmp_path, workers):
    drawn["data"]["workers"] = workers
    train(drawn, tmp_path / "whole")
    interrupt(drawn, tmp_path / "stopped", 13)  # 5 minibatches an epoch, so within the third
    train(drawn, tmp_path / "stopped", resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "stopped")


AVERAGES = [
    (EMAWeightAveraging, {"decay": 0.9}),
    (WeightAveraging, {}),
    (StochasticWeightAveraging, {"swa_lrs": 0.01, "swa_epoch_start": 2}),
]


@pytest.mark.parametrize("kind, options", AVERAGES, ids=lambda value: getattr(value, "__name__", ""))
def test_averaged_weights_are_those_that_are_saved_and_measured(base, tmp_path, kind, options):  # noqa: F811
    node = {"_target_": f"lightning.pytorch.callbacks.{kind.__name__}", **options}
    config = changed(base, callbacks__average=node)
    result = train(config, tmp_path / "run")
    assert result["evaluated"] == "last" and result["best_epoch"] is None and result["averaged_by"] == kind.__name__
    told = " ".join(summary(result, tmp_path / "run").split())
    assert f"the last epoch, its weights averaged by {kind.__name__}" in told
    assert not (tmp_path / "run" / "checkpoints" / "best.ckpt").exists()

    run = mlplab.load(tmp_path / "run")
    stock = build_module(config, run.data)
    trainer = L.Trainer(**QUIET, max_epochs=4, callbacks=[kind(**options)], num_sanity_val_steps=0)
    trainer.fit(stock, datamodule=run.data)
    for name, value in stock.state_dict().items():
        torch.testing.assert_close(run.model.state_dict()[name], value, rtol=0, atol=0)
    x, y = run.data.validation
    assert result["validation"]["nll"] == pytest.approx(
        float(nn.functional.cross_entropy(stock(x).double(), y)), rel=1e-6
    )
    maps = checkpoint.load(tmp_path / "run" / "checkpoints" / "last.ckpt")["callbacks"]["DecisionMaps"]["maps"]
    with torch.no_grad():
        drawn = stock(plane_of(run.data).inputs(8)).softmax(1).reshape(8, 8, -1)
    torch.testing.assert_close(maps[4], drawn, rtol=0, atol=1e-6)


PRUNING = [{"prune_on_train_epoch_end": True}, {"prune_on_train_epoch_end": False}]


@pytest.mark.parametrize("options", PRUNING, ids=["after training", "after validation"])
def test_pruned_weights_are_those_that_are_saved_and_measured(base, tmp_path, options):  # noqa: F811
    options = {"pruning_fn": "l1_unstructured", "amount": 0.3, **options}
    node = {"_target_": "lightning.pytorch.callbacks.ModelPruning", **options}
    config = changed(base, callbacks__prune=node, callbacks__checkpoints__every_seconds=0)
    result = train(config, tmp_path / "run")
    assert result["evaluated"] == "last" and result["best_epoch"] is None and result["pruned_by"] == "ModelPruning"
    told = " ".join(summary(result, tmp_path / "run").split())
    assert "the last epoch, its weights pruned by ModelPruning" in told
    assert not (tmp_path / "run" / "checkpoints" / "best.ckpt").exists()

    run = mlplab.load(tmp_path / "run")
    stock = build_module(config, run.data)
    trainer = L.Trainer(**QUIET, max_epochs=4, callbacks=[ModelPruning(**options)], num_sanity_val_steps=0)
    trainer.fit(stock, datamodule=run.data)
    for name, value in stock.state_dict().items():
        assert name.endswith("bias") or bool((value == 0).any())
        torch.testing.assert_close(run.model.state_dict()[name], value, rtol=0, atol=0)
    assert mlplab.evaluate(run.model, run.data)["fresh"]["nll"] == result["fresh"]["nll"]


def test_a_run_whose_pruning_is_not_permanent_is_measured_again(base, tmp_path):  # noqa: F811
    """Its checkpoint has weights and masks apart; what is read back is their product, as it was measured."""
    node = {"_target_": "lightning.pytorch.callbacks.ModelPruning", "pruning_fn": "l1_unstructured", "amount": 0.3}
    config = changed(base, callbacks__prune=node | {"make_pruning_permanent": False})
    result = train(config, tmp_path / "run")
    state = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    assert "model.layers.0.weight_mask" in state
    run = mlplab.load(tmp_path / "run")
    assert torch.equal(
        run.model.model.layers[0].weight, state["model.layers.0.weight_orig"] * state["model.layers.0.weight_mask"]
    )
    assert mlplab.evaluate(run.model, run.data)["fresh"]["nll"] == result["fresh"]["nll"]
    begun = build_module(config, run.data)
    start_from(begun, str(tmp_path / "run"))
    assert torch.equal(begun.model.layers[0].weight, run.model.model.layers[0].weight)


def test_a_run_that_was_pruned_is_not_resumed(base, tmp_path):  # noqa: F811
    node = {"_target_": "lightning.pytorch.callbacks.ModelPruning", "pruning_fn": "l1_unstructured", "amount": 0.3}
    config = changed(base, callbacks__prune=node, callbacks__checkpoints__every_seconds=0)
    interrupt(config, tmp_path / "run", 20)
    with pytest.raises(InputError, match="its network has come to have .*weight_orig, as by a callback that prunes"):
        train(config, tmp_path / "run", resume=True)


class Thaw(L.Callback):
    """The first layer begins to train in the third epoch."""

    def on_fit_start(self, trainer, module):
        module.model.layers[0].requires_grad_(False)

    def on_train_epoch_start(self, trainer, module):
        module.model.layers[0].requires_grad_(trainer.current_epoch >= 2)


class ThawFromSetup(Thaw):
    def setup(self, trainer, module, stage):
        self.on_fit_start(trainer, module)


@pytest.mark.parametrize(("kind", "minibatches"), [("Thaw", 10), ("ThawFromSetup", 28)])
def test_a_run_whose_best_state_is_of_other_parameters_is_not_resumed(base, tmp_path, kind, minibatches):  # noqa: F811
    """One is stopped while layers are frozen that train when it is set up, the other the other way round."""
    node = {"_target_": f"{__name__}.{kind}"}
    config = changed(base, callbacks__thaw=node, callbacks__checkpoints__every_seconds=0)
    interrupt(config, tmp_path / "run", minibatches)
    with pytest.raises(
        InputError, match="such as layers.0.bias, as by a callback that freezes or thaws; start a new run"
    ):
        train(config, tmp_path / "run", resume=True)


def test_the_best_state_is_one_of_the_parameters_that_train_now():
    for epochs in (2, 6):
        module, data, result = small(max_epochs=epochs, callbacks=[Thaw()])
        assert result["status"] == "finished" and (epochs == 2) == (result["best_epoch"] <= 2)
        again = mlplab.evaluate(module, data)
        assert again["validation"]["points"] == result["validation"]["points"]


@pytest.mark.parametrize("engine", ["population", "lightning"])
def test_a_run_is_one_process_whatever_slurm_says(engine, monkeypatch):
    for name, value in {"SLURM_NTASKS": "4", "SLURM_JOB_NAME": "many", "SLURM_PROCID": "0"}.items():
        monkeypatch.setenv(name, value)
    assert small(max_epochs=1, engine=engine)[2]["steps"] == 8


@pytest.mark.parametrize("engine", ["population", "lightning"])
def test_a_run_started_by_torchrun_has_its_files(engine, monkeypatch, tmp_path, capsys):
    """Each process that torchrun starts is a run of its own, with metrics and TensorBoard's files, not the first alone."""
    monkeypatch.setattr(rank_zero_only, "rank", 1)  # as Lightning reads it from LOCAL_RANK=1
    words = ["data.points_per_arm=40", "data.batch_size=16", "data.fresh_points=50", "data.validation_points=40"]
    words += ["figures=none", "callbacks.progress=null", "trainer.max_epochs=1", f"trainer.engine={engine}", "name=one"]
    assert main(["train", f"paths.logs={tmp_path}", *words]) == 0
    run = tmp_path / "train" / "one"
    assert (run / "metrics.csv").is_file() and list((run / "tensorboard").iterdir())
    assert "TensorBoard  " in capsys.readouterr().out and rank_zero_only.rank == 1


def test_a_run_with_averaged_weights_is_extended_to_the_bits_of_the_longer_one(tmp_path):
    words = [
        "data.points_per_arm=40",
        "data.batch_size=16",
        "data.fresh_points=50",
        "data.validation_points=40",
        "figures=none",
    ]
    words += ["callbacks.progress=null", "schedule=constant", "optimizer.lr=0.01", "trainer.check_val_every_n_epoch=1"]
    words += ["+callbacks.average={_target_: lightning.pytorch.callbacks.EMAWeightAveraging, decay: 0.9}"]
    for name, epochs in (("short", 2), ("long", 5)):
        assert main(["train", f"paths.logs={tmp_path}", *words, f"name={name}", f"trainer.max_epochs={epochs}"]) == 0
    assert main(["train", f"resume={tmp_path / 'train' / 'short'}", "trainer.max_epochs=5"]) == 0
    (extended,) = (path for path in (tmp_path / "train").iterdir() if path.name.startswith("short-"))
    results = [json.loads((folder / "result.json").read_text()) for folder in (extended, tmp_path / "train" / "long")]
    assert results[0]["state_sha256"] == results[1]["state_sha256"] and results[0]["epochs"] == 5


def small(**changes):
    module = mlplab.Classifier(mlplab.MLP(2, [6], 4, seed=0), schedule=mlplab.Cosine())
    data = mlplab.SpiralDataModule(points_per_arm=40, batch_size=16, validation_points=40, fresh_points=0)
    return module, data, mlplab.fit(module, data, **{"callbacks": [], "engine": "lightning"} | changes)


def test_early_stopping_waits_for_min_epochs_and_min_steps():
    """128 train points are 8 steps an epoch; nothing improves by 5, so that patience alone would end it after two."""

    def stopping():
        return [EarlyStopping(patience=1, min_delta=5)]

    for least, epochs in (({}, 2), ({"min_epochs": 4}, 4), ({"min_steps": 30}, 4)):
        module, data, result = small(max_epochs=9, callbacks=stopping(), **least)
        assert (result["epochs"], result["steps"]) == (epochs, 8 * epochs)
        assert mlplab.evaluate(module, data)["train"]["nll"] == result["train"]["nll"]


def test_what_diverged_ends_whatever_min_epochs_says():
    data = mlplab.SpiralDataModule(points_per_arm=40, batch_size=16, validation_points=40, fresh_points=0)
    module = mlplab.Classifier(mlplab.MLP(2, [6], 4, seed=0), optimizer=partial(torch.optim.SGD, lr=1e30))
    result = mlplab.fit(module, data, max_epochs=9, min_epochs=5, callbacks=[])
    assert result["status"] == "diverged" and result["steps"] < 8
    assert all(bool(torch.isfinite(value).all()) for value in module.parameters())


def test_a_number_of_steps_alone_is_a_known_length():
    """Lightning counts the minibatches of an epoch only afterwards."""
    weights = []
    for engine in ("population", "lightning"):
        module, _, result = small(max_epochs=-1, max_steps=11, engine=engine)
        assert result["engine"] == engine and result["steps"] == 11
        weights.append(torch.cat([value.detach().flatten() for value in module.parameters()]))
    assert torch.allclose(*weights, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"callbacks": [L.callbacks.LearningRateMonitor()]}, "no logger"),
        ({"callbacks": [L.callbacks.ModelCheckpoint(monitor="val/nope")]}, "could not find the monitored key"),
        ({"callbacks": [ModelPruning("random_unstructured", amount=1000)]}, "amount=1000 should be smaller"),
        ({"limit_val_batches": 0.5}, "limit_val_batches"),
        ({"val_check_interval": 1000}, "val_check_interval"),
    ],
)
def test_what_lightning_refuses_is_refused_in_a_line(options, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=f"Lightning and torch do not take this training: .*{words}"):
        small(max_epochs=2, **options)


def test_an_error_of_ones_own_code_stays_what_it_is():
    class Wrong(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(2, 4)

        def forward(self, x):
            if self.training:
                raise ValueError("mine")
            return self.layer(x)

    data = mlplab.SpiralDataModule(points_per_arm=40, batch_size=16, fresh_points=0)
    with torch.random.fork_rng():
        module = mlplab.Classifier(Wrong(), schedule=mlplab.Constant())
    with pytest.raises(ValueError, match="mine"):
        mlplab.fit(module, data, max_epochs=1, callbacks=[], engine="lightning")


ONE = [
    "data.points_per_arm=40",
    "data.batch_size=16",
    "data.fresh_points=50",
    "data.validation_points=40",
    "figures=none",
]
ONE += ["callbacks.progress=null", "trainer.max_epochs=1", "name=one", "+trainer.log_every_n_steps=2"]


def test_a_stock_callback_that_logs_by_itself_writes_to_the_runs_tensorboard(tmp_path):
    """Lightning's LearningRateMonitor refuses a trainer without a logger; the run's own get what it logs."""
    node = "+callbacks.stock={_target_: lightning.pytorch.callbacks.LearningRateMonitor}"
    assert main(["train", f"paths.logs={tmp_path}", *ONE, node]) == 0
    run = tmp_path / "train" / "one"
    files = [path for path in (run / "tensorboard").iterdir() if path.is_file()]
    names = {scalar.tag for path in files for event in read_events(path) for scalar in event.summary.value}
    assert "lr-Adam" in names
    assert len((run / "metrics.csv").read_text().splitlines()) == 2  # a row an epoch, and the names


@pytest.mark.parametrize("name", ["RichProgressBar", "TQDMProgressBar", "ModelCheckpoint"])
def test_a_stock_callback_by_its_name_alone(name, tmp_path):
    node = f"+callbacks.stock={{_target_: lightning.pytorch.callbacks.{name}}}"
    assert main(["train", f"paths.logs={tmp_path}", *ONE, node]) == 0
    kept = {path.name for path in (tmp_path / "train" / "one" / "checkpoints").iterdir()}
    assert ("epoch=0-step=8.ckpt" in kept) == (name == "ModelCheckpoint")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("LearningRateFinder", "should have one of these fields: ('lr', 'learning_rate')"),
        ("BackboneFinetuning", "object has no attribute 'backbone'"),
    ],
)
def test_what_a_stock_callback_does_not_find_in_the_model_is_one_line(name, words, tmp_path, capsys):
    node = f"+callbacks.stock={{_target_: lightning.pytorch.callbacks.{name}}}"
    assert main(["train", f"paths.logs={tmp_path}", *ONE, node]) == 2
    told = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("train: ")]
    assert len(told) == 1 and told[0].startswith("mlplab: Lightning and torch do not take this training: ")
    assert words in told[0] and not list((tmp_path / "train").glob("one/*.json"))
