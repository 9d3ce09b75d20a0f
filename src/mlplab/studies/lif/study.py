"""Simulate LIF neurons, hold them against what is known exactly, and draw all of it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mlplab.cli.train import shown
from mlplab.config.composition import build
from mlplab.errors import InputError
from mlplab.pages.lif_explorer import BOUNDS, lif_explorer
from mlplab.runs.files import write_text
from mlplab.studies.lif import figures as lif_figures
from mlplab.studies.lif import transfer_figures
from mlplab.studies.lif.currents import Constant, FileSamples
from mlplab.studies.lif.grid import divides, spike_count, whole_steps
from mlplab.studies.lif.neuron import exact_count, interval_ms, rate_hz, threshold_current_ma
from mlplab.studies.lif.simulation import initial_state, run_shape, simulate
from mlplab.studies.recording import Recording, recording

MOST_STEPS = 10**9


def lif(config: Mapping[str, Any], folder: str | Path) -> dict[str, Any]:
    """Simulate the configured neurons and input; leave figures, arrays and the explorer page in the folder.

    Returns:
        The result, as in ``result.json``.

    Raises:
        InputError: a value is not allowed; one line that names the key and the reason.
    """
    torch.set_num_threads(1)
    neuron = build(config["neuron"], "neuron", _convert_="all")
    current = build(config["input"], "input", _convert_="all")
    options = config["simulation"]
    given_ms = current.dt_ms if isinstance(current, FileSamples) else None
    if given_ms is not None and not np.isclose(given_ms, options["dt_ms"], rtol=1e-3):
        raise InputError(
            f"simulation.dt_ms must be the step of the times in input.path, {given_ms:.6g} ms, got {options['dt_ms']:g}"
        )
    steps = int(whole_steps(options["duration_ms"], options["dt_ms"]))
    if steps > MOST_STEPS:
        raise InputError(
            f"simulation.duration_ms must be at most {MOST_STEPS:,} steps of dt_ms, got {steps:,}"
        )
    state = initial_state(neuron, run_shape(neuron, current, 0, steps), options["start_v"])
    run = simulate(
        neuron,
        current,
        steps=steps,
        dt_ms=options["dt_ms"],
        method=options["method"],
        state=state,
        spikes=True,
    )
    with recording(config, folder) as record:
        figures = draw(record, config, neuron, current, steps)
        result = result_of(neuron, current, run, steps, options) | figures
        words = summary(result, record, options)
        metrics = {name: result[name] for name in ("mean_count", "mean_rate_hz", "relu_distance_hz")}
        record.board.log_text("summary", "\n".join(f"    {line}" for line in words.splitlines()))
        final = record.finish(metrics, result)
    print(words, flush=True)
    return final


def draw(record: Recording, config: Mapping[str, Any], neuron, current, steps: int) -> dict[str, Any]:
    """Draw the asked figures; return what was measured on the way."""
    options, one, measured = config["simulation"], transfer_figures.one_neuron(neuron), {}
    dt_ms, wanted = options["dt_ms"], config["figures"]
    capacitance, resistance, tau_ref = (
        float(one.capacitance_uf),
        float(one.resistance_kohm),
        float(one.tau_ref_ms),
    )
    if "membrane" in wanted and steps:
        # The picture holds what an eye can tell apart; counts and arrays are of the whole run.
        shown_steps = min(steps, 20_000)
        method = "exponential" if options["method"] == "exponential" else "euler"
        record.figure(
            "membrane", *lif_figures.membrane(one, current, steps=shown_steps, dt_ms=dt_ms, method=method)
        )
    if "families" in wanted:
        record.figure("families", *transfer_figures.families(capacitance, resistance, tau_ref))
    if "relu_limit" in wanted:
        record.figure("relu_limit", *transfer_figures.limit(capacitance))
    if "convergence" in wanted:
        figure, arrays, orders = transfer_figures.convergence(one)
        record.figure("convergence", figure, arrays)
        measured["order_of_convergence"] = orders
    if "noise" in wanted:
        duration = max(float(options["duration_ms"]), 500.0)
        step = dt_ms if hasattr(current, "neurons") else 0.5
        if hasattr(current, "neurons"):
            duration = float(options["duration_ms"])
        if duration >= step:
            figure, arrays, rate = lif_figures.noise(
                one, current, duration_ms=duration, dt_ms=step, seed=config["seed"]
            )
            record.figure("noise", figure, arrays)
            measured["noise_rate_hz"] = rate
    if "explorer" in wanted:
        point = float(config["explorer"]["current_ma"])
        record.figure("explorer", *lif_figures.explorer(one, point))
        write_text(record.folder.figures / "lif_explorer.html", page(one, point))
    return measured


def page(neuron, current_ma: float) -> str:
    """Return the explorer page at a neuron; a value beyond its sliders is taken to their end."""
    pick = lambda key, value: float(np.clip(value, *BOUNDS[key]))  # noqa: E731
    return lif_explorer(
        resistance_kohm=pick("R", neuron.resistance_kohm),
        tau_ref_ms=pick("tau", neuron.tau_ref_ms),
        capacitance_uf=pick("C", neuron.capacitance_uf),
        current_ma=current_ma,
    )


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
    return result


def summary(result: Mapping[str, Any], record: Recording, options: Mapping[str, Any]) -> str:
    """Write the closing lines of a study."""
    what = "1 neuron" if result["neurons"] == 1 else f"{result['neurons']:,} neurons"
    lines = ["", f"{what}, {result['steps']:,} steps of {options['dt_ms']:g} ms, {options['method']}"]
    lines.append(f"spikes a neuron        {result['mean_count']:g}   ({result['mean_rate_hz']:.2f} Hz)")
    if result["first_spikes_ms"]:
        lines.append(
            "first spikes           " + ", ".join(f"{t:.5g}" for t in result["first_spikes_ms"][:5]) + " ms"
        )
    if "exact_rate_hz" in result:
        lines.append(
            f"known exactly          {result['exact_rate_hz']:.5g} Hz, "
            f"first spike at {result['first_exact_spike_ms']:.7g} ms"
        )
    if "closed_form_count" in result:
        same = (
            "equal to the simulation"
            if result["closed_form_equals_simulation"]
            else "NOT that of the simulation"
        )
        lines.append(f"closed form            {result['closed_form_count']:g} spikes, {same}")
    lines.append(
        f"distance to the ReLU   {result['relu_distance_hz']:.4g} Hz at most, for currents from 0 to 2 mA"
    )
    if not result["tau_ref_is_whole_steps"] and options["method"] != "exact":
        held = result["refractory_steps"] * options["dt_ms"]
        lines.append(f"note: dt does not divide tau_ref; the grid holds a neuron for {held:g} ms")
    orders = result.get("order_of_convergence")
    if orders:
        lines.append(
            f"order of the error     {orders['euler']:.2f} Euler, {orders['exponential']:.2f} exponential"
        )
    lines += ["", f"folder       {shown(record.folder.path)}"]
    if (record.folder.figures / "lif_explorer.html").exists():
        lines.append(
            f"page         {shown(record.folder.figures / 'lif_explorer.html')}   (open it in a browser)"
        )
    return "\n".join(lines)
