"""One command in a process of its own, forked from this one, which has imported all; and what may be done to it meanwhile."""

import builtins
import ctypes
import errno
import os
import resource
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlplab.runs import signals

# A run of a second, with everything on; a checkpoint each epoch.
SMALL = [
    "data.points_per_arm=40",
    "data.batch_size=16",
    "data.validation_points=40",
    "data.fresh_points=100",
    "model.width=6",
    "trainer.max_epochs=3",
    "trainer.accelerator=cpu",
    "callbacks.progress=null",
    "callbacks.decision_maps.resolution=8",
    "callbacks.checkpoints.every_seconds=0",
]
WRITES = ("os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.truncate")
FAILURES = {"ENOSPC": errno.ENOSPC, "EIO": errno.EIO, "EACCES": errno.EACCES, "EROFS": errno.EROFS}


@dataclass(frozen=True)
class Told:
    """How a command ended: its exit code, minus the signal that killed it, its words, seconds, peak of memory (bytes), CPU seconds."""

    code: int
    out: str
    err: str
    seconds: float
    peak: int = 0
    cpu_s: float = 0.0

    @property
    def is_clean(self) -> bool:
        """Say whether no traceback and no raw escape sequence was shown."""
        return "Traceback" not in self.out + self.err and "\x1b" not in self.out + self.err

    @property
    def is_refusal(self) -> bool:
        """Say whether it was answered as bad input: exit code 2, and one line last."""
        lines = self.err.strip().splitlines()
        return self.code == 2 and self.is_clean and bool(lines) and lines[-1].startswith("mlplab: ")

    def is_within(self, seconds: float) -> bool:
        """Say whether it took no longer, in CPU time and, on a machine whose cores have no more to do than they can, by the clock."""
        waits = max(1.0, os.getloadavg()[0] / len(os.sched_getaffinity(0)))
        return self.cpu_s < seconds and self.seconds < seconds * waits


