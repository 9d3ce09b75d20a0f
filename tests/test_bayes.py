import math

import numpy as np
import pytest
import torch
from scipy import integrate, special

from mlplab.data import datasets
from mlplab.data.bayes import MixtureDensity, log_posterior, score
from mlplab.data.datasets import (
    SMALLEST_NOISE,
    SMALLEST_SPIRAL,
    blobs_density,
    circles_density,
    moons_density,
    spiral_density,
    xor_density,
)


def normalised(log_density):
    return log_density - special.logsumexp(log_density, axis=1, keepdims=True)


def brute_spirals(x, arms, noise, t_max=1.0, midpoints=40_000):
    """Sum the arms' densities at midpoints of t, as SPEC says; good for points away from the origin."""
    t = t_max * (np.arange(midpoints) + 0.5) / midpoints
    result = np.empty((len(x), arms))
    for k in range(arms):
        angle = 2 * math.pi / arms * (2 * t + k)
        for i, (x1, x2) in enumerate(x):
            squares = (x1 - t * np.sin(angle)) ** 2 + (x2 - t * np.cos(angle)) ** 2
            result[i, k] = special.logsumexp(-squares / (2 * (t * noise) ** 2) - 2 * np.log(t))
    return normalised(result)


def both_ends(nodes):
    """Make nodes of (0, 1) and their log weights: the trapezoid rule in v, where t = 1/(1 + exp(-v)).

    It converges exponentially, however steep the integrand is at an end.
    """
    v = np.linspace(-36, 36, nodes)
    return 1 / (1 + np.exp(-v)), -np.logaddexp(0, v) - np.logaddexp(0, -v)


def exact_spirals(x, arms, noise, nodes=8_000):
    """Integrate over t by `both_ends`, point by point."""
    t, log_weight = both_ends(nodes)
    result = np.empty((len(x), arms))
    for k in range(arms):
        angle = 2 * math.pi / arms * (2 * t + k)
        curve = np.stack([np.sin(angle), np.cos(angle)], axis=1)
        for i, point in enumerate(x):
            squares = ((point / t[:, None] - curve) ** 2).sum(axis=1)
            result[i, k] = special.logsumexp(-squares / (2 * noise**2) - 2 * np.log(t) + log_weight)
    return normalised(result)


