"""Sweeps of studies that classify nothing: what their results measure, as a table and against the swept keys."""

import math
from collections.abc import Sequence
from typing import Any

from mlplab.report.table import Setting, Table
from mlplab.runs.names import shown
from mlplab.runs.sweep_record import Job

MOST = 8
# Of the rows of a result, such as those of relu_approximation, what is shown of each method.
OF_ROWS = ("max_error", "rms_error", "floor")
# Measured values come first, before times and settings.
FIRST = ("mean_rate_hz", "exact_rate_hz", "relu_distance_hz", "max_error", "rms_error", "floor")


def measured(table: Table) -> list[tuple[str, list[float | None]]]:
    """List what the results measure: name, and the mean over the finished runs of each setting.

    Numbers at the top of ``result.json`` that are not the same everywhere, and of a list ``rows`` (one for each
    method, with ``max_error``) those of its last row, the largest, by method where there are several.

    Returns:
        At most eight, in the table's order of settings; None where a setting has none.
    """
    found: dict[str, list[float | None]] = {}
    values = [[metrics(job) for job in setting.finished] for setting in table.settings]
    names = dict.fromkeys(name for own in values for one in own for name in one)
    for name in names:
        column = [mean([one[name] for one in own if name in one]) for own in values]
        if len({value for value in column if value is not None}) > 1 or len(table.settings) == 1:
            found[name] = column
    ordered = sorted(found, key=lambda name: (rank(name), list(names).index(name)))
    return [(name, found[name]) for name in ordered[:MOST]]


def metrics(job: Job) -> dict[str, float]:
    """Give the numbers that a job's result measures, by name."""
    result = job.result or {}
    found = {
        name: float(value)
        for name, value in result.items()
        if type(value) in (int, float) and math.isfinite(value) and name not in ("seed", "low", "high", "steps")
    }
    rows = (
        [row for row in result.get("rows") or () if isinstance(row, dict)]
        if isinstance(result.get("rows"), list)
        else []
    )
    methods = dict.fromkeys(str(row.get("method")) for row in rows)
    for row in rows:  # of several widths the last counts, the largest
        for name in OF_ROWS:
            if type(row.get(name)) in (int, float):
                found[name if len(methods) == 1 else f"{row.get('method')} {name}"] = float(row[name])
    return found


def mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None


def rank(name: str) -> int:
    last = name.rpartition(" ")[2]
    return FIRST.index(last) if last in FIRST else len(FIRST)


def rows_of(table: Table) -> tuple[list[str], list[list[str]]]:
    """Give header and cells of what was measured, a row a setting in the table's order."""
    columns = measured(table)
    cells = [
        ["" if column[place] is None else shown_number(column[place]) for _, column in columns]
        for place in range(len(table.settings))
    ]
    return [name.replace("_", " ") for name, _ in columns], cells


def shown_number(value: float) -> str:
    return f"{value:.5g}"


def place_of(table: Table, setting: Setting) -> int:
    return next(place for place, one in enumerate(table.settings) if one is setting)


def series(axes: Sequence[Any], column: Sequence[float | None]) -> list[tuple[str, list[Any], list[float]]]:
    """Sort a column into lines along the first axis, one for each combination of the other axes' values."""
    lines: dict[str, dict[Any, float]] = {}
    for place, value in enumerate(column):
        if value is not None:
            name = " ".join(shown(axis.at[place]) for axis in axes[1:])
            lines.setdefault(name, {})[axes[0].at[place]] = value
    ordered = axes[0].values
    return [
        (name, [at for at in ordered if at in line], [line[at] for at in ordered if at in line])
        for name, line in lines.items()
    ]
