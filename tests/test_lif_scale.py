"""Neurons of any scale: known answers, methods that agree, and figures that are the same but for their units."""

import numpy as np
import pytest

from mlplab.studies.lif import figures as lif_figures
from mlplab.studies.lif import transfer_figures
from mlplab.studies.lif.currents import Constant, Samples
from mlplab.studies.lif.grid import spike_count
from mlplab.studies.lif.neuron import Neuron, exact_count, interval_ms, rate_hz, threshold_current_ma
from mlplab.studies.lif.scale import scale_of, white_noise
from mlplab.studies.lif.simulation import simulate

CORTICAL = Neuron(
    resistance_kohm=4e4, capacitance_uf=2.5e-4, tau_ref_ms=2.0, rest_v=-0.065, threshold_v=-0.05, reset_v=-0.065
)


def test_a_neuron_at_rest_is_silent():
    assert rate_hz(Neuron(rest_v=-65.0, reset_v=-65.0, threshold_v=-50.0), 0.0) == 0.0
    assert rate_hz(CORTICAL, 0.0) == 0.0 and threshold_current_ma(CORTICAL) == pytest.approx(375e-9)


def test_the_known_rates():
    cell = Neuron(rest_v=-0.07, reset_v=-0.07, threshold_v=-0.04, tau_ref_ms=0.0)
    assert float(rate_hz(cell, 0.2)) == pytest.approx(1000 / (10 * np.log(0.2 / 0.17)), rel=1e-13)
    assert float(rate_hz(cell, 0.2)) == pytest.approx(615.31, abs=0.005)
    # Rest above the threshold: it fires without input.
    assert float(rate_hz(Neuron(rest_v=1.5, tau_ref_ms=1.0), 0.0)) == float(rate_hz(Neuron(tau_ref_ms=1.0), 1.5))


def random_neurons(count, seed):
    rng = np.random.default_rng(seed)
    for _ in range(count):
        volts = 10.0 ** rng.uniform(-4, 3)
        reset = rng.normal() * volts * rng.choice([0, 1, 100])
        yield (
            rng,
            Neuron(
                resistance_kohm=np.inf if rng.random() < 0.15 else 10.0 ** rng.uniform(-6, 9),
                capacitance_uf=10.0 ** rng.uniform(-9, 6),
                tau_ref_ms=0.0 if rng.random() < 0.3 else 10.0 ** rng.uniform(-4, 4),
                reset_v=reset,
                threshold_v=reset + volts,
                rest_v=reset + volts * rng.uniform(-3, 1.5),
            ),
        )


def test_rest_is_an_offset_of_the_input():
    """E_L + R I is where the membrane is drawn to, whatever part each has: all methods, to rounding."""
    rng = np.random.default_rng(1)
    for _ in range(50):
        r, rest = 10.0 ** rng.uniform(-2, 3), rng.uniform(-2, 2)
        with_rest = Neuron(resistance_kohm=r, rest_v=rest, tau_ref_ms=1.0)
        without = Neuron(resistance_kohm=r, tau_ref_ms=1.0)
        current = (1 + 10.0 ** rng.uniform(-2, 1)) / r
        np.testing.assert_allclose(interval_ms(with_rest, current - rest / r), interval_ms(without, current), rtol=1e-9)
    rows = np.random.default_rng(2).normal(1.2, 1.0, (300, 40))
    for method in ("euler", "exponential", "exact"):
        shifted = simulate(Neuron(rest_v=0.75), Samples(rows - 0.75), steps=300, dt_ms=0.5, method=method, trace=True)
        plain = simulate(Neuron(), Samples(rows), steps=300, dt_ms=0.5, method=method, trace=True)
        np.testing.assert_array_equal(shifted.count, plain.count)
        np.testing.assert_allclose(shifted.trace_v, plain.trace_v, atol=1e-12)


