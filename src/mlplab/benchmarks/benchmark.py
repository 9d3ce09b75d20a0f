"""Benchmarks: systems in turn in one run, medians and ratios beside their targets, as Markdown and JSON."""

import importlib.util
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from itertools import groupby
from pathlib import Path
from typing import Any

from mlplab.config.composition import logs_folder, parse_overrides
from mlplab.errors import InputError
from mlplab.runs.files import write_json
from mlplab.words import cut, terminal_width, wrapped
from mlplab.words import short_path as shown

# Word -> module with rows(options) that yields Row after Row.
BENCHMARKS = {
    "train": "mlplab.benchmarks.train",
    "near_bayes": "mlplab.benchmarks.near_bayes",
    "speedrun": "mlplab.benchmarks.speedrun",
    "lif": "mlplab.benchmarks.lif",
    "relu": "mlplab.benchmarks.relu",
    "sweep": "mlplab.benchmarks.sweep",
    "data": "mlplab.benchmarks.data",
}

Row = dict[str, Any]


def benchmark(words: Sequence[str]) -> int:
    """Run benchmarks: ``benchmark [NAME ...] [repeats=5] [paths.logs=DIR]``; all of them by default.

    Returns:
        0; a missed target is shown in the table, it is no error.

    Raises:
        InputError: an unknown benchmark or option.
    """
    names = [word for word in words if "=" not in word] or list(BENCHMARKS)
    repeats, logs = 5, logs_folder()
    for key, value in parse_overrides([word for word in words if "=" in word]):
        if key == "repeats" and isinstance(value, int) and value >= 1:
            repeats = value
        elif key == "paths.logs":
            logs = Path(str(value)).absolute()
        else:
            raise InputError(f"benchmark takes repeats=N (an integer >= 1) and paths.logs=DIR, got {key}={value}")
    for name in names:
        if name not in BENCHMARKS:
            near = get_close_matches(name, BENCHMARKS, n=1)
            raise InputError(
                f"the benchmark must be one of {', '.join(BENCHMARKS)}, got {name!r}"
                + (f"; did you mean {near[0]}?" if near else "")
            )
    for name in names:
        print(f"\n## {name}\n", flush=True)
        rows = list(importlib.import_module(BENCHMARKS[name]).rows(repeats, logs))
        print("\n".join(table(rows)), flush=True)
        path = logs / "benchmark" / f"{name}.json"
        write_json(path, rows)
        print(f"\n{shown(path)}")
    return 0


def row(
    work: str,
    system: str,
    seconds: float | None,
    *,
    ratio: float | None = None,
    target: str = "",
    ok: bool | None = None,
    **more: Any,
) -> Row:
    """Make one row; ``seconds`` None and a ``note`` for a system that is not installed."""
    return {"work": work, "system": system, "seconds": seconds, "ratio": ratio, "target": target, "ok": ok, **more}


def table(rows: Iterable[Row]) -> list[str]:
    """Write rows as lines: under each piece of work its systems, with seconds and ratio first, and the targets."""
    lines: list[str] = []
    for work, group in groupby(rows, key=lambda entry: entry["work"]):
        group = list(group)
        lines += ["", *wrapped(work).splitlines()]
        cells = [["seconds", "ratio", "system"]]
        for entry in group:
            shown = entry.get("shown") or ("" if entry["seconds"] is None else f"{entry['seconds']:.4g}")
            ratio = "" if entry["ratio"] is None else f"{entry['ratio']:.3g}"
            cells.append(
                [shown or "-", ratio, entry["system"] if shown else f"{entry['system']}: {entry.get('note', '')}"]
            )
        widths = [max(len(row[i]) for row in cells) for i in (0, 1)]
        lines += [cut(f"  {row[0]:>{widths[0]}}  {row[1]:>{widths[1]}}  {row[2]}", terminal_width()) for row in cells]
        for entry in group:
            if entry["target"]:
                verdict = {True: "met", False: "MISSED", None: "not measured"}[entry["ok"]]
                lines += wrapped(f"{entry['system']}: target {entry['target']}: {verdict}", indent="  ").splitlines()
    return lines


def in_turn(systems: Mapping[str, Callable[[], Any]], repeats: int, *, cpu: bool = False) -> dict[str, float]:
    """Time systems A B C A B C ... after one uncounted round; give each one's median seconds.

    Args:
        systems: names to functions that do the whole work.
        repeats: counted rounds.
        cpu: count the process's CPU time in place of the clock.
    """
    clock = time.process_time if cpu else time.perf_counter
    taken: dict[str, list[float]] = {name: [] for name in systems}
    for number in range(repeats + 1):
        for name, work in systems.items():
            start = clock()
            work()
            if number:
                taken[name].append(clock() - start)
        print(f"  round {number}/{repeats}", file=sys.stderr, flush=True)
    return {name: statistics.median(values) for name, values in taken.items()}


def installed(module: str) -> bool:
    """Say whether a peer can be imported, without importing it."""
    return importlib.util.find_spec(module) is not None
