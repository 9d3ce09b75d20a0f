"""Intervals on the scale of their metric: an accuracy stays between 0 and 1, an NLL above 0."""

import math
from dataclasses import replace

from mlplab.report.intervals import LEVEL, Summary
from mlplab.report.student import quantile

# Metric -> scale on which its interval is symmetric; the others may have either sign.
SCALES = {
    "accuracy": "logit",
    "bayes_accuracy": "logit",
    "calibration_error": "logit",
    "nll": "log",
    "bayes_nll": "log",
    "balanced_accuracy": "logit",
    "f1_macro": "logit",
    "auroc": "logit",
}


def on_scale(summary: Summary | None, scale: str | None) -> Summary | None:
    """Carry the half width of an interval over to another scale and back (the delta method).

    With half width h and mean m, the interval becomes log m -+ h/m on the logarithmic scale, and
    logit m -+ h/(m (1 - m)) on that of the log odds; to first order in h it is the same interval.

    Args:
        summary: with a symmetric interval, or without one.
        scale: ``"logit"`` for shares in [0, 1], ``"log"`` for numbers >= 0, or None.
    """
    if summary is None or summary.low is None or scale is None:
        return summary
    half, mean = summary.high - summary.mean, summary.mean
    if half == 0 or mean <= 0 or (scale == "logit" and mean >= 1):
        return replace(
            summary, low=max(summary.low, 0.0), high=min(summary.high, 1.0) if scale == "logit" else summary.high
        )
    if scale == "log":
        factor = math.exp(min(half / mean, 700.0))
        return replace(summary, low=mean / factor, high=mean * factor)
    reach = min(half / (mean * (1 - mean)), 700.0)
    odds = mean / (1 - mean)
    low, high = odds * math.exp(-reach), odds * math.exp(reach)
    return replace(summary, low=low / (1 + low), high=1 - 1 / (1 + high))


def difference(one: Summary, other: Summary, level: float = LEVEL, shared: tuple[float, int] | None = None) -> Summary:
    """Give the difference of two means with Welch's interval.

    Args:
        one: of at least two numbers.
        other: likewise; what is subtracted.
        level: of the interval.
        shared: variance of the difference, and its degrees of freedom, that comes from what both have in common.
    """
    parts = [(summary.sd**2 / summary.count, summary.count - 1) for summary in (one, other)]
    parts += [shared] if shared is not None else []
    mean, count = one.mean - other.mean, min(one.count, other.count)
    total = sum(part for part, _ in parts)
    spread = math.sqrt(total)
    if spread == 0:
        return Summary(count, mean, 0.0, mean, mean)
    degrees = 1 / sum((part / total) ** 2 / freedom for part, freedom in parts)
    reach = quantile(degrees, (1 + level) / 2) * spread
    return Summary(count, mean, spread, mean - reach, mean + reach)
