"""Pictures of images: those that a network gets wrong, and the weights of its first layer as images."""

import numpy as np
from matplotlib.figure import Figure

from mlplab.errors import InputError
from mlplab.plots.key import Swatch
from mlplab.plots.style import COLOURS, INK, MUTED, class_colour, figure, rgb, text
from mlplab.plots.style import class_names as named

COLUMNS, ROWS = 8, 4
LEFT, TOP, SIDE = 60, 130, 132


def error_images(images, labels, probabilities, *, title: str, subtitle: str = "", class_names=None) -> Figure:
    """Draw the images of which a network is surest and wrong, then the right ones of which it is least sure.

    Args:
        images: shape (N, H, W).
        labels: true classes, shape (N,).
        probabilities: shape (N, C).
        title: model and data.
        subtitle: the figures.
        class_names: C names.

    Returns:
        A ``Figure`` 1320 pixels wide, with up to `COLUMNS` x `ROWS` images.

    Raises:
        InputError: for shapes that do not agree.
    """
    images, labels, probabilities = np.asarray(images, float), np.asarray(labels, int), np.asarray(probabilities, float)
    if (
        images.ndim != 3
        or probabilities.shape[:1] != labels.shape
        or images.shape[:1] != labels.shape
        or not len(labels)
    ):
        raise InputError(
            f"images (N, H, W), labels (N,) and probabilities (N, C) must agree, got {images.shape}, {labels.shape} and "
            f"{probabilities.shape}"
        )
    names = named(probabilities.shape[1], class_names)
    said, sure = probabilities.argmax(1), probabilities.max(1)
    wrong = said != labels
    chosen = np.lexsort((np.where(wrong, -sure, sure), ~wrong))[: COLUMNS * ROWS]
    rows = -(-len(chosen) // COLUMNS)
    step = SIDE + 62
    made = figure(1320, TOP + rows * step + 20)
    text(made, LEFT, 54, title, 34, width=1240, weight="bold")
    text(made, LEFT, 98, subtitle, 23, width=1240, color=MUTED)
    low, high = images[chosen].min(), images[chosen].max()
    for place, i in enumerate(chosen):
        left, top = LEFT + place % COLUMNS * 152, TOP + place // COLUMNS * step
        shade = 1 - (images[i] - low) / (high - low or 1.0)
        frame = rgb(COLOURS[2]) if wrong[i] else np.full(3, 0.8)
        made.add_artist(Swatch(framed(np.repeat(shade[..., None], 3, 2), frame), left, top))
        words = f"{names[labels[i]]} → {names[said[i]]}" if wrong[i] else names[labels[i]]
        text(
            made,
            left + SIDE / 2,
            top + SIDE + 22,
            words,
            19,
            ha="center",
            width=148,
            color=COLOURS[2] if wrong[i] else INK,
        )
        text(made, left + SIDE / 2, top + SIDE + 44, f"{100 * sure[i]:.0f} %", 17, ha="center", color=MUTED)
    return made


def weight_images(weights, *, title: str, subtitle: str = "") -> Figure:
    """Draw the weights of hidden units as images: positive ones blue, negative ones red, on one scale.

    Args:
        weights: shape (units, H, W); the first `COLUMNS` x `ROWS` are drawn.
        title: model and data.
        subtitle: which units they are.

    Returns:
        A ``Figure`` 1320 pixels wide.

    Raises:
        InputError: for another shape.
    """
    weights = np.asarray(weights, float)[: COLUMNS * ROWS]
    if weights.ndim != 3 or 0 in weights.shape:
        raise InputError(f"weights must have the shape (units, H, W), got {weights.shape}")
    rows = -(-len(weights) // COLUMNS)
    made = figure(1320, TOP + rows * 152 + 20)
    text(made, LEFT, 54, title, 34, width=1240, weight="bold")
    text(made, LEFT, 98, subtitle, 23, width=1240, color=MUTED)
    scale = float(np.abs(weights).max()) or 1.0
    for place, values in enumerate(weights):
        share = values[..., None] / scale
        colour = 1 - np.abs(share) * (1 - np.where(share > 0, rgb(class_colour(0)), rgb(class_colour(2))))
        swatch = Swatch(framed(colour, np.full(3, 0.8)), LEFT + place % COLUMNS * 152, TOP + place // COLUMNS * 152)
        made.add_artist(swatch)
    return made


def framed(image: np.ndarray, frame: np.ndarray, thick: int = 3) -> np.ndarray:
    """Grow an image (H, W, 3), values 0 to 1, to `SIDE` x `SIDE` pixels with a frame; RGBA bytes (SIDE, SIDE, 4)."""
    height, width = image.shape[:2]
    inner = SIDE - 2 * thick
    scale = inner / max(height, width)  # pixels stay square
    tall, wide = max(1, round(height * scale)), max(1, round(width * scale))
    grown = image[np.arange(tall) * height // tall][:, np.arange(wide) * width // wide]
    out = np.ones((SIDE, SIDE, 4))
    top, left = (SIDE - tall) // 2, (SIDE - wide) // 2
    out[top - thick : top + tall + thick, left - thick : left + wide + thick, :3] = frame
    out[top : top + tall, left : left + wide, :3] = grown
    return np.ascontiguousarray((255 * out.clip(0, 1)).round().astype(np.uint8))
