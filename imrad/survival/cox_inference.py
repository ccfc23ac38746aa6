"""What follows a fitted Cox model: proportional hazards, residuals, robust variance, survival curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from imrad.evaluation.kaplan_meier import kaplan_meier
from imrad.evaluation.outcomes import BoolArray, FloatArray
from imrad.exceptions import ConfigError
from imrad.survival.coxph import CoxPH
from imrad.survival.outcome import as_outcome
from imrad.survival.partial_likelihood import CoxRows

__all__ = [
    "martingale_residuals",
    "proportional_hazards",
    "robust_variance",
    "schoenfeld_residuals",
    "survival_interval",
]


@dataclass(frozen=True)
class _Moment:
    """One term of the partial likelihood: a tied death's share at one time of one stratum."""

    time: float
    share: float
    denominator: float
    mean: FloatArray
    covariance: FloatArray
    block: int
    fraction: float


def _used(model: CoxPH) -> np.ndarray[Any, Any]:
    return np.flatnonzero(np.isfinite(model.coef_))


def _moments(rows: CoxRows, X: FloatArray, risk: FloatArray, efron: bool) -> list[_Moment]:
    """Weighted means and covariances of the risk sets, X and risk in the order of `rows`."""
    p = X.shape[1]
    found: list[_Moment] = []
    s0, s1, s2 = 0.0, np.zeros(p), np.zeros((p, p))
    for b, (start, stop) in enumerate(zip(rows.block[:-1], rows.block[1:], strict=True)):
        if rows.opens[b]:
            s0, s1, s2 = 0.0, np.zeros(p), np.zeros((p, p))
        part, r = X[start:stop], risk[start:stop]
        s0, s1, s2 = s0 + r.sum(), s1 + r @ part, s2 + (part * r[:, None]).T @ part
        died = rows.event[start:stop] & (rows.weight[start:stop] > 0)
        deaths = int(died.sum())
        if not deaths:
            continue
        dr, dx = r[died], part[died]
        d0, d1, d2 = dr.sum(), dr @ dx, (dx * dr[:, None]).T @ dx
        turns = deaths if efron else 1
        share = float(rows.weight[start:stop][died].sum()) / turns
        for turn in range(turns):
            f = turn / deaths if efron else 0.0
            z = s0 - f * d0
            mean = (s1 - f * d1) / z
            covariance = (s2 - f * d2) / z - np.outer(mean, mean)
            found.append(_Moment(float(rows.time[start]), share, float(z), mean, covariance, b, f))
    return found


def _prepared(
    model: CoxPH, X: Any, y: Any, strata: Any, weight: Any
) -> tuple[CoxRows, FloatArray, FloatArray, list[_Moment]]:
    if model.ties == "exact":
        message = "what follows a fit is known for ties by efron or breslow, not for the exact likelihood; refit"
        raise ConfigError(message)
    time, event = as_outcome(y)
    used = _used(model)
    matrix = np.asarray(X, dtype=float)[:, used]
    case = None if weight is None else np.asarray(weight, dtype=float)
    rows = CoxRows.sort(matrix, time, event, weight=case, strata=strata)
    sorted_x = matrix[rows.order] - matrix.mean(axis=0)
    score = sorted_x @ model.coef_[used]
    risk = rows.weight * np.exp(score)
    return rows, sorted_x, risk, _moments(rows, sorted_x, risk, model.ties == "efron")


