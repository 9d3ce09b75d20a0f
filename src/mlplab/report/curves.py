"""The learning curves of a sweep: each setting's mean over seeds, with the band of all seeds."""

from collections.abc import Sequence

from mlplab.plots.bands import Curves, bands
from mlplab.report.axes import Axis, plain
from mlplab.report.drawing import POINTS, Drawing, bayes_of, jobs_of, left_out, over_seeds, picked
from mlplab.report.learning import aligned, read_curve
from mlplab.report.table import Table
from mlplab.runs.names import shown
from mlplab.runs.sweep_record import Job
from mlplab.words import thinned

COLUMNS = ("val/nll", "val/loss", "train/loss")
MOST_CHARTS = 6
MOST_LINES = 8
MOST_CURVES = 240


def draw_bands(table: Table, axes: Sequence[Axis]) -> Drawing | None:
    """Draw learning curves: lines by the first axis, charts by the second, others at the best setting."""
    best = table.settings.index(table.bests[0]) if table.bests else 0
    fixed = {number: axis.at[best] for number, axis in enumerate(axes) if number > 1}
    lines, charts = (axes[k].values if k < len(axes) else [None] for k in (0, 1))
    lines = thinned(lines, MOST_LINES)
    charts = thinned(charts, MOST_CHARTS)
    most = max(2, MOST_CURVES // (len(lines) * len(charts)))
    drawn, columns, cut = [], set(), False
    for b in charts:
        curves = []
        for a in lines:
            chosen = fixed | ({0: a} if a is not None else {}) | ({1: b} if b is not None else {})
            jobs = jobs_of(table, picked(table, chosen, axes))
            cut |= len(jobs) > most
            found = [read_curve(job.folder / "metrics.csv", COLUMNS) for job in jobs[:most]]
            found = [curve for curve in found if curve is not None]
            columns |= {name for name, _ in found}
            if found:
                name = shown(a) if a is not None else "all runs"
                is_nll = {name for name, _ in found} == {"val/nll"}
                kept = [one for job in jobs[:most] if is_nll and (one := kept_of(job)) is not None]
                curves.append(Curves(name, *aligned([values for _, values in found]), kept))
        if curves:
            drawn.append((f"{plain(axes[1])} {shown(b)}" if b is not None else "", curves))
    # A training loss and a validation NLL may differ: one axis must not show both.
    if not drawn or len(columns) > 1:
        return None
    column = columns.pop()
    part = "train" if column == "train/loss" else "validation"
    what = "NLL" if column == "val/nll" else "loss"
    if cut:
        about = f"mean of the first {most} seeds, band from the lowest to the highest"
    else:
        about = over_seeds(table, "mean, and band from the lowest to the highest,")
    about += "; dots: the epochs that were kept" if any(one.kept for _, curves in drawn for one in curves) else ""
    about += "".join(left_out(axis, seen) for axis, seen in zip(axes, (lines, charts)))
    about += "".join(f"  ·  {plain(axes[number])} {shown(value)}" for number, value in fixed.items())
    limit = bayes_of(table, part)
    made = bands(
        drawn,
        title=f"Learning: {what} on {POINTS[part]}",
        subtitle=about,
        series_name=plain(axes[0]) if axes else "",
        y_name=f"{what} on {POINTS[part]}, nats",
        bayes=None if limit is None else limit[1],
    )
    return Drawing("learning_curves", "Learning curves: mean over seeds, and the band of all seeds.", made)


def kept_of(job: Job) -> tuple[float, float] | None:
    """Give the epoch whose weights a run kept as its best on validation points, and its NLL there; None where it kept its last."""
    result, nll = job.result or {}, job.metric("validation", "nll")
    if result.get("evaluated") != "best" or not isinstance(result.get("best_epoch"), int) or nll is None:
        return None
    return float(result["best_epoch"]), nll
