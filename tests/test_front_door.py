"""scripts/lab, with a Python whose venv and pip only pretend: no test here needs a network."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent

# Stands for a system's Python: `-m venv` makes a folder with a copy of it, `-m pip` writes what it was asked.
PYTHON = """#!/bin/sh
case "$1 $2" in
"-m venv") mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
"-m pip") echo "pip $*" >>"$LOG"; [ -z "$SLOW" ] || sleep "$SLOW"; case "$*" in *"$REFUSE"*) exit 1 ;; esac ;;
*) exec "{real}" "$@" ;;
esac
"""


@pytest.fixture
def checkout(tmp_path) -> Path:
    folder = tmp_path / "a checkout with spaces"
    (folder / "scripts").mkdir(parents=True)
    for name in ("pyproject.toml", "scripts/lab", "scripts/requirements.lock"):
        shutil.copy(ROOT / name, folder / name)
    (folder / "scripts" / "train.py").write_text("import os, sys; print(os.getcwd(), sys.argv[1:])\n")
    (folder / "scripts" / "evaluate.py").write_text("import sys; sys.exit(7)\n")
    fake = tmp_path / "bin" / "python3"
    fake.parent.mkdir()
    fake.write_text(PYTHON.replace("{real}", sys.executable))
    fake.chmod(0o755)
    return folder


def environment(checkout: Path, **more: str) -> dict[str, str]:
    path = f"{checkout.parent / 'bin'}:/usr/bin:/bin"
    return {"PATH": path, "LOG": str(checkout.parent / "log"), "REFUSE": "nothing at all", **more}


def lab(checkout: Path, *words: str, cwd: Path | None = None, **more: str) -> subprocess.CompletedProcess:
    command = [str(checkout / "scripts" / "lab"), *words]
    env = environment(checkout, **more)
    return subprocess.run(command, cwd=cwd or checkout, env=env, capture_output=True, text=True, timeout=900)


def pip_calls(checkout: Path) -> list[str]:
    log = checkout.parent / "log"
    return log.read_text().splitlines() if log.exists() else []


def test_the_first_call_sets_up_and_the_next_does_not(checkout, tmp_path):
    elsewhere = tmp_path / "else where"
    elsewhere.mkdir()
    first = lab(checkout, "train", "name=a b", cwd=elsewhere)
    assert (first.returncode, first.stdout) == (0, f"{elsewhere} ['name=a b']\n")
    assert first.stderr.count("\n") == 1 and "setting up" in first.stderr
    install, editable = pip_calls(checkout)
    assert "-r " in install and "requirements.lock" in install and "--editable" in editable
    second = lab(checkout, "train")
    assert (second.returncode, second.stderr, len(pip_calls(checkout))) == (0, "", 2)


@pytest.mark.parametrize("name", ["pyproject.toml", "scripts/requirements.lock"])
def test_changed_pins_refresh_the_environment(checkout, name):
    lab(checkout, "train")
    (checkout / ".venv" / "of-mine").touch()
    with open(checkout / name, "a") as file:
        file.write("# changed\n")
    assert lab(checkout, "train").returncode == 0
    assert len(pip_calls(checkout)) == 4 and (checkout / ".venv" / "of-mine").exists()


def test_a_moved_checkout_is_installed_again(checkout, tmp_path):
    lab(checkout, "train")
    moved = checkout.rename(tmp_path / "moved")
    assert lab(moved, "train").returncode == 0
    assert len(pip_calls(moved)) == 4


def test_without_the_locked_versions_those_of_pyproject_are_taken(checkout):
    done = lab(checkout, "train", REFUSE="requirements.lock")
    assert done.returncode == 0 and "locked versions cannot be had" in done.stderr
    assert "[test]" in pip_calls(checkout)[1]


def test_a_set_up_that_fails_says_so_and_runs_nothing(checkout):
    done = lab(checkout, "train", REFUSE="install")
    assert done.returncode == 1 and done.stdout == ""
    assert "did not end well" in done.stderr
    assert lab(checkout, "train").returncode == 0


def processes_of(checkout: Path) -> list[int]:
    """List the living processes that name a checkout in their words."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if os.fsencode(checkout) in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
    return found


