"""What stands beside a training: the best state, stops and the learning rate."""

import json
import math
from types import SimpleNamespace

import pytest
import torch
from small_runs import base, interrupt, quick, rows, serving, spirals, train  # noqa: F401 (fixtures among them)
from torch import nn

from mlplab.data.arrays import Points
from mlplab.data.modules import SpiralDataModule
from mlplab.errors import InputError
from mlplab.nn.mlp import MLP
from mlplab.population.blocks import Serving
from mlplab.population.engine import PopulationModule
from mlplab.population.optimizers import SGD
from mlplab.population.schedules import Cosine
from mlplab.population.stacking import stack
from mlplab.population.state import BestState, EpochSums, Stop
from mlplab.runs import checkpoint
from mlplab.runs.manifest import read_status
from mlplab.seeds import generator
from mlplab.training.build import build_loss, build_model
from mlplab.training.callbacks import DivergenceGuard, EarlyStopping, MemberCallback
from mlplab.training.fit import fit, fit_members
from mlplab.training.trainers import BlockTrainer

ALL = torch.ones(2, dtype=torch.bool)


def test_the_best_state_is_the_first_of_the_lowest_and_never_nan():
    population = stack([MLP(2, [3], 2, seed=seed) for seed in (0, 1)], [0, 1])
    best = BestState(population)
    assert not best.known(0)
    offers = (
        # value, active, whether it is taken over
        ((5.0, math.nan), ALL, (True, False)),
        ((3.0, 7.0), ALL, (True, True)),
        ((3.0, 6.0), ALL, (False, True)),
        ((4.0, math.nan), ALL, (False, False)),
        ((1.0, 1.0), torch.tensor([False, True]), (False, True)),
        ((2.0, 2.0), ALL, (True, False)),
    )
    value, epoch, theta = [math.inf, math.inf], [-1, -1], best.theta.clone()
    for number, (offered, active, taken) in enumerate(offers, start=1):
        with torch.no_grad():
            population.theta += 1
        best.offer(torch.tensor(offered, dtype=torch.float64), number, active)
        for index in (0, 1):
            if taken[index]:
                value[index], epoch[index], theta[index] = offered[index], number, population.theta[index]
        assert (best.value.tolist(), best.epoch.tolist()) == (value, epoch)
        assert torch.equal(best.theta, theta)


def test_the_best_state_keeps_the_metric_itself_and_reads_older_folders():
    """Up to 0.2 a metric that is to rise was kept with its sign changed, and without its name."""
    population = stack([MLP(2, [3], 2, seed=seed) for seed in (0, 1)], [0, 1])
    best = BestState(population, "max")
    assert best.value.tolist() == [-math.inf, -math.inf]
    for number, offered in enumerate(((0.5, math.nan), (0.4, 0.25)), start=1):
        best.offer(torch.tensor(offered, dtype=torch.float64), number, ALL)
    assert (best.value.tolist(), best.epoch.tolist()) == ([0.5, 0.25], [1, 2])
    states = [best.member_state(index, "val/accuracy") for index in (0, 1)]
    assert [(state["monitor"], state["value"]) for state in states] == [("val/accuracy", 0.5), ("val/accuracy", 0.25)]
    for state in (states[1], {key: value for key, value in states[1].items() if key != "monitor"} | {"value": -0.25}):
        again = BestState(population, "max")
        again.load_member_state(0, state)
        assert (float(again.value[0]), int(again.epoch[0])) == (0.25, 2) and not again.known(1)
        assert torch.equal(again.theta[0], best.theta[1])


@pytest.mark.parametrize("mode", ["min", "max"])
def test_what_is_not_finite_is_never_the_best(mode):
    population = stack([MLP(2, [3], 2, seed=0), MLP(2, [3], 2, seed=1)], [0, 1])
    best = BestState(population, mode)
    for number, offered in enumerate(((math.inf, -math.inf), (math.nan, math.inf)), start=1):
        best.offer(torch.tensor(offered, dtype=torch.float64), number, ALL)
    assert not best.known(0) and not best.known(1)
    best.offer(torch.tensor((0.5, -1e300), dtype=torch.float64), 3, ALL)
    assert best.epoch.tolist() == [3, 3]


def test_the_best_state_has_the_buffers_of_its_epoch():
    modules = [nn.Sequential(nn.Flatten(), nn.BatchNorm1d(2)) for _ in range(2)]
    population = stack(modules, [0, 1])
    best = BestState(population)
    for number, values in enumerate(((2.0, 2.0), (1.0, 3.0)), start=1):
        for module in modules:
            module[1].running_mean.fill_(number)
        best.offer(torch.tensor(values, dtype=torch.float64), number, ALL)
    assert [best.buffers[index]["1.running_mean"].tolist() for index in (0, 1)] == [[2, 2], [1, 1]]


