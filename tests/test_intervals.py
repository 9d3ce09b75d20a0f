"""Mean, spread and intervals over seeds, against scipy.stats and by simulation."""

import math
import random
import subprocess
import sys

import numpy as np
import pytest
from scipy import special, stats

from mlplab.report.intervals import Summary, holm, summarise, welch
from mlplab.report.student import incomplete_beta, quantile, two_tails


def test_no_number_has_no_summary_and_one_has_no_spread():
    assert summarise([]) is None
    assert summarise([0.7]) == Summary(1, 0.7, None, None, None)


@pytest.mark.parametrize("count", [2, 3, 7, 20])
def test_equal_numbers_have_their_own_mean_and_no_spread(count):
    assert summarise([0.1] * count) == Summary(count, 0.1, 0.0, 0.1, 0.1)


@pytest.mark.parametrize("count", [2, 3, 4, 5, 20, 1000])
@pytest.mark.parametrize("level", [0.5, 0.95, 0.999])
def test_the_summary_is_that_of_scipy(count, level):
    values = np.random.default_rng(count).normal(0.97, 0.01, count)
    got = summarise(values.tolist(), level)
    low, high = stats.t.interval(level, count - 1, values.mean(), stats.sem(values))
    assert got.count == count
    assert got.mean == pytest.approx(values.mean(), rel=1e-14)
    assert got.sd == pytest.approx(values.std(ddof=1), rel=1e-12)
    assert (got.low, got.high) == pytest.approx((low, high), rel=1e-10)


def test_the_order_of_the_runs_does_not_show_in_any_bit():
    source = random.Random(0)
    values = [source.gauss(0.03, 0.01) for _ in range(50)]
    first = summarise(values)
    for _ in range(50):
        source.shuffle(values)
        assert summarise(values) == first


@pytest.mark.parametrize("freedom", [0.3, 1, 2, 3.7, 30, 999, 1e6])
@pytest.mark.parametrize("probability", [0.001, 0.5, 0.75, 0.975, 0.9995])
def test_the_quantile_is_that_of_scipy(freedom, probability):
    expected = stats.t.ppf(probability, freedom)
    assert quantile(freedom, probability) == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("freedom", [0.3, 1, 2, 3.7, 30, 999, 1e6])
def test_the_tails_are_those_of_scipy(freedom):
    for t in (0.0, 1e-9, 0.1, 0.7, 1.0, 2.5, -2.5, 10.0, 37.0, 1e4):
        expected = 2 * special.stdtr(freedom, -abs(t))
        assert two_tails(t, freedom) == pytest.approx(expected, rel=1e-8, abs=1e-290)
    assert two_tails(math.inf, freedom) == 0.0


@pytest.mark.parametrize("a", [0.5, 1, 3.2, 40])
@pytest.mark.parametrize("b", [0.5, 2, 17])
def test_the_incomplete_beta_function_is_that_of_scipy(a, b):
    for x in (0.0, 1e-12, 0.1, 0.5, 0.9, 1 - 1e-9, 1.0):
        expected = special.betainc(a, b, x)
        assert incomplete_beta(a, b, x, 1 - x) == pytest.approx(expected, rel=1e-8, abs=1e-300)


@pytest.mark.parametrize("sizes", [(2, 2), (2, 20), (5, 3), (50, 40)])
@pytest.mark.parametrize("spread", [1e-200, 1e-9, 1.0, 30.0])
def test_welch_is_that_of_scipy(sizes, spread):
    draw = np.random.default_rng(sum(sizes))
    a, b = draw.normal(0, spread, sizes[0]), draw.normal(spread, 3 * spread, sizes[1])
    # At 1e-200 the squares vanish in both; scaled numbers must give the same p-value.
    expected = stats.ttest_ind(a / spread, b / spread, equal_var=False).pvalue
    got = welch(summarise(a.tolist()), summarise(b.tolist()))
    if spread > 1e-100:
        assert got == pytest.approx(expected, rel=1e-8)
    else:
        assert got in (0.0, 1.0)
    assert got == welch(summarise(b.tolist()), summarise(a.tolist()))


def test_welch_without_spread():
    steady, other, single = summarise([0.5] * 3), summarise([0.6] * 4), summarise([0.5])
    assert welch(steady, steady) == 1.0
    assert welch(steady, other) == 0.0
    assert welch(steady, single) is None and welch(single, steady) is None
    loose = summarise([0.5, 0.7, 0.9])
    assert welch(steady, loose) == pytest.approx(stats.ttest_1samp([0.5, 0.7, 0.9], 0.5).pvalue, rel=1e-10)


def test_holm_on_a_worked_example_and_on_none():
    assert holm([]) == []
    assert holm([0.3]) == [0.3]
    # 4 x 0.01; 3 x 0.012 would be less, so 0.04 again; 2 x 0.03; then 0.04 again lifted to 0.06.
    assert holm([0.03, 0.01, 0.04, 0.012]) == pytest.approx([0.06, 0.04, 0.06, 0.04])
    assert holm([0.9, 0.8]) == [1.0, 1.0]


def test_holm_rejects_what_the_step_down_procedure_rejects():
    source = random.Random(1)
    for _ in range(300):
        p_values = [source.random() ** 4 for _ in range(source.randrange(1, 12))]
        rejected = set()
        for place, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
            if p_values[index] > 0.05 / (len(p_values) - place):
                break
            rejected.add(index)
        assert {i for i, p in enumerate(holm(p_values)) if p <= 0.05} == rejected


def test_the_interval_covers_the_mean_as_often_as_it_says():
    draws = np.random.default_rng(3).normal(0, 1, (4000, 4))
    covered = sum(s.low <= 0 <= s.high for s in map(summarise, draws.tolist()))
    assert covered / 4000 == pytest.approx(0.95, abs=4 * math.sqrt(0.95 * 0.05 / 4000))


def marked(settings, best):
    """Flag the settings that Welch's test with Holm's correction does not tell from the best one."""
    p_values = {i: p for i, one in enumerate(settings) if i != best and (p := welch(one, settings[best])) is not None}
    corrected = dict(zip(p_values, holm(list(p_values.values()))))
    return [corrected.get(i, 1.0) > 0.05 for i in range(len(settings))]


@pytest.mark.parametrize("means", [[0.0] * 8, [0.0, 0.5, 1.0, 1.5, 2.0], [0.0, 0.0, 0.0, 9.0, 9.0]])
def test_the_marked_settings_hold_the_truly_best_one(means):
    """Setting 0 is (one of) the truly best; it is marked in 95 % of sweeps or more, spreads unequal."""
    draw = np.random.default_rng(5)
    held = 0
    for _ in range(600):
        spreads = 0.3 + np.arange(len(means)) / len(means)
        values = draw.normal(np.array(means)[:, None], spreads[:, None], (len(means), 4))
        settings = [summarise(row) for row in values.tolist()]
        best = min(range(len(means)), key=lambda k: settings[k].mean)
        held += marked(settings, best)[0]
    assert held / 600 >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / 600)


def test_clear_differences_are_seen_and_single_runs_never_judged():
    settings = [summarise(v) for v in ([1.0, 1.1, 1.05], [5.0, 5.1, 5.2], [9.0], [1.02, 1.2, 1.1])]
    assert marked(settings, 0) == [True, False, True, True]
    assert marked(settings[:1], 0) == [True]


def test_the_module_needs_neither_torch_nor_scipy():
    code = (
        "import sys\nfrom mlplab.report.intervals import summarise as s, welch\n"
        "welch(s([1., 2.]), s([3., 2.]))\n"
        "print([name for name in ('torch', 'scipy', 'numpy', 'hydra') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
