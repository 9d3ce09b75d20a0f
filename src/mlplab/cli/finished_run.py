"""A finished run's result read back."""

from typing import Any

from mlplab.errors import InputError
from mlplab.runs.files import read_record
from mlplab.runs.folder import RunFolder
from mlplab.training.results import PARTS

FIGURES = ("accuracy", "nll", "calibration_error")
BAYES = ("bayes_accuracy", "bayes_nll")


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
        if part is not None and not (isinstance(part, dict) and {*FIGURES, *BAYES} <= part.keys()):
            raise InputError(f"{path} is damaged: {name} must have {', '.join(FIGURES)}, got {part!r:.40}")
    return result
