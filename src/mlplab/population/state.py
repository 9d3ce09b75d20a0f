"""What a member's training has come to: collected for its checkpoint, and taken back when it goes on."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from mlplab.errors import InputError
from mlplab.population.blocks import draws_orders
from mlplab.population.epoch import EpochSums
from mlplab.population.limits import Stop
from mlplab.population.optimizers import MemberOptimizer, moments_of, moments_of_members


def member_state(engine: Any, index: int) -> dict[str, Any]:
    """Collect what a member's training has come to: tensors by the names of its module, and plain values.

    Args:
        engine: a `PopulationModule` that is placed on its device.
        index: the member.

    Returns:
        ``model``, ``buffers``, ``optimizer`` (moments by name and then parameter) and ``steps``.
    """
    population, stop = engine.population, engine.stops.get(index)
    own = moments_of_members(engine.optimizer, engine.theta)
    return {
        "model": population.split(population.theta[index]),
        "buffers": population.buffers(index),
        "optimizer": {
            name: population.split(value[index]) if name in own else value
            for name, value in moments_of(engine.optimizer, engine.theta).items()
        },
        "steps": stop.step if stop else engine.steps,
    }


def engine_state(engine: Any, index: int, drawn: bool) -> dict[str, Any]:
    """Collect what the engine needs besides :func:`member_state` to go on to the same bits.

    Args:
        engine: a `PopulationModule`.
        index: the member.
        drawn: whether the device draws the orders itself.
    """
    best, stop = engine.best, engine.stops.get(index)
    sums = engine.sums if engine.minibatches % engine.minibatches_per_epoch else EpochSums()
    return {
        "steps": stop.step if stop else engine.steps,
        "epochs": engine.epochs,
        "minibatches": engine.minibatches,
        "drawn": drawn,
        "stop": None if stop is None else {"reason": stop.reason, "epoch": stop.epoch, "step": stop.step},
        "gathered": None if engine.gathered is None else engine.gathered[index],
        # What the running epoch has summed up; nothing between two epochs.
        "sums": {
            "losses": [part[index] for part in sums.losses],
            "correct": [part[index] for part in sums.correct],
            "sizes": list(sums.sizes),
        },
        "best": {
            "value": float(best.value[index]),
            "epoch": int(best.epoch[index]),
            "model": engine.population.split(best.theta[index]),
            "buffers": best.buffers.get(index, {}),
        },
    }


def restore(engine: Any, members: Sequence[Mapping[str, Any]], states: Sequence[Mapping[str, Any]]) -> None:
    """Put a population back to where its members were.

    Args:
        engine: a `PopulationModule`, before ``fit``.
        members: of each member ``model``, ``buffers`` and ``optimizer``, as :func:`member_state` gives them.
        states: of each member what :func:`engine_state` gave.

    Raises:
        InputError: the members stopped at different places.
    """
    engine.place()
    population = engine.population
    device = population.theta.device
    places = {(s["epochs"], s["minibatches"]) for s in states if not s["stop"]} or {
        (s["epochs"], s["minibatches"]) for s in states
    }
    if len(places) != 1:
        raise InputError(
            f"the checkpoints of a population must be of one place, got epochs and minibatches {sorted(places)}"
        )
    for index, (member, state) in enumerate(zip(members, states)):
        population.join(member["model"], population.theta[index])
        population.load_buffers(index, member["buffers"])
        _restore_moments(engine, index, member["optimizer"])
        best = state["best"]
        population.join(best["model"], engine.best.theta[index])
        engine.best.value[index], engine.best.epoch[index] = best["value"], best["epoch"]
        if best["buffers"]:
            engine.best.buffers[index] = best["buffers"]
        if state["stop"]:
            engine.stops[index] = Stop(**state["stop"])
    first = next((s for s in states if not s["stop"]), states[0])
    engine.steps, engine.minibatches, engine.epochs = first["steps"], first["minibatches"], first["epochs"]
    # One that had ended may be of an earlier saving than the others; its unfinished epoch is ignored.
    running = [s if s["minibatches"] == first["minibatches"] else first for s in states]
    if first["gathered"] is not None:
        engine.gathered = torch.stack([s["gathered"] for s in running]).to(device)
    engine.sums.sizes = list(first["sums"]["sizes"])
    for name in ("losses", "correct"):
        parts = zip(*(s["sums"][name] for s in running))
        setattr(engine.sums, name, [torch.stack(part).to(device) for part in parts])


def expect_the_order(device: torch.device, order_seeds: Sequence[int | None], state: Mapping[str, Any]) -> None:
    """Refuse to go on within an epoch on a device where its points would come in another order."""
    drawn = draws_orders(device, order_seeds)
    if state["sums"]["sizes"] and state.get("drawn", False) != drawn:
        before, now = ("cpu", "gpu") if drawn else ("gpu", "cpu")
        raise InputError(
            f"this run stopped inside an epoch, whose points come in another order on another device: "
            f"resume it with trainer={before}, got trainer={now}"
        )


def _restore_moments(engine: Any, index: int, moments: Mapping[str, Any]) -> None:
    population, optimizer = engine.population, engine.optimizer
    if isinstance(optimizer, MemberOptimizer):
        for name, named in moments.items():
            population.join(named, optimizer.moments[name][index])
        return
    state = moments_of(optimizer, engine.theta)
    for name, value in moments.items():
        if isinstance(value, dict):
            array = state.setdefault(name, torch.zeros_like(population.theta))
            population.join(value, array[index])
        else:
            state[name] = value


def all_finite(array: Tensor) -> Tensor:
    """Say of each row of (p, S) whether all its numbers are finite."""
    # A sum shows what is not finite in one pass, but may itself overflow.
    finite = torch.isfinite(array.sum(1))
    return finite if finite.all() else torch.isfinite(array).all(1)
