"""One owner of a folder at a time: a lock of the operating system, which goes with the process, however it ends."""

import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from mlplab.errors import InputError
from mlplab.runs.files import absent, remove_empty
from mlplab.runs.signals import at_the_end, held

LOCK = ".lock"
# Files, beside the lock, in the folder of a sweep that ended before it had begun.
LEFTOVERS = ("multirun.yaml", "playground.html", ".groups")

_held: set[Path] = set()


class Taken(InputError):
    """Another process has the lock."""


@contextmanager
def locked(folder: str | Path) -> Iterator[None]:
    """Keep the folder of a run or a sweep to oneself.

    Within a process that has the lock it may be asked for again. A folder that was made here is gone again
    where what was to be done in it is refused or stopped before it has left anything there.

    Args:
        folder: made when missing.

    Raises:
        Taken: another process has it.
        InputError: the folder cannot be written.
    """
    folder = Path(folder).absolute()
    if is_held(folder):
        yield
        return
    made, file = absent(folder), None
    try:
        with held():
            file = _lock(folder)
            _held.add(folder)
        with at_the_end(lambda: _unlink(file)):
            yield
    except BaseException:
        if made and file is not None:
            _remove_unneeded(folder)
            remove_empty(made)
        raise
    finally:
        if file is not None:
            _held.discard(folder)
            _unlink(file)
            file.close()


@contextmanager
def owned(folder: str | Path) -> Iterator[None]:
    """Keep the folder of a run to oneself, and sweeps off it where it is a job of one; its other jobs may go on.

    Raises:
        Taken: another process has it, or its sweep.
        InputError: the folder cannot be written.
    """
    folder = Path(folder).absolute()
    if not (folder.parent / "sweep.json").exists() or is_held(folder.parent):
        with locked(folder):
            yield
        return
    with _lock(folder.parent, shared=True) as file:
        try:
            with locked(folder):
                yield
        finally:
            _unlink(file)


def is_held(folder: Path) -> bool:
    """Say whether this process has the lock of a folder."""
    return folder.absolute() in _held


def _remove_unneeded(folder: Path) -> None:
    with suppress(OSError):  # whatever happened to the folder, the first error is the one to report
        if {entry.name for entry in folder.iterdir()} <= {LOCK, *LEFTOVERS}:
            shutil.rmtree(folder / ".groups", ignore_errors=True)
            for name in LEFTOVERS[:-1]:
                (folder / name).unlink(missing_ok=True)
            (folder / LOCK).unlink(missing_ok=True)  # last: from here on it may be another's folder


def _lock(folder: Path, shared: bool = False) -> TextIO:
    """Open and lock the file of a folder's lock; several may share one that nobody has alone."""
    import fcntl

    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            file = open(folder / LOCK, "a+")
        except FileNotFoundError:
            if folder.is_dir():
                raise
            continue  # its last owner has removed the folder between the two
        except OSError as error:
            raise InputError(
                f"cannot write the folder {folder}: {error.strerror or error}; choose another place with paths.logs=DIR"
            ) from error
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except OSError as error:
            with file:
                file.seek(0)
                owner = file.read().strip() or "unknown"
            hint = "wait for it, or take another folder (a sweep: sweep=NAME)"
            raise Taken(f"another command works in {folder} (process {owner}); {hint}") from error
        # Between the two its last owner may have removed it: then it locks nothing.
        if os.fstat(file.fileno()).st_nlink:
            with suppress(OSError):  # a full disk: the lock holds all the same
                file.truncate(0)
                file.write(f"{os.getpid()} on {socket.gethostname()}")
                file.flush()
            return file
        file.close()


def _unlink(file: TextIO) -> None:
    """Remove the file of a lock, unless others share it: a process that has opened it finds that its name is gone."""
    import fcntl

    with suppress(OSError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.unlink(file.name)
