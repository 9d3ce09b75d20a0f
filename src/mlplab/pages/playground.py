"""The playground: a page that trains one network or a population of the lab's own in the browser, with the defaults of conf/."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from mlplab.pages.page import page
from mlplab.places import conf_folder
from mlplab.runs.files import write_text
from mlplab.runs.names import Defaults

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
