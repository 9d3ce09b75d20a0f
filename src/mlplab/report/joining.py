"""Sweeps joined to one table: which keys make its settings, which runs are the same, and what is to be noted."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from mlplab.errors import InputError
from mlplab.report.table import Setting, Table, choose_best, order, replicate_order, summaries_of
from mlplab.runs.identity import REPEATING, Role, role_of
from mlplab.runs.sweep_folder import SweepFolder, config_of, differing
from mlplab.runs.sweep_record import Job
from mlplab.words import plural


def build(sweeps: Sequence[SweepFolder]) -> Table:
    """Put the jobs of one or several sweeps into one table.

    Args:
        sweeps: at least one; several are merged: a key that one sweeps and another holds fixed becomes a
            key of both, and so does whatever else differs between their configs.

    Returns:
        The table, the same whatever order the sweeps are given in but for its name and notes.

    Raises:
        InputError: the sweeps are of different studies.
    """
    notes = [note for sweep in sweeps for note in sweep.notes]
    swept = merged_keys(sweeps, notes) if len(sweeps) > 1 else list(sweeps[0].swept)
    jobs = without_copies([job for sweep in sweeps for job in sweep.jobs], notes)
    replicates = [key for key in swept if key in REPEATING]
    keys = [key for key in swept if key not in REPEATING]
    groups: dict[tuple, list[Job]] = {}
    for job in jobs:
        groups.setdefault(tuple(job.swept.get(key) for key in keys), []).append(job)
    settings = [
        Setting(values, sorted(group, key=lambda job: (replicate_order(job, replicates), job.name)))
        for values, group in sorted(groups.items(), key=lambda item: [order(value) for value in item[0]])
    ]
    for setting in settings:
        setting.summaries = summaries_of(setting.finished, replicates)
    note_repeats(settings, replicates, notes)
    study = next((sweep.study.rpartition(":")[2].rpartition(".")[2] for sweep in sweeps if sweep.study), None)
    table = Table(" + ".join(sweep.name for sweep in sweeps), keys, replicates, settings, None, notes, study)
    choose_best(table)
    return table


def merged_keys(sweeps: Sequence[SweepFolder], notes: list[str]) -> list[str]:
    """Find the swept keys of several sweeps together, and give every job a value for each."""
    studies = {sweep.study.rpartition(":")[2].rpartition(".")[2] for sweep in sweeps if sweep.study}
    if len(studies) > 1:
        raise InputError(f"sweeps must be of one study to be merged, got {', '.join(sorted(studies))}")
    configs = [first_config(sweep) for sweep in sweeps]
    by_path = sorted(sweeps, key=lambda sweep: str(sweep.path))
    swept = list(dict.fromkeys(key for sweep in by_path for key in sweep.swept))
    known = [config for config in configs if config]
    if len(known) < len(sweeps):
        notes.append("a sweep folder has no config.yaml that can be read: what else differs is not known")
    # Of other kinds of data every key differs; those that one of them does not have say nothing more. The
    # order follows the seed.
    common = [key for key in (known or [{}])[0] if all(key in config for config in known)]
    common = [key for key in common if key not in swept and key != "data.order_seed" and Role.SHOWN in role_of(key)]
    fixed = differing([{key: config[key] for key in common} for config in known])
    if fixed:
        notes.append(f"the sweeps also differ in {', '.join(fixed)}: kept apart as further keys")
    swept += fixed
    for sweep, config in zip(sweeps, configs):
        for job in sweep.jobs:
            job.swept = {key: job.swept.get(key, config.get(key)) for key in swept}
    jobs = [job for sweep in sweeps for job in sweep.jobs]
    return [key for key in swept if len({repr(job.swept[key]) for job in jobs}) > 1]


def first_config(sweep: SweepFolder) -> dict[str, Any]:
    """Read the config of the first job that has one, without what the sweep varies."""
    config = next(filter(None, map(config_of, sweep.jobs)), {})
    return {key: value for key, value in config.items() if key not in sweep.swept}


def without_copies(jobs: list[Job], notes: list[str]) -> list[Job]:
    """Keep one job of each config: the one that finished, or the first."""
    kept: dict[str, Job] = {}
    for job in jobs:
        other = kept.get(job.digest)
        if other is None or (job.is_finished and not other.is_finished):
            kept[job.digest] = job
    if len(kept) < len(jobs):
        notes.append(
            f"{plural(len(jobs) - len(kept), 'run has', 'runs have')} the config of another one: each config counts once"
        )
    return list(kept.values())


def note_repeats(settings: list[Setting], replicates: list[str], notes: list[str]) -> None:
    """Say where runs of one setting have the same seeds."""
    repeated = 0
    for setting in settings:
        seeds = Counter(tuple(repr(job.swept.get(key)) for key in replicates) for job in setting.jobs)
        repeated += sum(number - 1 for number in seeds.values())
    if repeated:
        notes.append(f"{plural(repeated, 'run repeats', 'runs repeat')} the setting and seed of another one; all count")
