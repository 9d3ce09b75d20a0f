"""The table of sweeps: jobs grouped into settings, each with its mean, spread and interval over seeds."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from mlplab.report.crossed import parts_of, summarise_grid, worse
from mlplab.report.intervals import LEVEL, Summary, holm, summarise, welch
from mlplab.report.scales import SCALES, difference, on_scale
from mlplab.rules import is_number
from mlplab.runs.metrics import BAYES, CHOOSING, METRICS, PARTS
from mlplab.runs.names import short_names, shown
from mlplab.runs.sweep_record import Job

# For test points with unequal classes, where accuracy alone misleads.
MERIT = ("balanced_accuracy", "f1_macro", "auroc")
LEAST_NLL = 1e-12
# With fewer numbers there is no verdict: an interval from two numbers is too wide.
LEAST_SEEDS = 3
# What may be swept of the data without changing the limit that can be reached.
SAME_LIMIT = (
    "data.points_per_arm",
    "data.points_per_class",
    "data.batch_size",
    "data.drop_last",
    "data.test_fraction",
    "data.validation_points",
    "data.fresh_points",
    "data.rotation_degrees",
    "data.seeding",
)


@dataclass
class Setting:
    """The runs that differ in their seeds alone.

    Attributes:
        values: of the setting's keys, in the table's order.
        jobs: its runs, by name.
        summaries: by (part, metric), such as ("test", "accuracy"); absent where no run has it.
        log_nll: of the logarithms of the NLL that chooses; None where no run finished.
        best: whether it is the selected setting.
        near: whether it is not significantly different from the selected one.
        difference: of its log NLL from the selected setting's, with an interval over seeds and the points that both are
            judged on; None where one of the two has fewer than ``LEAST_SEEDS`` numbers.
        p: the larger one of two: over seeds (Welch, Holm) and over seeds and shared points (one-sided, Bonferroni);
            None likewise.
    """

    values: tuple[Any, ...]
    jobs: list[Job]
    summaries: dict[tuple[str, str], Summary] = field(default_factory=dict)
    log_nll: Summary | None = None
    best: bool = False
    near: bool = False
    difference: Summary | None = None
    p: float | None = None

    @property
    def finished(self) -> list[Job]:
        return [job for job in self.jobs if job.is_finished]

    def count(self, *statuses: str) -> int:
        """Count the runs of some statuses."""
        return sum(job.status in statuses for job in self.jobs)

    @property
    def unfinished(self) -> int:
        """Count the runs that neither finished, diverged nor failed."""
        return self.count("interrupted", "running", "missing")

    @property
    def parameters(self) -> int | None:
        """Give the number of parameters; None where it is unknown or differs between runs."""
        found = {job.parameters for job in self.jobs} - {None}
        return found.pop() if len(found) == 1 else None

    def mean(self, part: str, name: str) -> float | None:
        summary = self.summaries.get((part, name))
        return None if summary is None else summary.mean


@dataclass
class Table:
    """Settings in a fixed order.

    Attributes:
        name: of the sweep, or of several joined by " + ".
        keys: the swept keys that make a setting.
        replicates: the swept keys that repeat one.
        settings: ordered by their values.
        chosen_by: the part whose NLL selected; None where no run has one.
        notes: lines about what was odd or was put together.
        study: what the runs are, such as ``train``; None where nothing says.
    """

    name: str
    keys: list[str]
    replicates: list[str]
    settings: list[Setting]
    chosen_by: str | None
    notes: list[str]
    study: str | None = None

    @property
    def ranked(self) -> list[Setting]:
        """List the settings by what selects: the best mean first, those with diverged runs after the others, those
        without any result last."""

        def rank(setting: Setting) -> tuple:
            missing = setting.log_nll is None
            mean = 0.0 if missing else setting.log_nll.mean
            return not setting.best, missing, setting.count("diverged") > 0, mean

        return sorted(self.settings, key=rank)

    @property
    def draws(self) -> bool:
        """Say whether the settings were tried on several draws of the data."""
        return "data.seed" in self.replicates

    @property
    def tested_over(self) -> str:
        """Say over what the tests are: the p-value is the larger one where there are two."""
        if self.draws:
            return "draws of the data"
        compared = [one for one in self.settings if one.best or one.p is not None]
        return f"seeds and shared {self.chosen_by} points" if tables_of(compared) else "seeds"

    @property
    def verdict(self) -> bool:
        """Say whether there are numbers enough to compare any setting with the selected one."""
        return any(setting.difference is not None for setting in self.settings)

    @property
    def jobs(self) -> list[Job]:
        return [job for setting in self.settings for job in setting.jobs]

    @property
    def bests(self) -> list[Setting]:
        """List the selected settings: one, or one for each kind of data, or none."""
        return [setting for setting in self.settings if setting.best]

    @property
    def near(self) -> list[Setting]:
        """List the settings not significantly different from the selected one, nearest first, that one left out."""
        found = [setting for setting in self.settings if setting.near and not setting.best]
        return sorted(found, key=lambda setting: setting.log_nll.mean)

    def label(self, setting: Setting) -> str:
        """Name a setting, such as ``width=16 depth=2``."""
        return setting_label(self.keys, setting.values)


def setting_label(keys: Sequence[str], values: Sequence[Any]) -> str:
    """Name a setting by the last words of its keys."""
    names = short_names(keys)
    return " ".join(f"{name}={shown(value)}" for name, value in zip(names, values)) or "the one setting"


def replicate_order(job: Job, replicates: Sequence[str]) -> list[tuple]:
    """Order the runs of a setting by their seeds."""
    return [order(job.swept.get(key)) for key in replicates]


def order(value: Any) -> tuple:
    """Sort numbers first and by size, then texts, then lists by length and numbers, null last."""
    if value is None:
        return (3, 0.0, "")
    if isinstance(value, int | float):
        return (0, float(value), "")
    text = str(value)
    if text.startswith("["):
        return (2, float(text.count(",")), re.sub(r"\d+", lambda found: found[0].zfill(12), text))
    return (1, 0.0, text)


def independent(jobs: Sequence[Job], values: Sequence[float], replicates: Sequence[str]) -> list[float]:
    """Give numbers of which each is a new draw: of runs on several draws of the data, one mean for each draw.

    Runs that share their data are not independent of each other: more seeds on two draws are still two draws.
    """
    if "data.seed" not in replicates:
        return list(values)
    draws: dict[Any, list[float]] = {}
    for job, value in zip(jobs, values):
        draws.setdefault(job.swept.get("data.seed"), []).append(value)
    if len(draws) < 2:
        return list(values)
    return [math.fsum(found) / len(found) for found in draws.values()]


def over_draws(jobs: Sequence[Job], values: Sequence[float], replicates: Sequence[str]) -> Summary | None:
    """Summarise a metric over seeds and, where there are several, draws of the data, which the seeds share."""
    seeds = [key for key in replicates if key not in ("data.seed", "data.order_seed")]
    grid = {
        (tuple(job.swept.get(key) for key in seeds), job.swept.get("data.seed")): value
        for job, value in zip(jobs, values)
    }
    if "data.seed" not in replicates or len(grid) < len(values):
        return summarise(independent(jobs, values, replicates))
    return summarise_grid(grid)


def folds_of(setting: Setting) -> list[list[float]] | None:
    """Give the validation losses of a setting's finished runs fold by fold; None where a run has none."""
    lists = [(job.result.get("validation") or {}).get("loss_folds") for job in setting.finished]
    good = all(
        isinstance(one, list) and one and len(one) == len(lists[0]) and all(map(is_number, one)) for one in lists
    )
    return lists if lists and good else None


