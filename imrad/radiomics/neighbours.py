"""Compiled loops: what surrounds each voxel (dependence, and the difference from its neighbours' mean).

Memory is laid out as :mod:`imrad.radiomics.kernels` tells.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from imrad.radiomics.kernels import SPAN, jit, sweep

__all__ = ["neighbourhood", "ngtdm_features"]


@jit
def _add_row(now: Any, other: Any, alpha: int, total: Any, alike: Any) -> None:
    if alpha == 0:
        for n in range(now.size):
            total[n] += other[n]
            alike[n] += other[n] == now[n]
    else:
        for n in range(now.size):
            total[n] += other[n]
            alike[n] += (abs(other[n] - now[n]) <= alpha) & (other[n] > 0)


@jit
def neighbourhood(
    grey: Any,
    ranks: Any,
    where: Any,
    starts: Any,
    stops: Any,
    offsets: Any,
    neighbours: Any,
    levels: int,
    alpha: int,
    lonely: bool,
) -> Any:
    """Return the NGTDM columns (count, summed difference) and the dependence counts per grey level.

    Parameters
    ----------
    grey : array of int
        Grey levels; its type must hold the sum over all neighbours. A narrow type is faster.
    where : array of int, shape (voxels,)
        The region's voxels in the padded memory, ascending.
    offsets : array of int
        All neighbours, both directions.
    neighbours : array of int, shape (voxels,)
        How many neighbours each voxel has inside the region.
    lonely : bool
        Whether voxels without neighbours count in the NGTDM.
    """
    most = offsets.size
    counted = np.zeros((levels, most + 1), np.int64)
    dependent = np.zeros((levels, most + 1), np.int64)
    apart = np.zeros((levels, most + 1), np.int64)
    total = np.empty(SPAN, grey.dtype)
    alike = np.empty(SPAN, grey.dtype)
    r = n = 0
    while r < starts.size:
        # Rows that lie close together are looked at in one sweep, the few voxels between them too.
        start, last = starts[r], sweep(starts, stops, r)
        stop = stops[last]
        length = stop - start
        if length > total.size:
            total = np.empty(length, grey.dtype)
            alike = np.empty(length, grey.dtype)
        total[:length] = 0
        alike[:length] = 0
        now = grey[start:stop]
        for a in range(most):
            there = start + offsets[a]
            _add_row(now, grey[there : there + length], alpha, total, alike)
        while n < where.size and where[n] < stop:
            p = where[n]
            level, count = np.uintp(ranks[p] - 1), np.uintp(neighbours[n])
            dependent[level, np.uintp(alike[p - start])] += 1
            counted[level, count] += 1
            # Times the number of neighbours: whole numbers, and one division for all that have as many.
            apart[level, count] += abs(np.int64(grey[p]) * np.int64(count) - np.int64(total[p - start]))
            n += 1
        r = last + 1
    number = np.zeros(levels)
    difference = np.zeros(levels)
    for i in range(levels):
        number[i] = counted[i, 0] if lonely else 0.0
        for k in range(1, most + 1):
            number[i] += counted[i, k]
            difference[i] += apart[i, k] / k
    return number, difference, dependent.astype(np.float64)


@jit
def ngtdm_features(number: Any, difference: Any, grey: Any) -> Any:
    """Return busyness, coarseness, complexity, contrast and strength.

    A homogeneous region gives 0, and 10^6 for coarseness.
    """
    voxels = number.sum()
    levels = number.size
    p = number / voxels
    weighted = 0.0
    summed = 0.0
    for i in range(levels):
        weighted += p[i] * difference[i]
        summed += difference[i]
    spread = busy = complexity = strength = 0.0
    for i in range(levels):
        for j in range(levels):
            step = float(grey[i] - grey[j])
            spread += p[i] * p[j] * step * step
            busy += abs(grey[i] * p[i] - grey[j] * p[j])
            complexity += abs(step) * (p[i] * difference[i] + p[j] * difference[j]) / (p[i] + p[j])
            strength += (p[i] + p[j]) * step * step
    pairs = levels * (levels - 1)
    out = np.empty(5)
    out[0] = weighted / busy if busy != 0.0 else 0.0
    out[1] = 1.0 / weighted if weighted != 0.0 else 1e6
    out[2] = complexity / voxels
    out[3] = spread * summed / voxels / pairs if pairs else 0.0
    out[4] = strength / summed if summed != 0.0 else 0.0
    return out
