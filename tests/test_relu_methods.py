"""Least squares, interpolation, greedy units, training: against closed forms, solvers and brute force."""

import itertools

import numpy as np
import pytest
import torch
from scipy.interpolate import make_lsq_spline

from mlplab.errors import InputError
from mlplab.studies.relu.deep_training import train_deep
from mlplab.studies.relu.greedy import greedy
from mlplab.studies.relu.hats import Moments, fit_at, gradient
from mlplab.studies.relu.knots import equidistributed, uniform
from mlplab.studies.relu.least_squares import descend, join, least_squares
from mlplab.studies.relu.minimax import minimax
from mlplab.studies.relu.partition import split
from mlplab.studies.relu.sampling import errors, peaks, quadrature, sample
from mlplab.studies.relu.sawtooth import square
from mlplab.studies.relu.targets import make_points, make_target
from mlplab.studies.relu.trained import Units, constructed_start, default_start, loss_and_gradient, train_units


def measured(target, fit):
    return errors(target, fit, np.concatenate([fit.knots, sample(target, 600).x]))


@pytest.mark.parametrize("n", [1, 2, 7, 40])
def test_uniform_interpolation_has_its_closed_form(n):
    largest, rms = measured(make_target("x2"), uniform(make_target("x2"), n))
    assert largest == pytest.approx(1 / (4 * n * n), rel=1e-9)
    assert rms == pytest.approx(1 / (n * n * np.sqrt(30)), rel=1e-9)
    # sqrt with uniform knots: the first piece misses by 0.25 n^-1/2, exactly.
    assert measured(make_target("sqrt"), uniform(make_target("sqrt"), n))[0] == pytest.approx(0.25 * n**-0.5, rel=1e-6)


@pytest.mark.parametrize(
    ("name", "n", "most"),
    [
        ("sin", 9, 4.11e-2),
        ("sin", 64, 8.1e-4),
        ("sin", 256, 5.06e-5),
        ("x2", 9, 3.09e-3),
        ("exp", 9, 2.6e-3),
        ("sqrt", 9, 6.15e-3),
        ("sqrt", 256, 7.64e-6),
        ("runge", 9, 2.56e-2),
        ("runge", 256, 3.215e-5),
    ],
)
def test_equidistributed_knots_against_the_reference_table(name, n, most):
    target = make_target(name)
    plain, balanced = (measured(target, equidistributed(target, n, balance=b))[0] for b in (False, True))
    assert plain <= most * 1.001 and balanced <= plain * 1.0001
    if (name, n) == ("sin", 9):
        assert balanced < 0.0321


def test_balanced_interpolation_is_twice_minimax_where_convex():
    for name in ("exp", "x2"):
        target = make_target(name)
        assert measured(target, equidistributed(target, 20))[0] == pytest.approx(
            2 * minimax(target, 20).level, rel=1e-3
        )


@pytest.mark.parametrize("n", [1, 3, 8])
def test_hats_against_scipys_spline(n):
    target, edges = make_target("exp"), np.linspace(0, 1, n + 1) ** 1.3
    fit, _ = fit_at(Moments(target)(edges), edges)
    x, w = quadrature(np.linspace(0, 1, 4001))
    spline = make_lsq_spline(x, np.exp(x), np.concatenate([[0, 0], edges[1:-1], [1, 1]]), k=1, w=np.sqrt(w))
    look = np.linspace(0, 1, 200)
    assert np.abs(fit(look) - spline(look)).max() < 1e-6


def test_moments_of_points_are_plain_sums():
    x, y = np.array([0.0, 0.2, 0.5, 0.5001, 1.0]), np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    left, cross, right, start, end = Moments(make_points(x, y))(np.array([0.0, 0.5, 1.0]))
    assert np.allclose(left[0], 1 + 0.36) and np.allclose(end[0], 0.4 * 2) and np.allclose(right[1], 0.0002**2 + 1)
    assert np.allclose(start[1], 3 + 0.9998 * 4) and np.allclose(cross[0], 0.24)


