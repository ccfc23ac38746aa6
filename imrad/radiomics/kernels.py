"""Compiled loops: regions, grey levels and the five texture matrices.

Everything here works on flat, padded arrays. A region's bounding box is padded by the largest
texture distance on every side and stored as one row of memory; a neighbour is then a fixed offset
and never needs a bounds check. Grey level 0 is "outside the region".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy as np

__all__ = [
    "angle_reach",
    "compress",
    "count_neighbours",
    "digitise",
    "glcm_features",
    "glcm_matrices",
    "jit",
    "join_table",
    "matrix_features",
    "neighbourhood",
    "ngtdm_features",
    "region_box",
    "run_matrices",
    "zones",
]

F = TypeVar("F", bound=Callable[..., Any])

EPS = np.spacing(1.0)
# Voxels of one sweep over neighbours (they stay in the fastest cache), and the widest gap that it runs over.
SPAN, GAP = 4096, 64


def jit(function: F) -> F:
    """Compile on first use; keep the result on disk where some cache folder can be written."""
    options = {"nogil": True, "error_model": "numpy"}
    try:
        compiled = numba.njit(cache=True, **options)(function)
    except RuntimeError:  # numba found no folder it may write to
        compiled = numba.njit(**options)(function)
    return compiled  # type: ignore[no-any-return]


@jit
def region_box(mask: Any, label: int) -> Any:
    """Return first and last index of the label along z, y and x, and its voxel count."""
    depth, height, width = mask.shape
    z0, z1, y0, y1, x0, x1 = depth, -1, height, -1, width, -1
    total = 0
    for z in range(depth):
        for y in range(height):
            count = 0
            for x in range(width):
                count += mask[z, y, x] == label
            if count == 0:
                continue
            total += count
            z0, z1 = min(z0, z), max(z1, z)
            y0, y1 = min(y0, y), max(y1, y)
            x = 0
            while x < x0 and mask[z, y, x] != label:
                x += 1
            x0 = min(x0, x)
            x = width - 1
            while x > x1 and mask[z, y, x] != label:
                x -= 1
            x1 = max(x1, x)
    return np.array([z0, z1, y0, y1, x0, x1, total])


@jit
def digitise(values: Any, edges: Any, levels: Any) -> None:
    """Write for each value the number of edges at or below it (``numpy.digitize``)."""
    last = edges.size - 1
    first, width = edges[0], (edges[last] - edges[0]) / last
    for n in range(values.size):
        v = values[n]
        k = min(max(int((v - first) / width), 0), last)
        while k < last and v >= edges[k + 1]:
            k += 1
        while k >= 0 and v < edges[k]:
            k -= 1
        levels[n] = k + 1


@jit
def compress(levels: Any, top: int) -> Any:
    """Return the grey levels present, how often each occurs, and each voxel's rank among them (from 1)."""
    counts = np.zeros(top + 1, np.int64)
    for n in range(levels.size):
        counts[levels[n]] += 1
    present = 0
    rank = np.zeros(top + 1, np.int32)
    for level in range(top + 1):
        if counts[level]:
            present += 1
            rank[level] = present
    grey = np.empty(present, np.int64)
    number = np.empty(present, np.int64)
    for level in range(top + 1):
        if counts[level]:
            grey[rank[level] - 1] = level
            number[rank[level] - 1] = counts[level]
    ranks = np.empty(levels.size, np.int32)
    for n in range(levels.size):
        ranks[n] = rank[levels[n]]
    return grey, number, ranks


@jit
def count_neighbours(flat: Any, where: Any, offsets: Any) -> Any:
    """Count for each voxel the neighbours (in both directions) that are not 0."""
    count = np.zeros(flat.size, np.int32)
    for n in range(where.size):
        p = where[n]
        inside = 0
        for a in range(offsets.size):
            inside += flat[p + offsets[a]] != 0
            inside += flat[p - offsets[a]] != 0
        count[p] = inside
    return count


