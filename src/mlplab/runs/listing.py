"""A list of runs: chosen by their status, their place and the keys of their configs; sorted; written out."""

import csv
import fnmatch
import io
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from mlplab.errors import InputError
from mlplab.rules import near
from mlplab.runs.index import ENDED, Index, Run
from mlplab.runs.metrics import CHOOSING, METRICS
from mlplab.runs.names import label, shown
from mlplab.words import Across, columns, cut, terminal_width

# What a run has besides the keys of its config.
FACTS = ("status", "study", "experiment", "sweep", "name", "id")
STATES = (*ENDED, "running", "missing")
# Sorting by these begins with the lowest; by everything else with the highest or newest.
_LOWEST_FIRST = ("nll", "regret", "seconds", "parameters", "error")
_SHORT = {
    "accuracy": "fresh/accuracy",
    "nll": "fresh/nll",
    "regret": "fresh/accuracy_regret",
    "validation": "validation/nll",
}


def fact(run: Run, key: str, index: Index) -> Any:
    """Give a fact of a run, a metric, or a key of its config."""
    if key in FACTS:
        parent = run.parent.split("/")
        facts = {
            "status": run.status,
            "study": run.study,
            "experiment": parent[0],
            "name": run.name,
            "id": run.id,
            "sweep": parent[-1] if len(parent) > 1 else None,
        }
        return facts[key]
    if key == "age":
        return -run.time
    if key == "size":
        return run.bytes
    metric = _SHORT.get(key, key)
    if metric in run.metrics:
        return run.metrics[metric]
    if key in _SHORT:
        return run.metrics.get(metric.replace("fresh/", "test/"))
    return index.value(run, key)


def choose(runs: Sequence[Run], filters: Mapping[str, str], index: Index) -> list[Run]:
    """Keep the runs that have what is asked for.

    Args:
        filters: a fact (:data:`FACTS`) or a key of the config, whole or its last word, to a value; several values
            with commas; ``*`` stands for anything.

    Raises:
        InputError: no run has a key of that name, or the status is none.
    """
    for key, wanted in filters.items():
        words = _split(wanted)
        if key == "status":
            unknown = [word for word in words if word not in STATES and "*" not in word]
            if unknown:
                raise InputError(
                    f"status must be one of {', '.join(STATES)}, got {unknown[0]}{near(unknown[0], STATES)}"
                )
        values = [(run, fact(run, key, index)) for run in runs]
        if runs and key not in FACTS and all(value is None for _, value in values):
            known = dict.fromkeys(
                name for run in runs[:50] for name in index.defaults.keys(run.study or "", run.changed)
            )
            if key not in known and key not in {name.rpartition(".")[2] for name in known}:
                last = [name.rpartition(".")[2] for name in known]
                raise InputError(
                    f"{key} is no key of these runs, got {key}={wanted}{near(key, [*FACTS, *known, *last])}"
                )
        runs = [run for run, value in values if any(_matches(value, word) for word in words)]
    return list(runs)


def sort(runs: Sequence[Run], key: str, index: Index) -> list[Run]:
    """Sort runs by a fact, a metric or a key of the config; those without it come last; ``-KEY`` turns the order."""
    turned, key = key.startswith("-"), key.removeprefix("-")
    if key == "size":
        index.measure(runs)
    having, without = [], []
    for run in runs:
        value = fact(run, key, index)
        (without if value is None else having).append((run, value))
    if not having and runs:
        raise InputError(f"sort must be age, size, accuracy, nll, regret, seconds, parameters or a key, got {key}")
    numbers = all(isinstance(value, int | float) for _, value in having)
    is_metric = key in _SHORT or any(key in run.metrics for run, _ in having) or key == "size"
    low = any(word in key for word in _LOWEST_FIRST) or not is_metric
    having.sort(key=lambda pair: pair[1] if numbers else _natural(pair[1]), reverse=(not low) != turned)
    return [run for run, _ in [*having, *without]]


