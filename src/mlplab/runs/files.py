"""Files that are whole or absent: written beside their place, synced, then renamed."""

import io
import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from mlplab.errors import InputError
from mlplab.places import open_file


def write_bytes(path: str | Path, data: bytes | Iterable[bytes], *, sync: bool = True) -> None:
    """Write a file so that a reader finds the old content or the new, never a part.

    Args:
        path: the file; its folder is made when missing.
        data: the content, whole or in pieces.
        sync: wait for the disk, so that the promise also holds through a loss of power.

    Raises:
        InputError: the disk is full or the folder cannot be written; the file that was there before is
            unchanged and no temporary file is left.
    """
    path = Path(path)
    # In the same folder (a rename does not cross disks) and with the process in its name (two
    # processes that write one file do not rename each other's halves).
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    pieces = [data] if isinstance(data, bytes) else data
    try:
        with _create(temporary) as file:
            for piece in pieces:
                file.write(piece)
            file.flush()
            if sync:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        _discard(temporary)
        raise InputError(
            f"cannot write {path}: {error.strerror or error}; what was there before is unchanged"
        ) from error
    except BaseException:
        _discard(temporary)
        raise
    if sync:
        _sync_folder(path.parent)


def write_text(path: str | Path, text: str, *, sync: bool = True) -> None:
    """Write UTF-8 text with :func:`write_bytes`."""
    write_bytes(path, text.encode(), sync=sync)


def write_json(path: str | Path, value: Any, *, sync: bool = True) -> None:
    """Write a value as indented JSON with :func:`write_bytes`.

    Non-finite numbers become null: ``NaN`` is not JSON, and other readers refuse it.
    """
    text = json.dumps(finite(value), indent=2, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n", sync=sync)


def read_bytes(path: str | Path) -> bytes:
    """Read a file; as an OSError, what is no file (see :func:`mlplab.places.open_file`)."""
    with open_file(path) as file:
        return file.read()


def read_text(path: str | Path) -> str:
    """Read UTF-8 text with :func:`mlplab.places.open_file`, each line's end as ``\\n``."""
    with io.TextIOWrapper(open_file(path), encoding="utf-8") as file:
        return file.read()


def read_json(path: str | Path) -> Any:
    """Read a JSON file.

    Raises:
        InputError: the file is missing, cannot be read, or is not JSON.
    """
    path = Path(path)
    try:
        return json.loads(read_text(path))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:  # JSON and UTF-8 errors are both ValueErrors
        reason = " ".join(str(error).split())
        raise InputError(f"{path} is damaged: it is not JSON ({reason})") from error


def read_record(path: str | Path) -> dict[str, Any]:
    """Read a JSON file that must hold an object, with :func:`read_json`."""
    record = read_json(path)
    if not isinstance(record, dict):
        raise InputError(f"{path} is damaged: it must hold an object, got {type(record).__name__}")
    return record


def remove_leftovers(folder: str | Path) -> int:
    """Remove temporary files that killed processes left in a folder and below; return how many there were.

    Call it only where no other process writes, as on resuming a run.
    """
    count = 0
    for leftover in Path(folder).rglob(".*.tmp"):
        leftover.unlink(missing_ok=True)
        count += 1
    return count


def absent(folder: Path) -> list[Path]:
    """List a folder and those above it that do not exist, innermost first."""
    return [place for place in (folder, *folder.parents) if not os.path.exists(place)]


def remove_empty(folders: Iterable[Path]) -> None:
    """Remove folders, innermost first, up to the first that is missing or that somebody has put something in."""
    for folder in folders:
        try:
            folder.rmdir()
        except OSError:
            return


def _create(path: Path):
    try:
        return open(path, "wb")
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        return open(path, "wb")


def _discard(path: Path) -> None:
    # Where the folder is not one, or is gone, there is nothing to remove.
    with suppress(OSError):
        path.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    # The rename itself is on disk only once the folder is; some file systems refuse to sync folders.
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)


def finite(value: Any) -> Any:
    """Give plain values with null in place of each number that JSON has no word for."""
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    if isinstance(value, Mapping):
        return {str(key): finite(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(part) for part in value]
    return value
