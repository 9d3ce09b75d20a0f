"""The figures of a search."""

from collections.abc import Mapping, Sequence

from mlplab.plots.mosaic import mosaic
from mlplab.plots.trials import MOST_KEYS, against_keys, front, history
from mlplab.report.drawing import Drawing
from mlplab.report.maps import read_map
from mlplab.report.search import FEWEST_TRIALS, MOST_MAPS, Search, Trial, importance, shown_value
from mlplab.words import plural


def draw_search(search: Search) -> tuple[list[Drawing], list[str]]:
    """Draw history and importance, the objective against each key, the best trials' maps, and the front of two."""
    if not search.trials:
        return [], ["No figure is drawn: no trial has a result."]
    shares, without = importance(search), []
    figures = [draw_history(search, shares), draw_keys(search)]
    if not shares:
        without.append(f"No importance: there are fewer than {FEWEST_TRIALS} trials.")
    maps = draw_maps(search, search.front() if len(search.objectives) > 1 else search.ranked())
    if maps is None:
        without.append("No decision maps: no run of the best trials has one.")
    else:
        figures.append(maps)
    if len(search.objectives) > 1:
        figures.append(draw_front(search))
    without.append("No heat map, curves or ranking: every trial is a setting of its own, tried once.")
    return figures, without


def draw_history(search: Search, shares: Mapping[str, tuple[float, float]]) -> Drawing:
    """Draw the first objective by trial, and what each key explains of it: its share and the share's error."""
    objective, way = next(iter(search.objectives.items()))
    values = [trial.values[0] for trial in search.trials]
    made = history(
        [trial.number for trial in search.trials],
        values,
        {search.names[key]: share for key, share in shares.items()},
        name=objective,
        lowest=way == "minimize",
        title=f"{plural(len(values), 'trial')} for {objective}",
        subtitle=f"sampler {search.sampler}; right: adjusted eta², bars ± standard error over trials",
    )
    caption = "The objective by trial with the best so far, and what each key explains by itself with its error."
    return Drawing("search_history", caption, made)


def draw_keys(search: Search) -> Drawing:
    """Draw the first objective against each key."""
    names, objective = search.names, next(iter(search.objectives))
    more = f"  ·  the first {MOST_KEYS} of {len(names)} keys" if len(names) > MOST_KEYS else ""
    made = against_keys(
        {names[key]: [trial.keys[key] for trial in search.trials] for key in search.keys},
        [trial.values[0] for trial in search.trials],
        logarithmic=[names[key] for key in search.logarithmic],
        name=objective,
        best=search.trials.index(search.ranked()[0]),
        title=f"{objective} against each key",
        subtitle=f"a dot a trial, later ones darker; ★ the best{more}",
    )
    return Drawing("search_keys", "The objective against each key: a dot a trial, later ones darker.", made)


def draw_front(search: Search) -> Drawing:
    """Draw the first two objectives against each other."""
    on = [search.trials.index(trial) for trial in search.front()]
    made = front(
        *([trial.values[k] for trial in search.trials] for k in (0, 1)),
        on,
        names=tuple(search.objectives)[:2],
        title="What can be had together",
        subtitle=f"{len(on)} of {plural(len(search.trials), 'trial')} on the front",
    )
    return Drawing("front", "Two objectives, and the trials that no other beats in both.", made)


def draw_maps(search: Search, trials: Sequence[Trial]) -> Drawing | None:
    """Draw the decision maps of the first trials that have one, in the order given."""
    found = []
    for trial in trials[: 4 * MOST_MAPS]:
        drawn = None if trial.folder is None else read_map(trial.folder / "figures" / "arrays.npz")
        if drawn is not None:
            found.append((trial, *drawn))
        if len(found) == MOST_MAPS:
            break
    if not found:
        return None
    columns = min(4, len(found))
    rows = -(-len(found) // columns)
    padded = [*found, *[(None, None, None)] * (rows * columns - len(found))]
    lines = [padded[row * columns : (row + 1) * columns] for row in range(rows)][::-1]  # the bottom one first
    objective = next(iter(search.objectives))

    def caption(trial: Trial | None) -> str:
        if trial is None:
            return ""
        keys = " ".join(shown_value(value) for value in trial.keys.values())
        return f"{trial.number}: {trial.values[0]:.3g}  {keys}"[:30]

    made = mosaic(
        [[entry[1] for entry in line] for line in lines],
        [[entry[2] for entry in line] for line in lines],
        [""] * columns,
        [""] * rows,
        x_name="",
        y_name="",
        title="What the best trials learned",
        subtitle=f"trial: {objective}, {', '.join(search.names.values())}; the best first",
        captions=[[caption(entry[0]) for entry in line] for line in lines],
    )
    return Drawing("decision_maps", "The decision maps of the best trials.", made)
