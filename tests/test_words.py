import pytest

from mlplab.words import Across, columns, cut, in_markdown, markdown_table, plural, terminal_width, wrapped

ROWS = [("", "setting", "seeds", "NLL"), ("*", "width=16", "4", "0.1"), ("", "width=128", "12", "0.0612")]


def test_words_are_flush_left_and_numbers_flush_right():
    assert columns(ROWS, left=2, width=80) == [
        "   setting    seeds     NLL",
        "*  width=16       4     0.1",
        "   width=128     12  0.0612",
    ]


@pytest.mark.parametrize("width", [80, 27, 26, 20, 12, 7])
def test_no_line_is_wider_than_asked(width):
    assert all(len(line) <= width for line in columns(ROWS, left=2, drop=("seeds",), width=width))


def test_columns_make_way_then_texts_are_cut_then_the_rest_is_named():
    rows = [("name", "a", "b"), ("a-name-of-twenty-two-l", "1", "2222222222")]
    assert columns(rows, drop=("a",), width=34) == [
        "name                             b",
        "a-name-of-twenty-two-l  2222222222",
    ]
    assert columns(rows, width=30) == ["name             a           b", "a-name-of-twen…  1  2222222222"]
    assert columns(rows, width=20) == ["name          a", "a-name-of-t…  1", "(no room for: b)"]


def test_a_cell_may_take_the_room_of_the_empty_ones_behind_it():
    rows = [
        ("run", "accuracy", "NLL", "age"),
        ("a", "98.10 %", "0.1", "1 d"),
        ("b", Across("failed: out of memory"), "", "2 d"),
    ]
    assert columns(rows, width=80) == ["run  accuracy  NLL  age", "a     98.10 %  0.1  1 d", "b    failed: out …  2 d"]


@pytest.mark.parametrize(("columns_set", "expected"), [("60", 60), ("7", 40), ("", 80)])
def test_a_terminal_says_how_wide_it_is(monkeypatch, columns_set, expected):
    monkeypatch.setenv("COLUMNS", columns_set)
    assert terminal_width() == expected


def test_markdown_keeps_texts_within_their_cells():
    assert markdown_table([("a", "n"), ("x|y\nz", "1")]) == "| a | n |\n| --- | ---: |\n| x\\|y z | 1 |"
    assert in_markdown("a\\b") == "a\\\\b"


def test_texts():
    assert (cut("abcdef", 6), cut("abcdefg", 6), cut("ab", 0)) == ("abcdef", "abcde…", "…")
    assert (plural(1, "run"), plural(1000, "run")) == ("1 run", "1,000 runs")
    assert wrapped("one two three", indent="  ", width=8) == "one two\n  three"