def proportional_hazards(
    model: CoxPH,
    X: Any,
    y: Any,
    *,
    transform: str = "km",
    terms: Mapping[str, Sequence[int]] | None = None,
    strata: Any = None,
) -> pd.DataFrame:
    """Test whether hazard ratios change with time, as cox.zph of survival 3 and later.

    The score test of an interaction of each term with a function of time, with the information of
    the whole model (older versions, and lifelines, approximate it by correlating residuals).

    Parameters
    ----------
    model : CoxPH
        Fitted on `X` and `y`.
    transform : {"km", "log", "rank", "identity"}
        Function of time; ``km`` is 1 minus the Kaplan-Meier estimate just before it.
    terms : mapping of str to sequence of int, optional
        Columns tested together, such as the classes of one factor; each column alone by default.
    strata : array-like, optional
        As given to the fit.

    Returns
    -------
    DataFrame
        term, chi2, df, p, with a last row GLOBAL.

    References
    ----------
    Grambsch and Therneau, 1994, doi:10.1093/biomet/81.3.515.
    """
    time, event = as_outcome(y)
    used = _used(model)
    rows, sorted_x, _, moments = _prepared(model, X, y, strata, None)
    if transform == "log" and (time[event] <= 0).any():
        message = "transform log needs event times above 0, and some are 0; use km or rank"
        raise ConfigError(message)
    clock = _clock(transform, time, event)
    g = {moment: clock(moment) for moment in np.unique([item.time for item in moments])}
    centre = np.mean([clock(t) for t in time[event]])
    p = len(used)
    score, inside = np.zeros(p), np.zeros((2 * p, 2 * p))
    for item in moments:
        value = g[item.time] - centre
        score -= item.share * value * item.mean
        inside += item.share * np.kron(np.array([[1.0, value], [value, value**2]]), item.covariance)
    died = rows.event
    at = np.array([g[t] - centre for t in rows.time[died]])
    score += (rows.weight[died] * at) @ sorted_x[died]
    names = getattr(model, "feature_names_in_", np.array([f"x{j}" for j in range(len(model.coef_))]))
    groups = {str(names[j]): [j] for j in used} if terms is None else {str(k): list(v) for k, v in terms.items()}
    position = {int(j): k for k, j in enumerate(used)}
    out = []
    for name, columns in [*groups.items(), ("GLOBAL", [int(j) for j in used])]:
        tested = np.array([position[j] for j in columns if j in position], dtype=int)
        if len(tested) == 0:
            continue
        kept = np.concatenate([np.arange(p), p + tested])
        right = np.concatenate([np.zeros(p), score[tested]])
        chi2 = float(right @ np.linalg.lstsq(inside[np.ix_(kept, kept)], right, rcond=None)[0])
        out.append((name, chi2, len(tested), float(stats.chi2.sf(chi2, len(tested)))))
    return pd.DataFrame(out, columns=["term", "chi2", "df", "p"])


def _clock(transform: str, time: FloatArray, event: BoolArray) -> Any:
    if transform == "identity":
        return lambda t: float(t)
    if transform == "log":
        return lambda t: float(np.log(t))
    if transform == "rank":
        order = np.sort(time)
        return lambda t: float(np.searchsorted(order, t, side="left") + 1 + np.searchsorted(order, t, side="right")) / 2
    if transform == "km":
        curve = kaplan_meier(time, event)
        known, survival = np.asarray(curve.time), np.concatenate(([1.0], np.asarray(curve.survival)))
        return lambda t: float(1 - survival[np.searchsorted(known, t - 1e-9 * max(1.0, abs(t)), side="left")])
    message = f"transform must be km, log, rank or identity; found {transform!r}"
    raise ConfigError(message)


def martingale_residuals(model: CoxPH, X: Any, y: Any, *, strata: Any = None) -> FloatArray:
    """Return events minus expected events of each patient, tied deaths sharing risk as Efron has it."""
    rows, _, risk, moments = _prepared(model, X, y, strata, None)
    expected = _expected(rows, risk, moments)
    out = np.empty(len(risk))
    out[rows.order] = rows.event - expected
    return out


def _expected(rows: CoxRows, risk: FloatArray, moments: list[_Moment]) -> FloatArray:
    expected = np.zeros(len(risk))
    stratum = np.cumsum(rows.opens)
    n_blocks = len(rows.opens)
    whole, own = np.zeros(n_blocks), np.zeros(n_blocks)
    for item in moments:
        hazard = item.share / item.denominator
        whole[item.block] += hazard
        # A patient who dies at the time is at risk for a share 1 - f of each turn.
        own[item.block] += hazard * (1 - item.fraction)
    for b in range(n_blocks):
        start, stop = rows.block[b], rows.block[b + 1]
        # Later blocks of a stratum hold earlier times, which this block's patients lived through.
        earlier = (np.arange(n_blocks) > b) & (stratum == stratum[b])
        total = whole[earlier].sum()
        at = np.where(rows.event[start:stop], own[b], whole[b])
        expected[start:stop] = risk[start:stop] / rows.weight[start:stop] * (total + at)
    return expected


def schoenfeld_residuals(model: CoxPH, X: Any, y: Any, *, strata: Any = None) -> pd.DataFrame:
    """Return Schoenfeld residuals: each death's predictors less their weighted mean over those at risk.

    The mean is that of the model's likelihood, under Efron's ties averaged over the tied deaths' turns;
    lifelines knows it for Efron's ties in one stratum.

    Returns
    -------
    DataFrame
        One row a death, by stratum and time: time, then a column a predictor.

    References
    ----------
    Schoenfeld, 1982, doi:10.1093/biomet/69.1.239.
    """
    used = _used(model)
    names = getattr(model, "feature_names_in_", np.array([f"x{j}" for j in range(len(model.coef_))]))
    labels = [str(names[j]) for j in used]
    if model.ties == "efron" and strata is None:
        return _schoenfeld_lifelines(np.asarray(X, dtype=float)[:, used], y, labels)
    rows, sorted_x, _, moments = _prepared(model, X, y, strata, None)
    mean, turns = np.zeros((len(rows.opens), len(used))), np.zeros(len(rows.opens))
    for item in moments:
        mean[item.block] += item.mean
        turns[item.block] += 1
    block = np.repeat(np.arange(len(rows.opens)), np.diff(rows.block))
    died = np.flatnonzero(rows.event)
    residual = sorted_x[died] - (mean / np.maximum(turns, 1)[:, None])[block[died]]
    stratum = np.cumsum(rows.opens)[block[died]]
    order = np.lexsort((rows.order[died], rows.time[died], stratum))
    table = pd.DataFrame(residual[order], columns=labels)
    table.insert(0, "time", rows.time[died][order])
    return table


