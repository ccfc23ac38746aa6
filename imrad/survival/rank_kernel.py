"""Rank-sum tests of many columns on many subsets of the same rows, ranked once."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import stats

from imrad.compiled import compiled
from imrad.evaluation.outcomes import BoolArray, FloatArray

__all__ = ["order_codes", "rank_sum_p"]

CodeArray = np.ndarray[Any, np.dtype[np.int32]]


def order_codes(matrix: FloatArray) -> CodeArray:
    """Return codes, shape (n_columns, n_rows), that order each column as its values do; -1 where missing."""
    columns = np.ascontiguousarray(np.asarray(matrix, dtype=float).T)
    order = np.argsort(columns, axis=1, kind="stable")
    ordered = np.take_along_axis(columns, order, axis=1)
    new = np.zeros(ordered.shape, dtype=np.int32)
    # Missing values sort last and differ from each other; they are marked below.
    new[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    codes = np.empty_like(new)
    np.put_along_axis(codes, order, np.cumsum(new, axis=1, dtype=np.int32), axis=1)
    codes[np.isnan(columns)] = -1
    return codes


def rank_sum_p(codes: CodeArray, y: BoolArray) -> FloatArray:
    """Return each column's two-sided p of the rank-sum test, as :func:`imrad.evaluation.two_group.screen` does.

    Parameters
    ----------
    codes : ndarray of int, shape (n_columns, n_rows)
        From :func:`order_codes`, some rows of it, also repeated.
    y : ndarray of bool, shape (n_rows,)

    Returns
    -------
    ndarray, shape (n_columns,)
        Normal approximation with ties and continuity correction; NaN where a class has no known value.
    """
    z, sigma = _statistics(np.ascontiguousarray(codes), np.asarray(y, dtype=np.bool_))
    with np.errstate(divide="ignore", invalid="ignore"):
        p = 2 * stats.norm.sf(np.abs(z - 0.5 * np.sign(z)) / sigma)
    return np.asarray(np.where(np.isnan(sigma), np.nan, np.where(sigma > 0, np.minimum(p, 1.0), 1.0)))


@compiled()
def _statistics(codes: Any, y: Any) -> Any:  # pragma: no cover
    p, n = codes.shape
    z, sigma = np.empty(p), np.empty(p)
    counts, positive = np.zeros(n + 1), np.zeros(n + 1)
    for j in range(p):
        top = 0
        for i in range(n):
            top = max(top, codes[j, i])
        if top >= len(counts):
            counts, positive = np.zeros(top + 1), np.zeros(top + 1)
        counts[: top + 1] = 0.0
        positive[: top + 1] = 0.0
        m, total = 0.0, 0.0
        for i in range(n):
            code = codes[j, i]
            if code >= 0:
                counts[code] += 1.0
                total += 1.0
                if y[i]:
                    positive[code] += 1.0
                    m += 1.0
        rest = total - m
        if m == 0.0 or rest == 0.0:
            z[j], sigma[j] = np.nan, np.nan
            continue
        below, w, ties = 0.0, 0.0, 0.0
        for code in range(top + 1):
            c = counts[code]
            if c > 0.0:
                w += positive[code] * (below + (c + 1.0) / 2.0)
                ties += c * c * c - c
                below += c
        z[j] = w - m * (m + 1.0) / 2.0 - m * rest / 2.0
        spread = m * rest / 12.0 * ((total + 1.0) - ties / (total * (total - 1.0)))
        sigma[j] = np.sqrt(max(spread, 0.0))
    return z, sigma
