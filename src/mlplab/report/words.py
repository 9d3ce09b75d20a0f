"""A sweep's table in words: Markdown, and a few lines on the screen."""

import math
from collections import Counter
from collections.abc import Sequence

from mlplab.report.effects import effects
from mlplab.report.intervals import Summary
from mlplab.report.studies import place_of, rows_of
from mlplab.report.table import LEAST_SEEDS, MERIT, Setting, Table
from mlplab.runs.names import short_names, shown
from mlplab.words import columns, in_markdown, markdown_table, plural, wrapped

ON_SCREEN = 12


MERIT_WORDS = {"balanced_accuracy": "balanced accuracy, %", "f1_macro": "F1, %", "auroc": "AUROC, %"}


def people_table(table: Table) -> tuple[list[str], list[list[str]]]:
    """Give header and rows of the table for people, by what selects: the selected setting first."""
    header = [*short_names(table.keys), "draws" if table.draws else "seeds"]
    if table.chosen_by is not None:
        header += [f"{table.chosen_by} NLL"]
        if table.verdict:
            header += ["against the selected", "p"]
    parts = [
        part
        for part in ("test", "fresh")
        if part != table.chosen_by and any(s.mean(part, "nll") is not None for s in table.settings)
    ]
    for part in parts:
        header += [f"{part} accuracy, %", f"{part} NLL"]
    merit = [name for name in MERIT if any(s.mean("test", name) is not None for s in table.settings)]
    header += [MERIT_WORDS[name] for name in merit]
    last = parts[-1] if parts else table.chosen_by
    regret = last is not None and any(s.mean(last, "accuracy_regret") is not None for s in table.settings)
    header += ["regret to Bayes, points"] if regret else []
    header += ["parameters"] if any(s.parameters is not None for s in table.settings) else []
    other, cells = rows_of(table) if table.chosen_by is None else ([], [])
    header += other
    rows = []
    for setting in table.ranked:
        row = [*map(shown, setting.values), count_words(setting)]
        if table.chosen_by is not None:
            row.append("" if setting.log_nll is None else geometric_cell(setting.log_nll))
            if table.verdict:
                row += [ratio_words(setting), p_words(setting.p)]
        for part in parts:
            row += [percent(setting.summaries.get((part, "accuracy"))), nats(setting.summaries.get((part, "nll")))]
        row += [percent(setting.summaries.get(("test", name))) for name in merit]
        if regret:
            value = setting.mean(last, "accuracy_regret")
            row.append("" if value is None else f"{100 * value:.2f}")
        row += [thousands(setting.parameters)] if "parameters" in header else []
        row += cells[place_of(table, setting)] if cells else []
        rows.append(row)
    return header, rows


def count_words(setting: Setting) -> str:
    """Say how many numbers the metrics stand on and, where runs are missing, why: ``1 of 2; 1 diverged``."""
    lost = lost_words(setting)
    done = len(setting.finished)
    count = setting.log_nll.count if setting.log_nll is not None else done
    if not lost:
        return str(count)
    return f"{done} of {len(setting.jobs)}; {lost}"


def geometric_cell(summary: Summary) -> str:
    """Write a geometric mean and its interval in a cell, from a summary of logarithms."""
    if summary.low is None:
        return number(math.exp(summary.mean))
    return f"{number(math.exp(summary.mean))} [{number(_exp(summary.low))}, {number(_exp(summary.high))}]"


def ratio_words(setting: Setting) -> str:
    """Write a setting's NLL over the selected one's, with the interval of the ratio."""
    if setting.best:
        return "selected"
    if setting.difference is None:
        return "too few"
    ends = [setting.difference.mean, setting.difference.low, setting.difference.high]
    mean, low, high = (f"{_exp(end):.3g}" for end in ends)
    return f"x {mean} [{low}, {high}]"


def p_words(p: float | None) -> str:
    if p is None:
        return ""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def number(value: float) -> str:
    """Write an NLL in four decimals, or where these would not do in three digits."""
    return f"{value:.4f}" if 0.001 <= value < 1000 else f"{value:.3g}"