@jit
def angle_reach(inside: Any, starts: Any, stops: Any, offsets: Any) -> Any:
    """Tell for each direction whether some line along it meets the region in more than one voxel."""
    reach = np.zeros(offsets.size, np.bool_)
    for a in range(offsets.size):
        off = offsets[a]
        for r in range(starts.size):
            hits = 0
            for p in range(starts[r], stops[r]):
                hits += inside[p] & inside[p + off]
            if hits:
                reach[a] = True
                break
    return reach


@jit
def line_reach(inside: Any, shape: Any, offsets: Any) -> Any:
    """Tell for each direction whether some line meets the region twice, gaps included."""
    reach = np.zeros(offsets.shape[0], np.bool_)
    depth, height, width = shape
    seen = np.zeros((depth, height, width), np.uint8)
    for a in range(offsets.shape[0]):
        dz, dy, dx = offsets[a]
        seen[:] = 0
        for z in range(depth):
            for y in range(height):
                for i in range(width):
                    x = i if dx >= 0 else width - 1 - i
                    bz, by, bx = z - dz, y - dy, x - dx
                    # Raster order visits (bz, by, bx) first: the first non-zero step is positive.
                    if bz < 0 or by < 0 or bx < 0 or by >= height or bx >= width:
                        continue
                    before = seen[bz, by, bx] | inside[bz, by, bx]
                    seen[z, y, x] = before
                    if before and inside[z, y, x]:
                        reach[a] = True
    return reach


# ---------------------------------------------------------------- co-occurrence


