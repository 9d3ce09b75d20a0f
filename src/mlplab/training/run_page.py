"""What the page of a run is made of: the snapshots kept beside its checkpoints, and the rest of its folder."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mlplab.nn.mlp import MLP
from mlplab.pages.page import law_of, run_page
from mlplab.pages.playground import address, options_of
from mlplab.places import conf_folder
from mlplab.runs import metrics
from mlplab.runs.checkpoint import save_snapshots
from mlplab.runs.files import finite, read_flat, read_json, write_text
from mlplab.runs.folder import RunFolder
from mlplab.runs.names import Defaults, defaults_in, label, shown
from mlplab.training.members import network_title
from mlplab.training.plane import Plane
from mlplab.words import plural


def plain_weights(population: Any, theta: Tensor) -> np.ndarray:
    """Copy a member's weights from its row of a population's ``theta``: (S,) float32, each layer's matrix and bias."""
    return torch.cat([value.flatten() for value in population.split(theta).values()]).float().cpu().numpy()


def keep_run(
    run: Any,
    population: Any,
    index: int,
    epoch: int,
    weights: Mapping[int, np.ndarray],
    test_logits: Tensor,
    plane: Plane | None,
    result: Mapping[str, Any],
) -> None:
    """Keep the snapshots of a run, and write its page.

    Args:
        run: its folder, config and data.
        population: at the state that was measured.
        index: of the run's network in it.
        epoch: of that state.
        weights: epoch to the weights (S,) then, as :func:`plain_weights` gives them.
        test_logits: (N, C).
        plane: of its maps, None where there are none.
        result: what ``result.json`` is to hold.
    """
    member = population.member(index)
    data, points = run.data, run.data.shown
    is_plain = type(member) is MLP
    shape = points.x.shape[1:]
    count = shape.numel()
    seen = points if data.train is None else data.train
    train = data.to_units(seen.x).reshape(len(seen.x), count).double()
    shift = data.to_units(torch.zeros(1, *shape)).double().reshape(count)
    scale = data.to_units(torch.ones(1, *shape)).double().reshape(count) - shift
    chosen, epochs = plain_weights(population, population.theta[index]), sorted(weights) if is_plain else []
    arrays = {
        "widths": np.array([member.in_features, *member.hidden, member.out_features] if is_plain else [], int),
        "epochs": np.array(epochs, int),
        "epoch": np.array(epoch),
        "chosen": chosen,
        "weights": np.stack([weights[e] for e in epochs]) if epochs else np.zeros((0, len(chosen)), np.float32),
        "x": points.x.reshape(len(points.y), count).numpy(),
        "y": points.y.numpy(),
        "probabilities": test_logits.double().softmax(1).numpy().astype(np.float32),
        "box": torch.stack([train.amin(0), train.amax(0)]).numpy(),
        "shift": shift.numpy(),
        "scale": scale.numpy(),
        "pair": np.array(plane.pair if plane else (), int),
        "extent": np.array(plane.extent if plane else (), float),
        "classes": np.array(list(data.class_names or [f"class {k}" for k in range(test_logits.shape[1])]), str),
        "features": np.array(list(data.feature_names or [f"x{k + 1}" for k in range(count)]), str),
    }
    save_snapshots(run.folder, arrays)
    content = describe(run.folder, run.config, arrays, finite(result), network_title(member))
    write_text(run.folder.path / "run.html", run_page(content), sync=False)


