"""The label column by its rules: which it is, how its values are called, what is no label; and inputs by theirs."""

import numpy as np
import pytest

from mlplab.data.columns import Column, Table
from mlplab.data.features import (
    MOST_LEVELS,
    Preparation,
    as_words,
    complete_rows,
    fit_preparation,
    inputs_of,
    numbers_rows,
    refuse_missing,
    select,
)
from mlplab.data.labels import classes_of, codes_among, find_label, words_of
from mlplab.data.table import read_table, refuse_words, share_of_numbers
from mlplab.errors import InputError


def numbers(name, *values):
    return Column(name, np.array(values, np.float64))


def words(name, codes, *levels):
    return Column(name, np.array(codes, np.int32), levels)


def table(*columns, **more):
    return Table("file.csv", list(columns), **more)


@pytest.mark.parametrize(
    ("values", "codes", "names"),
    [
        ([2, 1, 2], [1, 0, 1], ["1", "2"]),
        ([0.5, 1.5, 0.5], [0, 1, 0], ["0.5", "1.5"]),
        ([1_000_000, -3], [1, 0], ["-3", "1000000"]),
        ([1e14, 1e15, 1e16], [0, 1, 2], ["100000000000000", "1e+15", "1e+16"]),
        ([-1e15, np.nan, 7.0], [0, -1, 1], ["-1e+15", "7"]),
    ],
)
def test_numbers_are_called_as_they_are_written_and_go_by_size(values, codes, names):
    found = words_of(numbers("y", *values))
    assert found[0].tolist() == codes and found[1] == names


def test_words_that_are_used_keep_their_order():
    found = words_of(words("y", [3, 1, -1, 3], "a", "b", "c", "d"))
    assert found[0].tolist() == [1, 0, -1, 1] and found[1] == ["b", "d"]


X, Y = numbers("a", *np.arange(60) / 7), numbers("b", *np.arange(60) % 2)


@pytest.mark.parametrize(
    ("columns", "more", "wanted", "at"),
    [
        ((X, Y), {}, None, 1),
        ((X, Y), {}, 1, 0),
        ((X, Y), {}, "a", 0),
        ((Y._replace(name="Label"), X), {}, None, 0),
        ((Y._replace(name="species"), Y._replace(name="class"), X), {}, None, 1),  # the first of NAMES that is there
        ((X, Y), {"header": False}, None, 1),
        ((Y, X), {"header": False}, None, 0),  # the first is of classes, the last is not
        ((Y, X), {}, None, 1),  # with names that is not guessed
        ((X, X._replace(name="b")), {"header": False}, None, 1),
        ((X._replace(name="y"), Y), {}, None, 1),  # beside x, y is a place
        ((Y._replace(name="y"), Y), {}, None, 0),
        ((X._replace(name="y"), X), {}, None, 0),
        ((X, X._replace(name="y"), Y), {"labels": "y"}, None, 1),
        ((X, Y, Y._replace(name="c")), {"labels": "b"}, None, 1),
        ((X, Y), {"labels": ""}, "a", 0),
    ],
)
def test_the_label_column(columns, more, wanted, at):
    assert find_label(table(*columns, **more), wanted) == at


@pytest.mark.parametrize(
    ("columns", "more", "wanted", "words_told"),
    [
        ((X,), {}, None, "must have a column beside the label, got a alone$"),
        ((X,), {"separator": "tab"}, None, "alone; data.separator says how cells are parted, as in comma, semicolon"),
        ((X, Y), {"labels": ""}, None, "must have labels beside its inputs"),
        ((X, Y), {}, "c", "data.label must name a column"),
        ((X, Y), {}, 3, "data.label must name a column"),
        ((X, Y), {}, 0, "data.label must name a column"),
    ],
)
def test_there_is_no_label(columns, more, wanted, words_told):
    with pytest.raises(InputError, match=words_told):
        find_label(table(*columns, **more), wanted)


@pytest.mark.parametrize(
    ("column", "words_told"),
    [
        (numbers("y", 1, 1, np.nan), r"row 3: label 'y' must be there and finite"),
        (numbers("y", 1, np.inf, 1), r"row 2: label 'y' must be there and finite"),
        (words("y", [0, 0, -1], "u"), r"row 3: label 'y' must be there"),
        (numbers("y", 1, 1, 1), "must have two classes or more, got '1' in all 3 rows"),
        (numbers("y", 1, 2, 1), r"row 2: class '2' of 'y' has this row alone"),
        (words("y", range(30), *(f"w{i:02}" for i in range(30))), r"30 different values in 30 rows \('w00'"),
        (numbers("y", *(0.5 + np.arange(30))), r"30 different values in 30 rows \(0.5"),
    ],
)
def test_what_is_no_label(column, words_told):
    with pytest.raises(InputError, match=words_told):
        classes_of(table(X, column), column)


