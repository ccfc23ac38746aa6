"""Groups and two continuous variables: Kruskal-Wallis, analysis of variance and what it assumes, correlation."""

from __future__ import annotations

from itertools import combinations, permutations

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from imrad.evaluation.multiplicity import adjust
from imrad.evaluation.outcomes import FloatArray
from imrad.evaluation.two_group import rank_sum
from imrad.exceptions import CohortError

__all__ = [
    "anova",
    "bartlett",
    "correlation",
    "kruskal_wallis",
    "pairwise_rank_sum",
    "shapiro_wilk",
    "welch_anova",
]


def _groups(values: npt.ArrayLike, group: npt.ArrayLike) -> tuple[list[object], list[FloatArray]]:
    table = pd.DataFrame({"value": np.asarray(values, dtype=float), "group": np.asarray(group)}).dropna()
    parts = [(label, part["value"].to_numpy(dtype=float)) for label, part in table.groupby("group", sort=True)]
    if len(parts) < 2:
        message = f"{len(parts)} groups with values: a comparison needs at least 2"
        raise CohortError(message)
    return [label for label, _ in parts], [part for _, part in parts]


def kruskal_wallis(values: npt.ArrayLike, group: npt.ArrayLike) -> dict[str, float]:
    """Compare groups by ranks, corrected for ties: h, df, p (1 where all values are equal)."""
    parts = _groups(values, group)[1]
    if len(np.unique(np.concatenate(parts))) == 1:
        return {"h": 0.0, "df": float(len(parts) - 1), "p": 1.0}
    result = stats.kruskal(*parts)
    return {"h": float(result.statistic), "df": float(len(parts) - 1), "p": float(result.pvalue)}


def anova(values: npt.ArrayLike, group: npt.ArrayLike) -> dict[str, float]:
    """Compare means assuming equal variances: f, df_1, df_2, p."""
    parts = _groups(values, group)[1]
    n, k = sum(len(part) for part in parts), len(parts)
    grand = np.concatenate(parts).mean()
    between = sum(len(part) * (part.mean() - grand) ** 2 for part in parts) / (k - 1)
    within = sum(float(np.sum((part - part.mean()) ** 2)) for part in parts) / max(n - k, 1)
    f = float(between / within) if within > 0 and n > k else float("nan")
    return {"f": f, "df_1": float(k - 1), "df_2": float(n - k), "p": float(stats.f.sf(f, k - 1, n - k))}


def welch_anova(values: npt.ArrayLike, group: npt.ArrayLike) -> dict[str, float]:
    """Compare means without assuming equal variances (R's oneway.test): f, df_1, df_2, p.

    References
    ----------
    Welch, 1951, doi:10.1093/biomet/38.3-4.330.
    """
    parts = _groups(values, group)[1]
    n = np.array([len(part) for part in parts], dtype=float)
    k = len(parts)
    if (n < 2).any():
        message = "a group has one value: Welch's analysis of variance needs at least 2 in each"
        raise CohortError(message)
    mean = np.array([part.mean() for part in parts])
    variance = np.array([part.var(ddof=1) for part in parts])
    if (variance == 0).any():
        nan = float("nan")
        return {"f": nan, "df_1": float(k - 1), "df_2": nan, "p": nan}
    weight = n / variance
    spread = float(np.sum((1 - weight / weight.sum()) ** 2 / (n - 1))) / (k**2 - 1)
    centre = float(np.sum(weight * mean) / weight.sum())
    f = float(np.sum(weight * (mean - centre) ** 2) / ((k - 1) * (1 + 2 * (k - 2) * spread)))
    df = 1 / (3 * spread)
    return {"f": f, "df_1": float(k - 1), "df_2": df, "p": float(stats.f.sf(f, k - 1, df))}


def bartlett(values: npt.ArrayLike, group: npt.ArrayLike) -> dict[str, float]:
    """Compare variances of normal groups (R's bartlett.test): k2, df, p; NaN where a group has no spread.

    Raises
    ------
    CohortError
        If there are fewer than two groups, or fewer than two values in one.

    References
    ----------
    Bartlett, 1937, doi:10.1098/rspa.1937.0109.
    """
    parts = _groups(values, group)[1]
    if min(len(part) for part in parts) < 2:
        message = "a group has one value: Bartlett's test needs at least 2 in each"
        raise CohortError(message)
    df = float(len(parts) - 1)
    if any(np.ptp(part) == 0 for part in parts):
        return {"k2": float("nan"), "df": df, "p": float("nan")}
    result = stats.bartlett(*parts)
    return {"k2": float(result.statistic), "df": df, "p": float(result.pvalue)}


