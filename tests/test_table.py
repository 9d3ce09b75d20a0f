import numpy as np
import pytest
import torch

from mlplab.data.table import read_table
from mlplab.errors import InputError


@pytest.fixture
def csv_file(tmp_path):
    def write(text, name="points.csv"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


@pytest.fixture
def npz_file(tmp_path):
    def write(**arrays):
        path = tmp_path / "points.npz"
        np.savez(path, **arrays)
        return path

    return write


def refusal(path, **options):
    """Return the one line that `read_table` complains with."""
    with pytest.raises(InputError) as caught:
        read_table(path, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


GOOD = "x1,x2,label\n0,1,0\n2.5,-3e-1,1\n4,5,0\n6,7,1\n"


def test_smallest_good_file(csv_file):
    table = read_table(csv_file("a,label\n1,0\n2,0\n"))
    assert table.x.tolist() == [[1.0], [2.0]] and table.y.tolist() == [0, 0] and table.classes == 1


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(GOOD, id="plain"),
        pytest.param(GOOD.replace("\n", "\r\n"), id="windows"),
        pytest.param(GOOD + "\n\n", id="blank lines"),
        pytest.param("\ufeff" + GOOD, id="byte order mark"),
        pytest.param(GOOD.replace(",", " , "), id="spaces"),
        pytest.param(GOOD.replace("2.5", '"2.5"'), id="quotes"),
    ],
)
def test_csv_in_its_usual_forms(csv_file, text):
    table = read_table(csv_file(text))
    assert table.x.dtype == torch.float32 and table.y.dtype == torch.int64
    torch.testing.assert_close(table.x, torch.tensor([[0, 1], [2.5, -0.3], [4, 5], [6, 7]]))
    assert table.y.tolist() == [0, 1, 0, 1]
    assert table.features == ("x1", "x2") and table.classes == 2


def test_columns_are_chosen_by_name_in_the_order_given(csv_file):
    path = csv_file("skip,kind,b,a\nword,1,2,3\nother,0,4,5\nword,0,6,7\nword,1,8,9\n")
    table = read_table(path, features=["a", "b"], label="kind")
    assert table.x.tolist() == [[3, 2], [5, 4], [7, 6], [9, 8]] and table.y.tolist() == [1, 0, 0, 1]


CSV_FAULTS = {
    "empty file": ("", {}, ["is empty"]),
    "header alone": ("x1,label\n", {}, ["no rows"]),
    "label missing": ("x1,kind\n1,0\n2,0\n", {}, ["data.label", "x1, kind", "'label'"]),
    "feature missing": (GOOD, {"features": ["x1", "x9"]}, ["data.features", "'x9'", "x1, x2, label"]),
    "no feature": ("label\n0\n0\n", {}, ["column beside the label"]),
    "empty feature list": (GOOD, {"features": []}, ["data.features"]),
    "repeated feature": (GOOD, {"features": ["x1", "x1"]}, ["data.features", "each once"]),
    "label as feature": (GOOD, {"features": ["x1", "label"]}, ["data.features", "without 'label'"]),
    "duplicate header": ("x1,x1,label\n1,2,0\n3,4,0\n", {}, ["header", "'x1'", "twice"]),
    "short row": ("x1,x2,label\n1,2,0\n3,0\n", {}, ["row 2 (line 3)", "3 values", "got 2"]),
    "long row": ("x1,label\n1,0\n\n3,0,9\n", {}, ["row 2 (line 4)", "2 values", "got 3"]),
    "word": ("x1,label\n1,0\nabc,0\n", {}, ["row 2 (line 3)", "'x1'", "'abc'"]),
    "nothing": ("x1,label\n1,0\n,0\n", {}, ["row 2", "'x1'", "got ''"]),
    "underscore": ("x1,label\n1_0,0\n1,0\n", {}, ["row 1", "'1_0'"]),
    "nan": ("x1,label\n1,0\n2,0\nnan,0\n", {}, ["row 3", "'x1'", "finite", "'nan'"]),
    "infinity": ("x1,label\n-inf,0\n2,0\n", {}, ["row 1", "finite", "'-inf'"]),
    "too large for float32": ("a,b,label\n1,1,0\n1,1e300,0\n", {}, ["row 2", "'b'", "float32", "1e+300"]),
    "label word": ("x1,label\n1,0\n2,cat\n", {}, ["row 2", "'label'", "'cat'"]),
    "label fraction": ("x1,label\n1,0\n2,0.5\n", {}, ["row 2", "integer", "0.5"]),
    "label negative": ("x1,label\n1,-1\n2,0\n", {}, ["row 1", "from 0", "-1"]),
    "labels from one": ("x1,label\n1,1\n2,2\n3,1\n4,2\n", {}, ["row 2", "from 0 to 1", "got 2"]),
    "label gap": ("x1,label\n1,0\n2,0\n3,7\n4,7\n", {}, ["row 3", "from 0 to 1", "2 different", "got 7"]),
    "class of one": ("x1,label\n1,0\n2,0\n3,1\n", {}, ["row 3", "at least two rows", "got 1"]),
    "not text": (b"x1,label\n\xff\xfe,0\n", {}, ["UTF-8"]),
    "line break in a name": ('"x\n1",label\n1,0\n2,0\n', {"features": ["y"]}, ["x 1, label"]),
    "line break in a value": ('x1,label\n1,0\n"a\nb",0\n', {}, ["row 2 (line 4)", "'a b'"]),
    "open quote": ('x1,label\n"1,0\n', {}, ["CSV"]),
}


