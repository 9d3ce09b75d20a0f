"""The mosaic of a sweep: the decision map of each setting's median run, in the place of its setting."""

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mlplab.plots.field import extent_of
from mlplab.plots.mosaic import MOST, mosaic
from mlplab.report.axes import Axis, plain
from mlplab.report.drawing import POINTS, Drawing, left_out, picked
from mlplab.report.table import Setting, Table
from mlplab.runs.files import open_file
from mlplab.runs.names import shown
from mlplab.words import thinned


def draw_mosaic(table: Table, axes: Sequence[Axis], part: str) -> Drawing | None:
    """Draw the decision map of the median run of each setting, with its accuracy on the points of a part.

    Returns:
        The drawing; None where no run has a map.
    """
    best = table.settings.index(table.bests[0]) if table.bests else 0
    # Beyond two axes, the plane through the best setting.
    fixed = {number: axis.at[best] for number, axis in enumerate(axes) if number > 1}
    columns, rows = (axes[k].values if k < len(axes) else [None] for k in (0, 1))
    columns, rows = (thinned(values, MOST) for values in (columns, rows))
    maps, extents, captions, star = [], [], [], []
    for b in rows:
        line = []
        for a in columns:
            chosen = fixed | ({0: a} if a is not None else {}) | ({1: b} if b is not None else {})
            found = [index for index in picked(table, chosen, axes) if table.settings[index].finished]
            setting = table.settings[found[0]] if found else None
            line.append(map_of(setting, table.chosen_by, part))
            if setting is not None and setting.best:
                star.append((len(maps), len(line) - 1))
        maps.append([entry[0] for entry in line])
        extents.append([entry[1] for entry in line])
        captions.append([entry[2] for entry in line])
    if all(grid is None for line in maps for grid in line):
        return None
    about = f"the run of median NLL in each setting, its accuracy on {POINTS[part]}"
    about += "  ·  ★ selected" if star else ""
    about += "".join(f"  ·  {plain(axes[number])} {shown(value)}" for number, value in fixed.items())
    about += "".join(left_out(axis, seen) for axis, seen in zip(axes, (columns, rows)))
    x, y = (axes[k] if k < len(axes) else None for k in (0, 1))
    made = mosaic(
        maps,
        extents,
        [shown(a) if x else "" for a in columns],
        [shown(b) if y else "" for b in rows],
        x_name=x.name if x else "",
        y_name=y.name if y else "",
        title="What the networks learned",
        subtitle=about,
        captions=captions,
        best=star,
    )
    return Drawing("decision_maps", "The decision map of each setting's median run.", made)


def map_of(setting: Setting | None, by: str, part: str) -> tuple[np.ndarray | None, object, str]:
    """Read the decision map of a setting's median run by NLL, or of the next one that has a map.

    Args:
        setting: None where there is none.
        by: the part whose NLL orders the runs.
        part: the part whose accuracy is shown.

    Returns:
        The map or None, its extent, and the accuracy of the run in words.
    """
    if setting is None:
        return None, None, ""
    jobs = sorted(setting.finished, key=lambda job: job.metric(by, "nll"))
    middle = (len(jobs) - 1) / 2
    for place in sorted(range(len(jobs)), key=lambda place: (abs(place - middle), place)):
        found = read_map(jobs[place].folder / "figures" / "arrays.npz")
        if found is not None:
            value = jobs[place].metric(part, "accuracy")
            return *found[:2], "" if value is None else f"{100 * value:.1f} %"
    return None, None, ""


def read_map(path: Path) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]] | None:
    """Read a map, its extent and the names of its axes from a run's arrays; None where no map can be drawn."""
    try:
        # Opened here: of a damaged file numpy would leave its own open.
        with open_file(path) as file, np.load(file, allow_pickle=False) as arrays:
            grid, extent = arrays["map"], arrays["extent"]
            names = tuple(map(str, arrays["axis_names"])) if "axis_names" in arrays else ()
        extent_of(extent)
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error):
        return None
    if grid.ndim != 3 or 0 in grid.shape or not np.isfinite(grid).all() or grid.min() < 0:
        return None
    return (grid, extent, names) if np.abs(grid.sum(axis=-1) - 1).max() < 1e-3 else None
