"""The figures of a sweep's table: which ones, and the arrays that go into them."""

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from mlplab.core.intervals import summarise
from mlplab.plots.against import Series, against
from mlplab.plots.bands import Curves, bands
from mlplab.plots.heat_map import Cells, heat_map
from mlplab.plots.mosaic import mosaic, thinned
from mlplab.plots.ranking import MOST, ranking
from mlplab.runs.learning import aligned, read_curve
from mlplab.runs.sweep_folder import Job
from mlplab.runs.table import Setting, Table, shown
from mlplab.studies.sweep_axes import Axis, axes_of

SHOWN = ("fresh", "test", "validation", "train")
POINTS = {"fresh": "fresh points", "test": "test points", "validation": "validation points", "train": "train points"}
COLUMNS = ("val/nll", "val/loss", "train/loss")
MOST_PANELS = 6
MOST_LINES = 6
MOST_CURVES = 240
NOTHING = np.full(3, np.nan)


@dataclass
class Drawing:
    """A figure and what is said about it.

    Attributes:
        name: of its file.
        caption: one sentence.
        figure: to be saved.
    """

    name: str
    caption: str
    figure: Figure


def part_shown(table: Table) -> str | None:
    """Choose whose figures are drawn: the fresh points', which are most; None where no run finished."""
    having = [setting for setting in table.settings if setting.finished]
    for part in SHOWN:
        if having and all(setting.mean(part, "nll") is not None for setting in having):
            return part
    return None


def draw(table: Table) -> list[Drawing]:
    """Draw every figure that the table has enough for."""
    part = part_shown(table)
    if part is None:
        return []
    axes = axes_of(table)
    figures = []
    if len(axes) >= 2:
        figures.append(draw_heat_map(table, axes, part))
    if axes:
        figures.append(draw_against(table, axes, part))
    for made in (draw_mosaic(table, axes), draw_bands(table, axes)):
        if made is not None:
            figures.append(made)
    if len(table.settings) > 1:
        figures.append(draw_ranking(table))
    return figures


def subtitle(table: Table, part: str) -> str:
    """Say how many runs the figures stand on, and the limit where there is one."""
    counts = sorted({len(setting.finished) for setting in table.settings})
    seeds = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    words = f"mean ± standard deviation over {seeds} seed{'s' * (counts[-1] != 1)}"
    limit = bayes_of(table, part)
    if limit is not None:
        words += f"  ·  Bayes limit {100 * limit[0]:.2f} %, NLL {limit[1]:.4f}"
    return words


def bayes_of(table: Table, part: str) -> tuple[float, float] | None:
    """Give the limit where all settings share one."""
    found = {
        (setting.mean(part, "bayes_accuracy"), setting.mean(part, "bayes_nll"))
        for setting in table.settings if setting.finished
    }  # fmt: skip
    limit = found.pop() if len(found) == 1 else (None, None)
    return None if None in limit else limit


def picked(table: Table, chosen: dict[int, object], axes: Sequence[Axis]) -> list[int]:
    """List the settings whose coordinates on the axes (by their number) have the chosen values."""
    return [
        index for index in range(len(table.settings))
        if all(axes[number].at[index] == value for number, value in chosen.items())
    ]  # fmt: skip


def jobs_of(table: Table, indices: Sequence[int]) -> list[Job]:
    return [job for index in indices for job in table.settings[index].finished]


