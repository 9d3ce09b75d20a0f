"""The figures of a sweep's table: which ones, and the arrays that go into them."""

from collections.abc import Sequence

import numpy as np

from mlplab.plots.against import Series, against
from mlplab.plots.heat_map import Cells, heat_map
from mlplab.plots.limits import Line, regret_curves
from mlplab.plots.mosaic import MOST as MOST_LINES
from mlplab.plots.ranking import MOST, ranking
from mlplab.report.axes import Axis, axes_of, plain
from mlplab.report.curves import draw_bands
from mlplab.report.drawing import POINTS, Drawing, bayes_of, jobs_of, left_out, metrics_of, part_shown, picked, subtitle
from mlplab.report.intervals import summarise
from mlplab.report.maps import draw_mosaic
from mlplab.report.scales import SCALES, on_scale
from mlplab.report.table import Setting, Table
from mlplab.report.tuned import compare_tuned
from mlplab.runs.names import shown
from mlplab.runs.sweep_record import Job
from mlplab.words import plural, thinned

MOST_PANELS = 6
MOST_CELLS = 40
NOTHING = np.full(3, np.nan)


def draw(table: Table) -> tuple[list[Drawing], list[str]]:
    """Draw every figure that the table has enough for.

    Returns:
        The figures; and for each that is left out a sentence that says why.
    """
    part = part_shown(table)
    if part is None:
        return [], ["No figure is drawn: the finished runs have no NLL in common."]
    axes = axes_of(table)
    figures, without = [], []
    if len(axes) >= 2:
        reason = no_heat_map(table, axes)
        if reason:
            without.append(f"No heat map: {reason}.")
        else:
            figures.append(draw_heat_map(table, axes, part))
    if axes:
        figures.append(draw_against(table, axes, part))
    tuned = draw_tuned(table, axes)
    if tuned is not None:
        figures.append(tuned)
    made = draw_mosaic(table, axes, part)
    if made is None:
        without.append("No decision maps: no run has one in its figures/arrays.npz (figures=map draws it).")
    curves = draw_bands(table, axes)
    if curves is None:
        without.append("No learning curves: the runs' metrics.csv have no loss in common.")
    figures += [one for one in (made, curves) if one is not None]
    if len(table.settings) == 1:
        without.append("No ranking: there is one setting.")
    elif len(table.bests) == 1:
        figures.append(draw_ranking(table))
    else:
        without.append("No ranking: settings of different data have different limits.")
    return figures, without


def no_heat_map(table: Table, axes: Sequence[Axis]) -> str | None:
    """Say why two keys against each other would show nothing; None where they would."""
    x, y = axes[:2]
    cells = len(x.values) * len(y.values)
    filled = len({(x.at[index], y.at[index]) for index in range(len(table.settings))})
    if 2 * filled < cells:
        return f"of the {plural(cells, 'pair')} of {plain(x)} and {plain(y)}, {plural(filled, 'was', 'were')} tried"
    if max(len(x.values), len(y.values)) > MOST_CELLS:
        return f"{plain(x)} has {plural(len(x.values), 'value')} and {plain(y)} {len(y.values)}; at most {MOST_CELLS} can be read"
    return None


def places(table: Table, axes: Sequence[Axis], settings: Sequence[Setting], facets: list) -> list[tuple]:
    """Give (panel, row, column) of settings; the panel by the third axis."""
    found = []
    for index, setting in enumerate(table.settings):
        if setting in settings:
            panel = facets.index(axes[2].at[index]) if facets != [None] else 0
            row, column = axes[1].values.index(axes[1].at[index]), axes[0].values.index(axes[0].at[index])
            found.append((panel, row, column))
    return found


def draw_heat_map(table: Table, axes: Sequence[Axis], part: str) -> Drawing:
    """Draw the first two axes against each other: a third one as panels, further ones pooled."""
    x, y = axes[:2]
    facets = axes[2].values if len(axes) > 2 and len(axes[2].values) <= MOST_PANELS else [None]
    pooled = axes[3:] if facets != [None] else axes[2:]
    kinds = ("accuracy", "nll") if facets == [None] else ("accuracy",)
    words = {"accuracy": f"accuracy on {POINTS[part]}, %", "nll": f"NLL on {POINTS[part]}, nats"}
    panels = []
    for facet in facets:
        for kind in kinds:
            chosen = {} if facet is None else {2: facet}
            cells = [
                [metrics_of(jobs_of(table, picked(table, chosen | {0: a, 1: b}, axes)), part, kind) for a in x.values]
                for b in y.values
            ]
            title = words[kind] if facet is None else f"{axes[2].name} {shown(facet)}"
            panels.append(Cells(title, cells, kind))
    marks = places(table, axes, [s for s in table.settings if s.near], facets) if not pooled else []
    stars = places(table, axes, [s for s in table.settings if s.best], facets) if not pooled else []
    if facets == [None]:
        marks, stars = ([(p, *m[1:]) for p in range(len(kinds)) for m in found] for found in (marks, stars))
    about = subtitle(table, part)
    if pooled:
        about += "".join(f"  ·  all values of {plain(axis)} together" for axis in pooled)
    if facets != [None]:
        about = f"{words['accuracy']}  ·  {about}"
    title = f"{plain(x)} and {plain(y)}" + (f", by {plain(axes[2])}" if facets != [None] else "")
    made = heat_map(
        panels,
        x.names,
        y.names,
        x_name=x.name,
        y_name=y.name,
        title=title[0].upper() + title[1:],
        subtitle=about,
        best=stars,
        near=marks,
        columns=2 if len(panels) != 3 else 3,
    )
    return Drawing("heat_map", f"Mean, standard deviation and every seed, by {plain(x)} and {plain(y)}.", made)


