"""Counts in tables: chi-square, Fisher's exact test of any size with the conditional odds ratio, McNemar."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import special, stats

from imrad.evaluation.outcomes import FloatArray
from imrad.evaluation.root_search import EPSILON, UNIROOT_TOLERANCE, brent_root
from imrad.exceptions import CohortError
from imrad.seeds import generator

__all__ = ["FisherExact", "chi_square", "cross_table", "fisher_exact", "mcnemar"]

# Distinct partial tables that the exact test of a large table may hold before it is simulated.
EXACT_LIMIT = 2_000_000


@dataclass(frozen=True)
class FisherExact:
    """Fisher's exact test.

    Attributes
    ----------
    p : float
        Two-sided: tables no more probable than the observed one.
    odds_ratio, low, high : float
        Conditional maximum likelihood and its exact interval (scipy's default is the sample odds
        ratio), to the tolerance asked for; NaN for tables larger than 2 x 2.
    p_less, p_greater : float
        One-sided; NaN for larger tables.
    method : str
        ``exact``, or ``simulated`` for a table too large to enumerate.
    """

    p: float
    odds_ratio: float
    low: float
    high: float
    p_less: float
    p_greater: float
    method: str


def cross_table(rows: npt.ArrayLike, columns: npt.ArrayLike) -> pd.DataFrame:
    """Count the combinations of two variables; patients with either missing are left out."""
    return pd.crosstab(pd.Series(np.asarray(rows)), pd.Series(np.asarray(columns)))


def _table(counts: npt.ArrayLike) -> FloatArray:
    table = np.asarray(counts, dtype=float)
    if table.ndim != 2 or min(table.shape, default=0) < 2 or (table < 0).any() or (table != np.round(table)).any():
        message = (
            f"a table of shape {table.shape}: whole counts, 0 or more, with 2 rows and 2 columns at least are needed"
        )
        raise CohortError(message)
    return table


def chi_square(counts: npt.ArrayLike, *, correct: bool = True) -> dict[str, float]:
    """Pearson's chi-square test of independence: chi2, df, p.

    Parameters
    ----------
    counts : array_like, shape (n_rows, n_columns)
        Empty rows and columns make chi2 NaN, as in R.
    correct : bool
        Yates's correction, for 2 x 2 only.
    """
    table = _table(counts)
    if (table.sum(axis=0) == 0).any() or (table.sum(axis=1) == 0).any():
        df = float((table.shape[0] - 1) * (table.shape[1] - 1))
        return {"chi2": float("nan"), "df": df, "p": float("nan")}
    result = stats.chi2_contingency(table, correction=correct)
    return {"chi2": float(result.statistic), "df": float(result.dof), "p": float(result.pvalue)}


def fisher_exact(
    counts: npt.ArrayLike, *, level: float = 0.95, seed: int = 0, tolerance: float = UNIROOT_TOLERANCE
) -> FisherExact:
    """Test independence exactly, whatever the size of the table.

    scipy's r x c p value is resampled; this one sums all tables with the observed margins (merging
    partial tables of equal margin and probability), and simulates only where that would not fit.

    Parameters
    ----------
    counts : array_like of int, shape (n_rows, n_columns)
    level : float
        Of the odds ratio's interval.
    seed : int
        Of the simulation (100,000 tables), where there is one.
    tolerance : float
        Of the odds ratio or, above 1, of its reciprocal. R's fisher.test stops at 1.2e-4, which is the
        default so that the numbers are R's: an upper limit of 706 is then printed as 701. A smaller
        one gives the exact limits.
    """
    table = _table(counts)
    table = table[table.sum(axis=1) > 0][:, table.sum(axis=0) > 0]
    nan = float("nan")
    if min(table.shape) < 2:
        return FisherExact(1.0, nan, nan, nan, nan, nan, "exact")
    if table.shape == (2, 2):
        return _two_by_two(table.astype(int), level, tolerance)
    p = _enumerate(table)
    if p is None:
        return FisherExact(_simulate(table, seed), nan, nan, nan, nan, nan, "simulated")
    return FisherExact(p, nan, nan, nan, nan, nan, "exact")


def _two_by_two(table: npt.NDArray[np.intp], level: float, tolerance: float) -> FisherExact:
    total, row, column, x = int(table.sum()), int(table[0].sum()), int(table[:, 0].sum()), int(table[0, 0])
    support = np.arange(max(0, row + column - total), min(row, column) + 1)
    density = stats.hypergeom.pmf(support, total, row, column)
    log_density = stats.hypergeom.logpmf(support, total, row, column)
    p = float(min(1.0, density[density <= density[support == x][0] * (1 + 1e-7)].sum()))
    less, greater = float(density[support <= x].sum()), float(density[support >= x].sum())

    def shifted(ratio: float) -> FloatArray:
        if ratio == 0:
            return np.asarray(support == support[0], dtype=float)
        return np.asarray(special.softmax(log_density + np.log(ratio) * support))

    def search(value: Callable[[FloatArray], float], goal: float) -> float:
        """Odds ratio at which a figure of the distribution, monotone in it, reaches the goal."""
        at_one = value(shifted(1.0))
        if at_one == goal:
            return 1.0
        rising = value(shifted(2.0)) > at_one
        if (at_one > goal) == rising:
            return brent_root(lambda t: value(shifted(t)) - goal, 0.0, 1.0, tolerance=tolerance)
        return 1 / brent_root(lambda t: value(shifted(1 / t)) - goal, EPSILON, 1.0, tolerance=tolerance)

    tail = (1 - level) / 2
    below, above = support <= x, support >= x
    first, last = x == support[0], x == support[-1]
    ratio = 0.0 if first else np.inf if last else search(lambda d: float(d @ support), float(x))
    low = 0.0 if first else search(lambda d: float(d[above].sum()), tail)
    high = np.inf if last else search(lambda d: float(d[below].sum()), tail)
    return FisherExact(p, ratio, low, high, min(less, 1.0), min(greater, 1.0), "exact")


def _enumerate(table: FloatArray) -> float | None:
    """Sum the probabilities of tables no more probable than the observed; None if there are too many."""
    if table.shape[0] > table.shape[1]:
        table = table.T
    margins = table.sum(axis=1).astype(np.int64)
    columns = np.sort(table.sum(axis=0).astype(np.int64))[::-1]
    base = np.cumprod(np.concatenate(([1], margins[:-1] + 1)))
    log_observed = -float(special.gammaln(table + 1).sum())
    # A state is what is left of the row margins; a path's value is the sum of -log(cell!) so far.
    left, value, log_ways = margins[None, :], np.zeros(1), np.zeros(1)
    for total in columns[:-1]:
        choices = _compositions(int(total), margins)
        if choices is None or len(left) * len(choices) > 40 * EXACT_LIMIT:
            return None
        pieces = []
        cost = -special.gammaln(choices + 1).sum(axis=1)
        for start in range(0, len(left), max(1, EXACT_LIMIT // len(choices))):
            rows = slice(start, start + max(1, EXACT_LIMIT // len(choices)))
            rest = left[rows, None, :] - choices[None, :, :]
            fits = (rest >= 0).all(axis=2)
            values = (value[rows, None] + cost[None, :])[fits]
            pieces.append(_merged(rest[fits] @ base, values, np.broadcast_to(log_ways[rows, None], fits.shape)[fits]))
        state, value, log_ways = _merged(*(np.concatenate(parts) for parts in zip(*pieces, strict=True)))
        if len(state) > EXACT_LIMIT:
            return None
        left = (state[:, None] // base[None, :]) % (margins + 1)
    value = value - special.gammaln(left + 1).sum(axis=1)
    weight = value + log_ways
    everything = float(special.logsumexp(weight))
    extreme = value <= log_observed + 1e-7
    return float(min(1.0, np.exp(special.logsumexp(weight[extreme]) - everything))) if extreme.any() else 0.0


def _compositions(total: int, limits: npt.NDArray[np.int64]) -> npt.NDArray[np.int64] | None:
    """All ways to share `total` over rows within their limits."""
    grown = np.zeros((1, 0), dtype=np.int64)
    for number, limit in enumerate(limits):
        rest = int(limits[number + 1 :].sum())
        used = grown.sum(axis=1)
        if number == len(limits) - 1:
            last = total - used
            keep = (last >= 0) & (last <= limit)
            return np.column_stack([grown[keep], last[keep]])
        options = np.arange(min(int(limit), total) + 1)
        if len(grown) * len(options) > EXACT_LIMIT:
            return None
        after = used[:, None] + options[None, :]
        keep = (after <= total) & (total - after <= rest)
        row, column = np.nonzero(keep)
        grown = np.column_stack([grown[row], options[column]])
    return grown


def _merged(
    state: npt.NDArray[np.int64], value: FloatArray, log_ways: FloatArray
) -> tuple[npt.NDArray[np.int64], FloatArray, FloatArray]:
    rounded = np.rint(value * 1e9)
    order = np.lexsort((rounded, state))
    state, value, log_ways, rounded = state[order], value[order], log_ways[order], rounded[order]
    new = np.concatenate(([True], (np.diff(state) != 0) | (np.diff(rounded) > 1)))
    start = np.flatnonzero(new)
    return state[start], value[start], np.logaddexp.reduceat(log_ways, start)


def _simulate(table: FloatArray, seed: int, n: int = 100_000) -> float:
    observed = -float(special.gammaln(table + 1).sum())
    draws = stats.random_table(table.sum(axis=1), table.sum(axis=0)).rvs(n, random_state=generator(seed, "fisher"))
    extreme = -special.gammaln(draws + 1).sum(axis=(1, 2)) <= observed + 1e-7
    return float((extreme.sum() + 1) / (n + 1))


def mcnemar(counts: npt.ArrayLike, *, correct: bool = True) -> dict[str, float]:
    """McNemar's test (Bowker's for larger square tables) of symmetry in paired counts: chi2, df, p."""
    table = _table(counts)
    if table.shape[0] != table.shape[1]:
        message = f"a table of shape {table.shape}: paired counts need as many rows as columns"
        raise CohortError(message)
    upper = np.triu_indices(len(table), 1)
    above, below = table[upper], table.T[upper]
    used = above + below > 0
    gap = np.abs(above - below)[used]
    if correct and len(table) == 2:
        gap = np.where(gap > 0, gap - 1, 0.0)
    df = float(len(upper[0]))
    if not used.any():
        return {"chi2": float("nan"), "df": df, "p": float("nan")}
    chi2 = float(np.sum(gap**2 / (above + below)[used]))
    return {"chi2": chi2, "df": df, "p": float(stats.chi2.sf(chi2, df))}
