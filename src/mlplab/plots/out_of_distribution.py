"""Does it generalise? Points that may lie where the network never trained, over its map."""

import numpy as np
from matplotlib.figure import Figure

from mlplab.plots.decision_map import draw_map
from mlplab.plots.field import extent_of, padded_log
from mlplab.plots.panel import checked_points


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
    extent = extent_of(limit)
    logs = padded_log(probabilities)
    points, labels, predicted = checked_points(points, labels, predicted, logs, extent)
    words = shares(points, labels, predicted, box) if subtitle is None else subtitle
    best = None if bayes is None else padded_log(bayes)
    return draw_map(
        logs,
        extent,
        points,
        labels,
        predicted,
        title,
        words,
        box=box,
        class_names=class_names,
        bayes=best,
        split=split,
        axis_names=axis_names,
        shown=grown(extent, points),
    )


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