class Started:
    """A command on its way."""

    def __init__(
        self, words: Sequence[str], before: Callable[[], Any] | None = None, memory: int | None = None
    ) -> None:
        self.files = [tempfile.TemporaryFile("w+b") for _ in range(2)]
        sys.stdout.flush()
        sys.stderr.flush()
        self.began, self.state, self.seconds, self.peak, self.cpu_s = time.monotonic(), None, 0.0, 0, 0.0
        held = signal.pthread_sigmask(signal.SIG_BLOCK, signals.NUMBERS)  # until the command answers them
        self.pid = os.fork()
        if not self.pid:
            self._become(list(words), before, memory)
        signal.pthread_sigmask(signal.SIG_SETMASK, held)

    def _become(self, words: list[str], before: Callable[[], Any] | None, memory: int | None) -> None:
        """Run the command; never come back."""
        code = 70
        try:
            os.setsid()
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            for target, file in zip((1, 2), self.files):
                os.dup2(file.fileno(), target)
            sys.stdout, sys.stderr = (open(number, "w", buffering=1, closefd=False) for number in (1, 2))
            sys.argv = ["scripts/lab", *words]
            if memory is not None:
                used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
                resource.setrlimit(resource.RLIMIT_AS, (used + memory, used + memory))
            if before is not None:
                before()
            from mlplab.cli.app import program

            code = program(words)
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def poll(self) -> bool:
        """Say whether it has ended."""
        if self.state is None:
            pid, state, used = os.wait4(self.pid, os.WNOHANG)
            if pid:
                self.state, self.seconds, self.peak = state, time.monotonic() - self.began, 1024 * used.ru_maxrss
                self.cpu_s = used.ru_utime + used.ru_stime
        return self.state is not None

    def wait(self, within_s: float = 120.0) -> Told:
        """Wait for its end; what has not ended by then is killed, with all that it started."""
        while not self.poll() and time.monotonic() < self.began + within_s:
            time.sleep(0.002)
        if self.state is None:
            self.send(signal.SIGKILL)
            self.state, self.seconds = os.waitpid(self.pid, 0)[1], time.monotonic() - self.began
        texts = []
        for file in self.files:
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
            file.close()
        return Told(os.waitstatus_to_exitcode(self.state), *texts, self.seconds, self.peak, self.cpu_s)

    def send(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def orphans(self) -> list[int]:
        """List the processes of its session that are left, and end them."""
        left = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    fields = (entry / "stat").read_text().rpartition(")")[2].split()
                except OSError:
                    continue
                if int(fields[3]) == self.pid and fields[0] not in "ZX":
                    left.append(int(entry.name))
                    os.kill(int(entry.name), signal.SIGKILL)
        return left


def run(
    words: Sequence[str], before: Callable[[], Any] | None = None, within_s: float = 120.0, memory: int | None = None
) -> Told:
    """Run a command to its end."""
    return Started(words, before, memory).wait(within_s)


def wait_all(started: Sequence[Started], within_s: float = 120.0) -> list[Told]:
    """Wait for several commands that run at once."""
    deadline = time.monotonic() + within_s
    while not all([one.poll() for one in started]) and time.monotonic() < deadline:
        time.sleep(0.002)
    return [one.wait(0) for one in started]


def without_privileges() -> None:
    """Give up what root may do beyond others: a file that cannot be written is one."""
    header, none = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()  # of capset(2), version 3
    if ctypes.CDLL(None, use_errno=True).capset(header, none):
        raise OSError(ctypes.get_errno(), "capset")


class Watch:
    """Count what a process does to the files under a folder, and at the N-th of these do something.

    Args:
        root: the folder.
        at: N, from 1.
        do: ``kill``, ``SIGINT``, ``SIGTERM``, the name of an error of ``FAILURES``, or None to write down each operation to ``log``.
        log: a file outside the folder.
    """

    def __init__(self, root: Path, at: int = 0, do: str | None = None, log: Path | None = None) -> None:
        self.root, self.at, self.do, self.count = str(root), at, do, 0
        self.log = open(log, "a", buffering=1) if log else None

    def __call__(self) -> None:
        """Begin to watch this process."""
        sys.addaudithook(self._audit)
        fsync, opened = os.fsync, builtins.open

        def synced(handle: Any) -> None:
            self._step("fsync", os.readlink(f"/proc/self/fd/{handle if isinstance(handle, int) else handle.fileno()}"))
            fsync(handle)

        def opening(path: Any, mode: str = "r", *rest: Any, **more: Any) -> Any:
            file = opened(path, mode, *rest, **more)
            watched = isinstance(path, (str, os.PathLike)) and self._is_ours(path) and "b" in mode and mode != "rb"
            return _Halved(file, self, os.fspath(path)) if watched else file

        os.fsync, builtins.open = synced, opening

    def _is_ours(self, path: Any) -> bool:
        return os.path.abspath(os.fsdecode(path)).startswith(self.root)

    def _audit(self, event: str, details: tuple) -> None:
        if event == "open":
            path, _, flags = details
            if (
                isinstance(path, (str, bytes))
                and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
                and self._is_ours(path)
            ):
                self._step("open", path)
        elif event in WRITES and isinstance(details[0], (str, bytes, os.PathLike)) and self._is_ours(details[0]):
            self._step(event, details[1] if event == "os.rename" else details[0])

    def _step(self, what: str, path: Any, halfway: Callable[[], Any] = lambda: None) -> None:
        name = os.fsdecode(path)
        if "sqlite" in name or not self._is_ours(name):
            return
        self.count += 1
        if self.log is not None:
            self.log.write(f"{what} {name}\n")
        if self.do is not None and (
            self.count == self.at or self.do in FAILURES and self.count > self.at > 0 and self.lasting
        ):
            if self.do.startswith("SIG"):
                # At once, or while the system is at the operation, so that it is noticed after it.
                at_once = (os.kill, (os.getpid(), signal.Signals[self.do]))
                threading.Timer(2e-4, *at_once).start() if self.at % 2 else at_once[0](*at_once[1])
                return
            halfway()
            if self.do == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise OSError(FAILURES[self.do], os.strerror(FAILURES[self.do]), name)

    lasting = False


class _Halved:
    """A file each of whose writes is an operation: what befalls it there, half of the bytes are written."""

    def __init__(self, file: Any, watch: Watch, path: str) -> None:
        self._file, self._watch, self._path = file, watch, path

    def write(self, data: Any) -> int:
        def halfway() -> None:
            self._file.write(data[: len(data) // 2])
            self._file.flush()

        self._watch._step("write", self._path, halfway)
        return self._file.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> "_Halved":
        return self

    def __exit__(self, *_: Any) -> None:
        self._file.close()

    def __iter__(self) -> Any:
        return iter(self._file)