def table(
    runs: Sequence[Run], index: Index, *, by: str | None = None, width: int | None = None, now: float | None = None
) -> list[str]:
    """Write runs as lines of a terminal's width; what all of them changed alike stands below, once.

    Args:
        by: what they are sorted by; a metric that no other column shows has one of its own.
        width: letters of a line; None for the terminal's.
        now: seconds since 1970, for the ages.
    """
    now = time.time() if now is None else now
    width = terminal_width() if width is None else width
    rows = [("run", "differs from the defaults in", "accuracy", "NLL", "regret", "age", "size")]
    endings = []
    common = common_changes(runs)
    more = _SHORT.get(by, by) if by not in ("accuracy", "nll", "regret") else None
    if not any(more in run.metrics for run in runs):
        more = None
    if more is not None:
        rows[0] = (*rows[0][:2], more.replace("/", " ").replace("nll", "NLL"), *rows[0][2:])
    for run in runs:
        metrics = [fact(run, key, index) for key in ("accuracy", "nll", "regret")]
        cells = (
            "" if metrics[0] is None else f"{100 * metrics[0]:.2f} %",
            nll_words(metrics[1]),
            "" if metrics[2] is None else f"{100 * metrics[2]:.2f}",
        )
        endings.append("" if run.status == "finished" else run.status + (f": {run.error}" if run.error else ""))
        size = "" if run.bytes is None else bytes_words(run.bytes)
        sorted_by = [] if more is None else [metric_words(more, run.metrics.get(more))]
        what = run.label_without(common)
        what = what if what.startswith("sweep/") or run.study in ("train", None) else f"{run.study}: {what}"
        rows.append((run.id, what, *sorted_by, *cells, age_words(now - run.time), size))
    for name in ("regret", "NLL", "size", "accuracy"):  # an empty column
        column = rows[0].index(name)
        if (
            len(rows) > 1
            and not any(row[column] for row in rows[1:])
            and (name in ("size", "regret") or len(rows[0]) > 5)
        ):
            rows = [(*row[:column], *row[column + 1 :]) for row in rows]
    places = [place for place, name in enumerate(rows[0]) if name in ("accuracy", "NLL", "regret")]
    for number, words in enumerate(endings, 1):
        if words and places:  # in the place of its metrics
            cells = [*rows[number]]
            cells[places[0] : places[-1] + 1] = [Across(words), *[""] * (len(places) - 1)]
            rows[number] = tuple(cells)
    lines = columns(rows, left=2, drop=() if more is None else ("size", "age"), width=width)
    if common:
        lines.append(cut(f"all of them: {label(common)}", width))
    return lines


def common_changes(runs: Sequence[Run]) -> dict[str, Any]:
    """Give the changes that all of several runs have in common."""
    if len(runs) < 3:
        return {}
    first = runs[0].changed
    return {key: value for key, value in first.items() if all(run.changed.get(key) == value for run in runs)}


def records(runs: Sequence[Run], index: Index) -> list[dict[str, Any]]:
    """Give each run as plain values by name: facts, every metric, and the keys in which any of them differs."""
    keys = list(dict.fromkeys(key for run in runs for key in run.changed))
    names = [f"{part}/{name}" for part in CHOOSING for name in METRICS]
    names = [*(name for name in names if any(name in run.metrics for run in runs)), "parameters", "seconds"]
    return [
        {
            "run": str(index.logs / run.path),
            "id": run.id,
            "study": run.study,
            "status": run.status,
            "error": run.error,
            **{key: index.value(run, key) for key in keys},
            **{name: run.metrics.get(name) for name in names},
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(run.time)),
            "bytes": run.bytes,
        }
        for run in runs
    ]


def as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Write records as CSV: numbers that read back to the same bits, nothing for null."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(rows[0]) if rows else ["run"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        {key: shown(value) if isinstance(value, bool) else value for key, value in row.items()} for row in rows
    )
    return buffer.getvalue()


def as_json(rows: Sequence[Mapping[str, Any]]) -> str:
    return json.dumps(list(rows), indent=1, ensure_ascii=False) + "\n"


def nll_words(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.4f}" if value < 100 else f"{value:.1e}"


def metric_words(name: str, value: float | None) -> str:
    """Write a metric by its name: an NLL in nats, an accuracy in percent, others in four digits."""
    if value is None or name.endswith("nll"):
        return nll_words(value)
    return f"{100 * value:.2f} %" if name.endswith("accuracy") else f"{value:,.4g}"


def age_words(seconds: float) -> str:
    """Write how long ago something was, in a number and a letter."""
    for letter, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {letter}"
    return f"{max(seconds, 0):.0f} s"


def bytes_words(count: int) -> str:
    """Write a size in three digits and its unit."""
    value, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 999.5:
            break
        value, unit = value / 1000, larger
    return f"{value:.0f} {unit}" if value >= 9.95 or unit == "B" else f"{value:.1f} {unit}"


def _split(text: str) -> list[str]:
    if text.startswith("[") or "," not in text:
        return [text]
    return text.split(",")


def _matches(value: Any, word: str) -> bool:
    text = shown(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(word) == value
        except ValueError:
            pass
    return text == word or str(value) == word or fnmatch.fnmatchcase(text, word)


def _natural(value: Any) -> tuple:
    return (0, float(value), "") if isinstance(value, int | float) else (1, 0.0, str(value))
