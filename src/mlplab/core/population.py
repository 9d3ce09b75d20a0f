"""Many networks as one: parameters, batches and logits with a leading member axis P.

A single run is a population of one. All parameters live in one array ``theta`` of shape (P, S), their gradients
in ``gradient`` of the same shape, so that an optimiser is one elementwise operation. A member's bits do not depend
on its neighbours: hidden widths are padded to a multiple of 4 with dead units and every parameter array to a
multiple of 16 numbers, so that no member meets another code path of a kernel than it would alone.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy

import torch
from torch import Tensor, nn

from mlplab.core.activations import activation_gradient
from mlplab.core.losses import gradient_at_logits
from mlplab.core.mlp import MLP
from mlplab.core.seeds import derive

ALIGNMENT = 16
HIDDEN_MULTIPLE = 4
# Working set of the members that are walked together, in bytes: about the size of a core's L2 cache.
CACHE_BYTES = 1 << 20
FORWARD_BYTES = 64 << 20


def round_up(value: int, multiple: int) -> int:
    """Round an integer >= 0 up to a multiple."""
    return -(-value // multiple) * multiple


class Population:
    """What training sees of P networks; :func:`stack` builds the right kind.

    Attributes:
        members: number of networks P.
        theta: parameters, (P, S).
        gradient: gradient of the last minibatch, (P, S).
        seeds: one seed a member, for what the network draws while training.
    """

    members: int
    theta: Tensor
    gradient: Tensor
    seeds: list[int]

    def to(self, device: torch.device) -> "Population":
        """Move the parameters to a device."""
        raise TypeError("a Population is built by stack()")

    def chunks(self, batch_size: int) -> list[slice]:
        """Split the members into runs that fit a cache when they train on minibatches of this size."""
        return [slice(0, self.members)]

    def forward(self, x: Tensor, members: slice = slice(None)) -> Tensor:
        """Compute logits in evaluation mode: (P, B, ...) or, shared by all, (1, B, ...) to (P, B, C)."""
        raise TypeError("a Population is built by stack()")

    def backward(self, members: slice, x: Tensor, loss_gradient: Callable, step: int) -> Tensor:
        """Write the gradient of one minibatch into ``gradient[members]``.

        Args:
            members: the run of members to compute, p of them.
            x: minibatch of shape (p, B, ...).
            loss_gradient: function from logits (p, B, C) to their gradient, of the same shape.
            step: number of the minibatch since the start of training; what a member draws depends on its seed
                and this number only.

        Returns:
            The logits, (p, B, C).
        """
        raise TypeError("a Population is built by stack()")

    def names(self) -> list[tuple[str, tuple[int, ...]]]:
        """List a member's parameters: names and shapes, in the order of its module."""
        raise TypeError("a Population is built by stack()")

    def split(self, row: Tensor) -> dict[str, Tensor]:
        """Cut one row (S,) of ``theta`` or of an optimiser's state into named arrays of a member's shapes."""
        raise TypeError("a Population is built by stack()")

    def join(self, named: dict[str, Tensor], row: Tensor) -> None:
        """Write named arrays back into one row (S,): the inverse of :meth:`split`."""
        raise TypeError("a Population is built by stack()")

    def member(self, index: int) -> nn.Module:
        """Give one member as an ordinary module (B, ...) to (B, C), in evaluation mode, with its own copy."""
        raise TypeError("a Population is built by stack()")

    @contextmanager
    def at(self, theta: Tensor, buffers: dict[int, dict[str, Tensor]] | None = None) -> Iterator[None]:
        """Look at other parameters (P, S), and other buffers of some members, for the length of a block."""
        own, own_buffers = self.theta.detach().clone(), {i: self.buffers(i) for i in buffers or {}}
        try:
            with torch.no_grad():
                self.theta.copy_(theta)
            for index, named in (buffers or {}).items():
                self.load_buffers(index, named)
            yield
        finally:
            with torch.no_grad():
                self.theta.copy_(own)
            for index, named in own_buffers.items():
                self.load_buffers(index, named)

    def buffers(self, index: int) -> dict[str, Tensor]:
        """Give a member's state that is no parameter (running means, counters), by name."""
        return {}

    def load_buffers(self, index: int, named: dict[str, Tensor]) -> None:
        """Write a member's state that is no parameter."""


