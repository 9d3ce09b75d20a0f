"""Metrics for where accuracy alone says little: for unequal classes, and for each class, by torchmetrics."""

import math
from typing import Any

import torch
from torch import Tensor
from torchmetrics.functional.classification import (
    binary_auroc,
    multiclass_auroc,
    multiclass_confusion_matrix,
    multiclass_f1_score,
)


def merit(logits: Tensor, labels: Tensor) -> dict[str, Any]:
    """Measure a classifier beyond accuracy and NLL.

    Args:
        logits: shape (N, C), N >= 1.
        labels: shape (N,), in 0..C-1.

    Returns:
        ``balanced_accuracy``, the mean recall of the classes that there are; ``f1_macro``, the mean over classes of
        2 TP / (2 TP + FP + FN); ``auroc``, of the second class where there are two, else the mean over classes of one
        against the rest, None unless each class has points and others; ``recall`` of each class, None where it has no
        point; ``confusion``, points by true class (rows) and predicted class (columns).
    """
    classes = logits.shape[1]
    predicted, probabilities = logits.argmax(1), logits.double().softmax(1)
    if classes == 1:
        counts = torch.tensor([[len(labels)]])
        f1 = 1.0
    else:
        counts = multiclass_confusion_matrix(predicted, labels, classes, validate_args=False)
        f1 = float(multiclass_f1_score(predicted, labels, classes, average="macro", validate_args=False))
    members = counts.sum(1)
    recall = [float(counts[k, k] / members[k]) if members[k] else None for k in range(classes)]
    known = [value for value in recall if value is not None]
    auroc = None
    if classes > 1 and bool((members > 0).all()) and bool(probabilities.isfinite().all()):
        if classes == 2:
            auroc = float(binary_auroc(probabilities[:, 1], labels, validate_args=False))
        else:
            auroc = float(multiclass_auroc(probabilities, labels, classes, average="macro", validate_args=False))
    return {
        "balanced_accuracy": math.fsum(known) / len(known),
        "f1_macro": f1,
        "auroc": auroc,
        "recall": recall,
        "confusion": counts.tolist(),
    }
