"""What makes two runs the same: the role of every key, classes by their names of before, and the SHA-256 of what counts."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from enum import Flag, auto
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from mlplab.runs.files import open_file

# Name in an earlier version, mostly 0.1 -> name today.
MOVED = {
    "mlplab.nn.lif_rate.LIFRate": "mlplab.nn.activations.LIFRate",
    "mlplab.nn.dropout.Dropout": "mlplab.nn.mlp.Dropout",
    "mlplab.training.callbacks.monitors.LearningRateMonitor": "mlplab.training.callbacks.LearningRateMonitor",
    "mlplab.training.callbacks.monitors.Timing": "mlplab.training.callbacks.Timing",
    "mlplab.training.schedules.Constant": "mlplab.population.schedules.Constant",
    "mlplab.training.schedules.Cosine": "mlplab.population.schedules.Cosine",
    "mlplab.training.schedules.OneCycle": "mlplab.population.schedules.OneCycle",
    "mlplab.training.schedules.Step": "mlplab.population.schedules.Step",
    "mlplab.core.currents.Constant": "mlplab.studies.lif.currents.Constant",
    "mlplab.core.currents.FileSamples": "mlplab.studies.lif.currents.FileSamples",
    "mlplab.core.currents.OrnsteinUhlenbeck": "mlplab.studies.lif.currents.OrnsteinUhlenbeck",
    "mlplab.core.currents.Poisson": "mlplab.studies.lif.currents.Poisson",
    "mlplab.core.currents.Ramp": "mlplab.studies.lif.currents.Ramp",
    "mlplab.core.currents.Sine": "mlplab.studies.lif.currents.Sine",
    "mlplab.core.currents.Step": "mlplab.studies.lif.currents.Step",
    "mlplab.core.lif.Neuron": "mlplab.studies.lif.neuron.Neuron",
    "mlplab.core.losses.CrossEntropy": "mlplab.nn.losses.CrossEntropy",
    "mlplab.core.mlp.MLP": "mlplab.nn.mlp.MLP",
    "mlplab.core.surrogate.SpikingMLP": "mlplab.studies.lif.surrogate.SpikingMLP",
    "mlplab.training.data.BlobsDataModule": "mlplab.data.modules.BlobsDataModule",
    "mlplab.training.data.CirclesDataModule": "mlplab.data.modules.CirclesDataModule",
    "mlplab.training.data.FileDataModule": "mlplab.data.modules.FileDataModule",
    "mlplab.training.data.MoonsDataModule": "mlplab.data.modules.MoonsDataModule",
    "mlplab.training.data.SpiralDataModule": "mlplab.data.modules.SpiralDataModule",
    "mlplab.training.data.XorDataModule": "mlplab.data.modules.XorDataModule",
    "mlplab.training.optimizers.Adam": "torch.optim.Adam",
    "mlplab.training.optimizers.AdamW": "torch.optim.AdamW",
    "mlplab.training.optimizers.SGD": "torch.optim.SGD",
}
# Keys that version 0.1 did not have -> what it did. They enter no digest where they say so.
ADDED = {
    "module": {"_target_": "mlplab.training.classifier.Classifier"},
    "monitor": "val/nll",
    "mode": "min",
    "init_from": None,
    "trainer.engine": "auto",
    "data.with_ends": True,
}
# Keys of single classes that came later still: null, they enter no digest.
LATER = ("callbacks.decision_maps.pair", "data.validation_sha256", "data.test_sha256")
_BEFORE = {
    today: before
    for before, today in MOVED.items()
    if not before.startswith(("mlplab.nn.", "mlplab.training.callbacks."))
}


def name_today(target: object) -> object:
    """Give today's name of a class that a config names, whatever version recorded it."""
    return MOVED.get(target, target) if isinstance(target, str) else target


def names_today(node: Any) -> Any:
    """Give a recorded node with today's name of every class in it."""
    if isinstance(node, Mapping):
        return {key: name_today(part) if key == "_target_" else names_today(part) for key, part in node.items()}
    return [names_today(part) for part in node] if isinstance(node, list | tuple) else node


def name_for_digest(target: object) -> object:
    """Give the name by which a class enters a config's digest: that of version 0.1 where it had one."""
    return _BEFORE.get(target, target) if isinstance(target, str) else target