@pytest.mark.parametrize("fault", CSV_FAULTS)
def test_every_fault_of_a_csv_file_is_one_line_that_names_its_place(csv_file, fault):
    text, options, parts = CSV_FAULTS[fault]
    message = refusal(csv_file(text), **options)
    for part in parts:
        assert part in message, message


@pytest.mark.parametrize("path", [None, 3, "points.txt", "points", "missing.csv", "missing.npz", "."])
def test_paths_that_name_no_file_of_ours(path):
    assert "data.path" in refusal(path)


def test_a_folder_is_no_file(tmp_path):
    (tmp_path / "folder.csv").mkdir()
    assert "data.path" in refusal(tmp_path / "folder.csv")


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8", "uint8", "int64", "bool"])
def test_npz_of_any_real_dtype(npz_file, dtype):
    x = np.array([[0, 1], [1, 0], [1, 1], [0, 0]]).astype(dtype)
    table = read_table(npz_file(x=x, label=np.array([0, 1, 1, 0])))
    assert table.x.dtype == torch.float32 and table.x.tolist() == x.astype(float).tolist()
    assert table.y.tolist() == [0, 1, 1, 0] and table.classes == 2


def test_npz_inputs_keep_their_shape(npz_file):
    x = np.random.default_rng(0).normal(size=(4, 3, 5))
    table = read_table(npz_file(x=x, y=np.array([1.0, 0.0, 1.0, 0.0])), label="y")
    torch.testing.assert_close(table.x, torch.from_numpy(x).float())
    one = read_table(npz_file(x=np.arange(4), label=np.array([True, False, True, False])))
    assert one.x.tolist() == [[0], [1], [2], [3]] and one.y.tolist() == [1, 0, 1, 0]


def test_npz_of_columns(npz_file):
    path = npz_file(a=np.arange(4), b=np.arange(4) * 10.0, label=np.zeros(4))
    assert read_table(path, features=["b", "a"]).x.tolist() == [[0, 0], [10, 1], [20, 2], [30, 3]]


def one_nan(*place):
    x = np.zeros((4, 2, 2))
    x[place] = np.nan
    return x


ZEROS = np.zeros(4)
NPZ_FAULTS = {
    "no x": ({"label": ZEROS}, {}, ["data.features", "'x'", "(label)"]),
    "no label": ({"x": ZEROS}, {}, ["data.label", "'label'", "(x)"]),
    "no feature": ({"a": ZEROS, "label": ZEROS}, {"features": ["a", "b"]}, ["data.features", "'b'"]),
    "rows differ": ({"x": np.zeros((3, 2)), "label": ZEROS}, {}, ["4 rows", "(3, 2)"]),
    "no rows": ({"x": np.zeros((0, 2)), "label": np.zeros(0)}, {}, ["empty"]),
    "no columns": ({"x": np.zeros((4, 0)), "label": ZEROS}, {}, ["at least one value"]),
    "scalar": ({"x": np.float64(1), "label": ZEROS}, {}, ["4 rows", "()"]),
    "label matrix": ({"x": ZEROS, "label": np.zeros((4, 1))}, {}, ["'label'", "(rows,)", "(4, 1)"]),
    "feature matrix": ({"a": np.zeros((4, 1)), "label": ZEROS}, {"features": ["a"]}, ["'a'", "(rows,)"]),
    "text": ({"x": np.array(list("abcd")), "label": ZEROS}, {}, ["'x'", "real numbers", "<U1"]),
    "complex": ({"x": ZEROS + 1j, "label": ZEROS}, {}, ["real numbers", "complex128"]),
    "nan": ({"x": one_nan(2, 1, 0), "label": ZEROS}, {}, ["row 3", "[1, 0]", "nan"]),
    "label nan": ({"x": ZEROS, "label": np.array([0, 0, np.nan, 0])}, {}, ["row 3", "'label'", "finite"]),
    "label gap": ({"x": ZEROS, "label": np.array([0, 0, 2, 2])}, {}, ["row 3", "from 0 to 1", "got 2"]),
    "class of one": ({"x": ZEROS, "label": np.array([0, 1, 0, 0])}, {}, ["row 2", "at least two rows"]),
}


@pytest.mark.parametrize("fault", NPZ_FAULTS)
def test_every_fault_of_an_npz_file_is_one_line_that_names_its_place(npz_file, fault):
    arrays, options, parts = NPZ_FAULTS[fault]
    message = refusal(npz_file(**arrays), **options)
    for part in parts:
        assert part in message, message


class Trap:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("trapped", ["x", "label"])
def test_objects_are_never_unpickled(npz_file, tmp_path, trapped):
    objects = np.array([Trap(tmp_path / "sprung")] * 4, dtype=object)
    path = npz_file(**{"x": ZEROS, "label": ZEROS, trapped: objects})
    assert "numbers" in refusal(path)
    assert not (tmp_path / "sprung").exists()


def test_bytes_that_are_no_archive(tmp_path, npz_file):
    whole = npz_file(x=np.random.default_rng(0).normal(size=(400, 20)), label=np.zeros(400)).read_bytes()
    np.save(tmp_path / "single.npy", ZEROS)
    damaged = bytearray(whole)
    damaged[2000] ^= 255
    cases = [b"", b"no archive", whole[:1000], (tmp_path / "single.npy").read_bytes(), bytes(damaged)]
    for content in cases:
        path = tmp_path / "bad.npz"
        path.write_bytes(content)
        assert "NPZ" in refusal(path)


def test_the_array_of_the_inputs_is_no_label(npz_file):
    assert "data.label must not be 'x'" in refusal(npz_file(x=np.array([0.0, 0, 1, 1])), label="x")
