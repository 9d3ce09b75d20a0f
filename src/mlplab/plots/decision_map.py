"""The decision map: what a classifier says at every place, and the test points it gets right and wrong."""

from matplotlib.figure import Figure

from mlplab.plots.field import extent_of, padded_log
from mlplab.plots.furniture import Furniture
from mlplab.plots.panel import Square, checked_points, draw_field, draw_frame, draw_points
from mlplab.plots.style import MUTED, figure, text
from mlplab.plots.style import class_names as named


def summary(accuracy: float, wrong: int, count: int, nll: float | None = None, *, split: str = "test") -> str:
    """Write the line under a title: accuracy (0 to 1), points wrong of ``count``, mean NLL."""
    words = f"{split} accuracy {100 * accuracy:.1f} %  ·  {wrong} of {count} wrong"
    return words if nll is None else f"{words}  ·  NLL {nll:.3f}"


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
) -> Figure:
    """Draw class probabilities over a square with the points they are tested on.

    Args:
        probabilities: shape (R, R, C), rows = x2 ascending (bottom first), columns = x1 ascending, at pixel
            centres; each cell sums to 1.
        limit: the square is [-limit, limit] in both axes, or (x1 low, x1 high, x2 low, x2 high).
        points: shape (N, 2), drawn on top; None draws none.
        labels: true classes of the points, shape (N,).
        title: model and epoch.
        subtitle: the figures; see :func:`summary`. On a card it stands right of the title.
        predicted: the classifier's classes of the points, shape (N,); read from the grid where None.
        box: (low, high), each of shape (2,): the training data's extent; veiled outside.
        class_names: C names; ``class 0``... where None.
        card: draw the small form for TensorBoard's cards, 520 x 560 pixels without a key.
        bayes: the Bayes classifier's probabilities on the same grid; its boundary is drawn dashed.
        split: what the points are, for the key.

    Returns:
        A ``Figure`` of 1320 x 1060 pixels, or a card.

    Raises:
        InputError: for arrays of the wrong shape or values that are not finite.
    """
    extent = extent_of(limit)
    logs = padded_log(probabilities)
    best = None if bayes is None else padded_log(bayes)
    points, labels, predicted = checked_points(points, labels, predicted, logs, extent)
    if card:
        return draw_card(logs, extent, points, labels, predicted, title, subtitle, box, best)
    return draw_map(
        logs,
        extent,
        points,
        labels,
        predicted,
        title,
        subtitle,
        box=box,
        class_names=class_names,
        bayes=best,
        split=split,
    )


def draw_map(
    logs, extent, points, labels, predicted, title, subtitle, *, box, class_names, bayes, split, shown=None
) -> Figure:
    """Draw the full decision map from checked arrays; ``shown`` is the extent of the picture, if wider."""
    shown = extent if shown is None else shown
    made = figure(1320, 1060)
    left, top, side = 116, 122, 836
    names = tuple(named(len(logs), class_names))
    outside = ((points < (shown[0], shown[2])) | (points > (shown[1], shown[3]))).any(axis=1)
    made.patch.set_visible(False)
    made.add_artist(
        Furniture(
            (1320, 1060),
            (left, top, side),
            shown,
            names=names,
            count=len(points),
            outside=int(outside.sum()),
            sample=int(labels[0]) if len(labels) else 0,
            box=box is not None,
            bayes=bayes is not None,
            split=split,
        )
    )
    text(made, left, 54, title, 34, width=1320 - left - 20, weight="bold")
    text(made, left, 98, subtitle, 23, width=1320 - left - 20, color=MUTED)
    made.square = Square(made, left, top, side, shown)
    draw_field(made.square, logs, box=box, bayes=bayes, extent=extent)
    # Where many points are wrong, large marks would hide the map.
    many = (labels != predicted).sum() > max(100, 0.15 * len(labels))
    draw_points(made.square, points, labels, predicted, wrong_size=11.5 if many else 17.0)
    draw_frame(made.square)
    return made


def draw_card(logs, extent, points, labels, predicted, title, subtitle, box, bayes) -> Figure:
    """Draw the small form of a decision map: title left, subtitle right, no key."""
    made = figure(520, 560)
    left, top, side = 52, 62, 454
    made.patch.set_visible(False)
    made.add_artist(Furniture((520, 560), (left, top, side), extent))
    text(made, left, 42, title, 25, width=0.55 * side, weight="bold")
    text(made, left + side, 42, subtitle, 22, width=0.44 * side, color=MUTED, ha="right")
    made.square = Square(made, left, top, side, extent)
    draw_field(made.square, logs, box=box, veil=False, width=1.8, sure=False, bayes=bayes)
    draw_points(made.square, points, labels, predicted, size=6.0, wrong_size=11.0)
    draw_frame(made.square)
    return made