def with_added(config: dict) -> dict:
    """Complete a recorded config of ``train`` by the keys that version 0.1 did not have."""
    if not {"data", "model", "trainer"} <= config.keys():
        return config
    whole = dict(config)
    for key, value in ADDED.items():
        group, _, name = key.partition(".")
        if key == "data.with_ends" and not str(whole["data"].get("_target_", "")).endswith(".SpiralDataModule"):
            continue
        if name:
            if isinstance(whole[group], dict) and name not in whole[group]:
                whole[group] = whole[group] | {name: value}
        else:
            whole.setdefault(group, value)
    return whole


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
    **dict.fromkeys(
        (
            "callbacks.checkpoints",
            "callbacks.decision_maps",
            "callbacks.divergence_guard",
            "callbacks.learning_rate_monitor",
            "callbacks.progress",
            "callbacks.timing",
        ),
        Role.IDENTITY,
    ),
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


PACKAGE = Path(__file__).resolve().parent.parent


def config_digest(config: Mapping[str, Any], leave_out: Iterable[str] = without(Role.IDENTITY)) -> str:
    """Fingerprint a resolved config.

    Args:
        config: nested mappings, lists and plain values; the order of keys does not matter.
        leave_out: dotted keys that do not count, such as ``"trainer.profiler"``; missing ones are fine.

    Returns:
        64 hexadecimal digits.
    """
    left_out = frozenset(leave_out)
    canonical = json.dumps(_without(config, left_out, ""), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _without(value: Any, left_out: frozenset[str], prefix: str) -> Any:
    if not isinstance(value, Mapping):
        return value
    return {
        str(key): name_for_digest(part) if key == "_target_" else _without(part, left_out, f"{prefix}{key}.")
        for key, part in value.items()
        if f"{prefix}{key}" not in left_out
        and not (f"{prefix}{key}" in ADDED and part == ADDED[f"{prefix}{key}"])
        and not (part is None and f"{prefix}{key}" in LATER)
        and not value.get(CONTENTS.get(f"{prefix}{key}", "").removeprefix(prefix))
    }


def tensor_sha256(state: Any) -> str:
    """Fingerprint tensors bit by bit: names, types, shapes and bytes.

    Args:
        state: a tensor, an array, a plain value, or nested mappings and sequences of these. Names are
            sorted, so that the order of insertion does not matter; device and strides do not either.

    Returns:
        64 hexadecimal digits.
    """
    digest = hashlib.sha256()
    _update(digest, "", state)
    return digest.hexdigest()


def _update(digest: Any, name: str, value: Any) -> None:
    if isinstance(value, Mapping):
        digest.update(f"{name}:mapping:{len(value)};".encode())
        for key in sorted(value, key=str):
            _update(digest, f"{name}/{type(key).__name__}.{key}", value[key])
    elif isinstance(value, (list, tuple)):
        digest.update(f"{name}:sequence:{len(value)};".encode())
        for index, part in enumerate(value):
            _update(digest, f"{name}/{index}", part)
    elif hasattr(value, "detach"):
        import torch  # here, so that a config can be fingerprinted without torch

        flat = value.detach().cpu().contiguous().reshape(-1)
        kind = str(value.dtype).removeprefix("torch.")
        digest.update(f"{name}:{kind}:{tuple(value.shape)};".encode())
        digest.update(memoryview(flat.view(torch.uint8).numpy()))
    elif hasattr(value, "dtype"):
        digest.update(f"{name}:{value.dtype.name}:{tuple(value.shape)};".encode())
        digest.update(value.tobytes())
    elif value is None or isinstance(value, (bool, int, float, str, bytes)):
        digest.update(f"{name}:{type(value).__name__}:{value!r};".encode())
    else:
        raise TypeError(f"cannot fingerprint {name or 'the value'}: {type(value).__name__}")


def file_sha256(path: str | Path) -> str:
    """Fingerprint a file's bytes: 64 hexadecimal digits. A file that did not change is read once a process.

    Raises:
        OSError: there is no such file, or it cannot be read, or is a named pipe or a device.
    """
    path = Path(path).absolute()
    state = path.stat()
    return _file_sha256(path, state.st_mtime_ns, state.st_size, state.st_ino)


@lru_cache(maxsize=64)
def _file_sha256(path: Path, *state: int) -> str:
    with open_file(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@cache
def code_digest(package: Path = PACKAGE) -> str:
    """Fingerprint the ``.py`` files of the package, names and contents, as this process first saw them."""
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py"), key=lambda path: path.relative_to(package).as_posix()):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(package).as_posix()}:{len(content)};".encode())
        digest.update(content)
    return digest.hexdigest()