class StackedMLP(Population):
    """MLPs of one architecture as batched matrix products with the backward pass written out.

    Args:
        modules: MLPs with the same widths, activation and dropout, at least one.
        seeds: one seed a member.
    """

    def __init__(self, modules: Sequence[MLP], seeds: Sequence[int]) -> None:
        first = modules[0]
        self.members = len(modules)
        self.seeds = list(seeds)
        self.template = first
        self.activation = next((m for m in first.layers if not isinstance(m, (nn.Linear, nn.Dropout))), nn.Identity())
        self.through_activation = activation_gradient(first.activation)
        self.dropout = first.dropout
        self.dtype = first.linear_layers()[0].weight.dtype
        padded = [first.in_features, *(round_up(w, HIDDEN_MULTIPLE) for w in first.hidden), first.out_features]
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

    def to(self, device: torch.device) -> "StackedMLP":
        self.theta, self.gradient = self.theta.to(device), self.gradient.to(device)
        self.mask = None if self.mask is None else self.mask.to(device)
        self.activation = self.activation.to(device)
        self._views.clear()
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
            activation={"name": first.activation, **first.activation_arguments},
            dropout=first.dropout,
        ).to(self.dtype)
        module.load_state_dict(self.split(self.theta[index].cpu()))
        return module.eval()

    def chunks(self, batch_size: int) -> list[slice]:
        if self.theta.device.type != "cpu":
            return [slice(0, self.members)]
        bytes_each = self.theta.element_size() * (2 * batch_size * sum(self.widths) + 4 * self.theta.shape[1])
        size = max(1, CACHE_BYTES // bytes_each)
        return [slice(i, min(i + size, self.members)) for i in range(0, self.members, size)]

    def _layers(self, members: slice) -> tuple[list[Tensor], ...]:
        """Views of weights, transposed weights, biases and their gradients for a run of members."""
        low, high, _ = members.indices(self.members)
        if (low, high) not in self._views:
            views: tuple[list[Tensor], ...] = ([], [], [], [], [])
            for name, _, room, offset in self.layout:
                end = offset + torch.Size(room).numel()
                for k, array in enumerate((self.theta, self.gradient)):
                    window = array[low:high, offset:end].view(high - low, *room)
                    if name.endswith("weight"):
                        views[3 if k else 0].append(window)
                        if not k:
                            views[1].append(window.transpose(1, 2))
                    else:
                        views[4 if k else 2].append(window.unsqueeze(1))
            self._views[low, high] = views
        return self._views[low, high]

    def forward(self, x: Tensor, members: slice = slice(None)) -> Tensor:
        low, high, _ = members.indices(self.members)
        x = x.reshape(*x.shape[:2], self.widths[0]).to(self.dtype)
        bytes_each = self.theta.element_size() * x.shape[1] * (sum(self.widths[1:]) + 1)
        size = max(1, FORWARD_BYTES // bytes_each)
        parts = []
        with torch.no_grad():
            for start in range(low, high, size):
                stop = min(start + size, high)
                h = x.expand(stop - start, -1, -1) if len(x) == 1 else x[start - low : stop - low]
                _, transposed, biases, _, _ = self._layers(slice(start, stop))
                for weight, bias in zip(transposed[:-1], biases[:-1]):
                    h = self.activation(torch.baddbmm(bias, h, weight))
                parts.append(torch.baddbmm(biases[-1], h, transposed[-1]))
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    @torch.no_grad()
    def backward(self, members: slice, x: Tensor, loss_gradient: Callable, step: int) -> Tensor:
        weights, transposed, biases, to_weights, to_biases = self._layers(members)
        last = len(weights) - 1
        inputs, before, after, masks = [x], [], [], []
        for i in range(last):
            before.append(torch.baddbmm(biases[i], inputs[i], transposed[i]))
            after.append(self.activation(before[i]))
            if self.dropout:
                masks.append(self._dropout_mask(members, after[i], step, i))
                inputs.append(after[i] * masks[i])
            else:
                inputs.append(after[i])
        logits = torch.baddbmm(biases[last], inputs[last], transposed[last])
        flow = loss_gradient(logits)
        for i in range(last, -1, -1):
            torch.bmm(flow.transpose(1, 2), inputs[i], out=to_weights[i])
            torch.sum(flow, 1, keepdim=True, out=to_biases[i])
            if i:
                flow = torch.bmm(flow, weights[i])
                if self.dropout:
                    flow = flow * masks[i - 1]
                flow = self.through_activation(flow, before[i - 1], after[i - 1], self.activation)
        if self.mask is not None:
            self.gradient[members].mul_(self.mask)
        return logits

    def _dropout_mask(self, members: slice, h: Tensor, step: int, layer: int) -> Tensor:
        """Draw each member's mask from its own seed, so that it does not depend on the neighbours."""
        generator = torch.Generator()
        mask = torch.empty(h.shape, dtype=h.dtype)
        low, high, _ = members.indices(self.members)
        for row, seed in zip(mask, self.seeds[low:high]):
            generator.manual_seed(derive(seed, "dropout", step, layer))
            row.bernoulli_(1 - self.dropout, generator=generator)
        return mask.div_(1 - self.dropout).to(h.device)


class ModulePopulation(Population):
    """Any modules from (B, ...) to (B, C), walked one by one; the gradient by autograd.

    The modules' parameters become views of ``theta`` and their gradients views of ``gradient``.

    Args:
        modules: modules whose parameters have the same names and shapes, at least one.
        seeds: one seed a member.
    """

    def __init__(self, modules: Sequence[nn.Module], seeds: Sequence[int]) -> None:
        self.modules = list(modules)
        self.members = len(self.modules)
        self.seeds = list(seeds)
        self.layout: list[tuple[str, tuple[int, ...], int]] = []
        offset = 0
        for name, parameter in self.modules[0].named_parameters():
            self.layout.append((name, tuple(parameter.shape), offset))
            offset += round_up(parameter.numel(), ALIGNMENT)
        dtypes = {parameter.dtype for parameter in self.modules[0].parameters()} or {torch.float32}
        if len(dtypes) > 1:
            raise ValueError(f"the parameters of a model must be of one floating type, got {dtypes}")
        self.theta = torch.zeros(self.members, offset, dtype=dtypes.pop())
        for row, module in zip(self.theta, self.modules):
            self.join(dict(module.named_parameters()), row)
        self.gradient = torch.zeros_like(self.theta)
        self._attach()

    def _attach(self) -> None:
        for index, module in enumerate(self.modules):
            module.to(self.theta.device)
            parameters = dict(module.named_parameters())
            for name, shape, offset in self.layout:
                end = offset + torch.Size(shape).numel()
                parameters[name].data = self.theta[index, offset:end].view(shape)
                parameters[name].grad = self.gradient[index, offset:end].view(shape)

    def to(self, device: torch.device) -> "ModulePopulation":
        self.theta, self.gradient = self.theta.to(device), self.gradient.to(device)
        self._attach()
        return self

    def names(self) -> list[tuple[str, tuple[int, ...]]]:
        return [(name, shape) for name, shape, _ in self.layout]

    def split(self, row: Tensor) -> dict[str, Tensor]:
        return {
            name: row[offset : offset + torch.Size(shape).numel()].view(shape).clone()
            for name, shape, offset in self.layout
        }

    def join(self, named: dict[str, Tensor], row: Tensor) -> None:
        with torch.no_grad():
            for name, shape, offset in self.layout:
                row[offset : offset + torch.Size(shape).numel()].view(shape).copy_(named[name])

    def member(self, index: int) -> nn.Module:
        # The copy's parameters are still views as long as the whole population: give each its own array.
        module = deepcopy(self.modules[index])
        for parameter in module.parameters():
            parameter.data = parameter.data.clone()
            parameter.grad = None
        return module.eval()

    def buffers(self, index: int) -> dict[str, Tensor]:
        return {name: buffer.detach().clone() for name, buffer in self.modules[index].named_buffers()}

    def load_buffers(self, index: int, named: dict[str, Tensor]) -> None:
        own = dict(self.modules[index].named_buffers())
        with torch.no_grad():
            for name, value in named.items():
                own[name].copy_(value)

    def forward(self, x: Tensor, members: slice = slice(None)) -> Tensor:
        logits = []
        with torch.no_grad():
            for row, module in enumerate(self.modules[members]):
                logits.append(module.eval()(x[0 if len(x) == 1 else row]))
        return torch.stack(logits)

    def backward(self, members: slice, x: Tensor, loss_gradient: Callable, step: int) -> Tensor:
        low, high, _ = members.indices(self.members)
        self.gradient[members].zero_()
        outputs = []
        state = torch.get_rng_state()
        try:
            for row, index in enumerate(range(low, high)):
                # A user's module may draw (dropout): it gets a stream of its own, the global one is put back.
                torch.default_generator.manual_seed(derive(self.seeds[index], "module", step))
                with torch.enable_grad():
                    outputs.append(self.modules[index].train()(x[row]))
        finally:
            torch.set_rng_state(state)
        logits = torch.stack([output.detach() for output in outputs])
        for output, flow in zip(outputs, loss_gradient(logits)):
            output.backward(flow)
        return logits


def can_stack(a: nn.Module, b: nn.Module) -> bool:
    """Say whether two networks may be members of one population."""
    if type(a) is MLP and type(b) is MLP:
        return _architecture(a) == _architecture(b)
    return type(a) is type(b) and [(n, p.shape, p.dtype) for n, p in a.named_parameters()] == [
        (n, p.shape, p.dtype) for n, p in b.named_parameters()
    ]


def _architecture(module: MLP) -> tuple:
    dtype = module.linear_layers()[0].weight.dtype
    return (
        module.in_features, tuple(module.hidden), module.out_features, module.activation,
        tuple(sorted(module.activation_arguments.items())), module.dropout, dtype,
    )  # fmt: skip


def stack(modules: Sequence[nn.Module], seeds: Sequence[int]) -> Population:
    """Build a population of networks that :func:`can_stack` holds together.

    Args:
        modules: the networks, at least one; a module that is no MLP is walked by itself with autograd.
        seeds: one seed a member, for what it draws while training.

    Raises:
        ValueError: if the networks cannot be stacked.
    """
    if not modules or len(modules) != len(seeds):
        raise ValueError(f"a population needs at least one network and a seed for each, got {len(modules)} and {len(seeds)}")
    if not all(can_stack(modules[0], module) for module in modules):
        raise ValueError("the networks of a population must share class, shapes, activation and dropout")
    # A subclass of MLP may have another forward pass, so only MLP itself takes the written-out one.
    return (StackedMLP if type(modules[0]) is MLP else ModulePopulation)(modules, seeds)

