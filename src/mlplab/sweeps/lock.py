"""One sweep at a time in a folder."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from mlplab.errors import InputError
from mlplab.runs.folder import absent, remove_empty

LOCK = ".lock"
# What stands, beside the lock, in the folder of a sweep that came to nothing: what is written first, and the exchange.
LEFTOVERS = ("multirun.yaml", "playground.html", ".groups")

_held: set[Path] = set()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep a sweep folder to oneself; the lock goes with the process, however it ends.

    Within a process that has the lock it may be asked for again. A folder that was made here is gone again
    where the sweep is refused or stopped before it has left anything there.

    Args:
        folder: of the sweep; made when missing.

    Raises:
        InputError: another process has it, or the folder cannot be written.
    """
    folder = folder.absolute()
    if folder in _held:
        yield
        return
    made = absent(folder)
    with _lock(folder) as file:
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        _held.add(folder)
        try:
            yield
        except BaseException:
            if made:
                _remove_worthless(folder)
                remove_empty(made)
            raise
        finally:
            _held.discard(folder)


def _remove_worthless(folder: Path) -> None:
    with suppress(OSError):  # whatever befell the folder, the first error is the one to be told
        if {entry.name for entry in folder.iterdir()} <= {LOCK, *LEFTOVERS}:
            shutil.rmtree(folder / ".groups", ignore_errors=True)
            for name in LEFTOVERS[:-1]:
                (folder / name).unlink(missing_ok=True)
            (folder / LOCK).unlink(missing_ok=True)  # last: from here on it may be another's folder


def _lock(folder: Path) -> TextIO:
    """Open and lock the file of a folder's lock."""
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
                f"cannot write the sweep folder {folder}: {error.strerror or error}; "
                "choose another place with paths.logs=DIR"
            ) from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            with file:
                file.seek(0)
                owner = file.read().strip() or "unknown"
            raise InputError(
                f"another sweep works in {folder} (process {owner}); wait for it, or take another name with sweep=NAME"
            ) from error
        # Between the two its last owner may have removed it: then it locks nothing.
        if os.fstat(file.fileno()).st_nlink:
            return file
        file.close()
