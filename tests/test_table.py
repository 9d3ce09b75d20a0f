import numpy as np
import pytest

from mlplab.data import fast_csv
from mlplab.data import table as reader
from mlplab.data.table import matrix, read_table, share_of_numbers
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


def columns(table):
    """Give the columns by name: numbers as floats, words as words, None where missing."""
    return {
        c.name: [
            None if gone else float(v) if c.levels is None else c.levels[v] for v, gone in zip(c.values, c.missing)
        ]
        for c in table.columns
    }


GOOD = "x1,x2,label\n0,1,a\n2.5,-3e-1,b\n4,5,a\n6,7,b\n"
WANTED = {"x1": [0, 2.5, 4, 6], "x2": [1, -0.3, 5, 7], "label": ["a", "b", "a", "b"]}


@pytest.mark.parametrize(
    "text, separator",
    [
        pytest.param(GOOD, "comma", id="plain"),
        pytest.param(GOOD.replace("\n", "\r\n"), "comma", id="windows"),
        pytest.param(GOOD + "\n\n", "comma", id="blank lines"),
        pytest.param("\ufeff" + GOOD, "comma", id="byte order mark"),
        pytest.param(GOOD.replace(",", " , "), "comma", id="spaces"),
        pytest.param(GOOD.replace("2.5", '"2.5"'), "comma", id="quotes"),
        pytest.param("# made by hand\n" + GOOD, "comma", id="comment"),
        pytest.param(GOOD.replace(",", ";"), "semicolon", id="semicolons"),
        pytest.param(GOOD.replace(",", ";").replace(".", ","), "semicolon", id="decimal commas"),
        pytest.param(GOOD.replace(",", "\t"), "tab", id="tabs"),
        pytest.param(
            GOOD.replace(",", "\t").replace("x1", "'x1'").replace("a", "'a'").replace("l'a'b", "lab"),
            "tab",
            id="single quotes",
        ),
        pytest.param("  " + GOOD.replace(",", "   ").replace("\n", " \n   ").rstrip(), "blanks", id="blanks"),
    ],
)
@pytest.mark.parametrize("given", [False, True])
def test_csv_in_its_usual_forms(csv_file, text, separator, given):
    table = read_table(csv_file(text), separator=separator if given else None)
    assert columns(table) == WANTED
    assert table.separator == separator and table.header and len(table) == 4


READERS = {"pyarrow": fast_csv.by_pyarrow, "pandas": fast_csv.by_pandas, "numpy": fast_csv.by_numpy}


def read_fast_by(name, path):
    """Read by one fast reader alone, whatever the file's size; the table, and what the reader found."""
    if name != "numpy":
        pytest.importorskip(name)
    found = []

    def absent(path, form):
        raise ImportError

    def observed(path, form):
        found.append(READERS[name](path, form))
        return found[-1]

    return read_table(path, fast_from_bytes={absent: 0, observed: 0}), found


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_the_fast_readers_and_the_careful_one_agree_to_the_bit(csv_file, name, separator):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(3000, 3)) * 10.0 ** rng.integers(-30, 30, (3000, 3))
    rows = [
        ",".join(map(repr, row.tolist())) + f",{'NA' if i % 7 == 0 else ' kind ' + str(i % 4)},z"
        for i, row in enumerate(values)
    ]
    path = csv_file(("\ufeffa,b,,kind,last\n" + "\n".join(rows)).replace(",", separator))
    careful = read_table(path)
    table, found = read_fast_by(name, path)
    assert len(found) == 1 and found[0] is not None and table.lines is None and careful.lines is not None
    assert table.names == careful.names == ["a", "b", "", "kind", "last"]
    for own, other, wanted in zip(table.columns, careful.columns, (*values.T, None, None)):
        assert own.levels == other.levels and own.values.tolist() == other.values.tolist()
        assert wanted is None or own.values.tolist() == wanted.tolist()
    assert table.columns[3].levels == ("kind 0", "kind 1", "kind 2", "kind 3")
    assert table.columns[3].values[:4].tolist() == [-1, 1, 2, 3]