def describe(
    folder: RunFolder,
    config: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
    result: Mapping[str, Any],
    network: str,
) -> dict[str, Any]:
    """Put together what :func:`mlplab.pages.page.run_page` takes."""
    flat = read_flat(folder.config)
    defaults = defaults_in(conf_folder())
    changed = defaults.changes(flat, "train")
    epochs, chosen = arrays["epochs"].tolist(), int(arrays["epoch"])
    evaluated = "best on validation" if result["evaluated"] == "best" else "the last"
    snapshots = [(e, "", w) for e, w in zip(epochs, arrays["weights"]) if e != chosen]
    snapshots = sorted([*snapshots, (chosen, evaluated, arrays["chosen"])], key=lambda entry: entry[0])
    features = arrays["features"].tolist()
    columns = metrics.read(folder.metrics) if folder.metrics.exists() else {}
    limit = result["fresh"] or result["test"] or result["validation"] or {}
    model = config["model"]
    name = shown_path(folder.path)
    playground = playground_of(folder, config)
    with_weights = len(arrays["widths"]) > 0
    return {
        "name": folder.name,
        "title": f"{network}: {label(changed)}" if changed else f"{network}, default settings",
        "lead": lead(result, folder),
        "classes": arrays["classes"].tolist(),
        "features": features,
        "widths": arrays["widths"].tolist() if with_weights else None,
        "activation": model.get("activation", "relu"),
        "dropout": model.get("dropout", 0),
        "snapshots": snapshots if with_weights else [],
        "chosen": next(k for k, entry in enumerate(snapshots) if entry[1]) if with_weights else 0,
        "extent": arrays["extent"].tolist() or None,
        "pair": arrays["pair"].tolist(),
        "shift": arrays["shift"].tolist(),
        "scale": arrays["scale"].tolist(),
        "box": arrays["box"].tolist(),
        "x": arrays["x"],
        "y": arrays["y"],
        "probabilities": arrays["probabilities"],
        "law": law_of(config["data"]),
        "history": {key: columns[key] for key in HISTORY if key in columns},
        "limit": {"nll": limit.get("bayes_nll"), "accuracy": limit.get("bayes_accuracy")},
        "figures": [(part, result[part]) for part in metrics.PARTS if result.get(part)],
        "config": [
            (key, shown(value), shown(usual_of(defaults, key, changed)), key in changed) for key, value in flat.items()
        ],
        "commands": [
            ("Measure it again", f"scripts/lab evaluate {name}"),
            ("Train it again and compare, to the bit", f"scripts/lab reproduce {name}"),
            (
                "Train for more epochs",
                f"scripts/lab train resume={name} trainer.max_epochs={2 * max(1, result['epochs'])}",
            ),
            *([("The same in the playground", f"scripts/lab playground {name}")] if playground else []),
        ],
        "manifest": json.dumps(read_json(folder.manifest), indent=1) if folder.manifest.exists() else "",
        "playground": playground,
    }


def playground_of(folder: RunFolder, config: Mapping[str, Any]) -> str | None:
    """Give the way to the playground in the run's folder or its sweep's; None where it does not know such a run."""
    options = options_of(config)
    for way in ("", "../"):
        if "data" in options and "model.width" in options and (folder.path / f"{way}playground.html").exists():
            return f"{way}playground.html{address(options)}"
    return None


HISTORY = ("epoch", "train/loss", "val/loss", "train/accuracy", "val/accuracy")


def usual_of(defaults: Defaults, key: str, changed: Mapping[str, Any]) -> Any:
    """Give what a key is by default in the option of its group that was taken."""
    value = defaults.value(key, {name: value for name, value in changed.items() if "." not in name}, "train")
    return "" if value == "???" else value


def lead(result: Mapping[str, Any], folder: RunFolder) -> str:
    """Say in a line what the run is and how it ended."""
    seconds = (result.get("seconds") or {}).get("fit")
    time = f" in {seconds:.1f} s" if isinstance(seconds, float) else ""
    return f"{folder.name}: {result['status']}, {plural(result['parameters'], 'parameter')}, {plural(result['epochs'], 'epoch')}{time}."


def shown_path(path: Path) -> str:
    """Write a run folder as it is typed: from its experiment's logs on, where it lies in such."""
    parts = path.absolute().parts
    at = len(parts) - 1 - parts[::-1].index("logs") if "logs" in parts else len(parts) - 1
    return "/".join(parts[at:])
