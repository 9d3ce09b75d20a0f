"""The key beside a decision map, and with it what stays as it is from frame to frame, drawn once and kept as pixels."""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mlplab.plots.field import LEVELS, SURE, colour_table, hatch
from mlplab.plots.panel import Square, dotted, draw_axes, marks
from mlplab.plots.style import DPI, INK, MUTED, figure, pixels, points_of, text
from mlplab.words import plural

MOST_ROWS = 12


class Swatch(Artist):
    """Blit an image of RGBA pixels at a place given in the figure's pixels from left and top."""

    def __init__(self, image: np.ndarray, left: float, top: float):
        super().__init__()
        self.image, self.left, self.top = image, left, top

    def draw(self, renderer):
        """Hand the image to the renderer, grown or shrunk by whole pixels to the figure's resolution."""
        root = self.get_figure(root=True)
        scale = root.dpi / DPI
        finer = scale * renderer.get_image_magnification()
        height, width = (max(1, int(round(size * finer))) for size in self.image.shape[:2])
        rows = (np.arange(height) * self.image.shape[0]) // height
        columns = (np.arange(width) * self.image.shape[1]) // width
        image = np.ascontiguousarray(self.image[rows][:, columns])
        bottom = root.bbox.height - (self.top + self.image.shape[0]) * scale
        context = renderer.new_gc()
        renderer.draw_image(context, round(self.left * scale), round(bottom), image[::-1])
        context.restore()


def ramp(classes: int, index: int, width: int, height: int) -> np.ndarray:
    """Colour a bar from probability 1/C on the left to 1 on the right; RGBA (height, width, 4)."""
    table = colour_table(classes)[0].reshape(classes, LEVELS)[classes - 1 - index]
    strength = (np.arange(width) * (LEVELS - 1)) // max(width - 1, 1)
    bar = np.repeat(table[strength][None], height, axis=0)
    return np.ascontiguousarray(bar).view(np.uint8).reshape(height, width, 4)


def veiled(width: int, height: int) -> np.ndarray:
    """Draw a piece of the veil and hatch that lie outside the training data; RGBA (height, width, 4)."""
    grey = np.array([0, 205, 222, 255], np.uint8)[hatch(height, width)][::-1]
    return np.dstack([grey, grey, grey, np.full_like(grey, 255)])


class Key(NamedTuple):
    """What the key beside a decision map says.

    Attributes:
        names: one name for each class.
        count: how many points are drawn, or such a phrase as "5,000 of 20,000"; 0 leaves the points' part out.
        outside: how many more lie outside the picture.
        sample: the class whose marker stands for right and wrong points.
        box: whether a training box is drawn.
        bayes: whether a Bayes boundary is drawn.
        split: what the points are.
    """

    names: tuple[str, ...]
    count: int | str
    outside: int
    sample: int
    box: bool
    bayes: bool
    split: str


class Column:
    """Draw marks and lines of words one under the other; ``y`` is where the next one stands, in pixels from the top."""

    size = 21

    def __init__(self, figure: Figure, left: float, y: float, width: float):
        self.figure, self.left, self.y, self.width = figure, left, y, width
        self.across, self.down = figure.get_size_inches() * DPI

    def add(self, made: Artist) -> None:
        """Add an artist whose coordinates are parts of the figure."""
        made.set_transform(self.figure.transFigure)
        self.figure.add_artist(made)

    def mark(self, x: float, y: float, k: int, pixels: float, edge: str, thick: float) -> None:
        """Draw the mark of class ``k`` at pixels from left and top."""
        self.add(marks(np.array([[x / self.across, 1 - y / self.down]]), k, pixels, edge, thick, 5))

    def line(self, x: Sequence[float], y: Sequence[float], **style) -> None:
        """Draw a line through places in pixels."""
        self.add(Line2D(np.array(x) / self.across, 1 - np.array(y) / self.down, **style))

    def say(self, words: str, right: float = 0, lower: float = 0, color: str = INK) -> None:
        """Write a line of words, so far to the right of the column and below ``y``."""
        text(
            self.figure,
            self.left + right,
            self.y + lower + 0.36 * self.size,
            words,
            self.size,
            width=self.width - right,
            color=color,
        )

    def row(self, words: str, **style) -> None:
        """Write what a mark means, or a line of this style, and go on below it."""
        if style:
            self.line((self.left, self.left + 40), (self.y, self.y), **style)
        self.say(words, 54)
        self.y += 38


def draw_key(figure: Figure, left: float, top: float, width: float, key: Key) -> None:
    """Draw the key at pixels ``left`` and ``top`` from the figure's left and top, ``width`` pixels wide."""
    column = Column(figure, left, top + 20, width)
    _draw_classes(column, key.names)
    if key.count:
        _draw_points(column, key)
    _draw_lines(column, key)


