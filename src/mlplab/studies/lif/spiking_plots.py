"""Pictures of spiking networks: accuracy over time, over R and tau_ref, latency by depth, maps over time."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from mlplab.plots.charts import add_chart, dots, end_names, label, log_scale, note, plain_log_axis
from mlplab.plots.field import extent_of, padded_log
from mlplab.plots.panel import Square, checked_points, draw_axes, draw_field, draw_frame, draw_points
from mlplab.plots.style import COLOURS, INK, MUTED, page, points_of, text
from mlplab.studies.lif.transfer_plots import ramp

SPIKING, BAND = COLOURS[0], COLOURS[1]


def accuracy_over_time(times_ms, accuracies, relu_accuracy, settled_ms, *, title, subtitle="") -> Figure:
    """Draw the spiking network's accuracy as time goes by, and the ReLU network's as a level.

    Args:
        times_ms: shape (T,).
        accuracies: 0 to 1, shape (T,).
        relu_accuracy: 0 to 1.
        settled_ms: from when on it is within one percentage point; infinite draws nothing.
        title, subtitle: words above.

    Returns:
        A ``Figure`` of 1180 x 760 pixels.
    """
    made = page(1180, 760, title, subtitle, left=120)
    axes = add_chart(made, 120, 140, 850, 500)
    axes.set_xscale("log")
    percent = 100 * np.asarray(accuracies)
    axes.axhspan(100 * relu_accuracy - 1, 100 * relu_accuracy, color=BAND, alpha=0.2, lw=0)
    axes.axhline(100 * relu_accuracy, color=INK, lw=points_of(3), ls=(0, (4, 2)))
    axes.plot(times_ms, percent, color=SPIKING, lw=points_of(5), zorder=3)
    if np.isfinite(settled_ms):
        axes.axvline(settled_ms, color=MUTED, lw=points_of(2), ls=(0, (2, 2)))
        over = {"xycoords": ("data", "axes fraction"), "ha": "center", "va": "bottom"}
        note(axes, f"within 1 percentage point from {settled_ms:g} ms", (settled_ms, 1), up=8, **over)
    axes.set_xlim(times_ms[0], times_ms[-1])
    axes.set_ylim(max(0.0, percent.min() - 3), 100.5)
    axes.yaxis.set_major_locator(MaxNLocator(6))
    plain_log_axis(axes.xaxis, times_ms[0], times_ms[-1])
    label(axes, "simulated time, ms (log scale)", "test accuracy, %")
    end_names(axes, [(percent[-1], "spiking", SPIKING), (100 * relu_accuracy, "ReLU network", INK)])
    return made


def accuracy_by_neuron(
    resistances_kohm, by_resistance, refractories_ms, by_refractory, relu_accuracy, *, title, subtitle=""
) -> Figure:
    """Draw the accuracy at the end of the run against R (left) and tau_ref (right).

    Args:
        resistances_kohm: shape (Q,); an infinite one is drawn last, at its own place.
        by_resistance: accuracies 0 to 1, shape (Q,).
        refractories_ms: shape (S,).
        by_refractory: accuracies 0 to 1, shape (S,).
        relu_accuracy: 0 to 1, a level in both.
        title, subtitle: words above.

    Returns:
        A ``Figure`` of 1560 x 760 pixels.
    """
    made = page(1560, 760, title, subtitle, left=120)
    low = 100 * min(*by_resistance, *by_refractory)
    charts = (
        (120, resistances_kohm, by_resistance, "resistance R, kΩ", False),
        (830, refractories_ms, by_refractory, "refractory time τref, ms", True),
    )
    for left, values, accuracies, name, last in charts:
        axes = add_chart(made, left, 140, 540, 500)
        # Places in even steps: the values span decades, and one of them is infinite or zero.
        places = np.arange(len(values))
        axes.axhline(100 * relu_accuracy, color=INK, lw=points_of(3), ls=(0, (4, 2)))
        style = {"marker": "o", "ms": points_of(13), "clip_on": False, "zorder": 3}
        axes.plot(places, 100 * np.asarray(accuracies), color=SPIKING, lw=points_of(4), **style)
        axes.set_xticks(places, ["∞" if np.isinf(v) else f"{v:g}" for v in values])
        axes.set_xlim(-0.3, len(values) - 0.7)
        axes.set_ylim(max(0.0, low - 4), 101)
        label(axes, name, "" if last else "test accuracy, %")
    end_names(axes, [(100 * relu_accuracy, "ReLU network", INK), (100 * by_refractory[-1], "spiking", SPIKING)])
    return made


def latency_by_depth(times_ms, disagreements, depths, agreed_90_ms, agreed_99_ms, *, title, subtitle="") -> Figure:
    """Draw disagreement over time for each depth (left), and the times until 90 % and 99 % agree (right).

    Args:
        times_ms: shape (T,).
        disagreements: share of points whose class is not the ReLU network's, one row (T,) for each depth.
        depths: numbers of hidden layers.
        agreed_90_ms, agreed_99_ms: one row (seeds,) for each depth: from when on so many points agree.
        title, subtitle: words above.

    Returns:
        A ``Figure`` of 1560 x 760 pixels.
    """
    made = page(1560, 760, title, subtitle, left=130)
    left = add_chart(made, 130, 140, 560, 500)
    left.set_xscale("log")
    low, _ = log_scale(left, "y", [100 * np.asarray(disagreements)], floor=0.05)
    names, colours = [], ramp(len(depths))
    for colour, depth, row in zip(colours, depths, disagreements, strict=True):
        percent = np.maximum(100 * np.asarray(row), low)
        left.plot(times_ms, percent, color=colour, lw=points_of(4))
        names.append((percent[-1], f"depth {depth}", colour))
    for level in (10.0, 1.0):
        left.axhline(level, color=MUTED, lw=points_of(2), ls=(0, (4, 3)))
    left.set_xlim(times_ms[0], times_ms[-1])
    plain_log_axis(left.xaxis, times_ms[0], times_ms[-1])
    label(left, "simulated time, ms", "points classified otherwise, %")
    end_names(left, names, size=20)
    right = add_chart(made, 960, 140, 420, 500)
    log_scale(right, "y", [np.concatenate([np.ravel(agreed_90_ms), np.ravel(agreed_99_ms)])])
    ends = []
    for name, times, marker in (("90 % agree", agreed_90_ms, "o"), ("99 % agree", agreed_99_ms, "s")):
        means = [float(np.mean(row)) for row in times]
        right.plot(depths, means, color=MUTED, lw=points_of(2.5), zorder=2)
        for colour, depth, row in zip(colours, depths, times, strict=True):
            dots(right, np.full(len(row), depth), row, colour, 13, width=1.5, marker=marker, zorder=3)
        ends.append((means[-1], name, INK))
    right.set_xlim(min(depths) - 0.4, max(depths) + 0.4)
    right.set_xticks(list(depths))
    label(right, "hidden layers", "time, ms (log scale)")
    end_names(right, ends, size=20)
    return made


def few_steps(steps, kinds, *, title, subtitle="") -> Figure:
    """Draw the loss in accuracy against the number of time steps, with error bars, for some kinds of conversion.

    Args:
        steps: numbers of time steps, shape (T,).
        kinds: list of (name, losses 0 to 1 (T,), their standard errors (T,)).
        title, subtitle: words above.

    Returns:
        A ``Figure`` of 1180 x 760 pixels.
    """
    made = page(1180, 760, title, subtitle, left=120)
    axes = add_chart(made, 120, 140, 840, 500)
    axes.set_xscale("log", base=2)
    axes.axhspan(-0.1, 0.1, color=BAND, alpha=0.25, lw=0)
    axes.axhline(0, color=INK, lw=points_of(2))
    names = []
    for colour, (name, losses, errors) in zip((MUTED, COLOURS[3], COLOURS[1], SPIKING), kinds, strict=True):
        percent, bars = 100 * np.asarray(losses), 100 * np.asarray(errors)
        style = {"lw": points_of(4), "marker": "o", "ms": points_of(12), "elinewidth": points_of(3)}
        axes.errorbar(steps, percent, bars, color=colour, zorder=3, **style)
        names.append((percent[-1], name, colour))
    axes.set_yscale("symlog", linthresh=0.1, linscale=0.5)
    axes.set_ylim(-0.3, max(1.0, 1.3 * 100 * max(max(losses) for _, losses, _ in kinds)))
    ticks = [tick for tick in (-0.1, 0, 0.1, 0.3, 1, 3, 10, 30, 100) if tick <= axes.get_ylim()[1]]
    axes.yaxis.set_major_locator(FixedLocator(ticks))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}".replace("-", "−")))
    axes.set_xticks(steps, [str(step) for step in steps])
    axes.xaxis.set_minor_locator(NullLocator())
    label(axes, "time steps, one spike each at activation 1", "points lost (band: 0.1)")
    end_names(axes, names)
    return made


def maps_over_time(maps, limit, points, labels, predictions, names, subtitles, *, title, box=None) -> Figure:
    """Draw decision maps side by side: the spiking network at some times, the ReLU network last.

    Args:
        maps: class probabilities (R, R, C) each, as for the decision map.
        limit: the square is [-limit, limit] in both axes.
        points: test points (N, 2).
        labels: their classes (N,).
        predictions: for each map its classes of the points (N,).
        names, subtitles: over each map.
        title: over all.
        box: (low, high) of the training data.

    Returns:
        A ``Figure``, 420 pixels wide for each map, 560 high.
    """
    side, gap, left, top = 380, 36, 70, 140
    made = page(left + len(maps) * (side + gap) + 10, top + side + 60, title, left=left)
    extent = extent_of(limit)
    for index, grid in enumerate(maps):
        at = left + index * (side + gap)
        text(made, at, 96, names[index], 23, width=side, weight="bold")
        text(made, at, 124, subtitles[index], 20, width=side, color=MUTED)
        square = Square(made, at, top, side, extent)
        logs = padded_log(grid)
        seen, true, guess = checked_points(points, labels, predictions[index], logs, extent)
        draw_field(square, logs, box=box, width=2.0)
        draw_points(square, seen, true, guess, size=5.5, wrong_size=10.0)
        draw_frame(square)
        draw_axes(square, size=19, left_side=index == 0)
    return made
