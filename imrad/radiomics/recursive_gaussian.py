"""Laplacian of Gaussian by recursion along lines as ITK computes it, on many lines at once.

Each line is filtered forwards and backwards by four values before and four results before, whose
weights approximate a Gaussian or its second derivative (Deriche 1993, INRIA report 1893; Farnebäck and
Westin 2006, doi 10.1007/s10851-006-8464-z). Beyond its ends a line goes on as it ends.
Sums run in ITK's order, so that all but about one value in 100,000 agree to the last bit.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imrad.radiomics.kernels import jit

__all__ = ["laplacian"]

# Of the series of exponentials that approximates a Gaussian (row 0) and its second derivative (row 1).
A1, B1 = (1.3530, -1.3563), (1.8151, 5.2318)
A2, B2 = (-0.3531, 0.3446), (0.0902, -2.2355)
W1, L1, W2, L2 = 0.6681, -1.3932, 2.0787, -1.3732
# Lines that are filtered at once: their values and results stay next to the processor.
LINES = 64


def laplacian(image: NDArray[Any], spacing_mm: tuple[float, float, float], sigma_mm: float) -> NDArray[np.float32]:
    """Return the Laplacian of Gaussian, normalised across scales.

    Parameters
    ----------
    image : array, shape (z, y, x)
        At least four voxels along each axis.
    spacing_mm : tuple of float
        Along x, y, z.
    sigma_mm : float
    """
    steps = spacing_mm[::-1]
    # As in ITK, what lies between two passes is kept in single precision.
    values = np.ascontiguousarray(image, dtype=np.float32 if image.dtype.itemsize < 4 else image.dtype)
    if values.dtype != np.float32:
        values = values.astype(np.float64)
    first, second = np.empty(values.shape, np.float32), np.empty(values.shape, np.float32)
    total = np.zeros(values.shape, np.float32)
    for axis in (2, 1, 0):
        smoothed = [other for other in (2, 1, 0) if other != axis]
        _along(axis, values, _weights(sigma_mm, steps[axis], derivative=True), first)
        _along(smoothed[0], first, _weights(sigma_mm, steps[smoothed[0]], derivative=False), second)
        _along(smoothed[1], second, _weights(sigma_mm, steps[smoothed[1]], derivative=False), first)
        _add(first.reshape(-1), steps[axis] * steps[axis], total.reshape(-1))
    return total


@jit
def _add(part: Any, square: float, total: Any) -> None:
    for n in range(total.size):
        total[n] = total[n] + part[n] / square


def _along(axis: int, values: NDArray[Any], weights: NDArray[np.float64], out: NDArray[np.float32]) -> None:
    depth, height, width = values.shape
    shape = {0: (1, depth, height * width), 1: (depth, height, width), 2: (1, depth * height, width)}[axis]
    _filter(values.reshape(shape), weights, axis == 2, out.reshape(shape))


def _exponentials(sigma: float) -> tuple[float, float, float, float, float, float]:
    return (
        math.sin(W1 / sigma),
        math.sin(W2 / sigma),
        math.cos(W1 / sigma),
        math.cos(W2 / sigma),
        math.exp(L1 / sigma),
        math.exp(L2 / sigma),
    )


def _numerator(sigma: float, row: int) -> list[float]:
    a1, b1, a2, b2 = A1[row], B1[row], A2[row], B2[row]
    sin1, sin2, cos1, cos2, exp1, exp2 = _exponentials(sigma)
    n1 = exp2 * (b2 * sin2 - (a2 + 2 * a1) * cos2)
    n1 += exp1 * (b1 * sin1 - (a1 + 2 * a2) * cos1)
    n2 = (a1 + a2) * cos2 * cos1
    n2 -= b1 * cos2 * sin1 + b2 * cos1 * sin2
    n2 *= 2 * exp1 * exp2
    n2 += a2 * exp1 * exp1 + a1 * exp2 * exp2
    n3 = exp2 * exp1 * exp1 * (b2 * sin2 - a2 * cos2)
    n3 += exp1 * exp2 * exp2 * (b1 * sin1 - a1 * cos1)
    return [a1 + a2, n1, n2, n3]


def _denominator(sigma: float) -> list[float]:
    _, _, cos1, cos2, exp1, exp2 = _exponentials(sigma)
    d3 = -2 * cos1 * exp1 * exp2 * exp2
    d3 += -2 * cos2 * exp2 * exp1 * exp1
    d2 = 4 * cos2 * cos1 * exp1 * exp2
    d2 += exp1 * exp1 + exp2 * exp2
    return [-2 * (exp2 * cos2 + exp1 * cos1), d2, d3, exp1 * exp1 * exp2 * exp2]


def _weights(sigma_mm: float, step_mm: float, *, derivative: bool) -> NDArray[np.float64]:
    """Return the weights of values (forwards, backwards), of results, and of what lies beyond either end."""
    sigma = sigma_mm / step_mm
    d1, d2, d3, d4 = d = _denominator(sigma)
    sum_d = 1.0 + d1 + d2 + d3 + d4
    n = _numerator(sigma, 0)
    sum_n = n[0] + n[1] + n[2] + n[3]
    if derivative:
        second = _numerator(sigma, 1)
        sum_second = second[0] + second[1] + second[2] + second[3]
        beta = -(2 * sum_second - sum_d * second[0]) / (2 * sum_n - sum_d * n[0])
        slope = n[1] + 2 * n[2] + 3 * n[3]
        bend = n[1] + 4 * n[2] + 9 * n[3]
        slope = (second[1] + 2 * second[2] + 3 * second[3]) + beta * slope
        bend = (second[1] + 4 * second[2] + 9 * second[3]) + beta * bend
        n = [b + beta * a for a, b in zip(n, second, strict=True)]
        sum_n = sum_second + beta * sum_n
        slope_d = d1 + 2 * d2 + 3 * d3 + 4 * d4
        bend_d = d1 + 4 * d2 + 9 * d3 + 16 * d4
        scale = bend * sum_d * sum_d - bend_d * sum_n * sum_d - 2 * slope * slope_d * sum_d
        scale = (scale + 2 * slope_d * slope_d * sum_n) / (sum_d * sum_d * sum_d)
        n = [a * (sigma_mm * sigma_mm / scale) for a in n]
    else:
        scale = 2 * sum_n / sum_d - n[0]
        n = [a * (1.0 / scale) for a in n]
    m = [n[1] - d1 * n[0], n[2] - d2 * n[0], n[3] - d3 * n[0], -d4 * n[0]]
    sum_n = n[0] + n[1] + n[2] + n[3]
    sum_m = m[0] + m[1] + m[2] + m[3]
    return np.array([n, m, d, [a * sum_n / sum_d for a in d], [a * sum_m / sum_d for a in d]])


@jit
def _filter(data: Any, weights: Any, rows: bool, out: Any) -> None:
    """Filter along the middle axis, or along rows."""
    n, lines = (data.shape[2], data.shape[1]) if rows else (data.shape[1], data.shape[2])
    last = n - 1
    # Where there are fewer lines, the rest holds anything, so it starts as a number.
    values, ahead, back = np.zeros((n, LINES)), np.empty((n, LINES)), np.empty((n, LINES))
    for a in range(data.shape[0]):
        for start in range(0, lines, LINES):
            width = min(LINES, lines - start)
            _load(data[a], start, width, rows, values)
            for i in range(n):
                _weigh(ahead, i, values, i, max(i - 1, 0), max(i - 2, 0), max(i - 3, 0), weights[0])
                if i >= 4:
                    _subtract(ahead, i, i - 1, i - 2, i - 3, i - 4, weights[2])
                else:
                    _subtract_at_end(ahead, i, -1, values, 0, weights[2], weights[3])
            for k in range(n):
                i = last - k
                _weigh(
                    back, i, values, min(i + 1, last), min(i + 2, last), min(i + 3, last), min(i + 4, last), weights[1]
                )
                if k >= 4:
                    _subtract(back, i, i + 1, i + 2, i + 3, i + 4, weights[2])
                else:
                    _subtract_at_end(back, i, 1, values, last, weights[2], weights[4])
            _store(ahead, back, start, width, rows, out[a])


@jit
def _load(data: Any, start: int, width: int, rows: bool, values: Any) -> None:
    if rows:
        for c in range(width):
            for i in range(values.shape[0]):
                values[i, c] = data[start + c, i]
    else:
        for i in range(values.shape[0]):
            for c in range(width):
                values[i, c] = data[i, start + c]


@jit
def _store(ahead: Any, back: Any, start: int, width: int, rows: bool, out: Any) -> None:
    if rows:
        for c in range(width):
            for i in range(ahead.shape[0]):
                out[start + c, i] = ahead[i, c] + back[i, c]
    else:
        for i in range(ahead.shape[0]):
            for c in range(width):
                out[i, start + c] = ahead[i, c] + back[i, c]


@jit
def _weigh(found: Any, i: int, values: Any, a: int, b: int, c: int, d: int, weights: Any) -> None:
    wa, wb, wc, wd = weights[0], weights[1], weights[2], weights[3]
    for n in range(LINES):
        found[i, n] = values[a, n] * wa + values[b, n] * wb + values[c, n] * wc + values[d, n] * wd


@jit
def _subtract(found: Any, i: int, a: int, b: int, c: int, d: int, weights: Any) -> None:
    wa, wb, wc, wd = weights[0], weights[1], weights[2], weights[3]
    for n in range(LINES):
        found[i, n] -= found[a, n] * wa + found[b, n] * wb + found[c, n] * wc + found[d, n] * wd


@jit
def _subtract_at_end(found: Any, i: int, side: int, values: Any, end: int, weights: Any, beyond: Any) -> None:
    """Subtract results before, or where there are none the line's first value."""
    before = abs(i - end)
    for n in range(LINES):
        total = 0.0
        for k in range(4):
            total += found[i + side * (k + 1), n] * weights[k] if k < before else values[end, n] * beyond[k]
        found[i, n] -= total
