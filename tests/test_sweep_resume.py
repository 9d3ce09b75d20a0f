import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from sweeping import SMALL, folder_of, jobs_of, record_of, states_of, sweep

from mlplab.cli.app import main
from mlplab.config import composition as configs
from mlplab.errors import InputError
from mlplab.runs import checkpoint
from mlplab.runs.folder import locked
from mlplab.sweeps import sweep as sweeps

TESTS = Path(__file__).parent
INLINE = "launcher=inline"


def stamps(logs, name="result.json"):
    """When each job's file was written, by the job's folder."""
    return {path.parent.name: path.stat().st_mtime_ns for path in folder_of(logs).glob(f"*/{name}")}


def without(entry, key):
    return {name: value for name, value in entry.items() if name != key}


def tree(folder):
    """Every file of a folder and its bytes."""
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    """A finished sweep of four jobs; copy it before changing it."""
    logs = tmp_path_factory.mktemp("grid")
    assert sweep(logs, INLINE, "seed=0,1", "model.width=4,8") == 0
    return logs


def copied(grid, tmp_path):
    shutil.copytree(grid, tmp_path, dirs_exist_ok=True, symlinks=True)
    return tmp_path


def test_the_same_command_again_runs_nothing_and_writes_the_same_table(grid, tmp_path):
    words = [INLINE, "seed=0,1", "model.width=4,8"]
    assert sweep(tmp_path, *words) == 0
    before = tree(folder_of(tmp_path))
    assert sweep(tmp_path, *words) == 0
    assert tree(folder_of(tmp_path)) == before
    assert [job["status"] for job in record_of(tmp_path)["jobs"]] == ["finished"] * 4


def test_a_job_that_proves_to_be_done_keeps_no_traceback(grid, tmp_path):
    """As of a disk that failed when its result stood and its status did not."""
    copied(grid, tmp_path)
    before = tree(folder_of(tmp_path))
    for job in record_of(tmp_path)["jobs"][:2]:
        (folder_of(tmp_path) / job["name"] / "traceback.txt").write_text("OSError: cannot write\n")
    assert sweep(tmp_path, INLINE, "seed=0,1", "model.width=4,8") == 0
    assert tree(folder_of(tmp_path)).keys() == before.keys()


def test_growing_and_shrinking_the_grid_touches_no_job_that_is_there(tmp_path):
    assert sweep(tmp_path, INLINE, "seed=0,1") == 0
    before = {path: tree(path) for path in folder_of(tmp_path).glob("seed*")}
    assert len(before) == 2
    assert sweep(tmp_path, INLINE, "seed=1,0,2", "model.width=128,4") == 0
    assert all(tree(path) == content for path, content in before.items())
    jobs = record_of(tmp_path)["jobs"]
    assert len(jobs) == 6 and len(stamps(tmp_path)) == 6
    settings = sorted((job["swept"]["model.width"], job["swept"]["seed"]) for job in jobs)
    assert settings == [(width, seed) for width in (4, 128) for seed in (0, 1, 2)]
    assert sweep(tmp_path, INLINE, "seed=2") == 0
    # Jobs of earlier calls belong to the table; what this call does not name is what it is by default.
    assert [without(job, "overrides") for job in record_of(tmp_path)["jobs"]] == [
        without(job, "overrides") for job in jobs
    ]


def test_a_job_whose_result_is_gone_or_damaged_is_run_again_and_ends_the_same(grid, tmp_path):
    logs = copied(grid, tmp_path)
    record, folders = record_of(grid), sorted(path.parent for path in folder_of(logs).glob("*/result.json"))
    (folders[0] / "result.json").unlink()
    (folders[1] / "result.json").write_text('{"status": "fin')
    shutil.rmtree(folders[2])
    (folders[3] / "checkpoints" / "last.ckpt").write_bytes(b"damaged")
    untouched = tree(folders[3])
    assert sweep(logs, INLINE, "seed=0,1", "model.width=4,8") == 0
    assert tree(folders[3]) == untouched
    assert record_of(logs) == record


