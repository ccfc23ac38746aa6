"""Kaplan-Meier curves, medians, restricted means, follow-up and log-rank tests, as R's survival."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from imrad.evaluation.multiplicity import adjust
from imrad.evaluation.outcomes import FloatArray, finite, merge_close_times, survival_outcome
from imrad.exceptions import CohortError

__all__ = ["KaplanMeier", "LogRank", "follow_up", "kaplan_meier", "log_rank", "pairwise_log_rank"]

TOLERANCE = float(np.sqrt(np.finfo(float).eps))


@dataclass(frozen=True)
class KaplanMeier:
    """One Kaplan-Meier curve, a row for each observed time.

    Attributes
    ----------
    time, n_risk, n_event, n_censored, survival : ndarray
        Just after each time; ``n_risk`` just before.
    se_log : ndarray
        Greenwood's standard error of log S (infinite where S is 0).
    n, events : float
        Patients and events (weights summed).
    """

    time: FloatArray
    n_risk: FloatArray
    n_event: FloatArray
    n_censored: FloatArray
    survival: FloatArray
    se_log: FloatArray
    n: float
    events: float

    def interval(self, kind: str = "log", level: float = 0.95) -> tuple[FloatArray, FloatArray]:
        """Return pointwise limits of the curve.

        Parameters
        ----------
        kind : {"log", "log-log", "plain"}
            Scale on which the interval is symmetric; R's default is log.
        level : float
        """
        z = float(stats.norm.ppf(0.5 + level / 2))
        s, se = self.survival, self.se_log
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            if kind == "log":
                s = np.where(s == 0, np.nan, s)
                return np.exp(np.log(s) - z * se), np.minimum(np.exp(np.log(s) + z * se), 1.0)
            if kind == "log-log":
                s = np.where((s == 0) | (s == 1), np.nan, s)
                centre, half = np.log(-np.log(s)), z * se / np.log(s)
                return np.exp(-np.exp(centre - half)), np.exp(-np.exp(centre + half))
            if kind == "plain":
                half = np.where(s == 0, np.nan, z * se * s)
                return np.maximum(s - half, 0.0), np.minimum(s + half, 1.0)
        message = f"unknown interval {kind!r}; known are log, log-log and plain"
        raise ValueError(message)

    def at(self, times: npt.ArrayLike, *, kind: str = "log", level: float = 0.95) -> pd.DataFrame:
        """Return time, n_risk, survival, se, low and high at the asked times.

        After the last observed time the last value is repeated and nobody is at risk.
        """
        asked = np.atleast_1d(np.asarray(times, dtype=float))
        low, high = self.interval(kind, level)
        row = np.searchsorted(self.time, asked * (1 + 1e-12), side="right")
        coming = np.searchsorted(self.time, asked * (1 - 1e-12), side="left")

        def read(values: FloatArray, before: float) -> FloatArray:
            return np.concatenate(([before], values))[row]

        with np.errstate(invalid="ignore"):
            se = np.where(self.survival > 0, self.survival * self.se_log, np.nan)
        return pd.DataFrame(
            {
                "time": asked,
                "n_risk": np.concatenate((self.n_risk, [0.0]))[coming],
                "survival": read(self.survival, 1.0),
                "se": read(se, 0.0),
                "low": read(low, 1.0),
                "high": read(high, 1.0),
            }
        )

    def quantile(self, p: float = 0.5, *, kind: str = "log", level: float = 0.95) -> tuple[float, float, float]:
        """Return the time by which the share `p` has had the event, with its interval; NaN if not reached.

        Where the curve equals 1 - p over a stretch, the middle of the stretch, as R's quantile()
        (a rounding tolerance of 1.5e-8 decides; lifelines reports the end of the stretch).
        """
        low, high = self.interval(kind, level)
        value, lower, upper = (self._crossing(curve, p) for curve in (self.survival, low, high))
        return value, lower, upper

    def _crossing(self, curve: FloatArray, p: float) -> float:
        x, y = np.concatenate(([0.0], self.time)), np.concatenate(([0.0], 1 - curve))
        if np.isnan(curve).all() or np.nanmax(y) < p - TOLERANCE:
            return float("nan")
        y, first = np.unique(y, return_index=True)
        position = first[~np.isnan(y)]
        y = y[~np.isnan(y)]
        reach, passed = np.searchsorted(y, p - TOLERANCE), np.searchsorted(y, p + TOLERANCE)
        if reach >= len(y):
            return float("nan")
        if passed < len(y):
            return float((x[position[reach]] + x[position[passed]]) / 2)
        # The curve ends at 1 - p: the stretch ends with the follow-up.
        return float((x[position[reach]] + x[-1]) / 2) if not np.isnan(curve[-1]) else float("nan")

    def median(self, *, kind: str = "log", level: float = 0.95) -> tuple[float, float, float]:
        """Return the median time with its interval; NaN if not reached."""
        return self.quantile(0.5, kind=kind, level=level)

    def restricted_mean(self, tau: float) -> tuple[float, float]:
        """Return the mean time up to tau (area under the curve) and its standard error.

        Beyond the last observed time the curve is continued at its last value.
        """
        keep = self.time <= tau
        time = np.concatenate((self.time[keep], [tau]))
        height = np.concatenate(([1.0], self.survival[keep]))
        area = np.diff(np.concatenate(([0.0], time))) * height
        d, n = self.n_event[keep], self.n_risk[keep]
        with np.errstate(divide="ignore", invalid="ignore"):
            hazard = np.where(n - d <= 0, 0.0, d / (n * (n - d)))
        rest = area[1:][::-1].cumsum()[::-1]
        return float(area.sum()), float(np.sqrt(np.sum(rest**2 * hazard)))

    def table(self, *, kind: str = "log", level: float = 0.95) -> pd.DataFrame:
        """Return the whole curve: time, n_risk, n_event, n_censored, survival, low, high."""
        low, high = self.interval(kind, level)
        names = ("time", "n_risk", "n_event", "n_censored", "survival")
        return pd.DataFrame({name: getattr(self, name) for name in names} | {"low": low, "high": high})


def kaplan_meier(time: npt.ArrayLike, event: npt.ArrayLike, *, weights: npt.ArrayLike | None = None) -> KaplanMeier:
    """Estimate a survival curve.

    Parameters
    ----------
    time, event : array_like, shape (n_patients,)
    weights : array_like, shape (n_patients,), optional
        Case weights.

    Raises
    ------
    CohortError
        If there are no patients, or a time or event is missing or invalid.
    """
    times, events = survival_outcome(time, event)
    if len(times) == 0:
        message = "no patients: a survival curve needs at least one"
        raise CohortError(message)
    times = merge_close_times(times)
    case = np.ones(len(times)) if weights is None else finite(weights, len(times), "weights")
    unique, inverse = np.unique(times, return_inverse=True)
    d = np.asarray(np.bincount(inverse, weights=case * events, minlength=len(unique)), dtype=float)
    c = np.asarray(np.bincount(inverse, weights=case * ~events, minlength=len(unique)), dtype=float)
    n = np.asarray((d + c)[::-1].cumsum()[::-1])
    with np.errstate(divide="ignore", invalid="ignore"):
        survival = np.asarray(np.cumprod(np.where(n > 0, 1 - d / n, 1.0)), dtype=float)
        se = np.asarray(np.sqrt(np.cumsum(np.where(d > 0, d / (n * (n - d)), 0.0))))
    return KaplanMeier(unique, n, d, c, survival, se, float(case.sum()), float(d.sum()))


def follow_up(time: npt.ArrayLike, event: npt.ArrayLike) -> tuple[float, float, float]:
    """Return the median follow-up with its interval, by the reverse Kaplan-Meier method.

    References
    ----------
    Schemper and Smith, 1996, doi:10.1016/0197-2456(96)00075-X.
    """
    times, events = survival_outcome(time, event)
    return kaplan_meier(times, ~events).median()


@dataclass(frozen=True)
class LogRank:
    """Test that all groups share one survival curve.

    Attributes
    ----------
    groups : list
        Group labels, sorted.
    n, observed, expected : ndarray
        Per group; weighted for rho > 0.
    variance : ndarray, shape (n_groups, n_groups)
    chi2, p : float
    df : int
    """

    groups: list[object]
    n: npt.NDArray[np.intp]
    observed: FloatArray
    expected: FloatArray
    variance: FloatArray
    chi2: float
    df: int
    p: float


def log_rank(time: npt.ArrayLike, event: npt.ArrayLike, group: npt.ArrayLike, *, rho: float = 0.0) -> LogRank:
    """Compare survival between groups: log-rank (rho 0) or Peto and Peto's Wilcoxon (rho 1).

    Parameters
    ----------
    time, event, group : array_like, shape (n_patients,)
    rho : float
        Fleming-Harrington weight S(t-)^rho, as R's survdiff.

    Returns
    -------
    LogRank
        chi2 and p are NaN with fewer than two groups at risk of an event.

    Raises
    ------
    CohortError
        If there is no patient, or not one group each.
    """
    times, events = survival_outcome(time, event)
    if len(times) == 0 or np.shape(group) != times.shape:
        message = f"{len(times)} patients with {np.size(group)} groups: a comparison needs patients, and one group each"
        raise CohortError(message)
    times = merge_close_times(times)
    labels, member = np.unique(np.asarray(group), return_inverse=True)
    k = len(labels)
    unique, inverse = np.unique(times, return_inverse=True)
    cell = inverse * k + member
    deaths = np.bincount(cell, weights=events, minlength=len(unique) * k).reshape(-1, k)
    present = np.bincount(cell, minlength=len(unique) * k).reshape(-1, k)
    at_risk = present[::-1].cumsum(axis=0)[::-1]
    rows = deaths.sum(axis=1) > 0
    deaths, at_risk = deaths[rows], at_risk[rows]
    d, n = deaths.sum(axis=1), at_risk.sum(axis=1).astype(float)
    before = np.concatenate(([1.0], np.cumprod(1 - d / n)))[: len(d)]
    w = before**rho
    share = at_risk / n[:, None]
    observed, expected = w @ deaths, (w * d) @ share
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = w**2 * d * np.where(n > 1, (n - d) / (n - 1), 0.0)
    variance = np.diag(factor @ share) - (share * factor[:, None]).T @ share
    used = np.flatnonzero(expected > 0)
    chi2 = p = float("nan")
    if len(used) > 1:
        rest = used[1:]
        gap = (observed - expected)[rest]
        inner = variance[np.ix_(rest, rest)]
        if np.linalg.matrix_rank(inner) == len(rest):
            chi2 = float(gap @ np.linalg.solve(inner, gap))
            p = float(stats.chi2.sf(chi2, len(rest)))
    sizes = np.bincount(member, minlength=k)
    return LogRank(list(labels), sizes, observed, expected, variance, chi2, max(len(used) - 1, 0), p)


def pairwise_log_rank(
    time: npt.ArrayLike, event: npt.ArrayLike, group: npt.ArrayLike, *, method: str = "BH", rho: float = 0.0
) -> pd.DataFrame:
    """Compare every two groups, with p adjusted for their number: group_1, group_2, chi2, p, p_adjusted."""
    times, events = survival_outcome(time, event)
    groups = np.asarray(group)
    rows = []
    for one, two in combinations(np.unique(groups), 2):
        mask = (groups == one) | (groups == two)
        test = log_rank(times[mask], events[mask], groups[mask], rho=rho)
        rows.append((one, two, test.chi2, test.p))
    table = pd.DataFrame(rows, columns=["group_1", "group_2", "chi2", "p"])
    table["p_adjusted"] = adjust(table["p"].to_numpy(dtype=float), method)
    return table
