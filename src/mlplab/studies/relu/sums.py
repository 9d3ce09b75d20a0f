"""A sum of ReLUs on the line: one object for every method, evaluated by segment rather than by sum."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mlplab.errors import InputError


def check_points(x: np.ndarray, y: np.ndarray, name: str = "x") -> tuple[np.ndarray, np.ndarray]:
    """Check points of a graph and return them in float64.

    Args:
        x: abscissae of shape ``(N,)``, N >= 1, finite and strictly increasing.
        y: ordinates of shape ``(N,)``, finite.
        name: what the error calls ``x``.

    Returns:
        ``x`` and ``y`` as float64 arrays of shape ``(N,)``.

    Raises:
        InputError: naming the first offending position.
    """
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    # A column (N, 1) against a row (N,) would broadcast to (N, N) without a word.
    if x.ndim != 1 or y.shape != x.shape or x.size < 1:
        raise InputError(f"{name} and y must be two lists of one length >= 1, got shapes {x.shape} and {y.shape}")
    for label, array in ((name, x), ("y", y)):
        bad = np.flatnonzero(~np.isfinite(array))
        if bad.size:
            raise InputError(f"{label} must be finite, got {array[bad[0]]} at position {bad[0]}")
    wrong = np.flatnonzero(np.diff(x) <= 0)
    if wrong.size:
        i = wrong[0]
        raise InputError(f"{name} must increase strictly, got {x[i]:g} before {x[i + 1]:g} at position {i}")
    return x, y


@dataclass(frozen=True)
class ReluSum:
    """Hold f(x) = offset + linear x + sum_i weights_i relu(x - knots_i), i < n.

    The fields are the segments of the graph, from which weights follow, because a sum of n ReLUs
    cancels almost all of its digits at large n where a segment cancels none.

    Args:
        knots: shape ``(n,)``, n >= 1, increasing.
        values: f at the knots, shape ``(n,)``.
        slopes: f' right of each knot, shape ``(n,)``.
        linear: f' left of the first knot.
    """

    knots: np.ndarray
    values: np.ndarray
    slopes: np.ndarray
    linear: float = 0.0

    def __post_init__(self) -> None:
        knots, values = check_points(self.knots, self.values, "knots")
        slopes = np.asarray(self.slopes, dtype=np.float64)
        if slopes.shape != knots.shape or not np.isfinite(slopes).all() or not np.isfinite(self.linear):
            raise InputError(f"slopes must be {knots.size} finite numbers, got shape {slopes.shape}")
        for name, array in (("knots", knots), ("values", values), ("slopes", slopes)):
            object.__setattr__(self, name, array)

    @property
    def n(self) -> int:
        """Count the ReLUs."""
        return self.knots.size

    @property
    def weights(self) -> np.ndarray:
        """Return the output weights, shape ``(n,)``: the change of slope at each knot."""
        return np.diff(self.slopes, prepend=self.linear)

    @property
    def offset(self) -> float:
        """Return the output bias."""
        return float(self.values[0] - self.linear * self.knots[0])

    @cached_property
    def _single(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        # The values are taken at the rounded knots, so that rounding a knot moves no point of the graph.
        knots = self.knots.astype(np.float32)
        return knots, self(knots.astype(np.float64)).astype(np.float32), self.slopes.astype(np.float32)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Evaluate by segment.

        Args:
            x: any shape; float32 is evaluated in float32, everything else in float64.

        Returns:
            f(x), of the shape of ``x`` and of the type it was evaluated in.
        """
        x = np.asarray(x)
        if x.dtype == np.float32:
            knots, values, slopes = self._single
        else:
            x, (knots, values, slopes) = x.astype(np.float64), (self.knots, self.values, self.slopes)
        segment = np.searchsorted(knots, x, side="right") - 1
        slope = np.where(segment < 0, x.dtype.type(self.linear), slopes[segment])
        segment = np.maximum(segment, 0)
        return values[segment] + slope * (x - knots[segment])

    def activations(self, x: np.ndarray) -> np.ndarray:
        """Return the unit-slope activations relu(x - knots_i), shape ``(n, len(x))``."""
        return np.maximum(np.asarray(x) - self.knots[:, None], 0.0)

    def plain(self, x: np.ndarray, dtype: type = np.float32, block: int = 256) -> np.ndarray:
        """Evaluate as a network does, by the matrix product over all activations.

        It is here to be measured against :meth:`__call__`: in float32 at n = 10,000 it loses digits.

        Args:
            x: shape ``(N,)``.
            dtype: the type of every operation.
            block: points at once.

        Returns:
            f(x) of shape ``(N,)`` and type ``dtype``.
        """
        x, knots, weights = np.asarray(x, dtype=dtype), self.knots.astype(dtype), self.weights.astype(dtype)
        parts = [np.maximum(part[:, None] - knots, 0) @ weights for part in np.split(x, range(block, x.size, block))]
        return np.concatenate(parts) + dtype(self.linear) * x + dtype(self.offset)


