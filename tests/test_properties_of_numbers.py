"""Bounds and invariants of pure functions of numbers, on inputs that hypothesis draws: nn, data, population, report."""

import math
from fractions import Fraction

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st
from properties import FEW, SEEDS, reals

from mlplab import seeds
from mlplab.data import datasets
from mlplab.data.bayes import log_joint, log_posterior, regrets, scores
from mlplab.data.features import Preparation
from mlplab.data.splits import allot, split
from mlplab.nn.activations import ACTIVATIONS, LIFRate, activation_gradient, activation_module
from mlplab.nn.losses import count_hits, cross_entropy, first_largest, negative_log_softmax, soft_targets
from mlplab.nn.mlp import MLP
from mlplab.population.blocks import draw_orders
from mlplab.population.member_axis import round_up
from mlplab.population.schedules import Constant, Cosine, OneCycle, Step
from mlplab.population.stacking import can_stack, stack
from mlplab.report.crossed import parts_of, summarise_grid, worse
from mlplab.report.intervals import holm, summarise, welch
from mlplab.report.paired import mcnemar, paired_t, sign_test

SHAPES = st.tuples(st.integers(1, 5), st.integers(1, 6))  # rows, classes


def array(shape, seed: int, scale: float, dtype=torch.float64) -> torch.Tensor:
    return (torch.randn(shape, generator=seeds.generator(seed, "test"), dtype=torch.float64) * scale).to(dtype)


@FEW
@given(SHAPES, SEEDS, st.sampled_from([1e-3, 1.0, 30.0, 1e4, 1e30]), st.sampled_from([torch.float32, torch.float64]))
def test_negative_log_softmax_is_finite_not_negative_and_a_probability(shape, seed, scale, dtype):
    logits = array(shape, seed, scale, dtype)
    found = negative_log_softmax(logits)
    assert torch.isfinite(found).all() and (found >= 0).all()
    torch.testing.assert_close((-found.double()).exp().sum(-1), torch.ones(shape[0], dtype=torch.float64))
    torch.testing.assert_close(negative_log_softmax(logits.clone().requires_grad_()).detach(), found)


@FEW
@given(SHAPES, SEEDS, reals(0, 1), st.booleans(), st.sampled_from(["mean", "sum", "none"]))
def test_cross_entropy_is_torchs_and_its_targets_write_it_as_a_sum(shape, seed, smoothing, weighted, reduction):
    rows, classes = shape
    logits = array(shape, seed, 3.0)
    labels = torch.randint(classes, (rows,), generator=seeds.generator(seed, "labels"))
    labels[1::3] = -100
    weight = array((classes,), seed + 1, 1.0).abs() + 0.1 if weighted else None
    options = {"weight": weight, "label_smoothing": smoothing, "reduction": reduction}
    found = cross_entropy(logits, labels, **options)
    torch.testing.assert_close(found, torch.nn.functional.cross_entropy(logits, labels, **options))
    q, norm = soft_targets(labels, classes, weight=weight, label_smoothing=smoothing, dtype=torch.float64)
    each = (q * negative_log_softmax(logits)).sum(-1)
    told = {"mean": each.sum() / norm, "sum": each.sum(), "none": each}[reduction]
    torch.testing.assert_close(found, told)


@FEW
@given(SHAPES, SEEDS, st.sampled_from([0.0, 0.6, 5.0]))
def test_the_first_largest_is_argmaxs_ties_and_all(shape, seed, scale):
    logits = array(shape, seed, scale).round()  # many ties
    assert first_largest(logits).tolist() == np.argmax(logits.numpy(), -1).tolist()
    labels = torch.zeros(shape[0], dtype=torch.int64)
    assert 0 <= count_hits(logits, labels) <= shape[0]


# nn: activations

POSITIVE = {"resistance": reals(1e-3, 1e6), "tau_ref": reals(0, 1e3), "softness": reals(1e-4, 10)}


@FEW
@given(st.fixed_dictionaries(POSITIVE), reals(-5, 5), st.sampled_from([torch.float32, torch.float64]))
def test_the_lif_rate_rises_between_its_floor_and_its_ceiling(options, rest, dtype):
    module = LIFRate(**options, rest=rest)
    x = torch.cat([-torch.logspace(30, -6, 40), torch.zeros(1), torch.logspace(-6, 30, 40)]).to(dtype)
    rate = module(x)
    ceiling = 1 / options["tau_ref"] if options["tau_ref"] else math.inf
    assert torch.isfinite(rate).all() and (rate >= 0).all()
    assert (rate.double() <= ceiling * (1 + 1e-6)).all()
    few_last_bits = 8 * torch.finfo(dtype).eps
    assert (rate[1:] >= rate[:-1] * (1 - few_last_bits)).all()


