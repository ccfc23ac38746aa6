"""The indices of rms::validate for a Cox model's linear predictor, to be corrected for optimism."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from imrad.evaluation.discrimination import harrell_c
from imrad.evaluation.logistic import gini_mean_difference
from imrad.evaluation.outcomes import BoolArray, FloatArray, finite, merge_close_times, survival_outcome
from imrad.exceptions import FitError
from imrad.survival.coxph import CoxPH

__all__ = ["efron_log_likelihood", "validation_indices"]


def efron_log_likelihood(time: FloatArray, event: BoolArray, score: FloatArray) -> float:
    """Return the log partial likelihood of given linear predictors, by Efron's handling of ties."""
    moments, place = np.unique(time, return_inverse=True)
    top = float(score.max(initial=0.0))
    weight = np.exp(score - top)
    at_risk = np.bincount(place, weights=weight)[::-1].cumsum()[::-1]
    dying = np.bincount(place, weights=np.where(event, weight, 0.0))
    deaths = np.bincount(place, weights=event).astype(np.intp)
    total = float(score[event].sum()) - top * float(event.sum())
    which = np.repeat(np.arange(len(moments)), deaths)
    share = (np.arange(len(which)) - np.repeat(np.cumsum(deaths) - deaths, deaths)) / np.maximum(deaths[which], 1)
    return total - float(np.log(np.maximum(at_risk[which] - share * dying[which], 1e-300)).sum())


def validation_indices(time: npt.ArrayLike, event: npt.ArrayLike, score: npt.ArrayLike) -> dict[str, float]:
    """Return dxy, c, r2, slope, d, u, q and g of a linear predictor in some patients.

    With :func:`imrad.evaluation.bootstrap.optimism` these make rms::validate's table: R2, D and g are
    those of the predictor refitted with a slope of its own, U what that refit gains, less 2 (which
    rms leaves out in test samples).

    Parameters
    ----------
    time, event, score : array_like, shape (n_patients,)

    Returns
    -------
    dict
        All but dxy and c are NaN where no slope can be fitted.

    References
    ----------
    Harrell, 2015, doi:10.1007/978-3-319-19425-7.
    """
    times, events = survival_outcome(time, event)
    lp = finite(score, len(times), "linear predictor")
    c = harrell_c(times, events, lp)
    out = dict.fromkeys(("dxy", "c", "r2", "slope", "d", "u", "q", "g"), float("nan")) | {"c": c, "dxy": 2 * c - 1}
    if not events.any() or np.ptp(lp) == 0:
        return out
    try:
        fitted = CoxPH().fit(lp[:, None], (times, events))
    except FitError:
        return out
    if np.isnan(fitted.coef_[0]):
        return out
    n, null = len(times), -2 * fitted.log_likelihood_null_
    ratio = 2 * (fitted.log_likelihood_ - fitted.log_likelihood_null_)
    gained = 2 * (fitted.log_likelihood_ - efron_log_likelihood(merge_close_times(times), events, lp))
    slope = float(fitted.coef_[0])
    out |= {
        "r2": float((1 - np.exp(-ratio / n)) / (1 - np.exp(-null / n))),
        "slope": slope,
        "d": (ratio - 1) / null,
        "u": (gained - 2) / null,
        "g": slope * gini_mean_difference(lp),
    }
    return out | {"q": out["d"] - out["u"]}