def test_the_gradient_of_the_knots_by_finite_differences():
    target, edges = make_target("sin"), np.array([0, 0.7, 1.9, 3.3, 5.0, 2 * np.pi])
    moments = Moments(target)
    found = gradient(moments(edges), edges, fit_at(moments(edges), edges)[0])
    for i in range(1, 5):
        moved = [edges + s * 1e-5 * np.eye(6)[i] for s in (1, -1)]
        ends = [fit_at(moments(knots), knots)[1] for knots in moved]
        assert found[i - 1] == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-5, abs=1e-8)


@pytest.mark.parametrize(("n", "rms"), [(4, 0.05721), (9, 0.009456), (64, 2.0178e-4), (256, 1.2718e-5)])
def test_least_squares_on_sin(n, rms):
    # n = 9 is pwlf's own best; n = 4 is where Newton alone stops at 0.0763.
    assert measured(make_target("sin"), least_squares(make_target("sin"), n))[1] <= rms


def test_least_squares_law_of_convex_functions():
    # (integral |f''|^0.4)^2.5 / sqrt(720) n^-2, exact for x^2 at any n.
    for n in (1, 2, 5, 30):
        rms = measured(make_target("x2"), least_squares(make_target("x2"), n))[1]
        assert rms == pytest.approx(2 / np.sqrt(720) / n**2, rel=1e-6)


def test_split_against_brute_force_over_all_edges():
    generator = np.random.default_rng(3)
    x, y = np.sort(generator.uniform(size=12)), generator.normal(size=12)
    at = np.concatenate([x[:1], (x[1:] + x[:-1]) / 2, x[-1:]])

    def cost(edges):
        total = 0.0
        for a, b in itertools.pairwise(np.searchsorted(x, edges[:-1]).tolist() + [12]):
            if b - a > 2:
                total += np.polyfit(x[a:b], y[a:b], 1, full=True)[1].sum()
        return total

    for n in (1, 2, 3):
        brute = min(cost(np.array([at[0], *inner, at[-1]])) for inner in itertools.combinations(at[1:-1], n - 1))
        assert cost(split(x, y, np.ones(12), at, n, 12)) == pytest.approx(brute, rel=1e-9)


def test_least_squares_on_points_and_few_points():
    x = np.linspace(0, 2 * np.pi, 400)
    fit = least_squares(make_points(x, np.sin(x)), 9)
    assert np.sqrt(np.mean((fit(x) - np.sin(x)) ** 2)) < 0.00950
    for count in (1, 2, 4):
        few = make_points(np.arange(count), np.arange(count) ** 2.0)
        assert least_squares(few, 5).n == 5 and np.allclose(
            least_squares(few, 5)(np.arange(count)), np.arange(count) ** 2
        )


def test_descent_and_newton_agree_on_a_smooth_target():
    moments, edges = Moments(make_target("exp")), np.linspace(0, 1, 7)
    newton, downhill = join(moments, edges), descend(moments, edges)
    assert np.abs(newton - downhill).max() < 1e-3
    assert fit_at(moments(newton), newton)[1] == pytest.approx(fit_at(moments(downhill), downhill)[1], rel=1e-9)


def test_each_greedy_unit_is_the_best_of_all_candidates():
    target = make_points(np.linspace(0, 2 * np.pi, 80), np.sin(np.linspace(0, 2 * np.pi, 80)))
    x, y = target.points.x, target.points.y
    knots = [x[0]]
    for n in range(2, 6):

        def cost(knot):
            basis = np.column_stack([np.ones_like(x), *[np.maximum(x - t, 0) for t in [*knots, knot]]])
            return np.sum((y - basis @ np.linalg.lstsq(basis, y, rcond=None)[0]) ** 2)

        best = min(x[1:-1], key=lambda knot: np.inf if knot in knots else cost(knot))
        knots.append(best)
        fit = greedy(target, n)
        assert np.sum((fit(x) - y) ** 2) == pytest.approx(cost(best), rel=1e-6)


