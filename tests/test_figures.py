"""The figures of a run: what they show is computed here again, and odd inputs still give a picture."""

import io

import numpy as np
import pytest
from PIL import Image

from mlplab.errors import InputError
from mlplab.plots.calibration import calibration, confusion_counts
from mlplab.plots.charts import epoch_at, epoch_place, round_epochs
from mlplab.plots.curves import chosen_epochs, learning_curves, learning_strip
from mlplab.plots.decision_map import comparison, decision_map, drawn_limit, grown, out_of_distribution, shares
from mlplab.plots.style import INK, class_colour, gif_bytes, mix, pixels, png_bytes
from mlplab.runs.metrics import reliability


def halves(resolution=8, sharp=4.0):
    """Class 1 where x1 > 0, over [-2, 2]^2."""
    at = (np.arange(resolution) + 0.5) / resolution * 4 - 2
    right = 1 / (1 + np.exp(-sharp * np.broadcast_to(at, (resolution, resolution))))
    return np.stack([1 - right, right], axis=-1)


def colour_at(image, square, point):
    column, row = square.pixels([point])[0].astype(int)
    return image[row, column] / 255.0


def test_the_limit_holds_all_points():
    assert drawn_limit(np.zeros((0, 2))) == 2.0 and drawn_limit([[1.0, -1.9]]) == 2.0
    assert drawn_limit([[0.0, -2.0]]) == 2.25 and drawn_limit([[7.3, 0.0]]) == 7.75
    assert grown((-2, 2, -2, 2), np.array([[1.0, 2.0]])) == (-2, 2, -2, 2)
    np.testing.assert_allclose(grown((0, 2, -1, 1), np.array([[1.0, 3.0]])), (-2.12, 4.12, -3.12, 3.12))


def test_points_beyond_the_grid_are_in_the_picture_and_the_map_stays_in_its_place():
    points, labels = np.array([[3.0, 3.0], [-3.5, 0.0], [1.0, 1.0]]), np.array([1, 1, 1])
    figure = out_of_distribution(halves(), 2.0, points, labels, title="beyond", box=((-1, -1), (1, 1)))
    image, square = pixels(figure), figure.square
    assert square.extent[1] >= 3.5
    for point, wrong in zip(points[:2], (False, True), strict=True):
        marker = mix(class_colour(1), 1.0)
        assert np.abs(colour_at(image, square, point) - marker).max() < 0.02, wrong
    assert np.abs(colour_at(image, square, (0.8, -0.5)) - mix(class_colour(1), 0.6)).max() < 0.06
    assert np.abs(colour_at(image, square, (-0.8, -0.5)) - mix(class_colour(0), 0.6)).max() < 0.06
    assert colour_at(image, square, (2.5, -2.5)).min() == 1.0


def test_accuracy_inside_and_outside_the_box_is_counted():
    points = np.array([[0.0, 0], [0.5, 0.5], [1.0, 1.0], [2.0, 0], [0, -3.0]])
    words = shares(points, np.zeros(5, int), np.array([0, 0, 1, 1, 0]), ((-1, -1), (1, 1)))
    assert words == "inside the training box 66.7 % of 3  ·  outside 50.0 % of 2"
    assert shares(points[:1], np.zeros(1, int), np.zeros(1, int), ((-1, -1), (1, 1))).endswith("100.0 % of 1")


def test_comparison_shows_each_classifier_in_its_own_square():
    network, bayes = halves(), halves()[:, ::-1]
    points, labels = np.array([[1.0, 0.5], [-1.0, 0.5]]), np.array([1, 0])
    figure = comparison(network, bayes, 2.0, points, labels, title="both", box=((-1.5, -1.5), (1.5, 1.5)))
    image, square = pixels(figure), figure.square
    assert np.abs(colour_at(image, square, (1.2, -1)) - mix(class_colour(1), 0.6)).max() < 0.03
    column, row = square.pixels([(1.2, -1)])[0].astype(int)
    assert np.abs(image[row, column + 662] / 255 - mix(class_colour(0), 0.6)).max() < 0.03
    with pytest.raises(InputError, match="bayes"):
        comparison(network, np.full((8, 8, 3), 1 / 3), 2.0, title="")


def test_chosen_epochs_keep_both_ends_and_are_spread_by_logarithm():
    assert chosen_epochs([0]).tolist() == [0] and chosen_epochs([0, 3]).tolist() == [0, 1]
    epochs = np.arange(101)
    picked = epochs[chosen_epochs(epochs, 7)]
    assert picked[0] == 0 and picked[-1] == 100 and len(set(picked)) == 7
    np.testing.assert_allclose(np.log1p(picked), np.linspace(0, np.log(101), 7), atol=0.35)
    crowded = [0, 96, 97, 98, 99, 100, 101, 102, 103]
    assert len(set(chosen_epochs(crowded, 7))) == 7


def test_the_strip_draws_each_map_and_refuses_what_does_not_fit():
    maps = np.stack([halves(sharp=s) for s in (0.0, 1.0, 4.0)])
    loss = np.array([0.7, 0.5, 0.3, 0.2])
    history = {"epoch": np.arange(4), "train/loss": loss, "val/loss": loss * 1.1}
    figure = learning_strip(maps, [0, 1, 3], 2.0, history, title="strip", accuracies=[0.5, 0.8, 1.0], bayes_nll=0.1)
    image, square = pixels(figure), figure.square
    # The last map drawn stands third.
    assert np.abs(colour_at(image, square, (1.5, 0)) - mix(class_colour(1), 0.6)).max() < 0.03
    pixels(learning_strip(maps[:1], [0], 2.0, {"epoch": [0], "train/loss": [np.nan]}, title="one epoch, no number"))
    for bad in (
        {"map_epochs": [0]},
        {"maps": maps[:0], "map_epochs": []},
        {"history": history | {"train/loss": loss[:2]}},
    ):
        given = {"maps": maps, "map_epochs": [0, 1, 3], "history": history, **bad}
        with pytest.raises(InputError, match="maps|train/loss"):
            learning_strip(limit=2.0, title="", **given)


