"""A sweep folder read back: its jobs from sweep.json, or from the run folders where there is none."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlplab.errors import InputError
from mlplab.runs.files import read_flat, read_json
from mlplab.runs.folder import RunFolder
from mlplab.runs.identity import CONTENTS, Role, role_of
from mlplab.runs.manifest import is_alive, read_status
from mlplab.runs.sweep_record import Job, SweepRecord, read_sweep_record
from mlplab.words import plural


@dataclass
class SweepFolder:
    """What a sweep folder holds.

    Attributes:
        path: the folder.
        study: ``module:function`` of the study, or its short name; None where nothing says.
        swept: the keys that differ between its jobs.
        jobs: its jobs, by name.
        notes: lines about what was odd.
    """

    path: Path
    study: str | None
    swept: list[str]
    jobs: list[Job]
    notes: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.path.name


def read_sweep(path: str | Path) -> SweepFolder:
    """Read a sweep folder, or a folder of runs.

    Raises:
        InputError: there is no such folder, or no run in it.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise InputError(f"{path} is not a sweep folder: there is no such folder")
    try:
        if (folder / "sweep.json").is_file():
            record = read_sweep_record(folder / "sweep.json")
            if record.damage:
                raise InputError(record.damage[0])
            return _from_record(folder, record)
        notes = []
    except InputError as error:
        notes = [f"{str(error).replace(str(folder) + os.sep, '')}; the run folders were read in its place"]
    runs = run_folders(folder)
    if not runs:
        if notes:
            raise InputError(f"{path} holds no runs, and {notes[0].partition(';')[0]}")
        if (folder / "config.yaml").is_file():
            raise InputError(f"{path} is a single run; report takes the folder of a sweep or of runs")
        raise InputError(f"{path} is not a sweep folder: it has no sweep.json and holds no runs")
    return _from_runs(folder, runs, notes)


def run_folders(folder: Path) -> list[Path]:
    """List the run folders in a folder, or one level deeper where it has none itself; sorted by name."""
    # A scan of the entries' names alone: to ask each of a thousand folders costs more than to read it.
    for level in (1, 2):
        found = _subfolders(folder)
        if level == 2:
            found = [deeper for path in found for deeper in _subfolders(path)]
        runs = sorted(filter(_is_run, found))
        if runs:
            return runs
    return []


def _is_run(folder: Path) -> bool:
    return (folder / "config.yaml").is_file()


def _subfolders(folder: Path) -> list[Path]:
    with os.scandir(folder) as entries:
        return [Path(entry.path) for entry in entries if not entry.name.startswith(".") and entry.is_dir()]


def _from_record(folder: Path, record: SweepRecord) -> SweepFolder:
    jobs, notes = [], []
    for entry in record.entries:
        job = Job(
            folder / entry["name"],
            entry["swept"],
            entry["config_digest"],
            entry["status"],
            entry["error"],
            entry["result"],
        )
        # The sweep may have been killed before it wrote down what its last jobs left.
        if job.result is None and job.status not in ("failed", "diverged"):
            job.status, job.error, job.result = outcome_of(job.folder)
        jobs.append(job)
    if not jobs:
        raise InputError(f"{folder / 'sweep.json'} lists no jobs: nothing was swept")
    named = {job.name for job in jobs}
    others = sorted(path for path in _subfolders(folder) if path.name not in named and _is_run(path))
    if others:
        notes.append(
            f"{plural(len(others), 'run is', 'runs are')} not in sweep.json and left out, such as {others[0].name}"
        )
    swept = list(dict.fromkeys([*record.swept, *(key for job in jobs for key in job.swept)]))
    for job in jobs:
        if any(key not in job.swept for key in swept):
            config = config_of(job)
            job.swept = {key: job.swept.get(key, config.get(key)) for key in swept}
    if part_by_file(jobs):
        swept.append(FILE_KEY)
        notes.append("the content of the data file changed between runs: they are kept apart by its sha256")
    return SweepFolder(folder, record.study, swept, sorted(jobs, key=lambda job: job.name), notes)


FILE_KEY = "data.file_sha256"


def part_by_file(jobs: list[Job]) -> bool:
    """Give each job the sha256 of its data files as a further swept key where one path stood for several contents.

    Returns:
        Whether that was so. Only the first job's config is read where the data are of no file.
    """
    first = next(filter(None, map(config_of, jobs)), {})
    if first.get(FILE_KEY) is None:
        return False
    contents: dict[Any, set[str]] = {}
    found = []
    for job in jobs:
        config = config_of(job)
        found.append("+".join(str(config[key])[:12] for key in CONTENTS.values() if config.get(key)))
        if config:
            contents.setdefault(tuple(map(config.get, CONTENTS)), set()).add(found[-1])
    if all(len(kinds) == 1 for kinds in contents.values()):
        return False
    for job, sha256 in zip(jobs, found):
        job.swept = {**job.swept, FILE_KEY: sha256}
    return True


def _from_runs(folder: Path, runs: list[Path], notes: list[str]) -> SweepFolder:
    configs, jobs = [], []
    for path in runs:
        try:
            config = read_flat(path / "config.yaml")
        except InputError as error:
            notes.append(f"{error}; the run was left out")
            continue
        status, error, result = outcome_of(path)
        digest = str((result or {}).get("config_digest") or path)
        configs.append({key: value for key, value in config.items() if Role.SHOWN in role_of(key)})
        jobs.append(Job(path, {}, digest, status, error, result))
    if not jobs:
        raise InputError(f"{folder} holds no run that can be read: {notes[-1]}")
    swept = differing(configs)
    for job, config in zip(jobs, configs):
        job.swept = {key: config.get(key) for key in swept}
    if not (folder / "sweep.json").exists():
        notes.append(f"{folder.name} has no sweep.json: what differs between its runs' configs counts as swept")
    return SweepFolder(folder, None, swept, jobs, notes)


def differing(configs: list[dict[str, Any]]) -> list[str]:
    """List the keys that differ between configs; one that always equals an earlier one is left out."""
    keys = list(dict.fromkeys(key for config in configs for key in config))
    columns: dict[tuple, str] = {}
    for key in keys:
        column = tuple(repr(config.get(key)) for config in configs)
        if len(set(column)) > 1:
            columns.setdefault(column, key)
    return list(columns.values())


def outcome_of(folder: Path) -> tuple[str, str | None, dict[str, Any] | None]:
    """Read from a run folder how its run ended: status, error and result."""
    run = RunFolder(folder)
    try:
        result = read_json(run.result)
        if isinstance(result, dict):
            return str(result.get("status", "finished")), None, result
    except InputError as error:
        if run.result.exists():
            return "failed", str(error), None
    try:
        record = read_status(folder)
    except InputError as error:
        return ("failed", str(error), None) if run.status.exists() else ("missing", None, None)
    status = record["status"]
    if status == "running" and not is_alive(record):
        status = "interrupted"
    if status == "finished":
        return "failed", "it has no result.json", None
    return status, record.get("error"), None


def config_of(job: Job) -> dict[str, Any]:
    """Read a job's config as dotted keys; empty where it cannot be read."""
    try:
        return read_flat(job.folder / "config.yaml")
    except InputError:
        return {}
