"""A sweep's table as text: CSV for machines, Markdown and a few lines on the screen for people."""

import csv
import io
import math
from collections.abc import Sequence

from mlplab.core.intervals import Summary, summarise
from mlplab.runs.table import BAYES, FIGURES, PARTS, Setting, Table, short_names, shown

STATISTICS = ("mean", "sd", "low", "high")
ON_SCREEN = 12
SCREEN = 80


def settings_csv(table: Table) -> str:
    """Write a row a setting: its keys, counts, parameters, and mean, sd and 95 % interval of every figure.

    Nothing in it depends on when or how the runs were made, so that a sweep that was resumed has the same bytes.
    """
    measured = [(part, name) for part in PARTS for name in FIGURES]
    measured = [pair for pair in measured if any(pair in setting.summaries for setting in table.settings)]
    limits = [(part, name) for part in PARTS for name in BAYES]
    limits = [pair for pair in limits if any(pair in setting.summaries for setting in table.settings)]
    header = [*table.keys, "runs", "finished", "diverged", "failed", "unfinished", "parameters"]
    header += [f"{part}/{name}/{statistic}" for part, name in measured for statistic in STATISTICS]
    header += [f"{part}/{name}" for part, name in limits]
    header += [f"log_nll/{statistic}" for statistic in STATISTICS] + ["best", "not_distinguishable_from_best"]
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
    """Write a row a run: its keys, seeds, how it ended, and every figure; as free of times as the settings."""
    names = [(part, name) for part in PARTS for name in FIGURES]
    keys = [*table.keys, *table.replicates]
    header = [*keys, "status", "parameters", *(f"{part}/{name}" for part, name in names), "state_sha256", "run"]
    rows = []
    for job in table.jobs:
        row = [*(cell(job.swept.get(key)) for key in keys), job.status, cell(job.parameters)]
        row += [cell(job.figure(part, name)) for part, name in names]
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


def people_table(table: Table) -> tuple[list[str], list[list[str]]]:
    """Give header and rows of the table for people, in the table's order."""
    header = [*short_names(table.keys), "seeds", "parameters"]
    parts = [part for part in ("test", "fresh") if any(s.mean(part, "nll") is not None for s in table.settings)]
    for part in parts:
        header += [f"{part} accuracy, %", f"{part} NLL"]
    last = parts[-1] if parts else None
    regret = last is not None and any(s.mean(last, "accuracy_regret") is not None for s in table.settings)
    header += ["regret to Bayes, points"] if regret else []
    lost = any(setting.count("finished") < len(setting.jobs) for setting in table.settings)
    header += ["not finished"] if lost else []
    rows = []
    for setting in table.settings:
        row = [*map(shown, setting.values), str(len(setting.finished)), thousands(setting.parameters)]
        for part in parts:
            row += [percent(setting.summaries.get((part, "accuracy"))), nats(setting.summaries.get((part, "nll")))]
        if regret:
            value = setting.mean(last, "accuracy_regret")
            row.append("" if value is None else f"{100 * value:.2f}")
        if lost:
            row.append(lost_words(setting))
        rows.append(row)
    return header, rows


def percent(summary: Summary | None) -> str:
    """Write an accuracy as mean ± sd [interval] in percent."""
    return spread(summary, 100, 2)


def nats(summary: Summary | None) -> str:
    """Write an NLL as mean ± sd [interval]."""
    return spread(summary, 1, 4)


def spread(summary: Summary | None, factor: float, digits: int) -> str:
    if summary is None:
        return ""
    mean = f"{factor * summary.mean:.{digits}f}"
    if summary.sd is None:
        return mean
    low, high = (f"{factor * end:.{digits}f}" for end in (summary.low, summary.high))
    return f"{mean} ± {factor * summary.sd:.{digits}f} [{low}, {high}]"


