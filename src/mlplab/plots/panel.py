"""The square of a decision map: colours, boundaries, the training box, points and axis numbers."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Bbox, BboxTransform, TransformedBbox

from mlplab.errors import InputError
from mlplab.plots.field import Field, axis_positions, boundary, sure_contour
from mlplab.plots.style import DPI, FAINT, INK, MUTED, class_colour, class_marker, points_of, text


class Square:
    """A place in a figure with data coordinates: an Axes without what makes an Axes slow.

    Making and drawing a bare Axes takes 5 ms, an eighth of a decision map.
    """

    def __init__(self, figure: Figure, left: float, top: float, width: float, extent, height: float | None = None):
        """Place it at pixels from the figure's left and top, ``extent`` its (x1 low, high, x2 low, high)."""
        self.figure, self.extent = figure, extent
        self.left, self.top, self.width, self.height = left, top, width, width if height is None else height
        across, down = figure.get_size_inches() * DPI
        share = Bbox.from_bounds(left / across, 1 - (top + self.height) / down, width / across, self.height / down)
        self.box = TransformedBbox(share, figure.transFigure)
        data = Bbox.from_extents(extent[0], extent[2], extent[1], extent[3])
        self.transform = BboxTransform(data, share) + figure.transFigure

    def add(self, artist):
        """Add an artist in data coordinates, clipped at the edge; returns it."""
        artist.set_transform(self.transform)
        artist.set_clip_box(self.box)
        self.figure.add_artist(artist)
        return artist

    def pixels(self, points) -> np.ndarray:
        """Return the (column, row) of points (N, 2) in the figure's pixels, row 0 on top; float (N, 2)."""
        x1, x2 = np.asarray(points, dtype=float).T
        low1, high1, low2, high2 = self.extent
        column = self.left + (x1 - low1) / (high1 - low1) * self.width
        row = self.top + (high2 - x2) / (high2 - low2) * self.height
        return np.stack([column, row], axis=-1)


def fractions(box, extent) -> tuple[float, float, float, float]:
    """Turn a box ((low, low), (high, high)) into fractions of the extent: left, right, bottom, top."""
    corners = np.asarray(box, dtype=float)
    if corners.shape != (2, 2) or not np.isfinite(corners).all() or (corners[0] > corners[1]).any():
        raise InputError(f"box must be ((x1 low, x2 low), (x1 high, x2 high)), got {corners.tolist()}")
    (x1_low, x2_low), (x1_high, x2_high) = corners
    across, up = extent[1] - extent[0], extent[3] - extent[2]
    shares = (
        (x1_low - extent[0]) / across,
        (x1_high - extent[0]) / across,
        (x2_low - extent[2]) / up,
        (x2_high - extent[2]) / up,
    )
    return tuple(float(min(max(share, 0.0), 1.0)) for share in shares)


def draw_field(square, logs, *, box=None, veil=True, width=2.6, sure=True, bayes=None, extent=None) -> None:
    """Draw colours, the boundary, the light contour and the dashed training box; all lengths in pixels.

    Args:
        square: where.
        logs: what ``padded_log`` returns.
        box: (low, high) of the training data.
        veil: whether to veil and hatch what lies outside the box.
        width: of the boundary in pixels; other lines follow it.
        sure: whether to draw the contour of probability 0.9.
        bayes: padded log-probabilities of the Bayes classifier, for its boundary.
        extent: of the grid, where the square shows more than the grid.
    """
    if bayes is not None and bayes.shape[0] != logs.shape[0]:
        raise InputError(f"bayes must have the classes of probabilities, {len(logs)}, got {len(bayes)}")
    extent = square.extent if extent is None else extent
    clear = None if box is None else fractions(box, extent)
    data = Bbox.from_extents(extent[0], extent[2], extent[1], extent[3])
    square.figure.add_artist(Field(logs, TransformedBbox(data, square.transform), clear if veil else None))

    def line(points, **style):
        style = {"solid_capstyle": "round", "solid_joinstyle": "round", "dash_capstyle": "butt", **style}
        square.add(Line2D(points[:, 0], points[:, 1], **style))

    if sure:
        line(sure_contour(logs, extent), color="#ffffff", lw=points_of(0.7 * width), alpha=0.8, zorder=1)
    line(boundary(logs, extent), color=INK, lw=points_of(width), zorder=2)
    if bayes is not None:
        best = boundary(bayes, extent)
        line(best, color="#ffffff", lw=points_of(1.7 * width), zorder=2.1)
        line(best, color=INK, zorder=2.2, **dotted(width))
    if box is not None:
        (left, bottom), (right, top) = np.asarray(box, dtype=float)
        corners = np.array([[left, bottom], [right, bottom], [right, top], [left, top], [left, bottom]])
        line(corners, color=INK, lw=points_of(0.7 * width), ls=(0, (5, 3)), zorder=3)


