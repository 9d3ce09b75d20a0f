"""The jobs of a sweep, and its record ``sweep.json`` as it is read back."""

import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlplab.errors import InputError
from mlplab.runs.files import read_json
from mlplab.runs.metrics import unequal

FORMAT = 1
STATES = ("finished", "diverged", "failed", "interrupted", "running", "missing")
LARGEST = sys.float_info.max  # an int may be larger, and is then no number to compute with


@dataclass
class Job:
    """One job of a sweep and its outcome.

    Attributes:
        folder: its run folder, which may be absent.
        swept: the values of the keys that differ within its sweep.
        digest: of its config.
        status: one of ``STATES``.
        error: the line that says why there is no result, or None.
        result: what ``result.json`` holds, or None.
    """

    folder: Path
    swept: dict[str, Any]
    digest: str
    status: str = "missing"
    error: str | None = None
    result: dict[str, Any] | None = None

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def is_finished(self) -> bool:
        return self.status == "finished" and self.result is not None

    @property
    def outcome(self) -> dict[str, Any]:
        """The result, or what there is to say in its place."""
        return self.result or {"status": self.status, "error": self.error}

    def metric(self, part: str, name: str) -> float | None:
        """Return a metric of the result, such as ``metric("test", "nll")``; None where it is absent."""
        values = (self.result or {}).get(part)
        value = values.get(name) if isinstance(values, dict) else None
        return _number(value)

    @property
    def is_unequal(self) -> bool:
        """Say whether the classes of its test points have so unequal shares that accuracy says little."""
        confusion = ((self.result or {}).get("test") or {}).get("confusion")
        return isinstance(confusion, list) and unequal(confusion)

    @property
    def parameters(self) -> int | None:
        value = _number((self.result or {}).get("parameters"))
        return None if value is None else int(value)

    def seconds(self, name: str) -> float | None:
        """Return ``fit`` or ``total`` seconds, or None."""
        return self.metric("seconds", name)


@dataclass
class SweepRecord:
    """What a ``sweep.json`` holds.

    Attributes:
        study: ``module:function`` of the study, or None.
        swept: the keys that differ between its jobs.
        entries: of its jobs, each a dict with ``name``, ``config_digest``, ``status``, ``swept``, ``overrides``,
            ``error`` and ``result``; damaged ones are left out.
        damage: a line about each entry that was left out.
    """

    study: str | None
    swept: list[str]
    entries: list[dict[str, Any]]
    damage: list[str]


def read_sweep_record(path: Path) -> SweepRecord:
    """Read a ``sweep.json``.

    Raises:
        InputError: it is missing, no record of a sweep, or of another format.
    """
    record = read_json(path)
    if not isinstance(record, dict) or not isinstance(record.get("jobs"), list):
        raise InputError(f"{path} is damaged: it lists no jobs")
    if record.get("format") != FORMAT:
        raise InputError(f"{path} must be of format {FORMAT}, got {record.get('format')!r}")
    entries, damage = [], []
    for number, entry in enumerate(record["jobs"]):
        problem = _problem(entry)
        if problem is None:
            known = {
                "overrides": entry.get("overrides") or [],
                "error": entry.get("error"),
                "result": entry.get("result"),
            }
            entries.append(entry | known)
        else:
            damage.append(f"{path} is damaged: job {number} {problem}")
    swept = record["swept"] if isinstance(record.get("swept"), list | dict) else []
    return SweepRecord(record.get("study"), [key for key in swept if isinstance(key, str)], entries, damage)


def _problem(entry: Any) -> str | None:
    """Say what is wrong with an entry."""
    if not isinstance(entry, dict):
        return "lacks all keys"
    absent = [name for name in ("name", "swept", "config_digest", "status") if name not in entry]
    if absent or not isinstance(entry["swept"], dict) or entry["status"] not in STATES:
        return f"lacks {', '.join(absent) or 'a known status'}"
    odd = [key for key, value in entry["swept"].items() if not _is_value(value)]
    if odd:
        return f"has no plain value of {odd[0]}"
    # A job's folder is cleared before it runs: it must be one in the sweep's.
    name = entry["name"]
    if not isinstance(name, str) or name in ("", ".", "..") or Path(name).name != name:
        return f"has the name {name!r}"
    overrides = entry.get("overrides") or []
    if not isinstance(overrides, list) or not all(
        isinstance(text, str) for text in [entry["config_digest"], *overrides]
    ):
        return "has overrides or a digest that are no texts"
    return None if isinstance(entry.get("result"), dict | type(None)) else "has a result that is none"


def _number(value: Any) -> float | None:
    # By type, since a bool is an int too; a report of 1,000 runs calls this 70,000 times.
    if type(value) not in (float, int):
        return None
    return value if abs(value) <= LARGEST else None  # NaN compares false too


def _is_value(value: Any) -> bool:
    if value is None or isinstance(value, str):
        return True
    return isinstance(value, int | float) and not LARGEST < abs(value) < math.inf
