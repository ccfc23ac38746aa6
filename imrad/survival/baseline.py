"""Cumulative baseline hazards, and survival probabilities from them."""

from __future__ import annotations

from typing import Any

import numpy as np

from imrad.evaluation.outcomes import BoolArray, FloatArray

__all__ = ["breslow_hazard", "efron_hazard", "survival_at"]


def breslow_hazard(
    time: FloatArray, event: BoolArray, score: FloatArray, weight: FloatArray | None = None
) -> tuple[FloatArray, FloatArray]:
    """Return the distinct event times and Breslow's cumulative hazard at a score of 0.

    Parameters
    ----------
    time, event : ndarray, shape (n,)
    score : ndarray, shape (n,)
        Linear predictor.
    weight : ndarray, shape (n,), optional

    References
    ----------
    Breslow, 1974, doi:10.2307/2529620.
    """
    return _hazard(time, event, score, weight, efron=False)


def efron_hazard(
    time: FloatArray, event: BoolArray, score: FloatArray, weight: FloatArray | None = None
) -> tuple[FloatArray, FloatArray]:
    """Return the distinct event times and the hazard of Efron's likelihood, as survfit of an Efron fit.

    Of d tied deaths the k-th finds the deaths at risk with a share 1 - (k - 1) / d.

    References
    ----------
    Efron, 1977, doi:10.1080/01621459.1977.10480613.
    """
    return _hazard(time, event, score, weight, efron=True)


def _hazard(
    time: FloatArray, event: BoolArray, score: FloatArray, weight: FloatArray | None, *, efron: bool
) -> tuple[FloatArray, FloatArray]:
    weight = np.ones(len(time)) if weight is None else weight
    order = np.argsort(time, kind="stable")
    times, happened, w, eta = time[order], event[order], weight[order], score[order]
    moments = np.unique(times[happened])
    first = np.searchsorted(times, moments, side="left")
    top = eta.max(initial=-np.inf)
    risk = w * np.exp(np.maximum(eta - top, -700.0))
    at_risk = np.cumsum(risk[::-1])[::-1][first]
    # Patients of weight 0 are no deaths.
    died = happened & (w > 0) if efron else happened
    place = np.searchsorted(moments, times[died])
    count, deaths = (
        np.bincount(place, minlength=len(moments)),
        np.bincount(place, weights=w[died], minlength=len(moments)),
    )
    with np.errstate(divide="ignore"):
        if efron:
            own = np.bincount(place, weights=risk[died], minlength=len(moments))
            turn = np.concatenate([np.arange(k) / max(k, 1) for k in count]) if len(count) else np.zeros(0)
            at = np.repeat(np.arange(len(moments)), count)
            left = 1 / (at_risk[at] - turn * own[at])
            shares = np.bincount(at, weights=left, minlength=len(moments)) / np.maximum(count, 1)
            log_steps = np.log(deaths) + np.log(shares) - top
        else:
            log_steps = np.log(deaths) - np.log(at_risk) - top
    return moments, np.cumsum(np.exp(np.clip(log_steps, -700.0, 690.0)))


def survival_at(event_times: FloatArray, hazard: FloatArray, score: FloatArray, times: Any) -> FloatArray:
    """Return survival probabilities at times, shape (n_patients, n_times): steps at the event times."""
    asked = np.atleast_1d(np.asarray(times, dtype=float))
    at = np.concatenate(([0.0], hazard))[np.searchsorted(event_times, asked, side="right")]
    with np.errstate(divide="ignore"):
        log_hazard = np.log(at)[None, :] + score[:, None]
    return np.asarray(np.exp(-np.exp(np.minimum(log_hazard, 700.0))))
