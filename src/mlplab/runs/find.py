"""Find a run or a sweep by what a person types: a folder, its name, the digits at its end, or last."""

from pathlib import Path
from typing import TYPE_CHECKING

from mlplab.errors import InputError
from mlplab.places import expanded
from mlplab.rules import near

if TYPE_CHECKING:  # the index reads YAML, and a sweep is found without it
    from mlplab.runs.index import Index

FEWEST_DIGITS = 4


class NoRun(InputError):
    """The logs hold no run of that name."""


def find_run(word: str, index: "Index") -> Path:
    """Find a run folder.

    Args:
        word: a path, a folder's name, the digits at its end (4 or more of them), ``last`` for the newest run, or
            ``best`` for the one of the lowest NLL on validation points. Of runs of one name or the same digits that of
            ``train/`` is meant.
        index: of the logs that are looked through where the word is no path.

    Raises:
        InputError: there is none, or several.
    """
    path = expanded(word)
    if (path / "config.yaml").is_file():
        return path
    if path.is_absolute() and not path.exists():
        raise InputError(f"{word} is not a run folder: there is no such folder")
    if path.is_dir():
        raise InputError(f"{word} is not a run folder: it has no config.yaml (scripts/lab runs lists the runs)")
    runs = index.runs()
    if word == "last" and runs:
        return index.logs / runs[0].path
    if word == "best":
        having = [run for run in runs if run.status == "finished" and "validation/nll" in run.metrics]
        if having:
            return index.logs / min(having, key=lambda run: run.metrics["validation/nll"]).path
    found = [run for run in runs if run.name == word] or [run for run in runs if run.path == word]
    if not found and len(word) >= FEWEST_DIGITS:
        found = [run for run in runs if run.id.startswith(word)]
    first = [run for run in found if run.parent == "train"]
    if len(first) == 1 and len({run.id for run in found}) == 1:  # the others repeat it, as reproduce and sweeps do
        found = first
    if len(found) == 1:
        return index.logs / found[0].path
    if found:
        places = ", ".join(run.path for run in found[:3]) + (" ..." if len(found) > 3 else "")
        raise InputError(f"{word} names {len(found)} runs: {places}; give its folder")
    raise NoRun(
        f"RUN must be a run folder, its name, the digits at its end, last or best, got {word!r}"
        f"{near(word, [run.name for run in runs])}; scripts/lab runs lists what there is"
    )


def find_sweep(word: str, logs: Path) -> Path:
    """Find the folder of a sweep, or of several runs: a path, a sweep's name, or ``last`` for the newest sweep.

    Raises:
        InputError: there is none, or several sweeps have the name.
    """
    path = expanded(word)
    if path.is_dir() and word != "last":
        return path
    known = sorted((file.parent for file in Path(logs).glob("*/*/sweep.json")), key=_changed)
    if word == "last":
        if not known:
            raise InputError(f"sweep=last finds no sweep in {logs}; scripts/lab train -m seed=0,1,2 makes one")
        return known[-1]
    found = [folder for folder in known if word in (folder.name, f"{folder.parent.name}/{folder.name}")]
    if len(found) > 1:
        raise InputError(f"{word} names {len(found)} sweeps: {', '.join(map(str, found))}; give the folder")
    if found:
        return found[0]
    raise InputError(
        f"{word} is not a sweep folder: there is no such folder, and no sweep of that name in {logs}{near(word, [folder.name for folder in known])}"
    )


def _changed(folder: Path) -> float:
    return (folder / "sweep.json").stat().st_mtime
