"""How a training went: loss and accuracy over the epochs, beside the best that anything can reach, and maps of some epochs."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from mlplab.errors import InputError
from mlplab.plots.charts import (
    DASHED,
    FEW,
    add_chart,
    dots,
    end_names,
    epoch_axis,
    epoch_place,
    even_ticks,
    label,
    log_scale,
    note,
)
from mlplab.plots.field import extent_of, padded_log
from mlplab.plots.panel import Square, draw_field, draw_frame
from mlplab.plots.style import INK, MUTED, page, points_of, text

TRAIN = "#8b92a3"
VALIDATION = INK
BAYES = "#0b7a75"
LEAST_ERROR = 1e-4


def learning_curves(
    history: Mapping[str, Any],
    *,
    title: str,
    subtitle: str = "",
    bayes_nll: float | None = None,
    bayes_accuracy: float | None = None,
    best_epoch: float | None = None,
) -> Figure:
    """Draw loss (left) and accuracy (right) over epochs, both on scales that keep the end visible.

    Args:
        history: columns by name, shape (T,) each: ``epoch``, >= 0 and ascending, and of ``train/loss``, ``val/loss``,
            ``train/accuracy`` and ``val/accuracy`` those that there are; NaN leaves a gap.
        title: model and data.
        subtitle: the final figures.
        bayes_nll: the Bayes classifier's NLL, a level line; None draws none.
        bayes_accuracy: the Bayes classifier's accuracy, 0 to 1.
        best_epoch: marked on the validation curves.

    Returns:
        A ``Figure`` of 1560 x 640 pixels.

    Raises:
        InputError: for curves that are not as long as ``epoch``.
    """
    epochs, losses = checked(history, "train/loss", "val/loss")
    _, accuracies = checked(history, "train/accuracy", "val/accuracy")
    made = page(1560, 640, title, subtitle, left=110)
    left = add_chart(made, 110, 140, 520, 410)
    draw(left, epochs, losses, bayes_nll, best_epoch)
    label(left, "epoch (log scale)", "loss, nats")
    right = add_chart(made, 880, 140, 520, 410)
    # Errors on a logarithmic axis, named by accuracy: the step from 98 to 99 % is as wide as from 0 to 50 %.
    errors = [None if curve is None else np.maximum(1 - curve, LEAST_ERROR) for curve in accuracies]
    floor = None if bayes_accuracy is None else max(1 - bayes_accuracy, LEAST_ERROR)
    draw(right, epochs, errors, floor, best_epoch, accuracy=True)
    label(right, "epoch (log scale)", "accuracy, %")
    return made


def checked(history: Mapping[str, Any], *names: str) -> tuple[np.ndarray, list]:
    """Return the epochs and the named curves as float arrays or None; raise InputError where a length differs."""
    epochs, curves = np.asarray(history["epoch"], dtype=float), []
    for name in names:
        curve = None if history.get(name) is None else np.asarray(history[name], dtype=float)
        if curve is not None and curve.shape != epochs.shape:
            raise InputError(f"{name} must have the shape {epochs.shape} as epoch does, got {curve.shape}")
        curves.append(curve)
    return epochs, curves


def draw(axes, epochs, curves, level, best_epoch, *, accuracy=False) -> None:
    """Draw a training and a second curve with the Bayes level and the best epoch."""
    train, second = curves
    low, high = log_scale(axes, "y", [*curves, level])
    if accuracy:
        high = min(high, 1.0)
        axes.set_ylim(high, low)
        accuracy_ticks(axes, low, high)
    epoch_axis(axes, epochs.max(initial=1.0))
    names = []
    for curve, colour, name, order in ((train, TRAIN, "train", 3), (second, VALIDATION, "validation", 4)):
        if curve is not None:
            marker = "o" if len(epochs) == 1 else None
            style = {"zorder": order, "marker": marker, "solid_joinstyle": "round"}
            axes.plot(epochs, curve, color=colour, lw=points_of(4), **style)
            finite = curve[np.isfinite(curve)]
            names.append((finite[-1] if len(finite) else None, name, colour if name != "train" else MUTED))
    bayes_level(axes, level)
    names.append((level, "Bayes limit", BAYES))
    if best_epoch is not None and second is not None and best_epoch in epochs:
        at = second[epochs == best_epoch][0]
        dots(axes, [best_epoch], [at], "#ffffff", 15, edge=INK, width=3, zorder=5, clip_on=False)
        axes.axvline(best_epoch, color=MUTED, lw=points_of(1.5), zorder=1.5)
        share = float(epoch_place(best_epoch) / epoch_place(max(epochs.max(), 1.0)))
        # Above the frame no line crosses the text.
        side = "right" if share > 0.8 else "left" if share < 0.2 else "center"
        note(axes, f"best: epoch {best_epoch:g}", (share, 1), up=8, va="bottom", ha=side)
    end_names(axes, names)


def bayes_level(axes, level: float | None) -> None:
    """Draw the Bayes limit as a level line; None draws none."""
    if level is not None:
        axes.axhline(level, color=BAYES, lw=points_of(3), ls=DASHED, zorder=2)


def accuracy_ticks(axes, low: float, high: float) -> None:
    """Name a logarithmic axis of errors by accuracies in percent."""
    errors = [e for e in (0.9, 0.75, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001) if low <= e <= high]
    room = 0.06 * np.log(high / low)
    errors = [e for e, finer in zip(errors, [*errors[1:], 0.0]) if finer == 0 or np.log(e / finer) > room]
    if len(errors) < FEW and low > LEAST_ERROR:
        errors = even_ticks(low, high)
    if low <= LEAST_ERROR:
        errors.append(LEAST_ERROR)
    axes.yaxis.set_major_locator(FixedLocator(errors))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(
        FuncFormatter(lambda error, _: f"{100 * (1 - error):.6g}" if error > LEAST_ERROR else "100")
    )


MOST = 7


def chosen_epochs(epochs, most: int = MOST) -> np.ndarray:
    """Choose at most ``most`` of ascending epochs, first and last included, spaced evenly by log(1 + e).

    Returns:
        Indices into ``epochs``, ascending.
    """
    epochs = np.asarray(epochs, dtype=float)
    if len(epochs) <= most:
        return np.arange(len(epochs))
    place = np.log1p(epochs - epochs[0])
    left = list(range(len(epochs)))
    picked = []
    for index, target in enumerate(np.linspace(place[0], place[-1], most)):
        # Leave enough later ones for the places still to fill.
        usable = left[: len(left) - (most - 1 - index)]
        best = min(usable, key=lambda at: abs(place[at] - target))
        picked.append(best)
        left = [at for at in left if at > best]
    return np.array(picked)


def learning_strip(
    maps,
    map_epochs,
    limit,
    history: Mapping[str, Any],
    *,
    title: str,
    accuracies=None,
    box=None,
    bayes_nll: float | None = None,
) -> Figure:
    """Draw decision maps of one training at several epochs over its loss curve, all on shared scales.

    Args:
        maps: shape (E, R, R, C), each as in :func:`~mlplab.plots.decision_map.decision_map`; at most seven
            are drawn.
        map_epochs: shape (E,), ascending.
        limit: of every map.
        history: with ``epoch``, ``train/loss`` and ``val/loss``, as for :func:`learning_curves`.
        title: what the strip shows.
        accuracies: 0 to 1, shape (E,), written over the maps; None writes none.
        box: (low, high), each of shape (2,): the training data's extent.
        bayes_nll: a level line under the curves.

    Returns:
        A ``Figure`` of 1720 x 660 pixels.

    Raises:
        InputError: for arrays that do not fit together.
    """
    extent = extent_of(limit)
    map_epochs = np.asarray(map_epochs, dtype=float)
    if len(maps) != len(map_epochs) or not len(maps):
        raise InputError(f"maps must be as many as map_epochs, at least 1, got {len(maps)} and {len(map_epochs)}")
    epochs, curves = checked(history, "train/loss", "val/loss")
    _, (shares,) = checked({"epoch": map_epochs, "accuracies": accuracies}, "accuracies")
    width, edge, gap = 1720, 14, 16
    made = page(width, 660, title, left=edge)
    # As wide as seven would be, so that strips of fewer maps stay in proportion.
    side = (width - 2 * edge - (MOST - 1) * gap) / MOST
    squares = []
    for place, index in enumerate(chosen_epochs(map_epochs)):
        left, top = edge + place * (side + gap), 122
        text(made, left, top - 12, f"epoch {map_epochs[index]:g}", 24, weight="bold", width=0.72 * side)
        if shares is not None and np.isfinite(shares[index]):
            text(made, left + side, top - 12, f"{100 * shares[index]:.0f} %", 23, color=MUTED, ha="right")
        square = Square(made, left, top, side, extent)
        draw_field(square, padded_log(maps[index]), box=box, veil=False, width=2.0, sure=False)
        draw_frame(square)
        squares.append(square)
    made.square = squares[-1]
    axes = add_chart(made, 112, 122 + side + 42, width - 112 - 170, 178, size=23)
    draw_losses(axes, epochs, curves, map_epochs[chosen_epochs(map_epochs)], bayes_nll)
    return made


def draw_losses(axes, epochs, curves, marked, level) -> None:
    """Draw the losses on logarithmic scales, with a tick and a thin line at each epoch that has a map."""
    log_scale(axes, "y", [*curves, level], digits=((1, 3), (1, 5), (1,)), least=1)
    epoch_axis(axes, max(epochs.max(initial=1.0), marked.max()), marked)
    axes.grid(False, axis="y")
    names = []
    for curve, colour, name in zip(curves, (TRAIN, VALIDATION), ("train", "validation")):
        if curve is not None:
            axes.plot(epochs, curve, color=colour, lw=points_of(4), marker="o" if len(epochs) == 1 else None)
            finite = curve[np.isfinite(curve)]
            names.append((finite[-1] if len(finite) else None, name, INK if colour == VALIDATION else MUTED))
    bayes_level(axes, level)
    names.append((level, "Bayes limit", BAYES))
    label(axes, "epoch (log scale)", "loss, nats", size=23)
    end_names(axes, names, size=22)
