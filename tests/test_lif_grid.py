"""Closed forms of the grid against exact rational arithmetic and brute-force loops."""

from fractions import Fraction
from math import floor

import numpy as np
import pytest

from mlplab.errors import InputError
from mlplab.studies.lif.grid import divides, grid_rate_hz, spike_count, step_weight, steps_to_spike, whole_steps
from mlplab.studies.lif.neuron import Neuron, rate_hz

EXPLORER = Neuron(tau_ref_ms=1.0)


def count_in_rationals(current, resistance, capacitance, tau_ref, threshold, reset, dt, steps, start=None):
    """Count spikes without any rounding, by the rule as it is written; `resistance` None has no leak."""
    potential, held, count = reset if start is None else start, 0, 0
    for _ in range(steps):
        if held:
            held -= 1
            continue
        leak = 0 if resistance is None else potential / resistance
        potential += dt / capacitance * (current - leak)
        if potential >= threshold:
            count += 1
            potential, held = reset, floor(tau_ref / dt)
    return count


def random_cases(number, seed):
    """Yield cases of small rational numbers, in which ties, threshold currents and large steps are common."""
    rng = np.random.default_rng(seed)

    def pick(*values):
        return values[rng.integers(len(values))]

    for _ in range(number):
        resistance = pick(None, Fraction(1), Fraction(1, 2), Fraction(2), Fraction(int(rng.integers(1, 50)), 7))
        capacitance = pick(Fraction(1), Fraction(2), Fraction(10), Fraction(int(rng.integers(1, 40)), 4))
        dt = pick(Fraction(1, 10), Fraction(1, 4), Fraction(1), Fraction(5), Fraction(int(rng.integers(1, 30)), 8))
        if resistance is not None and dt > 2 * resistance * capacitance:
            dt = 2 * resistance * capacitance
        threshold = pick(Fraction(1), Fraction(1, 2), Fraction(3, 4))
        current = pick(
            Fraction(0),
            Fraction(-1),
            Fraction(int(rng.integers(-10, 60)), 10),
            threshold / resistance if resistance else Fraction(1),
            Fraction(int(rng.integers(1, 400)), 16),
        )
        tau_ref = pick(Fraction(0), dt / 3, dt, 2 * dt, Fraction(int(rng.integers(0, 50)), 10))
        reset = pick(Fraction(0), Fraction(0), Fraction(1, 4), Fraction(-1, 2))
        start = pick(None, None, reset - Fraction(1, 3), (reset + 3 * threshold) / 4)
        yield current, resistance, capacitance, tau_ref, threshold, reset, dt, int(rng.integers(0, 40)), start


def test_the_tutorials_ten_currents():
    counts = spike_count(EXPLORER, np.linspace(0, 2, 10), steps=1000, dt_ms=1.0)
    assert counts.tolist() == [0, 0, 0, 0, 0, 43, 66, 91, 111, 125]
    assert counts.sum() == 436


def test_a_visible_time_step():
    sharp = Neuron(resistance_kohm=100.0, tau_ref_ms=1.0)
    assert spike_count(sharp, 2.0, steps=1000, dt_ms=1.0) == 143
    assert float(rate_hz(sharp, 2.0)) == pytest.approx(166.3, abs=0.05)


def test_refractory_times_between_steps_all_count_alike():
    taus = np.linspace(1.0, 1.9, 10)
    assert set(spike_count(Neuron(tau_ref_ms=taus), 2.0, steps=1000, dt_ms=1.0)) == {125.0}
    assert not divides(taus[1:], 1.0).any() and divides(taus[0], 1.0)


def test_degenerate_lengths():
    assert spike_count(EXPLORER, 1.5, steps=0, dt_ms=1.0) == 0
    assert steps_to_spike(EXPLORER, 1.5, 1.0) == 11
    assert spike_count(EXPLORER, 1.5, steps=10, dt_ms=1.0) == 0
    assert spike_count(EXPLORER, 1.5, steps=11, dt_ms=1.0) == 1, "a spike in the last step counts"