@pytest.mark.parametrize("name", ["pyarrow", "numpy"])
@pytest.mark.parametrize(
    ("odd", "fast"),
    [
        ("", True),
        ("# a remark\n", True),
        ('1.5 \t 2.5 "two words"\n', "numpy"),
        ("1.5 2.5 half\u00a0space\n", "pyarrow"),
        (" # 2 x\n", False),  # a remark begins its line
        ("1.5 2.5\n", None),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_blanks_are_read_fast_and_as_with_care(csv_file, name, odd, fast, end):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(300, 2)) * 10.0 ** rng.integers(-30, 30, (300, 2))
    rows = [
        f"{' ' * (i % 3)}{a!r}\t {b!r}   {'red' if i % 2 else 'blau'}{' ' * (i % 2)}\n"
        for i, (a, b) in enumerate(values.tolist())
    ]
    path = csv_file("".join(["\ufeff  a b\t\tkind\n", *rows[:250], odd, *rows[250:]]).replace("\n", end))
    if fast is None:
        with pytest.raises(InputError, match=r"row 251 \(line 252\): must have 3 values"):
            read_fast_by(name, path)
        return
    careful = read_table(path)
    table, found = read_fast_by(name, path)
    assert (found[0] is not None) == (fast is True or fast == name)
    assert columns(table) == columns(careful) and table.separator == "blanks"


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize(
    "text, said",
    [
        ("a,b\n" + "1,2\n" * 249 + "1\n", "row 250 (line 251)"),
        ("a,b\n" + "1,2\n" * 249 + "1,2,3\n", "row 250 (line 251)"),
        ("a,b\n" + "1,2\n" * 249 + "1,word\n", None),
        ("a,b\n" + "1,2\n" * 249 + "1,\n,\n", None),
        ("a;b\n" + "1,5;2,5\n" * 250, None),
        ("a,b\n" + "1,2\n# a remark\n" * 250, None),
        ("a,b\n" + "1,2\n\n" * 250, None),
    ],
)
def test_what_a_fast_reader_cannot_read_is_read_with_care(csv_file, name, text, said):
    path = csv_file(text)
    if said:
        with pytest.raises(InputError) as caught:
            read_fast_by(name, path)
        assert said in str(caught.value)
    else:
        assert columns(read_fast_by(name, path)[0]) == columns(read_table(path))


def test_a_word_late_in_a_large_file_makes_a_column_of_words(csv_file):
    path = csv_file("a,b\n" + "1,2\n" * 249 + "1,word\n")
    late = read_table(path, fast_from_bytes=dict.fromkeys(fast_csv.FROM_BYTES, 0))
    assert late.columns[1].levels == ("2", "word") and share_of_numbers(late.columns[1]) == 249 / 250


def test_a_word_after_many_rows_of_numbers_makes_a_column_of_words(csv_file):
    rows = reader.CHUNK + 10
    table = read_table(csv_file("a,b\n" + "1,2.50\n" * rows + "3,x\n"))
    assert table.columns[1].levels == ("2.50", "x") and table.columns[1].values.tolist() == [0] * rows + [1]


@pytest.mark.parametrize(
    "text, header",
    [
        ("a,b\n1,2\n3,4\n", True),
        ("1,2\n3,4\n", False),
        ("5.9 2.7 DH\n5.0 3.4 NO\n", False),
        (",0,1,label\n0,0.1,0.2,1\n1,0.3,0.4,0\n", True),  # what DataFrame.to_csv writes
        ("0,1,2\n0.1,0.2,a\n0.3,0.4,b\n", True),  # the same of columns without names
        ("a,b,c\nd,e,f\n", True),
        ("1,?,a\n2,3,b\n", False),
        ("?,2,a\n2,3,b\n", False),
        ("7\n8\n", False),
        ("current\n8\n", True),
    ],
)
def test_a_header_is_told_from_data(csv_file, text, header):
    table = read_table(csv_file(text))
    assert table.header == header
    names = text.splitlines()[0].split(",")
    assert table.names == (names if header else [f"x{i + 1}" for i in range(len(table.names))])
    assert len(table) == len(text.splitlines()) - header
    assert read_table(csv_file(text), header=False).header is False
    assert "data.header must say" in refusal(csv_file("0,1,2\n1,2,3\n4,5,6\n"))


def test_missing_values_are_nan_or_no_level(csv_file):
    table = read_table(csv_file("a,b\n1,x\n?,\nNA,NaN\nnan,y\n,N/A\n"))
    assert columns(table) == {"a": [1, None, None, None, None], "b": ["x", None, None, "y", None]}


def test_columns_are_found_by_name_then_by_position(csv_file):
    table = read_table(csv_file("2,b,1\nx,1,2\ny,2,3\n"))
    assert [table.find(wanted, "data.label") for wanted in (2, "2", 1, "b", -2, "3")] == [0, 0, 2, 1, 1, 2]
    for wanted in ("nope", 0, 4, -4):
        with pytest.raises(InputError, match="data.label must name a column of .* or its position from 1"):
            table.find(wanted, "data.label")


def test_a_matrix_of_numbers_alone(csv_file):
    assert matrix(read_table(csv_file("a,b\n1,2\n3,4\n"))).tolist() == [[1, 2], [3, 4]]
    for text, part in (
        ("a\n1\nx\n", "row 2 (line 3): column 'a' must be a finite number, got 'x'"),
        ("a,b\n1,2\n\n3,inf\n", "row 2 (line 4): column 'b' must be a finite number, got inf"),
        ("a,b\n1,2\n,3\n", "row 2 (line 3): column 'a' must be a finite number, got nan"),
    ):
        with pytest.raises(InputError) as caught:
            matrix(read_table(csv_file(text)))
        assert part in str(caught.value)


CSV_FAULTS = {
    "empty file": ("", {}, ["is empty"]),
    "header alone": ("x1,label\n", {}, ["no rows"]),
    "duplicate header": ("x1,x1,label\n1,2,0\n3,4,0\n", {}, ["header", "'x1'", "twice"]),
    "short row": ("x1,x2,label\n1,2,0\n3,0\n", {}, ["row 2 (line 3)", "3 values", "got 2"]),
    "long row": ("x1,label\n1,0\n\n3,0,9\n", {}, ["row 2 (line 4)", "2 values", "got 3"]),
    "long row without a header": ("1,0\n2,0\n3,0,9\n", {}, ["row 3 (line 3)", "as the first row has"]),
    "not text": (b"x1,label\n\xff\xfe,0\n", {}, ["UTF-8"]),
    "line break in a value": ('x1,label\n1,0\n"a\nb",0,1\n', {}, ["row 2 (line 4)"]),
    "open quote": ('x1,label\n"1,0\n', {}, ["CSV"]),
    "separator": (GOOD, {"separator": "colon"}, ["data.separator", "comma, semicolon, tab, blanks", "'colon'"]),
}


@pytest.mark.parametrize("fault", CSV_FAULTS)
def test_every_fault_of_a_csv_file_is_one_line_that_names_its_place(csv_file, fault):
    text, options, parts = CSV_FAULTS[fault]
    message = refusal(csv_file(text), **options)
    for part in parts:
        assert part in message, message


@pytest.mark.parametrize("path", [None, 3, "missing.csv", "missing.npz", ".", "~nobody-of-that-name/x.csv", "a\0b"])
def test_paths_that_name_no_file(path):
    assert "data.path" in refusal(path)
    assert "input.path" in refusal(path, key="input.path")


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8", "uint8", "int64", "bool"])
@pytest.mark.parametrize("x, y", [("x", "y"), ("X", "y"), ("data", "target"), ("images", "labels"), ("x", "label")])
def test_npz_of_any_real_dtype_under_the_usual_names(npz_file, dtype, x, y):
    values = np.array([[0, 1], [1, 0], [1, 1], [0, 0]]).astype(dtype)
    table = read_table(npz_file(**{x: values, y: np.array([0, 1, 1, 0])}))
    assert columns(table) == {"x1": values[:, 0].tolist(), "x2": values[:, 1].tolist(), y: [0, 1, 1, 0]}
    assert table.labels == y and table.shape is None


def test_npz_of_images_and_of_given_parts(npz_file):
    x = np.random.default_rng(0).normal(size=(6, 3, 5))
    table = read_table(npz_file(x=x, y=np.array(list("ababab"))))
    assert table.shape == (3, 5) and len(table.columns) == 16 and table.names[:2] == ["x[0,0]", "x[0,1]"]
    assert np.array_equal(np.stack([c.values for c in table.columns[:15]], 1), x.reshape(6, 15))
    assert table.columns[15].levels == ("a", "b")
    table = read_table(npz_file(x_train=x[:4], y_train=np.arange(4)[:, None], x_test=x[4:], y_test=np.arange(2)))
    assert table.parts.tolist() == ["train"] * 4 + ["test"] * 2 and table.shape == (3, 5)
    assert table.columns[-1].values.tolist() == [0, 1, 2, 3, 0, 1]


def test_npz_of_columns(npz_file):
    table = read_table(npz_file(a=np.arange(4), b=np.arange(4) * 10.0, kind=np.array([True, False, True, False])))
    assert columns(table) == {"a": [0, 1, 2, 3], "b": [0, 10, 20, 30], "kind": ["True", "False", "True", "False"]}


def test_parquet(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    import pyarrow.parquet

    path = tmp_path / "t.parquet"
    there = {"a": [1, None], "b": ["x", "y"], "c": [True, False], "__index_level_0__": [5, 7]}
    pyarrow.parquet.write_table(pyarrow.table(there), path)
    assert columns(read_table(path)) == {"a": [1, None], "b": ["x", "y"], "c": ["True", "False"], "": [5, 7]}
    path.write_bytes(b"PAR1 not really")
    assert "must be a Parquet file" in refusal(path)
    pyarrow.parquet.write_table(pyarrow.table({"a": [[1], [2]]}), path)
    assert "column 'a' must hold numbers or words" in refusal(path)


ZEROS = np.zeros(4)
NPZ_FAULTS = {
    "rows differ": ({"x": np.zeros((3, 2)), "label": ZEROS}, ["'label'", "3 rows", "(4,)"]),
    "no rows": ({"x": np.zeros((0, 2)), "label": np.zeros(0)}, ["at least one value"]),
    "no columns": ({"x": np.zeros((4, 0)), "label": ZEROS}, ["at least one value"]),
    "scalar": ({"x": np.float64(1), "label": ZEROS}, ["0 rows", "()"]),
    "matrix of no known name": ({"a": np.zeros((4, 1)), "label": ZEROS}, ["array of inputs called x", "a (4, 1)"]),
    "words": ({"x": np.array([["a"], ["b"]]), "label": ZEROS}, ["'x'", "real numbers", "<U1"]),
    "complex": ({"x": ZEROS + 1j, "label": ZEROS}, ["real numbers", "complex128"]),
    "no labels of a part": ({"x_train": ZEROS, "y_train": ZEROS, "x_test": ZEROS}, ["labels of 'x_test'"]),
    "parts of other shapes": (
        {"x_train": np.zeros((4, 2)), "y_train": ZEROS, "x_test": np.zeros((4, 3)), "y_test": ZEROS},
        ["(2,)", "(4, 3)"],
    ),
    "label matrix": ({"x_train": ZEROS, "y_train": np.zeros((4, 2))}, ["'y_train'", "(rows,)", "(4, 2)"]),
}


@pytest.mark.parametrize("fault", NPZ_FAULTS)
def test_every_fault_of_an_npz_file_is_one_line_that_names_its_place(npz_file, fault):
    arrays, parts = NPZ_FAULTS[fault]
    message = refusal(npz_file(**arrays))
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


@pytest.mark.parametrize("shape", [(3,), (3, 1)])
def test_an_archive_of_one_column_is_a_table(npz_file, shape):
    table = read_table(npz_file(x=np.arange(3.0).reshape(shape)))
    assert [column.values.tolist() for column in table.columns] == [[0.0, 1.0, 2.0]]


@pytest.mark.parametrize("shape", [(4,), (4, 1)])
def test_labels_of_an_archive_may_be_a_column(npz_file, shape):
    y = np.array([1, 0, 1, 0])
    assert columns(read_table(npz_file(x=np.ones((4, 2)), y=y.reshape(shape))))["y"] == y.tolist()


@pytest.mark.parametrize(
    ("cell", "decimal", "either", "number"),
    [
        ("1.5", ",", False, None),
        ("1.5", ",", True, 1.5),
        ("1,5", ",", False, 1.5),
        ("1,5", ",", True, 1.5),
        ("1.5", ".", False, 1.5),
        ("1,5", ".", True, None),
        ("1_000", ".", False, None),
    ],
)
def test_a_decimal_point_beside_decimal_commas_is_a_number_where_either_is_taken(cell, decimal, either, number):
    assert reader._number(cell, decimal, either) == number


@pytest.mark.parametrize(
    ("text", "header"),
    [
        ("0,1\n2,3\n4,5\n", False),  # two columns called 0 and 1 are not to be expected
        ("1,2,3\n2,3,4\n3,4,5\n", False),
        ("0,1,3\n2,3,4\n", False),
        ("a,1\n1,2\n3,4\n", True),  # a word above numbers
        ("5,a\nx,b\ny,a\n", True),  # a number above words
        ("5,a\nx,b\n7,a\n", False),  # above both
        ("5,a\n,b\n7,a\n", False),  # what is missing says nothing
        ("5,\n1,2\n7,3\n", False),
        ("5,NA,a\n1,2,b\n", False),
    ],
)
def test_a_first_row_of_numbers_is_a_header_where_what_stands_below_says_so(csv_file, text, header):
    table = read_table(csv_file(text))
    assert table.header == header and len(table) == text.count("\n") - header
    assert table.names == (text.split("\n")[0].split(",") if header else [f"x{j + 1}" for j in range(len(table.names))])


@pytest.mark.parametrize("first", ["0,1,2", ",0,1", ",0,1,2"])
def test_a_first_row_that_counts_may_be_either(csv_file, first):
    rows = "\n".join(",".join(str(i * j + 5) for j in range(first.count(",") + 1)) for i in (3, 4))
    path = csv_file(f"{first}\n{rows}\n")
    assert "data.header must say whether the first row" in refusal(path)
    assert read_table(path, header=True).names == first.split(",") and len(read_table(path, header=False)) == 3


@pytest.mark.parametrize(
    ("text", "separator", "cells"),
    [
        ("a;b\n1,5;2\n2,5;3\n", "semicolon", [1.5, 2.5]),
        ("a;b\n1.5;2\n2.5;3\n", "semicolon", [1.5, 2.5]),
        ("a;b\n1,5;2.5\n2,5;3.5\n", "semicolon", ["1,5", "2,5"]),  # both marks: the comma is none
        ("a\tb\n,5\t2\n-2,5e1\t3\n", "tab", [0.5, -25.0]),
        ("a,b\n1,5\n2,5\n", "comma", [1.0, 2.0]),
        ("a b\n1,5 2\n2,5 3\n", "blanks", [1.5, 2.5]),
        ("a;b,c\n1;2,3\n4;5,6\n", "semicolon", [1.0, 4.0]),  # as many cells either way: the one of numbers alone
        ("one\n1\n2\n", "comma", [1.0, 2.0]),
    ],
)
def test_the_separator_and_the_decimal_mark_that_make_most_numbers(csv_file, text, separator, cells):
    table = read_table(csv_file(text))
    assert table.separator == separator and next(iter(columns(table).values())) == cells


def test_a_remark_or_a_blank_line_is_no_row_and_lines_are_those_of_the_file(csv_file):
    table = read_table(csv_file("# a\na,b\n\n1,2\n# c\n , \n3,4\n"))
    assert columns(table) == {"a": [1, 3], "b": [2, 4]} and table.lines.tolist() == [4, 7]
    blanks = read_table(csv_file("# a\na b\n\n1\t2\n#c d\n  3   4\n"))
    assert columns(blanks) == {"a": [1, 3], "b": [2, 4]} and blanks.lines.tolist() == [4, 6]


def test_a_column_of_nothing_without_a_name_is_left_out_and_one_with_a_name_stays(csv_file):
    assert columns(read_table(csv_file("a,b,\n1,,\n2,,\n"))) == {"a": [1, 2], "b": [None, None]}


@pytest.mark.parametrize(
    ("cell", "word"),
    [
        ("'a'", "a"),
        ("'a", "'a"),
        ("a'", "a'"),
        ("'", "'"),
        ("''", None),
        ('" a "', "a"),
        ("'a b'", "a b"),
        ("a'b", "a'b"),
    ],
)
def test_a_word_in_single_quotes_is_the_word(csv_file, cell, word):
    assert columns(read_table(csv_file(f"n,w\n1,{cell}\n2,zz\n")))["w"] == [word, "zz"]


@pytest.mark.parametrize("name", ["a.xlsx", "A.XLSX", "a.npy", "a.json", "a.gz"])
def test_a_file_of_another_kind_is_refused_by_its_ending(csv_file, name):
    assert "must name a text file of rows (CSV), an NPZ archive or a Parquet file" in refusal(csv_file(GOOD, name))


def test_the_sample_from_which_the_form_is_told_has_two_hundred_rows(csv_file):
    assert reader.SAMPLE == 200
    # A word in the 200th row (the header among them) is seen at once; one after it makes the column be read again.
    for row in (198, 199, 200, 4200):
        table = read_table(csv_file("a,b\n" + "".join(f"{'w' if i == row else i},2\n" for i in range(row + 3))))
        assert table.columns[0].levels is not None and table.columns[0].values[row] == len(table.columns[0].levels) - 1
        assert share_of_numbers(table.columns[0]) == (row + 2) / (row + 3)


@pytest.mark.parametrize("lacking", [0, 1])
def test_a_fast_reader_is_tried_from_its_size_on(csv_file, lacking):
    path, asked = csv_file(GOOD), []
    read_table(path, fast_from_bytes={lambda *_: asked.append(1): path.stat().st_size + lacking})
    assert asked == [1] * (1 - lacking)


def test_a_number_with_an_underscore_is_a_word_however_late_it_stands(csv_file):
    table = read_table(csv_file("a,b\n" + "1,2\n" * 300 + "1_000,2\n"))
    assert table.columns[0].levels == ("1", "1_000") and table.columns[1].levels is None
    assert reader._numbers(["1", "1_0"], ".") is None and reader._numbers(["1", "2e1"], ".").tolist() == [1, 20]
    assert reader._numbers(["1,5", "NA"], ",")[0] == 1.5 and reader._numbers(["1", "x"], ".") is None