def test_a_first_row_that_is_alone_in_its_class_may_be_a_header():
    column = words("y", [2, 0, 0, 1, 1], "u", "v", "name")
    for header, row, hint in ((False, 0, True), (True, 0, False)):
        with pytest.raises(InputError, match=r"row 1: class 'name'") as caught:
            classes_of(table(X, column, header=header), column)
        assert ("say data.header=true" in str(caught.value)) == hint
    later = words("y", [0, 0, 2, 1, 1], "u", "v", "name")
    with pytest.raises(InputError, match="row 3: class 'name'") as caught:
        classes_of(table(X, later, header=False), later)
    assert "data.header" not in str(caught.value)


def test_classes_are_codes_from_nought_in_their_order():
    codes, names = classes_of(table(X), numbers("y", 5, 3, 5, 3, 9, 9))
    assert codes.tolist() == [1, 0, 1, 0, 2, 2] and codes.dtype == np.int64 and names == ("3", "5", "9")
    found = codes_among(table(X), words("y", [1, 0, 1], "u", "v"), ["v", "w", "u"])
    assert found.tolist() == [0, 2, 0] and found.dtype == np.int64
    with pytest.raises(InputError, match=r"row 2: label 'y' must be a class that was trained on \(u\), got 'v'"):
        codes_among(table(X), words("y", [0, 1, 0], "u", "v"), ["u"])
    with pytest.raises(InputError, match="row 1: label 'y' must be there"):
        codes_among(table(X), numbers("y", np.nan, 1), ["1"])


# Inputs.


def test_a_column_that_numbers_rows():
    ten = np.arange(10.0)
    assert numbers_rows(numbers("i", *ten)) and numbers_rows(numbers("i", *(ten - 4)))
    assert not numbers_rows(numbers("i", *ten[:9])) and not numbers_rows(numbers("i", *ten[::-1]))
    assert not numbers_rows(numbers("i", *(ten + 0.5))) and not numbers_rows(numbers("i", *ten[:-1], 8))
    for name in ("id", "INDEX", "idx", "rownames", "row", "rowid"):
        assert numbers_rows(numbers(name, *ten[::-1])) and not numbers_rows(numbers(name, *ten[:-1], 8))
    assert not numbers_rows(numbers("ids", *ten[::-1])) and not numbers_rows(words("id", range(10), *"abcdefghij"))


LABEL = numbers("y", *np.arange(12) % 2)
INDEX = numbers("i", *range(12))


def test_the_features_are_all_but_the_label_and_what_numbers_the_rows():
    a, b = numbers("a", *np.arange(12) ** 2.0), numbers("b", *np.arange(12) ** 3.0)
    whole = table(INDEX, a, b, LABEL)
    assert select(whole, None, [3]) == [1, 2] and select(whole, None, [3], ["b"]) == [1]
    assert select(whole, ["b", 1], [3]) == [2, 0] and select(whole, None, [3], [-2, "a", 1][:1]) == [1]
    for features in ([], ["a", "a"], ["a", 2], ["a", "y"]):
        with pytest.raises(InputError, match="data.features must name at least one feature, each once, without 'y'"):
            select(whole, features, [3])
    with pytest.raises(InputError, match="without 'y' and 'a', got"):
        select(whole, ["a"], [3, 1])
    with pytest.raises(InputError, match=r"data.features=\[i\] takes 'i', which numbers the rows"):
        select(table(INDEX, LABEL), None, [1])
    with pytest.raises(InputError, match="must have a column beside the label, got a, y$"):
        select(table(a, LABEL), None, [1], ["a"])


@pytest.mark.parametrize(
    ("names", "place"), [(["", "a"], 1), (["a", "Unnamed: 0"], 2), (["1", ""], 2), (["", "1"], -3)]
)
def test_a_column_without_a_name_is_left_out_by_its_place(names, place):
    columns = [numbers(name, *np.arange(12) ** 2.0) for name in names]
    with pytest.raises(InputError, match=rf"data.exclude=\[{place}\] leaves it out"):
        select(table(*columns, LABEL), None, [2])
    assert len(select(table(*columns, LABEL), None, [2], [place])) == 1


def test_rows_that_are_complete():
    whole = table(numbers("a", 1, np.nan, 3), words("b", [0, 0, -1], "u"), numbers("c", 1, 2, 3))
    assert complete_rows(whole, [0, 1]).tolist() == [True, False, False] and complete_rows(whole, []).all()
    refuse_missing(whole, [2])
    with pytest.raises(InputError, match=r"row 2: column 'a' must have a value \(2 rows in all without one\)"):
        refuse_missing(whole, [1, 0])
    with pytest.raises(InputError, match=r"row 3: column 'b' must have a value \(1 row in all without one\)"):
        refuse_missing(whole, [1, 2])


