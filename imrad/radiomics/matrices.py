"""Compiled loops: the features of a matrix that counts grey levels by size (of runs, zones, dependence)."""

from __future__ import annotations

from typing import Any

import numpy as np

from imrad.radiomics.kernels import EPS, jit

__all__ = ["matrix_features", "mean_of_directions", "run_features", "zone_matrix"]


@jit
def zone_matrix(zone_rank: Any, zone_size: Any, levels: int) -> Any:
    """Return zone counts by grey level and size, and the sizes that occur."""
    largest = zone_size.max()
    column = np.zeros(largest + 1, np.int64)
    for n in range(zone_size.size):
        column[zone_size[n]] = 1
    sizes = np.empty(column.sum(), np.int64)
    found = 0
    for s in range(largest + 1):
        if column[s]:
            sizes[found] = s
            column[s] = found
            found += 1
    matrix = np.zeros((levels, found))
    for n in range(zone_rank.size):
        matrix[zone_rank[n] - 1, column[zone_size[n]]] += 1.0
    return matrix, sizes


@jit
def matrix_features(matrix: Any, grey: Any, sizes: Any) -> Any:
    """Return 16 features of a matrix of counts by grey level (rows) and size (columns).

    In this order: non-uniformity of grey levels, normalised; grey level variance; high grey level
    emphasis; large, large-high and large-low emphasis; low grey level emphasis; entropy;
    non-uniformity of sizes, normalised; percentage; size variance; small, small-high and small-low
    emphasis. NaN where the matrix is empty.
    """
    out = np.full(16, np.nan)
    rows, columns = matrix.shape
    by_grey = np.zeros(rows)
    by_size = np.zeros(columns)
    total = 0.0
    entropy = large_high = large_low = small_high = small_low = 0.0
    for i in range(rows):
        for j in range(columns):
            by_grey[i] += matrix[i, j]
        total += by_grey[i]
    if total == 0.0:
        return out
    for i in range(rows):
        gi = float(grey[i])
        g2 = gi * gi
        for j in range(columns):
            v = matrix[i, j]
            if v == 0.0:
                continue
            by_size[j] += v
            sj = float(sizes[j])
            s2 = sj * sj
            q = v / total
            entropy -= q * np.log2(q + EPS)
            large_high += v * g2 * s2
            large_low += v * s2 / g2
            small_high += v * g2 / s2
            small_low += v / (g2 * s2)
    grey_nonuniform = low = high = mean_grey = 0.0
    for i in range(rows):
        gi = float(grey[i])
        grey_nonuniform += by_grey[i] * by_grey[i]
        low += by_grey[i] / (gi * gi)
        high += by_grey[i] * gi * gi
        mean_grey += gi * (by_grey[i] / total)
    size_nonuniform = small = large = mean_size = voxels = 0.0
    for j in range(columns):
        sj = float(sizes[j])
        size_nonuniform += by_size[j] * by_size[j]
        small += by_size[j] / (sj * sj)
        large += by_size[j] * sj * sj
        voxels += by_size[j] * sj
        mean_size += sj * (by_size[j] / total)
    grey_variance = size_variance = 0.0
    for i in range(rows):
        grey_variance += by_grey[i] / total * (grey[i] - mean_grey) ** 2
    for j in range(columns):
        size_variance += by_size[j] / total * (sizes[j] - mean_size) ** 2
    out[0] = grey_nonuniform / total
    out[1] = grey_nonuniform / (total * total)
    out[2] = grey_variance
    out[3] = high / total
    out[4] = large / total
    out[5] = large_high / total
    out[6] = large_low / total
    out[7] = low / total
    out[8] = entropy
    out[9] = size_nonuniform / total
    out[10] = size_nonuniform / (total * total)
    out[11] = total / voxels
    out[12] = size_variance
    out[13] = small / total
    out[14] = small_high / total
    out[15] = small_low / total
    return out


@jit
def run_features(matrices: Any, grey: Any, sizes: Any) -> Any:
    """Return the :func:`matrix_features` of each direction, shape (directions, 16)."""
    out = np.empty((matrices.shape[0], 16))
    for a in range(matrices.shape[0]):
        found = matrix_features(matrices[a], grey, sizes)
        for k in range(found.size):
            out[a, k] = found[k]
    return out


@jit
def mean_of_directions(found: Any) -> Any:
    """Return the mean over directions (rows) that have a value; NaN where none has."""
    out = np.empty(found.shape[1])
    for k in range(found.shape[1]):
        total = 0.0
        number = 0
        for a in range(found.shape[0]):
            if not np.isnan(found[a, k]):
                total += found[a, k]
                number += 1
        out[k] = total / number if number else np.nan
    return out
