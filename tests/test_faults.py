"""The campaign of faults in its short form, in a process of its own: it forks."""

import json
import os
import subprocess
import sys

import pytest

from mlplab.cli.app import main
from mlplab.faults.campaign import PROMISES

# Tries promises as they are named to it, one a line.
PROGRAM = """
import sys
from composing import MEMORYS, composing_by
from mlplab.cli.app import main
with composing_by(*MEMORYS):
    for line in sys.stdin:
        main(["faults", "short", *line.split()])
        print("done", flush=True)
"""


@pytest.fixture(scope="session")
def campaign():
    """A process that holds none of what the tests have made: it forks for each trial."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        env=os.environ
        | {"PYTHONPATH": os.pathsep.join([os.path.dirname(__file__), *filter(None, [os.environ.get("PYTHONPATH")])])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    yield process
    process.stdin.close()
    assert process.wait(60) == 0, process.stdout.read()
    process.stdout.close()


@pytest.mark.parametrize("promise", PROMISES)
def test_a_promise_holds(campaign, promise, tmp_path):
    print(promise, f"paths.logs={tmp_path}", file=campaign.stdin, flush=True)
    told = ""
    while (line := campaign.stdout.readline()) != "done\n":
        assert line, f"the campaign ended with {campaign.wait(60)}: {told}"
        told += line
    record = json.loads((tmp_path / "faults" / f"{promise}.json").read_text())
    if promise == "pages" and "not tried" in told:
        pytest.skip("no Chromium with its driver is installed")
    assert record["broken"] == [] and record["is_whole"] and record["tried"] == record["held"] > 0


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
