"""The Bayes learner: the best that anyone can expect to do who has these training points, and knows the family.

It knows that the data are spirals of K arms with t uniform, but not their noise, turn and winding; it weighs every
value of these by how well it explains the training points (the posterior), and predicts by the mean (the posterior
predictive). Under its prior no classifier of the same points has a lower expected NLL.
"""

import itertools
import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mlplab.data.bayes import log_joint
from mlplab.data.datasets import spiral_density

# The prior: log noise, turn (degrees) and winding independent, normal, wide beside what 100 points say.
PRIOR_MEAN = np.array([math.log(0.2), 0.0, 2.0])
PRIOR_SD = np.array([1.0, 45.0, 0.5])
NODES = 5
STEP = np.array([0.01, 0.1, 0.005])


@dataclass(frozen=True)
class SpiralLearner:
    """The posterior of (log noise, turn in degrees, winding) as weighted points.

    Attributes:
        parameters: shape (M, 3).
        weights: shape (M,), summing to 1.
        mode: the most probable parameters, shape (3,).
        sd: their standard deviations at the mode (Laplace), shape (3,).
    """

    parameters: np.ndarray
    weights: np.ndarray
    mode: np.ndarray
    sd: np.ndarray
    arms: int
    t_min: float
    t_max: float

    def log_posterior(self, x: Tensor, least: float = 1e-4) -> Tensor:
        """Compute the posterior predictive's log probabilities of the classes (N, C) at points x (N, 2), float64.

        p(c | x, points) = sum_m w_m p(x, c | theta_m) / sum_m w_m p(x | theta_m); parameters of a weight under
        ``least`` are left out.
        """
        kept = self.weights > least
        terms = [
            log_joint(x, _density(theta, self.arms, self.t_min, self.t_max)) + math.log(weight)
            for theta, weight in zip(self.parameters[kept], self.weights[kept])
        ]
        joint = torch.logsumexp(torch.stack(terms), dim=0)
        return joint - torch.logsumexp(joint, dim=1, keepdim=True)


def fit_spirals(x: Tensor, y: Tensor, *, arms: int, t_min: float = 0.0, t_max: float = 1.0) -> SpiralLearner:
    """Compute the posterior of the spirals' noise, turn and winding given training points.

    Newton's method finds the mode of the log posterior from the prior's best point on a coarse grid; nodes of Gauss and
    Hermite along the axes of its curvature, reweighted by the exact posterior, carry its mass.

    Args:
        x: training points, shape (N, 2), N >= 8; those at the origin say nothing and are left out.
        y: their arms, shape (N,).
        arms, t_min, t_max: what is known of the family.

    Returns:
        The learner.
    """
    kept = x.norm(dim=1) > 0
    x, y = x[kept].double(), y[kept]

    def value(theta: np.ndarray) -> float:
        prior = -0.5 * (((theta - PRIOR_MEAN) / PRIOR_SD) ** 2).sum()
        joint = log_joint(x, _density(theta, arms, t_min, t_max))
        return prior + float(joint.gather(1, y[:, None]).sum())

    coarse = itertools.product(np.log([0.1, 0.3, 0.6]), (-60.0, -30.0, 0.0, 30.0, 60.0), (1.5, 2.0, 2.5))
    mode = max((np.array(theta) for theta in coarse), key=value)
    here, step = value(mode), STEP.copy()
    for _ in range(30):
        gradient, hessian = _derivatives(value, mode, here, step)
        # Where the curvature is not that of a hill, its absolute value still gives a length of the step.
        axes, vectors = np.linalg.eigh(-hessian)
        move = vectors @ ((vectors.T @ gradient) / np.maximum(np.abs(axes), 1e-9))
        size = 1.0
        while size > 1e-4 and (there := value(mode + size * move)) < here:
            size /= 2
        if size <= 1e-4:
            break
        mode, gain, here = mode + size * move, there - here, there
        if gain < 1e-6:
            break
    _, hessian = _derivatives(value, mode, here, step)
    axes, vectors = np.linalg.eigh(-hessian)
    spread = vectors / np.sqrt(np.maximum(axes, 1e-12))
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    points, logs = [], []
    for chosen in itertools.product(range(NODES), repeat=3):
        z = nodes[list(chosen)]
        weight = math.log(np.prod(weights[list(chosen)]))
        if weight < -9:  # its share of the mass is under 1e-4
            continue
        theta = mode + spread @ z
        points.append(theta)
        logs.append(weight + value(theta) - here + 0.5 * (z**2).sum())
    logs = np.array(logs)
    mass = np.exp(logs - logs.max())
    return SpiralLearner(
        np.array(points), mass / mass.sum(), mode, np.sqrt(np.diag(spread @ spread.T)), arms, t_min, t_max
    )