def _exp(value: float) -> float:
    return math.exp(min(value, 700.0))


def percent(summary: Summary | None) -> str:
    """Write an accuracy as mean ± sd [interval] in percent."""
    return spread(summary, 100, 2)


def nats(summary: Summary | None) -> str:
    """Write an NLL as mean ± sd [interval]."""
    return spread(summary, 1, 4)


def spread(summary: Summary | None, factor: float, digits: int) -> str:
    if summary is None:
        return ""

    def cell(value: float) -> str:
        return f"{factor * value:.{digits}f}" if abs(factor * value) < 1e5 else f"{factor * value:.2e}"

    if summary.sd is None:
        return cell(summary.mean)
    return f"{cell(summary.mean)} ± {cell(summary.sd)} [{cell(summary.low)}, {cell(summary.high)}]"


def thousands(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def lost_words(setting: Setting) -> str:
    """Say how many runs of a setting have no result, and why."""
    numbers = {"diverged": setting.count("diverged"), "failed": setting.count("failed")}
    numbers["unfinished"] = setting.unfinished
    return ", ".join(f"{number} {word}" for word, number in numbers.items() if number)


def lead(table: Table) -> list[str]:
    """Say in a few sentences what was run and what resulted."""
    jobs = table.jobs
    done = sum(job.is_finished for job in jobs)
    lines = [f"{plural(len(table.settings), 'setting')}, {plural(len(jobs), 'run')}, of which {done} finished."]
    if table.chosen_by is None:
        if not done:
            return [*lines, "No run has finished yet: there is nothing to compare."]
        return [*lines, "The runs classify nothing, so nothing is selected: the table shows what they measured."]
    for best in table.bests[:6]:
        words = f"Selected setting: {table.label(best)}, by NLL on {table.chosen_by} points "
        unit = "data draw" if table.draws else "seed"
        lines.append(words + f"({geometric(best.log_nll)}; {plural(best.log_nll.count, unit)}).")
        figures = [
            f"{part} accuracy {percent(found)} %"
            for part in ("test", "fresh")
            if (found := best.summaries.get((part, "accuracy"))) is not None
        ]
        limit = best.mean("fresh", "bayes_accuracy") or best.mean("test", "bayes_accuracy")
        if limit is not None:
            figures.append(f"Bayes limit {100 * limit:.2f} %")
        if figures:
            lines.append(f"Its {', '.join(figures)}.")
    return [*lines, near_words(table), *effects(table)]


def geometric(summary: Summary) -> str:
    """Write the geometric mean and its interval, from a summary of logarithms."""
    words = f"geometric mean {math.exp(summary.mean):.4f}"
    if summary.low is None:
        return words
    return f"{words} [{math.exp(summary.low):.4f}, {math.exp(summary.high):.4f}]"


def near_words(table: Table) -> str:
    """Say which settings are not significantly different from the selected one, or why nothing can be said."""
    near = table.near
    how = f"log NLL over {table.tested_over}, corrected for the number of comparisons, 95 %"
    if len(table.settings) == 1:
        return "There is one setting, and so nothing to compare it with."
    if not table.bests:
        return "Every setting has data of its own, and so its own limit: compare their regrets."
    unit = "data draws" if table.draws else "seeds"
    if not table.verdict:
        most = max((setting.log_nll.count for setting in table.settings if setting.log_nll), default=0)
        why = (
            f"with {plural(most, unit[:-1])} a setting"
            if most < LEAST_SEEDS
            else f"where only one setting has {LEAST_SEEDS} {unit}"
        )
        return (
            f"No verdict: {why} chance and effect cannot be separated. Give {LEAST_SEEDS} or "
            f"more ({'data.seed' if table.draws else 'seed'}=0,1,2,...); the order of the settings may be chance."
        )
    few = sum(setting.difference is None and not setting.best for setting in table.settings if setting.log_nll)
    more = f" Of {plural(few, 'setting')} with fewer than {LEAST_SEEDS} {unit} nothing is said." if few else ""
    if not near:
        return f"Every other setting is worse by more than the {unit}' chance ({how}).{more}"
    names = "; ".join(table.label(setting) for setting in near[:8])
    names += f"; and {len(near) - 8} more" if len(near) > 8 else ""
    return f"Not significantly different from it at this number of {unit} ({how}): {names}.{more}"


def failures(table: Table) -> list[str]:
    """List the runs without a result, with their folders."""
    return [
        f"{job.status}: {job.folder}" + (f": {reason(job.error)}" if job.error else "")
        for job in table.jobs
        if not job.is_finished
    ]


def reason(error: str) -> str:
    """Give the reason of a failure whole: the one line of it, or what its traceback ends with."""
    lines = str(error).strip().splitlines()
    return " ".join((lines[-1] if lines[0].startswith("Traceback") else " ".join(lines)).split())


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


def markdown(
    table: Table,
    figures: Sequence[tuple[str, str]],
    sentences: Sequence[str] | None = None,
    without: Sequence[str] = (),
    more: Sequence[str] = (),
) -> str:
    """Write the report in Markdown.

    Args:
        figures: (file name, caption) in ``figures/``.
        sentences: those of :func:`lead` by default.
        without: why other figures are left out.
        more: lines of further sections, after the table's own.
    """
    sentences = lead(table) if sentences is None else sentences
    header, rows = people_table(table)
    parts = [f"# Sweep {in_markdown(table.name)}", "", *map(in_markdown, sentences[:1]), ""]
    cells = [[*row, mark(table, setting)] for setting, row in zip(table.ranked, rows)]
    parts.append(markdown_table([[*header, ""], *cells], left=0))
    parts += ["", legend(table), ""]
    parts += [in_markdown(line) + "\n" for line in sentences[1:]] + list(more)
    for heading, lines in (
        ("Without a result", failures(table)),
        ("Notes", table.notes),
        ("Figures left out", without),
        ("Time", times(table)),
    ):
        if lines:
            parts += [f"## {heading}", "", *(f"- {in_markdown(line)}" for line in lines), ""]
    if figures:
        parts += ["## Figures", "", *(f"![{in_markdown(caption)}](figures/{name})\n" for name, caption in figures)]
    return "\n".join(parts).rstrip() + "\n"


def mark(table: Table, setting: Setting) -> str:
    """Mark the selected setting, and those not significantly different; nothing where there is no verdict."""
    if setting.best:
        return "★" if len(table.settings) > 1 else ""
    return "~" if setting.near else ""


def legend(table: Table) -> str:
    """Explain marks and cells of the table, as far as they occur."""
    if table.chosen_by is None:
        return "Means over each setting's finished runs."
    words = [f"Ordered by {table.chosen_by} NLL, its geometric mean; ★ selected by it"]
    if table.verdict:
        words.append(
            f"~ not significantly different from it; x: its NLL over that of the selected, with an interval, and p, over {table.tested_over}"
        )
    words.append(
        f"other cells: mean ± standard deviation [95 % interval], over {'draws of the data' if table.draws else 'seeds'}"
    )
    told = "; ".join(words) + "."
    kept = any((job.result or {}).get("evaluated") == "best" for one in table.settings for job in one.finished)
    if kept and table.chosen_by == "validation":
        told += (
            " Each run was measured at its best epoch on validation points: its NLL on them is therefore too low, "
            "the more it changes from epoch to epoch; test and fresh points had no part in the choice."
        )
    return told


def screen(table: Table, brief: bool = False) -> list[str]:
    """Give the lines for the screen, none longer than 80 columns: the best settings first.

    Args:
        brief: whether the comparison of the settings was printed before.
    """
    if table.chosen_by is None:
        return study_screen(table)
    part = next(
        (
            part
            for part in ("fresh", "test")
            if all(s.mean(part, "nll") is not None for s in table.settings if s.finished)
        ),
        table.chosen_by,
    )
    ordered = table.ranked
    unit = "draws" if table.draws else "seeds"
    rows = [("", "setting", unit, f"{table.chosen_by} NLL", "p", f"{part} accuracy", "regret", "parameters")]
    names = screen_names(table, ordered[:ON_SCREEN])
    for name, setting in zip(names, ordered):
        accuracy = setting.summaries.get((part, "accuracy"))
        regret = setting.mean(part, "accuracy_regret")
        sd = "" if accuracy is None or accuracy.sd is None else f" ± {100 * accuracy.sd:.2f}"
        rows.append(
            (
                mark(table, setting),
                name,
                count_words(setting),
                "" if setting.log_nll is None else number(math.exp(setting.log_nll.mean)),
                p_words(setting.p),
                "" if accuracy is None else f"{100 * accuracy.mean:.2f}{sd} %",
                "" if regret is None else f"{100 * regret:.2f}",
                thousands(setting.parameters),
            )
        )
    for heading in ("p", "regret", "parameters"):
        column = rows[0].index(heading)
        if not any(row[column] for row in rows[1:]):
            rows = [row[:column] + row[column + 1 :] for row in rows]
    # Columns that sweep.md has too are dropped first: the ends of the names distinguish the settings.
    lines = columns(rows, left=2, drop=("parameters", "regret", "p", f"{part} accuracy"))
    if len(ordered) > ON_SCREEN:
        lines.append(f"   and {len(ordered) - ON_SCREEN} more")
    notes = [f"p: over {table.tested_over}"] if "p" in lines[0].split() else []
    notes += [f"±: standard deviation over {unit}"] if "±" in "".join(lines) else []
    limits = {(setting.mean(part, "bayes_accuracy"), setting.mean(part, "bayes_nll")) for setting in ordered}
    limit = limits.pop()
    if not limits and None not in limit:
        regret = "; regret: percentage points of accuracy lost" if "regret" in rows[0] else ""
        lines.append(f"   Bayes limit: {100 * limit[0]:.2f} %, NLL {limit[1]:.4f}{regret}")
    if notes:
        lines.append(f"   {'; '.join(notes)}")
    if table.bests and len(table.settings) > 1:
        rest = "; ~ not significantly different (95 %)" if table.verdict else ""
        lines.append(f"★ selected, by NLL on {table.chosen_by} points{rest}")
        if not table.verdict and not brief:
            lines.append(wrapped(near_words(table)))
    return lines


def study_screen(table: Table) -> list[str]:
    """Give the lines for the screen of a sweep that classifies nothing: as many columns as fit."""
    lines = [wrapped(sentence) for sentence in lead(table)]
    header, cells = rows_of(table)
    if not header:
        return lines
    rows = [["setting", *header]] + [[name, *row] for name, row in zip(screen_names(table, table.settings), cells)]
    lines += columns(rows[: ON_SCREEN + 1], drop=header[:0:-1])
    return lines + ([f"and {len(rows) - 1 - ON_SCREEN} more"] if len(rows) - 1 > ON_SCREEN else [])


def screen_names(table: Table, settings: Sequence[Setting]) -> list[str]:
    """Name settings for narrow columns: of many keys, those whose value is the usual one are left out."""
    if len(table.keys) <= 3:
        return [table.label(setting) for setting in settings]
    usual = [
        Counter(repr(setting.values[place]) for setting in table.settings).most_common(1)[0][0]
        for place in range(len(table.keys))
    ]
    names = []
    for setting in settings:
        places = [place for place, value in enumerate(setting.values) if repr(value) != usual[place]]
        shorts = short_names(table.keys)
        names.append(
            " ".join(f"{shorts[place]}={shown(setting.values[place])}" for place in places) or "the usual values"
        )
    return names if len(set(names)) == len(names) else [table.label(setting) for setting in settings]