def interpolant(x: np.ndarray, y: np.ndarray) -> ReluSum:
    """Interpolate N points by N - 1 ReLUs of unit slope and an offset.

    Biases are -x_i, the first weight is the first slope, each further one the change of slope;
    the offset is y_0 (SPEC section 3). One point gives a constant, held by one ReLU of weight 0.

    Args:
        x: shape ``(N,)``, N >= 1, strictly increasing.
        y: shape ``(N,)``.

    Returns:
        A :class:`ReluSum` of max(N - 1, 1) units, constant left of the points, straight right of them.

    Raises:
        InputError: unsorted, repeated or non-finite points.
    """
    x, y = check_points(x, y)
    if x.size == 1:
        return ReluSum(x, y, np.zeros(1))
    slopes = np.diff(y) / np.diff(x)
    return ReluSum(x[:-1], y[:-1], slopes)


def from_units(scales: np.ndarray, biases: np.ndarray, weights: np.ndarray, offset: float) -> ReluSum:
    """Turn a one-layer network offset + sum_i weights_i relu(scales_i x + biases_i) into segments.

    A unit that faces left is rewritten by relu(-z) = relu(z) - z, which is where the linear term comes from;
    a unit of scale 0 joins the offset; units with one knot in common join each other.

    Args:
        scales: input weights, shape ``(n,)``.
        biases: shape ``(n,)``.
        weights: output weights, shape ``(n,)``.
        offset: output bias.

    Returns:
        The same function as a :class:`ReluSum` of at most n units.
    """
    scales, biases, weights = (np.asarray(a, dtype=np.float64) for a in (scales, biases, weights))
    flat = scales == 0
    offset = float(offset) + float(weights[flat] @ np.maximum(biases[flat], 0))
    scales, biases, weights = scales[~flat], biases[~flat], weights[~flat]
    if not scales.size:
        return ReluSum(np.zeros(1), np.array([offset]), np.zeros(1))
    knots, inverse = np.unique(-biases / scales, return_inverse=True)
    turns = np.bincount(inverse, weights * np.abs(scales), minlength=knots.size)
    left = scales < 0
    linear = float(weights[left] @ scales[left])
    slopes = linear + np.cumsum(turns)
    first = offset + float(weights[left] @ np.maximum(scales[left] * knots[0] + biases[left], 0))
    values = np.concatenate([[first], first + np.cumsum(slopes[:-1] * np.diff(knots))])
    return ReluSum(knots, values, slopes, linear)


def check_n(n: int, name: str = "n") -> int:
    """Return a number of units, or say that it must be an integer >= 1."""
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
        raise InputError(f"{name} must be an integer >= 1, got {n}")
    return int(n)


def pad(fit: ReluSum, n: int, high: float) -> ReluSum:
    """Add units of weight 0, each in the middle of the longest piece, until there are n.

    Args:
        fit: at most n units.
        n: units wanted.
        high: right end of the interval that pieces are counted in.

    Returns:
        The same function.
    """
    knots, values, slopes = fit.knots, fit.values, fit.slopes
    while knots.size < n:
        ends = np.append(knots[1:], max(high, knots[-1]))
        at = int((ends - knots).argmax())
        middle = (knots[at] + ends[at]) / 2
        if not knots[at] < middle < ends[at]:
            middle = knots[-1] + 1.0
            at = knots.size - 1
        values = np.insert(values, at + 1, values[at] + slopes[at] * (middle - knots[at]))
        knots, slopes = np.insert(knots, at + 1, middle), np.insert(slopes, at + 1, slopes[at])
    return ReluSum(knots, values, slopes, fit.linear)
