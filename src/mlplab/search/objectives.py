"""What a search can aim at: metrics of a job's result by name, and which way is better."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

MINIMIZE, MAXIMIZE = "minimize", "maximize"

_PARTS = ("validation", "test", "fresh", "train")
_FIGURES = {
    "nll": MINIMIZE,
    "accuracy": MAXIMIZE,
    "calibration_error": MINIMIZE,
    "nll_regret": MINIMIZE,
    "accuracy_regret": MINIMIZE,
}

# Name -> direction. PART/METRIC is measured on the state that evaluate_state says, by default the best one.
OBJECTIVES: dict[str, str] = {f"{part}/{figure}": way for part in _PARTS for figure, way in _FIGURES.items()}
OBJECTIVES |= {"parameters": MINIMIZE, "seconds/fit": MINIMIZE, "epochs": MINIMIZE, "steps": MINIMIZE}


def read_objective(result: Mapping[str, Any], name: str) -> float | None:
    """Read a metric from a job's result.

    Args:
        result: as in ``result.json``.
        name: a key of :data:`OBJECTIVES`.

    Returns:
        The metric, or None where the result has none or it is not finite.
    """
    value: Any = result
    for part in name.split("/"):
        value = value.get(part) if isinstance(value, Mapping) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def judged(result: Mapping[str, Any], names: str | Sequence[str]) -> float | tuple[float, ...]:
    """Give the metrics of a job's result that a sweeper asks for.

    Args:
        result: as in ``result.json``.
        names: one objective, or several.

    Returns:
        A float, or a tuple of one each. A metric that a finished job does not have is nan; those of a job that did
        not finish are the worst there are: inf, or -inf where more is better.
    """
    if not isinstance(names, str):
        return tuple(judged(result, name) for name in names)
    if result.get("status", "finished") != "finished":
        return -math.inf if OBJECTIVES[names] == MAXIMIZE else math.inf
    value = read_objective(result, names)
    return math.nan if value is None else value
