"""The scatter matrix: every pair of a table's features, the points of each class and those that the network gets wrong."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Polygon

from mlplab.errors import InputError
from mlplab.plots.key import Column
from mlplab.plots.panel import Square, draw_frame, draw_points, tick_labels, tick_values
from mlplab.plots.style import INK, MUTED, class_colour, figure, mix, points_of, text
from mlplab.plots.style import class_names as named
from mlplab.words import plural

MOST = 5  # features; more would be too small to read
MOST_CLASSES = 14  # named in the key
SIDE, LEFT, TOP, GAP = 1080, 150, 130, 12


def scatter_matrix(
    values, labels, predicted, *, names, title: str, subtitle: str = "", class_names=None, split: str = "test"
) -> Figure:
    """Draw each pair of features below the diagonal, and the distribution of each on it.

    Args:
        values: shape (N, D), 2 <= D <= `MOST`, in the units of the data.
        labels: true classes, shape (N,).
        predicted: the network's classes, shape (N,); -1 for a point that is shown faintly and not judged.
        names: of the D features.
        title: model and data.
        subtitle: the figures.
        class_names: C names; ``class 0``... where None.
        split: what the judged points are, for the key.

    Returns:
        A ``Figure`` of 1320 x 1320 pixels.

    Raises:
        InputError: for arrays of the wrong shape or values that are not finite.
    """
    values, labels, predicted = np.asarray(values, float), np.asarray(labels, int), np.asarray(predicted, int)
    _expect_points(values, labels, predicted, names)
    count, spans = values.shape[1], _spans(values)
    judged = predicted >= 0
    few = (judged & (labels != predicted)).sum() <= 300
    classes = int(max(labels.max(), predicted.max())) + 1 if class_names is None else len(class_names)
    made = figure(1320, 1320)
    text(made, LEFT, 54, title, 34, width=1320 - LEFT - 20, weight="bold")
    text(made, LEFT, 98, subtitle, 23, width=1320 - LEFT - 20, color=MUTED)
    cell = (SIDE - (count - 1) * GAP) / count
    size, faint = {2: (10, 7), 3: (9, 6)}.get(count, (7, 4.5))
    for row in range(count):
        for column in range(row + 1):
            place = LEFT + column * (cell + GAP), TOP + row * (cell + GAP)
            if row == column:
                square = Square(made, *place, cell, (*spans[row], 0.0, 1.08))
                draw_distribution(square, values[:, row], labels, classes)
            else:
                square = Square(made, *place, cell, (*spans[column], *spans[row]))
                pair = values[:, [column, row]]
                for k in range(classes):
                    _draw_faintly(square, pair[~judged & (labels == k)], k, faint)
                own = pair[judged], labels[judged], predicted[judged]
                draw_points(square, *own, size=size, wrong_size=size + 6 if few else size + 1)
            draw_frame(square)
            below, beside = row == count - 1, column == 0 and row > 0
            draw_numbers(square, below=below, left=beside)
            if below:
                text(made, place[0] + cell / 2, TOP + SIDE + 66, names[column], 22, ha="center", width=cell)
            if beside:
                _name_row(made, names[row], place[1] + cell / 2, cell)
    draw_legend(made, named(classes, class_names), judged, labels, split)
    return made


def _expect_points(values: np.ndarray, labels: np.ndarray, predicted: np.ndarray, names) -> None:
    count = values.shape[1] if values.ndim == 2 else 0
    if (
        not 2 <= count <= MOST
        or not len(values)
        or len(names) != count
        or {labels.shape, predicted.shape} != {(len(values),)}
    ):
        raise InputError(
            f"values must be (N, D) with N >= 1, D from 2 to {MOST}, D names and N labels and predictions, got {values.shape}, "
            f"{len(names)}, {labels.shape} and {predicted.shape}"
        )
    if not np.isfinite(values).all():
        raise InputError(
            f"values must be finite, got {int((~np.isfinite(values)).any(1).sum())} of {plural(len(values), 'row')} that are not"
        )


def _spans(values: np.ndarray) -> np.ndarray:
    """Give the range drawn of each feature, shape (D, 2)."""
    low, high = values.min(0), values.max(0)
    wide = np.where(high > low, high - low, np.maximum(np.abs(low), 1.0))
    return np.stack([low - 0.07 * wide, high + 0.07 * wide], 1)


def _draw_faintly(square: Square, points: np.ndarray, k: int, size: float) -> None:
    """Draw the points of a class that are not judged."""
    if len(points):
        style = {"ls": "none", "marker": "o", "ms": points_of(size), "mew": 0, "zorder": 3}
        square.add(Line2D(*points.T, mfc=mix(class_colour(k), 0.5, "#ffffff"), **style))


def _name_row(made: Figure, name: str, middle: float, cell: float) -> None:
    most = int(cell / 13.5)
    words = name if len(name) <= most else name[: most - 1] + "…"
    style = {"ha": "right", "va": "center", "rotation": 90, "rotation_mode": "default"}
    text(made, LEFT - 88, middle, words, 22, **style)


def draw_distribution(square: Square, values, labels, classes: int, bins: int = 24) -> None:
    """Draw a histogram of each class, all with one scale, their heights as shares of the tallest."""
    edges = np.linspace(*square.extent[:2], bins + 1)
    counts = np.stack([np.histogram(values[labels == k], edges)[0] for k in range(classes)])
    counts = counts / max(counts.max(), 1)
    x = np.repeat(edges, 2)
    for k in range(classes):
        y = np.concatenate([[0.0], np.repeat(counts[k], 2), [0.0]])
        colour = class_colour(k)
        square.add(Polygon(np.stack([x, y], 1), closed=True, facecolor=colour, alpha=0.35, lw=0, zorder=2))
        square.add(Line2D(x, y, color=colour, lw=points_of(2.2), zorder=3))


def draw_numbers(square: Square, *, below: bool, left: bool) -> None:
    """Draw few numbers beneath a square and on its left, where asked for."""
    for wanted, (low, high), at in ((below, square.extent[:2], 0), (left, square.extent[2:], 1)):
        ticks = tick_values(low, high, 4 if square.width < 300 else 6) if wanted else []
        for tick, words in zip(ticks, tick_labels(ticks)):
            share = (tick - low) / (high - low)
            if at == 0:
                text(
                    square.figure,
                    square.left + share * square.width,
                    square.top + square.height + 28,
                    words,
                    18,
                    ha="center",
                )
            else:
                text(
                    square.figure, square.left - 10, square.top + (1 - share) * square.height + 6, words, 18, ha="right"
                )


def draw_legend(made: Figure, names, judged, labels, split: str) -> None:
    """Draw what shapes and colours mean, in the free corner on the upper right."""
    column = Column(made, 860, TOP + 16, 1320 - 860 - 26)
    shown = len(names) if len(names) <= MOST_CLASSES else MOST_CLASSES - 1
    step = 34 if shown <= 8 else 26
    for k in range(shown):
        column.mark(column.left + 12, column.y, k, 14, "#ffffff", 1.0)
        column.say(names[k], 34)
        column.y += step
    if shown < len(names):
        column.say(f"and {len(names) - shown} more", 34, color=MUTED)
        column.y += step
    column.y += 14
    sample, rest = int(labels[0]), int((~judged).sum())
    rows = [(11, "#ffffff", 1.0, f"{split} point, right"), (17, INK, 2.9, f"{split} point, wrong (true class)")]
    for pixels, edge, thick, words in rows if judged.any() else ():
        column.mark(column.left + 12, column.y, sample, pixels, edge, thick)
        column.say(words, 34)
        column.y += 34
    if rest:
        x, y = column.left + 12, column.y
        style = {"ls": "none", "marker": "o", "ms": points_of(7), "mew": 0}
        column.line((x,), (y,), mfc=mix(class_colour(sample), 0.5, "#ffffff"), **style)
        column.say(plural(rest, "other point"), 34)
