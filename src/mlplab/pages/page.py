"""Self-contained HTML files from the templates of this room: scripts and styles put in, data escaped.

The playground is one: it trains one network or a population of the lab's own in the browser, with the defaults of conf/.
The page of a run is another.
"""

import base64
import html
import json
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from mlplab.runs import metrics
from mlplab.runs.files import finite, read_flat, read_json, write_text
from mlplab.runs.folder import RunFolder
from mlplab.runs.names import Defaults, defaults_in, label, shown
from mlplab.words import conf_folder, plural

SCRIPT = re.compile(r'<script src="([\w/.]+)"((?: [\w]+="[\w/]+")*)></script>')
STYLE = re.compile(r'<link rel="stylesheet" href="([\w/.]+)">')
DATA = '<script id="data" type="application/json">{}</script>'


def page(template: str, data: Mapping[str, Any], title: str | None = None) -> str:
    """Build a page of this room.

    The template is an ordinary page, which also opens as it is: each script and style it names is put in its place.

    Args:
        template: name of a template beside this file.
        data: what the page is given: plain values; numbers that are not finite become null, and no text of it can end
            the element that it stands in.
        title: of the page; None for the template's own.

    Returns:
        The HTML, which asks nothing of a network.
    """
    text = source(template)
    text = STYLE.sub(lambda found: f"<style>\n{source(found[1])}</style>", text)
    text = SCRIPT.sub(lambda found: f"<script{found[2]}>\n{source(found[1])}</script>", text)
    if title is not None:
        text = re.sub("<title>.*?</title>", lambda _: f"<title>{html.escape(title)}</title>", text, count=1)
    return text.replace(DATA, DATA.replace("{}", json_for_script(data)), 1)


def source(name: str) -> str:
    """Read a file of this room without its indentation and lines of comment, which a fifth of a page would be."""
    lines = files("mlplab.pages").joinpath(name).read_text(encoding="utf-8").splitlines()
    return "".join(f"{line.strip()}\n" for line in lines if line.strip() and not line.lstrip().startswith("//"))


def json_for_script(data: Any) -> str:
    """Write JSON that may stand inside a script element: ``<`` is escaped, so that nothing in it is markup."""
    return json.dumps(
        finite(data), default=lambda value: finite(value.tolist()), allow_nan=False, separators=(",", ":")
    ).replace("<", "\\u003c")


def packed(array: np.ndarray, dtype: str = "<f4") -> str:
    """Write an array's bytes in base64, little-endian, as the pages read them."""
    return base64.b64encode(np.ascontiguousarray(array, dtype=dtype).tobytes()).decode()


def law_of(data: Mapping[str, Any]) -> dict[str, Any] | None:
    """Say in the page's words which exact density a data config has; None where it has none that the page knows.

    Args:
        data: the node ``data`` of a resolved train config.
    """
    target = str(data.get("_target_", ""))
    name = target.rpartition(".")[2].removesuffix("DataModule").lower()
    if not target.startswith("mlplab.") or name not in ("spiral", "circles", "moons", "xor", "blobs"):
        return None
    return {
        "name": name,
        "classes": data.get("arms") or data.get("classes") or 2,
        "noise": data["noise"],
        "t_min": data.get("t_min", 0),
        "t_max": data.get("t_max", 1),
        "rotation_degrees": data.get("rotation_degrees", 0),
    }


# Data sets and optimisers that the page knows, by the names of their files in conf/.
DATA_SETS = ("spiral", "circles", "moons", "xor", "blobs")
OPTIMIZERS = ("adam", "adamw", "sgd")
SCHEDULES = ("constant", "cosine", "one_cycle", "step")
KEYS = {
    "data": (
        "arms",
        "classes",
        "points_per_arm",
        "points_per_class",
        "noise",
        "t_max",
        "rotation_degrees",
        "seed",
        "batch_size",
    ),
    "model": ("width", "depth", "hidden", "activation", "dropout", "initialization"),
    "optimizer": ("lr", "momentum", "weight_decay"),
}


def playground(lab: Mapping[str, Any], start: Mapping[str, Any] | None = None) -> str:
    """Return the page as HTML.

    Args:
        lab: the lab's defaults, by which the page writes its commands: ``seed``, ``model`` and ``trainer`` as in a
            train config, ``data``, ``optimizer`` and ``schedule`` by the name of their file (``spiral``,
            ``adam``), and in ``usual`` the names that are taken without being asked for.
        start: options (``data.noise`` to a value, as on the command line) that the page begins with; those that it
            does not know are left out.
    """
    words = {key: text_of(value) for key, value in (start or {}).items()}
    return page("playground.html", {**lab, "start": words})


