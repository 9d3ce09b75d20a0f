"""Run trained ReLU networks as spiking neurons, beside a network trained through its spikes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import OmegaConf

from mlplab.errors import InputError
from mlplab.studies.lif import spiking_networks as measure
from mlplab.studies.lif import spiking_plots as pictures
from mlplab.studies.lif.neuron import Neuron
from mlplab.studies.lif.scale import changed
from mlplab.studies.lif.spiking import relu_logits, run_spiking
from mlplab.studies.lif.transfer_figures import kohm
from mlplab.studies.lif.units import in_lab_units
from mlplab.studies.recording import Recording, build, recording
from mlplab.training.plane import decision_grid
from mlplab.words import plural, terminal_width, wrapped
from mlplab.words import short_path as shown

MAP_RESOLUTION, MAP_LIMIT = 64, 2.0


def spiking(config: Mapping[str, Any], folder: str | Path) -> dict[str, Any]:
    """Measure the networks of `config.runs` as spiking ones; leave figures, arrays and a table in the folder.

    Returns:
        The result, as in ``result.json``; its metrics are those of the first run.

    Raises:
        InputError: a run is missing or no ReLU network, or a value is not allowed.
    """
    torch.set_num_threads(1)
    asked, config = config, in_lab_units(OmegaConf.to_container(config) if OmegaConf.is_config(config) else config)
    neuron = build(config["neuron"], "neuron")
    if neuron.shape not in ((), (1,)):
        raise InputError(f"neuron must be one kind of neuron here, got lists of shape {neuron.shape}")
    networks = [measure.load_run(path) for path in config["runs"]]
    first, options = networks[0], dict(config["simulation"])
    found = [measure.over_time(network, neuron, options) for network in networks]
    with recording(asked, folder, data_sha256=first.data.sha256) as record:
        draw_over_time(record, first, found[0])
        result = {
            "runs": [network.name for network in networks],
            "networks": [{k: v for k, v in f.items() if np.ndim(v) == 0} for f in found],
            "by_neuron": by_neuron(record, first, neuron, config, found[0]["relu_accuracy"]),
        }
        if config["maps"] and first.data.input_shape == (2,):
            draw_maps(record, first, neuron, options)
        if config["few_steps"]["try"]:
            result["few_steps"] = draw_few_steps(record, networks, neuron, config)
        if config["depths"]:
            result["by_depth"] = draw_depths(record, first, neuron, config)
        rows = table(first, found[0], options)
        if config["surrogate"]["epochs"]:
            trained = measure.trained_through_spikes(first, config["surrogate"], record.folder.path / "networks")
            rows.append(
                (
                    "trained through its spikes",
                    trained["test"]["accuracy"],
                    trained["test"]["nll"],
                    float(config["surrogate"]["steps"]),
                )
            )
        result["table"] = [dict(zip(("network", "accuracy", "nll", "duration_ms"), row, strict=True)) for row in rows]
        words = summary(result, rows, networks, found, record)
        record.board.log_text("summary", "\n".join(f"    {line}" for line in words.splitlines()))
        names = ("relu_accuracy", "final_accuracy", "settled_ms")
        final = record.finish({n: found[0][n] for n in names if np.isfinite(found[0][n])}, result)
    print(words, flush=True)
    return final


def table(network: measure.Trained, found: Mapping[str, Any], options: Mapping[str, Any]) -> list[tuple]:
    """Return rows of (network, accuracy, NLL, simulated ms) for the ReLU network and its spiking twin."""
    return [
        ("ReLU network", found["relu_accuracy"], found["relu_nll"], None),
        ("the same as spiking neurons", found["final_accuracy"], found["final_nll"], options["duration_ms"]),
    ]


def draw_over_time(record: Recording, network: measure.Trained, found: Mapping[str, Any]) -> None:
    figure = pictures.accuracy_over_time(
        found["times_ms"],
        found["accuracies"],
        found["relu_accuracy"],
        found["settled_ms"],
        title="A ReLU network run as spiking neurons answers in time",
        subtitle=f"{shape_of(network)}: {100 * found['final_accuracy']:.2f} % at the end, ReLU network "
        f"{100 * found['relu_accuracy']:.2f} %; {found['spikes']:.1f} spikes a hidden neuron",
    )
    record.figure("accuracy_over_time", figure, {k: found[k] for k in ("times_ms", "accuracies", "agreements")})


def shape_of(network: measure.Trained) -> str:
    matrices = network.weights.matrices
    return "–".join(str(size) for size in (matrices[0].shape[1], *(m.shape[0] for m in matrices)))


def by_neuron(
    record: Recording, network: measure.Trained, neuron: Neuron, config: Mapping[str, Any], relu_accuracy: float
) -> dict[str, Any]:
    """Measure and draw the accuracy at the end against R and tau_ref."""
    resistances, refractories = list(config["resistances_kohm"]), list(config["refractories_ms"])
    if not (resistances and refractories):
        return {}
    options = dict(config["simulation"])

    over_r = measure.final_accuracies(network, [changed(neuron, resistance_kohm=r) for r in resistances], options)
    over_tau = measure.final_accuracies(network, [changed(neuron, tau_ref_ms=t) for t in refractories], options)
    figure = pictures.accuracy_by_neuron(
        resistances,
        over_r,
        refractories,
        over_tau,
        relu_accuracy,
        title="The nearer to the ReLU limit, the nearer to the ReLU network",
        subtitle=f"test accuracy after {options['duration_ms']:g} ms; "
        f"left at τref = {float(neuron.tau_ref_ms):g} ms, right at {kohm(float(neuron.resistance_kohm))}",
    )
    arrays = {
        "resistances_kohm": resistances,
        "by_resistance": over_r,
        "refractories_ms": refractories,
        "by_refractory": over_tau,
    }
    record.figure("accuracy_by_neuron", figure, arrays)
    return arrays


def draw_maps(record: Recording, network: measure.Trained, neuron: Neuron, options: Mapping[str, Any]) -> None:
    """Draw the spiking network's decision map at three times, and the ReLU network's."""
    grid = decision_grid(MAP_RESOLUTION, MAP_LIMIT).numpy().astype(np.float64)
    x, y = network.test
    end = options["duration_ms"]
    reads = [max(options["dt_ms"], end / 50), max(options["dt_ms"], end / 10), end]
    times, logits, _ = run_spiking(network.weights, np.concatenate([grid, x]), neuron, **options, read_ms=reads)
    every = [*logits, relu_logits(network.weights, np.concatenate([grid, x]))]
    names = [*(f"spiking, {time:g} ms" for time in times), "ReLU network"]
    maps, guesses, words = [], [], []
    for values in every:
        shares = torch.from_numpy(values[: len(grid)]).softmax(1).numpy()
        maps.append(shares.reshape(MAP_RESOLUTION, MAP_RESOLUTION, -1))
        guesses.append(values[len(grid) :].argmax(1))
        words.append(f"test accuracy {100 * (guesses[-1] == y).mean():.2f} %")
    box = tuple(side.numpy() for side in network.data.training_box)
    figure = pictures.maps_over_time(
        maps,
        MAP_LIMIT,
        x,
        y,
        guesses,
        names,
        words,
        title=f"{shape_of(network)} in spikes, and as a ReLU network",
        box=box,
    )
    record.figure("decision_maps", figure, {"maps": maps, "predictions": guesses, "points": x, "labels": y})


def draw_depths(record: Recording, network: measure.Trained, neuron: Neuron, config: Mapping[str, Any]) -> dict:
    """Train, measure and draw the latency by depth."""
    found = measure.by_depth(
        network,
        list(config["depths"]),
        config["depth_width"],
        config["depth_seeds"],
        config["depth_training"],
        neuron,
        dict(config["simulation"]),
        record.folder.path / "networks",
    )
    firsts = ", ".join(spread(row) for row in found["agreed_90_ms"])
    figure = pictures.latency_by_depth(
        found["times_ms"],
        found["disagreements"],
        found["depths"],
        found["agreed_90_ms"],
        found["agreed_99_ms"],
        title="What depth costs in time: how long until the spiking network agrees",
        subtitle=f"90 % agree after {firsts} ms (mean ± standard error of {plural(config['depth_seeds'], 'network')} of "
        f"{config['depth_width']} a layer, each on a draw of its own, each depth with its own learning rate)",
    )
    record.figure("latency_by_depth", figure, {key: np.asarray(value) for key, value in found.items()})
    times = ("agreed_90_ms", "agreed_99_ms", "within_one_point_ms", "relu_accuracies", "lr")
    return {str(depth): {name: found[name][k] for name in times} for k, depth in enumerate(found["depths"])}


def spread(times_ms) -> str:
    """Write a mean over networks with its standard error; of those alone that came that far, and how many these are."""
    came = [time for time in times_ms if np.isfinite(time)]
    if not came:
        return "never"
    mean, error = measure.mean_and_error(came)
    words = f"{mean:.0f} ± {error:.0f}" if np.isfinite(error) else f"{mean:.0f}"
    return words if len(came) == len(times_ms) else f"{words} ({len(came)} of {len(times_ms)})"


def draw_few_steps(
    record: Recording, networks: Sequence[measure.Trained], neuron: Neuron, config: Mapping[str, Any]
) -> dict[str, Any]:
    """Measure and draw what is lost at a few time steps, by layer scaling, balanced, centred and fitted."""
    found = measure.at_few_steps(networks, neuron, config["few_steps"], config["seed"])
    names = {
        "layers": "a scale a layer",
        "balanced": "a scale a neuron",
        "centred": "and a start",
        "fitted": "outputs fitted",
    }
    over = f", mean of {len(networks)} networks ± standard error" if len(networks) > 1 else ", ± standard error"
    figure = pictures.few_steps(
        found["steps"],
        [(name, found[key], found[f"{key}_error"]) for key, name in names.items()],
        title="In few time steps: what the spiking network loses",
        subtitle=f"percentage points of accuracy below the ReLU network's {100 * found['relu_accuracy']:.2f} %, on {plural(found['points'], 'point')}{over}",
    )
    record.figure("few_steps", figure, found)
    return found


def summary(result, rows, networks, found, record: Recording) -> str:
    """Write the closing lines of the study."""
    lines = ["", f"{'':30s} accuracy      NLL   simulated"]
    for name, share, loss, duration in rows:
        time = "" if duration is None else f"{duration:g} ms"
        lines.append(f"{name:30s} {100 * share:6.2f} %   {loss:6.4f}   {time}".rstrip())
    lines.append("")
    for network, values in zip(networks, found, strict=True):
        lines.append(
            f"{network.name}: within 1 percentage point of its ReLU network from {values['settled_ms']:g} ms on, "
            f"{values['spikes']:.1f} spikes a hidden neuron"
        )
    few = result.get("few_steps")
    if few:
        for steps, lost, error in zip(few["steps"], few["fitted"], few["fitted_error"], strict=True):
            side = f"{100 * abs(lost):.2f} ± {100 * error:.2f} percentage points {'below' if lost >= 0 else 'above'}"
            lines.append(f"{steps:3d} time steps, starts and outputs fitted: {side} the ReLU network")
    for depth, times in result.get("by_depth", {}).items():
        words = [spread(times[name]) for name in ("agreed_90_ms", "agreed_99_ms", "within_one_point_ms")]
        lines.append(
            f"depth {depth}: 90 % of the points classified as by the ReLU network after {words[0]} ms, "
            f"99 % after {words[1]} ms; accuracy within 1 percentage point after {words[2]} ms (mean ± standard error; learning rate {times['lr']:g})"
        )
    lines = [line if len(line) <= terminal_width() else wrapped(line, indent="  ") for line in lines]
    lines += ["", f"folder       {shown(record.folder.path)}", f"pictures     {shown(record.folder.figures)}"]
    return "\n".join(lines)
