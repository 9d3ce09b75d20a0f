"""The page of a run: its network's snapshots laid open in the browser, beside all that its folder holds."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mlplab.nn.mlp import MLP
from mlplab.pages.page import address, law_of, options_of, packed, page
from mlplab.places import conf_folder
from mlplab.population.stacking import plain_weights
from mlplab.runs import metrics
from mlplab.runs.checkpoint import save_snapshots
from mlplab.runs.files import finite, read_flat, read_json, write_text
from mlplab.runs.folder import RunFolder
from mlplab.runs.names import Defaults, defaults_in, label, shown
from mlplab.training.members import network_title
from mlplab.training.plane import Plane
from mlplab.words import plural

# Bytes of weights that a page of one run takes at most, before base64; the chosen state comes in up to the second.
SNAPSHOT_BYTES = 180_000
CHOSEN_BYTES = 3_000_000
MOST_POINTS = 2000


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
    write_text(run.folder.path / "run.html", page("run.html", content, title=content["title"]), sync=False)


def describe(
    folder: RunFolder,
    config: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
    result: Mapping[str, Any],
    network: str,
) -> dict[str, Any]:
    """Put together what the page shows, as its script reads it.

    Args:
        folder: of the run.
        config: of the run, resolved.
        arrays: as :func:`keep_run` keeps them. Weights are each layer's matrix, row after row, and then its bias; an
            input x is x * ``scale`` + ``shift`` in the data's units, in which ``extent`` and ``box`` are.
        result: as in ``result.json``.
        network: its name.
    """
    flat = read_flat(folder.config)
    defaults = defaults_in(conf_folder())
    changed = defaults.changes(flat, "train")
    columns = metrics.read(folder.metrics) if folder.metrics.exists() else {}
    limit = result["fresh"] or result["test"] or result["validation"] or {}
    snapshots, chosen, note = within(*snapshots_of(arrays, result))
    points = len(arrays["y"][:MOST_POINTS])
    name = shown_path(folder.path)
    playground = playground_of(folder, config)
    return {
        "name": folder.name,
        "title": f"{network}: {label(changed)}" if changed else f"{network}, default settings",
        "lead": " ".join(filter(None, [lead(result, folder), note])),
        "classes": arrays["classes"].tolist(),
        "features": arrays["features"].tolist(),
        "widths": arrays["widths"].tolist() if snapshots else None,  # without, the page computes nothing
        "activation": config["model"].get("activation", "relu"),
        "dropout": config["model"].get("dropout", 0),
        "snapshots": [{"epoch": e, "label": words, "weights": packed(w)} for e, words, w in snapshots],
        "chosen": chosen,
        "extent": arrays["extent"].tolist() or None,
        "pair": arrays["pair"].tolist(),
        "shift": arrays["shift"].tolist(),
        "scale": arrays["scale"].tolist(),
        "box": arrays["box"].tolist(),
        "points": {"count": points, "x": packed(arrays["x"][:points].T), "y": packed(arrays["y"][:points], "<i4")},
        "probabilities": None if snapshots else packed(arrays["probabilities"][:points].T),
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


def snapshots_of(arrays: Mapping[str, np.ndarray], result: Mapping[str, Any]) -> tuple[list, int]:
    """List (epoch, label, weights) in the order of the epochs, and say which is the state that was measured."""
    if not len(arrays["widths"]):
        return [], 0
    chosen, label = int(arrays["epoch"]), "best on validation" if result["evaluated"] == "best" else "the last"
    earlier = [(e, "", w) for e, w in zip(arrays["epochs"].tolist(), arrays["weights"]) if e != chosen]
    snapshots = sorted([*earlier, (chosen, label, arrays["chosen"])], key=lambda entry: entry[0])
    return snapshots, next(k for k, entry in enumerate(snapshots) if entry[1])


def within(snapshots: Sequence[tuple[int, str, np.ndarray]], chosen: int) -> tuple[list, int, str]:
    """Keep the snapshots that a page has room for: the chosen one first, then the last, then the earlier ones.

    Returns:
        The snapshots kept, the index of the chosen one among them, and a sentence that says what was left out.
    """
    if not snapshots or snapshots[chosen][2].nbytes > CHOSEN_BYTES:
        return [], 0, "The network is too large for its weights to stand in this page." if snapshots else ""
    order = [chosen, *(k for k in range(len(snapshots) - 1, -1, -1) if k != chosen)]
    kept, room = [], max(SNAPSHOT_BYTES, snapshots[chosen][2].nbytes)
    for k in order:
        room -= snapshots[k][2].nbytes
        if room >= 0:
            kept.append(k)
    kept.sort()
    left = [str(snapshots[k][0]) for k in range(len(snapshots)) if k not in kept]
    note = f"Left out for their size: the weights of epochs {', '.join(left)}." if left else ""
    return [snapshots[k] for k in kept], kept.index(chosen), note


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
