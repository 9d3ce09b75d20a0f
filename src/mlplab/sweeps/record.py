"""The record of a sweep, ``sweep.json``: every job of the folder, those of earlier calls included."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mlplab.runs.files import finite, read_bytes, read_plain, write_text
from mlplab.runs.sweep_record import FORMAT
from mlplab.sweeps.jobs import PlannedJob, entries_of, swept_values

WRITE_EVERY_S = 2.0
# Of the sweep's time at most this share goes into the record while it runs.
SHARE = 0.02


class Record:
    """Keep ``sweep.json`` up to date; a job's entry is written out once for each outcome.

    Args:
        folder: of the sweep.
        jobs: of this call.
        study: ``module:function``.
        command: the words of the command line, secrets removed.
    """

    def __init__(self, folder: Path, jobs: Sequence[PlannedJob], *, study: str, command: Sequence[str]) -> None:
        self.path = folder / "sweep.json"
        own = {job.digest: job for job in jobs}
        entries = [entry for entry in entries_of(folder) if entry["config_digest"] not in own]
        entries += [{"name": job.name, "overrides": job.overrides, "config_digest": job.digest} for job in jobs]
        entries.sort(key=lambda entry: entry["name"])
        swept = swept_values([entry["overrides"] for entry in entries])
        keys = list(dict.fromkeys(key for values in swept for key in values))
        for entry, values in zip(entries, swept):
            job = own.get(entry["config_digest"])
            # A job of a smaller grid names only some of the keys; the others it left at what they are.
            for key in keys if len(values) < len(keys) else ():
                if key not in values:
                    values |= _value(job.config if job else _config(folder / entry["name"]), key)
            entry["swept"] = {key: values[key] for key in keys if key in values}
        self.entries = {entry["config_digest"]: entry for entry in entries}
        self.head = {"format": FORMAT, "name": folder.name, "study": study, "command": list(command), "swept": keys}
        self._texts: dict[str, str] = {}
        self._due = float("-inf")
        for job in jobs:
            self.take(job)

    def take(self, job: PlannedJob) -> None:
        """Take over the outcome of a job."""
        result = job.result
        self.entries[job.digest] |= {
            "status": job.status,
            "error": job.error,
            "parameters": (result or {}).get("parameters"),
            "result": result,
        }
        self._texts.pop(job.digest, None)

    def write(self, force: bool = False) -> None:
        """Write the file, if it is due."""
        start = time.monotonic()
        if not force and start < self._due:
            return
        for digest, entry in self.entries.items():
            if digest not in self._texts:
                # One job a line; what is no JSON, such as nan, becomes null.
                self._texts[digest] = json.dumps(finite(entry), ensure_ascii=False, allow_nan=False)
        head = json.dumps(self.head, ensure_ascii=False)[1:-1]
        jobs = ",\n".join(self._texts[digest] for digest in self.entries)
        write_text(self.path, f'{{{head}, "jobs": [\n{jobs}\n]}}\n', sync=force)
        now = time.monotonic()
        self._due = now + max(WRITE_EVERY_S, (now - start) / SHARE)


def _config(folder: Path) -> dict[str, Any]:
    """Read the config of an earlier call's job; nothing where it cannot be read."""
    try:
        value = read_plain(read_bytes(folder / "config.yaml"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _value(config: dict[str, Any], key: str) -> dict[str, Any]:
    """Look a dotted key up; nothing where the config has no plain value there, as for a whole group."""
    value: Any = config
    for part in key.split("."):
        if not isinstance(value, dict) or part not in value:
            return {}
        value = value[part]
    return {} if isinstance(value, dict) else {key: str(value) if isinstance(value, list) else value}
