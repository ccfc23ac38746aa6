"""Concordance for censored times: Harrell's and Uno's C, their variance, and a fast bootstrap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from imrad.evaluation.censoring_weights import censoring_survival
from imrad.evaluation.comparable_pairs import (
    concordant_and_comparable,
    first_not_later,
    outlived_by,
    outlives,
    rank_information,
    tied_time_pairs,
)
from imrad.evaluation.outcomes import (
    BoolArray,
    FloatArray,
    finite,
    merge_close_times,
    ranks,
    survival_outcome,
)

__all__ = [
    "Concordance",
    "PairedConcordance",
    "bootstrap_c",
    "compare_concordance",
    "concordance",
    "harrell_c",
    "uno_c",
]


@dataclass(frozen=True)
class Concordance:
    """A C-index with its counts and infinitesimal-jackknife variance.

    Attributes
    ----------
    c : float
        Concordance; NaN where no two patients can be compared.
    variance, se : float
        Infinitesimal jackknife, as survival::concordance (time weights taken as fixed).
    variance_null : float
        Were the risk unrelated to the times: from a Cox model's score test (R's cvar).
    low, high : float
        Wald interval.
    concordant, discordant, tied_risk, tied_time, tied_both : float
        Weighted numbers of pairs; ``tied_time`` pairs are not comparable.
    influence : ndarray, shape (n_patients,)
        Change of C with each patient's weight.
    """

    c: float
    variance: float
    variance_null: float
    se: float
    low: float
    high: float
    concordant: float
    discordant: float
    tied_risk: float
    tied_time: float
    tied_both: float
    influence: FloatArray


@dataclass(frozen=True)
class PairedConcordance:
    """Two C-indices of the same patients, their covariance, difference, interval and p."""

    c: tuple[float, float]
    covariance: FloatArray
    difference: float
    se: float
    low: float
    high: float
    z: float
    p: float


def harrell_c(
    time: npt.ArrayLike, event: npt.ArrayLike, risk: npt.ArrayLike, *, weights: npt.ArrayLike | None = None
) -> float:
    """Return Harrell's C: the share of comparable pairs in which the higher risk has the earlier event.

    A pair is comparable if the earlier time is an event; a patient censored at an event's time
    outlived it; ties in the risk count one half. scikit-survival, lifelines and R's survival agree.

    Parameters
    ----------
    time, event : array_like, shape (n_patients,)
        Days (or any unit) to event or censoring, and whether the event happened.
    risk : array_like, shape (n_patients,)
        Higher means an earlier event.
    weights : array_like, shape (n_patients,), optional
        Case weights, such as the counts of a bootstrap resample.

    Returns
    -------
    float
        NaN where no two patients can be compared (no event, or all tied).

    Raises
    ------
    CohortError
        If times, events or risks are missing or invalid.

    References
    ----------
    Harrell et al., 1996, doi:10.1002/(SICI)1097-0258(19960229)15:4<361::AID-SIM168>3.0.CO;2-4.
    """
    times, events, risks, case = _checked(time, event, risk, weights)
    good, pairs = concordant_and_comparable(times, events, ranks(risks), case, np.ones(len(times)))
    return good / pairs if pairs > 0 else float("nan")


def uno_c(
    time: npt.ArrayLike,
    event: npt.ArrayLike,
    risk: npt.ArrayLike,
    *,
    tau: float | None = None,
    train: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
    definition: str = "survival",
) -> float:
    """Return Uno's C: pairs weighted by 1/G(t)^2, G the Kaplan-Meier of censoring.

    Packages differ in the third digit; the definition followed is named.

    Parameters
    ----------
    time, event, risk : array_like, shape (n_patients,)
        As in :func:`harrell_c`.
    tau : float, optional
        Only events up to tau count (before tau for survC1 and scikit-survival).
    train : (time, event), optional
        Patients from whom G is estimated, such as the training part of a fold; by default the same ones.
        Events at times where the training G is 0 are left out, since nothing is known there.
    definition : {"survival", "survC1", "scikit-survival"}
        ``survival``: R's concordance(timewt="n/G2", ymax=tau): G just before the event, events leaving
        the risk set first, a patient censored at the event's time is comparable. ``survC1``: plain
        Kaplan-Meier G just before the event, later times strictly. ``scikit-survival``:
        concordance_index_ipcw: G at the event's time, events leaving first.

    Returns
    -------
    float
        NaN where no two patients can be compared.

    References
    ----------
    Uno et al., 2011, doi:10.1002/sim.4154.
    """
    times, events, risks, case = _checked(time, event, risk, None)
    rules = {"survival": (True, True), "survC1": (False, True), "scikit-survival": (True, False)}
    if definition not in rules:
        message = f"unknown definition {definition!r} of Uno's C; known are {', '.join(rules)}"
        raise ValueError(message)
    events_first, just_before = rules[definition]
    known = (times, events) if train is None else survival_outcome(*train)
    g = censoring_survival(*known, at=times, just_before=just_before, events_first=events_first)
    counted = events & (g > 0)
    if tau is not None:
        counted &= (times <= tau) if definition == "survival" else (times < tau)
    weight = np.where(counted, 1.0 / np.where(g > 0, g, 1.0) ** 2, 0.0)
    # survC1 compares with strictly later times only: then a censored tie is not later.
    order_events = np.ones(len(times), bool) if definition == "survC1" else events
    good, pairs = concordant_and_comparable(times, order_events, ranks(risks), case, weight)
    return good / pairs if pairs > 0 else float("nan")


def concordance(
    time: npt.ArrayLike,
    event: npt.ArrayLike,
    risk: npt.ArrayLike,
    *,
    weights: npt.ArrayLike | None = None,
    time_weight: str = "n",
    tau: float | None = None,
    clusters: npt.ArrayLike | None = None,
    strata: npt.ArrayLike | None = None,
    level: float = 0.95,
) -> Concordance:
    """Return C with counts, infinitesimal-jackknife variance and interval, as R's survival::concordance.

    Parameters
    ----------
    time, event, risk, weights
        As in :func:`harrell_c`; R is asked with ``reverse=TRUE``.
    time_weight : {"n", "n/G2"}
        Harrell's or Uno's weighting of the event times.
    tau : float, optional
        Events after tau do not count (R's ymax).
    clusters : array_like, optional
        Patients of one cluster share their influence.
    strata : array_like, optional
        Patients of different strata are not compared, as by R for a stratified Cox model.
    level : float
        Of the Wald interval.

    Raises
    ------
    CohortError
        If times, events, risks or weights are missing or invalid.
    """
    times, events, risks, case = _checked(time, event, risk, weights)
    if time_weight not in ("n", "n/G2"):
        message = f"unknown time weight {time_weight!r}; known are 'n' and 'n/G2'"
        raise ValueError(message)
    rank, label = ranks(risks), np.zeros(len(times), dtype=np.intp)
    if strata is not None:
        label = np.unique(np.asarray(strata), return_inverse=True)[1]
    mine, counts = np.zeros((len(times), 3)), np.zeros(3)
    same_time = both = null = 0.0
    for number in range(int(label.max(initial=-1)) + 1):
        rows = np.flatnonzero(label == number)
        part = (times[rows], events[rows], rank[rows], case[rows])
        weight = part[1].astype(float)
        if time_weight == "n/G2":
            g = censoring_survival(part[0], part[1], at=part[0], weights=part[3])
            weight = np.where(part[1], 1.0 / np.where(part[1], g, 1.0) ** 2, 0.0)
        if tau is not None:
            weight[part[0] > tau] = 0.0
        lower, tied, later = outlived_by(*part)
        forward = weight[:, None] * np.column_stack([lower, later - lower - tied, tied])
        mine[rows] = forward + outlives(part[0], part[1], part[2], part[3] * weight)
        counts += part[3] @ forward
        found = tied_time_pairs(*part, weight)
        same_time, both = same_time + found[0], both + found[1]
        null += rank_information(*part, weight)
    pairs = counts.sum()
    c = float((counts[0] + counts[2] / 2) / pairs) if pairs > 0 else float("nan")
    influence = (mine[:, 0] + mine[:, 2] / 2 - c * mine.sum(axis=1)) / (pairs if pairs > 0 else 1.0)
    variance = float(np.sum(_by_cluster(case * influence, clusters) ** 2))
    half = float(stats.norm.ppf(0.5 + level / 2)) * float(np.sqrt(variance))
    return Concordance(
        c=c,
        variance=variance,
        variance_null=null / (4 * pairs**2) if pairs > 0 else float("nan"),
        se=float(np.sqrt(variance)),
        low=c - half,
        high=c + half,
        concordant=float(counts[0]),
        discordant=float(counts[1]),
        tied_risk=float(counts[2]),
        tied_time=same_time,
        tied_both=both,
        influence=influence,
    )


def compare_concordance(
    time: npt.ArrayLike,
    event: npt.ArrayLike,
    risk_1: npt.ArrayLike,
    risk_2: npt.ArrayLike,
    *,
    level: float = 0.95,
    clusters: npt.ArrayLike | None = None,
) -> PairedConcordance:
    """Compare two risks of the same patients by their C, as R's concordance(model_1, model_2).

    Meant for predictions of patients that neither model has seen.
    """
    both = [concordance(time, event, risk, clusters=clusters) for risk in (risk_1, risk_2)]
    shares = np.column_stack([_by_cluster(item.influence, clusters) for item in both])
    covariance = shares.T @ shares
    difference = both[0].c - both[1].c
    se = float(np.sqrt(max(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1], 0.0)))
    z = difference / se if se > 0 else (0.0 if difference == 0 else float("nan"))
    half = float(stats.norm.ppf(0.5 + level / 2)) * se
    p = float(2 * stats.norm.sf(abs(z)))
    return PairedConcordance(
        (both[0].c, both[1].c), covariance, difference, se, difference - half, difference + half, z, p
    )


def bootstrap_c(
    time: npt.ArrayLike,
    event: npt.ArrayLike,
    risk: npt.ArrayLike,
    counts: npt.ArrayLike,
    *,
    time_weights: npt.ArrayLike | None = None,
) -> FloatArray:
    """Return C of many resamples at once: counts x pair matrix x counts.

    Parameters
    ----------
    time, event, risk : array_like, shape (n_patients,)
        As in :func:`harrell_c`.
    counts : array_like of int, shape (n_resamples, n_patients)
        How often each patient is in each resample (:func:`imrad.evaluation.bootstrap.resample_counts`).
        Copies of one patient are tied in time and so never compared with each other.
    time_weights : array_like, shape (n_patients,), optional
        Weight of each event time, such as 1/G(t-)^2 for Uno's C with a G that is held fixed.

    Returns
    -------
    ndarray, shape (n_resamples,)
        NaN for a resample without comparable pairs.
    """
    times, events, risks, _ = _checked(time, event, risk, None)
    times = merge_close_times(times)
    n = len(times)
    drawn = np.asarray(counts)
    if drawn.ndim != 2 or drawn.shape[1] != n:
        message = f"counts of shape {drawn.shape} for {n} patients: one row a resample, one column a patient is needed"
        raise ValueError(message)
    weight = np.where(events, 1.0 if time_weights is None else finite(time_weights, n, "time weights"), 0.0)
    order = np.lexsort((events, -times))
    times, events, rank, weight = times[order], events[order], ranks(risks)[order], weight[order]
    if n > 20_000:
        return np.array(
            [_ratio(concordant_and_comparable(times, events, rank, row[order].astype(float), weight)) for row in drawn]
        )
    # Entries are multiples of 1/2 and row sums at most n: single precision is exact for whole counts.
    whole = np.issubdtype(drawn.dtype, np.integer) or bool(np.all(drawn == np.round(drawn)))
    kind: type[np.floating[Any]] = (
        np.float32 if whole and float(drawn.sum(axis=1).max(initial=0)) < 2**22 else np.float64
    )
    cases: np.ndarray[Any, Any] = np.ascontiguousarray(drawn[:, order], dtype=kind)
    later = first_not_later(times, events)
    cumulative = np.concatenate((np.zeros((len(drawn), 1)), np.cumsum(cases, axis=1, dtype=float)), axis=1)
    rows = np.flatnonzero(weight > 0)
    good, pairs = np.zeros(len(drawn)), np.zeros(len(drawn))
    step = max(1, 4_000_000 // max(n, 1))
    for start in range(0, len(rows), step):
        block = rows[start : start + step]
        stop = int(later[block].max())
        value: np.ndarray[Any, Any] = (rank[block][None, :] > rank[:stop][:, None]).astype(kind)
        value += (rank[block][None, :] == rank[:stop][:, None]) * kind(0.5)
        value *= np.arange(stop)[:, None] < later[block][None, :]
        scaled = cases[:, block] * weight[block]
        good += np.einsum("ij,ij->i", cases[:, :stop] @ value, scaled)
        pairs += np.einsum("ij,ij->i", cumulative[:, later[block]], scaled)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(pairs > 0, good / np.where(pairs > 0, pairs, 1.0), np.nan))


def _ratio(sums: tuple[float, float]) -> float:
    return sums[0] / sums[1] if sums[1] > 0 else float("nan")


def _checked(
    time: npt.ArrayLike, event: npt.ArrayLike, risk: npt.ArrayLike, weights: npt.ArrayLike | None
) -> tuple[FloatArray, BoolArray, FloatArray, FloatArray]:
    times, events = survival_outcome(time, event)
    risks = finite(risk, len(times), "risk")
    if risks.ndim != 1:
        risks = risks.reshape(len(times), -1)[:, 0] if risks.size == len(times) else _refuse(risks)
    case = np.ones(len(times)) if weights is None else finite(weights, len(times), "weights")
    return merge_close_times(times), events, risks, case


def _refuse(risks: FloatArray) -> FloatArray:
    message = f"risk of shape {risks.shape}: one value per patient is needed; compare models one at a time"
    raise ValueError(message)


def _by_cluster(shares: FloatArray, clusters: npt.ArrayLike | None) -> FloatArray:
    if clusters is None:
        return shares
    group = np.unique(np.asarray(clusters), return_inverse=True)[1]
    return np.asarray(np.bincount(group, weights=shares), dtype=float)