def test_closed_form_and_simulation_agree_at_every_scale():
    for rng, neuron in random_neurons(60, 4):
        scale = scale_of(neuron)
        current = scale.at(rng.uniform(-0.5, 3.0, 20))
        dt = scale.time_ms / rng.choice([3.0, 10.0, 50.0])
        for method in ("euler", "exponential"):
            run = simulate(neuron, Constant(current), steps=400, dt_ms=dt, method=method)
            known = spike_count(neuron, current, steps=400, dt_ms=dt, method=method)
            np.testing.assert_array_equal(run.count, known)
        run = simulate(neuron, Constant(current), steps=400, dt_ms=dt, method="exact")
        assert (np.abs(run.count - exact_count(neuron, current, 400 * dt)) <= 1).all()


def test_the_scale_of_the_tutorials_neurons_is_the_tutorials():
    for neuron in (Neuron(), Neuron(tau_ref_ms=1.0), Neuron(resistance_kohm=np.inf, tau_ref_ms=0.0)):
        scale = scale_of(neuron)
        assert scale.axis_ma == (-0.5, 2.0) and scale.point_ma == 1.5 and scale.count_dt_ms == 1.0
        np.testing.assert_allclose(scale.count_ma, np.linspace(0, 2, 10))
    assert white_noise(Neuron())["mean_ma"] == pytest.approx(0.9)


@pytest.mark.parametrize("figure", ["families", "limit", "convergence", "noise", "explorer", "membrane"])
def test_no_figure_refuses_a_neuron(figure):
    for rng, neuron in [*random_neurons(6, 5), (np.random.default_rng(0), CORTICAL)]:
        scale = scale_of(neuron)
        if figure in ("families", "limit", "convergence"):
            arrays = getattr(transfer_figures, figure)(neuron)[1]
        elif figure == "noise":
            _, arrays, found = lif_figures.noise(neuron, Constant(scale.point_ma), duration_ms=50, dt_ms=1, seed=1)
            if found["noise_rate_error_hz"]:
                assert found["noise_rate_hz"] == pytest.approx(
                    found["noise_white_rate_hz"], rel=0.15, abs=6 * found["noise_rate_error_hz"]
                )
        elif figure == "explorer":
            arrays = lif_figures.explorer(neuron, scale.point_ma)[1]
        else:
            dt = scale.time_ms / 50
            arrays = lif_figures.membrane(neuron, Constant(scale.point_ma), steps=300, dt_ms=dt, method="euler")[1]
        assert all(np.isfinite(values).all() for name, values in arrays.items() if name != "resistances_kohm")


def test_figures_know_threshold_reset_and_rest():
    base = transfer_figures.families(Neuron())[1]
    for values in ({"threshold_v": 0.5}, {"reset_v": 0.5}, {"rest_v": -0.5}):
        other = transfer_figures.families(Neuron(**values))[1]
        if "rest_v" in values or "reset_v" in values:  # half a threshold is the same on axes of half the size
            assert not np.array_equal(base["by_resistance_counted_hz"], other["by_resistance_counted_hz"])
        else:
            np.testing.assert_allclose(other["currents_ma"], base["currents_ma"] / 2)
        limits = transfer_figures.limit(Neuron(**values))[1]
        assert not np.array_equal(limits["currents_ma"], transfer_figures.limit(Neuron())[1]["currents_ma"])


def test_a_huge_current_takes_no_longer_than_a_small_one():
    neuron = Neuron(tau_ref_ms=0.0)
    for current in (1e8, 1e20, 1e100):
        run = simulate(neuron, Constant(current), steps=20, dt_ms=0.1, method="exact", spikes=3)
        assert float(run.count) == pytest.approx(float(exact_count(neuron, current, 2.0)), rel=1e-9)
        np.testing.assert_allclose(run.spike_times_ms, interval_ms(neuron, current) * [1, 2, 3], rtol=1e-9, atol=1e-16)
    run = simulate(Neuron(), Constant(1e100), steps=500, dt_ms=0.1, method="exact", spikes=True)
    np.testing.assert_allclose(run.spike_times_ms, [0, 10, 20, 30, 40], atol=1e-9)
