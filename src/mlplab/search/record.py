"""What a search leaves: search.json, and a table of its best trials in a terminal's width."""

import math
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from mlplab.runs.files import write_json
from mlplab.runs.metrics import OBJECTIVES
from mlplab.runs.names import short_names
from mlplab.search.trials import Trials
from mlplab.words import columns, thinned

FORMAT = 1
ROWS = 8
STATES = {TrialState.COMPLETE: "complete", TrialState.FAIL: "failed", TrialState.RUNNING: "open"}


def record(trials: Trials) -> dict[str, Any]:
    """Put together what ``search.json`` says; without times: a search that was stopped writes the same."""
    plan, entries = trials.plan, [_entry(trials, trial) for trial in trials.all()]
    best = distinct(trials.best())
    return {
        "format": FORMAT,
        "objective": {name: OBJECTIVES[name] for name in plan.objectives},
        "sampler": plan.sampler,
        "seed": plan.seed,
        "batch": trials.batch,
        "optuna": optuna.__version__,
        "space": [dimension.text for dimension in plan.space],
        "fixed": list(plan.fixed),
        "counts": {state: sum(entry["state"] == state for entry in entries) for state in STATES.values()},
        "best": [trial.number for trial in (best if len(plan.objectives) > 1 else best[:1])],
        "trials": entries,
    }


def write_record(trials: Trials, folder: Path) -> None:
    """Write ``search.json``."""
    write_json(folder / "search.json", record(trials))


def _entry(trials: Trials, trial: FrozenTrial) -> dict[str, Any]:
    values = trial.values if trial.state == TrialState.COMPLETE else [None] * len(trials.plan.objectives)
    asked = all(dimension.key in trial.params for dimension in trials.plan.space)
    return {
        "number": trial.number,
        "state": STATES[trial.state],
        "values": dict(zip(trials.plan.objectives, values)),
        "overrides": trials.overrides(trial) if asked else None,
        **{"folder": None, "status": None, "error": None, **trial.user_attrs.get("facts", {})},
    }


def distinct(found: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Keep the first of those trials that asked for the same."""
    return list({repr(sorted(trial.params.items())): trial for trial in reversed(found)}.values())[::-1]


def table(trials: Trials, name: str, rows: int = ROWS) -> str:
    """Draw the best trials, and the options of the best, ready to paste.

    Args:
        trials: at least one of them complete.
        name: of the search.
        rows: at most.
    """
    plan, best = trials.plan, distinct(trials.best())
    counts = record(trials)["counts"]
    said = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    several = len(plan.objectives) > 1
    shown = thinned(best, rows) if several else best[:rows]
    what = f"{len(best)} on the front, none beaten in all of" if several else f"the best {len(shown)} by"
    lines = [f"{name}: {said}; {what} {', '.join(plan.objectives)}"]
    header = ["trial", *plan.objectives, *short_names([dimension.key for dimension in plan.space])]
    body = [_row(trials, trial) for trial in shown]
    lines += columns([header, *body], left=0)
    for number, objective in enumerate(plan.objectives):
        winner = min(best, key=lambda trial: (trials._rank(trial, number), trial.number))
        options = [*plan.fixed, *trials.overrides(winner)]
        lines.append(f"best {objective}: {shlex.join(options)}")
    return "\n".join(lines)


def _row(trials: Trials, trial: FrozenTrial) -> list[str]:
    values = [dimension.override(trial.params[dimension.key]) for dimension in trials.plan.space]
    return [str(trial.number), *map(_number, trial.values), *(_cell(text.partition("=")[2]) for text in values)]


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e9 else f"{value:.4g}"


def _cell(text: str) -> str:
    try:
        value = float(text)
    except ValueError:
        return text if len(text) <= 16 else text[:15] + "…"
    return _number(value) if math.isfinite(value) else text
