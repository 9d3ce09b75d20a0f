"""YAML of plain values, nested or as dotted keys, as OmegaConf writes and reads it, in a tenth of its time."""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from mlplab.errors import InputError
from mlplab.runs.files import read_text

# Words that YAML 1.1 takes for true or false, in any case.
_BOOLEANS = frozenset(("y", "yes", "n", "no", "true", "false", "on", "off"))
_Dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class _PlainDumper(_Dumper):
    """Quote the strings that OmegaConf would read back as numbers, such as "1e-3"."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _is_number(text: str) -> bool:
    """Say whether Python, and so OmegaConf, reads a text as a number: every integer's text is a float's too."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def _represent_text(dumper: Any, data: str) -> Any:
    quoted = data.lower() in _BOOLEANS or _is_number(data)
    return dumper.represent_scalar("tag:yaml.org,2002:str", data, style="'" if quoted else None)


_PlainDumper.add_representer(str, _represent_text)


def plain_yaml(value: Mapping[str, Any] | Sequence[Any]) -> str:
    """Write nested dicts, lists and plain values as YAML, keys in their order."""
    return yaml.dump(value, Dumper=_PlainDumper, default_flow_style=False, allow_unicode=True, sort_keys=False)


# Recorded configs have a few thousand bytes, and four levels.
LARGEST_BYTES, DEEPEST = 1_000_000, 60


def read_plain(text: bytes | str) -> Any:
    """Read YAML that may come from anybody: of bounded size and depth, without aliases, which may unfold without end.

    Raises:
        ValueError: it is none of that, or no YAML; in one line.
    """
    expect_bounded(text)
    try:
        return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ValueError(" ".join(str(error).split())[:120]) from error


def expect_bounded(text: bytes | str) -> None:
    """Refuse YAML that is too large, too deep, or has aliases; see :func:`read_plain`."""
    if len(text) > LARGEST_BYTES:
        raise ValueError(f"it must have at most {LARGEST_BYTES} bytes, got {len(text)}")
    flow = (b"*", b"[", b"{", b"  " * DEEPEST) if isinstance(text, bytes) else ("*", "[", "{", "  " * DEEPEST)
    if not (flow[0] in text or text.count(flow[1]) + text.count(flow[2]) >= DEEPEST or flow[3] in text):
        return  # it cannot be: parsing twice costs as much again
    depth = 0
    try:
        for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if isinstance(event, yaml.AliasEvent):
                raise ValueError("it must hold no YAML aliases")
            if depth > DEEPEST:
                raise ValueError(f"it must be at most {DEEPEST} levels deep")
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())[:120]) from error


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
        text = read_text(path)
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
        value = read_plain(text)
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
        value = read_plain(text)
    except ValueError as error:
        raise Unusual from error
    if not isinstance(value, dict):
        raise Unusual
    return flatten(value)


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
