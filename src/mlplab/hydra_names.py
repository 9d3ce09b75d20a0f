"""What the lab uses of Hydra's that is not public, its grammar, and the words of its errors: all of it stands here.

Written for Hydra 1.3; tests/test_hydra_names.py says what changed under another version.
"""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mlplab.errors import UNWRITABLE, Ended, InputError

# By which a person asks Hydra for whole tracebacks.
FULL_ERROR = "HYDRA_FULL_ERROR"


def core_plugins() -> tuple[Any, Any, Any]:
    """Import Hydra's basic launcher, its basic sweeper, and the node of the latter.

    Not to be imported before Hydra itself has looked for its plugins: it runs their modules again, and a class of
    the first run is then no longer the one that its own methods know.
    """
    from hydra._internal.core_plugins.basic_launcher import BasicLauncher
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper, BasicSweeperConf

    return BasicLauncher, BasicSweeper, BasicSweeperConf


@contextmanager
def raising_disk_errors() -> Iterator[None]:
    """Have hydra.main raise where the disk fails under its own writing; all else it prints, and exits, as ever."""
    from hydra._internal.utils import run_and_report

    before = os.environ.get(FULL_ERROR)
    os.environ[FULL_ERROR] = "1"
    try:
        yield
    except Exception as error:
        if (
            before == "1"
            or isinstance(error, PermissionError)
            or isinstance(error, OSError)
            and error.errno in UNWRITABLE
            or isinstance(error, HydraException)
            and not _is_below(error, "run_job")
        ):
            raise
        if _is_below(error, "configure_log"):
            raise InputError(f"hydra.job_logging cannot be set up so: {' '.join(str(error).split())}") from error
        del os.environ[FULL_ERROR]
        run_and_report(partial(_again, error))
    finally:
        os.environ.pop(FULL_ERROR, None)
        if before is not None:
            os.environ[FULL_ERROR] = before


@contextmanager
def of_known_mode(mode: Any) -> Iterator[None]:
    """Spare hydra.main the whole composition that it makes to look up ``hydra.mode``, a quarter of a command's start."""
    from hydra._internal.hydra import Hydra

    before = Hydra.get_mode

    def once(*_: Any, **__: Any) -> Any:
        Hydra.get_mode = before
        return mode

    Hydra.get_mode = once
    try:
        yield
    finally:
        Hydra.get_mode = before


@contextmanager
def resolved_whole(refusal: Callable[[OmegaConfBaseException], InputError]) -> Iterator[None]:
    """Have ``--cfg hydra --resolve`` resolve the config while it is whole: Hydra's node refers to keys of the job.

    Args:
        refusal: says in one line what cannot be resolved.
    """
    from hydra._internal.hydra import Hydra

    before = Hydra.get_sanitized_cfg

    def resolving(self: Any, cfg: Any, cfg_type: str) -> Any:
        if cfg_type == "job":
            return before(self, cfg, cfg_type)
        try:
            OmegaConf.resolve(cfg)
        except OmegaConfBaseException as error:
            raise Ended from refusal(error)
        return before(self, cfg, cfg_type)

    Hydra.get_sanitized_cfg = resolving
    try:
        yield
    finally:
        Hydra.get_sanitized_cfg = before


def _is_below(error: Exception, function: str) -> bool:
    """Say whether an error was raised in a function of this name or what it called."""
    place = error.__traceback__
    while place is not None and place.tb_frame.f_code.co_name != function:
        place = place.tb_next
    return place is not None


def _again(error: Exception) -> None:
    """Raise an error as from Hydra's run_job, to which Hydra looks for the beginning of a job's traceback."""
    place = error.__traceback__
    while place is not None and place.tb_frame.f_code.co_name != "run_job":
        place = place.tb_next
    raise error.with_traceback(place or error.__traceback__)


# Beginnings of messages of hydra.errors.HydraException, as regular expressions.
AMBIGUOUS = r"Ambiguous value for argument '(?P<text>[^']*)'"
UNKNOWN_KEY = r"Could not (?:override|delete)[^']*'(?P<key>[^']+)'"
OTHER_VALUE = r"Could not delete from config\. The value of"
IS_THERE = r"Could not append to config\. An item is already at '(?P<key>[^']+)'"
GROUP_VALUE = r"Config group override must be"
NEEDS_MULTIRUN = r"Sweep parameters '(?P<text>(?P<key>[^=]*)=.*)' requires --multirun"
CHOSEN_TWICE = r"(?P<key>\S+) appears more than once in the final defaults list|Multiple values for (?P<other>\S+?)\.? "
# In the words of the OmegaConf error that is their cause.
FULL_KEY = r"full_key: (?P<key>\S+)"


# Keys whose value is one path, to be taken as it was typed.
PATHS = ("paths.logs", "hydra.run.dir", "hydra.sweep.dir")


# Entries of a list on a command line: Hydra's time to read them grows with their square, 2 s for 5,000.
MOST_ENTRIES = 2000


def parsed(text: str) -> Override | None:
    """Read an override, or give None where Hydra cannot."""
    try:
        return OverridesParser.create().parse_override(text)
    except (HydraException, RecursionError, ValueError):  # an integer of 5,000 digits is a ValueError
        return None


def quoted(text: str) -> str:
    """Quote a text so that Hydra reads it back as it is.

    In its quotes a backslash stands for itself, but for those right before a quote or at the end.
    """
    letters, backslashes = [], 0
    for letter in text + "'":
        if letter == "'":
            letters.append("\\" * backslashes + ("\\'"))
        else:
            letters.append(letter)
        backslashes = backslashes + 1 if letter == "\\" else 0
    body = "".join(letters)
    return f"'{body[:-2]}'"


def readable(word: str) -> str:
    """Quote the value of an override where Hydra's grammar would not take it as the person means it.

    Paths are taken as they are typed, blanks, umlauts, commas and quotes included; any other value is quoted only
    where it cannot be read at all.

    Raises:
        InputError: it is a list that Hydra would read for seconds.
    """
    key, equals, value = word.partition("=")
    if not equals or not value or not re.fullmatch(r"[+~]{0,2}[\w.$/@:-]+", key):
        return word
    if value[0] in "[{" and value.count(",") >= MOST_ENTRIES:
        raise InputError(
            f"{key} must have at most {MOST_ENTRIES:,} entries on a command line, got {value.count(',') + 1:,}; "
            "a file of your own (--config-dir) may hold more"
        )
    entry = parsed(word)
    literal = key.lstrip("+") in PATHS
    if entry is None:
        again = f"{key}={quoted(value)}"
        brackets = value[0] in "[{" and not literal
        return again if not brackets and parsed(again) is not None else word
    if literal and (entry.is_sweep_override() or isinstance(entry.value(), list | dict | int | float)):
        return f"{key}={quoted(value)}"
    return word
