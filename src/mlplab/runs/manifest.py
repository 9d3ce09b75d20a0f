"""What a run's folder says of it: ``manifest.json``, what it was made of, and ``status.json``, where it stands.

The manifest is written before a run trains, without the secrets of its command line; the status says running, finished,
failed, diverged or interrupted, and when the run was last alive.
"""

import hashlib
import os
import platform
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import mlplab
from mlplab.errors import InputError
from mlplab.runs.files import read_json, write_json
from mlplab.runs.identity import PACKAGE, code_digest, config_digest

_SECRET = (
    r"(?:token(?!i[sz])|passw(?:or)?d|passphrase|secret|authorization|api[_-]?key|access[_-]?key|private[_-]?key"
    r"|(?<![a-z])(?:pwd|pass|auth|bearer|credentials?)(?![a-z]))"
)
_SECRET_KEY = re.compile(_SECRET, re.IGNORECASE)
_VALUE = r"""(?:"[^"]*"|'[^']*'|\[[^\]]*\]|\{[^}]*\}|[^,}\]]+)"""
_SECRET_PAIR = re.compile(rf"""(?i)([\w.\-]{{0,60}}{_SECRET}[\w\-]{{0,60}}["']?\s*[:=]\s*)({_VALUE})""")
_URL_PASSWORD = re.compile(r"(\w{1,20}://[^/\s:@]{0,200}:)[^/\s@]{1,200}@")
# Lengths are bounded so that a word of 100,000 letters takes no time.
# Values that are no secret: nothing, null, a truth value, a small number such as that of a width.
_HARMLESS = re.compile(r"""\s*["']?(?:null|true|false|[-+]?\d{1,6}|\*\*\*)?["']?\s*""", re.IGNORECASE)


def secret_in(word: str) -> str | None:
    """Name the key of the secret that a word of a command line gives, or None where it gives none.

    Args:
        word: such as ``+model.token=abc`` or ``+model.options={auth: abc}``.
    """
    key, equals, value = word.partition("=")
    key = key.lstrip("+~-")
    if equals and _SECRET_KEY.search(re.split(r"[./@]", key)[-1]) and not _HARMLESS.fullmatch(value):
        return key
    for pair in _SECRET_PAIR.finditer(value) if _SECRET_KEY.search(value) else ():
        if not _HARMLESS.fullmatch(pair[2]):
            return f"{key}: {pair[1].rstrip(' :=')}"
    return f"{key}: the address" if "://" in word and _URL_PASSWORD.search(word) else None


def without_secrets(argv: Sequence[str]) -> list[str]:
    """Replace by ``***`` what stands behind a key that looks like a token, password, secret or API key.

    Knows ``key=value``, ``--key value``, ``--key=value``, ``{key: value}`` and ``scheme://user:password@``.
    """
    cleaned = []
    hide_next = False
    for word in map(str, argv):
        key, equals, _ = word.partition("=")
        if hide_next and not word.startswith("-"):
            cleaned.append("***")
        elif equals and _SECRET_KEY.search(key):
            cleaned.append(f"{key}=***")
        else:
            cleaned.append(
                _URL_PASSWORD.sub(r"\1***@", _SECRET_PAIR.sub(r"\1***", word) if _SECRET_KEY.search(word) else word)
            )
        hide_next = word.startswith("-") and not equals and bool(_SECRET_KEY.search(word))
    return cleaned


PACKAGES = (
    "torch",
    "lightning",
    "torchmetrics",
    "hydra-core",
    "omegaconf",
    "tensorboard",
    "numpy",
    "scipy",
    "matplotlib",
)


def collect(
    config: Mapping[str, Any],
    *,
    data_sha256: str | None = None,
    argv: Sequence[str] | None = None,
    device: str = "cpu",
    source: Path = PACKAGE,
    clock: Callable[[], float] = time.time,
    **more: Any,
) -> dict[str, Any]:
    """Collect what a run is made of.

    Args:
        config: the resolved config.
        data_sha256: fingerprint of the data, where known.
        argv: the command line, this process's own by default; secrets are removed.
        device: what the run computes on, such as ``cpu`` or ``cuda:0 NVIDIA H100``.
        source: the package's folder; its git checkout, if any, is recorded.
        clock: seconds since 1970, UTC.
        **more: further plain values to record.

    Returns:
        Plain values, ready for JSON. ``git`` is null outside of a checkout; ``torch_build``, ``cpu_capability`` and
        ``threads`` are null where this process has not loaded torch: nothing was computed by it.
    """
    torch = sys.modules.get("torch")
    # Always called with the same arguments, by which the cache finds it.
    own = () if source == PACKAGE else (source,)
    return {
        "config_digest": config_digest(config),
        "code_digest": code_digest(*own),
        "data_sha256": data_sha256,
        "seed": config.get("seed"),
        "command": without_secrets(sys.argv if argv is None else argv),
        "git": git_state(*own),
        "versions": {"python": platform.python_version(), **versions()},
        "torch_build": torch and torch.__version__,
        "cpu_capability": torch and torch.backends.cpu.get_cpu_capability(),
        "threads": torch and torch.get_num_threads(),
        "device": device,
        "platform": platform.platform(),
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "start_utc": utc(clock()),
        **more,
    }


@cache
def git_state(source: Path = PACKAGE) -> dict[str, Any] | None:
    """Describe the git checkout that holds the code, as this process first saw it.

    Returns:
        ``commit``, ``dirty`` (tracked files differ from the commit) and ``diff_sha256`` (of that
        difference, null when clean); null outside of a checkout, without git, and for a package
        that is installed in an environment which happens to stand inside a checkout.
    """
    found = _git(source, "rev-parse", "HEAD", "--show-prefix")
    if found is None:
        return None
    commit, _, prefix = found.decode(errors="replace").partition("\n")
    if {"site-packages", "dist-packages"} & set(Path(prefix.strip()).parts):
        return None
    difference = _git(source, "diff", "HEAD", "--binary", "--no-ext-diff", "--no-textconv", "--no-color")
    if difference is None:
        return None
    dirty = bool(difference)
    return {"commit": commit, "dirty": dirty, "diff_sha256": hashlib.sha256(difference).hexdigest() if dirty else None}


@cache
def versions() -> dict[str, str | None]:
    """Give the installed version of each package that the results lean on; null where there is none."""
    found: dict[str, str | None] = {"mlplab": mlplab.__version__}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


def _git(folder: Path, *words: str) -> bytes | None:
    # Without the locks: reading the checkout must not disturb a commit in progress.
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


# What may explain a difference, in the order in which it is printed.
CAUSES = {
    "data_sha256": "data",
    "code_digest": "code",
    "versions": "versions",
    "torch_build": "torch build",
    "device": "device",
    "cpu_capability": "CPU capability",
    "threads": "threads",
    "platform": "platform",
}


def differences(before: dict[str, Any], now: dict[str, Any]) -> list[tuple[str, str]]:
    """List what two manifests say differently: the name of the cause and both values."""
    found = []
    for key, name in CAUSES.items():
        old, new = before.get(key), now.get(key)
        if old == new or key not in before:
            continue
        if isinstance(old, dict) and isinstance(new, dict):
            parts = [f"{k} {old.get(k)} -> {new.get(k)}" for k in sorted({*old, *new}) if old.get(k) != new.get(k)]
            found.append((name, ", ".join(parts)))
        else:
            found.append((name, f"{_short(old)} -> {_short(new)}"))
    return found


def _short(value: Any) -> str:
    text = str(value)
    return text[:12] if len(text) == 64 else text


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
