"""What a config that is read back may hold: a run folder may come from anybody, so nothing in it is trusted."""

import importlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf

from mlplab.config.schema import TARGETS
from mlplab.errors import InputError
from mlplab.rules import shown
from mlplab.runs.moved import name_today

# Where the classes that it may name are defined.
ALLOWED_TARGETS = ("mlplab.", "torch.nn.", "torch.optim.", "lightning.pytorch.")
# A person's own classes are added to it by the person: MLPLAB_TRUST=stripes,my_models.
TRUST = "MLPLAB_TRUST"
# Recorded configs have a few thousand.
LARGEST_BYTES = 1_000_000


def read_recorded(path: Path) -> DictConfig:
    """Read a recorded config, whose values are still to be checked.

    Args:
        path: the file ``config.yaml`` of a run folder.

    Raises:
        InputError: the file is missing, damaged or far too large, holds an interpolation, or names what is no
            class that is allowed.
    """
    try:
        text = path.read_bytes()
        if len(text) > LARGEST_BYTES:
            raise InputError(f"{path} is damaged: it must have at most {LARGEST_BYTES} bytes, got {len(text)}")
        events = yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        if any(isinstance(event, yaml.AliasEvent) for event in events):
            # A few lines of them may unfold to more than the memory holds.
            raise InputError(f"{path} is damaged: a recorded config holds no YAML aliases")
        config = OmegaConf.load(path)
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except Exception as error:  # yaml and OmegaConf errors share no base
        raise InputError(f"{path} is damaged: {' '.join(str(error).split())[:120]}") from error
    if not isinstance(config, DictConfig):
        raise InputError(f"{path} is damaged: it must be a mapping of keys, got {type(config).__name__}")
    plain = _with_names_today(OmegaConf.to_container(config))
    if "${" in str(plain):
        raise InputError(f"{path} is damaged: a recorded config holds no ${{...}}")
    own = os.environ.get(TRUST, "").split(",")
    allowed = ALLOWED_TARGETS + tuple(f"{name.strip().rstrip('.')}." for name in own if name.strip())
    for key, target in _targets(plain):
        expect_class(f"{path}: {key}", target, allowed)
    return OmegaConf.create(plain)


def _with_names_today(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: name_today(part) if key == "_target_" else _with_names_today(part) for key, part in value.items()}
    return [_with_names_today(part) for part in value] if isinstance(value, list) else value


def expect_class(where: str, target: object, allowed: tuple[str, ...]) -> None:
    """Refuse a target that is no class defined in an allowed module.

    A function of such a module might do anything with the arguments that the config gives it, and so might what
    the module imports from elsewhere.

    Args:
        where: the file and the key, for the error.
        target: the dotted name.
        allowed: with what a name must start.

    Raises:
        InputError: it is something else.
    """
    names = ", ".join(allowed)
    if not isinstance(target, str) or not target.startswith(allowed):
        raise InputError(
            f"{where} must start with one of {names}, got {shown(target)}; "
            f"if it is your own, set {TRUST}={str(target).partition('.')[0]}"
        )
    if target in TARGETS:
        return
    module, _, name = target.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except Exception as error:  # whatever a module of the user's raises while it is imported
        raise InputError(f"{where}={target} cannot be found: {' '.join(str(error).split())}") from error
    if not isinstance(found, type) or not f"{found.__module__}.".startswith(allowed):
        raise InputError(f"{where} must name a class that is defined in one of {names}, got {target}")


def _targets(value: Any, prefix: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        for key, entry in value.items():
            if key == "_target_":
                yield f"{prefix}_target_", entry
            yield from _targets(entry, f"{prefix}{key}.")
    elif isinstance(value, list):
        for index, entry in enumerate(value):
            yield from _targets(entry, f"{prefix}{index}.")
