"""Simulation against plain loops, closed forms and an ODE solver; runs that are cut and continued."""

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from mlplab.errors import InputError
from mlplab.studies.lif.currents import Constant, OrnsteinUhlenbeck, Ramp, Samples, Sine
from mlplab.studies.lif.grid import spike_count
from mlplab.studies.lif.neuron import Neuron, exact_count, spike_times_ms
from mlplab.studies.lif.simulation import initial_state, simulate


def random_neurons(rng, shape):
    """Draw neurons of every kind: with and without a leak, a refractory time, a reset below or above 0."""
    reset = rng.choice([0.0, -0.5, 0.2], shape)
    return Neuron(
        resistance_kohm=np.where(rng.random(shape) < 0.2, np.inf, 10 ** rng.uniform(-0.5, 2, shape)),
        capacitance_uf=10 ** rng.uniform(0.3, 1.3, shape),
        tau_ref_ms=rng.choice([0.0, 0.2, 1.0, 3.3, 10.0], shape),
        threshold_v=reset + 10 ** rng.uniform(-0.5, 0.5, shape),
        reset_v=reset,
    )


def loop(neuron, rows, dt_ms):
    """Step each neuron by itself in Python floats, as the rule is written: trace and counts."""
    shape = np.broadcast_shapes(neuron.shape, rows.shape[1:])
    trace, count = np.empty((len(rows) + 1, *shape)), np.zeros(shape)
    params = [
        np.broadcast_to(v, shape)
        for v in (
            neuron.resistance_kohm,
            neuron.capacitance_uf,
            neuron.tau_ref_ms,
            neuron.threshold_v,
            neuron.reset_v,
            neuron.spike_v,
        )
    ]
    for at in np.ndindex(shape):
        r, c, tau, threshold, reset, spike = (float(p[at]) for p in params)
        v, held = reset, 0
        trace[(0, *at)] = v
        for n, current in enumerate(np.broadcast_to(rows, (len(rows), *shape))[(slice(None), *at)]):
            if held:
                v, held = reset, held - 1
            else:
                v += dt_ms / c * (float(current) - v / r)
            trace[(n + 1, *at)] = v
            if v >= threshold:
                trace[(n + 1, *at)] += spike
                count[at] += 1
                v, held = reset, int(np.floor(tau / dt_ms + 1e-9))
    return trace, count


def test_the_tutorials_trace():
    run = simulate(Neuron(), Constant(1.5), steps=500, dt_ms=0.1, trace=True, spikes=True)
    assert run.trace_v.shape == (501,) and run.count == 2
    np.testing.assert_allclose(run.spike_times_ms, [11.0, 32.0], rtol=1e-14)
    assert run.trace_v.max() == pytest.approx(1.50345, abs=5e-6)
    assert run.trace_v[-1] == pytest.approx(0.828715, abs=5e-7)
    assert run.trace_v[0] == 0.0


def test_no_refractory_time_still_resets():
    run = simulate(Neuron(tau_ref_ms=0.0), Constant(1.5), steps=500, dt_ms=0.1)
    assert run.count == 4
    run = simulate(Neuron(tau_ref_ms=0.05), Constant(1.5), steps=500, dt_ms=0.1)
    assert run.count == 4, "a refractory time below the step is none"


@pytest.mark.parametrize("shape", [(), (1,), (7,), (2, 3)])
def test_euler_equals_a_plain_loop_with_input_that_changes(shape):
    rng = np.random.default_rng(11)
    neuron = random_neurons(rng, shape)
    rows = rng.normal(0.8, 1.5, (200, *shape))
    run = simulate(neuron, Samples(rows), steps=200, dt_ms=0.5, trace=True, spikes=True)
    trace, count = loop(neuron, rows, 0.5)
    np.testing.assert_array_equal(run.count, count)
    np.testing.assert_allclose(run.trace_v, trace, rtol=1e-7, atol=1e-8)
    assert len(run.spike_times_ms) == count.sum() and np.all(np.diff(run.spike_times_ms) >= 0)
    np.testing.assert_array_equal(np.bincount(run.spike_neurons, minlength=count.size), count.ravel())


def test_float32_input_shared_by_all_neurons():
    rng = np.random.default_rng(4)
    neuron = random_neurons(rng, (5,))
    rows = rng.normal(1.0, 1.0, (60, 1)).astype(np.float32)
    run = simulate(neuron, Samples(rows), steps=60, dt_ms=0.5)
    np.testing.assert_array_equal(run.count, loop(neuron, rows, 0.5)[1])
    run = simulate(Neuron(), Samples(rows[:, 0]), steps=60, dt_ms=0.5)
    assert run.count.shape == ()


