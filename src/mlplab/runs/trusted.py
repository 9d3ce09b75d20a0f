"""Which classes a config that is read back may name: a run folder or a checkpoint may come from anybody."""

import importlib
import os
import re
from collections.abc import Container, Mapping
from typing import Any

from mlplab.errors import InputError
from mlplab.rules import shown

# Place in a config -> where the classes that it may name are defined: each place has classes of its kind alone.
ROLES = {
    "data": ("mlplab.data.",),
    "model": ("mlplab.nn.", "mlplab.studies.lif.surrogate.", "torch.nn."),
    "module": ("mlplab.training.classifier.",),
    "loss": ("mlplab.nn.", "torch.nn."),
    "optimizer": ("torch.optim.",),
    "schedule": ("mlplab.population.schedules.", "torch.optim.lr_scheduler."),
    "callbacks": ("mlplab.training.callbacks.", "lightning.pytorch.callbacks."),
    "logger": ("mlplab.training.loggers.", "lightning.pytorch.loggers."),
    "neuron": ("mlplab.studies.lif.neuron.",),
    "input": ("mlplab.studies.lif.currents.",),
}
# Arguments of callbacks and loggers that say where they write: the lab alone does.
PLACES = (
    "dirpath",
    "dir",
    "directory",
    "folder",
    "log_dir",
    "logdir",
    "root_dir",
    "save_dir",
    "path",
    "filename",
    "tracking_uri",
    "url",
    "artifact_location",
    "offline_directory",
)
NAMES = ("name", "version", "sub_dir", "prefix", "project")  # which become part of a place: without slashes
# A person's own classes are added to it by the person: MLPLAB_TRUST=stripes,my_models.
TRUST = "MLPLAB_TRUST"


def trusted() -> tuple[str, ...]:
    """List with what the names start that the person trusts."""
    return tuple(f"{name.strip().rstrip('.')}." for name in os.environ.get(TRUST, "").split(",") if name.strip())


def expect_class(where: str, key: str, node: Mapping[str, Any], known: Container[str] = ()) -> None:
    """Refuse a node whose target is no class that its place may name, or that says itself where it writes.

    A function of such a module might do anything with the arguments that the config gives it, and so might what
    the module imports from elsewhere.

    Args:
        where: the file and the key, for the error.
        key: where the node stands in the config, such as ``callbacks.progress``; its words say its role.
        node: a mapping with ``_target_``.
        known: names that need no import to be allowed.

    Raises:
        InputError: it is something else.
    """
    target = node["_target_"]
    words = key.split(".")
    role = words[0] if words[0] != "module" else next(word for word in reversed(words) if word in ROLES)
    own, allowed = trusted(), (*ROLES.get(role, ()), *trusted())
    names = ", ".join(allowed) or "nothing"
    if not isinstance(target, str) or not target.startswith(allowed):
        raise InputError(
            f"{where} must start with one of {names}, got {shown(target)}; "
            f"if it is your own, set {TRUST}={str(target).partition('.')[0]}"
        )
    if role in ("callbacks", "logger") and not (own and target.startswith(own)):
        for name in (*PLACES, *NAMES):
            value = node.get(name)
            if value is not None and (name in PLACES or isinstance(value, str) and re.search(r"[/\\]|\.\.", value)):
                at, top = where.removesuffix("_target_"), target.partition(".")[0]
                raise InputError(
                    f"{at}{name} must be null, got {shown(value)}: a config that is read back does not say where to write; "
                    f"if it is your own, set {TRUST}={top}"
                )
    if target in known:
        return
    module, _, name = target.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except Exception as error:  # whatever a module of the user's raises while it is imported
        raise InputError(f"{where}={target} cannot be found: {' '.join(str(error).split())}") from error
    if role == "optimizer" and f"{target}.".startswith(("torch.optim.swa_utils.", "torch.optim.lr_scheduler.")):
        raise InputError(f"{where} must name an optimiser, got {target}")
    if not isinstance(found, type) or not f"{found.__module__}.".startswith(allowed):
        raise InputError(f"{where} must name a class that is defined in one of {names}, got {target}")
