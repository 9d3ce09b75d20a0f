"""Where a run stands: running, finished, failed, diverged or interrupted, and when it was last alive."""

import os
import socket
import time
from collections.abc import Callable
from datetime import datetime, timezone
from functools import cache
from pathlib import Path
from typing import Any

from mlplab.errors import InputError
from mlplab.runs.files import read_json, write_json

# What each entry is, or null.
KINDS = {"pid": (int,), "process": (str,), "host": (str,), "heartbeat": (int, float)}
STATES = ("running", "finished", "failed", "diverged", "interrupted")


def write_status(
    folder: str | Path,
    status: str,
    error: str | None = None,
    *,
    clock: Callable[[], float] = time.time,
    sync: bool = True,
) -> None:
    """Write ``status.json``: the state, this process, this host, the time, and the error if any.

    ``process`` tells this process from others that had or will have its id; null where unknown.

    Args:
        folder: the run folder.
        status: one of :data:`STATES`.
        error: what went wrong, or null.
        clock: seconds since 1970, UTC.
        sync: wait for the disk; a heartbeat need not.
    """
    assert status in STATES, status
    now = clock()
    record = {"status": status, **process_record(), "heartbeat": now, "heartbeat_utc": utc(now), "error": error}
    write_json(Path(folder) / "status.json", record, sync=sync)


def process_record() -> dict[str, Any]:
    """Say which process this is: ``pid``, ``process``, which tells it from others of that id, and ``host``."""
    return {"pid": os.getpid(), "process": _process(os.getpid()), "host": socket.gethostname()}


def read_status(folder: str | Path) -> dict[str, Any]:
    """Read ``status.json`` of a run folder.

    Raises:
        InputError: it is missing, damaged, or holds an unknown state.
    """
    path = Path(folder) / "status.json"
    record = read_json(path)
    if not isinstance(record, dict) or not isinstance(record.get("status"), str) or record["status"] not in STATES:
        raise InputError(f"{path} is damaged: its status must be one of {', '.join(STATES)}")
    wrong = [name for name, kinds in KINDS.items() if not isinstance(record.get(name), (*kinds, type(None)))]
    if wrong:
        raise InputError(f"{path} is damaged: its {wrong[0]} cannot be {record[wrong[0]]!r:.40}")
    return record


def is_alive(record: dict[str, Any], *, stale_after_s: float = 120.0, clock: Callable[[], float] = time.time) -> bool:
    """Say whether the process that wrote a status may still be at work.

    On this host the process is looked up; on another one, or before a restart, its heartbeat must be
    younger than ``stale_after_s`` seconds.
    """
    if record["status"] != "running":
        return False
    process = record.get("process")
    here = record.get("host") == socket.gethostname()
    if here and process is not None and process.split("/")[0] == _boot():
        # Ids are used again, soon in a container: its start time distinguishes one process from the next.
        return process == _process(record["pid"])
    if here and process is None and _boot() is None:
        return _exists(record["pid"])
    return clock() - (record.get("heartbeat") or 0.0) < stale_after_s


class Heartbeat:
    """Renew a running status at most once in ``every_s`` seconds; cheap enough to call each step."""

    def __init__(self, folder: str | Path, *, every_s: float = 10.0, clock: Callable[[], float] = time.time):
        self.folder = Path(folder)
        self.every_s = every_s
        self.clock = clock
        self.last = float("-inf")

    def beat(self) -> bool:
        """Write the status when it is due; return whether it was."""
        now = self.clock()
        if now - self.last < self.every_s:
            return False
        self.last = now
        write_status(self.folder, "running", clock=self.clock, sync=False)
        return True


def utc(seconds: float) -> str:
    """Write seconds since 1970 as ISO 8601 in UTC, to the second."""
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="seconds")


def _process(pid: int) -> str | None:
    # Linux: the boot and the tick at which the process started; None where it is gone or a zombie,
    # and on systems that do not say.
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # the name, in parentheses, may hold anything
    return f"{_boot()}/{fields[19]}" if fields[0] not in "ZX" else None


@cache
def _boot() -> str | None:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it exists, and belongs to another user
        return True
    return True
