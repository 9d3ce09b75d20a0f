"""One sweep at a time in a folder."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlplab.errors import InputError

_held: set[Path] = set()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep a sweep folder to oneself; the lock goes with the process, however it ends.

    Within a process that has the lock it may be asked for again.

    Args:
        folder: of the sweep; made when missing.

    Raises:
        InputError: another process has it, or the folder cannot be written.
    """
    import fcntl

    folder = folder.absolute()
    if folder in _held:
        yield
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = open(folder / ".lock", "a+")
    except OSError as error:
        raise InputError(
            f"cannot write the sweep folder {folder}: {error.strerror or error}; "
            "choose another place with paths.logs=DIR"
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            raise InputError(
                f"another sweep works in {folder} (process {file.read().strip() or 'unknown'}); "
                "wait for it, or take another name with sweep=NAME"
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        _held.add(folder)
        try:
            yield
        finally:
            _held.discard(folder)
