"""Every run under a folder of logs: read once, then kept in an index that is a cache and never the truth."""

import json
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlplab.errors import InputError
from mlplab.runs.files import read_json
from mlplab.runs.manifest import is_alive, read_status
from mlplab.runs.metrics import CHOOSING, METRICS
from mlplab.runs.names import Defaults, label

FILE = ".runs.sqlite"
FORMAT = 2
DEEPEST = 5  # levels below the logs at which a run may lie
# A file that changed this recently may change again within the resolution of its time stamp.
SETTLED_S = 2.0
ENDED = ("finished", "diverged", "failed", "interrupted")
# Its files are written beside their place and renamed, which the folder's own time shows.
_WATCHED = ("", "/config.yaml", "/result.json")


# What the index keeps of a run in one text.
KEPT = ("study", "changed", "status", "error", "metrics", "digest", "seed")


@dataclass
class Run:
    """One run folder in a few words.

    Attributes:
        path: of the folder, relative to the logs.
        study: its root config, such as ``train``; None where nothing tells.
        changed: the config's keys that differ from the defaults.
        status: finished, diverged, failed, interrupted, running, or missing where nothing was recorded.
        error: the reason of a failure in one line, or None.
        metrics: by name, such as ``fresh/accuracy``, ``parameters``, ``seconds``; others are absent.
        digest: of the config.
        seed: of the run.
        time: when it was last alive, seconds since 1970.
        bytes: what the folder takes on the disk; None until :meth:`Index.measure` was asked.
    """

    path: str
    study: str | None
    changed: dict[str, Any]
    status: str
    error: str | None
    metrics: dict[str, float]
    digest: str
    seed: Any
    time: float
    bytes: int | None = field(default=None, compare=False)

    @classmethod
    def from_row(cls, path: str, entry: str, when: float, size: int | None) -> "Run":
        """Take a run from the index; what else it keeps is read when somebody asks: of thousands few are shown."""
        run = object.__new__(cls)
        run.__dict__ |= {"path": path, "time": when, "bytes": size, "_entry": entry}
        return run

    def __getattr__(self, name: str) -> Any:
        if name not in KEPT or "_entry" not in self.__dict__:
            raise AttributeError(name)
        self.__dict__ |= zip(KEPT, json.loads(self.__dict__.pop("_entry")))
        return self.__dict__[name]

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def parent(self) -> str:
        """The folder that holds it, relative to the logs: its experiment, or its sweep."""
        return self.path.rpartition("/")[0]

    @property
    def id(self) -> str:
        """The digits that name it: those at the end of its folder's name, which every command takes."""
        last = self.name.rpartition("-")[2]
        return last if len(last) >= 8 else self.digest[:8]

    @property
    def label(self) -> str:
        return label(self.changed)

    def label_without(self, known: dict[str, Any]) -> str:
        """Say what the run changed besides what is known of it."""
        rest = {key: value for key, value in self.changed.items() if key not in known}
        return label(rest) if rest or not known else "nothing else"


