"""Compiled loops: neighbouring voxels of one grey level, and the runs and zones that they make.

Memory is laid out as :mod:`imrad.radiomics.kernels` tells.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba.extending import intrinsic

from imrad.radiomics.kernels import SPAN, jit, sweep

__all__ = ["join_table", "runs_and_zones"]

# Directions that a voxel's row of run lengths has room for: 13, and a row fills whole cache lines.
DIRECTIONS = 16


@intrinsic  # type: ignore[untyped-decorator]
def _lowest_bit(typing_context: Any, bits: Any) -> Any:
    """Return the number of the lowest bit that is set."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.cttz(values[0], ir.Constant(ir.IntType(1), 1))

    return bits(bits), generate


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
            near = True
            for axis in range(3):
                near &= abs(steps[i, axis] - steps[j, axis]) <= 1
            if near:
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
def _root(parent: Any, n: int) -> int:
    while parent[n] != n:
        parent[n] = parent[parent[n]]
        n = parent[n]
    return n


@jit
def _run_lengths(reached: Any, counts: Any, width: int, most: int) -> Any:
    """Return runs by direction, level and length, from how many voxels are the second, third ... of one."""
    runs = np.zeros((reached.shape[0], counts.size, most))
    for a in range(reached.shape[0]):
        for level in range(counts.size):
            row = (level + 1) * width
            # As many runs have a voxel number k as are k long or longer; every voxel is one of some run's.
            here = counts[level]
            for length in range(1, most):
                here -= reached[a, row + length]
            for length in range(1, most + 1):
                longer = reached[a, row + length]
                runs[a, level, length - 1] = here - longer
                here = longer
    return runs


@jit
def _roots(first: Any, parent: Any, size: Any, ranks: Any, where: Any) -> Any:
    """Return level and size of each zone: of those first voxels that no other zone has taken in."""
    zones = 0
    for k in range(first.size):
        zones += parent[first[k]] == first[k]
    zone_rank = np.empty(zones, np.int32)
    zone_size = np.empty(zones, np.int32)
    kept = 0
    for k in range(first.size):
        n = first[k]
        if parent[n] == n:
            zone_rank[kept] = ranks[where[n]]
            zone_size[kept] = size[n]
            kept += 1
    return zone_rank, zone_size


@jit
def runs_and_zones(
    ranks: Any, where: Any, number: Any, starts: Any, stops: Any, offsets: Any, joins: Any, counts: Any, longest: int
) -> Any:
    """Return the run lengths along each direction, and every connected zone of equal grey level.

    One walk over the voxels serves both: each looks only at the earlier neighbours of its own level, and
    most have few.

    Parameters
    ----------
    ranks : array of int
        The padded memory: grey levels from 1, without gaps or not.
    where : array of int, shape (voxels,)
        The region's voxels in it, ascending.
    number : array of int32
        In the padded memory, each voxel's place in `where`.
    starts, stops : array of int
        The region's rows in the padded memory.
    offsets : array of int, shape (n,)
        From a neighbour that comes earlier in memory; n is at most 13.
    joins : array
        The :func:`join_table` of the same neighbours.
    counts : array of int, shape (levels,)
        Voxels of each level.
    longest : int
        No run is longer.

    Returns
    -------
    runs : array of float64, shape (n, levels, longest found)
        Runs by direction, level and length.
    zone_rank, zone_size : array of int32, shape (zones,)
    """
    levels, directions, voxels = counts.size, offsets.size, where.size
    width = longest + 2
    reached = np.zeros((directions, (levels + 1) * width), np.int32)
    behind = np.empty((voxels, DIRECTIONS), np.uint16)
    parent = np.empty(voxels, np.int32)
    size = np.empty(voxels, np.int32)
    first = np.empty(voxels, np.int32)
    begun = 0
    most = 1
    alike = np.empty(SPAN, np.uint16)
    r = n = 0
    while r < starts.size:
        start, last = starts[r], sweep(starts, stops, r)
        stop = stops[last]
        if stop - start > alike.size:
            alike = np.empty(stop - start, np.uint16)
        alike[: stop - start] = 0
        for a in range(directions):
            other = ranks[start - offsets[a] : stop - offsets[a]]
            _mark_alike(ranks[start:stop], other, np.uint16(1 << a), alike[: stop - start])
        while n < voxels and where[n] < stop:
            p = where[n]
            bits = alike[p - start]
            for a in range(DIRECTIONS):
                behind[n, a] = 0
            if bits == 0:
                parent[n] = n
                size[n] = 1
                first[begun] = n
                begun += 1
                n += 1
                continue
            # The first voxel of a zone is its root.
            root = _root(parent, number[p - offsets[joins[bits, 0]]])
            for a in range(1, joins.shape[1]):
                if joins[bits, a] < 0:
                    break
                other_root = _root(parent, number[p - offsets[joins[bits, a]]])
                if other_root < root:
                    root, other_root = other_root, root
                if root != other_root:
                    parent[other_root] = root
                    size[root] += size[other_root]
            parent[n] = root
            size[root] += 1
            row = np.uintp(ranks[p] * width)
            left = np.uint32(bits)
            while left != 0:
                k = np.uintp(_lowest_bit(left))
                left &= left - np.uint32(1)
                length = behind[np.uintp(number[p - offsets[k]]), k] + 1
                behind[np.uintp(n), k] = length
                reached[k, row + np.uintp(length)] += 1
                most = max(most, length + 1)
            n += 1
        r = last + 1
    zone_rank, zone_size = _roots(first[:begun], parent, size, ranks, where)
    return _run_lengths(reached, counts, width, most), zone_rank, zone_size
