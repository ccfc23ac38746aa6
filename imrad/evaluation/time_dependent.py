"""Cumulative/dynamic AUC at a horizon, with timeROC's standard errors, and two older estimators."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from imrad.evaluation.censoring_weights import censoring_influence, censoring_survival
from imrad.evaluation.outcomes import BoolArray, FloatArray, finite, merge_close_times, ranks, survival_outcome
from imrad.exceptions import CohortError

__all__ = [
    "TimeDependentAuc",
    "compare_time_dependent_auc",
    "survival_roc_auc",
    "time_dependent_auc",
    "time_dependent_roc",
]


@dataclass(frozen=True)
class TimeDependentAuc:
    """AUC(t) at several horizons.

    Attributes
    ----------
    times : ndarray, shape (n_times,)
        Horizons, in the unit of the times.
    auc, se, low, high : ndarray, shape (n_times,)
        NaN where a horizon has no case or no control; no standard error is defined for the
        scikit-survival definition, nor with a given censoring model.
    cases, controls, censored : ndarray of int
        Patients with the event before, event-free after, and censored by each horizon.
    influence : ndarray, shape (n_patients, n_times)
        The i.i.d. representation behind the standard errors.
    """

    times: FloatArray
    auc: FloatArray
    se: FloatArray
    low: FloatArray
    high: FloatArray
    cases: npt.NDArray[np.intp]
    controls: npt.NDArray[np.intp]
    censored: npt.NDArray[np.intp]
    influence: FloatArray

    def table(self) -> pd.DataFrame:
        """Return one row a horizon: time, auc, se, low, high, cases, controls, censored."""
        names = ("times", "auc", "se", "low", "high", "cases", "controls", "censored")
        return pd.DataFrame({"time" if name == "times" else name: getattr(self, name) for name in names})


def time_dependent_auc(
    time: npt.ArrayLike,
    event: npt.ArrayLike,
    risk: npt.ArrayLike,
    times: Sequence[float] | npt.ArrayLike,
    *,
    definition: str = "timeROC",
    train: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
    censoring: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
    level: float = 0.95,
) -> TimeDependentAuc:
    """Return the AUC of a risk for having had the event by each horizon, weighted for censoring.

    Parameters
    ----------
    time, event, risk : array_like, shape (n_patients,)
        Higher risk means an earlier event.
    times : sequence of float
        Horizons.
    definition : {"timeROC", "scikit-survival", "riskRegression"}
        ``timeROC``: cases are T < t strictly, weighted 1/G(T-), controls T > t. ``scikit-survival``
        (cumulative_dynamic_auc): cases T <= t, weighted 1/G(T). ``riskRegression`` (Score): cases
        T <= t, weighted 1/G(T-). They differ when an event falls on a tie or on t.
    train : (time, event), optional
        Patients from whom G is estimated; by default the same ones. Cases at times where G is 0 are
        left out.
    censoring : (array, array), optional
        G(T_i-) per patient and G(t) per patient and horizon, shapes (n_patients,) and
        (n_patients, n_times), from a model of censoring such as a Cox regression on the markers.
    level : float
        Of the interval, which is not cut to [0, 1].

    Raises
    ------
    CohortError
        If times, events or risks are missing or invalid.

    References
    ----------
    Blanche et al., 2013, doi:10.1002/sim.5958; Uno et al., 2007, doi:10.1198/016214507000000149.
    """
    duration, events = survival_outcome(time, event)
    duration = merge_close_times(duration)
    rank = ranks(finite(risk, len(duration), "risk")).astype(float)
    horizons = np.atleast_1d(np.asarray(times, dtype=float))
    if definition not in ("timeROC", "scikit-survival", "riskRegression"):
        message = f"unknown definition {definition!r}; known are timeROC, scikit-survival and riskRegression"
        raise ValueError(message)
    known = (duration, events) if train is None else survival_outcome(*train)
    g_own = censoring_survival(*known, at=duration, just_before=definition != "scikit-survival")
    g_at: FloatArray | None = None
    if censoring is not None:
        g_own = finite(censoring[0], len(duration), "G(T-)")
        g_at = finite(censoring[1], len(duration), "G(t)").reshape(len(duration), len(horizons))
    n = len(duration)
    auc, se = np.full(len(horizons), np.nan), np.full(len(horizons), np.nan)
    counts = np.zeros((3, len(horizons)), dtype=np.intp)
    influence = np.full((n, len(horizons)), np.nan)
    for column, t in enumerate(horizons):
        case = events & ((duration < t) if definition == "timeROC" else (duration <= t))
        control = duration > t
        counts[:, column] = case.sum(), control.sum(), n - case.sum() - control.sum()
        w_case = np.where(case & (g_own > 0), 1 / np.where(g_own > 0, g_own, 1.0), 0.0)
        w_control = control.astype(float)
        if g_at is not None:
            w_control = np.where(control, 1 / np.where(control, g_at[:, column], 1.0), 0.0)
        if w_case.sum() == 0 or w_control.sum() == 0:
            continue
        by_case, by_control = _beaten(rank, w_case, w_control)
        auc[column] = by_case.sum() / (w_case.sum() * w_control.sum())
        if definition != "scikit-survival" and censoring is None and train is None:
            g_t = float(censoring_survival(duration, events, at=[t], just_before=False)[0])
            shares = (by_case / n / g_t, by_control / n / g_t, w_case, control / g_t)
            influence[:, column] = _influence(duration, events, t, definition == "timeROC", *shares)
            se[column] = influence[:, column].std(ddof=1) / np.sqrt(n)
    half = float(stats.norm.ppf(0.5 + level / 2)) * se
    return TimeDependentAuc(horizons, auc, se, auc - half, auc + half, counts[0], counts[1], counts[2], influence)


def _beaten(rank: FloatArray, w_case: FloatArray, w_control: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Weighted concordant pairs (ties one half) of each case, and of each control."""
    level = np.unique(rank, return_inverse=True)[1]
    cases, controls = np.bincount(level, weights=w_case), np.bincount(level, weights=w_control)
    below = np.cumsum(controls) - controls / 2
    above = cases.sum() - np.cumsum(cases) + cases / 2
    return w_case * below[level], w_control * above[level]


