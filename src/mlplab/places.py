"""Where configs are read and runs are written: found without Hydra, for commands that compose nothing."""

import errno
import os
import shlex
import stat
import sys
from pathlib import Path
from typing import BinaryIO

from mlplab.errors import InputError

_PACKAGE = Path(__file__).resolve().parent
_CHECKOUT = _PACKAGE.parent.parent


def _is_checkout() -> bool:
    return (_CHECKOUT / "conf" / "train.yaml").is_file() and (_CHECKOUT / "pyproject.toml").is_file()


def conf_folder() -> Path:
    """Find the config tree: MLPLAB_CONF, then the checkout's conf/, then the one inside the package."""
    chosen = os.environ.get("MLPLAB_CONF")
    if chosen:
        if not Path(chosen).is_dir():
            raise InputError(f"MLPLAB_CONF must be a folder of configs, got {chosen!r}")
        return Path(chosen).resolve()
    return _CHECKOUT / "conf" if _is_checkout() else _PACKAGE / "conf"


def logs_folder() -> Path:
    """Find where runs are written by default: the checkout's logs/, else logs/ under the current folder."""
    return (_CHECKOUT if _is_checkout() else Path.cwd()) / "logs"


def is_option(word: str) -> bool:
    """Say whether a word of a command line is an option ``KEY=VALUE``; the path of a file or folder may hold = too."""
    return "=" in word and not os.path.exists(word)


def expanded(path: str | Path, key: str = "the folder") -> Path:
    """Give a path as a person typed it, ``~`` standing for a home folder.

    Raises:
        InputError: there is no such home folder.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise InputError(
            f"{key} must be a path that can be found, got {str(path)!r}: ~ names nobody's home folder"
        ) from None


# What a path may lead to that is neither a file nor a folder, and may never end, or never begin.
NO_FILES = (
    (stat.S_ISFIFO, "a named pipe or the output of a command"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def no_file(path: str | Path) -> str | None:
    """Say what a path leads to that is neither a file nor a folder; None where it is one of them, or nothing."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):  # it is not there; a null in its name
        return None
    return next((words for holds, words in NO_FILES if holds(mode)), None)


def expect_file(path: str | Path, key: str) -> None:
    """Refuse what is neither a file nor a folder.

    Raises:
        InputError: the line names the key.
    """
    other = no_file(path)
    if other is not None:
        raise InputError(f"{key} must be a file, got {other}: '{path}'; write to a file what it gives, and name that")


def open_file(path: str | Path) -> BinaryIO:
    """Open a file to read its bytes.

    Raises:
        OSError: it cannot be read, or is a named pipe, a socket or a device, at which reading might wait without end.
    """
    other = no_file(path)
    if other is not None:
        raise OSError(errno.EINVAL, f"it is {other}, not a file", str(path))
    return open(path, "rb")


def pip_line(extra: str) -> str:
    """Give the command that adds an extra to the very environment that runs: scripts/lab has one of its own."""
    program = Path(sys.executable)
    home = Path.cwd()
    shown = program.relative_to(home) if program.is_relative_to(home) else program
    return f"{shlex.quote(str(shown))} -m pip install 'mlplab[{extra}]'"
