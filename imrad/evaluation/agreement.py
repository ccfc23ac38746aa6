"""How far raters, readers or repeated measurements agree: intraclass correlation and kappa."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

__all__ = ["ICC", "Kappa", "cohen_kappa", "fleiss_kappa", "icc", "light_kappa"]

Form = Literal["1,1", "2,1", "3,1", "1,k", "2,k", "3,k"]


@dataclass(frozen=True)
class ICC:
    """Intraclass correlations of one or many measurements.

    Attributes
    ----------
    value, lower, upper : ndarray, shape (n_features,)
        Estimate and confidence limits; NaN where all ratings are equal.
    f, p : ndarray
        F statistic of "no difference between subjects" and its p-value.
    n : ndarray of int
        Subjects with a rating from every rater.
    k : int
        Raters.
    """

    value: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    f: NDArray[np.float64]
    p: NDArray[np.float64]
    n: NDArray[np.int64]
    k: int


def icc(ratings: ArrayLike, form: Form = "2,1", confidence: float = 0.95) -> ICC:
    """Compute intraclass correlations, by Shrout and Fleiss' forms.

    Parameters
    ----------
    ratings : array, shape (n_subjects, k_raters) or (n_subjects, k_raters, n_features)
        Measurements. Subjects with a missing one are left out, feature by feature.
    form : str
        ``"1,1"``: each subject rated by other raters (repeated measurements, perturbations);
        ``"2,1"``: absolute agreement of raters drawn from many; ``"3,1"``: consistency of just
        these raters; with ``k``: of the raters' mean.
    confidence : float
        Level of the interval.

    Returns
    -------
    ICC
        The interval of ``"2,k"`` is that of ``"2,1"`` by the Spearman-Brown formula, as R's psych
        has it (irr uses other degrees of freedom there).

    Raises
    ------
    ValueError
        If there are fewer than two raters, or the form is not known.

    References
    ----------
    Shrout and Fleiss 1979, doi 10.1037/0033-2909.86.2.420; McGraw and Wong 1996, doi
    10.1037/1082-989X.1.1.30.
    """
    x = np.asarray(ratings, dtype=float)
    if x.ndim == 2:
        x = x[:, :, None]
    if x.ndim != 3 or x.shape[1] < 2:
        message = f"ratings have the shape {np.shape(ratings)}; give subjects x raters (at least 2) x features"
        raise ValueError(message)
    if form not in ("1,1", "2,1", "3,1", "1,k", "2,k", "3,k"):
        message = f"form '{form}' is none of 1,1 2,1 3,1 1,k 2,k 3,k"
        raise ValueError(message)
    complete = np.isfinite(x).all(axis=1)
    n = complete.sum(axis=0)
    results = np.full((5, x.shape[2]), np.nan)
    # Features with the same complete subjects go through together; without gaps that is one pass.
    patterns, group = np.unique(complete, axis=1, return_inverse=True)
    for number in range(patterns.shape[1]):
        chosen = np.flatnonzero(group.ravel() == number)
        rows = patterns[:, number]
        if rows.sum() >= 2:
            results[:, chosen] = _icc(x[np.ix_(rows, np.arange(x.shape[1]), chosen)], form, confidence)
    value, lower, upper, f, p = results
    return ICC(value, lower, upper, f, p, n.astype(np.int64), x.shape[1])


def _icc(x: NDArray[np.float64], form: str, confidence: float) -> NDArray[np.float64]:
    n, k, _ = x.shape
    x = x - x.mean(axis=(0, 1))
    scale = np.abs(x).max(axis=(0, 1))
    varied = scale > 0
    x = x / np.where(varied, scale, 1.0)
    subjects, raters = x.mean(axis=1), x.mean(axis=0)
    between = k * (subjects**2).sum(axis=0)
    columns = n * (raters**2).sum(axis=0)
    within = ((x - subjects[:, None]) ** 2).sum(axis=(0, 1))
    rest = ((x - subjects[:, None] - raters[None]) ** 2).sum(axis=(0, 1))
    bms, jms = between / (n - 1), columns / (k - 1)
    one_way = form[0] == "1"
    df = n * (k - 1) if one_way else (n - 1) * (k - 1)
    error = (within if one_way else rest) / df
    with np.errstate(divide="ignore", invalid="ignore"):
        f = bms / error
        tail = (1 - confidence) / 2
        if form[0] == "2":
            value = (bms - error) / (bms + (k - 1) * error + k * (jms - error) / n)
            lower, upper = _limits_of_agreement(bms, jms, error, value, n, k, tail)
        else:
            value = (bms - error) / (bms + (k - 1) * error)
            f_low = f / stats.f.isf(tail, n - 1, df)
            f_high = f * stats.f.isf(tail, df, n - 1)
            lower, upper = (f_low - 1) / (f_low + k - 1), (f_high - 1) / (f_high + k - 1)
            exact = np.isinf(f)
            lower, upper = np.where(exact, 1.0, lower), np.where(exact, 1.0, upper)
        if form[2] == "k":
            value, lower, upper = (k * v / (1 + (k - 1) * v) for v in (value, lower, upper))
        p = stats.f.sf(f, n - 1, df)
    found = np.array([value, lower, upper, f, p])
    found[:, ~varied] = np.nan
    return found


def _limits_of_agreement(
    bms: Any, jms: Any, ems: Any, value: Any, n: int, k: int, tail: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return Shrout and Fleiss' approximate limits of ICC(2,1)."""
    f_raters = jms / ems
    weight = n * (1 + (k - 1) * value) - k * value
    df = (k - 1) * (n - 1) * (k * value * f_raters + weight) ** 2
    df = df / ((n - 1) * k**2 * value**2 * f_raters**2 + weight**2)
    f_upper, f_lower = stats.f.isf(tail, n - 1, df), stats.f.isf(tail, df, n - 1)
    others = k * jms + (k * n - k - n) * ems
    lower = n * (bms - f_upper * ems) / (f_upper * others + n * bms)
    upper = n * (f_lower * bms - ems) / (others + n * f_lower * bms)
    exact = (ems == 0) & (jms == 0)
    return np.where(exact, 1.0, lower), np.where(exact, 1.0, upper)


