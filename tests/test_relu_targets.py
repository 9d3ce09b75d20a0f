"""Targets by name, points from files, and what wrong ones are told."""

import numpy as np
import pytest

from mlplab.errors import InputError
from mlplab.studies.relu.greedy import greedy
from mlplab.studies.relu.least_squares import least_squares
from mlplab.studies.relu.sampling import errors, sample
from mlplab.studies.relu.targets import TARGETS, make_points, make_target, read_points, sawtooth, takagi
from mlplab.studies.relu.trained import loss_and_gradient


@pytest.mark.parametrize("name", list(TARGETS))
def test_every_target_is_finite_and_sampled_from_end_to_end(name):
    target = make_target(name)
    samples = sample(target, 50)
    assert samples.x[0] == target.low and samples.x[-1] == target.high and (np.diff(samples.x) > 0).all()
    assert np.isfinite(samples.y).all() and samples.bend.shape == (samples.x.size - 1,)


@pytest.mark.parametrize(
    ("name", "bend"),
    [("x2", np.sqrt(2)), ("exp", 2 * (np.sqrt(np.e) - 1)), ("sqrt", 2.0), ("sin", 4 * 1.19814023473559)],
)
def test_the_bend_is_the_integral_of_the_root_of_the_curvature(name, bend):
    assert sample(make_target(name), 4000).total_bend == pytest.approx(bend, rel=2e-3)


def test_takagi_and_sawtooth_at_known_points():
    x = np.array([0, 1 / 3, 0.5, 2 / 3, 1])
    assert np.allclose(takagi(x), [0, 2 / 3, 0.5, 2 / 3, 0], atol=1e-10)
    assert np.allclose(sawtooth(np.arange(9) / 8), [0, 1, 0, 1, 0, 1, 0, 1, 0])


def test_points_are_sorted_and_all_rows_count():
    target = make_points(np.array([2.0, 0.0, 2.0, 1.0]), np.array([7.0, 1.0, 5.0, 3.0]))
    points = target.points
    assert np.array_equal(points.x, [0, 1, 2]) and np.array_equal(points.y, [1, 3, 6])
    assert np.array_equal(points.weight, [1, 1, 2])
    assert np.array_equal(points.lowest, [1, 3, 5]) and np.array_equal(points.highest, [1, 3, 7])
    assert np.array_equal(points.rows_x, [0, 1, 2, 2]) and np.array_equal(points.rows_y, [1, 3, 5, 7])
    assert "sorted" in target.note and "1 abscissa occurs more than once; all 4 rows count" in target.note
    assert make_points(np.arange(3.0), np.arange(3.0)).note == ""
    lone = make_points(np.array([4.0]), np.array([2.0]))
    assert (lone.low, lone.high) == (3.5, 4.5) and lone(np.array([4.2])) == 2.0


def test_weights_and_errors_of_points():
    x, y = np.arange(4.0), np.arange(4.0) ** 2
    heavy = make_points(x, y, weight=np.array([1.0, 3.0, 0.0, 4.0])).points
    assert np.array_equal(heavy.x, [0, 1, 3]) and np.allclose(heavy.rows_weight, np.array([1, 3, 4]) * 3 / 8)
    noisy = make_points(x, y, error=np.array([1.0, 0.5, 1.0, 2.0]))
    assert np.allclose(noisy.points.rows_weight, np.array([1, 4, 1, 0.25]) * 4 / 6.25)
    assert noisy.note == "the mean square is weighted by 1 / error²"


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"weight": [1, -1]}, "weight of a point must be a finite number >= 0, got -1.0 at row 2"),
        ({"error": [1, 0]}, "error of a point must be a finite number > 0"),
        ({"weight": [0, 0]}, "weight > 0"),
        ({"weight": [1]}, "list of 2 numbers"),
        ({"weight": [1, 1], "error": [1, 1]}, "got both"),
        ({"error": [np.nan, 1]}, "finite"),
    ],
)
def test_bad_weights(given, word):
    with pytest.raises(InputError, match=word):
        make_points(np.arange(2.0), np.arange(2.0), **{name: np.array(v, float) for name, v in given.items()})


def test_points_from_files(tmp_path):
    path = tmp_path / "curve.csv"
    path.write_text("x,y\n1,2\n\n0,1\n", encoding="utf-8")
    target = read_points(path)
    assert target.label == "curve" and np.array_equal(target.points.x, [0, 1])
    path.write_text("3,4\n", encoding="utf-8")
    assert read_points(path).points.x.size == 1


