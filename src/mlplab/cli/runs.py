"""The runs there are: listed, the best of them, and those that may go."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlplab.errors import InputError
from mlplab.rules import near
from mlplab.runs import listing
from mlplab.runs.clean import Removal, removable, remove
from mlplab.runs.index import Index, Run
from mlplab.words import conf_folder, expanded, folded, front_door, is_option, logs_folder, plural, wrapped

USAGE = """\
usage: scripts/lab runs [list|best|clean] [FOLDER] [KEY=VALUE ...]

  scripts/lab runs                                 newest first; a sweep is one line
  scripts/lab runs status=failed data=moons model.depth=2,3
  scripts/lab runs sweep=NAME sort=nll limit=all   the runs of one sweep
  scripts/lab runs best data=spiral                lowest NLL on validation points first
  scripts/lab runs clean                           failed, interrupted, superseded: asks, then removes
  scripts/lab runs format=csv > runs.csv           or format=json

Keys: status, experiment, sweep, name, id, study, and every key of a config, whole or its last word.
sort=age|size|accuracy|nll|regret|validation|seconds|parameters|KEY (-KEY turns the order round)
limit=40|all  each=true (the runs of sweeps one by one)  format=table|csv|json  paths.logs=DIR
clean: what=failed,interrupted,superseded  yes=true (does not ask)"""
VERBS = ("list", "best", "clean")
OPTIONS = ("sort", "limit", "each", "format", "paths.logs", "what", "yes")
LIMIT = 40
MEASURED = 200  # run folders whose sizes are added up for a table


@dataclass
class Query:
    """What was asked for on the command line."""

    verb: str = "list"
    folder: str | None = None
    filters: dict[str, str] = field(default_factory=dict)
    options: dict[str, str] = field(default_factory=dict)

    def flag(self, name: str) -> bool:
        value = self.options.get(name, "false")
        if value not in ("true", "false"):
            raise InputError(f"{name} must be true or false, got {value}")
        return value == "true"

    @property
    def limit(self) -> int | None:
        text = self.options.get("limit", "10" if self.verb == "best" else str(LIMIT))
        if text == "all":
            return None
        if not text.isdecimal():
            raise InputError(f"limit must be a number or all, got {text}")
        return int(text)

    @property
    def form(self) -> str:
        form = self.options.get("format", "table")
        if form not in ("table", "csv", "json"):
            raise InputError(
                f"format must be one of table, csv, json, got {form}{near(form, ('table', 'csv', 'json'))}"
            )
        return form


class SweepRow(Run):
    """A sweep as one row: its best run's metrics, and how many of its runs finished."""

    done = 0
    count = 0

    @property
    def id(self) -> str:
        return f"{self.done}/{self.count}"

    @property
    def label(self) -> str:
        return self.path

    def label_without(self, known: dict[str, Any]) -> str:
        return self.path


def runs(words: Sequence[str]) -> int:
    """List runs, the best ones, or remove what may go: ``runs [list|best|clean] [FOLDER] [KEY=VALUE ...]``.

    Returns:
        0.

    Raises:
        InputError: an option is wrong, or there are no runs.
    """
    if {"-h", "--help"} & set(words):
        print(folded(USAGE))
        return 0
    asked = read_words(words)
    index = Index(expanded(asked.options.get("paths.logs", logs_folder())), conf_folder())
    found = listing.choose(within(index.runs(), asked.folder, index.logs), asked.filters, index)
    if asked.verb == "clean":
        return clean(found, index, asked)
    if asked.verb == "best":
        return best(found, index, asked)
    together = asked.form == "table" and not asked.flag("each") and not {*asked.filters} - {"experiment", "study"}
    together = together and asked.folder is None
    rows = collapsed(found, index) if together else found
    if "sort" in asked.options:
        rows = listing.sort(rows, asked.options["sort"], index)
    show(rows, index, asked, len(found))
    return 0


def read_words(words: Sequence[str]) -> Query:
    """Sort the words of the command line."""
    asked, rest = Query(), list(words)
    if rest and rest[0] in VERBS:
        asked.verb = rest.pop(0)
    for word in rest:
        key, equals, value = word.partition("=")
        if not equals or not is_option(word):
            if expanded(word).is_dir() and asked.folder is None:
                asked.folder = word
                continue
            raise InputError(f"runs takes {', '.join(VERBS)}, a folder and KEY=VALUE, got {word}{near(word, VERBS)}")
        (asked.options if key in OPTIONS else asked.filters)[key] = value
    return asked