SOUND = {"name": "../kept", "overrides": ["seed=0"], "config_digest": "0" * 64, "status": "finished"}


@pytest.mark.parametrize(
    "jobs",
    [
        5,
        None,
        "abc",
        [3],
        [{}],
        [SOUND],
        [SOUND | {"name": ""}],
        [SOUND | {"name": "x", "overrides": [1]}],
        [SOUND | {"name": "x", "config_digest": [1]}],
    ],
)
def test_nothing_comes_of_damaged_entries_of_sweep_json(jobs, grid, tmp_path):
    logs = copied(grid, tmp_path)
    before, runs = record_of(logs), stamps(logs)
    (folder_of(logs) / "sweep.json").write_text(json.dumps({"format": 1, "jobs": jobs}))
    assert sweep(logs, INLINE, "seed=0,1", "model.width=4,8") == 0
    assert (record_of(logs), stamps(logs)) == (before, runs)


def test_a_lost_sweep_json_is_made_again_from_the_folders(grid, tmp_path):
    logs = copied(grid, tmp_path)
    (folder_of(logs) / "sweep.json").unlink()
    before = stamps(logs)
    assert sweep(logs, INLINE, "seed=0,1", "model.width=4,8") == 0
    assert stamps(logs) == before and states_of(logs) == states_of(grid)


def test_results_of_other_code_are_refused_until_they_are_accepted(grid, tmp_path, capsys):
    logs, words = copied(grid, tmp_path), [INLINE, "seed=0,1", "model.width=4,8"]
    for path in list(folder_of(logs).glob("*/manifest.json"))[:3]:
        manifest = json.loads(path.read_text())
        path.write_text(json.dumps(manifest | {"code_digest": "f00dfeed" + "0" * 56}))
    before = tree(logs)
    capsys.readouterr()
    assert sweep(logs, *words) == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert "3 of 4 jobs" in line and "f00dfeed" in line and "resume.accept_code=true" in line and "sweep=NAME" in line
    changed = {path for path, content in tree(logs).items() if before.get(path) != content}
    assert {path.name for path in changed} <= {"multirun.yaml", ".lock"}
    assert sweep(logs, *words, "resume.accept_code=true") == 0
    assert all(before[path] == content for path, content in tree(logs).items() if path.name == "result.json")


def test_last_finds_the_sweep_that_was_gone_on_with_last(tmp_path, capsys):
    words = ["train", "-m", *SMALL, INLINE, f"paths.logs={tmp_path}"]
    assert main([*words, "sweep=last", "seed=0,1"]) == 2
    assert "sweep=last finds no sweep" in capsys.readouterr().err
    assert main([*words, "sweep=one", "seed=0"]) == 0
    assert main([*words, "sweep=two", "seed=0"]) == 0
    os.utime(tmp_path / "sweep" / "one" / "sweep.json", (0, 0))
    assert main([*words, "sweep=last", "seed=0,1"]) == 0
    assert sorted(len(list(path.glob("*/result.json"))) for path in (tmp_path / "sweep").iterdir()) == [1, 2]


def test_without_a_name_the_same_options_in_any_order_find_the_same_folder(tmp_path):
    words = ["train", "-m", *SMALL, INLINE, f"paths.logs={tmp_path}"]
    assert main([*words, "seed=0,1", "model.width=4"]) == 0
    assert main([*words, "model.width=4", "seed=0,1", "launcher.max_members=1"]) == 0
    assert len(list((tmp_path / "sweep").iterdir())) == 1