def tables_of(settings: Sequence[Setting]) -> list[list[list[float]]] | None:
    """Give each setting's validation losses, a row a run and a column a fold of the points that all are judged on.

    Seeds alone leave out the luck of the shared validation points, which does not fall with more seeds. On several
    draws of the data the draws, each with points of its own, say it already: then, and where a run has no losses by fold, None.
    """
    tables = [folds_of(one) for one in settings]
    draws = {job.result.get("data_seed") for one in settings for job in one.finished}
    if None in tables or len(draws) > 1 or len({len(table[0]) for table in tables}) > 1:
        return None
    return tables


def summaries_of(jobs: Sequence[Job], replicates: Sequence[str] = ()) -> dict[tuple[str, str], Summary]:
    """Summarise every metric that all finished runs of a setting have; intervals stay within what it can be."""
    found = {}
    for part in PARTS:
        for name in (*METRICS, *BAYES, *(MERIT if part == "test" and all(job.is_unequal for job in jobs) else ())):
            values = [job.metric(part, name) for job in jobs]
            if values and None not in values:
                found[part, name] = on_scale(over_draws(jobs, values, replicates), SCALES.get(name))
    return found


def choose_best(table: Table) -> None:
    """Mark the setting of the lowest NLL on validation points, and those not significantly different from it.

    What is averaged and tested is the logarithm of the NLL: its spread over seeds is about the same at 1 and
    at 0.1, where that of the NLL itself grows with its size and would leave a few runs without any power.
    Settings whose data have different limits are not compared: each kind of data has its own best one.
    """
    having = [setting for setting in table.settings if setting.finished]
    for part in CHOOSING:
        if having and all((part, "nll") in setting.summaries for setting in having):
            break
    else:
        return
    table.chosen_by = part
    for setting in having:
        logs = [math.log(max(job.metric(part, "nll"), LEAST_NLL)) for job in setting.finished]
        setting.log_nll = summarise(independent(setting.finished, logs, table.replicates))
    places = [place for place, key in enumerate(table.keys) if key.startswith("data") and key not in SAME_LIMIT]
    groups: dict[tuple, list[Setting]] = {}
    for setting in having:
        groups.setdefault(tuple(repr(setting.values[place]) for place in places), []).append(setting)
    if len(groups) > 1:
        names = " and ".join(table.keys[place] for place in places)
        table.notes.append(f"settings of different {names} have different limits and are not compared")
    for group in groups.values():
        if len(group) > 1 or len(groups) == 1:
            mark_best(group)
    note_rules(table)