def _derivatives(value, theta: np.ndarray, here: float, step: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give gradient (3,) and Hessian (3, 3) by central differences."""
    shift = np.diag(step)
    ahead, behind = ([value(theta + sign * row) for row in shift] for sign in (1, -1))
    gradient = np.array([(a - b) / (2 * h) for a, b, h in zip(ahead, behind, step)])
    hessian = np.diag([(a - 2 * here + b) / h**2 for a, b, h in zip(ahead, behind, step)])
    for i, j in ((0, 1), (0, 2), (1, 2)):
        both = value(theta + shift[i] + shift[j]) - ahead[i] - ahead[j] + 2 * here - behind[i] - behind[j]
        both += value(theta - shift[i] - shift[j])
        hessian[i, j] = hessian[j, i] = both / (2 * step[i] * step[j])
    return gradient, hessian


def _density(theta: np.ndarray, arms: int, t_min: float, t_max: float):
    noise, turn, winding = max(math.exp(theta[0]), 1e-3), float(theta[1]), float(theta[2])
    return spiral_density(arms=arms, noise=noise, t_min=t_min, t_max=t_max, rotation_degrees=turn, winding=winding)


def nearest_neighbours(
    train_x: Tensor, train_y: Tensor, x: Tensor, *, neighbours: int, classes: int, prior: float = 1.0
) -> Tensor:
    """Predict by the shares of the classes among the k nearest training points, each share (count + a/C)/(k + a).

    Args:
        train_x, train_y: shapes (N, D), (N,), N >= k.
        x: points of shape (M, D).
        neighbours: k.
        classes: C.
        prior: a > 0, points that are added to each point's neighbours, evenly over the classes.

    Returns:
        Log probabilities (M, C), float64.
    """
    counts = []
    for part in x.split(2000):
        near = torch.cdist(part.double(), train_x.double()).topk(neighbours, largest=False).indices
        counts.append(torch.nn.functional.one_hot(train_y[near], classes).double().sum(dim=1))
    return ((torch.cat(counts) + prior / classes) / (neighbours + prior)).log()


def kernel_densities(
    train_x: Tensor, train_y: Tensor, x: Tensor, *, bandwidth: float, classes: int, prior: float = 0.0
) -> Tensor:
    """Predict by a Gaussian kernel density of each class, all with one bandwidth, and equal priors.

    Args:
        train_x, train_y: shapes (N, D), (N,), at least one of each class.
        x: points of shape (M, D).
        bandwidth: standard deviation of the kernel, the same for every feature.
        classes: C.
        prior: a >= 0, training points at the very place that are added to each point's, evenly over the classes: far from all
            training points nothing is known. Without them the nearest one alone decides there, however far it is.

    Returns:
        Log probabilities (M, C), float64.
    """
    logs = []
    even = math.log(prior / len(train_y)) if prior else -math.inf
    for part in x.split(2000):
        exponent = -0.5 * (torch.cdist(part.double(), train_x.double()) / bandwidth) ** 2
        own = [
            torch.logsumexp(exponent[:, train_y == k], 1) - math.log(int((train_y == k).sum())) for k in range(classes)
        ]
        joint = torch.stack(own, dim=1)
        logs.append(torch.logaddexp(joint, torch.full_like(joint, even)).log_softmax(dim=1))
    return torch.cat(logs)
