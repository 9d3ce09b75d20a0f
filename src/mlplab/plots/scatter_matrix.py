"""The scatter matrix: every pair of a table's features, the points of each class and those that the network gets wrong."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Polygon

from mlplab.errors import InputError
from mlplab.plots.panel import Square, draw_frame, draw_points, marks, tick_labels, tick_values
from mlplab.plots.style import DPI, INK, MUTED, class_colour, figure, mix, points_of, text
from mlplab.plots.style import class_names as named

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
            f"values must be finite, got {int((~np.isfinite(values)).any(1).sum())} of {len(values)} rows that are not"
        )
    low, high = values.min(0), values.max(0)
    wide = np.where(high > low, high - low, np.maximum(np.abs(low), 1.0))
    spans = np.stack([low - 0.07 * wide, high + 0.07 * wide], 1)
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
                    rest = pair[~judged & (labels == k)]
                    if len(rest):
                        style = {"ls": "none", "marker": "o", "ms": points_of(faint), "mew": 0, "zorder": 3}
                        square.add(Line2D(*rest.T, mfc=mix(class_colour(k), 0.5, "#ffffff"), **style))
                draw_points(
                    square,
                    pair[judged],
                    labels[judged],
                    predicted[judged],
                    size=size,
                    wrong_size=size + 6 if few else size + 1,
                )
            draw_frame(square)
            edge = row == count - 1, column == 0 and row > 0
            draw_numbers(square, below=edge[0], left=edge[1])
            if edge[0]:
                text(made, place[0] + cell / 2, TOP + SIDE + 66, names[column], 22, ha="center", width=cell)
            if edge[1]:
                most = int(cell / 13.5)
                words = names[row] if len(names[row]) <= most else names[row][: most - 1] + "…"
                style = {"ha": "right", "va": "center", "rotation": 90, "rotation_mode": "default"}
                text(made, LEFT - 88, place[1] + cell / 2, words, 22, **style)
    draw_legend(made, named(classes, class_names), judged, labels, split)
    return made


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
    across, down = made.get_size_inches() * DPI
    left, y, size = 860, TOP + 16, 21

    def mark(x, level, k, pixels, edge, thick):
        at = np.array([[x / across, 1 - level / down]])
        drawn = marks(at, k, pixels, edge, thick, 5)
        drawn.set_transform(made.transFigure)
        made.add_artist(drawn)

    shown = len(names) if len(names) <= MOST_CLASSES else MOST_CLASSES - 1
    step = 34 if shown <= 8 else 26
    for k in range(shown):
        mark(left + 12, y, k, 14, "#ffffff", 1.0)
        text(made, left + 34, y + 0.36 * size, names[k], size, width=1320 - left - 60)
        y += step
    if shown < len(names):
        text(made, left + 34, y + 0.36 * size, f"and {len(names) - shown} more", size, color=MUTED)
        y += step
    y += 14
    sample = int(labels[0])
    rest = int((~judged).sum())
    rows = (
        [(11, "#ffffff", 1.0, f"{split} point, right"), (17, INK, 2.9, f"{split} point, wrong (true class)")]
        if judged.any()
        else []
    )
    for pixels, edge, thick, words in rows:
        mark(left + 12, y, sample, pixels, edge, thick)
        text(made, left + 34, y + 0.36 * size, words, size, width=1320 - left - 60)
        y += 34
    if rest:
        style = {"ls": "none", "marker": "o", "ms": points_of(7), "mew": 0, "transform": made.transFigure}
        made.add_artist(
            Line2D([(left + 12) / across], [1 - y / down], mfc=mix(class_colour(sample), 0.5, "#ffffff"), **style)
        )
        text(made, left + 34, y + 0.36 * size, f"{rest:,} other point{'s' * (rest != 1)}", size, width=1320 - left - 60)
