"""Cumulative baseline hazards, and survival probabilities from them."""

from __future__ import annotations

from typing import Any

import numpy as np

from imrad.evaluation.outcomes import BoolArray, FloatArray

__all__ = ["breslow_hazard", "survival_at"]


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
    weight = np.ones(len(time)) if weight is None else weight
    order = np.argsort(time, kind="stable")
    times, happened, w, eta = time[order], event[order], weight[order], score[order]
    moments = np.unique(times[happened])
    first = np.searchsorted(times, moments, side="left")
    top = eta.max(initial=-np.inf)
    risk = np.cumsum((w * np.exp(np.maximum(eta - top, -700.0)))[::-1])[::-1][first]
    deaths = np.bincount(np.searchsorted(moments, times[happened]), weights=w[happened], minlength=len(moments))
    with np.errstate(divide="ignore"):
        log_steps = np.log(deaths) - np.log(risk) - top
    return moments, np.cumsum(np.exp(np.clip(log_steps, -700.0, 690.0)))


def survival_at(event_times: FloatArray, hazard: FloatArray, score: FloatArray, times: Any) -> FloatArray:
    """Return survival probabilities at times, shape (n_patients, n_times): steps at the event times."""
    asked = np.atleast_1d(np.asarray(times, dtype=float))
    at = np.concatenate(([0.0], hazard))[np.searchsorted(event_times, asked, side="right")]
    with np.errstate(divide="ignore"):
        log_hazard = np.log(at)[None, :] + score[:, None]
    return np.asarray(np.exp(-np.exp(np.minimum(log_hazard, 700.0))))
