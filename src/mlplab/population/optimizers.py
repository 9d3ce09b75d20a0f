"""Optimisers over a population: elementwise, one fused kernel call for members of equal settings; and torch's Muon.

They are ordinary ``torch.optim.Optimizer`` objects over the one parameter ``theta`` (P, S). Each setting is a
number or one number a member. The arithmetic is torch's own fused kernel, so that one member's bits are those of
torch's optimiser with ``fused=True`` on the same array.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from mlplab.torch_names import fused_adam, fused_adamw, fused_sgd


@contextmanager
def subnormals_flushed() -> Iterator[None]:
    """Let this thread's arithmetic on a CPU take numbers nearer to zero than the smallest normal one for zero.

    Adam's moments of a dead unit decay to subnormal numbers and stay there, and each operation on one costs a CPU
    a hundred others. On several threads nothing is flushed: torch's workers are not reached, and a result must not
    depend on which thread met a number.
    """
    before = bool((torch.tensor(torch.finfo(torch.float64).smallest_normal, dtype=torch.float64) / 2) == 0)
    if before or torch.get_num_threads() > 1:
        yield
        return
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


class MemberOptimizer(torch.optim.Optimizer):
    """An elementwise optimiser whose settings may differ from member to member.

    Args:
        params: a list of one parameter of shape (P, S).
        settings: for each name a number (or any plain value), or a list of one a member.
    """

    state_names: tuple[str, ...] = ()

    def __init__(self, params: Sequence[Tensor], **settings: Any) -> None:
        super().__init__(list(params), {name: _first(value) for name, value in settings.items()})
        self.theta = self.param_groups[0]["params"][0]
        members = len(self.theta)
        columns = {name: _column(name, value, members) for name, value in settings.items()}
        self.settings = [{name: column[i] for name, column in columns.items()} for i in range(members)]
        self.moments = {name: torch.zeros_like(self.theta) for name in self.state_names}
        self.count = 0  # of the steps taken by `step`; `update` is given
        self._runs: dict[tuple[int, int], list[tuple[slice, dict]]] = {}

    def runs(self, members: slice) -> list[tuple[slice, dict]]:
        """Split members into neighbours with the same settings, each with those settings."""
        low, high, _ = members.indices(len(self.settings))
        if (low, high) not in self._runs:
            starts = [i for i in range(low, high) if i == low or self.settings[i] != self.settings[i - 1]]
            self._runs[low, high] = [(slice(a, b), self.settings[a]) for a, b in zip(starts, [*starts[1:], high])]
        return self._runs[low, high]

    def steps(self, members: slice, gradient: Tensor) -> Callable[[int, float], None]:
        """Give a function that takes a step of a run of members, for as long as the arrays lie where they are.

        Args:
            members: which.
            gradient: of the whole population, (P, S).

        Returns:
            A function of the number of steps taken before this one, and of the factor by which the schedule multiplies the
            learning rate.
        """
        # The kernel is given the number of the step, from 1; on a GPU it reads it as a float32, whatever the default.
        number = torch.zeros((), device=gradient.device, dtype=torch.float32)
        windows = [
            ([self.theta[run]], [gradient[run]], {name: [m[run]] for name, m in self.moments.items()}, settings)
            for run, settings in self.runs(members)
        ]

        def take(count: int, factor: float) -> None:
            number.fill_(count + 1)
            for theta, own, moments, settings in windows:
                self._kernel(theta, own, moments, number, count == 0, settings["lr"] * factor, settings)

        return take

    def update(self, members: slice, gradient: Tensor, count: int, factor: float) -> None:
        """Take one step of a run of members; arguments as for :meth:`steps` and what it returns."""
        self.steps(members, gradient)(count, factor)

    def _kernel(
        self, theta: list, gradient: list, moments: dict, number: Tensor, first: bool, lr: float, settings: dict
    ) -> None:
        raise TypeError("use Adam, AdamW or SGD")

    def step(self, closure: Any = None) -> Any:
        """Take one step of all members with the gradient in ``theta.grad``, as torch's optimisers do."""
        loss = closure() if closure is not None else None
        with torch.no_grad():
            self.update(slice(None), self.theta.grad, self.count, 1.0)
        self.count += 1
        return loss


