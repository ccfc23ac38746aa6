"""One step of the penalised path: the Hessian of the columns in play, its minimiser, and who comes into play.

numba keeps compiled code by the file of the function that is called: after a change here, touch
`path_kernel.py` too, or remove its `__pycache__`.
"""

from __future__ import annotations

import numpy as np

from imrad.compiled import compiled
from imrad.survival.path_likelihood import risk_means

__all__ = ["copy", "enter", "metric", "quadratic"]

# A step of so many standard deviations' worth is no step but a model without a minimum.
_FARTHEST = 1e6


@compiled(error_model="numpy")
def copy(source, target):  # type: ignore[no-untyped-def] # pragma: no cover
    """Copy a vector into the beginning of another; much quicker to compile than ``target[:] = source``."""
    for i in range(len(source)):
        target[i] = source[i]


@compiled(error_model="numpy")
def metric(begin, m, members, X, block, single, means, hessian, curvature, expo, risk, first, deaths):  # type: ignore[no-untyped-def] # pragma: no cover
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
            risk_means(block[a], expo, risk, first, deaths, n, means[a])
        part -= np.dot(means[begin:m], means[:m].T)
    for a in range(begin, m):
        for c in range(m):
            hessian[a, c] = part[a - begin, c]
            hessian[c, a] = part[a - begin, c]
    for a in range(begin, m):
        # Rounding must not leave a flat or a falling direction.
        hessian[a, a] += np.float32(1e-6) * abs(hessian[a, a]) + np.float32(1e-12)


@compiled(error_model="numpy")
def quadratic(hessian, slope, current, step, m, l1, l2, tol):  # type: ignore[no-untyped-def] # noqa: C901 # pragma: no cover
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
                jump(hessian, slope, current, step, m, l1, l2)
    return True


@compiled(error_model="numpy")
def jump(hessian, slope, current, step, m, l1, l2):  # type: ignore[no-untyped-def] # noqa: C901 # pragma: no cover
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
def enter(X, residual, gradient, reference, known, bound, inside, usable, members, m):  # type: ignore[no-untyped-def] # pragma: no cover
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
        copy(np.dot(X, residual) / n, gradient)
        copy(residual, reference)
        reach = 0.0
    for j in range(p):
        if not inside[j] and usable[j] and abs(gradient[j]) + reach > bound[j]:
            slope = gradient[j] if reach == 0.0 else np.dot(X[j], residual) / n
            if abs(slope) > bound[j] * (1 + 1e-7):
                members[m] = j
                inside[j] = True
                m += 1
    return m
