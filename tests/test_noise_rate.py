"""Rate and irregularity under white noise, against quadrature in 50 digits, known limits, and simulation."""

import mpmath
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import erfcx

from mlplab.errors import InputError
from mlplab.studies.lif.currents import WhiteNoise
from mlplab.studies.lif.neuron import Neuron, rate_hz
from mlplab.studies.lif.noise_rate import BARRIER, interval_variation, white_noise_rate_hz
from mlplab.studies.lif.simulation import simulate


def in_digits(r, c, tau_ref, gap, mean, noise):
    """Siegert's integral by mpmath's own quadrature, reset and rest at 0; also the second moment's."""
    with mpmath.workdps(50):
        r, c, tau_ref, gap, mean, noise = (mpmath.mpf(float(v)) for v in (r, c, tau_ref, gap, mean, noise))
        sigma = noise * mpmath.sqrt(r / (2 * c))
        low, high = -r * mean / (mpmath.sqrt(2) * sigma), (gap - r * mean) / (mpmath.sqrt(2) * sigma)

        def inner(u):
            return mpmath.exp(u**2) * mpmath.erfc(-u)

        points = [low, *(p for p in (-1000, -100, -10, -3, 0, 3, 10) if low < p < high), high]
        if high > 10:  # everything happens near the end
            points = [*points[:-1], *(high - 40 / high * p for p in (1, 0.3, 0.1)), high]
        points = sorted(p for p in points if low <= p <= high)
        return float(1000 / (tau_ref + r * c * mpmath.sqrt(mpmath.pi) * mpmath.quad(inner, points)))


def test_the_rate_against_quadrature_in_fifty_digits():
    rng = np.random.default_rng(3)
    worst, seen = 0.0, []
    for _ in range(30):
        r, c = 10 ** rng.uniform(-1, 3), 10 ** rng.uniform(-1, 2)
        gap, tau_ref = 10 ** rng.uniform(-3, 1), rng.choice([0.0, 1.0, 10.0])
        # Means from far below the threshold (b up to 20) to far above, noises from a hundredth of the gap to ten.
        sigma = gap * 10 ** rng.uniform(-2, 1)
        mean = (gap - rng.uniform(-60, 20 * np.sqrt(2)) * sigma) / r
        noise = sigma / np.sqrt(r / (2 * c))
        neuron = Neuron(resistance_kohm=r, capacitance_uf=c, tau_ref_ms=tau_ref, threshold_v=gap)
        found, truth = float(white_noise_rate_hz(neuron, mean, noise)), in_digits(r, c, tau_ref, gap, mean, noise)
        worst, seen = max(worst, abs(found / truth - 1)), [*seen, truth]
    assert worst < 1e-10, worst
    assert min(seen) < 1e-100 and max(seen) > 100


def test_with_little_noise_it_is_the_exact_rate_and_without_any_the_same_bits():
    neuron = Neuron(tau_ref_ms=2.0, resistance_kohm=3.0)
    currents = np.array([-1.0, 0.0, 0.2, 0.34, 0.5, 2.0, 100.0])
    np.testing.assert_array_equal(white_noise_rate_hz(neuron, currents, 0.0), rate_hz(neuron, currents))
    for noise in (1e-6, 1e-12, 1e-150):
        np.testing.assert_allclose(white_noise_rate_hz(neuron, currents, noise), rate_hz(neuron, currents), rtol=1e-8)
    np.testing.assert_array_equal(interval_variation(neuron, [0.5, 0.0], 0.0), [0.0, np.nan])


def test_reset_rest_and_scale_are_but_a_change_of_variables():
    base = white_noise_rate_hz(Neuron(tau_ref_ms=2.0), [0.5, 0.9, 1.5], 1.3)
    moved = Neuron(tau_ref_ms=2.0, rest_v=-65.0, reset_v=-65.0, threshold_v=-64.0)
    np.testing.assert_allclose(white_noise_rate_hz(moved, [0.5, 0.9, 1.5], 1.3), base, rtol=1e-12)
    pulled = Neuron(tau_ref_ms=2.0, rest_v=-0.2)  # a lower rest asks for so much more current
    np.testing.assert_allclose(white_noise_rate_hz(pulled, [0.7, 1.1, 1.7], 1.3), base, rtol=1e-12)
    small = Neuron(tau_ref_ms=2.0, resistance_kohm=1e4, capacitance_uf=1e-3, threshold_v=0.015)
    k = 0.015 / 1e4
    np.testing.assert_allclose(white_noise_rate_hz(small, [0.5 * k, 0.9 * k, 1.5 * k], 1.3 * k), base, rtol=1e-12)


