"""What a threshold does: sensitivity and its kin, with intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from imrad.evaluation.outcomes import binary_outcome

__all__ = ["SHARES", "operating_point", "wilson"]

SHARES = ("sensitivity", "specificity", "ppv", "npv", "accuracy")


def wilson(part: int, whole: int, *, level: float = 0.95) -> tuple[float, float]:
    """Return the score interval of a share; NaN where there is nobody.

    References
    ----------
    Wilson, 1927, doi:10.1080/01621459.1927.10502953.
    """
    if whole == 0:
        return float("nan"), float("nan")
    z = float(stats.norm.ppf((1 + level) / 2))
    share, weight = part / whole, z * z / whole
    middle = (share + weight / 2) / (1 + weight)
    half = z / (1 + weight) * float(np.sqrt(share * (1 - share) / whole + weight / (4 * whole)))
    # At the ends the formula is 0 or 1 but for rounding.
    return 0.0 if part == 0 else middle - half, 1.0 if part == whole else middle + half


def operating_point(outcome: npt.ArrayLike, positive: npt.ArrayLike, *, level: float = 0.95) -> dict[str, Any]:
    """Return what calling some patients positive amounts to.

    Parameters
    ----------
    outcome : array_like of bool or 0/1, shape (n_patients,)
    positive : array_like of bool, shape (n_patients,)
    level : float

    Returns
    -------
    dict
        n, tp, fp, tn, fn, and of sensitivity, specificity, ppv, npv and accuracy the value, ``_low`` and ``_high``
        (Wilson); NaN where its denominator is empty.
    """
    y, called = binary_outcome(outcome), np.asarray(positive, dtype=bool)
    tp, fp = int((y & called).sum()), int((~y & called).sum())
    fn, tn = int((y & ~called).sum()), int((~y & ~called).sum())
    pairs = ((tp, tp + fn), (tn, tn + fp), (tp, tp + fp), (tn, tn + fn), (tp + tn, len(y)))
    found: dict[str, Any] = {"n": len(y), "tp": tp, "fp": fp, "tn": tn, "fn": fn}
    for name, (part, whole) in zip(SHARES, pairs, strict=True):
        low, high = wilson(part, whole, level=level)
        found |= {name: part / whole if whole else np.nan, f"{name}_low": low, f"{name}_high": high}
    return found
