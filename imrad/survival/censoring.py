"""A Cox model of being censored, for weights that depend on the patients' markers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from imrad.evaluation.outcomes import FloatArray, finite, merge_close_times, survival_outcome
from imrad.survival.coxph import CoxPH

__all__ = ["cox_censoring"]


def cox_censoring(
    time: npt.ArrayLike, event: npt.ArrayLike, markers: npt.ArrayLike, times: Sequence[float]
) -> tuple[FloatArray, FloatArray]:
    """Return each patient's probability of being uncensored just before its own time, and at given times.

    What :func:`imrad.evaluation.time_dependent.time_dependent_auc` takes as `censoring`; timeROC's
    ``weighting="cox"``: Efron's ties in the coefficients and in the baseline hazard.

    Parameters
    ----------
    time, event : array_like, shape (n_patients,)
    markers : array_like, shape (n_patients, n_markers)
    times : sequence of float

    Raises
    ------
    TooFewEventsError
        If nobody is censored: use the unweighted estimate then.
    """
    duration, events = survival_outcome(time, event)
    duration = merge_close_times(duration)
    x = finite(markers, len(duration), "markers").reshape(len(duration), -1)
    model = CoxPH().fit(x, (duration, ~events))
    score = np.exp(x @ np.nan_to_num(model.coef_) - model.offset_)
    moments, inverse = np.unique(duration, return_inverse=True)
    at_risk = np.bincount(inverse, weights=score)[::-1].cumsum()[::-1]
    leaving = np.bincount(inverse, weights=np.where(events, 0.0, score))
    count = np.bincount(inverse, weights=~events).astype(np.intp)
    steps = [
        float(np.sum(1 / (risk - np.arange(k) / k * gone))) if k else 0.0
        for risk, gone, k in zip(at_risk, leaving, count, strict=True)
    ]
    hazard = np.concatenate(([0.0], np.cumsum(steps)))
    before = hazard[np.searchsorted(moments, duration, side="left")]
    beyond = hazard[np.searchsorted(moments, np.asarray(times, dtype=float), side="right")]
    return np.exp(-before * score), np.exp(-beyond[None, :] * score[:, None])