@dataclass(frozen=True)
class Kappa:
    """Chance-corrected agreement.

    Attributes
    ----------
    value : float
        1 for full agreement, 0 for that of chance.
    lower, upper : float
        Large-sample limits; NaN where there is no such formula.
    z, p : float
        Test of no agreement beyond chance, two-sided.
    agreement : float
        Share of subjects to whom all raters gave one category.
    """

    value: float
    lower: float
    upper: float
    z: float
    p: float
    agreement: float = float("nan")


def cohen_kappa(
    first: ArrayLike,
    second: ArrayLike,
    weights: Literal["none", "linear", "quadratic"] = "none",
    confidence: float = 0.95,
) -> Kappa:
    """Compute Cohen's kappa of two raters.

    Parameters
    ----------
    first, second : array, shape (n,)
        Categories; ordered as they sort, where `weights` makes near misses count less.
    weights : {"none", "linear", "quadratic"}
        Credit for near misses.
    confidence : float
        Level of the interval.

    References
    ----------
    Cohen 1968, doi 10.1037/h0026256; Fleiss, Cohen and Everitt 1969, doi 10.1037/h0028106.
    """
    a, b = np.asarray(first), np.asarray(second)
    if a.shape != b.shape or a.ndim != 1 or a.size == 0:
        message = f"two raters' categories have the shapes {a.shape} and {b.shape}; give one of each per subject"
        raise ValueError(message)
    levels, codes = np.unique(np.concatenate([a, b]), return_inverse=True)
    n, m = a.size, levels.size
    table = np.zeros((m, m))
    np.add.at(table, (codes[:n], codes[n:]), 1.0 / n)
    steps = np.abs(np.subtract.outer(np.arange(m), np.arange(m))) / max(m - 1, 1)
    credit = {"none": (steps == 0).astype(float), "linear": 1 - steps, "quadratic": 1 - steps**2}[weights]
    rows, columns = table.sum(axis=1), table.sum(axis=0)
    chance = np.outer(rows, columns)
    observed, expected = float((credit * table).sum()), float((credit * chance).sum())
    if expected >= 1:
        return Kappa(float("nan"), float("nan"), float("nan"), float("nan"), float("nan"), float(np.trace(table)))
    value = (observed - expected) / (1 - expected)
    marginal = np.add.outer(credit @ columns, rows @ credit)
    null = float((chance * (credit - marginal) ** 2).sum()) - expected**2
    z = value / np.sqrt(null / (n * (1 - expected) ** 2))
    spread = (table * (credit * (1 - expected) - marginal * (1 - observed)) ** 2).sum()
    spread -= (observed * expected - 2 * expected + observed) ** 2
    half = stats.norm.isf((1 - confidence) / 2) * np.sqrt(spread / n) / (1 - expected) ** 2
    p = float(2 * stats.norm.sf(abs(z)))
    return Kappa(value, float(value - half), float(value + half), float(z), p, float(np.trace(table)))


def fleiss_kappa(ratings: ArrayLike) -> Kappa:
    """Compute Fleiss' kappa of several raters.

    Parameters
    ----------
    ratings : array, shape (n_subjects, k_raters)
        Categories.

    References
    ----------
    Fleiss 1971, doi 10.1037/h0031619.
    """
    x = np.asarray(ratings)
    n, k = x.shape
    levels = np.unique(x)
    counts = (x[:, :, None] == levels).sum(axis=1)
    share = counts.sum(axis=0) / (n * k)
    observed = float(((counts**2).sum(axis=1) - k).mean() / (k * (k - 1)))
    expected = float((share**2).sum())
    value = (observed - expected) / (1 - expected)
    spread = float((share * (1 - share)).sum())
    variance = 2 / (n * k * (k - 1)) * (spread**2 - float((share * (1 - share) * (1 - 2 * share)).sum())) / spread**2
    z = value / np.sqrt(variance)
    p, agreed = float(2 * stats.norm.sf(abs(z))), float((counts == k).any(axis=1).mean())
    return Kappa(value, float("nan"), float("nan"), float(z), p, agreed)


def light_kappa(ratings: ArrayLike) -> float:
    """Return the mean of Cohen's kappa over all pairs of raters.

    References
    ----------
    Light 1971, doi 10.1037/h0031643.
    """
    x = np.asarray(ratings)
    pairs = [cohen_kappa(x[:, i], x[:, j]).value for i, j in combinations(range(x.shape[1]), 2)]
    return float(np.mean(pairs))
