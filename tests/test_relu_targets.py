"""Targets by name, points from files, and what wrong ones are told."""

import numpy as np
import pytest

from mlplab.errors import InputError
from mlplab.studies.relu.sampling import sample
from mlplab.studies.relu.targets import TARGETS, make_points, make_target, read_points, sawtooth, takagi


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


def test_points_are_sorted_and_averaged_with_a_note():
    target = make_points(np.array([2.0, 0.0, 2.0, 1.0]), np.array([5.0, 1.0, 7.0, 3.0]))
    assert np.array_equal(target.points[0], [0, 1, 2]) and np.array_equal(target.points[1], [1, 3, 6])
    assert "sorted" in target.note and "averaged" in target.note
    assert make_points(np.arange(3.0), np.arange(3.0)).note == ""
    lone = make_points(np.array([4.0]), np.array([2.0]))
    assert (lone.low, lone.high) == (3.5, 4.5) and lone(np.array([4.2])) == 2.0


def test_points_from_files(tmp_path):
    path = tmp_path / "curve.csv"
    path.write_text("x,y\n1,2\n\n0,1\n", encoding="utf-8")
    target = read_points(path)
    assert target.label == "curve" and np.array_equal(target.points[0], [0, 1])
    path.write_text("3,4\n", encoding="utf-8")
    assert read_points(path).points[0].size == 1


@pytest.mark.parametrize(
    ("text", "word"),
    [("", "at least one row"), ("x,y\n", "at least one row"), ("1,2,3\n", "line 1"),
     ("x,y\n1,nope\n", "line 2"),
     ("1,2\n1,nan\n", "line 2"), ("1,2\n3\n", "line 2"), ("1,inf\n", "finite")],
)  # fmt: skip
def test_bad_files(tmp_path, text, word):
    path = tmp_path / "bad.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=word) as caught:
        read_points(path)
    assert "\n" not in str(caught.value)


def test_a_missing_file(tmp_path):
    with pytest.raises(InputError, match="readable"):
        read_points(tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("name", "low", "high", "word"),
    [("sinn", None, None, "did you mean sin"), ("xyzzy", None, None, "one of sin"), ("sin", 1, 1, "below"),
     ("sin", 2, 1, "below"), ("sin", float("nan"), 1, "finite"), ("sin", 0, float("inf"), "finite"),
     ("exp", 0, 1e9, "finite")],
)  # fmt: skip
def test_bad_targets(name, low, high, word):
    with pytest.raises(InputError, match=word) as caught:
        make_target(name, low, high)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("x", "y"), [([], []), ([1, 2], [1]), ([np.nan], [1]), ([[1]], [[1]])])
def test_bad_points(x, y):
    with pytest.raises(InputError, match="points must be"):
        make_points(np.array(x, dtype=float), np.array(y, dtype=float))
