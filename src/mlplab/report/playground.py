"""The playground with the lab's defaults, written beside runs and reports."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mlplab.pages.playground import DATA_SETS, OPTIMIZERS, SCHEDULES, options_of, playground
from mlplab.places import conf_folder
from mlplab.runs.defaults import Defaults
from mlplab.runs.files import write_text

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
