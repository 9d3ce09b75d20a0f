"""Inputs: what a block holds depends on its steps alone, and noise has the law it says."""

import numpy as np
import pytest

from mlplab.errors import InputError
from mlplab.studies.lif.currents import Constant, FileSamples, OrnsteinUhlenbeck, Poisson, Ramp, Samples, Sine, Step

INPUTS = {
    "constant": lambda: Constant(np.array([1.0, 2.0])),
    "step": lambda: Step(dt_ms=0.5, after_ma=np.array([1.0, 2.0]), at_ms=3.0),
    "ramp": lambda: Ramp(dt_ms=0.5, to_ma=np.array([1.0, 2.0]), over_ms=10.0),
    "sine": lambda: Sine(dt_ms=0.5, mean_ma=np.array([1.0, 2.0])),
    "noise": lambda: OrnsteinUhlenbeck(dt_ms=0.5, neurons=2, seed=1),
    "poisson": lambda: Poisson(dt_ms=0.5, neurons=2, seed=1),
    "samples": lambda: Samples(np.arange(200.0).reshape(100, 2)),
}


@pytest.mark.parametrize("name", INPUTS)
def test_a_block_does_not_depend_on_the_blocks_before_it(name):
    whole = np.broadcast_to(INPUTS[name]().block(0, 100), (100, 2))
    again = INPUTS[name]()
    for start, stop in ((0, 1), (1, 30), (30, 30), (70, 100), (5, 20), (0, 100)):
        rows = np.broadcast_to(again.block(start, stop), (stop - start, 2))
        np.testing.assert_array_equal(rows, whole[start:stop])


def test_shapes_of_inputs_in_time():
    times = 0.5 * np.arange(1, 21)
    step = Step(dt_ms=0.5, before_ma=0.25, after_ma=1.5, at_ms=3.0).block(0, 20)
    np.testing.assert_array_equal(step, np.where(times > 3.0, 1.5, 0.25))
    ramp = Ramp(dt_ms=0.5, from_ma=-1.0, to_ma=1.0, over_ms=5.0).block(0, 20)
    np.testing.assert_allclose(ramp, np.interp(times, [0, 5], [-1, 1]), atol=1e-15)
    sine = Sine(dt_ms=0.5, mean_ma=1.0, amplitude_ma=0.5, frequency_hz=100.0, phase_degrees=90.0).block(0, 20)
    np.testing.assert_allclose(sine, 1.0 + 0.5 * np.cos(2 * np.pi * times / 10.0), atol=1e-14)


def test_noise_has_the_mean_spread_and_memory_it_says():
    rows = OrnsteinUhlenbeck(dt_ms=1.0, neurons=4000, mean_ma=1.5, std_ma=0.5, tau_ms=5.0, seed=2).block(0, 60)
    # 4000 independent neurons: standard error of the mean 0.008, of the deviation 0.006.
    for row in rows[[0, 59]]:
        assert row.mean() == pytest.approx(1.5, abs=0.04)
        assert row.std() == pytest.approx(0.5, abs=0.03)
    correlation = np.mean((rows[50] - 1.5) * (rows[55] - 1.5)) / 0.25
    assert correlation == pytest.approx(np.exp(-1.0), abs=0.08)


def test_synapses_follow_campbells_theorem():
    synapses = dict(dt_ms=0.1, neurons=4000, rate_hz=40.0, synapses=50, weight_ma=0.2, tau_ms=2.0)
    row = Poisson(**synapses, seed=4).block(0, 150)[-1]
    # 50 synapses of 40 Hz are 2 events a ms; the sums over a decay in steps are geometric.
    keep = np.exp(-0.05)
    assert row.mean() == pytest.approx(0.2 * 0.2 / (1 - keep), rel=0.03)
    assert row.var() == pytest.approx(0.04 * 0.2 / (1 - keep**2), rel=0.1)


