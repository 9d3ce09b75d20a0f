"""A run's result: read back, printed, and beside it that of an evaluation on other data, in a folder of its own."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from mlplab.data.baselines import NEIGHBOURS
from mlplab.errors import InputError
from mlplab.places import pip_line
from mlplab.runs.files import read_record, write_json, write_text
from mlplab.runs.folder import RunFolder, claim
from mlplab.runs.metrics import BAYES, PARTS, unequal
from mlplab.words import columns

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


BASELINES = {
    "majority": "majority class",
    "logistic_regression": "logistic regression",
    "nearest_neighbours": f"{NEIGHBOURS} nearest neighbours",
}
MOST_CLASSES = 12


def percent(value: float | None) -> str:
    """Write a share as a percentage, nothing where there is none."""
    return "" if value is None else f"{100 * value:.2f} %"


def metric_lines(result: Mapping[str, Any], names: Mapping[str, str] | None = None) -> list[str]:
    """Write a result's metrics as a table.

    Where the test classes are unequal, accuracy does not stand alone: balanced accuracy, F1 and AUROC stand beside it
    and the recall of each class beneath.

    Args:
        result: as in ``result.json``.
        names: what the parts are called, by part; ``test points`` and ``fresh points`` if None. Where the result has
            none of them, those on validation points are shown.
    """
    names = names or {"test": "test points", "fresh": "fresh points"}
    if not any(result.get(part) for part in names):
        names = {"validation": "validation points"}
    test = result.get("test") or {}
    skewed = "confusion" in test and unequal(test["confusion"])
    more = (("balanced", "balanced_accuracy"), ("F1", "f1_macro"), ("AUROC", "auroc")) if skewed else ()
    rows = [("", "accuracy", *(heading for heading, _ in more), "NLL", "points")]
    for part, name in names.items():
        metrics = result.get(part)
        if metrics is None:
            continue
        nll = "" if metrics["nll"] is None else with_error(metrics, "nll", 1, 4)
        accuracy = f"{with_error(metrics, 'accuracy', 100, 2)} %"
        rows.append((name, accuracy, *(percent(metrics.get(key)) for _, key in more), nll, f"{metrics['points']:,}"))
        if metrics["bayes_accuracy"] is not None:
            rows.append(
                (
                    "  Bayes limit",
                    percent(metrics["bayes_accuracy"]),
                    *("" for _ in more),
                    f"{metrics['bayes_nll']:.4f}",
                    "",
                )
            )
        elif part == "test":
            for key, metrics in (result.get("baselines") or {}).items():
                nll = "" if metrics["nll"] is None else f"{metrics['nll']:.4f}"
                rows.append((f"  {BASELINES[key]}", percent(metrics["accuracy"]), *("" for _ in more), nll, ""))
    lines = columns(rows)
    if skewed:
        lines.append(recall_line(test["recall"], test["confusion"], result.get("class_names")))
    return lines


def with_error(metrics: Mapping[str, Any], name: str, scale: float, digits: int) -> str:
    """Write a metric times ``scale`` with its standard error, such as ``98.62 ± 0.08``, where it has one."""
    error = metrics.get(f"{name}_se")
    value = f"{scale * metrics[name]:.{digits}f}"
    return value if error is None else f"{value} ± {scale * error:.{digits}f}"


def recall_line(recall: Sequence[float | None], confusion: Sequence[Sequence[int]], names: Sequence[str] | None) -> str:
    """Write the share of each class that was found, the rarest first."""
    counts = [sum(row) for row in confusion]
    order = sorted((k for k in range(len(counts)) if recall[k] is not None), key=counts.__getitem__)
    name = (lambda k: f"class {k}") if names is None else (lambda k: names[k])
    shares = [f"{name(k)} {100 * recall[k]:.1f} % of {counts[k]:,}" for k in order[:MOST_CLASSES]]
    return f"found of each class: {', '.join(shares)}{', ...' if len(order) > MOST_CLASSES else ''}"


def note_lines(result: Mapping[str, Any]) -> list[str]:
    """Write what a reader should know of how a file was read."""
    notes = list((result.get("data") or {}).get("notes") or ())
    found = result.get("baselines")
    if found is not None and len(found) == 1 and len(result["data"]["class_names"]) > 1:
        notes.append(f"scikit-learn adds simple classifiers to compare with: {pip_line('files')}")
    return [f"note: {note}" for note in notes]