def test_a_run_reports_its_best_epoch_where_that_is_not_the_last(base, tmp_path):
    config = quick(
        base,
        optimizer__lr=0.3,
        trainer__max_epochs=12,
        data__noise=0.6,
        model__width=32,
        schedule={"_target_": "mlplab.population.schedules.Constant"},
    )
    result = train(config, tmp_path / "run")
    losses = [float(row["val/loss"]) for row in rows(tmp_path / "run")]
    assert result["best_epoch"] == 1 + losses.index(min(losses)) < 12
    assert result["validation"]["nll"] == pytest.approx(min(losses), rel=1e-6)
    best, last = (checkpoint.load(tmp_path / "run" / "checkpoints" / f"{name}.ckpt") for name in ("best", "last"))
    assert (
        best["mlplab"]["epoch"] == last["mlplab"]["best"]["epoch"] == result["best_epoch"]
        and last["mlplab"]["epochs"] == 12
    )
    assert not torch.equal(best["state_dict"]["model.layers.0.weight"], last["state_dict"]["model.layers.0.weight"])
    data = SpiralDataModule(**{key: value for key, value in config["data"].items() if key != "_target_"})
    data.setup()
    model = MLP(2, [32], 4, seed=0)
    model.load_state_dict(best["state_dict"])
    assert result["test"]["accuracy"] == (model(data.test.x).argmax(1) == data.test.y).double().mean().item()


def test_the_best_figures_are_taken_with_the_buffers_of_that_epoch(base, tmp_path, monkeypatch):
    (tmp_path / "own_norm.py").write_text(
        "from torch import nn\n"
        "def build(in_features, out_features):\n"
        "    hidden = [nn.Linear(in_features, 32), nn.BatchNorm1d(32, momentum=0.5), nn.ReLU()]\n"
        "    return nn.Sequential(*hidden, nn.Linear(32, out_features))\n"
        "class Normed(nn.Module):\n"
        "    def __init__(self, in_features, out_features):\n"
        "        super().__init__()\n"
        "        self.net = build(in_features, out_features)\n"
        "    def forward(self, x):\n"
        "        return self.net(x)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    config = quick(
        base, model={"_target_": "own_norm.Normed"}, optimizer__lr=0.1, trainer__max_epochs=12, data__noise=0.6
    )
    result = train(config, tmp_path / "run")
    losses = [float(row["val/loss"]) for row in rows(tmp_path / "run")]
    assert result["best_epoch"] == 1 + losses.index(min(losses)) < 12
    assert result["validation"]["nll"] == pytest.approx(min(losses), rel=1e-6)


def test_split_and_points_have_streams_of_their_own():
    data = spirals()
    other = torch.randperm(80, generator=generator(2021, "points"))
    x, y = data.sample([20] * 4, generator(2021, "points"))
    assert not torch.equal(data.test.x, x[other[:16]])
    assert torch.equal(data.test.x, x[torch.randperm(80, generator=generator(2021, "split"))[:16]])


def test_dropout_does_not_depend_on_the_blocks(base):
    config = quick(base, model__dropout=0.5)
    found = {fit(config, None, serving=Serving(minibatches))["state_sha256"] for minibatches in (1, 3, 1000)}
    assert len(found) == 1


def test_a_network_that_takes_no_seed_starts_from_the_configs(base):
    node = {"_target_": "torch.nn.Linear", "in_features": 2, "out_features": 4}
    data = spirals()
    first, same, other = (build_model(quick(base, model=node, seed=seed), data) for seed in (0, 0, 1))
    assert torch.equal(first.weight, same.weight) and not torch.equal(first.weight, other.weight)


def test_class_weights_reach_the_loss(base):
    weight = [1.0, 4.0, 0.5, 1.0]
    for target in ("mlplab.nn.losses.CrossEntropy", "torch.nn.CrossEntropyLoss"):
        node = {"_target_": target, "weight": weight, "ignore_index": -100, "label_smoothing": 0.0}
        loss = build_loss(quick(base, loss=node), 4, torch.float64)
        assert loss.weight.tolist() == weight and loss.weight.dtype == torch.float64


def test_jobs_of_other_numbers_of_points_are_refused(base):
    for change in ({"data__validation_points": 0}, {"data__validation_points": 20}, {"data__points_per_arm": 60}):
        with pytest.raises(InputError, match=f"{next(iter(change)).replace('__', '.')} must be the same in all jobs"):
            fit_members([quick(base), quick(base, **change)], [None, None])


def test_a_short_minibatch_counts_by_its_points():
    sums = EpochSums(
        [torch.tensor([[1.0, 2.0]]), torch.tensor([[6.0]])], [torch.tensor([[3, 1]]), torch.tensor([[1]])], [4, 4, 1]
    )
    loss, accuracy = sums.mean()
    assert loss.tolist() == pytest.approx([(4 * 1 + 4 * 2 + 6) / 9]) and accuracy.tolist() == pytest.approx([5 / 9])


