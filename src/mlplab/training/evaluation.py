"""What is reported of a trained network: accuracy, NLL, calibration, and the distance to the Bayes classifier."""

from typing import Any

import torch
from torch import Tensor
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_calibration_error,
    multiclass_confusion_matrix,
)

from mlplab.core.bayes import score
from mlplab.core.losses import negative_log_softmax

CALIBRATION_BINS = 15


def measure(logits: Tensor, labels: Tensor, log_posterior: Tensor | None = None) -> dict[str, Any]:
    """Measure a classifier on a set of points.

    Args:
        logits: shape (N, C), N >= 1.
        labels: shape (N,), in 0..C-1.
        log_posterior: of the Bayes classifier, shape (N, C), or None where the density is unknown.

    Returns:
        ``points``; ``accuracy`` in [0, 1]; ``nll``, the mean in nats; ``calibration_error``, the expected one
        over 15 bins (Naeini et al. 2015); ``bayes_accuracy`` and ``bayes_nll`` on the same points; and the
        regrets: Bayes accuracy minus accuracy, NLL minus Bayes NLL. The last four are None without a density.
    """
    logits = logits.double()
    nll = negative_log_softmax(logits).gather(1, labels[:, None]).mean()
    probabilities = logits.softmax(1)
    if probabilities.shape[1] == 1:  # torchmetrics asks for two classes
        probabilities = torch.cat([probabilities, torch.zeros_like(probabilities)], 1)
    classes = probabilities.shape[1]
    options = {"num_classes": classes, "validate_args": False}
    accuracy = multiclass_accuracy(probabilities, labels, average="micro", **options)
    calibration = multiclass_calibration_error(probabilities, labels, n_bins=CALIBRATION_BINS, **options)
    figures = {
        "points": len(labels),
        # torchmetrics divides in float32; the number of hits is whole, so the exact ratio can be had.
        "accuracy": round(float(accuracy) * len(labels)) / len(labels),
        "nll": float(nll),
        "calibration_error": float(calibration),
        "bayes_accuracy": None,
        "bayes_nll": None,
        "accuracy_regret": None,
        "nll_regret": None,
    }
    if log_posterior is not None:
        best = score(log_posterior, labels)
        figures |= {
            "bayes_accuracy": best["accuracy"],
            "bayes_nll": best["nll"],
            "accuracy_regret": best["accuracy"] - figures["accuracy"],
            "nll_regret": figures["nll"] - best["nll"],
        }
    return figures


def confusion(logits: Tensor, labels: Tensor) -> Tensor:
    """Count the points of each true class (rows) by predicted class (columns): (C, C) integers."""
    if logits.shape[1] == 1:
        return torch.tensor([[len(labels)]])
    return multiclass_confusion_matrix(logits, labels, num_classes=logits.shape[1], validate_args=False)