@pytest.mark.parametrize("method", ["euler", "exponential"])
def test_counts_equal_the_closed_form(method):
    rng = np.random.default_rng(7)
    for dt_ms in (0.1, 1.0, 1.25):
        neuron = random_neurons(rng, (4000,))
        # Nice numbers make ties, threshold currents and silence common.
        current = np.where(rng.random(4000) < 0.5, np.round(rng.uniform(-0.5, 3, 4000), 1), rng.uniform(-1, 5, 4000))
        current = np.where(rng.random(4000) < 0.3, neuron.threshold_v / neuron.leak_kohm, current)
        run = simulate(neuron, Constant(current), steps=300, dt_ms=dt_ms, method=method)
        expected = spike_count(neuron, current, steps=300, dt_ms=dt_ms, method=method)
        np.testing.assert_array_equal(run.count, expected)


def test_more_spikes_than_a_byte_counts():
    """A neuron that spikes in every step, and one that does in every third, over blocks of input and within one."""
    neuron = Neuron(tau_ref_ms=np.array([0.0, 2.0]))
    for current in (Constant(np.full(2, 20.0)), Samples(np.full((1000, 2), 20.0))):
        run = simulate(neuron, current, steps=1000, dt_ms=1.0)
        np.testing.assert_array_equal(run.count, [1000, 334])


@pytest.mark.parametrize("tau_ref_ms", [255.0, 256.0, 300.0, 70_000.0])
def test_refractory_times_of_many_steps(tau_ref_ms):
    neuron = Neuron(tau_ref_ms=np.array([tau_ref_ms, 1.0]))
    run = simulate(neuron, Constant(1.5), steps=900, dt_ms=1.0)
    np.testing.assert_array_equal(run.count, spike_count(neuron, 1.5, steps=900, dt_ms=1.0))
    after = simulate(neuron, Constant(1.5), steps=12, dt_ms=1.0).state
    assert after.refractory_ms[0] == tau_ref_ms - 1.0


def test_a_refractory_time_that_never_ends():
    run = simulate(Neuron(tau_ref_ms=1e300), Constant(1.5), steps=100, dt_ms=0.5)
    assert run.count == 1 and run.state.refractory_ms > 1e15


def test_the_layout_of_the_input_does_not_matter():
    rng = np.random.default_rng(12)
    rows = rng.uniform(0, 3, (60, 40))
    frozen = rows.copy()
    frozen.flags.writeable = False
    expected = simulate(Neuron(tau_ref_ms=1.0), Samples(rows), steps=60, dt_ms=1.0)
    for same in (frozen, np.asfortranarray(rows), np.repeat(rows, 2, axis=1)[:, ::2]):
        run = simulate(Neuron(tau_ref_ms=1.0), Samples(same), steps=60, dt_ms=1.0)
        np.testing.assert_array_equal(run.count, expected.count)
        np.testing.assert_array_equal(run.state.above_reset_ma, expected.state.above_reset_ma)
    np.testing.assert_array_equal(frozen, rows)


def test_float32_input_is_computed_with_in_float64():
    rows = np.random.default_rng(13).normal(1.0, 1.0, (60, 5)).astype(np.float32)
    neuron = Neuron(reset_v=0.1, tau_ref_ms=1.0)
    single = simulate(neuron, Samples(rows), steps=60, dt_ms=0.5)
    double = simulate(neuron, Samples(rows.astype(np.float64)), steps=60, dt_ms=0.5)
    np.testing.assert_array_equal(single.state.above_reset_ma, double.state.above_reset_ma)


def test_the_sliders_of_the_explorer():
    rng = np.random.default_rng(8)
    neuron = Neuron(
        resistance_kohm=np.round(rng.uniform(1, 100, (500, 1)), 1),
        tau_ref_ms=np.round(rng.uniform(0, 100, (500, 1)), 1),
    )
    currents = np.linspace(0, 2, 10)
    run = simulate(neuron, Constant(currents[None]), steps=1000, dt_ms=1.0)
    np.testing.assert_array_equal(run.count, spike_count(neuron, currents, steps=1000, dt_ms=1.0))


