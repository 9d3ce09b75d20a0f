"""One hidden layer of ReLUs on the line, trained: Adam, then L-BFGS, in O(points + units) a step."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import minimize

from mlplab.errors import InputError
from mlplab.seeds import generator
from mlplab.studies.relu.sums import ReluSum, check_n, from_units
from mlplab.studies.relu.targets import Target


@dataclass(frozen=True)
class Units:
    """Hold P networks of n units: output_bias + sum_i output_i relu(scale_i x + bias_i).

    Args:
        scale: shape ``(P, n)``.
        bias: shape ``(P, n)``.
        output: shape ``(P, n)``.
        output_bias: shape ``(P, 1)``.
    """

    scale: np.ndarray
    bias: np.ndarray
    output: np.ndarray
    output_bias: np.ndarray

    def flat(self) -> np.ndarray:
        """Return all parameters as shape ``(P, 3 n + 1)``."""
        return np.concatenate([self.scale, self.bias, self.output, self.output_bias], 1)

    @classmethod
    def of(cls, flat: np.ndarray) -> "Units":
        """Read parameters of shape ``(P, 3 n + 1)``."""
        n = flat.shape[1] // 3
        return cls(flat[:, :n], flat[:, n : 2 * n], flat[:, 2 * n : 3 * n], flat[:, 3 * n :])


def loss_and_gradient(
    flat: np.ndarray, x: np.ndarray, y: np.ndarray, weights: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean squared error and its gradient, exactly as backpropagation does, faster.

    On sorted points the units' active sets are ranges, so the outputs and all gradients are running sums:
    O(N + n log N) in place of O(N n).

    Args:
        flat: shape ``(P, 3 n + 1)``.
        x: points, increasing, shape ``(N,)``.
        y: values, shape ``(N,)``.
        weights: of the points, shape ``(N,)``; None gives each 1.

    Returns:
        Losses ``(P,)`` and gradients ``(P, 3 n + 1)``.
    """
    units = Units.of(flat)
    members, n = units.scale.shape
    count = x.size
    with np.errstate(all="ignore"):
        knots = np.where(units.scale == 0, np.where(units.bias > 0, -np.inf, np.inf), -units.bias / units.scale)
    right = units.scale >= 0
    # Units that face right are active from `first` on, the others before it.
    first = np.searchsorted(x, knots.ravel()).reshape(members, n)
    row = np.arange(members)[:, None] * (count + 1)
    sign = np.where(right, 1.0, -1.0)

    def spread(weight: np.ndarray) -> np.ndarray:
        steps = np.bincount((row + first).ravel(), (sign * weight).ravel(), members * (count + 1))
        total = np.where(right, 0.0, weight).sum(1, keepdims=True)
        return total + np.cumsum(steps.reshape(members, count + 1), 1)[:, :count]

    residual = spread(units.output * units.scale) * x + spread(units.output * units.bias) + units.output_bias - y
    if weights is None:
        loss, grade = np.mean(residual**2, 1), 2 * residual / count
    else:
        share = weights / weights.sum()
        loss, grade = residual**2 @ share, 2 * residual * share

    def gather(values: np.ndarray) -> np.ndarray:
        running = np.concatenate([np.zeros((members, 1)), np.cumsum(values, 1)], 1)
        before = np.take_along_axis(running, first, 1)
        return np.where(right, running[:, -1:] - before, before)

    plain, moment = gather(grade), gather(grade * x)
    return loss, np.concatenate(
        [
            units.output * moment,
            units.output * plain,
            units.scale * moment + units.bias * plain,
            grade.sum(1, keepdims=True),
        ],
        1,
    )


def default_start(n: int, seeds: list[int]) -> np.ndarray:
    """Draw parameters as torch.nn.Linear(1, n) and Linear(n, 1) do, shape ``(len(seeds), 3 n + 1)``."""
    rows = []
    for seed in seeds:
        draw = torch.rand(3 * n + 1, generator=generator(seed, "relu_training", n), dtype=torch.float64).numpy()
        rows.append((2 * draw - 1) * np.concatenate([np.ones(2 * n), np.full(n + 1, n**-0.5)]))
    return np.stack(rows)


def constructed_start(fit: ReluSum) -> np.ndarray:
    """Return a construction as parameters, shape ``(1, 3 n + 1)``; its linear term must be 0."""
    return np.concatenate([np.ones(fit.n), -fit.knots, fit.weights, [fit.offset]])[None]


