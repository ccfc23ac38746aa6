"""Likelihoods of the penalised path: value, gradient and curvature in the linear predictor; the objective.

numba keeps compiled code by the file of the function that is called: after a change here, touch
`path_kernel.py` too, or remove its `__pycache__`.
"""

from __future__ import annotations

import numpy as np

from imrad.compiled import compiled

__all__ = ["likelihood", "objective", "risk_means"]


@compiled(error_model="numpy")
def likelihood(  # type: ignore[no-untyped-def] # noqa: C901 # pragma: no cover
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
def risk_means(column, expo, risk, first, deaths, n, out):  # type: ignore[no-untyped-def] # pragma: no cover
    """Fill sqrt(deaths) times the weighted mean of a column over each risk set."""
    row = len(column)
    total = 0.0
    for k in range(len(first) - 1, -1, -1):
        while row > first[k]:
            row -= 1
            total += expo[row] * column[row]
        out[k] = np.sqrt(deaths[k] / n) * total / risk[k]


@compiled(error_model="numpy")
def objective(value, beta, members, m, factor, lam, l1_ratio, n):  # type: ignore[no-untyped-def] # pragma: no cover
    """Return minus the mean log likelihood plus the penalty of the columns in play."""
    penalty = 0.0
    for a in range(m):
        b = beta[members[a]]
        penalty += factor[members[a]] * (l1_ratio * abs(b) + 0.5 * (1.0 - l1_ratio) * b * b)
    return -value / n + lam * penalty
