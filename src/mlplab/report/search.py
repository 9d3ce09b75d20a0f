"""A search read back: its trials, what each key did to the objective, the best trials and the front."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from mlplab.errors import InputError
from mlplab.runs.files import read_record
from mlplab.runs.names import short_names
from mlplab.words import plural

BINS = 5
REPEATS = 200
FEWEST_TRIALS = 10
# Two keys are looked at together by thirds of each.
PAIR_BINS, FEWEST_FOR_PAIRS = 3, 30
MOST_MAPS = 8


@dataclass
class Trial:
    """One complete trial: its number, the values of the keys by name, the objectives, and its run folder."""

    number: int
    keys: dict[str, Any]
    values: list[float]
    folder: Path | None


@dataclass
class Search:
    """What ``search.json`` says.

    Attributes:
        objectives: their names, and ``minimize`` or ``maximize``.
        keys: the searched keys.
        logarithmic: those searched on a logarithmic scale.
        trials: the complete ones, by number.
        counts: of trials by state.
        sampler: its name.
    """

    objectives: dict[str, str]
    keys: list[str]
    logarithmic: set[str]
    trials: list[Trial]
    counts: dict[str, int] = field(default_factory=dict)
    sampler: str = ""

    @property
    def names(self) -> dict[str, str]:
        return dict(zip(self.keys, short_names(self.keys)))

    def worse(self, place: int = 0) -> np.ndarray:
        """Give an objective of all trials, so that smaller is better; shape (trials,)."""
        way = list(self.objectives.values())[place]
        values = np.array([trial.values[place] for trial in self.trials])
        return values if way == "minimize" else -values

    def ranked(self) -> list[Trial]:
        """List the trials by the first objective, the best first."""
        return [self.trials[place] for place in np.argsort(self.worse(), kind="stable")]

    def front(self) -> list[Trial]:
        """List the trials that no other beats in one objective without losing in another."""
        values = np.stack([self.worse(place) for place in range(len(self.objectives))], 1)
        beaten = [bool(np.any(np.all(values <= own, 1) & np.any(values < own, 1))) for own in values]
        return [trial for trial, lost in zip(self.trials, beaten) if not lost]


def read_search(folder: Path) -> Search | None:
    """Read the record of a search; None where the folder is that of a sweep.

    Raises:
        InputError: the record is damaged.
    """
    path = folder / "search.json"
    if not path.is_file():
        return None
    record = read_record(path)
    try:
        keys = [text.partition("=")[0].lstrip("+~") for text in record["space"]]
        logarithmic = {
            key for key, text in zip(keys, record["space"]) if "log" in text.partition("=")[2].partition("(")[2][:8]
        }
        trials = []
        for entry in record["trials"]:
            values = [entry["values"][name] for name in record["objective"]]
            if entry["state"] != "complete" or any(type(v) not in (int, float) or not math.isfinite(v) for v in values):
                continue
            given = dict(text.lstrip("+~").partition("=")[::2] for text in entry["overrides"] or [])
            where = folder / entry["folder"] if entry.get("folder") else None
            trials.append(Trial(entry["number"], {key: typed(given.get(key)) for key in keys}, values, where))
        return Search(
            dict(record["objective"]), keys, logarithmic, trials, dict(record["counts"]), str(record["sampler"])
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is damaged: {type(error).__name__} {error}") from error


def typed(text: str | None) -> Any:
    """Read a value as a number where it is one."""
    for kind in (int, float):
        try:
            return kind(text)
        except (TypeError, ValueError):
            continue
    return text


def bins(values: Sequence[Any], most: int = BINS) -> np.ndarray:
    """Number the group of each value: itself where there are few kinds or it is no number, else fifths of all."""
    kinds = sorted(set(map(str, values)))
    if len(kinds) <= most or not all(isinstance(value, int | float) for value in values):
        return np.array([kinds.index(str(value)) for value in values])
    numbers = np.array(values, dtype=float)
    edges = np.quantile(numbers, np.linspace(0, 1, most + 1)[1:-1])
    return np.searchsorted(edges, numbers, side="right")


def importance(search: Search) -> dict[str, tuple[float, float]]:
    """Estimate how much of the objective's variation each key explains by itself.

    It is the adjusted eta squared, 1 - (SSW / (n - k)) / (SST / (n - 1)), of the trials grouped by the key's values
    (numbers of more than five kinds by fifths), of the objective's logarithm where it is positive, at least 0. A
    sampler that learns tries good values more often, so this describes the trials and no other ones.

    Returns:
        By key the share, and its standard error from 200 bootstrap samples of the trials; empty under ten trials.
    """
    if len(search.trials) < FEWEST_TRIALS:
        return {}
    y, samples = resampled(search)
    found = {}
    for key in search.keys:
        groups = bins([trial.keys[key] for trial in search.trials])
        again = [explained(y[sample], groups[sample]) for sample in samples]
        found[key] = (explained(y, groups), float(np.std(again, ddof=1)))
    return dict(sorted(found.items(), key=lambda item: -item[1][0]))


def together(search: Search) -> tuple[str, str, float, float] | None:
    """Find the two keys that explain most together beyond what each explains by itself.

    It is the adjusted eta squared of the trials grouped by both keys (numbers by thirds), less those of either key.

    Returns:
        The two keys, the further share, and its standard error from bootstrap samples; None under 30 trials or two keys.
    """
    if len(search.trials) < FEWEST_FOR_PAIRS or len(search.keys) < 2:
        return None
    y, samples = resampled(search)
    groups = {key: bins([trial.keys[key] for trial in search.trials], PAIR_BINS) for key in search.keys}

    def further(a: np.ndarray, b: np.ndarray, at: Any = slice(None)) -> float:
        both = a[at] * (b.max() + 1) + b[at]
        return explained(y[at], both) - explained(y[at], a[at]) - explained(y[at], b[at])

    shares = {(a, b): further(groups[a], groups[b]) for a, b in combinations(search.keys, 2)}
    first, second = max(shares, key=shares.get)
    again = [further(groups[first], groups[second], sample) for sample in samples]
    return first, second, max(0.0, shares[first, second]), float(np.std(again, ddof=1))


def resampled(search: Search) -> tuple[np.ndarray, np.ndarray]:
    """Give the objective, its logarithm where it is positive, and bootstrap samples of the trials' places."""
    y = search.worse()
    y = np.log(y) if (y > 0).all() else y
    return y, np.random.default_rng(0).integers(len(y), size=(REPEATS, len(y)))