@jit
def _count_pairs(first: Any, second: Any, width: int, even: Any, odd: Any) -> None:
    """Count pairs of small whole numbers in a flat table with rows of a width.

    Two tables, so that equal neighbouring pairs do not wait for each other's increment; unsigned
    numbers, so that no index is looked at for being negative.
    """
    wide = np.uint32(width)
    length = first.size
    for n in range(length // 2):
        even[np.uint32(first[2 * n]) * wide + np.uint32(second[2 * n])] += 1
        odd[np.uint32(first[2 * n + 1]) * wide + np.uint32(second[2 * n + 1])] += 1
    if length % 2:
        even[np.uint32(first[length - 1]) * wide + np.uint32(second[length - 1])] += 1


@jit
def glcm_matrices(ranks: Any, starts: Any, stops: Any, offsets: Any, weights: Any, levels: int, symmetric: bool) -> Any:
    """Return the co-occurrence counts, shape (matrices, levels, levels), float64.

    One matrix per direction, or with `weights` (one per direction) their weighted sum.
    """
    size = levels + 1
    merged = weights.size > 0
    out = np.zeros((1 if merged else offsets.size, levels, levels))
    even = np.empty(size * size, np.int32)
    odd = np.empty(size * size, np.int32)
    for a in range(offsets.size):
        even[:] = 0
        odd[:] = 0
        off = offsets[a]
        for r in range(starts.size):
            start, stop = starts[r], stops[r]
            _count_pairs(ranks[start:stop], ranks[start + off : stop + off], size, even, odd)
        target = out[0] if merged else out[a]
        weight = weights[a] if merged else 1.0
        for i in range(1, size):
            for j in range(1, size):
                count = even[i * size + j] + odd[i * size + j]
                if count:
                    target[i - 1, j - 1] += weight * count
                    if symmetric:
                        target[j - 1, i - 1] += weight * count
    return out


@jit
def _second_singular(root: Any, first: Any) -> float:  # noqa: C901 - one compiled loop
    """Return the largest eigenvalue of ``root @ root.T`` orthogonal to `first`, by Lanczos steps.

    `first` is (to rounding) the eigenvector of eigenvalue 1. Infinite where the steps do not suffice, as
    with hundreds of levels that hardly ever meet, whose eigenvalues crowd below 1.
    """
    n = first.size
    steps = min(n, 80)
    basis = np.zeros((steps + 1, n))
    alpha = np.zeros(steps)
    beta = np.zeros(steps + 1)
    norm = 0.0
    for i in range(n):
        norm += first[i] * first[i]
    unit = first / np.sqrt(norm)
    start = np.empty(n)
    for i in range(n):  # any vector that is orthogonal to no eigenvector in practice
        start[i] = (0.5 + ((i * 0.6180339887498949) % 1.0)) * (1.0 if first[i] > 0 else 0.0)
    middle = np.empty(n)
    work = start
    previous = -1.0
    for k in range(steps + 1):
        for _ in range(2):  # twice is enough (Parlett)
            dot = 0.0
            for i in range(n):
                dot += work[i] * unit[i]
            for i in range(n):
                work[i] -= dot * unit[i]
            for b in range(k):
                dot = 0.0
                for i in range(n):
                    dot += work[i] * basis[b, i]
                for i in range(n):
                    work[i] -= dot * basis[b, i]
        norm = 0.0
        for i in range(n):
            norm += work[i] * work[i]
        norm = np.sqrt(norm)
        beta[k] = norm
        done = k == steps or norm < 1e-14
        if done or (k >= 6 and k % 3 == 0):
            if k == 0:
                return 0.0
            value = _top_tridiagonal(alpha, beta, k)
            settled = abs(value - previous) <= 1e-13 * max(value, 1e-6)
            if done and not settled and norm >= 1e-14 and steps < n:
                return np.inf
            if done or settled:
                return value
            previous = value
        for i in range(n):
            basis[k, i] = work[i] / norm
        middle[:] = 0.0
        for i in range(n):
            v = basis[k, i]
            if v != 0.0:
                for j in range(n):
                    middle[j] += v * root[i, j]
        work = np.empty(n)
        for i in range(n):
            dot = 0.0
            for j in range(n):
                dot += root[i, j] * middle[j]
            work[i] = dot
        dot = 0.0
        for i in range(n):
            dot += work[i] * basis[k, i]
        alpha[k] = dot
    return 0.0


@jit
def _top_tridiagonal(alpha: Any, beta: Any, k: int) -> float:
    """Return the largest eigenvalue of the k x k tridiagonal matrix, by counting signs."""
    low, high = 0.0, 0.0
    for i in range(k):
        radius = (beta[i] if i else 0.0) + (beta[i + 1] if i + 1 < k else 0.0)
        high = max(high, alpha[i] + radius)
        low = max(low, alpha[i])
    for _ in range(60):
        value = 0.5 * (low + high)
        if value in (low, high):
            break
        above = False
        d = alpha[0] - value
        if d > 0.0:
            above = True
        for i in range(1, k):
            if above:
                break
            if d == 0.0:
                d = -1e-300
            d = alpha[i] - value - beta[i] * beta[i] / d
            above = d > 0.0
        if above:
            low = value
        else:
            high = value
    return 0.5 * (low + high)


@jit
def _maximal_correlation(p: Any, px: Any, py: Any) -> float:
    # Q of the definition is similar to R R', where R = P / sqrt(px py): symmetric, hence stable.
    n = px.size
    if n == 1:
        return 1.0
    root = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            if p[i, j] > 0.0:
                root[i, j] = p[i, j] / np.sqrt(px[i] * py[j] + EPS)
    return float(np.sqrt(max(_second_singular(root, np.sqrt(px)), 0.0)))


@jit
def glcm_features(matrices: Any, grey: Any) -> Any:  # noqa: C901
    """Return the 24 co-occurrence features of each matrix, alphabetically; empty ones give NaN.

    Parameters
    ----------
    matrices : array, shape (n, levels, levels)
    grey : array of int, shape (levels,)
        The grey level of each row.
    """
    number, levels, _ = matrices.shape
    top = grey[levels - 1]
    out = np.full((number, 24), np.nan)
    i_grey = grey.astype(np.float64)
    psum = np.zeros(2 * top + 1)
    pdiff = np.zeros(top + 1)
    p = np.empty((levels, levels))
    px = np.empty(levels)
    py = np.empty(levels)
    for m in range(number):
        total = 0.0
        for i in range(levels):
            for j in range(levels):
                total += matrices[m, i, j]
        if total == 0.0:
            continue
        psum[:] = 0.0
        pdiff[:] = 0.0
        px[:] = 0.0
        py[:] = 0.0
        for i in range(levels):
            for j in range(levels):
                v = matrices[m, i, j] / total
                p[i, j] = v
                px[i] += v
                py[j] += v
        ux = 0.0
        uy = 0.0
        hx = 0.0
        hy = 0.0
        for i in range(levels):
            ux += i_grey[i] * px[i]
            uy += i_grey[i] * py[i]
            if px[i] > 0.0:
                hx -= px[i] * np.log2(px[i] + EPS)
            if py[i] > 0.0:
                hy -= py[i] * np.log2(py[i] + EPS)
        sx = 0.0
        sy = 0.0
        for i in range(levels):
            sx += px[i] * (i_grey[i] - ux) ** 2
            sy += py[i] * (i_grey[i] - uy) ** 2
        auto = prominence = shade = tendency = contrast = covariance = energy = hxy = hxy1 = largest = 0.0
        for i in range(levels):
            for j in range(levels):
                v = p[i, j]
                if v == 0.0:
                    continue
                gi, gj = i_grey[i], i_grey[j]
                s = gi + gj - ux - uy
                s2 = s * s
                d = abs(gi - gj)
                auto += v * gi * gj
                tendency += v * s2
                shade += v * s2 * s
                prominence += v * s2 * s2
                contrast += v * d * d
                covariance += v * (gi - ux) * (gj - uy)
                energy += v * v
                hxy -= v * np.log2(v + EPS)
                hxy1 -= v * np.log2(px[i] * py[j] + EPS)
                largest = max(largest, v)
                psum[grey[i] + grey[j]] += v
                pdiff[abs(grey[i] - grey[j])] += v
        hxy2 = hx + hy
        spread = np.sqrt(sx) * np.sqrt(sy)
        difference = 0.0
        h_difference = inverse = id1 = id2 = idn = idmn = 0.0
        for k in range(top):
            v = pdiff[k]
            if v == 0.0:
                continue
            fk = float(k)
            difference += fk * v
            h_difference -= v * np.log2(v + EPS)
            id1 += v / (1.0 + fk)
            id2 += v / (1.0 + fk * fk)
            idn += v / (1.0 + fk / top)
            idmn += v / (1.0 + fk * fk / (float(top) * top))
            if k:
                inverse += v / (fk * fk)
        difference_variance = 0.0
        for k in range(top):
            difference_variance += pdiff[k] * (k - difference) ** 2
        sum_average = h_sum = 0.0
        for k in range(2, 2 * top + 1):
            v = psum[k]
            if v > 0.0:
                sum_average += k * v
                h_sum -= v * np.log2(v + EPS)
        out[m, 0] = auto
        out[m, 1] = prominence
        out[m, 2] = shade
        out[m, 3] = tendency
        out[m, 4] = contrast
        out[m, 5] = 1.0 if spread == 0.0 else covariance / (spread + EPS)
        out[m, 6] = difference
        out[m, 7] = h_difference
        out[m, 8] = difference_variance
        out[m, 9] = id1
        out[m, 10] = id2
        out[m, 11] = idmn
        out[m, 12] = idn
        widest = max(hx, hy)
        out[m, 13] = 0.0 if widest == 0.0 else (hxy - hxy1) / widest
        # Rounding can bring the information below 0, whose root is NaN: imrad.radiomics.last_bit then decides.
        out[m, 14] = np.sqrt(1.0 - np.exp(-2.0 * (hxy2 - hxy)))
        out[m, 15] = inverse
        out[m, 16] = ux
        out[m, 17] = energy
        out[m, 18] = hxy
        out[m, 19] = _maximal_correlation(p, px, py)
        out[m, 20] = largest
        out[m, 21] = sum_average
        out[m, 22] = h_sum
        out[m, 23] = sx
    return out


# ---------------------------------------------------------------- runs, zones, dependence


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
