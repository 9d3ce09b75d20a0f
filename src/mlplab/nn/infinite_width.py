"""ReLU networks of infinite width: what random ones are (NNGP), and what training by small steps makes of them (NTK).

A network of depth L with independent weights of variance weight_variance / fan_in and biases of variance
bias_variance is, as its widths grow, a Gaussian process with the kernel

    K_0(x, x') = bias_variance + weight_variance x.x' / D
    K_l = bias_variance + weight_variance sqrt(K_{l-1}(x, x) K_{l-1}(x', x')) J_1(angle)
    J_1(a) = (sin a + (pi - a) cos a) / (2 pi),    cos(angle) = K_{l-1}(x, x') / sqrt(K_{l-1}(x, x) K_{l-1}(x', x'))

and its gradients, in the parameterisation where each weight is sqrt(weight_variance / fan_in) times a parameter, have
the inner products T_0 = K_0, T_l = K_l + weight_variance J_0(angle) T_{l-1}, J_0(a) = (pi - a) / (2 pi).

Sources: Cho and Saul 2009, eq. 3 to 6 (J_n); Lee et al. 2018, eq. 11 (K); Jacot et al. 2018, theorem 1 (T).
"""

import math

import torch
from torch import Tensor


def kernels(
    x: Tensor, z: Tensor, *, depth: int, weight_variance: float = 2.0, bias_variance: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Compute the NNGP and the NTK kernel of ReLU networks between points.

    Args:
        x: points of shape (N, D).
        z: points of shape (M, D).
        depth: number of hidden layers, at least 0.
        weight_variance: of each weight, times its layer's fan-in; more than 0.
        bias_variance: at least 0.

    Returns:
        Two tensors of shape (N, M), float64: K and T of the output.
    """
    x, z = x.double(), z.double()
    features = x.shape[1]
    between = bias_variance + weight_variance / features * x @ z.T
    own = [bias_variance + weight_variance / features * points.square().sum(dim=1) for points in (x, z)]
    tangent = between.clone()
    for _ in range(depth):
        length = (own[0][:, None] * own[1][None, :]).sqrt()
        # A point at the origin without biases has length 0, and is 0 in every layer.
        cosine = torch.where(length > 0, between / length, 1.0).clamp_(-1.0, 1.0)
        angle = cosine.acos()
        rest = math.pi - angle
        between = bias_variance + weight_variance / (2 * math.pi) * length * (
            (1 - cosine.square()).sqrt() + rest * cosine
        )
        tangent = between + weight_variance / (2 * math.pi) * rest * tangent
        own = [bias_variance + weight_variance / 2 * variance for variance in own]
    return between, tangent


def regression(kernel: Tensor, targets: Tensor, ridges: list[float]) -> list[Tensor]:
    """Solve (K + r k I) a = Y for each ridge r, k the mean of K's diagonal: K(x, X) a predicts at x.

    With the NTK and ridge 0 that is where gradient descent on squared errors ends, from an output of 0; with the NNGP
    it is the mean of the process given the targets with noise of variance r k.

    Args:
        kernel: among N points, shape (N, N).
        targets: shape (N, C).
        ridges: each at least 0; 0 needs points that all differ.

    Returns:
        One tensor of shape (N, C) a ridge.
    """
    scale = kernel.diagonal().mean()
    solved = []
    for ridge in ridges:
        noisy = kernel.clone()
        noisy.diagonal().add_(ridge * scale)
        solved.append(torch.cholesky_solve(targets.double(), torch.linalg.cholesky(noisy)))
    return solved
