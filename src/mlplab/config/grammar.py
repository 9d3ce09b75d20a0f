"""Hydra's grammar of overrides: whether a text can be read, and how to quote one that cannot."""

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException


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