def fitted(*columns, rows=None, **options):
    whole = table(*columns, **options.pop("more", {}))
    rows = np.arange(len(whole)) if rows is None else np.array(rows)
    return fit_preparation(whole, range(len(columns)), rows, **options), whole


def test_inputs_are_standardised_by_the_rows_given():
    made, whole = fitted(numbers("a", 1, 3, 100), words("b", [0, 1, 1], "u", "v"), numbers("c", 4, 4, 5), rows=[0, 1])
    assert made.means == (2.0, 0.0, 0.0, 4.0) and made.deviations == (1.0, 1.0, 1.0, 1.0) and made.shape == (4,)
    assert made.levels == {"b": ("u", "v")} and made.names == ("a", "b=u", "b=v", "c") and made.medians == {}
    expected = [[-1, 1, 0, 0], [1, 0, 1, 0], [98, 0, 1, 1]]
    assert inputs_of(whole, made).tolist() == expected and inputs_of(whole, made).dtype == np.float32
    np.testing.assert_array_equal(made.scaled(np.array([[3.0, 1, 0, 4]])), [[1, 1, 0, 0]])
    np.testing.assert_array_equal(made.unscaled(np.array([[1.0, 1, 0, 0]])), [[3, 1, 0, 4]])
    plain, _ = fitted(numbers("a", 1, 3, 100), standardize=False)
    assert plain.means is plain.deviations is None and inputs_of(whole, plain).ravel().tolist() == [1, 3, 100]
    one = np.ones((1, 1))
    assert plain.scaled(one) is one and plain.unscaled(one) is one
    wide, _ = fitted(numbers("a", 0, 4, 0, 4))
    assert (wide.means, wide.deviations) == ((2.0,), (2.0,))


@pytest.mark.parametrize(("spread", "deviation"), [(0.0, 1.0), (1e-13, 1.0), (1e-11, 1e-11)])
def test_a_spread_below_a_millionth_of_a_millionth_of_the_mean_is_none(spread, deviation):
    for sign in (1, -1):
        made, _ = fitted(numbers("a", sign * (1 + spread), sign * (1 - spread)))
        assert made.deviations[0] == pytest.approx(deviation, rel=1e-3)


def test_missing_numbers_stand_at_the_median_of_the_rows_given():
    made, whole = fitted(numbers("a", 1, np.nan, 2, 9, 50), rows=[0, 1, 2, 3], missing="median", standardize=False)
    assert made.medians == {"a": 2.0} and inputs_of(whole, made).ravel().tolist() == [1, 2, 2, 9, 50]
    with pytest.raises(InputError, match="column 'a' has no value in the train rows; data.exclude it"):
        fitted(numbers("a", np.nan, 1), rows=[0], missing="median")
    with pytest.raises(InputError, match="row 2: column 'a' must be finite in float32, got 1e\\+300"):
        fitted(numbers("a", 1, 1e300))


@pytest.mark.parametrize("kinds", [MOST_LEVELS, MOST_LEVELS + 1])
def test_a_column_of_more_than_fifty_words_is_no_feature(kinds):
    assert MOST_LEVELS == 50
    column = words("a", [*range(kinds), -1], *(f"w{i}" for i in range(kinds + 5)))
    if kinds == 50:
        assert len(fitted(column)[0].levels["a"]) == 50
    else:
        with pytest.raises(InputError, match=r"holds 51 different words \('w0', ...\), more than 50"):
            fitted(column)


def test_a_column_is_of_numbers_with_a_word_among_them_or_of_words():
    half = words("a", [0, 0, 1, 1], "1", "x")
    assert fitted(half)[0].levels == {"a": ("1", "x")} and share_of_numbers(half) == 0.5
    most = words("a", [0, 0, 0, 1, -1], "1,5", "x")
    assert (
        share_of_numbers(most) == 0.75 and share_of_numbers(INDEX) == 1 and share_of_numbers(words("a", [-1], "x")) == 0
    )
    with pytest.raises(InputError, match="row 4: column 'a' must be a finite number, got 'x'"):
        fitted(most)
    assert fitted(most, categorical=["a"])[0].levels == {"a": ("1,5", "x")}
    refuse_words(table(INDEX), INDEX)
    kinds, whole = fitted(numbers("a", 3, 10, 3), categorical=[1])
    assert kinds.levels == {"a": ("3", "10")} and inputs_of(whole, kinds).tolist() == [[1, 0], [0, 1], [1, 0]]
    turned = as_words(numbers("a", 10, np.nan, 2))
    assert turned.levels == ("2", "10") and turned.values.tolist() == [1, -1, 0] and turned.values.dtype == np.int32


