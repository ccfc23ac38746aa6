"""Loops of perturbation: sampling a rotated, shifted grid, and dividing an image into supervoxels."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imrad.radiomics.kernels import jit

__all__ = ["add_noise", "sample_image", "sample_mask", "spline", "supervoxels"]


@cache
def _normal_steps() -> NDArray[np.float32]:
    """Return 2^16 equally likely values of a normal distribution of variance 1, up to 4.3 from 0."""
    from scipy.special import ndtri

    steps = ndtri((np.arange(1 << 16) + 0.5) / (1 << 16))
    steps /= np.sqrt(np.mean(steps**2))
    return np.asarray(steps, dtype=np.float32)


def add_noise(values: NDArray[np.float32], level: float, draw: np.random.Generator) -> NDArray[np.float32]:
    """Return the values with normal noise, drawn of 2^16 steps, which takes a third of the time of exact draws."""
    words = draw.integers(0, 1 << 64, size=-(-values.size // 4), dtype=np.uint64).astype("<u8", copy=False)
    noisy = np.empty(values.shape, np.float32)
    _add_steps(values.ravel(), words.view("<u2"), np.float32(level) * _normal_steps(), noisy.reshape(-1))
    return noisy


@jit
def _add_steps(values: Any, which: Any, steps: Any, out: Any) -> None:
    for n in range(values.size):
        out[n] = values[n] + steps[which[n]]


def spline(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return cubic B-spline coefficients, mirrored at the ends."""
    coefficients: NDArray[np.float32] = values.copy()
    for axis in range(3):
        turned = np.moveaxis(coefficients, axis, 0)
        if turned.shape[0] > 1:
            # Lines run along the first axis: neighbours in memory are filtered side by side.
            rows = np.ascontiguousarray(turned).reshape(turned.shape[0], -1)
            _filter_lines(rows)
            coefficients = np.ascontiguousarray(np.moveaxis(rows.reshape(turned.shape), 0, axis))
    return coefficients


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


@jit
def _inner(plane: Any, low_y: int, low_x: int, t: Any, s: Any) -> Any:
    """Return the bicubic spline's value where all sixteen coefficients lie on the plane."""
    one, half, sixth = np.float32(1.0), np.float32(0.5), np.float32(1.0 / 6.0)
    two_thirds = np.float32(2.0 / 3.0)
    # Unsigned: no index is looked at for being negative.
    y, x = np.uintp(low_y - 1), np.uintp(low_x - 1)
    i, ii, iii = np.uintp(1), np.uintp(2), np.uintp(3)
    u, v = one - t, one - s
    x0, x3 = v * v * v * sixth, s * s * s * sixth
    x1, x2 = two_thirds - s * s * (one - half * s), two_thirds - v * v * (one - half * v)
    y0, y3 = u * u * u * sixth, t * t * t * sixth
    y1, y2 = two_thirds - t * t * (one - half * t), two_thirds - u * u * (one - half * u)
    a, b, c, d = plane[y], plane[y + i], plane[y + ii], plane[y + iii]
    return (
        y0 * (x0 * a[x] + x1 * a[x + i] + x2 * a[x + ii] + x3 * a[x + iii])
        + y1 * (x0 * b[x] + x1 * b[x + i] + x2 * b[x + ii] + x3 * b[x + iii])
        + y2 * (x0 * c[x] + x1 * c[x + i] + x2 * c[x + ii] + x3 * c[x + iii])
        + y3 * (x0 * d[x] + x1 * d[x + i] + x2 * d[x + ii] + x3 * d[x + iii])
    )


@jit
def sample_image(coefficients: Any, matrix: Any, offset: Any, shape: Any) -> Any:
    """Sample an image by its cubic spline where a target grid's voxels lie.

    The map turns within slices: `matrix` mixes y with x, and leaves z to itself.
    """
    depth, height, width = coefficients.shape
    moved = np.empty(shape, np.float32)
    plane = np.empty((height, width), np.float32)
    where_y, where_x = np.empty(4, np.int64), np.empty(4, np.int64)
    wy, wx = np.empty(4, np.float32), np.empty(4, np.float32)
    for z in range(shape[0]):
        _weights(matrix[0, 0] * z + offset[0], depth, where_y, wy)
        for y in range(height):
            for x in range(width):
                plane[y, x] = (
                    wy[0] * coefficients[where_y[0], y, x]
                    + wy[1] * coefficients[where_y[1], y, x]
                    + wy[2] * coefficients[where_y[2], y, x]
                    + wy[3] * coefficients[where_y[3], y, x]
                )
        for y in range(shape[1]):
            for x in range(shape[2]):
                at_y = matrix[1, 1] * y + matrix[1, 2] * x + offset[1]
                at_x = matrix[2, 1] * y + matrix[2, 2] * x + offset[2]
                low_y, low_x = int(np.floor(at_y)), int(np.floor(at_x))
                if 1 <= low_y < height - 2 and 1 <= low_x < width - 2:
                    moved[z, y, x] = _inner(plane, low_y, low_x, np.float32(at_y - low_y), np.float32(at_x - low_x))
                    continue
                _weights(at_y, height, where_y, wy)
                _weights(at_x, width, where_x, wx)
                total = np.float32(0.0)
                for i in range(4):
                    for j in range(4):
                        total += wy[i] * wx[j] * plane[where_y[i], where_x[j]]
                moved[z, y, x] = total
    return moved