def test_the_epoch_axis_can_be_undone_and_its_numbers_keep_apart():
    epochs = np.array([0, 0.5, 1, 2, 100, 1e4])
    np.testing.assert_allclose(epoch_at(epoch_place(epochs)), epochs)
    for last in (1, 2, 3, 7, 60, 100, 113, 200, 1000):
        ticks = round_epochs(last)
        assert ticks[0] == 0 and ticks[-1] == last and len(set(ticks)) == len(ticks)
        assert np.diff(epoch_place(ticks)).min() > 0.05 * epoch_place(last)


@pytest.mark.parametrize("count", [1, 2, 300])
def test_curves_are_drawn_for_any_number_of_epochs(count):
    epochs = np.arange(count)
    loss, accuracy = 1 / (1 + epochs), 1 - 0.5 / (1 + epochs)
    levels = {"bayes_nll": 0.03, "bayes_accuracy": 0.99, "best_epoch": count - 1}
    few = {"epoch": epochs, "train/loss": loss}
    more = {"val/loss": 1.1 * loss, "train/accuracy": accuracy, "val/accuracy": accuracy}
    full = learning_curves(few | more, title="full", **levels)
    few = learning_curves(few, title="training alone")
    assert pixels(full).shape == pixels(few).shape == (640, 1560, 3)
    assert len(full.axes[0].lines) > len(few.axes[0].lines)


def test_curves_hold_the_numbers_given_and_survive_perfect_and_missing_ones():
    epochs = np.arange(5)
    loss = np.array([1.0, 0.5, np.nan, 0.0, 0.1])
    history = {"epoch": epochs, "train/loss": loss, "train/accuracy": np.ones(5)}
    figure = learning_curves(history, title="odd", bayes_accuracy=1.0)
    np.testing.assert_array_equal(figure.axes[0].lines[0].get_ydata(), loss)
    pixels(figure)
    with pytest.raises(InputError, match="val/loss"):
        learning_curves(history | {"val/loss": loss[:2]}, title="")


def test_confusion_and_reliability_agree_with_loops():
    rng = np.random.default_rng(5)
    values = rng.dirichlet([0.4, 0.6, 0.9], 400)
    labels = rng.integers(0, 3, 400)
    expected = np.zeros((3, 3), int)
    for row, label in zip(values, labels, strict=True):
        expected[label, row.argmax()] += 1
    np.testing.assert_array_equal(confusion_counts(labels, values.argmax(1), 3), expected)
    counts, sure, accuracy = reliability(values, labels, 10)
    assert counts.sum() == 400 and np.isnan(sure[0]) and np.isnan(accuracy[0])
    for place in range(3, 10):
        chosen = [r for r in range(400) if place / 10 < values[r].max() <= (place + 1) / 10]
        assert counts[place] == len(chosen)
        np.testing.assert_allclose(sure[place], np.mean([values[r].max() for r in chosen]))
        np.testing.assert_allclose(accuracy[place], np.mean([values[r].argmax() == labels[r] for r in chosen]))


@pytest.mark.parametrize("classes", [1, 2, 10, 25])
def test_calibration_is_drawn_for_any_number_of_classes(classes):
    rng = np.random.default_rng(classes)
    values = rng.dirichlet(np.ones(classes), 60)
    figure = calibration(values, rng.integers(0, classes, 60), title="t", class_names=["a long name"] * classes)
    assert pixels(figure).shape == (840, 1560, 3)


def test_calibration_refuses_what_is_not_finite_or_does_not_fit():
    for values, labels in (([[np.nan, 1.0]], [0]), (np.zeros((0, 2)), []), ([[0.5, 0.5]], [0, 1]), ([[0.5, 0.5]], [2])):
        with pytest.raises(InputError) as caught:
            calibration(values, labels, title="")
        assert "\n" not in str(caught.value)


def test_fifteen_cards_animate_within_half_a_megabyte():
    rng = np.random.default_rng(0)
    points = rng.uniform(-1.5, 1.5, (800, 2))
    labels = (points[:, 0] > 0).astype(int)
    frames = [
        pixels(decision_map(halves(64, s), 2.0, points, labels, title=f"epoch {e}", card=True))
        for e, s in enumerate(np.geomspace(0.1, 10, 15))
    ]
    data = gif_bytes(frames)
    assert len(data) < 500_000
    with Image.open(io.BytesIO(data)) as read:
        assert read.n_frames == 15
        read.seek(9)
        shown = np.asarray(read.convert("RGB")).reshape(-1, 3)
        for colour in (class_colour(0), class_colour(1), INK, "#ffffff"):
            assert (shown == np.round(255 * mix(colour, 1.0))).all(axis=1).sum() > 200


def test_equal_arrays_give_equal_bytes():
    epochs = np.arange(4)

    def make():
        return png_bytes(learning_curves({"epoch": epochs, "train/loss": 1 / (1.0 + epochs)}, title="again"))

    assert make() == make()
