"""NPZ archives under the names that people give their arrays, and Parquet files: what becomes of each."""

import numpy as np
import pytest

from mlplab.data.archives import INPUTS, LABELS, PARTS, read_npz, read_parquet
from mlplab.errors import InputError

X, Y = np.arange(12.0).reshape(4, 3), np.array([2, 0, 1, 0])


@pytest.fixture
def read(tmp_path):
    def of(*unnamed, **arrays):
        np.savez(tmp_path / "a.npz", *unnamed, **arrays)
        return read_npz(tmp_path / "a.npz")

    return of


def values(table):
    return {column.name: column.values.tolist() for column in table.columns}


WHOLE = {"x1": [0, 3, 6, 9], "x2": [1, 4, 7, 10], "x3": [2, 5, 8, 11]}


@pytest.mark.parametrize("x", INPUTS)
@pytest.mark.parametrize("y", LABELS)
def test_inputs_and_labels_by_any_of_their_names(read, x, y):
    table = read(**{x: X, y: Y})
    assert values(table) == WHOLE | {y: Y.tolist()} and table.labels == y
    assert table.shape is table.lines is table.separator is table.parts is None and table.header


def test_two_arrays_without_names_are_inputs_and_labels(read):
    assert values(read(X, Y)) == WHOLE | {"y": Y.tolist()}
    assert values(read(Y, Y)) == {"arr_0": Y.tolist(), "arr_1": Y.tolist()}  # two columns
    assert values(read(Y)) == {"arr_0": Y.tolist()}


def test_what_stands_beside_the_inputs(read):
    assert read(x=X).labels == ""  # the form has labels, and this file none
    table = read(x=X, own=Y, other=np.zeros((2, 2)))
    assert table.labels is None and values(table) == WHOLE | {"own": Y.tolist()}
    table = read(x=X, weight=Y, y=Y, label=Y + 1)
    assert table.labels == "y" and list(values(table))[3:] == ["weight", "y", "label"]
    assert values(read(x=X[:, :1], y=Y[:, None]))["y"] == Y.tolist()
    # Of three columns one may be called x.
    assert values(read(x=Y, y=Y, z=Y)) == dict.fromkeys("xyz", Y.tolist())
    assert values(read(x=Y, y=Y)) == {"x1": Y.tolist(), "y": Y.tolist()}


@pytest.mark.parametrize("shape", [(2, 3), (1, 2, 3), (6, 1)])
def test_images_have_inputs_by_their_places(read, shape):
    x = np.arange(24).reshape(4, *shape)
    table = read(x=x, y=Y)
    assert table.shape == shape and len(table.columns) == 7
    for column, place in zip(table.columns, np.ndindex(*shape)):
        assert column.name == f"x[{','.join(map(str, place))}]"
        assert column.values.tolist() == x[(slice(None), *place)].tolist() and column.values.dtype == np.float64


@pytest.mark.parametrize(("part", "form"), [(part, form) for part, forms in PARTS.items() for form in forms])
def test_parts_by_any_of_their_names(read, part, form):
    def named(stem, form=form):
        return form + stem if form.endswith("_") else stem + form

    arrays = {named("x"): X[:1], named("label"): Y[:1]}
    if part != "train":
        arrays |= {"train_x": X[1:], "train_y": Y[1:]}
        table = read(**arrays)
        assert table.parts.tolist() == ["train"] * 3 + [part]
        assert values(table)["y"] == [0, 1, 0, 2] and values(table)["x1"] == [3, 6, 9, 0]
    else:
        assert read(**arrays).parts.tolist() == ["train"]
    assert read(**arrays).labels == "y"


def test_parts_need_one_to_train_on(read):
    with pytest.raises(InputError, match="must have an array of inputs called x, X, data, images, features"):
        read(x_test=X, y_test=Y)
    with pytest.raises(InputError, match="array 'x_test' must have rows \\(3,\\) as the others, got \\(4, 2\\)"):
        read(x_train=X, y_train=Y, x_test=X[:, :2], y_test=Y)
    with pytest.raises(InputError, match="must have the labels of 'x_test' beside it"):
        read(x_train=X, y_train=Y, x_test=X)
    with pytest.raises(InputError, match="array 'y_train' must have 4 rows as 'x_train' has"):
        read(x_train=X, y_train=Y[:3])


