"""Groups on their way: the files through which a sweep and its workers speak, and what has been heard."""

import json
import secrets
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlplab.runs.manifest import process_record
from mlplab.sweeps.executors import Handle
from mlplab.sweeps.groups import Group

MOST_OF_A_LOG = 20_000


class Exchange:
    """The folder ``.groups/`` of a sweep: for each group its messages, its log and the request to stop.

    A group whose messages file is gone is no longer wanted and ends by itself: so a new call gets rid of what
    an earlier one, killed, may have left running elsewhere.

    Args:
        folder: of the sweep, which must be locked.
    """

    def __init__(self, folder: Path) -> None:
        self.root = folder / ".groups"
        shutil.rmtree(self.root, ignore_errors=True)
        # A name of its own: a process that still writes to the old one must not look like a new group.
        self.folder = self.root / secrets.token_hex(4)
        self.folder.mkdir(parents=True)
        self.count = 0
        self.owner = process_record()

    def open(self) -> dict[str, Any]:
        """Make the files of one more group; give what its payload must say of them."""
        stem = self.folder / f"{self.count:05d}"
        self.count += 1
        messages = stem.with_suffix(".jsonl")
        messages.touch()
        return {
            "messages": str(messages),
            "log": str(stem.with_suffix(".log")),
            "stop": str(stem.with_suffix(".stop")),
            "owner": self.owner,
        }

    def close(self) -> None:
        """Remove all of it."""
        shutil.rmtree(self.root, ignore_errors=True)


@dataclass
class Running:
    """A group on its way.

    Attributes:
        group: its jobs.
        paths: its files, as :meth:`Exchange.open` gave them.
        handle: its process, job or task.
        share: how much of it is done, in [0, 1].
        done: numbers of the jobs that have a result.
        failure: the message by which it reported its own failure.
    """

    group: Group
    paths: dict[str, Any]
    handle: Handle = field(init=False)
    share: float = 0.0
    done: set[int] = field(default_factory=set)
    failure: dict[str, Any] | None = None
    _read: int = 0
    _heard: float = field(default_factory=time.monotonic)

    @property
    def silent_s(self) -> float:
        """Seconds since the last sign of life."""
        return time.monotonic() - self._heard

    def listen(self) -> Iterator[dict[str, Any]]:
        """Read what the group has reported since the last time."""
        with open(self.paths["messages"], "rb") as file:
            file.seek(self._read)
            for line in file:
                if not line.endswith(b"\n"):
                    break  # Half a message; the rest comes.
                self._read += len(line)
                self._heard = time.monotonic()
                message = json.loads(line)
                self._take(message)
                yield message

    def _take(self, message: dict[str, Any]) -> None:
        if message["kind"] == "progress":
            self.share = message["epoch"] / max(1, message["epochs"])
        elif message["kind"] == "done":
            self.done.add(message["index"])
        elif message["kind"] == "failed":
            self.failure = message

    def stop(self) -> None:
        """Ask it to save its state and end."""
        Path(self.paths["stop"]).touch()

    def log_tail(self) -> str:
        """Give the end of what it printed."""
        try:
            return Path(self.paths["log"]).read_text(errors="replace")[-MOST_OF_A_LOG:].strip()
        except OSError:
            return ""

    def close(self) -> None:
        """Remove its files."""
        for name in ("messages", "log", "stop"):
            Path(self.paths[name]).unlink(missing_ok=True)
