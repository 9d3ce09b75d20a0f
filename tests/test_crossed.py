"""Seeds crossed with draws and with shared points: against formulas of other parties, and how often they are right."""

import math

import numpy as np
import pytest
from scipy import stats
from sweep_folders import make_sweep, read_record, write_record

from mlplab.report.crossed import parts_of, summarise_grid, worse
from mlplab.report.intervals import Summary, holm, summarise, welch
from mlplab.report.joining import build
from mlplab.runs.sweep_folder import read_sweep

# Spread between draws, between seeds on one draw and of a seed over all draws, as measured on the spirals (in points).
DRAWS, REST, SEEDS = 0.049, 0.038, 0.01


def grid_of(values):
    return {(s, d): float(value) for (s, d), value in np.ndenumerate(values)}


def test_one_draw_or_one_seed_is_students_interval():
    row = [0.3, 0.1, 0.2]
    assert summarise_grid({}) is None
    assert summarise_grid({("a", 1): 0.3}) == Summary(1, 0.3, None, None, None)
    assert summarise_grid({(seed, 7): value for seed, value in enumerate(row)}) == summarise(row)
    assert summarise_grid({(7, draw): value for draw, value in enumerate(row)}) == summarise(row)


def test_seeds_that_differ_from_draw_to_draw_count_as_one_mean_a_draw():
    nested = {(0, "a"): 1.0, (1, "a"): 3.0, (2, "b"): 4.0, (3, "b"): 6.0, (4, "c"): 9.0}
    assert summarise_grid(nested) == summarise([2.0, 5.0, 9.0])


def test_the_parts_are_the_mean_squares_of_a_two_way_analysis_of_variance():
    table = np.random.default_rng(0).normal(size=(4, 6)) + 3 * np.random.default_rng(1).normal(size=(4, 1))
    parts = parts_of(table.tolist())
    rows, columns, mean = table.mean(1), table.mean(0), table.mean()
    rest = ((table - rows[:, None] - columns + mean) ** 2).sum() / 15
    assert parts.mean == pytest.approx(mean) and parts.columns == pytest.approx(tuple(columns))
    assert parts.column_variance == pytest.approx(4 * columns.var(ddof=1) / 24)
    assert parts.row_variance == pytest.approx((6 * rows.var(ddof=1) - 0.85 * rest) / 24)
    found = summarise_grid(grid_of(table))
    reach = math.sqrt(
        stats.t.ppf(0.975, 5) ** 2 * parts.column_variance + stats.t.ppf(0.975, 3) ** 2 * parts.row_variance
    )
    assert (found.count, found.low, found.high) == (6, pytest.approx(mean - reach), pytest.approx(mean + reach))


@pytest.mark.parametrize("draws, seeds", [(10, 2), (3, 3), (10, 3), (5, 10)])
@pytest.mark.parametrize("shares", [(1, 1, 1), (1, 0.3, 1), (0.3, 1, 1), (0, 1, 1), (1.7, 1, 1)], ids=str)
def test_intervals_cover_whatever_the_shares_of_seeds_draws_and_rest(draws, seeds, shares):
    stream, trials, covered = np.random.default_rng(seeds), 1500, 0
    for _ in range(trials):
        size = [(seeds, 1), (1, draws), (seeds, draws)]
        found = summarise_grid(grid_of(sum(share * stream.normal(size=shape) for share, shape in zip(shares, size))))
        covered += found.low <= 0 <= found.high
    assert (0.915 if seeds == 2 else 0.93) <= covered / trials <= 0.99


@pytest.mark.parametrize("draws, seeds", [(2, 10), (4, 5), (10, 2)])
def test_intervals_over_seeds_and_draws_cover_as_often_as_they_say(draws, seeds):
    stream, trials, covered, counted = np.random.default_rng(draws), 2000, 0, 0
    for _ in range(trials):
        values = (
            SEEDS * stream.normal(size=(seeds, 1))
            + DRAWS * stream.normal(size=(1, draws))
            + REST * stream.normal(size=(seeds, draws))
        )
        found = summarise_grid(grid_of(values))
        covered += found.low <= 0 <= found.high
        naive = summarise(values.ravel().tolist())
        counted += naive.low <= 0 <= naive.high
    assert 0.94 <= covered / trials <= 0.98
    assert counted / trials < 0.92  # what counting every run as independent gives


def kept(tables, best):
    return [p is None or p > 0.05 for p in worse(tables, best)]


def folds(stream, settings, seeds, points=800, count=20):
    """Losses by fold of equally good settings on shared points of very different difficulty."""
    difficulty = stream.lognormal(-1, 1.5, points)
    own = difficulty * (1 + 0.5 * stream.normal(size=(settings, 1, points)))
    losses = (
        own
        + 0.5 * difficulty * stream.normal(size=(settings, seeds, points))
        + 0.1 * stream.normal(size=(settings, seeds, 1))
    )
    return np.stack([losses[..., fold::count].mean(-1) for fold in range(count)], -1)


@pytest.mark.parametrize("seeds", [4, 8, 20])
def test_the_set_holds_the_truly_best_setting_as_often_as_it_says(seeds):
    stream, trials, held, by_seeds = np.random.default_rng(seeds), 800, 0, 0
    for _ in range(trials):
        tables = folds(stream, 4, seeds)
        means = tables.mean(axis=(1, 2))
        best = int(means.argmin())
        held += kept(tables.tolist(), best)[0]
        alone = [summarise(one.mean(1).tolist()) for one in tables]
        others = [index for index in range(4) if index != best]
        p_values = dict(zip(others, holm([welch(alone[index], alone[best]) for index in others])))
        by_seeds += p_values.get(0, 1.0) > 0.05
    assert 0.94 <= held / trials <= 0.98
    assert by_seeds / trials < held / trials


def test_clear_differences_are_seen():
    steady = [[1.0, 2.0, 3.0], [1.01, 2.0, 2.99]]
    worse = [[2.0, 3.0, 4.1], [2.0, 3.1, 4.0]]
    assert kept([worse, steady, [[9.0, 9.0, 9.0]]], 1) == [False, True, True]
    assert kept([steady], 0) == [True]
    assert kept([steady, [[math.nan] * 3] * 2], 0) == [True, False]
    assert kept([[[1.0]], [[1.0]]], 0) == [True, True]
    with pytest.raises(ValueError, match="the same columns"):
        kept([steady, [[1.0]]], 0)


def test_a_report_marks_what_the_shared_points_cannot_tell_apart(tmp_path):
    folder = make_sweep(tmp_path / "s", widths=(16, 32), depths=(1,), seeds=range(6))
    record = read_record(folder)
    before = build([read_sweep(folder)])
    stream = np.random.default_rng(0)
    for job in record["jobs"]:
        losses = stream.lognormal(0, 1.5, 20)  # by far more luck of the points than of the seeds
        job["result"]["validation"]["loss_folds"] = losses.tolist()
    write_record(folder, record["jobs"])
    after = build([read_sweep(folder)])
    assert [one.near for one in before.settings].count(True) == 1 and all(one.near for one in after.settings)
    assert before.tested_over == "seeds" and after.tested_over == "seeds and shared validation points"
    other = next(one for one in after.settings if not one.best)
    assert other.p > 0.05 and other.difference.low < 0 < other.difference.high  # p and interval say what the mark says