@pytest.mark.parametrize("name", ["sin", "sqrt", "abs", "takagi"])
def test_greedy_errors_never_rise(name):
    target = make_target(name)
    rms = [measured(target, greedy(target, n))[1] for n in (1, 2, 4, 8, 16)]
    assert rms[2] < 0.5 * rms[0]
    assert all(b <= a * (1 + 1e-9) + 1e-9 for a, b in itertools.pairwise(rms))


def test_the_gradient_of_training_against_autograd():
    x = np.linspace(0, 6, 50)
    y = np.sin(x)
    flat = default_start(7, [1, 2, 3])
    flat[0, 2], flat[1, 3], flat[1, 10] = 0.0, 0.0, -0.5
    loss, slope = loss_and_gradient(flat, x, y)
    for member in range(3):
        leaf = torch.tensor(flat[member], requires_grad=True)
        units = [leaf[:7], leaf[7:14], leaf[14:21], leaf[21:]]
        hidden = torch.relu(torch.tensor(x)[:, None] * units[0] + units[1])
        right = ((hidden @ units[2] + units[3] - torch.tensor(y)) ** 2).mean()
        right.backward()
        assert loss[member] == pytest.approx(right.item(), rel=1e-12)
        assert np.allclose(slope[member], leaf.grad.numpy(), atol=1e-12)


def test_training_improves_both_starts_and_repeats():
    target = make_target("sin")
    built = minimax(target, 9).fit
    options = {"adam_steps": 100, "lbfgs_steps": 40, "points": 129}
    cold = train_units(target, 9, seeds=[0, 1], **options)
    again = train_units(target, 9, seeds=[1], **options)
    assert np.array_equal(cold.fits[1].knots, again.fits[0].knots), "a network depends on its neighbours"
    assert (cold.losses < cold.history[0]).all() and cold.inside.shape == (2,)
    warm = train_units(target, 9, seeds=[0], start=built, **options)
    assert warm.losses[0] < warm.history[0, 0] and measured(target, warm.fits[0])[1] < 0.0098
    assert np.allclose(Units.of(constructed_start(built)).bias[0], -built.knots)


def test_training_without_steps_is_the_start():
    target = make_target("exp")
    built = minimax(target, 5).fit
    same = train_units(target, 5, seeds=[0], start=built, adam_steps=0, lbfgs_steps=0).fits[0]
    x = np.linspace(0, 1, 100)
    assert np.allclose(same(x), built(x), atol=1e-12)


@pytest.mark.parametrize("options", [{"adam_steps": -1}, {"lbfgs_steps": -1}, {"lr": 0.0}])
def test_bad_training_options(options):
    with pytest.raises(InputError, match=next(iter(options))):
        train_units(make_target("sin"), 3, seeds=[0], **options)


def test_deep_training_starts_where_told_and_its_members_do_not_mix():
    target, x = make_target("x2"), np.linspace(0, 1, 100)
    start = train_deep(target, [2, 3], seeds=[0], steps=0, start=square(2))[0]
    assert np.allclose(start(x), square(2)(x), atol=1e-6)
    pair, lone = (train_deep(target, [2, 3], seeds=[3, 4], steps=20), train_deep(target, [2, 3], seeds=[4], steps=20))
    assert np.allclose(pair[1](x), lone[0](x), atol=1e-6)


@pytest.mark.parametrize("method", [uniform, equidistributed, least_squares, greedy])
def test_every_method_gives_n_units_and_refuses_none(method):
    for name in ("sin", "abs", "sawtooth"):
        for n in (1, 2, 5):
            assert method(make_target(name), n).n == n
    with pytest.raises(InputError, match="n must be an integer >= 1, got 0"):
        method(make_target("sin"), 0)


def test_extrema_are_found_where_calculus_says():
    target = make_target("sin")
    at, error = peaks(target, lambda x: np.zeros_like(x), np.linspace(0, 2 * np.pi, 12))
    assert np.abs(np.abs(error).max() - 1) < 1e-9
    assert min(abs(at - np.pi / 2)) < 1e-2 and min(abs(at - 3 * np.pi / 2)) < 1e-2
