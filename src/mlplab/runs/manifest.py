"""The manifest: what a run was made of, written before it trains, without the secrets of its command line."""

import hashlib
import os
import platform
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import mlplab
from mlplab.runs.identity import PACKAGE, code_digest, config_digest
from mlplab.runs.status import utc

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
