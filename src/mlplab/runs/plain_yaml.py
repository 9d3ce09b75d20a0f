"""YAML of plain values, as OmegaConf writes and reads it, in a tenth of its time: libyaml does the work."""

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

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
    if not (flow[0] in text or text.count(flow[1]) + text.count(flow[2]) > DEEPEST or flow[3] in text):
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
