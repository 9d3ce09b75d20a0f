"""Where a population's training stands, put into a checkpoint and taken back: by hand, without a training."""

import math
from types import SimpleNamespace

import pytest
import torch
from networks import draw, labels_of, mlps, quiet
from torch import nn

from mlplab.errors import InputError
from mlplab.nn.losses import CrossEntropy
from mlplab.population.blocks import Block
from mlplab.population.engine import PopulationModule, _is_plain, _per_batch
from mlplab.population.optimizers import SGD, Adam
from mlplab.population.stacking import stack
from mlplab.population.state import (
    BestState,
    EpochSums,
    Rules,
    Stop,
    engine_state,
    expect_the_order,
    member_state,
    restore,
)


@pytest.mark.parametrize(
    ("rules", "minibatches", "steps_per_epoch", "steps", "epochs"),
    [
        (Rules(max_epochs=3), 5, 5, 15, 3),
        (Rules(max_epochs=3, accumulate_grad_batches=2), 5, 3, 9, 3),
        (Rules(max_epochs=3, max_steps=8), 5, 5, 8, 2),
        (Rules(max_epochs=3, max_steps=5), 5, 5, 5, 1),
        (Rules(max_epochs=3, max_steps=99), 5, 5, 15, 3),
        (Rules(max_epochs=3, max_steps=0), 5, 5, 0, 0),
        (Rules(max_epochs=-1, max_steps=11), 5, 5, 11, 3),
        (Rules(max_epochs=0), 5, 5, 0, 0),
        (Rules(), 1, 1, 100, 100),
    ],
)
def test_rules_count_steps_and_epochs(rules, minibatches, steps_per_epoch, steps, epochs):
    counted = rules.steps_per_epoch(minibatches), rules.steps(minibatches), rules.epochs(minibatches)
    assert counted == (steps_per_epoch, steps, epochs)


def test_an_epoch_is_the_mean_over_its_points():
    sums = EpochSums([torch.tensor([[1.0, 2.0], [0.0, 1.0]]), torch.tensor([[5.0], [7.0]])], [], [4, 4, 2])
    sums.correct = [torch.tensor([[4.0, 2.0], [0.0, 0.0]]), torch.tensor([[1.0], [2.0]])]
    loss, accuracy = sums.mean()
    assert loss.tolist() == [(4 + 8 + 10) / 10, (0 + 4 + 14) / 10] and accuracy.tolist() == [0.7, 0.2]
    assert loss.dtype == torch.float64
    sums.to(torch.device("cpu"))
    assert len(sums.losses) == len(sums.correct) == 2
    sums.clear()
    assert (sums.losses, sums.correct, sums.sizes) == ([], [], [])


@pytest.mark.parametrize("mode", ["min", "max"])
def test_the_best_is_kept_and_a_tie_keeps_the_first(mode):
    population = stack(mlps(3, [4]), range(3))
    best, sign = BestState(population, mode), 1 if mode == "min" else -1
    assert not any(best.known(index) for index in range(3)) and best.value.tolist() == [sign * math.inf] * 3
    every = torch.ones(3, dtype=torch.bool)
    rows = []
    for epoch, (values, active) in enumerate(
        [
            ([3.0, 3.0, math.nan], every),
            ([2.0, 3.0, math.inf], every),
            ([1.0, 4.0, 5.0], torch.tensor([False, True, True])),
        ],
        1,
    ):
        population.theta.fill_(epoch)
        best.offer(torch.tensor(values) * sign, epoch, active)
        rows.append((best.epoch.tolist(), best.theta[:, 0].tolist()))
    start = stack(mlps(3, [4]), range(3)).theta[2, 0].item()
    assert rows == [([1, 1, -1], [1, 1, start]), ([2, 1, -1], [2, 1, start]), ([2, 1, 3], [2, 1, 3])]
    assert best.value.tolist() == [2.0 * sign, 3.0 * sign, 5.0 * sign] and best.buffers == {}
    assert [best.known(index) for index in range(3)] == [True, True, True]
    kept = best.member_state(1, "val/x")
    assert (kept["monitor"], kept["value"], kept["epoch"], kept["buffers"]) == ("val/x", 3.0 * sign, 1, {})
    again = BestState(population, mode)
    again.load_member_state(0, kept | {"buffers": {"n": torch.ones(1)}})
    assert (again.value[0], again.epoch[0], list(again.buffers)) == (3.0 * sign, 1, [0]) and not again.known(1)
    assert all(torch.equal(array, kept["model"][name]) for name, array in population.split(again.theta[0]).items())
    del kept["monitor"]  # as older folders have it
    again.load_member_state(1, kept)
    assert again.value[1] == 3.0 and list(again.buffers) == [0]
    again.to(torch.device("cpu"), torch.float64)
    assert again.theta.dtype == again.value.dtype == torch.float64


