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
