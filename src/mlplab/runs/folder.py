"""The folder of a run: one owner at a time, claimed by its name, its files, and opened again."""

import os
import shutil
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TextIO

from mlplab.errors import InputError
from mlplab.runs.files import absent, noting, remove_empty
from mlplab.runs.signals import at_the_end, deferred

LOCK = ".lock"
# Files, beside the lock, in the folder of a sweep that ended before it had begun.
LEFTOVERS = ("multirun.yaml", "playground.html", ".groups")
FILES = ("config.yaml", "manifest.json", "status.json", "result.json", "metrics.csv")
FOLDERS = ("checkpoints", "tensorboard", "figures")
HYDRA_FILES = ("config.yaml", "hydra.yaml", "overrides.yaml")  # in .hydra

_locked: set[Path] = set()


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
    if is_locked_here(folder):
        yield
        return
    made, file = absent(folder), None
    try:
        with deferred():
            file = _lock(folder)
            _locked.add(folder)
        with at_the_end(lambda: _unlink(file)):
            yield
    except BaseException:
        if made and file is not None:
            _remove_unneeded(folder)
            remove_empty(made)
        raise
    finally:
        if file is not None:
            _locked.discard(folder)
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
    if not (folder.parent / "sweep.json").exists() or is_locked_here(folder.parent):
        with locked(folder):
            yield
        return
    with _lock(folder.parent, shared=True) as file:
        try:
            with locked(folder):
                yield
        finally:
            _unlink(file)


def is_locked_here(folder: Path) -> bool:
    """Say whether this process has the lock of a folder."""
    return folder.absolute() in _locked


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


@dataclass(frozen=True)
class RunFolder:
    """Name the files of one run; nothing is made or read until somebody does so.

    Attributes:
        path: the folder, whose last word is its `name`.
        config, manifest, status, result, metrics: its files.
        checkpoints, tensorboard, figures: the folders in it.
    """

    path: Path

    def __post_init__(self) -> None:
        vars(self)["name"] = self.path.name
        for file in FILES:
            vars(self)[file.partition(".")[0]] = self.path / file
        for folder in FOLDERS:
            vars(self)[folder] = self.path / folder


def claim(parent: str | Path, name: str) -> Path:
    """Make a new folder that no other run owns.

    Args:
        parent: the folder of the experiment; made when missing.
        name: the wanted name; when taken, ``name-2``, ``name-3`` and so on are tried.

    Returns:
        The folder, empty. ``mkdir`` fails where the folder exists, so that of two processes with
        the same name each gets a folder of its own.

    Raises:
        InputError: the name is no file name, or the parent cannot be written.
    """
    if not name or name in (".", "..") or "/" in name or "\\" in name or not name.isprintable():
        raise InputError(f"name must be a plain file name without slashes, got {name!r}")
    parent = Path(parent)
    made = absent(parent)
    try:
        parent.mkdir(parents=True, exist_ok=True)
        for number in count(1):
            path = parent / (name if number == 1 else f"{name}-{number}")
            try:
                path.mkdir()
            except FileExistsError:
                continue
            return path
    except OSError as error:
        remove_empty(made)
        raise InputError(
            f"cannot make a run folder in {parent}: {error.strerror or error}; choose another place with paths.logs=DIR"
        ) from error


@contextmanager
def claimed(parent: str | Path, name: str) -> Iterator[Path]:
    """Claim a folder for a run, and remove it again, with those made for it, where the run comes to nothing.

    One that an earlier run claimed and left with nothing in it, killed before it had begun, is taken again. Nobody
    else may write to the folder meanwhile: it is locked.
    """
    parent, made = Path(parent), absent(Path(parent))
    for number in count(1):
        path = parent / (name if number == 1 else f"{name}-{number}")
        with ExitStack() as stack:
            with deferred():  # between its making and the promise to remove it nothing may come
                if not os.path.lexists(path):
                    path = claim(parent, path.name)
                elif is_locked_here(path) or not _is_new(path):
                    continue
                try:
                    stack.enter_context(locked(path))
                except Taken:
                    continue
                is_ours = _is_new(path)
                if is_ours:
                    stack.enter_context(unless_used(path, made))
            if is_ours:
                yield path
                return


def _is_new(path: Path) -> bool:
    """Say whether a folder has been claimed, and holds no results yet."""
    try:
        names = [entry.name for entry in path.iterdir()]
    except OSError:
        return False
    return all(name in (LOCK, ".hydra", "playground.html") or name.endswith((".log", ".tmp")) for name in names)


@contextmanager
def take(folder: str | Path) -> Iterator[Path]:
    """Take this very folder for a run; where the run comes to nothing, what the lab wrote there is gone again.

    What stood there before stays, and what anybody else has put there meanwhile; a folder that was made for the run
    goes where nothing is left in it.

    Raises:
        InputError: it holds a run, another command works in it, or it cannot be made.
    """
    folder = Path(folder)
    made = absent(folder)
    before = {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()
    with locked(folder):
        if (folder / "config.yaml").exists():
            raise InputError(f"{folder} holds a run already; continue with resume={folder}, or choose another folder")
        with noting() as written, unless_used(folder, made, before, written) as path:
            yield path


@contextmanager
def unless_used(
    path: Path, made: Sequence[Path] = (), before: set[str] | None = None, written: set[Path] = frozenset()
) -> Iterator[Path]:
    """Remove a folder, and those made for it, where a run in it comes to nothing.

    A run has come to something once its config is written, or, where its input proves bad, once it has a
    checkpoint.

    Args:
        path: the folder.
        made: further folders that were made for it, innermost first.
        before: what stood in a folder that others may write to; then only what the lab, and Hydra for it, wrote goes,
            and what is then empty of the lab's own folders and of `made`.
        written: the files that the lab wrote meanwhile.
    """

    def clean(error: BaseException) -> None:
        kept = (path / "config.yaml").exists()
        if isinstance(error, InputError):
            kept = any((path / "checkpoints").glob("*"))
        if kept:
            return
        if before is None:
            shutil.rmtree(path, ignore_errors=True)
            remove_empty(made)
            return
        with suppress(OSError):  # the first error is the one to report
            place = path.absolute()
            gone = {*written, *(place / ".hydra" / name for name in HYDRA_FILES), *place.rglob(f".*.{os.getpid()}.tmp")}
            own = {
                file for file in gone if file.is_relative_to(place) and file.relative_to(place).parts[0] not in before
            }
            for file in own:
                file.unlink(missing_ok=True)
            folders = {*(place / name for name in FOLDERS if name not in before), *(file.parent for file in own)} - {
                place
            }
            for folder in sorted(folders, reverse=True):
                remove_empty([folder])
            if made and {entry.name for entry in path.iterdir()} <= {LOCK}:
                (path / LOCK).unlink(missing_ok=True)  # last: from here on it may be another's folder
                remove_empty(made)

    try:
        with at_the_end(lambda: clean(KeyboardInterrupt())):
            yield path
    except BaseException as error:
        clean(error)
        raise


def open_run(path: str | Path) -> RunFolder:
    """Open the folder of an earlier run.

    Raises:
        InputError: there is no such folder, or it holds no ``config.yaml``.
    """
    folder = RunFolder(Path(path))
    if not folder.path.is_dir():
        raise InputError(f"{path} is not a run folder: there is no such folder")
    if not folder.config.is_file():
        raise InputError(f"{path} is not a run folder: it has no config.yaml (see logs/ for runs)")
    return folder
