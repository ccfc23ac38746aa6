"""Which of many correlated features to drop, as caret's findCorrelation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import stats

from imrad.evaluation.outcomes import FloatArray

__all__ = ["correlation_matrix", "find_correlation"]


def correlation_matrix(features: npt.ArrayLike, *, method: str = "pearson") -> FloatArray:
    """Return correlations between columns, shape (n_features, n_features); 0 for a constant column."""
    x = np.asarray(features, dtype=float)
    if method == "spearman":
        x = np.asarray(stats.rankdata(x, axis=0))
    elif method != "pearson":
        message = f"unknown correlation {method!r}; known are pearson and spearman"
        raise ValueError(message)
    centred = x - x.mean(axis=0)
    length = np.sqrt((centred**2).sum(axis=0))
    scaled = centred / np.where(length > 0, length, 1.0)
    matrix = scaled.T @ scaled
    np.fill_diagonal(matrix, 1.0)
    return np.asarray(np.clip(matrix, -1.0, 1.0))


def find_correlation(
    correlation: npt.ArrayLike, cutoff: float = 0.9, *, exact: bool = True, names: Sequence[str] | None = None
) -> list[int] | list[str]:
    """Return the features to remove so that no two of the rest correlate above the cutoff.

    Parameters
    ----------
    correlation : array_like, shape (n_features, n_features)
    cutoff : float
        On absolute correlations.
    exact : bool
        Of a pair, drop the one with the larger mean correlation to those left (``True``), or to all
        features, in one pass (``False``).
    names : sequence of str, optional
        Names to return instead of column numbers.

    Returns
    -------
    list
        In caret's order.
    """
    r = np.abs(np.asarray(correlation, dtype=float))
    drop = _exact(r, cutoff) if exact else _one_pass(r, cutoff)
    return drop if names is None else [str(names[k]) for k in drop]


def _exact(r: FloatArray, cutoff: float) -> list[int]:
    p = len(r)
    off = r.copy()
    np.fill_diagonal(off, 0.0)
    order = np.argsort(-(off.sum(axis=0) / max(p - 1, 1)), kind="stable")
    sorted_r = r[np.ix_(order, order)]
    off = off[np.ix_(order, order)]
    alive = np.ones(p, dtype=bool)
    sums = off.sum(axis=1)
    total, left = float(sums.sum()), p
    removed: list[int] = []

    def remove(k: int) -> None:
        nonlocal total, left
        alive[k] = False
        total -= 2 * float(sums[k])
        sums[:] -= np.where(alive, off[:, k], 0.0)
        left -= 1
        removed.append(k)

    for i in range(p - 1):
        if not alive[i]:
            continue
        for j in np.flatnonzero(sorted_r[i, i + 1 :] > cutoff) + i + 1:
            if not alive[j]:
                continue
            mine = sums[i] / (left - 1)
            # caret compares with the mean of everything outside j's row, i's column included.
            others = (total - sums[j]) / ((left - 1) * (left - 1))
            if mine > others:
                remove(i)
                break
            remove(int(j))
    # caret returns columns in the sorted order, not in that of removal.
    return [int(order[k]) for k in sorted(removed)]


def _one_pass(r: FloatArray, cutoff: float) -> list[int]:
    level = np.unique(r.mean(axis=0), return_inverse=True)[1]
    rows, columns = np.nonzero(np.triu(r > cutoff, 1).T)[::-1]
    above = level[columns] > level[rows]
    dropped = np.concatenate([columns[above], rows[~above]])
    return [int(k) for k in dict.fromkeys(dropped.tolist())]
