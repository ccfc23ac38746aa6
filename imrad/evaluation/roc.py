"""ROC curves for a binary outcome: AUC, DeLong, cut-offs, partial areas, by pROC's conventions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from imrad.evaluation.bootstrap import percentile_interval, resample_counts
from imrad.evaluation.outcomes import BoolArray, FloatArray, binary_outcome, finite, ranks
from imrad.exceptions import CohortError

__all__ = [
    "RocTest",
    "auc",
    "bootstrap_auc",
    "bootstrap_test",
    "closest_topleft",
    "coords_at",
    "delong",
    "delong_interval",
    "delong_test",
    "delong_unpaired",
    "direction_by_medians",
    "partial_auc",
    "roc_curve",
    "youden",
]


@dataclass(frozen=True)
class RocTest:
    """Two AUCs and the test of their difference.

    Attributes
    ----------
    auc : (float, float)
        Of the two scores.
    difference, low, high : float
        First minus second, with interval.
    statistic, df, p : float
        Z (df infinite) for paired scores, Welch's t for two samples.
    """

    auc: tuple[float, float]
    difference: float
    low: float
    high: float
    statistic: float
    df: float
    p: float


def auc(outcome: npt.ArrayLike, score: npt.ArrayLike) -> FloatArray:
    """Return the area under the ROC curve of one or many scores, ties counting one half.

    Higher scores are taken to mean outcome 1, always: an AUC below 0.5 is shown as such (pROC's
    automatic direction would hide it).

    Parameters
    ----------
    outcome : array_like of bool or 0/1, shape (n_patients,) or (n_patients, n_outcomes)
        Several columns, such as permutations, share one ranking of the scores.
    score : array_like, shape (n_patients,) or (n_patients, n_scores)
        Any real numbers; infinite is allowed, missing is not.

    Returns
    -------
    ndarray
        Shape () for one outcome and one score, (n_scores,) for one outcome, else
        (n_outcomes, n_scores) without the axis that was not given. NaN where an outcome has one
        class only.
    """
    y = binary_outcome(outcome).astype(float)
    scores = finite(score, len(y), "score")
    ranked = np.asarray(stats.rankdata(scores, axis=0), dtype=float)
    positive = y.sum(axis=0)
    negative = len(y) - positive
    total = y.T @ ranked
    if y.ndim == 2 and ranked.ndim == 2:
        positive, negative = positive[:, None], negative[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((total - positive * (positive + 1) / 2) / (positive * negative))


def _placements(y: BoolArray, score: FloatArray) -> tuple[float, FloatArray, FloatArray]:
    """AUC and the placement of each case among the controls, and of each control among the cases."""
    cases, controls = score[y], score[~y]
    if len(cases) < 2 or len(controls) < 2:
        message = f"{len(cases)} cases and {len(controls)} controls: DeLong's variance needs at least 2 of each"
        raise CohortError(message)
    everything = stats.rankdata(score)
    v_case = (everything[y] - stats.rankdata(cases)) / len(controls)
    v_control = 1.0 - (everything[~y] - stats.rankdata(controls)) / len(cases)
    return float(v_case.mean()), np.asarray(v_case), np.asarray(v_control)


def delong(outcome: npt.ArrayLike, scores: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Return AUCs and their covariance by DeLong, in n log n.

    Parameters
    ----------
    outcome : array_like of bool or 0/1, shape (n_patients,)
        Cases are 1.
    scores : array_like, shape (n_patients,) or (n_patients, n_scores)
        Higher means more likely a case.

    Returns
    -------
    auc : ndarray, shape (n_scores,)
    covariance : ndarray, shape (n_scores, n_scores)

    Raises
    ------
    CohortError
        If there are fewer than 2 cases or controls.

    References
    ----------
    DeLong et al., 1988, doi:10.2307/2531595; Sun and Xu, 2014, doi:10.1109/LSP.2014.2337313.
    """
    y = binary_outcome(outcome)
    columns = finite(scores, len(y), "score").reshape(len(y), -1)
    parts = [_placements(y, column) for column in columns.T]
    value = np.array([part[0] for part in parts])
    cases, controls = (np.atleast_2d(np.cov(np.array([part[k] for part in parts]))) for k in (1, 2))
    return value, cases / int(y.sum()) + controls / int((~y).sum())


def delong_interval(outcome: npt.ArrayLike, score: npt.ArrayLike, *, level: float = 0.95) -> tuple[float, float, float]:
    """Return AUC with DeLong's interval, cut to [0, 1] as pROC does.

    Valid for a score that was not fitted on these patients.
    """
    value, covariance = delong(outcome, score)
    half = float(stats.norm.ppf(0.5 + level / 2) * np.sqrt(covariance[0, 0]))
    return float(value[0]), max(float(value[0]) - half, 0.0), min(float(value[0]) + half, 1.0)


