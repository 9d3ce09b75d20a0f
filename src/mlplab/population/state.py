"""Where a population's training stands: the running epoch, and each member's best state and end, kept for a checkpoint."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from mlplab.errors import InputError
from mlplab.population.member_axis import Population
from mlplab.population.optimizers import MemberOptimizer, moments_of, moments_of_members

PRECISIONS = {"32-true": torch.float32, "64-true": torch.float64}


def wide_float(device: torch.device) -> torch.dtype:
    """Give the widest floating type of a device, in which sums are taken: Apple's GPU has no float64."""
    return torch.float32 if device.type == "mps" else torch.float64


@dataclass(frozen=True)
class Rules:
    """What a step does beside the gradient; the names and meanings are Lightning's.

    Attributes:
        max_epochs: epochs at most, -1 for no limit; the schedule's length together with ``max_steps``.
        max_steps: optimiser steps at most, -1 for no limit.
        accumulate_grad_batches: minibatches whose mean gradient makes one optimiser step.
        gradient_clip_val: largest norm (or absolute value) of a member's gradient; None for no limit.
        gradient_clip_algorithm: "norm" or "value".
    """

    max_epochs: int = 100
    max_steps: int = -1
    accumulate_grad_batches: int = 1
    gradient_clip_val: float | None = None
    gradient_clip_algorithm: str = "norm"

    def steps_per_epoch(self, minibatches: int) -> int:
        """Count the optimiser steps of an epoch; the last minibatch of an epoch always makes one."""
        return -(-minibatches // self.accumulate_grad_batches)

    def steps(self, minibatches: int) -> int:
        """Count the optimiser steps of the whole training."""
        steps = self.max_epochs * self.steps_per_epoch(minibatches)
        if self.max_epochs < 0:
            return self.max_steps
        return steps if self.max_steps < 0 else min(steps, self.max_steps)

    def epochs(self, minibatches: int) -> int:
        """Count the epochs of the whole training, the last one perhaps cut short by ``max_steps``."""
        return -(-self.steps(minibatches) // self.steps_per_epoch(minibatches))


class Members:
    """What callbacks and the end of a run ask of the networks in training, many in the engine or one in Lightning's loop.

    Attributes:
        members: number of networks P.
        population, theta: the networks, and their parameters (P, S).
        metrics: of the epoch, name to an array of shape (P,).
        epochs, steps, total_epochs: trained so far, and epochs of the whole.
        best, stops, rates: the best state of each, the members that have ended, and the learning rate of each.
        replaced: what a callback does to the weights after they were validated ("averaged", "pruned"), and its name.
    """

    replaced: tuple[str, str] | None = None
    theta: Tensor

    @property
    def root_device(self) -> torch.device:
        """The device that the networks were trained on."""
        return self.theta.device

    def note_validation(self) -> None:
        """Remember that what the validation measured is of this epoch."""


@dataclass
class Stop:
    """Why and where one member ended before the others."""

    reason: str
    epoch: int
    step: int


@dataclass
class EpochSums:
    """Losses and hits of each minibatch of the running epoch, so that a resumed sum has the same bits."""

    losses: list[Tensor] = field(default_factory=list)  # each (P, S)
    correct: list[Tensor] = field(default_factory=list)  # each (P, S)
    sizes: list[int] = field(default_factory=list)  # points of a minibatch, one for each of the S

    def clear(self) -> None:
        self.losses, self.correct, self.sizes = [], [], []

    def to(self, device: torch.device) -> None:
        """Move what is kept to a device."""
        self.losses = [part.to(device) for part in self.losses]
        self.correct = [part.to(device) for part in self.correct]

    def mean(self) -> tuple[Tensor, Tensor]:
        """Give loss and accuracy of the epoch, each (P,), float64 where the device has it."""
        losses, correct = torch.cat(self.losses, 1), torch.cat(self.correct, 1)
        wide = wide_float(losses.device)
        losses, correct = losses.to(wide), correct.to(wide)
        sizes = torch.tensor(self.sizes, dtype=wide, device=losses.device)
        return (losses * sizes).sum(1) / sizes.sum(), correct.sum(1) / sizes.sum()


class BestState:
    """Keep each member's parameters of the epoch with the best value of a metric; a tie keeps the first.

    Args:
        population: the networks.
        mode: "min" where a lower value is better, "max" where a higher one is.

    Attributes:
        value: best value so far, (P,); before the first one the worst there is, inf or -inf.
        epoch: epochs trained when it was reached, (P,); -1 before the first.
        theta: parameters then, (P, S).
        buffers: what the members' modules held besides then, by member and name.
    """

    def __init__(self, population: Population, mode: str = "min") -> None:
        self.population = population
        self.sign = -1.0 if mode == "max" else 1.0
        worst = self.sign * torch.inf
        device = population.theta.device
        self.value = torch.full((population.members,), worst, dtype=wide_float(device), device=device)
        self.epoch = torch.full((population.members,), -1, device=device)
        self.theta = population.theta.detach().clone()
        self.buffers: dict[int, dict[str, Tensor]] = {}

    def offer(self, value: Tensor, epoch: int, active: Tensor) -> None:
        """Take over the members whose value (P,) is better than before; what is not finite never is."""
        value = value.to(self.value)
        better = active & value.isfinite() & (self.sign * value < self.sign * self.value)
        self.value = torch.where(better, value, self.value)
        self.epoch = torch.where(better, epoch, self.epoch)
        self.theta = torch.where(better.unsqueeze(1), self.population.theta.detach(), self.theta)
        if self.population.buffers(0):
            for index in better.nonzero().flatten().tolist():
                self.buffers[index] = self.population.buffers(index)

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """Move what is kept to a device, the parameters as another floating type."""
        self.value, self.epoch = self.value.to(device, wide_float(device)), self.epoch.to(device)
        self.theta = self.theta.to(device, dtype)

    def known(self, index: int) -> bool:
        """Say whether the member has had a finite metric yet."""
        return int(self.epoch[index]) >= 0

    def member_state(self, index: int, monitor: str) -> dict[str, Any]:
        """Collect what a member's checkpoint holds of it; ``monitor`` names the metric whose value it is."""
        return {
            "monitor": monitor,
            "value": float(self.value[index]),
            "epoch": int(self.epoch[index]),
            "model": self.population.split(self.theta[index]),
            "buffers": self.buffers.get(index, {}),
        }

    def load_member_state(self, index: int, state: Mapping[str, Any]) -> None:
        """Take back what :meth:`member_state` gave; in one without a name, as older folders have it, the sign of "max" is changed."""
        self.value[index] = state["value"] if "monitor" in state else self.sign * state["value"]
        self.epoch[index] = state["epoch"]
        self.population.join(state["model"], self.theta[index])
        if state["buffers"]:
            self.buffers[index] = state["buffers"]


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
    stop = engine.stops.get(index)
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
        "best": engine.best.member_state(index, engine.monitor),
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
        engine.best.load_member_state(index, state["best"])
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


def expect_the_order(drawn: bool, state: Mapping[str, Any]) -> None:
    """Refuse to go on within an epoch on a device where its points would come in another order.

    Args:
        drawn: whether the device draws the orders itself.
        state: of the engine, as in a checkpoint.
    """
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
