"""Which run folders may go, and which stay."""

import json

import pytest

from mlplab.errors import InputError
from mlplab.runs.clean import Removal, removable, remove
from mlplab.runs.index import Run
from mlplab.runs.manifest import write_status


@pytest.fixture
def run(tmp_path):
    """Make a run, newest first as they are asked for, and its folder."""

    def make(path, status="finished", digest="d", data="x"):
        folder = tmp_path / path
        folder.mkdir(parents=True)
        (folder / "config.yaml").touch()
        if data is not None:
            (folder / "manifest.json").write_text(json.dumps({"data_sha256": data}))
        return Run(path, "train", {}, status, None, {}, digest, 0, 0.0)

    return make


def chosen(tmp_path, runs, *reasons):
    return {removal.run.path: removal.reason for removal in removable(runs, tmp_path, reasons)}


def test_those_of_a_status_may_go(run, tmp_path):
    runs = [run(name, name) for name in ("finished", "failed", "interrupted", "diverged", "running", "missing")]
    assert chosen(tmp_path, runs) == {}
    assert chosen(tmp_path, runs, "failed") == {"failed": "failed"}
    assert chosen(tmp_path, runs, "interrupted", "diverged") == {"interrupted": "interrupted", "diverged": "diverged"}
    with pytest.raises(InputError, match="what must be some of failed,interrupted,superseded,diverged, got finished"):
        removable(runs, tmp_path, ["finished"])


@pytest.mark.parametrize(
    ("others", "gone"),
    [
        ([("t/b", "finished")], ["t/b"]),
        (
            [("t/b", "failed"), ("t/c", "finished"), ("t/d", "diverged"), ("t/e", "interrupted")],
            ["t/b", "t/c", "t/d", "t/e"],
        ),
        ([("t/b", "running"), ("t/c", "missing")], []),
        (
            [
                ("u/b", "finished"),
                ("t/b", "finished", "d", "y"),
                ("t/c", "finished", "e"),
                ("t/d", "finished", "d", None),
            ],
            [],
        ),
        ([("t/b", "finished", "", "x")], []),
    ],
)
def test_a_newer_finished_run_of_the_same_in_the_same_folder_supersedes(run, tmp_path, others, gone):
    runs = [run("t/a"), *(run(*other) for other in others)]
    assert list(chosen(tmp_path, runs, "superseded")) == gone


def test_what_did_not_finish_is_superseded_by_any_and_supersedes_nothing(run, tmp_path):
    failed, finished, older = run("t/a", "failed"), run("t/b"), run("t/c")
    assert chosen(tmp_path, [failed, finished, older], "superseded") == {"t/a": "superseded", "t/c": "superseded"}
    assert chosen(tmp_path, [failed], "superseded") == {}
    assert chosen(tmp_path, [failed, run("t/d", "interrupted")], "superseded") == {}
    assert chosen(tmp_path, [failed, finished], "failed", "superseded") == {"t/a": "failed"}
    (tmp_path / "t" / "sweep.json").touch()  # a sweep finds its own runs again by their folders
    assert chosen(tmp_path, [failed, finished, older], "superseded") == {}


@pytest.mark.parametrize(
    ("status", "reason", "has_result", "goes"),
    [
        ("failed", "failed", False, True),
        ("failed", "failed", True, False),  # it came to something meanwhile
        ("diverged", "diverged", True, True),
        ("finished", "superseded", True, True),
    ],
)
def test_a_folder_goes_unless_its_run_came_to_something_else(run, tmp_path, status, reason, has_result, goes):
    one = run("t/a", status)
    if has_result:
        (tmp_path / "t/a/result.json").touch()
    assert remove(Removal(one, reason), tmp_path) == goes == (not (tmp_path / "t/a").exists())


def test_what_is_no_run_goes_on_or_is_in_use_stays(run, tmp_path):
    one = Removal(run("t/a", "failed"), "failed")
    write_status(tmp_path / "t/a", "running")
    assert not remove(one, tmp_path)
    (tmp_path / "t/a/status.json").write_text("{}")  # damaged: nothing says that it goes on
    (tmp_path / "t/a/config.yaml").unlink()
    assert not remove(one, tmp_path) and (tmp_path / "t/a").is_dir()
    (tmp_path / "t/a/config.yaml").touch()
    (tmp_path / "config.yaml").touch()
    assert not remove(Removal(Run("", "train", {}, "failed", None, {}, "d", 0, 0.0), "failed"), tmp_path)
    assert remove(one, tmp_path) and not (tmp_path / "t/a").exists() and (tmp_path / "t").is_dir()
