"""What makes two runs the same: one table from key to the parts it plays."""

from collections.abc import Iterable, Mapping, Sequence
from enum import Flag, auto
from functools import cache
from typing import Any


class Role(Flag):
    """What a key of a config is good for.

    IDENTITY: two runs that differ in it are two runs; it enters the config's digest.
    SHOWN: where runs differ in it, names and tables say so.
    REPEATS: runs that differ in nothing else repeat a setting.
    IN_GROUP: the networks that train as one population may differ in it.
    IN_GROUP_KNOWN: so may they under an optimiser that takes one setting a member.
    OF_SWEEP: it has one value for all jobs of a sweep.
    OF_CALL: it may change from one call of a sweep or search to the next, and no job needs it.
    """

    NONE = 0
    IDENTITY = auto()
    SHOWN = auto()
    REPEATS = auto()
    IN_GROUP = auto()
    IN_GROUP_KNOWN = auto()
    OF_SWEEP = auto()
    OF_CALL = auto()


_COUNTS = Role.IDENTITY | Role.SHOWN
_MEMBER = _COUNTS | Role.IN_GROUP
_SEED = _MEMBER | Role.REPEATS
_CALL = Role.IN_GROUP | Role.OF_SWEEP | Role.OF_CALL

# A key that is not here has the role of its parent, and in the end that of "".
ROLES: dict[str, Role] = {
    "": _COUNTS,
    "name": Role.IN_GROUP,
    "paths": Role.IN_GROUP | Role.OF_SWEEP,
    "hydra": Role.IN_GROUP | Role.OF_SWEEP,
    "resume": _CALL,
    "sweep": _CALL,
    "launcher": _CALL,
    "search": _CALL,
    "logger": Role.IN_GROUP,
    "figures": Role.IN_GROUP,
    "figure_formats": Role.IN_GROUP,
    "callbacks": Role.IDENTITY,
    "callbacks.early_stopping": _COUNTS,
    "evaluate_state": _MEMBER,
    "data.copy": Role.IN_GROUP,
    "seed": _SEED,
    "data.seed": _SEED,
    "data.order_seed": _SEED,
    "data.noise": _MEMBER,
    "data.rotation_degrees": _MEMBER,
    "data.t_min": _MEMBER,
    "data.t_max": _MEMBER,
    "model.init_seed": _SEED,
    "model.initialization": _MEMBER,
    "optimizer.lr": _COUNTS | Role.IN_GROUP_KNOWN,
    "optimizer.weight_decay": _COUNTS | Role.IN_GROUP_KNOWN,
    "optimizer.betas": _COUNTS | Role.IN_GROUP_KNOWN,
    "optimizer.eps": _COUNTS | Role.IN_GROUP_KNOWN,
    "optimizer.momentum": _COUNTS | Role.IN_GROUP_KNOWN,
}
# The path of a file -> the key of its content's sha256: where that is known, its place says nothing more.
CONTENTS = {
    "data.path": "data.file_sha256",
    "data.validation_path": "data.validation_sha256",
    "data.test_path": "data.test_sha256",
}
# The optimisers that take one setting a member.
KNOWN_OPTIMIZERS = ("torch.optim.Adam", "torch.optim.AdamW", "torch.optim.SGD")
REPEATING = tuple(key for key, role in ROLES.items() if Role.REPEATS in role)


@cache
def role_of(key: str) -> Role:
    """Give the parts that a dotted key plays; a choice such as ``hydra/launcher`` plays those of its head."""
    key = key.partition("/")[0]
    while key not in ROLES:
        key = key.rpartition(".")[0]
    return ROLES[key]


def override_role(text: str) -> Role:
    """Give the parts of the key of an override, such as ``+model.width=16``."""
    return role_of(text.partition("=")[0].lstrip("+~").partition("@")[0])


def without(role: Role) -> tuple[str, ...]:
    """List the keys of the table that do not play a part."""
    return tuple(key for key, roles in ROLES.items() if role not in roles)


def may_differ(config: Mapping[str, Any]) -> Iterable[str]:
    """List the keys in which the members of a config's group may differ."""
    target = str(config.get("optimizer", {}).get("_target_", ""))
    known = target in KNOWN_OPTIMIZERS or target.startswith("mlplab.")
    taken = Role.IN_GROUP | Role.IN_GROUP_KNOWN if known else Role.IN_GROUP
    return [key for key, role in ROLES.items() if role & taken]


def unlike(configs: Sequence[Mapping[str, Any]]) -> str | None:
    """Name a dotted key that keeps configs from being one group: they differ in it, and may not; None if they are one."""
    free = set(may_differ(configs[0])) if configs else set()

    def below(parts: Sequence[Any], key: str) -> str | None:
        if key in free or all(part == parts[0] for part in parts):
            return None
        if not all(isinstance(part, Mapping) for part in parts):
            return key
        names = dict.fromkeys(name for part in parts for name in part)
        found = (below([part.get(name) for part in parts], f"{key}.{name}".lstrip(".")) for name in names)
        return next((name for name in found if name is not None), None)

    return below(configs, "")
