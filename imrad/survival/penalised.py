"""Paths of penalised likelihoods: elastic net for Cox, logistic and linear models, to convergence.

The objective is glmnet's: minus the log (partial) likelihood over n plus
``lambda * sum_j pf_j * (l1_ratio * |b_j| + (1 - l1_ratio) / 2 * b_j ** 2)`` on columns of unit
variance (1/n), with Breslow's likelihood for tied times. It is minimised by a proximal Newton
method with the whole Hessian of the columns in play (glmnet bounds it by its diagonal in the linear
predictor), kept from step to step while it contracts well, and the remaining columns are
checked by an exact bound before their gradient is computed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit

from imrad.exceptions import FitError

__all__ = ["COX", "GAUSSIAN", "LOGISTIC", "PenalisedPath", "Problem", "fit_path"]

FloatArray = np.ndarray[Any, np.dtype[np.float64]]
IntArray = np.ndarray[Any, np.dtype[np.int64]]

GAUSSIAN, LOGISTIC, COX = 0, 1, 2

# glmnet's rules for leaving its path: explained deviance, relative gain (over the last four steps
# for Cox, over the last one otherwise), least steps.
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
    weight = np.asarray(weight, dtype=float)
    if len(weight) != n or not np.isfinite(weight).all() or (weight < 0).any() or weight.sum() <= 0:
        message = f"weights must be {n} finite numbers, none negative and not all 0; found {len(weight)}"
        raise FitError(message)
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
    if problem.family == GAUSSIAN:
        tol = tol * max(float(np.sqrt(np.average((problem.target - problem.target.mean()) ** 2))), 1e-300)
    steps = np.sort(np.asarray(lambdas, dtype=float))[::-1].copy() if lambdas is not None else np.full(n_lambdas, ratio)
    coef, log_likelihood, null, n_done, status = _path(
        problem.family,
        problem.columns,
        problem.target,
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
    if status != 0:
        message = (
            "the unpenalised columns separate the outcome (their coefficients grow without bound); "
            "penalise them or leave one out"
        )
        raise FitError(message)
    coef, log_likelihood, steps = coef[:, :n_done], log_likelihood[:n_done], steps[:n_done]
    scale = np.where(problem.scale > 0, problem.scale, 1.0)
    original = coef[:p] / scale[:, None]
    original[problem.scale == 0] = 0.0
    intercept = np.zeros(n_done) if problem.family == COX else coef[p] - problem.centre @ original
    null_deviance = 2 * (problem.saturated - null)
    share = 1 - 2 * (problem.saturated - log_likelihood) / null_deviance if null_deviance > 0 else np.zeros(n_done)
    return PenalisedPath(steps, original, intercept, share, null_deviance)


@njit(cache=True, error_model="numpy")
def _likelihood(  # type: ignore[no-untyped-def] # noqa: C901 # pragma: no cover
    family, eta, target, weight, first, deaths, passed, residual, curvature, expo, risk
):
    """Fill gradient and diagonal curvature in the linear predictor; return the log likelihood."""
    n = len(eta)
    value = 0.0
    if family == 0:
        for i in range(n):
            gap = target[i] - eta[i]
            residual[i] = weight[i] * gap
            curvature[i] = weight[i]
            value -= 0.5 * weight[i] * gap * gap
        return value
    if family == 1:
        for i in range(n):
            e = eta[i]
            if e > 0:
                t = np.exp(-e)
                q = 1.0 / (1.0 + t)
                value -= weight[i] * (np.log1p(t) + (1.0 - target[i]) * e)
            else:
                t = np.exp(e)
                q = t / (1.0 + t)
                value -= weight[i] * (np.log1p(t) - target[i] * e)
            residual[i] = weight[i] * (target[i] - q)
            curvature[i] = weight[i] * q * (1.0 - q)
        return value
    top = eta[0]
    for i in range(n):
        if eta[i] > top:
            top = eta[i]
    n_times = len(first)
    total = 0.0
    row = n
    for k in range(n_times - 1, -1, -1):
        while row > first[k]:
            row -= 1
            expo[row] = weight[row] * np.exp(eta[row] - top)
            total += expo[row]
        risk[k] = total
    while row > 0:
        row -= 1
        expo[row] = weight[row] * np.exp(eta[row] - top)
    for k in range(n_times):
        value -= deaths[k] * (np.log(risk[k]) + top)
    hazard = 0.0
    done = 0
    for i in range(n):
        while done < passed[i]:
            hazard += deaths[done] / risk[done]
            done += 1
        curvature[i] = expo[i] * hazard
        residual[i] = weight[i] * target[i] - curvature[i]
        if target[i] > 0:
            value += weight[i] * eta[i]
    return value


@njit(cache=True, error_model="numpy")
def _risk_means(column, expo, risk, first, deaths, out):  # type: ignore[no-untyped-def] # pragma: no cover
    """Fill sqrt(deaths) times the weighted mean of a column over each risk set."""
    row = len(column)
    total = 0.0
    for k in range(len(first) - 1, -1, -1):
        while row > first[k]:
            row -= 1
            total += expo[row] * column[row]
        out[k] = np.sqrt(deaths[k]) * total / risk[k]


@njit(cache=True, error_model="numpy")
def _objective(value, beta, members, m, factor, lam, l1_ratio, n):  # type: ignore[no-untyped-def] # pragma: no cover
    penalty = 0.0
    for a in range(m):
        b = beta[members[a]]
        penalty += factor[members[a]] * (l1_ratio * abs(b) + 0.5 * (1.0 - l1_ratio) * b * b)
    return -value / n + lam * penalty


@njit(cache=True, error_model="numpy")
def _quadratic(hessian, slope, current, step, m, l1, l2, tol):  # type: ignore[no-untyped-def] # noqa: C901 # pragma: no cover
    """Minimise slope'd + d'Hd/2 + penalty(current + d) over d by coordinate descent; fill `step`."""
    for a in range(m):
        step[a] = 0.0
    everyone = True
    for sweep in range(2000):
        largest = 0.0
        for a in range(m):
            b = current[a] + step[a]
            if not everyone and b == 0.0:
                continue
            h = hessian[a, a]
            pull = h * b - slope[a]
            if pull > l1[a]:
                new = (pull - l1[a]) / (h + l2[a])
            elif pull < -l1[a]:
                new = (pull + l1[a]) / (h + l2[a])
            else:
                new = 0.0
            change = new - b
            if change != 0.0:
                step[a] += change
                for c in range(m):
                    slope[c] += hessian[a, c] * change
                if abs(change) > largest:
                    largest = abs(change)
        if largest < tol:
            if everyone:
                return
            everyone = True
        else:
            everyone = sweep % 10 == 9
            if sweep % 40 == 39:
                _jump(hessian, slope, current, step, m, l1, l2)


@njit(cache=True, error_model="numpy")
def _jump(hessian, slope, current, step, m, l1, l2):  # type: ignore[no-untyped-def] # pragma: no cover
    """Solve for the columns that are not zero, up to the first that would change sign.

    Coordinate descent creeps where columns are nearly collinear; this step does not.
    """
    support = np.empty(m, dtype=np.int64)
    k = 0
    for a in range(m):
        if current[a] + step[a] != 0.0:
            support[k] = a
            k += 1
    if k == 0:
        return
    system = np.empty((k, k))
    wanted = np.empty(k)
    for a in range(k):
        i = support[a]
        b = current[i] + step[i]
        wanted[a] = -(slope[i] + l1[i] * np.sign(b) + l2[i] * b)
        for c in range(k):
            system[a, c] = hessian[i, support[c]]
        system[a, a] += l2[i]
    move = np.linalg.solve(system, wanted)
    size = 1.0
    stopper = -1
    for a in range(k):
        i = support[a]
        b = current[i] + step[i]
        if l1[i] > 0.0 and b * (b + move[a]) < 0.0 and -b / move[a] < size:
            size = -b / move[a]
            stopper = a
    for a in range(k):
        i = support[a]
        change = size * move[a]
        if a == stopper:
            change = -(current[i] + step[i])
            step[i] = -current[i]
        else:
            step[i] += change
        for c in range(m):
            slope[c] += hessian[i, c] * change


@njit(cache=True, error_model="numpy")
def _path(  # type: ignore[no-untyped-def] # noqa: C901 # pragma: no cover
    family,
    X,
    target,
    weight,
    first,
    deaths,
    passed,
    factor,
    usable,
    l1_ratio,
    lambdas,
    given,
    saturated,
    tol,
    deviance_max,
    deviance_gain,
    least_steps,
):
    n, p = X.shape
    n_times = len(first)
    n_steps = len(lambdas)
    coef = np.zeros((p, n_steps))
    likelihoods = np.zeros(n_steps)
    beta = np.zeros(p)
    eta = np.zeros(n)
    trial_eta = np.zeros(n)
    residual = np.zeros(n)
    curvature = np.zeros(n)
    expo = np.zeros(n)
    risk = np.ones(max(n_times, 1))
    kept_curvature = np.zeros(n)
    kept_expo = np.zeros(n)
    kept_risk = np.ones(max(n_times, 1))

    capacity = min(p, 64)
    block = np.empty((capacity, n))
    means = np.empty((capacity, max(n_times, 1)))
    hessian = np.empty((capacity, capacity))
    members = np.empty(p, dtype=np.int64)
    inside = np.zeros(p, dtype=np.bool_)
    m = 0
    fresh = 0

    null_eta = np.zeros(n)
    if family != 2:
        mean = np.sum(weight * target) / n
        start = mean if family == 0 else np.log(mean / (1.0 - mean))
        beta[p - 1] = start
        for i in range(n):
            null_eta[i] = start
            eta[i] = start
    null = _likelihood(family, null_eta, target, weight, first, deaths, passed, residual, curvature, expo, risk)
    value = null
    for j in range(p):
        if factor[j] == 0.0 and usable[j]:
            members[m] = j
            inside[j] = True
            m += 1
    full_gradient = np.zeros(p)
    reference = np.zeros(n)
    have_gradient = False
    step_number = -1
    lam = 0.0
    n_free = m
    last = n_steps
    # The step before the first fits the unpenalised columns alone, to find where the path begins.
    while step_number < n_steps:
        opening = step_number == -1
        if not opening:
            lam = lambdas[step_number]
        frozen = opening or (step_number == 0 and not given)
        refresh = step_number <= 0 or fresh == 0
        for _ in range(200):
            if m > capacity:
                grown = min(p, max(2 * capacity, m))
                new_block = np.empty((grown, n))
                new_block[:fresh] = block[:fresh]
                new_means = np.empty((grown, max(n_times, 1)))
                new_means[:fresh] = means[:fresh]
                new_hessian = np.empty((grown, grown))
                new_hessian[:fresh, :fresh] = hessian[:fresh, :fresh]
                block, means, hessian, capacity = new_block, new_means, new_hessian, grown
            current = np.empty(m)
            l1 = np.empty(m)
            l2 = np.empty(m)
            step = np.empty(m)
            for a in range(m):
                j = members[a]
                current[a] = beta[j]
                l1[a] = lam * l1_ratio * factor[j]
                l2[a] = lam * (1.0 - l1_ratio) * factor[j]
            previous = np.inf
            for _ in range(200):
                if m == 0:
                    break
                if refresh:
                    kept_curvature[:] = curvature
                    kept_expo[:] = expo
                    kept_risk[:] = risk
                if refresh or fresh < m:
                    begin = 0 if refresh else fresh
                    for a in range(fresh, m):
                        block[a] = X[:, members[a]]
                    for a in range(begin, m):
                        if n_times > 0:
                            _risk_means(block[a], kept_expo, kept_risk, first, deaths, means[a])
                    part = np.dot(block[begin:m] * kept_curvature, block[:m].T)
                    if n_times > 0:
                        part -= np.dot(means[begin:m], means[:m].T)
                    for a in range(begin, m):
                        for c in range(m):
                            hessian[a, c] = part[a - begin, c] / n
                            hessian[c, a] = hessian[a, c]
                    for a in range(begin, m):
                        # Rounding, and rows of a saturated model, must not leave a flat direction.
                        hessian[a, a] += 1e-12 + 1e-10 * hessian[a, a]
                    fresh = m
                    was_fresh = refresh
                    refresh = False
                else:
                    was_fresh = False
                slope = -np.dot(block[:m], residual) / n
                objective = _objective(value, beta, members, m, factor, lam, l1_ratio, n)
                _quadratic(hessian, slope, current, step, m, l1, l2, max(0.1 * tol, min(1e-2 * previous, 1e3 * tol)))
                largest = 0.0
                for a in range(m):
                    if abs(step[a]) > largest:
                        largest = abs(step[a])
                if largest == 0.0:
                    break
                change = np.dot(step, block[:m])
                size = 1.0
                accepted = False
                for _ in range(30):
                    for i in range(n):
                        trial_eta[i] = eta[i] + size * change[i]
                    for a in range(m):
                        beta[members[a]] = current[a] + size * step[a]
                    trial = _likelihood(
                        family, trial_eta, target, weight, first, deaths, passed, residual, curvature, expo, risk
                    )
                    reached = _objective(trial, beta, members, m, factor, lam, l1_ratio, n)
                    if reached <= objective + 1e-13 * (1.0 + abs(objective)):
                        accepted = True
                        break
                    size *= 0.5
                if not accepted:
                    for a in range(m):
                        beta[members[a]] = current[a]
                    value = _likelihood(
                        family, eta, target, weight, first, deaths, passed, residual, curvature, expo, risk
                    )
                    if was_fresh:
                        break
                    refresh = True
                    continue
                eta[:] = trial_eta
                value = trial
                for a in range(m):
                    current[a] = beta[members[a]]
                    if family > 0 and l1[a] == 0.0 and l2[a] == 0.0 and abs(current[a]) > 40.0:
                        return coef, likelihoods, null, 0, 1
                if largest < tol:
                    break
                if (largest > 0.3 * previous or size < 1.0) and not was_fresh:
                    refresh = True
                previous = largest
            # Columns outside: only those that an exact bound cannot exclude are looked at.
            if frozen:
                break
            shift = 0.0
            if have_gradient:
                for i in range(n):
                    shift += (residual[i] - reference[i]) ** 2
                shift = np.sqrt(shift)
            reach = shift / np.sqrt(n)
            doubtful = 0
            if have_gradient:
                for j in range(p):
                    if not inside[j] and usable[j] and abs(full_gradient[j]) + reach > lam * l1_ratio * factor[j]:
                        doubtful += 1
            entered = 0
            if not have_gradient or doubtful > p // 4:
                full_gradient = np.dot(residual, X) / n
                reference[:] = residual
                have_gradient = True
                for j in range(p):
                    if not inside[j] and usable[j] and abs(full_gradient[j]) > lam * l1_ratio * factor[j] * (1 + 1e-9):
                        members[m] = j
                        inside[j] = True
                        m += 1
                        entered += 1
            else:
                for j in range(p):
                    if not inside[j] and usable[j] and abs(full_gradient[j]) + reach > lam * l1_ratio * factor[j]:
                        slope_j = np.dot(X[:, j], residual) / n
                        if abs(slope_j) > lam * l1_ratio * factor[j] * (1 + 1e-9):
                            members[m] = j
                            inside[j] = True
                            m += 1
                            entered += 1
            if entered == 0:
                break
        if opening:
            if not given:
                full_gradient = np.dot(residual, X) / n
                reference[:] = residual
                have_gradient = True
                top = 0.0
                for j in range(p):
                    if usable[j] and factor[j] > 0:
                        top = max(top, abs(full_gradient[j]) / factor[j])
                top /= max(l1_ratio, 1e-3)
                if top == 0.0:
                    n_steps = 1
                ratio = lambdas[0]
                lambdas[0] = top
                for s in range(1, n_steps):
                    lambdas[s] = top * ratio ** (s / max(n_steps - 1, 1))
            step_number = 0
            continue
        coef[:, step_number] = beta
        likelihoods[step_number] = value
        if frozen and l1_ratio == 0.0:
            # glmnet opens a ridge path at a penalty of 9.9e35: no effect but a direction.
            for j in range(p):
                if usable[j] and factor[j] > 0.0:
                    coef[j, 0] = full_gradient[j] / (9.9e35 * factor[j])
        # Members that left are dropped, so that the Hessian stays small.
        zeros = 0
        for a in range(n_free, m):
            if beta[members[a]] == 0.0:
                zeros += 1
        if zeros > 8 + m // 4:
            kept = 0
            chosen = np.empty(m, dtype=np.int64)
            for a in range(m):
                if a < n_free or beta[members[a]] != 0.0:
                    chosen[kept] = a
                    kept += 1
                else:
                    inside[members[a]] = False
            for a in range(kept):
                members[a] = members[chosen[a]]
                block[a] = block[chosen[a]]
                means[a] = means[chosen[a]]
                for c in range(kept):
                    hessian[a, c] = hessian[chosen[a], chosen[c]]
            m = kept
            fresh = kept
        step_number += 1
        if not given and step_number >= least_steps:
            span = saturated - null
            if span > 0:
                here = (value - null) / span
                back = least_steps if family == 2 else 2
                before = (likelihoods[step_number - back] - null) / span
                if here > deviance_max or here - before < deviance_gain * here:
                    last = step_number
                    break
    return coef, likelihoods, null, min(last, step_number), 0