def scattered(radii, seed=0):
    angle = np.random.default_rng(seed).uniform(0, 2 * math.pi, len(radii))
    return np.array(radii)[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def posterior(x, density):
    return log_posterior(torch.from_numpy(np.asarray(x)), density).exp().numpy()


@pytest.mark.parametrize("arms, noise", [(4, 0.16), (4, 0.03), (3, 0.5), (7, 1.0)])
def test_spiral_posterior_is_the_brute_force_one(arms, noise):
    points, _ = datasets.spirals(
        arms=arms, points_per_arm=6, t_min=0.05, noise=noise, generator=torch.Generator().manual_seed(1)
    )
    x = np.concatenate([points.double().numpy(), scattered([0.05, 0.2, 0.4, 0.8])])
    expected = np.exp(brute_spirals(x, arms, noise))
    np.testing.assert_allclose(posterior(x, spiral_density(arms=arms, noise=noise)), expected, atol=1e-6)


@pytest.mark.parametrize("noise", [0.01, 0.04, 0.16, 0.5, 1.0, 3.0])
@pytest.mark.parametrize("arms", [2, 4, 5])
def test_spiral_log_posterior_is_exact_at_every_scale(arms, noise):
    x = scattered([1e-7, 1e-7, 1e-5, 1e-3, 0.03, 0.2, 0.5, 0.9, 1.0, 1.1, 1.5, 2.0, 3.0, 3.0])
    expected = exact_spirals(x, arms, noise, nodes=int(6_000 * max(1, 0.16 / noise)))
    computed = log_posterior(torch.from_numpy(x), spiral_density(arms=arms, noise=noise)).numpy()
    np.testing.assert_allclose(computed, expected, atol=1e-7)


def test_the_reference_itself_agrees_with_adaptive_quadrature():
    # Three points of one arm by scipy's quad, so that the trapezoid reference above is not believed blindly.
    x = np.array([[0.3, 0.4], [-0.9, 0.2], [0.01, -0.02]])
    densities = np.empty((3, 4))
    for i, (x1, x2) in enumerate(x):
        for k in range(4):

            def integrand(u):
                t = math.exp(u)
                angle = math.pi / 2 * (2 * t + k)
                squares = (x1 - t * math.sin(angle)) ** 2 + (x2 - t * math.cos(angle)) ** 2
                return math.exp(-squares / (2 * (0.16 * t) ** 2)) / t

            densities[i, k] = integrate.quad(integrand, math.log(1e-5), 0, epsabs=0, limit=500)[0]
    np.testing.assert_allclose(exact_spirals(x, 4, 0.16), normalised(np.log(densities)), atol=1e-7)


def test_points_at_the_origin_belong_to_no_arm():
    for arms in (1, 2, 4, 9):
        assert posterior(np.zeros((1, 2)), spiral_density(arms=arms)) == pytest.approx(1 / arms)


def test_turning_the_points_by_one_arm_permutes_the_posterior():
    x = scattered(np.linspace(0.01, 1.5, 60))
    density = spiral_density(arms=5)
    turned = x @ datasets.rotation(-72).numpy().T
    np.testing.assert_allclose(posterior(turned, density), np.roll(posterior(x, density), 1, axis=1), atol=1e-10)


def test_rotated_arms_see_rotated_points_as_before():
    x = scattered(np.linspace(0.01, 1.5, 60))
    turned = x @ datasets.rotation(30).numpy().T
    np.testing.assert_allclose(
        posterior(turned, spiral_density(rotation_degrees=30)), posterior(x, spiral_density()), atol=1e-10
    )


def test_continued_arms_are_integrated_from_t_min():
    points, _ = datasets.spirals(points_per_arm=5, t_min=1.0, t_max=1.5, generator=torch.Generator().manual_seed(3))
    x = np.concatenate([points.double().numpy(), scattered([0.0, 0.1, 0.5, 3.0])])
    share, log_weight = both_ends(5_000)
    t = 1 + 0.5 * share
    expected = np.empty((len(x), 4))
    for k in range(4):
        angle = math.pi / 2 * (2 * t + k)
        for i, (x1, x2) in enumerate(x):
            squares = (x1 - t * np.sin(angle)) ** 2 + (x2 - t * np.cos(angle)) ** 2
            exponent = -squares / (2 * (t * 0.16) ** 2) - 2 * np.log(t)
            expected[i, k] = special.logsumexp(exponent + log_weight)
    computed = log_posterior(torch.from_numpy(x), spiral_density(t_min=1.0, t_max=1.5)).numpy()
    np.testing.assert_allclose(computed, normalised(expected), atol=1e-7)


def test_arms_of_one_point_are_gaussians():
    x = scattered([0.0, 0.5, 1.0, 2.0])
    centres = np.array([[0.0, 0.7], [0.7, 0.0], [0.0, -0.7], [-0.7, 0.0]]) @ datasets.rotation(0).numpy()
    centres = centres @ datasets.rotation(-360 / 4 * 2 * 0.7).numpy().T
    squares = ((x[:, None] - centres) ** 2).sum(axis=2)
    expected = np.exp(normalised(-squares / (2 * (0.7 * 0.16) ** 2)))
    np.testing.assert_allclose(posterior(x, spiral_density(t_min=0.7, t_max=0.7)), expected, atol=1e-10)


@pytest.mark.parametrize("noise", [0.02, 0.1, 0.5, 2.0])
def test_circles_posterior_is_the_bessel_function(noise):
    x = scattered([0.0, 0.1, 0.3, 0.5, 0.75, 1.0, 1.2, 2.0, 3.0])
    radius = np.array([1, 2, 3]) / 3
    product = np.linalg.norm(x, axis=1)[:, None] * radius / noise**2
    squares = (x**2).sum(axis=1)[:, None] + radius**2
    expected = normalised(-squares / (2 * noise**2) + np.log(special.i0e(product)) + product)
    computed = log_posterior(torch.from_numpy(x), circles_density(classes=3, noise=noise)).numpy()
    np.testing.assert_allclose(computed, expected, atol=1e-7)


@pytest.mark.parametrize("noise", [0.005, 0.02, 0.2, 1.0])
def test_moons_posterior_is_the_brute_force_one(noise):
    x = scattered([0.0, 0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 3.0])
    # Beyond an end the integrand falls steeply from there.
    beyond = [(end, side * (0.25 + away)) for end, side in ((0.5, -1), (-1.5, -1), (-0.5, 1)) for away in (0.1, 0.5, 2)]
    x = np.concatenate([x, beyond])
    share, log_weight = both_ends(20_000)
    angle = math.pi * share
    upper = np.stack([np.cos(angle) - 0.5, np.sin(angle) - 0.25], axis=1)
    lower = np.stack([1 - np.cos(angle) - 0.5, 0.5 - np.sin(angle) - 0.25], axis=1)
    expected = np.empty((len(x), 2))
    for i, point in enumerate(x):
        for k, curve in enumerate((upper, lower)):
            exponent = -((point - curve) ** 2).sum(axis=1) / (2 * noise**2)
            expected[i, k] = special.logsumexp(exponent + log_weight)
    computed = log_posterior(torch.from_numpy(x), moons_density(noise=noise)).numpy()
    np.testing.assert_allclose(computed, normalised(expected), atol=1e-7)


def test_xor_and_blobs_posteriors_are_sums_of_gaussians():
    x = scattered([0.0, 0.5, 1.0, 2.0, 5.0])

    def gaussian(centre, noise):
        return np.exp(-((x - np.array(centre)) ** 2).sum(axis=1) / (2 * noise**2))

    same = gaussian((1, 1), 0.7) + gaussian((-1, -1), 0.7)
    differ = gaussian((1, -1), 0.7) + gaussian((-1, 1), 0.7)
    expected = np.stack([same, differ], axis=1) / (same + differ)[:, None]
    np.testing.assert_allclose(posterior(x, xor_density(noise=0.7)), expected, atol=1e-12)
    three = [gaussian((math.cos(a), math.sin(a)), 0.5) for a in (0, 2 * math.pi / 3, 4 * math.pi / 3)]
    expected = np.stack(three, axis=1) / np.sum(three, axis=0)[:, None]
    np.testing.assert_allclose(posterior(x, blobs_density(classes=3, noise=0.5)), expected, atol=1e-12)


def test_mixtures_of_any_dimension_weights_and_priors():
    rng = np.random.default_rng(0)
    means, scales = rng.normal(size=(3, 5, 4)), rng.uniform(0.2, 2, size=(3, 5))
    weights = rng.dirichlet(np.ones(5), size=3)
    priors = np.array([0.2, 0.3, 0.5])
    x = rng.normal(size=(3000, 4)) * 3
    squares = ((x[:, None, None] - means) ** 2).sum(axis=3)
    terms = -squares / (2 * scales**2) - 4 * np.log(scales) + np.log(weights)
    expected = normalised(special.logsumexp(terms, axis=2) + np.log(priors))
    density = MixtureDensity(*(torch.from_numpy(a) for a in (means, scales, np.log(weights), priors)))
    computed = log_posterior(torch.from_numpy(x), density)
    np.testing.assert_allclose(computed.numpy(), expected, atol=1e-9)
    # A picture-shaped input is flattened.
    assert torch.equal(log_posterior(torch.from_numpy(x).view(-1, 2, 2), density), computed)


@pytest.mark.parametrize("count", [0, 1, 2, 5000])
def test_any_number_of_points_in_any_order(count):
    x, _ = datasets.spirals(arms=1, points_per_arm=count, generator=torch.Generator().manual_seed(0))
    result = log_posterior(x, spiral_density(arms=3))
    assert result.shape == (count, 3) and result.dtype == torch.float64
    torch.testing.assert_close(result.exp().sum(dim=1), torch.ones(count, dtype=torch.float64))
    flipped = log_posterior(x.flip(0), spiral_density(arms=3)).flip(0)
    torch.testing.assert_close(result, flipped, atol=1e-9, rtol=0)


def test_identical_points_do_not_split_for_ever():
    result = log_posterior(torch.ones(3000, 2), spiral_density())
    assert (result == result[0]).all()


def test_points_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="finite"):
        log_posterior(torch.tensor([[0.0, math.nan]]), spiral_density())


