"""What a second and further layers buy, target by target."""

import numpy as np

from mlplab.errors import InputError
from mlplab.studies.relu.minimax import minimax
from mlplab.studies.relu.sawtooth import DeepRelu, blancmange, compose, layered, polynomial, sawtooth_sum, square
from mlplab.studies.relu.sums import check_n
from mlplab.studies.relu.targets import Target

# Degrees of the Chebyshev interpolants that Horner's rule is tried with.
_DEGREES = range(2, 8)


def fold(target: Target) -> tuple[DeepRelu, float, float] | None:
    """Find a layer of two or three ReLUs that lays equal parts of the target's graph on each other.

    Returns:
        The layer and the interval that is left, or None: a mirror image about the middle takes two units,
        a whole period of a sine that starts in the middle of its rise takes three.
    """
    low, high = target.low, target.high
    grid = np.linspace(0, high - low, 257)
    size = np.abs(target(low + grid)).max()
    if np.allclose(target(low + grid), target(high - grid), rtol=0, atol=1e-12 * size):
        middle = (low + high) / 2
        layer = (np.ones((2, 1)), np.array([-low, -middle]))
        return DeepRelu([layer, (np.array([[1.0, -2.0]]), np.array([low]))]), low, middle
    quarter = (high - low) / 4
    parts = target(low + np.linspace(0, 2 * quarter, 129)), target(high - np.linspace(0, 2 * quarter, 129))
    half = (target(low + quarter + np.linspace(0, quarter, 65)), target(low + quarter - np.linspace(0, quarter, 65)))
    if np.allclose(parts[0], -parts[1], rtol=0, atol=1e-12 * size) and np.allclose(*half, rtol=0, atol=1e-12 * size):
        layer = (np.ones((3, 1)), np.array([-low, -low - quarter, -low - 3 * quarter]))
        return (DeepRelu([layer, (np.array([[1.0, -2.0, 2.0]]), np.array([low]))]), low - quarter, low + quarter)
    return None


def deep(target: Target, n: int) -> DeepRelu:
    """Approximate a target by a deep network of at most n ReLUs that is written down, not trained.

    x^2 and Takagi's function by sums of sawteeth, a sawtooth by tents, a target with a symmetry by folding it
    and a minimax fit of what is left, the rest by Yarotsky's products along Horner's rule.

    Args:
        target: a function.
        n: ReLUs in all layers together.

    Returns:
        The network.

    Raises:
        InputError: points, too few units, or a target that none of these suits.
    """
    n = check_n(n)
    unit = target.points is None and (target.low, target.high) == (0.0, 1.0)
    least = 3
    if unit and target.name == "x2":
        if n >= 2:
            return square((n + 1) // 3, centered=True)
        least = 2
    elif unit and target.name == "takagi":
        if n >= 2:
            return blancmange((n + 1) // 3)
        least = 2
    elif unit and target.name == "sawtooth":
        if n >= 8:
            return sawtooth_sum(0.0, [0.0, 0.0, 1.0])
        least = 8
    elif target.points is None:
        folded = fold(target)
        if folded is not None:
            layer, low, high = folded
            rest = Target(target.name, target.function, low, high, target.label)
            least = layer.n + 1
            if n >= least:
                return compose(layered(minimax(rest, n - layer.n).fit), layer)
        elif unit:
            found = _horner(target, n)
            if found is not None:
                return found
            least = 10
        else:
            raise InputError(
                f"method depth must have a target with a symmetry or on [0, 1], got {target.name} "
                f"on [{target.low:g}, {target.high:g}]"
            )
    else:
        raise InputError("method depth must have a target given by name, got points")
    raise InputError(f"n must be at least {least} for method depth on {target.name}, got {n}")


def _horner(target: Target, n: int) -> DeepRelu | None:
    x = (1 - np.cos(np.pi * (np.arange(2001) + 0.5) / 2001)) / 2
    y = target(x)
    best, least = None, np.inf
    for degree in _DEGREES:
        series = np.polynomial.Chebyshev.interpolate(lambda u: target(np.asarray((u + 1) / 2)), degree)
        coefficients = series.convert(domain=[-1, 1], kind=np.polynomial.Polynomial).coef
        shifted = np.polynomial.Polynomial(coefficients)(np.polynomial.Polynomial([-1.0, 2.0])).coef
        shifted = np.where(np.abs(shifted) < 1e-13 * np.abs(shifted).max(), 0.0, shifted)
        shifted = np.trim_zeros(shifted, "b")
        if shifted.size < 3:
            continue
        for m in range(1, 30):
            network = polynomial(shifted.tolist(), m)
            if network.n > n:
                break
            error = np.abs(network(x) - y).max()
            if error < least:
                best, least = network, error
    return best
