"""Which classes are mistaken for which, and whether a probability of 0.9 is right nine times in ten."""

import numpy as np
from matplotlib.figure import Figure

from mlplab.errors import InputError
from mlplab.plots.charts import add_chart, dots, label, note
from mlplab.plots.style import COLOURS, FAMILY, INK, MUTED, page, points_of, rgb, text, with_letters
from mlplab.plots.style import class_names as named
from mlplab.runs.metrics import BINS, reliability
from mlplab.words import plural


def confusion_counts(labels, predicted, classes: int) -> np.ndarray:
    """Count points by true class (rows) and predicted class (columns); int array (classes, classes)."""
    flat = np.asarray(labels, dtype=int) * classes + np.asarray(predicted, dtype=int)
    return np.bincount(flat, minlength=classes * classes).reshape(classes, classes)


def calibration(probabilities, labels, *, title: str, subtitle: str = "", class_names=None, bins: int = BINS) -> Figure:
    """Draw the confusion matrix (left) and the reliability of the probabilities (right).

    Args:
        probabilities: shape (N, C), rows summing to 1.
        labels: true classes, shape (N,).
        title: model and data.
        subtitle: the figures, such as the calibration error.
        class_names: C names.
        bins: of the reliability diagram.

    Returns:
        A ``Figure`` of 1560 x 840 pixels.

    Raises:
        InputError: for no points, shapes that do not agree, or values that are not finite.
    """
    values, labels = np.asarray(probabilities, dtype=float), np.asarray(labels, dtype=int)
    if values.ndim != 2 or 0 in values.shape or labels.shape != (len(values),):
        raise InputError(
            f"probabilities (N, C) and labels (N,) must agree with N >= 1, got shapes {values.shape} and {labels.shape}"
        )
    if labels.min() < 0 or labels.max() >= values.shape[1]:
        allowed = f"0 to {values.shape[1] - 1}"
        raise InputError(f"labels must be {allowed}, got {labels.min()} to {labels.max()}")
    if not np.isfinite(values).all():
        bad = int((~np.isfinite(values).all(axis=1)).sum())
        raise InputError(f"probabilities must be finite, got {bad} of {plural(len(values), 'point')} that are not")
    classes = values.shape[1]
    made = page(1560, 840, title, subtitle)
    draw_confusion(made, confusion_counts(labels, values.argmax(axis=1), classes), named(classes, class_names))
    draw_reliability(made, *reliability(values, labels, bins))
    return made


def draw_confusion(made: Figure, counts: np.ndarray, names) -> None:
    """Draw counts as a square of cells: hits in blue, misses in red, each by its share of the true class."""
    classes = len(counts)
    axes = add_chart(made, 200, 170, 540, 540)
    axes.grid(False)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    hit = np.eye(classes, dtype=bool)
    strength = np.where(hit, 0.12 + 0.48 * shares, np.where(counts > 0, 0.10 + 0.75 * shares**0.5, 0.0))[..., None]
    shade = np.where(hit[..., None], rgb(COLOURS[0]), rgb(COLOURS[2]))
    axes.imshow(1 - strength * (1 - shade), interpolation="nearest", aspect="auto")
    if classes > 1:
        inner = np.arange(classes - 1) + 0.5
        style = {"color": "#ffffff", "lw": points_of(4)}
        axes.hlines(inner, -0.5, classes - 0.5, **style)
        axes.vlines(inner, -0.5, classes - 0.5, **style)
    size = min(26.0, 300.0 / classes)
    if classes <= 20:
        for i, j in np.ndindex(counts.shape):
            dark = strength[i, j, 0] > 0.55 and i != j
            axes.text(
                j,
                i,
                f"{counts[i, j]}" if counts[i, j] or i == j else "·",
                ha="center",
                va="center",
                color="#ffffff" if dark else INK if counts[i, j] else MUTED,
                fontfamily=FAMILY,
                fontsize=points_of(size),
                fontweight="bold" if i == j else "normal",
            )
    short = [name if len(name) <= 11 else name[:10] + "…" for name in names]
    step = -(-classes // 20)
    turn = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if max(map(len, short)) * classes > 34 else {}
    places = np.arange(0, classes, step)
    drawn = [with_letters(name) for name in short[::step]]
    families = max((families for _, families in drawn), key=len)
    style = {"fontsize": points_of(min(21, 1.4 * size)), "fontfamily": families}
    axes.set_xticks(places, [words for words, _ in drawn], **style, **turn)
    axes.set_yticks(places, [words for words, _ in drawn], **style)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    text(made, 470, 152, "predicted class (columns) by true class (rows)", 22, ha="center", width=700)


def draw_reliability(made: Figure, counts, sure, accuracy) -> None:
    """Draw accuracy against mean probability for each bin, with the bins' counts beneath."""
    bins = len(counts)
    text(made, 1195, 152, "accuracy where the network says p", 22, ha="center", width=700)
    upper = add_chart(made, 925, 170, 540, 410)
    lower = add_chart(made, 925, 602, 540, 108)
    centres, width = (np.arange(bins) + 0.5) / bins, 1 / bins
    filled = counts > 0
    upper.plot([0, 1], [0, 1], color=MUTED, lw=points_of(2.5), ls=(0, (4, 3)), zorder=2)
    upper.bar(centres[filled], accuracy[filled], 0.9 * width, color=1 - 0.6 * (1 - rgb(COLOURS[0])), zorder=1)
    upper.vlines(sure[filled], accuracy[filled], sure[filled], color=COLOURS[2], lw=points_of(5), zorder=3)
    dots(upper, sure[filled], accuracy[filled], INK, 12, zorder=4, clip_on=False)
    tilted = {"rotation": np.degrees(np.arctan2(410, 540)), "rotation_mode": "anchor"}
    note(upper, "calibrated", (0, 0), right=22, up=30, **tilted)
    lower.bar(centres, counts, 0.9 * width, color="#a9afbd")
    ticks = np.linspace(0, 1, 6)
    upper.set(xlim=(0, 1), ylim=(0, 1), xticks=ticks, yticks=ticks)
    upper.tick_params(labelbottom=False)
    top = 10.0 ** np.ceil(np.log10(max(counts.max(), 10)))
    lower.set(xlim=(0, 1), xticks=ticks, yscale="symlog", ylim=(0, top))
    lower.set_yticks([0, np.sqrt(top) if np.log10(top) % 2 == 0 else 10.0, top])
    lower.set_yticks([], minor=True)
    lower.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    label(upper, "", "accuracy")
    label(lower, "probability p of the predicted class", "points")
