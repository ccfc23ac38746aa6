"""How well a score orders patients: within-fold AUC, its interval, and what else a table of cells needs."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import stats

__all__ = ["at_threshold", "concordance", "fdr", "hanley_mcneil_se", "mean_known", "nadeau_bengio", "spearman"]

Floats = np.ndarray[Any, np.dtype[np.float64]]


def concordance(scores: Floats, truth: Floats) -> Floats:
    """Return the share of pairs of different truth that each score orders rightly, ties half.

    For a truth of 0 and 1 this is the area under the ROC curve.

    Parameters
    ----------
    scores : ndarray, scores x patients
        One row a score.
    truth : ndarray, patients
        Class or measured quantity.

    Returns
    -------
    ndarray, scores
        NaN where no two patients differ.
    """
    scores = np.atleast_2d(scores)
    levels = np.unique(truth)
    if len(levels) < 2:
        return np.full(len(scores), np.nan)
    if len(levels) == 2:
        high = truth == levels[1]
        n_high, n_low = int(high.sum()), int((~high).sum())
        ranks = stats.rankdata(scores, axis=1)
        return np.asarray((ranks[:, high].sum(axis=1) - n_high * (n_high + 1) / 2) / (n_high * n_low))
    right, pairs = np.zeros(len(scores)), 0
    for patient in range(len(truth)):
        lower = truth < truth[patient]
        own = scores[:, [patient]]
        right += (own > scores[:, lower]).sum(axis=1) + 0.5 * (own == scores[:, lower]).sum(axis=1)
        pairs += int(lower.sum())
    return right / pairs


def mean_known(values: Floats, axis: int = 0) -> Floats:
    """Return the mean over an axis of the values that are not NaN; NaN where there are none."""
    known = ~np.isnan(values)
    total = np.where(known, values, 0.0).sum(axis=axis)
    return np.asarray(np.where(known.any(axis=axis), total / np.maximum(known.sum(axis=axis), 1), np.nan))


def nadeau_bengio(values: Floats, test_share: float, level: float = 0.95) -> tuple[float, float, float]:
    """Return the mean of fold values and its corrected resampled-t interval, clipped to 0 .. 1.

    The variance of the mean is s^2 (1 / J + n_test / n_train): an approximation to what the overlap
    of training sets does to it, not an exact interval.

    Parameters
    ----------
    values : ndarray
        One value a fold (and repeat); NaN is left out.
    test_share : float
        n_test / n_train.
    level : float
        Confidence.

    References
    ----------
    Nadeau C, Bengio Y. doi:10.1023/A:1024068626366.
    """
    values = values[~np.isnan(values)]
    if not len(values):
        return float("nan"), float("nan"), float("nan")
    mean = float(values.mean())
    if len(values) < 2:
        return mean, float("nan"), float("nan")
    spread = float(np.sqrt(values.var(ddof=1) * (1 / len(values) + test_share)))
    half = float(stats.t.ppf((1 + level) / 2, len(values) - 1)) * spread
    return mean, max(0.0, mean - half), min(1.0, mean + half)


def at_threshold(probability: Floats, high: np.ndarray[Any, Any], threshold: float = 0.5) -> dict[str, float]:
    """Return accuracy, precision, sensitivity, specificity and npv of calling `probability` > threshold high."""
    called = probability > threshold
    tp, fp = float((called & high).sum()), float((called & ~high).sum())
    fn, tn = float((~called & high).sum()), float((~called & ~high).sum())

    def share(part: float, whole: float) -> float:
        return part / whole if whole else float("nan")

    return {
        "accuracy": share(tp + tn, tp + fp + fn + tn),
        "precision": share(tp, tp + fp),
        "sensitivity": share(tp, tp + fn),
        "specificity": share(tn, tn + fp),
        "npv": share(tn, tn + fn),
    }


def spearman(a: Floats, b: Floats) -> float:
    """Return Spearman's rank correlation; NaN where one side is constant."""
    if len(a) < 3:
        return float("nan")
    ra, rb = stats.rankdata(a), stats.rankdata(b)
    ra, rb = ra - ra.mean(), rb - rb.mean()
    length = float(np.sqrt((ra**2).sum() * (rb**2).sum()))
    return float((ra * rb).sum() / length) if length > 0 else float("nan")


def hanley_mcneil_se(auc: float, n_positive: int, n_negative: int) -> float:
    """Return the standard error of an AUC expected for these class sizes.

    References
    ----------
    Hanley JA, McNeil BJ. doi:10.1148/radiology.143.1.7063747.
    """
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = auc * (1 - auc) + (n_positive - 1) * (q1 - auc**2) + (n_negative - 1) * (q2 - auc**2)
    return float(np.sqrt(max(variance, 0.0) / max(n_positive * n_negative, 1)))


def fdr(p: Floats) -> Floats:
    """Return Benjamini and Hochberg's q of each p; NaN stays NaN and is not counted.

    References
    ----------
    Benjamini Y, Hochberg Y. doi:10.1111/j.2517-6161.1995.tb02031.x.
    """
    q = np.full(len(p), np.nan)
    known = np.flatnonzero(~np.isnan(p))
    if not len(known):
        return q
    order = known[np.argsort(p[known], kind="stable")]
    scaled = p[order] * len(order) / np.arange(1, len(order) + 1)
    q[order] = np.minimum(1.0, np.minimum.accumulate(scaled[::-1])[::-1])
    return q
