import math

import pytest
import torch

from mlplab.data import datasets
from mlplab.seeds import generator


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def tutorial_points(arms, noise, count, stream):
    """Fill the tutorial's table coordinate by coordinate, as its text asks for."""
    t = torch.linspace(0, 1, count)
    x, y = torch.zeros(arms * count, 2), torch.zeros(arms * count)
    for k in range(arms):
        rows = slice(k * count, (k + 1) * count)
        for column, wave in enumerate((torch.sin, torch.cos)):
            clean = wave(2 * math.pi / arms * (2 * t + k))
            x[rows, column] = t * (clean + noise * torch.randn(count, generator=stream))
        y[rows] = k
    return x, y.long()


def test_spirals_are_the_tutorials_to_the_bit():
    x, y = datasets.spirals(generator=seeded(2021))
    expected_x, expected_y = tutorial_points(4, 0.16, 1000, seeded(2021))
    assert torch.equal(x, expected_x) and torch.equal(y, expected_y)
    assert x.dtype == torch.float32 and y.dtype == torch.int64


def test_spirals_have_the_reference_numbers():
    x, _ = datasets.spirals(generator=seeded(2021))
    assert x.shape == (4000, 2)
    assert x.double().sum(dim=0).tolist() == pytest.approx([0.735573, -10.831866], abs=1e-6)
    assert x.abs().sum().item() == pytest.approx(2579.9221, abs=2e-3)
    assert x.abs().max().item() == pytest.approx(1.36883, abs=1e-5)
    assert (x == 0).all(dim=1).sum() == 4


def test_tutorial_split_has_the_reference_counts():
    x, y = datasets.spirals(generator=seeded(2021))
    test, train = datasets.shuffle_split(len(y), 0.2, seeded(2021))
    assert (len(test), len(train)) == (800, 3200)
    assert torch.bincount(y[test]).tolist() == [184, 196, 211, 209]
    assert (x[test] == 0).all(dim=1).sum() == 1


@pytest.mark.parametrize("arms", [1, 2, 3, 5])
def test_spirals_without_noise_have_radius_t_and_arms_turned_by_equal_angles(arms):
    x, _ = datasets.spirals(arms=arms, points_per_arm=11, noise=0.0, generator=seeded())
    arm = x.double().view(arms, 11, 2)
    torch.testing.assert_close(arm.norm(dim=2), torch.linspace(0, 1, 11).double().expand(arms, 11))
    # Clockwise, as the first coordinate is a sine.
    turned = arm[0] @ datasets.rotation(-360 / arms).T
    torch.testing.assert_close(arm[1 % arms], turned, atol=1e-6, rtol=0)


def test_spiral_noise_grows_with_the_radius():
    options = {"points_per_arm": 4000, "t_min": 0.5}
    noisy, _ = datasets.spirals(**options, noise=0.16, generator=seeded())
    clean, _ = datasets.spirals(**options, noise=0.0, generator=seeded())
    residual = ((noisy - clean) / clean.norm(dim=1, keepdim=True)).flatten()
    # 32,000 normal numbers: the standard deviation's own is 0.16/sqrt(64000).
    assert residual.std().item() == pytest.approx(0.16, abs=4 * 0.16 / 64000**0.5)


def test_rotation_turns_the_whole_picture_counter_clockwise():
    x, y = datasets.spirals(arms=3, points_per_arm=50, generator=seeded())
    turned, turned_y = datasets.spirals(arms=3, points_per_arm=50, rotation_degrees=90, generator=seeded())
    torch.testing.assert_close(turned, torch.stack([-x[:, 1], x[:, 0]], dim=1))
    assert torch.equal(y, turned_y)


DRAWS = {
    "spirals": lambda counts, noise: datasets.spirals(
        arms=len(counts), points_per_arm=counts, noise=noise, generator=seeded()
    ),
    "circles": lambda counts, noise: datasets.circles(
        classes=len(counts), points_per_class=counts, noise=noise, generator=seeded()
    ),
    "blobs": lambda counts, noise: datasets.blobs(
        classes=len(counts), points_per_class=counts, noise=noise, generator=seeded()
    ),
    "moons": lambda counts, noise: datasets.moons(points_per_class=counts, noise=noise, generator=seeded()),
    "xor": lambda counts, noise: datasets.xor(points_per_class=counts, noise=noise, generator=seeded()),
}


@pytest.mark.parametrize("name", DRAWS)
@pytest.mark.parametrize("counts", [[0, 0], [1, 0], [0, 1], [1, 1], [3, 2]])
def test_every_set_draws_the_counts_asked_for(name, counts):
    x, y = DRAWS[name](counts, 0.1)
    assert x.shape == (sum(counts), 2) and x.dtype == torch.float32 and y.dtype == torch.int64
    assert torch.bincount(y, minlength=2).tolist() == counts
    assert torch.isfinite(x).all()


@pytest.mark.parametrize("name", DRAWS)
def test_every_set_is_a_function_of_its_generator(name):
    assert all(torch.equal(a, b) for a, b in zip(DRAWS[name]([5, 4], 0.1), DRAWS[name]([5, 4], 0.1)))


@pytest.mark.parametrize("name", ["circles", "blobs", "moons", "xor"])
def test_noise_has_the_standard_deviation_asked_for(name):
    noisy, _ = DRAWS[name]([5000, 5000], 0.3)
    clean, _ = DRAWS[name]([5000, 5000], 0.0)
    assert (noisy - clean).std().item() == pytest.approx(0.3, abs=4 * 0.3 / 40000**0.5)


