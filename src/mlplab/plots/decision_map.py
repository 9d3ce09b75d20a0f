"""The decision map: what a classifier says at every place, points it gets right and wrong, and the Bayes classifier beside it."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy.ndimage import distance_transform_edt

from mlplab.plots.field import extent_of, padded_log
from mlplab.plots.key import Background, Key, draw_key
from mlplab.plots.panel import Square, checked_points, draw_axes, draw_field, draw_frame, draw_points
from mlplab.plots.style import COLOURS, MUTED, figure, page, text
from mlplab.plots.style import class_names as named

MOST_POINTS = 5_000  # drawn, in even steps where there are more


def decision_map(
    probabilities,
    limit,
    points=None,
    labels=None,
    *,
    title: str,
    subtitle: str = "",
    predicted=None,
    box=None,
    class_names=None,
    card: bool = False,
    bayes=None,
    split: str = "test",
    axis_names=None,
) -> Figure:
    """Draw class probabilities over a square with the points they are tested on.

    Args:
        probabilities: shape (R, R, C), rows = x2 ascending (bottom first), columns = x1 ascending, at pixel
            centres; each cell sums to 1.
        limit: the square is [-limit, limit] in both axes, or (x1 low, x1 high, x2 low, x2 high).
        points: shape (N, 2), drawn on top; None draws none.
        labels: true classes of the points, shape (N,).
        title: model and epoch.
        subtitle: the figures; see :func:`~mlplab.plots.run_figures.summary`. On a card it stands right of the title.
        predicted: the classifier's classes of the points, shape (N,); read from the grid where None.
        box: (low, high), each of shape (2,): the training data's extent; veiled outside.
        class_names: C names; ``class 0``... where None.
        card: draw the small form for TensorBoard's cards, 520 x 560 pixels without a key.
        bayes: the Bayes classifier's probabilities on the same grid; its boundary is drawn dotted.
        split: what the points are, for the key.
        axis_names: of the two axes; x1 and x2 where None.

    Returns:
        A ``Figure`` of 1320 x 1060 pixels, or a card. Where there are more than ten classes, whose colours are near one
        another, the name of each stands on its region.

    Raises:
        InputError: for arrays of the wrong shape or values that are not finite.
    """
    data = checked_map(probabilities, limit, points, labels, predicted, box, bayes)
    every = -(-len(data.points) // MOST_POINTS) or 1
    data = replace(data, points=data.points[::every], labels=data.labels[::every], predicted=data.predicted[::every])
    if card:
        return draw_card(data, title, subtitle)
    return draw_map(data, title, subtitle, class_names=class_names, split=split, axis_names=axis_names)


@dataclass(frozen=True)
class CheckedMap:
    """What a decision map is drawn from, checked.

    Attributes:
        logs: log-probabilities as `padded_log` gives them.
        extent: of their grid.
        points, labels, predicted: the points drawn, their classes and those of the classifier.
        box: the training data's extent, or None.
        bayes: the Bayes classifier's log-probabilities, or None.
        count: number of points, of which all or some are drawn.
    """

    logs: np.ndarray
    extent: tuple
    points: np.ndarray
    labels: np.ndarray
    predicted: np.ndarray
    box: Any
    bayes: np.ndarray | None
    count: int


def checked_map(probabilities, limit, points, labels, predicted, box, bayes) -> CheckedMap:
    """Check the arrays of a map; see :func:`decision_map`."""
    logs, extent = padded_log(probabilities), extent_of(limit)
    points, labels, predicted = checked_points(points, labels, predicted, logs, extent)
    best = None if bayes is None else padded_log(bayes)
    return CheckedMap(logs, extent, points, labels, predicted, box, best, len(points))


def draw_map(data: CheckedMap, title, subtitle, *, class_names, split, axis_names, shown=None) -> Figure:
    """Draw the full decision map; ``shown`` is the extent of the picture, if wider than the grid's."""
    shown = data.extent if shown is None else shown
    points, labels, predicted = data.points, data.labels, data.predicted
    made = figure(1320, 1060)
    left, top, side = 116, 122, 836
    names = tuple(named(len(data.logs), class_names))
    outside = ((points < (shown[0], shown[2])) | (points > (shown[1], shown[3]))).any(axis=1)
    made.patch.set_visible(False)
    key = Key(
        names,
        count=data.count if len(points) == data.count else f"{len(points):,} of {data.count:,}",
        outside=int(outside.sum()),
        sample=int(labels[0]) if len(labels) else 0,
        box=data.box is not None,
        bayes=data.bayes is not None,
        split=split,
    )
    made.add_artist(Background((1320, 1060), (left, top, side), shown, key, axis_names or ("x₁", "x₂")))
    text(made, left, 54, title, 34, width=1320 - left - 20, weight="bold")
    text(made, left, 98, subtitle, 23, width=1320 - left - 20, color=MUTED)
    made.square = Square(made, left, top, side, shown)
    draw_field(made.square, data.logs, box=data.box, bayes=data.bayes, extent=data.extent)
    # Where many points are wrong, large marks would hide the map.
    wrong = (labels != predicted).sum()
    many = wrong > max(100, 0.15 * len(labels))
    draw_points(made.square, points, labels, predicted, wrong_size=7.0 if wrong > 1000 else 11.5 if many else 17.0)
    if len(data.logs) > len(COLOURS):
        draw_region_names(made.square, data.logs, data.extent, names)
    draw_frame(made.square)
    return made