def test_there_is_no_density_without_noise():
    for make in (spiral_density, circles_density, moons_density, xor_density, blobs_density):
        assert make(noise=0.0) is None
        assert make(noise=SMALLEST_NOISE) is not None
    assert spiral_density(t_max=0.0) is None and spiral_density(t_max=SMALLEST_SPIRAL / 2) is None
    assert spiral_density(t_max=SMALLEST_SPIRAL) is not None


def test_bayes_on_the_tutorials_own_split():
    x, y = datasets.spirals(generator=torch.Generator().manual_seed(2021))
    test, train = datasets.shuffle_split(len(y), 0.2, torch.Generator().manual_seed(2021))
    figures = score(log_posterior(x[test], spiral_density()), y[test])
    assert figures["accuracy"] == pytest.approx(0.98375) and figures["nll"] == pytest.approx(0.0455, abs=5e-5)
    figures = score(log_posterior(x[train], spiral_density()), y[train])
    assert figures["accuracy"] == pytest.approx(0.98781, abs=5e-6)


def test_bayes_on_fresh_points_is_within_sampling_error():
    x, y = datasets.spirals(points_per_arm=5000, generator=torch.Generator().manual_seed(7))
    figures = score(log_posterior(x, spiral_density()), y)
    assert figures["accuracy"] == pytest.approx(0.9883, abs=4 * 0.0008)
    assert figures["nll"] == pytest.approx(0.0341, abs=0.006)


def test_score_by_hand():
    probabilities = torch.tensor([[0.5, 0.25, 0.25], [0.125, 0.75, 0.125]]).log()
    figures = score(probabilities, torch.tensor([0, 2]))
    assert figures == {"accuracy": 0.5, "nll": pytest.approx((math.log(2) + math.log(8)) / 2)}