def delong_test(
    outcome: npt.ArrayLike, score_1: npt.ArrayLike, score_2: npt.ArrayLike, *, level: float = 0.95
) -> RocTest:
    """Compare two scores of the same patients by DeLong's paired test.

    For predictions of patients that neither model has seen; two models fitted to these patients need
    a bootstrap that refits them (doi:10.1002/sim.5328).
    """
    n = len(np.asarray(outcome))
    both = np.column_stack([finite(score_1, n, "score"), finite(score_2, n, "score")])
    value, covariance = delong(outcome, both)
    difference = float(value[0] - value[1])
    se = float(np.sqrt(max(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1], 0.0)))
    z = difference / se if se > 0 else 0.0
    half = float(stats.norm.ppf(0.5 + level / 2)) * se
    p = float(2 * stats.norm.sf(abs(z)))
    return RocTest((float(value[0]), float(value[1])), difference, difference - half, difference + half, z, np.inf, p)


def delong_unpaired(
    outcome_1: npt.ArrayLike,
    score_1: npt.ArrayLike,
    outcome_2: npt.ArrayLike,
    score_2: npt.ArrayLike,
    *,
    level: float = 0.95,
) -> RocTest:
    """Compare scores of two groups of patients by DeLong's variances and Welch's degrees of freedom."""
    values, square, quartic = [], 0.0, 0.0
    for outcome, score in ((outcome_1, score_1), (outcome_2, score_2)):
        y = binary_outcome(outcome)
        value, v_case, v_control = _placements(y, finite(score, len(y), "score"))
        variance = float(np.var(v_case, ddof=1) / len(v_case) + np.var(v_control, ddof=1) / len(v_control))
        values.append(value)
        square += variance
        quartic += variance**2 / (len(y) - 1)
    difference, se = values[0] - values[1], float(np.sqrt(square))
    df = square**2 / quartic if quartic > 0 else np.inf
    statistic = difference / se if se > 0 else 0.0
    half = float(stats.t.ppf(0.5 + level / 2, df)) * se
    p = float(2 * stats.t.sf(abs(statistic), df))
    return RocTest((values[0], values[1]), difference, difference - half, difference + half, statistic, df, p)


