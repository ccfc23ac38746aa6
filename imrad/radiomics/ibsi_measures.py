"""Shape, intensity and histogram measures as the Image Biomarker Standardisation Initiative defines them.

References
----------
Zwanenburg et al. 2020, doi:10.1148/radiol.2020191145.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage, signal, spatial, special

from imrad.radiomics.settings import RadiomicsSettings
from imrad.radiomics.shape import mesh_measures, principal_axes

__all__ = ["histogram", "local_peaks", "morphology", "statistics", "volume_histogram"]

Array = npt.NDArray[Any]


def _mesh_vertices(mask: Array, step: Array) -> Array:
    vertices = []
    for axis in range(3):
        half = np.zeros(3)
        half[axis] = 0.5
        vertices.append(np.argwhere(np.diff(mask, axis=axis)) + half)
    return np.concatenate(vertices) * step  # type: ignore[no-any-return]


def _ellipsoid_area(a: float, b: float, c: float) -> float:
    """Return the surface area of an ellipsoid, by twenty Legendre polynomials (semi-axes descending)."""
    alpha, beta = np.sqrt(1 - b**2 / a**2), np.sqrt(1 - c**2 / a**2)
    at = 1.0 if alpha * beta == 0 else min((alpha**2 + beta**2) / (2 * alpha * beta), 1e6)
    order = np.arange(21)
    terms = (alpha * beta) ** order / (1 - 4.0 * order**2) * special.eval_legendre(order, at)
    if alpha * beta == 0:
        terms = (order == 0) * 1.0 - (order == 1) * (alpha**2 + beta**2) / 6
    return float(4 * np.pi * a * b * terms.sum())


def morphology(image: Array, mask: Array, kept: Array, spacing: tuple[float, float, float]) -> dict[str, float]:
    """Return the ``morph`` features; `mask` is the shape, `kept` the voxels whose intensities count."""
    step = np.array(spacing[::-1])
    padded = np.pad(mask, 1).astype(np.uint8)
    mesh = mesh_measures(padded, step)
    area, volume = mesh["area"], mesh["volume"]
    # The initiative's reference values divide by one voxel less than there are.
    least, minor, major = principal_axes(padded, step) * (mask.sum() / max(int(mask.sum()) - 1, 1))
    vertices = _mesh_vertices(padded.view(np.int8), step)
    extent = np.ptp(vertices, axis=0)
    box_area = 2 * (extent[0] * extent[1] + extent[0] * extent[2] + extent[1] * extent[2])
    values = image[kept].astype(np.float64)
    places = np.argwhere(kept) * step
    shift = np.argwhere(mask).mean(axis=0) * step - (places * values[:, None]).sum(axis=0) / values.sum()
    sphere_ratio = 36 * np.pi * volume**2 / area**3
    half = [2 * np.sqrt(max(v, 0.0)) for v in (major, minor, least)]
    out = {
        "volume": volume,
        "vol_approx": float(mask.sum() * step.prod()),
        "area_mesh": area,
        "av": area / volume,
        "comp_1": volume / (np.sqrt(np.pi) * area**1.5),
        "comp_2": sphere_ratio,
        "sph_dispr": sphere_ratio ** (-1 / 3),
        "sphericity": sphere_ratio ** (1 / 3),
        "asphericity": sphere_ratio ** (-1 / 3) - 1,
        "com": float(np.linalg.norm(shift)),
        "diam": mesh["whole"],
        "pca_maj_axis": 2 * half[0],
        "pca_min_axis": 2 * half[1],
        "pca_least_axis": 2 * half[2],
        "pca_elongation": half[1] / half[0],
        "pca_flatness": half[2] / half[0],
        "vol_dens_aabb": volume / float(extent.prod()),
        "area_dens_aabb": area / float(box_area),
        "integ_int": float(values.mean() * volume),
    }
    flat = half[2] <= 1e-9 * half[0]
    out["vol_dens_aee"] = np.nan if flat else 3 * volume / (4 * np.pi * half[0] * half[1] * half[2])
    out["area_dens_aee"] = np.nan if flat else area / _ellipsoid_area(half[0], half[1], half[2])
    hull = spatial.ConvexHull(vertices)
    out["vol_dens_conv_hull"] = volume / float(hull.volume)
    out["area_dens_conv_hull"] = area / float(hull.area)
    out |= _autocorrelation(values, kept, step)
    return {f"morph_{tag}": float(value) for tag, value in out.items()}


def _autocorrelation(values: Array, kept: Array, step: Array) -> dict[str, float]:
    """Return Moran's I and Geary's C with inverse distances as weights, by fast convolution."""
    where = np.argwhere(kept)
    low, high = where.min(axis=0), where.max(axis=0) + 1
    inside = kept[tuple(slice(a, b) for a, b in zip(low, high, strict=True))].astype(np.float64)
    centred = np.zeros_like(inside)
    centred[inside > 0] = values - values.mean()
    axes = [np.arange(-(n - 1), n) * s for n, s in zip(inside.shape, step, strict=True)]
    distance = np.sqrt(sum(a**2 for a in np.meshgrid(*axes, indexing="ij", sparse=True)))
    distance[tuple(n - 1 for n in inside.shape)] = np.inf
    weight = 1 / distance
    total_weight = (inside * _correlate(inside, weight)).sum()
    cross = (centred * _correlate(centred, weight)).sum()
    squares = (centred**2 * _correlate(inside, weight)).sum()
    n = values.size
    spread = ((values - values.mean()) ** 2).sum()
    if spread == 0:
        return {"moran_i": float("nan"), "geary_c": float("nan")}
    return {
        "moran_i": n / total_weight * cross / spread,
        "geary_c": (n - 1) / (2 * total_weight) * (2 * squares - 2 * cross) / spread,
    }


def _correlate(field: Array, weight: Array) -> Array:
    """Return the weighted sum over all voxels seen from each voxel; `weight` is symmetric about its middle."""
    full = signal.fftconvolve(field, weight, mode="full")
    start = [n - 1 for n in field.shape]
    return full[tuple(slice(s, s + n) for s, n in zip(start, field.shape, strict=True))]  # type: ignore[no-any-return]


def local_peaks(image: Array, kept: Array, spacing: tuple[float, float, float]) -> dict[str, float]:
    """Return the highest mean in a sphere of 1 cm^3, around the brightest voxel and anywhere in the region."""
    step = np.array(spacing[::-1])
    radius = (3 / (4 * np.pi)) ** (1 / 3) * 10
    reach = [int(radius / s) for s in step]
    axes = [np.arange(-r, r + 1) * s for r, s in zip(reach, step, strict=True)]
    ball = (sum(a**2 for a in np.meshgrid(*axes, indexing="ij", sparse=True)) <= radius**2).astype(np.float64)
    where = np.argwhere(kept)
    low = np.maximum(where.min(axis=0) - reach, 0)
    high = np.minimum(where.max(axis=0) + 1 + reach, image.shape)
    part = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    total = ndimage.convolve(image[part].astype(np.float64), ball, mode="constant")
    mean = total / ndimage.convolve(np.ones(image[part].shape), ball, mode="constant")
    inside = kept[part]
    bright = inside & (image[part] == image[kept].max())
    return {"loc_peak_loc": float(mean[bright].max()), "loc_peak_glob": float(mean[inside].max())}


def _moments(values: Array) -> dict[str, float]:
    mean = values.mean()
    d = values - mean
    var = float((d**2).mean())
    p10, p25, p50, p75, p90 = np.percentile(values, [10, 25, 50, 75, 90])
    middle = values[(values >= p10) & (values <= p90)]
    flat = var == 0
    return {
        "mean": mean,
        "var": var,
        "skew": 0.0 if flat else (d**3).mean() / var**1.5,
        "kurt": 0.0 if flat else (d**4).mean() / var**2 - 3,
        "median": p50,
        "min": values.min(),
        "p10": p10,
        "p90": p90,
        "max": values.max(),
        "iqr": p75 - p25,
        "range": np.ptp(values),
        "mad": np.abs(d).mean(),
        "rmad": np.abs(middle - middle.mean()).mean(),
        "medad": np.abs(values - p50).mean(),
        "cov": np.sqrt(var) / mean if mean else float("nan"),
        "qcod": (p75 - p25) / (p75 + p25) if p75 + p25 else float("nan"),
    }


def statistics(values: Array) -> dict[str, float]:
    """Return the ``stat`` features of intensities."""
    found = {**_moments(values), "energy": (values**2).sum(), "rms": np.sqrt((values**2).mean())}
    return {f"stat_{tag}": float(value) for tag, value in found.items()}


def histogram(levels: Array) -> dict[str, float]:
    """Return the ``ih`` features of grey levels."""
    counts = np.bincount(levels)[1:]
    share = counts[counts > 0] / counts.sum()
    found = _moments(levels.astype(np.float64))
    # Of several most frequent levels the one nearest to the mean.
    modes = np.flatnonzero(counts == counts.max()) + 1
    found["mode"] = float(modes[np.argmin(np.abs(modes - found["mean"]))])
    found["entropy"] = -(share * np.log2(share)).sum()
    found["uniformity"] = (share**2).sum()
    found |= dict.fromkeys(("max_grad", "max_grad_g", "min_grad", "min_grad_g"), np.nan)
    if counts.size > 1:
        gradient = np.gradient(counts.astype(np.float64))
        found["max_grad"], found["max_grad_g"] = gradient.max(), float(gradient.argmax() + 1)
        found["min_grad"], found["min_grad_g"] = gradient.min(), float(gradient.argmin() + 1)
    return {f"ih_{tag}": float(value) for tag, value in found.items()}


def volume_histogram(values: Array, whole: bool, settings: RadiomicsSettings) -> dict[str, float]:
    """Return the ``ivh`` features; `whole` says that intensities are whole numbers."""
    low, high = values.min(), values.max()
    if settings.resegmentRange is not None and settings.resegmentMode == "absolute":
        limits = sorted(settings.resegmentRange)
        low, high = limits[0], (limits[1] if len(limits) == 2 else high)
    tags = ("v10", "v90", "i10", "i90", "diff_v10_v90", "diff_i10_i90")
    if high == low:
        return {f"ivh_{tag}": float("nan") for tag in tags}
    if settings.ivhBinWidth is not None:
        width = settings.ivhBinWidth
        steps = low + width * (np.arange(int(np.ceil((high - low) / width - 1e-9))) + 0.5)
        values = low + width * (np.minimum(np.floor((values - low) / width), steps.size - 1) + 0.5)
        ordered = np.sort(values) + 1e-6 * width
    else:
        steps = np.arange(low, high + 1) if whole else np.linspace(low, high, 1001)
        ordered = np.sort(values)
    volume = 1 - np.searchsorted(ordered, steps, "left") / values.size
    share = (steps - low) / (high - low)

    def volume_at(x: float) -> float:
        return float(volume[np.flatnonzero(share >= x - 1e-12)[0]])

    def intensity_at(x: float) -> float:
        found = np.flatnonzero(volume <= x + 1e-12)
        return float(steps[found[0]] if found.size else steps[-1] + (steps[1] - steps[0]))

    v10, v90, i10, i90 = volume_at(0.1), volume_at(0.9), intensity_at(0.1), intensity_at(0.9)
    found = (v10, v90, i10, i90, v10 - v90, i10 - i90)
    return {f"ivh_{tag}": float(value) for tag, value in zip(tags, found, strict=True)}