def test_names_of_columns_and_classes_that_stand_beside(read):
    names, classes = np.array(["a", "b", "c"]), np.array(["u", "v", "w"])
    table = read(data=X, target=Y, feature_names=names, target_names=classes, DESCR=np.array("where from"))
    assert [column.name for column in table.columns] == ["a", "b", "c", "target"]
    assert table.columns[3].levels == ("u", "v", "w") and table.columns[3].values.tolist() == Y.tolist()
    table = read(data=X, target=Y, feature_names=names[:2], target_names=classes[:2])  # too few of both
    assert list(values(table)) == ["x1", "x2", "x3", "target"] and table.columns[3].levels is None
    turned = read(data=X, target=Y, target_names=classes[::-1])  # by their numbers, whatever their order
    assert [turned.columns[3].levels[code] for code in turned.columns[3].values] == ["u", "w", "v", "w"]
    words = read(data=X, target=np.array(list("uvwu")), target_names=classes[::-1])
    assert [words.columns[3].levels[code] for code in words.columns[3].values] == list("uvwu")
    assert read(data=X, feature_names=names).names == ["a", "b", "c"]
    assert read(x_train=X, y_train=Y, feature_names=names, target_names=classes).columns[3].levels == ("u", "v", "w")


@pytest.mark.parametrize(
    ("array", "levels", "codes"),
    [
        (np.array([True, False, True, True]), ("False", "True"), [1, 0, 1, 1]),
        (np.array(["b", "a", "b", "c"]), ("a", "b", "c"), [1, 0, 1, 2]),
        (np.array([3, 1, 2, 1], np.uint8), None, [3, 1, 2, 1]),
        (np.array([0.5, 1, 2, 1], np.float16), None, [0.5, 1, 2, 1]),
    ],
)
def test_a_column_of_each_kind(read, array, levels, codes):
    column = read(a=array, b=Y).columns[0]
    assert column.levels == levels and column.values.tolist() == codes
    assert column.values.dtype == (np.float64 if levels is None else np.int32)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"a": X, "b": Y}, r"or columns of shape \(rows,\), got a \(4, 3\), b \(4,\)"),
        ({"a": Y, "b": Y[:3]}, r"array 'b' must have 4 rows as 'a' has, got \(3,\)"),
        ({"a": np.array(3.0), "b": Y}, r"array 'a' must have 0 rows as 'a' has, got \(\)"),
        ({"x": X, "y": np.eye(4)}, r"array 'y' must have shape \(rows,\), got \(4, 4\); y.argmax\(1\)"),
        ({"x": X, "y": np.zeros((4, 1, 1))}, r"array 'y' must have shape \(rows,\), got \(4, 1, 1\)"),
        ({"x": X, "y": Y[:2]}, r"array 'y' must have 4 rows as 'x' has"),
        ({"x": X + 1j}, "array 'x' must hold real numbers, got complex128"),
        ({"x": np.array([["a"]])}, "array 'x' must hold real numbers"),
        ({"x": np.zeros((0, 3)), "y": Y[:0]}, r"array 'x' must have rows of at least one value, got shape \(0, 3\)"),
        ({"x": np.zeros((4, 0)), "y": Y}, r"array 'x' must have rows of at least one value, got shape \(4, 0\)"),
        ({"a": Y[:0]}, "is empty; it must have at least two rows of each class"),
        ({}, "is empty; it must have at least two rows of each class"),
    ],
)
def test_what_does_not_fit_together(read, arrays, words):
    with pytest.raises(InputError, match=words):
        read(**arrays)


def test_a_parquet_file_of_each_kind(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    import pyarrow.parquet as parquet

    given = {
        "n": [2, None, 1],
        "f": [0.5, 1.0, None],
        "w": ["b", None, "a"],
        "t": [True, False, None],
        "__index_level_0__": [7, 8, 9],
    }
    parquet.write_table(pyarrow.table(given), tmp_path / "a.parquet")
    table = read_parquet(tmp_path / "a.parquet")
    assert table.names == ["n", "f", "w", "t", ""] and [column.levels for column in table.columns] == [
        *(None, None, ("a", "b"), ("False", "True"), None)
    ]
    assert [column.missing.tolist().index(True) for column in table.columns[:4]] == [1, 2, 1, 2]
    assert table.columns[2].values.tolist() == [1, -1, 0] and table.columns[3].values.tolist() == [1, 0, -1]
    assert table.columns[4].values.tolist() == [7, 8, 9] and table.labels is None
