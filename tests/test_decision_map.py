"""The map must show each class where the axes say it is, on data without symmetry."""

import numpy as np
import pytest

from mlplab.errors import InputError
from mlplab.plots.decision_map import decision_map
from mlplab.plots.field import TINT, VEILED, boundary, contour, padded_log
from mlplab.plots.panel import read_grid
from mlplab.plots.run_figures import summary
from mlplab.plots.style import INK, class_colour, mix, pixels, png_bytes


def centres(resolution, limit=2.0):
    at = (np.arange(resolution) + 0.5) / resolution * 2 * limit - limit
    return np.stack(np.meshgrid(at, at), axis=-1)


def softmax(logits):
    e = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def nearest_class(colours, classes, tint=TINT):
    """Classify pixels by the nearest point on each class's line from paper to its full tint; -1 for ink."""
    best, found = None, None
    for k in range(classes):
        for share in np.linspace(0, tint, 25):
            away = np.linalg.norm(colours / 255.0 - mix(class_colour(k), share), axis=-1)
            better = np.full(away.shape, True) if best is None else away < best
            best = away if best is None else np.minimum(best, away)
            found = np.where(better, k, found if found is not None else -1)
    ink = np.linalg.norm(colours / 255.0 - mix(INK, 1.0), axis=-1) < best
    return np.where(ink, -1, found)


def shown_class(figure, points, classes):
    image = pixels(figure)
    at = np.floor(figure.square.pixels(points)).astype(int)
    return nearest_class(image[at[:, 1], at[:, 0]].astype(float), classes)


def test_a_classifier_of_x1_above_1_colours_the_right_quarter():
    grid = centres(16)
    right = grid[..., 0] > 1
    figure = decision_map(np.stack([~right, right], -1).astype(float), 2.0, title="x1 > 1")
    image = pixels(figure).astype(int)
    square = figure.square
    left, top, side = round(square.left), round(square.top), round(square.width)
    inner = image[top + 4 : top + side - 4, left + 4 : left + side - 4]
    orange = np.abs(inner - np.round(255 * mix(class_colour(1), TINT))).max(axis=-1) < 6
    assert 0.24 < orange.mean() < 0.26
    columns = orange.mean(axis=0)
    assert columns[: int(0.73 * len(columns))].max() == 0 and columns[int(0.77 * len(columns)) :].min() > 0.99


def test_a_classifier_of_x2_above_1_colours_the_top_quarter():
    up = centres(16)[..., 1] > 1
    figure = decision_map(np.stack([~up, up], -1).astype(float), 2.0, title="x2 > 1")
    points = np.array([[-1.5, 1.5], [1.5, 1.5], [-1.5, -1.5], [1.5, -1.5], [0.0, 0.9], [0.0, 1.1]])
    assert shown_class(figure, points, 2).tolist() == [1, 1, 0, 0, 0, 1]


def three_arms():
    """Logits without any symmetry: three turned bands, and points with the classes of these logits."""
    rng = np.random.default_rng(3)

    def logits(x):
        a, b = x[..., 0], x[..., 1]
        return np.stack([9 * np.sin(2 * a + b), 7 * np.cos(1.7 * b - a * a), 8 * a - 3 * b + a * b], axis=-1)

    points = rng.uniform(-1.95, 1.95, (1500, 2))
    return softmax(logits(centres(128))), points, logits(points).argmax(axis=-1)


def test_pixels_at_the_axis_coordinates_show_the_class_of_the_network_for_three_classes():
    probabilities, points, truth = three_arms()
    shown = shown_class(decision_map(probabilities, 2.0, title="three"), points, 3)
    # Under the ink of the boundary a pixel shows both classes.
    assert (shown == truth)[shown >= 0].mean() >= 0.995
    assert ((shown == truth) | (shown == -1)).mean() >= 0.99 and (shown == -1).mean() < 0.03
    for turned in (points[:, ::-1], points * [1, -1], points * [-1, 1]):
        wrong = shown_class(decision_map(probabilities, 2.0, title="three"), turned, 3)
        assert (wrong == truth).mean() < 0.8


def test_lines_on_one_grid_size_follow_the_extent_of_each_map():
    field = padded_log(softmax(np.random.default_rng(0).normal(size=(6, 6, 2))))[0]
    near, far, again = (contour(field, -1.0, extent) for extent in ((0, 1, 0, 1), (-3, 3, 0, 2), (0, 1, 0, 1)))
    assert len(near) and np.array_equal(near, again, equal_nan=True)
    np.testing.assert_allclose(far, near * [6, 2] - [3, 0], atol=1e-12)


def test_the_grid_reaches_half_a_pixel_beyond_its_centres():
    # Four columns of width 1: between the centres 0.5 and 1.5 the edge must lie at 1.
    right = np.array([0.0, 0, 0, 1.0])
    grid = np.repeat(np.stack([1 - right, right], -1)[None], 4, axis=0)
    line = boundary(padded_log(grid), (-2, 2, -2, 2))
    line = line[np.isfinite(line[:, 0])]
    np.testing.assert_allclose(line[:, 0], 1.0, atol=1e-6)
    assert line[:, 1].min() == -2 and line[:, 1].max() == 2
    figure = decision_map(grid, 2.0, title="edge")
    image = pixels(figure).astype(int)
    row = image[round(figure.square.top + figure.square.height / 3)]
    dark = np.flatnonzero(row[round(figure.square.left) + 10 : round(figure.square.left) + 830].sum(-1) < 200)
    assert abs(dark.mean() + 10 + 0.5 - 0.75 * figure.square.width) <= 1.0


