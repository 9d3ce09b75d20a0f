"""Class probabilities on a grid as a picture: hue for the class, strength for how sure it is, lines where the class changes."""

import math
from functools import lru_cache

import numpy as np
from contourpy import LineType, contour_generator
from matplotlib.artist import Artist

from mlplab.errors import InputError
from mlplab.plots.style import PAPER, class_colour, rgb

# Tint of a class at probability 1, inside the training box and outside it.
TINT = 0.60
VEILED = 0.40
LEVELS = 256
FLOOR = 1e-30
HATCH_PERIOD = 22
STRIPES = 3


def extent_of(limit) -> tuple[float, float, float, float]:
    """Turn a limit into (x1 low, x1 high, x2 low, x2 high): one number L stands for [-L, L] squared."""
    values = np.atleast_1d(np.asarray(limit, dtype=float))
    if values.size == 1 and values[0] > 0 and np.isfinite(values[0]):
        return (-float(values[0]), float(values[0])) * 2
    if values.size == 4 and np.isfinite(values).all() and values[0] < values[1] and values[2] < values[3]:
        return tuple(float(value) for value in values)
    raise InputError(f"limit must be a number > 0 or (x1 low, x1 high, x2 low, x2 high), got {limit!r}")


def padded_log(probabilities) -> np.ndarray:
    """Check class probabilities on a grid and return their logarithms, continued to the picture's edge.

    The grid holds pixel centres, so the picture reaches half a pixel beyond them. Between the centres the
    logarithm is the right thing to interpolate: where both sides are sure, probabilities would run through
    a third class's colour.

    Args:
        probabilities: shape (R, R, C) or (R, S, C), rows = x2 ascending (bottom first), columns = x1
            ascending, last axis summing to 1.

    Returns:
        float32 array of shape (C, R + 2, S + 2); the outermost rows and columns lie on the edges.

    Raises:
        InputError: for another shape, a value that is not finite or not a probability.
    """
    values = np.asarray(probabilities)
    if values.ndim != 3 or 0 in values.shape:
        raise InputError(f"probabilities must have the shape (rows, columns, classes), got {values.shape}")
    bad = int(np.count_nonzero(~np.isfinite(values).all(axis=-1)))
    if bad:
        cells = values.shape[0] * values.shape[1]
        raise InputError(f"probabilities must be finite, got {bad} of {cells} grid cells that are not")
    total = values.sum(axis=-1)
    if values.min() < -1e-6 or np.abs(total - 1.0).max() > 1e-3:
        raise InputError(
            "probabilities must be >= 0 and sum to 1 over the last axis, got "
            f"a least value of {values.min():.3g} and sums from {total.min():.3g} to {total.max():.3g}"
        )
    inner = np.log(np.maximum(np.moveaxis(values, -1, 0), FLOOR)).astype(np.float32)
    classes, rows, columns = inner.shape
    out = np.empty((classes, rows + 2, columns + 2), np.float32)
    out[:, 1:-1, 1:-1] = inner
    for near, first, second in ((0, 1, 2), (-1, -2, -3)):
        # Half a cell on along the straight line through the last two centres; one cell alone stays flat.
        out[:, near, 1:-1] = 1.5 * out[:, first, 1:-1] - 0.5 * out[:, second if rows > 1 else first, 1:-1]
    for near, first, second in ((0, 1, 2), (-1, -2, -3)):
        out[:, :, near] = 1.5 * out[:, :, first] - 0.5 * out[:, :, second if columns > 1 else first]
    return out


def axis_positions(count: int, low: float, high: float) -> np.ndarray:
    """Return the coordinates of ``count`` pixel centres of [low, high] with both edges added."""
    centres = low + (high - low) * (np.arange(count) + 0.5) / count
    return np.concatenate([[low], centres, [high]])


def interpolation(count: int, pixels: int) -> tuple[np.ndarray, np.ndarray]:
    """Place ``pixels`` pixel centres among ``count`` padded ones: lower index and weight of the upper one."""
    nodes = axis_positions(count, 0.0, 1.0)
    at = (np.arange(pixels) + 0.5) / pixels
    lower = np.clip(np.searchsorted(nodes, at, side="right") - 1, 0, count)
    return lower, ((at - nodes[lower]) / (nodes[lower + 1] - nodes[lower])).astype(np.float32)


