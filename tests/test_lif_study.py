"""The LIF and spiking commands from end to end: the run folder they leave, and bad input in one line."""

import json
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mlplab.cli.app import main
from mlplab.plots.charts import log_ticks
from mlplab.runs.manifest import read_status
from mlplab.studies.lif import transfer_figures
from mlplab.studies.lif import transfer_plots as transfer
from mlplab.studies.lif.currents import Constant
from mlplab.studies.lif.neuron import Neuron, rate_hz
from mlplab.studies.lif.simulation import simulate

FIGURES = ("membrane", "families", "relu_limit", "convergence", "noise", "explorer")


def run(tmp_path, command, *words):
    """Run a command; return its exit code and the newest run folder."""
    code = main([command, *words, f"paths.logs={tmp_path}"])
    folders = sorted((tmp_path / command).glob("*"), key=lambda path: path.stat().st_mtime)
    return code, folders[-1] if folders else None


@pytest.fixture(scope="module")
def default(tmp_path_factory):
    code, folder = run(tmp_path_factory.mktemp("lif"), "lif")
    assert code == 0
    return folder


def test_the_default_run_is_the_tutorials_trace(default):
    result = json.loads((default / "result.json").read_text())
    assert result["mean_count"] == result["closed_form_count"] == 2.0
    assert result["closed_form_equals_simulation"] is True
    np.testing.assert_allclose(result["first_spikes_ms"], [11.0, 32.0])
    assert result["first_exact_spike_ms"] == pytest.approx(10 * np.log(3))
    assert result["exact_rate_hz"] == pytest.approx(float(rate_hz(Neuron(), 1.5)))
    assert result["input"] == {"current_ma": 1.5} and result["neurons_at_ceiling"] == 0
    error = result["noise_rate_error_hz"]
    assert result["noise_rate_hz"] == pytest.approx(result["noise_white_rate_hz"], abs=4 * error)
    assert result["order_of_convergence"]["euler"] == pytest.approx(1.0, abs=0.05)
    assert read_status(default)["status"] == "finished"
    assert {"config.yaml", "manifest.json", "result.json", "status.json", "tensorboard", ".hydra"} <= {
        path.name for path in default.iterdir()
    }


