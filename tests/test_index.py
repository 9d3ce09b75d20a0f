"""What is read of a run folder for a list of runs, and what the index keeps of it."""

import json
import os
import time

import pytest
from sweep_folders import result, write_run

from mlplab.errors import InputError
from mlplab.runs import index as module
from mlplab.runs.index import DEEPEST, FILE, Index, folder_bytes, read_run
from mlplab.runs.manifest import write_status
from mlplab.runs.names import Defaults
from mlplab.words import conf_folder

DEFAULTS = Defaults(conf_folder())


@pytest.fixture
def folder(tmp_path):
    write_run(tmp_path / "run", None, width=8)
    os.remove(tmp_path / "run" / "status.json")
    os.utime(tmp_path / "run", (500, 500))
    return tmp_path / "run"


def read(folder):
    return read_run(folder, "train/run", DEFAULTS)


def test_a_folder_of_a_config_alone(folder):
    run = read(folder)
    assert (run.path, run.study, run.changed["model.width"], run.seed) == ("train/run", "train", 8, 0)
    assert (run.status, run.error, run.metrics, run.digest, run.time, run.bytes) == (
        "missing",
        None,
        {},
        "",
        500.0,
        None,
    )
    (folder / "manifest.json").write_text('{"config_digest": "abc"}')
    assert read(folder).digest == "abc"
    for text in ("[]", "{", "{}"):
        (folder / "manifest.json").write_text(text)
        assert read(folder).digest == ""
    (folder / "config.yaml").write_text("[")
    assert read(folder) is None


@pytest.mark.parametrize(
    ("written", "status", "error"),
    [
        (("failed", "Traceback\n  x\nE:  no\n"), "failed", "E: no"),
        (("interrupted", None), "interrupted", None),
        (("diverged", "nan"), "diverged", "nan"),
        (("running", None), "running", None),
        (("finished", None), "failed", "it has no result.json"),
    ],
)
def test_a_run_without_a_result_is_what_its_status_says(folder, written, status, error):
    write_status(folder, written[0], error=written[1], clock=lambda: 700.0)
    run = read(folder)
    assert (run.status, run.error, run.time) == (status, error, 700.0)
    (folder / "status.json").write_text('{"status": "running", "heartbeat": 600.0}')
    assert (read(folder).status, read(folder).time) == ("interrupted", 600.0)
    (folder / "status.json").write_text('{"status": "failed"}')
    os.utime(folder, (500, 500))
    assert (read(folder).status, read(folder).time) == ("failed", 500.0)


def test_a_result_says_what_was_measured(folder):
    record = {
        "config_digest": "d" * 64,
        "validation": {"nll": 0.5, "accuracy": True, "other": 1.0},
        "fresh": {"accuracy": 1, "nll_regret": None, "accuracy_regret": 0.25, "calibration_error": 0.125},
        "test": [1],
        "parameters": 7,
        "seconds": {"total": 2.5, "fit": 1.0},
    }
    (folder / "result.json").write_text(json.dumps(record))
    os.utime(folder / "result.json", (900, 900))
    run = read(folder)
    assert run.metrics == {
        "validation/nll": 0.5,
        "fresh/accuracy": 1,
        "fresh/accuracy_regret": 0.25,
        "fresh/calibration_error": 0.125,
        "parameters": 7,
        "seconds": 2.5,
    }
    assert (run.status, run.error, run.digest, run.time) == ("finished", None, "d" * 64, 900.0)
    # A result that says otherwise goes before the status, which tells why and when.
    (folder / "result.json").write_text(json.dumps(record | {"status": "diverged", "parameters": 7.0, "seconds": 3}))
    write_status(folder, "running", error="nan", clock=lambda: 950.0)
    run = read(folder)
    assert (run.status, run.error, run.time) == ("diverged", "nan", 950.0)
    assert "parameters" not in run.metrics and "seconds" not in run.metrics
    for text in ("[]", "{", "[" * 10_000):
        (folder / "result.json").write_text(text)
        assert read(folder).status == "running" and read(folder).metrics == {}


