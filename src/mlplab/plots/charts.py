"""Axes for curves in the style of the maps: quiet lines, round numbers, names at the lines' ends."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from mlplab.plots.style import DPI, FAINT, FAMILY, INK, MUTED, points_of, text, width_of, with_letters

GRID = "#e6e8ec"
DASHED = (0, (4, 2))
# An axis with fewer numbers than these does not show the values between them.
FEW = 3


def add_chart(figure: Figure, left: float, top: float, width: float, height: float, *, size: float = 21):
    """Add an Axes at pixels from the figure's left and top, with a grid and numbers ``size`` pixels high."""
    across, down = figure.get_size_inches() * DPI
    axes = figure.add_axes((left / across, 1 - (top + height) / down, width / across, height / down))
    axes.tick_params(
        labelsize=points_of(size),
        colors=INK,
        length=points_of(7),
        width=points_of(2),
        pad=points_of(7),
        color=MUTED,
        labelfontfamily=FAMILY,
    )
    for name, spine in axes.spines.items():
        spine.set_visible(name in ("left", "bottom"))
        spine.set_color(FAINT)
        spine.set_linewidth(points_of(2))
    axes.grid(True, color=GRID, lw=points_of(1.5))
    axes.set_axisbelow(True)
    return axes


def label(axes, x: str = "", y: str = "", *, size: float = 22) -> None:
    """Name the axes of a chart."""
    for write, words in ((axes.set_xlabel, x), (axes.set_ylabel, y)):
        words, families = with_letters(words)
        write(words, fontsize=points_of(size), color=INK, fontfamily=families, labelpad=points_of(8))


def dots(axes, x, y, colour, size: float, *, edge="#ffffff", width: float = 2, marker: str = "o", **style) -> None:
    """Draw a mark at each point, ``size`` pixels across with an edge of ``width`` pixels."""
    axes.plot(x, y, ls="none", marker=marker, ms=points_of(size), mfc=colour, mec=edge, mew=points_of(width), **style)


def note(axes, words: str, at, *, right: float = 0, up: float = 0, size: float = 20, color=MUTED, **style) -> None:
    """Write words at shares of the chart (or where ``xycoords`` says), moved by pixels to the right and up."""
    words, families = with_letters(words, style.get("weight", "normal"))
    axes.annotate(
        words,
        at,
        xytext=(points_of(right), points_of(up)),
        textcoords="offset points",
        color=color,
        fontsize=points_of(size),
        fontfamily=families,
        **{"xycoords": "axes fraction", **style},
    )


def log_scale(axes, side: str, curves, *, floor: float = 1e-6, **ticks) -> tuple[float, float]:
    """Make x or y logarithmic with round numbers, within limits that hold the curves, which are returned.

    Args:
        axes: a chart.
        side: ``"x"`` or ``"y"``.
        curves, floor: as for :func:`positive_range`.
        **ticks: as for :func:`log_ticks`.
    """
    low, high = positive_range(curves, floor=floor)
    axes.set(**{f"{side}scale": "log", f"{side}lim": (low, high)})
    log_ticks(getattr(axes, f"{side}axis"), low, high, **ticks)
    return low, high


def legend_row(made: Figure, left: float, down: float, entries, name: str = "", *, size: float = 22, **style) -> None:
    """Write ``(sign, colour, words)`` after one another from a place on, after what tells them apart."""
    if name:
        left += width_of(text(made, left, down, name, 22, color=MUTED)) + 22
    room = made.get_figwidth() * DPI - 60
    for sign, colour, words in entries:
        if left > room - 100:
            text(made, left, down, "…", 22, color=MUTED)
            return
        text(made, left, down, sign, 24, color=colour, weight="bold")
        left += 58 + width_of(text(made, left + 30, down, words, size, width=max(room - left, 60), **style))


def categories(axis, names) -> None:
    """Name the places 0, 1, 2, ... of an axis."""
    axis.set_major_locator(FixedLocator(range(len(names))))
    axis.set_minor_locator(NullLocator())
    drawn = [with_letters(str(name)) for name in names]
    axis.set_major_formatter(FuncFormatter(lambda at, _: drawn[int(at)][0] if 0 <= at < len(drawn) else ""))
    axis.set_tick_params(labelfontfamily=max((families for _, families in drawn), key=len, default=[FAMILY]))