class Adam(MemberOptimizer):
    """Adam (Kingma and Ba 2015, algorithm 1); weight decay is added to the gradient, as torch's Adam does.

    Args:
        params: a list of one parameter of shape (P, S).
        lr: learning rate, >= 0.
        betas: decay of the first and the second moment, each in [0, 1).
        eps: added to the root of the second moment, > 0.
        weight_decay: >= 0.
    """

    state_names = ("exp_avg", "exp_avg_sq")
    kernel = staticmethod(fused_adam)

    def __init__(
        self,
        params: Sequence[Tensor],
        lr: float | list[float] = 1e-3,
        betas: Sequence = (0.9, 0.999),
        eps: float | list[float] = 1e-8,
        weight_decay: float | list[float] = 0.0,
    ) -> None:
        betas = [tuple(pair) for pair in betas] if isinstance(betas[0], Sequence) else tuple(betas)
        super().__init__(params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)

    def _kernel(
        self, theta: list, gradient: list, moments: dict, number: Tensor, first: bool, lr: float, settings: dict
    ) -> None:
        self.kernel(
            theta,
            gradient,
            moments["exp_avg"],
            moments["exp_avg_sq"],
            [],
            [number],
            lr=lr,
            beta1=settings["betas"][0],
            beta2=settings["betas"][1],
            eps=settings["eps"],
            weight_decay=settings["weight_decay"],
            amsgrad=False,
            maximize=False,
        )


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019, algorithm 2); arguments as for Adam."""

    kernel = staticmethod(fused_adamw)

    def __init__(
        self,
        params: Sequence[Tensor],
        lr: float | list[float] = 1e-3,
        betas: Sequence = (0.9, 0.999),
        eps: float | list[float] = 1e-8,
        weight_decay: float | list[float] = 1e-2,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay)


class SGD(MemberOptimizer):
    """Stochastic gradient descent with momentum, as torch defines it.

    Args:
        params: a list of one parameter of shape (P, S).
        lr: learning rate, >= 0.
        momentum: in [0, 1).
        weight_decay: >= 0, added to the gradient.
        nesterov: look ahead along the momentum.
    """

    state_names = ("momentum_buffer",)

    def __init__(
        self,
        params: Sequence[Tensor],
        lr: float | list[float] = 1e-2,
        momentum: float | list[float] = 0.0,
        weight_decay: float | list[float] = 0.0,
        nesterov: bool = False,
    ) -> None:
        super().__init__(params, lr=lr, momentum=momentum, weight_decay=weight_decay, nesterov=nesterov)

    def _kernel(
        self, theta: list, gradient: list, moments: dict, number: Tensor, first: bool, lr: float, settings: dict
    ) -> None:
        fused_sgd(
            theta,
            gradient,
            moments["momentum_buffer"] if settings["momentum"] else [],
            weight_decay=settings["weight_decay"],
            momentum=settings["momentum"],
            lr=lr,
            dampening=0.0,
            nesterov=settings["nesterov"],
            maximize=False,
            is_first_step=first,
        )


def moments_of(optimizer: torch.optim.Optimizer, theta: Tensor) -> dict[str, Any]:
    """Give what an optimiser keeps for ``theta`` (P, S), by name: the dict itself, not a copy."""
    return optimizer.moments if isinstance(optimizer, MemberOptimizer) else optimizer.state[theta]


def moments_of_members(optimizer: torch.optim.Optimizer, theta: Tensor) -> dict[str, Tensor]:
    """Give the moments that each member has of its own, (P, S) as ``theta``, by name."""
    moments = moments_of(optimizer, theta).items()
    return {name: value for name, value in moments if isinstance(value, Tensor) and value.shape == theta.shape}


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, list) else value


def _column(name: str, value: Any, members: int) -> list:
    """One value a member. Tuples, such as betas, are one value."""
    if not isinstance(value, list):
        return [value] * members
    if len(value) != members:
        raise ValueError(f"optimizer.{name} must be one value or one for each of {members} members, got {len(value)}")
    return value


class MuonAndAdamW(torch.optim.Optimizer):
    """Step two optimisers as one; schedules and checkpoints see the groups of both (Jordan et al. 2024).

    Args:
        muon: over the matrices.
        adamw: over the other parameters.
    """

    def __init__(self, muon: torch.optim.Optimizer, adamw: torch.optim.Optimizer) -> None:
        self.parts = (muon, adamw)
        super().__init__([group for part in self.parts for group in part.param_groups], {})
        # One dict a group and one state a parameter, shared with the parts.
        self._share()

    def _share(self) -> None:
        first = len(self.parts[0].param_groups)
        self.parts[0].param_groups, self.parts[1].param_groups = self.param_groups[:first], self.param_groups[first:]
        for part in self.parts:
            part.state = self.state

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step of both."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part in self.parts:
            part.step()
        return loss

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self._share()


def optimizer_over(
    make: Callable[..., torch.optim.Optimizer], parameters: Iterable[nn.Parameter]
) -> torch.optim.Optimizer:
    """Make an optimiser of parameters; Muon, which takes matrices alone, gets AdamW beside it for the others."""
    kind = make.func if isinstance(make, partial) else make
    parameters = list(parameters)
    others = [parameter for parameter in parameters if parameter.ndim != 2]
    if kind is not getattr(torch.optim, "Muon", None) or not others:
        return make(parameters)
    muon = make([parameter for parameter in parameters if parameter.ndim == 2])
    return MuonAndAdamW(muon, torch.optim.AdamW(others, lr=muon.param_groups[0]["lr"]))