def test_a_run_is_looked_for_five_levels_below_the_logs(tmp_path):
    assert DEEPEST == 5
    for levels in (1, 5, 6):
        place = tmp_path.joinpath(*"abcdef"[: levels - 1], f"run{levels}")
        write_run(place, result(0.1))
    write_run(tmp_path / ".hidden" / "run", result(0.1))
    write_run(tmp_path / "run1" / "inner", result(0.1))  # what lies in a run is the run's own
    (tmp_path / "link").symlink_to(tmp_path / "a")
    assert {run.path for run in Index(tmp_path, conf_folder()).runs()} == {"run1", "a/b/c/d/run5"}
    with pytest.raises(InputError, match="there are no runs yet"):
        Index(tmp_path / "nowhere", conf_folder()).runs()


def age(folder, seconds):
    when = time.time() - seconds
    for path in sorted(folder.rglob("*"), reverse=True):
        os.utime(path, (when, when))
    os.utime(folder, (when, when))


def test_what_has_settled_is_not_read_again(tmp_path, monkeypatch):
    for name in ("old", "new", "busy"):
        write_run(tmp_path / "train" / name, result(0.1) if name != "busy" else None)
    write_status(tmp_path / "train" / "busy", "running")
    age(tmp_path, 60)
    age(tmp_path / "train" / "new", 1)
    first = Index(tmp_path, conf_folder()).runs()
    assert (tmp_path / FILE).is_file()
    asked = []
    monkeypatch.setattr(
        module, "read_run", lambda folder, *given: asked.append(folder.name) or read_run(folder, *given)
    )
    again = Index(tmp_path, conf_folder()).runs()
    assert again == first and sorted(asked) == ["busy", "new"]
    age(tmp_path / "train" / "new", 60)
    Index(tmp_path, conf_folder()).runs()
    asked.clear()
    Index(tmp_path, conf_folder()).runs()
    assert asked == ["busy"]
    (tmp_path / "train" / "old" / "result.json").write_text(json.dumps(result(0.5)))
    asked.clear()
    assert {run.name: run.metrics["test/accuracy"] for run in Index(tmp_path, conf_folder()).runs() if run.metrics} == {
        "old": 0.5,
        "new": 0.9,
    }
    assert sorted(asked) == ["busy", "old"]


def test_what_the_index_kept_is_the_run(tmp_path):
    write_run(tmp_path / "sweep" / "s" / "a", result(0.1), width=9)
    (tmp_path / "sweep" / "s" / "sweep.json").touch()
    age(tmp_path, 60)
    one, two = (Index(tmp_path, conf_folder()) for _ in range(2))
    (first,), (second,) = one.runs(), two.runs()
    assert first == second and one.sweeps == two.sweeps == {"sweep/s"} and second.changed == first.changed
    with pytest.raises(AttributeError, match="nothing"):
        _ = second.nothing
    two.measure([second])
    assert second.bytes == folder_bytes(tmp_path / "sweep/s/a") > 0 == folder_bytes(tmp_path / "nowhere")
    (third,) = Index(tmp_path, conf_folder()).runs()
    assert third.bytes == second.bytes
    os.rename(tmp_path / "sweep" / "s" / "a", tmp_path / "sweep" / "s" / "b")
    assert [run.name for run in Index(tmp_path, conf_folder()).runs()] == ["b"]


def test_a_value_by_its_whole_name_or_its_last_word(tmp_path):
    write_run(tmp_path / "a", result(0.1), width=9, seed=4)
    index = Index(tmp_path, conf_folder())
    (run,) = index.runs()
    for key, value in {
        "model.width": 9,
        "width": 9,
        "seed": 4,
        "data.noise": 0.16,
        "noise": 0.16,
        "nothing": None,
    }.items():
        assert index.value(run, key) == value, key
    run.study = None
    assert index.value(run, "noise") is None and index.value(run, "width") == 9


def test_the_newest_come_first_and_those_of_one_moment_by_their_place(tmp_path):
    for name, when in (("b", 5), ("a", 5), ("c", 9)):
        write_run(tmp_path / name, result(0.1))
        os.utime(tmp_path / name / "result.json", (when, when))
    assert [run.name for run in Index(tmp_path, conf_folder()).runs()] == ["c", "a", "b"]
