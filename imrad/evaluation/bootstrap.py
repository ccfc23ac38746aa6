"""Resampling: counts and indices of resamples, intervals from replicates, Efron-Gong optimism, fold intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from imrad.evaluation.outcomes import FloatArray, IntArray
from imrad.exceptions import FitError
from imrad.seeds import generator

__all__ = [
    "FoldInterval",
    "bca_interval",
    "corrected_interval",
    "jackknife",
    "optimism",
    "percentile_interval",
    "resample_counts",
    "resample_indices",
    "summarise_replicates",
]


@dataclass(frozen=True)
class FoldInterval:
    """Mean of a metric over outer folds with an approximate interval.

    Attributes
    ----------
    mean, se, low, high : float
        NaN where no fold could be scored; interval NaN with fewer than two.
    p : float
        Two-sided, against the null value asked for.
    n : int
        Folds that could be scored.
    """

    mean: float
    se: float
    low: float
    high: float
    p: float
    n: int


def corrected_interval(
    values: npt.ArrayLike,
    *,
    test_share: float,
    null: float = 0.0,
    level: float = 0.95,
    bounds: tuple[float, float] | None = None,
) -> FoldInterval:
    """Return the mean over folds of repeated cross-validation with Nadeau and Bengio's corrected interval.

    The variance of the mean is (1/J + n_test/n_train) times the folds' variance, since folds share
    patients; Student's t with J - 1 degrees of freedom. The interval is approximate.

    Parameters
    ----------
    values : array_like, shape (n_folds,)
        The metric, or the difference of two models, in each outer fold of each repeat; folds that
        could not be scored are NaN and left out.
    test_share : float
        n_test / n_train, which is 1 / (k - 1) for k folds.
    null : float
        The value that p is against: 0 for a difference, 0.5 for C or AUC.
    level : float
        Of the interval.
    bounds : (float, float), optional
        Range of the metric, to which the interval is cut.

    References
    ----------
    Nadeau and Bengio, 2003, doi:10.1023/A:1024068626366.
    """
    folds = np.asarray(values, dtype=float).ravel()
    folds = folds[~np.isnan(folds)]
    nan = float("nan")
    if len(folds) < 2:
        return FoldInterval(float(folds[0]) if len(folds) else nan, nan, nan, nan, nan, len(folds))
    mean = float(folds.mean())
    se = float(np.sqrt((1 / len(folds) + test_share) * folds.var(ddof=1)))
    half = float(stats.t.ppf(0.5 + level / 2, len(folds) - 1)) * se
    low, high = mean - half, mean + half
    if bounds is not None:
        low, high = max(low, bounds[0]), min(high, bounds[1])
    p = float(2 * stats.t.sf(abs(mean - null) / se, len(folds) - 1)) if se > 0 else float(mean == null)
    return FoldInterval(mean, se, low, high, p, len(folds))


def resample_indices(
    n: int,
    n_resamples: int,
    *,
    seed: int,
    name: str = "bootstrap",
    strata: npt.ArrayLike | None = None,
    groups: npt.ArrayLike | None = None,
    first: int = 0,
) -> list[IntArray]:
    """Draw rows with replacement, within strata or by whole groups.

    Parameters
    ----------
    n : int
        Rows.
    n_resamples : int
    seed : int
        The config's seed; resample b has the child seed of (name, b), whatever the others are.
    name : str
        What the resamples are for.
    strata : array_like, shape (n,), optional
        Classes whose sizes are kept (pROC's stratified bootstrap).
    groups : array_like, shape (n,), optional
        Rows drawn together, such as lesions of one patient; resamples may then differ in length.
    first : int
        Number of the first resample, for work in batches.
    """
    if groups is not None:
        units = [np.flatnonzero(np.asarray(groups) == item) for item in pd.unique(np.asarray(groups))]
    else:
        units = [np.array([row]) for row in range(n)]
    label = np.zeros(n, dtype=int) if strata is None else np.unique(np.asarray(strata), return_inverse=True)[1]
    pools = [
        [k for k, unit in enumerate(units) if label[unit[0]] == value] for value in range(int(label.max(initial=0)) + 1)
    ]
    out = []
    for number in range(first, first + n_resamples):
        rng = generator(seed, name, number)
        drawn = np.concatenate([np.asarray(pool)[rng.integers(len(pool), size=len(pool))] for pool in pools if pool])
        out.append(drawn if groups is None else np.concatenate([units[k] for k in drawn]))
    return out


def resample_counts(
    n: int,
    n_resamples: int,
    *,
    seed: int,
    name: str = "bootstrap",
    strata: npt.ArrayLike | None = None,
) -> IntArray:
    """Return how often each row is in each of :func:`resample_indices`' resamples, shape (n_resamples, n)."""
    drawn = resample_indices(n, n_resamples, seed=seed, name=name, strata=strata)
    counts = np.zeros((n_resamples, n), dtype=np.intp)
    for number, rows in enumerate(drawn):
        counts[number] = np.bincount(rows, minlength=n)
    return counts


def percentile_interval(
    replicates: npt.ArrayLike, *, level: float = 0.95, method: str = "linear"
) -> tuple[float, float]:
    """Return the percentile interval; NaN replicates are left out.

    Parameters
    ----------
    method : str
        numpy's quantile rule: ``"linear"`` is R's type 7, ``"weibull"`` R's type 6.
    """
    values = np.asarray(replicates, dtype=float)
    values = values[~np.isnan(values)]
    if len(values) == 0:
        return float("nan"), float("nan")
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2], method=method)  # type: ignore[call-overload]
    return float(low), float(high)


