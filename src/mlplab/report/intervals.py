"""Statistics over seeds: mean, spread, the 95 % interval, and tests of differences."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mlplab.report.student import quantile, two_tails

LEVEL = 0.95


@dataclass(frozen=True)
class Summary:
    """What some numbers have in common.

    Attributes:
        count: how many, n >= 1.
        mean: their mean.
        sd: sample standard deviation (divisor n - 1); None for n = 1.
        low: lower end of the interval for the mean; None for n = 1.
        high: its upper end.
    """

    count: int
    mean: float
    sd: float | None
    low: float | None
    high: float | None


def summarise(values: Sequence[float], level: float = LEVEL) -> Summary | None:
    """Give mean, sample standard deviation and Student's interval of independent numbers.

    The interval is mean +- t sd / sqrt(n), t the (1 + level)/2 quantile of Student's distribution with
    n - 1 degrees of freedom (Student 1908). It covers the mean of normally distributed numbers in a share
    ``level`` of cases.

    Args:
        values: finite numbers, one for each seed; their order does not show in any bit.
        level: 0 < level < 1.

    Returns:
        The summary; None where there is no number.
    """
    count = len(values)
    if not count:
        return None
    # fsum rounds once: the result does not depend on the order of the runs, and the mean of equal numbers is exact.
    mean = values[0] if min(values) == max(values) else math.fsum(values) / count
    if count == 1:
        return Summary(1, mean, None, None, None)
    sd = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (count - 1))
    reach = quantile(count - 1, (1 + level) / 2) * sd / math.sqrt(count)
    return Summary(count, mean, sd, mean - reach, mean + reach)


def welch(first: Summary, second: Summary) -> float | None:
    """Test whether two means differ where the spreads may differ too (Welch 1947).

    t = (m1 - m2) / sqrt(s1^2/n1 + s2^2/n2) against Student's distribution with

        (s1^2/n1 + s2^2/n2)^2 / ( (s1^2/n1)^2/(n1 - 1) + (s2^2/n2)^2/(n2 - 1) )

    degrees of freedom.

    Args:
        first: of one setting.
        second: of another.

    Returns:
        The two-sided p-value; None where one of them has a single number, and so no spread. Without any
        spread it is 1 for equal means and 0 for others.
    """
    if first.sd is None or second.sd is None:
        return None
    parts = [summary.sd**2 / summary.count for summary in (first, second)]
    difference = abs(first.mean - second.mean)
    if sum(parts) == 0:
        return 1.0 if difference == 0 else 0.0
    # Shares, since the squares of small variances would vanish.
    shares = [part / sum(parts) for part in parts]
    freedom = 1 / sum(share**2 / (s.count - 1) for share, s in zip(shares, (first, second)))
    return two_tails(difference / math.sqrt(sum(parts)), freedom)


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values for their number (Holm 1979).

    The i-th smallest of m (i = 0, 1, ...) is multiplied by m - i; none ends below a smaller one, or above 1.

    Returns:
        The corrected values in the order given: comparing each with 0.05 leaves the chance of one false
        difference or more at 0.05.
    """
    corrected = [0.0] * len(p_values)
    largest = 0.0
    for place, index in enumerate(sorted(range(len(p_values)), key=lambda index: p_values[index])):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[index]))
        corrected[index] = largest
    return corrected
