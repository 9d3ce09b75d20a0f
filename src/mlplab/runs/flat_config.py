"""A recorded config as dotted keys, read fast enough for a thousand runs and without OmegaConf."""

import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from mlplab.errors import InputError

_KEY = re.compile(r"( *)([A-Za-z_][\w./-]*):(?: +(.*))?")
_ENTRY = re.compile(r"( *)- (.*)")
# Where a key at the margin begins; what belongs to it, entries of a list at the margin included, follows it.
_BLOCKS = re.compile(r"^(?=[^ \n#-])", re.MULTILINE)


class Unusual(Exception):
    """The text is no plain block of keys: the whole parser must read it."""


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
    import yaml

    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
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
    """Read one top-level key of a config; the runs of a sweep have most of them in common."""
    return _from_lines(text)


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


def _from_lines(text: str) -> dict[str, Any]:
    """Read what OmegaConf writes, line by line: a hundredth of the time of a YAML parser."""
    flat: dict[str, Any] = {}
    parents: list[tuple[int, str]] = []
    lists: dict[str, list[Any]] = {}
    childless: dict[str, None] = {}
    open_key, open_indent = None, -1
    for line in text.splitlines():
        kind, indent, key, value = _line(line)
        if kind == "entry":
            if open_key is None or indent < open_indent:
                raise Unusual
            lists.setdefault(open_key, []).append(value)
            childless.pop(open_key, None)
            continue
        if kind == "blank":
            continue
        while parents and parents[-1][0] >= indent:
            parents.pop()
        if (indent > 0) != bool(parents) or (parents and open_key is None and indent > open_indent):
            raise Unusual
        name = key
        if parents:
            name = parents[-1][1] + key
            childless.pop(parents[-1][1][:-1], None)
        if kind == "open":
            parents.append((indent, f"{name}."))
            open_key = name
            childless[name] = None
        else:
            flat[name] = value
            open_key = None
        open_indent = indent
    if not (flat or childless or lists):
        raise Unusual
    return flat | childless | {name: _plain(values) for name, values in lists.items()}


@lru_cache(maxsize=65536)
def _line(line: str) -> tuple[str, int, str, Any]:
    if not line.strip() or line.lstrip().startswith("#"):
        return "blank", 0, "", None
    found = _KEY.fullmatch(line.rstrip())
    if found:
        spaces, key, value = found.groups()
        return ("value", len(spaces), key, _scalar(value)) if value else ("open", len(spaces), key, None)
    found = _ENTRY.fullmatch(line.rstrip())
    if found and not _KEY.fullmatch(found[2]) and not found[2].startswith("- "):
        return "entry", len(found[1]), "", _scalar(found[2])
    raise Unusual


def _scalar(text: str) -> Any:
    if text[0] in "|>&*!":
        raise Unusual
    # Imported here: the report of a sweep that has its sweep.json reads no config.
    import yaml

    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:  # a text that goes on in the next line
        raise Unusual from error
    return _plain(value) if isinstance(value, list) or value == {} else _only_scalar(value)


def _only_scalar(value: Any) -> Any:
    if isinstance(value, dict):
        raise Unusual
    return value