class Index:
    """The runs of a folder of logs.

    Args:
        logs: the folder.
        conf: the folder of configs, whose defaults say what a run changed.
    """

    def __init__(self, logs: str | Path, conf: str | Path) -> None:
        self.logs = Path(logs)
        self.defaults = Defaults(conf)
        self._root = str(self.logs)
        self._known: dict[str, tuple[str, str, float, int | None]] = {}
        self._folders: dict[str, tuple[int, list[str]]] = {}
        self._full_keys: dict[tuple, str] = {}
        self.sweeps: set[str] = set()

    def runs(self) -> list[Run]:
        """List every run, the newest first.

        Raises:
            InputError: there is no such folder.
        """
        if not self.logs.is_dir():
            raise InputError(f"there are no runs yet: {self.logs} is no folder; scripts/lab train makes the first")
        self._load()
        found, fresh, seen = [], {}, {}
        now = time.time_ns()
        for path in self._walk("", 0, now, seen):
            signature, settled = self._signature(path, now)
            if signature is None:
                continue  # gone since
            known = self._known.get(path)
            if known is not None and known[0] == signature:
                run = Run.from_row(path, *known[1:])
            else:
                run = read_run(self.logs / path, path, self.defaults)
                if run is None:
                    continue
                if settled and run.status != "running":
                    fresh[path] = (signature, run)
            found.append(run)
        self._store(fresh, seen, {run.path for run in found})
        self.sweeps = {path for path, (_, names) in seen.items() if "/sweep" in names}
        return sorted(found, key=lambda run: (-run.time, run.path))

    def measure(self, runs: Iterable[Run]) -> None:
        """Find out what the folders of some runs take on the disk, in ``run.bytes``."""
        new = [run for run in runs if run.bytes is None]
        for run in new:
            run.bytes = folder_bytes(self.logs / run.path)
        with suppress(sqlite3.Error, OSError), closing(self._connect()) as base, base:
            base.executemany("UPDATE runs SET bytes = ? WHERE path = ?", [(run.bytes, run.path) for run in new])

    def value(self, run: Run, key: str) -> Any:
        """Give a key of a run's config by its full name or its last word; None where it has none such."""
        if key in run.changed:
            return run.changed[key]
        value = self.defaults.value(key, run.changed, run.study)
        if value is None and "." not in key:
            full = next((name for name in run.changed if name.rpartition(".")[2] == key), None)
            return run.changed[full] if full else self.defaults.value(self._full(run, key), run.changed, run.study)
        return value

    def _full(self, run: Run, key: str) -> str:
        """Find the whole name of a key that was given by its last word; remembered for runs of the same options."""
        groups = self.defaults.studies.get(run.study or "", {}).get("groups", {})
        seen = (run.study, key, *(run.changed.get(group) for group in groups))
        if seen not in self._full_keys:
            known = self.defaults.keys(run.study or "", run.changed)
            self._full_keys[seen] = next((name for name in known if name.rpartition(".")[2] == key), key)
        return self._full_keys[seen]

    def _walk(self, path: str, depth: int, now: int, seen: dict[str, tuple[int, list[str]]]) -> Iterator[str]:
        """Yield the run folders below a folder; of one that did not change, its entries are known."""
        where = f"{self._root}/{path}" if path else self._root
        try:
            changed = os.stat(where).st_mtime_ns
            known = self._folders.get(path)
            if known is not None and known[0] == changed:
                names = known[1]
            else:
                names = _entries(where)
            if "/run" in names:
                yield path
                return
        except OSError:
            return
        if now - changed > SETTLED_S * 1e9:
            seen[path] = (changed, names)
        else:
            seen[path] = (0, names)
        for name in names:
            if name[0] == "/":
                continue
            below = f"{path}/{name}" if path else name
            if below in self._known:
                yield below
            elif depth < DEEPEST:
                yield from self._walk(below, depth + 1, now, seen)

    def _signature(self, path: str, now: int) -> tuple[str | None, bool]:
        parts, newest = [], 0
        for name in _WATCHED:
            try:
                found = os.stat(f"{self._root}/{path}{name}")
            except OSError:
                if name in _WATCHED[:2]:
                    return None, False
                parts.append("-")
                continue
            parts.append(f"{found.st_mtime_ns}.{found.st_size}")
            newest = max(newest, found.st_mtime_ns)
        return " ".join(parts), now - newest > SETTLED_S * 1e9

    def _connect(self) -> sqlite3.Connection:
        base = sqlite3.connect(self.logs / FILE, timeout=1.0)
        try:
            base.executescript(
                "PRAGMA synchronous = OFF; PRAGMA journal_mode = MEMORY;"
                "CREATE TABLE IF NOT EXISTS runs (path TEXT PRIMARY KEY, signature TEXT, entry TEXT, time REAL, bytes INTEGER);"
                "CREATE TABLE IF NOT EXISTS folders (path TEXT PRIMARY KEY, changed INTEGER, names TEXT);"
                "CREATE TABLE IF NOT EXISTS made_with (version TEXT)"
            )
        except sqlite3.Error:
            base.close()
            raise
        return base

    def _version(self) -> str:
        return f"{FORMAT};{self.defaults.signature}"

    def _load(self) -> None:
        self._known, self._folders = {}, {}
        try:
            if not (self.logs / FILE).is_file():
                return
            with closing(self._connect()) as base:
                if base.execute("SELECT version FROM made_with").fetchall() != [(self._version(),)]:
                    raise sqlite3.DatabaseError("made with other defaults")
                rows = base.execute("SELECT path, signature, entry, time, bytes FROM runs")
                self._known = {row[0]: row[1:] for row in rows}
                rows = base.execute("SELECT path, changed, names FROM folders")
                self._folders = {path: (changed, json.loads(names)) for path, changed, names in rows}
        except sqlite3.OperationalError:  # locked by another command, or not to be written: work without it
            self._known, self._folders = {}, {}
        except (sqlite3.DatabaseError, ValueError):
            self._known, self._folders = {}, {}
            with suppress(OSError):
                (self.logs / FILE).unlink()

    def _store(
        self, fresh: dict[str, tuple[str, Run]], seen: dict[str, tuple[int, list[str]]], found: set[str]
    ) -> None:
        gone = self._known.keys() - found
        folders = {path: entry for path, entry in seen.items() if self._folders.get(path) != entry}
        if not (fresh or gone or folders or self._folders.keys() - seen.keys()):
            return
        with suppress(sqlite3.Error, OSError), closing(self._connect()) as base, base:
            base.execute("DELETE FROM made_with")
            base.execute("INSERT INTO made_with VALUES (?)", (self._version(),))
            base.executemany("DELETE FROM runs WHERE path = ?", [(path,) for path in gone])
            rows = [(path, signature, _entry(run), run.time, None) for path, (signature, run) in fresh.items()]
            base.executemany("INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?, ?)", rows)
            base.execute("DELETE FROM folders")
            rows = [(path, changed, json.dumps(names)) for path, (changed, names) in seen.items()]
            base.executemany("INSERT INTO folders VALUES (?, ?, ?)", rows)


