"""Approximate a function by ReLUs, by every method, with what is provably out of reach beside it."""

import csv
import io
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mlplab.errors import InputError
from mlplab.runs.files import write_text
from mlplab.seeds import derive
from mlplab.studies.recording import Recording, recording
from mlplab.studies.relu import figures as relu_figures
from mlplab.studies.relu.depth import deep
from mlplab.studies.relu.greedy import greedy
from mlplab.studies.relu.hat_training import train_hats
from mlplab.studies.relu.knots import equidistributed, uniform
from mlplab.studies.relu.least_squares import least_squares
from mlplab.studies.relu.minimax import minimax
from mlplab.studies.relu.network import to_sequential
from mlplab.studies.relu.sampling import errors, sample
from mlplab.studies.relu.sawtooth import DeepRelu
from mlplab.studies.relu.sums import ReluSum, check_n
from mlplab.studies.relu.targets import Target, make_target, read_points
from mlplab.studies.relu.trained import train_units
from mlplab.words import columns, folded, markdown_table
from mlplab.words import short_path as shown

COLUMNS = ("target", "method", "start", "n", "max_error", "rms_error", "lower_bound", "floor", "seconds")
# The floor of n ReLUs is the bound of n + 1 pieces, a second solution; beyond this it is not asked for.
FLOOR_UP_TO = 2000
# Training in hats takes dense matrices.
HATS_UP_TO = 128


@dataclass
class Approximation:
    """Hold one approximation and how it was reached.

    Args:
        fit: the best of ``all_max``.
        start: what training started from, or "".
        lower_bound: certified for n pieces, or None.
        all_max, all_rms: errors of all networks trained.
    """

    fit: ReluSum | DeepRelu
    start: str = ""
    lower_bound: float | None = None
    all_max: list[float] = field(default_factory=list)
    all_rms: list[float] = field(default_factory=list)


def _minimax(target: Target, n: int, config: Mapping[str, Any]) -> list[Approximation]:
    found = minimax(target, n)
    return [Approximation(found.fit, lower_bound=found.lower_bound)]


def _trained(target: Target, n: int, config: Mapping[str, Any]) -> list[Approximation]:
    options = dict(config["trained"])
    starts, count = options.pop("starts"), options.pop("networks")
    made = []
    for start in starts:
        if start == "hats" and n > HATS_UP_TO:
            continue
        seeds = [derive(config["seed"], "trained", k) for k in range(1 if start == "minimax" else count)]
        if start == "hats":
            fits = [train_hats(target, n, seed=seed, points=options["points"]) for seed in seeds]
        else:
            begin = minimax(target, n).fit if start == "minimax" else start
            fits = train_units(target, n, seeds=seeds, start=begin, **options).fits
        measured = [measure(target, fit, n) for fit in fits]
        best = int(np.argmin([largest for largest, _ in measured]))
        made.append(Approximation(fits[best], start, None, [m for m, _ in measured], [r for _, r in measured]))
    return made


# Method -> approximations of a target by n ReLUs; training gives one for each start.
METHODS = {
    "uniform": lambda target, n, config: [Approximation(uniform(target, n))],
    "equidistributed": lambda target, n, config: [
        Approximation(equidistributed(target, n, balance=config["equidistributed"]["balance"]))
    ],
    "least_squares": lambda target, n, config: [Approximation(least_squares(target, n))],
    "greedy": lambda target, n, config: [Approximation(greedy(target, n))],
    "minimax": _minimax,
    "trained": _trained,
    "depth": lambda target, n, config: [Approximation(deep(target, n))],
}


def measure(target: Target, fit: ReluSum | DeepRelu, n: int) -> tuple[float, float]:
    """Return the largest and the RMS error of a fit, looking between all knots and where the target bends."""
    knots = fit.knots if isinstance(fit, ReluSum) else np.zeros(0)
    return errors(target, fit, np.concatenate([knots, sample(target, max(8 * n, 512)).x]))


def read_target(options: Mapping[str, Any]) -> Target:
    """Make the configured target.

    Raises:
        InputError: an unknown name, a bad interval or a bad file.
    """
    if options["name"] != "points":
        return make_target(options["name"], options["low"], options["high"])
    if options["path"] is None:
        raise InputError("target.path must be a CSV file of points for target.name=points, got null")
    if options["low"] is not None or options["high"] is not None:
        raise InputError("target.low and target.high must be null for points: the points are the interval")
    return read_points(options["path"])


def relu_approximation(config: Mapping[str, Any], folder: str | Path) -> dict[str, Any]:
    """Approximate the configured target by the configured methods and widths.

    Returns:
        The result, as in ``result.json``: ``rows``, one for each method, width and start of training.

    Raises:
        InputError: a value is not allowed; one line that names the key and the reason.
    """
    torch.set_num_threads(1)
    target = read_target(config["target"])
    asked = [config["n"]] if isinstance(config["n"], int) else list(config["n"])
    widths = sorted({check_n(n) for n in asked})
    names = list(config["method"]["names"])
    if not names:
        raise InputError(f"method.names must be at least one of {', '.join(METHODS)}, got []")
    rows, fits, notes = [], {}, [target.note] if target.note else []
    floors = {n: minimax(target, n + 1).lower_bound for n in widths if n <= FLOOR_UP_TO}
    for name in names:
        for n in widths:
            begin = time.perf_counter()
            try:
                made = METHODS[name](target, n, config)
            except InputError as error:
                # Among all methods the one that does not suit the target is left out.
                if name != "depth" or len(names) == 1:
                    raise
                notes.append(str(error))
                continue
            seconds = (time.perf_counter() - begin) / max(len(made), 1)
            for one in made:
                rows.append(row(target, name, n, one, floors.get(n), seconds))
                fits[name, one.start, n] = one
    with recording(config, folder) as record:
        measured = digits(target, fits)
        measured |= relu_figures.draw(record, config, target, rows, fits, floors)
        final = record.finish({}, write(record, target, rows, fits) | measured | {"notes": notes})
        print(summary(target, rows, measured, notes, record), flush=True)
    return final


