"""Which classes a config that is read back may name: a run folder or a checkpoint may come from anybody."""

import importlib
import os
from collections.abc import Container

from mlplab.errors import InputError
from mlplab.rules import shown

# Where the classes that it may name are defined.
ALLOWED_TARGETS = ("mlplab.", "torch.nn.", "torch.optim.", "lightning.pytorch.")
# A person's own classes are added to it by the person: MLPLAB_TRUST=stripes,my_models.
TRUST = "MLPLAB_TRUST"


def allowed_names() -> tuple[str, ...]:
    """List with what the name of a class must start."""
    own = os.environ.get(TRUST, "").split(",")
    return ALLOWED_TARGETS + tuple(f"{name.strip().rstrip('.')}." for name in own if name.strip())


def expect_class(where: str, target: object, allowed: tuple[str, ...], known: Container[str] = ()) -> None:
    """Refuse a target that is no class defined in an allowed module.

    A function of such a module might do anything with the arguments that the config gives it, and so might what
    the module imports from elsewhere.

    Args:
        where: the file and the key, for the error.
        target: the dotted name.
        allowed: with what a name must start.
        known: names that need no import to be allowed.

    Raises:
        InputError: it is something else.
    """
    names = ", ".join(allowed)
    if not isinstance(target, str) or not target.startswith(allowed):
        raise InputError(
            f"{where} must start with one of {names}, got {shown(target)}; "
            f"if it is your own, set {TRUST}={str(target).partition('.')[0]}"
        )
    if target in known:
        return
    module, _, name = target.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except Exception as error:  # whatever a module of the user's raises while it is imported
        raise InputError(f"{where}={target} cannot be found: {' '.join(str(error).split())}") from error
    if not isinstance(found, type) or not f"{found.__module__}.".startswith(allowed):
        raise InputError(f"{where} must name a class that is defined in one of {names}, got {target}")