def test_without_a_leak_it_is_a_walk_with_drift():
    """First passage of Brownian motion with drift: inverse Gaussian, mean a/mu, CV^2 = s^2/(a mu)."""
    perfect = Neuron(resistance_kohm=np.inf, tau_ref_ms=0.0)
    np.testing.assert_allclose(white_noise_rate_hz(perfect, [-1.0, 0.0, 0.5, 2.0], 1.1), [0, 0, 50, 200], rtol=1e-12)
    np.testing.assert_allclose(interval_variation(perfect, 0.5, 1.1), 1.1 / np.sqrt(0.5 * 10), rtol=1e-12)
    # And a very slow leak tends to it.
    slow = Neuron(resistance_kohm=1e6, tau_ref_ms=0.0)
    np.testing.assert_allclose(white_noise_rate_hz(slow, 0.5, 1.1), 50, rtol=1e-3)
    np.testing.assert_allclose(interval_variation(slow, 0.5, 1.1), 1.1 / np.sqrt(5), rtol=1e-3)


def variation_by_quadrature(low, high, rate_tau):
    """The two integrals one inside the other, by scipy's adaptive quadrature."""

    def inner(x):

        def value(u):
            return np.exp(x**2 - u**2) * erfcx(-u) ** 2

        return sum(quad(value, *part, epsabs=0, epsrel=1e-11, limit=200)[0] for part in ((x - 12, x - 2), (x - 2, x)))

    outer = quad(inner, low, high, epsabs=0, epsrel=1e-10, limit=200)[0]
    return np.sqrt(2 * np.pi * rate_tau**2 * outer)


@pytest.mark.parametrize(("mean", "noise"), [(0.9, 1.3), (1.5, 0.6), (3.0, 0.4), (0.2, 2.0), (-0.5, 3.0), (0.3, 0.9)])
def test_the_variation_of_intervals_against_quadrature(mean, noise):
    neuron = Neuron(tau_ref_ms=2.0)
    sigma = noise * np.sqrt(1 / 20)
    low, high = -mean / (np.sqrt(2) * sigma), (1 - mean) / (np.sqrt(2) * sigma)
    rate = float(white_noise_rate_hz(neuron, mean, noise))
    assert float(interval_variation(neuron, mean, noise)) == pytest.approx(
        variation_by_quadrature(low, high, rate / 1000 * 10), rel=1e-8
    )


def test_rare_spikes_are_those_of_a_poisson_process():
    neuron = Neuron(tau_ref_ms=2.0)
    variation = interval_variation(neuron, 0.0, [0.5, 0.25, 0.12])
    assert (np.abs(variation - 1) < [2e-2, 1e-8, 1e-8]).all()
    assert white_noise_rate_hz(neuron, 0.0, 0.12) > 0, "e^(b^2) is far from overflow here"
    assert white_noise_rate_hz(neuron, -50.0, 0.12) == 0.0


@pytest.mark.parametrize("method", ["exact", "exponential", "euler"])
@pytest.mark.parametrize("tau_ref", [0.0, 4.0])
def test_a_simulation_agrees_within_its_error_at_every_step(method, tau_ref):
    """Steps of a twentieth to a hundredth of RC: without the correction the rate would be off by up to 30 %."""
    neuron = Neuron(tau_ref_ms=tau_ref)
    for dt in (0.1, 0.5):
        noise = WhiteNoise(dt_ms=dt, neurons=1000, seed=5, mean_ma=0.9, intensity_ma_sqrt_ms=1.34)
        steps = int(600 / dt)
        settled = simulate(neuron, noise, steps=int(100 / dt), dt_ms=dt, method=method)
        run = simulate(neuron, noise, steps=steps, dt_ms=dt, method=method, state=settled.state)
        rates = run.count / (steps * dt) * 1000
        error = rates.std() / np.sqrt(rates.size)
        corrected = float(white_noise_rate_hz(neuron, 0.9, 1.34, dt, method))
        # What is left beside the statistical error is of the order of dt.
        assert abs(rates.mean() - corrected) < 4 * error + 0.3 * dt / 10 * corrected
        assert abs(rates.mean() - float(white_noise_rate_hz(neuron, 0.9, 1.34))) > 4 * error


def test_the_intervals_of_a_simulation_vary_as_they_should():
    neuron, dt = Neuron(tau_ref_ms=2.0), 0.05
    noise = WhiteNoise(dt_ms=dt, neurons=200, seed=6, mean_ma=1.1, intensity_ma_sqrt_ms=1.0)
    run = simulate(neuron, noise, steps=20_000, dt_ms=dt, method="exact", spikes=True)
    order = np.lexsort((run.spike_times_ms, run.spike_neurons))
    gaps = np.diff(run.spike_times_ms[order])[np.diff(run.spike_neurons[order]) == 0]
    known = float(interval_variation(neuron, 1.1, 1.0, dt))
    # Batches of neurons give the error of the ratio.
    assert gaps.std() / gaps.mean() == pytest.approx(known, abs=0.015)


def test_the_barrier_is_riemanns():
    assert float(-mpmath.zeta(0.5) / mpmath.sqrt(2 * mpmath.pi)) == pytest.approx(BARRIER, rel=1e-15)


def test_what_is_refused():
    with pytest.raises(InputError, match="intensity_ma_sqrt_ms must be finite and >= 0, got"):
        white_noise_rate_hz(Neuron(), 1.0, -1.0)
    with pytest.raises(InputError, match="input current must be finite"):
        white_noise_rate_hz(Neuron(), float("nan"), 1.0)
