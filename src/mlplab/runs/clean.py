"""Which run folders may go: those that failed, were interrupted, or that a newer run of the same supersedes."""

import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mlplab.errors import InputError
from mlplab.rules import near
from mlplab.runs.files import read_json
from mlplab.runs.folder import owned
from mlplab.runs.index import Run
from mlplab.runs.manifest import is_alive, read_status

REASONS = ("failed", "interrupted", "superseded", "diverged")


@dataclass(frozen=True)
class Removal:
    """A run that may go, and why."""

    run: Run
    reason: str


def removable(runs: Sequence[Run], logs: Path, reasons: Sequence[str]) -> list[Removal]:
    """List the runs that may go.

    A run is superseded by a newer finished one of the same config and data in the same folder, or, where it did not
    finish, by any finished one of these. Copies elsewhere, in a sweep or of `reproduce`, supersede nothing.

    Args:
        runs: newest first.
        logs: where they lie.
        reasons: of :data:`REASONS`.

    Raises:
        InputError: an unknown reason.
    """
    for reason in reasons:
        if reason not in REASONS:
            raise InputError(f"what must be some of {','.join(REASONS)}, got {reason}{near(reason, REASONS)}")
    chosen = {run.path: Removal(run, run.status) for run in runs if run.status in reasons}
    if "superseded" in reasons:
        groups: dict[str, list[Run]] = {}
        for run in runs:
            if run.digest and run.status in ("finished", "failed", "interrupted", "diverged"):
                groups.setdefault(run.digest, []).append(run)
        for group in groups.values():
            for run in _superseded(group, logs) if len(group) > 1 else ():
                chosen.setdefault(run.path, Removal(run, "superseded"))
    return list(chosen.values())


def _superseded(group: Sequence[Run], logs: Path) -> list[Run]:
    """Of runs of one config, those beside which a newer finished one of the same data stands."""
    by_data: dict[object, list[Run]] = {}
    for run in group:
        try:
            data = read_json(logs / run.path / "manifest.json").get("data_sha256")
        except (InputError, AttributeError):
            continue
        by_data.setdefault((run.parent, data), []).append(run)
    found = []
    for same in by_data.values():
        finished = [run for run in same if run.status == "finished"]
        # A sweep finds its own runs again by their folders: those stay.
        if finished:
            found += [run for run in same if run is not finished[0] and not (logs / run.parent / "sweep.json").exists()]
    return found


def remove(removal: Removal, logs: Path) -> bool:
    """Remove a run folder, unless its run goes on or came to something else meanwhile; say whether it is gone."""
    folder = logs / removal.run.path
    if not (folder / "config.yaml").is_file() or folder.resolve() == logs.resolve():
        return False
    try:
        with owned(folder):
            with suppress(InputError):
                if is_alive(read_status(folder)):
                    return False
            if (
                removal.reason != "superseded"
                and (folder / "result.json").is_file()
                and removal.run.status != "diverged"
            ):
                return False
            shutil.rmtree(folder, ignore_errors=True)
    except InputError:  # another command works in it
        return False
    return not folder.exists()