def bootstrap_auc(
    outcome: npt.ArrayLike, scores: npt.ArrayLike, *, n_resamples: int = 2000, seed: int, stratified: bool = True
) -> FloatArray:
    """Return the AUCs of bootstrap resamples, shape (n_resamples, n_scores).

    Parameters
    ----------
    outcome : array_like of bool or 0/1, shape (n_patients,)
    scores : array_like, shape (n_patients,) or (n_patients, n_scores)
        All scores see the same resamples.
    n_resamples, seed : int
    stratified : bool
        Keep the numbers of cases and controls, as pROC does; else a resample with one class is NaN.
    """
    y = binary_outcome(outcome)
    columns = finite(scores, len(y), "score").reshape(len(y), -1)
    counts = resample_counts(len(y), n_resamples, seed=seed, name="auc", strata=y if stratified else None)
    cases, controls = counts[:, y].astype(np.float32), counts[:, ~y].astype(np.float32)
    pairs = cases.sum(axis=1, dtype=float) * controls.sum(axis=1, dtype=float)
    out = np.empty((n_resamples, columns.shape[1]))
    step = max(1, 4_000_000 // max(cases.shape[1], 1))
    for number, column in enumerate(columns.T):
        rank = ranks(column)
        high, low = rank[y][:, None], rank[~y]
        good = np.zeros(n_resamples)
        for start in range(0, len(low), step):
            part = low[None, start : start + step]
            # Multiples of 1/2 and whole counts: exact in single precision.
            value = (high > part).astype(np.float32) + np.float32(0.5) * (high == part)
            good += np.einsum("ij,ij->i", cases @ value, controls[:, start : start + step], dtype=float)
        with np.errstate(divide="ignore", invalid="ignore"):
            out[:, number] = good / pairs
    return out


def bootstrap_test(
    outcome: npt.ArrayLike, score_1: npt.ArrayLike, score_2: npt.ArrayLike, *, n_resamples: int = 2000, seed: int
) -> RocTest:
    """Compare two scores of the same patients by pROC's stratified bootstrap: difference over its spread.

    As :func:`delong_test`, for predictions that neither model was fitted on; interval by percentiles.
    """
    n = len(np.asarray(outcome))
    both = np.column_stack([finite(score_1, n, "score"), finite(score_2, n, "score")])
    value = auc(outcome, both)
    drawn = bootstrap_auc(outcome, both, n_resamples=n_resamples, seed=seed)
    gaps = drawn[:, 0] - drawn[:, 1]
    low, high = percentile_interval(gaps)
    difference, se = float(value[0] - value[1]), float(np.nanstd(gaps, ddof=1))
    statistic = difference / se if se > 0 else 0.0
    p = float(2 * stats.norm.sf(abs(statistic)))
    return RocTest((float(value[0]), float(value[1])), difference, low, high, statistic, np.inf, p)


def direction_by_medians(outcome: npt.ArrayLike, score: npt.ArrayLike) -> str:
    """Return pROC's automatic direction: ``"<"`` if cases have the higher or equal median, else ``">"``."""
    y = binary_outcome(outcome)
    scores = finite(score, len(y), "score")
    return ">" if np.median(scores[~y]) > np.median(scores[y]) else "<"


def roc_curve(outcome: npt.ArrayLike, score: npt.ArrayLike) -> pd.DataFrame:
    """Return the whole ROC curve, thresholds midway between neighbouring scores.

    Parameters
    ----------
    outcome : array_like of bool or 0/1, shape (n_patients,)
    score : array_like, shape (n_patients,)
        A patient is called positive above the threshold.

    Returns
    -------
    DataFrame
        threshold (from -inf to inf), sensitivity, specificity, tp, fp, tn, fn, ppv, npv, accuracy
        and youden (sensitivity + specificity, as pROC reports it).

    Raises
    ------
    CohortError
        If one of the classes is empty.
    """
    y = binary_outcome(outcome)
    scores = finite(score, len(y), "score")
    n_case, n_control = int(y.sum()), int((~y).sum())
    if not n_case or not n_control:
        message = f"{n_case} cases and {n_control} controls: a ROC curve needs both"
        raise CohortError(message)
    unique, inverse = np.unique(scores, return_inverse=True)
    middle = unique[:-1] / 2 + unique[1:] / 2
    threshold = np.concatenate(([-np.inf], middle, [np.inf]))
    fn = np.concatenate(([0], np.cumsum(np.bincount(inverse, weights=y, minlength=len(unique)))))
    tn = np.concatenate(([0], np.cumsum(np.bincount(inverse, weights=~y, minlength=len(unique)))))
    tp, fp = n_case - fn, n_control - tn
    with np.errstate(invalid="ignore", divide="ignore"):
        table = {
            "threshold": threshold,
            "sensitivity": tp / n_case,
            "specificity": tn / n_control,
            "ppv": tp / (tp + fp),
            "npv": tn / (tn + fn),
            "accuracy": (tp + tn) / len(y),
            "youden": tp / n_case + tn / n_control,
            "tp": tp.astype(int),
            "fp": fp.astype(int),
            "tn": tn.astype(int),
            "fn": fn.astype(int),
        }
    return pd.DataFrame(table)


def youden(outcome: npt.ArrayLike, score: npt.ArrayLike) -> pd.DataFrame:
    """Return the rows of :func:`roc_curve` with the highest Youden index; several where tied."""
    curve = roc_curve(outcome, score)
    value = curve["youden"].to_numpy()
    return pd.DataFrame(curve.loc[value >= value.max() - 1e-12].reset_index(drop=True))


def closest_topleft(outcome: npt.ArrayLike, score: npt.ArrayLike) -> pd.DataFrame:
    """Return the rows of :func:`roc_curve` nearest to sensitivity 1 and specificity 1."""
    curve = roc_curve(outcome, score)
    distance = ((1 - curve["sensitivity"]) ** 2 + (1 - curve["specificity"]) ** 2).to_numpy()
    return pd.DataFrame(curve.loc[distance <= distance.min() + 1e-12].reset_index(drop=True))


def coords_at(outcome: npt.ArrayLike, score: npt.ArrayLike, *, sensitivity: npt.ArrayLike) -> FloatArray:
    """Return the specificity at given sensitivities, read off the straight lines between the curve's points."""
    curve = roc_curve(outcome, score)
    table = curve.groupby("sensitivity")["specificity"].max()
    best = np.asarray(np.maximum.accumulate(table.to_numpy()[::-1])[::-1])
    return np.asarray(np.interp(np.asarray(sensitivity, dtype=float), table.index.to_numpy(dtype=float), best))


def partial_auc(
    outcome: npt.ArrayLike, score: npt.ArrayLike, *, specificity: tuple[float, float] = (1.0, 0.8)
) -> tuple[float, float]:
    """Return the area over a range of specificities, raw and by McClish's correction to [0.5, 1].

    The corrected area is NaN where the curve runs below the diagonal there, as in pROC.

    References
    ----------
    McClish, 1989, doi:10.1177/0272989X8900900307.
    """
    low, high = 1 - max(specificity), 1 - min(specificity)
    curve = roc_curve(outcome, score).iloc[::-1]
    x, y = 1 - curve["specificity"].to_numpy(), curve["sensitivity"].to_numpy()
    last = np.interp(high, x, y) if not np.isclose(x, high).any() else y[np.isclose(x, high)].max()
    first = np.interp(low, x, y) if not np.isclose(x, low).any() else y[np.isclose(x, low)].min()
    inside = (x > low + 1e-12) & (x < high - 1e-12)
    xs, ys = np.r_[low, low, x[inside], high], np.r_[first, y[np.isclose(x, low)].max(initial=first), y[inside], last]
    area = float(np.trapezoid(ys, xs))
    smallest, largest = (high**2 - low**2) / 2, high - low
    corrected = (1 + (area - smallest) / (largest - smallest)) / 2
    return area, corrected if area >= smallest else float("nan")