def test_a_spike_in_the_last_step_and_the_step_before():
    neuron = Neuron(tau_ref_ms=1.0)
    for steps in (10, 11, 12, 22, 23):
        run = simulate(neuron, Constant(1.5), steps=steps, dt_ms=1.0)
        assert run.count == spike_count(neuron, 1.5, steps=steps, dt_ms=1.0)
    assert simulate(neuron, Constant(1.5), steps=11, dt_ms=1.0).state.refractory_ms == 1.0
    assert simulate(neuron, Constant(1.5), steps=11, dt_ms=1.0).state.above_reset_ma == 0.0


@pytest.mark.parametrize("method", ["euler", "exponential", "exact"])
def test_a_run_can_be_cut_anywhere_and_continued(method):
    rng = np.random.default_rng(9)
    neuron = random_neurons(rng, (6,))

    def noise():
        return OrnsteinUhlenbeck(dt_ms=0.5, neurons=6, mean_ma=1.0, std_ma=1.0, seed=3)

    whole = simulate(neuron, noise(), steps=120, dt_ms=0.5, method=method, trace=True, spikes=True)
    for cut in (0, 1, 37, 119, 120):
        first = simulate(neuron, noise(), steps=cut, dt_ms=0.5, method=method)
        second = simulate(
            neuron, noise(), steps=120 - cut, dt_ms=0.5, method=method, state=first.state, trace=True, spikes=True
        )
        np.testing.assert_array_equal(first.count + second.count, whole.count)
        # As bits, so that -0.0 is not 0.0.
        assert second.state.above_reset_ma.tobytes() == whole.state.above_reset_ma.tobytes()
        np.testing.assert_array_equal(second.state.refractory_ms, whole.state.refractory_ms)
        np.testing.assert_array_equal(second.trace_v[1:], whole.trace_v[cut + 1 :])
        late = whole.spike_times_ms > cut * 0.5 * (1 + 1e-12)
        np.testing.assert_array_equal(second.spike_times_ms, whole.spike_times_ms[late])


@pytest.mark.parametrize("capacitance_uf", [0.06, 0.2, 0.21, 10.0])
def test_a_few_neurons_have_the_bits_of_many(capacitance_uf):
    few, many = np.linspace(0.8, 3.0, 4), np.linspace(0.8, 3.0, 4).repeat(5)
    neuron = Neuron(capacitance_uf=capacitance_uf, tau_ref_ms=0.5, reset_v=0.1)
    runs = [simulate(neuron, Constant(amounts), steps=300, dt_ms=0.1, trace=True) for amounts in (few, many)]
    assert runs[0].trace_v.tobytes() == runs[1].trace_v[:, ::5].tobytes()
    assert runs[0].state.above_reset_ma.tobytes() == runs[1].state.above_reset_ma[::5].tobytes()


def test_a_cut_in_the_refractory_time_leaves_the_same_zero():
    """Held at the reset, the whole run's membrane comes from above the threshold, the other's from 0."""
    inhibited, neuron = Samples(np.array([20.0, -1.0])), Neuron(tau_ref_ms=1.0)
    whole = simulate(neuron, inhibited, steps=2, dt_ms=1.0).state
    first = simulate(neuron, inhibited, steps=1, dt_ms=1.0).state
    second = simulate(neuron, inhibited, steps=1, dt_ms=1.0, state=first).state
    assert first.refractory_ms == 1.0 and whole.refractory_ms == 0.0
    assert second.above_reset_ma.tobytes() == whole.above_reset_ma.tobytes()


def test_blocks_do_not_change_the_outcome():
    rng = np.random.default_rng(10)
    neuron = random_neurons(rng, (50,))
    current = Sine(dt_ms=0.5, mean_ma=rng.uniform(0, 2, 50))
    options = {"steps": 90, "dt_ms": 0.5, "trace": True, "spikes": True}
    whole = simulate(neuron, current, **options)
    parts = simulate(neuron, current, **options, block_neurons=7, input_bytes=8 * 50 * 4)
    np.testing.assert_array_equal(parts.trace_v, whole.trace_v)
    np.testing.assert_array_equal(parts.count, whole.count)
    np.testing.assert_array_equal(parts.spike_times_ms, whole.spike_times_ms)
    np.testing.assert_array_equal(parts.spike_neurons, whole.spike_neurons)


def test_exact_spikes_under_a_constant_current():
    for tau_ref in (0.0, 0.03, 1.0, 10.0):
        for resistance in (1.0, 4.0, np.inf):
            neuron = Neuron(resistance_kohm=resistance, tau_ref_ms=tau_ref)
            run = simulate(neuron, Constant(1.7), steps=200, dt_ms=0.5, method="exact", spikes=True)
            times = spike_times_ms(neuron, 1.7, 100.0)
            np.testing.assert_allclose(run.spike_times_ms, times, rtol=1e-12)
            assert run.count == exact_count(neuron, 1.7, 100.0)


