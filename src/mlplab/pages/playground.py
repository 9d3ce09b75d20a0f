"""The playground: a page that trains one network or a population of the lab's own in the browser."""

from collections.abc import Mapping
from typing import Any

from mlplab.pages.page import page


def playground(lab: Mapping[str, Any], start: Mapping[str, Any] | None = None) -> str:
    """Return the page as HTML.

    Args:
        lab: the lab's defaults, by which the page writes its commands: ``seed``, ``model`` and ``trainer`` as in a
            train config, ``data`` and ``optimizer`` by the name of their file (``spiral``, ``adam``).
        start: options (``data.noise`` to a value, as on the command line) that the page begins with; those that it
            does not know are left out.
    """
    words = {key: text_of(value) for key, value in (start or {}).items()}
    return page("playground.html", {**lab, "start": words})


def text_of(value: Any) -> str:
    """Write a value as the page reads it, which is how it is typed on the command line."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {text_of(entry)}" for key, entry in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(text_of(entry) for entry in value) + "]"
    return str(value)
