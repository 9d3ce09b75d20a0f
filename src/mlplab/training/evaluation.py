"""What is reported of a trained network: accuracy, NLL, calibration, and the distance to Bayes."""

from typing import Any

from torch import Tensor

from mlplab.data.bayes import score
from mlplab.nn.losses import negative_log_softmax
from mlplab.plots.reliability import calibration_error


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
    own = score(-negative_log_softmax(logits), labels)
    figures = {
        "points": len(labels),
        **own,
        "calibration_error": calibration_error(logits.softmax(1).numpy(), labels.numpy()),
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
            "accuracy_regret": best["accuracy"] - own["accuracy"],
            "nll_regret": own["nll"] - best["nll"],
        }
    return figures
