"""Many networks as one: which may share a population, and which kind of population they make."""

from collections.abc import Sequence

import torch
from torch import nn

from mlplab.nn.mlp import MLP
from mlplab.population.member_axis import Population
from mlplab.population.module_population import ModulePopulation
from mlplab.population.stacked_mlp import StackedMLP

__all__ = ["ModulePopulation", "Population", "StackedMLP", "can_stack", "stack"]


# Attributes of a module that say nothing of what it computes: its mode, and what the lab notes on it.
NO_SETTINGS = ("training", "node", "stream")


def can_stack(a: nn.Module, b: nn.Module) -> bool:
    """Say whether two networks may be members of one population."""
    if _is_written_out(a) and _is_written_out(b):
        return _architecture(a) == _architecture(b)
    return _arrays(a) == _arrays(b) and structure(a) == structure(b)


def _is_written_out(module: nn.Module) -> bool:
    """Say whether a network is an MLP as its constructor made it, all of it to be trained."""
    return (
        isinstance(module, MLP)
        and module.is_as_built()
        and all(parameter.requires_grad for parameter in module.parameters())
    )


def _arrays(module: nn.Module) -> list[tuple]:
    arrays = [(name, p.shape, p.dtype, p.requires_grad) for name, p in module.named_parameters()]
    return arrays + [(name, buffer.shape, buffer.dtype) for name, buffer in module.named_buffers()]


def structure(module: nn.Module) -> list[tuple]:
    """The parts of a network with what is set on each, such as a slope or a probability of dropout."""

    def settings(part: nn.Module) -> dict:
        own = {name: value for name, value in vars(part).items() if name[0] != "_" and name not in NO_SETTINGS}
        # Two networks' methods are equal where their functions are; tensors are no settings.
        return {k: getattr(v, "__func__", v) for k, v in own.items() if not isinstance(v, (nn.Module, torch.Tensor))}

    return [(name, type(part), part.extra_repr(), settings(part)) for name, part in module.named_modules()]


def _architecture(module: MLP) -> tuple:
    dtype = module.linear_layers()[0].weight.dtype
    return (
        module.in_features,
        tuple(module.hidden),
        module.out_features,
        module.activations if module.hidden else [],
        module.dropout,
        dtype,
    )


def stack(modules: Sequence[nn.Module], seeds: Sequence[int]) -> Population:
    """Build a population of networks that :func:`can_stack` holds together.

    Args:
        modules: the networks, at least one; a module that is no MLP is walked by itself with autograd.
        seeds: one seed a member, for what it draws while training.

    Raises:
        ValueError: if the networks cannot be stacked.
    """
    if not modules or len(modules) != len(seeds):
        raise ValueError(
            f"a population needs at least one network and a seed for each, got {len(modules)} and {len(seeds)}"
        )
    if not all(can_stack(modules[0], module) for module in modules):
        raise ValueError("the networks of a population must share class, shapes, activation and dropout")
    return (StackedMLP if _is_written_out(modules[0]) else ModulePopulation)(modules, seeds)
