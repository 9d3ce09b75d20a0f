"""Files that are whole or absent: written beside their place, synced, then renamed; and what is in them, JSON and YAML.

The YAML is that of plain values, nested or as dotted keys, as OmegaConf writes and reads it, in a tenth of its time.
"""

import errno
import io
import json
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import yaml

from mlplab.errors import InputError

_noting: list[set[Path]] = []


@contextmanager
def noting() -> Iterator[set[Path]]:
    """Collect the paths of the files that the lab writes in this process meanwhile."""
    _noting.append(set())
    try:
        yield _noting[-1]
    finally:
        _noting.pop()


def note(path: Path) -> None:
    """Say that the lab has written a file."""
    for paths in _noting:
        paths.add(path.absolute())


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
        note(path)
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


# What a path may lead to that is neither a file nor a folder, and may never end, or never begin.
NO_FILES = (
    (stat.S_ISFIFO, "a named pipe or the output of a command"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def no_file(path: str | Path) -> str | None:
    """Say what a path leads to that is neither a file nor a folder; None where it is one of them, or nothing."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):  # it is not there; a null in its name
        return None
    return next((words for holds, words in NO_FILES if holds(mode)), None)


def expect_file(path: str | Path, key: str) -> None:
    """Refuse what is neither a file nor a folder.

    Raises:
        InputError: the line names the key.
    """
    if (other := no_file(path)) is not None:
        raise InputError(f"{key} must be a file, got {other}: '{path}'; write to a file what it gives, and name that")


def open_file(path: str | Path) -> BinaryIO:
    """Open a file to read its bytes.

    Raises:
        OSError: it cannot be read, or is a named pipe, a socket or a device, at which reading might wait without end.
    """
    if (other := no_file(path)) is not None:
        raise OSError(errno.EINVAL, f"it is {other}, not a file", str(path))
    return open(path, "rb")


def read_bytes(path: str | Path) -> bytes:
    """Read a file; as an OSError, what is no file (see :func:`open_file`)."""
    with open_file(path) as file:
        return file.read()


def read_text(path: str | Path) -> str:
    """Read UTF-8 text with :func:`open_file`, each line's end as ``\\n``."""
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


# Words that YAML 1.1 takes for true or false, in any case.
_BOOLEANS = frozenset(("y", "yes", "n", "no", "true", "false", "on", "off"))
_Dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class _PlainDumper(_Dumper):
    """Quote the strings that OmegaConf would read back as numbers, such as "1e-3"."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _is_number(text: str) -> bool:
    """Say whether Python, and so OmegaConf, reads a text as a number: every integer's text is a float's too."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def _represent_text(dumper: Any, data: str) -> Any:
    quoted = data.lower() in _BOOLEANS or _is_number(data)
    return dumper.represent_scalar("tag:yaml.org,2002:str", data, style="'" if quoted else None)


_PlainDumper.add_representer(str, _represent_text)


def plain_yaml(value: Mapping[str, Any] | Sequence[Any]) -> str:
    """Write nested dicts, lists and plain values as YAML, keys in their order."""
    return yaml.dump(value, Dumper=_PlainDumper, default_flow_style=False, allow_unicode=True, sort_keys=False)


# Recorded configs have a few thousand bytes, and four levels.
LARGEST_BYTES, DEEPEST = 1_000_000, 60


def read_plain(text: bytes | str) -> Any:
    """Read YAML that may come from anybody: of bounded size and depth, without aliases, which may unfold without end.

    Raises:
        ValueError: it is none of that, or no YAML; in one line.
    """
    expect_bounded(text)
    try:
        return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ValueError(" ".join(str(error).split())[:120]) from error


def expect_bounded(text: bytes | str) -> None:
    """Refuse YAML that is too large, too deep, or has aliases; see :func:`read_plain`."""
    if len(text) > LARGEST_BYTES:
        raise ValueError(f"it must have at most {LARGEST_BYTES} bytes, got {len(text)}")
    flow = (b"*", b"[", b"{", b"  " * DEEPEST) if isinstance(text, bytes) else ("*", "[", "{", "  " * DEEPEST)
    if not (flow[0] in text or text.count(flow[1]) + text.count(flow[2]) >= DEEPEST or flow[3] in text):
        return  # it cannot be: parsing twice costs as much again
    depth = 0
    try:
        for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if isinstance(event, yaml.AliasEvent):
                raise ValueError("it must hold no YAML aliases")
            if depth > DEEPEST:
                raise ValueError(f"it must be at most {DEEPEST} levels deep")
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())[:120]) from error


# Where a key at the margin begins; what belongs to it, entries of a list at the margin included, follows it.
_BLOCKS = re.compile(r"^(?=[^ \n#-])", re.MULTILINE)


class Unusual(Exception):
    """The text cannot be read block by block, but perhaps as a whole."""


def read_flat(path: str | Path) -> dict[str, Any]:
    """Read a ``config.yaml`` as dotted keys and plain values; lists as texts such as ``"[16,8]"``.

    Raises:
        InputError: the file is missing, or is no mapping in YAML.
    """
    try:
        text = read_text(path)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is damaged: it is not text") from error
    try:
        flat: dict[str, Any] = {}
        for block in split_blocks(text):
            flat |= read_block(block)
        if flat:
            return flat
    except Unusual:
        pass
    try:
        value = read_plain(text)
    except ValueError as error:
        raise InputError(f"{path} is damaged: {' '.join(str(error).split())[:120]}") from error
    if not isinstance(value, dict):
        raise InputError(f"{path} is damaged: it holds no keys")
    return flatten(value)


def split_blocks(text: str) -> list[str]:
    """Cut a config at its top-level keys.

    Raises:
        Unusual: something else stands before the first.
    """
    before, *blocks = _BLOCKS.split(text)
    if before and any(line.strip() and not line.lstrip().startswith("#") for line in before.splitlines()):
        raise Unusual
    return blocks


@lru_cache(maxsize=16384)
def read_block(text: str) -> dict[str, Any]:
    """Read one top-level key of a config as dotted keys; the runs of a sweep have most of them in common.

    Raises:
        Unusual: it cannot be read by itself.
    """
    try:
        value = read_plain(text)
    except ValueError as error:
        raise Unusual from error
    if not isinstance(value, dict):
        raise Unusual
    return flatten(value)


def flatten(value: dict, prefix: str = "") -> dict[str, Any]:
    """Turn nested dicts into dotted keys; an empty dict counts as null."""
    flat: dict[str, Any] = {}
    for key, part in value.items():
        if isinstance(part, dict) and part:
            flat |= flatten(part, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = _plain(part)
    return flat


def unflatten(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Turn dotted keys back into nested dicts, and texts such as ``"[16,8]"`` into lists."""
    nested: dict[str, Any] = {}
    for key, value in flat.items():
        *parents, last = key.split(".")
        place = nested
        for name in parents:
            place = place.setdefault(name, {})
        place[last] = yaml.safe_load(value) if isinstance(value, str) and value[:1] in ("[", "{") else value
    return nested


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return f"[{','.join(map(_text, value))}]"
    return None if value == {} else value


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_text(entry)}" for key, entry in value.items()) + "}"
    return "null" if value is None else str(value)
