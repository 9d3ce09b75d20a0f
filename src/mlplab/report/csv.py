"""A sweep's table as CSV, for machines: numbers that read back to the same bits."""

import csv
import io
from collections.abc import Sequence

from mlplab.report.intervals import Summary, summarise
from mlplab.report.table import MERIT, Setting, Table
from mlplab.runs.metrics import BAYES, METRICS, PARTS

STATISTICS = ("mean", "sd", "low", "high")


def settings_csv(table: Table) -> str:
    """Write a row a setting: its keys, counts, parameters, and mean, sd and 95 % interval of every metric.

    Nothing in it depends on when or how the runs were made: a sweep that was resumed has the same bytes.
    """
    measured = [(part, name) for part in PARTS for name in (*METRICS, *MERIT)]
    measured = [pair for pair in measured if any(pair in setting.summaries for setting in table.settings)]
    limits = [(part, name) for part in PARTS for name in BAYES]
    limits = [pair for pair in limits if any(pair in setting.summaries for setting in table.settings)]
    header = [*table.keys, "runs", "finished", "diverged", "failed", "unfinished", "parameters"]
    header += [f"{part}/{name}/{statistic}" for part, name in measured for statistic in STATISTICS]
    header += [f"{part}/{name}" for part, name in limits]
    header += [f"log_nll/{statistic}" for statistic in STATISTICS] + ["selected", "not_significantly_different"]
    rows = []
    for setting in table.settings:
        row = [*map(cell, setting.values), *counts(setting), cell(setting.parameters)]
        for pair in measured:
            summary = setting.summaries.get(pair)
            row += [cell(getattr(summary, statistic, None)) for statistic in STATISTICS]
        row += [cell(setting.mean(*pair)) for pair in limits]
        row += [cell(getattr(setting.log_nll, statistic, None)) for statistic in STATISTICS]
        rows.append([*row, cell(setting.best), cell(setting.near)])
    return written(header, rows)


def runs_csv(table: Table) -> str:
    """Write a row a run: its keys, seeds, how it ended, and every metric; without times too."""
    names = [(part, name) for part in PARTS for name in METRICS]
    names += [
        ("test", name) for name in MERIT if any(("test", name) in setting.summaries for setting in table.settings)
    ]
    keys = [*table.keys, *table.replicates]
    header = [*keys, "status", "parameters", *(f"{part}/{name}" for part, name in names), "state_sha256", "run"]
    rows = []
    for job in table.jobs:
        row = [*(cell(job.swept.get(key)) for key in keys), job.status, cell(job.parameters)]
        row += [cell(job.metric(part, name)) for part, name in names]
        rows.append([*row, cell((job.result or {}).get("state_sha256")), job.name])
    return written(header, rows)


def seconds_csv(table: Table) -> str:
    """Write a row a setting: mean seconds of fit and in all, over its finished runs."""
    rows = []
    for setting in table.settings:
        row = [*map(cell, setting.values), str(len(setting.finished))]
        for name in ("fit", "total"):
            summary = seconds_of(setting, name)
            row += [cell(getattr(summary, statistic, None)) for statistic in ("mean", "sd")]
        rows.append(row)
    header = [*table.keys, "finished", *(f"{n}_seconds/{s}" for n in ("fit", "total") for s in ("mean", "sd"))]
    return written(header, rows)


def seconds_of(setting: Setting, name: str) -> Summary | None:
    """Summarise the seconds of a setting's finished runs that have them."""
    return summarise([value for job in setting.finished if (value := job.seconds(name)) is not None])


def counts(setting: Setting) -> list[str]:
    """Give the numbers of runs: all, finished, diverged, failed, unfinished."""
    numbers = (len(setting.jobs), len(setting.finished), setting.count("diverged"), setting.count("failed"))
    return [*map(str, numbers), str(setting.unfinished)]


def cell(value) -> str:
    """Write a value so that it reads back to the same bits; nothing for None."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value) if isinstance(value, int | float) else str(value)


def written(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return buffer.getvalue()
