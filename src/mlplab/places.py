"""Where configs are read and runs are written: found without Hydra, for commands that compose nothing."""

import os
import shlex
import sys
from pathlib import Path

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


def pip_line(extra: str) -> str:
    """Give the command that adds an extra to the very environment that runs: scripts/lab has one of its own."""
    program = Path(sys.executable)
    home = Path.cwd()
    shown = program.relative_to(home) if program.is_relative_to(home) else program
    return f"{shlex.quote(str(shown))} -m pip install 'mlplab[{extra}]'"
