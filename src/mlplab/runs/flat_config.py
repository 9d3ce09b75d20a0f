"""A recorded config as dotted keys, read fast enough for a thousand runs and without OmegaConf."""

import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from mlplab.errors import InputError

# Where a key at the margin begins; what belongs to it, entries of a list at the margin included, follows it.
_BLOCKS = re.compile(r"^(?=[^ \n#-])", re.MULTILINE)


class Unusual(Exception):
    """The text cannot be read block by block, but perhaps as a whole."""


def read_flat(path: str | Path) -> dict[str, Any]:
    """Read a ``config.yaml`` as dotted keys and plain values; lists as texts such as ``"[16,8]"``.

    Raises:
        InputError: the file is missing, or is no mapping in YAML.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is damaged: it is not text") from error
    try:
        flat: dict[str, Any] = {}
        for block in split_blocks(text):
            flat |= read_block(block)
        if flat:
            return flat
    except Unusual:
        pass
    try:
        value = _loaded(text)
    except ValueError as error:
        raise InputError(f"{path} is damaged: {' '.join(str(error).split())[:120]}") from error
    if not isinstance(value, dict):
        raise InputError(f"{path} is damaged: it holds no keys")
    return flatten(value)


def split_blocks(text: str) -> list[str]:
    """Cut a config at its top-level keys.

    Raises:
        Unusual: something else stands before the first.
    """
    before, *blocks = _BLOCKS.split(text)
    if before and any(line.strip() and not line.lstrip().startswith("#") for line in before.splitlines()):
        raise Unusual
    return blocks


@lru_cache(maxsize=16384)
def read_block(text: str) -> dict[str, Any]:
    """Read one top-level key of a config as dotted keys; the runs of a sweep have most of them in common.

    Raises:
        Unusual: it cannot be read by itself.
    """
    try:
        value = _loaded(text)
    except ValueError as error:
        raise Unusual from error
    if not isinstance(value, dict):
        raise Unusual
    return flatten(value)


def _loaded(text: str) -> Any:
    # Imported here: the report of a sweep that has its sweep.json reads no config.
    from mlplab.runs.plain_yaml import read_plain

    return read_plain(text)


def flatten(value: dict, prefix: str = "") -> dict[str, Any]:
    """Turn nested dicts into dotted keys; an empty dict counts as null."""
    flat: dict[str, Any] = {}
    for key, part in value.items():
        if isinstance(part, dict) and part:
            flat |= flatten(part, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = _plain(part)
    return flat


def unflatten(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Turn dotted keys back into nested dicts, and texts such as ``"[16,8]"`` into lists."""
    import yaml

    nested: dict[str, Any] = {}
    for key, value in flat.items():
        *parents, last = key.split(".")
        place = nested
        for name in parents:
            place = place.setdefault(name, {})
        place[last] = yaml.safe_load(value) if isinstance(value, str) and value[:1] in ("[", "{") else value
    return nested


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return f"[{','.join(map(_text, value))}]"
    return None if value == {} else value


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_text(entry)}" for key, entry in value.items()) + "}"
    return "null" if value is None else str(value)