def epoch_axis(axes, last: float, ticks=None) -> None:
    """Make x an epoch axis: linear from 0 to 1, logarithmic beyond, so that epoch 0 has its place."""
    last = max(float(last), 1.0)
    axes.set_xscale("function", functions=(epoch_place, epoch_at))
    axes.set_xlim(0, last)
    if ticks is None:
        ticks = round_epochs(last)
    axes.xaxis.set_major_locator(FixedLocator(list(ticks)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def epoch_place(epoch):
    """Map an epoch to its place on the axis: e up to 1, then 1 + ln e."""
    epoch = np.asarray(epoch, dtype=float)
    return np.where(epoch <= 1, epoch, 1 + np.log(np.maximum(epoch, 1.0)))


def epoch_at(place):
    """Undo :func:`epoch_place`."""
    place = np.asarray(place, dtype=float)
    return np.where(place <= 1, place, np.exp(np.minimum(np.maximum(place, 1.0) - 1, 700)))


def round_epochs(last: float) -> list[float]:
    """Choose ticks 0, 1, 2, 5, 10, ... and the last epoch, none so near the last that the numbers touch."""
    ticks, scale = [0.0], 1.0
    while scale <= last:
        ticks += [digit * scale for digit in (1, 2, 5) if digit * scale <= last]
        scale *= 10
    room = 0.07 * float(epoch_place(last))
    return [tick for tick in ticks if epoch_place(last) - epoch_place(tick) > room] + [last]


def log_ticks(
    axis, low: float, high: float, *, digits=((1, 2, 5), (1, 5), (1,)), most: int = 7, least: int = FEW
) -> None:
    """Give a logarithmic axis round numbers from ``low`` to ``high``, written plainly.

    Args:
        axis: the ``xaxis`` or ``yaxis`` of a chart.
        low: its lower limit, > 0.
        high: its upper limit.
        digits: first digits to choose from, the finest choice first.
        most: numbers that have room.
        least: where fewer stand in the range, it gets evenly spaced ones.
    """
    powers = range(int(np.floor(np.log10(low))) - 1, int(np.ceil(np.log10(high))) + 1)
    for chosen in digits:
        ticks = [float(f"{digit}e{power}") for power in powers for digit in chosen]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) <= most:
            break
    axis.set_major_locator(FixedLocator(ticks if len(ticks) >= least else even_ticks(low, high)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def plain_log_axis(axis, low: float, high: float) -> None:
    """Give a logarithmic axis the powers of ten between two values, written plainly; every other of more than five."""
    powers = range(int(np.ceil(np.log10(low) - 1e-9)), int(np.floor(np.log10(high) + 1e-9)) + 1)
    axis.set_major_locator(FixedLocator([10.0**power for power in powers]))
    axis.set_minor_locator(NullLocator())
    named = {10.0**power for power in powers[:: 1 if len(powers) <= 5 else 2]}
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}" if value in named else ""))


def even_ticks(low: float, high: float) -> list[float]:
    """Choose evenly spaced round numbers in [low, high], for a range too narrow for powers of ten."""
    ticks = MaxNLocator(6, steps=[1, 2, 5, 10]).tick_values(low, high)
    return [float(tick) for tick in ticks if low <= tick <= high]


def positive_range(curves, *, floor: float = 1e-6) -> tuple[float, float]:
    """Return limits for a logarithmic axis that hold every positive finite value of the curves; None is no curve."""
    given = [np.ravel(np.asarray(curve, dtype=float)) for curve in curves if curve is not None]
    values = np.concatenate([np.empty(0), *given])
    values = values[np.isfinite(values) & (values > 0)]
    if not len(values):
        return 0.1, 1.0
    low, high = max(float(values.min()), floor), max(float(values.max()), 2 * floor)
    room = max(0.06 * np.log(high / low), 0.15)
    return low * np.exp(-room), high * np.exp(room)


def end_names(axes, entries, *, size: float = 21, gap: float = 1.25) -> None:
    """Write names right of the chart at the ends of their lines, moved apart where they would touch.

    Args:
        axes: a chart with its final limits and scales.
        entries: (y of the line's end, name, colour) each.
        size: of the letters in pixels.
        gap: least distance of two names, in heights of the letters.
    """
    bottom, top = axes.bbox.y0, axes.bbox.y1
    places = []
    for level, name, colour in entries:
        if level is not None and np.isfinite(level):
            at = axes.transData.transform((axes.get_xlim()[1], level))[1]
            places.append([float(np.clip(at, bottom, top)), name, colour])
    places.sort(key=lambda place: place[0])
    least = gap * size * axes.get_figure(root=True).dpi / DPI
    for _ in range(100):
        if places:
            places[0][0] = max(places[0][0], bottom + least / 3)
        for lower, upper in zip(places, places[1:]):
            short = least - (upper[0] - lower[0])
            if short > 1e-6:
                lower[0] -= short / 2
                upper[0] += short / 2
    for at, name, colour in places:
        share = (at - bottom) / (top - bottom)
        note(
            axes,
            name,
            (1, share),
            right=10,
            size=size,
            color=colour,
            va="center",
            fontweight="bold",
            annotation_clip=False,
            parse_math=False,
        )
