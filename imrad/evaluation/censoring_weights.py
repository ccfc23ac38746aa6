"""The Kaplan-Meier estimate of censoring, whose inverse weighs patients, and what its estimation adds to a variance."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from imrad.evaluation.outcomes import BoolArray, FloatArray, IntArray, finite, survival_outcome

__all__ = ["censoring_influence", "censoring_survival"]


def censoring_survival(
    time: npt.ArrayLike,
    event: npt.ArrayLike,
    *,
    at: npt.ArrayLike,
    just_before: bool = True,
    events_first: bool = True,
    weights: npt.ArrayLike | None = None,
) -> FloatArray:
    """Return the Kaplan-Meier estimate of remaining uncensored, G(t-) or G(t), at given times.

    Parameters
    ----------
    time, event : array_like, shape (n_patients,)
        Patients from whom G is estimated.
    at : array_like
        Times asked for.
    just_before : bool
        G(t-) if True, else G(t).
    events_first : bool
        Whether events leave the risk set before censorings at the same time (as survival::concordance,
        timeROC and scikit-survival); a plain reverse Kaplan-Meier does not.
    weights : array_like, shape (n_patients,), optional
        Case weights.
    """
    times, events = survival_outcome(time, event)
    unique, inverse = np.unique(times, return_inverse=True)
    case = np.ones(len(times)) if weights is None else finite(weights, len(times), "weights")
    deaths = np.bincount(inverse, weights=case * events, minlength=len(unique))
    censored = np.bincount(inverse, weights=case * ~events, minlength=len(unique))
    at_risk = (deaths + censored)[::-1].cumsum()[::-1]
    if events_first:
        at_risk = at_risk - deaths
    with np.errstate(divide="ignore", invalid="ignore"):
        step = np.where(censored > 0, 1.0 - censored / at_risk, 1.0)
    curve = np.concatenate(([1.0], np.cumprod(step)))
    asked = np.asarray(at, dtype=float)
    return np.asarray(curve[np.searchsorted(unique, asked, side="left" if just_before else "right")])


def censoring_influence(
    place: IntArray, events: BoolArray, moves: FloatArray, limit: IntArray, jump_place: IntArray
) -> FloatArray:
    """Return each patient's influence on a sum of weights 1/G through the estimate of G.

    Parameters
    ----------
    place : ndarray of int, shape (n,)
        Position of each patient's time among the distinct (or row by row) times.
    events : ndarray of bool, shape (n,)
    moves : ndarray, shape (n,)
        Derivative of the sum by the logarithm of each patient's 1/G.
    limit : ndarray of int, shape (n,)
        Number of positions up to which each patient's G is a product.
    jump_place : ndarray of int, shape (n,)
        Position at which a patient's own censoring is counted.
    """
    n = len(place)
    size = int(place.max(initial=0)) + 1
    at_risk = np.bincount(place, minlength=size)[::-1].cumsum()[::-1] / n
    hazard = np.bincount(place, weights=~events, minlength=size) / n / at_risk**2
    cumulative = np.concatenate(([0.0], np.cumsum(hazard)))
    share = np.bincount(limit, weights=moves, minlength=size + 1)
    tail = share[::-1].cumsum()[::-1]
    before = np.concatenate(([0.0], np.cumsum(share * cumulative)))
    jump = np.where(events, 0.0, tail[jump_place + 1] / at_risk[jump_place])
    return np.asarray(jump - before[place + 1] - cumulative[place + 1] * tail[place + 1])
