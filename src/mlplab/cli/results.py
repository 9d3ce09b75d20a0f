"""A run's result read back, and beside it that of an evaluation on other data, in a folder of its own."""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from mlplab.errors import InputError
from mlplab.runs.files import read_record, write_json, write_text
from mlplab.runs.folder import RunFolder, claim
from mlplab.runs.metrics import BAYES, PARTS

METRICS = ("accuracy", "nll", "calibration_error")


def read_result(folder: RunFolder) -> dict[str, Any]:
    """Read ``result.json`` as far as an evaluation looks at it.

    Raises:
        InputError: the run has not finished, or the file is damaged.
    """
    path = folder.result
    if not path.is_file():
        raise InputError(
            f"{folder.path} has no result.json: the run has not finished; continue with resume={folder.path}"
        )
    result = read_record(path)
    if result.get("evaluated") not in ("best", "last"):
        raise InputError(f"{path} is damaged: evaluated must be best or last, got {result.get('evaluated')!r:.40}")
    for name in PARTS:
        part = result.get(name)
        if part is not None and not (isinstance(part, dict) and {*METRICS, *BAYES} <= part.keys()):
            raise InputError(f"{path} is damaged: {name} must have {', '.join(METRICS)}, got {part!r:.40}")
    return result


def write_evaluation(
    run: RunFolder, logs: Path, digest: str, config: DictConfig, found: dict[str, Any]
) -> tuple[RunFolder, dict[str, Any]]:
    """Write what an evaluation on other data found into a new folder under ``logs/evaluate``.

    Args:
        run: the run that was evaluated.
        logs: the log folder.
        digest: of the other data; its first letters end the new folder's name.
        config: of the run on the other data.
        found: its metrics and what they are of.

    Returns:
        The folder, and the result as its ``result.json`` holds it.
    """
    target = RunFolder(claim(logs / "evaluate", f"{run.name}-{digest[:8]}"))
    result = {"status": "finished", "name": target.name, "run": str(run.path), **found}
    write_text(target.config, OmegaConf.to_yaml(config))
    write_json(target.result, result)
    return target, result