def within(found: Sequence[Run], folder: str | None, logs: Path) -> list[Run]:
    """Keep the runs in a folder."""
    if folder is None:
        return list(found)
    place = expanded(folder).resolve()
    if place == logs.resolve():
        return list(found)
    if logs.resolve() not in place.parents:
        raise InputError(f"{folder} must be a folder in {logs}; paths.logs=DIR looks elsewhere")
    begin = f"{place.relative_to(logs.resolve()).as_posix()}/"
    return [run for run in found if f"{run.path}/".startswith(begin)]


def collapsed(found: Sequence[Run], index: Index) -> list[Run]:
    """Put the runs of each sweep into one row, in the place of its newest."""
    rows: dict[str, Run] = {}
    members: dict[str, list[Run]] = {}
    for run in found:
        if run.parent in index.sweeps:
            members.setdefault(run.parent, []).append(run)
            rows.setdefault(run.parent, run)
        else:
            rows[run.path] = run
    for path, group in members.items():
        having = [run for run in group if run.status == "finished"]
        best = min(having, key=chosen_by, default=group[0])
        row = SweepRow(path, best.study, {}, "finished", None, best.metrics if having else {}, "", None, group[0].time)
        row.done, row.count = len(having), len(group)
        if len(group) <= MEASURED:
            index.measure(group)
            row.bytes = sum(run.bytes or 0 for run in group)
        rows[path] = row
    return list(rows.values())


def chosen_by(run: Run) -> float:
    """What the best run is chosen by: its NLL on validation points, or on what there is."""
    for part in ("validation", "fresh", "test", "train"):
        if f"{part}/nll" in run.metrics:
            return run.metrics[f"{part}/nll"]
    return float("inf")


def show(rows: Sequence[Run], index: Index, asked: Query, count: int) -> None:
    """Print rows as a table, CSV or JSON."""
    limit = asked.limit
    if asked.form != "table":
        rows = rows if "limit" not in asked.options or limit is None else rows[:limit]
        written = listing.as_csv if asked.form == "csv" else listing.as_json
        sys.stdout.write(written(listing.records(rows, index)))
        return
    if not rows:
        print("no run is like that" if asked.filters or asked.folder else f"there are no runs in {index.logs}")
        return
    kept = rows if limit is None else rows[:limit]
    if len(kept) <= MEASURED:
        index.measure([run for run in kept if not isinstance(run, SweepRow)])
    print("\n".join(listing.table(kept, index, by=asked.options.get("sort", "").removeprefix("-") or None)))
    more = f"; {plural(len(rows) - len(kept), 'more row')} with limit=all" if len(kept) < len(rows) else ""
    print(f"\n{plural(count, 'run')} in {shown_path(index.logs)}{more}")
    if any(isinstance(run, SweepRow) for run in kept):
        print("N/M: N of a sweep's M runs finished, metrics of the best; sweep=NAME lists them")
    print("accuracy, NLL, regret: on fresh points")
    elsewhere = "" if index.logs == logs_folder() else f" paths.logs={shown_path(index.logs)}"
    print(f"a command takes a run by its digits, as {front_door()} evaluate {trained_id(kept)}{elsewhere}")


def trained_id(rows: Sequence[Run]) -> str:
    """Give the digits of the newest network among some rows, for an example."""
    networks = [run for run in rows if run.study == "train" and not isinstance(run, SweepRow)]
    return max(networks, key=lambda run: run.time).id if networks else "DIGITS"


def best(found: Sequence[Run], index: Index, asked: Query) -> int:
    """Print the runs of lowest NLL on validation points, and what to do with the first."""
    having = [run for run in found if run.status == "finished" and chosen_by(run) < float("inf")]
    if not having:
        raise InputError("no finished run of these has an NLL: there is no best one")
    ordered = sorted(having, key=chosen_by)
    if "sort" in asked.options:
        ordered = listing.sort(having, asked.options["sort"], index)
    if asked.form != "table":
        show(ordered, index, asked, len(found))
        return 0
    kept = ordered if asked.limit is None else ordered[: asked.limit]
    index.measure(kept)
    by = asked.options.get("sort", "validation").removeprefix("-")
    print("\n".join(listing.table(kept, index, by=by)))
    first = kept[0]
    words = asked.options.get("sort") or f"NLL on validation points: {chosen_by(first):.4f}"
    print(f"\nbest of {plural(len(having), 'finished run')} by {words}")
    data = {shown_data(run, index) for run in having}
    if len(data) > 1:
        note = f"note: these runs are of {len(data)} kinds of data, each with a limit of its own; data=NAME keeps one"
        print(wrapped(note, indent="  "))
    print(f"folder   {shown_path(index.logs / first.path)}")
    picture = index.logs / first.path / "figures" / "decision_map.png"
    if picture.exists():
        print(f"picture  {shown_path(picture)}")
    return 0