@lru_cache(maxsize=16)
def colour_table(classes: int, paper: str = PAPER) -> np.ndarray:
    """Tabulate colours by (hatch stripe, class, strength); shape (STRIPES + 1, classes, LEVELS), RGBA words,
    the last class first.

    Stripe 0 is the clear map; stripe 1 the veiled one, higher ones the lines of the hatch over it.
    """
    strength = np.linspace(0.0, 1.0, LEVELS)[:, None]
    table = np.full((STRIPES + 1, classes, LEVELS, 4), 255, np.uint8)
    for stripe in range(STRIPES + 1):
        tint = TINT if stripe == 0 else VEILED * (1.0 - 0.55 * (stripe - 1) / (STRIPES - 1))
        for k in range(classes):
            share = tint * strength
            shade = share * rgb(class_colour(k)) + (1.0 - share) * rgb(paper)
            table[stripe, classes - 1 - k, :, :3] = np.round(255.0 * shade)
    return table.view(np.uint32)[..., 0]


@lru_cache(maxsize=8)
def hatch(height: int, width: int) -> np.ndarray:
    """Draw diagonal lines with soft edges; uint8 of shape (height, width), 1 (veil) to STRIPES (line)."""
    phase = (np.arange(height)[:, None] - np.arange(width)[None, :]) % HATCH_PERIOD
    away = np.minimum(phase, HATCH_PERIOD - phase)
    return np.clip(STRIPES + 0.4 - away, 1, STRIPES).astype(np.uint8)


def colour(logs: np.ndarray, height: int, width: int, clear=None) -> np.ndarray:
    """Colour a grid of log-probabilities at ``height`` x ``width`` pixels.

    Hue is the class of the largest probability p, strength is (p - 1/C) / (1 - 1/C).

    Args:
        logs: what :func:`padded_log` returns.
        height: pixels.
        width: pixels.
        clear: (left, right, bottom, top) as fractions of the picture: veiled and hatched outside; None
            leaves all of it clear.

    Returns:
        uint8 array of shape (height, width, 4), RGBA, the bottom row first as in the grid.
    """
    classes = logs.shape[0]
    column, along = interpolation(logs.shape[2] - 2, width)
    row, up = interpolation(logs.shape[1] - 2, height)
    wide = np.take(logs, column, axis=2)
    wide += (np.take(logs, column + 1, axis=2) - wide) * along
    rise = np.diff(wide, axis=1)
    table = colour_table(classes).ravel()
    out = np.empty((height, width), np.uint32)
    if clear is not None:
        left, right = (max(0, int(round(edge * width))) for edge in clear[:2])
        bottom, top = (max(0, int(round(edge * height))) for edge in clear[2:])
        stripes = hatch(height, width)
    # Blocks of rows keep the temporaries in the processor's cache.
    for start in range(0, height, 16):
        rows = slice(start, min(start + 16, height))
        values = np.take(rise, row[rows], axis=1)
        values *= up[rows, None]
        values += np.take(wide, row[rows], axis=1)
        values -= values.max(axis=0)
        # The first class that reaches the largest value, as argmax counts, and faster.
        index = np.zeros(values.shape[1:], np.int32)
        for k in range(classes - 1):
            np.maximum(index, (values[k] == 0) * np.int32((classes - 1 - k) * LEVELS), out=index)
        # Interpolated logarithms do not sum to 1: normalise again.
        largest = 1.0 / np.exp(values, out=values).sum(axis=0)
        if classes > 1:
            largest = (largest - 1.0 / classes) * (classes / (classes - 1.0))
        largest *= LEVELS - 1
        largest += 0.5
        index += np.clip(largest, 0, LEVELS - 1, out=largest).astype(np.int32)
        if clear is not None:
            stripe = stripes[rows] * np.int32(classes * LEVELS)
            stripe[max(bottom - start, 0) : max(top - start, 0), left:right] = 0
            index += stripe
        np.take(table, index, out=out[rows], mode="clip")
    return out.view(np.uint8).reshape(height, width, 4)


class Field(Artist):
    """Draw the colours of a grid over a box of the figure, computed at the pixels of the moment.

    Matplotlib's own resampling of an image costs more than the rest of the picture.
    """

    def __init__(self, logs: np.ndarray, box, clear=None):
        """Take :func:`padded_log`'s array, a box with display coordinates, and :func:`colour`'s ``clear``."""
        super().__init__()
        self.logs, self.box, self.clear = logs, box, clear
        self.set_zorder(0)

    def draw(self, renderer):
        """Colour the grid at the box's size and hand it to the renderer."""
        left, bottom = int(round(self.box.x0)), int(round(self.box.y0))
        width, height = int(round(self.box.x1)) - left, int(round(self.box.y1)) - bottom
        if width < 1 or height < 1:
            return
        # A vector picture holds its images at a resolution of their own.
        finer = renderer.get_image_magnification()
        height, width = (max(1, round(size * finer)) for size in (height, width))
        context = renderer.new_gc()
        renderer.draw_image(context, left, bottom, colour(self.logs, height, width, self.clear))
        context.restore()


