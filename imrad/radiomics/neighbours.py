"""Compiled loops: runs, zones and dependence of neighbouring voxels, and the features of their matrices.

Memory is laid out as :mod:`imrad.radiomics.kernels` tells.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from imrad.radiomics.kernels import EPS, jit

__all__ = [
    "join_table",
    "matrix_features",
    "mean_of_directions",
    "neighbourhood",
    "ngtdm_features",
    "run_features",
    "run_matrices",
    "zone_matrix",
    "zones",
]

# Voxels of one sweep over neighbours (they stay in the fastest cache), and the widest gap that it runs over.
SPAN, GAP = 4096, 64


@jit
def _run_row(ranks: Any, runs: Any, here: int, there: int, length: int) -> None:
    now = ranks[here : here + length]
    before = ranks[there : there + length]
    count = runs[here : here + length]
    earlier = runs[there : there + length]
    for n in range(length):
        count[n] = earlier[n] * (now[n] == before[n]) + 1


@jit
def run_matrices(ranks: Any, starts: Any, stops: Any, offsets: Any, levels: int, longest: int) -> Any:
    """Return the run-length counts, shape (directions, levels, longest), float64."""
    width = longest + 3
    out = np.zeros((offsets.size, levels, longest))
    table = np.empty((levels + 1) * width, np.int32)
    runs = np.zeros(ranks.size, np.int32)
    for a in range(offsets.size):
        off = offsets[a]
        table[:] = 0
        for r in range(starts.size):
            start, stop = starts[r], stops[r]
            if off == 1:
                count = 0
                for p in range(start, stop):
                    count = count * (ranks[p] == ranks[p - 1]) + 1
                    runs[p] = count
            else:
                _run_row(ranks, runs, start, start - off, stop - start)
            for p in range(start, stop):
                table[ranks[p] * width + runs[p]] += 1
        runs[:] = 0
        # A run of length n has passed every length up to n: differences give those that end there.
        for level in range(levels):
            row = (level + 1) * width
            for length in range(1, longest + 1):
                out[a, level, length - 1] = table[row + length] - table[row + length + 1]
    return out


@jit
def _sweep(starts: Any, stops: Any, row: int) -> int:
    """Return the last row that one sweep from a row on takes in, gaps between rows and all."""
    start = starts[row]
    while row + 1 < starts.size and starts[row + 1] - stops[row] <= GAP and stops[row + 1] - start <= SPAN:
        row += 1
    return row


@jit
def _root(parent: Any, p: int) -> int:
    while parent[p] != p:
        parent[p] = parent[parent[p]]
        p = parent[p]
    return p


@jit
def join_table(steps: Any) -> Any:
    """Return which neighbours to join a voxel with, for each set of neighbours of its grey level.

    Two neighbours that touch are in one zone already: one of each touching group will do.

    Parameters
    ----------
    steps : array of int, shape (n, 3)
        To the neighbours looked at, each one voxel far; n is at most 13.

    Returns
    -------
    array of int8, shape (2^n, 5)
        Numbers of neighbours, then -1. Bit k of the row's number stands for neighbour k.
    """
    n = steps.shape[0]
    touching = np.zeros(n, np.int64)
    for i in range(n):
        for j in range(n):
            if np.abs(steps[i] - steps[j]).max() <= 1:
                touching[i] |= 1 << j
    table = np.full((1 << n, 5), -1, np.int8)
    for alike in range(1 << n):
        left, groups = alike, 0
        for i in range(n):
            if not left >> i & 1:
                continue
            group, before = 1 << i, 0
            while group != before:
                before = group
                for j in range(n):
                    if group >> j & 1:
                        group |= touching[j] & alike
            left &= ~group
            table[alike, groups] = i
            groups += 1
    return table


@jit
def _mark_alike(now: Any, other: Any, bit: Any, alike: Any) -> None:
    for n in range(now.size):
        alike[n] |= (now[n] == other[n]) * bit


@jit
def zones(ranks: Any, starts: Any, stops: Any, offsets: Any, joins: Any) -> Any:  # noqa: C901
    """Return rank and size of every connected zone of equal grey level.

    Parameters
    ----------
    offsets : array of int, shape (n,)
        From a neighbour that comes earlier in memory.
    joins : array
        The :func:`join_table` of the same neighbours.
    """
    parent = np.zeros(ranks.size, np.int32)
    size = np.zeros(ranks.size, np.int32)
    number = 0
    alike = np.empty(SPAN, np.int16)
    r = 0
    while r < starts.size:
        start, last = starts[r], _sweep(starts, stops, r)
        stop = stops[last]
        if stop - start > alike.size:
            alike = np.empty(stop - start, np.int16)
        alike[: stop - start] = 0
        for a in range(offsets.size):
            other = ranks[start - offsets[a] : stop - offsets[a]]
            _mark_alike(ranks[start:stop], other, np.int16(1 << a), alike[: stop - start])
        for row in range(r, last + 1):
            for p in range(starts[row], stops[row]):
                if not ranks[p]:
                    continue
                near = joins[alike[p - start]]
                if near[0] < 0:
                    parent[p] = p
                    continue
                # The first voxel of a zone is its root.
                root = _root(parent, p - offsets[near[0]])
                for k in range(1, near.size):
                    if near[k] < 0:
                        break
                    other = _root(parent, p - offsets[near[k]])
                    if other < root:
                        parent[root] = other
                        root = other
                    else:
                        parent[other] = root
                parent[p] = root
        r = last + 1
    for r in range(starts.size):
        for p in range(starts[r], stops[r]):
            if ranks[p]:
                root = parent[parent[p]]  # parents come first and point to their root already
                parent[p] = root
                number += size[root] == 0
                size[root] += 1
    zone_rank = np.empty(number, np.int32)
    zone_size = np.empty(number, np.int32)
    n = 0
    for r in range(starts.size):
        for p in range(starts[r], stops[r]):
            if size[p]:
                zone_rank[n] = ranks[p]
                zone_size[n] = size[p]
                n += 1
    return zone_rank, zone_size


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
    offsets : array of int
        All neighbours, both directions.
    neighbours : array of int
        How many neighbours each voxel has inside the region.
    lonely : bool
        Whether voxels without neighbours count in the NGTDM.
    """
    number = np.zeros(levels)
    difference = np.zeros(levels)
    dependence = np.zeros((levels, offsets.size + 1))
    total = np.empty(SPAN, grey.dtype)
    alike = np.empty(SPAN, grey.dtype)
    r = 0
    while r < starts.size:
        # Rows that lie close together are looked at in one sweep, the few voxels between them too.
        start, last = starts[r], _sweep(starts, stops, r)
        length = stops[last] - start
        if length > total.size:
            total = np.empty(length, grey.dtype)
            alike = np.empty(length, grey.dtype)
        total[:length] = 0
        alike[:length] = 0
        now = grey[start : start + length]
        for a in range(offsets.size):
            there = start + offsets[a]
            _add_row(now, grey[there : there + length], alpha, total, alike)
        for row in range(r, last + 1):
            for p in range(starts[row], stops[row]):
                level = ranks[p] - 1
                if level < 0:
                    continue
                dependence[level, alike[p - start]] += 1.0
                count = neighbours[p]
                if lonely or count:
                    number[level] += 1.0
                if count:
                    difference[level] += abs(grey[p] - total[p - start] / count)
        r = last + 1
    return number, difference, dependence


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
        out[a] = matrix_features(matrices[a], grey, sizes)
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