def test_a_word_that_was_not_trained_on_is_refused_or_nothing():
    made, whole = fitted(words("a", [0, 1, 2], "u", "v", "w"), numbers("b", 1, 2, 3), rows=[0, 1], standardize=False)
    assert made.levels == {"a": ("u", "v")}
    assert inputs_of(whole, made, unseen="zero").tolist() == [[1, 0, 1], [0, 1, 2], [0, 0, 3]]
    with pytest.raises(InputError, match=r"row 3: column 'a' must be a kind that was trained on \(u, v\), got 'w'"):
        inputs_of(whole, made)
    with pytest.raises(InputError, match="must have the columns that were trained on: b not among a, c"):
        inputs_of(table(whole.columns[0], numbers("c", 1, 2, 3)), made)
    turned = table(whole.columns[1], whole.columns[0], INDEX)
    assert inputs_of(turned, made, unseen="zero").tolist() == [[1, 0, 1], [0, 1, 2], [0, 0, 3]]


def test_images_have_one_mean_and_one_deviation():
    pixels = [numbers(f"x{i}", i, i + 2.0) for i in range(6)]
    made, whole = fitted(*pixels, more={"shape": (2, 3)})
    values = np.stack([column.values for column in pixels], 1)
    assert made.shape == (2, 3) and set(made.means) == {values.mean()} and len(made.means) == 6
    assert made.deviations == pytest.approx([values.std()] * 6)
    assert inputs_of(whole, made).shape == (2, 2, 3)
    np.testing.assert_allclose(inputs_of(whole, made).reshape(2, 6), (values - values.mean()) / values.std(), rtol=1e-6)
    constant, _ = fitted(*[numbers(f"x{i}", 3, 3) for i in range(4)], more={"shape": (2, 2)})
    assert constant.deviations == (1.0,) * 4
    some = fit_preparation(table(*pixels, shape=(2, 3)), [0, 1], np.arange(2))
    assert some.shape == (2,) and some.means == (1.0, 2.0)


def test_what_is_recorded_is_read_back():
    made = Preparation(("a", "b"), {"b": ("u", "v")}, {"a": 1.5}, None, None, (3,))
    plain = made.recorded()
    assert plain["levels"] == {"b": ["u", "v"]} and plain["columns"] == ["a", "b"] and plain["means"] is None
    assert Preparation.from_recorded(plain) == made


def test_a_word_in_quotes_that_stands_for_nothing_is_missing(tmp_path):
    (tmp_path / "a.csv").write_text("a,b\n1,'NA'\n2,'x'\n3,''\n4,'y'\n5,x\n")
    column = read_table(tmp_path / "a.csv").columns[1]
    assert column.levels == ("x", "y") and column.values.tolist() == [-1, 0, -1, 1, 0]


def test_a_table_of_some_rows():
    whole = table(
        X.take(np.arange(4)),
        words("b", [0, 1, -1, 0], "u", "v"),
        lines=np.array([2, 3, 5, 6]),
        parts=np.array(["train", "test", "train", "train"]),
        **{"header": False, "separator": "tab", "labels": "b", "shape": (1, 1)},
    )
    some = whole.take(np.array([3, 1]))
    assert (
        len(whole) == 4
        and len(some) == 2
        and some.lines.tolist() == [6, 3]
        and some.parts.tolist() == ["train", "test"]
    )
    assert some.columns[0].values.tolist() == [X.values[3], X.values[1]] and some.columns[1].values.tolist() == [0, 1]
    assert (some.path, some.header, some.separator, some.labels, some.shape) == ("file.csv", False, "tab", "b", (1, 1))
    assert some.where(0) == "'file.csv', row 1 (line 6)" and table(X).where(4) == "'file.csv', row 5"
    bare = table(X).take(np.array([0]))
    assert bare.lines is bare.parts is None and len(table()) == 0 and table(X).header
    assert whole.columns[1].missing.tolist() == [False, False, True, False]
    assert numbers("a", 1, np.nan).missing.tolist() == [False, True]


@pytest.mark.parametrize(
    ("wanted", "at"), [("b", 1), ("2", 2), (2, 2), (1, 0), ("1", 0), (-1, 2), ("-3", 0), (3, 2), ("-1", 2)]
)
def test_a_column_is_found_by_its_name_and_else_by_its_place(wanted, at):
    assert table(X, X._replace(name="b"), X._replace(name="2")).find(wanted, "data.label") == at


@pytest.mark.parametrize("wanted", [0, "0", 4, -4, "c", "", "1.0", "+1"])
def test_a_column_that_is_not_there(wanted):
    with pytest.raises(
        InputError, match=r"data.label must name a column of 'file.csv' \(a, b, 2\) or its position from 1"
    ):
        table(X, X._replace(name="b"), X._replace(name="2")).find(wanted, "data.label")
