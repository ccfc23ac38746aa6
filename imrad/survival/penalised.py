"""Paths of penalised likelihoods: elastic net for Cox, logistic and linear models, to convergence.

The objective is glmnet's: minus the log (partial) likelihood over n plus
``lambda * sum_j pf_j * (l1_ratio * |b_j| + (1 - l1_ratio) / 2 * b_j ** 2)`` on columns of unit
variance (1/n), with Breslow's likelihood for tied times. Coefficients are those of the optimum, which
glmnet's default stopping rule can miss by 0.01 per standard deviation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from imrad.exceptions import FitError
from imrad.survival.path_kernel import solve_path

__all__ = ["COX", "GAUSSIAN", "LOGISTIC", "PenalisedPath", "Problem", "fit_path"]

FloatArray = np.ndarray[Any, np.dtype[np.float64]]
IntArray = np.ndarray[Any, np.dtype[np.int64]]

GAUSSIAN, LOGISTIC, COX = 0, 1, 2

# glmnet's rules for leaving its path: explained deviance, gain of it (relative over the last four steps for
# Cox, relative over the last one for a linear and absolute for a logistic model), least steps.
_DEVIANCE_MAX, _LEAST_STEPS = 0.999, 5
_DEVIANCE_GAIN = {GAUSSIAN: 1e-5, LOGISTIC: 1e-5, COX: 1e-3}


@dataclass(frozen=True)
class PenalisedPath:
    """Solutions along decreasing penalties, on the original scale.

    Attributes
    ----------
    lambdas : ndarray, shape (n_lambdas,)
    coef : ndarray, shape (n_features, n_lambdas)
    intercept : ndarray, shape (n_lambdas,)
        Zero for Cox.
    deviance_ratio : ndarray, shape (n_lambdas,)
    null_deviance : float
    """

    lambdas: FloatArray
    coef: FloatArray
    intercept: FloatArray
    deviance_ratio: FloatArray
    null_deviance: float

    def at(self, lambdas: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return coefficients and intercepts at other penalties, linear between steps, as glmnet does."""
        if len(self.lambdas) == 1:
            shape = np.ones(len(lambdas))
            return self.coef * shape, self.intercept * shape
        first, last = self.lambdas[0], self.lambdas[-1]
        asked = np.clip((first - lambdas) / (first - last), 0.0, 1.0)
        known = (first - self.lambdas) / (first - last)
        right = np.clip(np.searchsorted(known, asked, side="left"), 1, len(known) - 1)
        left = right - 1
        share = (asked - known[right]) / (known[left] - known[right])
        return (
            self.coef[:, left] * share + self.coef[:, right] * (1 - share),
            self.intercept[left] * share + self.intercept[right] * (1 - share),
        )


@dataclass(frozen=True)
class Problem:
    """One likelihood and its rows, made ready for the kernel: sorted by time, columns standardised.

    Attributes
    ----------
    family : int
        ``COX``, ``LOGISTIC`` or ``GAUSSIAN``.
    columns : ndarray, shape (n, p), Fortran order
        Centred, of unit variance; a column of ones is last where there is an intercept.
    target, weight : ndarray, shape (n,)
        Event or response; weights with mean 1.
    first : ndarray of int, shape (n_event_times,)
        Row at which the risk set of each distinct event time begins.
    deaths : ndarray, shape (n_event_times,)
        Weight of the events at it.
    passed : ndarray of int, shape (n,)
        Distinct event times up to each row's time.
    centre, scale : ndarray, shape (p,)
        Scale is 0 for a constant column, which stays out of the model.
    saturated : float
        Log likelihood of the saturated model.
    """

    family: int
    columns: FloatArray
    target: FloatArray
    weight: FloatArray
    first: IntArray
    deaths: FloatArray
    passed: IntArray
    centre: FloatArray
    scale: FloatArray
    saturated: float

    @classmethod
    def cox(
        cls, X: FloatArray, time: FloatArray, event: Any, weight: FloatArray | None = None, *, standardise: bool = True
    ) -> Problem:
        """Prepare Breslow's partial likelihood."""
        order = np.lexsort((~np.asarray(event, dtype=bool), time))
        weight = _normalised(weight, len(time))[order]
        sorted_time, target = time[order], np.asarray(event, dtype=float)[order]
        columns, centre, scale = _standardise(np.asarray(X, dtype=float)[order], weight, standardise)
        event_times = np.unique(sorted_time[(target > 0) & (weight > 0)])
        first = np.searchsorted(sorted_time, event_times, side="left")
        passed = np.searchsorted(event_times, sorted_time, side="right")
        deaths = np.zeros(len(event_times))
        counted = (target > 0) & (weight > 0)
        np.add.at(deaths, passed[counted] - 1, weight[counted])
        saturated = -float(np.sum(deaths * np.log(deaths)))
        return cls(COX, columns, target, weight, first, deaths, passed, centre, scale, saturated)

    @classmethod
    def linear(
        cls, X: FloatArray, y: FloatArray, family: int, weight: FloatArray | None = None, *, standardise: bool = True
    ) -> Problem:
        """Prepare a Gaussian or logistic likelihood with an intercept."""
        weight = _normalised(weight, len(y))
        columns, centre, scale = _standardise(np.asarray(X, dtype=float), weight, standardise)
        columns = np.asfortranarray(np.column_stack([columns, np.ones(len(y))]))
        none = np.zeros(0, dtype=np.int64)
        return cls(
            family,
            columns,
            np.asarray(y, dtype=float),
            weight,
            none,
            np.zeros(0),
            np.zeros(len(y), dtype=np.int64),
            centre,
            scale,
            0.0,
        )