def jackknife(statistic: Callable[[IntArray], float], n: int) -> FloatArray:
    """Return the statistic without each row in turn."""
    rows = np.arange(n)
    return np.array([statistic(np.delete(rows, row)) for row in range(n)])


def bca_interval(
    estimate: float, replicates: npt.ArrayLike, leave_one_out: npt.ArrayLike, *, level: float = 0.95
) -> tuple[float, float]:
    """Return Efron's bias-corrected and accelerated interval (quantiles of R's type 7).

    Parameters
    ----------
    estimate : float
        The statistic on all patients.
    replicates : array_like
        On each bootstrap resample.
    leave_one_out : array_like
        On all patients but one (:func:`jackknife`), for the acceleration.

    References
    ----------
    Efron, 1987, doi:10.1080/01621459.1987.10478410.
    """
    found = _bias_corrected(estimate, replicates, leave_one_out, level)
    return found["bca_low"], found["bca_high"]


def _bias_corrected(
    estimate: float, replicates: npt.ArrayLike, leave_one_out: npt.ArrayLike, level: float
) -> dict[str, float]:
    bias, acceleration = _bias_acceleration(estimate, replicates, leave_one_out)
    values = np.asarray(replicates, dtype=float)
    values = values[~np.isnan(values)]
    levels = np.array([(1 - level) / 2, (1 + level) / 2])
    # With every replicate on one side of the estimate no correction is defined: the plain percentiles.
    if np.isfinite(bias):
        z = bias + stats.norm.ppf(levels)
        levels = stats.norm.cdf(bias + z / (1 - acceleration * z))
    low, high = np.quantile(values, levels) if len(values) else (np.nan, np.nan)
    found = {"z0": bias, "acceleration": acceleration, "bca_low_level": levels[0], "bca_high_level": levels[1]}
    return {name: float(value) for name, value in (found | {"bca_low": low, "bca_high": high}).items()}


