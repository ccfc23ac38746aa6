"""Loops of perturbation: sampling a rotated, shifted grid, and dividing an image into supervoxels."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imrad.radiomics.kernels import jit

__all__ = ["add_noise", "diagonal_detail", "sample_image", "sample_mask", "supervoxels"]

# A multiple of what the compiled loops take at once: shorter rests would be done one by one.
LANES = 32


@cache
def _normal_steps() -> NDArray[np.float32]:
    """Return 2^16 equally likely values of a normal distribution of variance 1, up to 4.3 from 0."""
    from scipy.special import ndtri

    steps = ndtri((np.arange(1 << 16) + 0.5) / (1 << 16))
    steps /= np.sqrt(np.mean(steps**2))
    return np.asarray(steps, dtype=np.float32)


def add_noise(values: NDArray[np.float32], level: float, draw: np.random.Generator) -> None:
    """Add normal noise in place, drawn of 2^16 steps, which takes a third of the time of exact draws."""
    words = draw.integers(0, 1 << 64, size=-(-values.size // 4), dtype=np.uint64).astype("<u8", copy=False)
    _add_steps(values.reshape(-1), words.view("<u2"), np.float32(level) * _normal_steps())


@jit
def _add_steps(values: Any, which: Any, steps: Any) -> None:
    for n in range(values.size):
        values[n] += steps[which[n]]


@jit
def _filter_lines(rows: Any) -> None:
    """Turn samples into cubic B-spline coefficients along the first axis, in place.

    References
    ----------
    Unser 1999, doi 10.1109/79.799930.
    """
    n, width = rows.shape
    pole = np.float32(np.sqrt(3.0) - 2.0)
    start = np.zeros(width, np.float32)
    weight = np.float32(1.0)
    for k in range(min(n, 16)):
        for j in range(width):
            start[j] += weight * rows[k, j]
        weight *= pole
    gain = np.float32(6.0)
    for j in range(width):
        rows[0, j] = gain * start[j]
    for k in range(1, n):
        for j in range(width):
            rows[k, j] = gain * rows[k, j] + pole * rows[k - 1, j]
    last = pole / (pole * pole - np.float32(1.0))
    for j in range(width):
        rows[n - 1, j] = last * (rows[n - 1, j] + pole * rows[n - 2, j])
    for k in range(n - 2, -1, -1):
        for j in range(width):
            rows[k, j] = pole * (rows[k + 1, j] - rows[k, j])


@jit
def _weights(at: float, n: int, where: Any, weights: Any) -> None:
    """Write the four indices, mirrored at the ends, and weights of the cubic B-spline around a place."""
    low = int(np.floor(at))
    t = np.float32(at - low)
    u = np.float32(1.0) - t
    sixth = np.float32(1.0 / 6.0)
    weights[0] = u * u * u * sixth
    weights[1] = np.float32(2.0 / 3.0) - t * t * (np.float32(1.0) - np.float32(0.5) * t)
    weights[2] = np.float32(2.0 / 3.0) - u * u * (np.float32(1.0) - np.float32(0.5) * u)
    weights[3] = t * t * t * sixth
    if low >= 1 and low + 2 < n:
        for tap in range(4):
            where[tap] = low - 1 + tap
        return
    period = max(2 * (n - 1), 1)
    for tap in range(4):
        index = (low - 1 + tap) % period
        where[tap] = min(index, period - index) if n > 1 else 0


def sample_image(
    values: NDArray[np.float32], matrix: NDArray[np.float64], offset: NDArray[np.float64], shape: tuple[int, int, int]
) -> NDArray[np.float32]:
    """Sample an image by its cubic B-spline, mirrored at the ends, where a target grid's voxels lie.

    The map turns within slices: `matrix` mixes y with x, and leaves z to itself. So all voxels of a
    target's column along z lie at one place of the plane, and are sampled side by side.

    Parameters
    ----------
    values : array of float32, shape (z, y, x)
        Used up.
    matrix, offset : arrays
        From the target's indices to the image's, in z, y, x order.
    shape : tuple of int
        Of the target.
    """
    depth, height, width = values.shape
    if depth > 1:
        _filter_lines(values.reshape(depth, -1))
    columns = np.zeros((height, width, -(-shape[0] // LANES) * LANES), np.float32)
    _sample_slices(values, matrix[0, 0], offset[0], shape[0], columns)
    if height > 1:
        _filter_lines(columns.reshape(height, -1))
    if width > 1:
        _filter_rows(columns)
    moved = np.empty(shape, np.float32)
    _sample_columns(columns, matrix, offset, moved)
    return moved


@jit
def _filter_rows(columns: Any) -> None:
    for y in range(columns.shape[0]):
        _filter_lines(columns[y])


@jit
def _sample_slices(coefficients: Any, step: float, start: float, n: int, columns: Any) -> None:
    """Sample a spline along z, and turn the result so that z runs fastest."""
    depth, height, width = coefficients.shape
    where, weights = np.empty((n, 4), np.int64), np.empty((n, 4), np.float32)
    for z in range(n):
        _weights(step * z + start, depth, where[z], weights[z])
    row = np.empty(width, np.float32)
    for y in range(height):
        for z in range(n):
            a, b, c, d = weights[z]
            before, low = coefficients[where[z, 0], y], coefficients[where[z, 1], y]
            high, after = coefficients[where[z, 2], y], coefficients[where[z, 3], y]
            for x in range(width):
                row[x] = a * before[x] + b * low[x] + c * high[x] + d * after[x]
            for x in range(width):
                columns[y, x, z] = row[x]


@jit
def _sample_columns(columns: Any, matrix: Any, offset: Any, moved: Any) -> None:
    """Sample columns along z at their place in the plane."""
    height, width, lanes = columns.shape
    where_y, where_x = np.empty(4, np.int64), np.empty(4, np.int64)
    wy, wx = np.empty(4, np.float32), np.empty(4, np.float32)
    row = np.empty((moved.shape[2], lanes), np.float32)
    for y in range(moved.shape[1]):
        row[:] = 0
        for x in range(moved.shape[2]):
            _weights(matrix[1, 1] * y + matrix[1, 2] * x + offset[1], height, where_y, wy)
            _weights(matrix[2, 1] * y + matrix[2, 2] * x + offset[2], width, where_x, wx)
            total = row[x]
            for i in range(4):
                line = columns[where_y[i]]
                before, low = line[where_x[0]], line[where_x[1]]
                high, after = line[where_x[2]], line[where_x[3]]
                a, b, c, d = wy[i] * wx[0], wy[i] * wx[1], wy[i] * wx[2], wy[i] * wx[3]
                for z in range(lanes):
                    total[z] += a * before[z] + b * low[z] + c * high[z] + d * after[z]
        for z in range(moved.shape[0]):
            for x in range(moved.shape[2]):
                moved[z, y, x] = row[x, z]


def sample_mask(
    mask: NDArray[np.bool_], matrix: NDArray[np.float64], offset: NDArray[np.float64], shape: tuple[int, int, int]
) -> NDArray[np.bool_]:
    """Return where a region, sampled trilinearly where a target grid's voxels lie, is at least one half.

    Parameters are those of :func:`sample_image`; beyond the mask there is nothing. The map turns by
    less than a quarter: along a row of the target, x grows.
    """
    inside = np.zeros(shape, np.bool_)
    # One voxel of nothing around the plane, so that no neighbour is missing.
    columns = np.zeros((mask.shape[1] + 2, mask.shape[2] + 2, -(-shape[0] // LANES) * LANES), np.float32)
    _share_slices(mask, matrix[0, 0], offset[0], shape[0], columns)
    _share_columns(columns, matrix, offset + 1, inside)
    return inside


@jit
def _share_slices(mask: Any, step: float, start: float, n: int, columns: Any) -> None:
    depth, height, width = mask.shape
    for z in range(n):
        at = step * z + start
        low = int(np.floor(at))
        for dz in range(2):
            if 0 <= low + dz < depth:
                share = np.float32(at - low) if dz else np.float32(1.0) - np.float32(at - low)
                for y in range(height):
                    for x in range(width):
                        if mask[low + dz, y, x]:
                            columns[y + 1, x + 1, z] += share


@jit
def _share_columns(columns: Any, matrix: Any, offset: Any, inside: Any) -> None:
    height, width, lanes = columns.shape
    row = np.empty((inside.shape[2], lanes), np.float32)
    for y in range(inside.shape[1]):
        # Only where the row crosses the plane.
        first = _first_index(0.0, matrix[2, 2], matrix[2, 1] * y + offset[2], inside.shape[2])
        stop = _first_index(width - 1.0, matrix[2, 2], matrix[2, 1] * y + offset[2], inside.shape[2])
        for x in range(first, stop):
            at_y = matrix[1, 1] * y + matrix[1, 2] * x + offset[1]
            at_x = matrix[2, 1] * y + matrix[2, 2] * x + offset[2]
            low_y, low_x = int(np.floor(at_y)), int(np.floor(at_x))
            share = row[x]
            if low_y < 0 or low_x < 0 or low_y + 1 >= height or low_x + 1 >= width:
                share[:] = 0
                continue
            t_y, t_x = np.float32(at_y - low_y), np.float32(at_x - low_x)
            a, b = columns[low_y, low_x], columns[low_y, low_x + 1]
            c, d = columns[low_y + 1, low_x], columns[low_y + 1, low_x + 1]
            for z in range(lanes):
                upper, lower = a[z] + t_x * (b[z] - a[z]), c[z] + t_x * (d[z] - c[z])
                share[z] = upper + t_y * (lower - upper)
        for z in range(inside.shape[0]):
            for x in range(first, stop):
                inside[z, y, x] = row[x, z] >= np.float32(0.5)


@jit
def _first_index(place: float, step: float, offset: float, n: int) -> int:
    """Return the first of n indices (or n) at which ``step * index + offset`` is not before a place."""
    return min(max(int(np.ceil((place - offset) / step)), 0), n)


@jit
def diagonal_detail(values: Any, taps: Any) -> Any:
    """Return a filter's output along y and then x, without the rim that it does not cover."""
    depth, height, width = values.shape
    reach = taps.size - 1
    detail = np.zeros((depth, max(height - reach, 0), max(width - reach, 0)), np.float32)
    line = np.empty(width, np.float32)
    for z in range(depth):
        for y in range(height - reach):
            line[:] = 0
            for k in range(taps.size):
                source = values[z, y + k]
                for x in range(width):
                    line[x] += taps[k] * source[x]
            out = detail[z, y]
            for k in range(taps.size):
                for x in range(out.size):
                    out[x] += taps[k] * line[x + k]
    return detail