def test_the_second_of_two_sweeps_in_one_folder_is_refused_at_once(grid, tmp_path, capsys):
    logs = copied(grid, tmp_path)
    holder = "import sys, time; from pathlib import Path; from mlplab.runs.folder import locked\n"
    holder += "with locked(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(folder_of(logs))], stdout=subprocess.PIPE, text=True
    ) as first:
        try:
            assert first.stdout.readline() == "held\n"
            before = tree(logs)
            assert sweep(logs, INLINE, "seed=range(0,500)") == 2
            assert tree(logs) == before
            line = capsys.readouterr().err.strip()
            assert len(line.splitlines()) == 1 and f"process {first.pid}" in line and "sweep=NAME" in line
        finally:
            first.kill()
    # The lock goes with the process, however it ended.
    assert sweep(logs, INLINE, "seed=0,1", "model.width=4,8") == 0


def test_a_process_may_ask_again_for_the_lock_it_has(tmp_path):
    entered = 0
    with locked(tmp_path), locked(tmp_path):
        entered += 1
    with locked(tmp_path):
        entered += 1
    assert entered == 2


def test_a_sweep_that_comes_to_nothing_leaves_no_folder_of_its_own(tmp_path, capsys):
    assert sweep(tmp_path / "logs", "launcher=inline", "hydra/sweeper=search", "seed=0") == 2
    assert "needs a key to search" in capsys.readouterr().err and not list(tmp_path.iterdir())
    kept, others = tmp_path / "kept", tmp_path / "others" / "s"
    kept.mkdir()
    for folder in (kept, others):
        with pytest.raises(KeyboardInterrupt), locked(folder):
            if folder == others:
                (folder / "note.txt").touch()
            raise KeyboardInterrupt
    assert not list(kept.iterdir()) and (others / "note.txt").exists()  # somebody else's stay


def test_a_folder_that_vanishes_before_its_lock_is_made_is_made_again(tmp_path, monkeypatch):
    folder, made = tmp_path / "sweep", []
    mkdir = Path.mkdir

    def and_remove(path, **options):
        mkdir(path, **options)
        if not made:
            made.append(path.rmdir())

    monkeypatch.setattr(Path, "mkdir", and_remove)
    with locked(folder):
        assert made and (folder / ".lock").read_text().startswith(f"{os.getpid()} on ")


def test_the_lock_is_the_last_thing_that_a_refused_sweep_removes(tmp_path, monkeypatch):
    unlink, order = Path.unlink, []
    monkeypatch.setattr(Path, "unlink", lambda path, **options: (order.append(path.name), unlink(path, **options)))
    with pytest.raises(InputError), locked(tmp_path / "sweep"):
        (tmp_path / "sweep" / "multirun.yaml").write_text("")
        raise InputError("refused")
    assert order == ["multirun.yaml", "playground.html", ".lock"] and not (tmp_path / "sweep").exists()


