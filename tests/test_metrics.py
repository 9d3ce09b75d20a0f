import errno
import math
import os

import pytest

from mlplab.errors import InputError
from mlplab.runs.metrics import MetricsFile, read


def row(epoch):
    return {"epoch": epoch, "train/loss": 1 / (epoch + 3), "val/loss": 0.1 * epoch, "step": 25 * (epoch + 1)}


def test_rows_are_read_back_to_the_same_bits(tmp_path):
    file = MetricsFile(tmp_path / "run" / "metrics.csv")
    values = [0.1, 1 / 3, 5e-324, 1.7976931348623157e308, -0.0, math.inf, -math.inf]
    for epoch, value in enumerate(values):
        file.append({"epoch": epoch, "x": value})
    file.append({"epoch": 7, "x": math.nan})
    columns = file.read()
    assert columns["epoch"] == list(range(8)) and all(type(epoch) is int for epoch in columns["epoch"])
    assert [value.hex() for value in columns["x"][:7]] == [value.hex() for value in values]
    assert math.isnan(columns["x"][7])


def test_epoch_stands_first_and_empty_cells_are_none(tmp_path):
    file = MetricsFile(tmp_path / "metrics.csv")
    file.append({"b": 1, "epoch": 0, "a": None})
    file.append({"epoch": 1, "a": 2.5})
    assert (tmp_path / "metrics.csv").read_text() == "epoch,b,a\n0,1,\n1,,2.5\n"
    assert file.read() == {"epoch": [0, 1], "b": [1.0, None], "a": [None, 2.5]}


def test_no_rows_make_no_file(tmp_path):
    file = MetricsFile(tmp_path / "metrics.csv")
    file.extend([])
    file.cut(3)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("stop", [-1, 0, 1, 5, 9])
@pytest.mark.parametrize("half", ["", "7", "7,0.1,0."])
def test_a_file_that_is_cut_back_and_appended_equals_an_uninterrupted_one(tmp_path, stop, half):
    whole, resumed = tmp_path / "whole.csv", tmp_path / "resumed.csv"
    MetricsFile(whole).extend(row(epoch) for epoch in range(10))
    first = MetricsFile(resumed)
    for epoch in range(min(stop + 3, 10)):
        first.append(row(epoch))
    with open(resumed, "a") as file:
        file.write(half)  # what a killed process leaves
    second = MetricsFile(resumed)
    second.cut(stop)
    second.extend(row(epoch) for epoch in range(stop + 1, 10))
    assert resumed.read_bytes() == whole.read_bytes()


def test_a_column_that_turns_up_later_is_added(tmp_path):
    whole, resumed = tmp_path / "whole.csv", tmp_path / "resumed.csv"

    def late(epoch):
        return {"epoch": epoch, "train/loss": 0.5} | ({"val/loss": 0.25} if epoch % 2 else {})

    for epoch in range(4):
        MetricsFile(whole).append(late(epoch))
    assert whole.read_text() == "epoch,train/loss,val/loss\n0,0.5,\n1,0.5,0.25\n2,0.5,\n3,0.5,0.25\n"
    MetricsFile(resumed).extend(late(epoch) for epoch in range(4))
    for stop in (2, 0):
        file = MetricsFile(resumed)
        file.cut(stop)
        for epoch in range(stop + 1, 4):
            file.append(late(epoch))
        assert resumed.read_bytes() == whole.read_bytes()


def test_names_with_commas_are_quoted(tmp_path):
    file = MetricsFile(tmp_path / "metrics.csv")
    file.append({"epoch": 0, 'a,"b"': 1.0})
    MetricsFile(tmp_path / "metrics.csv").append({"epoch": 1, 'a,"b"': 2.0})
    assert file.read() == {"epoch": [0, 1], 'a,"b"': [1.0, 2.0]}


def test_a_full_disk_is_one_line(tmp_path, monkeypatch):
    file = MetricsFile(tmp_path / "metrics.csv")

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("builtins.open", full)
    with pytest.raises(InputError, match="metrics.csv: No space left on device"):
        file.append(row(0))


@pytest.mark.parametrize(
    "content, match",
    [
        (b"", "not a metrics file"),
        (b"a,b\n1,2\n", "not a metrics file"),
        (b"epoch,a\n0,1\n1\n", "damaged in row 3: 2 cells expected, 1 found"),
        (b"epoch,a\n0,x\n", "damaged in row 2"),
        (b"epoch,a\n0.5,1\n", "damaged in row 2"),
        (b"epoch\xff", "not text"),
    ],
)
def test_damaged_files_are_refused_by_row(tmp_path, content, match):
    path = tmp_path / "metrics.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=match) as caught:
        read(path)
    assert "\n" not in str(caught.value)


def test_a_damaged_file_is_not_cut(tmp_path):
    (tmp_path / "metrics.csv").write_text("epoch,a\nx,1\n")
    with pytest.raises(InputError, match="does not begin with its epoch"):
        MetricsFile(tmp_path / "metrics.csv").cut(0)


@pytest.mark.parametrize("content", [b"\xff\xfe\n", b"[1, 2]\n", b"hello\n1\n"])
def test_a_file_that_is_no_table_of_epochs_is_neither_cut_nor_appended_to(tmp_path, content):
    path = tmp_path / "metrics.csv"
    path.write_bytes(content)
    for call in (lambda: MetricsFile(path).cut(0), lambda: MetricsFile(path).append({"epoch": 1})):
        with pytest.raises(InputError, match="metrics.csv is damaged"):
            call()
    assert path.read_bytes() == content


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        read(tmp_path / "metrics.csv")
