"""The parts of a decision map that stay as they are from frame to frame, drawn once and kept as pixels."""

from functools import lru_cache

import numpy as np
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.figure import Figure

from mlplab.plots.key import draw_key
from mlplab.plots.panel import Square, draw_axes
from mlplab.plots.style import figure, pixels


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
