"""Train one job and print its result in a few lines."""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from mlplab.data.baselines import NEIGHBOURS
from mlplab.pages.page import write_playground
from mlplab.runs.metrics import unequal
from mlplab.training.fit import fit
from mlplab.words import columns, folded, front_door, pip_line, plural
from mlplab.words import short_path as shown

BASELINES = {
    "majority": "majority class",
    "logistic_regression": "logistic regression",
    "nearest_neighbours": f"{NEIGHBOURS} nearest neighbours",
}
MOST_CLASSES = 12


def train(config: Mapping[str, Any], folder: str | Path) -> dict[str, Any]:
    """Train the job of a config in its claimed run folder, or go on in the folder that ``resume`` names.

    Returns:
        The result, as in ``result.json``.
    """
    if (
        config["figures"] != "none" and not (Path(folder).parent / "playground.html").exists()
    ):  # a sweep has one for all
        write_playground(folder, OmegaConf.to_container(OmegaConf.create(config), resolve=True))
    result = fit(config, folder, resume=config["resume"]["folder"] is not None)
    print(summary(result, Path(folder)), flush=True)
    return result


def summary(result: Mapping[str, Any], folder: Path) -> str:
    """Write the closing lines of a run: metrics beside their Bayes limit, the folder, how to look at it."""
    lines = [""]
    if result["status"] == "diverged":
        lines.append(f"diverged: the loss was not finite at step {result['steps']}; try a smaller optimizer.lr")
    lines += metric_lines(result)
    if result["fresh"] and result["fresh"]["accuracy_regret"] is not None:
        fresh = result["fresh"]
        regret = with_error(fresh, "accuracy_regret", 100, 2), with_error(fresh, "nll_regret", 1, 4)
        lines.append(f"regret: {regret[0]} percentage points of accuracy, {regret[1]} of NLL")
        lines.append("(on fresh points; ±: standard error over points; data and seed held fixed)")
    epoch = (
        f"epoch {result['best_epoch']}, the best on validation" if result["evaluated"] == "best" else "the last epoch"
    )
    for done in ("averaged", "pruned"):
        epoch += f", its weights {done} by {result[f'{done}_by']}" if result.get(f"{done}_by") else ""
    lines += [
        f"{plural(result['parameters'], 'parameter')}, {plural(result['epochs'], 'epoch')}, {result['seconds']['total']:.1f} s; measured at {epoch}",
        *(
            [f"trained by Lightning's own loop: {result['engine_reason']}"]
            if result.get("engine") == "lightning"
            else []
        ),
        *note_lines(result),
    ]
    # Paths and commands, which are to be copied, stay whole.
    lines = [folded("\n".join(lines)), "", f"folder       {shown(folder)}"]
    for name in ("decision_map", "projection", "scatter_matrix", "errors"):
        if (folder / "figures" / f"{name}.png").exists():
            lines.append(f"picture      {shown(folder / 'figures' / name)}.png")
    if (folder / "run.html").exists():
        lines.append(f"page         {shown(folder / 'run.html')}")
    if (folder / "tensorboard").exists():
        lines.append(f"TensorBoard  {front_door()} tensorboard {shown(folder)}")
    return "\n".join(lines)


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
    if found is not None and len(result["data"]["class_names"]) > 1 and find_spec("sklearn") is None:
        notes.append(f"scikit-learn adds simple classifiers to compare with: {pip_line('files')}")
    return [f"note: {note}" for note in notes]
