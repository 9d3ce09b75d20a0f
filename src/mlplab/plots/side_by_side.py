"""Decision maps of several runs side by side, where two disagree, and their curves together."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from mlplab.errors import InputError
from mlplab.plots.charts import add_chart, epoch_axis, label, legend_row, log_scale, note
from mlplab.plots.curves import BAYES, bayes_level
from mlplab.plots.field import extent_of, padded_log
from mlplab.plots.order import line_colours
from mlplab.plots.panel import Square, draw_axes, draw_field, draw_frame
from mlplab.plots.style import INK, MUTED, figure, page, points_of, text

MOST = 4
SIDE, GAP = 460, 44
# Where two agree, this share of the probabilities gives way to "cannot tell", which is drawn as paper.
FADE = 0.88


def side_by_side(
    maps: Sequence[np.ndarray],
    limit,
    *,
    names: Sequence[str],
    subtitles: Sequence[str] | None = None,
    title: str,
    disagree: bool = True,
    axis_names=None,
) -> Figure:
    """Draw decision maps on one square each and, of the first two, where they name different classes.

    Args:
        maps: two to four, each (R, R, C) as in :func:`~mlplab.plots.decision_map.decision_map`, of one grid.
        limit: of the grid, as there.
        names: of the runs.
        subtitles: under the names, such as their accuracies.
        title: over all.
        disagree: whether to draw the map of disagreement.
        axis_names: of the two axes; x1 and x2 where None.

    Raises:
        InputError: the maps are not of one shape.
    """
    maps = [np.asarray(one, dtype=float) for one in maps[:MOST]]
    if len({one.shape for one in maps}) > 1:
        raise InputError(f"maps must be of one shape to be compared, got {', '.join(str(one.shape) for one in maps)}")
    extent = extent_of(limit)
    shown = [*maps, *([disagreement(*maps[:2])] if disagree else [])]
    names = [
        *names[: len(maps)],
        *(["where the two disagree" if len(maps) == 2 else "where the first two disagree"] if disagree else []),
    ]
    share = float((maps[0].argmax(-1) != maps[1].argmax(-1)).mean())
    subtitles = [
        *(subtitles or [""] * len(maps))[: len(maps)],
        *([f"{100 * share:.1f} % of the square, in the second one's colours"] if disagree else []),
    ]
    width = 2 * 60 + 40 + len(shown) * SIDE + (len(shown) - 1) * GAP
    made = page(width, 190 + SIDE + 90, title)
    for place, (grid, name, below) in enumerate(zip(shown, names, subtitles)):
        left = 100 + place * (SIDE + GAP)
        text(made, left, 104, name, 24, width=SIDE, weight="bold")
        text(made, left, 136, below, 20, width=SIDE, color=MUTED)
        square = Square(made, left, 160, SIDE, extent)
        last = disagree and place == len(shown) - 1
        logs = padded_log(grid)
        draw_field(square, logs, width=2.2, sure=not last)
        draw_frame(square)
        draw_axes(square, size=20, left_side=place == 0, **({"names": tuple(axis_names)} if axis_names else {}))
    return made


def disagreement(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Fade the second map to "cannot tell" wherever the first names the same class."""
    same = first.argmax(-1) == second.argmax(-1)
    faded = (1 - FADE) * second + FADE / second.shape[-1]
    return np.where(same[..., None], faded, second)


def curves_together(
    curves: Mapping[str, tuple[Sequence[float], Sequence[float], Sequence[float] | None]],
    *,
    title: str,
    subtitle: str = "",
    y_name: str = "loss, nats",
    bayes: float | None = None,
) -> Figure:
    """Draw the learning curves of several runs in one chart: validation as a line, training dashed.

    Args:
        curves: name to epochs, training and validation values; validation may be None.
        title: of the picture.
        subtitle: under it.
        y_name: what is drawn.
        bayes: the limit, a level line; None draws none.
    """
    made = page(1560, 740, title, subtitle)
    colours = line_colours(len(curves)) if len(curves) > 1 else [INK]
    entries = [("●", colour, name) for colour, name in zip(colours, curves)]
    legend_row(made, 130, 138, entries + ([] if bayes is None else [("--", BAYES, "Bayes limit")]))
    axes = add_chart(made, 130, 180, 1370, 460)
    log_scale(axes, "y", [*(one for _, *both in curves.values() for one in both), bayes])
    epoch_axis(axes, max(max(epochs) for epochs, _, _ in curves.values()))
    for colour, (epochs, train, other) in zip(colours, curves.values()):
        axes.plot(
            epochs, train, color=colour, lw=points_of(2.5), ls=(0, (3, 2)) if other is not None else "-", alpha=0.8
        )
        if other is not None:
            axes.plot(epochs, other, color=colour, lw=points_of(4))
    bayes_level(axes, bayes)
    label(axes, "epoch (log scale)", y_name)
    return made


def column_curves(history: Mapping[str, Sequence[float]], *, title: str = "", bayes: float | None = None) -> Figure:
    """Draw one run's loss curves for a column of a paper: 3.3 inches wide, letters of 8 points and more.

    Args:
        history: with ``epoch``, ``train/loss`` and ``val/loss``, as for :func:`mlplab.plots.curves.learning_curves`.
        title: over it; "" leaves it out.
        bayes: the limit, a level line; None draws none.
    """
    epochs, train, validation = (history.get(name) for name in ("epoch", "train/loss", "val/loss"))
    top = 50 if title else 16
    made = figure(528, 330 + top)
    if title:
        text(made, 16, 32, title, 21, width=500, weight="bold")
    axes = add_chart(made, 84, top, 428, 240, size=18)
    log_scale(axes, "y", [train, validation, bayes])
    epoch_axis(axes, max(epochs))
    axes.plot(epochs, train, color=MUTED, lw=points_of(3), ls="-" if validation is None else (0, (3, 2)))
    if validation is not None:
        axes.plot(epochs, validation, color=INK, lw=points_of(4))
    bayes_level(axes, bayes)
    shown = (("train", MUTED, train), ("validation", INK, validation), ("Bayes limit", BAYES, bayes))
    for row, (name, colour) in enumerate(one[:2] for one in shown if one[2] is not None):
        # on the upper right, from where the loss has gone
        note(axes, name, (0.98, 0.97 - 0.1 * row), size=18, color=colour, ha="right", va="top")
    label(axes, "epoch (log scale)", "loss, nats", size=18)
    return made
