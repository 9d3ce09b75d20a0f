"""Self-contained HTML files from the templates of this room: scripts and styles put in, data escaped.

The playground is one: it trains one network or a population of the lab's own in the browser, with the defaults of conf/.
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

from mlplab.places import conf_folder
from mlplab.runs.files import finite, write_text
from mlplab.runs.names import Defaults

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
