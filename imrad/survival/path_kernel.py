"""The compiled solver behind :mod:`imrad.survival.penalised`.

A proximal Newton method with the whole Hessian of the columns in play, kept from step to step while
it contracts well: it sets the metric only, and each step's gradient is exact. The quadratic model is
minimised by coordinate descent on that Hessian. Columns outside are checked by an exact bound before their
gradient is computed.
"""

from __future__ import annotations

import numpy as np

from imrad.compiled import compiled

__all__ = ["solve_path"]

# Newton steps at one penalty; seven are usual, and separated columns would take them without end.
_MOST_STEPS = 120
# A step of so many standard deviations' worth is no step but a model without a minimum.
_FARTHEST = 1e6


@compiled(error_model="numpy")
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
        if risk[k] <= 0.0:
            # Predictors so far apart that a whole risk set vanishes beside the largest: no step goes there.
            return -np.inf
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


@compiled(error_model="numpy")
def _risk_means(column, expo, risk, first, deaths, n, out):  # type: ignore[no-untyped-def] # pragma: no cover
    """Fill sqrt(deaths) times the weighted mean of a column over each risk set."""
    row = len(column)
    total = 0.0
    for k in range(len(first) - 1, -1, -1):
        while row > first[k]:
            row -= 1
            total += expo[row] * column[row]
        out[k] = np.sqrt(deaths[k] / n) * total / risk[k]


@compiled(error_model="numpy")
def _objective(value, beta, members, m, factor, lam, l1_ratio, n):  # type: ignore[no-untyped-def] # pragma: no cover
    penalty = 0.0
    for a in range(m):
        b = beta[members[a]]
        penalty += factor[members[a]] * (l1_ratio * abs(b) + 0.5 * (1.0 - l1_ratio) * b * b)
    return -value / n + lam * penalty


@compiled(error_model="numpy")
def _metric(begin, m, members, X, block, single, means, hessian, curvature, expo, risk, first, deaths):  # type: ignore[no-untyped-def] # pragma: no cover
    """Fill rows `begin` to `m` of the Hessian of the columns in play.

    It is kept in single precision: it only sets the metric of a step, never where the steps end.
    """
    n = X.shape[1]
    for a in range(begin, m):
        column = X[members[a]]
        for i in range(n):
            block[a, i] = column[i]
            single[a, i] = column[i]
    root = np.empty(n, dtype=np.float32)
    for i in range(n):
        root[i] = curvature[i] / n
    weighted = single[begin:m] * root
    part = np.dot(weighted, single[:m].T)
    if len(first) > 0:
        for a in range(begin, m):
            _risk_means(block[a], expo, risk, first, deaths, n, means[a])
        part -= np.dot(means[begin:m], means[:m].T)
    for a in range(begin, m):
        for c in range(m):
            hessian[a, c] = part[a - begin, c]
            hessian[c, a] = part[a - begin, c]
    for a in range(begin, m):
        # Rounding must not leave a flat or a falling direction.
        hessian[a, a] += np.float32(1e-6) * abs(hessian[a, a]) + np.float32(1e-12)


