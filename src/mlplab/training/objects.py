"""From a node with `_target_` to the object that it names, and back to the node that a checkpoint keeps of it.

What cannot be built is answered in one line.
"""

import copy
import dataclasses
import functools
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from inspect import Parameter, signature
from typing import Any

import torch
from hydra.errors import InstantiationException
from hydra.utils import get_class, instantiate
from lightning.pytorch import Callback, LightningDataModule, LightningModule
from lightning.pytorch.loggers import Logger
from torch import nn

from mlplab.errors import InputError
from mlplab.nn.mlp import MLP
from mlplab.population.schedules import Schedule
from mlplab.rules import shown
from mlplab.runs.identity import names_today
from mlplab.runs.memory import expect_memory
from mlplab.runs.trusted import expect_class

# What the node of each group must name.
KINDS: dict[str, type] = {
    "data": LightningDataModule,
    "model": nn.Module,
    "module": LightningModule,
    "loss": nn.Module,
    "optimizer": torch.optim.Optimizer,
    "callbacks": Callback,
    "logger": Logger,
}
NAMES = {
    "data": "LightningDataModule",
    "model": "torch.nn.Module",
    "module": "LightningModule",
    "loss": "torch.nn.Module",
    "optimizer": "torch.optim.Optimizer",
    "callbacks": "Lightning Callback",
    "logger": "Lightning Logger",
}
SCHEDULERS = (torch.optim.lr_scheduler.LRScheduler, torch.optim.lr_scheduler.ReduceLROnPlateau)
# The keys that decide how much memory is needed.
DATA_SIZES = ("arms", "classes", "points_per_arm", "points_per_class", "validation_points", "fresh_points")
MODEL_SIZES = ("hidden", "width", "depth")
# Parts of torch's messages for too little memory, and for sizes beyond its integers.
NO_MEMORY = (
    "can't allocate memory",
    "not enough memory",
    "out of memory",
    "size calculation overflowed",
    "integer multiplication overflow",
    "Overflow when unpacking long",
)
# Each part of a classifier: of what kind it is, and in words.
PARTS = {
    "model": (nn.Module, "a torch.nn.Module"),
    "loss": (Callable, "a module from logits and labels to a scalar"),
    "optimizer": (Callable, "a function from parameters to an optimiser, as partial(torch.optim.Adam, lr=0.01) is"),
    "schedule": ((Schedule, Callable), "a schedule, or a function from an optimiser to a scheduler"),
}
PLAIN = (type(None), bool, int, float, str)


def find_class(node: Mapping[str, Any], key: str) -> Any:
    """Import the class that a config node names.

    Args:
        node: a mapping with ``_target_``.
        key: where it stands in the config; its first word says what the class must be.

    Raises:
        InputError: there is no such class, or it is of another kind.
    """
    logger = logging.getLogger("hydra.utils")
    before, logger.disabled = logger.disabled, True  # what it would print is in the error too
    try:
        found = get_class(node["_target_"])
    except Exception as error:  # whatever a module of the user's raises while it is imported
        raise InputError(f"{key}._target_={node['_target_']} cannot be found: {_words(error)}") from error
    finally:
        logger.disabled = before
    group = key.partition(".")[0]
    kind = KINDS.get(group)
    if kind is not None and not issubclass(found, kind):
        raise InputError(f"{key}._target_ must name a {NAMES[group]}, got {node['_target_']}")
    if group == "schedule" and not issubclass(found, (Schedule, *SCHEDULERS)):
        wanted = "a class of torch.optim.lr_scheduler or a subclass of mlplab.Schedule"
        raise InputError(f"{key}._target_ must name {wanted}, got {node['_target_']}")
    return found


def arguments_of(found: Any) -> Mapping[str, Parameter]:
    """List the arguments that a class takes; none where it does not say."""
    try:
        return signature(found).parameters
    except ValueError:  # classes written in C
        return {}


def build(node: Mapping[str, Any], key: str, **more: Any) -> Any:
    """Build the object that a config node names.

    Args:
        node: a mapping with ``_target_``.
        key: where it stands in the config, for the error.
        **more: arguments besides the node's own.

    Raises:
        InputError: the class is not found, is of another kind, or refuses its arguments.
    """
    found = find_class(node, key)
    if issubclass(found, (torch.optim.Optimizer, *SCHEDULERS)):
        return _partial_of(found, node)
    try:
        if _is_simple(node):
            # Hydra's way takes milliseconds, and thousands of members each have a node.
            made = found(**copy.deepcopy({name: value for name, value in node.items() if name != "_target_"}) | more)
        else:
            made = instantiate(node, **more, _convert_="all")
        if isinstance(made, nn.Module) and not more:
            made.node = copy.deepcopy(dict(node))  # what a checkpoint keeps of it
        return made
    except Exception as error:  # whatever error a class raises for its arguments
        if isinstance(error, InputError):
            raise
        cause = (error.__cause__ or error) if isinstance(error, InstantiationException) else error
        if isinstance(cause, InputError):
            raise cause from error
        if wants_memory(cause):
            raise cause
        reason = f"{key}._target_={node['_target_']} cannot be built: {_words(cause)}"
        raise InputError(reason) from error


