"""Colours for ordered things: one ramp from light to dark, for cells by value and for lines by rank."""

import numpy as np

from mlplab.plots.style import INK, rgb

LEAST_ERROR = 1e-4
# From paper through blue-green to night blue; lightness falls evenly, so that it also reads in grey.
RAMP = ("#f3f5ee", "#cfe6dd", "#9ad1cb", "#5fb3bd", "#3a8fb0", "#35699d", "#344580", "#29255c")


def ramp(shares) -> np.ndarray:
    """Colour shares from 0 (light) to 1 (dark); NaN is 0.

    Args:
        shares: any shape; clipped to [0, 1].

    Returns:
        Array of the same shape and a last axis of 3, in [0, 1].
    """
    stops = np.array([rgb(colour) for colour in RAMP])
    at = np.clip(np.nan_to_num(np.asarray(shares, dtype=float)), 0, 1) * (len(stops) - 1)
    return np.stack([np.interp(at, np.arange(len(stops)), stops[:, channel]) for channel in range(3)], axis=-1)


def line_colours(count: int) -> list[str]:
    """Return ``count`` colours for lines in an order, light to dark but all seen on white."""
    places = np.linspace(0.36, 1.0, count) if count > 1 else np.array([0.75])
    return [to_hex(colour) for colour in ramp(places)]


def to_hex(colour) -> str:
    """Write an array of shape (3,) in [0, 1] as ``#rrggbb``."""
    return "#" + "".join(f"{int(round(255 * float(part))):02x}" for part in colour)


def letters_on(colour) -> str:
    """Choose dark or light letters for a background of shape (3,) in [0, 1], by its luminance (WCAG 2)."""
    part = np.asarray(colour, dtype=float)
    linear = np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)
    return INK if float(linear @ [0.2126, 0.7152, 0.0722]) > 0.23 else "#ffffff"


def goodness(values, kind: str, among=None) -> np.ndarray:
    """Place values from worst (0) to best (1) by the logarithm of their error.

    The step from 98 to 99 % of accuracy is then as wide as from 0 to 50 %.

    Args:
        values: accuracies in [0, 1] or NLLs; NaN stays.
        kind: ``"accuracy"`` or ``"nll"``.
        among: the values whose worst and best are the ends; by default the values themselves.
    """
    logs = np.log(np.maximum(errors(values, kind), LEAST_ERROR))
    others = logs if among is None else np.log(np.maximum(errors(among, kind), LEAST_ERROR))
    finite = others[np.isfinite(others)]
    if not finite.size or finite.max() == finite.min():
        return np.where(np.isfinite(logs), 0.5, np.nan)
    return (finite.max() - logs) / (finite.max() - finite.min())


def errors(values, kind: str) -> np.ndarray:
    """Turn accuracies into shares of wrong answers; NLLs are errors already."""
    values = np.asarray(values, dtype=float)
    return 1 - values if kind == "accuracy" else values