def draw_region_names(square: Square, logs, extent, names, least: float = 0.004) -> None:
    """Write the name of each class at the place of its region that is farthest from any other class.

    Args:
        square: of the map.
        logs: what ``padded_log`` returns.
        extent: of the grid.
        names: of the classes.
        least: share of the map below which a region has no name.
    """
    classes = logs[:, 1:-1, 1:-1].argmax(axis=0)
    rows, columns = classes.shape
    for k, name in enumerate(names):
        region = classes == k
        if region.mean() < least:
            continue
        # The picture's edge is an edge of the region too.
        depth = distance_transform_edt(np.pad(region, 1))[1:-1, 1:-1]
        row, column = np.unravel_index(depth.argmax(), depth.shape)
        x = extent[0] + (column + 0.5) / columns * (extent[1] - extent[0])
        y = extent[2] + (row + 0.5) / rows * (extent[3] - extent[2])
        ((left, top),) = square.pixels([[x, y]])
        plate = {"boxstyle": "round,pad=0.18", "fc": "#ffffff", "ec": "none", "alpha": 0.78}
        text(square.figure, left, top + 8, str(name)[:14], 22, ha="center", weight="bold", bbox=plate, zorder=7)


def draw_card(data: CheckedMap, title, subtitle) -> Figure:
    """Draw the small form of a decision map: title left, subtitle right, no key."""
    made = figure(520, 560)
    left, top, side = 52, 62, 454
    made.patch.set_visible(False)
    made.add_artist(Background((520, 560), (left, top, side), data.extent))
    text(made, left, 42, title, 25, width=0.55 * side, weight="bold")
    text(made, left + side, 42, subtitle, 22, width=0.44 * side, color=MUTED, ha="right")
    made.square = Square(made, left, top, side, data.extent)
    draw_field(made.square, data.logs, box=data.box, veil=False, width=1.8, sure=False, bayes=data.bayes)
    draw_points(made.square, data.points, data.labels, data.predicted, size=6.0, wrong_size=11.0)
    draw_frame(made.square)
    return made


def comparison(
    probabilities,
    bayes,
    limit,
    points=None,
    labels=None,
    *,
    title: str,
    names=("network", "Bayes classifier"),
    subtitles=("", ""),
    predicted=None,
    bayes_predicted=None,
    box=None,
    class_names=None,
    split: str = "test",
) -> Figure:
    """Draw a network's map with the Bayes boundary over it, and the Bayes classifier's own map beside it.

    Args:
        probabilities: the network's, shape (R, R, C) as in :func:`decision_map`.
        bayes: the Bayes classifier's, on the same grid.
        limit: the square is [-limit, limit] in both axes, or (x1 low, x1 high, x2 low, x2 high).
        points: shape (N, 2), drawn in both; None draws none.
        labels: true classes, shape (N,).
        title: over both.
        names: of the two classifiers.
        subtitles: accuracy and NLL of each.
        predicted: the network's classes of the points; read from the grid where None.
        bayes_predicted: the Bayes classifier's.
        box: (low, high), each of shape (2,): the training data's extent.
        class_names: C names.
        split: what the points are, for the key.

    Returns:
        A ``Figure`` of 1700 x 870 pixels.

    Raises:
        InputError: for arrays of the wrong shape or values that are not finite.
    """
    extent = extent_of(limit)
    grids = padded_log(probabilities), padded_log(bayes)
    top, side, lefts = 150, 620, (92, 754)
    made = page(1700, 870, title, left=lefts[0])
    for index, (left, logs, guess) in enumerate(zip(lefts, grids, (predicted, bayes_predicted))):
        text(made, left, 102, names[index], 25, width=side, weight="bold")
        text(made, left, 134, subtitles[index], 22, width=side, color=MUTED)
        square = Square(made, left, top, side, extent)
        seen, true, guess = checked_points(points, labels, guess, logs, extent)
        draw_field(square, logs, box=box, width=2.4, bayes=grids[1] if index == 0 else None)
        draw_points(square, seen, true, guess, size=8.0, wrong_size=14.0)
        draw_frame(square)
        draw_axes(square, size=22, left_side=index == 0)
        made.square = made.square or square
    left = lefts[1] + side + 40
    sample = int(true[0]) if len(true) else 0
    key = Key(tuple(named(len(grids[0]), class_names)), len(seen), 0, sample, box is not None, True, split)
    draw_key(made, left, top - 8, 1700 - left - 14, key)
    return made


