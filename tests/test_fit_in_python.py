"""`mlplab.fit` on lists: each network is trained as it would be alone, by the engine that means the same."""

import copy
import functools
import logging
import warnings
from concurrent.futures import ThreadPoolExecutor

import lightning.pytorch as L
import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.loggers import CSVLogger
from torch import nn

import mlplab
from mlplab.config.composition import compose
from mlplab.training.callbacks import DivergenceGuard, Progress

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(autouse=True)
def own_random_state(global_random_state_is_untouched):
    with torch.random.fork_rng():
        yield


def spirals(**more):
    return mlplab.SpiralDataModule(arms=2, points_per_arm=60, batch_size=32, **more)


def net(seed=0, hidden=(8,), **more):
    return mlplab.MLP(2, hidden, 2, seed=seed, **more)


def fit(model, **more):
    return mlplab.fit(model, spirals(), **{"max_epochs": 3, "callbacks": [], **more})


def weights(module):
    return torch.cat([p.detach().reshape(-1).double() for p in module.parameters()])


class Doubled(mlplab.Classifier):
    """A classifier with a training step of its own: twice the loss."""

    def training_step(self, batch, batch_idx):
        return 2 * super().training_step(batch, batch_idx)


def test_each_run_of_a_list_is_planned_by_itself():
    make = functools.partial(torch.optim.SGD, lr=0.1)
    together = [
        mlplab.Classifier(net(), optimizer=make),
        Doubled(net(), optimizer=make),
        mlplab.Classifier(net(), optimizer=make),
    ]
    alone = [mlplab.Classifier(net(), optimizer=make), Doubled(net(), optimizer=make)]
    results = fit(together)
    for module in alone:
        fit(module)
    assert [result["engine"] for result in results] == ["population", "lightning", "population"]
    torch.testing.assert_close(weights(together[1]), weights(alone[1]), rtol=0, atol=0)
    torch.testing.assert_close(weights(together[2]), weights(alone[0]), rtol=0, atol=0)
    assert (weights(together[0]) - weights(together[1])).abs().max() > 1e-3


def test_settings_that_the_engine_does_not_know_are_kept_for_each_network():
    plain, with_amsgrad = (functools.partial(torch.optim.Adam, lr=0.01, amsgrad=amsgrad) for amsgrad in (False, True))
    results = fit([mlplab.Classifier(net(), optimizer=plain), mlplab.Classifier(net(), optimizer=with_amsgrad)])
    assert [result["engine"] for result in results] == ["population", "lightning"]


@pytest.mark.parametrize("layer", [lambda slope: nn.LeakyReLU(slope), lambda slope: nn.Dropout(slope)])
def test_networks_that_differ_in_a_setting_of_a_layer_are_not_trained_as_one(layer):
    def make(slope):
        torch.manual_seed(3)
        return mlplab.Classifier(nn.Sequential(nn.Linear(2, 8), layer(slope), nn.Linear(8, 2)), seed=0)

    together, alone = [make(0.1), make(0.7)], [make(0.1), make(0.7)]
    fit(together)
    for a, b in zip(together, alone):
        fit(b)
        torch.testing.assert_close(weights(a), weights(b), rtol=0, atol=0)


def test_networks_of_other_layers_with_the_same_shapes_are_not_trained_as_one():
    def make(kind):
        torch.manual_seed(3)
        return nn.Sequential(nn.Linear(2, 8), kind(), nn.Linear(8, 2))

    together, alone = [make(nn.ReLU), make(nn.Tanh)], make(nn.Tanh)
    fit(together)
    fit(alone)
    torch.testing.assert_close(weights(together[1]), weights(alone), rtol=0, atol=0)