def text_of(value: Any) -> str:
    """Write a value as the page reads it, which is how it is typed on the command line."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {text_of(entry)}" for key, entry in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(text_of(entry) for entry in value) + "]"
    return str(value)


def options_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """Say a train config in the page's options; what the page does not know of is left out.

    Args:
        config: resolved, as in a run's config.yaml.

    Returns:
        Option to value, in the order in which they are read.
    """
    options: dict[str, Any] = {}
    data = last_word(config["data"]).removesuffix("DataModule").lower()
    known = data in DATA_SETS and config["data"].get("inputs", "plane") == "plane"
    if known:
        options["data"] = data
    optimizer = last_word(config.get("optimizer", {})).lower()
    if optimizer in OPTIMIZERS:
        options["optimizer"] = optimizer
    for group, names in KEYS.items():
        if (group == "data" and not known) or (group == "model" and last_word(config[group]) != "MLP"):
            continue
        options |= {f"{group}.{name}": config[group][name] for name in names if name in config.get(group, {})}
    if options.get("model.hidden", 0) is None:
        del options["model.hidden"]
    schedule = snake(last_word(config.get("schedule", {})))
    if schedule in SCHEDULES:
        options["schedule"] = schedule
    options["trainer.max_epochs"] = config["trainer"]["max_epochs"]
    options["seed"] = config["seed"]
    return options


def address(options: Mapping[str, Any]) -> str:
    """Write options as the fragment of the page's address."""
    return "#" + "&".join(f"{key}={quote(text_of(value), safe=',:[]/')}" for key, value in options.items())


def last_word(node: Mapping[str, Any]) -> str:
    """Give the name of a node's class without its module."""
    return str(node.get("_target_", "")).rpartition(".")[2]


def snake(name: str) -> str:
    """Turn OneCycle into one_cycle."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


NUMBER = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")


def write_playground(folder: str | Path, config: Mapping[str, Any] | None = None) -> Path:
    """Write ``playground.html`` into a folder; it begins with a resolved train config, or with the lab's defaults."""
    path = Path(folder) / "playground.html"
    write_text(path, playground(lab_defaults(), options_of(config) if config else None), sync=False)
    return path


def lab_defaults() -> dict[str, Any]:
    """Gather the defaults by which the page writes its commands, from conf/ and without Hydra, which may be at work."""
    defaults = Defaults(conf_folder())
    known = defaults.studies["train"]
    usual = known["groups"]

    def group(name: str, files: Sequence[str]) -> dict[str, Any]:
        return {file: numbers(defaults.options(name)[file]) for file in files}

    return {
        "seed": known["keys"]["seed"],
        "model": group("model", ["mlp"])["mlp"],
        "trainer": {"max_epochs": group("trainer", [usual["trainer"]])[usual["trainer"]]["max_epochs"]},
        "data": group("data", DATA_SETS),
        "optimizer": group("optimizer", OPTIMIZERS),
        "schedule": group("schedule", SCHEDULES),
        "usual": {name: usual[name] for name in ("data", "optimizer", "schedule")},
    }


def numbers(node: dict[str, Any]) -> dict[str, Any]:
    """Turn texts such as 2e-2, which YAML takes for words, into the numbers they say."""
    return {
        key: float(value) if isinstance(value, str) and NUMBER.fullmatch(value) else value
        for key, value in node.items()
    }


# Bytes of weights that a page of one run takes at most, before base64; the chosen state comes in up to the second.
SNAPSHOT_BYTES = 180_000
CHOSEN_BYTES = 3_000_000
MOST_POINTS = 2000


def run_page(
    folder: RunFolder,
    config: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
    result: Mapping[str, Any],
    network: str,
) -> str:
    """Return the page of a run as HTML: its network's snapshots laid open in the browser, beside all that its folder holds.

    Args:
        folder: of the run.
        config: of the run, resolved.
        arrays: as :func:`mlplab.training.figures.write_page` keeps them. Weights are each layer's matrix, row after row, and then its bias; an
            input x is x * ``scale`` + ``shift`` in the data's units, in which ``extent`` and ``box`` are.
        result: as in ``result.json``.
        network: its name.
    """
    flat, defaults = read_flat(folder.config), defaults_in(conf_folder())
    changed = defaults.changes(flat, "train")
    columns = metrics.read(folder.metrics) if folder.metrics.exists() else {}
    limit = result["fresh"] or result["test"] or result["validation"] or {}
    snapshots, chosen, note = within(*snapshots_of(arrays, result))
    name, points = shown_path(folder.path), len(arrays["y"][:MOST_POINTS])
    commands = [
        ("Measure it again", f"scripts/lab evaluate {name}"),
        ("Train it again and compare, to the bit", f"scripts/lab reproduce {name}"),
        ("Train for more epochs", f"scripts/lab train resume={name} trainer.max_epochs={2 * max(1, result['epochs'])}"),
        ("The same in the playground", f"scripts/lab playground {name}"),
    ]
    playground = playground_of(folder, config)
    content = {
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
        "commands": commands[: None if playground else -1],
        "manifest": json.dumps(read_json(folder.manifest), indent=1) if folder.manifest.exists() else "",
        "playground": playground,
    }
    return page("run.html", content, title=content["title"])


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