def _partial_of(found: type, node: Mapping[str, Any]) -> functools.partial:
    """Give an optimiser or scheduler with its settings, which waits for what it acts on."""
    settings = {name: value for name, value in node.items() if not (name.startswith("_") and name.endswith("_"))}
    made = functools.partial(found, **{name: tuple(v) if isinstance(v, list) else v for name, v in settings.items()})
    made.node = copy.deepcopy(dict(node)) | {"_partial_": True}
    return made


def expect_allowed(node: Mapping[str, Any], key: str) -> None:
    """Refuse a node, of a checkpoint perhaps, that names what a recorded config may not.

    Raises:
        InputError: it names something else.
    """
    if "_target_" in node:
        expect_class(f"{key}._target_", key, node)
    for name, value in node.items():
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, Mapping):
                expect_allowed(part, f"{key}.{name}")


def _is_simple(node: Any) -> bool:
    """Say whether a node is a plain dict that asks nothing of Hydra but to call its ``_target_``."""

    def is_plain(value: Any) -> bool:
        if isinstance(value, list):
            return all(is_plain(item) for item in value)
        if isinstance(value, dict):
            return all(is_name(name) and is_plain(item) for name, item in value.items())
        return value is None or isinstance(value, (bool, int, float)) or isinstance(value, str) and "${" not in value

    def is_name(name: Any) -> bool:
        return isinstance(name, str) and not (name.startswith("_") and name.endswith("_"))

    return type(node) is dict and all(
        name == "_target_" or is_name(name) and is_plain(value) for name, value in node.items()
    )


def try_optimizer(make: Any) -> None:
    """Refuse an optimiser that does not take its settings, before anything is trained.

    Args:
        make: function from parameters to an optimiser.
    """
    try:
        make([nn.Parameter(torch.zeros(2, 2))])
    except InputError:
        raise
    except Exception as error:  # a user's own code, or torch's error about a setting
        raise InputError(_refusal("optimizer", make, error)) from error


def try_schedule(schedule: Any) -> None:
    """Refuse a schedule of torch's that does not take its settings, before anything is trained.

    Args:
        schedule: one of the lab's, or a function from an optimiser to a scheduler.
    """
    if isinstance(schedule, Schedule):
        return
    try:
        schedule(torch.optim.SGD([nn.Parameter(torch.zeros(2, 2))], lr=0.1, momentum=0.9))
    except Exception as error:
        raise InputError(_refusal("schedule", schedule, error)) from error


def class_and_settings(make: Any) -> tuple[Any, Mapping[str, Any]]:
    """Part what makes an optimiser or a schedule into the class or function and the settings given to it."""
    return (make.func, make.keywords) if isinstance(make, functools.partial) else (make, {})


def _refusal(group: str, make: Any, error: Exception) -> str:
    kind, settings = class_and_settings(make)
    unknown = [name for name in settings if f"'{name}'" in str(error)]
    out = f"; leave it out with ~{group}.{unknown[0]}" if unknown else ""
    name = f"{kind.__module__}.{getattr(kind, '__qualname__', type(kind).__name__)}"
    return f"{group}._target_={name} cannot train here: {_words(error)}{out}"


def try_loss(loss: nn.Module, classes: int, dtype: torch.dtype) -> None:
    """Refuse a loss that does not give one number, with a gradient, for logits and labels.

    Args:
        loss: the module.
        classes: of the data.
        dtype: of the networks.
    """
    name = f"{type(loss).__module__}.{type(loss).__qualname__}"
    logits = torch.zeros(2 * classes, classes, dtype=dtype, requires_grad=True)
    try:
        value = loss(logits, torch.arange(classes).repeat(2))
    except Exception as error:  # a user's own code, or one of torch's that takes other labels
        given = f"logits {tuple(logits.shape)} and labels ({2 * classes},)"
        raise InputError(f"loss._target_={name} cannot take {given}: {_words(error)}") from error
    if not isinstance(value, torch.Tensor) or value.numel() != 1 or not value.requires_grad:
        given = tuple(value.shape) if isinstance(value, torch.Tensor) else type(value).__name__
        raise InputError(f"loss._target_={name} must give one number with a gradient, got {given}")


