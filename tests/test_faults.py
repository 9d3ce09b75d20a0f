"""The campaign of faults in its short form, in a process of its own: it forks."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mlplab.cli.app import main
from mlplab.faults.campaign import PROMISES

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def campaign(tmp_path_factory):
    logs = tmp_path_factory.mktemp("logs")
    words = [sys.executable, ROOT / "scripts" / "faults.py", "short", f"paths.logs={logs}"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=900)
    return logs / "faults", done.stdout + done.stderr


@pytest.mark.parametrize("promise", PROMISES)
def test_a_promise_holds(campaign, promise):
    folder, told = campaign
    assert (folder / f"{promise}.json").exists(), told
    record = json.loads((folder / f"{promise}.json").read_text())
    if promise == "pages" and "not tried" in told:
        pytest.skip("no Chromium with its driver is installed")
    assert record["broken"] == [] and record["tried"] == record["held"] > 0


def test_an_unknown_promise_or_option_is_refused(capsys):
    assert main(["faults", "kill"]) == 2 and "did you mean kills?" in capsys.readouterr().err
    assert main(["faults", "seed=x"]) == 2 and "faults takes short, quick, long" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [["tensorboard", ".", "x"], ["tensorboard", "--port=6007", "seed=1"], ["tensorboard", "a", "--port", "1", "b"]],
)
def test_tensorboard_refuses_what_is_no_flag(words, capsys):
    assert main(words) == 2 and f"got {words[-1]!r}" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["report", "evaluate", "redraw", "runs"])
def test_a_home_that_is_nobodys_is_refused(command, capsys):
    more = ["paths.logs=~nobody-of-that-name"] if command == "runs" else ["~nobody-of-that-name/x"]
    assert main([command, *more]) == 2 and "~ names nobody's home folder" in capsys.readouterr().err
