"""Simulate LIF neurons, hold them against what is known exactly, and draw all of it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mlplab.errors import InputError
from mlplab.pages.lif_explorer import lif_explorer
from mlplab.runs.files import write_text
from mlplab.studies.lif import figures as lif_figures
from mlplab.studies.lif import transfer_figures
from mlplab.studies.lif.currents import Constant, FileSamples, Recursive, WhiteNoise
from mlplab.studies.lif.grid import divides, spike_count, whole_steps
from mlplab.studies.lif.neuron import MS_PER_S, exact_count, interval_ms, rate_hz, threshold_current_ma
from mlplab.studies.lif.noise_rate import interval_variation, white_noise_rate_hz
from mlplab.studies.lif.scale import one_neuron, scale_of, with_numbers
from mlplab.studies.lif.simulation import initial_state, run_shape, simulate
from mlplab.studies.lif.units import say
from mlplab.studies.recording import Recording, build, recording
from mlplab.words import folded, plural
from mlplab.words import short_path as shown

MOST_STEPS = 10**9
SHOWN_SPIKES = 10


def lif(config: Mapping[str, Any], folder: str | Path) -> dict[str, Any]:
    """Simulate the configured neurons and input; leave figures, arrays and the explorer page in the folder.

    Returns:
        The result, as in ``result.json``.

    Raises:
        InputError: a value is not allowed; one line that names the key and the reason.
    """
    asked, config = config, with_numbers(config)
    neuron = build(config["neuron"], "neuron")
    current = build(config["input"], "input")
    options = config["simulation"]
    given_ms = current.dt_ms if isinstance(current, FileSamples) else None
    if given_ms is not None and not np.isclose(given_ms, options["dt_ms"], rtol=1e-3):
        raise InputError(
            f"simulation.dt_ms must be the step of the times in input.path, {given_ms:.6g} ms, got {options['dt_ms']:g}"
        )
    steps = int(whole_steps(options["duration_ms"], options["dt_ms"]))
    if steps > MOST_STEPS:
        raise InputError(f"simulation.duration_ms must be at most {MOST_STEPS:,} steps of dt_ms, got {steps:,}")
    state = initial_state(neuron, run_shape(neuron, current, 0, steps), options["start_v"])
    run = simulate(
        neuron, current, steps=steps, dt_ms=options["dt_ms"], method=options["method"], state=state, spikes=SHOWN_SPIKES
    )
    with recording(asked, folder) as record:
        figures = draw(record, config, neuron, current, steps)
        result = result_of(neuron, current, run, steps, options) | figures
        result["input"] = {k: v for k, v in config["input"].items() if k not in ("_target_", "dt_ms", "seed")}
        words = summary(result, record, options)
        metrics = {name: result[name] for name in ("mean_count", "mean_rate_hz", "relu_distance_hz")}
        record.board.log_text("summary", "\n".join(f"    {line}" for line in words.splitlines()))
        final = record.finish(metrics, result)
    print(words, flush=True)
    return final


def draw(record: Recording, config: Mapping[str, Any], neuron, current, steps: int) -> dict[str, Any]:
    """Draw the asked figures; return what was measured on the way."""
    options, one, measured = config["simulation"], one_neuron(neuron), {}
    dt_ms, wanted = options["dt_ms"], config["figures"]
    if "membrane" in wanted and steps:
        # The picture is thinned to what can be seen; counts and arrays are of the whole run.
        shown_steps = min(steps, lif_figures.MOST_SHOWN_STEPS)
        stable = dt_ms <= float(one.time_constant_ms)
        method = "euler" if options["method"] == "euler" or options["method"] == "exact" and stable else "exponential"
        record.figure("membrane", *lif_figures.membrane(one, current, steps=shown_steps, dt_ms=dt_ms, method=method))
    if "families" in wanted:
        record.figure("families", *transfer_figures.families(one))
    if "relu_limit" in wanted:
        record.figure("relu_limit", *transfer_figures.limit(one))
    if "convergence" in wanted:
        figure, arrays, orders = transfer_figures.convergence(one)
        record.figure("convergence", figure, arrays)
        measured["order_of_convergence"] = orders
    if "noise" in wanted and (steps or not isinstance(current, Recursive)):
        figure, arrays, found = lif_figures.noise(
            one, current, duration_ms=steps * dt_ms, dt_ms=dt_ms, seed=config["seed"]
        )
        record.figure("noise", figure, arrays)
        measured |= found
    if "explorer" in wanted:
        point = float(config["explorer"]["current_ma"])
        record.figure("explorer", *lif_figures.explorer(one, point))
        write_text(record.folder.figures / "lif_explorer.html", page(one, point))
    return measured


def page(neuron, current_ma: float) -> str:
    """Return the explorer page at a neuron, with no noise on its current."""
    names = ("resistance_kohm", "tau_ref_ms", "capacitance_uf", "rest_v", "threshold_v", "reset_v")
    return lif_explorer(**{name: float(getattr(neuron, name)) for name in names}, current_ma=current_ma)


def result_of(neuron, current, run, steps: int, options: Mapping[str, Any]) -> dict[str, Any]:
    """Collect counts and, for a constant input, what is known without simulating."""
    seconds = steps * options["dt_ms"] / 1000.0
    duration = steps * options["dt_ms"]
    divided = bool(np.all(divides(neuron.tau_ref_ms, options["dt_ms"])))
    result = {
        "neurons": int(run.count.size),
        "steps": steps,
        "mean_count": float(run.count.mean()),
        "mean_rate_hz": float(run.count.mean()) / seconds if seconds else 0.0,
        "first_spikes_ms": [float(t) for t in run.spike_times_ms[:10]],
        "threshold_current_ma": float(np.min(threshold_current_ma(neuron))),
        "relu_distance_hz": float(np.max(transfer_figures.relu_distance_hz(neuron))),
        "relu_distance_to_ma": scale_of(neuron).axis_ma[1],
        "tau_ref_is_whole_steps": divided,
        "refractory_steps": float(np.max(whole_steps(neuron.tau_ref_ms, options["dt_ms"]))),
    }
    if isinstance(current, Constant):
        amount = current.current_ma
        result |= {
            "exact_rate_hz": float(np.mean(rate_hz(neuron, amount))),
            "exact_count": float(np.mean(exact_count(neuron, amount, duration)))
            if options["start_v"] is None
            else None,
            "first_exact_spike_ms": float(np.min(interval_ms(neuron, amount, options["start_v"]))),
        }
        if options["method"] != "exact":
            known = spike_count(
                neuron,
                amount,
                steps=steps,
                dt_ms=options["dt_ms"],
                method=options["method"],
                start_v=options["start_v"],
            )
            result["closed_form_count"] = float(np.mean(known))
            result["closed_form_equals_simulation"] = bool(
                np.array_equal(np.broadcast_to(known, run.count.shape), run.count)
            )
    result |= ceiling(neuron, run, steps, options)
    if isinstance(current, WhiteNoise):
        result |= known_under_noise(neuron, current, run, seconds, options)
    return result


def ceiling(neuron, run, steps: int, options: Mapping[str, Any]) -> dict[str, float]:
    """Say how many neurons a grid method lets fire whenever it can, one spike a step, where more is due."""
    if options["method"] == "exact" or steps < 2:
        return {"neurons_at_ceiling": 0}
    rest = whole_steps(neuron.tau_ref_ms, options["dt_ms"])
    at_ceiling = (run.count > 1) & (run.count >= np.floor((steps + rest) / (1 + rest)))
    most = np.broadcast_to(MS_PER_S / (options["dt_ms"] * (1 + rest)), run.count.shape)
    found = {"neurons_at_ceiling": int(at_ceiling.sum())}
    return found | ({"grid_ceiling_hz": float(most[at_ceiling].min())} if at_ceiling.any() else {})


def known_under_noise(neuron, current, run, seconds: float, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the exact rate under white noise, in continuous time and in the run's steps, and the counts due."""
    mean, strength, stepping = current.mean_ma, current.intensity_ma_sqrt_ms, (options["dt_ms"], options["method"])
    rate = white_noise_rate_hz(neuron, mean, strength, *stepping)
    varies = np.nan_to_num(interval_variation(neuron, mean, strength, *stepping))
    # A renewal process that begins with an interval, and without its refractory time: t/mean + (CV^2 - 1)/2 events
    # (Cox 1962, Renewal Theory, section 4.2), for t well beyond the first intervals.
    expected = np.maximum((seconds + neuron.tau_ref_ms / MS_PER_S) * rate + (varies**2 - 1.0) / 2, 0.0)
    spread = float(run.count.std(ddof=1) / np.sqrt(run.count.size)) if run.count.size > 1 else 0.0
    variation = float(np.mean(interval_variation(neuron, mean, strength)))
    return {
        "noise_exact_rate_hz": float(np.mean(white_noise_rate_hz(neuron, mean, strength))),
        "noise_stepped_rate_hz": float(np.mean(rate)),
        "noise_exact_interval_variation": variation if np.isfinite(variation) else None,
        "noise_expected_count": float(np.mean(expected)),
        "mean_count_error": spread,
    }


