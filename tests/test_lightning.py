"""What Lightning documents holds of the lab's classes: each promise beside an ordinary module written here."""

import copy
import csv
import pickle
from functools import partial

import lightning.pytorch as L
import pytest
import torch
from beside_lightning import QUIET, Ordinary, drawing, network, same, spirals, train  # noqa: F401 (drawing is a fixture)
from lightning.pytorch import callbacks as stock
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import mlplab

pytestmark = pytest.mark.filterwarnings("ignore")
OPTIONS = [
    {},
    {"gradient_clip_val": 0.05},
    {"accumulate_grad_batches": 2},
    {"limit_train_batches": 3},
    {"limit_val_batches": 1},
    {"val_check_interval": 0.5},
    {"overfit_batches": 2},
    {"max_steps": 7},
    {"fast_dev_run": 2},
    {"precision": "bf16-mixed"},
    {"min_epochs": 2},
    {"check_val_every_n_epoch": 2},
    {"detect_anomaly": True},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_every_option_of_the_trainer_means_what_it_means_for_an_ordinary_module(options):
    own, ordinary = mlplab.Classifier(network()), Ordinary(network())
    trainers = train(own, **options), train(ordinary, **options)
    assert trainers[0].global_step == trainers[1].global_step > 0
    assert same(own, ordinary, 2e-2 if options.get("precision") else 1e-5)


@pytest.mark.parametrize(
    "schedule",
    [
        partial(torch.optim.lr_scheduler.StepLR, step_size=1, gamma=0.3),
        partial(torch.optim.lr_scheduler.ReduceLROnPlateau, patience=0, threshold=10.0),
        partial(torch.optim.lr_scheduler.ExponentialLR, gamma=0.5),
    ],
)
def test_torchs_schedules_move_as_for_an_ordinary_module(schedule):
    own, ordinary = mlplab.Classifier(network(), schedule=schedule), Ordinary(network(), schedule=schedule)
    trainers = train(own), train(ordinary)
    rates = [trainer.optimizers[0].param_groups[0]["lr"] for trainer in trainers]
    assert rates[0] == rates[1] != 1e-3 and same(own, ordinary)


@pytest.mark.parametrize("kind", [torch.optim.RMSprop, torch.optim.Adagrad, torch.optim.NAdam, torch.optim.LBFGS])
def test_torchs_optimizers_train_as_in_an_ordinary_module(kind):
    own, ordinary = (
        mlplab.Classifier(network(), optimizer=kind, loss=nn.CrossEntropyLoss()),
        Ordinary(network(), optimizer=kind),
    )
    train(own, max_epochs=2), train(ordinary, max_epochs=2)
    assert same(own, ordinary, 1e-3)


def test_a_second_fit_starts_a_schedule_of_its_own():
    module = mlplab.Classifier(network(), schedule=mlplab.Cosine())
    for _ in range(2):
        trainer = train(module, max_epochs=2)
        assert trainer.current_epoch == 2 and trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(
            0.0, abs=1e-9
        )


def test_validate_test_and_predict_measure_what_a_bare_loop_measures():
    module, data = mlplab.Classifier(network()), spirals()
    trainer = train(module, data)
    (held,), (tested,) = (
        trainer.validate(module, datamodule=data, verbose=False),
        trainer.test(module, datamodule=data, verbose=False),
    )
    for found, part, points in ((held, "val", data.validation), (tested, "test", data.test)):
        logits = module(points.x)
        assert found[f"{part}/loss"] == pytest.approx(float(nn.functional.cross_entropy(logits, points.y)), rel=1e-5)
        assert found[f"{part}/accuracy"] == pytest.approx(float((logits.argmax(1) == points.y).float().mean()))
    (probabilities,) = trainer.predict(module, datamodule=data)
    assert torch.allclose(probabilities, module(data.test.x).softmax(1))
    assert torch.equal(module.predict_step(data.test.x), module.predict_step((data.test.x, data.test.y)))


@pytest.mark.parametrize("kind", [CSVLogger, TensorBoardLogger])
def test_stock_loggers_hold_training_validation_and_test_metrics(tmp_path, kind):
    logger = kind(tmp_path, name="log")
    module, data = mlplab.Classifier(network()), spirals()
    trainer = train(module, data, logger=logger)
    assert {"train/loss", "train/accuracy", "val/loss", "val/nll", "val/accuracy"} <= trainer.logged_metrics.keys()
    trainer.test(module, datamodule=data, verbose=False)
    if kind is CSVLogger:
        head = next(tmp_path.rglob("metrics.csv")).read_text().splitlines()[0]
        assert all(name in head for name in ("train/loss", "val/accuracy", "test/loss"))


def test_what_one_does_to_an_ordinary_module_can_be_done_to_a_classifier(tmp_path):
    module = mlplab.Classifier(network())
    assert sum(p.numel() for p in module.parameters() if p.requires_grad) == 16 * 3 + 4 * 17
    x = torch.randn(3, 2, requires_grad=True)
    module(x).sum().backward()
    assert x.grad is not None and float(x.grad.abs().sum()) > 0
    assert module.double()(torch.randn(3, 2).double()).dtype == torch.float64
    module.float()
    for copied in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert torch.equal(copied(x), module(x))
    with torch.no_grad():
        module.model.layers[0].weight.zero_()
        module.model.layers[0].bias.zero_()
    assert torch.allclose(module(x), module.model.layers[-1].bias.expand(3, 4))
    frozen = mlplab.Classifier(network())
    frozen.model.layers[0].requires_grad_(False)
    before = frozen.model.layers[0].weight.clone()
    train(frozen)
    assert torch.equal(before, frozen.model.layers[0].weight)


def test_export_and_a_dynamic_batch():
    module = mlplab.Classifier(mlplab.MLP(6, [5], 3, seed=0)).eval()
    batch = torch.export.Dim("batch", min=2)
    exported = torch.export.export(module.model, (torch.randn(4, 2, 3),), dynamic_shapes=({0: batch},)).module()
    x = torch.randn(11, 2, 3)
    assert torch.allclose(exported(x), module(x), atol=1e-6)


def test_onnx_with_a_dynamic_batch(tmp_path):
    runtime = pytest.importorskip("onnxruntime", reason="ONNX is no dependency of the lab")
    pytest.importorskip("onnxscript", reason="ONNX is no dependency of the lab")
    module = mlplab.Classifier(network()).eval()
    path = tmp_path / "m.onnx"
    torch.onnx.export(
        module.model, (torch.randn(4, 2),), path, dynamo=True, dynamic_shapes=({0: torch.export.Dim("batch", min=2)},)
    )
    x = torch.randn(13, 2)
    (logits,) = runtime.InferenceSession(path).run(
        None, {runtime.InferenceSession(path).get_inputs()[0].name: x.numpy()}
    )
    assert torch.allclose(torch.tensor(logits), module(x), atol=1e-5)


def test_a_users_module_on_the_labs_data_and_the_labs_module_on_a_users_data():
    assert train(Ordinary(nn.Linear(2, 4))).global_step > 4
    x, y = torch.randn(256, 2), torch.randint(4, (256,))
    module = mlplab.Classifier(network())
    before = copy.deepcopy(module.state_dict())
    L.Trainer(max_epochs=1, **QUIET).fit(
        module, DataLoader(TensorDataset(x, y), 64), DataLoader(TensorDataset(x, y), 64)
    )
    assert any(not torch.equal(value, module.state_dict()[name]) for name, value in before.items())


@pytest.mark.parametrize(
    "callback",
    [
        lambda: stock.EarlyStopping("val/loss", patience=1, min_delta=10.0),
        lambda: stock.StochasticWeightAveraging(swa_lrs=1e-2, swa_epoch_start=1),
        lambda: stock.GradientAccumulationScheduler({1: 2}),
        lambda: stock.Timer("00:01:00:00"),
        lambda: stock.LambdaCallback(on_train_end=lambda *_: None),
        lambda: stock.ModelPruning("l1_unstructured", amount=0.2),
        lambda: stock.WeightAveraging(),
        lambda: stock.RichModelSummary() if hasattr(stock, "RichModelSummary") else stock.ModelSummary(),
    ],
)
def test_stock_callbacks_act_as_on_an_ordinary_module(callback):
    own, ordinary = mlplab.Classifier(network()), Ordinary(network())
    trainers = train(own, max_epochs=6, callbacks=[callback()]), train(ordinary, max_epochs=6, callbacks=[callback()])
    assert trainers[0].current_epoch == trainers[1].current_epoch and trainers[0].global_step == trainers[1].global_step
    assert all(
        torch.allclose(a, b, rtol=1e-4, atol=1e-4)
        for a, b in zip(own.model.state_dict().values(), ordinary.network.state_dict().values())
    )


def test_the_learning_rate_monitor_sees_the_rate_that_is_used(tmp_path):
    logger = CSVLogger(tmp_path)
    module = mlplab.Classifier(network(), optimizer=partial(torch.optim.Adam, lr=0.1), schedule=mlplab.Cosine())
    train(module, logger=logger, log_every_n_steps=1, callbacks=[stock.LearningRateMonitor("step")])
    with open(next(tmp_path.rglob("metrics.csv"))) as file:
        rows = [float(row["lr-Adam"]) for row in csv.DictReader(file) if row.get("lr-Adam")]
    assert rows[0] == pytest.approx(0.1) and min(rows) < 0.01 and len(set(rows)) > 10


def test_the_labs_callbacks_work_under_a_stock_trainer():
    module = mlplab.Classifier(network(), optimizer=partial(torch.optim.SGD, lr=1e30))
    trainer = train(module, callbacks=[mlplab.DivergenceGuard(), mlplab.DecisionMaps(resolution=8)])
    assert trainer.current_epoch <= 1 and all(bool(p.isfinite().all()) for p in module.parameters())
    stopping = mlplab.EarlyStopping("val/loss", patience=1, min_delta=10.0)
    assert train(mlplab.Classifier(network()), max_epochs=20, callbacks=[stopping]).current_epoch < 5


def test_two_networks_differ_unless_they_are_seeded():
    with torch.random.fork_rng():
        torch.manual_seed(1)
        first, second = mlplab.MLP(2, [8], 3), mlplab.MLP(2, [8], 3)
        torch.manual_seed(1)
        again = mlplab.MLP(2, [8], 3)
    assert not torch.equal(first.layers[0].weight, second.layers[0].weight)
    assert torch.equal(first.layers[0].weight, again.layers[0].weight)
    assert same(network(5), network(5), 0.0)


def test_the_tuner_finds_a_batch_size_and_a_rate(tmp_path):
    from lightning.pytorch.tuner import Tuner

    class Tunable(mlplab.Classifier):
        def __init__(self, lr=1e-3):
            super().__init__(network())
            self.lr = lr

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters(), lr=self.lr)

    trainer = L.Trainer(max_epochs=1, default_root_dir=tmp_path, **QUIET)
    module, data = Tunable(), spirals()
    Tuner(trainer).scale_batch_size(module, datamodule=data, max_trials=2, init_val=8)
    assert data.batch_size == 16  # Lightning tries 8, then 16, and keeps the largest that worked
    found = Tuner(trainer).lr_find(module, datamodule=data, num_training=20)
    assert found is not None and module.lr != 1e-3