def figures_of(jobs: Sequence[Job], part: str, kind: str) -> list[float]:
    """List a figure of some runs; a run without it is left out."""
    return [value for job in jobs if (value := job.figure(part, kind)) is not None]


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
    words = {"accuracy": f"accuracy on {POINTS[part]}, %", "nll": f"cross entropy on {POINTS[part]}, nats"}
    panels = []
    for facet in facets:
        for kind in kinds:
            chosen = {} if facet is None else {2: facet}
            cells = [
                [
                    figures_of(jobs_of(table, picked(table, chosen | {0: a, 1: b}, axes)), part, kind)
                    for a in x.values
                ]
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
        about = f"runs of all {' and '.join(axis.name for axis in pooled)} taken together  ·  {about}"
    if facets != [None]:
        about = f"{words['accuracy']}  ·  {about}"
    title = f"{plain(x)} and {plain(y)}" + (f", for each {plain(axes[2])}" if facets != [None] else "")
    made = heat_map(
        panels, x.names, y.names, x_name=x.name, y_name=y.name, title=title[0].upper() + title[1:],
        subtitle=about, best=stars, near=marks, columns=2 if len(panels) != 3 else 3,
    )  # fmt: skip
    return Drawing("heat_map", f"Mean, standard deviation and every seed, by {plain(x)} and {plain(y)}.", made)


def plain(axis: Axis) -> str:
    """Name an axis in a sentence."""
    return axis.name.partition(" (")[0].partition(",")[0]


def draw_against(table: Table, axes: Sequence[Axis], part: str) -> Drawing:
    """Draw accuracy and NLL against the number of parameters where it varies, else against the first axis."""
    counts = [setting.parameters for setting in table.settings]
    by_parameters = None not in counts and len(set(counts)) > 2 and len(axes) > 1
    if axes[-1].key == "parameters" or not axes[0].is_number and not by_parameters:
        by_parameters = False
    if by_parameters:
        # Along a line of one depth only the width changes: that is what a line should say.
        x, lines, others = Axis("parameters", "parameters", counts), axes[1], [axes[0], *axes[2:]]
        others = [axis for axis in others if axis is not axes[0]]
    else:
        x, lines, others = axes[0], axes[1] if len(axes) > 1 else None, list(axes[2:])
    names = None if x.is_number else x.names
    series = []
    values = lines.values if lines is not None else [None]
    for value in [values[place] for place in thinned(len(values))]:
        rows = [index for index in range(len(table.settings)) if lines is None or lines.at[index] == value]
        found = []
        for place, at in enumerate(x.values):
            jobs = jobs_of(table, [index for index in rows if x.at[index] == at])
            if jobs:
                found.append((place if names else at, interval(jobs, part, "accuracy"), interval(jobs, part, "nll")))
        if found:
            at, accuracies, nlls = zip(*found)
            name = "" if lines is None else shown(value)
            series.append(Series(name, at, np.array(accuracies), np.array(nlls)))
    about = subtitle(table, part).replace("mean ± standard deviation", "mean and 95 % interval")
    if others:
        about = f"runs of all {' and '.join(map(plain, others))} taken together  ·  {about}"
    best = table.best
    star = None
    if best is not None and not others:
        place = x.at[table.settings.index(best)]
        star = (x.values.index(place) if names else place, best.mean(part, "accuracy"), best.mean(part, "nll"))
    title = f"Accuracy and cross entropy on {POINTS[part]} against {plain(x)}"
    made = against(
        series, x_name=x.name, title=title, subtitle=about, series_name=plain(lines) if lines is not None else "",
        names=names, bayes=limits(table, x, part, names), best=star,
    )  # fmt: skip
    return Drawing(
        f"against_{plain(x).replace(' ', '_')}", f"{title}; bars are 95 % intervals for the mean over seeds.", made
    )


def interval(jobs: Sequence[Job], part: str, kind: str) -> np.ndarray:
    """Give mean and interval of some runs, shape (3,)."""
    found = summarise(figures_of(jobs, part, kind))
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


def draw_mosaic(table: Table, axes: Sequence[Axis]) -> Drawing | None:
    """Draw the decision map of the median run of each setting; None where no run has one."""
    best = table.settings.index(table.best) if table.best else 0
    # Beyond two axes, the plane through the best setting.
    fixed = {number: axis.at[best] for number, axis in enumerate(axes) if number > 1}
    columns, rows = (axes[k].values if k < len(axes) else [None] for k in (0, 1))
    columns, rows = ([values[k] for k in thinned(len(values))] for values in (columns, rows))
    maps, extents, captions, star = [], [], [], []
    for b in rows:
        line = []
        for a in columns:
            chosen = fixed | ({0: a} if a is not None else {}) | ({1: b} if b is not None else {})
            found = [index for index in picked(table, chosen, axes) if table.settings[index].finished]
            setting = table.settings[found[0]] if found else None
            line.append(map_of(setting, table.chosen_by))
            if setting is not None and setting.best:
                star.append((len(maps), len(line) - 1))
        maps.append([entry[0] for entry in line])
        extents.append([entry[1] for entry in line])
        captions.append([entry[2] for entry in line])
    if all(grid is None for line in maps for grid in line):
        return None
    about = "the run of median NLL in each setting" + "".join(
        f"  ·  {plain(axes[number])} {shown(value)}" for number, value in fixed.items()
    )
    x, y = (axes[k] if k < len(axes) else None for k in (0, 1))
    made = mosaic(
        maps, extents, [shown(a) if x else "" for a in columns], [shown(b) if y else "" for b in rows],
        x_name=x.name if x else "", y_name=y.name if y else "", title="What the networks learned",
        subtitle=about, captions=captions, best=star,
    )  # fmt: skip
    return Drawing("decision_maps", "The decision map of each setting's median run.", made)


def map_of(setting: Setting | None, part: str | None) -> tuple[np.ndarray | None, object, str]:
    """Read the decision map of a setting's median run by NLL, or of the next one that has a map.

    Returns:
        The map or None, its extent, and the accuracy of the run in words.
    """
    if setting is None or part is None:
        return None, None, ""
    jobs = sorted(setting.finished, key=lambda job: job.figure(part, "nll"))
    middle = (len(jobs) - 1) / 2
    for place in sorted(range(len(jobs)), key=lambda place: (abs(place - middle), place)):
        found = read_map(jobs[place].folder / "figures" / "arrays.npz")
        if found is not None:
            value = next((v for name in SHOWN if (v := jobs[place].figure(name, "accuracy")) is not None), None)
            return *found, "" if value is None else f"{100 * value:.1f} %"
    return None, None, ""


def read_map(path: Path) -> tuple[np.ndarray, np.ndarray] | None:
    """Read map and extent from a run's arrays; None where there is no map that can be drawn."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            grid, extent = arrays["map"], arrays["extent"]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None
    return (grid, extent) if grid.ndim == 3 and extent.size in (1, 4) and np.isfinite(grid).all() else None


def draw_bands(table: Table, axes: Sequence[Axis]) -> Drawing | None:
    """Draw learning curves: lines by the first axis, charts by the second, further ones at the best setting."""
    best = table.settings.index(table.best) if table.best else 0
    fixed = {number: axis.at[best] for number, axis in enumerate(axes) if number > 1}
    lines, charts = (axes[k].values if k < len(axes) else [None] for k in (0, 1))
    lines = [lines[k] for k in thinned(len(lines), MOST_LINES)]
    charts = [charts[k] for k in thinned(len(charts), MOST_PANELS)]
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
                curves.append(Curves(name, *aligned([values for _, values in found])))
        if curves:
            drawn.append((f"{plain(axes[1])} {shown(b)}" if b is not None else "", curves))
    # Loss of training beside NLL of validation would be two things under one name.
    if not drawn or len(columns) > 1:
        return None
    column = columns.pop()
    part = "train" if column == "train/loss" else "validation"
    about = f"mean over seeds, band from the lowest to the highest{f' of the first {most} seeds' if cut else ''}"
    about += "".join(f"  ·  {plain(axes[number])} {shown(value)}" for number, value in fixed.items())
    limit = bayes_of(table, part)
    made = bands(
        drawn, title=f"Learning: cross entropy on {POINTS[part]}", subtitle=about,
        series_name=plain(axes[0]) if axes else "", y_name=f"cross entropy on {POINTS[part]}, nats",
        bayes=None if limit is None else limit[1],
    )  # fmt: skip
    return Drawing("learning_curves", "Learning curves: mean over seeds, and the band of all seeds.", made)


def draw_ranking(table: Table) -> Drawing:
    """Draw the settings from best to worst by what chose the best one."""
    part = table.chosen_by
    having = [setting for setting in table.settings if setting.log_nll is not None]
    having.sort(key=lambda setting: (not setting.best, setting.log_nll.mean))
    logs = [setting.log_nll for setting in having]
    intervals = [NOTHING[:2] if one.low is None else np.exp([one.low, one.high]) for one in logs]
    limit = bayes_of(table, part)
    made = ranking(
        [table.label(setting) for setting in having],
        [figures_of(setting.finished, part, "nll") for setting in having], intervals,
        [setting.near for setting in having],
        title=f"Best by cross entropy on {POINTS[part]}",
        subtitle="bar: 95 % interval for the geometric mean over seeds; dots: seeds; bold: cannot be told from the best",
        x_name=f"cross entropy on {POINTS[part]}, nats (log scale)", bayes=None if limit is None else limit[1],
    )  # fmt: skip
    more = f" (the first {MOST})" if len(having) > MOST else ""
    return Drawing("ranking", f"Settings from best to worst{more}; bold ones cannot be told from the best.", made)
