"""Two swept keys against each other: mean, spread and every seed in each cell."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from mlplab.plots.charts import legend_row
from mlplab.plots.order import goodness, letters_on, ramp
from mlplab.plots.panel import Square
from mlplab.plots.style import FAINT, INK, MUTED, page, points_of, text

EDGE, TOP, FOOT = 36, 150, 116
LEFT, GAP = 74, 52
# Cells smaller than this keep their colour alone.
LEAST_LETTERS = 12


@dataclass
class Cells:
    """One panel: the runs' values by cell.

    Attributes:
        title: over the panel.
        values: rows (y, bottom first) of columns (x) of the finished runs' values, one for each seed; an
            empty sequence where there is none.
        kind: ``"accuracy"`` (in [0, 1]) or ``"nll"``.
    """

    title: str
    values: Sequence[Sequence[Sequence[float]]]
    kind: str

    def means(self) -> np.ndarray:
        """Return the mean of each cell, NaN where it is empty; shape (Y, X)."""
        return np.array([[np.mean(cell) if len(cell) else np.nan for cell in row] for row in self.values])


def heat_map(
    panels: Sequence[Cells],
    x_values: Sequence[str],
    y_values: Sequence[str],
    *,
    x_name: str,
    y_name: str,
    title: str,
    subtitle: str = "",
    best: Sequence[tuple[int, int, int]] = (),
    near: Sequence[tuple[int, int, int]] = (),
    columns: int = 2,
) -> Figure:
    """Draw panels of cells, each with its mean, its standard deviation and a dot for each seed.

    Args:
        panels: at least one, all of the same shape.
        x_values: names of the columns.
        y_values: names of the rows, the bottom one first.
        x_name: the key along x.
        y_name: the key along y.
        title: of the picture.
        subtitle: under it.
        best: (panel, row, column) of cells to mark with a star.
        near: (panel, row, column) of cells to outline.
        columns: panels side by side.

    Returns:
        A ``Figure`` whose size follows the number of cells.
    """
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    room = max(300, 1660 // columns - LEFT - GAP)
    wide = float(np.clip(room / len(x_values), 26, 150))
    tall = float(np.clip(640 / len(y_values) / rows, 26, 0.78 * wide if wide > 90 else wide))
    panel_width, panel_height = LEFT + wide * len(x_values) + GAP, tall * len(y_values) + 128
    width = int(max(2 * EDGE + columns * panel_width - GAP, 900))
    made = page(width, int(TOP + rows * panel_height + FOOT - 60), title, subtitle, left=EDGE)
    for index, panel in enumerate(panels):
        left = EDGE + LEFT + (index % columns) * panel_width
        top = TOP + (index // columns) * panel_height
        square = Square(
            made, left, top, wide * len(x_values), (0, len(x_values), 0, len(y_values)), tall * len(y_values)
        )
        title = panel.title if letters_of(wide, tall) >= LEAST_LETTERS else f"{panel.title}: {ends(panel)}"
        text(made, left, top - 16, title, 24, weight="bold", width=panel_width - LEFT)
        draw_cells(square, panel, wide, tall, [other for other in panels if other.kind == panel.kind])
        draw_marks(
            square,
            [cell[1:] for cell in best if cell[0] == index],
            [cell[1:] for cell in near if cell[0] == index],
            wide,
            tall,
        )
        draw_names(square, x_values, y_values, x_name, y_name, wide, tall)
    draw_legend(made, EDGE + LEFT, int(TOP + rows * panel_height + 6), wide, tall, bool(near), bool(best))
    return made


def draw_cells(square, panel: Cells, wide: float, tall: float, alike: Sequence[Cells]) -> None:
    """Draw the colours, numbers and dots of one panel, on the scales of all panels of its kind; in pixels."""
    means = panel.means()
    shares = goodness(means, panel.kind, np.concatenate([other.means().ravel() for other in alike]))
    every = [value for other in alike for row in other.values for cell in row for value in cell]
    # Not the whole ramp: the lightest cell still has a colour, and the darkest room for its dots.
    colours = ramp(0.06 + 0.86 * shares)
    colours[np.isnan(means)] = 1.0
    boxes = [Rectangle((x, y), 1, 1) for y, x in np.ndindex(means.shape)]
    square.add(PatchCollection(boxes, facecolors=colours.reshape(-1, 3), edgecolors="#ffffff", lw=points_of(3)))
    fullest = max((len(cell) for row in panel.values for cell in row), default=0)
    size = letters_of(wide, tall)
    dots, rails = ({INK: [], "#ffffff": []} for _ in range(2))
    for (y, x), mean in np.ndenumerate(means):
        centre, bottom = square.left + (x + 0.5) * wide, square.top + square.height - y * tall
        cell = np.asarray(panel.values[y][x], dtype=float)
        if np.isnan(mean):
            text(square.figure, centre, bottom - 0.44 * tall, "–", 24, color=FAINT, ha="center")
            continue
        letters = letters_on(colours[y, x])
        full = tall >= 62 and wide >= 80
        if size >= LEAST_LETTERS:
            up = 0.50 if full else 0.36
            text(
                square.figure,
                centre,
                bottom - up * tall,
                number(mean, panel.kind),
                size,
                color=letters,
                ha="center",
                weight="bold",
            )
        if not full:
            continue
        few = f" · {len(cell)} runs" if 1 < len(cell) < fullest else ""
        spread = f"± {number(cell.std(ddof=1), panel.kind)}" if len(cell) > 1 else "one run"
        text(
            square.figure,
            centre,
            bottom - 0.25 * tall,
            spread + few,
            0.64 * size,
            color=letters,
            ha="center",
            width=0.96 * wide,
        )
        if len(cell) > 1:
            along = goodness(cell, panel.kind, every)
            dots[letters] += [(x + 0.1 + 0.8 * share, y + 0.11) for share in along]
            rails[letters] += [x + 0.1, x + 0.9, np.nan], [y + 0.11, y + 0.11, np.nan]
    for colour, places in dots.items():
        if places:
            across, up = np.concatenate(rails[colour][::2]), np.concatenate(rails[colour][1::2])
            square.add(Line2D(across, up, color=colour, alpha=0.25, lw=points_of(1.5)))
            alpha = max(0.2, 0.75 * min(1.0, (12 / fullest) ** 0.5))
            style = {"ls": "none", "marker": "o", "ms": points_of(9), "mew": 0, "alpha": alpha, "zorder": 3}
            square.add(Line2D(*zip(*places), color=colour, **style))


def letters_of(wide: float, tall: float) -> float:
    """Give the height of a cell's letters in pixels."""
    # Five bold digits are three times as wide as high, and must clear the outline of their cell.
    return min(0.23 * wide, 0.33 * tall, 32)


