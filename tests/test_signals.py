"""SIGINT and SIGTERM at each stage of a command that is all its process does, to the end of Python's own shutdown;
and what a process does about one, by the functions that say it."""

import importlib.util
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from mlplab.runs import signals

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


@pytest.fixture
def state(monkeypatch):
    """What the module keeps of a command, as before one."""
    begin = {"_received": [], "_listening": False, "_patient": [], "_deferring": 0, "_writing": 0, "_last_words": []}
    for name, value in (begin | {"_raised": False, "_answer": None}).items():
        monkeypatch.setattr(signals, name, value)
    return monkeypatch


def test_the_first_signal_to_a_command_names_its_exit_code(state):
    signals.note(signal.SIGTERM)
    assert signals.received() is None and signals.exit_code() == 130  # no command listens
    state.setattr(signals, "_listening", True)
    signals.note(signal.SIGTERM)
    signals.note(signal.SIGINT)
    assert signals.received() == signal.SIGTERM and signals.exit_code() == 143


def test_an_interrupt_is_raised_once_and_again_only_where_a_block_handles_it(state):
    with pytest.raises(KeyboardInterrupt):
        signals.interrupt(signal.SIGINT, None)
    signals.interrupt(signal.SIGINT, None)
    with signals.patient():
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                signals.interrupt(signal.SIGINT, None)
    assert signals.answer(3) == 3
    with signals.patient():
        signals.interrupt(signal.SIGINT, None)  # the answer is given


def test_an_interrupt_waits_for_the_outermost_block_that_holds_it_off(state):
    state.setattr(signals, "_listening", True)
    ended = []
    with pytest.raises(KeyboardInterrupt):
        with signals.deferred():
            with signals.deferred():
                signals.interrupt(signal.SIGINT, None)
            ended.append("inner")
        ended.append("outer")
    assert ended == ["inner"] and signals._deferring == 0
    state.setattr(signals, "_raised", False)
    with signals.deferred():
        pass  # one that came before the block was answered before it
    with pytest.raises(ZeroDivisionError), signals.deferred():
        raise ZeroDivisionError
    assert signals._deferring == 0


def test_blocks_that_write_or_are_patient_are_counted(state):
    with pytest.raises(ZeroDivisionError), signals.writing(), signals.writing(), signals.patient(2.0):
        assert signals._writing == 2 and signals._patient == [2.0]
        raise ZeroDivisionError
    assert signals._writing == 0 and signals._patient == []


def test_a_command_takes_both_signals_as_ctrl_c_and_gives_them_back(state):
    before = {number: signal.getsignal(number) for number in signals.NUMBERS}
    wakeup = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(wakeup)
    for number in signals.NUMBERS:
        with pytest.raises(KeyboardInterrupt), signals.interruptible():
            os.kill(os.getpid(), number)
            time.sleep(10)
        assert signals.received() is None and not signals._raised and not signals._listening
        with signals.interruptible():
            with signals.interruptible():
                assert signal.getsignal(number) is signals.interrupt and signals._listening
            assert signals._listening  # of the outer command
        assert {number: signal.getsignal(number) for number in signals.NUMBERS} == before
        assert signal.set_wakeup_fd(wakeup) == wakeup


