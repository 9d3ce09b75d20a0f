"""Which file of a folder of configs keeps Hydra from composing: its own errors do not name it."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml
from omegaconf.errors import GrammarParseError

from mlplab.hydra_names import parsed
from mlplab.words import conf_folder


def broken_file(error: Exception, overrides: Sequence[str]) -> str | None:
    """Say in one line what is wrong with a file of configs; None where an error is of something else.

    Args:
        error: what Hydra raised.
        overrides: what was given; ``hydra.searchpath`` names further folders.
    """
    folders = [conf_folder(), *_searched(overrides)]
    cause = error.__cause__ or error.__context__
    if isinstance(error, yaml.YAMLError):
        mark = getattr(error, "problem_mark", None)
        return unreadable(mark.name if mark else getattr(error, "name", ""), error)
    if isinstance(error, UnicodeDecodeError):
        for path in _files(folders):
            if error.object in path.read_bytes():
                return unreadable(path, error)
    if isinstance(error, RecursionError):
        return included_by_itself(folders, [text.rpartition("=")[2] for text in overrides])
    if isinstance(cause, GrammarParseError) and (found := re.search(r"at input '(.*)'", str(cause))):
        for path in _files(folders[1:]):
            if found[1].encode() in path.read_bytes():
                return f"'{path}' must hold values that OmegaConf can read: {' '.join(str(cause).split())}"
    return None


def unreadable(path: str | Path, error: Exception) -> str:
    """Say in one line why a file cannot be read: it is no UTF-8 text, or no YAML."""
    if isinstance(error, UnicodeDecodeError):
        return f"'{path}' must be UTF-8 text: {error.reason} at byte {error.start}; save it as UTF-8"
    mark = getattr(error, "problem_mark", None)
    line = f", line {mark.line + 1}" if mark else ""
    reason = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
    return f"'{path}'{line}, must be YAML: {' '.join(str(reason).split())}"


def included_by_itself(folders: Sequence[Path], chosen: Sequence[str]) -> str | None:
    """Say in one line which file includes itself, of those with a chosen name if there is one; None where none does."""
    for folder in folders:
        for path in sorted(_files([folder]), key=lambda path: path.stem not in chosen):
            if ring := _ring(folder, path.relative_to(folder).with_suffix("").as_posix(), ()):
                return f"'{path}' must not include itself, and does by its defaults: {' -> '.join(ring)}"
    return None


def _searched(overrides: Sequence[str]) -> list[Path]:
    """List the folders of ``hydra.searchpath``."""
    places = [parsed(text) for text in overrides if text.lstrip("+").startswith("hydra.searchpath=")]
    named = [str(place) for entry in places if entry and isinstance(entry.value(), list) for place in entry.value()]
    return [Path(place.removeprefix("file://")) for place in named if place.startswith("file://")]


def _files(folders: Sequence[Path]) -> Iterator[Path]:
    for folder in folders:
        yield from (path for path in sorted(folder.rglob("*.yaml")) if path.is_file())


def _ring(folder: Path, name: str, above: tuple[str, ...]) -> tuple[str, ...]:
    """Follow the defaults of a file to one that is among those above it."""
    if name in above:
        return (*above[above.index(name) :], name)
    try:
        content = yaml.safe_load((folder / f"{name}.yaml").read_bytes())
    except (OSError, ValueError, yaml.YAMLError):
        return ()
    entries = content.get("defaults") if isinstance(content, dict) else None
    group = name.rpartition("/")[0]
    for entry in entries if isinstance(entries, list) else ():
        pair = entry.items() if isinstance(entry, dict) else [("", entry)]
        for key, option in pair:
            words = f"{str(key).split(' ')[-1].partition('@')[0]}/{str(option).partition('@')[0]}".removeprefix("/")
            absolute = str(key or option).startswith("/")
            below = words if absolute or not group else f"{group}/{words}"
            if ring := _ring(folder, below.lstrip("/"), (*above, name)):
                return ring
    return ()
