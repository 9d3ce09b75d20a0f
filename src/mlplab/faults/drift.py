"""Other versions, config, data or code than a run began with are refused or named."""

import json
import shutil
from pathlib import Path
from typing import Any

import yaml

from mlplab.faults.campaign import Outcome
from mlplab.faults.trials import SMALL, Told, run
from mlplab.runs import checkpoint

# What of a manifest is said otherwise -> the word by which reproduce and resume name it.
MANIFEST: dict[str, tuple[Any, str]] = {
    "versions": ({"torch": "1.0.0"}, "versions"),
    "code_digest": ("0" * 64, "code"),
    "cpu_capability": ("AVX9", "CPU"),
    "device": ("cuda:9 Unknown", "device"),
    "torch_build": ("0" * 64, "torch build"),
    "platform": ("Amiga", "platform"),
}
CONFIG = {
    "seed": 5,
    "model.width": 8,
    "model.activation": "tanh",
    "data.noise": 0.5,
    "data.seed": 3,
    "optimizer.lr": 0.5,
    "trainer.max_epochs": 9,
    "loss.label_smoothing": 0.2,
    "data.batch_size": 8,
    "model.hidden": [3],
    "evaluate_state": "last",
}


def drift(outcome: Outcome, effort: str, place: Path) -> None:
    """Say otherwise what a run's folder or file says, one thing at a time, and go on with it, evaluate and reproduce it."""
    table = place / "points.csv"
    table.write_text("a,b,label\n" + "".join(f"{(7 * n) % 11},{(5 * n) % 13},{n % 2}\n" for n in range(120)))
    whole = place / "whole"
    own = [
        "train",
        *[word for word in SMALL if not word.startswith("data.")],
        "data.batch_size=16",
        "data=file",
        f"data.path={table}",
        "figures=none",
    ]
    assert run([*own, f"paths.logs={whole / 'logs'}"]).code == 0
    (folder,) = (whole / "logs" / "train").iterdir()
    here = place / "here"
    step = {"short": 3, "quick": 1, "long": 1}[effort]
    for key, (value, word) in outcome.mine(list(MANIFEST.items())[::step]):
        _copied(folder, here)
        manifest = json.loads((here / "manifest.json").read_text())
        manifest[key] = manifest[key] | value if isinstance(value, dict) else value
        (here / "manifest.json").write_text(json.dumps(manifest))
        told = run(["reproduce", str(here), f"paths.logs={place / 'more'}"])
        outcome.note(
            told.is_clean and word in told.out,
            f"reproduce with another {key}: {told.code} {told.out[-300:]} {told.err[-200:]}",
        )
        _half(here)
        told = run(["train", f"resume={here}"])
        outcome.note(told.is_refusal or word in told.err, f"resume with another {key}: {told.code} {told.err[-300:]}")
    for key, value in outcome.mine(list(CONFIG.items())[::step]):
        _copied(folder, here)
        config = yaml.safe_load((here / "config.yaml").read_text())
        group, _, name = key.rpartition(".")
        node = config[group] if group else config
        if name not in node and "points_per_arm" not in node:
            continue
        node[name] = value
        (here / "config.yaml").write_text(yaml.safe_dump(config))
        for command in ("evaluate", "resume"):
            told = run(["evaluate", str(here)] if command == "evaluate" else ["train", f"resume={_half(here)}"])
            outcome.note(told.is_refusal, f"{command} with {key}={value} in config.yaml: {told.code} {told.err[-300:]}")
    text = table.read_text()
    for name, changed in {
        "a row more": text + "3,4,1\n",
        "another number": text.replace("7,5,1", "7.5,5,1"),
        "rows swapped": text[:10] + text[10:][::-1],
    }.items():
        table.write_text(changed)
        _copied(folder, here)
        for words in (["evaluate", str(here)], ["reproduce", str(here), f"paths.logs={place / 'more'}"]):
            _refused(outcome, f"{words[0]} with {name} in the data", run(words))
        _refused(outcome, f"resume with {name} in the data", run(["train", f"resume={_half(here)}"]))
    table.unlink()
    _copied(folder, here)
    _refused(outcome, "evaluate without the data", run(["evaluate", str(here)]))


def _refused(outcome: Outcome, words: str, told: Told) -> None:
    outcome.note(told.is_refusal and "points.csv" in told.err, f"{words}: {told.code} {told.err[-300:]}")


def _copied(folder: Path, here: Path) -> None:
    shutil.rmtree(here, ignore_errors=True)
    shutil.copytree(folder, here)


def _half(here: Path) -> Path:
    """Make of a finished run one that was interrupted after its second epoch."""
    (here / "result.json").unlink(missing_ok=True)
    status = json.loads((here / "status.json").read_text())
    (here / "status.json").write_text(json.dumps(status | {"status": "interrupted"}))
    last = checkpoint.load(here / "checkpoints" / "last.ckpt")
    assert last["mlplab"]["epochs"] > 0
    return here