@pytest.mark.parametrize("name", ["circles", "blobs", "moons", "xor"])
def test_noise_is_what_the_generator_gives_class_after_class(name):
    noisy, _ = DRAWS[name]([3, 2], 0.25)
    clean, _ = DRAWS[name]([3, 2], 0.0)
    stream = seeded()
    drawn = torch.cat([torch.randn(count, 2, generator=stream) for count in (3, 2)])
    torch.testing.assert_close(noisy - clean, 0.25 * drawn)


def test_spirals_without_ends_go_through_the_middles_of_equal_pieces():
    x, y = datasets.spirals(
        arms=2, points_per_arm=[4, 2], noise=0.0, t_min=1.0, t_max=3.0, with_ends=False, generator=seeded()
    )
    torch.testing.assert_close(x.norm(dim=1), torch.tensor([1.25, 1.75, 2.25, 2.75, 1.5, 2.5]))
    turns = torch.atan2(x[:, 0], x[:, 1]) / math.pi % 2  # x = t (sin a, cos a), a = pi (2 t + k)
    torch.testing.assert_close(turns, (2 * x.norm(dim=1) + y) % 2, atol=1e-5, rtol=0)


def test_shapes_without_noise():
    x, y = DRAWS["circles"]([7, 7, 7], 0.0)
    torch.testing.assert_close(x.norm(dim=1), (y + 1) / 3)
    turns = torch.atan2(x[:7, 1], x[:7, 0]) / (2 * math.pi) % 1
    torch.testing.assert_close(turns, torch.arange(7) / 7)
    x, y = DRAWS["xor"]([4, 4], 0.0)
    assert torch.equal((x[:, 0] * x[:, 1] < 0).long(), y) and (x.abs() == 1).all()
    x, y = DRAWS["blobs"]([1, 1, 1, 1], 0.0)
    expected = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])
    torch.testing.assert_close(x, expected, atol=1e-6, rtol=0)
    x, y = DRAWS["moons"]([9, 9], 0.0)
    centre = torch.tensor([-0.5, -0.25])
    torch.testing.assert_close((x[:9] - centre).norm(dim=1), torch.ones(9))
    assert (x[:9, 1] >= -0.25 - 1e-6).all()
    # The lower moon is the upper one turned by half a turn about the origin.
    torch.testing.assert_close(x[9:], -x[:9])


def test_spread_shares_all_points():
    for count in range(12):
        shares = datasets.spread(count, 5)
        assert sum(shares) == count and max(shares) - min(shares) <= 1


SPLITS = [(0, 0.2, 0), (1, 0.2, 0), (5, 0.2, 1), (10, 1.0, 10), (7, 0.0, 0)]


@pytest.mark.parametrize("count, fraction, size", SPLITS)
def test_shuffle_split_parts_are_a_permutation(count, fraction, size):
    test, train = datasets.shuffle_split(count, fraction, generator(0, "split"))
    assert len(test) == size
    assert torch.cat([test, train]).sort().values.tolist() == list(range(count))


def test_moons_are_half_circles_evenly_from_end_to_end():
    x, y = DRAWS["moons"]([5, 3], 0.0)
    upper = [(math.cos(k * math.pi / 4) - 0.5, math.sin(k * math.pi / 4) - 0.25) for k in range(5)]
    lower = [(0.5 - math.cos(k * math.pi / 2), 0.25 - math.sin(k * math.pi / 2)) for k in range(3)]
    torch.testing.assert_close(x, torch.tensor(upper + lower), atol=1e-6, rtol=0)
    assert y.tolist() == [0] * 5 + [1] * 3


def test_xor_deals_its_points_in_turn_to_two_corners_and_circles_begin_at_the_right():
    x, _ = DRAWS["xor"]([3, 3], 0.0)
    assert x.tolist() == [[1, 1], [-1, -1], [1, 1], [1, -1], [-1, 1], [1, -1]]
    x, _ = DRAWS["circles"]([4, 2], 0.0)
    expected = torch.tensor([[0.5, 0], [0, 0.5], [-0.5, 0], [0, -0.5], [1, 0], [-1, 0]])
    torch.testing.assert_close(x, expected, atol=1e-6, rtol=0)


def test_spirals_of_each_length_run_from_end_to_end():
    x, _ = datasets.spirals(arms=3, points_per_arm=[3, 1, 2], noise=0.0, t_min=0.5, t_max=1.5, generator=seeded())
    torch.testing.assert_close(x.norm(dim=1), torch.tensor([0.5, 1.0, 1.5, 0.5, 0.5, 1.5]))
    turned, _ = datasets.spirals(arms=1, points_per_arm=2, noise=0.0, rotation_degrees=30, generator=seeded())
    # The arm of one turn at t = 1: an angle of 4 pi, straight up, turned counter-clockwise by 30 degrees.
    torch.testing.assert_close(turned[1], torch.tensor([-0.5, 3**0.5 / 2]), atol=1e-5, rtol=0)


def test_polar_features_by_hand():
    x = torch.tensor([[3.0, 4.0], [0.0, 0.0], [1e-5, 0.0]])
    expected = [[0.6, 0.8, math.log(5), 5], [0, 0, math.log(1e-4), 1e-4], [0.1, 0, math.log(1e-4), 1e-4]]
    torch.testing.assert_close(datasets.polar_features(x), torch.tensor(expected))
