"""Hydra's grammar of overrides: whether a text can be read, and how to quote one that cannot."""

import re

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from mlplab.errors import InputError

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