def test_a_subclass_overrides_any_hook():
    class Mine(mlplab.Classifier):
        def training_step(self, batch, batch_idx):
            return 3.0 * super().training_step(batch, batch_idx)

        def on_train_epoch_end(self):
            self.log("mine", torch.tensor(7.0))

    module = Mine(network(), optimizer=partial(torch.optim.SGD, lr=0.1))
    trainer = train(module)
    plain = mlplab.Classifier(network(), optimizer=partial(torch.optim.SGD, lr=0.3))
    train(plain)
    assert same(module, plain) and float(trainer.callback_metrics["mine"]) == 7.0


def test_every_callback_that_lightning_exports_runs_on_the_lab(tmp_path):
    class Writer(stock.BasePredictionWriter):
        def write_on_epoch_end(self, trainer, module, predictions, batch_indices):
            self.written = len(predictions)

    class Unfreeze(stock.BaseFinetuning):
        def freeze_before_training(self, module):
            self.freeze(module.model.layers[0])

        def finetune_function(self, module, epoch, optimizer):
            if epoch == 1:
                self.unfreeze_and_add_param_group(module.model.layers[0], optimizer)

    made = {
        "BackboneFinetuning": None,  # asks for module.backbone, which a subclass would have
        "BaseFinetuning": Unfreeze(),
        "BasePredictionWriter": Writer("epoch"),
        "BatchSizeFinder": stock.BatchSizeFinder(max_trials=1, init_val=16),
        "Callback": stock.Callback(),
        "Checkpoint": stock.Checkpoint(),
        "DeviceStatsMonitor": stock.DeviceStatsMonitor(cpu_stats=False),
        "EarlyStopping": stock.EarlyStopping("val/loss"),
        "EMAWeightAveraging": None,
        "GradientAccumulationScheduler": stock.GradientAccumulationScheduler({0: 2}),
        "LambdaCallback": stock.LambdaCallback(),
        "LearningRateFinder": stock.LearningRateFinder(num_training_steps=5),
        "LearningRateMonitor": stock.LearningRateMonitor(),
        "ModelCheckpoint": stock.ModelCheckpoint(tmp_path / "best", monitor="val/loss"),
        "ModelPruning": stock.ModelPruning("l1_unstructured", amount=0.1),
        "ModelSummary": stock.ModelSummary(),
        "OnExceptionCheckpoint": stock.OnExceptionCheckpoint(str(tmp_path)),
        "ProgressBar": None,
        "RichModelSummary": None,
        "RichProgressBar": None,
        "SpikeDetection": None,
        "StochasticWeightAveraging": stock.StochasticWeightAveraging(1e-2, swa_epoch_start=1),
        "ThroughputMonitor": stock.ThroughputMonitor(batch_size_fn=lambda batch: len(batch[0])),
        "TQDMProgressBar": stock.TQDMProgressBar(),
        "Timer": stock.Timer("00:01:00:00"),
        "WeightAveraging": stock.WeightAveraging(),
        "LitModelCheckpoint": None,
    }
    if hasattr(stock, "EMAWeightAveraging"):
        made["EMAWeightAveraging"] = stock.EMAWeightAveraging()
    unknown = [name for name in stock.__all__ if name not in made]
    assert not unknown, unknown
    for name, callback in made.items():
        if callback is None:
            continue
        module, data = mlplab.Classifier(network()), spirals()
        if name == "LearningRateFinder":
            module.lr = 1e-3
        options = {
            "logger": CSVLogger(tmp_path / name),
            "enable_checkpointing": name in ("ModelCheckpoint", "OnExceptionCheckpoint", "Checkpoint"),
        }
        options |= {
            "enable_progress_bar": name == "TQDMProgressBar",
            "log_every_n_steps": 1,
            "default_root_dir": str(tmp_path),
        }
        trainer = train(module, data, callbacks=[callback], **options)
        assert trainer.global_step > 0, name
        if name == "BasePredictionWriter":
            trainer.predict(module, datamodule=data)
            assert callback.written == 1
        if name == "ModelCheckpoint":
            trainer.test(module, datamodule=data, ckpt_path="best", verbose=False)
