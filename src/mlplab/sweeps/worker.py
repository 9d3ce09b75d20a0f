"""What a worker process does with one group: train it, and tell of it line by line in a file."""

import _thread
import contextlib
import ctypes
import faulthandler
import importlib
import multiprocessing
import os
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from hydra.core.utils import env_override

from mlplab.runs import signals
from mlplab.runs.manifest import is_alive
from mlplab.sweeps.messages import Messages

PR_SET_PDEATHSIG = 1
LOOK_EVERY_S = 0.25
# The log of a process of its own.
_log: IO[str] | None = None


def run_group(payload: dict[str, Any]) -> None:
    """Run the jobs of a group.

    Args:
        payload: plain values: ``study`` (``module:function``), ``population`` (train all as one),
            ``configs``, ``folders``, ``hydra`` (the texts of each job's .hydra files by their names),
            ``environment`` (variables that are set while it runs), ``resume``;
            ``messages``, the file to which one JSON line a message goes: ``started``, ``progress``, ``done``,
            ``failed``, ``interrupted`` and ``end``; ``stop``, a file whose appearance asks the group to save
            and end; ``owner``, the process of the sweep; and ``inline`` where the group runs in that process.
    """
    tell = Messages(payload["messages"])
    folders = [Path(folder) for folder in payload["folders"]]
    with contextlib.nullcontext() if payload.get("inline") else wanted(payload):
        try:
            for folder, texts in zip(folders, payload["hydra"]):
                for name, text in texts.items():
                    (folder / name).parent.mkdir(parents=True, exist_ok=True)
                    (folder / name).write_text(text, encoding="utf-8")
            with env_override(payload.get("environment", {})):
                (_train if payload["population"] else _call_each)(payload, folders, tell)
            tell("end")
        except BaseException as error:
            if payload.get("inline") and isinstance(error, KeyboardInterrupt):
                raise
            # Lightning turns Ctrl-C into an exit; an exit that was not requested is a job's own.
            if Path(payload["stop"]).exists():
                tell("interrupted")
            else:
                tell("failed", error=one_line(error), traceback="".join(traceback.format_exception(error)))


@contextlib.contextmanager
def wanted(payload: dict[str, Any]) -> Iterator[None]:
    """Look now and then whether the group is still wanted; end it where it is not."""
    over = threading.Event()

    def look() -> None:
        asked = False
        while not over.wait(LOOK_EVERY_S):
            if not asked and os.path.exists(payload["stop"]):
                asked = True
                # As if by Ctrl-C: the training saves its state at the end of a block.
                if signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []):  # as in Ray's workers
                    _thread.interrupt_main(signal.SIGINT)
                else:  # wakes a thread that sleeps, too
                    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
            if not os.path.exists(payload["messages"]) or _orphan(payload["owner"]):
                os._exit(1)

    threading.Thread(target=look, daemon=True).start()
    try:
        yield
    finally:
        over.set()


def _orphan(owner: dict[str, Any]) -> bool:
    """Say whether the sweep's process, on this host, is gone."""
    if owner["host"] != socket.gethostname():
        return False
    return not is_alive({"status": "running", "heartbeat": 0.0, **owner})


def _train(payload: dict[str, Any], folders: list[Path], tell: Messages) -> None:
    from mlplab.data import bayes
    from mlplab.sweeps.observer import Observer
    from mlplab.training.fit import fit_members

    tell("started")
    bayes.share_posteriors(Path(payload["messages"]).parent)
    try:
        fit_members(
            payload["configs"],
            folders,
            resume=payload["resume"],
            observer=Observer(tell, enable_fault_handler),
            on_result=lambda index, result: tell("done", index=index, result=result),
        )
    finally:
        bayes.share_posteriors(None)


def _call_each(payload: dict[str, Any], folders: list[Path], tell: Messages) -> None:
    from omegaconf import OmegaConf

    module, _, function = payload["study"].partition(":")
    study: Callable[..., Any] = getattr(importlib.import_module(module), function)
    tell("started")
    for index, (config, folder) in enumerate(zip(payload["configs"], folders)):
        result = study(OmegaConf.create(config), folder)
        tell("done", index=index, result=result if isinstance(result, dict) else {"status": "finished"})


def process_main(payload: dict[str, Any]) -> None:
    """Run a group as a process of its own, which dies with the sweep, its output going to a file."""
    if sys.platform == "linux":
        # No group is to train on for a sweep that was killed.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if not multiprocessing.parent_process().is_alive():  # it was killed before this line
            os._exit(1)
    # Ctrl-C in a terminal reaches all of its group: the sweep alone decides what follows.
    os.setsid()
    signal.signal(signal.SIGINT, signals.interrupt)
    log = open(payload["log"], "a", buffering=1)
    os.dup2(log.fileno(), 1)
    os.dup2(log.fileno(), 2)
    sys.stdout = sys.stderr = log
    global _log
    _log = log
    enable_fault_handler()
    run_group(payload)


def enable_fault_handler() -> None:
    """Let a process of a group write where it stands when it is killed; Lightning's loop undoes it as it ends."""
    if _log is not None:
        faulthandler.disable()
        faulthandler.enable(_log)


def one_line(error: BaseException) -> str:
    """Write an error as one line: its kind and its words."""
    words = " ".join(str(error).split())
    return f"{type(error).__name__}: {words}" if words else type(error).__name__