def drawn_limit(points, *, least: float = 2.0, step: float = 0.25) -> float:
    """Choose the limit of a square [-L, L]^2 that holds all points with a margin of 4 %.

    Args:
        points: shape (N, 2).
        least: the smallest limit.
        step: the limit is rounded up to a multiple of this.

    Returns:
        L >= ``least``; compute the network's grid over it.
    """
    farthest = float(np.abs(np.asarray(points, dtype=float)).max(initial=0.0))
    return max(float(least), float(np.ceil(1.04 * farthest / step) * step))


def shares(points, labels, predicted, box) -> str:
    """Write the accuracy inside and outside the training box, each with its count of points."""
    low, high = np.asarray(box, dtype=float)
    inside = ((points >= low) & (points <= high)).all(axis=1)
    parts = []
    for name, chosen in (("inside the training box", inside), ("outside", ~inside)):
        if chosen.any():
            accuracy = 100 * (labels == predicted)[chosen].mean()
            parts.append(f"{name} {accuracy:.1f} % of {int(chosen.sum())}")
    return "  ·  ".join(parts)


def out_of_distribution(
    probabilities,
    limit,
    points,
    labels,
    *,
    title: str,
    box,
    subtitle: str | None = None,
    predicted=None,
    class_names=None,
    bayes=None,
    split: str = "evaluation",
    axis_names=None,
) -> Figure:
    """Draw evaluation points over the network's map with the range of its training data.

    The picture grows to hold every point: beyond the grid it stays the colour of paper. To have the map all
    over, compute the grid over ``drawn_limit(points)``.

    Args:
        probabilities: shape (R, R, C) as in :func:`~mlplab.plots.decision_map.decision_map`.
        limit: of the grid.
        points: evaluation points, shape (N, 2).
        labels: their true classes, shape (N,).
        title: what is evaluated on what.
        box: (low, high), each of shape (2,): the training data's extent.
        subtitle: accuracy inside and outside the box where None.
        predicted: the network's classes, shape (N,); read from the grid where None, so that points beyond it
            are given the class of its edge.
        class_names: C names.
        bayes: the Bayes classifier's probabilities on the same grid.
        split: what the points are, for the key.
        axis_names: of the two axes; x1 and x2 where None.

    Returns:
        A ``Figure`` of 1320 x 1060 pixels.

    Raises:
        InputError: for arrays of the wrong shape or values that are not finite.
    """
    data = checked_map(probabilities, limit, points, labels, predicted, box, bayes)
    words = shares(data.points, data.labels, data.predicted, box) if subtitle is None else subtitle
    shown = grown(data.extent, data.points)
    return draw_map(data, title, words, class_names=class_names, split=split, axis_names=axis_names, shown=shown)


def grown(extent, points) -> tuple[float, float, float, float]:
    """Grow an extent about its centre, by the same factor both ways, until it holds all points."""
    centre = np.array([extent[0] + extent[1], extent[2] + extent[3]]) / 2
    half = np.array([extent[1] - extent[0], extent[3] - extent[2]]) / 2
    factor = float((np.abs(points - centre) / half).max(initial=0.0))
    if factor <= 1.0:
        return extent
    half = 1.04 * factor * half
    low, high = centre - half, centre + half
    return (float(low[0]), float(high[0]), float(low[1]), float(high[1]))
