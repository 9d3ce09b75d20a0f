"""Two classifiers on one square, side by side: the network and the Bayes limit."""

from matplotlib.figure import Figure

from mlplab.plots.field import extent_of, padded_log
from mlplab.plots.key import draw_key
from mlplab.plots.panel import Square, checked_points, draw_axes, draw_field, draw_frame, draw_points
from mlplab.plots.style import MUTED, page, text
from mlplab.plots.style import class_names as named


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
        probabilities: the network's, shape (R, R, C) as in
            :func:`~mlplab.plots.decision_map.decision_map`.
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
    squares = []
    for index, (left, logs, guess) in enumerate(zip(lefts, grids, (predicted, bayes_predicted))):
        text(made, left, 102, names[index], 25, width=side, weight="bold")
        text(made, left, 134, subtitles[index], 22, width=side, color=MUTED)
        square = Square(made, left, top, side, extent)
        seen, true, guess = checked_points(points, labels, guess, logs, extent)
        draw_field(square, logs, box=box, width=2.4, bayes=grids[1] if index == 0 else None)
        draw_points(square, seen, true, guess, size=8.0, wrong_size=14.0)
        draw_frame(square)
        draw_axes(square, size=22, left_side=index == 0)
        squares.append(square)
    made.square = squares[0]
    left = lefts[1] + side + 40
    draw_key(
        made,
        left,
        top - 8,
        1700 - left - 14,
        named(len(grids[0]), class_names),
        count=len(seen),
        outside=0,
        sample=int(true[0]) if len(true) else 0,
        box=box is not None,
        bayes=True,
        split=split,
    )
    return made
