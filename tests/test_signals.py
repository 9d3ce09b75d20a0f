"""SIGINT and SIGTERM at each stage of a command that is all its process does, to the end of Python's own shutdown."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src"
# A command that signals itself at the stage it is told.
CHILD = """
import atexit, multiprocessing.util, os, sys, threading, time
at, number = sys.argv[1], int(sys.argv[2])
def stage(name, at=at, number=number, kill=os.kill, pid=os.getpid()):
    if name in at:
        kill(pid, number)
atexit.register(stage, "the last of atexit")
from mlplab.cli import app

class Late:
    def __del__(self):
        stage("the end of the modules")

class Stderr:
    def __init__(self, stream):
        self.stream = stream
    def write(self, text):
        stage("the answer")
        return self.stream.write(text)
    def flush(self):
        self.stream.flush()

def study(words):
    global late, thread
    late = Late()
    thread = threading.Thread(target=lambda: (time.sleep(0.1), stage("the threads' end"))).start()
    if "slowly" in at:
        atexit.register(time.sleep, 60)
    atexit.register(stage, "the first of atexit")
    multiprocessing.util.Finalize(None, stage, ("the processes' end",), exitpriority=0)
    sys.stderr = Stderr(sys.stderr)
    stage("the command")
    exec("stage('an import')", globals())
    if "error" in at:
        sys.excepthook = lambda *_: stage("an error's words")
        raise ZeroDivisionError
    print("done")
    return 0

app.load_study = lambda name: study
if __name__ == "__main__":
    code = app.program(["compare"])
    stage("the way out")
    sys.exit(code)
"""
INTERRUPTED = ["the command", "an import", "the command, the answer", "an import, the answer"]
TOO_LATE = [
    "the way out",
    "the threads' end",
    "the first of atexit",
    "the processes' end",
    "the last of atexit",
    "the end of the modules",
]


@pytest.fixture
def child(tmp_path):
    (tmp_path / "child.py").write_text(CHILD)
    # With -m, Python's main program looks, at its very end, whether Ctrl-C went through the text of an exec.
    words = [sys.executable, "-W", "error", "-m", "child"]
    places = os.pathsep.join([str(SOURCE), os.environ.get("PYTHONPATH", "")])

    def start(stage, number):
        return subprocess.Popen(
            [*words, stage, str(int(number))],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": places},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_before_the_answer_ends_the_command_and_one_after_it_changes_nothing(child, number):
    expected = {stage: (128 + number, "", "mlplab: interrupted\n") for stage in INTERRUPTED}
    expected |= {stage: (0, "done\n", "") for stage in TOO_LATE} | {"an error's words": (1, "", "")}
    started = {stage: child(stage, number) for stage in expected}
    ended = {}
    for stage, process in started.items():
        out, err = process.communicate(timeout=900)
        ended[stage] = (process.returncode, out, err)
    assert ended == expected


def test_a_process_that_is_held_up_on_its_way_out_ends_soon_after_a_signal(child):
    process = child("slowly, the first of atexit", signal.SIGTERM)
    assert process.stdout.readline() == "done\n"
    began = time.monotonic()
    process.wait(60)
    assert process.returncode == 0 and time.monotonic() - began < 10  # in place of 60 s
    process.communicate()