def test_a_byte_order_mark_costs_no_point(tmp_path):
    (tmp_path / "bom.csv").write_text("\ufeff0,5\n1,1\n2,2\n", encoding="utf-8")
    target = read_points(tmp_path / "bom.csv")
    assert target.points.x.tolist() == [0, 1, 2] and target.points.y.tolist() == [5, 1, 2]


def test_repeated_rows_count_and_errors_are_taken_on_all_of_them(tmp_path):
    # One piece, so that numpy's weighted line is the independent answer.
    x = np.array([0, 1, 2, 2, 2, 2, 3, 3, 4.0])
    y = np.array([0, 3, 1, 1, 1, 1, 2, 2.2, 0.0])
    target = make_points(x, y)
    slope, offset = np.polyfit(x, y, 1)
    fit = least_squares(target, 1)
    assert np.allclose(fit(x), slope * x + offset)
    largest, rms = errors(target, fit, fit.knots)
    residual = slope * x + offset - y
    assert np.isclose(rms, np.sqrt(np.mean(residual**2))) and np.isclose(largest, np.abs(residual).max())


@pytest.mark.parametrize(("name", "power"), [("err", -2), ("weight", 1)])
def test_a_third_column_is_an_error_or_a_weight_by_its_name(tmp_path, name, power):
    x, y = np.arange(9.0), np.array([0.0, 0.841, 0.909, 0.141, -0.757, -0.959, -0.279, 0.657, 0.989])
    third = np.where(x < 4, 0.05, 0.5)
    rows = "".join(f"{a},{b},{c}\n" for a, b, c in zip(x, y, third))
    (tmp_path / "curve.csv").write_text(f"x,y,{name}\n{rows}", encoding="utf-8")
    target = read_points(tmp_path / "curve.csv")
    slope, offset = np.polyfit(x, y, 1, w=np.sqrt(third.astype(float) ** power))
    for fit in (least_squares(target, 1), greedy(target, 1)):
        assert np.allclose(fit(x), slope * x + offset, atol=1e-9)
    flat = np.array([[1.0, 0.3, 0.7, -0.2], [-0.5, 2.1, 0.4, 0.1]])
    loss, slopes = loss_and_gradient(flat, x, y, target.points.weight)
    weights = third.astype(float) ** power
    for member, row in enumerate(flat):

        def cost(row):
            out = row[2] * np.maximum(row[0] * x + row[1], 0) + row[3]
            return weights @ (out - y) ** 2 / weights.sum()

        assert np.isclose(loss[member], cost(row))
        numeric = [(cost(row + 1e-6 * e) - cost(row - 1e-6 * e)) / 2e-6 for e in np.eye(4)]
        assert np.allclose(slopes[member], numeric, atol=1e-5)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "must have rows"),
        ("x,y\n", "no rows"),
        ("1,2,3\n", "two columns"),
        ("x,y,z\n1,2,3\n", "x, y, z"),
        ("x,y,err\n1,2,0\n", "line 2.*error of y must be > 0"),
        ("x,y\n1,2\n1,nope\n", "line 3"),
        ("1,2\n1,nan\n", "line 2"),
        ("1,2\n3\n", "line 2"),
        ("1,inf\n", "finite"),
    ],
)
def test_bad_files(tmp_path, text, word):
    path = tmp_path / "bad.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=word) as caught:
        read_points(path)
    assert "\n" not in str(caught.value)


def test_a_missing_file(tmp_path):
    with pytest.raises(InputError, match="target.path must name a file that exists"):
        read_points(tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("name", "low", "high", "word"),
    [
        ("sinn", None, None, "did you mean sin"),
        ("xyzzy", None, None, "one of sin"),
        ("sin", 1, 1, "below"),
        ("sin", 2, 1, "below"),
        ("sin", float("nan"), 1, "finite"),
        ("sin", 0, float("inf"), "finite"),
        ("exp", 0, 1e9, "finite"),
    ],
)
def test_bad_targets(name, low, high, word):
    with pytest.raises(InputError, match=word) as caught:
        make_target(name, low, high)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("x", "y"), [([], []), ([1, 2], [1]), ([np.nan], [1]), ([[1]], [[1]])])
def test_bad_points(x, y):
    with pytest.raises(InputError, match="points must be"):
        make_points(np.array(x, dtype=float), np.array(y, dtype=float))
