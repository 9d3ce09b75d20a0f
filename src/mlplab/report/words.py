"""A sweep's table in words: Markdown, and a few lines on the screen."""

import math
from collections.abc import Sequence

from mlplab.report.intervals import Summary
from mlplab.report.table import Setting, Table
from mlplab.runs.names import short_names, shown
from mlplab.words import columns, in_markdown, markdown_table, plural

ON_SCREEN = 12


def people_table(table: Table) -> tuple[list[str], list[list[str]]]:
    """Give header and rows of the table for people, in the table's order."""
    header = [*short_names(table.keys), "seeds", "parameters"]
    parts = [
        part for part in ("test", "fresh") if any(s.mean(part, "nll") is not None for s in table.settings)
    ]
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
            row += [
                percent(setting.summaries.get((part, "accuracy"))),
                nats(setting.summaries.get((part, "nll"))),
            ]
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
    lines = [
        f"{plural(len(table.settings), 'setting')}, {plural(len(jobs), 'run')}, of which {done} finished."
    ]
    if table.chosen_by is None:
        return [*lines, "No run has finished yet: there is nothing to compare."]
    for best in table.bests[:6]:
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
    return [*lines, near_words(table)]


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
    if not table.bests:
        return "Every setting has data of its own, and so its own limit: compare their regrets."
    if not near:
        return f"Every other setting is worse by more than the seeds' chance ({how})."
    names = "; ".join(table.label(setting) for setting in near[:8])
    more = f"; and {len(near) - 8} more" if len(near) > 8 else ""
    return f"Not distinguishable from the best at this number of seeds ({how}): {names}{more}."


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
    cells = [[*row, mark(setting)] for setting, row in zip(table.settings, rows)]
    parts.append(markdown_table([[*header, ""], *cells], left=0))
    parts += [
        "",
        "★ best-known; ~ not distinguishable from it. Cells: mean ± standard deviation [95 % interval].",
        "",
    ]
    parts += [line + "\n" for line in lead(table)[1:]]
    for heading, lines in (
        ("Without a result", failures(table)),
        ("Notes", table.notes),
        ("Time", times(table)),
    ):
        if lines:
            parts += [f"## {heading}", "", *(f"- {in_markdown(line)}" for line in lines), ""]
    if figures:
        parts += ["## Figures", "", *(f"![{caption}](figures/{name})\n" for name, caption in figures)]
    return "\n".join(parts).rstrip() + "\n"


def mark(setting: Setting) -> str:
    return "★" if setting.best else "~" if setting.near else ""


def screen(table: Table) -> list[str]:
    """Give the lines for the screen, none longer than 80 columns: the best settings first."""
    part = (
        "fresh" if all(s.mean("fresh", "nll") is not None for s in table.settings if s.finished) else "test"
    )
    if table.chosen_by is None:
        return lead(table)

    def rank(setting: Setting):
        return not setting.best, setting.log_nll is None, setting.log_nll.mean if setting.log_nll else 0.0

    ordered = sorted(table.settings, key=rank)
    rows = [("", "setting", "seeds", "parameters", f"{part} accuracy", "regret", f"{part} NLL")]
    for setting in ordered[:ON_SCREEN]:
        accuracy, nll = (setting.summaries.get((part, name)) for name in ("accuracy", "nll"))
        regret = setting.mean(part, "accuracy_regret")
        sd = "" if accuracy is None or accuracy.sd is None else f" ± {100 * accuracy.sd:.2f}"
        rows.append((
            mark(setting), table.label(setting), str(len(setting.finished)), thousands(setting.parameters),
            "" if accuracy is None else f"{100 * accuracy.mean:.2f}{sd} %",
            "" if regret is None else f"{100 * regret:.2f}", "" if nll is None else f"{nll.mean:.4f}",
        ))  # fmt: skip
    # What stands in sweep.md makes way for the names, whose ends are what tells settings apart.
    lines = columns(rows, left=2, drop=("parameters", "regret", "seeds"))
    if len(ordered) > ON_SCREEN:
        lines.append(f"   and {len(ordered) - ON_SCREEN} more")
    limits = {(setting.mean(part, "bayes_accuracy"), setting.mean(part, "bayes_nll")) for setting in ordered}
    limit = limits.pop()
    if not limits and None not in limit:
        regret = "; regret: points of accuracy below it" if "  regret" in lines[0] else ""
        lines.append(f"   Bayes limit: {100 * limit[0]:.2f} %, NLL {limit[1]:.4f}{regret}")
    if table.bests:
        lines.append(
            f"★ best-known, by NLL on {table.chosen_by} points; ~ not distinguishable from it (95 %)"
        )
    return lines