def explained(y: np.ndarray, groups: np.ndarray) -> float:
    """Return the adjusted eta squared of numbers in groups, at least 0; 0 where there is one group or no spread."""
    kinds, places = np.unique(groups, return_inverse=True)
    total = ((y - y.mean()) ** 2).sum()
    if len(kinds) < 2 or len(kinds) >= len(y) or total == 0:
        return 0.0
    means = np.bincount(places, y) / np.bincount(places)
    within = ((y - means[places]) ** 2).sum()
    return float(max(0.0, 1 - within / (len(y) - len(kinds)) / (total / (len(y) - 1))))


def lead(search: Search) -> list[str]:
    """Say in a few sentences what was searched and what resulted."""
    said = ", ".join(f"{count} {state}" for state, count in search.counts.items() if count)
    names = ", ".join(search.names.values())
    lines = [f"A search ({search.sampler}) over {names} for {', '.join(search.objectives)}: {said}."]
    if not search.trials:
        return [*lines, "No trial has a result."]
    first = search.ranked()[0]
    keys = " ".join(f"{search.names[key]}={shown_value(value)}" for key, value in first.keys.items())
    lines.append(f"Best trial: {first.number} with {next(iter(search.objectives))} {first.values[0]:.4g}: {keys}.")
    if len(search.objectives) > 1:
        lines.append(
            f"{plural(len(search.front()), 'trial is', 'trials are')} on the front: none other is better in one objective and no worse in another."
        )
    found = importance(search)
    if found:
        shares = "; ".join(
            f"{search.names[key]} {100 * share:.0f} ± {100 * error:.0f} %" for key, (share, error) in found.items()
        )
        lines.append(
            f"Share of the objective's variation over the trials that a key explains by itself (± standard error): {shares}."
        )
        pair = together(search)
        if pair is not None and pair[2] > max(
            0.05, 3 * pair[3]
        ):  # the largest of several: no false find in 360 searches
            first, second, share, error = search.names[pair[0]], search.names[pair[1]], *pair[2:]
            lines.append(
                f"{first} and {second} together explain a further {100 * share:.0f} ± {100 * error:.0f} %: what one does "
                "depends on the other."
            )
        elif pair is not None:
            lines.append(
                f"No two keys explain much more together than each by itself (at most {100 * pair[2]:.0f} ± {100 * pair[3]:.0f} %)."
            )
    else:
        lines.append(f"With fewer than {FEWEST_TRIALS} trials no importance is computed.")
    lines.append(
        "Each trial is one run, the best of many: its objective flatters it. Repeat the best few over seeds before believing "
        "their order."
    )
    return lines


def shown_value(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
