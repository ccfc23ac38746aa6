"""The compiled solver behind :mod:`imrad.survival.penalised`.

A proximal Newton method with the whole Hessian of the columns in play, kept from step to step while
it contracts well: it sets the metric only, and each step's gradient is exact. The quadratic model is
minimised by coordinate descent on that Hessian. Columns outside are checked by an exact bound before their
gradient is computed.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from imrad.compiled import compiled
from imrad.survival.path_likelihood import likelihood, objective
from imrad.survival.path_steps import copy, enter, metric, quadratic

__all__ = ["solve_path"]

# Newton steps at one penalty; seven are usual, and separated columns would take them without end.
_MOST_STEPS = 120


@compiled(error_model="numpy")
def solve_path(  # type: ignore[no-untyped-def] # noqa: C901 # pragma: no cover
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
    """Solve for all penalties, X with one row a column of the design.

    Returns standardised coefficients (p, n_steps), log likelihoods, the null one, steps done, and a status.

    `lambdas` holds the penalties, or where they are not `given` the ratio of the path's end to its
    beginning, and is filled. Status 1 means that an unpenalised column
    separates the outcome, 2 that a given penalty is too small for a maximum to be found.
    """
    p, n = X.shape
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
    single = np.empty((capacity, n), dtype=np.float32)
    means = np.empty((capacity, max(n_times, 1)), dtype=np.float32)
    hessian = np.empty((capacity, capacity), dtype=np.float32)
    members = np.empty(p, dtype=np.int64)
    inside = np.zeros(p, dtype=np.bool_)
    # Of a number's type, not a literal's: the functions called with them are then compiled once.
    m: Any = np.int64(0)
    fresh: Any = np.int64(0)

    if family != 2:
        mean = np.sum(weight * target) / n
        start = mean if family == 0 else np.log(mean / (1.0 - mean))
        beta[p - 1] = start
        eta[:] = start
    null = likelihood(family, eta, target, weight, first, deaths, passed, residual, curvature, expo, risk)
    value = null
    for j in range(p):
        if factor[j] == 0.0 and usable[j]:
            members[m] = j
            inside[j] = True
            m += 1
    n_free = m
    gradient = np.zeros(p)
    reference = np.zeros(n)
    known: Any = np.bool_(False)
    bound = np.zeros(p)
    last = n_steps
    lam = 0.0
    coarse = max(tol, 3e-4)
    # The step before the first fits the unpenalised columns alone, to find where the path begins.
    step_number = -1
    while step_number < n_steps:
        opening = step_number == -1
        if not opening:
            lam = lambdas[step_number]
        frozen = opening or (step_number == 0 and not given)
        for j in range(p):
            bound[j] = lam * l1_ratio * factor[j]
        if not frozen:
            m = enter(X, residual, gradient, reference, known, bound, inside, usable, members, m)
            known = True
        refresh = fresh == 0
        previous = np.inf
        looked = False
        rounds = 0
        opened = 0.0
        settled = m == 0
        for _ in range(_MOST_STEPS):
            if m == 0:
                break
            if m > capacity:
                grown = min(p, max(2 * capacity, m))
                new_block = np.empty((grown, n))
                new_single = np.empty((grown, n), dtype=np.float32)
                new_means = np.empty((grown, max(n_times, 1)), dtype=np.float32)
                new_hessian = np.empty((grown, grown), dtype=np.float32)
                for a in range(fresh):
                    copy(block[a], new_block[a])
                    copy(single[a], new_single[a])
                    copy(means[a], new_means[a])
                    copy(hessian[a], new_hessian[a])
                block, single, means, hessian, capacity = new_block, new_single, new_means, new_hessian, grown
            if refresh:
                copy(curvature, kept_curvature)
                copy(expo, kept_expo)
                copy(risk, kept_risk)
                fresh = 0
            new_metric = refresh
            if fresh < m:
                metric(
                    fresh,
                    m,
                    members,
                    X,
                    block,
                    single,
                    means,
                    hessian,
                    kept_curvature,
                    kept_expo,
                    kept_risk,
                    first,
                    deaths,
                )
                fresh = m
            refresh = False
            current = np.empty(m)
            l1 = np.empty(m)
            l2 = np.empty(m)
            step = np.empty(m)
            for a in range(m):
                j = members[a]
                current[a] = beta[j]
                l1[a] = bound[j]
                l2[a] = lam * (1.0 - l1_ratio) * factor[j]
            goal = objective(value, beta, members, m, factor, lam, l1_ratio, n)
            lift = np.float32(1e-5)
            for _ in range(8):
                slope = -np.dot(block[:m], residual) / n
                if quadratic(hessian, slope, current, step, m, l1, l2, max(0.2 * tol, min(0.01 * previous, 1e3 * tol))):
                    break
                # A heavier metric has no falling direction; the steps are shorter and end at the same place.
                lift *= np.float32(10.0)
                for a in range(m):
                    hessian[a, a] += lift * max(abs(hessian[a, a]), np.float32(1e-3))
            largest = 0.0
            for a in range(m):
                largest = max(largest, abs(step[a]))
            size = 1.0
            if largest > 0.0:
                change = np.dot(step, block[:m])
                accepted = False
                for _ in range(30):
                    for i in range(n):
                        trial_eta[i] = eta[i] + size * change[i]
                    for a in range(m):
                        beta[members[a]] = current[a] + size * step[a]
                    trial = likelihood(
                        family, trial_eta, target, weight, first, deaths, passed, residual, curvature, expo, risk
                    )
                    reached = objective(trial, beta, members, m, factor, lam, l1_ratio, n)
                    if reached <= goal + 1e-12 * (1.0 + abs(goal)):
                        accepted = True
                        break
                    size *= 0.5
                if not accepted:
                    for a in range(m):
                        beta[members[a]] = current[a]
                    value = likelihood(
                        family, eta, target, weight, first, deaths, passed, residual, curvature, expo, risk
                    )
                    if new_metric:
                        largest = 0.0
                    else:
                        refresh = True
                        continue
                else:
                    copy(trial_eta, eta)
                    value = trial
            if opening and family > 0:
                for a in range(n_free):
                    # A hazard or odds ratio of thousands per SD that still grows: there is no maximum.
                    if abs(beta[members[a]]) > 9.0 and not (family == 1 and members[a] == p - 1):
                        return coef, likelihoods, null, 0, 1
            if largest < (tol if looked else coarse):
                if frozen:
                    if largest < tol:
                        settled = True
                        break
                else:
                    entered = enter(X, residual, gradient, reference, known, bound, inside, usable, members, m)
                    if entered == m and largest < tol:
                        settled = True
                        break
                    looked = True
                    if entered > m:
                        # Newcomers move the others: the rate is measured anew.
                        looked = largest >= tol
                        m = entered
                        previous = np.inf
                        rounds = 0
                        continue
            if opening:
                # Few columns: Newton's method proper, which also shows separation soonest.
                refresh = True
            elif size < 1.0:
                refresh = not new_metric
            elif new_metric or previous == np.inf:
                rounds, opened = 0, largest
            else:
                rounds += 1
                if rounds >= 3:
                    # A new Hessian costs a product of matrices, a step two products with a vector and
                    # some sweeps: it pays if many steps are left at the present rate.
                    rate = max(-np.log(largest / opened) / rounds, 1e-2)
                    left = np.log(largest / tol) / rate
                    one = 4.0 * n * m + 20.0 * m * m
                    refresh = (left - 2.0) * one > 0.25 * (n + n_times) * m * m
            previous = largest
        if not settled:
            # The likelihood has no maximum here (separation), or none that can be told from its limit.
            if opening or given:
                return coef, likelihoods, null, 0, 1 if opening else 2
            last = step_number
            break
        if opening:
            if not given:
                copy(np.dot(X, residual) / n, gradient)
                copy(residual, reference)
                known = True
                top = 0.0
                for j in range(p):
                    if usable[j] and factor[j] > 0:
                        top = max(top, abs(gradient[j]) / factor[j])
                top /= max(l1_ratio, 1e-3)
                if top == 0.0:
                    n_steps = 1
                ratio = lambdas[0]
                lambdas[0] = top
                for s in range(1, n_steps):
                    lambdas[s] = top * ratio ** (s / max(n_steps - 1, 1))
            step_number = 0
            continue
        for j in range(p):
            coef[j, step_number] = beta[j]
        likelihoods[step_number] = value
        if frozen and l1_ratio == 0.0:
            # glmnet opens a ridge path at a penalty of 9.9e35: no effect but a direction.
            for j in range(p):
                if usable[j] and factor[j] > 0.0:
                    coef[j, 0] = gradient[j] / (9.9e35 * factor[j])
        # Columns that left are dropped, so that the Hessian stays small.
        zeros = 0
        for a in range(n_free, m):
            if beta[members[a]] == 0.0:
                zeros += 1
        if zeros > 8 + m // 8:
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
                copy(block[chosen[a]], block[a])
                copy(single[chosen[a]], single[a])
                copy(means[chosen[a]], means[a])
                for c in range(kept):
                    hessian[a, c] = hessian[chosen[a], chosen[c]]
            m = kept
            fresh = kept
            known = False
        step_number += 1
        if not given and step_number >= least_steps:
            span = saturated - null
            if span > 0:
                here = (value - null) / span
                back = least_steps if family == 2 else 2
                before = (likelihoods[step_number - back] - null) / span
                needed = deviance_gain if family == 1 else deviance_gain * here
                if here > deviance_max or here - before < needed:
                    last = step_number
                    break
    return coef, likelihoods, null, min(last, step_number), 0
