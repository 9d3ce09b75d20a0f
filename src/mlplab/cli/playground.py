"""Write the playground: a page that trains networks in the browser, beginning with a setting or a run's."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from mlplab.pages.playground import DATA_SETS, OPTIMIZERS, SCHEDULES, options_of, playground
from mlplab.places import conf_folder
from mlplab.runs.defaults import Defaults
from mlplab.runs.files import write_text
from mlplab.runs.folder import open_run
from mlplab.terminal import short_path


def write_playground(words: Sequence[str]) -> int:
    """Write the page and print its path: ``playground [RUN_FOLDER] [KEY=VALUE ...]``; nothing is opened.

    Args:
        words: a run folder, whose settings the page begins with and which it is written into, and options as those of
            train, by which it begins elsewhere. Without a folder it is written into the folder of all logs.

    Returns:
        0.

    Raises:
        InputError: an option is wrong, or the folder is that of no run.
    """
    from mlplab.config import composition as configs

    words = list(words)
    if words and "=" not in words[0] and not words[0].startswith("-"):
        folder = open_run(words.pop(0)).path
        config = configs.override(configs.load_recorded(folder / "config.yaml"), words) if words else configs.load_recorded(folder / "config.yaml")
    else:
        config = configs.compose("train", words)
        folder = Path(config.paths.logs)
    path = folder / "playground.html"
    write_text(path, page_of(OmegaConf.to_container(config)), sync=False)
    print(short_path(path))
    return 0


def page_of(config: dict[str, Any]) -> str:
    """Make the page that begins with a resolved train config."""
    return playground(lab_defaults(), options_of(config))


def lab_defaults() -> dict[str, Any]:
    """Gather the defaults by which the page writes its commands, from conf/ and without Hydra, which may be at work."""
    defaults = Defaults(conf_folder())
    known = defaults.studies["train"]
    usual = known["groups"]

    def group(name: str, files: Sequence[str]) -> dict[str, Any]:
        return {file: numbers(defaults.options(name)[file]) for file in files}

    return {
        "seed": known["keys"]["seed"], "model": group("model", ["mlp"])["mlp"],
        "trainer": {"max_epochs": group("trainer", [usual["trainer"]])[usual["trainer"]]["max_epochs"]},
        "data": group("data", DATA_SETS), "optimizer": group("optimizer", OPTIMIZERS), "schedule": group("schedule", SCHEDULES),
        "usual": {name: usual[name] for name in ("data", "optimizer", "schedule")},
    }  # fmt: skip


def numbers(node: dict[str, Any]) -> dict[str, Any]:
    """Turn texts such as 2e-2, which YAML takes for words, into the numbers they say."""
    return {key: float(value) if isinstance(value, str) and NUMBER.fullmatch(value) else value for key, value in node.items()}


NUMBER = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")
