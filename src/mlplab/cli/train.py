"""Train one job and say in a few lines what came of it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlplab.terminal import front_door
from mlplab.terminal import short_path as shown
from mlplab.training.fit import fit
from mlplab.words import columns


def train(config: Mapping[str, Any], folder: str | Path) -> dict[str, Any]:
    """Train the job of a config in its claimed run folder, or go on in the folder that ``resume`` names.

    Returns:
        The result, as in ``result.json``.
    """
    result = fit(config, folder, resume=config["resume"]["folder"] is not None)
    print(summary(result, Path(folder)), flush=True)
    return result


def summary(result: Mapping[str, Any], folder: Path) -> str:
    """Write the closing lines of a run: figures beside their Bayes limit, the folder, how to look at it."""
    lines = [""]
    if result["status"] == "diverged":
        lines.append(f"diverged: the loss was not finite at step {result['steps']}; try a smaller optimizer.lr")
    rows = [("", "accuracy", "NLL", "points")]
    for part in ("test", "fresh"):
        figures = result[part]
        if figures is None:
            continue
        accuracy = f"{with_error(figures, 'accuracy', 100, 2)} %"
        rows.append((f"{part} points", accuracy, with_error(figures, "nll", 1, 4), f"{figures['points']:,}"))
        if figures["bayes_accuracy"] is not None:
            best = f"{100 * figures['bayes_accuracy']:.2f} %", f"{figures['bayes_nll']:.4f}"
            rows.append(("  Bayes limit", *best, ""))
    lines += columns(rows)
    if result["fresh"] and result["fresh"]["accuracy_regret"] is not None:
        fresh = result["fresh"]
        regret = with_error(fresh, "accuracy_regret", 100, 2), with_error(fresh, "nll_regret", 1, 4)
        lines.append(f"regret on fresh points: {regret[0]} points of accuracy, {regret[1]} of NLL")
        lines.append("(±: standard error over points; training points and seed held fixed)")
    epoch = f"epoch {result['best_epoch']}, the best on validation" if result["evaluated"] == "best" else "the last epoch"
    lines += [
        f"{result['parameters']:,} parameters, {result['epochs']} epochs, {result['seconds']['total']:.1f} s; measured at {epoch}",
        "",
        f"folder       {shown(folder)}",
    ]
    if (folder / "figures" / "decision_map.png").exists():
        lines.append(f"picture      {shown(folder / 'figures' / 'decision_map.png')}")
    if (folder / "tensorboard").exists():
        lines.append(f"TensorBoard  {front_door()} tensorboard {shown(folder)}")
    return "\n".join(lines)


def with_error(figures: Mapping[str, Any], name: str, scale: float, digits: int) -> str:
    """Write a figure times ``scale`` with its standard error, such as ``98.62 ± 0.08``, where it has one."""
    error = figures.get(f"{name}_se")
    value = f"{scale * figures[name]:.{digits}f}"
    return value if error is None else f"{value} ± {scale * error:.{digits}f}"