def test_dropout_without_a_seed_is_drawn_by_torchs_generator():
    def trained(seed):
        torch.manual_seed(seed)
        module = mlplab.Classifier(net(dropout=0.5))
        result = fit(module)
        assert result["engine"] == "lightning" and "seed" in result["engine_reason"]
        return weights(module)

    assert torch.equal(trained(1), trained(1))
    assert not torch.equal(trained(1), trained(2))
    assert fit(mlplab.Classifier(net()))["engine"] == "population"  # draws nothing


def test_bare_networks_of_a_list_drop_different_units():
    together = [net(dropout=0.5), net(dropout=0.5)]
    fit(together, seed=5)
    assert not torch.equal(weights(together[0]), weights(together[1]))
    alone = net(dropout=0.5)
    fit(alone, seed=6)
    torch.testing.assert_close(weights(together[1]), weights(alone), rtol=0, atol=0)


def test_a_loop_of_ones_own_after_a_training_draws_afresh():
    module = mlplab.Classifier(net(dropout=0.5), seed=0)
    L.Trainer(
        max_epochs=1, logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False
    ).fit(module, spirals())
    module.train()
    x = torch.ones(16, 2)
    assert not torch.equal(module(x), module(x))


def test_callbacks_begin_anew_for_each_further_training():
    """The widths do not stack: the second is not stopped by what the first one's patience has counted."""
    together, alone = [net(hidden=(8,)), net(hidden=(9,))], net(hidden=(9,))
    for callbacks in (
        [EarlyStopping("val/loss", patience=1, min_delta=10)],
        [mlplab.EarlyStopping(patience=1, min_delta=10)],
    ):
        results = fit(together, max_epochs=6, callbacks=callbacks)
        assert [result["epochs"] for result in results] == [2, 2]
    assert fit(alone, max_epochs=6, callbacks=[Progress()])["epochs"] == 6


@pytest.mark.parametrize(
    "options", [{}, {"accumulate_grad_batches": 2}, {"check_val_every_n_epoch": 2}, {"max_steps": 5}]
)
@pytest.mark.parametrize("engine", ["population", "lightning"])
def test_a_logger_is_called_as_by_a_stock_trainer(tmp_path, engine, options):
    """Each call: its step, its epoch, the names of its metrics and their values."""

    class Calls(CSVLogger):
        def log_metrics(self, metrics, step=None):
            calls.append((step, {name: pytest.approx(value, rel=1e-5) for name, value in metrics.items()}))
            super().log_metrics(metrics, step)

    options = {"max_epochs": 4, **options}
    expected = calls = []
    stock = {"enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = L.Trainer(logger=Calls(tmp_path / "stock"), num_sanity_val_steps=0, **stock, **options)
    trainer.fit(mlplab.Classifier(net()), spirals())
    calls = []
    result = fit(mlplab.Classifier(net()), engine=engine, logger=Calls(tmp_path / "own"), **options)
    assert result["engine"] == engine and calls[: len(expected)] == expected
    assert len(expected) >= 3 and all(
        "val/loss" not in metrics and "train/loss" not in metrics for _, metrics in calls[len(expected) :]
    )
    assert (tmp_path / "own" / "lightning_logs" / "version_0" / "hparams.yaml").read_text().count("_target_") >= 3


@pytest.mark.parametrize(
    ("word", "meant"), [(32, "32-true"), ("32", "32-true"), (64, "64-true"), ("bf16", "bf16-mixed")]
)
def test_lightnings_short_words_for_a_precision_mean_the_long_ones(word, meant):
    networks = [net(), net()]
    results = [fit(model, precision=precision) for model, precision in zip(networks, (word, meant))]
    assert results[0]["engine"] == results[1]["engine"] == ("population" if meant.endswith("true") else "lightning")
    assert torch.equal(*map(weights, networks))
    small = [f"trainer.precision={word}", "trainer.max_epochs=1"]
    assert compose("train", small).trainer.precision == meant


@pytest.mark.parametrize("engine", ["population", "lightning"])
def test_double_precision_leaves_double_weights(engine):
    model = net()
    fit(model, engine=engine, precision="64-true")
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float64}