def test_whole_steps_counts_what_was_meant():
    assert whole_steps(0.3, 0.1) == 3 and whole_steps(0.7, 0.1) == 7 and whole_steps(0.25, 0.1) == 2
    assert whole_steps(0.0, 0.1) == 0 and divides(0.0, 0.1)


def test_equal_to_exact_rationals():
    cases = list(random_cases(1500, seed=1))
    for current, resistance, capacitance, tau_ref, threshold, reset, dt, steps, start in cases:
        truth = count_in_rationals(current, resistance, capacitance, tau_ref, threshold, reset, dt, steps, start)
        neuron = Neuron(
            resistance_kohm=np.inf if resistance is None else float(resistance),
            capacitance_uf=float(capacitance),
            tau_ref_ms=float(tau_ref),
            threshold_v=float(threshold),
            reset_v=float(reset),
        )
        at = None if start is None else float(start)
        found = spike_count(neuron, float(current), steps=steps, dt_ms=float(dt), start_v=at)
        assert found == truth, (current, resistance, capacitance, tau_ref, threshold, reset, dt, steps, start)


def test_a_current_at_threshold_never_fires():
    for resistance in (0.3, 1.0, 3.0, 7.7, 100.0):
        neuron = Neuron(resistance_kohm=resistance, tau_ref_ms=0.0)
        assert spike_count(neuron, 1.0 / resistance, steps=10**7, dt_ms=1.0) == 0


def test_exponential_steps_against_a_loop():
    rng = np.random.default_rng(3)
    for _ in range(100):
        r, c, current = 10 ** rng.uniform(-1, 2), 10 ** rng.uniform(0, 1), rng.uniform(0, 3)
        tau_ref, dt = rng.choice([0.0, 0.5, 1.0, 7.3]), rng.choice([0.1, 1.0, 30.0])
        v, held, count = 0.0, 0, 0
        for _ in range(300):
            if held:
                held -= 1
                continue
            v = r * current + (v - r * current) * np.exp(-dt / (r * c))
            if v >= 1.0:
                v, held, count = 0.0, floor(tau_ref / dt + 1e-9), count + 1
        neuron = Neuron(resistance_kohm=r, capacitance_uf=c, tau_ref_ms=tau_ref)
        assert spike_count(neuron, current, steps=300, dt_ms=dt, method="exponential") == count


def test_the_rate_of_the_grid_is_the_limit_of_its_counts_and_of_order_one():
    currents = np.linspace(1.2, 4.0, 400)
    neuron = Neuron(tau_ref_ms=2.0)
    counts = spike_count(neuron, currents, steps=10**6, dt_ms=1.0)
    np.testing.assert_allclose(counts / 1000.0, grid_rate_hz(neuron, currents, 1.0), atol=2e-3)
    errors = [
        np.abs(grid_rate_hz(neuron, currents, dt) / rate_hz(neuron, currents) - 1).mean() for dt in (1.0, 0.1, 0.01)
    ]
    slopes = np.diff(np.log10(errors))
    assert np.all(np.abs(slopes + 1.0) < 0.1), f"order of convergence {-slopes}"


def test_steps_that_are_not_allowed():
    with pytest.raises(InputError, match="at most 2 R C = 20 ms, where Euler turns unstable, got 20.5"):
        step_weight(EXPLORER, 20.5)
    assert step_weight(EXPLORER, 20.0) == pytest.approx(2.0)
    assert step_weight(EXPLORER, 1e4, "exponential") == 1.0
    with pytest.raises(InputError, match="dt_ms must be a finite number > 0, got 0"):
        step_weight(EXPLORER, 0.0)
    with pytest.raises(InputError, match="one of euler, exponential, exact, got 'rk4'"):
        step_weight(EXPLORER, 1.0, "rk4")
