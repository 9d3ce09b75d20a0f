"""Train one job and print its result in a few lines."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from mlplab.cli.results import metric_lines, note_lines, with_error
from mlplab.pages.page import write_playground
from mlplab.training.fit import fit
from mlplab.words import folded, front_door, plural
from mlplab.words import short_path as shown


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
