"""Train a run again from its recorded config and say whether the same state came out, to the bit."""

from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from mlplab.config import composition as configs
from mlplab.errors import InputError
from mlplab.runs.files import read_json, read_record
from mlplab.runs.folder import claimed, open_run
from mlplab.terminal import short_path as shown
from mlplab.training.fit import fit

# What may explain a difference, in the order in which it is told.
CAUSES = {
    "data_sha256": "data",
    "code_digest": "code",
    "versions": "versions",
    "torch_build": "torch build",
    "device": "device",
    "cpu_capability": "CPU capability",
    "threads": "threads",
    "platform": "platform",
}


def reproduce(run_folder: str | Path, logs: str | Path) -> int:
    """Train the config of a run in a new folder under ``logs/reproduce`` and compare the final states.

    Args:
        run_folder: of a finished run.
        logs: where the new folder is made.

    Returns:
        0 where the states are identical, 1 where they differ.

    Raises:
        InputError: no run folder, or a run without a result.
    """
    folder = open_run(run_folder)
    config = configs.load_recorded(folder.config)
    if not folder.result.is_file() or not folder.manifest.is_file():
        raise InputError(f"{run_folder} has no result.json: the run has not finished; go on with resume={run_folder}")
    recorded, before = read_record(folder.result), read_record(folder.manifest)
    if not isinstance(recorded.get("state_sha256"), str):
        raise InputError(f"{folder.result} is damaged: it does not say state_sha256")
    with claimed(Path(logs) / "reproduce", folder.name) as target:
        again = fit(OmegaConf.merge(config, {"resume": {"folder": None}}), target)
    causes = differences(before, read_json(target / "manifest.json"))
    identical = again["state_sha256"] == recorded["state_sha256"]
    print(f"\nrecorded    {recorded['state_sha256']}  {shown(folder.path)}")
    print(f"reproduced  {again['state_sha256']}  {shown(target)}")
    if identical:
        print("identical" + (f", in spite of other {', '.join(name for name, _ in causes)}" if causes else ""))
        return 0
    print("different" + ("" if causes else ", and nothing that is recorded explains it"))
    for name, words in causes:
        print(f"  {name}: {words}")
    return 1


def differences(before: dict[str, Any], now: dict[str, Any]) -> list[tuple[str, str]]:
    """List what two manifests say differently: the name of the cause and both values."""
    found = []
    for key, name in CAUSES.items():
        old, new = before.get(key), now.get(key)
        if old == new:
            continue
        if isinstance(old, dict) and isinstance(new, dict):
            parts = [f"{k} {old.get(k)} -> {new.get(k)}" for k in sorted({*old, *new}) if old.get(k) != new.get(k)]
            found.append((name, ", ".join(parts)))
        else:
            found.append((name, f"{_short(old)} -> {_short(new)}"))
    return found


def _short(value: Any) -> str:
    text = str(value)
    return text[:12] if len(text) == 64 else text