def test_every_figure_is_there_with_its_arrays_and_in_tensorboard(default):
    events = EventAccumulator(str(default / "tensorboard"), size_guidance={"images": 0})
    events.Reload()
    assert set(events.Tags()["images"]) == set(FIGURES)
    for name in FIGURES:
        assert (default / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        with np.load(default / "figures" / f"{name}.npz", allow_pickle=False) as arrays:
            assert arrays.files
    assert (default / "figures" / "lif_explorer.html").stat().st_size < 60_000


def test_convergence_shows_every_error_and_methods_that_agree():
    dts = np.array([1e-3, 1e-1])
    errors = np.array([[2e-5, 6e-5], [1e-3, 0.4]])
    axes = transfer.convergence(dts, [("Euler", errors), ("exponential", errors)], title="").axes[0]
    assert axes.get_ylim()[1] > 0.4
    below, above = (line for line in axes.lines if line.get_marker() == "o" and line.get_linestyle() == "-")
    assert below.get_linewidth() > above.get_linewidth() and below.get_markersize() > above.get_markersize()
    assert not any("e" in axes.yaxis.get_major_formatter()(tick) for tick in axes.get_yticks())


def test_numbers_of_a_logarithmic_axis_are_the_round_ones_they_are_meant_to_be():
    axes = Figure().subplots()
    for power in range(-12, 13):
        log_ticks(axes.yaxis, 10.0**power / 2, 10.0**power * 40)
        for tick in axes.get_yticks():
            assert len(np.format_float_positional(tick, trim="-").strip("-0.").rstrip("0")) <= 1


def test_a_logarithmic_axis_of_many_powers_names_every_other():
    axes = Figure().subplots()
    axes.set_xscale("log")
    for high, expected in ((1e4, "1 10 100 1000 10000"), (1e5, "1  100  10000 ")):
        transfer.plain_log_axis(axes.xaxis, 1.0, high)
        axes.set_xlim(1.0, high)
        assert " ".join(axes.xaxis.get_major_formatter()(tick) for tick in axes.get_xticks()) == expected


def test_the_counts_in_the_figure_are_the_simulations(default):
    with np.load(default / "figures" / "families.npz") as arrays:
        for neurons, counted in (
            (Neuron(resistance_kohm=np.array([1, 2, 5, 20, np.inf])[:, None]), arrays["by_resistance_counted_hz"]),
            (Neuron(tau_ref_ms=np.array([20.0, 10, 5, 2, 0])[:, None]), arrays["by_refractory_counted_hz"]),
        ):
            np.testing.assert_allclose(arrays["count_currents_ma"], np.linspace(0, 2, 10))
            run = simulate(neurons, Constant(arrays["count_currents_ma"]), steps=1000, dt_ms=1.0)
            np.testing.assert_array_equal(counted, run.count)


def test_the_distance_to_the_relu_shrinks_to_nothing():

    def distance(r, t):
        return float(transfer_figures.relu_distance_hz(Neuron(resistance_kohm=r, tau_ref_ms=t)))

    assert distance(1.0, 1.0) > distance(10.0, 0.1) > distance(1e3, 1e-3) > distance(np.inf, 0.0)
    assert distance(np.inf, 0.0) < 1e-9
    # Just below threshold a silent neuron is Vth/R away from the ReLU, times 1/(C Vth): 100 Hz / R.
    assert distance(50.0, 0.0) == pytest.approx(2.0, rel=1e-12)


@pytest.mark.parametrize(
    "words",
    [
        ("input=noise", "simulation.duration_ms=60", "simulation.dt_ms=0.5", "figures=[noise,membrane]"),
        ("input=poisson", "input.neurons=3", "simulation.method=exact", "figures=[]"),
        ("input=sine", "neuron=saturating", "simulation.method=exponential", "figures=[membrane]"),
        ("input=ramp", "neuron.tau_ref_ms=0.25", "simulation.start_v=0.5", "figures=[]"),
        ("input.current_ma=[0.5,1.5,2]", "neuron.resistance_kohm=[1,2,inf]", "figures=[explorer]"),
        ("simulation.duration_ms=0", "figures=[membrane,noise]"),
        ("neuron=cortical", "input=white", "input.neurons=2", "simulation.dt_ms=500us", "figures=[noise]"),
        (
            "neuron.resistance_kohm=10MOhm",
            "neuron.capacitance_uf=0.8nF",
            "neuron.threshold_v=15mV",
            "input.current_ma=[2nA,3nA]",
        ),
    ],
)
def test_inputs_and_neurons_of_every_kind(tmp_path, words, capsys):
    code, folder = run(tmp_path, "lif", *words)
    assert code == 0
    result = json.loads((folder / "result.json").read_text())
    assert result.get("closed_form_equals_simulation", True) is True
    assert ("does not divide" in capsys.readouterr().out) == ("neuron.tau_ref_ms=0.25" in words)


def test_white_noise_has_its_known_rate(tmp_path, capsys):
    for method in ("exact", "euler"):
        words = ["input=white", "input.neurons=400", f"simulation.method={method}", "simulation.duration_ms=400"]
        code, folder = run(tmp_path / method, "lif", *words, "simulation.dt_ms=0.2", "figures=[]")
        result = json.loads((folder / "result.json").read_text())
        assert code == 0 and result["input"]["mean_ma"] == 0.9
        assert result["mean_count"] == pytest.approx(result["noise_expected_count"], abs=4 * result["mean_count_error"])
        assert result["noise_stepped_rate_hz"] < result["noise_exact_rate_hz"]
    assert "known exactly          30.632 Hz under white noise" in capsys.readouterr().out


def test_euler_at_its_ceiling_says_so(tmp_path, capsys):
    code, folder = run(tmp_path, "lif", "neuron=leaky", "input.current_ma=[1.5,200]", "figures=[families]")
    assert code == 0 and "1 of 2 neurons fire whenever a step allows it, 10 kHz at most" in capsys.readouterr().out
    assert json.loads((folder / "result.json").read_text())["neurons_at_ceiling"] == 1


def test_an_array_of_the_users(tmp_path):
    np.savetxt(tmp_path / "current.csv", np.full(500, 1.5))
    code, folder = run(tmp_path, "lif", "input=file", f"input.path={tmp_path / 'current.csv'}", "figures=[]")
    assert code == 0 and json.loads((folder / "result.json").read_text())["mean_count"] == 2.0


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["neuron.resistance_kohm=-1"], "neuron.resistance_kohm must be"),
        (["neuron.resistance_kohm=0"], "neuron.resistance_kohm must be"),
        (["neuron.tau_ref_ms=-1"], "neuron.tau_ref_ms must be"),
        (["neuron.threshold_v=-1"], "neuron.threshold_v must be above neuron.reset_v"),
        (
            ["neuron.threshold_v=1e-320", "input=sine"],
            "neuron.threshold_v must be above neuron.reset_v by at least 1e-30",
        ),
        (
            ["simulation.duration_ms=1.79e308", "input=poisson"],
            "simulation.duration_ms must be a number from 0 to 1e+30",
        ),
        (["simulation.dt_ms=30"], "simulation.dt_ms must be at most 2 R C = 20 ms"),
        (["input.current_ma=nan"], "input.current_ma must be"),
        (["simulation.method=rk4"], "simulation.method must be one of euler, exponential, exact"),
        (["simulation.start_v=2"], "simulation.start_v must be"),
        (["simulation.duration_ms=1e12"], "simulation.duration_ms must be at most"),
        (["input=file", "input.path=/no/such.csv"], "input.path must name"),
        (
            ["neuron.resistance_kohm=[1,2]", "neuron.tau_ref_ms=[1,2,3]"],
            "must be of one length, got neuron.resistance_kohm of 2, neuron.tau_ref_ms of 3",
        ),
        (["neuron.resistance_kohm=[1,2]", "input.current_ma=[1,2,3]"], "whose shape is (3,), got values of shape (2,)"),
        (["neuron.resistance_kohm=[1,2]", "input=noise", "input.neurons=3"], "whose shape is (3,), got values"),
        (["neuron.resistence_kohm=1"], "did you mean neuron.resistance_kohm?"),
        (["figures=[nope]"], "figures must be"),
        (["explorer.current_ma=3"], "explorer.current_ma must be from -0.5 mA to 2 mA for this neuron, got 3 mA"),
        (
            ["neuron.threshold_v=-50mA"],
            "neuron.threshold_v must be a number from -1e+30 to 1e+30, also with a unit as in -50mV",
        ),
        (["neuron.resistance_mohm=10"], "did you mean neuron.resistance_kohm?"),
    ],
)
def test_bad_input_is_one_line_and_leaves_no_folder(tmp_path, capsys, words, shown):
    assert main(["lif", *words, f"paths.logs={tmp_path}"]) == 2
    error = capsys.readouterr().err
    # What is found only once the run begins follows the line that names its folder.
    assert shown in error.splitlines()[-1] and error.count("\n") - error.startswith("lif: ") == 1
    assert not list((tmp_path / "lif").glob("*")) if (tmp_path / "lif").exists() else True


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    logs = tmp_path_factory.mktemp("train")
    words = [
        "model.width=24",
        "trainer=cpu",
        "trainer.max_epochs=8",
        "optimizer.lr=1e-2",
        "logger=none",
        "data.fresh_points=500",
        "figures=none",
        "callbacks.decision_maps=null",
    ]
    code, folder = run(logs, "train", *words)
    assert code == 0
    return folder