def test_the_learning_rate_of_each_step_is_the_schedules():
    """Against plain SGD whose rate is set by hand before each step."""

    class Watch(MemberCallback):
        def __init__(self):
            self.rates = []

        def on_epoch(self, trainer, classifier):
            self.rates.append(classifier.metrics["lr"].tolist())

    from mlplab.training.callbacks import LearningRateMonitor

    data, watch = spirals(), Watch()
    classifier = PopulationModule(
        MLP(2, [6], 4, seed=0), optimizer=lambda p: SGD(p, lr=0.5), schedule=Cosine(warmup_epochs=1)
    )
    BlockTrainer(accelerator="cpu", max_epochs=2, callbacks=[LearningRateMonitor(), watch]).fit(classifier, data)
    model, step = MLP(2, [6], 4, seed=0), 0
    for epoch in range(2):
        for chosen in data.order(epoch).split(8):
            factor = (step + 1) / 8 if step < 8 else (1 + math.cos(math.pi * (step - 8) / 8)) / 2
            model.zero_grad()
            nn.functional.cross_entropy(model(data.train.x[chosen]), data.train.y[chosen]).backward()
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter -= 0.5 * factor * parameter.grad
            step += 1
    own = classifier.population.split(classifier.population.theta[0])
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(own[name], parameter.detach(), rtol=1e-4, atol=1e-6)
    assert watch.rates == [[0.5], [pytest.approx(0.25 * (1 + math.cos(math.pi * 7 / 8)))]]


def test_each_members_validation_is_on_its_own_points():
    from mlplab.population.blocks import MemberData

    modules = [spirals(seed=seed, order_seed=seed) for seed in (1, 2)]
    for number, module in enumerate(modules):  # drawn arm after arm, the labels are alike otherwise
        order = torch.randperm(12, generator=generator(number))
        module.validation = Points(module.validation.x[order], module.validation.y[order])
    models = [MLP(2, [6], 4, seed=seed) for seed in (0, 1)]
    data, classifier = MemberData(modules), PopulationModule(models)
    found = {}

    class Watch(MemberCallback):
        def on_epoch(self, trainer, classifier):
            found.update(classifier.metrics)

    BlockTrainer(accelerator="cpu", max_epochs=1, callbacks=[Watch()]).fit(
        classifier, train_dataloaders=data.train_loader(), val_dataloaders=data.validation_loader()
    )
    for index, module in enumerate(modules):
        x, y = module.validation
        logits = classifier.population.member(index)(x).detach()
        assert found["val/loss"][index].item() == pytest.approx(nn.functional.cross_entropy(logits, y).item(), rel=1e-5)
        assert found["val/accuracy"][index].item() == (logits.argmax(1) == y).double().mean().item()


@pytest.mark.parametrize(
    ("monitor", "values", "end"),
    [
        ("val/loss", (5, 4, 4.5, 4.2), 4),
        ("val/loss", (5, 4, 4.5, 3, 3.5, 3), 6),
        ("val/loss", (math.nan,) * 2, 2),
        ("val/accuracy", (0.5, 0.6, 0.55, 0.7, 0.6, 0.65), 6),
        ("val/accuracy", (0.6, 0.5, 0.4), 3),
    ],
)
def test_early_stopping_waits_for_its_patience_in_the_right_direction(monitor, values, end):
    stopping, classifier = EarlyStopping(monitor, patience=2), PopulationModule(MLP(2, [3], 2, seed=0))
    trainer = SimpleNamespace(should_stop=False, min_epochs=None, min_steps=None)
    for epoch, value in enumerate(values, start=1):
        assert not classifier.stops
        classifier.epochs, classifier.metrics = epoch, {monitor: torch.tensor([value], dtype=torch.float64)}
        stopping.on_epoch(trainer, classifier)
    assert classifier.stops[0].epoch == end == len(values) and trainer.should_stop


