"""Small sweeps for tests, run in this process as the command line runs them."""

import json
from pathlib import Path
from typing import Any

from mlplab.cli.app import main

# A run of a fraction of a second, that yet trains, validates and keeps its metrics.
SMALL = [
    "trainer=cpu",
    "trainer.max_epochs=2",
    "data.points_per_arm=60",
    "data.batch_size=16",
    "data.fresh_points=0",
    "data.validation_points=40",
    "logger=csv",
    "figures=none",
]


def sweep(logs: Path, *words: str, command: str = "train", small: bool = True) -> int:
    """Run a sweep called ``s`` under a folder of logs; give the exit code."""
    return main([command, "-m", *(SMALL if small else []), f"paths.logs={logs}", "sweep=s", *words])


def folder_of(logs: Path) -> Path:
    return logs / "sweep" / "s"


def record_of(logs: Path) -> dict[str, Any]:
    """Read ``sweep.json`` without what no two sweeps have in common: times and the folder of logs."""
    record = json.loads((folder_of(logs) / "sweep.json").read_text())
    for entry in record["jobs"]:
        entry["overrides"] = [text for text in entry["overrides"] if not text.startswith("paths.logs=")]
        (entry["result"] or {}).pop("seconds", None)
    del record["command"]
    return record


def jobs_of(logs: Path) -> dict[str, dict[str, Any]]:
    """Give the entries of ``sweep.json`` by what they sweep, such as ``"3"`` for seed 3."""
    return {" ".join(map(str, entry["swept"].values())): entry for entry in record_of(logs)["jobs"]}


def states_of(logs: Path) -> dict[str, str]:
    """Give the fingerprints of the trained states by what is swept."""
    return {key: entry["result"]["state_sha256"] for key, entry in jobs_of(logs).items() if entry["result"]}
