"""What is reported of a trained network: accuracy, NLL, calibration and the distance to Bayes, with their errors; more for unequal classes and for files."""

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

from mlplab.data.baselines import baselines
from mlplab.data.bayes import regrets, scores
from mlplab.nn.losses import negative_log_softmax
from mlplab.plots.reliability import calibration_error


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


FOLDS = 20


def mean_and_error(values: Tensor) -> tuple[float, float | None]:
    """Compute the mean of values (N,) at independent points and its standard error; None for a single point."""
    values = values.double()
    error = values.std().item() / math.sqrt(len(values)) if len(values) > 1 else None
    return values.mean().item(), error


def measure(logits: Tensor, labels: Tensor, log_posterior: Tensor | None = None) -> dict[str, Any]:
    """Measure a classifier on a set of points.

    Args:
        logits: shape (N, C), N >= 1.
        labels: shape (N,), in 0..C-1.
        log_posterior: of the Bayes classifier, shape (N, C), or None where the density is unknown.

    Returns:
        ``points``; ``accuracy`` in [0, 1]; ``nll``, the mean in nats; ``calibration_error``, the expected one
        over 15 bins (Naeini et al. 2015); ``bayes_accuracy`` and ``bayes_nll`` on the same points; and the
        regrets of :func:`mlplab.data.bayes.regrets`. Accuracy, NLL and regrets have a standard error over points under NAME``_se``,
        with the network and its training held fixed. What is of Bayes is None without a density.
    """
    log_q = -negative_log_softmax(logits.double())
    figures: dict[str, Any] = {"points": len(labels)}
    figures |= _with_errors(scores(log_q, labels))
    figures["calibration_error"] = calibration_error(logits.double().softmax(1).numpy(), labels.numpy())
    names = ("accuracy_regret", "nll_regret")
    if log_posterior is None:
        return figures | dict.fromkeys(("bayes_accuracy", "bayes_nll", *names, *(f"{name}_se" for name in names)))
    best = scores(log_posterior, labels)
    figures |= {f"bayes_{name}": mean_and_error(values)[0] for name, values in best.items()}
    return figures | _with_errors(dict(zip(names, regrets(log_q, log_posterior))))


def loss_folds(logits: Tensor, labels: Tensor, log_posterior: Tensor | None = None, folds: int = FOLDS) -> list[float]:
    """Average the loss over each of some folds of the points: point i belongs to fold i mod ``folds``.

    Settings that are judged on the same points share the luck of these points. Their losses fold by fold say how
    large it is (:func:`mlplab.report.crossed.worse`).

    Args:
        logits, labels, log_posterior: as in :func:`measure`.
        folds: how many, 1 or more; fewer where there are fewer points.

    Returns:
        Means of KL(p || q) where the posterior is known, else of the NLL.
    """
    log_q = -negative_log_softmax(logits.double())
    losses = scores(log_q, labels)["nll"] if log_posterior is None else regrets(log_q, log_posterior)[1]
    return [losses[place::folds].mean().item() for place in range(min(folds, len(losses)))]


def _with_errors(values: dict[str, Tensor]) -> dict[str, float | None]:
    figures: dict[str, float | None] = {}
    for name, points in values.items():
        figures[name], figures[f"{name}_se"] = mean_and_error(points)
    return figures


# Counted once for all runs of a process on the same points.
_counted: dict[str, dict[str, Any]] = {}


def table_facts(data: Any) -> dict[str, Any]:
    """Give ``result.json``'s entries of a file: ``class_names``, ``feature_names``, ``data`` and ``baselines``.

    Args:
        data: a data module, set up. Of data that is of no file only the names are given, where it has some.
    """
    named = {"class_names": data.class_names, "feature_names": data.feature_names}
    names = {name: list(own) for name, own in named.items() if own}
    if (recorded := data.recorded()) is None:
        return names
    if data.sha256 not in _counted:
        _counted.clear()
        _counted[data.sha256] = baselines(data.train, data.test, data.classes)
    return {**names, "data": recorded, "baselines": _counted[data.sha256]}