def wants_memory(error: BaseException) -> bool:
    """Say whether an error is for want of memory."""
    if isinstance(error, (MemoryError, OverflowError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, (RuntimeError, ValueError)) and any(words in str(error) for words in NO_MEMORY)


@contextmanager
def within_memory(configs: Sequence[Mapping[str, Any]]) -> Iterator[None]:
    """Answer what does not fit into memory in one line that names the keys which decide it."""
    for config in configs:
        expect_memory(config)
    try:
        yield
    except Exception as error:
        if not wants_memory(error):
            raise
        data, model = configs[0]["data"], configs[0]["model"]
        sizes = [f"data.{name}={data[name]}" for name in DATA_SIZES if name in data]
        sizes += [f"model.{name}={model[name]}" for name in MODEL_SIZES if model.get(name) is not None]
        together = f", {len(configs)} networks together" if len(configs) > 1 else ""
        reason = f"{', '.join(sizes)}{together}; take smaller ones ({_words(error)[:160]})"
        raise InputError(f"this does not fit into memory, got {reason}") from error


def _words(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def node_of(value: Any) -> dict[str, Any] | None:
    """Describe an object by the class and the plain arguments that make one like it; None where it cannot be."""
    if type(value) is MLP and not value.is_as_built():
        return None
    own = getattr(value, "node", None)
    if isinstance(own, Mapping):
        return dict(own)
    if type(value) is MLP:
        return {"_target_": _name(MLP), **value.arguments}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {"_target_": _name(type(value)), **dataclasses.asdict(value)}
    if isinstance(value, functools.partial) and isinstance(value.func, type) and not value.args:
        plain = all(_is_plain(part) for part in value.keywords.values())
        return {"_target_": _name(value.func), "_partial_": True, **_lists(value.keywords)} if plain else None
    if isinstance(value, type):
        return {"_target_": _name(value), "_partial_": True}
    return _module_node(value) if isinstance(value, nn.Module) else None


def _module_node(module: nn.Module) -> dict[str, Any] | None:
    """Describe a module of torch's own by its constructor's arguments, which torch keeps as attributes."""
    if type(module) is nn.Sequential:
        parts = [node_of(part) for part in module]
        return {"_target_": "torch.nn.Sequential", "_args_": parts} if all(parts) else None
    if not type(module).__module__.startswith(("torch.nn.", "mlplab.nn.")) or list(module.children()):
        return None
    node: dict[str, Any] = {"_target_": _name(type(module))}
    if type(module).__init__ is nn.Module.__init__ or type(module) is nn.Identity:
        return node
    for name in signature(type(module)).parameters:
        if name in ("device", "dtype", "size_average", "reduce"):
            continue
        value = getattr(module, name, Parameter.empty)
        if name == "bias":
            value = value is not None
        elif isinstance(value, torch.Tensor):
            value = value.tolist()
        elif isinstance(value, nn.Module):
            value = None
        if not _is_plain(value):
            return None
        node[name] = list(value) if isinstance(value, tuple) else value
    return node


class Absent(nn.Module):
    """Stand where a checkpoint holds no part of its own kind, such as a loss of a class without plain arguments.

    Args:
        group: the argument of the classifier: ``loss``, ``optimizer`` or ``schedule``.
        name: what was there.
    """

    def __init__(self, group: str, name: str) -> None:
        super().__init__()
        self.group, self.name = group, name

    def forward(self, *_: Any) -> Any:
        raise InputError(
            f"the checkpoint holds no {self.group}, which was {self.name}; give it, as in load_from_checkpoint(FILE, {self.group}=...)"
        )


def node_or_name(value: Any) -> dict[str, Any]:
    """Give what a checkpoint keeps of an object: its node, or where it has none the name of what it was."""
    return node_of(value) or {"_absent_": getattr(value, "__qualname__", type(value).__qualname__)}


def built(value: Any, group: str) -> Any:
    """Build the object of a node, whose classes must be ones that a recorded config may name; others pass through."""
    wrong = f"{group} must be {PARTS[group][1]}, or a mapping with _target_, got {shown(value)}"
    if not isinstance(value, Mapping):
        if not isinstance(value, PARTS[group][0]):
            raise InputError(wrong)
        return value
    if "_absent_" in value:
        if group == "model":
            raise InputError(
                f"the checkpoint does not say how its network, {value['_absent_']}, is made; give one to take its weights, "
                "as in load_from_checkpoint(FILE, model=...)"
            )
        return Absent(group, str(value["_absent_"]))
    if "_target_" not in value:
        raise InputError(wrong)
    value = names_today(value)
    expect_allowed(value, group)
    weight = value.get("weight") if group == "loss" else None  # torch's losses take a tensor only
    return build(dict(value), group, **({"weight": torch.tensor(weight)} if isinstance(weight, list) else {}))


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _is_plain(value: Any) -> bool:
    return isinstance(value, PLAIN) or isinstance(value, (list, tuple)) and all(_is_plain(part) for part in value)


def _lists(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in arguments.items()}