def draw_against(table: Table, axes: Sequence[Axis], part: str) -> Drawing:
    """Draw accuracy and NLL against the number of parameters where it varies, else against the first axis."""
    counts = [setting.parameters for setting in table.settings]
    x, lines, others = axes[0], axes[1] if len(axes) > 1 else None, axes[2:]
    budgets = any(axis.key == "parameters" for axis in axes)
    if lines is not None and not budgets and None not in counts and len(set(counts)) > 2:
        # Along a line of one depth only the width changes: the first axis is in the number of parameters.
        x = Axis("parameters", "parameters", counts)
    names = None if x.is_number else x.names
    series, star = [], None
    best = table.settings.index(table.bests[0]) if len(table.bests) == 1 else None
    fixed = {number + 2: axis.at[best] for number, axis in enumerate(others)} if best is not None else {}
    values = lines.values if lines is not None else [None]
    values = thinned(values, MOST_LINES)
    for value in values:
        rows = picked(table, fixed | ({} if lines is None else {1: value}), axes)
        found = []
        for place, at in enumerate(x.values):
            here = [index for index in rows if x.at[index] == at]
            jobs = jobs_of(table, here)
            if jobs:
                star = (len(series), len(found)) if best in here else star
                found.append((place if names else at, interval(jobs, part, "accuracy"), interval(jobs, part, "nll")))
        if found:
            at, accuracies, nlls = zip(*found)
            name = "" if lines is None else shown(value)
            series.append(Series(name, at, np.array(accuracies), np.array(nlls)))
    about = subtitle(table, part, "mean and 95 % interval")
    about += left_out(lines, values) if lines is not None else ""
    for number, axis in enumerate(others, start=2):
        about += f"  ·  {plain(axis)} {shown(fixed[number])}" if fixed else f"  ·  all values of {plain(axis)} together"
    title = f"Accuracy and NLL on {POINTS[part]} against {plain(x)}"
    made = against(
        series,
        x_name=x.name,
        title=title,
        subtitle=about,
        series_name=plain(lines) if lines is not None else "",
        names=names,
        bayes=limits(table, x, part, names),
        best=star,
    )
    return Drawing(
        f"against_{plain(x).replace(' ', '_')}", f"{title}; bars are 95 % intervals for the mean over seeds.", made
    )


def interval(jobs: Sequence[Job], part: str, kind: str) -> np.ndarray:
    """Give mean and interval of some runs, shape (3,)."""
    found = on_scale(summarise(metrics_of(jobs, part, kind)), SCALES[kind])
    if found is None:
        return NOTHING
    return np.array([found.mean, *((np.nan, np.nan) if found.low is None else (found.low, found.high))])


def limits(table: Table, x: Axis, part: str, names) -> tuple[list, list, list] | None:
    """Give the Bayes limit at each x; None where it is unknown or not a function of x."""
    by: dict[object, set] = {}
    for at, setting in zip(x.at, table.settings):
        if setting.finished:
            found = setting.mean(part, "bayes_accuracy"), setting.mean(part, "bayes_nll")
            by.setdefault(at, set()).add(found)
    if any(len(found) > 1 or None in next(iter(found)) for found in by.values()):
        return None
    known = [(index if names else at, *next(iter(by[at]))) for index, at in enumerate(x.values) if at in by]
    return tuple(map(list, zip(*known)))


def draw_tuned(table: Table, axes: Sequence[Axis]) -> Drawing | None:
    """Draw the regret after each one's own tuning against the key that is compared, where that is one of numbers."""
    found = compare_tuned(table)
    axis = next((axis for axis in axes if found and found.keys == [axis.key]), None)
    rows = sorted(found.rows, key=lambda row: row.values) if axis and axis.is_number and min(axis.at) > 0 else []
    if len(rows) < 3:
        return None
    made = regret_curves(
        [Line("tuned", [row.values[0] for row in rows], [row.nll for row in rows])],
        x_name=plain(axis),
        title=f"{plain(axis)[0].upper()}{plain(axis)[1:]}, each after its own tuning",
        subtitle=f"regret to Bayes on fresh points, mean of {plural(len(found.units), 'draw' if found.of_draws else 'seed')} ± standard error",
    )
    return Drawing("tuned", f"Regret after each one's own tuning, against {plain(axis)}.", made)


def draw_ranking(table: Table) -> Drawing:
    """Draw the settings from best to worst by what chose the best one."""
    part = table.chosen_by
    having = [setting for setting in table.ranked if setting.log_nll is not None]
    logs = [setting.log_nll for setting in having]
    intervals = [NOTHING[:2] if one.low is None else np.exp([one.low, one.high]) for one in logs]
    limit = bayes_of(table, part)
    made = ranking(
        [table.label(setting) for setting in having],
        [metrics_of(setting.finished, part, "nll") for setting in having],
        intervals,
        [setting.near for setting in having],
        title=f"Settings by NLL on {POINTS[part]}",
        subtitle="bar: 95 % interval for the geometric mean; dots: runs; "
        + ("bold: not significantly different" if table.verdict else "no verdict, too few seeds"),
        x_name=f"NLL on {POINTS[part]}, nats (log scale)",
        bayes=None if limit is None else limit[1],
    )
    more = f" (the first {MOST})" if len(having) > MOST else ""
    return Drawing(
        "ranking",
        f"Settings by what selects{more}" + ("; bold: not significantly different." if table.verdict else "."),
        made,
    )
