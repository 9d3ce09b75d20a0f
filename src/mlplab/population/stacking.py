"""Many networks as one: which may share a population, and MLPs stacked, the backward pass written out.

A member's bits do not depend on its neighbours: hidden widths are padded to a multiple of 4 with dead units, and
minibatches with points that count for nothing, so that no member meets another code path of a kernel than it
would alone.

Shapes are (P, B, features) as everywhere, but in memory the points of one feature lie side by side. Products with
few inputs or classes are up to five times faster so, a softmax over few classes fifteen times.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from mlplab.nn.activations import ACTIVATIONS, activation_gradient
from mlplab.nn.mlp import HIDDEN_MULTIPLE, MLP, POINTS_MULTIPLE
from mlplab.population.member_axis import ALIGNMENT, ModulePopulation, Population, round_up
from mlplab.seeds import derive

# Working set of the members that are processed together, in bytes: a few L2 caches, so that one call serves several.
CACHE_BYTES = 6 << 20
# Two hidden layers of what is evaluated at once, in bytes: what fits a cache on a CPU, many threads on a GPU.
FORWARD_BYTES = 2 << 20
GPU_FORWARD_BYTES = 256 << 20
# Points are cut so that whole vectors and tiles of a product stay whole.
FORWARD_POINTS_MULTIPLE = 64
# Sizes of runs whose intermediate arrays are kept from step to step: two, and those of a short last minibatch.
KEPT_SIZES = 4
# Up to so many, a product for each member is no slower than one for all and a copy.
FEW_MEMBERS = 2


class StackedMLP(Population):
    """MLPs of one architecture as batched matrix products with the backward pass written out.

    Args:
        modules: MLPs with the same widths, activation and dropout, at least one.
        seeds: one seed a member.

    Attributes:
        cache_bytes: what the members that are processed together may take.
        forward_bytes: what is evaluated at once may take; None for the device's.
    """

    cache_bytes: int = CACHE_BYTES
    forward_bytes: int | None = None

    def __init__(self, modules: Sequence[MLP], seeds: Sequence[int]) -> None:
        first = modules[0]
        self.members = len(modules)
        self.seeds = list(seeds)
        self.template = first
        modules_of = [layer for layer in first.layers if not isinstance(layer, (nn.Linear, nn.Dropout))]
        self.activations = nn.ModuleList(modules_of)
        names = [name for name, _ in first.activations][: len(modules_of)]
        # One a hidden layer: written over its input where it can be, and the gradient through it.
        self.activate = [ACTIVATIONS[name].in_place or module for name, module in zip(names, modules_of)]
        self.through_activation = list(zip(map(activation_gradient, names), modules_of))
        self.dropout = first.dropout
        self.dtype = first.linear_layers()[0].weight.dtype
        # A single output is a matrix-vector product, with other bits alone than among others: it gets a dead one.
        self.outputs = first.out_features
        hidden = [round_up(width, HIDDEN_MULTIPLE) for width in first.hidden]
        padded = [first.in_features, *hidden, max(2, self.outputs)]
        true = [first.in_features, *first.hidden, first.out_features]
        positions = [i for i, layer in enumerate(first.layers) if isinstance(layer, nn.Linear)]
        # One row a parameter: name, true shape, padded shape, offset in a row of theta.
        self.layout: list[tuple[str, tuple[int, ...], tuple[int, ...], int]] = []
        offset = 0
        for i, position in enumerate(positions):
            for name, shape, room in (
                ("weight", (true[i + 1], true[i]), (padded[i + 1], padded[i])),
                ("bias", (true[i + 1],), (padded[i + 1],)),
            ):
                self.layout.append((f"layers.{position}.{name}", shape, room, offset))
                offset += round_up(torch.Size(room).numel(), ALIGNMENT)
        self.widths = padded
        self.theta = torch.zeros(self.members, offset, dtype=self.dtype)
        for row, module in zip(self.theta, modules):
            self.join(dict(module.named_parameters()), row)
        # Dead units stay dead: their gradients are masked, whatever the activation does at zero.
        mask = torch.zeros(offset, dtype=self.dtype)
        self.join({name: torch.ones(shape) for name, shape, _, _ in self.layout}, mask)
        self.mask = None if padded == true else mask
        self.gradient = torch.zeros_like(self.theta)
        self._views: dict[tuple[int, int], tuple] = {}
        self._rooms: dict[tuple[int, int], tuple[list[tuple[Tensor, Tensor, Tensor]], list[Tensor]]] = {}

    def to(self, device: torch.device, dtype: torch.dtype | None = None) -> "StackedMLP":
        self.dtype = dtype or self.dtype
        self.theta, self.gradient = self.theta.to(device, self.dtype), self.gradient.to(device, self.dtype)
        self.mask = None if self.mask is None else self.mask.to(device, self.dtype)
        self.activations.to(device)
        self._views.clear()
        self._rooms.clear()
        return self

    def names(self) -> list[tuple[str, tuple[int, ...]]]:
        return [(name, shape) for name, shape, _, _ in self.layout]

    def split(self, row: Tensor) -> dict[str, Tensor]:
        return {name: self._window(row, *where).clone() for name, *where in self.layout}

    def join(self, named: dict[str, Tensor], row: Tensor) -> None:
        with torch.no_grad():
            for name, *where in self.layout:
                self._window(row, *where).copy_(named[name])

    @staticmethod
    def _window(row: Tensor, shape: tuple[int, ...], room: tuple[int, ...], offset: int) -> Tensor:
        array = row[offset : offset + torch.Size(room).numel()].view(room)
        return array[tuple(slice(0, size) for size in shape)]

    def member(self, index: int) -> MLP:
        first = self.template
        module = MLP(
            first.in_features,
            first.hidden,
            first.out_features,
            activation=first.activation,
            dropout=first.dropout,
            initialization=first.initialization,
            seed=0,
        ).to(self.dtype)
        module.load_state_dict(self.split(self.theta[index].cpu()))
        return module.eval()

    def chunks(self, batch_size: int) -> list[slice]:
        if self.theta.device.type != "cpu":
            return [slice(0, self.members)]
        bytes_each = self.theta.element_size() * (batch_size * sum(self.widths) + 4 * self.theta.shape[1])
        count = -(-self.members // max(1, self.cache_bytes // bytes_each))
        bounds = [round(i * self.members / count) for i in range(count + 1)]
        return [slice(a, b) for a, b in zip(bounds, bounds[1:])]

    @property
    def is_written_out(self) -> bool:
        return all(ACTIVATIONS[name].gradient is not None for name, _ in self.template.activations)

    def minibatches(self, x: Tensor) -> list[Tensor]:
        flat = x.reshape(*x.shape[:3], self.widths[0])
        return [batch.transpose(1, 2) for batch in flat.permute(1, 0, 3, 2).contiguous().unbind(0)]

    def _layers(self, members: slice) -> tuple[list[Tensor], ...]:
        """Views of weights, transposed weights, biases and their gradients for a run of members."""
        low, high, _ = members.indices(self.members)
        if (low, high) not in self._views:
            weights, biases = self._cut(self.theta, low, high)
            transposed = [weight.transpose(1, 2) for weight in weights]
            self._views[low, high] = (weights, transposed, biases, *self._cut(self.gradient, low, high))
        return self._views[low, high]

    def _cut(self, array: Tensor, low: int, high: int) -> tuple[list[Tensor], list[Tensor]]:
        """Views of members low..high-1 of an array (P, S): weights (p, out, in) and biases (p, out, 1)."""
        weights, biases = [], []
        for name, _, room, offset in self.layout:
            window = array[low:high, offset : offset + torch.Size(room).numel()].view(high - low, *room)
            if name.endswith("weight"):
                weights.append(window)
            else:
                biases.append(window.unsqueeze(2))
        return weights, biases

    def _workspace(self, members: int, points: int) -> tuple[list[tuple[Tensor, Tensor, Tensor]], list[Tensor]]:
        """Arrays for a minibatch, kept from step to step.

        Returns:
            For each hidden layer what it gives (p, width, B), the same transposed, and what flows back to it; and for each
            affine map the product (p, out, in) that is its gradient, none for few members.
        """
        if (members, points) not in self._rooms:
            while len(self._rooms) >= KEPT_SIZES:
                self._rooms.pop(next(iter(self._rooms)))
            # What flows back is used up before the layer but one below needs the place.
            with torch.inference_mode(False):  # made there: only this thread may write to them
                shared = self.theta.new_empty(2, members * points * max(self.widths[1:]))
                layers = [self.theta.new_empty(members, width, points) for width in self.widths[1:-1]]
                # Into the windows of `gradient`, which lie apart, torch multiplies member by member.
                sizes = zip(self.widths[1:], self.widths) if members > FEW_MEMBERS else ()
                products = [self.theta.new_empty(members, *size) for size in sizes]
            self._rooms[members, points] = (
                [(h, h.transpose(1, 2), shared[i % 2, : h.numel()].view(h.shape)) for i, h in enumerate(layers)],
                products,
            )
        return self._rooms[members, points]

    def _points_last(self, x: Tensor) -> Tensor:
        """Lay out (p, B, ...) as (p, in, B), B padded; no copy where :meth:`minibatches` has done so."""
        if x.ndim != 3:
            x = x.reshape(*x.shape[:2], self.widths[0])
        x = x.transpose(1, 2)
        spare = -x.shape[2] % POINTS_MULTIPLE
        return nn.functional.pad(x, (0, spare)) if spare else x.contiguous()

    @torch.no_grad()
    def forward(self, x: Tensor, members: slice = slice(None)) -> Tensor:
        low, high, _ = members.indices(self.members)
        points = x.shape[1]
        x = self._points_last(x.to(self.dtype))
        width = max(self.widths[1:])
        room_bytes = FORWARD_BYTES if x.device.type == "cpu" else GPU_FORWARD_BYTES
        numbers = (self.forward_bytes or room_bytes) // (2 * width * x.element_size())
        # Where the points are cut does not depend on the number of members, and so no member's bits do.
        span = min(x.shape[2], max(1, numbers // FORWARD_POINTS_MULTIPLE) * FORWARD_POINTS_MULTIPLE)
        size = max(1, numbers // max(1, span))
        room = x.new_empty(2, min(size, high - low) * width * span)
        logits = x.new_empty(high - low, self.outputs, x.shape[2])
        for start in range(low, high, size):
            stop = min(start + size, high)
            own = x.expand(stop - start, -1, -1) if len(x) == 1 else x[start - low : stop - low]
            # Not kept, as the views for training are: thousands of members are evaluated one by one.
            weights, biases = self._cut(self.theta, start, stop)
            for first in range(0, x.shape[2], span):
                h = own[:, :, first : first + span]
                for i, (weight, bias) in enumerate(zip(weights[:-1], biases[:-1])):
                    shape = len(h), weight.shape[1], h.shape[2]
                    z = room[i % 2, : math.prod(shape)].view(shape)
                    torch.bmm(weight, h, out=z).add_(bias)
                    h = self.activate[i](z)
                logits[start - low : stop - low, :, first : first + span] = torch.baddbmm(biases[-1], weights[-1], h)[
                    :, : self.outputs
                ]
        return logits[:, :, :points].transpose(1, 2)

    def backward(self, members: slice, x: Tensor, loss_gradient: Callable, step: int) -> Tensor:
        weights, transposed, biases, to_weights, to_biases = self._layers(members)
        points = x.shape[1]
        x = self._points_last(x)
        room, products = self._workspace(x.shape[0], x.shape[2])
        h, inputs, before, masks = x, [x.transpose(1, 2)], [], []
        for i, (weight, bias, activate, (place, place_transposed, _)) in enumerate(
            zip(weights, biases, self.activate, room)
        ):
            z = torch.bmm(weight, h, out=place).add_(bias)
            h = activate(z)
            before.append((z, h))
            if self.dropout:
                masks.append(self._dropout_mask(members, h, step, i))
                h = h * masks[i]
            inputs.append(place_transposed if h is z else h.transpose(1, 2))
        logits = torch.baddbmm(biases[-1], weights[-1], h)
        spare = x.shape[2] - points, self.widths[-1] - self.outputs
        if any(spare):
            logits = logits[:, : self.outputs, :points]
        logits = logits.transpose(1, 2)
        flow = loss_gradient(logits).transpose(1, 2)
        if any(spare):
            flow = nn.functional.pad(flow, (0, spare[0], 0, spare[1]))
        for i in range(len(room), -1, -1):
            if products:
                to_weights[i].copy_(torch.bmm(flow, inputs[i], out=products[i]))
            else:
                torch.bmm(flow, inputs[i], out=to_weights[i])
            torch.sum(flow, 2, keepdim=True, out=to_biases[i])
            if i:
                flow = torch.bmm(transposed[i], flow, out=room[i - 1][2])
                if self.dropout:
                    flow.mul_(masks[i - 1])
                through, module = self.through_activation[i - 1]
                flow = through(flow, *before[i - 1], module)
        if self.mask is not None:
            self.gradient[members].mul_(self.mask)
        return logits

    def _dropout_mask(self, members: slice, h: Tensor, step: int, layer: int) -> Tensor:
        """Draw each member's mask for h (p, width, B) from its own seed; it does not depend on the neighbours."""
        generator = torch.Generator()
        mask = torch.empty(h.shape, dtype=h.dtype)
        low, high, _ = members.indices(self.members)
        for row, seed in zip(mask, self.seeds[low:high]):
            generator.manual_seed(derive(seed, "dropout", step, layer))
            row.bernoulli_(1 - self.dropout, generator=generator)
        return mask.div_(1 - self.dropout).to(h.device)


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


def plain_weights(population: Population, theta: Tensor) -> np.ndarray:
    """Copy a member's weights from its row of a population's ``theta``: (S,) float32, each layer's matrix and bias."""
    return torch.cat([value.flatten() for value in population.split(theta).values()]).float().cpu().numpy()