def _influence(
    duration: FloatArray,
    events: BoolArray,
    t: float,
    row_order: bool,
    by_case: FloatArray,
    by_control: FloatArray,
    w_case: FloatArray,
    w_control: FloatArray,
) -> FloatArray:
    """Influence of each patient on AUC(t), the estimation of the censoring curve included."""
    n = len(duration)
    incidence, survival = w_case.sum() / n, w_control.sum() / n
    h = by_case.sum() / n
    # How much the estimate moves with each case's 1/G(T-).
    moves = by_case / n - h / incidence * w_case / n
    order = np.argsort(duration, kind="stable")
    if row_order:
        # timeROC counts the risk set row by row, equal times included: 1e-5 of the standard error.
        place = np.empty(n, dtype=np.intp)
        place[order] = np.arange(n)
        first = np.searchsorted(duration[order], duration, side="left")
        from_g = censoring_influence(place, events, moves, place + 1, first)
    else:
        place = np.unique(duration, return_inverse=True)[1]
        from_g = censoring_influence(place, events, moves, place, place)
    above = (duration > t) / np.mean(duration > t)
    own = by_control - h + by_case - h * (above + w_case / incidence - 1.0)
    return np.asarray((moves.sum() + from_g + own) / (incidence * survival))


def compare_time_dependent_auc(first: TimeDependentAuc, second: TimeDependentAuc) -> pd.DataFrame:
    """Compare the AUC(t) of two risks of the same patients, as timeROC::compare.

    Returns
    -------
    DataFrame
        time, difference, se, low, high, z, p; for predictions of patients that neither model has seen.
    """
    difference = first.auc - second.auc
    spread = first.influence - second.influence
    se = spread.std(axis=0, ddof=1) / np.sqrt(len(spread))
    with np.errstate(divide="ignore", invalid="ignore"):
        z = difference / se
    half = stats.norm.ppf(0.975) * se
    return pd.DataFrame(
        {
            "time": first.times,
            "difference": difference,
            "se": se,
            "low": difference - half,
            "high": difference + half,
            "z": z,
            "p": 2 * stats.norm.sf(np.abs(z)),
        }
    )