def _bias_acceleration(estimate: float, replicates: npt.ArrayLike, leave_one_out: npt.ArrayLike) -> tuple[float, float]:
    values = np.asarray(replicates, dtype=float)
    values = values[~np.isnan(values)]
    bias = float(stats.norm.ppf(np.mean(values < estimate)))
    left = np.asarray(leave_one_out, dtype=float)
    centred = left.mean() - left
    spread = float(np.sum(centred**2))
    return bias, float(np.sum(centred**3) / (6 * spread**1.5)) if spread > 0 else 0.0


def summarise_replicates(
    estimate: float, replicates: npt.ArrayLike, *, leave_one_out: npt.ArrayLike | None = None, level: float = 0.95
) -> dict[str, float]:
    """Return mean, standard error and all common intervals of bootstrap replicates.

    Keys: mean, se, and low/high of percentile, normal (no bias term), basic and, with jackknife
    values, bca, besides its z0 (bias correction), acceleration and the two percentile levels used.
    """
    values = np.asarray(replicates, dtype=float)
    values = values[~np.isnan(values)]
    se = float(values.std(ddof=1)) if len(values) > 1 else float("nan")
    half = float(stats.norm.ppf(0.5 + level / 2)) * se
    low, high = percentile_interval(values, level=level)
    out = {
        "mean": float(values.mean()) if len(values) else float("nan"),
        "se": se,
        "percentile_low": low,
        "percentile_high": high,
        "normal_low": estimate - half,
        "normal_high": estimate + half,
        "basic_low": 2 * estimate - high,
        "basic_high": 2 * estimate - low,
    }
    if leave_one_out is not None:
        out |= _bias_corrected(estimate, values, leave_one_out, level)
    return out


def optimism(
    fit: Callable[[IntArray], Any],
    score: Callable[[Any, IntArray], Mapping[str, float]],
    n: int,
    indices: Sequence[IntArray],
) -> pd.DataFrame:
    """Correct apparent metrics for optimism by the Efron-Gong bootstrap.

    For each resample the whole procedure is repeated (`fit`), scored on the resample and on the
    original patients; the mean difference is the optimism, subtracted from the apparent value. It
    stays optimistic below about ten events per candidate predictor.

    Parameters
    ----------
    fit : callable
        Rows (with repeats) to a fitted model; selection and tuning included. May raise
        :class:`~imrad.exceptions.FitError`, and the resample is then counted as failed.
    score : callable
        (model, rows) to named metrics on those rows.
    n : int
        Patients.
    indices : sequence of ndarray
        Rows of each resample, given or from :func:`resample_indices`.

    Returns
    -------
    DataFrame
        One row a metric: apparent, training, test, optimism, corrected, n_resamples, n_failed.

    References
    ----------
    Efron and Gong, 1983, doi:10.1080/00031305.1983.10483087; Harrell, 2015,
    doi:10.1007/978-3-319-19425-7.
    """
    rows = np.arange(n)
    apparent = dict(score(fit(rows), rows))
    training: dict[str, list[float]] = {name: [] for name in apparent}
    test: dict[str, list[float]] = {name: [] for name in apparent}
    failed = 0
    for drawn in indices:
        try:
            model = fit(np.asarray(drawn))
            inside, outside = score(model, np.asarray(drawn)), score(model, rows)
        except FitError:
            failed += 1
            continue
        for name in apparent:
            training[name].append(inside[name])
            test[name].append(outside[name])
    table = []
    for name, value in apparent.items():
        inside_all, outside_all = np.array(training[name]), np.array(test[name])
        used = ~(np.isnan(inside_all) | np.isnan(outside_all))
        n_used = int(used.sum())
        mean = [float(part[used].mean()) if n_used else float("nan") for part in (inside_all, outside_all)]
        gap = mean[0] - mean[1]
        table.append((name, value, mean[0], mean[1], gap, value - gap, n_used, failed + int((~used).sum())))
    columns = ["metric", "apparent", "training", "test", "optimism", "corrected", "n_resamples", "n_failed"]
    return pd.DataFrame(table, columns=columns).set_index("metric")
