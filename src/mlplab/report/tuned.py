"""Settings compared after their own tuning: how they are trained is chosen on validation points, for each by itself."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mlplab.report.intervals import Summary, holm, summarise
from mlplab.report.paired import p_of
from mlplab.report.table import LEAST_SEEDS, SAME_LIMIT, Setting, Table, setting_label
from mlplab.runs.names import shown
from mlplab.words import columns, in_markdown, markdown_table, plural, wrapped

TUNED = "Each after its own tuning"

# Keys that say how a network is trained and not what is trained on what.
TRAINING = ("optimizer", "schedule", "trainer", "data.batch_size", "model.dropout", "model.initialization")


@dataclass
class Tuned:
    """Networks of one kind, each trained as was best on the other draws of the data.

    Attributes:
        values: of the keys that are compared.
        chosen: how they are trained and on how many draws (or seeds) that was chosen, the most frequent first.
        nll, accuracy: regrets on fresh points, one number a draw (or seed) in the order of ``units``; where the posterior
            is unknown NLL and share of wrong answers.
        ends: what was chosen on most draws although no smaller, or no larger, value was tried.
    """

    values: tuple[Any, ...]
    chosen: list[tuple[str, int]]
    nll: list[float]
    accuracy: list[float]
    ends: list[str]


@dataclass
class Comparison:
    """All kinds of networks of a sweep, by NLL.

    Attributes:
        keys: that are compared; ``training`` those that are tuned.
        units: what repeats: draws of the data, or seeds.
        of_draws: whether they are draws.
        rows: the lowest mean NLL first, where they have one limit; else as the table orders them.
        same_limit: whether the rows may be compared.
        regret: whether ``nll`` and ``accuracy`` are regrets.
    """

    keys: list[str]
    training: list[str]
    units: list[Any]
    of_draws: bool
    rows: list[Tuned]
    same_limit: bool
    regret: bool


def compare_tuned(table: Table) -> Comparison | None:
    """Choose for each value of the other keys how it is trained, and compare what that gives.

    On each draw of the data (on each seed, where the data were drawn once) the training is chosen by the mean log NLL on
    the validation points of all other draws, by that of KL(p || q) where the posterior p is known, and judged on this
    draw's fresh points: no metric has a part in a choice that it is judged by.

    Returns:
        None where the sweep varies no training, or nothing else, or has too few finished runs for it.
    """
    training = [key for key in table.keys if key.startswith(TRAINING)]
    keys = [key for key in table.keys if key not in training]
    if not training or not keys or table.chosen_by != "validation":
        return None
    regret = all(
        job.metric(part, "nll_regret") is not None
        for s in table.settings
        for job in s.finished
        for part in ("validation", "fresh")
    )
    part = (
        "fresh" if all(job.metric("fresh", "nll") is not None for s in table.settings for job in s.finished) else "test"
    )
    unit = "data.seed" if table.draws else next((key for key in table.replicates), None)
    units = list(dict.fromkeys(job.swept.get(unit) for s in table.settings for job in s.finished))
    groups: dict[tuple, list[Setting]] = {}
    for setting in table.settings:
        if {job.swept.get(unit) for job in setting.finished} == set(units):
            groups.setdefault(_values(table, setting, keys), []).append(setting)
    if len(groups) < 2:
        return None
    rows = [_tuned(table, values, group, training, unit, units, part, regret) for values, group in groups.items()]
    same = not any(key.startswith("data") and key not in SAME_LIMIT for key in keys)
    if same:
        rows.sort(key=lambda row: math.fsum(row.nll))
    return Comparison(keys, training, units, unit == "data.seed", rows, same, regret)


def _values(table: Table, setting: Setting, keys: Sequence[str]) -> tuple:
    return tuple(value for key, value in zip(table.keys, setting.values) if key in keys)


def _by_unit(setting: Setting, unit: str | None, units: Sequence[Any], metric) -> list[float]:
    """Average a metric of a setting's runs on each unit."""
    found: dict[Any, list[float]] = {}
    for job in setting.finished:
        found.setdefault(job.swept.get(unit), []).append(metric(job))
    return [math.fsum(found[one]) / len(found[one]) for one in units]


