"""Where the regret of a sweep's runs comes from: the split that ``limits`` measured, by setting."""

import math

from mlplab.errors import InputError
from mlplab.report.table import Table
from mlplab.runs.files import read_json
from mlplab.runs.sweep_record import Job
from mlplab.words import markdown_table, plural

FILE, SPLIT = "limits.json", "Where the NLL regret comes from"


def split_of(job: Job) -> dict[str, float] | None:
    """Read the parts of a run's NLL regret; None where ``limits`` was not asked."""
    try:
        found = read_json(job.folder / FILE)["split"]["nll_regret"]
    except (InputError, KeyError, TypeError):
        return None
    good = isinstance(found, dict) and all(type(value) in (int, float) for value in found.values())
    return found if good else None


def split_table(table: Table) -> list[list[str]]:
    """Give header and rows for people: the mean parts of each setting's runs that have them; nothing where none has."""
    rows = []
    for setting in table.ranked:
        splits = [split for job in setting.finished if (split := split_of(job))]
        if splits:
            means = [math.fsum(split.get(part, math.nan) for split in splits) / len(splits) for part in splits[0]]
            header = ["setting", "runs", "NLL regret", *splits[0]]
            rows.append(
                [table.label(setting), str(len(splits)), *(f"{value:.5f}" for value in (math.fsum(means), *means))]
            )
    return [header, *rows] if rows else []


WORDS = (
    "data: what the Bayes learner loses, who has the same points and knows the family; bias: what the best network known "
    "loses beyond it; architecture: what the setting's own network loses beyond that, tuned; optimisation: the rest."
)


def split_markdown(table: Table) -> list[str]:
    """Write the section of the report in Markdown; nothing where there is no split."""
    rows = split_table(table)
    return [f"## {SPLIT}", "", markdown_table(rows), "", WORDS, ""] if rows else []


def split_lines(table: Table) -> list[str]:
    """Write the split in sentences, for the page."""
    rows = split_table(table)
    if not rows:
        return []
    said = [
        f"{row[0]} ({plural(int(row[1]), 'run')}): {row[2]} nats, of it "
        + ", ".join(f"{part} {value}" for part, value in zip(rows[0][3:], row[3:]))
        + "."
        for row in rows[1:]
    ]
    return [*said, WORDS]
