"""What the figures of a sweep share: whose metrics are shown, over which runs, beside which limit."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from mlplab.report.axes import Axis, plain
from mlplab.report.table import Table
from mlplab.runs.sweep_record import Job
from mlplab.words import plural

SHOWN = ("fresh", "test", "validation", "train")
POINTS = {part: f"{part} points" for part in SHOWN}


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
    """Choose whose metrics are drawn: the fresh points', which are most; None where no run finished."""
    having = [setting for setting in table.settings if setting.finished]
    for part in SHOWN:
        if having and all(setting.mean(part, "nll") is not None for setting in having):
            return part
    return None


def over_seeds(table: Table, what: str) -> str:
    """Say over how many seeds something was computed; of single runs there is no spread to speak of."""
    counts = sorted({len(setting.finished) for setting in table.settings if setting.finished})
    if counts[-1] == 1:
        return "one run of each setting"
    seeds = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return f"{what} over {seeds} {'runs (seeds and data draws)' if table.draws else 'seeds'}"


def subtitle(table: Table, part: str, what: str = "mean ± standard deviation") -> str:
    """Say how many runs the metrics stand on, and the limit where there is one."""
    words = over_seeds(table, what)
    limit = bayes_of(table, part)
    if limit is not None:
        words += f"  ·  Bayes limit {100 * limit[0]:.2f} %, NLL {limit[1]:.4f}"
    return words


def bayes_of(table: Table, part: str) -> tuple[float, float] | None:
    """Give the limit where all settings share one."""
    found = {
        (setting.mean(part, "bayes_accuracy"), setting.mean(part, "bayes_nll"))
        for setting in table.settings
        if setting.finished
    }
    limit = found.pop() if len(found) == 1 else (None, None)
    return None if None in limit else limit


def picked(table: Table, chosen: dict[int, object], axes: Sequence[Axis]) -> list[int]:
    """List the settings whose coordinates on the axes (by their number) have the chosen values."""
    return [
        index
        for index in range(len(table.settings))
        if all(axes[number].at[index] == value for number, value in chosen.items())
    ]


def jobs_of(table: Table, indices: Sequence[int]) -> list[Job]:
    return [job for index in indices for job in table.settings[index].finished]


def metrics_of(jobs: Sequence[Job], part: str, kind: str) -> list[float]:
    """List a metric of some runs; a run without it is left out."""
    return [value for job in jobs if (value := job.metric(part, kind)) is not None]


def left_out(axis: Axis, shown: Sequence[object]) -> str:
    """Say in a subtitle that a figure shows some of an axis's values; nothing where it shows all."""
    count = len(axis.values)
    return f"  ·  {len(shown)} of {plural(count, 'value')} of {plain(axis)}" if len(shown) < count else ""