def test_many_exact_spikes_within_one_step():
    neuron = Neuron(tau_ref_ms=0.25)
    run = simulate(neuron, Constant(40.0), steps=3, dt_ms=10.0, method="exact", spikes=True)
    np.testing.assert_allclose(run.spike_times_ms, spike_times_ms(neuron, 40.0, 30.0), rtol=1e-12)
    assert run.count > 50


def test_exact_spikes_under_a_ramp_against_an_ode_solver():
    """The input holds each step's value; the solver stops at the threshold by finding the root."""
    neuron, dt_ms, steps = Neuron(resistance_kohm=2.0, tau_ref_ms=1.3), 0.5, 120
    ramp = Ramp(dt_ms=dt_ms, from_ma=0.2, to_ma=2.0, over_ms=60.0)
    run = simulate(neuron, ramp, steps=steps, dt_ms=dt_ms, method="exact", spikes=True)
    rows = ramp.block(0, steps)

    def meets(t, v, i):
        return v[0] - 1.0

    meets.terminal = True
    times, v, at = [], 0.0, 0.0
    free_from = 0.0
    for n in range(steps):
        end = (n + 1) * dt_ms
        at = max(at, n * dt_ms, min(free_from, end))
        while at < end:
            path = solve_ivp(
                lambda t, v, i: (i - v / 2.0) / 10.0,
                (at, end),
                [v],
                args=(rows[n],),
                events=meets,
                method="DOP853",
                rtol=1e-13,
                atol=1e-14,
            )
            at, v = path.t[-1], path.y[0, -1]
            if path.status == 1:
                times.append(at)
                v, free_from = 0.0, at + 1.3
                at = min(free_from, end)
    assert len(times) == 4
    np.testing.assert_allclose(run.spike_times_ms, times, rtol=1e-9)


def test_exact_current_at_threshold_never_fires():
    neuron = Neuron(resistance_kohm=3.0, tau_ref_ms=0.0)
    run = simulate(neuron, Constant(1.0 / 3.0), steps=3000, dt_ms=1.0, method="exact")
    assert run.count == 0


def test_exact_trace_shows_the_spike():
    run = simulate(Neuron(), Constant(1.5), steps=500, dt_ms=0.1, method="exact", trace=True)
    assert np.flatnonzero(run.trace_v > 1.0).tolist() == [110, 320]
    assert run.trace_v.max() == 1.5


def test_no_neurons_and_no_steps():
    empty = simulate(Neuron(), Constant(np.zeros(0)), steps=5, dt_ms=1.0, trace=True, spikes=True)
    assert empty.count.shape == (0,) and empty.trace_v.shape == (6, 0) and empty.spike_times_ms.size == 0
    still = simulate(Neuron(), Constant(1.5), steps=0, dt_ms=1.0, trace=True)
    assert still.count == 0 and still.trace_v.tolist() == 0.0 or still.trace_v.shape == (1,)


def test_threads_do_not_change_the_counts():
    currents = np.linspace(0, 2, 40_000)
    one = simulate(Neuron(), Constant(currents), steps=50, dt_ms=1.0).count
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        two = simulate(Neuron(), Constant(currents), steps=50, dt_ms=1.0).count
    finally:
        torch.set_num_threads(before)
    np.testing.assert_array_equal(one, two)


def test_what_is_refused():
    with pytest.raises(InputError, match="steps must be >= 0, got -1"):
        simulate(Neuron(), Constant(1.0), steps=-1, dt_ms=1.0)
    with pytest.raises(InputError, match="start_v must be a number below the threshold, got 1.0"):
        initial_state(Neuron(), (), 1.0)
    with pytest.raises(InputError, match="start_v must be a number below the threshold, got nan"):
        initial_state(Neuron(), (), float("nan"))
    with pytest.raises(InputError, match=r"the state has neurons of shape \(2,\), this run has \(3,\)"):
        simulate(Neuron(), Constant(np.ones(3)), steps=1, dt_ms=1.0, state=initial_state(Neuron(), (2,)))
    with pytest.raises(InputError, match="holds 4 steps, step 5"):
        simulate(Neuron(), Samples(np.ones(4)), steps=5, dt_ms=1.0)