def shown_data(run: Run, index: Index) -> str:
    """Name a run's problem: its data set and those of its keys that move the limit."""
    keys = ("data", "data.noise", "data.arms", "data.classes", "data.path")
    return " ".join(str(index.value(run, key)) for key in keys)


def clean(found: Sequence[Run], index: Index, asked: Query) -> int:
    """Show what may go, ask, and remove it."""
    chosen = removable(found, index.logs, asked.options.get("what", "failed,interrupted,superseded").split(","))
    if not chosen:
        print("nothing to remove: no run failed, was interrupted or is superseded")
        return 0
    index.measure([removal.run for removal in chosen])
    lines = listing.table([removal.run for removal in chosen], index)
    print("\n".join(lines))
    total = sum(removal.run.bytes or 0 for removal in chosen)
    print(f"\n{summary(chosen)}: {listing.bytes_words(total)}")
    if not asked.flag("yes") and not confirmed(f"remove {plural(len(chosen), 'run folder')}?"):
        print("nothing was removed")
        return 0
    gone = [removal for removal in chosen if remove(removal, index.logs)]
    kept = (
        f"; {plural(len(chosen) - len(gone), 'is in use or changed, and stays', 'are in use or changed, and stay')}"
        if len(gone) < len(chosen)
        else ""
    )
    print(f"removed {plural(len(gone), 'run folder')}{kept}")
    return 0


def summary(chosen: Sequence[Removal]) -> str:
    counts: dict[str, int] = {}
    for removal in chosen:
        counts[removal.reason] = counts.get(removal.reason, 0) + 1
    return ", ".join(f"{number} {reason}" for reason, number in counts.items())


def confirmed(question: str, ask: Callable[[str], str] = input) -> bool:
    """Ask a question on the terminal; no where there is none."""
    if not sys.stdin.isatty():
        raise InputError(f"{question} Without a terminal to answer on, pass yes=true")
    return ask(f"{question} [y/N] ").strip().lower() in ("y", "yes")


def logs_of(words: Sequence[str]) -> Path:
    """Give the folder of logs that ``paths.logs=DIR`` among a command's words names, by default the lab's."""
    from mlplab.config import composition as configs  # which loads Hydra

    own = [word for word in words if word.startswith("paths.logs=")]
    pairs = configs.parse_overrides(own)
    return configs.place(pairs[-1][0], str(pairs[-1][1])) if pairs else logs_folder()


def shown_path(path: Path) -> str:
    """Write a path as short as it can be from the current folder."""
    path = path.absolute()
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def table_of_runs(logs: str | Path | None = None, *, sort: str | None = None, **filters: Any) -> Any:
    """List runs from Python: a pandas DataFrame where pandas is installed, else a list of dicts.

    Args:
        logs: the folder of runs; by default the checkout's ``logs/``, else ``logs/`` here.
        sort: as on the command line, such as ``"nll"``; newest first by default.
        **filters: a fact or a key to a value or a list of values, ``model__depth=2`` for ``model.depth``.

    Returns:
        A row a run: its folder (``run``), status, the keys in which any run differs from the defaults, metrics such
        as ``fresh/accuracy`` (a share) and ``fresh/nll`` (nats), seconds, and the time it was last alive.
    """
    index = Index(logs_folder() if logs is None else expanded(logs), conf_folder())
    wanted = {
        key.replace("__", "."): ",".join(map(listing.shown, value))
        if isinstance(value, list | tuple)
        else listing.shown(value)
        for key, value in filters.items()
    }
    found = listing.choose(index.runs(), wanted, index)
    rows = listing.records(listing.sort(found, sort, index) if sort else found, index)
    try:
        import pandas
    except ImportError:
        return rows
    return pandas.DataFrame(rows)