def _entry(run: Run) -> str:
    return json.dumps([getattr(run, name) for name in KEPT])


def _entries(where: str) -> list[str]:
    """List the folders in a folder; ``/run`` among them says that it is a run, ``/sweep`` that it is a sweep."""
    names = []
    with os.scandir(where) as entries:
        for entry in entries:
            if entry.name == "config.yaml":
                return ["/run"]
            if entry.name == "sweep.json":
                names.append("/sweep")
            elif entry.name[0] != "." and entry.is_dir(follow_symlinks=False):
                names.append(entry.name)
    return sorted(names)


def read_run(folder: Path, path: str, defaults: Defaults) -> Run | None:
    """Read one run folder; None where its config cannot be read."""
    try:
        study, changed, seed = defaults.read(f"{folder}/config.yaml")
    except InputError:
        return None
    status, error, when, result = "missing", None, 0.0, {}
    where = str(folder)
    try:
        with open(f"{where}/result.json", "rb") as file:
            result = json.loads(file.read())
        status = str(result.get("status", "finished"))
        when = os.stat(f"{where}/result.json").st_mtime
    except (OSError, ValueError, AttributeError, RecursionError):
        result = {}
    if status != "finished":
        try:
            record = read_status(folder)
            when = record.get("heartbeat") or when
            error = last_line(record.get("error"))
            if not result:
                alive = record["status"] != "running" or is_alive(record)
                status = record["status"] if alive else "interrupted"
                if status == "finished":
                    status, error = "failed", "it has no result.json"
        except InputError:
            pass
    digest = result.get("config_digest")
    if not isinstance(digest, str):
        try:
            digest = str(read_json(folder / "manifest.json").get("config_digest", ""))
        except (InputError, AttributeError):
            digest = ""
    metrics = {}
    for part in CHOOSING:
        values = result.get(part)
        if isinstance(values, dict):
            metrics |= {f"{part}/{name}": values[name] for name in METRICS if type(values.get(name)) in (int, float)}
    if type(result.get("parameters")) is int:
        metrics["parameters"] = result["parameters"]
    seconds = result.get("seconds")
    seconds = seconds.get("total") if isinstance(seconds, dict) else None
    if type(seconds) in (int, float):
        metrics["seconds"] = seconds
    when = when or os.stat(where).st_mtime
    return Run(path, study, changed, status, error, metrics, digest, seed, when)


def last_line(error: Any) -> str | None:
    """Give what a traceback ends with: the error itself, in one line."""
    lines = [line for line in str(error or "").splitlines() if line.strip()]
    return " ".join(lines[-1].split()) if lines else None


def folder_bytes(folder: str | Path) -> int:
    """Add up the sizes of the files in a folder and below it."""
    total = 0
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                total += folder_bytes(entry.path)
            else:
                total += entry.stat(follow_symlinks=False).st_size
    return total
