"""Find a run or a sweep by what a person types: a folder, its name, the digits at its end, or last."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from mlplab.errors import InputError
from mlplab.rules import near
from mlplab.runs.files import read_flat
from mlplab.words import conf_folder, expanded, logs_folder

if TYPE_CHECKING:  # the index reads YAML, and a sweep is found without it
    from mlplab.runs.index import Index, Run

FEWEST_DIGITS = 4


class NoRun(InputError):
    """The logs hold no run of that name."""


def find_run(word: str, index: "Index", wanted: Callable[["Run"], bool] | None = None, *, key: str = "RUN") -> Path:
    """Find a run folder.

    Args:
        word: a path, a folder's name, the digits at its end (4 or more of them), ``last`` for the newest run, or
            ``best`` for the one of the lowest NLL on validation points. Of runs of one name or the same digits that of
            ``train/`` is meant.
        index: of the logs that are looked through where the word is no path.
        wanted: tells the runs that ``last`` may be; None for all.
        key: where the word was given, for messages.

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
    newest = next((run for run in runs if wanted is None or wanted(run)), None)
    if word == "last" and newest is not None:
        return index.logs / newest.path
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
        f"{key} must be a run folder, its name, the digits at its end, last or best, got {word!r}"
        f"{near(word, [run.name for run in runs])}; scripts/lab runs lists what there is"
    )


def run_folder(word: str, logs: str | Path | None = None, study: str | None = None, *, key: str = "RUN") -> Path:
    """Find the folder of a run that was named on the command line, as :func:`find_run` does.

    Args:
        word: what was typed.
        logs: the logs that ``paths.logs=DIR`` names; the lab's are looked through after them.
        study: the command whose run it must be, such as ``train``, of which ``last`` is the newest; None for any.
        key: where the word was given, for messages.

    Raises:
        InputError: there is none, or it is a run of another command, or an evaluation.
    """
    found = _found(word, logs, study, key)
    if study is not None:
        made_by = study_of(found)
        if made_by not in (study, None):
            raise InputError(f"{key} must be a run of {study} here, got {word}, which is one of {made_by}")
        if _is_evaluation(found):
            raise InputError(
                f"{key} must be a run of {study} here, got {word}, an evaluation; give the run that it measured"
            )
    return found


def study_of(folder: Path) -> str | None:
    """Tell the command that made a run from its config; None where that is damaged, which its reader will say."""
    from mlplab.runs.names import Defaults

    defaults = Defaults(conf_folder())
    with suppress(InputError):
        heads = {key.partition(".")[0] for key in read_flat(folder / "config.yaml")}
        study = defaults.study_of(heads)
        return study if study and heads & set(defaults.studies[study]["groups"]) else None
    return None


def _is_evaluation(folder: Path) -> bool:
    """Tell whether a folder is what ``evaluate`` leaves: a config, a result and pictures."""
    kept = (folder / "checkpoints", folder / "manifest.json", folder / "status.json")
    return (folder / "result.json").is_file() and not any(path.exists() for path in kept)


def _found(word: str, logs: str | Path | None, study: str | None, key: str) -> Path:
    from mlplab.runs.index import Index

    named = logs_folder() if logs is None else expanded(logs)
    places = list(dict.fromkeys(place.absolute() for place in (named, logs_folder()) if place.is_dir())) or [named]

    def search(place: Path) -> Path:
        index = Index(place, conf_folder())
        if study is None:
            return find_run(word, index, key=key)
        return find_run(
            word, index, lambda run: run.study in (study, None) and not _is_evaluation(index.logs / run.path), key=key
        )

    for place in places[:-1]:
        with suppress(NoRun):
            return search(place)
    return search(places[-1])


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
