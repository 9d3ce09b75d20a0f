import importlib.util
import os
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import pytest
from sweeping import folder_of, jobs_of, states_of, sweep

from mlplab.errors import InputError
from mlplab.sweeps.executors import make_executor
from mlplab.sweeps.running import Exchange

OPTIONS = {"workers": 2, "cluster": None, "address": None, "options": {}}
needs_submitit = pytest.mark.skipif(not importlib.util.find_spec("submitit"), reason="submitit is not installed")
needs_ray = pytest.mark.skipif(not importlib.util.find_spec("ray"), reason="ray is not installed")


@pytest.fixture(scope="module")
def inline(tmp_path_factory):
    logs = tmp_path_factory.mktemp("inline")
    assert sweep(logs, "launcher=inline", "seed=0,1") == 0
    return logs


@pytest.fixture(autouse=True)
def helpers(monkeypatch):
    """Let processes started from here find the tests' own networks."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))


def faulty(tmp_path, **faults):
    folder = tmp_path / "conf"
    (folder / "model").mkdir(parents=True)
    lines = "".join(f"  {seed}: {kind}\n" for seed, kind in faults.items())
    (folder / "model" / "faulty.yaml").write_text(
        f"_target_: mlplab.faults.faulty.Faulty\nat_step: 3\nfaults:\n{lines}"
    )
    return [f"--config-dir={folder}", "model=faulty"]


def test_executors_have_names(tmp_path):
    for name in ("inline", "processes"):
        assert make_executor({**OPTIONS, "executor": name}, tmp_path).workers >= 1
    with pytest.raises(InputError, match="launcher.executor must be one of inline, processes, submitit, ray"):
        make_executor({**OPTIONS, "executor": "nope"}, tmp_path)


@pytest.mark.parametrize("name", ["submitit", "ray"])
def test_an_extra_that_is_missing_is_named(tmp_path, monkeypatch, capsys, name):
    monkeypatch.setitem(sys.modules, name, None)
    assert sweep(tmp_path, f"launcher={name}", "seed=0,1") == 2
    line = capsys.readouterr().err.strip()
    assert f"pip install 'mlplab[{name}]'" in line and "\n" not in line


def submitit_that_raises(error):
    def make(**options):
        raise error

    return types.SimpleNamespace(AutoExecutor=make)


@pytest.mark.parametrize("error", [RuntimeError('no "srun"\nhere'), NameError("nope"), AssertionError("not an int")])
def test_what_submitit_refuses_is_one_line(tmp_path, monkeypatch, capsys, error):
    monkeypatch.setitem(sys.modules, "submitit", submitit_that_raises(error))
    assert sweep(tmp_path, "launcher=submitit", "seed=0,1", "launcher.options={mem_gb: x}") == 2
    line = capsys.readouterr().err.strip()
    assert "launcher.options={'mem_gb': 'x'}: " in line and "\n" not in line
    assert not list(tmp_path.iterdir())


def test_inline_finds_and_tells_failures_too(tmp_path):
    words = [*faulty(tmp_path, seed1="step", seed2="exit"), "launcher=inline", "seed=0,1,2"]
    assert sweep(tmp_path, *words) == 1
    jobs = jobs_of(tmp_path)
    assert [jobs[seed]["status"] for seed in "012"] == ["finished", "failed", "failed"]
    assert "this step fails" in jobs["1"]["error"] and "SystemExit" in jobs["2"]["error"]


@needs_submitit
def test_submitits_local_executor_ends_with_the_same_bits(inline, tmp_path):
    words = ["launcher=submitit", "launcher.cluster=local", "launcher.workers=2", "launcher.max_members=1"]
    assert sweep(tmp_path, *words, "seed=0,1") == 0
    assert states_of(tmp_path) == states_of(inline)
    assert not (folder_of(tmp_path) / ".groups").exists()


@needs_ray
def test_a_local_ray_ends_with_the_same_bits_and_outlives_a_task_that_dies(tmp_path):
    words = faulty(tmp_path, seed1="os_exit")
    words += ["launcher.workers=2", "launcher.max_members=1"]
    assert sweep(tmp_path / "ray", *words, "launcher=ray", "seed=0,1") == 1
    assert sweep(tmp_path / "here", *words, "launcher=inline", "seed=0") == 0
    assert list(states_of(tmp_path / "ray").values()) == list(states_of(tmp_path / "here").values())
    job = jobs_of(tmp_path / "ray")["1"]
    assert job["status"] == "failed" and (folder_of(tmp_path / "ray") / job["name"] / "traceback.txt").is_file()


UNIT = """
import json, sys, time
from mlplab.sweeps import worker

def study(payload, folders, tell):
    tell("started")
    time.sleep(3600)

worker._call_each = study
worker.run_group(json.loads(sys.argv[1]))
print("ended by itself", flush=True)
"""


@pytest.fixture
def group(tmp_path):
    import json

    exchange = Exchange(tmp_path)
    paths = exchange.open()
    payload = {"study": "none:none", "population": False, "configs": [], "folders": [], "hydra": [], "resume": False}

    def start(**more):
        process = subprocess.Popen(
            [sys.executable, "-c", UNIT, json.dumps({**payload, **paths, **more})], stdout=subprocess.PIPE, text=True
        )
        deadline = time.monotonic() + 900
        while b"started" not in Path(paths["messages"]).read_bytes():
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.05)
        return process

    yield exchange, paths, start
    exchange.close()


def test_a_group_that_is_asked_to_stop_says_so(group):
    _, paths, start = group
    process = start()
    Path(paths["stop"]).touch()
    words, _ = process.communicate(timeout=900)
    assert process.returncode == 0 and "ended by itself" in words
    assert '"interrupted"' in Path(paths["messages"]).read_text()


def test_a_group_whose_sweep_began_anew_ends(group, tmp_path):
    _, paths, start = group
    process = start()
    again = Exchange(tmp_path)
    words, _ = process.communicate(timeout=900)
    assert process.returncode == 1 and "ended by itself" not in words
    assert not Path(paths["messages"]).exists() and again.open()["messages"] != paths["messages"]


def test_a_group_whose_sweep_was_killed_ends(group):
    _, _, start = group
    owner = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import json, time; from mlplab.runs.manifest import process_record\n"
            "print(json.dumps(process_record()), flush=True); time.sleep(3600)",
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    import json

    process = start(owner=json.loads(owner.stdout.readline()))
    os.kill(owner.pid, signal.SIGKILL)
    owner.communicate()
    process.communicate(timeout=900)
    assert process.returncode == 1


def test_the_second_attempt_of_a_killed_job_goes_on_from_its_checkpoint(tmp_path):
    # It dies in its second epoch, as when memory ran out; gone on with after the first, it counts anew.
    words = [*faulty(tmp_path, seed0="os_exit"), "model.at_step=20", "callbacks.checkpoints.every_seconds=0", "seed=0"]
    assert sweep(tmp_path / "cut", *words) == 0
    assert sweep(tmp_path / "whole", *words, "model.faults=null", "launcher=inline") == 0
    assert list(states_of(tmp_path / "cut").values()) == list(states_of(tmp_path / "whole").values())