@FEW
@given(st.sampled_from(sorted(ACTIVATIONS)), SEEDS, st.sampled_from([1e-3, 1.0, 50.0]))
def test_the_written_gradient_of_an_activation_is_autograds(name, seed, scale):
    module = activation_module(name)
    z = array((20,), seed, scale).requires_grad_()
    given_gradient = array((20,), seed + 1, 1.0)
    (expected,) = torch.autograd.grad(module(z), z, given_gradient)
    found = activation_gradient(name)(given_gradient.clone(), z.detach(), module(z).detach(), module)
    torch.testing.assert_close(found, expected)


@FEW
@given(st.integers(2, 6), reals(0.02, 1.0), reals(0, 0.5), reals(0.6, 2), reals(-180, 180))
def test_each_spiral_arms_density_is_one_of_weights_and_its_posterior_one_of_classes(arms, noise, t_min, t_max, turn):
    density = datasets.spiral_density(arms=arms, noise=noise, t_min=t_min, t_max=t_max, rotation_degrees=turn)
    x = array((30, 2), 1, t_max)
    posterior = log_posterior(x, density)
    torch.testing.assert_close(density.log_weights.exp().sum(1), torch.ones(arms, dtype=torch.float64))
    torch.testing.assert_close(posterior.exp().sum(1), torch.ones(30, dtype=torch.float64))
    # Turned by one arm, the classes change places.
    angle = 2 * math.pi / arms
    turn_by_one = [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
    turned = x @ torch.tensor(turn_by_one, dtype=torch.float64)
    torch.testing.assert_close(log_posterior(turned, density).exp(), posterior.exp().roll(1, 1), rtol=0, atol=1e-6)


MADE = {
    "circles": lambda noise, classes: datasets.circles_density(classes=classes, noise=noise),
    "moons": lambda noise, classes: datasets.moons_density(noise=noise),
    "xor": lambda noise, classes: datasets.xor_density(noise=noise),
    "blobs": lambda noise, classes: datasets.blobs_density(classes=classes, noise=noise),
    "spiral": lambda noise, classes: datasets.spiral_density(arms=classes, noise=noise, t_min=0.6),
}


@FEW
@given(st.sampled_from(sorted(MADE)), reals(0.15, 0.6), st.integers(2, 4))
def test_a_density_integrates_to_one(name, noise, classes):
    density = MADE[name](noise, classes)
    # Each class's mixture has the mass of its weights in the plane; on a grid, up to a constant of log_joint, 1/(2 pi).
    reach, steps = 4.5, 121
    axis = torch.linspace(-reach, reach, steps, dtype=torch.float64)
    grid = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
    mass = log_joint(grid, density).exp().sum(0) * (2 * reach / (steps - 1)) ** 2 / (2 * math.pi)
    torch.testing.assert_close(mass, density.priors, rtol=2e-3, atol=0)


@FEW
@given(st.sampled_from(sorted(MADE)), reals(0.05, 1.0), st.integers(2, 4), SEEDS)
def test_no_classifier_beats_the_posterior(name, noise, classes, seed):
    log_p = log_posterior(array((40, 2), seed, 1.0), MADE[name](noise, classes))
    other = torch.log_softmax(array(tuple(log_p.shape), seed + 1, 2.0), 1)
    accuracy, nll = regrets(other, log_p)
    assert (accuracy >= 0).all() and (accuracy <= 1).all() and (nll >= 0).all()
    for own in regrets(log_p, log_p):
        assert (own.abs() < 1e-12).all()
    chance = 1 / log_p.shape[1]
    assert log_p.exp().amax(1).mean() >= chance - 1e-12  # the Bayes accuracy is at least chance
    told = scores(log_p, log_p.argmax(1))
    assert (
        told["accuracy"].min() == 1 and (told["nll"] >= 0).all() and (told["nll"] <= math.log(1 / chance) + 1e-9).all()
    )


@FEW
@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), reals(0, 0.49), reals(0, 0.5), SEEDS, st.booleans())
def test_parts_are_disjoint_and_complete(labels, test, validation, seed, stratify):
    y = np.unique(np.array(labels), return_inverse=True)[1]
    parts = split(y, test, validation, seeds.generator(seed), stratify=stratify)
    assert sorted(np.concatenate(list(parts.values())).tolist()) == list(range(len(y)))
    assert len(parts["test"]) <= int(test * len(y)) and len(parts["validation"]) <= int(validation * len(y))
    if stratify:
        assert set(y[parts["train"]]) == set(y)  # each class keeps a row to train on
        for k in range(y.max() + 1):
            members = (y == k).sum()
            assert (y[parts["test"]] == k).sum() <= math.ceil(test * members) + 1


