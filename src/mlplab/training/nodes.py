"""Objects as plain nodes with `_target_`, and back: what a checkpoint keeps of a network, loss, optimiser and schedule."""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from mlplab.errors import InputError
from mlplab.nn.mlp import MLP
from mlplab.population.schedules import Schedule
from mlplab.rules import shown
from mlplab.runs.identity import names_today

# Each part of a classifier: of what kind it is, and in words.
PARTS = {
    "model": (nn.Module, "a torch.nn.Module"),
    "loss": (Callable, "a module from logits and labels to a scalar"),
    "optimizer": (Callable, "a function from parameters to an optimiser, as partial(torch.optim.Adam, lr=0.01) is"),
    "schedule": ((Schedule, Callable), "a schedule, or a function from an optimiser to a scheduler"),
}
PLAIN = (type(None), bool, int, float, str)


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
    for name in inspect.signature(type(module)).parameters:
        if name in ("device", "dtype", "size_average", "reduce"):
            continue
        value = getattr(module, name, inspect.Parameter.empty)
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
    from mlplab.training.objects import build, expect_allowed

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
