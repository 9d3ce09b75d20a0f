"""Signals that end a command, within two seconds but for what is being written, with everything left as it must be."""

import atexit
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

NUMBERS = (signal.SIGINT, signal.SIGTERM)
# An interrupt that has not ended the command by then (in an import or a long call) ends it from another thread.
GRACE_S = 1.0
# How long a training may take to come to a place where its state can be saved, and how long the saving may take.
SAVES_WITHIN_S, WRITES_WITHIN_S = 1.0, 10.0

_received: list[int] = []  # since the command began
_listening = False
_patient: list[float] = []  # of the blocks now running that handle the signal themselves: for how many seconds
_deferring = _writing = 0
_last_words: list[Callable[[], Any]] = []
_raised = False  # an interrupt is on its way up, or was answered
_answer: int | None = None  # the exit code of a command that has ended


def received() -> int | None:
    """Give the signal by which the running command was asked to end, if it was."""
    return _received[0] if _received else None


def exit_code() -> int:
    """Give the exit code of a command that was interrupted: 130 by Ctrl-C, 143 by SIGTERM."""
    return 128 + (received() or signal.SIGINT)


def note(number: int) -> None:
    """Remember that a signal has come to a command, for those who answer it themselves."""
    if _listening:
        _received.append(number)


@contextmanager
def interruptible(to_the_end: bool = False) -> Iterator[None]:
    """Take SIGINT and SIGTERM as Ctrl-C for the length of a command: what runs is to leave its folder as it must be.

    Off the main thread, where Python hears no signals, nothing is changed.

    Args:
        to_the_end: the process ends with the command. A signal after the command's answer changes nothing but that
            the process then ends in time, whatever still holds it up.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    global _listening, _raised, _answer
    before = {number: signal.getsignal(number) for number in NUMBERS}
    _listening, outer = True, _listening
    _raised, _answer = False, None
    reading_end, writing_end = os.pipe()
    os.set_blocking(writing_end, False)
    wakeup = signal.set_wakeup_fd(writing_end, warn_on_full_buffer=False)
    over = threading.Event()
    threading.Thread(target=_watch, args=(reading_end, over), daemon=True).start()
    if to_the_end:
        atexit.register(_ignore)  # the first to be registered is the last to be called: threads and all are over
        listen()
        yield
        return
    try:
        listen()
        yield
    finally:
        over.set()
        _listening, _raised, _answer = outer, False, None
        _received.clear()
        signal.set_wakeup_fd(wakeup)
        os.close(writing_end)
        for number, handler in before.items():
            signal.signal(number, handler)


def answer(code: int) -> int:
    """Give a command's exit code, which no signal changes from here on."""
    global _answer
    _answer = code
    # Where Ctrl-C has met the exec of a text (a dataclass in an import), Python's own main program remembers it until
    # the next text, and would end the process by SIGINT in place of its exit code.
    exec("")
    return code


def listen() -> None:
    """Answer the signals, again where a library has set its own answer within a command, and those deferred so far."""
    if threading.current_thread() is threading.main_thread():
        for number in NUMBERS:
            signal.signal(number, interrupt)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, NUMBERS)


@contextmanager
def patient(within_s: float = math.inf) -> Iterator[None]:
    """Leave it to a block, such as a training that saves its state, to end by itself.

    Args:
        within_s: one that has not ended by then, and writes nothing, is asked again as by an impatient person.
    """
    _patient.append(within_s)
    try:
        yield
    finally:
        _patient.remove(within_s)


@contextmanager
def writing() -> Iterator[None]:
    """Let a block of writes, such as a training's checkpoints, take longer."""
    global _writing
    _writing += 1
    try:
        yield
    finally:
        _writing -= 1


@contextmanager
def deferred() -> Iterator[None]:
    """Put off an interrupt to the end of a block of a few writes that belong together."""
    global _deferring
    _deferring, before = _deferring + 1, len(_received)
    try:
        yield
    finally:
        _deferring -= 1
    if not _deferring and len(_received) > before:
        stop()


@contextmanager
def at_the_end(words: Callable[[], Any]) -> Iterator[None]:
    """Have something done where a command is ended from beside within a block; it must not fail or take long."""
    _last_words.append(words)
    try:
        yield
    finally:
        _last_words.remove(words)


def interrupt(number: int, frame: Any) -> None:
    """Answer a signal: as Ctrl-C, unless it is put off."""
    note(number)
    if not _deferring:
        stop()


def stop() -> None:
    """Raise Ctrl-C; a second time only in a block that handles it itself, since the first is being answered."""
    global _raised
    if _answer is None and (_patient or not _raised):
        _raised = True
        raise KeyboardInterrupt


def _ignore() -> None:
    """Let a process that is on its way out go its way: Python would bring back the signals' own answers."""
    for number in NUMBERS:
        signal.signal(number, signal.SIG_IGN)


def _watch(reading_end: int, over: threading.Event) -> None:
    """End the process where a signal has come and its main thread has not ended the command, or itself, in time."""
    with open(reading_end, "rb", buffering=0) as heard:
        while byte := heard.read(1):
            if byte[0] not in NUMBERS:
                continue
            late, asked, again = _answer is not None, time.monotonic(), False
            deadline = asked + GRACE_S
            while (late or _answer is None) and not over.wait(0.02):
                now = time.monotonic()
                patience = next(reversed(tuple(_patient)), 0.0)  # the main thread may change it meanwhile
                if patience < math.inf:  # of a training
                    patience = 0.0 if again else max(patience, WRITES_WITHIN_S if _writing else 0.0)
                if _deferring or now < asked + patience:
                    deadline = now + GRACE_S
                elif _patient and not again:
                    again, deadline = True, now + GRACE_S / 2
                    os.kill(os.getpid(), byte[0])
                elif now > deadline:
                    _end(byte[0])


def _end(number: int) -> None:
    """End the process from beside its main thread."""
    if _answer is not None:
        os._exit(_answer)
    for words in reversed(_last_words):
        with suppress(Exception):
            words()
    with suppress(Exception):
        print("mlplab: interrupted", file=sys.stderr, flush=True)
    os._exit(128 + number)


os.register_at_fork(
    after_in_child=lambda: signal.set_wakeup_fd(-1) if threading.current_thread() is threading.main_thread() else None
)
