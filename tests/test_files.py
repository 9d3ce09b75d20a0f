import errno
import json
import os

import pytest

from mlplab.config.recorded import read_recorded
from mlplab.errors import InputError
from mlplab.report.learning import read_curve
from mlplab.report.maps import read_map
from mlplab.runs import checkpoint, files, metrics
from mlplab.runs.files import read_flat
from mlplab.runs.folder import RunFolder
from mlplab.runs.names import defaults_in
from mlplab.words import conf_folder


def full_disk(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_keeps_the_previous_file_and_leaves_nothing_else(tmp_path, monkeypatch, call):
    path = tmp_path / "status.json"
    files.write_json(path, {"a": 1})
    monkeypatch.setattr(os, call, full_disk)
    with pytest.raises(InputError, match="status.json: No space left on device; what was there") as caught:
        files.write_json(path, {"a": 2})
    assert "\n" not in str(caught.value)
    assert json.loads(path.read_text()) == {"a": 1}
    assert os.listdir(tmp_path) == ["status.json"]


def test_a_disk_that_is_full_midway_keeps_the_previous_file(tmp_path):
    path = tmp_path / "file"
    files.write_bytes(path, b"old")

    def pieces():
        yield b"x" * 1_000_000
        full_disk()

    with pytest.raises(InputError):
        files.write_bytes(path, pieces())
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["file"]


def test_an_interrupt_while_writing_passes_on_and_leaves_nothing(tmp_path):
    def pieces():
        yield b"half"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        files.write_bytes(tmp_path / "file", pieces())
    assert os.listdir(tmp_path) == []


def test_the_folder_is_made_and_empty_content_is_content(tmp_path):
    files.write_bytes(tmp_path / "a" / "b" / "file", b"")
    assert (tmp_path / "a" / "b" / "file").read_bytes() == b""


def test_json_is_read_back_and_has_no_nan(tmp_path):
    path = tmp_path / "result.json"
    value = {"nll": float("nan"), "all": [1.5, float("inf"), (2,)], "text": "é", "none": None, "flag": True}
    files.write_json(path, value)
    expected = {"nll": None, "all": [1.5, None, [2]], "text": "é", "none": None, "flag": True}
    assert files.read_json(path) == expected
    assert path.read_text().endswith("}\n")


@pytest.mark.parametrize("content", [b"", b"{", b'{"a": 1', b"\xff\xfe", b"{}\n{}", b"[" * 100_000])
def test_damaged_json_is_refused_in_one_line(tmp_path, content):
    path = tmp_path / "manifest.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match="manifest.json is damaged") as caught:
        files.read_json(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["[]", "3", "null", '"text"'])
def test_a_record_must_be_an_object(tmp_path, content):
    (tmp_path / "result.json").write_text(content)
    with pytest.raises(InputError, match="result.json is damaged: it must hold an object"):
        files.read_record(tmp_path / "result.json")


def test_a_folder_that_is_a_file_is_one_line(tmp_path):
    (tmp_path / "checkpoints").write_text("no folder")
    with pytest.raises(InputError, match="cannot write .*Not a directory"):
        files.write_bytes(tmp_path / "checkpoints" / "last.ckpt", b"x")
    assert (tmp_path / "checkpoints").read_text() == "no folder"


def test_missing_json_is_refused(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        files.read_json(tmp_path / "result.json")
    with pytest.raises(InputError, match="directory"):
        files.read_json(tmp_path)


def test_leftovers_of_a_killed_process_are_removed_and_nothing_else(tmp_path):
    for name in (".last.ckpt.17.tmp", "last.ckpt", ".hidden", "data.tmp"):
        (tmp_path / name).write_bytes(b"")
    assert files.remove_leftovers(tmp_path) == 1
    assert sorted(os.listdir(tmp_path)) == [".hidden", "data.tmp", "last.ckpt"]
    assert files.remove_leftovers(tmp_path / "absent") == 0


@pytest.mark.parametrize("make, words", [(os.mkfifo, "a named pipe"), (None, "a device")])
def test_what_is_no_file_is_refused_at_once(tmp_path, make, words):
    path = tmp_path / "config.yaml"
    make(path) if make else path.symlink_to("/dev/zero")
    folder = RunFolder(tmp_path)
    for read in (
        files.read_json,
        checkpoint.load,
        metrics.read,
        read_flat,
        read_recorded,
        defaults_in(conf_folder()).read,
        lambda path: metrics.MetricsFile(path).read(),
    ):
        with pytest.raises(InputError, match=f"^[^\\n]*it is {words}.*, not a file") as caught:
            read(path)
        assert str(path) in str(caught.value)
    os.rename(path, tmp_path / "snapshots.npz")
    (tmp_path / "checkpoints").symlink_to(tmp_path)
    assert checkpoint.read_snapshots(folder) is None
    assert read_map(tmp_path / "snapshots.npz") is None and read_curve(tmp_path / "snapshots.npz", ["x"]) is None


def nested(depth):
    return "".join(f"{'  ' * level}a:\n" for level in range(depth)) + "  " * depth + "b: 1\n"


@pytest.mark.parametrize("kind", [str, str.encode])
def test_yaml_of_anybodys_is_bounded(kind):
    with pytest.raises(ValueError, match="must hold no YAML aliases"):
        files.read_plain(kind("a: &x 1\nb: *x\n"))
    assert files.read_plain(kind("a: &x 1\nb: 2\n")) == {"a": 1, "b": 2}
    value = files.read_plain(kind(nested(files.DEEPEST - 1)))
    for _ in range(files.DEEPEST - 1):
        value = value["a"]
    assert value == {"b": 1} and files.DEEPEST == 60
    with pytest.raises(ValueError, match="at most 60 levels deep"):
        files.read_plain(kind(nested(files.DEEPEST)))
    for left, right in ("[]", "{}"):
        assert files.read_plain(kind("a: " + left * 59 + right * 59 if left == "[" else "a: {b: {c: 1}}"))
        with pytest.raises(ValueError, match="at most 60 levels deep"):
            files.read_plain(kind("a: " + (left * 60 + right * 60 if left == "[" else "{a: " * 60 + "1" + "}" * 60)))
    assert files.read_plain(kind("# " + "x" * (files.LARGEST_BYTES - 2))) is None and files.LARGEST_BYTES == 10**6
    with pytest.raises(ValueError, match="at most 1000000 bytes, got 1000001"):
        files.read_plain(kind("# " + "x" * (files.LARGEST_BYTES - 1)))
    for damaged in ("a: [", "a: b: c", "[" * 70):
        with pytest.raises(ValueError) as caught:
            files.read_plain(kind(damaged))
        assert "\n" not in str(caught.value) and len(str(caught.value)) <= 120


def test_plain_values_are_flattened_and_nested_again():
    value = {"a": {"b": {"c": 1}, "d": {}}, "e": [1, None, {"x": [2]}], "f": None, "g": "x"}
    flat = {"a.b.c": 1, "a.d": None, "e": "[1,null,{x: [2]}]", "f": None, "g": "x"}
    assert files.flatten(value) == flat | {"e": files.flatten(value)["e"]}
    assert files.flatten({"e": [1, None, {"x": 2, "y": "z"}]}) == {"e": "[1,null,{x: 2, y: z}]"}
    assert files.unflatten({"a.b.c": 1, "a.d": "[1, 2]", "e": "{x: 1}", "f": "x"}) == {
        "a": {"b": {"c": 1}, "d": [1, 2]},
        "e": {"x": 1},
        "f": "x",
    }


def test_a_config_is_cut_at_its_keys():
    assert files.split_blocks("# x\n\na: 1\n  \nb:\n- 1\n- 2\n# y\nc:\n  d: 1\n") == [
        "a: 1\n  \n",
        "b:\n- 1\n- 2\n# y\n",
        "c:\n  d: 1\n",
    ]
    assert files.split_blocks("") == []
    for odd in ("- 1\n", "  a: 1\nb: 2\n"):
        with pytest.raises(files.Unusual):
            files.split_blocks(odd)


@pytest.mark.parametrize(
    "text", ["yes", "No", "1e-3", "1_000", "nan", "inf", "0x10", "null", "~", "true", "", "a: b", "1.5", "plain"]
)
def test_a_text_is_read_back_as_a_text(text):
    assert files.read_plain(files.plain_yaml({"a": text})) == {"a": text}


def test_what_reads_as_a_number_is_quoted():
    quoted = {text: "'" in files.plain_yaml({"a": text}) for text in ("1e-3", "inf", "on", "Y", "word", "1.5.2")}
    assert quoted == {"1e-3": True, "inf": True, "on": True, "Y": True, "word": False, "1.5.2": False}
    shared = [1, 2]
    assert "&" not in files.plain_yaml({"a": shared, "b": shared})


def test_folders_that_are_absent_innermost_first(tmp_path):
    assert files.absent(tmp_path / "a" / "b") == [tmp_path / "a" / "b", tmp_path / "a"] and files.absent(tmp_path) == []
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "c").mkdir()
    files.remove_empty([tmp_path / "a" / "b", tmp_path / "a", tmp_path / "gone", tmp_path / "c"])
    assert [path.name for path in tmp_path.iterdir()] == ["c"]