@jit
def supervoxels(values: Any, sampling_mm: Any, side_mm: float, likeness: float, rounds: int) -> Any:
    """Divide an image into supervoxels of about a side's size that follow its edges (SLIC).

    Each round gives every voxel to the nearest of the centres around it, by squared distance over
    `side_mm` plus squared difference of value over `likeness`, and moves centres to their voxels' means.
    """
    shape = np.array(values.shape)
    step = sampling_mm / side_mm
    counts = np.maximum(1, np.rint(shape * step)).astype(np.int64)
    reach = shape / counts
    centres = np.empty((counts.prod(), 4))
    for c in range(len(centres)):
        cell = np.array([c // (counts[1] * counts[2]), (c // counts[2]) % counts[1], c % counts[2]])
        centres[c, :3] = (cell + 0.5) * shape / counts - 0.5
        z, y, x = centres[c, :3]
        centres[c, 3] = values[int(z + 0.5), int(y + 0.5), int(x + 0.5)]
    labels = np.zeros(values.shape, np.int64)
    nearest = np.empty(values.shape, np.float32)
    for left in range(rounds, 0, -1):
        nearest[:] = np.inf
        _give(values, centres, reach, step, likeness, nearest, labels)
        if left > 1:
            _centre(values, labels, centres)
    return labels


@jit
def _centre(values: Any, labels: Any, centres: Any) -> None:
    """Move centres to the means of their voxels."""
    depth, height, width = values.shape
    sums = np.zeros((len(centres), 5))
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                row = sums[labels[z, y, x]]
                row[0] += z
                row[1] += y
                row[2] += x
                row[3] += values[z, y, x]
                row[4] += 1
    for c in range(len(centres)):
        if sums[c, 4] > 0:
            for k in range(4):
                centres[c, k] = sums[c, k] / sums[c, 4]


@jit
def _give(values: Any, centres: Any, reach: Any, step: Any, likeness: float, nearest: Any, labels: Any) -> None:
    """Give every voxel to the nearest centre."""
    depth, height, width = values.shape
    sharpness = np.float32(1 / likeness)
    step_x = np.float32(step[2])
    for c in range(len(centres)):
        at_z, at_y, at_x, value = centres[c]
        centre_x, centre_value = np.float32(at_x), np.float32(value)
        first, stop = max(0, int(at_x - reach[2])), min(width, int(at_x + reach[2]) + 2)
        for z in range(max(0, int(at_z - reach[0])), min(depth, int(at_z + reach[0]) + 2)):
            far_z = ((z - at_z) * step[0]) ** 2
            for y in range(max(0, int(at_y - reach[1])), min(height, int(at_y + reach[1]) + 2)):
                far_y = np.float32(far_z + ((y - at_y) * step[1]) ** 2)
                row, best, own = values[z, y, first:stop], nearest[z, y, first:stop], labels[z, y, first:stop]
                left = np.float32(first) - centre_x
                for n in range(row.size):
                    aside = (left + np.float32(n)) * step_x
                    unlike = (row[n] - centre_value) * sharpness
                    far = far_y + aside * aside + unlike * unlike
                    # Chosen, not jumped to: where voxels of two centres mix, no guess of a jump is right.
                    closer = far < best[n]
                    best[n] = far if closer else best[n]
                    own[n] = c if closer else own[n]
