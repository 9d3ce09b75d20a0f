"""The same config, seed, build and machine give the same bits, whatever stands around the run."""

import json
import os
import subprocess
import sys
from collections import ChainMap
from pathlib import Path

import yaml

from mlplab.faults.campaign import Outcome
from mlplab.faults.trials import SMALL, run

SAME = ["train", *SMALL]
# Words -> what is told of them; each is one run, or one job of a sweep, of the same seed.
WORDS = [
    ["figures=none"],
    ["figures=map"],
    ["logger=none"],
    ["logger=csv"],
    ["logger=tensorboard"],
    ["callbacks.decision_maps=null"],
    ["callbacks.checkpoints.every_seconds=100"],
    ["callbacks.timing=null"],
    ["hydra.job.chdir=true"],
    ["hydra.verbose=true"],
    ["name=another"],
    ["-m", "seed=0,1", "launcher=inline"],
    ["-m", "seed=1,0", "launcher=inline"],
    ["-m", "seed=3,0,2,1", "launcher=inline", "launcher.max_members=1"],
    ["-m", "seed=0", "optimizer.lr=0.01,2e-2", "launcher=inline"],
    ["-m", "seed=0,1", "model.width=6,8", "launcher=inline"],
    ["-m", "seed=0,1", "launcher=processes", "launcher.workers=2"],
    ["-m", "seed=0,1", "launcher=processes", "launcher.workers=1"],
    ["-m", "seed=0,1", "hydra/launcher=basic", "hydra/sweeper=basic"],
]
FOLDERS = [
    "a b ü-x",
    'o\'clock "quoted"',
    "ユニコード",
    "a,b=c[d]{e}",
    "$HOME 100%",
    "deep/" * 20 + "end",
    "-dash",
    "tab\there",
]
SURROUNDINGS = [
    {"PYTHONHASHSEED": "0"},
    {"PYTHONHASHSEED": "4242"},
    {"OMP_NUM_THREADS": "1"},
    {"OMP_NUM_THREADS": "4", "MKL_NUM_THREADS": "3"},
    {"TZ": "Asia/Kathmandu"},
    {"TZ": "America/St_Johns", "LC_ALL": "C"},
    {"LC_ALL": "de_DE.UTF-8", "LANG": "tr_TR"},
    {"LC_ALL": "C", "LANG": "C"},
    {"PYTHONOPTIMIZE": "1"},
    {"PYTHONUTF8": "0", "LC_ALL": "POSIX"},
    {"COLUMNS": "20", "TERM": "dumb"},
    {"MPLBACKEND": "svg", "HOME": "/dev/null/nowhere"},
]


def bits(outcome: Outcome, effort: str, place: Path) -> None:
    """Train the small run in each of these ways, and compare the fingerprints of its final state."""
    share = {"short": 2, "quick": 6, "long": 100}[effort]
    told = run([*SAME, f"paths.logs={place / 'first'}"])
    (first,) = _states(place / "first")
    for number, words in outcome.mine(enumerate(_some(WORDS, share))):
        logs = place / f"words{number}"
        told = run([*SAME, *words, f"paths.logs={logs}"])
        found = _states(logs)
        outcome.note(told.code == 0 and found == {first}, f"{words}: {told.code} {found} {told.err[-300:]}")
    for name in outcome.mine(_some(FOLDERS, share)):
        folder = place / "folders" / name
        folder.mkdir(parents=True)
        for words in ([f"paths.logs={folder}"], [f"paths.logs={folder}", "-m", "seed=0,1", "launcher=inline"]):
            told = run([*SAME, "figures=none", *words], lambda: os.chdir(folder))
            found = _states(folder)
            outcome.note(told.code == 0 and found == {first}, f"{words}: {told.code} {found} {told.err[-300:]}")
    surroundings = _some(SURROUNDINGS, share)
    if effort == "short":  # all at once, but for what makes Python compile everything anew
        surroundings = [dict(ChainMap(*(one for one in SURROUNDINGS if "PYTHONOPTIMIZE" not in one)))]
    for number, more in outcome.mine(enumerate(surroundings)):
        logs = place / f"surroundings{number}"
        program = [sys.executable, "-m", "mlplab.cli.app", *SAME, "figures=none", f"paths.logs={logs}"]
        done = subprocess.run(program, env=os.environ | more, capture_output=True, text=True, errors="replace")
        found = _states(logs)
        outcome.note(
            done.returncode == 0 and found == {first}, f"{more}: {done.returncode} {found} {done.stderr[-300:]}"
        )


def _some(all_of_them: list, count: int) -> list:
    return all_of_them[:: max(1, len(all_of_them) // count)]


def _states(root: Path) -> set[str]:
    """Collect the final states of the runs below a folder that have the seed, network and rate of the first."""
    found = set()
    for path in root.rglob("result.json"):
        config = yaml.safe_load((path.parent / "config.yaml").read_text())
        if (config["seed"], config["model"]["width"], config["optimizer"]["lr"]) == (0, 6, 0.02):
            found.add(json.loads(path.read_text())["state_sha256"])
    return found
