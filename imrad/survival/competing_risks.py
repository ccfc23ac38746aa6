"""Several causes of failure: cumulative incidence by Aalen and Johansen, and Cox models for each cause."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from imrad.evaluation.kaplan_meier import log_rank
from imrad.evaluation.outcomes import FloatArray, IntArray, merge_close_times, survival_outcome
from imrad.exceptions import CohortError, TooFewEventsError

__all__ = ["CumulativeIncidence", "cause_outcome", "cause_specific_cox", "compare_causes", "cumulative_incidence"]


@dataclass(frozen=True)
class CumulativeIncidence:
    """Probability of having failed of each cause, a row for each observed time.

    Attributes
    ----------
    causes : list of int
    time, n_risk : ndarray, shape (n_times,)
    incidence : ndarray, shape (n_times, n_causes)
    event_free : ndarray, shape (n_times,)
        Incidences and this sum to 1.
    """

    causes: list[int]
    time: FloatArray
    n_risk: FloatArray
    incidence: FloatArray
    event_free: FloatArray
    _times: FloatArray
    _cause: IntArray

    def at(self, times: npt.ArrayLike, *, level: float = 0.95) -> pd.DataFrame:
        """Return cause, time, n_risk, incidence, se, low, high at the asked times.

        Standard errors are the infinitesimal jackknife's, as R's survfit of several states; limits
        are on the scale of log(incidence), as R's default for probabilities, and at most 1.
        """
        asked = np.atleast_1d(np.asarray(times, dtype=float))
        row = np.searchsorted(self.time, asked * (1 + 1e-12), side="right")
        coming = np.searchsorted(self.time, asked * (1 - 1e-12), side="left")
        z = float(stats.norm.ppf(0.5 + level / 2))
        tables = []
        for column, cause in enumerate(self.causes):
            value = np.concatenate(([0.0], self.incidence[:, column]))[row]
            se = np.array([self._se(cause, column, t) for t in asked])
            with np.errstate(divide="ignore", invalid="ignore"):
                half = z * se / value
                low, high = value * np.exp(-half), np.minimum(value * np.exp(half), 1.0)
            tables.append(
                pd.DataFrame(
                    {
                        "cause": cause,
                        "time": asked,
                        "n_risk": np.concatenate((self.n_risk, [0.0]))[coming],
                        "incidence": value,
                        "se": se,
                        "low": np.where(value > 0, low, np.nan),
                        "high": np.where(value > 0, high, np.nan),
                    }
                )
            )
        return pd.concat(tables, ignore_index=True)

    def _se(self, cause: int, column: int, t: float) -> float:
        """Square root of the summed squared influences of the patients on the incidence at t."""
        last = int(np.searchsorted(self.time, t * (1 + 1e-12), side="right"))
        if last == 0:
            return 0.0
        before = np.concatenate(([1.0], self.event_free[:-1]))
        steps = np.diff(np.concatenate(([0.0], self.incidence[:, column])))
        position = np.searchsorted(self.time, self._times)
        failed = self._cause > 0
        deaths = np.bincount(position[failed], minlength=len(self.time))
        y = self.n_risk
        with np.errstate(divide="ignore", invalid="ignore"):
            hazard = np.where(y - deaths > 0, deaths / (y * (y - deaths)), 0.0)
            own = np.where(y - deaths > 0, 1 / (y - deaths), 0.0)
        cumulative = np.cumsum(hazard)
        earlier = np.concatenate(([0.0], cumulative[:-1]))
        share = np.concatenate(([0.0], np.cumsum(steps / y)))
        product = np.concatenate(([0.0], np.cumsum(steps * earlier)))
        reached = np.minimum(position + 1, last)
        direct = np.where((self._cause == cause) & (position < last), before[position] / y[position], 0.0)
        later = np.where(position < last, self.incidence[last - 1, column] - self.incidence[position, column], 0.0)
        influence = direct - share[reached] + product[reached]
        influence = influence + later * (cumulative[position] - np.where(failed, own[position], 0.0))
        return float(np.sqrt(np.sum(influence**2)))

    def table(self) -> pd.DataFrame:
        """Return the whole curves: cause, time, n_risk, incidence."""
        tables = [
            pd.DataFrame({"cause": cause, "time": self.time, "n_risk": self.n_risk, "incidence": self.incidence[:, k]})
            for k, cause in enumerate(self.causes)
        ]
        return pd.concat(tables, ignore_index=True)


def cause_outcome(time: npt.ArrayLike, cause: npt.ArrayLike) -> tuple[FloatArray, IntArray]:
    """Return checked times and causes (0 censored, 1, 2 ... the causes).

    Raises
    ------
    CohortError
        If a time is missing or negative, or a cause is not a whole number from 0 up.
    """
    try:
        codes = np.asarray(cause, dtype=float)
    except (TypeError, ValueError) as error:
        message = f"causes must be whole numbers ({error}); code censored 0 and the causes 1, 2, ..."
        raise CohortError(message) from error
    times, _ = survival_outcome(time, np.zeros(codes.shape, dtype=bool))
    bad = ~(np.isfinite(codes) & (codes >= 0) & (codes == np.round(codes)))
    if bad.any():
        message = f"{int(bad.sum())} causes are missing or no whole numbers; code censored 0 and the causes 1, 2, ..."
        raise CohortError(message)
    return merge_close_times(times), codes.astype(np.intp)


def cumulative_incidence(time: npt.ArrayLike, cause: npt.ArrayLike) -> CumulativeIncidence:
    """Estimate cumulative incidences by Aalen and Johansen.

    One minus Kaplan-Meier with the other causes censored would overstate them.

    Parameters
    ----------
    time : array_like, shape (n_patients,)
    cause : array_like of int, shape (n_patients,)
        0 where censored, else the number of the cause (disease-specific death 1, other death 2).

    Raises
    ------
    CohortError
        If times or causes are invalid.
    TooFewEventsError
        If nobody failed.

    References
    ----------
    Aalen and Johansen, 1978; Putter et al., 2007, doi:10.1002/sim.2712.
    """
    times, codes = cause_outcome(time, cause)
    causes = [int(code) for code in np.unique(codes) if code > 0]
    if not causes:
        message = f"no failures among {len(times)} patients: a cumulative incidence needs some"
        raise TooFewEventsError(message)
    unique, inverse = np.unique(times, return_inverse=True)
    at_risk = np.asarray(np.bincount(inverse)[::-1].cumsum()[::-1], dtype=float)
    failures = np.column_stack([np.bincount(inverse, weights=codes == code, minlength=len(unique)) for code in causes])
    event_free = np.cumprod(1 - failures.sum(axis=1) / at_risk)
    before = np.concatenate(([1.0], event_free[:-1]))
    incidence = np.cumsum(before[:, None] * failures / at_risk[:, None], axis=0)
    return CumulativeIncidence(causes, unique, at_risk, incidence, np.asarray(event_free), times, codes)


def compare_causes(time: npt.ArrayLike, cause: npt.ArrayLike, group: npt.ArrayLike) -> pd.DataFrame:
    """Compare the groups' cause-specific hazards by log-rank tests: cause, chi2, df, p.

    The test asks whether the rates differ, not whether the incidences do.
    """
    times, codes = cause_outcome(time, cause)
    rows = []
    for code in np.unique(codes[codes > 0]):
        test = log_rank(times, codes == code, group)
        rows.append((int(code), test.chi2, test.df, test.p))
    return pd.DataFrame(rows, columns=["cause", "chi2", "df", "p"])


def cause_specific_cox(
    time: npt.ArrayLike,
    cause: npt.ArrayLike,
    columns: pd.DataFrame,
    *,
    names: Mapping[int, str] | Sequence[str] | None = None,
) -> pd.DataFrame:
    """Fit a Cox model to each cause, the other causes censored, and stack their tables.

    Parameters
    ----------
    time : array_like, shape (n_patients,)
    cause : array_like of int, shape (n_patients,)
    columns : DataFrame, shape (n_patients, n_predictors)
    names : mapping or sequence, optional
        Names of the causes 1, 2, ...

    Returns
    -------
    DataFrame
        cause, n, n_events and the columns of :meth:`imrad.survival.coxph.CoxPH.table`.

    Raises
    ------
    TooFewEventsError
        If a cause has no failures.
    """
    from imrad.survival.coxph import CoxPH

    times, codes = cause_outcome(time, cause)
    labels = (
        dict(enumerate(names, start=1)) if names is not None and not isinstance(names, Mapping) else dict(names or {})
    )
    tables = []
    for code in [int(value) for value in np.unique(codes) if value > 0]:
        model = CoxPH().fit(columns, (times, codes == code))
        table = model.table()
        table.insert(0, "cause", labels.get(code, str(code)))
        table.insert(1, "n", len(times))
        table.insert(2, "n_events", int((codes == code).sum()))
        tables.append(table)
    if not tables:
        message = f"no failures among {len(times)} patients: cause-specific models need some"
        raise TooFewEventsError(message)
    return pd.concat(tables, ignore_index=True)