def dotted(width: float) -> dict:
    """Return the style of the Bayes boundary: round dots ``width`` pixels across."""
    return {"lw": points_of(width), "ls": (0, (0.01, 1.9)), "dash_capstyle": "round"}


def draw_points(square, points, labels, predicted, *, size=9.5, wrong_size=17.0, classes=0) -> None:
    """Draw points by class: right ones small with a light edge, wrong ones larger with a dark edge, on top.

    Args:
        square: where.
        points: shape (N, 2).
        labels: true classes, shape (N,).
        predicted: the network's classes, shape (N,).
        size: pixels of a right point; ``wrong_size`` of a wrong one.
        classes: how many classes there are at least.
    """
    wrong = labels != predicted
    for k in range(max(classes, int(labels.max(initial=-1)) + 1)):
        for chosen, pixels, edge, thick, order in (
            ((labels == k) & ~wrong, size, "#ffffff", 0.11 * size, 4),
            ((labels == k) & wrong, wrong_size, INK, 0.17 * wrong_size, 5),
        ):
            if chosen.any():
                square.add(marks(points[chosen], k, pixels, edge, thick, order))


def marks(points, index: int, pixels: float, edge: str, thick: float, order: float) -> Line2D:
    """Make the markers of one class, ``pixels`` wide with an edge of ``thick`` pixels."""
    # Squares and diamonds fill more of their box than a circle or triangle.
    scale = {"s": 0.86, "D": 0.80, "^": 1.08, "v": 1.08, "<": 1.08}.get(class_marker(index), 1.0)
    return Line2D(
        points[:, 0],
        points[:, 1],
        ls="none",
        marker=class_marker(index),
        zorder=order,
        ms=points_of(scale * pixels),
        mfc=class_colour(index),
        mec=edge,
        mew=points_of(thick),
    )


