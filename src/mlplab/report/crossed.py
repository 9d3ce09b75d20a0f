"""Statistics of runs that share their luck: seeds crossed with draws of the data, or judged on the same points.

Runs are not independent where they share a draw of the data or the points they are judged on: the mean of a metric
over S seeds and C columns (draws, or folds of the validation points) follows the mixed model

    y_sc = mean + seed_s + column_c + rest_sc,      Var(mean) = V_seed / S + V_column / C + V_rest / (S C)

and more seeds do not make the columns' part smaller.
"""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

from mlplab.report.intervals import LEVEL, Summary, summarise
from mlplab.report.student import quantile, two_tails

Grid = Mapping[tuple[Hashable, Hashable], float]


@dataclass(frozen=True)
class Parts:
    """What a grid of S rows and C columns says.

    Attributes:
        mean: of all values.
        columns: mean of each column.
        row_variance: variance of the mean that comes from the rows alone, with S - 1 degrees of freedom: what the rows'
            means vary by beyond a share 1 - 2.4 / S^2 of the rest, over S. Were all of the rest taken off, which is
            known badly from few rows, intervals of two or three rows would cover 0.88 to 0.93 in place of 0.95.
        column_variance: variance of the mean that comes from columns and rest, with C - 1 degrees of freedom.
    """

    mean: float
    columns: tuple[float, ...]
    row_variance: float
    column_variance: float


def parts_of(table: Sequence[Sequence[float]]) -> Parts:
    """Take a full table (S rows, C columns, each 1 or more) apart by its mean squares; a single row or column has 0."""
    rows, columns = len(table), len(table[0])
    row_means = [math.fsum(row) / columns for row in table]
    column_means = [math.fsum(column) / rows for column in zip(*table)]
    mean = math.fsum(row_means) / rows
    between_rows = columns * math.fsum((value - mean) ** 2 for value in row_means)
    between_columns = rows * math.fsum((value - mean) ** 2 for value in column_means)
    rest = math.fsum(
        (table[r][c] - row_means[r] - column_means[c] + mean) ** 2 for r in range(rows) for c in range(columns)
    )
    rest_square = rest / max((rows - 1) * (columns - 1), 1)
    row_square = max(between_rows / max(rows - 1, 1) - (1 - 2.4 / max(rows, 2) ** 2) * rest_square, 0.0)
    count = rows * columns
    return Parts(mean, tuple(column_means), row_square / count, between_columns / max(columns - 1, 1) / count)


def summarise_grid(values: Grid, level: float = LEVEL) -> Summary | None:
    """Give the mean of runs over seeds and draws of the data, and an interval for the mean over both.

    A full grid (every seed on every draw) gets the interval mean +- h with

        h^2 = t_C^2 V_columns + t_S^2 V_rows,       t of C - 1 and S - 1 degrees of freedom,

    which is at least as wide as it must be where the two are independent (Banerjee 1961), whatever their shares. What of
    the rows' spread is the rest's is left out but for a share, by which the interval covers 0.93 to 0.99 for three seeds or
    more and any shares of the three variances, 0.92 at the least for two (simulated). Seeds that differ from draw to
    draw are nested: then the means of the draws are the numbers. With one draw the seeds are.

    Args:
        values: a metric by (seed, draw).
        level: 0 < level < 1.

    Returns:
        The summary; with two draws or more, ``count`` and ``sd`` are those of the draws' means. None where there is
        no number.
    """
    seeds, draws = (sorted({key[place] for key in values}, key=repr) for place in (0, 1))
    if len(draws) <= 1:
        return summarise(list(values.values()), level)
    lists = [[value for key, value in values.items() if key[1] == draw] for draw in draws]
    whole = summarise([math.fsum(one) / len(one) for one in lists], level)
    if len(seeds) == 1 or len(values) < len(seeds) * len(draws):
        return whole
    found = parts_of([[values[seed, draw] for draw in draws] for seed in seeds])
    reach = math.sqrt(
        quantile(len(draws) - 1, (1 + level) / 2) ** 2 * found.column_variance
        + quantile(len(seeds) - 1, (1 + level) / 2) ** 2 * found.row_variance
    )
    return Summary(whole.count, whole.mean, whole.sd, whole.mean - reach, whole.mean + reach)


def worse(tables: Sequence[Sequence[Sequence[float]]], best: int) -> list[float | None]:
    """Test whether settings are worse than the selected one, judged on the same points.

    Every setting has a table of losses: a row a seed, a column for each fold of the validation points (or each draw of
    the data), the columns the same for all settings. The p-value is one-sided (Hsu 1984 for why one side is enough), times the
    K - 1 comparisons of K settings (Bonferroni), for

        t = (difference of the means) / sqrt( Var(difference of the column means) / C + V_rows + V_rows' )

    with degrees of freedom by Satterthwaite's rule. The columns' part is that of the points that all seeds are judged on,
    and does not fall with more seeds.

    Args:
        tables: one a setting, at least one row each, all with the same number of columns C >= 1.
        best: index of the setting with the lowest mean.

    Returns:
        p for each setting; those above 0.05 make a set that holds the truly best one with probability 0.95. None for the
        selected one, for a setting with a single seed, of which nothing can be said, and for all where the selected one
        has losses that are not finite; 0 for another that has.

    Raises:
        ValueError: the tables have different numbers of columns.
    """
    if len({len(table[0]) for table in tables}) > 1:
        raise ValueError("all tables must have the same columns")
    known = [parts_of(table) if all(map(math.isfinite, sum(map(list, table), []))) else None for table in tables]
    found: list[float | None] = []
    for index, (parts, table) in enumerate(zip(known, tables)):
        if index == best or known[best] is None or min(len(table), len(tables[best])) == 1:
            found.append(None)
        elif parts is None:
            found.append(0.0)
        else:
            variance, freedom = variance_of_difference(parts, known[best], len(table), len(tables[best]))
            excess = parts.mean - known[best].mean
            if variance == 0 or excess <= 0:
                p = 1.0 if excess <= 0 else 0.0
            else:
                p = two_tails(excess / math.sqrt(variance), freedom) / 2
            found.append(min(1.0, p * max(len(tables) - 1, 1)))
    return found


def variance_of_difference(one: Parts, other: Parts, rows: int, other_rows: int) -> tuple[float, float]:
    """Give the variance of the difference of two settings' means on the same columns, and its degrees of freedom."""
    columns = len(one.columns)
    parts = [(one.row_variance, rows - 1), (other.row_variance, other_rows - 1)]
    if columns > 1:
        differences = summarise([a - b for a, b in zip(one.columns, other.columns)])
        parts.append((differences.sd**2 / columns, columns - 1))
    total = math.fsum(variance for variance, _ in parts)
    if total == 0:
        return 0.0, 1.0
    return total, 1 / math.fsum((variance / total) ** 2 / freedom for variance, freedom in parts)