@pytest.mark.parametrize("bad", (0, 5, 8, 13))
def test_divergence_is_told_at_its_very_step(serving, bad):
    class Poisoned(nn.Module):
        calls = -1

        def forward(self, logits, labels):
            self.calls += logits.requires_grad  # validation does not count
            loss = nn.functional.cross_entropy(logits, labels)
            return loss * math.nan if logits.requires_grad and self.calls == bad else loss

    classifier = PopulationModule(MLP(2, [6], 4, seed=0), loss=Poisoned())
    trainer = BlockTrainer(accelerator="cpu", max_epochs=2, callbacks=[DivergenceGuard()], serving=serving)
    trainer.fit(classifier, spirals())
    assert classifier.stops[0] == Stop("diverged", bad // 8, bad)
    assert classifier.population.theta.isfinite().all()


def test_an_improvement_must_be_larger_than_min_delta():
    stopping, classifier = EarlyStopping(patience=1, min_delta=0.5), PopulationModule(MLP(2, [3], 2, seed=0))
    trainer = SimpleNamespace(should_stop=False, min_epochs=None, min_steps=None)
    for value in (5.0, 4.4, 4.0):
        classifier.metrics = {"val/loss": torch.tensor([value])}
        stopping.on_epoch(trainer, classifier)
        assert bool(classifier.stops) == (value == 4.0)


def test_nothing_is_trained_once_all_members_have_ended(base, tmp_path):
    from tensorboard.backend.event_processing import event_accumulator
    from tensorboard.plugins.hparams import plugin_data_pb2

    stopping = {
        "_target_": "mlplab.training.callbacks.EarlyStopping",
        "monitor": "val/loss",
        "patience": 1,
        "min_delta": 99.0,
    }
    for name, change in (("stopped", {"callbacks__early_stopping": stopping}), ("diverged", {"optimizer__lr": 1e30})):
        config = quick(base, **change, trainer__max_epochs=9, logger__tensorboard=base["logger"]["tensorboard"])
        result = train(config, tmp_path / name)
        last = checkpoint.load(tmp_path / name / "checkpoints" / "last.ckpt")
        # The epoch in which a loss was not finite does not count for the member.
        assert last["mlplab"]["epochs"] == result["epochs"] + (name == "diverged") < 9
        events = event_accumulator.EventAccumulator(str(tmp_path / name / "tensorboard")).Reload()
        content = events.SummaryMetadata("_hparams_/session_end_info").plugin_data.content
        end = plugin_data_pb2.HParamsPluginData.FromString(content).session_end_info
        assert end.status == {"stopped": 1, "diverged": 2}[name]
        again = train(config, tmp_path / name, resume=True)
        assert {key: again[key] for key in again if key != "seconds"} == {
            key: result[key] for key in result if key != "seconds"
        }


def test_an_optimizer_of_a_users_own_may_keep_plain_numbers(base, tmp_path, monkeypatch):
    (tmp_path / "own_optimizer.py").write_text(
        "import torch\n"
        "class Slowing(torch.optim.Optimizer):\n"
        "    def __init__(self, params, lr=0.1):\n"
        "        super().__init__(params, {'lr': lr})\n"
        "    @torch.no_grad()\n"
        "    def step(self, closure=None):\n"
        "        with torch.enable_grad():\n"
        "            loss = closure() if closure is not None else None\n"
        "        for group in self.param_groups:\n"
        "            for p in group['params']:\n"
        "                state = self.state[p]\n"
        "                state['step'] = state.get('step', 0) + 1\n"
        "                p.sub_(p.grad, alpha=group['lr'] / state['step'])\n"
        "        return loss\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    config = quick(base, optimizer={"_target_": "own_optimizer.Slowing", "_partial_": True, "lr": 0.5})
    result = train(config, tmp_path / "whole")
    interrupt(config, tmp_path / "parts", 16)
    assert train(config, tmp_path / "parts", resume=True)["state_sha256"] == result["state_sha256"]


def test_members_that_are_done_stay_so_when_a_later_one_fails(base, tmp_path):
    for name in "01":
        (tmp_path / name).mkdir()

    def told(index, result):
        if index == 0:
            raise RuntimeError("the disk is gone")

    with pytest.raises(RuntimeError, match="the disk is gone"):
        fit_members([quick(base, seed=seed) for seed in (0, 1)], [tmp_path / "0", tmp_path / "1"], on_result=told)
    assert (
        read_status(tmp_path / "0")["status"]
        == "finished"
        == json.loads((tmp_path / "0/result.json").read_text())["status"]
    )
    assert read_status(tmp_path / "1")["status"] == "failed"


def test_a_population_that_was_placed_follows_its_module():
    """As a run that is resumed is placed before Lightning brings it to a GPU."""
    moved, fresh = (
        PopulationModule(MLP(2, [6], 4, seed=0).double() if double else MLP(2, [6], 4, seed=0))
        for double in (False, True)
    )
    moved.place()
    moved.optimizer.update(slice(None), torch.ones_like(moved.population.theta), 0, 1.0)
    moved.gathered, moved.sums.losses = torch.zeros(1, 2), [torch.ones(1, 1)]
    moved.double()
    moved.place()
    assert {
        array.dtype for array in (moved.theta, moved.best.theta, moved.gathered, *moved.optimizer.moments.values())
    } == {torch.float64}
    assert moved.theta.data_ptr() == moved.population.theta.data_ptr() and moved.optimizer.moments["exp_avg"].any()
    fresh.place()
    assert fresh.population.theta.dtype == torch.float64
