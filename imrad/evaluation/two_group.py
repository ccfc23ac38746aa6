"""Tests of two groups with R's conventions: rank sum (exact with ties too), Welch, Student, Kolmogorov-Smirnov."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from imrad.evaluation.multiplicity import adjust
from imrad.evaluation.outcomes import FloatArray, binary_outcome
from imrad.evaluation.root_search import brent_root
from imrad.exceptions import CohortError

__all__ = ["RankSum", "ks_two_sample", "rank_sum", "screen", "student", "welch"]


@dataclass(frozen=True)
class RankSum:
    """Wilcoxon-Mann-Whitney test.

    Attributes
    ----------
    w : float
        Number of pairs in which x is larger (ties one half), R's W.
    p : float
        Two-sided.
    method : str
        ``exact`` (conditional on ties, where there are any) or ``normal``.
    shift, low, high : float
        Hodges-Lehmann shift of x against y with its interval; NaN if not asked for.
    """

    w: float
    p: float
    method: str
    shift: float = float("nan")
    low: float = float("nan")
    high: float = float("nan")


def rank_sum(
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    *,
    exact: bool | None = None,
    correct: bool = True,
    interval: bool = False,
    level: float = 0.95,
) -> RankSum:
    """Compare two samples by ranks, as R's wilcox.test.

    Parameters
    ----------
    x, y : array_like
        Missing values are left out.
    exact : bool, optional
        By default R's rule: exact with fewer than 50 in each sample and no ties. ``True`` with ties
        is the exact permutation distribution given the ties, which neither wilcox.test nor scipy
        offer (scipy's ``exact`` ignores ties).
    correct : bool
        Continuity correction of the normal approximation.
    interval : bool
        Also the Hodges-Lehmann shift: exact order statistics, or, by the normal approximation, R's
        root of the standardised statistic.

    Raises
    ------
    CohortError
        If a sample has no values.

    References
    ----------
    Hollander and Wolfe, 2013, doi:10.1002/9781119196037.
    """
    a, b = _present(x), _present(y)
    ranked = stats.rankdata(np.concatenate([a, b]))
    m, n = len(a), len(b)
    w = float(ranked[:m].sum() - m * (m + 1) / 2)
    ties = len(np.unique(ranked)) < m + n
    use_exact = (m < 50 and n < 50 and not ties) if exact is None else exact
    p = _exact_p(ranked, m) if use_exact else _normal_p(w, ranked, m, n, correct)
    result = RankSum(w, p, "exact" if use_exact else "normal")
    if not interval:
        return result
    limits = _exact_shift(a, b, level) if use_exact and not ties else _normal_shift(a, b, level, correct)
    return RankSum(w, p, result.method, *limits)


def _present(values: npt.ArrayLike) -> FloatArray:
    array = np.asarray(values, dtype=float)
    array = np.asarray(array[~np.isnan(array)])
    if len(array) == 0:
        message = "a group has no values: a comparison of two groups needs at least one in each"
        raise CohortError(message)
    return array


def _normal_p(w: float, ranked: FloatArray, m: int, n: int, correct: bool) -> float:
    counts = np.unique(ranked, return_counts=True)[1].astype(float)
    z = w - m * n / 2
    sigma = np.sqrt(m * n / 12 * ((m + n + 1) - np.sum(counts**3 - counts) / ((m + n) * (m + n - 1))))
    if sigma == 0:
        return 1.0
    z = (z - (np.sign(z) * 0.5 if correct else 0.0)) / sigma
    return float(min(1.0, 2 * min(stats.norm.cdf(z), stats.norm.sf(z))))


def _rank_distribution(doubled: npt.NDArray[np.intp], m: int) -> FloatArray:
    """Probability of each sum of m of the doubled ranks, all choices being equally likely."""
    top = int(np.sort(doubled)[::-1][:m].sum())
    ways = np.zeros((m + 1, top + 1))
    ways[0, 0] = 1.0
    for number, rank in enumerate(doubled):
        # Probabilities instead of counts: the number of choices overflows.
        for k in range(min(m, number + 1), 0, -1):
            ways[k, rank:] += ways[k - 1, : top + 1 - rank]
        if number % 64 == 63:
            ways /= ways.max()
    row = ways[m]
    return np.asarray(row / row.sum())


def _exact_p(ranked: FloatArray, m: int) -> float:
    size = len(ranked)
    if min(m, size - m) * size**2 > 4e8:
        message = f"{size} values are too many for the exact test; use the normal approximation (exact=False)"
        raise CohortError(message)
    doubled = np.rint(2 * ranked).astype(np.intp)
    if m <= size - m:
        observed, k = int(doubled[:m].sum()), m
    else:
        observed, k = int(doubled[m:].sum()), size - m
    probability = _rank_distribution(doubled, k)
    if len(np.unique(doubled)) == size:
        low, high = float(probability[: observed + 1].sum()), float(probability[observed:].sum())
        return min(1.0, 2 * min(low, high))
    centre = k * float(doubled.mean())
    distance = np.abs(np.arange(len(probability)) - centre)
    return float(min(1.0, probability[distance >= abs(observed - centre) - 1e-9].sum()))


def _exact_shift(a: FloatArray, b: FloatArray, level: float) -> tuple[float, float, float]:
    differences = np.sort(np.subtract.outer(a, b).ravel())
    m, n = len(a), len(b)
    probability = _rank_distribution(np.arange(1, m + n + 1, dtype=np.intp), m)
    cumulative = np.cumsum(probability[m * (m + 1) // 2 :])
    q = max(int(np.searchsorted(cumulative, (1 - level) / 2 * (1 - 64 * np.finfo(float).eps))), 1)
    return float(np.median(differences)), float(differences[q - 1]), float(differences[m * n - q])


def _normal_shift(a: FloatArray, b: FloatArray, level: float, correct: bool) -> tuple[float, float, float]:
    m, n = len(a), len(b)
    low, high = float(a.min() - b.max()), float(a.max() - b.min())

    def gap(shift: float, z: float, step: float) -> float:
        ranked = stats.rankdata(np.concatenate([a - shift, b]))
        counts = np.unique(ranked, return_counts=True)[1].astype(float)
        sigma = np.sqrt(m * n / 12 * ((m + n + 1) - np.sum(counts**3 - counts) / ((m + n) * (m + n - 1))))
        centred = ranked[:m].sum() - m * (m + 1) / 2 - m * n / 2
        return float((centred - step) / sigma - z) if sigma > 0 else float("nan")

    def root(z: float, step: float) -> float:
        if gap(low, z, step) <= 0:
            return low
        if gap(high, z, step) >= 0:
            return high
        # The statistic is a step function; R's search and its stopping rule fix the point reported.
        return brent_root(lambda shift: gap(shift, z, step), low, high, tolerance=1e-4)

    if low == high:
        return low, low, high
    z = float(stats.norm.ppf(0.5 + level / 2))
    step = 0.5 if correct else 0.0
    return root(0.0, 0.0), root(z, step), root(-z, -step)


def welch(x: npt.ArrayLike, y: npt.ArrayLike, *, level: float = 0.95) -> dict[str, float]:
    """Compare means without assuming equal variances: t, df, p, difference, low, high."""
    a, b = _present(x), _present(y)
    if min(len(a), len(b)) < 2:
        message = f"groups of {len(a)} and {len(b)}: Welch's test needs at least 2 values in each"
        raise CohortError(message)
    va, vb = a.var(ddof=1) / len(a), b.var(ddof=1) / len(b)
    difference, se = float(a.mean() - b.mean()), float(np.sqrt(va + vb))
    if se == 0:
        nan = float("nan")
        return {"t": nan, "df": nan, "p": nan, "difference": difference, "low": nan, "high": nan}
    df = float((va + vb) ** 2 / (va**2 / (len(a) - 1) + vb**2 / (len(b) - 1)))
    half = float(stats.t.ppf(0.5 + level / 2, df)) * se
    t = difference / se
    p = float(2 * stats.t.sf(abs(t), df))
    return {"t": t, "df": df, "p": p, "difference": difference, "low": difference - half, "high": difference + half}


def student(x: npt.ArrayLike, y: npt.ArrayLike, *, level: float = 0.95) -> dict[str, float]:
    """Compare means assuming equal variances (R's t.test(var.equal=TRUE)): t, df, p, difference, low, high.

    Missing values are left out; t is NaN where no value differs from its group's mean.

    Raises
    ------
    CohortError
        If a group is empty or there are fewer than 3 values.

    References
    ----------
    Student, 1908, doi:10.1093/biomet/6.1.1.
    """
    a, b = _present(x), _present(y)
    df = len(a) + len(b) - 2
    if df < 1:
        message = f"groups of {len(a)} and {len(b)}: Student's test needs at least 3 values in all"
        raise CohortError(message)
    pooled = (np.sum((a - a.mean()) ** 2) + np.sum((b - b.mean()) ** 2)) / df
    difference, se = float(a.mean() - b.mean()), float(np.sqrt(pooled * (1 / len(a) + 1 / len(b))))
    t = difference / se if se > 0 else float("nan")
    half = float(stats.t.ppf(0.5 + level / 2, df)) * se if se > 0 else float("nan")
    p = float(2 * stats.t.sf(abs(t), df))
    return {
        "t": t,
        "df": float(df),
        "p": p,
        "difference": difference,
        "low": difference - half,
        "high": difference + half,
    }


def ks_two_sample(x: npt.ArrayLike, y: npt.ArrayLike) -> tuple[float, float]:
    """Return the Kolmogorov-Smirnov distance and its p, exact given the ties (as R; scipy ignores ties).

    Beyond 10,000 pairs the asymptotic distribution is used, as R does.
    """
    a, b = np.sort(_present(x)), np.sort(_present(y))
    m, n = len(a), len(b)
    values = np.unique(np.concatenate([a, b]))
    at_a, at_b = (np.searchsorted(part, values, side="right") for part in (a, b))
    distance = float(np.abs(at_a / m - at_b / n).max())
    if m * n >= 10_000:
        return distance, float(min(1.0, stats.kstwobign.sf(distance * np.sqrt(m * n / (m + n)))))
    checked = np.zeros(m + n + 1, dtype=bool)
    checked[at_a + at_b] = True
    # Each path through the lattice is one order of the pooled values; p is the share of paths that
    # leave the band where values are distinct.
    i = np.arange(m + 1)
    inside = np.zeros(m + 1)
    inside[0], outside = 1.0, 0.0
    for total in range(1, m + n + 1):
        j = total - i
        possible = (j >= 0) & (j <= n)
        from_a = np.concatenate(([0.0], inside[:-1])) * np.concatenate(([0.0], (m - i[:-1]) / (m + n - total + 1)))
        from_b = inside * np.clip(n - j + 1, 0, n) / (m + n - total + 1)
        inside = np.where(possible, from_a + from_b, 0.0)
        if checked[total]:
            left = np.abs(i / m - j / n) >= distance - 1e-12
            outside += float(inside[left].sum())
            inside[left] = 0.0
    return distance, min(1.0, outside)


def screen(
    outcome: npt.ArrayLike, features: npt.ArrayLike, names: Sequence[str] | None = None, *, correct: bool = True
) -> pd.DataFrame:
    """Compare every feature between the two classes at once.

    Parameters
    ----------
    outcome : array_like of bool or 0/1, shape (n_patients,)
    features : array_like, shape (n_patients, n_features)
        Missing values are left out, feature by feature.
    names : sequence of str, optional
    correct : bool
        Continuity correction of ``p``.

    Returns
    -------
    DataFrame
        feature, n, W (of class 1), p (rank sum, normal approximation), p_uncorrected, p_welch, auc
        (higher means class 1) and q (Benjamini and Hochberg); NaN where a class is empty.
    """
    y = binary_outcome(outcome)
    matrix = np.asarray(features, dtype=float).reshape(len(y), -1)
    known = ~np.isnan(matrix)
    # Missing values rank last and are then left out; scipy's own omission goes column by column.
    ranked = np.where(known, stats.rankdata(np.where(known, matrix, np.inf), axis=0), np.nan)
    m = (known & y[:, None]).sum(axis=0).astype(float)
    n = (known & ~y[:, None]).sum(axis=0).astype(float)
    total = m + n
    w = np.where(known & y[:, None], ranked, 0.0).sum(axis=0) - m * (m + 1) / 2
    ties = _tie_terms(ranked)
    with np.errstate(divide="ignore", invalid="ignore"):
        sigma = np.sqrt(m * n / 12 * ((total + 1) - ties / (total * (total - 1))))
        z = w - m * n / 2
        p = [2 * stats.norm.sf(np.abs(z - np.sign(z) * step) / sigma) for step in (0.5, 0.0)]
        p = [np.where((m > 0) & (n > 0), np.where(sigma > 0, np.minimum(item, 1.0), 1.0), np.nan) for item in p]
        p_welch = _welch_columns(matrix, known & y[:, None], known & ~y[:, None])
        area = w / (m * n)
    chosen = p[0] if correct else p[1]
    return pd.DataFrame(
        {
            "feature": list(names) if names is not None else [str(k) for k in range(matrix.shape[1])],
            "n": total.astype(int),
            "W": w,
            "p": chosen,
            "p_uncorrected": p[1],
            "p_welch": p_welch,
            "auc": area,
            "q": adjust(chosen, "BH"),
        }
    )


def _tie_terms(ranked: FloatArray) -> FloatArray:
    """Sum of c^3 - c over each column's groups of equal ranks."""
    ordered = np.sort(ranked, axis=0)
    n, p = ordered.shape
    if n == 0:
        return np.zeros(p)
    new = np.ones((n, p), dtype=bool)
    new[1:] = ordered[1:] != ordered[:-1]
    group = np.cumsum(new.T.ravel()) - 1
    known = ~np.isnan(ordered.T.ravel())
    size = np.bincount(group, weights=known).astype(float)
    column = np.repeat(np.arange(p), n)[np.flatnonzero(new.T.ravel())]
    return np.asarray(np.bincount(column, weights=size**3 - size, minlength=p))


def _welch_columns(matrix: FloatArray, one: npt.NDArray[np.bool_], two: npt.NDArray[np.bool_]) -> FloatArray:
    parts = []
    for mask in (one, two):
        n = mask.sum(axis=0)
        mean = np.where(mask, matrix, 0.0).sum(axis=0) / n
        variance = np.where(mask, (matrix - mean) ** 2, 0.0).sum(axis=0) / (n - 1) / n
        parts.append((n, mean, variance))
    (n1, m1, v1), (n2, m2, v2) = parts
    df = (v1 + v2) ** 2 / (v1**2 / (n1 - 1) + v2**2 / (n2 - 1))
    return np.asarray(2 * stats.t.sf(np.abs(m1 - m2) / np.sqrt(v1 + v2), df))