def summary(result: Mapping[str, Any], record: Recording, options: Mapping[str, Any]) -> str:
    """Write the closing lines of a study."""
    what = plural(result["neurons"], "neuron")
    lines = ["", f"{what}, {plural(result['steps'], 'step')} of {options['dt_ms']:g} ms, {options['method']}"]
    lines.append(f"spikes a neuron        {result['mean_count']:g}   ({result['mean_rate_hz']:.2f} Hz)")
    if result["first_spikes_ms"]:
        lines.append("first spikes           " + ", ".join(f"{t:.5g}" for t in result["first_spikes_ms"][:5]) + " ms")
    if "exact_rate_hz" in result:
        lines.append(
            f"known exactly          {result['exact_rate_hz']:.5g} Hz, "
            f"first spike at {result['first_exact_spike_ms']:.7g} ms"
        )
    if "closed_form_count" in result:
        same = "equal to the simulation" if result["closed_form_equals_simulation"] else "NOT that of the simulation"
        lines.append(f"closed form            {result['closed_form_count']:g} spikes, {same}")
    if "noise_exact_rate_hz" in result:
        lines.append(
            f"known exactly          {result['noise_exact_rate_hz']:.5g} Hz under white noise, "
            f"{result['noise_stepped_rate_hz']:.5g} Hz in steps of {say(options['dt_ms'], 'ms')}"
        )
        lines.append(
            f"expected               {result['noise_expected_count']:.5g} spikes, the first from the start; "
            f"simulated {result['mean_count']:.5g} ± {result['mean_count_error']:.2g}"
        )
        if result["noise_exact_interval_variation"] is not None:
            lines.append(f"intervals vary by      {result['noise_exact_interval_variation']:.4f} of their mean")
    far = say(result["relu_distance_to_ma"], "ma")
    lines.append(f"distance to the ReLU   {result['relu_distance_hz']:.4g} Hz at most, for currents from 0 to {far}")
    if result["neurons_at_ceiling"]:
        lines.append(
            f"note: {result['neurons_at_ceiling']:,} of {plural(result['neurons'], 'neuron fires', 'neurons fire')} whenever a step allows it, "
            f"{say(result['grid_ceiling_hz'], 'hz')} at most; a smaller simulation.dt_ms or simulation.method=exact "
            "shows more"
        )
    if not result["tau_ref_is_whole_steps"] and options["method"] != "exact":
        held = result["refractory_steps"] * options["dt_ms"]
        lines.append(f"note: dt does not divide tau_ref; the grid holds a neuron for {held:g} ms")
    orders = result.get("order_of_convergence")
    if orders:
        shown_orders = ["none" if orders[key] is None else f"{orders[key]:.2f}" for key in ("euler", "exponential")]
        lines.append(f"order of the error     {shown_orders[0]} Euler, {shown_orders[1]} exponential")
    lines = [folded("\n".join(lines)), "", f"folder       {shown(record.folder.path)}"]
    if (record.folder.figures / "lif_explorer.html").exists():
        lines.append(f"page         {shown(record.folder.figures / 'lif_explorer.html')}")
        lines.append("             (open it in a browser)")
    return "\n".join(lines)