@FEW
@given(st.lists(st.integers(0, 5), min_size=2, max_size=40), reals(0, 0.49), reals(0, 0.5), SEEDS)
def test_a_group_lies_in_one_part(groups, test, validation, seed):
    parts = split(np.zeros(len(groups), int), test, validation, seeds.generator(seed), groups=np.array(groups))
    kinds = [set(np.array(groups)[rows]) for rows in parts.values()]
    assert sorted(np.concatenate(list(parts.values())).tolist()) == list(range(len(groups)))
    assert sum(map(len, kinds)) == len(set(groups))


@FEW
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=8), st.integers(0, 100))
def test_shares_add_up_and_no_class_gives_more_than_it_can(pairs, total):
    members, most = (np.array(column) for column in zip(*pairs))
    given_rows = allot(total, members, most)
    assert given_rows.sum() == min(total, most.sum()) and (given_rows <= most).all() and (given_rows >= 0).all()


@FEW
@given(st.integers(1, 5), SEEDS, st.sampled_from([1e-6, 1.0, 1e8]))
def test_standardising_is_undone(inputs, seed, scale):
    values = array((9, inputs), seed, scale).numpy()
    means, deviations = tuple(values.mean(0)), tuple(values.std(0))
    preparation = Preparation(tuple("abcde"[:inputs]), {}, {}, means, deviations, (inputs,))
    np.testing.assert_allclose(preparation.unscaled(preparation.scaled(values)), values, rtol=1e-12, atol=1e-12 * scale)
    assert Preparation.from_recorded(preparation.recorded()) == preparation


@FEW
@given(st.lists(SEEDS, min_size=1, max_size=5), st.integers(0, 10**6), st.integers(1, 70))
def test_orders_are_permutations_of_their_seed_alone(drawn, epoch, points):
    orders = draw_orders(torch.tensor(drawn), epoch, points)
    assert (orders.sort(1).values == torch.arange(points)).all()
    assert all(
        torch.equal(order, draw_orders(torch.tensor([seed]), epoch, points)[0]) for seed, order in zip(drawn, orders)
    )


SCHEDULES = st.one_of(
    st.just(Constant()),
    st.builds(Cosine, reals(0, 1), reals(0, 5)),
    st.builds(OneCycle, reals(0.01, 0.99), reals(1e-6, 1), reals(0, 1)),
    st.builds(Step, st.integers(1, 20), reals(1e-3, 1)),
)


@FEW
@given(SCHEDULES, st.integers(1, 300), st.integers(1, 30))
def test_a_schedules_factor_lies_between_nothing_and_one(schedule, steps, per_epoch):
    factors = [schedule.at(step, steps, per_epoch) for step in range(steps)]
    assert all(0 <= factor <= 1 + 1e-12 for factor in factors)
    turns = np.sign(np.diff(factors).round(12))
    assert not any(b > a for a, b in zip(turns, turns[1:]) if b > 0 and a < 0)  # it does not rise again


@FEW
@given(st.integers(2, 200), reals(0.05, 0.95), reals(1e-3, 1), reals(0, 0.9))
def test_one_cycle_is_torchs_step_by_step(steps, warmup, initial, final):
    weight = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.SGD([weight], lr=1.0)
    try:
        walked = torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            1.0,
            steps,
            pct_start=warmup,
            div_factor=1 / initial,
            final_div_factor=initial / max(final, 1e-9),
            cycle_momentum=False,
        )
    except ZeroDivisionError:  # where the rise has one step
        return
    own = OneCycle(warmup, initial, max(final, 1e-9))
    for step in range(steps):
        if warmup * steps - 1 > 0:
            assert own.at(step, steps, 1) == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-9)
        optimizer.step()
        if step < steps - 1:
            walked.step()


