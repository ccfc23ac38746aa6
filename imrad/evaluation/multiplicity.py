"""P values adjusted for their number, as R's p.adjust."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from imrad.evaluation.outcomes import FloatArray
from imrad.exceptions import CohortError

__all__ = ["METHODS", "adjust"]

METHODS = ("BH", "BY", "holm", "hochberg", "hommel", "bonferroni", "none")


def adjust(p: npt.ArrayLike, method: str = "BH", *, n: int | None = None) -> FloatArray:
    """Adjust p values for multiple testing.

    Parameters
    ----------
    p : array_like
        Missing values (NaN) stay missing and do not count.
    method : str
        One of :data:`METHODS`; ``BH`` is the false discovery rate, the others control the
        family-wise error except ``BY`` (false discovery rate under any dependence).
    n : int, optional
        Number of tests, if more were done than are listed.

    Raises
    ------
    CohortError
        If a value lies outside [0, 1].

    References
    ----------
    Benjamini and Hochberg, 1995, doi:10.1111/j.2517-6161.1995.tb02031.x; Hommel, 1988,
    doi:10.1093/biomet/75.2.383.
    """
    if method not in METHODS:
        message = f"unknown adjustment {method!r}; known are {', '.join(METHODS)}"
        raise ValueError(message)
    values = np.asarray(p, dtype=float)
    out = values.copy()
    known = ~np.isnan(values)
    part = values[known]
    if ((part < 0) | (part > 1)).any():
        message = f"p values from {part.min():g} to {part.max():g}: they must lie in [0, 1]"
        raise CohortError(message)
    if method != "none" and len(part):
        out[known] = _adjusted(part, max(n or 0, len(part)), method)
    return out


def _adjusted(p: FloatArray, n: int, method: str) -> FloatArray:
    if method == "bonferroni":
        return np.asarray(np.minimum(1.0, n * p))
    order = np.argsort(p, kind="stable")
    ordered, rank = p[order], np.arange(1, len(p) + 1)
    if method == "hommel":
        adjusted = _hommel(np.concatenate((ordered, np.ones(n - len(p)))))[: len(p)]
    elif method == "holm":
        adjusted = np.maximum.accumulate((n - rank + 1) * ordered)
    else:
        factor = {"BH": n / rank, "hochberg": n - rank + 1.0}.get(method)
        if factor is None:
            factor = np.sum(1 / np.arange(1, n + 1)) * n / rank
        # Tests done but not listed are taken to have larger p values.
        adjusted = np.minimum.accumulate((factor * ordered)[::-1])[::-1]
    out = np.empty(len(p))
    out[order] = np.minimum(1.0, adjusted)
    return out


def _hommel(ordered: FloatArray) -> FloatArray:
    n = len(ordered)
    rank = np.arange(1, n + 1)
    smallest = float(np.min(n * ordered / rank))
    q = np.full(n, smallest)
    best = np.full(n, smallest)
    for m in range(n - 1, 1, -1):
        low, high = np.arange(n - m + 1), np.arange(n - m + 1, n)
        bound = float(np.min(m * ordered[high] / np.arange(2, m + 1)))
        q[low] = np.minimum(m * ordered[low], bound)
        q[high] = q[n - m]
        best = np.maximum(best, q)
    return np.asarray(np.maximum(best, ordered))