def thousands(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def lost_words(setting: Setting) -> str:
    """Say how many runs of a setting have no result, and why."""
    numbers = {"diverged": setting.count("diverged"), "failed": setting.count("failed")}
    numbers["unfinished"] = setting.unfinished
    return ", ".join(f"{number} {word}" for word, number in numbers.items() if number)


def lead(table: Table) -> list[str]:
    """Say in a few sentences what was run and what came of it."""
    jobs = table.jobs
    done = sum(job.is_finished for job in jobs)
    lines = [f"{plural(len(table.settings), 'setting')}, {plural(len(jobs), 'run')}, of which {done} finished."]
    best = table.best
    if best is None:
        return [*lines, "No run has finished yet: there is nothing to compare."]
    words = f"Best-known setting: {table.label(best)}, by NLL on {table.chosen_by} points "
    lines.append(words + f"({geometric(best.log_nll)}; {plural(best.log_nll.count, 'seed')}).")
    figures = [
        f"{part} accuracy {percent(found)} %" for part in ("test", "fresh")
        if (found := best.summaries.get((part, "accuracy"))) is not None
    ]  # fmt: skip
    limit = best.mean("fresh", "bayes_accuracy") or best.mean("test", "bayes_accuracy")
    if limit is not None:
        figures.append(f"Bayes limit {100 * limit:.2f} %")
    if figures:
        lines.append(f"Its {', '.join(figures)}.")
    lines.append(near_words(table))
    return lines


def geometric(summary: Summary) -> str:
    """Write the geometric mean and its interval, from a summary of logarithms."""
    words = f"geometric mean {math.exp(summary.mean):.4f}"
    if summary.low is None:
        return words
    return f"{words} [{math.exp(summary.low):.4f}, {math.exp(summary.high):.4f}]"


def near_words(table: Table) -> str:
    """Say which settings cannot be told from the best."""
    near, how = table.near, "Welch's t of log NLL with Holm's correction, 95 %"
    if len(table.settings) == 1:
        return "There is one setting, and so nothing to compare it with."
    if not near:
        return f"Every other setting is worse by more than the seeds' chance ({how})."
    names = "; ".join(table.label(setting) for setting in near[:8])
    more = f"; and {len(near) - 8} more" if len(near) > 8 else ""
    return f"Not distinguishable from it at this number of seeds ({how}): {names}{more}."


def failures(table: Table) -> list[str]:
    """List the runs without a result, with their folders."""
    return [
        f"{job.status}: {job.folder}" + (f": {' '.join(str(job.error).split())[:200]}" if job.error else "")
        for job in table.jobs if not job.is_finished
    ]  # fmt: skip


def times(table: Table) -> list[str]:
    """Say how long the runs took, each on its own clock."""
    lines = []
    for name, words in (("fit", "training"), ("total", "everything")):
        values = [value for job in table.jobs if (value := job.seconds(name)) is not None]
        if values:
            lines.append(
                f"{words}: {sum(values):,.1f} s summed over {plural(len(values), 'run')}, "
                f"{min(values):.2f} to {max(values):.2f} s a run (runs of one population share their clock)"
            )
    return lines


def markdown(table: Table, figures: Sequence[tuple[str, str]]) -> str:
    """Write the report in Markdown; figures are (file name, caption) in ``figures/``."""
    header, rows = people_table(table)
    parts = [f"# Sweep {table.name}", "", *lead(table)[:1], ""]
    parts += ["| " + " | ".join([*map(escaped, header), ""]) + " |", "|" + " ---: |" * (len(header) + 1)]
    for setting, row in zip(table.settings, rows):
        parts.append("| " + " | ".join([*map(escaped, row), mark(setting)]) + " |")
    parts += ["", "★ best-known; ~ not distinguishable from it. Cells: mean ± standard deviation [95 % interval].", ""]
    parts += [line + "\n" for line in lead(table)[1:]]
    for heading, lines in (("Without a result", failures(table)), ("Notes", table.notes), ("Time", times(table))):
        if lines:
            parts += [f"## {heading}", "", *(f"- {escaped(line)}" for line in lines), ""]
    if figures:
        parts += ["## Figures", "", *(f"![{caption}](figures/{name})\n" for name, caption in figures)]
    return "\n".join(parts).rstrip() + "\n"


def mark(setting: Setting) -> str:
    return "★" if setting.best else "~" if setting.near else ""


def escaped(text: str) -> str:
    """Keep a text within its cell of a Markdown table."""
    return str(text).replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")


def plural(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"


def screen(table: Table) -> list[str]:
    """Give the lines for the screen, none longer than 80 columns: the best settings first."""
    part = "fresh" if all(s.mean("fresh", "nll") is not None for s in table.settings if s.finished) else "test"
    if table.chosen_by is None:
        return lead(table)

    def rank(setting: Setting):
        return not setting.best, setting.log_nll is None, setting.log_nll.mean if setting.log_nll else 0.0

    ordered = sorted(table.settings, key=rank)
    rows = [("", "setting", "seeds", "parameters", f"{part} accuracy", "NLL")]
    for setting in ordered[:ON_SCREEN]:
        accuracy, nll = (setting.summaries.get((part, name)) for name in ("accuracy", "nll"))
        sd = "" if accuracy is None or accuracy.sd is None else f" ± {100 * accuracy.sd:.2f}"
        rows.append((
            mark(setting), table.label(setting), str(len(setting.finished)), thousands(setting.parameters),
            "" if accuracy is None else f"{100 * accuracy.mean:.2f}{sd} %", "" if nll is None else f"{nll.mean:.4f}",
        ))  # fmt: skip
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    widths[1] = min(widths[1], SCREEN - (sum(widths) - widths[1]) - 2 * (len(widths) - 1))
    lines = []
    for row in rows:
        name = row[1] if len(row[1]) <= widths[1] else row[1][: widths[1] - 1] + "…"
        cells = [row[0].ljust(widths[0]), name.ljust(widths[1])]
        cells += [text.rjust(width) for text, width in zip(row[2:], widths[2:])]
        lines.append("  ".join(cells).rstrip())
    if len(ordered) > ON_SCREEN:
        lines.append(f"   and {len(ordered) - ON_SCREEN} more")
    limit = (ordered[0].mean(part, "bayes_accuracy"), ordered[0].mean(part, "bayes_nll"))
    if None not in limit:
        lines.append(f"   Bayes limit of the best one's data: {100 * limit[0]:.2f} %, NLL {limit[1]:.4f}")
    lines.append(f"★ best-known, by NLL on {table.chosen_by} points; ~ not distinguishable from it (95 %)")
    return lines
