"""Compiled loops: how often grey levels meet, and the features of that.

Memory is laid out as :mod:`imrad.radiomics.kernels` tells.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from imrad.radiomics.kernels import EPS, jit

__all__ = ["glcm_features", "glcm_matrices"]


LEVELS_TOGETHER = 96


@jit
def _count_pairs(ranks: Any, where: Any, offsets: Any, size: int, pairs: Any) -> None:
    for n in range(where.size):
        p = where[n]
        # Unsigned: no index is looked at for being negative.
        row = np.uintp(ranks[p]) * np.uintp(size)
        for a in range(offsets.size):
            pairs[np.uintp(a), row + np.uintp(ranks[np.uintp(p + offsets[a])])] += 1


@jit
def glcm_matrices(ranks: Any, where: Any, offsets: Any, weights: Any, levels: int, symmetric: bool) -> Any:
    """Return the co-occurrence counts, shape (matrices, levels, levels), float64.

    One matrix per direction, or with `weights` (one per direction) their weighted sum.

    Parameters
    ----------
    ranks : array of int
        The padded memory: grey levels from 1.
    where : array of int, shape (voxels,)
        The region's voxels in it.
    offsets : array of int
        To the neighbours.
    """
    size = levels + 1
    merged = weights.size > 0
    out = np.zeros((1 if merged else offsets.size, levels, levels))
    # A table for each direction, so that no increment waits for the one before; but large tables one by one,
    # for the cache.
    together = offsets.size if levels <= LEVELS_TOGETHER else 1
    pairs = np.zeros((offsets.size, size * size), np.int32)
    for begin in range(0, offsets.size, together):
        _count_pairs(ranks, where, offsets[begin : begin + together], size, pairs[begin : begin + together])
    for a in range(offsets.size):
        target = out[0] if merged else out[a]
        weight = weights[a] if merged else 1.0
        for i in range(1, size):
            for j in range(1, size):
                count = pairs[a, i * size + j]
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
    for i in range(n):
        # Without regularity: symmetric textures have regular eigenvectors, to which it must not be orthogonal.
        start[i] = (0.5 + (abs(np.sin(12.9898 * (i + 1))) * 43758.5453) % 1.0) * (1.0 if first[i] > 0 else 0.0)
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
                return float(value)
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
