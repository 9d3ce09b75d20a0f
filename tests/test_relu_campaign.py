"""A share of campaign_relu.py, and the faults that it was made for, each against an independent value."""

import numpy as np
import pytest
from campaign_relu import main

from mlplab.seeds import derive
from mlplab.studies.relu.hat_training import random_knots, train_hats
from mlplab.studies.relu.least_squares import least_squares
from mlplab.studies.relu.minimax import minimax
from mlplab.studies.relu.sampling import errors, sample
from mlplab.studies.relu.targets import make_points, make_target


def test_every_197th_case_of_the_campaign(capsys):
    assert main(197) == 0, capsys.readouterr().out
    tried = int(capsys.readouterr().out.split()[0])
    assert tried > 40


def test_ranges_a_few_ulps_apart():
    found = minimax(make_target("x2", -3.5, 3.5), 4)
    assert found.level == pytest.approx(49 / (8 * 16), rel=1e-3) and found.lower_bound > found.level / 1.001


def test_an_inflection_far_from_zero_ends():
    # Extrema next to known points by rounding alone doubled them in each round of the exchange.
    found = minimax(make_target("sin", 100, 101), 32)
    assert found.lower_bound <= found.level <= 1.001 * found.lower_bound


def test_the_best_line_of_a_cubic_by_linear_programming():
    found = minimax(make_target("cubic", -np.pi, np.pi), 1)
    assert found.level == pytest.approx(24.146, abs=2e-3) and 24.12 < found.lower_bound <= found.level


def test_pieces_that_need_not_join_come_closer_than_the_bound():
    # sin on [0, pi] and on [pi, 2 pi] misses a level line by 1/2; two continuous pieces miss by more.
    bound = minimax(make_target("sin"), 2).lower_bound
    assert bound == pytest.approx(0.682, abs=1e-3) and bound > 0.5


def test_kinks_between_and_on_the_nodes_of_a_grid():
    for low, high in ((0, 1), (-1, 2), (0, 10)):
        assert minimax(make_target("abs", low, high), 25).level < 1e-12 * high
    assert minimax(make_target("sawtooth", 0, 10), 20).level > 0.49


def test_points_with_equal_abscissae_all_count():
    found = minimax(make_points(np.array([0.0, 0, 1]), np.array([0.0, 10, 5])), 1)
    assert found.level == pytest.approx(5) and found.lower_bound == pytest.approx(5)
    assert sorted(found.contacts[:, 1]) == [-1, 1] and (found.contacts[:, 0] == 0).all()
    fit = least_squares(make_points(np.array([0.0, 0, 1]), np.array([0.0, 10, 5])), 1)
    assert errors(make_points(np.array([0.0, 0, 1]), np.array([0.0, 10, 5])), fit, fit.knots) == pytest.approx(
        (5, np.sqrt(50 / 3))
    )


@pytest.mark.parametrize(
    ("n", "most"), [(2, 26.996591511119), (3, 9.518895249634), (4, 0.6470765453585), (5, 0.4539326925541)]
)
def test_least_squares_is_not_above_pwlf_on_a_sine_of_100_points(n, most):
    # pwlf 2.7.0: the better of two runs of fit(n), n = 5 by fitfast(5, 20).
    x = np.linspace(0, 10, 100)
    fit = least_squares(make_points(x, np.sin(x)), n)
    assert ((fit(x) - np.sin(x)) ** 2).sum() <= most * (1 + 1e-9)


def test_least_squares_on_three_periods():
    target = make_target("cos", 0, 6 * np.pi)
    fit = least_squares(target, 3)
    assert errors(target, fit, np.concatenate([fit.knots, sample(target, 600).x]))[1] < 0.6038


@pytest.mark.parametrize("name", ["sin", "exp", "runge"])
def test_nine_trained_relus_end_near_the_minimax_error(name):
    target = make_target(name)
    fit = train_hats(target, 9, seed=derive(0, "trained", 0))
    largest, _ = errors(target, fit, np.concatenate([fit.knots, sample(target, 512).x]))
    assert fit.n == 9 and largest <= 1.05 * minimax(target, 9).lower_bound


@pytest.mark.parametrize("n", [1, 2, 3])
def test_training_in_hats_at_small_sizes_and_on_points(n):
    target = make_target("sin")
    fit = train_hats(target, n, seed=0, points=128)
    largest, _ = errors(target, fit, np.concatenate([fit.knots, sample(target, 512).x]))
    assert fit.n == n and minimax(target, n).lower_bound * 0.999 < largest < 1.05
    edges = random_knots(target, n, 3)
    assert edges.shape == (n + 1,) and (np.diff(edges) > 0).all()
    assert edges[0] == target.low and edges[-1] == target.high
    few = make_points(np.arange(8.0), np.sin(np.arange(8.0)))
    assert train_hats(few, n, seed=0).n == n
    assert np.allclose(train_hats(few, 7, seed=0)(np.arange(8.0)), np.sin(np.arange(8.0)))