def _draw_classes(column: Column, names: Sequence[str]) -> None:
    figure, left, size, classes = column.figure, column.left, column.size, len(names)
    shown = classes if classes <= MOST_ROWS else MOST_ROWS - 1
    bar_left, bar, step = left + 34, 118, 44 if classes <= 6 else 36
    text(figure, left, column.y, "class and its probability", size, color=MUTED, width=column.width)
    column.y += 20
    for k in range(shown):
        middle = column.y + step / 2
        column.mark(left + 12, middle, k, 14, "#ffffff", 1.0)
        figure.add_artist(Swatch(ramp(classes, k, bar, step - 8), bar_left, column.y + 4))
        text(figure, bar_left + bar + 12, middle + 0.36 * size, names[k], size, width=column.width - bar - 46)
        column.y += step
    column.y += 22
    if classes > shown:
        text(figure, bar_left, column.y + 4, f"and {classes - shown} more", size, color=MUTED)
        column.y += step
    if classes > 1:
        y = column.y
        text(figure, bar_left, y, f"1/{classes}", 19, ha="center", color=MUTED)
        text(figure, bar_left + bar, y, "1", 19, ha="center", color=MUTED)
        sure = bar_left + bar * (SURE - 1 / classes) / (1 - 1 / classes)
        column.line((sure, sure), (y - 22, y - 22 - step * shown + 4), color="#ffffff", lw=points_of(2.2))
    column.y += 50


def _draw_points(column: Column, key: Key) -> None:
    column.say(plural(key.count, f"{key.split} point"), color=MUTED)
    column.y += 38
    if key.outside:
        column.say(f"({key.outside} outside the picture)", lower=-8, color=MUTED)
        column.y += 30
    column.mark(column.left + 20, column.y, key.sample, 11, "#ffffff", 1.0)
    column.row("right")
    column.mark(column.left + 20, column.y, key.sample, 17, INK, 2.9)
    column.row("wrong (true class)")
    column.y += 14


def _draw_lines(column: Column, key: Key) -> None:
    figure, left = column.figure, column.left
    text(figure, left, column.y + 0.36 * column.size, "lines", column.size, color=MUTED)
    column.y += 38
    column.row("decision boundary", color=INK, lw=points_of(2.6))
    if key.bayes:
        column.row("Bayes boundary", color=INK, **dotted(2.6))
    grey = np.broadcast_to(np.array([200, 206, 216, 255], np.uint8), (14, 40, 4))
    figure.add_artist(Swatch(grey, left, column.y - 7))
    column.row(f"probability {SURE:g}", color="#ffffff", lw=points_of(2.4))
    if key.box:
        column.row("range of training data", color=INK, lw=points_of(1.8), ls=(0, (5, 3)))
        figure.add_artist(Swatch(veiled(40, 26), left, column.y - 13))
        column.row("no training data")


def laid_out(dpi: float, size, square, extent, key: Key | None, axes) -> Figure:
    """Lay out axis numbers and, where ``key`` is given, the axes' names and the key, in a figure of its own."""
    made = figure(*size)
    draw_axes(Square(made, *square, extent), **({"names": axes} if key else {"size": 18, "names": None}))
    if key:
        left, top, side = square
        draw_key(made, left + side + 42, top, size[0] - left - side - 52, key)
    made.set_dpi(dpi)
    return made


@lru_cache(maxsize=8)
def background(dpi: float, size, square, extent, key: Key | None, axes) -> np.ndarray:
    """Draw what :func:`laid_out` lays out; RGBA (height, width, 4), bottom row first."""
    colours = pixels(laid_out(dpi, size, square, extent, key, axes))
    # The renderer takes the bottom row first.
    image = np.dstack([colours, np.full(colours.shape[:2], 255, np.uint8)])[::-1].copy()
    return image


class Background(Artist):
    """Lay the kept pixels under a figure: half of a frame's time goes into words that never change."""

    def __init__(self, size, square, extent, key: Key | None = None, axes=("x₁", "x₂")):
        """Keep what :func:`background` takes: hashable values."""
        super().__init__()
        self.of = (tuple(size), tuple(square), tuple(extent), key, tuple(axes))
        self.set_zorder(-1)

    def draw(self, renderer):
        """Blit the pixels at the figure's resolution; in a vector picture words stay words."""
        dpi = self.get_figure(root=True).dpi
        if not isinstance(renderer, RendererAgg):
            for artist in sorted(laid_out(dpi, *self.of).get_children()[1:], key=lambda one: one.get_zorder()):
                artist.draw(renderer)
            return
        image = background(dpi, *self.of)
        context = renderer.new_gc()
        renderer.draw_image(context, 0, 0, image)
        context.restore()
