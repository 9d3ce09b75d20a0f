"""Deep ReLU networks written down by hand: sawteeth, squares, products, polynomials, folds."""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import block_diag

from mlplab.errors import InputError
from mlplab.studies.relu.sums import ReluSum, check_n


@dataclass(frozen=True)
class DeepRelu:
    """Hold a ReLU network: affine maps with relu between them.

    Args:
        layers: pairs of weight ``(out, in)`` and bias ``(out,)``; the last one has no relu after it.
    """

    layers: list[tuple[np.ndarray, np.ndarray]]

    @property
    def n(self) -> int:
        """Count the ReLUs."""
        return sum(bias.size for _, bias in self.layers[:-1])

    @property
    def depth(self) -> int:
        """Count the hidden layers."""
        return len(self.layers) - 1

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Evaluate at ``x`` of any shape (one input), or of shape ``(N, in)``, in the type of ``x``."""
        x = np.asarray(x)
        if x.dtype != np.float32:
            x = x.astype(np.float64)
        single = self.layers[0][0].shape[1] == 1
        state = x.reshape(1, -1) if single else x.T
        for index, (weight, bias) in enumerate(self.layers):
            state = weight.astype(x.dtype) @ state + bias.astype(x.dtype)[:, None]
            if index < self.depth:
                state = np.maximum(state, 0)
        return state[0].reshape(x.shape) if single else state[0]


def compose(outer: DeepRelu, inner: DeepRelu) -> DeepRelu:
    """Chain two networks; the affine maps that meet become one."""
    (weight, bias), (after, shift) = inner.layers[-1], outer.layers[0]
    return DeepRelu(inner.layers[:-1] + [(after @ weight, after @ bias + shift)] + outer.layers[1:])


def sawtooth_sum(line: float, weights: list[float], shift: float = 0.0) -> DeepRelu:
    """Build line x + sum_{s=1..m} weights_s g_s(x) + shift on [0, 1], g_s the tent composed s times.

    The tent is 2 relu(x) - 4 relu(x - 1/2); g_s has 2^(s-1) teeth. The sum so far travels along as one more
    unit, so it must not be negative: 3 m - 1 ReLUs in m layers.

    Args:
        line: coefficient of x.
        weights: m >= 1 coefficients.
        shift: output bias.

    Returns:
        A network of one input.
    """
    layers = [(np.array([[1.0], [1.0]]), np.array([0.0, -0.5]))]
    for s, weight in enumerate(weights, 1):
        # From relu(g), relu(g - 1/2) and the sum so far: the next tent, and the sum with it.
        tent = np.array([2.0, -4.0] if s == 1 else [2.0, -4.0, 0.0])
        total = weight * tent + (np.array([line, 0.0]) if s == 1 else np.array([0.0, 0.0, 1.0]))
        if s == len(weights):
            return DeepRelu([*layers, (total[None], np.array([shift]))])
        layers.append((np.array([tent, tent, total]), np.array([0.0, -0.5, 0.0])))
    raise InputError("weights must be at least one number, got none")


def square(m: int, centered: bool = False) -> DeepRelu:
    """Approximate x^2 on [0, 1] by x - sum_{s=1..m} g_s(x) / 4^s (Yarotsky 2017, Proposition 2).

    It is the interpolant of x^2 at 2^m + 1 points, from 3 m - 1 ReLUs in m layers.

    Args:
        m: layers, >= 1.
        centered: subtract half of the error, which halves it.

    Returns:
        A network of one input; its error is from 0 to 2^-(2m+2), or half of that both ways where centred.
    """
    m = check_n(m, "m")
    return sawtooth_sum(1.0, [-(4.0**-s) for s in range(1, m + 1)], -(2.0 ** -(2 * m + 3)) if centered else 0.0)


def blancmange(m: int) -> DeepRelu:
    """Approximate Takagi's function on [0, 1] by m terms, sum_s g_s(x) / 2^s; max error (2/3) 2^-m."""
    return sawtooth_sum(0.0, [2.0**-s for s in range(1, check_n(m, "m") + 1)])


