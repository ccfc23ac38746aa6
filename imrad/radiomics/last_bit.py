"""Co-occurrence features whose value hangs on the last bit, by the very operations of pyradiomics.

Where a direction holds no information, IMC2 is the root of 0 up to rounding, and with few grey levels
so is MCC: a tiny negative number has no root and that direction drops out of the mean, a tiny positive
one stays. Likewise for Correlation where all pairs of a direction end in one level: its spread is 0 or tiny.
The same operations in the same order, over all directions together, decide alike.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from imrad.radiomics.kernels import EPS

__all__ = ["correlation", "information", "maximal_correlation", "maximal_correlation_of_many"]

Array = npt.NDArray[Any]


def maximal_correlation(matrices: Array) -> float:
    """Return MCC by the eigenvalues of Q itself, which takes levels^3 x directions of memory.

    Parameters
    ----------
    matrices : array, shape (directions, levels, levels)
        Counts, of all directions together.
    """
    if matrices.shape[1] < 2:
        return float("nan") if len(matrices) == 1 and not matrices.any() else 1.0
    p = _shares(matrices)
    if p is None:
        return float("nan")
    levels = p.shape[0]
    px = p.sum(axis=1)
    py = p.sum(axis=0)
    q = np.zeros((levels, levels, p.shape[2]))
    for k in range(levels):
        q += (p[:, None, k, :] * p[None, :, k, :]) / (px[:, None, :] * py[None, None, k, :] + EPS)
    roots = np.linalg.eigvals(np.moveaxis(q, 2, 0))
    roots.sort()
    with np.errstate(invalid="ignore"):
        second = np.sqrt(roots[:, -2])
    valid = ~np.isnan(second)
    return float(second[valid].mean().real) if valid.any() else float("nan")


def maximal_correlation_of_many(matrix: Array) -> float:
    """Return MCC of one direction with many levels, by all its singular values.

    Parameters
    ----------
    matrix : array, shape (levels, levels)
        Counts.
    """
    p = matrix / matrix.sum()
    root = p / np.sqrt(p.sum(axis=1)[:, None] * p.sum(axis=0) + EPS)
    return float(np.linalg.svd(root, compute_uv=False)[1])


def correlation(matrices: Array, grey: Array) -> float:
    """Return Correlation; parameters as in :func:`maximal_correlation`, and the grey level of each row."""
    p = _shares(matrices)
    if p is None:
        return float("nan")
    p = p[None]
    i, j = (side[None, :, :, None] for side in np.meshgrid(grey, grey, indexing="ij", sparse=True))
    ux = np.sum(i * p, (1, 2), keepdims=True)
    uy = np.sum(j * p, (1, 2), keepdims=True)
    spread = np.sum(p * (i - ux) ** 2, (1, 2)) ** 0.5 * np.sum(p * (j - uy) ** 2, (1, 2)) ** 0.5
    found = np.sum(p * (i - ux) * (j - uy), (1, 2)) / (spread + EPS)
    found[spread == 0] = 1
    return float(found.mean())


def information(matrices: Array) -> float:
    """Return IMC2; parameters as in :func:`maximal_correlation`."""
    p = _shares(matrices)
    if p is None:
        return float("nan")
    p = p[None]  # one more axis, as pyradiomics has it
    px = p.sum(2, keepdims=True)
    py = p.sum(1, keepdims=True)
    hxy = (-1) * np.sum(p * np.log2(p + EPS), (1, 2))
    hxy2 = (-1) * np.sum((px * py) * np.log2(px * py + EPS), (1, 2))
    with np.errstate(invalid="ignore"):
        found = (1 - np.e ** (-2 * (hxy2 - hxy))) ** 0.5
    found[hxy2 == hxy] = 0
    valid = ~np.isnan(found)
    return float(found[valid].mean()) if valid.any() else float("nan")


def _shares(matrices: Array) -> Array | None:
    """Return the shares of each pair of levels, directions last; None where no direction has a pair."""
    totals = matrices.sum(axis=(1, 2))
    if not totals.any():
        return None
    held = totals > 0
    p = matrices[held] / totals[held, None, None]
    # numpy's order of summation follows the memory, which in pyradiomics depends on what was deleted before.
    if held.all():
        return np.ascontiguousarray(p.transpose(2, 1, 0)).transpose(1, 0, 2)
    return np.ascontiguousarray(p.transpose(0, 2, 1)).transpose(2, 1, 0)