def row(target: Target, method: str, n: int, one: Approximation, floor: float | None, seconds: float) -> dict[str, Any]:
    """Make a row of the result."""
    largest, rms = measure(target, one.fit, n)
    made = {
        "target": target.name,
        "method": method,
        "n": n,
        "max_error": largest,
        "rms_error": rms,
        "lower_bound": one.lower_bound,
        "floor": floor if method != "depth" else None,
        "seconds": seconds,
        "start": one.start,
        "units": one.fit.n,
    }
    if isinstance(one.fit, DeepRelu):
        made["hidden_layers"] = one.fit.depth
    return made | ({"all_max_errors": one.all_max, "all_rms_errors": one.all_rms} if one.all_max else {})


def digits(target: Target, fits: Mapping[tuple, Approximation]) -> dict[str, Any]:
    """Measure what float32 loses at the largest width: by segment, by a plain sum, and as a network."""
    sums = [one.fit for (method, _, _), one in fits.items() if method != "trained" and isinstance(one.fit, ReluSum)]
    if not sums:
        return {}
    fit = max(sums, key=lambda one: one.n)
    # Whole products over n activations: a thousand points are enough and fit in memory.
    x = np.linspace(target.low, target.high, 1001).astype(np.float32)
    right = fit(x.astype(np.float64))
    scale = max(float(np.abs(right).max()), 1e-300)
    with torch.no_grad():
        network = to_sequential(fit, (target.low, target.high))(torch.from_numpy(x)[:, None])[:, 0].numpy()
    ulp = float(np.spacing(np.float32(scale)))
    off = {"segments": fit(x), "plain_sum": fit.plain(x), "network": network}
    lost = {f"{name}_error": float(np.abs(values - right).max()) for name, values in off.items()}
    plain = max(lost["plain_sum_error"], ulp / 2)
    return {
        "float32": lost
        | {
            "n": fit.n,
            "segments_ulp": lost["segments_error"] / ulp,
            "plain_sum_digits_lost": float(np.log10(plain / (ulp / 2))),
        }
    }


def write(record: Recording, target: Target, rows: list[dict[str, Any]], fits: Mapping[tuple, Approximation]) -> dict:
    """Write the table as CSV and Markdown, the errors to TensorBoard, and every fit as a network's state."""
    stream = io.StringIO()
    table = csv.DictWriter(stream, COLUMNS, extrasaction="ignore", lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    write_text(record.folder.path / "errors.csv", stream.getvalue())
    write_text(record.folder.path / "errors.md", markdown_table(cells_of(rows), left=2) + "\n")
    for entry in rows:
        tag = entry["method"] + (f"_from_{entry['start']}" if entry["start"] else "")
        record.board.log_metrics(
            {f"max_error/{tag}": entry["max_error"], f"rms_error/{tag}": entry["rms_error"]}, step=entry["n"]
        )
    saved = []
    for (method, start, n), one in fits.items():
        if one.fit.n <= 4096:
            path = record.folder.checkpoints / f"{method}{'_' + start if start else ''}_{n}.pt"
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.save(to_sequential(one.fit, (target.low, target.high)).state_dict(), path)
            saved.append(path.name)
    return {"target": target.name, "low": target.low, "high": target.high, "rows": rows, "networks": saved}


def cells_of(rows: list[dict[str, Any]]) -> list[list[str]]:
    """Write rows as cells, headings first."""

    def cell(value: Any) -> str:
        return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)

    heads = [name.replace("_", " ") for name in COLUMNS[1:]]
    return [heads, *([cell(entry[name]) for name in COLUMNS[1:]] for entry in rows)]


def summary(
    target: Target, rows: list[dict[str, Any]], measured: Mapping[str, Any], notes: list[str], record: Recording
) -> str:
    """Write the closing lines of the study."""
    lines = ["", f"{target.label} on [{target.low:g}, {target.high:g}]", ""]
    lines += [*columns(cells_of(rows), left=2, drop=("seconds", "start")), ""]
    lines += ["lower bound: no n continuous pieces do better; floor: no one-layer network of n ReLUs does"]
    lost = measured.get("float32")
    if lost:
        lines.append(
            f"float32 at n = {lost['n']}: by segment off by {lost['segments_ulp']:.2f} ulp of max|f|, "
            f"as a plain sum by {lost['plain_sum_error']:.2g} "
            f"({lost['plain_sum_digits_lost']:.1f} digits lost)"
        )
    lines += [f"note: {note}" for note in notes]
    return "\n".join([folded("\n".join(lines)), "", f"folder       {shown(record.folder.path)}"])