def beside(networks: list[DeepRelu], inputs: list[np.ndarray], output: np.ndarray, bias: np.ndarray) -> DeepRelu:
    """Run networks of one depth side by side on one input.

    Args:
        networks: K networks of one output each.
        inputs: for each, an affine map of the D common inputs to its own, shape ``(own, D + 1)``, bias last.
        output: shape ``(out, K)``.
        bias: shape ``(out,)``.

    Returns:
        The network output @ (networks of their inputs) + bias, with D inputs.
    """
    layers = []
    for level in range(networks[0].depth + 1):
        pairs = [network.layers[level] for network in networks]
        if level == 0:
            weight = np.concatenate([w @ own[:, :-1] for (w, _), own in zip(pairs, inputs)])
            shift = np.concatenate([w @ own[:, -1] + b for (w, b), own in zip(pairs, inputs)])
        else:
            weight = block_diag(*(w for w, _ in pairs))
            shift = np.concatenate([b for _, b in pairs])
        layers.append((weight, shift))
    weight, shift = layers[-1]
    layers[-1] = (output @ weight, output @ shift + bias)
    return DeepRelu(layers)


def product(m: int) -> DeepRelu:
    """Approximate x y on [0, 1]^2 by squares: 2 ((x+y)/2)^2 - x^2/2 - y^2/2, off by at most 3 * 2^-(2m+3)."""
    inputs = [np.array([[0.5, 0.5, 0.0]]), np.array([[1.0, 0.0, 0.0]]), np.array([[0.0, 1.0, 0.0]])]
    return beside([square(m, True)] * 3, inputs, np.array([[2.0, -0.5, -0.5]]), np.zeros(1))


def polynomial(coefficients: list[float], m: int) -> DeepRelu:
    """Approximate a polynomial on [0, 1] by Horner's rule, each product being :func:`product` of depth m.

    Args:
        coefficients: c_0, c_1, ..., c_d of c_0 + c_1 x + ... + c_d x^d, d >= 2.
        m: depth of each product, >= 1; the error falls as 4^-m.

    Returns:
        A network of one input, m (d - 1) layers deep.

    Raises:
        InputError: a degree below 2.
    """
    coefficients = [float(c) for c in coefficients]
    if len(coefficients) < 3:
        raise InputError(f"coefficients must be at least c_0, c_1 and c_2, got {len(coefficients)} of them")
    *rest, slope, lead = coefficients
    # The state is (x, v), v Horner's value so far, |v| <= bound.
    network = DeepRelu([(np.array([[1.0], [lead]]), np.array([0.0, slope]))])
    bound = abs(lead) + abs(slope)
    keep = DeepRelu([(np.ones((1, 1)), np.zeros(1))] * (check_n(m, "m") + 1))
    for constant in reversed(rest):
        # x v = bound (2 x u - x) with u = (v / bound + 1) / 2 in [0, 1].
        scaled = np.array([[1.0, 0.0, 0.0], [0.0, 0.5 / max(bound, 1e-300), 0.5]])
        step = beside(
            [keep, product(m)],
            [np.array([[1.0, 0.0, 0.0]]), scaled],
            np.array([[1.0, 0.0], [-bound, 2 * bound]]),
            np.array([0.0, constant]),
        )
        network = compose(step, network)
        bound = bound * (1 + 4.0**-m) + abs(constant)
    weight, shift = network.layers[-1]
    return DeepRelu([*network.layers[:-1], (weight[1:], shift[1:])])


def layered(fit: ReluSum) -> DeepRelu:
    """Write a sum of n ReLUs as a network of one hidden layer; a linear term takes two units more."""
    weight, bias, output = np.ones((fit.n, 1)), -fit.knots, fit.weights
    if fit.linear:
        weight = np.concatenate([weight, [[1.0], [-1.0]]])
        bias, output = np.append(bias, [0.0, 0.0]), np.append(output, [fit.linear, -fit.linear])
    return DeepRelu([(weight, bias), (output[None], np.array([fit.offset]))])
