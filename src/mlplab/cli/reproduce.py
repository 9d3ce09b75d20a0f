"""Train a run again from its recorded config and say whether the same state came out, to the bit."""

from pathlib import Path

from omegaconf import OmegaConf

from mlplab.config import composition as configs
from mlplab.errors import InputError
from mlplab.runs.files import read_json, read_record
from mlplab.runs.folder import claimed, open_run
from mlplab.runs.manifest import differences
from mlplab.training.fit import fit
from mlplab.words import short_path as shown


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
        raise InputError(
            f"{run_folder} has no result.json: the run has not finished; continue with resume={run_folder}"
        )
    recorded, before = read_record(folder.result), read_record(folder.manifest)
    if not isinstance(recorded.get("state_sha256"), str):
        raise InputError(f"{folder.result} is damaged: it does not say state_sha256")
    with claimed(Path(logs) / "reproduce", folder.name) as target:
        again = fit(OmegaConf.merge(config, {"resume": {"folder": None}}), target)
    causes = differences(before, read_json(target / "manifest.json"))
    identical = again["state_sha256"] == recorded["state_sha256"]
    print(f"\nrecorded    {shown(folder.path)}\n  state     {recorded['state_sha256']}")
    print(f"reproduced  {shown(target)}\n  state     {again['state_sha256']}")
    if identical:
        print("identical" + (f", in spite of other {', '.join(name for name, _ in causes)}" if causes else ""))
        return 0
    print("different" + ("" if causes else ", and nothing that is recorded explains it"))
    for name, words in causes:
        print(f"  {name}: {words}")
    return 1