def test_seeds_differ_and_zero_is_a_seed():

    def draw(seed):
        return OrnsteinUhlenbeck(dt_ms=1.0, neurons=3, seed=seed).block(0, 4)

    np.testing.assert_array_equal(draw(0), draw(0))
    assert not np.array_equal(draw(0), draw(1))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Constant(float("inf")), "must be finite, got inf"),
        (lambda: Step(dt_ms=1.0, after_ma=float("nan")), "must be finite, got nan"),
        (lambda: Ramp(dt_ms=1.0, over_ms=0.0), "over_ms must be a finite number > 0, got 0"),
        (lambda: Sine(dt_ms=1.0, mean_ma=float("nan")), "must be finite, got nan"),
        (lambda: OrnsteinUhlenbeck(dt_ms=1.0, std_ma=-0.1), "std_ma must be a finite number >= 0, got -0.1"),
        (
            lambda: Poisson(dt_ms=0.1, tau_ms=1e300),
            "input.tau_ms must be at most 100,000 steps of dt_ms=0.1, got 1e\\+300",
        ),
        (lambda: Poisson(dt_ms=1.0, rate_hz=1e300), "must be at most 1e\\+15 events a step, got 1e\\+299"),
        (lambda: OrnsteinUhlenbeck(dt_ms=1.0, tau_ms=0.0), "tau_ms must be a finite number > 0, got 0"),
        (lambda: Poisson(dt_ms=1.0, rate_hz=-1.0), "rate_hz must be a finite number >= 0, got -1"),
        (lambda: Poisson(dt_ms=1.0, synapses=-1), "synapses must be >= 0, got -1"),
        (lambda: Samples(np.array(1.0)), "first axis of steps"),
        (lambda: Samples(np.array([1.0, np.nan])), "must be finite, got nan"),
        (lambda: Samples(np.ones(3)).block(0, 4), "holds 3 steps, step 4 was asked for"),
    ],
)
def test_a_bad_input_is_one_line(make, message):
    with pytest.raises(InputError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_arrays_come_from_files(tmp_path):
    rows = np.array([[0.5, 1.0], [1.5, 2.0], [0.0, -1.0]])
    np.save(tmp_path / "a.npy", rows.astype(np.float32))
    np.savetxt(tmp_path / "a.csv", rows, delimiter=",")
    for name in ("a.npy", "a.csv"):
        np.testing.assert_array_equal(FileSamples(str(tmp_path / name)).block(1, 3), rows[1:])
    np.savetxt(tmp_path / "one.csv", rows[:, 0], delimiter=",")
    assert FileSamples(str(tmp_path / "one.csv")).block(0, 3).shape == (3,)


@pytest.mark.parametrize(
    ("header", "step", "dt_ms"),
    [
        ("time,current\n", 0.1, 0.1),
        ("t,i\n", 0.1, 0.1),
        ("time (s),a\n", 1e-4, 0.1),
        ("Time [ms],a\n", 0.1, 0.1),
        ("", 0.1, 0.1),
        ("a,b\n", 0.1, None),
    ],
)
def test_a_column_of_times_is_no_neuron(tmp_path, header, step, dt_ms):
    (tmp_path / "a.csv").write_text(header + "".join(f"{i * step:.6g},1.5\n" for i in range(20)), encoding="utf-8")
    current = FileSamples(str(tmp_path / "a.csv"))
    assert current.block(0, 20).shape == ((20,) if dt_ms else (20, 2))
    assert current.dt_ms == (pytest.approx(dt_ms) if dt_ms else None)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.csv", None, "input.path must name a file that exists, got .*none.csv"),
        ("words.csv", b"a,b\n1,x\n", r"row 1 \(line 2\): column 'b' must be a finite number, got 'x'"),
        ("broken.npy", b"no array", "NPY or CSV file of numbers"),
        ("nan.csv", b"1\nnan\n", r"row 2 \(line 2\): column 'x1' must be a finite number, got nan"),
        ("uneven.csv", b"time,a\n0,1\n1,1\n3,1\n", r"row 2 \(line 3\): the times must be evenly spaced, got 1"),
    ],
)
def test_a_bad_file_is_one_line(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        FileSamples(str(tmp_path / name))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("array", "message"), [(np.ones(5) * 1j, "it holds complex numbers"), (np.ones((5, 0)), "it holds no neuron")]
)
def test_an_array_that_no_neuron_could_be_fed_with_is_one_line(tmp_path, array, message):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(InputError, match=f"NPY or CSV file of numbers, got .*a.npy: {message}"):
        FileSamples(str(tmp_path / "a.npy"))


def test_an_empty_file_and_a_current_beyond_all_bounds_are_one_line(tmp_path):
    (tmp_path / "a.npy").write_bytes(b"")
    with pytest.raises(InputError, match="NPY or CSV file of numbers, got .*a.npy"):
        FileSamples(str(tmp_path / "a.npy"))
    with pytest.raises(InputError, match=r"must be from -1e\+100 to 1e\+100 mA, got -1.7e\+308 at index"):
        Samples([0.0, -1.7e308])
