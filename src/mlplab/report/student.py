"""Student's distribution in plain Python: importing scipy.special costs a report a quarter of a second."""

import math
from functools import lru_cache

TINY = 1e-300
CLOSE = 1e-15


def two_tails(t: float, freedom: float) -> float:
    """Return P(|T| > |t|) for Student's T with ``freedom`` > 0 degrees of freedom.

    It is the regularised incomplete beta function I_x(freedom/2, 1/2) at x = freedom/(freedom + t^2)
    (Abramowitz and Stegun 26.7.1).
    """
    if math.isinf(t):
        return 0.0
    square = t * t
    # The rest 1 - x on its own, since x rounds to 1 for small t.
    return incomplete_beta(freedom / 2, 0.5, freedom / (freedom + square), square / (freedom + square))


@lru_cache(maxsize=4096)
def quantile(freedom: float, probability: float) -> float:
    """Return the t with P(T <= t) = ``probability``, 0 < probability < 1."""
    if probability == 0.5:
        return 0.0
    if probability < 0.5:
        return -quantile(freedom, 1 - probability)
    target = 2 * (1 - probability)
    low, high = 0.0, 1.0
    while two_tails(high, freedom) > target:
        low, high = high, 2 * high
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if two_tails(middle, freedom) > target else (low, middle)
    return high


def incomplete_beta(a: float, b: float, x: float, rest: float) -> float:
    """Return the regularised incomplete beta function I_x(a, b).

    By the continued fraction of Numerical Recipes (3rd edition, section 6.4), evaluated from the front by
    Lentz's method, on the side where it converges fast.

    Args:
        a: > 0.
        b: > 0.
        x: 0 to 1.
        rest: 1 - x.
    """
    if x <= 0 or rest <= 0:
        return 0.0 if x <= 0 else 1.0
    if x > (a + 1) / (a + b + 2):
        return 1.0 - incomplete_beta(b, a, rest, x)
    scale = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    front = math.exp(scale + a * math.log(x) + b * math.log(rest)) / a
    upper, lower = 1.0, 1.0 / _away(1.0 - (a + b) * x / (a + 1))
    value = lower
    for m in range(1, 100_000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for step in (even, odd):
            lower = 1.0 / _away(1.0 + step * lower)
            upper = _away(1.0 + step / upper)
            value *= lower * upper
        if abs(lower * upper - 1.0) < CLOSE:
            break
    return front * value


def _away(value: float) -> float:
    return value if abs(value) > TINY else TINY