def _tuned(
    table: Table,
    values: tuple,
    group: Sequence[Setting],
    training: Sequence[str],
    unit: str | None,
    units: Sequence[Any],
    part: str,
    regret: bool,
) -> Tuned:
    judge = "nll_regret" if regret else "nll"
    losses = [
        _by_unit(one, unit, units, lambda job: math.log(max(job.metric("validation", judge), 1e-12))) for one in group
    ]
    nll = [_by_unit(one, unit, units, lambda job: job.metric(part, judge)) for one in group]
    wrong = [
        _by_unit(
            one,
            unit,
            units,
            lambda job: job.metric(part, "accuracy_regret") if regret else 1 - job.metric(part, "accuracy"),
        )
        for one in group
    ]
    picks = []
    for place in range(len(units)):
        others = [k for k in range(len(units)) if k != place] or [place]
        picks.append(min(range(len(group)), key=lambda one: math.fsum(losses[one][k] for k in others)))
    picked = Counter(picks).most_common()
    ways = [_values(table, one, training) for one in group]
    chosen = [(setting_label(training, ways[one]), count) for one, count in picked]
    ends = []
    for place, key in enumerate(training):
        tried = sorted({way[place] for way in ways if isinstance(way[place], int | float)})
        for end, word in ((tried[:1], "lowest"), (tried[-1:], "largest")):
            if len(tried) > 1 and 2 * sum(ways[one][place] in end for one in picks) > len(picks):
                ends.append(f"the {word} {key.rpartition('.')[2]} tried")
    return Tuned(
        values,
        chosen,
        [nll[one][k] for k, one in enumerate(picks)],
        [wrong[one][k] for k, one in enumerate(picks)],
        ends,
    )


def differences(found: Comparison, name: str) -> list[tuple[Summary, float] | None]:
    """Compare each row with the first one draw by draw, in ``nll`` or ``accuracy``: the difference and Holm's p.

    Returns:
        None for the first row, and for all where the limits differ or there are fewer than three draws.
    """
    if not found.same_limit or len(found.units) < LEAST_SEEDS:
        return [None] * len(found.rows)
    best = getattr(found.rows[0], name)
    pairs = [summarise([a - b for a, b in zip(getattr(row, name), best)]) for row in found.rows[1:]]
    return [None, *zip(pairs, holm([p_of(pair) for pair in pairs]))]


def tuned_table(found: Comparison) -> list[list[str]]:
    """Give header and rows for people: means with their standard errors over draws."""
    what = ("NLL regret", "accuracy regret, percentage points") if found.regret else ("NLL", "wrong answers, %")
    header = [" ".join(key.rpartition(".")[2] for key in found.keys), "trained by", what[0], what[1]]
    nll, accuracy = differences(found, "nll"), differences(found, "accuracy")
    compared = any(nll)
    header += ["NLL against the lowest", "p", "accuracy, p"] if compared else []
    rows = [header]
    for row, one, other in zip(found.rows, nll, accuracy):
        cells = [_name(found, row), _chosen(row, found), _mean(row.nll, 1, 4), _mean(row.accuracy, 100, 3)]
        if compared:
            cells += (
                ["lowest", "", ""]
                if one is None
                else [
                    f"{one[0].mean:+.4f} [{one[0].low:+.4f}, {one[0].high:+.4f}]",
                    _p(one[1]),
                    f"{_p(other[1])} ({100 * other[0].mean:+.3f})",
                ]
            )
        rows.append(cells)
    return rows


def _name(found: Comparison, row: Tuned) -> str:
    """Name a row: by its value alone where one key is compared, which the heading names."""
    return shown(row.values[0]) if len(found.keys) == 1 else setting_label(found.keys, row.values)


