"""What given training points allow: the Bayes learner and rivals without a network on the very points of a run."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from torch import Tensor

from mlplab.config import composition as configs
from mlplab.data.datasets import polar_features
from mlplab.data.learner import fit_spirals, kernel_densities, nearest_neighbours
from mlplab.data.modules import SpiralDataModule
from mlplab.errors import InputError
from mlplab.runs.files import read_record, write_json, write_text
from mlplab.runs.fingerprint import config_digest
from mlplab.runs.folder import RunFolder, claim, open_run
from mlplab.terminal import short_path
from mlplab.training.evaluation import measure
from mlplab.training.objects import build
from mlplab.words import columns

NEIGHBOURS = (5, 10, 20, 40, 80)
BANDWIDTHS = (0.05, 0.1, 0.15, 0.2, 0.3)


def limits(words: Sequence[str]) -> dict[str, Any]:
    """Say what training points allow: ``limits [RUN_FOLDER] [data.KEY=VALUE ...] [paths.logs=DIR]``.

    With the folder of a finished run the points are that run's, and its regret is split in two: *data*, that of the
    Bayes learner, which nobody who has these points can be expected to go below; and the rest, which is the network's
    and its training's. Everything is left in ``logs/limits``.

    Returns:
        The result, as in ``result.json``.

    Raises:
        InputError: data that are no spirals with a known density and fresh points, or an unknown option.
    """
    named = bool(words) and "=" not in words[0]
    folder = open_run(words[0]) if named else None
    options = list(words[1:] if named else words)
    pairs = configs.parse_overrides(options)
    for key, _ in pairs:
        if key.partition(".")[0] not in (("paths",) if named else ("data", "paths")):
            allowed = "paths.logs=DIR alone" if named else "data.KEY=VALUE and paths.logs=DIR"
            raise InputError(f"limits takes {allowed}, got {key}")
    logs = next((Path(str(value)).absolute() for key, value in pairs if key == "paths.logs"), configs.logs_folder())
    config = configs.load_recorded(folder.config) if named else configs.compose("train", options)
    torch.set_num_threads(config.trainer.threads)
    node = OmegaConf.to_container(config.data)
    data = build(node, "data")
    data.setup()
    if not isinstance(data, SpiralDataModule) or data.density is None or not data.fresh_points or not data.validation_points:
        raise InputError("limits needs data=spiral with a known density (data.noise at least 0.001), validation and fresh points")
    result = {
        "status": "finished",
        "run": None if folder is None else str(folder.path),
        "data_sha256": data.sha256,
        "train_points": len(data.train.y),
        **against_bayes(data),
    }
    rows = [("", "NLL regret", "accuracy regret")]
    names = {"bayes_learner": "Bayes learner", "kernel_density": "kernel density, log-polar", "neighbours": "nearest neighbours"}
    for name, label in names.items():
        rows.append((label, *told(result[name])))
    if folder is not None:
        fresh = read_record(folder.result).get("fresh") or {}
        if fresh.get("nll_regret") is None:
            raise InputError(f"{words[0]} has no regret on fresh points in its result.json: the run has not finished")
        floor = result["bayes_learner"]["nll_regret"]
        result["split"] = {"data": floor, "network_and_training": fresh["nll_regret"] - floor}
        rows.append(("this run", *told(fresh)))
        rows.append(("  of it data", f"{floor:.6f}", ""))
        rows.append(("  network and training", f"{result['split']['network_and_training']:.6f}", ""))
    target = RunFolder(claim(logs / "limits", f"spiral-{config_digest(node)[:8]}"))
    write_text(target.config, OmegaConf.to_yaml(config))
    write_json(target.result, result)
    print("\n".join(columns(rows)))
    print(f"\n(on {data.fresh_points:,} fresh points, ±: standard error over them; training points held fixed)")
    print(f"folder   {short_path(target.path)}")
    return result


def against_bayes(data: SpiralDataModule) -> dict[str, dict[str, Any]]:
    """Measure the Bayes learner and two rivals, their one setting chosen on validation points, on fresh points."""
    x, y = data.posterior_inputs("train"), data.train.y
    learner = fit_spirals(x, y, arms=data.classes, t_min=data.t_min, t_max=data.t_max)
    found = {"bayes_learner": judged(data, "fresh", learner.log_posterior(data.posterior_inputs("fresh")))}
    found["bayes_learner"] |= {
        "noise": float(torch.tensor(learner.mode[0]).exp()), "turn_degrees": float(learner.mode[1]), "winding": float(learner.mode[2]),
    }  # fmt: skip

    def neighbours(part: str, k: int) -> Tensor:
        return nearest_neighbours(x, y, data.posterior_inputs(part), neighbours=k, classes=data.classes)

    def densities(part: str, width: float) -> Tensor:
        own, other = (polar_features(points)[:, :3] for points in (x, data.posterior_inputs(part)))
        return kernel_densities(own, y, other, bandwidth=width, classes=data.classes)

    rivals = {"kernel_density": (densities, BANDWIDTHS), "neighbours": (neighbours, [k for k in NEIGHBOURS if k <= len(y)] or [1])}
    for name, (predict, settings) in rivals.items():
        chosen = min(settings, key=lambda one: judged(data, "validation", predict("validation", one))["nll_regret"])
        found[name] = judged(data, "fresh", predict("fresh", chosen)) | {"setting": chosen}
    return found


def judged(data: SpiralDataModule, part: str, log_probabilities: Tensor) -> dict[str, Any]:
    """Measure log probabilities on a part beside Bayes."""
    return measure(log_probabilities, getattr(data, part).y, data.log_posterior(part))


def told(figures: dict[str, Any]) -> tuple[str, str]:
    """Write both regrets with their standard errors."""
    nll = f"{figures['nll_regret']:.6f} ± {figures.get('nll_regret_se') or 0:.6f}"
    return nll, f"{100 * figures['accuracy_regret']:.3f} ± {100 * (figures.get('accuracy_regret_se') or 0):.3f} points"
