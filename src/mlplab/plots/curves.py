"""Loss and accuracy over the epochs, beside the best that anything can reach on this data."""

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
from mlplab.plots.style import INK, MUTED, page, points_of

TRAIN = "#8b92a3"
VALIDATION = INK
BAYES = "#0b7a75"
LEAST_ERROR = 1e-4


def learning_curves(
    epochs,
    train_loss,
    validation_loss=None,
    train_accuracy=None,
    validation_accuracy=None,
    *,
    title: str,
    subtitle: str = "",
    bayes_nll: float | None = None,
    bayes_accuracy: float | None = None,
    best_epoch: float | None = None,
    other: str = "validation",
) -> Figure:
    """Draw loss (left) and accuracy (right) over epochs, both on scales that keep the end visible.

    Args:
        epochs: shape (T,), >= 0, ascending.
        train_loss: mean cross entropy, shape (T,); NaN leaves a gap.
        validation_loss: the same on validation points; None draws none.
        train_accuracy: 0 to 1, shape (T,).
        validation_accuracy: 0 to 1, shape (T,).
        title: model and data.
        subtitle: the final figures.
        bayes_nll: the Bayes classifier's NLL, a level line; None draws none.
        bayes_accuracy: the Bayes classifier's accuracy, 0 to 1.
        best_epoch: marked on the validation curves.
        other: what the second curve is called.

    Returns:
        A ``Figure`` of 1560 x 640 pixels.

    Raises:
        InputError: for curves that are not as long as ``epochs``.
    """
    epochs = np.asarray(epochs, dtype=float)
    losses = checked(epochs, train_loss=train_loss, validation_loss=validation_loss)
    accuracies = checked(epochs, train_accuracy=train_accuracy, validation_accuracy=validation_accuracy)
    made = page(1560, 640, title, subtitle, left=110)
    left = add_chart(made, 110, 140, 520, 410)
    draw(left, epochs, losses, bayes_nll, best_epoch, other)
    label(left, "epoch (log scale)", "cross entropy, nats")
    right = add_chart(made, 880, 140, 520, 410)
    # Errors on a logarithmic axis, named by accuracy: the step from 98 to 99 % is as wide as from 0 to 50 %.
    errors = [None if curve is None else np.maximum(1 - curve, LEAST_ERROR) for curve in accuracies]
    floor = None if bayes_accuracy is None else max(1 - bayes_accuracy, LEAST_ERROR)
    draw(right, epochs, errors, floor, best_epoch, other, accuracy=True)
    label(right, "epoch (log scale)", "accuracy, %")
    return made


def checked(epochs, **curves) -> list:
    """Return the curves as float arrays or None; raise InputError where a length differs."""
    out = []
    for name, curve in curves.items():
        curve = None if curve is None else np.asarray(curve, dtype=float)
        if curve is not None and curve.shape != epochs.shape:
            raise InputError(f"{name} must have the shape {epochs.shape} as epochs do, got {curve.shape}")
        out.append(curve)
    return out


def draw(axes, epochs, curves, level, best_epoch, other, *, accuracy=False) -> None:
    """Draw a training and a second curve with the Bayes level and the best epoch."""
    train, second = curves
    low, high = log_scale(axes, "y", [*curves, level])
    if accuracy:
        high = min(high, 1.0)
        axes.set_ylim(high, low)
        accuracy_ticks(axes, low, high)
    epoch_axis(axes, epochs.max(initial=1.0))
    names = []
    for curve, colour, name, order in ((train, TRAIN, "train", 3), (second, VALIDATION, other, 4)):
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