def tick_values(low: float, high: float, most: int = 6) -> np.ndarray:
    """Choose round numbers within [low, high] for an axis."""
    values = MaxNLocator(most, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    slack = 1e-9 * (high - low)
    return values[(values >= low - slack) & (values <= high + slack)]


def tick_labels(values) -> list[str]:
    """Write numbers with as few digits as tell them apart, and a true minus sign."""
    return [f"{0.0 if abs(value) < 1e-12 else value:.6g}".replace("-", "\u2212") for value in values]


def draw_frame(square: Square) -> None:
    """Draw the thin frame of a square, over what is in it."""
    figure, left, top, width, height = square.figure, square.left, square.top, square.width, square.height
    across, down = figure.get_size_inches() * DPI
    right, bottom = left + width, top + height
    x, y = np.array([left, right, right, left, left]), np.array([top, top, bottom, bottom, top])
    figure.add_artist(Line2D(x / across, 1 - y / down, color=FAINT, lw=points_of(2), zorder=6))


def draw_axes(square: Square, *, size=21, names=("x₁", "x₂"), left_side=True) -> None:
    """Draw the ticks, numbers (``size`` pixels high) and names round a square.

    Args:
        square: round which.
        size: of the numbers, in pixels.
        names: of the two axes; None leaves them out.
        left_side: False leaves out numbers and name on the left, beside a square that has them.
    """
    figure, extent = square.figure, square.extent
    left, top, width, height = square.left, square.top, square.width, square.height
    across, down = figure.get_size_inches() * DPI

    def line(x, y, **style):
        made = Line2D(np.asarray(x) / across, 1 - np.asarray(y) / down, transform=figure.transFigure, **style)
        figure.add_artist(made)

    right, bottom = left + width, top + height
    style = {"color": MUTED, "lw": 0, "ls": "none", "ms": points_of(7), "mew": points_of(2)}
    ticks = tick_values(*extent[:2])
    places = left + (ticks - extent[0]) / (extent[1] - extent[0]) * width
    line(places, np.full(places.shape, bottom), marker=3, **style)
    for place, words in zip(places, tick_labels(ticks)):
        text(figure, place, bottom + 12 + 0.8 * size, words, size, ha="center")
    if names is not None:
        words, style_ = axis_name(names[0])
        text(
            figure, (left + right) / 2, bottom + 12 + 2.15 * size, words, 1.1 * size, ha="center", width=width, **style_
        )
    if not left_side:
        return
    levels = tick_values(*extent[2:])
    places = bottom - (levels - extent[2]) / (extent[3] - extent[2]) * height
    line(np.full(places.shape, left), places, marker=0, **style)
    numbers = tick_labels(levels)
    for place, words in zip(places, numbers):
        text(figure, left - 14, place + 0.36 * size, words, size, ha="right")
    if names is None:
        return
    words, style_ = axis_name(names[1])
    middle = (top + bottom) / 2
    if style_:
        text(figure, left - 14 - 2.3 * size, middle + 0.36 * size, words, 1.1 * size, ha="center", **style_)
        return
    # Upright beside the numbers; a long name is cut before it leaves the square.
    most = int(height / (0.62 * 1.1 * size))
    words = words if len(words) <= most else words[: most - 1] + "…"
    beside = max(left - 26 - 0.6 * size * max(map(len, numbers), default=0), 1.2 * size)
    text(figure, beside, middle, words, 1.1 * size, ha="right", va="center", rotation=90, rotation_mode="default")


def axis_name(name: str) -> tuple[str, dict]:
    """Give an axis's name as it is drawn: a mathematical one (x₁, x₂) in italics and level, a column's upright."""
    mathematical = len(name) == 2 and name[0] == "x" and name[1] in "₁₂"
    return name, {"style": "italic"} if mathematical else {}


def checked_points(points, labels, predicted, logs, extent):
    """Check points beside a grid; classes not given are read from the grid.

    Returns:
        points (N, 2) float, labels (N,) int, predicted (N,) int.

    Raises:
        InputError: where the shapes do not agree or a point is not finite.
    """
    points = np.zeros((0, 2)) if points is None else np.asarray(points, dtype=float)
    if points.ndim != 2 or points.shape[1] != 2:
        raise InputError(f"points must have the shape (count, 2), got {points.shape}")
    if not np.isfinite(points).all():
        count = int((~np.isfinite(points).all(axis=1)).sum())
        raise InputError(f"points must be finite, got {count} of {len(points)} that are not")
    if predicted is None:
        predicted = read_grid(points, logs, extent)
    labels = predicted if labels is None else labels
    for name, values in (("labels", labels), ("predicted", predicted)):
        if np.shape(values) != (len(points),):
            raise InputError(f"{name} must have the shape ({len(points)},) as points, got {np.shape(values)}")
    labels, predicted = np.asarray(labels, dtype=int), np.asarray(predicted, dtype=int)
    if min(labels.min(initial=0), predicted.min(initial=0)) < 0:
        raise InputError(f"labels and predicted must be >= 0, got {labels.min()} and {predicted.min()} at least")
    return points, labels, predicted


def read_grid(points: np.ndarray, logs: np.ndarray, extent) -> np.ndarray:
    """Read the likeliest class at points from a padded grid, interpolated as the colours are; shape (N,)."""
    place = []
    for axis, count in ((0, logs.shape[2] - 2), (1, logs.shape[1] - 2)):
        nodes = axis_positions(count, extent[2 * axis], extent[2 * axis + 1])
        at = np.clip(points[:, axis], nodes[0], nodes[-1])
        lower = np.clip(np.searchsorted(nodes, at, side="right") - 1, 0, count)
        place.append((lower, (at - nodes[lower]) / (nodes[lower + 1] - nodes[lower])))
    (i, u), (j, v) = place
    below = logs[:, j, i] * (1 - u) + logs[:, j, i + 1] * u
    above = logs[:, j + 1, i] * (1 - u) + logs[:, j + 1, i + 1] * u
    return (below * (1 - v) + above * v).argmax(axis=0)
