"""Whether a probability of 0.9 is right nine times in ten: bins, and the error that they give. Numbers alone."""

import numpy as np

BINS = 15


def reliability(probabilities, labels, bins: int = BINS) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bin points by the probability of their predicted class, in bins ((b - 1)/B, b/B] of equal width.

    A probability of exactly 1 lies in the last bin (torchmetrics 1.9 leaves it out of all).

    Args:
        probabilities: shape (N, C).
        labels: true classes, shape (N,).
        bins: how many, B.

    Returns:
        counts, mean probability and accuracy of each bin, shape (bins,) each; NaN where a bin is empty.
    """
    values = np.asarray(probabilities, dtype=float)
    sure = values.max(axis=1)
    right = values.argmax(axis=1) == np.asarray(labels)
    place = np.clip(np.ceil(sure * bins).astype(int) - 1, 0, bins - 1)
    counts = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):
        return counts, np.bincount(place, sure, bins) / counts, np.bincount(place, right, bins) / counts


def calibration_error(probabilities, labels, bins: int = BINS) -> float:
    """Compute the expected calibration error, the mean over points of |accuracy - probability| of their bin.

    Args:
        probabilities: shape (N, C), N >= 1; NaN where a row is not finite gives NaN.
        labels: true classes, shape (N,).
        bins: of equal width.

    Source:
        Naeini, Cooper and Hauskrecht 2015, equation 3.
    """
    if not np.isfinite(np.asarray(probabilities)).all():
        return float("nan")
    counts, sure, accuracy = reliability(probabilities, labels, bins)
    filled = counts > 0
    return float((np.abs(accuracy - sure)[filled] * counts[filled]).sum() / counts.sum())
