"""The key beside a decision map, and with it what stays as it is from frame to frame, drawn once and kept as pixels."""

from functools import lru_cache

import numpy as np
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mlplab.plots.field import LEVELS, SURE, colour_table, hatch
from mlplab.plots.panel import Square, dotted, draw_axes, marks
from mlplab.plots.style import DPI, INK, MUTED, figure, pixels, points_of, text

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


def draw_key(figure: Figure, left, top, width, names, *, count, outside, sample, box, bayes, split) -> None:
    """Draw the key at pixels ``left``, ``top``, ``width`` pixels wide.

    Args:
        figure: where.
        left: pixels from the figure's left; ``top`` from its top.
        width: pixels at hand.
        names: one name for each class.
        count: how many points are drawn, or such a phrase as "5,000 of 20,000"; 0 leaves the points' part out.
        outside: how many more lie outside the picture.
        sample: the class whose marker stands for right and wrong points.
        box: whether a training box is drawn.
        bayes: whether a Bayes boundary is drawn.
        split: what the points are.
    """
    size = 21
    classes = len(names)
    shown = classes if classes <= MOST_ROWS else MOST_ROWS - 1
    bar_left, bar, step = left + 34, 118, 44 if classes <= 6 else 36
    y = top + 20
    text(figure, left, y, "class and its probability", size, color=MUTED, width=width)
    y += 20
    across, down = figure.get_size_inches() * DPI

    def at(x, level):
        return np.array([[x / across, 1 - level / down]])

    def mark(made):
        made.set_transform(figure.transFigure)
        figure.add_artist(made)

    for k in range(shown):
        middle = y + step / 2
        mark(marks(at(left + 12, middle), k, 14, "#ffffff", 1.0, 5))
        figure.add_artist(Swatch(ramp(classes, k, bar, step - 8), bar_left, y + 4))
        text(figure, bar_left + bar + 12, middle + 0.36 * size, names[k], size, width=width - bar - 46)
        y += step
    y += 22
    if classes > shown:
        text(figure, bar_left, y + 4, f"and {classes - shown} more", size, color=MUTED)
        y += step
    if classes > 1:
        text(figure, bar_left, y, f"1/{classes}", 19, ha="center", color=MUTED)
        text(figure, bar_left + bar, y, "1", 19, ha="center", color=MUTED)
        sure = bar_left + bar * (SURE - 1 / classes) / (1 - 1 / classes)
        tall = np.array([y - 22, y - 22 - step * shown + 4])
        mark(Line2D(np.full(2, sure / across), 1 - tall / down, color="#ffffff", lw=points_of(2.2)))
    y += 50

    def row(words, *lines, draw=None):
        nonlocal y
        for style in lines:
            mark(Line2D(np.array([left, left + 40]) / across, np.full(2, 1 - y / down), **style))
        text(figure, left + 54, y + 0.36 * size, words, size, width=width - 54)
        y += 38

    if count:
        text(
            figure, left, y + 0.36 * size, f"{count} {split} point{'s' * (count != 1)}", size, color=MUTED, width=width
        )
        y += 38
        if outside:
            text(figure, left, y - 8 + 0.36 * size, f"({outside} outside the picture)", size, color=MUTED, width=width)
            y += 30
        mark(marks(at(left + 20, y), sample, 11, "#ffffff", 1.0, 5))
        row("right")
        mark(marks(at(left + 20, y), sample, 17, INK, 2.9, 5))
        row("wrong (true class)")
        y += 14
    text(figure, left, y + 0.36 * size, "lines", size, color=MUTED)
    y += 38
    dark = {"color": INK, "lw": points_of(2.6)}
    row("decision boundary", dark)
    if bayes:
        row("Bayes boundary", {"color": INK, **dotted(2.6)})
    figure.add_artist(Swatch(np.broadcast_to(np.array([200, 206, 216, 255], np.uint8), (14, 40, 4)), left, y - 7))
    row(f"probability {SURE:g}", {"color": "#ffffff", "lw": points_of(2.4)})
    if box:
        row("range of training data", {"color": INK, "lw": points_of(1.8), "ls": (0, (5, 3))})
        figure.add_artist(Swatch(veiled(40, 26), left, y - 13))
        row("no training data")


def laid_out(dpi: float, size, square, extent, key) -> Figure:
    """Lay out axis numbers and, where ``key`` is given, the key, in a figure of its own."""
    made = figure(*size)
    options = dict(key)
    axes = options.pop("axes", None) or ("x₁", "x₂")
    draw_axes(Square(made, *square, extent), **({"names": axes} if key else {"size": 18, "names": None}))
    if key:
        left, top, side = square
        draw_key(made, left + side + 42, top, size[0] - left - side - 52, options.pop("names"), **options)
    made.set_dpi(dpi)
    return made


@lru_cache(maxsize=8)
def background(dpi: float, size, square, extent, key) -> np.ndarray:
    """Draw what :func:`laid_out` lays out; RGBA (height, width, 4), bottom row first."""
    colours = pixels(laid_out(dpi, size, square, extent, key))
    # The renderer takes the bottom row first.
    image = np.dstack([colours, np.full(colours.shape[:2], 255, np.uint8)])[::-1].copy()
    return image


class Background(Artist):
    """Lay the kept pixels under a figure: half of a frame's time goes into words that never change."""

    def __init__(self, size, square, extent, **key):
        """Keep what :func:`background` takes; the ``key``'s entries are those of ``draw_key``, or none."""
        super().__init__()
        self.of = (tuple(size), tuple(square), tuple(extent), tuple(sorted(key.items())))
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