def test_strength_follows_the_largest_probability_and_the_veil_lies_outside_the_box():
    for p in (0.5, 0.75, 1.0):
        grid = np.broadcast_to([p, 1 - p], (8, 8, 2))
        image = pixels(decision_map(grid, 2.0, title="flat", box=((-1, -1), (1, 1))))
        expected = mix(class_colour(0), TINT * (2 * p - 1)) * 255
        assert np.abs(image[540 + 30, 534 + 30] - expected).max() <= 2
        veiled = mix(class_colour(0), VEILED * (2 * p - 1)) * 255
        outside = image[130:300, 130:900].reshape(-1, 3)
        assert np.median(np.abs(outside - veiled).max(axis=1)) <= 2


def test_points_are_marked_wrong_by_the_predictions_given_or_by_the_grid():
    probabilities, points, truth = three_arms()
    logs = padded_log(probabilities)
    assert (read_grid(points, logs, (-2, 2, -2, 2)) == truth).mean() > 0.99
    one = np.array([[0.03, 0.01]])
    at = [int(v) for v in decision_map(probabilities, 2.0, title="a").square.pixels(one)[0]]
    sizes = []
    for label, predicted in ((0, [0]), (0, [1])):
        image = pixels(decision_map(probabilities, 2.0, one, [label], predicted=predicted, title="a")).astype(int)
        near = image[at[1] - 15 : at[1] + 15, at[0] - 15 : at[0] + 15]
        sizes.append((np.abs(near - 255 * mix(class_colour(0), 1.0)).max(axis=-1) < 8).sum())
    assert sizes[1] > 1.5 * sizes[0] > 0


@pytest.mark.parametrize("card", [False, True])
@pytest.mark.parametrize(
    "classes, count, right", [(1, 1, True), (1, 0, True), (2, 1, False), (4, 50, True), (4, 50, False), (13, 30, False)]
)
def test_degenerate_maps_are_drawn(classes, count, right, card):
    rng = np.random.default_rng(0)
    grid = np.full((1 if classes == 2 else 5, 5, classes), 1 / classes)
    points, labels = rng.normal(size=(count, 2)), rng.integers(0, classes, count)
    predicted = labels if right else (labels + 1) % classes
    figure = decision_map(grid, 2.0, points, labels, predicted=predicted, title="degenerate", card=card)
    image = pixels(figure)
    assert image.shape == ((560, 520, 3) if card else (1060, 1320, 3)) and image.std() > 5


def test_bad_arrays_are_refused_in_one_line():
    grid = np.full((4, 4, 2), 0.5)
    nan = grid.copy()
    nan[1, 2] = np.nan
    for call, words in (
        (lambda: decision_map(nan, 2.0, title=""), "1 of 16 grid cells"),
        (lambda: decision_map(grid * 3, 2.0, title=""), "sum to 1"),
        (lambda: decision_map(grid[0], 2.0, title=""), "rows, columns, classes"),
        (lambda: decision_map(grid, 0.0, title=""), "limit"),
        (lambda: decision_map(grid, 2.0, np.zeros((3, 2)), [0, 1], title=""), "labels"),
        (lambda: decision_map(grid, 2.0, np.full((3, 2), np.inf), [0, 1, 1], title=""), "3 of 3"),
        (lambda: decision_map(grid, 2.0, np.zeros((3, 3)), title=""), "count, 2"),
        (lambda: decision_map(grid, 2.0, title="", class_names=["one"]), "class_names"),
        (lambda: decision_map(grid, 2.0, title="", bayes=np.full((4, 4, 3), 1 / 3)), "bayes"),
        (lambda: decision_map(grid, 2.0, np.zeros((1, 2)), [-1], title=""), "labels"),
        (lambda: decision_map(grid, 2.0, title="", box=((1, 1), (0, 2))), "box"),
    ):
        with pytest.raises(InputError, match=words) as caught:
            call()
        assert "\n" not in str(caught.value)


def test_equal_arrays_give_equal_bytes():
    probabilities, points, truth = three_arms()

    def make():
        return png_bytes(decision_map(probabilities, 2.0, points, truth, title="a", box=((-1, -1), (1, 1))))

    assert make() == make()


def test_each_boundary_is_traced_once():
    # Three classes, all three pairs adjacent: three rays from the origin, each of known length.
    angles = np.radians([90, 210, 330])
    logits = 20 * centres(64) @ np.stack([np.cos(angles), np.sin(angles)])
    line = boundary(padded_log(softmax(logits)), (-2, 2, -2, 2))
    steps = np.diff(line, axis=0)
    length = np.nansum(np.linalg.norm(steps, axis=1))
    rays = 2 + 2 * (2 / np.cos(np.radians(30)))
    assert abs(length - rays) < 0.25


@pytest.mark.parametrize("sure", [0.94, 1.0])
def test_every_boundary_is_traced_where_the_other_classes_are_equally_unlikely(sure):
    half, grid = 8, np.full((16, 16, 4), (1 - sure) / 3)
    for k in range(4):
        rows, columns = half * (k // 2), half * (k % 2)
        grid[rows : rows + half, columns : columns + half, k] = sure
    line = boundary(padded_log(grid), (-2, 2, -2, 2))
    length = np.nansum(np.linalg.norm(np.diff(line, axis=0), axis=1))
    # A cross of two lines of length 4 each, its middle cut across within one cell of 0.25.
    assert abs(length - 8) < 0.6


def test_the_summary_counts():
    assert summary(0.97125, 23, 800, 0.0884) == "test accuracy 97.1 %  ·  23 of 800 wrong  ·  NLL 0.088"
    assert summary(1.0, 0, 5) == "test accuracy 100.0 %  ·  0 of 5 wrong"