def test_lightnings_default_logger_is_tensorboard(tmp_path):
    fit(net(), logger=True, default_root_dir=str(tmp_path))
    assert list((tmp_path / "lightning_logs" / "version_0").glob("events.out.tfevents.*"))


def test_a_logger_for_a_list_is_refused(tmp_path):
    with pytest.raises(mlplab.InputError, match="logger must be left out for a list"):
        fit([net(0), net(1)], logger=CSVLogger(tmp_path))


def test_lightnings_own_checkpoints_are_written_when_asked_for(tmp_path):
    result = fit(net(), enable_checkpointing=True, default_root_dir=str(tmp_path))
    assert result["engine"] == "lightning" and list(tmp_path.rglob("*.ckpt"))


def test_a_frozen_normalisation_stays_frozen():
    """Lightning trains a part in the mode that it is in; the engine would train it."""

    def make():
        torch.manual_seed(3)
        module = mlplab.Classifier(nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2)))
        module.model[1].eval()
        return module

    frozen = make()
    assert fit(frozen)["engine"] == "lightning" and not frozen.model[1].running_mean.any()
    frozen.model[1].train()
    assert fit(frozen)["engine"] == "population" and frozen.model[1].running_mean.any()


def sgd(lr):
    return mlplab.Classifier(net(), optimizer=functools.partial(torch.optim.SGD, lr=lr))


@pytest.mark.parametrize("engine", ["population", "lightning"])
@pytest.mark.parametrize("callbacks", [None, []])
def test_a_fit_that_is_no_longer_finite_stops_there_and_says_diverged(engine, callbacks):
    networks = [sgd(0.1), sgd(1e30)]
    good, bad = fit(networks, engine=engine, callbacks=callbacks)
    assert (good["status"], bad["status"]) == ("finished", "diverged") and bad["steps"] <= 3
    assert all(weights(network).isfinite().all() for network in networks)
    alone = sgd(0.1)
    assert fit(alone, engine=engine)["state_sha256"] == good["state_sha256"]


def test_without_a_guard_the_result_says_diverged_all_the_same():
    class Unguarded(DivergenceGuard):
        def on_train_start(self, *_):
            pass

        on_train_batch_end = on_epoch = on_train_start

    result = fit(sgd(1e30), engine="lightning", callbacks=[Unguarded()])
    assert result["status"] == "diverged" and result["epochs"] == 3


def test_a_module_may_have_a_population_of_its_own():
    class Islands(mlplab.Classifier):
        population = 5

    assert fit(Islands(net()), max_epochs=1)["engine"] == "lightning"


class Noisy(nn.Module):
    """A network of one's own that draws from torch's global generator."""

    def __init__(self):
        super().__init__()
        self.hidden, self.out, self.drop = nn.Linear(2, 8), nn.Linear(8, 2), nn.Dropout(0.5)

    def forward(self, x):
        return self.out(self.drop(self.hidden(x).relu()))


def test_trainings_in_threads_come_one_after_the_other():
    """Each has the bits that it has alone, and what is global is then as before."""
    torch.manual_seed(0)
    first, make = [Noisy() for _ in range(6)], functools.partial(torch.optim.SGD, lr=0.1)
    alone, at_once = (
        [mlplab.Classifier(copy.deepcopy(net), optimizer=make, seed=0) for net in first] for _ in range(2)
    )
    filters, level = list(warnings.filters), logging.getLogger("lightning.pytorch").level
    options = [{"engine": engine} for engine in ("population", "lightning")] * 3
    for module, more in zip(alone, options):
        fit(module, **more)
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda module, more: fit(module, **more), at_once, options))
    for one, other in zip(alone, at_once):
        torch.testing.assert_close(weights(one), weights(other), rtol=0, atol=0)
    assert warnings.filters == filters and logging.getLogger("lightning.pytorch").level == level
