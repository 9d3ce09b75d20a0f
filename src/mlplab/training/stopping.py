"""How a training is surrounded: torch's threads put back, Ctrl-C turned into a stop, and a failure said in the run's folder."""

import signal
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from mlplab.runs import signals
from mlplab.runs.folder import RunFolder
from mlplab.runs.status import write_status


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let torch compute on so many threads, and put their number back."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def failing(
    folders: Sequence[RunFolder | None], untouched: Callable[[], bool], done: set[int] = frozenset()
) -> Iterator[None]:
    """Say in each folder how its run ended, where it ends with an error; one that was never described stays as it was."""

    def fail(error: BaseException) -> None:
        if not untouched():  # a run that could not go on stays interrupted
            _fail([folder for index, folder in enumerate(folders) if index not in done], error)

    try:
        with signals.at_the_end(lambda: fail(KeyboardInterrupt())):
            yield
    except BaseException as error:
        fail(KeyboardInterrupt() if signals.received() else error)
        raise


def _fail(folders: Sequence[RunFolder | None], error: BaseException) -> None:
    if isinstance(error, KeyboardInterrupt):
        state, words = "interrupted", None
    else:
        state, words = "failed", "".join(traceback.format_exception(error))
    for folder in folders:
        if folder is not None and folder.config.is_file():
            write_status(folder.path, state, words)


@contextmanager
def stoppable(members: Any) -> Iterator[None]:
    """Turn the first Ctrl-C or SIGTERM into a stop at the end of the running block or epoch; a second one stops at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def request(number: int, frame: Any) -> None:
        signals.note(number)
        if members.interrupted:
            signals.stop()
        members.interrupted = True

    for number in before:
        signal.signal(number, request)
    try:
        with signals.patient():
            yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