def mark_best(settings: Sequence[Setting]) -> None:
    """Select one of some settings, compare the others with it, and mark those not significantly different.

    Only settings with at least half as many finished runs as the fullest one can be selected: a single run that
    went well is no setting that does. One of which a run diverged is selected only where every one has such a run,
    and is never marked beside one that has none.
    """
    enough = math.ceil(max(setting.log_nll.count for setting in settings) / 2)
    able = [index for index, setting in enumerate(settings) if setting.log_nll.count >= enough]
    able = [index for index in able if not settings[index].count("diverged")] or able
    best = min(able, key=lambda index: settings[index].log_nll.mean)
    chosen = settings[best]
    chosen.best = True
    if chosen.log_nll.count < LEAST_SEEDS:
        return
    others = [one for one in settings if one is not chosen and one.log_nll.count >= LEAST_SEEDS]
    chosen.near = True
    tables = tables_of([chosen, *others])
    by_seeds = holm([welch(one.log_nll, chosen.log_nll) for one in others])
    by_points = worse(tables, 0)[1:] if tables else [None] * len(others)
    for index, (setting, seeds_p, points_p) in enumerate(zip(others, by_seeds, by_points)):
        setting.p = max(seeds_p, points_p or 0.0)
        shared = shared_variance(tables[index + 1], tables[0]) if tables else None
        setting.difference = difference(setting.log_nll, chosen.log_nll, shared=shared)
        setting.near = setting.p > 1 - LEVEL and (setting.count("diverged") == 0 or chosen.count("diverged") > 0)


def shared_variance(table: Sequence[Sequence[float]], other: Sequence[Sequence[float]]) -> tuple[float, int]:
    """Give the variance of the logarithm of a ratio of mean losses that comes from the points both are judged on.

    To first order it is that of the difference of the means, over the square of the second one.

    Returns:
        The variance, and its degrees of freedom.
    """
    one, two = parts_of(table), parts_of(other)
    found = summarise([a - b for a, b in zip(one.columns, two.columns)])
    return ((found.sd or 0.0) / max(two.mean, LEAST_NLL)) ** 2 / found.count, max(found.count - 1, 1)


def note_rules(table: Table) -> None:
    """Say what a reader would else have to guess: what diverged, and over what the intervals are."""
    lost = [setting for setting in table.settings if setting.count("diverged")]
    if lost and len(lost) < len(table.settings):
        table.notes.append("settings of which a run diverged rank after the others, whatever their other runs reached")
    if table.draws:
        table.notes.append(
            "runs on one draw of the data count as one number, their mean: intervals and tests are over draws (data.seed)"
        )
        seeds = {
            tuple(job.swept.get(key) for key in table.replicates if key not in ("data.seed", "data.order_seed"))
            for job in table.jobs
        }
        if len(seeds) == 2:
            table.notes.append(
                "two seeds on the same draws say little of their own share: 95 % intervals cover 92 to 98 %; give 3 seeds or more"
            )
    elif table.replicates and table.study in (None, "train"):
        table.notes.append(
            "the data were drawn once (data.seed was not swept): intervals and tests say nothing of other draws of the data"
        )
