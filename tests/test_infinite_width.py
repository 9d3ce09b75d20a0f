"""Kernels of infinitely wide ReLU networks against quadrature, wide random networks, and descent."""

import math

import numpy as np
import pytest
import torch

from mlplab.nn.infinite_width import kernels, regression
from mlplab.nn.mlp import MLP

VARIANCES = {"weight_variance": 1.7, "bias_variance": 0.3}


@pytest.fixture(scope="module")
def points():
    return torch.randn(6, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def angular(a, c, b):
    """E[max(u, 0) max(v, 0)] and P(u > 0, v > 0) for (u, v) normal of covariance [[a, c], [c, b]], by quadrature.

    Along a direction t of the unit circle the radius is integrated out: with u, v linear in (r cos t, r sin t),
    E[r^2] = 2 for the product, 1 for the probability. Gauss and Legendre on the arc where both are positive.
    """
    root = np.linalg.cholesky(np.array([[a, c], [c, b]]))
    # u = root[0, 0] r cos t is positive for |t| < pi/2; v is where t lies within pi/2 of its own direction.
    centre = math.atan2(root[1, 1], root[1, 0])
    low, high = max(-math.pi / 2, centre - math.pi / 2), min(math.pi / 2, centre + math.pi / 2)
    nodes, weights = np.polynomial.legendre.leggauss(200)
    t = (low + high) / 2 + (high - low) / 2 * nodes
    circle = np.stack([np.cos(t), np.sin(t)])
    u, v = root @ circle
    share = weights * (high - low) / 2 / (2 * math.pi)
    return float((share * 2 * u * v).sum()), float(share.sum())


def by_quadrature(x, z, depth, weight_variance, bias_variance):
    x, z = x.numpy(), z.numpy()

    def first(p, q):
        return bias_variance + weight_variance * float(p @ q) / len(p)

    a, c, b = first(x, x), first(x, z), first(z, z)
    tangent = c
    for _ in range(depth):
        both, positive = angular(a, c, b)
        c, tangent = (
            bias_variance + weight_variance * both,
            bias_variance + weight_variance * (both + positive * tangent),
        )
        a, b = (bias_variance + weight_variance * variance / 2 for variance in (a, b))
    return c, tangent


@pytest.mark.parametrize("depth", [0, 1, 2, 5])
def test_both_equal_integrals_over_the_normal_law(points, depth):
    nngp, ntk = kernels(points, points[:4], depth=depth, **VARIANCES)
    assert nngp.shape == ntk.shape == (6, 4)
    for i, j in [(0, 1), (2, 1), (5, 3), (4, 0)]:
        expected = by_quadrature(points[i], points[j], depth, **VARIANCES)
        assert (float(nngp[i, j]), float(ntk[i, j])) == pytest.approx(expected, rel=1e-12)


def test_degenerate_points():
    x = torch.tensor([[0.0, 0.0], [1.0, 2.0], [2.0, 4.0], [-1.0, -2.0]], dtype=torch.float64)
    nngp, ntk = kernels(x, x, depth=3)  # He's weights without biases keep lengths, and make lines of rays
    assert (nngp[0] == 0).all() and (ntk[0] == 0).all() and nngp.isfinite().all()
    assert nngp[1, 1].item() == pytest.approx(5) and nngp[1, 2].item() == pytest.approx(10)
    assert ntk[1, 1].item() == pytest.approx(4 * 5)  # (depth + 1) K
    assert torch.equal(nngp, nngp.T) and (torch.linalg.eigvalsh(ntk) > -1e-9).all()


def wide(points, seed, width, depth):
    """Output (N,) and tangent kernel (N, N) of one wide random network of the lab, in float64."""
    network = MLP(3, [width] * depth, 1, seed=seed).double()
    stream = torch.Generator().manual_seed(1000 + seed)
    shares = []
    with torch.no_grad():
        for layer in network.linear_layers():
            scale = VARIANCES["weight_variance"] / layer.in_features
            layer.weight.copy_(scale**0.5 * torch.randn(layer.weight.shape, generator=stream, dtype=torch.float64))
            layer.bias.copy_(
                VARIANCES["bias_variance"] ** 0.5 * torch.randn(layer.bias.shape, generator=stream, dtype=torch.float64)
            )
            shares += [scale, VARIANCES["bias_variance"]]
    out = network(points)[:, 0]
    tangent = torch.zeros(len(points), len(points), dtype=torch.float64)
    gradients = [torch.autograd.grad(value, list(network.parameters()), retain_graph=True) for value in out]
    for share, rows in zip(shares, zip(*gradients)):
        flat = torch.stack([row.flatten() for row in rows])
        tangent += share * flat @ flat.T
    return out.detach(), tangent


@pytest.mark.parametrize("depth", [1, 3])
def test_wide_random_networks_come_near_them(points, depth):
    networks = [wide(points, seed, 256, depth) for seed in range(200)]
    nngp, ntk = kernels(points, points, depth=depth, **VARIANCES)
    outputs = torch.stack([out for out, _ in networks])
    found = outputs[:, :, None] * outputs[:, None, :]
    error = found.std(0) / math.sqrt(len(networks))
    assert ((found.mean(0) - nngp) / error).abs().max() < 4
    tangents = torch.stack([tangent for _, tangent in networks])
    spread = tangents.std(0)
    # Their mean is off by a few per cent of depth / width, each one by its square root.
    assert ((tangents.mean(0) - ntk).abs() < 4 * spread / math.sqrt(200) + 0.02 * ntk.abs()).all()
    narrow = torch.stack([wide(points, seed, 64, depth)[1] for seed in range(200)]).std(0)
    assert (narrow / spread).mean().item() == pytest.approx(2, rel=0.2)  # four times narrower


def test_regression_is_where_descent_ends(points):
    targets = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0], [0.5, 0.5], [1.0, 0.0]])
    kernel = kernels(points, points, depth=2, **VARIANCES)[1]
    exact, ridged = regression(kernel, targets, [0.0, 0.1])
    torch.testing.assert_close(kernel @ exact, targets.double())
    rate = 1 / torch.linalg.eigvalsh(kernel).max()
    out = torch.zeros_like(targets).double()
    for _ in range(20_000):  # gradient flow of the outputs under squared errors, in small steps
        out -= rate * kernel @ (out - targets)
    torch.testing.assert_close(out, targets.double(), atol=1e-3, rtol=0)
    identity = torch.eye(6, dtype=torch.float64)
    torch.testing.assert_close(
        torch.linalg.solve(kernel + 0.1 * kernel.trace() / 6 * identity, targets.double()), ridged
    )


def test_points_on_opposite_sides_share_nothing_and_equal_ones_all():
    """By rounding their cosine may lie beyond -1 or 1, where an angle would be no number."""
    x = torch.randn(200, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    apart, tangent = (kernel.diagonal() for kernel in kernels(x, -x, depth=1))
    torch.testing.assert_close(apart, torch.zeros(200, dtype=torch.float64), rtol=0, atol=1e-7)
    torch.testing.assert_close(tangent, apart, rtol=0, atol=1e-6)
    same, tangent = (kernel.diagonal() for kernel in kernels(x, x.clone(), depth=2))
    variance = 2 * x.square().sum(1) / 3
    torch.testing.assert_close(same, variance, rtol=1e-7, atol=0)
    torch.testing.assert_close(tangent, 3 * variance, rtol=1e-6, atol=0)