@compiled(error_model="numpy")
def _quadratic(hessian, slope, current, step, m, l1, l2, tol):  # type: ignore[no-untyped-def] # noqa: C901 # pragma: no cover
    """Minimise slope'd + d'Hd/2 + penalty(current + d) over d by coordinate descent; fill `step`.

    Returns whether there is a minimum: in single precision a nearly singular Hessian may fall somewhere.
    """
    for a in range(m):
        step[a] = 0.0
    everyone = True
    for sweep in range(600):
        largest = 0.0
        for a in range(m):
            b = current[a] + step[a]
            if not everyone and b == 0.0:
                continue
            h = np.float64(hessian[a, a])
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
                row = hessian[a]
                for c in range(m):
                    slope[c] += row[c] * change
                if abs(change) > largest:
                    largest = abs(change)
        if not largest < _FARTHEST:
            return False
        if largest < tol:
            if everyone:
                return True
            everyone = True
        else:
            everyone = sweep % 10 == 9
            if sweep % (20 + m // 8) == 19 + m // 8:
                _jump(hessian, slope, current, step, m, l1, l2)
    return True


@compiled(error_model="numpy")
def _jump(hessian, slope, current, step, m, l1, l2):  # type: ignore[no-untyped-def] # noqa: C901 # pragma: no cover
    """Solve for the columns that are not zero; one that would change sign is set to zero first.

    Coordinate descent creeps where columns are nearly collinear; this step does not.
    """
    support = np.empty(m, dtype=np.int64)
    for _ in range(m):
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
            row = hessian[i]
            for c in range(m):
                slope[c] += row[c] * change
        if stopper < 0:
            return


@compiled(error_model="numpy")
def _enter(X, residual, gradient, reference, known, bound, inside, usable, members, m):  # type: ignore[no-untyped-def] # pragma: no cover
    """Add the columns whose gradient exceeds the penalty; return how many are in play then.

    A column of unit variance cannot have changed its gradient by more than the residuals' root mean
    square change, so only columns within that reach of the bound are looked at.
    """
    p, n = X.shape
    reach = 0.0
    doubtful = 0
    if known:
        for i in range(n):
            reach += (residual[i] - reference[i]) ** 2
        reach = np.sqrt(reach / n)
        for j in range(p):
            if not inside[j] and usable[j] and abs(gradient[j]) + reach > bound[j]:
                doubtful += 1
    if not known or doubtful > p // 3:
        gradient[:] = np.dot(X, residual) / n
        reference[:] = residual
        reach = 0.0
    for j in range(p):
        if not inside[j] and usable[j] and abs(gradient[j]) + reach > bound[j]:
            slope = gradient[j] if reach == 0.0 else np.dot(X[j], residual) / n
            if abs(slope) > bound[j] * (1 + 1e-7):
                members[m] = j
                inside[j] = True
                m += 1
    return m


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
    m = 0
    fresh = 0

    if family != 2:
        mean = np.sum(weight * target) / n
        start = mean if family == 0 else np.log(mean / (1.0 - mean))
        beta[p - 1] = start
        eta[:] = start
    null = _likelihood(family, eta, target, weight, first, deaths, passed, residual, curvature, expo, risk)
    value = null
    for j in range(p):
        if factor[j] == 0.0 and usable[j]:
            members[m] = j
            inside[j] = True
            m += 1
    n_free = m
    gradient = np.zeros(p)
    reference = np.zeros(n)
    known = False
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
            m = _enter(X, residual, gradient, reference, known, bound, inside, usable, members, m)
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
                new_block[:fresh] = block[:fresh]
                new_single = np.empty((grown, n), dtype=np.float32)
                new_single[:fresh] = single[:fresh]
                new_means = np.empty((grown, max(n_times, 1)), dtype=np.float32)
                new_means[:fresh] = means[:fresh]
                new_hessian = np.empty((grown, grown), dtype=np.float32)
                new_hessian[:fresh, :fresh] = hessian[:fresh, :fresh]
                block, single, means, hessian, capacity = new_block, new_single, new_means, new_hessian, grown
            if refresh:
                kept_curvature[:] = curvature
                kept_expo[:] = expo
                kept_risk[:] = risk
                fresh = 0
            new_metric = refresh
            if fresh < m:
                _metric(
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
            objective = _objective(value, beta, members, m, factor, lam, l1_ratio, n)
            lift = np.float32(1e-5)
            for _ in range(8):
                slope = -np.dot(block[:m], residual) / n
                if _quadratic(
                    hessian, slope, current, step, m, l1, l2, max(0.2 * tol, min(0.01 * previous, 1e3 * tol))
                ):
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
                    trial = _likelihood(
                        family, trial_eta, target, weight, first, deaths, passed, residual, curvature, expo, risk
                    )
                    reached = _objective(trial, beta, members, m, factor, lam, l1_ratio, n)
                    if reached <= objective + 1e-12 * (1.0 + abs(objective)):
                        accepted = True
                        break
                    size *= 0.5
                if not accepted:
                    for a in range(m):
                        beta[members[a]] = current[a]
                    value = _likelihood(
                        family, eta, target, weight, first, deaths, passed, residual, curvature, expo, risk
                    )
                    if new_metric:
                        largest = 0.0
                    else:
                        refresh = True
                        continue
                else:
                    eta[:] = trial_eta
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
                    entered = _enter(X, residual, gradient, reference, known, bound, inside, usable, members, m)
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
                gradient[:] = np.dot(X, residual) / n
                reference[:] = residual
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
        coef[:, step_number] = beta
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
                block[a] = block[chosen[a]]
                single[a] = single[chosen[a]]
                means[a] = means[chosen[a]]
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
