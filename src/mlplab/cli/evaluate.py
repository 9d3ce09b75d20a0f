"""Evaluate a finished run from its folder alone: the recorded metrics again, or the network on other data."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

import mlplab
from mlplab.cli.another_file import measure_file
from mlplab.cli.results import METRICS, read_result, write_evaluation
from mlplab.cli.runs import logs_of
from mlplab.config import composition as configs
from mlplab.data.arrays import ArrayDataModule
from mlplab.data.bayes import log_posterior
from mlplab.errors import InputError
from mlplab.population.member_axis import Population
from mlplab.runs.files import read_record, write_bytes
from mlplab.runs.folder import RunFolder, open_run
from mlplab.runs.identity import config_digest
from mlplab.runs.metrics import PARTS
from mlplab.training.build import load_population
from mlplab.training.data_view import viewed
from mlplab.training.members import network_title
from mlplab.training.objects import build, within_memory
from mlplab.training.plane import decision_grid
from mlplab.training.results import expect_some, part_logits, part_metrics
from mlplab.words import columns
from mlplab.words import short_path as shown

# What an evaluation may change: the data. The network and its training are the folder's.
CHANGEABLE = ("data", "paths")
RESOLUTION = 128


def evaluate(run_folder: str | Path, overrides: Sequence[str] = ()) -> dict[str, Any] | int:
    """Measure a run's network again and print the result.

    Without overrides the recorded metrics are recomputed on the recorded data and compared. With overrides of
    ``data.`` the network is measured on those data, and metrics and a picture go to a folder of their own under
    ``logs/evaluate``.

    Args:
        run_folder: of a finished run.
        overrides: such as ``["data.noise=0.3"]``, ``["data.t_min=1", "data.t_max=1.5"]``,
            ``["data.rotation_degrees=45"]``.

    Returns:
        0 where the recorded metrics are equal, 1 where they are not; on other data the new result.

    Raises:
        InputError: no run folder, a run without a result, a damaged checkpoint, or an override that cannot be.
    """
    folder = open_run(run_folder)
    config = configs.load_recorded(folder.config)
    torch.set_num_threads(config.trainer.threads)
    recorded = read_result(folder)
    pairs = configs.parse_overrides(overrides)
    for key, _ in pairs:
        if key.partition(".")[0] not in CHANGEABLE:
            raise InputError(f"evaluate changes the data alone (data.KEY=VALUE), got {key}; train another run for that")
    changed = configs.override(config, [text for text in overrides if not text.startswith("paths.")])
    logs = logs_of(overrides)
    if isinstance(recorded.get("data"), dict) and any(key == "data.path" for key, _ in pairs):
        return measure_file(folder, config, recorded, pairs, logs)
    own = _set_up(config)
    network = load_population(folder, OmegaConf.to_container(config), own, recorded["evaluated"])
    if config_digest(OmegaConf.to_container(changed)) == config_digest(OmegaConf.to_container(config)):
        return compare(network, own, recorded, folder)
    return elsewhere(network, own, changed, overrides, folder, recorded, logs)


def _set_up(config: DictConfig) -> Any:
    """Build the data of a config."""
    plain = OmegaConf.to_container(config)
    with within_memory([plain]):
        return viewed(build(plain["data"], "data"))


def logits_of(folder: RunFolder, which: str) -> dict[str, tuple[torch.Tensor, torch.Tensor] | None]:
    """Compute a run's network on each part of its data: logits (N, C) and labels (N,), None where there is no part."""
    config = configs.load_recorded(folder.config)
    torch.set_num_threads(config.trainer.threads)
    data = _set_up(config)
    logits = part_logits(load_population(folder, OmegaConf.to_container(config), data, which), 0, data)
    return {name: None if values is None else (values, getattr(data, name).y) for name, values in logits.items()}


def metrics_of(network: Population, data: Any) -> dict[str, dict[str, Any] | None]:
    """Measure a population of one on every part of a data module.

    Raises:
        InputError: there is nothing that the lab can measure.
    """
    return expect_some(part_metrics(part_logits(network, 0, data), data), data)


def compare(network: Population, data: Any, recorded: dict[str, Any], folder: RunFolder) -> int:
    """Print recorded and recomputed metrics side by side; 0 where all are equal to the bit.

    A run of another version of the lab may have been rounded otherwise, and so may one of a GPU, since they are computed
    on a CPU: the metrics are then equal to 1e-6 or 1e-4 of themselves, and of an accuracy one point may be another.
    """
    rows, equal, exact = [("", "", "recorded", "recomputed", "")], True, True
    other, tolerance = _rounded_otherwise(folder, data)
    for part, metrics in metrics_of(network, data).items():
        for name in METRICS if metrics else ():
            one_point = 1.01 / metrics["points"] if tolerance > 1e-6 and name != "nll" else 0.0
            before, now = (recorded.get(part) or {}).get(name), metrics[name]
            now = now if math.isfinite(now) else None  # as it is recorded
            same = before == now or (other is not None and _rounds_to(before, now, tolerance, one_point))
            equal, exact = equal and same, exact and before == now
            both = [metric if isinstance(metric, (int, float)) else math.nan for metric in (before, now)]
            verdict = "equal" if same else f"differs by {both[1] - both[0]:.2e}"
            rows.append((part, name, *(f"{metric:.6f}" for metric in both), verdict))
    print("\n".join(columns(rows)))
    words = "equal to the recorded ones" if equal else "NOT the recorded ones"
    if equal and not exact:
        words += f", to {other}"
    print(f"\n{shown(folder.path)}: the metrics are {words}")
    return 0 if equal else 1