def ends(panel: Cells) -> str:
    """Say what the lightest and the darkest cell are."""
    means = panel.means()
    means = means[np.isfinite(means)]
    if not means.size:
        return "no runs"
    worst, best = (means.min(), means.max()) if panel.kind == "accuracy" else (means.max(), means.min())
    return f"{number(worst, panel.kind)} (light) to {number(best, panel.kind)} (dark)"


def number(value: float, kind: str) -> str:
    """Write an accuracy in percent or an NLL with the digits that fit a cell."""
    if kind == "accuracy":
        return f"{100 * value:.2f}" if value > 0.9 or value < 0.1 else f"{100 * value:.1f}"
    return f"{value:.3f}" if value < 10 else f"{value:.1f}"


def draw_marks(square, best, near, wide: float, tall: float) -> None:
    """Outline the cells not significantly different from the selected one, and put a star on the best."""
    inset = min(5, 0.08 * tall)
    boxes = [
        Rectangle((x + inset / wide, y + inset / tall), 1 - 2 * inset / wide, 1 - 2 * inset / tall) for y, x in near
    ]
    if boxes:
        style = {"edgecolors": "#ffa90e", "lw": points_of(min(4, 0.08 * tall)), "zorder": 4}
        square.add(PatchCollection(boxes, facecolors="none", **style))
    # In the upper part of a cell with a number, else in its middle.
    size, up = (min(0.2 * tall, 24), 0.79) if letters_of(wide, tall) >= LEAST_LETTERS else (0.7 * tall, 0.25)
    for y, x in best:
        centre, bottom = square.left + (x + 0.5) * wide, square.top + square.height - y * tall
        text(square.figure, centre, bottom - up * tall, "★", size, color="#ffa90e", ha="center")


def draw_names(square, x_values, y_values, x_name, y_name, wide: float, tall: float) -> None:
    """Write the values of both keys along the edges, and the keys."""
    made, bottom = square.figure, square.top + square.height
    # As many names as fit side by side; a letter is 0.62 of its height wide.
    every = max(1, int(np.ceil(0.62 * 21 * max(map(len, x_values)) / 1.15 / wide)))
    for index in range(0, len(x_values), every):
        centre = square.left + (index + 0.5) * wide
        text(made, centre, bottom + 30, x_values[index], 21, ha="center", width=max(every * wide - 4, 60))
    for index in range(0, len(y_values), 1 if tall > 22 else 2):
        text(
            made,
            square.left - 12,
            bottom - (index + 0.5) * tall,
            y_values[index],
            21,
            ha="right",
            va="center",
            width=58,
        )
    text(made, square.left + square.width / 2, bottom + 66, x_name, 22, ha="center", color=MUTED)
    text(
        made,
        square.left - 78,
        square.top + square.height / 2,
        y_name,
        22,
        ha="center",
        va="center",
        color=MUTED,
        rotation=90,
    )


def draw_legend(made, left: float, top: float, wide: float, tall: float, near: bool, best: bool) -> None:
    """Say under the panels what stars, outlines and dots mean."""
    parts = []
    if best:
        parts.append(("★", "#e59400", "selected"))
    if near:
        parts.append(("□", "#e59400", "not significantly different"))
    if tall >= 62 and wide >= 80:
        parts.append(("•", INK, "runs, from the worst (left) to the best, by log error"))
    legend_row(made, left, top, parts, size=20, color=MUTED)