def _normalised(weight: FloatArray | None, n: int) -> FloatArray:
    if weight is None:
        return np.ones(n)
    return np.asarray(weight * (n / weight.sum()))


def _standardise(X: FloatArray, weight: FloatArray, standardise: bool) -> tuple[FloatArray, FloatArray, FloatArray]:
    total = weight.sum()
    centre = weight @ X / total
    columns = np.asfortranarray(X - centre)
    spread = np.sqrt(weight @ (columns * columns) / total)
    # A column whose spread is rounding error of its mean is constant.
    varies = spread > 1e-12 * np.maximum(np.abs(centre), 1e-300)
    scale = np.where(varies, spread if standardise else 1.0, 0.0)
    columns /= np.where(varies, scale, 1.0)
    columns[:, ~varies] = 0.0
    return columns, centre, scale


def fit_path(
    problem: Problem,
    *,
    l1_ratio: float = 1.0,
    penalty_factor: FloatArray | None = None,
    lambdas: FloatArray | None = None,
    n_lambdas: int = 100,
    lambda_min_ratio: float | None = None,
    tol: float = 1e-7,
) -> PenalisedPath:
    """Solve a problem along a path of penalties.

    Parameters
    ----------
    problem : Problem
    l1_ratio : float
        1 for the lasso, 0 for ridge (glmnet's alpha).
    penalty_factor : ndarray, shape (n_features,), optional
        0 leaves a column unpenalised; scaled to a mean of 1, as glmnet does.
    lambdas : ndarray, optional
        Penalties; by default glmnet's path, with its rules for ending early.
    n_lambdas, lambda_min_ratio : int, float
        Of the default path; the ratio is 1e-4, or 0.01 where there are more columns than rows.
    tol : float
        Greatest change of a standardised coefficient in the last Newton step.
    """
    n, p = problem.columns.shape[0], len(problem.scale)
    factor = np.ones(p) if penalty_factor is None else np.asarray(penalty_factor, dtype=float)
    if len(factor) != p or (factor < 0).any() or not np.isfinite(factor).all():
        message = f"penalty factors must be {p} finite numbers, none negative; found {len(factor)}"
        raise FitError(message)
    if factor.sum() > 0:
        factor = factor * (p / factor.sum())
    usable = problem.scale > 0
    given = lambdas is not None
    ratio = (1e-4 if n >= p else 0.01) if lambda_min_ratio is None else lambda_min_ratio
    if problem.family != COX:
        factor, usable = np.append(factor, 0.0), np.append(usable, True)
    # glmnet scales a numeric response to unit variance, which shrinks the ridge part of an elastic net by it.
    unit = 1.0
    if problem.family == GAUSSIAN:
        mean = np.average(problem.target, weights=problem.weight)
        spread = float(np.sqrt(np.average((problem.target - mean) ** 2, weights=problem.weight)))
        unit = spread if spread > 1e-12 * abs(float(mean)) else 1.0
    steps = np.sort(np.asarray(lambdas, dtype=float))[::-1].copy() if lambdas is not None else np.full(n_lambdas, ratio)
    if given:
        steps /= unit
    coef, log_likelihood, null, n_done, status = solve_path(
        problem.family,
        np.ascontiguousarray(problem.columns.T),
        problem.target / unit,
        problem.weight,
        problem.first,
        problem.deaths,
        problem.passed,
        factor,
        usable,
        float(l1_ratio),
        steps,
        given,
        problem.saturated,
        tol,
        _DEVIANCE_MAX,
        _DEVIANCE_GAIN[problem.family],
        _LEAST_STEPS,
    )
    if status == 2:
        message = (
            f"no optimum was found at the smallest of the given penalties ({steps[-1]:.3g}): the likelihood is all but "
            "flat there; give larger penalties"
        )
        raise FitError(message)
    if status != 0:
        message = (
            "the unpenalised columns separate the outcome (their coefficients grow without bound); "
            "penalise them or leave one out"
        )
        raise FitError(message)
    coef, log_likelihood, steps = unit * coef[:, :n_done], log_likelihood[:n_done], unit * steps[:n_done]
    scale = np.where(problem.scale > 0, problem.scale, 1.0)
    original = coef[:p] / scale[:, None]
    original[problem.scale == 0] = 0.0
    intercept = np.zeros(n_done) if problem.family == COX else coef[p] - problem.centre @ original
    null_deviance = 2 * (problem.saturated - null)
    share = 1 - 2 * (problem.saturated - log_likelihood) / null_deviance if null_deviance > 0 else np.zeros(n_done)
    return PenalisedPath(steps, original, intercept, share, unit**2 * null_deviance)