def test_a_trained_run_as_spiking_neurons(trained, tmp_path, capsys):
    words = [
        "simulation.duration_ms=200",
        "resistances_kohm=[1,inf]",
        "refractories_ms=[0,5]",
        "depths=[1,2]",
        "depth_width=12",
        "depth_seeds=2",
        "depth_training.epochs=3",
        "depth_training.lr=[1e-4,1e-2]",
        "surrogate.epochs=2",
        "surrogate.steps=8",
    ]
    code, folder = run(tmp_path, "spiking", str(trained), *words)
    assert code == 0
    result = json.loads((folder / "result.json").read_text())
    recorded = json.loads((trained / "result.json").read_text())
    relu, spiking, surrogate = result["table"]
    assert relu["accuracy"] == pytest.approx(recorded["test"]["accuracy"])
    assert spiking["accuracy"] == pytest.approx(relu["accuracy"], abs=0.02)
    assert 0.2 < surrogate["accuracy"] <= 1.0
    assert result["by_neuron"]["by_resistance"][1] == spiking["accuracy"] == result["by_neuron"]["by_refractory"][0]
    assert set(result["by_depth"]) == {"1", "2"}
    # Each depth has the rate of the lower validation loss over both draws of the data.
    losses = {
        rate: np.mean(
            [
                json.loads(file.read_text())["validation"]["nll_regret"]
                for file in (folder / "networks").glob(f"depth1-lr{rate:g}-draw*/result.json")
            ]
        )
        for rate in (1e-4, 1e-2)
    }
    assert (
        result["by_depth"]["1"]["lr"] == min(losses, key=losses.get)
        and len(result["by_depth"]["2"]["relu_accuracies"]) == 2
    )
    assert len({file.read_text() for file in (folder / "networks").glob("depth1-lr0.01-draw*/config.yaml")}) == 2
    few = result["few_steps"]
    assert few["steps"] == [2, 4, 8, 16, 32, 64] and few["points"] == 500 and few["networks"] == 1
    assert abs(few["balanced"][-1]) < 0.05 and abs(few["fitted"][-1]) < 0.05
    for name in ("accuracy_over_time", "accuracy_by_neuron", "decision_maps", "latency_by_depth", "few_steps"):
        assert (folder / "figures" / f"{name}.png").is_file() and (folder / "figures" / f"{name}.npz").is_file()
    assert "the same as spiking neurons" in capsys.readouterr().out