def test_the_best_buffers_are_those_of_its_epoch():
    norms = quiet(lambda: [nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 2)) for _ in range(2)])
    population = stack(norms, [0, 1])
    best = BestState(population)
    norms[0][0].running_mean.fill_(5)
    best.offer(torch.tensor([1.0, math.nan]), 1, torch.ones(2, dtype=torch.bool))
    norms[0][0].running_mean.fill_(6)
    assert list(best.buffers) == [0] and best.buffers[0]["0.running_mean"].tolist() == [5, 5]


def walked(members=2, optimizer=lambda p: Adam(p, lr=0.1), steps=3, **options):
    """An engine that has walked some minibatches of an epoch of four, by its own loop."""
    engine = PopulationModule(mlps(members, [5]), optimizer=optimizer, seeds=list(range(members)), **options)
    engine.trainer_steps = []
    engine.place()
    engine.minibatches_per_epoch = 4
    engine._trainer = SimpleNamespace()
    x, y = draw(members, 4, 6, 2), labels_of(members, 4, 6, classes=4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mlplab.population.engine.count_steps", lambda trainer, count: engine.trainer_steps.append(count))
        patch.setattr(PopulationModule, "trainer", None)
        engine.training_step(Block(x[:, :steps], y[:, :steps], 0), 0)
    return engine


@pytest.mark.parametrize("optimizer", [lambda p: Adam(p, lr=0.1), lambda p: torch.optim.Adam(p, lr=0.1)])
def test_what_a_checkpoint_holds_puts_a_population_back(optimizer):
    engine = walked(optimizer=optimizer)
    assert (engine.steps, engine.minibatches, engine.trainer_steps) == (3, 3, [3])
    members = [member_state(engine, index) for index in range(2)]
    states = [engine_state(engine, index, False) for index in range(2)]
    assert members[0]["steps"] == 3 and states[1]["sums"]["sizes"] == [6, 6, 6] and states[0]["stop"] is None
    again = PopulationModule(mlps(2, [5]), optimizer=optimizer, seeds=[0, 1])
    again.minibatches_per_epoch = 4
    restore(again, members, states)
    assert torch.equal(again.population.theta, engine.population.theta)
    assert (again.steps, again.minibatches, again.epochs, again.stops) == (3, 3, 0, {})
    assert torch.equal(torch.cat(again.sums.losses, 1), torch.cat(engine.sums.losses, 1))
    assert torch.equal(torch.cat(again.sums.correct, 1), torch.cat(engine.sums.correct, 1))
    for index in range(2):
        back = member_state(again, index)["optimizer"]
        for name, moment in members[index]["optimizer"].items():
            if isinstance(moment, dict):
                assert all(torch.equal(back[name][key], value) for key, value in moment.items()), name
            else:
                assert back[name] == moment


def test_between_two_epochs_nothing_is_summed_up():
    engine = walked(steps=4)
    assert engine_state(engine, 0, True)["sums"] == {"losses": [], "correct": [], "sizes": []}
    assert engine_state(engine, 0, True)["drawn"] is True


def test_a_member_that_has_ended_may_be_of_an_earlier_saving():
    engine = walked()
    members = [member_state(engine, index) for index in range(2)]
    states = [engine_state(engine, index, False) for index in range(2)]
    ended = states[0] | {"stop": {"reason": "diverged", "epoch": 0, "step": 2}, "minibatches": 2, "steps": 2}
    ended["sums"] = {name: part[:2] for name, part in ended["sums"].items()}

    def restored(*given):
        again = PopulationModule(mlps(2, [5]), optimizer=lambda p: Adam(p, lr=0.1), seeds=[0, 1])
        restore(again, members, given)
        return again

    again = restored(ended, states[1])
    assert again.stops == {0: Stop("diverged", 0, 2)} and (again.steps, again.minibatches) == (3, 3)
    assert again.active.tolist() == [False, True]
    assert [part.shape for part in again.sums.losses] == [(2, 3)]
    assert restored(ended, ended).minibatches == 2  # all have ended at one place
    for other in (states[1] | {"minibatches": 4}, states[1] | {"epochs": 1}):
        with pytest.raises(InputError, match=r"of one place, got epochs and minibatches \[\(0, 3\), "):
            restored(states[0], other)
    with pytest.raises(InputError, match="of one place"):
        restored(ended, ended | {"minibatches": 3})


def test_gradients_that_were_gathered_go_on():
    engine = walked()
    engine.gathered = torch.arange(2.0)[:, None] * torch.ones_like(engine.theta)
    states = [engine_state(engine, index, False) for index in range(2)]
    again = PopulationModule(mlps(2, [5]), optimizer=lambda p: Adam(p, lr=0.1), seeds=[0, 1])
    restore(again, [member_state(engine, index) for index in range(2)], states)
    assert torch.equal(again.gathered, engine.gathered)


@pytest.mark.parametrize(
    ("drawn", "now", "fine"),
    [
        (False, False, True),
        (True, True, True),
        (True, False, False),
        (False, True, False),
        (None, False, True),
        (None, True, False),
    ],
)
def test_within_an_epoch_its_points_must_come_in_the_same_order(drawn, now, fine):
    state = {"sums": {"sizes": [8]}} | ({} if drawn is None else {"drawn": drawn})
    if fine:
        expect_the_order(now, state)
    else:
        before = "cpu" if now else "gpu"
        with pytest.raises(InputError, match=f"trainer={before}, got trainer={'gpu' if now else 'cpu'}"):
            expect_the_order(now, state)
    expect_the_order(now, state | {"sums": {"sizes": []}})  # between two epochs any device goes on


# The engine's own counts.


@pytest.mark.parametrize(("every", "per_epoch"), [(1, 5), (2, 5), (3, 5), (5, 5), (7, 5)])
def test_steps_among_minibatches_are_those_of_a_walk(every, per_epoch):
    engine = PopulationModule(mlps(1, [2]))
    engine.rules, engine.minibatches_per_epoch = Rules(accumulate_grad_batches=every), per_epoch
    ends = [(k + 1) % every == 0 or k + 1 == per_epoch for k in range(per_epoch)]
    for first in range(per_epoch):
        for count in range(per_epoch - first + 1):
            assert engine._steps_within(first, count) == sum(ends[first : first + count])


@pytest.mark.parametrize(
    ("most", "steps", "wanted"), [(-1, 9, 4), (12, 9, 3), (13, 9, 4), (9, 9, 0), (10, 9, 1), (99, 0, 4)]
)
def test_max_steps_leaves_room_for_so_many_minibatches(most, steps, wanted):
    engine = PopulationModule(mlps(1, [2]))
    engine.rules, engine.minibatches_per_epoch, engine.steps = Rules(max_steps=most), 6, steps
    assert engine._minibatches_wanted(Block(torch.zeros(1, 4, 8, 2), torch.zeros(1, 4, 8), 1)) == wanted


def test_the_rate_is_that_of_the_last_step():
    engine = walked(optimizer=lambda p: SGD(p, lr=[0.5, 0.25]))
    seen = []
    engine.schedule = SimpleNamespace(at=lambda step, total, per_epoch: seen.append((step, total, per_epoch)) or 0.1)
    engine.rules = Rules(max_epochs=7, accumulate_grad_batches=2)
    assert engine.rates == [0.05, 0.025] and seen == [(2, 14, 2)]
    engine.steps = 0
    assert engine.rates and seen[-1] == (0, 14, 2)
    other = walked(optimizer=lambda p: torch.optim.SGD(p, lr=0.5))
    assert other.rates == [0.5, 0.5] and other.optimizer.param_groups[0]["initial_lr"] == 0.5


def test_one_network_gives_logits_of_a_batch_and_many_give_theirs():
    x = draw(3, 6, 2)
    many, (one,) = PopulationModule(mlps(3, [4])), mlps(1, [4])
    assert many(x).shape == (3, 6, 4) and PopulationModule(one)(x[0]).shape == (6, 4)
    torch.testing.assert_close(PopulationModule([one])(x[0]), one(x[0]))


def test_a_loss_of_ones_own_is_taken_member_by_member():
    logits, labels = draw(3, 5, 4), labels_of(3, 5, classes=4)
    own = nn.CrossEntropyLoss()
    each = torch.stack([own(rows, answers) for rows, answers in zip(logits, labels)])
    torch.testing.assert_close(_per_batch(own, logits, labels), each)
    torch.testing.assert_close(_per_batch(CrossEntropy(), logits, labels), each)
    assert _is_plain(own) and not _is_plain(nn.MultiMarginLoss())
    assert not _is_plain(nn.CrossEntropyLoss(ignore_index=0)) and _is_plain(nn.CrossEntropyLoss(ignore_index=-1))
    assert not _is_plain(nn.CrossEntropyLoss(weight=torch.ones(4)))
    assert not _is_plain(type("Own", (nn.CrossEntropyLoss,), {})())


def test_stopping_is_noted_once_with_its_place():
    engine = walked()
    engine.stop(1, "patience")
    engine.steps = 9
    engine.stop(1, "other")
    assert engine.stops == {1: Stop("patience", 0, 3)} and engine.active.tolist() == [True, False]


@pytest.mark.parametrize("guard", [False, True])
def test_a_member_that_has_ended_is_as_before_a_block_and_one_that_breaks_ends_where_the_guard_is(guard):
    engine = PopulationModule(mlps(3, [5]), optimizer=lambda p: SGD(p, lr=[0.1, 1e30, 0.1]), seeds=[0, 1, 2])
    engine.place()
    engine.minibatches_per_epoch, engine.guard = 4, guard
    engine.stop(2, "patience")
    before = engine.population.theta.clone()
    x, y = draw(3, 4, 6, 2), labels_of(3, 4, 6, classes=4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mlplab.population.engine.count_steps", lambda trainer, count: None)
        patch.setattr(PopulationModule, "trainer", None)
        engine.training_step(Block(x, y, 0), 0)
    theta = engine.population.theta
    assert torch.equal(theta[2], before[2]) and not torch.equal(theta[0], before[0]) and theta[0].isfinite().all()
    if guard:
        assert torch.equal(theta[1], before[1]) and engine.stops[1].reason == "diverged"
        loss = torch.cat(engine.sums.losses, 1)[1]
        assert engine.stops[1].step == int((~loss.isfinite()).nonzero()[0]) and engine.stops[1].epoch == 0
    else:
        assert not theta[1].isfinite().all() and list(engine.stops) == [2]
    assert (engine.steps, engine.minibatches, engine.sums.sizes) == (4, 4, [6] * 4)


@pytest.fixture
def closing(monkeypatch):
    """Give an engine that has walked so many minibatches of an epoch of four, and a trainer that it asks."""
    trainer = SimpleNamespace(check_val_every_n_epoch=None, callback_metrics={}, should_stop=False)

    def make(steps=4, **options):
        engine = walked(steps=steps, **options)
        monkeypatch.setattr(PopulationModule, "trainer", trainer)
        return engine

    return make, trainer


def test_an_epoch_is_closed_once_with_its_means(closing):
    make, trainer = closing
    engine = make(monitor="train/loss")
    loss, accuracy = engine.sums.mean()
    assert engine.close_epoch() and engine.epochs == 1 and list(engine.metrics) == ["train/loss", "train/accuracy"]
    assert torch.equal(engine.metrics["train/loss"], loss) and torch.equal(engine.metrics["train/accuracy"], accuracy)
    assert trainer.callback_metrics["train/loss"] == loss.mean() and not trainer.should_stop
    assert torch.equal(engine.best.value, loss) and engine.best.epoch.tolist() == [1, 1]
    assert engine.close_epoch() and engine.epochs == 1
    engine.on_train_epoch_start()
    assert (engine.metrics, engine.sums.losses, engine._closed) == ({}, [], False)
    assert not engine.close_epoch()  # nothing was trained


@pytest.mark.parametrize(("most", "closed"), [(-1, False), (3, True), (2, True), (4, False)])
def test_an_epoch_cut_short_is_closed_where_max_steps_ends_it(closing, most, closed):
    engine = closing[0](steps=3)
    engine.rules = Rules(max_steps=most)
    assert engine.close_epoch() == closed and engine.epochs == int(closed)
    if not closed:  # it goes on with what it has summed up
        engine.on_train_epoch_start()
        assert len(engine.sums.losses) == 1


@pytest.mark.parametrize(
    ("every", "epoch", "measured"), [(None, 1, True), (1, 3, True), (2, 1, False), (2, 2, True), (3, 2, False)]
)
def test_points_held_out_are_measured_every_so_many_epochs(closing, every, epoch, measured):
    make, trainer = closing
    trainer.check_val_every_n_epoch = every
    engine = make(monitor="val/nll", loss=CrossEntropy(label_smoothing=0.2))
    x, y = draw(1, 9, 2, seed=5), labels_of(1, 9, classes=4, seed=5)
    engine.validation_points, engine.epochs = (x, y), epoch - 1
    engine.close_epoch()
    assert ("val/nll" in engine.metrics) == measured == engine.best.known(0)
    if measured:
        logits = engine.population.forward(x).double()
        for index in range(2):
            own = (
                nn.functional.cross_entropy(logits[index], y[0]),
                nn.functional.cross_entropy(logits[index], y[0], label_smoothing=0.2),
            )
            torch.testing.assert_close(engine.metrics["val/nll"][index], own[0], rtol=1e-5, atol=1e-6)
            torch.testing.assert_close(engine.metrics["val/loss"][index], own[1], rtol=1e-5, atol=1e-6)
            assert engine.metrics["val/accuracy"][index] == (logits[index].argmax(1) == y[0]).double().mean()
        assert list(engine.metrics)[:2] == ["train/loss", "train/accuracy"]


def test_points_held_out_are_not_measured_within_an_epoch(closing):
    engine = closing[0](steps=3)
    engine.rules, engine.validation_points = Rules(max_steps=3), (draw(1, 5, 2), labels_of(1, 5, classes=4))
    assert engine.close_epoch() and "val/nll" not in engine.metrics


@pytest.mark.parametrize(
    ("interrupted", "ended", "stops"),
    [(False, (), False), (True, (), True), (False, (0,), False), (False, (0, 1), True)],
)
def test_training_stops_where_it_is_interrupted_or_all_have_ended(closing, interrupted, ended, stops):
    make, trainer = closing
    engine = make()
    engine.interrupted = interrupted
    for index in ended:
        engine.stop(index, "patience")
    engine.close_epoch()
    assert trainer.should_stop == stops


@pytest.mark.parametrize(("interrupted", "steps", "stops"), [(True, 3, True), (True, 4, False), (False, 3, False)])
def test_within_an_epoch_a_stop_waits_for_the_end_of_the_block(closing, interrupted, steps, stops):
    make, trainer = closing
    engine = make(steps=steps)
    engine.interrupted = interrupted
    engine.on_train_batch_end()
    assert trainer.should_stop == stops