@dataclass(frozen=True)
class Trained:
    """Hold trained networks.

    Args:
        fits: one a member.
        losses: final mean squared errors, shape ``(P,)``.
        inside: units per member whose knot is in the interval, shape ``(P,)``.
        history: mean squared errors at ``steps``, shape ``(H, P)``; after Adam's steps L-BFGS's end.
        steps: shape ``(H,)``.
    """

    fits: list[ReluSum]
    losses: np.ndarray
    inside: np.ndarray
    history: np.ndarray
    steps: np.ndarray


def train_units(
    target: Target,
    n: int,
    *,
    seeds: list[int],
    start: str | ReluSum = "default",
    adam_steps: int = 2000,
    lr: float = 1e-2,
    lbfgs_steps: int = 500,
    points: int = 1024,
) -> Trained:
    """Train one-hidden-layer networks on a target by Adam, then by L-BFGS, full batch, float64.

    Args:
        target: function or points.
        n: hidden units, >= 1.
        seeds: one network each; with a construction to start from, one network in all.
        start: "default" for torch's initialisation, or a construction of n units to go on from.
        adam_steps: >= 0; the rate falls as a cosine to 0.
        lr: Adam's rate, > 0.
        lbfgs_steps: iterations at most, >= 0.
        points: equidistant training points, for a function.

    Returns:
        The trained networks.

    Raises:
        InputError: a number out of range.
    """
    n = check_n(n)
    for name, value in (("adam_steps", adam_steps), ("lbfgs_steps", lbfgs_steps)):
        if value < 0:
            raise InputError(f"trained.{name} must be an integer >= 0, got {value}")
    if not lr > 0:
        raise InputError(f"trained.lr must be a number > 0, got {lr}")
    if target.points is None:
        x = np.linspace(target.low, target.high, points)
        y = target(x)
    else:
        x, y = target.points.x, target.points.y
    weights = None if target.points is None else target.points.weight
    flat = default_start(n, seeds) if isinstance(start, str) else constructed_start(start)
    # A construction is near its best already: a large step would throw it out.
    rate = lr if isinstance(start, str) else lr * 0.01
    flat, history, steps = _adam(flat, x, y, weights, adam_steps, rate)
    if lbfgs_steps:
        flat = np.stack([_lbfgs(row, x, y, lbfgs_steps, weights) for row in flat])
    losses, _ = loss_and_gradient(flat, x, y, weights)
    history.append(losses)
    steps.append(adam_steps + lbfgs_steps)
    units = Units.of(flat)
    rows = zip(units.scale, units.bias, units.output, units.output_bias[:, 0])
    fits = [from_units(scale, bias, output, float(shift)) for scale, bias, output, shift in rows]
    with np.errstate(all="ignore"):
        knots = -units.bias / units.scale
    inside = ((knots >= target.low) & (knots <= target.high)).sum(1)
    return Trained(fits, losses, inside, np.array(history), np.array(steps))


def _adam(
    flat: np.ndarray, x: np.ndarray, y: np.ndarray, weights: np.ndarray | None, count: int, rate: float
) -> tuple[np.ndarray, list[np.ndarray], list[int]]:
    """Take steps of Adam (Kingma and Ba 2015) at a rate that falls as a cosine; the losses of about 64, and which."""
    first, second = np.zeros_like(flat), np.zeros_like(flat)
    history, steps = [], []
    every = max(1, count // 64)
    for step in range(count):
        loss, slope = loss_and_gradient(flat, x, y, weights)
        if step % every == 0:
            history.append(loss)
            steps.append(step)
        first = 0.9 * first + 0.1 * slope
        second = 0.999 * second + 0.001 * slope**2
        now = rate * 0.5 * (1 + np.cos(np.pi * step / count))
        flat = flat - now * (first / (1 - 0.9 ** (step + 1))) / (np.sqrt(second / (1 - 0.999 ** (step + 1))) + 1e-8)
    return flat, history, steps


def _lbfgs(row: np.ndarray, x: np.ndarray, y: np.ndarray, steps: int, weights: np.ndarray | None) -> np.ndarray:
    def cost(flat: np.ndarray) -> tuple[float, np.ndarray]:
        loss, slope = loss_and_gradient(flat[None], x, y, weights)
        return float(loss[0]) / scale, slope[0] / scale

    # Relative stopping rules of scipy's would end the search where the loss is small.
    scale = max(float(loss_and_gradient(row[None], x, y, weights)[0][0]), 1e-300)
    return minimize(
        cost, row, jac=True, method="L-BFGS-B", options={"maxiter": steps, "maxcor": 10, "ftol": 1e-16, "gtol": 1e-12}
    ).x
