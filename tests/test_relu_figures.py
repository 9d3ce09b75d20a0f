"""The ReLU figures: what they draw is what they were given, and they can be drawn again from their arrays."""

import numpy as np
import pytest

from mlplab.plots.style import pixels
from mlplab.studies.relu.error_plots import depth_gain, width_sweep
from mlplab.studies.relu.panels import decomposition, unit_colours


def column(x, n, name="some method", **more):
    knots = np.linspace(x[0], x[-1], n, endpoint=False)
    weights = np.linspace(1, -1, n)
    fit = 0.2 + weights @ np.maximum(x - knots[:, None], 0)
    return {
        "name": name,
        "note": "",
        "knots": knots,
        "weights": weights,
        "offset": 0.2,
        "linear": 0.0,
        "fit": fit,
        "max_error": 0.1,
        "rms_error": 0.05,
        "pieces": n,
    } | more


@pytest.mark.parametrize(("columns", "n"), [(1, 9), (2, 1), (3, 200), (4, 9)])
def test_decomposition_in_every_number_of_columns(columns, n):
    x = np.linspace(-1, 1, 301)
    made = decomposition(x, np.sin(x), [column(x, n)] * columns, title="t", floor=0.01, bound=0.02)
    assert len(made.axes) == 4 * columns
    image = pixels(made)
    assert image.shape[0] == 1420 and image.std() > 5
    fit = made.axes[2].lines[1]
    assert np.array_equal(fit.get_ydata(), column(x, n)["fit"])
    assert np.array_equal(made.axes[3].lines[0].get_ydata(), column(x, n)["fit"] - np.sin(x))


def test_a_training_that_failed_does_not_flatten_the_rest():
    x = np.linspace(0, 1, 101)
    good = column(x, 3)
    good["max_error"] = 0.01
    bad = column(x, 3, clipped=True, fit=good["fit"] + 100)
    made = decomposition(x, good["fit"] + 0.01, [good, bad], title="t")
    assert max(made.axes[3].get_ylim()) < 0.02 and max(made.axes[7].get_ylim()) < 0.02


def test_an_exact_fit_and_a_constant_can_be_drawn():
    x = np.linspace(0, 1, 50)
    flat = column(x, 1, weights=np.zeros(1), fit=np.full(50, 0.2))
    made = decomposition(x, np.full(50, 0.2), [flat], title="t", floor=0.0, bound=0.0)
    assert pixels(made).std() > 3 and all(low < high for low, high in (axes.get_ylim() for axes in made.axes))


def test_points_are_drawn_with_stems():
    x = np.linspace(0, 1, 101)
    at = np.array([0.0, 0.25, 1.0])
    made = decomposition(x, x, [column(x, 3)], title="t", points=(at, at))
    drawn = made.axes[3].lines[-1] if len(made.axes[3].lines[-1].get_xdata()) == 3 else made.axes[3].lines[0]
    assert np.allclose(drawn.get_ydata(), np.interp(at, x, column(x, 3)["fit"]) - at)


def test_width_sweep_with_gaps_zeros_and_dots():
    n = np.array([2, 8, 64])
    series = {
        "uniform": {"max": np.array([1.0, 0.1, 1e-3]), "rms": np.array([0.5, 0.05, 5e-4])},
        "minimax": {"max": np.array([0.5, 1e-17, 0.0]), "rms": np.array([0.2, 1e-18, 0.0])},
        "depth": {"max": np.array([np.nan, 0.01, 1e-5]), "rms": np.array([np.nan, 0.01, 1e-5])},
    }
    dots = [("trained from random", n, np.array([1.0, 0.5, 0.2]), np.array([1.0, 0.5, 0.2]))]
    made = width_sweep(n, series, title="t", floor=np.array([0.1, 0.01, 1e-4]), constants={"uniform": 4.0}, dots=dots)
    pixels(made)
    lines = [line for line in made.axes[0].lines if len(line.get_xdata()) == 3]
    assert any(np.array_equal(line.get_ydata(), series["uniform"]["max"]) for line in lines)
    assert len(made.axes) == 2


@pytest.mark.parametrize("last", [20, 300])
def test_depth_with_and_without_training_and_stages(last):
    n = np.arange(1, last)
    for more in (
        {},
        {"trained_n": np.array([5, 5]), "trained": np.array([0.1, 0.6])},
        {"x": np.linspace(0, 1, 9), "stages": [("one", np.linspace(0, 1, 9)), ("two", np.linspace(-1, 1, 9))]},
    ):
        made = depth_gain(n, 1 / n**2, n[::3], 4.0 ** -np.sqrt(n[::3]), title="t", floor=1 / (n + 1.0) ** 2, **more)
        pixels(made)
        assert len(made.axes) == 1 + len(more.get("stages", ()))


def test_unit_colours_are_all_different():
    assert unit_colours(1).shape == (1, 3)
    assert len(np.unique(unit_colours(40), axis=0)) == 40
