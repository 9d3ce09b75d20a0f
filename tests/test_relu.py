"""The sum of ReLUs: closed forms, float32, networks of any orientation, and what bad points are told."""

import numpy as np
import pytest

from mlplab.errors import InputError
from mlplab.studies.relu.minimax import minimax
from mlplab.studies.relu.sums import ReluSum, from_units, interpolant, pad
from mlplab.studies.relu.targets import make_target


def plain_sum(fit: ReluSum, x: np.ndarray) -> np.ndarray:
    terms = [w * np.maximum(x - t, 0) for w, t in zip(fit.weights, fit.knots)]
    return fit.offset + fit.linear * x + np.sum(terms, 0)


def test_degenerate_sizes_are_constants_and_lines():
    point = interpolant(np.array([2.0]), np.array([3.0]))
    assert point.n == 1 and np.array_equal(point(np.array([-1.0, 2.0, 9.0])), [3.0, 3.0, 3.0])
    line = interpolant(np.array([0.0, 2.0]), np.array([1.0, 5.0]))
    assert line.n == 1 and np.array_equal(line(np.array([-1.0, 1.0, 3.0])), [1.0, 3.0, 7.0])


def test_the_tutorials_weights():
    x = np.linspace(0, 2 * np.pi, 10)
    fit = interpolant(x, np.sin(x))
    expected = [0.920725, -0.430818, -0.660051, -0.580439, -0.229233, 0.229233, 0.580439, 0.660051, 0.430818]
    assert np.allclose(fit.weights, expected, atol=5e-7)
    look = np.linspace(0, 2 * np.pi, 1000)
    error = fit(look) - np.sin(look)
    assert abs(np.abs(error).max() - 0.059398) < 1e-6 and abs(np.sqrt(np.mean(error**2)) - 0.031112) < 1e-6


def test_weights_have_their_closed_form():
    h, n = 0.1, 40
    fit = interpolant(h * np.arange(n + 1), np.sin(h * np.arange(n + 1)))
    inner = -(4 / h) * np.sin(h / 2) ** 2 * np.sin(h * np.arange(1, n))
    assert np.allclose(fit.weights, np.concatenate([[np.sin(h) / h], inner]), atol=1e-13)
    assert np.isclose(fit.weights.sum(), fit.slopes[-1])


def test_the_offset_is_not_forgotten():
    x = np.linspace(0, 2 * np.pi, 10)
    fit, look = interpolant(x, np.cos(x)), np.linspace(0, 2 * np.pi, 1000)
    assert np.allclose(fit(x), np.cos(x), atol=1e-15)
    assert abs(np.abs(fit(look) - np.cos(look)).max() - 0.0603) < 1e-4
    assert abs(np.abs(fit(look) - fit.offset - np.cos(look)).max() - 1.0567) < 1e-3


@pytest.mark.parametrize("shape", [(), (7,), (7, 1), (2, 3, 4)])
def test_shape_and_type_are_those_of_the_argument(shape):
    fit = minimax(make_target("exp"), 5).fit
    x = np.linspace(0, 1, int(np.prod(shape))).reshape(shape)
    assert fit(x).shape == shape and fit(x).dtype == np.float64
    assert fit(x.astype(np.float32)).shape == shape and fit(x.astype(np.float32)).dtype == np.float32


def test_segments_equal_the_sum_of_relus_inside_and_outside():
    generator = np.random.default_rng(0)
    knots = np.sort(generator.normal(size=20))
    fit = ReluSum(knots, generator.normal(size=20), generator.normal(size=20), 0.7)
    x = generator.normal(size=500) * 3
    # Segments need not meet: make them, then compare with the definition.
    values = fit.values[0] + np.concatenate([[0], np.cumsum(fit.slopes[:-1] * np.diff(knots))])
    fit = ReluSum(knots, values, fit.slopes, 0.7)
    assert np.allclose(fit(x), plain_sum(fit, x), atol=1e-12)
    assert np.allclose(fit.plain(x, np.float64), plain_sum(fit, x), atol=1e-12)