@jit
def sample_mask(mask: Any, matrix: Any, offset: Any, shape: Any) -> Any:
    """Return where a region, sampled trilinearly where a target grid's voxels lie, is at least one half.

    The map turns by less than a quarter: along a row of the target, x grows.
    """
    depth, height, width = mask.shape
    inside = np.zeros(shape, np.bool_)
    plane = np.empty((height, width), np.float32)
    for z in range(shape[0]):
        at_z = matrix[0, 0] * z + offset[0]
        low_z = int(np.floor(at_z))
        t_z = np.float32(at_z - low_z)
        plane[:] = 0
        filled = False
        for dz in range(2):
            if 0 <= low_z + dz < depth:
                share = t_z if dz else np.float32(1.0) - t_z
                for y in range(height):
                    for x in range(width):
                        if mask[low_z + dz, y, x]:
                            plane[y, x] += share
                            filled = True
        if not filled:
            continue
        for y in range(shape[1]):
            # Only where the row crosses the mask's plane.
            first = _first_index(-1.0, matrix[2, 2], matrix[2, 1] * y + offset[2], shape[2])
            stop = _first_index(float(width), matrix[2, 2], matrix[2, 1] * y + offset[2], shape[2])
            for x in range(first, stop):
                at_y = matrix[1, 1] * y + matrix[1, 2] * x + offset[1]
                at_x = matrix[2, 1] * y + matrix[2, 2] * x + offset[2]
                low_y, low_x = int(np.floor(at_y)), int(np.floor(at_x))
                if low_y < 0 or low_x < 0 or low_y + 1 >= height or low_x + 1 >= width:
                    inside[z, y, x] = _at_the_border(plane, at_y, at_x) >= 0.5
                    continue
                t_y, t_x = np.float32(at_y - low_y), np.float32(at_x - low_x)
                upper = plane[low_y, low_x] + t_x * (plane[low_y, low_x + 1] - plane[low_y, low_x])
                lower = plane[low_y + 1, low_x] + t_x * (plane[low_y + 1, low_x + 1] - plane[low_y + 1, low_x])
                inside[z, y, x] = upper + t_y * (lower - upper) >= 0.5
    return inside


@jit
def _first_index(place: float, step: float, offset: float, n: int) -> int:
    """Return the first of n indices (or n) at which ``step * index + offset`` is not before a place."""
    return min(max(int(np.ceil((place - offset) / step)), 0), n)


@jit
def _at_the_border(plane: Any, at_y: float, at_x: float) -> float:
    """Sample a plane bilinearly where it may end; beyond it is nothing."""
    height, width = plane.shape
    low_y, low_x = int(np.floor(at_y)), int(np.floor(at_x))
    share = 0.0
    for k in range(4):
        dy, dx = k >> 1, k & 1
        y, x = low_y + dy, low_x + dx
        if 0 <= y < height and 0 <= x < width:
            share += (
                (at_y - low_y if dy else 1 - at_y + low_y) * (at_x - low_x if dx else 1 - at_x + low_x) * plane[y, x]
            )
    return share


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
    labels = np.zeros(values.shape, np.int32)
    for _ in range(rounds):
        _give(values, centres, reach, step, likeness, labels)
        sums = np.zeros((len(centres), 5))
        for z in range(shape[0]):
            for y in range(shape[1]):
                for x in range(shape[2]):
                    row = sums[labels[z, y, x]]
                    row[0] += z
                    row[1] += y
                    row[2] += x
                    row[3] += values[z, y, x]
                    row[4] += 1
        for c in range(len(centres)):
            if sums[c, 4] > 0:
                centres[c] = sums[c, :4] / sums[c, 4]
    return labels


@jit
def _give(values: Any, centres: Any, reach: Any, step: Any, likeness: float, labels: Any) -> None:
    """Give every voxel to the nearest centre."""
    shape = values.shape
    nearest = np.full(shape, np.inf, np.float32)
    for c in range(len(centres)):
        at_z, at_y, at_x, value = centres[c]
        for z in range(max(0, int(at_z - reach[0])), min(shape[0], int(at_z + reach[0]) + 2)):
            far_z = ((z - at_z) * step[0]) ** 2
            for y in range(max(0, int(at_y - reach[1])), min(shape[1], int(at_y + reach[1]) + 2)):
                far_y = far_z + ((y - at_y) * step[1]) ** 2
                for x in range(max(0, int(at_x - reach[2])), min(shape[2], int(at_x + reach[2]) + 2)):
                    far = np.float32(far_y + ((x - at_x) * step[2]) ** 2 + ((values[z, y, x] - value) / likeness) ** 2)
                    if far < nearest[z, y, x]:
                        nearest[z, y, x] = far
                        labels[z, y, x] = c
