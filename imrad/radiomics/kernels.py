"""Compiled loops: regions, their neighbours and grey levels, on the memory that texture matrices are counted in.

Everything here works on flat, padded arrays. A region's bounding box is padded by the largest
texture distance on every side and stored as one row of memory; a neighbour is then a fixed offset
and never needs a bounds check. Grey level 0 is "outside the region".
"""

from __future__ import annotations

from typing import Any

import numpy as np

from imrad.compiled import compiled

__all__ = [
    "EPS",
    "SPAN",
    "angle_reach",
    "compress",
    "count_neighbours",
    "digitise",
    "jit",
    "line_reach",
    "region_box",
    "sweep",
]

EPS = np.spacing(1.0)
# Voxels of one sweep over neighbours (they stay in the fastest cache), and the widest gap that it runs over.
SPAN, GAP = 4096, 64

jit = compiled(nogil=True, error_model="numpy")


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
def sweep(starts: Any, stops: Any, row: int) -> int:
    """Return the last row that one sweep from a row on takes in, gaps between rows and all."""
    start = starts[row]
    while row + 1 < starts.size and starts[row + 1] - stops[row] <= GAP and stops[row + 1] - start <= SPAN:
        row += 1
    return row


@jit
def count_neighbours(flat: Any, where: Any, offsets: Any) -> Any:
    """Count for each voxel the neighbours (in both directions) that are not 0, shape (voxels,)."""
    count = np.empty(where.size, np.int32)
    for n in range(where.size):
        p = where[n]
        inside = 0
        for a in range(offsets.size):
            inside += flat[p + offsets[a]] != 0
            inside += flat[p - offsets[a]] != 0
        count[n] = inside
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