@pytest.mark.parametrize("name", ["sin", "exp", "sqrt", "runge"])
def test_float32_is_within_four_ulp_at_ten_thousand_units(name):
    target = make_target(name)
    knots = np.linspace(target.low, target.high, 10_001)
    fit = interpolant(knots, target(knots))
    x = np.linspace(target.low, target.high, 30_011).astype(np.float32)
    right = fit(x.astype(np.float64))
    ulp = np.spacing(np.float32(np.abs(right).max()))
    assert np.abs(fit(x) - right).max() <= 4 * ulp
    if name == "sin":
        # What the segments avoid: the plain sum is off by a hundred ulp.
        assert np.abs(fit.plain(x[::30]) - right[::30]).max() > 40 * ulp


def test_a_hundred_thousand_units_keep_their_digits():
    x = np.linspace(0, 2 * np.pi, 100_001)
    fit = interpolant(x, np.sin(x))
    middle = (x[1:] + x[:-1]) / 2
    assert np.abs(fit(middle) - (np.sin(x[1:]) + np.sin(x[:-1])) / 2).max() < 1e-15
    single = fit(middle.astype(np.float32))
    assert np.abs(single - fit(middle.astype(np.float32).astype(np.float64))).max() <= 4 * 2.0**-23


def test_units_that_face_either_way_or_not_at_all():
    generator = np.random.default_rng(1)
    scales, biases, weights = generator.normal(size=(3, 30))
    scales[4], scales[5], scales[6] = 0.0, 0.0, -0.0
    scales[8], biases[8] = scales[7] * 2, biases[7] * 2  # one knot twice
    fit = from_units(scales, biases, weights, 0.3)
    x = np.linspace(-20, 20, 999)
    direct = 0.3 + np.maximum(scales[:, None] * x + biases[:, None], 0).T @ weights
    assert fit.n == 26 and np.allclose(fit(x), direct, atol=1e-11)
    flat = from_units(np.zeros(2), np.array([1.0, -1.0]), np.array([2.0, 5.0]), 1.0)
    assert np.array_equal(flat(x), np.full(999, 3.0))


def test_padding_changes_nothing():
    x = np.linspace(0, 1, 4)
    fit = interpolant(x, x**2)
    padded = pad(fit, 9, 1.0)
    look = np.linspace(-1, 2, 301)
    assert padded.n == 9 and np.allclose(padded(look), fit(look), atol=1e-15) and (padded.weights == 0).sum() == 6
    lone = pad(interpolant(np.array([1.0]), np.array([2.0])), 4, 1.0)
    assert lone.n == 4 and np.array_equal(lone(look), np.full(301, 2.0))


@pytest.mark.parametrize(
    ("x", "y", "word"),
    [
        ([0, 2, 1], [0, 0, 0], "strictly"),
        ([2, 1, 0], [0, 0, 0], "strictly"),
        ([0, 1, 1], [0, 0, 0], "strictly"),
        ([0, np.nan], [0, 0], "finite"),
        ([0, 1], [0, np.inf], "finite"),
        ([], [], "length"),
        ([[0], [1]], [[0], [1]], "shapes"),
        ([0, 1], [[0], [1]], "shapes"),
        ([0, 1], [0], "shapes"),
    ],
)
def test_bad_points_are_told_in_one_line(x, y, word):
    with pytest.raises(InputError, match=word) as caught:
        interpolant(np.array(x, dtype=float), np.array(y, dtype=float))
    assert "\n" not in str(caught.value)


def test_bad_slopes_are_refused():
    with pytest.raises(InputError, match="slopes"):
        ReluSum(np.zeros(1), np.zeros(1), np.array([np.nan]))
    with pytest.raises(InputError, match="slopes"):
        ReluSum(np.zeros(1), np.zeros(1), np.zeros(2))
