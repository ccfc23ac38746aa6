"""Do predicted probabilities hold? Curves, Brier scores and indices, binary and with censoring."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import special, stats

from imrad.evaluation.bootstrap import optimism
from imrad.evaluation.censoring_weights import censoring_influence, censoring_survival
from imrad.evaluation.kaplan_meier import kaplan_meier
from imrad.evaluation.logistic import fit_logistic
from imrad.evaluation.outcomes import FloatArray, IntArray, binary_outcome, finite, survival_outcome
from imrad.evaluation.rank_indices import in_lrm_bins, rank_indices
from imrad.evaluation.roc import auc
from imrad.exceptions import CohortError, FitError

__all__ = [
    "bootstrap_calibration",
    "brier_interval",
    "brier_survival",
    "calibration_cuts",
    "calibration_groups",
    "calibration_indices",
    "integrated_brier",
    "lowess",
    "smooth_calibration",
]


def _probabilities(p: npt.ArrayLike, n: int, name: str = "probability") -> FloatArray:
    values = finite(p, n, name)
    if n == 0 or ((values < 0) | (values > 1)).any():
        message = f"{name}: {n} values, some outside [0, 1]; calibration needs predicted probabilities"
        raise CohortError(message)
    return values


# ----------------------------------------------------------------------------------------- binary


def lowess(x: npt.ArrayLike, y: npt.ArrayLike, *, fraction: float = 2 / 3) -> tuple[FloatArray, FloatArray]:
    """Return sorted x and the local linear smooth of y, as R's lowess(iter=0).

    Points within 1 % of the range of x are interpolated, R's default.
    """
    import statsmodels.api as sm

    a, b = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    order = np.argsort(a, kind="stable")
    if np.ptp(a) == 0:
        return a[order], np.full(len(a), b.mean())
    smooth = sm.nonparametric.lowess(
        b[order], a[order], frac=fraction, it=0, delta=0.01 * float(np.ptp(a)), is_sorted=True, return_sorted=False
    )
    return a[order], np.asarray(smooth)


def smooth_calibration(
    outcome: npt.ArrayLike, p: npt.ArrayLike, at: npt.ArrayLike | None = None
) -> tuple[FloatArray, FloatArray]:
    """Return predicted probabilities and the smoothed share of events at them (NaN outside their range).

    Parameters
    ----------
    outcome : array_like of bool or 0/1, shape (n_patients,)
    p : array_like, shape (n_patients,)
    at : array_like, optional
        Where to read the curve; by default at the predictions themselves.
    """
    y = binary_outcome(outcome)
    risk = _probabilities(p, len(y))
    x, smooth = lowess(risk, y.astype(float))
    unique, inverse = np.unique(x, return_inverse=True)
    mean = np.bincount(inverse, weights=smooth) / np.bincount(inverse)
    asked = np.sort(risk) if at is None else np.asarray(at, dtype=float)
    return asked, np.interp(asked, unique, mean, left=np.nan, right=np.nan)


def calibration_indices(outcome: npt.ArrayLike, p: npt.ArrayLike) -> dict[str, float]:
    """Return the figures of rms::val.prob.

    Keys: c, dxy (and, as val.prob prints them, c_binned, dxy_binned), r2 (Nagelkerke), d, d_chi2,
    d_p, u, u_chi2, u_p, q, brier, intercept, slope (of the log odds; 0 and 1 are ideal), emax, e90,
    eavg (distance to the lowess curve), s_z, s_p (Spiegelhalter's test).

    Parameters
    ----------
    outcome : array_like of bool or 0/1, shape (n_patients,)
    p : array_like, shape (n_patients,)
        Predicted probabilities; 0 and 1 leave intercept, slope, D, U and Q out, as val.prob does.

    References
    ----------
    Harrell, 2015, doi:10.1007/978-3-319-19425-7; Spiegelhalter, 1986, doi:10.1002/sim.4780050506.
    """
    y = binary_outcome(outcome)
    risk = _probabilities(p, len(y))
    n, target = len(y), y.astype(float)
    c = float(auc(y, risk))
    out = {"n": float(n), "c": c, "dxy": 2 * c - 1}
    binned = rank_indices(y, in_lrm_bins(risk))
    out |= {f"{name}_binned": binned[name] for name in ("c", "dxy")}
    out.update(_likelihood_indices(target, risk))
    out["brier"] = float(np.mean((target - risk) ** 2))
    asked, smooth = smooth_calibration(y, risk)
    error = np.abs(asked - smooth)
    out |= {"emax": float(error.max()), "e90": float(np.quantile(error, 0.9)), "eavg": float(error.mean())}
    spread = float(np.sum((1 - 2 * risk) ** 2 * risk * (1 - risk)))
    gap = float(np.sum((target - risk) * (1 - 2 * risk)))
    out["s_z"] = gap / np.sqrt(spread) if spread > 0 else float("nan")
    out["s_p"] = float(2 * stats.norm.sf(abs(out["s_z"])))
    return out


def _likelihood_indices(y: FloatArray, risk: FloatArray) -> dict[str, float]:
    names = ["r2", "d", "d_chi2", "d_p", "u", "u_chi2", "u_p", "q", "intercept", "slope"]
    out = dict.fromkeys(names, float("nan"))
    inside = (risk > 0) & (risk < 1)
    y, risk = y[inside], risk[inside]
    n, positive = len(y), float(y.sum())
    if positive in (0.0, float(n)):
        return out
    logit = special.logit(risk)
    loglik = float(y @ logit - np.logaddexp(0, logit).sum())
    mean = positive / n
    null = n * (mean * np.log(mean) + (1 - mean) * np.log1p(-mean))
    lr = 2 * (loglik - null)
    out["r2"] = float((1 - np.exp(-lr / n)) / (1 - np.exp(2 * null / n)))
    out |= {"d_chi2": lr, "d": (lr - 1) / n, "d_p": float(stats.chi2.sf(lr, 1))}
    if np.ptp(logit) < 1e-12:
        return out
    try:
        fit = fit_logistic(y, logit)
    except FitError:
        return out
    chi2 = 2 * (fit.loglik - loglik)
    out |= {"u_chi2": chi2, "u": (chi2 - 2) / n, "u_p": float(stats.chi2.sf(max(chi2, 0.0), 2))}
    out |= {"q": out["d"] - out["u"], "intercept": float(fit.coef[0]), "slope": float(fit.coef[1])}
    return out


# --------------------------------------------------------------------------------- with censoring


def calibration_groups(
    time: npt.ArrayLike,
    event: npt.ArrayLike,
    survival: npt.ArrayLike,
    t: float,
    *,
    n_groups: int = 5,
    cuts: npt.ArrayLike | None = None,
    level: float = 0.95,
) -> pd.DataFrame:
    """Compare predicted with observed survival at t in groups of similar prediction, as rms::groupkm.

    Parameters
    ----------
    time, event : array_like, shape (n_patients,)
    survival : array_like, shape (n_patients,)
        Predicted probability of being event-free at t.
    t : float
    n_groups : int
        Groups of equal size as Hmisc::cut2 makes them: equal predictions stay together.
    cuts : array_like, optional
        Inner limits of the groups instead (value below a limit belongs to the lower group).
    level : float
        Of the interval, on the log scale.

    Returns
    -------
    DataFrame
        predicted (mean), n, events, observed (Kaplan-Meier at t), se_log (of log S, what groupkm
        calls std.err), low, high; empty groups are left out.
    """
    times, events = survival_outcome(time, event)
    predicted = _probabilities(survival, len(times), "predicted survival")
    if cuts is None:
        n_groups = max(1, min(n_groups, len(times)))
        # Hmisc's cut2: a group ends at the first prediction that as many patients reach as its share asks for.
        place = np.unique(predicted, return_inverse=True)[1]
        reached = np.cumsum(np.bincount(place))
        last = np.searchsorted(reached, np.arange(1, n_groups) * len(times) / n_groups)
        group = np.searchsorted(np.unique(last), place, side="left")
    else:
        group = np.searchsorted(np.asarray(cuts, dtype=float), predicted, side="right")
    z = float(stats.norm.ppf(0.5 + level / 2))
    rows = []
    for number in np.unique(group):
        inside = group == number
        curve = kaplan_meier(times[inside], events[inside])
        row = int(np.searchsorted(curve.time, t * (1 + 1e-12), side="right")) - 1
        s, se = (1.0, 0.0) if row < 0 else (float(curve.survival[row]), float(curve.se_log[row]))
        low, high = (s * np.exp(-z * se), min(1.0, s * np.exp(z * se))) if s > 0 else (np.nan, np.nan)
        rows.append(
            (int(number), predicted[inside].mean(), int(inside.sum()), int(events[inside].sum()), s, se, low, high)
        )
    columns = ["group", "predicted", "n", "events", "observed", "se_log", "low", "high"]
    return pd.DataFrame(rows, columns=columns)


def calibration_cuts(survival: npt.ArrayLike, n_groups: int = 5) -> FloatArray:
    """Return the inner limits of prediction groups that rms::calibrate keeps over its resamples.

    Quantiles of the predictions with 0 and 1 added.
    """
    predicted = np.asarray(survival, dtype=float)
    return np.unique(np.quantile(np.concatenate(([0.0, 1.0], predicted)), np.linspace(0, 1, n_groups + 1)[1:-1]))


def brier_survival(
    time: npt.ArrayLike,
    event: npt.ArrayLike,
    survival: npt.ArrayLike,
    times: Sequence[float] | npt.ArrayLike,
    *,
    train: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
) -> FloatArray:
    """Return the Brier score at each time, weighted for censoring (Graf; riskRegression and pec).

    Events by t weigh 1/G(T-), those beyond t 1/G(t), G the Kaplan-Meier of censoring with events
    first at ties (scikit-survival weighs events by 1/G(T)).

    Parameters
    ----------
    time, event : array_like, shape (n_patients,)
    survival : array_like, shape (n_patients, n_times)
        Predicted probability of being event-free at each time.
    times : array_like, shape (n_times,)
    train : (time, event), optional
        Patients from whom G is estimated; by default the same ones.

    References
    ----------
    Graf et al., 1999, doi:10.1002/(SICI)1097-0258(19990915/30)18:17/18<2529::AID-SIM274>3.0.CO;2-5.
    """
    weights, predicted, horizons, duration = _brier_parts(time, event, survival, times, train)
    alive = duration[:, None] > horizons[None, :]
    return np.asarray((weights * (alive - predicted) ** 2).mean(axis=0))


def brier_interval(
    time: npt.ArrayLike, event: npt.ArrayLike, survival: npt.ArrayLike, t: float, *, level: float = 0.95
) -> dict[str, float]:
    """Return the Brier score at one time with its interval: brier, se, low, high, as riskRegression::Score.

    The standard error includes that of the censoring weights. For predictions of patients that the
    model has not seen.

    Parameters
    ----------
    time, event, survival : array_like, shape (n_patients,)
    t : float
    level : float

    References
    ----------
    Blanche et al., 2015, doi:10.1111/biom.12232.
    """
    parts = _brier_parts(time, event, survival, [t], None)
    weights, predicted, _, duration = parts
    events = survival_outcome(time, event)[1]
    n = len(duration)
    loss = weights[:, 0] * ((duration > t) - predicted[:, 0]) ** 2
    unique, position = np.unique(duration, return_inverse=True)
    # A loss depends on the censoring curve up to its own time, or up to t beyond it.
    limit = np.where(duration > t, np.searchsorted(unique, t, side="right"), position)
    influence = loss - loss.mean() + censoring_influence(position, events, loss / n, limit, position)
    brier = float(loss.mean())
    se = float(influence.std(ddof=1) / np.sqrt(n)) if n > 1 else float("nan")
    half = float(stats.norm.ppf(0.5 + level / 2)) * se
    return {"brier": brier, "se": se, "low": brier - half, "high": brier + half}


def _brier_parts(
    time: npt.ArrayLike,
    event: npt.ArrayLike,
    survival: npt.ArrayLike,
    times: Sequence[float] | npt.ArrayLike,
    train: tuple[npt.ArrayLike, npt.ArrayLike] | None,
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    duration, events = survival_outcome(time, event)
    horizons = np.atleast_1d(np.asarray(times, dtype=float))
    n = len(duration)
    predicted = _probabilities(survival, n, "predicted survival").reshape(n, -1)
    if predicted.shape[1] != len(horizons):
        message = (
            f"predicted survival at {predicted.shape[1]} times for {len(horizons)} times: one column each is needed"
        )
        raise CohortError(message)
    known = (duration, events) if train is None else survival_outcome(*train)
    before = censoring_survival(*known, at=duration)
    beyond = censoring_survival(*known, at=horizons, just_before=False)
    happened = events[:, None] & (duration[:, None] <= horizons[None, :])
    alive = duration[:, None] > horizons[None, :]
    with np.errstate(divide="ignore", invalid="ignore"):
        # Where the training follow-up has ended, G is 0 and nothing can be weighted.
        w_event = np.where(before > 0, 1 / before, 0.0)[:, None]
        w_alive = np.where(beyond > 0, 1 / beyond, 0.0)[None, :]
    return np.where(happened, w_event, 0.0) + np.where(alive, w_alive, 0.0), predicted, horizons, duration


def integrated_brier(brier: npt.ArrayLike, times: npt.ArrayLike, *, step: bool = True) -> float:
    """Return the mean of a Brier curve over its time span.

    Parameters
    ----------
    brier, times : array_like, shape (n_times,)
    step : bool
        Curve constant between times (pec::crps); otherwise straight lines (scikit-survival).
    """
    value, t = np.asarray(brier, dtype=float), np.asarray(times, dtype=float)
    if len(t) < 2 or t[-1] <= t[0]:
        return float("nan")
    area = np.sum(value[:-1] * np.diff(t)) if step else np.trapezoid(value, t)
    return float(area / (t[-1] - t[0]))


def bootstrap_calibration(
    fit: Callable[[IntArray], Any],
    predict: Callable[[Any, IntArray], npt.ArrayLike],
    curve: Callable[[IntArray, FloatArray], FloatArray],
    n: int,
    indices: Sequence[IntArray],
) -> pd.DataFrame:
    """Correct a calibration curve for optimism by refitting in bootstrap resamples, as rms::calibrate.

    Parameters
    ----------
    fit : callable
        Rows to a fitted model.
    predict : callable
        (model, rows) to predicted probabilities.
    curve : callable
        (rows, probabilities) to observed minus predicted at fixed points; NaN where there is none.
    n : int
        Patients.
    indices : sequence of ndarray
        Rows of each resample.

    Returns
    -------
    DataFrame
        apparent, optimism, corrected (observed minus predicted) and n_resamples, a row a point.
    """

    def score(model: Any, rows: IntArray) -> dict[str, float]:
        error = curve(rows, np.asarray(predict(model, rows), dtype=float))
        return {str(k): float(value) for k, value in enumerate(error)}

    table = optimism(fit, score, n, indices)
    return table[["apparent", "optimism", "corrected", "n_resamples"]].reset_index(drop=True)