def test_off_the_main_thread_nothing_is_changed(state):
    found = []

    def work():
        with signals.interruptible():
            signals.listen()
            found.append((signals._listening, signal.getsignal(signal.SIGTERM)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [(False, signal.getsignal(signal.SIGTERM))]


@contextmanager
def watched(monkeypatch, *numbers):
    """Watch over a command to which signals have come; give what was done about them: ("end" or "again", s, number)."""
    done, begin, over = [], time.monotonic(), threading.Event()
    monkeypatch.setattr(
        signals, "_end", lambda number: (done.append(("end", time.monotonic() - begin, number)), over.set())
    )
    monkeypatch.setattr(os, "kill", lambda _, number: done.append(("again", time.monotonic() - begin, number)))
    reading, writing = os.pipe()
    os.write(writing, bytes(numbers))
    os.close(writing)
    thread = threading.Thread(target=signals._watch, args=(reading, over), daemon=True)
    thread.start()
    yield done, over
    thread.join(20)
    assert not thread.is_alive()


def kinds(done):
    return [(kind, number) for kind, _, number in done]


def test_a_command_that_does_not_end_in_time_is_ended(state):
    state.setattr(signals, "GRACE_S", 0.2)
    with watched(state, signal.SIGTERM) as (done, _):
        pass
    assert kinds(done) == [("end", signal.SIGTERM)] and 0.2 <= done[0][1] < 5


def test_a_command_that_ends_or_another_signal_is_left_alone(state):
    state.setattr(signals, "GRACE_S", 0.2)
    with watched(state, signal.SIGUSR1) as (done, _):
        pass
    with watched(state, signal.SIGINT) as (later, over):
        over.set()
    with watched(state, signal.SIGINT) as (answered, _):
        time.sleep(0.05)
        signals.answer(0)
    assert done == later == answered == []


def test_a_signal_after_the_answer_ends_what_holds_the_process_up(state):
    state.setattr(signals, "GRACE_S", 0.1)
    signals.answer(0)
    with watched(state, signal.SIGINT) as (done, _):
        pass
    assert kinds(done) == [("end", signal.SIGINT)]


def test_a_block_that_holds_it_off_has_its_time_and_then_the_grace_of_others(state):
    state.setattr(signals, "GRACE_S", 0.2)
    state.setattr(signals, "_deferring", 1)
    with watched(state, signal.SIGINT) as (done, _):
        time.sleep(0.5)
        assert done == []
        signals._deferring = 0
    assert kinds(done) == [("end", signal.SIGINT)] and done[0][1] >= 0.6


def test_a_patient_block_is_asked_again_and_then_ended(state):
    state.setattr(signals, "GRACE_S", 0.2)
    with watched(state, signal.SIGTERM) as (done, over), signals.patient(0.3):
        over.wait(20)
    assert kinds(done) == [("again", signal.SIGTERM), ("end", signal.SIGTERM)]
    (_, again, _), (_, end, _) = done
    assert 0.3 <= again < end and end >= 0.3 + 0.1


@pytest.mark.parametrize(("within", "writing"), [(float("inf"), 0), (0.1, 1)])
def test_a_block_that_saves_its_state_or_writes_is_waited_for(state, within, writing):
    state.setattr(signals, "GRACE_S", 0.1)
    state.setattr(signals, "_writing", writing)
    with watched(state, signal.SIGTERM) as (done, over), signals.patient(within):
        time.sleep(0.6)
        over.set()
    assert done == []


def test_the_end_from_beside_says_its_last_words_in_turn(state, capsys):
    class Ended(Exception):
        pass

    def leave(code):
        raise Ended(code)

    state.setattr(os, "_exit", leave)
    said = []
    words = (lambda: said.append("first"), lambda: 1 / 0, lambda: said.append("last"))
    said_at_the_end = (signals.at_the_end(one) for one in words)
    with pytest.raises(Ended) as caught, next(said_at_the_end), next(said_at_the_end), next(said_at_the_end):
        signals._end(signal.SIGTERM)
    assert caught.value.args == (143,) and said == ["last", "first"] and signals._last_words == []
    assert capsys.readouterr().err == "mlplab: interrupted\n"
    signals.answer(7)
    with pytest.raises(Ended) as caught:
        signals._end(signal.SIGINT)
    assert caught.value.args == (7,) and capsys.readouterr().err == ""


def test_a_child_does_not_wake_its_parents_watch(state):
    with signals.interruptible():
        child = os.fork()
        if not child:
            os._exit(0 if signal.set_wakeup_fd(-1) == -1 else 1)
        assert os.waitpid(child, 0)[1] == 0
    assert signals.GRACE_S <= 1 and signals.SAVES_WITHIN_S <= 1  # a command ends within two seconds


def test_a_process_that_has_run_no_command_listens_to_nothing_and_has_answered_nothing():
    spec = importlib.util.spec_from_file_location("fresh_signals", signals.__file__)
    fresh = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fresh)
    fresh.note(signal.SIGTERM)
    assert fresh.received() is None and fresh.exit_code() == 130
    with pytest.raises(KeyboardInterrupt):
        fresh.interrupt(signal.SIGINT, None)