def shapiro_wilk(values: npt.ArrayLike) -> dict[str, float]:
    """Test whether values are normal (R's shapiro.test, Royston's algorithm): w, p.

    Missing values are left out.

    Raises
    ------
    CohortError
        If there are fewer than 3 values, more than 5,000 (to which p is known) or all are equal.

    References
    ----------
    Royston, 1995, doi:10.2307/2986146.
    """
    x = np.asarray(values, dtype=float).ravel()
    x = x[~np.isnan(x)]
    if not 3 <= len(x) <= 5000 or np.ptp(x) == 0:
        message = f"{len(x)} values, {len(np.unique(x))} distinct: Shapiro-Wilk needs 3 to 5000, not all equal"
        raise CohortError(message)
    result = stats.shapiro(x)
    return {"w": float(result.statistic), "p": float(result.pvalue)}


def pairwise_rank_sum(
    values: npt.ArrayLike, group: npt.ArrayLike, *, method: str = "holm", exact: bool | None = None
) -> pd.DataFrame:
    """Compare every two groups by ranks: group_1, group_2, w, p, p_adjusted."""
    labels, parts = _groups(values, group)
    rows = []
    for one, two in combinations(range(len(labels)), 2):
        test = rank_sum(parts[two], parts[one], exact=exact)
        rows.append((labels[one], labels[two], test.w, test.p))
    table = pd.DataFrame(rows, columns=["group_1", "group_2", "w", "p"])
    table["p_adjusted"] = adjust(table["p"].to_numpy(dtype=float), method)
    return table


def correlation(
    x: npt.ArrayLike, y: npt.ArrayLike, *, method: str = "spearman", level: float = 0.95
) -> dict[str, float]:
    """Correlate two variables with R's cor.test: r, p, n, and for Pearson low and high.

    Parameters
    ----------
    x, y : array_like, shape (n_patients,)
        Pairs with a missing value are left out.
    method : {"spearman", "kendall", "pearson"}
        Spearman's p without ties is exact up to 9 pairs and by Edgeworth's series above (scipy's t
        approximation differs), with ties by t; Kendall's is exact below 50 pairs without ties.

    References
    ----------
    Best and Roberts, 1975, doi:10.2307/2347111.
    """
    a, b = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    both = ~(np.isnan(a) | np.isnan(b))
    a, b = a[both], b[both]
    n = len(a)
    nan = float("nan")
    if n < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return {"r": nan, "p": nan, "n": float(n), "low": nan, "high": nan}
    ties = len(np.unique(a)) < n or len(np.unique(b)) < n
    if method == "pearson":
        result = stats.pearsonr(a, b)
        low, high = result.confidence_interval(level) if n > 3 else (nan, nan)
        return {"r": float(result.statistic), "p": float(result.pvalue), "n": float(n), "low": low, "high": high}
    if method == "kendall":
        tau = stats.kendalltau(a, b, method="exact" if n < 50 and not ties else "asymptotic")
        return {"r": float(tau.statistic), "p": float(tau.pvalue), "n": float(n), "low": nan, "high": nan}
    if method != "spearman":
        message = f"unknown correlation {method!r}; known are spearman, kendall and pearson"
        raise ValueError(message)
    ra, rb = stats.rankdata(a), stats.rankdata(b)
    r = float(np.corrcoef(ra, rb)[0, 1])
    p = _spearman_p(r, n) if not ties and n < 1290 else _t_p(r, n)
    return {"r": r, "p": p, "n": float(n), "low": nan, "high": nan}


def _t_p(r: float, n: int) -> float:
    if abs(r) >= 1:
        return 0.0
    return float(2 * stats.t.sf(abs(r) / np.sqrt((1 - r**2) / (n - 2)), n - 2))


def _spearman_p(r: float, n: int) -> float:
    """Two-sided p of Spearman's r by its sum of squared rank differences."""
    q = round((n**3 - n) * (1 - r) / 6)
    upper = q > (n**3 - n) / 6
    tail = _sum_of_squares_tail(q if upper else q + 2, n)
    return float(min(1.0, 2 * (tail if upper else 1 - tail)))


def _sum_of_squares_tail(q: float, n: int) -> float:
    """P(S >= q) for the sum of squared differences of two random rankings of n."""
    q += q % 2
    most = (n**3 - n) / 3
    if q <= 0:
        return 1.0
    if q > most:
        return 0.0
    if n <= 9:
        first = np.arange(n)
        sums = np.array([np.sum((first - np.array(order)) ** 2) for order in permutations(range(n))])
        return float(np.mean(sums >= q))
    b = 1 / n
    x = (6 * (q - 1) * b / (n**2 - 1) - 1) * np.sqrt(1 / b - 1)
    y = x * x
    c1, c2, c3, c4, c5, c6 = 0.2274, 0.2531, 0.1745, 0.0758, 0.1033, 0.3932
    c7, c8, c9, c10, c11, c12 = 0.0879, 0.0151, 0.0072, 0.0831, 0.0131, 4.6e-4
    u = (
        x
        * b
        * (
            c1
            + b * (c2 + c3 * b)
            + y * (-c4 + b * (c5 + c6 * b) - y * b * (c7 + c8 * b - y * (c9 - c10 * b + y * b * (c11 - c12 * y))))
        )
    )
    correction = u / np.exp(y / 2)
    return float(np.clip(correction + stats.norm.sf(x), 0.0, 1.0))
