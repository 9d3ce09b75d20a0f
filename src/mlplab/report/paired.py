"""Paired comparisons: two networks on the same points, and two settings run with the same seeds."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlplab.report.intervals import LEVEL, Summary, summarise
from mlplab.report.joining import build
from mlplab.report.student import quantile, two_tails
from mlplab.report.table import LEAST_NLL, Table
from mlplab.runs.identity import Role, role_of
from mlplab.runs.sweep_folder import SweepFolder
from mlplab.runs.sweep_record import Job


@dataclass(frozen=True)
class Paired:
    """A difference of paired numbers.

    Attributes:
        count: of pairs.
        mean: of the differences, the first minus the second.
        low: lower end of its 95 % interval; None for one pair.
        high: its upper end.
        p: two-sided; None for one pair.
    """

    count: int
    mean: float
    low: float | None
    high: float | None
    p: float | None


@dataclass(frozen=True)
class McNemar:
    """Two classifiers on the same points.

    Attributes:
        both: points that both get right; ``first``, ``second`` those that one of them alone gets right; ``neither``.
        difference: of their accuracies, the first minus the second, with its interval and McNemar's exact p.
    """

    both: int
    first: int
    second: int
    neither: int
    difference: Paired


def mcnemar(first: Sequence[bool], second: Sequence[bool], level: float = LEVEL) -> McNemar:
    """Compare two classifiers by the points on which one alone is right (McNemar 1947).

    If both were equally good, each such point would favour either with probability 1/2: the p-value is the exact
    two-sided binomial one. The interval is Wald's for paired proportions,

        (b - c)/n -+ z sqrt(b + c - (b - c)^2/n)/n,   b and c the points that one alone gets right.

    Args:
        first: whether the first is right, by point, n >= 1.
        second: the same of the second.
        level: of the interval.
    """
    count = len(first)
    b = sum(1 for one, other in zip(first, second) if one and not other)
    c = sum(1 for one, other in zip(first, second) if other and not one)
    both = sum(1 for one, other in zip(first, second) if one and other)
    mean = (b - c) / count
    reach = quantile(1e9, (1 + level) / 2) * math.sqrt(max(0.0, b + c - (b - c) ** 2 / count)) / count
    return McNemar(both, b, c, count - both - b - c, Paired(count, mean, mean - reach, mean + reach, sign_test(b, c)))


def sign_test(b: int, c: int) -> float:
    """Return the exact two-sided p-value of b successes and c failures at probability 1/2; 1 for none."""
    count, least = b + c, min(b, c)
    if b == c:
        return 1.0
    logs = [math.lgamma(count + 1) - math.lgamma(k + 1) - math.lgamma(count - k + 1) for k in range(least + 1)]
    return min(1.0, 2 * math.fsum(math.exp(one - count * math.log(2)) for one in logs))


def paired_t(differences: Sequence[float]) -> Paired:
    """Test whether the mean of paired differences is zero (Student's t for pairs)."""
    found = summarise(differences)
    if found.sd is None:
        return Paired(1, found.mean, None, None, None)
    return Paired(found.count, found.mean, found.low, found.high, p_of(found))


def p_of(found: Summary) -> float:
    if found.sd == 0:
        return 1.0 if found.mean == 0 else 0.0
    return two_tails(found.mean / (found.sd / math.sqrt(found.count)), found.count - 1)


@dataclass(frozen=True)
class SettingPair:
    """One setting of two sweeps, paired by seed.

    Attributes:
        label: what the two have in common, or "" where that is nothing.
        accuracy: difference of the accuracies.
        log_nll: difference of the logarithms of NLL.
        part: the points on which they were measured.
        alone: runs of either that have no partner with their seeds.
    """

    label: str
    accuracy: Paired
    log_nll: Paired
    part: str
    alone: int


def pair_sweeps(first: SweepFolder, second: SweepFolder) -> tuple[list[SettingPair], list[str]]:
    """Pair the runs of two sweeps by seed and by the swept keys that both have.

    Returns:
        A pair for each combination of the common keys; and the keys that only one of the two sweeps, whose runs are
        taken together.
    """
    tables = build([first]), build([second])
    varied = [
        [key for place, key in enumerate(table.keys) if len({repr(one.values[place]) for one in table.settings}) > 1]
        for table in tables
    ]
    common = [key for key in varied[0] if key in varied[1]]
    seeds = [key for key in tables[0].replicates if key in tables[1].replicates]
    groups = [grouped(table, common, seeds) for table in tables]
    own = [key for keys in varied for key in keys if key not in common]
    found = []
    for values, runs in groups[0].items():
        if values not in groups[1]:
            continue
        others = groups[1][values]
        both = [seed for seed in runs if seed in others]
        part = next((p for p in ("fresh", "test", "validation") if both and has(runs, others, both, p)), None)
        if part is None:
            continue
        accuracy = [mean(runs[s], part, "accuracy") - mean(others[s], part, "accuracy") for s in both]
        logs = [log_nll(runs[s], part) - log_nll(others[s], part) for s in both]
        label = " ".join(f"{key.rpartition('.')[2]}={value}" for key, value in zip(common, values))
        found.append(
            SettingPair(label, paired_t(accuracy), paired_t(logs), part, len(runs) + len(others) - 2 * len(both))
        )
    return found, own


def grouped(table: Table, keys: Sequence[str], seeds: Sequence[str]) -> dict[tuple, dict[tuple, list[Job]]]:
    """Sort finished runs by the values of some keys, and these by seed."""
    found: dict[tuple, dict[tuple, list[Job]]] = {}
    for job in table.jobs:
        if job.is_finished:
            values = tuple(job.swept.get(key) for key in keys)
            seed = tuple(job.swept.get(key) for key in seeds)
            found.setdefault(values, {}).setdefault(seed, []).append(job)
    return found


def has(runs: Mapping[tuple, list[Job]], others: Mapping[tuple, list[Job]], both: Sequence[tuple], part: str) -> bool:
    jobs = [job for seed in both for job in (*runs[seed], *others[seed])]
    return all(job.metric(part, "nll") is not None and job.metric(part, "accuracy") is not None for job in jobs)


def mean(jobs: Sequence[Job], part: str, name: str) -> float:
    return math.fsum(job.metric(part, name) for job in jobs) / len(jobs)


def log_nll(jobs: Sequence[Job], part: str) -> float:
    return math.fsum(math.log(max(job.metric(part, "nll"), LEAST_NLL)) for job in jobs) / len(jobs)


def config_differences(configs: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[Any]]]:
    """List the dotted keys in which configs differ, with the value of each; what says where runs write is left out."""
    keys = dict.fromkeys(key for config in configs for key in config if Role.IDENTITY in role_of(key))
    found = [(key, [config.get(key) for config in configs]) for key in keys]
    return [(key, values) for key, values in found if any(repr(value) != repr(values[0]) for value in values)]