@FEW
@given(st.integers(1, 200), st.integers(1, 20), reals(0.01, 1), st.integers(1, 30))
def test_steps_are_torchs_step_by_step(steps, every, factor, per_epoch):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    walked = torch.optim.lr_scheduler.StepLR(optimizer, every, factor)
    for step in range(steps):
        assert Step(every, factor).at(step, steps, per_epoch) == pytest.approx(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if (step + 1) % per_epoch == 0:
            walked.step()


NETWORKS = st.tuples(st.integers(1, 5), st.lists(st.integers(1, 9), max_size=3), st.integers(1, 5))


@FEW
@given(NETWORKS, st.integers(1, 4), SEEDS, st.sampled_from(["relu", "tanh", "lif_rate", "sigmoid"]))
def test_stacked_networks_come_back_as_they_were_and_padding_shows_nowhere(sizes, count, seed, activation):
    features, hidden, outputs = sizes
    networks = [MLP(features, hidden, outputs, activation=activation, seed=seed + index) for index in range(count)]
    assert all(can_stack(networks[0], network) for network in networks)
    population = stack(networks, list(range(count)))
    x = array((7, features), seed, 1.0, torch.float32)
    logits = population.forward(x[None])
    for index, network in enumerate(networks):
        back = population.member(index)
        assert [name for name, _ in back.named_parameters()] == [name for name, _ in network.named_parameters()]
        for (name, mine), given_back in zip(network.named_parameters(), back.parameters()):
            assert torch.equal(mine, given_back), name
        torch.testing.assert_close(logits[index], network(x), rtol=1e-5, atol=1e-6)
        row = torch.zeros_like(population.theta[index])
        population.join(population.split(population.theta[index]), row)
        assert torch.equal(row, population.theta[index].detach())


@FEW
@given(st.integers(0, 10**9), st.integers(1, 64))
def test_rounding_up_gives_the_least_multiple(value, multiple):
    found = round_up(value, multiple)
    assert found % multiple == 0 and value <= found < value + multiple


# report

VALUES = st.lists(reals(-1e6, 1e6), min_size=2, max_size=12)


@FEW
@given(VALUES, reals(0.5, 0.99), reals(0, 0.009))
def test_an_interval_holds_its_mean_is_scipys_and_widens_with_its_level(values, level, more):
    found, wider = summarise(values, level), summarise(values, level + more)
    assert found.low <= found.mean <= found.high and min(values) <= found.mean <= max(values)
    assert wider.low <= found.low and wider.high >= found.high
    assert summarise(values[::-1], level) == found  # the order does not show
    exact = sum(map(Fraction, values)) / len(values)
    assert found.mean == pytest.approx(float(exact), rel=1e-15, abs=1e-300)
    if found.sd > 1e-6:
        low, high = scipy.stats.t.interval(level, len(values) - 1, found.mean, found.sd / math.sqrt(len(values)))
        assert (found.low, found.high) == pytest.approx((low, high), rel=1e-6, abs=1e-9 * max(map(abs, values)))


@FEW
@given(VALUES, VALUES, reals(0, 1e5))
def test_welchs_p_is_one_of_a_probability_symmetric_and_falls_with_the_distance(first, second, shift):
    a, b = summarise(first), summarise(second)
    p = welch(a, b)
    assert 0 <= p <= 1 and welch(b, a) == p
    away = math.copysign(shift, a.mean - b.mean)
    farther = summarise([value + away for value in first])
    assert welch(farther, b) <= p + 1e-6
    assert 0 <= paired_t([x - y for x, y in zip(first, second)][:2]).p <= 1


@FEW
@given(st.lists(reals(0, 1), max_size=10))
def test_holms_correction_only_raises_and_keeps_the_order(p_values):
    corrected = holm(p_values)
    assert all(p <= found <= 1 for p, found in zip(p_values, corrected))
    pairs = sorted(zip(p_values, corrected))
    assert all(a[1] <= b[1] for a, b in zip(pairs, pairs[1:]))


@FEW
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_mcnemar_counts_each_point_once_and_is_the_binomial_test(pairs):
    found = mcnemar(*zip(*pairs))
    assert found.both + found.first + found.second + found.neither == len(pairs)
    assert 0 <= found.difference.p <= 1 and found.difference.low <= found.difference.mean <= found.difference.high
    if found.first + found.second:
        expected = scipy.stats.binomtest(found.first, found.first + found.second).pvalue
        assert sign_test(found.first, found.second) == pytest.approx(expected)


@FEW
@given(st.integers(1, 5), st.integers(1, 5), SEEDS)
def test_a_tables_parts_are_not_negative_and_its_grid_has_its_mean(rows, columns, seed):
    table = array((rows, columns), seed, 1.0).tolist()
    found = parts_of(table)
    assert found.row_variance >= 0 and found.column_variance >= 0
    assert found.mean == pytest.approx(np.mean(table)) and found.columns == pytest.approx(np.mean(table, 0))
    grid = summarise_grid({(r, c): table[r][c] for r in range(rows) for c in range(columns)})
    assert grid.mean == pytest.approx(np.mean(table))
    assert grid.low is None or grid.low <= grid.mean <= grid.high


@FEW
@given(st.integers(2, 4), st.integers(1, 4), st.integers(1, 4), SEEDS)
def test_the_p_of_being_worse_is_a_probability_and_falls_with_the_loss(settings, rows, columns, seed):
    tables = [array((rows, columns), seed + index, 0.1).tolist() for index in range(settings)]
    best = min(range(settings), key=lambda index: np.mean(tables[index]))
    found = worse(tables, best)
    assert found[best] is None and all(p is None or 0 <= p <= 1 for p in found)
    other = (best + 1) % settings
    lost = [*tables[:other], [[value + 1 for value in row] for row in tables[other]], *tables[other + 1 :]]
    farther = worse(lost, best)[other]
    assert (farther is None) == (found[other] is None) and (farther is None or farther <= found[other] + 1e-12)