def test_several_runs_and_nothing_else(trained, tmp_path):
    words = [
        "simulation.duration_ms=20",
        "resistances_kohm=[]",
        "depths=[]",
        "surrogate.epochs=0",
        "few_steps.try=[]",
        "maps=false",
    ]
    code, folder = run(tmp_path, "spiking", str(trained), str(trained), *words)
    assert code == 0
    assert len(json.loads((folder / "result.json").read_text())["networks"]) == 2
    assert [path.name for path in sorted((folder / "figures").glob("*.png"))] == ["accuracy_over_time.png"]


def test_what_is_no_relu_run_is_refused(trained, tmp_path, capsys):
    assert main(["spiking"]) == 2
    assert "spiking must be given a run folder" in capsys.readouterr().err
    assert main(["spiking", str(tmp_path), f"paths.logs={tmp_path}"]) == 2
    assert "is not a run folder" in capsys.readouterr().err
    words = [
        "model.width=4",
        "model.activation=tanh",
        "trainer=cpu",
        "trainer.max_epochs=1",
        "logger=none",
        "data.fresh_points=0",
        "figures=none",
        "callbacks.decision_maps=null",
    ]
    code, folder = run(tmp_path, "train", *words)
    capsys.readouterr()
    assert main(["spiking", str(folder), f"paths.logs={tmp_path}"]) == 2
    assert "must be a ReLU network" in capsys.readouterr().err
    assert not list(Path(tmp_path / "spiking").glob("*"))