def time_dependent_roc(time: npt.ArrayLike, event: npt.ArrayLike, risk: npt.ArrayLike, t: float) -> pd.DataFrame:
    """Return the ROC curve at a horizon, by timeROC's definition.

    Returns
    -------
    DataFrame
        threshold (positive at or above it), tp, fp; the first row (0, 0) has the threshold inf.
    """
    duration, events = survival_outcome(time, event)
    risks = finite(risk, len(duration), "risk")
    g = censoring_survival(duration, events, at=duration)
    case = np.where(events & (duration < t), 1 / np.where(g > 0, g, 1.0), 0.0)
    control = (duration > t).astype(float)
    threshold, level = np.unique(-risks, return_inverse=True)
    table = {"threshold": np.concatenate(([np.inf], -threshold))}
    for name, weight in (("tp", case), ("fp", control)):
        total = weight.sum()
        part = np.concatenate(([0.0], np.cumsum(np.bincount(level, weights=weight))))
        table[name] = part / total if total > 0 else np.full(len(part), np.nan)
    return pd.DataFrame(table)


def survival_roc_auc(
    time: npt.ArrayLike,
    event: npt.ArrayLike,
    risk: npt.ArrayLike,
    t: float,
    *,
    method: str = "NNE",
    span: float | None = None,
) -> float:
    """Return AUC(t) by Heagerty, Lumley and Pepe's estimators, for comparison with older studies.

    Not the quantity of :func:`time_dependent_auc`: never put both into one table.

    Parameters
    ----------
    time, event, risk : array_like, shape (n_patients,)
    t : float
    method : {"NNE", "KM"}
        Nearest neighbours, or Kaplan-Meier above each threshold (not monotone).
    span : float, optional
        Neighbours lie no further than the patient ``span * n`` places above (as in the R package
        survivalROC); 0.25 n^-0.2 by default.

    Raises
    ------
    CohortError
        If there are more than 20,000 patients, for whom time would grow with their square.

    References
    ----------
    Heagerty et al., 2000, doi:10.1111/j.0006-341X.2000.00337.x.
    """
    duration, events = survival_outcome(time, event)
    x = finite(risk, len(duration), "risk")
    n = len(x)
    if n > 20_000:
        message = f"{n} patients: survivalROC's estimators take at most 20000; use time_dependent_auc"
        raise CohortError(message)
    if method not in ("NNE", "KM"):
        message = f"unknown method {method!r}; known are NNE and KM"
        raise ValueError(message)
    order = np.argsort(x, kind="stable")
    duration, events, x = duration[order], events[order], x[order]
    moments = np.unique(duration[events & (duration <= t)])
    unique, first = np.unique(x, return_index=True)
    above = n - np.append(first[1:], n)
    if method == "KM":
        everyone = _survival_rows(np.ones((1, n), bool), duration, events, moments)[0]
        rows = np.arange(n)[None, :] >= (n - above[:-1])[:, None]
        left = _survival_rows(rows, duration, events, moments) * above[:-1] / n
    else:
        reach = int(np.floor(n * (0.25 * n**-0.2 if span is None else span) + 0.5))
        width = x[np.minimum(first + reach, n - 1)] - unique
        rows = np.abs(x[None, :] - unique[:, None]) <= width[:, None]
        own = _survival_rows(rows, duration, events, moments)
        shares = np.diff(np.append(first, n)) / n
        everyone = float(own @ shares)
        left = (own * shares)[::-1].cumsum()[::-1][1:]
    if not 0 < everyone < 1:
        return float("nan")
    tp = np.concatenate(([1.0], (above[:-1] / n - left) / (1 - everyone), [0.0]))
    fp = np.concatenate(([1.0], left / everyone, [0.0]))
    return float(np.sum(-np.diff(fp) * (tp[1:] + tp[:-1]) / 2))


def _survival_rows(
    rows: npt.NDArray[np.bool_], duration: FloatArray, events: BoolArray, moments: FloatArray
) -> FloatArray:
    """Kaplan-Meier at the last moment of each row's patients."""
    at_risk = (duration[:, None] >= moments[None, :]).astype(np.float32)
    deaths = ((duration[:, None] == moments[None, :]) & events[:, None]).astype(np.float32)
    out = np.empty(len(rows))
    for start in range(0, len(rows), 512):
        part = rows[start : start + 512].astype(np.float32)
        n, d = (part @ at_risk).astype(float), (part @ deaths).astype(float)
        out[start : start + 512] = np.prod(np.where(n > 0, 1 - d / np.where(n > 0, n, 1.0), 1.0), axis=1)
    return out
