"""Quantile normalisation with ties and missing values, in one piece or in blocks.

References
----------
Bolstad et al., Bioinformatics 2003, doi 10.1093/bioinformatics/19.2.185.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["average_ranks", "quantile_normalise", "quantile_target", "spread_to_target"]


def quantile_normalise(
    values: np.ndarray[Any, Any], target: np.ndarray[Any, Any] | None = None, *, ties: str = "average"
) -> np.ndarray[Any, Any]:
    """Give every column the same distribution: the mean of the sorted columns.

    Tied values take the target at their average rank, interpolated between its neighbours; a
    column with missing values is stretched to full length first and keeps its missing values.

    Parameters
    ----------
    values : ndarray of shape (n_genes, n_samples)
    target : ndarray, optional
        Sorted distribution to impose, of any length; default :func:`quantile_target`.
    ties : {"average", "order"}
        ``order`` gives tied values different targets in the order of their rows, as limma does with
        ties=FALSE; for comparison, since equal genes then differ.
    """
    values = np.asarray(values, dtype=np.float64)
    wanted = quantile_target(values) if target is None else np.sort(np.asarray(target, dtype=np.float64))
    ranks = {"average": average_ranks, "order": _ordinal_ranks}[ties]
    result = np.full_like(values, np.nan)
    for column in range(values.shape[1]):
        seen = ~np.isnan(values[:, column])
        result[seen, column] = spread_to_target(ranks(values[seen, column]), int(seen.sum()), wanted)
    return result


def quantile_target(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the mean over columns of the sorted values, missing ones interpolated over."""
    values = np.asarray(values, dtype=np.float64)
    n_rows = values.shape[0]
    total = np.zeros(n_rows)
    for column in values.T:
        seen = np.sort(column[~np.isnan(column)])
        if len(seen) == n_rows:
            total += seen
        elif len(seen) == 1:
            total += seen[0]
        else:
            total += np.interp(np.linspace(0, len(seen) - 1, n_rows), np.arange(len(seen)), seen)
    return np.asarray(total / values.shape[1])


def average_ranks(column: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return ranks from 1, ties at their average."""
    ordered = np.sort(column)
    first = np.searchsorted(ordered, column, side="left")
    last = np.searchsorted(ordered, column, side="right")
    return np.asarray(0.5 * (first + last + 1))


def _ordinal_ranks(column: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    ranks = np.empty(len(column))
    ranks[np.argsort(column, kind="stable")] = np.arange(1.0, len(column) + 1)
    return ranks


def spread_to_target(ranks: np.ndarray[Any, Any], n_ranked: int, target: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the target's values at average ranks of `n_ranked` values."""
    stretch = 1.0 if n_ranked == len(target) else (len(target) - 1) / max(n_ranked - 1, 1)
    position = (ranks - 1.0) * stretch
    low = np.floor(position + 1e-12).astype(int)
    high = np.minimum(low + 1, len(target) - 1)
    part = np.clip(position - low, 0.0, 1.0)
    return np.asarray((1.0 - part) * target[low] + part * target[high])