@pytest.mark.parametrize("send", [os.killpg, os.kill])
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_set_up_that_was_cut_off_leaves_nothing_running_and_is_made_anew(checkout, how, send):
    command = [str(checkout / "scripts" / "lab"), "train"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, env=environment(checkout, SLOW="90"), start_new_session=True, **quiet)
    try:
        while not pip_calls(checkout):
            time.sleep(0.02)
        send(process.pid, how)
        assert process.wait(timeout=60) == -how  # a set-up that goes on takes longer
        deadline = time.monotonic() + 30
        while processes_of(checkout) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not processes_of(checkout)
    finally:
        for pid in processes_of(checkout):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    left = checkout / ".venv" / "half-copied"
    left.touch()
    done = lab(checkout, "train")
    assert done.returncode == 0 and not left.exists()
    assert len(pip_calls(checkout)) == 3


def test_two_at_once_set_up_once(checkout):
    command = [str(checkout / "scripts" / "lab"), "train"]
    both = [
        subprocess.Popen(
            command, env=environment(checkout, SLOW="0.5"), stdout=subprocess.PIPE, text=True, stderr=subprocess.PIPE
        )
        for _ in range(2)
    ]
    ends = [process.communicate(timeout=900) for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert len(pip_calls(checkout)) == 2
    assert sorted("waiting" in err for _, err in ends) == [False, True]


def test_an_environment_of_ones_own_is_kept(checkout):
    own = checkout / ".venv" / "bin"
    own.mkdir(parents=True)
    shutil.copy(checkout.parent / "bin" / "python3", own / "python")
    (checkout / ".venv" / "of-mine").touch()
    assert lab(checkout, "train").returncode == 0
    assert (checkout / ".venv" / "of-mine").exists()


def test_the_exit_code_is_the_scripts(checkout):
    assert lab(checkout, "evaluate").returncode == 7


@pytest.mark.parametrize("words", [["trian"], [], ["../scripts/train"], ["-m"], ["lab"]])
def test_an_unknown_name_is_one_line_and_sets_nothing_up(checkout, words):
    done = lab(checkout, *words)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.count("\n") == 1 and "evaluate train test tensorboard" in done.stderr
    assert ("did you mean train?" in done.stderr) == (words == ["trian"])
    assert not (checkout / ".venv").exists()


def test_without_a_fitting_python_one_line_says_what_is_needed(checkout):
    (checkout.parent / "bin" / "python3").write_text("#!/bin/sh\nexit 1\n")
    path = checkout.parent / "only"
    path.mkdir()
    for tool in ("sh", "dirname", "cat", "cksum"):
        (path / tool).symlink_to(shutil.which(tool))
    done = lab(checkout, "train", PATH=f"{checkout.parent / 'bin'}:{path}")
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "Python >= 3.11 and < 3.14" in done.stderr and not (checkout / ".venv").exists()


def test_test_runs_pytest_in_the_checkout(checkout, tmp_path):
    (checkout / "test_it.py").write_text("def test_it():\n    assert False\n")
    (checkout / "pyproject.toml").write_text('[tool.pytest.ini_options]\naddopts = "-q"\n')
    done = lab(checkout, "test", "test_it.py", cwd=tmp_path)
    assert done.returncode == 1 and "1 failed" in done.stdout


def test_the_help_of_test_is_its_own(checkout):
    done = lab(checkout, "test", "--help")
    assert done.returncode == 0 and "--shuffle SEED" in done.stdout and done.stdout.count("\n") < 20
    assert not (checkout / ".venv").exists()


def test_the_lock_pins_every_direct_package_and_names_no_place():
    lock = (ROOT / "scripts" / "requirements.lock").read_text()
    lines = [line for line in lock.splitlines() if line[0] != "#"]
    assert all(line.count("==") == 1 and not set(line) & set("/@+ ;") for line in lines)
    pins = dict(line.lower().split("==") for line in lines)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for entry in project["dependencies"] + project["optional-dependencies"]["test"]:
        wanted = Requirement(entry)
        assert wanted.specifier.contains(pins[wanted.name.lower()]), entry
    assert {"torch", "lightning", "hydra-core", "pytest"} <= set(pins)