def _rounded_otherwise(folder: RunFolder, data: Any) -> tuple[str | None, float]:
    """Say why a run's metrics may have been rounded otherwise than here, and by how much; None where they were not."""
    manifest = read_record(folder.manifest) if folder.manifest.is_file() else {}
    device, versions = str(manifest.get("device", "cpu")), manifest.get("versions")
    wrote = versions.get("mlplab") if isinstance(versions, dict) else None
    if not device.startswith("cpu"):
        return f"the rounding by which a CPU differs from {device}", 1e-4
    if wrote not in (None, mlplab.__version__):
        return f"the rounding by which this version differs from {wrote}", 1e-6
    if not isinstance(data, ArrayDataModule):
        return "the rounding of sums in another order of the points", 1e-12
    return None, 0.0


def _rounds_to(before: object, now: object, tolerance: float, least: float) -> bool:
    both = all(isinstance(value, (int, float)) for value in (before, now))
    return both and math.isclose(before, now, rel_tol=tolerance, abs_tol=max(tolerance / 10, least))


def elsewhere(
    network: Population,
    own: Any,
    changed: DictConfig,
    overrides: Sequence[str],
    folder: RunFolder,
    recorded: dict[str, Any],
    logs: Path,
) -> dict[str, Any]:
    """Measure a network on other data than its own; leave metrics, config and picture in a new folder."""
    data = _set_up(changed)
    if data.input_shape != own.input_shape or data.classes != own.classes:
        raise InputError(
            f"the network takes inputs {own.input_shape} and distinguishes {own.classes} classes; "
            f"the data have inputs {data.input_shape} and {data.classes} classes"
        )
    parts = metrics_of(network, data)
    plain = OmegaConf.to_container(changed)
    found = {
        "overrides": [text for text in overrides if text.startswith("data")],
        "evaluated": recorded["evaluated"],
        "data_sha256": data.sha256,
        **{name: parts[name] for name in PARTS},
    }
    target, result = write_evaluation(folder, logs, config_digest(plain["data"]), changed, found)
    rows = [("", "accuracy", "NLL", "Bayes accuracy", "Bayes NLL")]
    for label, metrics in (
        ("its own test points", recorded.get("test")),
        ("these test points", parts["test"]),
        ("its own fresh points", recorded.get("fresh")),
        ("these fresh points", parts["fresh"]),
    ):
        if metrics is not None:
            known = metrics["bayes_accuracy"] is not None
            best = (f"{100 * metrics['bayes_accuracy']:.2f} %", f"{metrics['bayes_nll']:.4f}") if known else ("", "")
            nll = math.nan if metrics["nll"] is None else metrics["nll"]
            rows.append((label, f"{100 * metrics['accuracy']:.2f} %", f"{nll:.4f}", *best))
    print("\n".join(columns(rows)))
    print(f"\nfolder   {shown(target.path)}")
    if data.input_shape == (2,):
        path = target.figures / "evaluation.png"
        write_bytes(path, picture(network, own, data, result))
        print(f"picture  {shown(path)}")
    return result


def picture(network: Population, own: Any, data: Any, result: dict[str, Any]) -> bytes:
    """Draw the points over the network's map, with the range of its training data, as PNG."""
    from mlplab.plots.decision_map import drawn_limit, out_of_distribution
    from mlplab.plots.style import png_bytes

    points = data.test
    limit = drawn_limit(points.x.numpy())
    grid = decision_grid(RESOLUTION, limit).to(network.theta)
    shape = (RESOLUTION, RESOLUTION, data.classes)
    probabilities = network.forward(grid[None])[0].softmax(1).float().reshape(shape).numpy()
    bayes = None
    if data.density is not None:
        bayes = log_posterior(grid, data.density).exp().reshape(shape).numpy()
    predicted = network.forward(points.x.to(network.theta)[None])[0].argmax(1).numpy()
    name = network_title(network.member(0))
    figure = out_of_distribution(
        probabilities,
        limit,
        points.x.numpy(),
        points.y.numpy(),
        predicted=predicted,
        bayes=bayes,
        title=f"{name} on {', '.join(result['overrides'])}",
        box=tuple(side.numpy() for side in own.training_box),
    )
    return png_bytes(figure)
