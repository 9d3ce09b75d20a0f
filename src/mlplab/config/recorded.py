"""What a config that is read back may hold: a run folder may come from anybody, so nothing in it is trusted."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from mlplab.config.schema import TARGETS
from mlplab.errors import InputError
from mlplab.runs.files import expect_bounded, read_bytes
from mlplab.runs.identity import names_today, with_added
from mlplab.runs.trusted import expect_class


def read_recorded(path: Path) -> DictConfig:
    """Read a recorded config, whose values are still to be checked.

    Args:
        path: the file ``config.yaml`` of a run folder.

    Raises:
        InputError: the file is missing, damaged or far too large, holds an interpolation, or names what is no
            class that is allowed.
    """
    try:
        expect_bounded(read_bytes(path))
        config = OmegaConf.load(path)
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except Exception as error:  # yaml and OmegaConf errors share no base
        reason = " ".join(str(error).replace(str(path.absolute()), path.name).split())
        raise InputError(f"{path} is damaged: {reason[:120]}") from error
    if not isinstance(config, DictConfig):
        raise InputError(f"{path} is damaged: it must be a mapping of keys, got {type(config).__name__}")
    plain = names_today(OmegaConf.to_container(config))
    if "${" in str(plain):
        raise InputError(f"{path} is damaged: a recorded config holds no ${{...}}")
    for key, node in _nodes(plain):
        expect_class(f"{path}: {key}._target_", key, node, TARGETS)
    return OmegaConf.create(with_added(plain))


def _nodes(value: Any, key: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Give each mapping that names a class, and where it stands."""
    if isinstance(value, dict) and "_target_" in value:
        yield key, value
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, part in parts:
        yield from _nodes(part, f"{key}.{name}" if key else str(name))