def _chosen(row: Tuned, found: Comparison) -> str:
    label, count = row.chosen[0]
    return label if count == len(found.units) else f"{label} ({count} of {len(found.units)})"


def _p(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _mean(values: Sequence[float], scale: float, digits: int) -> str:
    summary = summarise(values)
    error = "" if summary.sd is None else f" ± {scale * summary.sd / math.sqrt(summary.count):.{digits}f}"
    return f"{scale * summary.mean:.{digits}f}{error}"


def tuned_sentences(found: Comparison) -> list[str]:
    """Say how the tuning was done, what holds, and where its choice lay at the end of what was tried."""
    unit = "draw" if found.of_draws else "seed"
    names = " and ".join(key.rpartition(".")[2] for key in found.training)
    fixed = (
        "each with its own training and fresh points and weights, so that ± holds all three"
        if found.of_draws
        else "the training points held fixed"
    )
    lines = [
        f"{names[0].upper() + names[1:]} chosen for each by {'KL' if found.regret else 'NLL'} on the validation points of the other {unit}s. "
        f"Means over {plural(len(found.units), unit)} ± standard error, {fixed}."
    ]
    if found.same_limit and len(found.units) >= LEAST_SEEDS:
        lines.append(_verdict(found))
    at_ends: dict[str, list[str]] = {}
    for row in found.rows:
        for end in row.ends:
            at_ends.setdefault(end, []).append(_name(found, row))
    lines += [f"At this budget: {end} was chosen for {', '.join(labels)}." for end, labels in at_ends.items()]
    return lines


def _verdict(found: Comparison) -> str:
    """Say which rows differ from the one with the lowest NLL, in NLL and in accuracy."""
    parts = []
    for name, word in (("nll", "NLL"), ("accuracy", "accuracy")):
        kinds: dict[str, list[str]] = {}
        for row, difference in zip(found.rows[1:], differences(found, name)[1:]):
            kind = (
                "no significant difference" if difference[1] > 0.05 else "worse" if difference[0].mean > 0 else "better"
            )
            kinds.setdefault(kind, []).append(_name(found, row))
        named = "; ".join(f"{kind}: {', '.join(labels)}" for kind, labels in kinds.items())
        parts.append(f"in {word} {named}")
    keys = " and ".join(key.rpartition(".")[2] for key in found.keys)
    return (
        f"The lowest NLL has {keys} {_name(found, found.rows[0])}. Beside it, {'; and '.join(parts)} "
        f"(paired by {'draw' if found.of_draws else 'seed'}, Holm's correction, 95 %)."
    )


def tuned_markdown(table: Table) -> list[str]:
    """Write the section of the report in Markdown; nothing where there is no such comparison."""
    found = compare_tuned(table)
    if found is None:
        return []
    return [
        f"## {TUNED}",
        "",
        markdown_table(tuned_table(found), left=2),
        "",
        *(f"{in_markdown(line)}\n" for line in tuned_sentences(found)),
    ]


def tuned_lines(table: Table) -> list[str]:
    """Write the comparison in sentences, for the page."""
    found = compare_tuned(table)
    if found is None:
        return []
    header, *rows = tuned_table(found)
    said = [
        f"{header[0]} {row[0]}: {', '.join(f'{name} {cell}' for name, cell in zip(header[1:4], row[1:4]))}."
        for row in rows
    ]
    return [*said, *tuned_sentences(found)]


def tuned_screen(table: Table) -> list[str]:
    """Write the comparison for the screen: as many columns as fit, and what holds."""
    found = compare_tuned(table)
    if found is None:
        return []
    rows = tuned_table(found)
    return [
        "",
        f"{TUNED}:",
        *columns(rows, left=2, drop=rows[0][:3:-1]),
        *(wrapped(line) for line in tuned_sentences(found)),
    ]
