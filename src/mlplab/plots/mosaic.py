"""The decision maps of a sweep side by side, each in the place of its setting."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from mlplab.plots.field import extent_of, padded_log
from mlplab.plots.panel import Square, draw_field, draw_frame
from mlplab.plots.style import FAINT, INK, MUTED, page, text

EDGE, TOP, LEFT, GAP = 36, 132, 78, 12
MOST = 8


def coarser(probabilities, most: int) -> np.ndarray:
    """Average blocks of grid cells until a map has at most ``most`` a side; centres of blocks stay centres.

    Args:
        probabilities: shape (R, R, C).
        most: cells a side that the picture can show.
    """
    values = np.asarray(probabilities, dtype=np.float32)
    while values.shape[0] > most and values.shape[0] % 2 == 0 and values.shape[1] % 2 == 0:
        rows, columns, classes = values.shape
        values = values.reshape(rows // 2, 2, columns // 2, 2, classes).mean(axis=(1, 3))
    return values


def mosaic(
    maps: Sequence[Sequence[np.ndarray | None]],
    extents: Sequence[Sequence[object]],
    x_values: Sequence[str],
    y_values: Sequence[str],
    *,
    x_name: str,
    y_name: str,
    title: str,
    subtitle: str = "",
    captions: Sequence[Sequence[str]] | None = None,
    best: Sequence[tuple[int, int]] = (),
) -> Figure:
    """Draw decision maps in rows (y, bottom first) and columns (x), all with their boundaries.

    Args:
        maps: rows of columns of class probabilities, shape (R, R, C) each; None leaves a place empty.
        extents: the same shape, each map's limit as in :func:`~mlplab.plots.decision_map.decision_map`.
        x_values: names of the columns.
        y_values: names of the rows, the bottom one first.
        x_name: the key along x.
        y_name: the key along y; "" where there is one row alone.
        title: of the picture.
        subtitle: under it.
        captions: words over each map, such as its accuracy.
        best: (row, column) of maps to mark with a star.

    Returns:
        A ``Figure`` about 1500 pixels wide.
    """
    rows, columns = len(y_values), len(x_values)
    captions = captions or [[""] * columns] * rows
    # A single row of few maps would otherwise be drawn far too large.
    side = int(np.clip((1500 - LEFT - EDGE) / max(columns, 3 if rows > 1 else 4) - GAP, 90, 330))
    if rows > 2:
        side = max(110, min(side, 1040 // rows))
    over = 30 if any(any(row) for row in captions) else 0
    width = max(2 * EDGE + LEFT + columns * (side + GAP), 860)
    height = TOP + rows * (side + over + GAP) + 96
    made = page(width, height, title, subtitle, left=EDGE)
    for row in range(rows):
        top = TOP + (rows - 1 - row) * (side + over + GAP) + over
        for column in range(columns):
            left = EDGE + LEFT + column * (side + GAP)
            draw_caption(made, captions[row][column], left, top, side, star=(row, column) in best)
            draw_tile(made, maps[row][column], extents[row][column], left, top, side)
        text(made, EDGE + LEFT - 14, top + side / 2, y_values[row], 22, ha="right", va="center", width=LEFT - 30)
    bottom = TOP + rows * (side + over + GAP) - GAP
    for column in range(columns):
        centre = EDGE + LEFT + column * (side + GAP) + side / 2
        text(made, centre, bottom + 32, x_values[column], 22, ha="center", width=side)
    text(made, EDGE + LEFT + columns * (side + GAP) / 2, bottom + 70, x_name, 22, ha="center", color=MUTED)
    middle = (TOP + bottom) / 2
    text(made, EDGE - 6, middle, y_name, 22, ha="center", va="center", color=MUTED, rotation=90)
    return made


def draw_caption(made: Figure, words: str, left: float, top: float, side: float, *, star: bool) -> None:
    """Write the words over a map; those of a starred one are bold."""
    style = {"color": INK, "weight": "bold"} if star else {"color": MUTED}
    text(made, left + 2, top - 8, words, 20, width=side - 26 * star, **style)
    if star:
        text(made, left + side - 2, top - 8, "★", 22, color="#e59400", ha="right")


def draw_tile(
    made: Figure, probabilities: np.ndarray | None, extent: object, left: float, top: float, side: int
) -> None:
    """Draw one map in its square, or say that there is none."""
    if probabilities is None:
        text(made, left + side / 2, top + side / 2, "no map", 20, color=FAINT, ha="center")
        return
    square = Square(made, left, top, side, extent_of(extent))
    draw_field(square, padded_log(coarser(probabilities, max(64, side // 2))), width=2.0, sure=False)
    draw_frame(square)