def test_a_lock_whose_file_was_removed_under_it_is_taken_again(tmp_path, monkeypatch):
    flock, removed = fcntl.flock, []

    def late(file, how):
        if not removed:
            removed.append((tmp_path / ".lock").unlink())
        return flock(file, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with locked(tmp_path):
        assert (tmp_path / ".lock").read_text().startswith(f"{os.getpid()} on ")


def test_editing_conf_while_a_sweep_runs_changes_no_job(tmp_path, monkeypatch):
    conf = shutil.copytree(configs.conf_folder(), tmp_path / "conf")
    monkeypatch.setenv("MLPLAB_CONF", str(conf))
    run = sweeps.Sweep.run

    def edited(self):
        for path in conf.rglob("*.yaml"):
            path.write_text("broken: [")
        shutil.rmtree(conf / "data")
        return run(self)

    monkeypatch.setattr(sweeps.Sweep, "run", edited)
    assert sweep(tmp_path / "edited", INLINE, "seed=0,1", "model=mlp", "model.width=4,8") == 0
    monkeypatch.undo()
    assert sweep(tmp_path / "left", INLINE, "seed=0,1", "model=mlp", "model.width=4,8") == 0
    assert states_of(tmp_path / "edited") == states_of(tmp_path / "left")


def environment(**more):
    return {**os.environ, "PYTHONPATH": str(TESTS), **more}


def test_a_sweep_killed_again_and_again_ends_as_if_nothing_had_been():
    done = subprocess.run(
        [sys.executable, TESTS / "campaign_sweep_kills.py", "4"],
        env=environment(),
        text=True,
        capture_output=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    counts = json.loads(done.stdout.splitlines()[-1])
    assert counts["killed"] + counts["stopped"] + counts["late"] == 4


LONG = ["model.width=8", "seed=0,1,2,3", "launcher.workers=2", "launcher.max_members=2", "trainer.max_epochs=100000"]
MARK = "MLPLAB_TEST_SWEEP"


def start(logs, mark):
    words = [sys.executable, "-m", "mlplab.cli.app", "train", "-m", *SMALL, f"paths.logs={logs}", "sweep=s", *LONG]
    words += ["callbacks.checkpoints.every_seconds=0.5"]
    process = subprocess.Popen(words, env=environment(**{MARK: mark}), stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 900
    while len(stamps(logs, "checkpoints/last.ckpt")) + len(list(folder_of(logs).glob("*/checkpoints/last.ckpt"))) < 4:
        assert time.monotonic() < deadline and process.poll() is None, process.communicate()
        time.sleep(0.1)
    return process


def left_behind(mark):
    """List the processes that have the mark in their environment."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if (
                f"{MARK}={mark}\0".encode() in path.read_bytes()
                and "Z" not in (path.parent / "stat").read_text().split(")")[1][:3]
            ):
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def test_ctrl_c_saves_the_states_and_a_kill_leaves_no_orphans(tmp_path):
    process = start(tmp_path, "int")
    process.send_signal(signal.SIGINT)
    _, words = process.communicate(timeout=900)
    assert process.returncode == 130 and "stopping: the running groups save their states" in words
    states = [json.loads(path.read_text())["status"] for path in folder_of(tmp_path).glob("*/status.json")]
    assert states == ["interrupted"] * 4 and not left_behind("int")
    assert [job["status"] for job in record_of(tmp_path)["jobs"]] == ["missing"] * 4
    saved = {
        path: checkpoint.load(path)["mlplab"]["epochs"] for path in folder_of(tmp_path).glob("*/checkpoints/last.ckpt")
    }
    begun = stamps(tmp_path, "manifest.json")

    process = start(tmp_path, "kill")
    deadline = time.monotonic() + 900
    while any(checkpoint.load(path)["mlplab"]["epochs"] <= epochs for path, epochs in saved.items()):
        assert time.monotonic() < deadline, "the states were not gone on with"
        time.sleep(0.2)
    assert stamps(tmp_path, "manifest.json") == begun, "the jobs were begun afresh"
    assert len(left_behind("kill")) >= 4  # the sweep, the server and two workers
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 900
    while left_behind("kill"):
        assert time.monotonic() < deadline, "processes outlive the sweep"
        time.sleep(0.1)


def test_members_that_stopped_early_end_the_same_after_a_resume(tmp_path, monkeypatch):
    words = [
        INLINE,
        "seed=range(0,4)",
        "model.width=8",
        "trainer.max_epochs=12",
        "callbacks=early_stopping",
        "callbacks.early_stopping.patience=1",
        "optimizer.lr=0.05",
        "callbacks.checkpoints.every_seconds=0",
    ]
    assert sweep(tmp_path / "whole", *words) == 0
    expected = states_of(tmp_path / "whole")
    ended = {key: job["result"]["epochs"] for key, job in jobs_of(tmp_path / "whole").items()}
    assert len(set(ended.values())) > 1, "the members are to stop at different epochs"
    from mlplab.training.callbacks.checkpoints import Checkpoints

    save = Checkpoints.save

    def interrupted(self, trainer, classifier):
        save(self, trainer, classifier)
        if classifier.epochs == sorted(ended.values())[1]:
            raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoints, "save", interrupted)
    assert sweep(tmp_path / "cut", *words) == 130
    monkeypatch.undo()
    assert sweep(tmp_path / "cut", *words) == 0
    assert states_of(tmp_path / "cut") == expected
    assert torch.get_num_threads() == 1