def _schoenfeld_lifelines(columns: FloatArray, y: Any, labels: list[str]) -> pd.DataFrame:
    from lifelines import CoxPHFitter

    time, event = as_outcome(y)
    table = pd.DataFrame(columns, columns=labels).assign(_time=time, _event=event.astype(int))
    fitted = CoxPHFitter().fit(table, "_time", "_event", fit_options={"precision": 1e-18, "r_precision": 0.0})
    residuals = fitted.compute_residuals(table, "schoenfeld")
    residuals.insert(0, "time", time[residuals.index.to_numpy(dtype=int)])
    residuals.columns.name = None
    return pd.DataFrame(residuals.sort_values("time", kind="stable", ignore_index=True))


def robust_variance(
    model: CoxPH, X: Any, y: Any, *, clusters: Any = None, strata: Any = None, sample_weight: Any = None
) -> FloatArray:
    """Return the sandwich variance of the coefficients, patients of one cluster summed, as coxph(cluster=).

    `strata` and `sample_weight` must be those of the fit; a model with weights needs this variance.

    References
    ----------
    Lin and Wei, 1989, doi:10.1080/01621459.1989.10478874.
    """
    used = _used(model)
    rows, sorted_x, risk, moments = _prepared(model, X, y, strata, sample_weight)
    n_blocks = len(rows.opens)
    stratum = np.cumsum(rows.opens)
    score = np.zeros_like(sorted_x)
    for item in moments:
        b = item.block
        start, stop = rows.block[b], rows.block[b + 1]
        inside = (stratum == stratum[b]) & (np.arange(n_blocks) <= b)
        lived = np.repeat(inside, np.diff(rows.block)).astype(float)
        died = np.flatnonzero(rows.event[start:stop] & (rows.weight[start:stop] > 0)) + start
        lived[died] *= 1 - item.fraction
        gap = sorted_x - item.mean
        score -= (risk * lived * item.share / item.denominator)[:, None] * gap
        own = rows.weight[died] / (len(died) if model.ties == "efron" else 1)
        score[died] += gap[died] * own[:, None]
    label = np.arange(len(risk)) if clusters is None else np.unique(np.asarray(clusters), return_inverse=True)[1]
    label = np.asarray(label)[rows.order]
    sums = np.zeros((int(label.max()) + 1, len(used)))
    np.add.at(sums, label, score)
    influence = sums @ model.variance_[np.ix_(used, used)]
    out = np.full_like(model.variance_, np.nan)
    out[np.ix_(used, used)] = influence.T @ influence
    return out


def survival_interval(
    model: CoxPH, X: Any, y: Any, new: Any, times: Any, *, level: float = 0.95
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return predicted survival with its interval (on the log scale), as survfit(coxph).

    Parameters
    ----------
    X, y
        What the model was fitted on.
    new : array-like, shape (n_new, n_features)
    times : array-like

    Returns
    -------
    survival, low, high : ndarray, shape (n_new, n_times)
    """
    used = _used(model)
    matrix = np.asarray(X, dtype=float)[:, used]
    _, _, _, moments = _prepared(model, X, y, None, None)
    centre = matrix.mean(axis=0)
    shifted = np.asarray(new, dtype=float)[:, used] - centre
    relative = np.exp(shifted @ model.coef_[used])
    moment_times = np.array([item.time for item in moments])
    hazard = np.array([item.share / item.denominator for item in moments])
    square = np.array([item.share / item.denominator**2 for item in moments])
    means = np.array([item.mean for item in moments])
    variance = model.variance_[np.ix_(used, used)]
    z = stats.norm.ppf(0.5 + level / 2)
    out = [np.empty((len(shifted), np.size(times))) for _ in range(3)]
    for column, t in enumerate(np.atleast_1d(np.asarray(times, dtype=float))):
        known = moment_times <= t
        total = hazard[known].sum()
        drift = (hazard[known, None] * means[known]).sum(axis=0) - shifted * total
        spread = square[known].sum() + np.einsum("ij,jk,ik->i", drift, variance, drift)
        log_survival, se = -relative * total, relative * np.sqrt(spread)
        out[0][:, column] = np.exp(log_survival)
        out[1][:, column] = np.exp(log_survival - z * se)
        out[2][:, column] = np.minimum(np.exp(log_survival + z * se), 1.0)
    return out[0], out[1], out[2]