SURE = 0.9


def contour(field: np.ndarray, level: float, extent) -> np.ndarray:
    """Trace a level of a padded grid; returns points of shape (M, 2), pieces parted by a row of NaN."""
    x1, x2 = grid(field.shape, tuple(extent))
    made = contour_generator(x1, x2, field, name="serial", line_type=LineType.ChunkCombinedNan)
    lines = made.lines(level)[0][0]
    return np.empty((0, 2)) if lines is None else lines


@lru_cache(maxsize=4)
def grid(shape: tuple[int, int], extent: tuple[float, float, float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Give x1 and x2 of every point of a padded grid, both of its shape (R + 2, S + 2), read-only.

    Left to contourpy, making them took a third of the tracing; the lines of a map, and the maps of a sweep,
    share them.
    """
    x1 = axis_positions(shape[1] - 2, extent[0], extent[1])
    x2 = axis_positions(shape[0] - 2, extent[2], extent[3])
    places = tuple(np.meshgrid(x1, x2))
    for place in places:
        place.flags.writeable = False
    return places


def joined(pieces) -> np.ndarray:
    """Join traced lines into one array of shape (M, 2), parted by rows of NaN."""
    gap = np.full((1, 2), np.nan)
    return np.concatenate([gap, *(part for piece in pieces for part in (piece, gap))])


def boundary(logs: np.ndarray, extent) -> np.ndarray:
    """Trace where the two likeliest classes are equal: margin 0; shape (M, 2) with NaN rows."""
    pieces, classes = [], logs.argmax(axis=0)
    for k in range(len(logs) - 1):
        others = logs.copy()
        others[k] = -np.inf
        margin = np.clip(logs[k] - others.max(axis=0), math.log(FLOOR), -math.log(FLOOR))
        if margin.min() < 0 < margin.max():
            pieces.append(without_lower(contour(margin, 0.0, extent), k, classes, extent))
    return joined(pieces)


def without_lower(line: np.ndarray, k: int, classes: np.ndarray, extent) -> np.ndarray:
    """Take out what was traced before: a line drawn twice looks heavier than its neighbours.

    Args:
        line: the outline of class k's region, shape (M, 2) with NaN rows; the classes below k were traced.
        k: the class.
        classes: the likeliest class at each padded grid point.
        extent: of the picture.
    """
    below, above = [], []
    for axis, count in ((1, classes.shape[0]), (0, classes.shape[1])):
        low, high = extent[2 * axis], extent[2 * axis + 1]
        at = np.nan_to_num((line[:, axis] - low) / (high - low)) * (count - 2) + 0.5
        below.append(np.clip(np.floor(at + 1e-6).astype(int), 0, count - 1))
        above.append(np.clip(np.ceil(at - 1e-6).astype(int), 0, count - 1))
    # A vertex lies between two grid points, one of class k and one of its rival. What comes second at the
    # point of class k says less: where the network is sure, all other classes may be equally impossible.
    first, second = classes[tuple(below)], classes[tuple(above)]
    drop = (np.where(first == k, second, first) < k) | np.isnan(line[:, 0])
    # Keep a vertex more at each end, so that no gap opens where three regions meet.
    around = np.concatenate([[True], drop, [True]])
    drop = drop & around[:-2] & around[2:]
    return np.where(drop[:, None], np.nan, line)


def sure_contour(logs: np.ndarray, extent, probability: float = SURE) -> np.ndarray:
    """Trace where the likeliest class has the given probability; shape (M, 2) with NaN rows."""
    pieces = []
    total = np.logaddexp.reduce(logs, axis=0)
    for k in range(logs.shape[0]):
        level = logs[k] - total
        if level.min() < math.log(probability) < level.max():
            # The log-odds are straighter than the probability between two grid points.
            odds = level - np.log(np.maximum(-np.expm1(np.minimum(level, -1e-12)), FLOOR))
            pieces.append(contour(odds, math.log(probability / (1 - probability)), extent))
    return joined(pieces)
