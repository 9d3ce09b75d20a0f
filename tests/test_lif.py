"""The neuron in continuous time, against root-finders, limits and the tutorial's numbers."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import brentq

from mlplab.errors import InputError
from mlplab.studies.lif.neuron import (
    Neuron,
    ceiling_hz,
    exact_count,
    interval_ms,
    rate_hz,
    relu_rate_hz,
    spike_times_ms,
    threshold_current_ma,
)

EXPLORER = Neuron(tau_ref_ms=1.0)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("resistance_kohm", 0.0),
        ("resistance_kohm", -1.0),
        ("resistance_kohm", float("nan")),
        ("capacitance_uf", 0.0),
        ("capacitance_uf", float("inf")),
        ("tau_ref_ms", -0.1),
        ("tau_ref_ms", float("inf")),
        ("threshold_v", float("nan")),
        ("reset_v", float("inf")),
        ("spike_v", -1.0),
        ("tau_ref_ms", "long"),
    ],
)
def test_a_bad_value_is_one_line_with_key_and_value(field, value):
    with pytest.raises(InputError, match=f"^neuron.{field} must be .*, got ") as caught:
        Neuron(**{field: value})
    assert "\n" not in str(caught.value)


def test_threshold_below_reset_is_refused():
    with pytest.raises(
        InputError, match="threshold_v must be above neuron.reset_v by at least 1e-30, got 1 with reset_v 1.5"
    ):
        Neuron(reset_v=1.5)
    with pytest.raises(InputError, match="values from 0 to 1"):
        Neuron(threshold_v=np.array([0.0, 1.0]))


def test_one_bad_value_among_many_is_found():
    with pytest.raises(InputError, match="got -2"):
        Neuron(resistance_kohm=np.array([1.0, -2.0]))


def test_a_current_that_is_not_finite_is_refused_with_its_index():
    with pytest.raises(InputError, match=r"must be finite, got nan at index \[1\]"):
        rate_hz(EXPLORER, [0.0, float("nan")])


def test_the_tutorials_ten_currents():
    currents = np.linspace(0, 2, 10)
    assert exact_count(EXPLORER, currents, 1000.0).tolist() == [0, 0, 0, 0, 0, 41, 67, 88, 108, 126]
    assert exact_count(EXPLORER, currents, 1000.0).sum() == 430


def test_first_spike_and_interval_of_the_trace():
    times = spike_times_ms(Neuron(), 1.5, 50.0)
    np.testing.assert_allclose(times, [10 * np.log(3), 20 * np.log(3) + 10], rtol=1e-14)


def test_no_spike_at_or_below_threshold_and_the_last_moment_counts():
    neuron = Neuron(resistance_kohm=2.0, tau_ref_ms=0.0)
    assert threshold_current_ma(neuron) == 0.5
    assert rate_hz(neuron, [-1.0, 0.0, 0.5]).tolist() == [0.0, 0.0, 0.0]
    assert spike_times_ms(neuron, 0.5, 1e9).size == 0
    first = float(interval_ms(neuron, 1.0))
    assert spike_times_ms(neuron, 1.0, first).size == 1
    assert spike_times_ms(neuron, 1.0, np.nextafter(first, 0)).size == 0


def test_interval_solves_the_equation_over_random_parameters():
    rng = np.random.default_rng(5)
    for _ in range(200):
        reset = rng.uniform(-1, 0.5)
        neuron = Neuron(
            resistance_kohm=10 ** rng.uniform(-1, 3),
            capacitance_uf=10 ** rng.uniform(-1, 2),
            threshold_v=reset + rng.uniform(0.1, 2.0),
            reset_v=reset,
        )
        r, c, vth = neuron.resistance_kohm, neuron.capacitance_uf, neuron.threshold_v
        current = max(float(vth / r), 0.0) + 10 ** rng.uniform(-3, 1)
        # dV/dt = (I - V/R)/C, so the time from reset to threshold is the integral of C / (I - V/R) over V.
        if r * current <= vth:
            continue
        time, _ = quad(lambda v: c / (current - v / r), reset, vth, epsrel=1e-12, limit=200)
        assert float(interval_ms(neuron, current)) == pytest.approx(time, rel=1e-9)


def test_interval_against_a_root_finder():
    neuron = Neuron(resistance_kohm=3.0, capacitance_uf=7.0)
    for current in (0.34, 0.5, 2.0, 50.0):
        root = brentq(lambda t: 3 * current * -np.expm1(-t / 21.0) - 1.0, 0.0, 1000.0, xtol=1e-14, rtol=1e-14)
        assert float(interval_ms(neuron, current)) == pytest.approx(root, rel=1e-12)


def test_the_rate_becomes_a_relu():
    currents = np.linspace(-1, 5, 61)
    perfect = Neuron(resistance_kohm=np.inf, tau_ref_ms=0.0)
    relu = relu_rate_hz(perfect, currents)
    np.testing.assert_allclose(relu, 100.0 * np.maximum(currents, 0.0), rtol=1e-15)
    np.testing.assert_allclose(rate_hz(perfect, currents), relu, rtol=1e-13)
    assert threshold_current_ma(perfect) == 0.0
    gaps = [
        np.abs(rate_hz(Neuron(resistance_kohm=r, tau_ref_ms=t), currents) - relu).max()
        for r, t in ((1, 1), (10, 0.1), (100, 0.01), (1e4, 1e-4))
    ]
    assert gaps == sorted(gaps, reverse=True) and gaps[-1] < 0.1


def test_the_limits_of_each_parameter_alone():
    currents = np.array([0.5, 2.0, 1e6])
    no_leak = Neuron(resistance_kohm=np.inf, tau_ref_ms=2.0)
    np.testing.assert_allclose(rate_hz(no_leak, currents), 1000 / (2.0 + 10.0 / currents), rtol=1e-13)
    assert rate_hz(no_leak, 1e6) < ceiling_hz(no_leak) == 500.0
    # With a leak and no refractory time the line is shifted by Vth / 2R.
    leaky = Neuron(resistance_kohm=2.0, tau_ref_ms=0.0)
    assert float(rate_hz(leaky, 1e4)) == pytest.approx(100 * (1e4 - 1 / 4), abs=1e-2)
    assert ceiling_hz(leaky) == np.inf


def test_parameters_broadcast_with_currents():
    rates = rate_hz(Neuron(resistance_kohm=np.array([[1.0], [np.inf]])), np.array([0.5, 1.5, 2.0]))
    assert rates.shape == (2, 3)
    assert rates[0, 1] == rate_hz(Neuron(), 1.5) and rates[1, 0] == rate_hz(Neuron(resistance_kohm=np.inf), 0.5)
