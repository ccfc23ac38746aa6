"""Grey levels and first-order statistics of the intensities in a region."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from imrad.exceptions import ImageError
from imrad.radiomics.kernels import EPS, jit
from imrad.radiomics.settings import FilterSettings

__all__ = ["bin_edges", "first_order_features"]

MOST_LEVELS = 2**20
BUCKETS = 1024


def bin_edges(values: npt.NDArray[Any], settings: FilterSettings) -> npt.NDArray[np.float64]:
    """Return the lower edges of the grey levels, as pyradiomics sets them.

    Parameters
    ----------
    values : array, shape (voxels,)
        Intensities in their own type: pyradiomics computes the first edge in single precision for
        single-precision images. Whole numbers are widened first, where pyradiomics wraps round
        (an 8-bit image above 205 at bin width 25).

    Raises
    ------
    ImageError
        If intensities are not finite, or there would be more than a million levels.
    """
    low, high = values.min(), values.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        message = "the region holds intensities that are not finite; replace them in the image first"
        raise ImageError(message)
    if settings.binCount is not None:
        try:
            edges = np.histogram_bin_edges(values, settings.binCount).astype(np.float64)
        except ValueError:
            # Alike but for rounding: no numbers fit between the edges, so they lie as for a constant.
            edges = np.histogram_bin_edges(values, settings.binCount, (low - 0.5, high + 0.5)).astype(np.float64)
        edges[-1] += 1  # the largest intensity belongs to the last level
        return edges
    width = settings.binWidth
    if np.issubdtype(values.dtype, np.integer):
        low, high = float(low), float(high)
    if (float(high) - float(low)) / width > MOST_LEVELS:
        message = (
            f"intensities from {low:g} to {high:g} give more than {MOST_LEVELS} grey levels at binWidth {width:g}; "
            "choose a larger binWidth or a binCount"
        )
        raise ImageError(message)
    edges = np.arange(low - (low % width), high + 2 * width, width)
    return edges.astype(np.float64)


@jit
def _moments(values: Any, mean: float, shift: float) -> Any:
    """Return central moments 2 to 4, the mean absolute deviation, and the sum of shifted squares."""
    m2 = m3 = m4 = deviation = energy = 0.0
    for n in range(values.size):
        d = values[n] - mean
        d2 = d * d
        m2 += d2
        m3 += d2 * d
        m4 += d2 * d2
        deviation += abs(d)
        e = values[n] + shift
        energy += e * e
    count = values.size
    return m2 / count, m3 / count, m4 / count, deviation / count, energy


@jit
def order_statistics(values: Any, ranks: Any) -> Any:
    """Return the values that would stand at these ranks if they were sorted: only their surroundings are."""
    low = values.min()
    width = values.max() - low
    # Buckets of equal width keep the order; only those into which a rank falls are gathered and sorted.
    scale = BUCKETS / width if width > 0.0 else np.inf
    if not (np.isfinite(width) and np.isfinite(scale)):
        ordered = np.sort(values)
        found = np.empty(ranks.size)
        for k in range(ranks.size):
            found[k] = ordered[ranks[k]]
        return found
    bucket = np.empty(values.size, np.int32)
    ends = np.zeros(BUCKETS + 1, np.int64)
    for n in range(values.size):
        bucket[n] = min(int((values[n] - low) * scale), BUCKETS - 1)
        ends[bucket[n] + 1] += 1
    for b in range(BUCKETS):
        ends[b + 1] += ends[b]
    wanted = np.zeros(BUCKETS, np.uint8)
    for k in range(ranks.size):
        wanted[np.searchsorted(ends, ranks[k], "right") - 1] = 1
    near = np.empty(values.size)
    home = np.empty(values.size, np.int32)
    kept = np.uintp(0)
    for n in range(values.size):
        near[kept], home[kept] = values[n], bucket[n]
        kept += np.uintp(wanted[bucket[n]])
    found = np.empty(ranks.size)
    last = -1
    members = near[:0]
    for k in range(ranks.size):
        b = np.searchsorted(ends, ranks[k], "right") - 1
        if b != last:
            members = np.empty(ends[b + 1] - ends[b])
            held = 0
            for n in range(kept):
                if home[n] == b:
                    members[held] = near[n]
                    held += 1
            members.sort()
            last = b
        found[k] = members[ranks[k] - ends[b]]
    return found


@jit
def _between(values: Any, low: float, high: float) -> Any:
    """Return the values from `low` to `high`, in their order."""
    found = np.empty_like(values)
    kept = np.uintp(0)
    for n in range(values.size):
        found[kept] = values[n]
        kept += np.uintp((values[n] >= low) & (values[n] <= high))
    return found[:kept]


def percentiles(values: npt.NDArray[np.float64], wanted: tuple[int, ...]) -> list[float]:
    """Return percentiles, to the last bit those of ``numpy.percentile``."""
    last = values.size - 1
    positions = [last * (q / 100) for q in wanted]
    ranks = np.array([min(int(p) + step, last) for p in positions for step in (0, 1)])
    at = order_statistics(values, ranks).tolist()
    found = []
    for n, position in enumerate(positions):
        a, b, t = at[2 * n], at[2 * n + 1], position - int(position)
        found.append(b - (b - a) * (1 - t) if t >= 0.5 else a + (b - a) * t)
    return found


def first_order_features(
    values: npt.NDArray[np.float64],
    counts: npt.NDArray[np.int64],
    settings: FilterSettings,
    voxel_volume: float,
) -> dict[str, float]:
    """Return the first-order features.

    Parameters
    ----------
    values : array, shape (voxels,)
        Intensities.
    counts : array
        Voxels of each grey level that occurs.
    voxel_volume : float
        In mm^3.
    """
    # The mean decides what a flat region's noise looks like: summed as numpy sums it.
    mean = float(values.sum() / values.size)
    m2, m3, m4, deviation, energy = _moments(values, mean, float(settings.voxelArrayShift))
    divisor = m2 if m2 != 0 else 1.0
    low, high = float(values.min()), float(values.max())
    p10, p25, median, p75, p90 = percentiles(values, (10, 25, 50, 75, 90))
    middle = _between(values, p10, p90)
    robust = float(np.abs(middle - middle.mean()).mean()) if middle.size else float("nan")
    share = counts / counts.sum()
    return {
        "10Percentile": p10,
        "90Percentile": p90,
        "Energy": energy,
        "Entropy": float(-(share * np.log2(share + EPS)).sum()),
        "InterquartileRange": p75 - p25,
        "Kurtosis": m4 / divisor**2,
        "Maximum": high,
        "MeanAbsoluteDeviation": deviation,
        "Mean": mean,
        "Median": median,
        "Minimum": low,
        "Range": high - low,
        "RobustMeanAbsoluteDeviation": robust,
        "RootMeanSquared": float(np.sqrt(energy / values.size)),
        "Skewness": m3 / divisor**1.5,
        "TotalEnergy": energy * voxel_volume,
        "Uniformity": float((share**2).sum()),
        "Variance": m2,
        "StandardDeviation": float(np.sqrt(m2)),
    }
