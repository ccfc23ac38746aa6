"""Features as the Image Biomarker Standardisation Initiative defines them (``mode: ibsi``).

Differs from the pyradiomics mode in the grid (aligned by the image's centre), the mask (linear
interpolation, 0.5 and above is inside), intensities (whole-number images are rounded, not cut off),
grey levels (from the lower end of ``resegmentRange``, or the region's minimum), re-segmentation
(intensities only, not shape), and in the features themselves. Their names are the tags of the
initiative's reference tables (``stat_mean``, ``cm_contrast_3D_avg``).

Aggregation: without ``force2D`` in three dimensions, ``3D_avg`` (mean over directions) and
``3D_comb`` (directions merged); with ``force2D`` by slice, ``2D_avg``, ``2D_comb`` (directions
merged), ``2_5D_avg`` (slices merged) and ``2_5D_comb`` (all merged).

Not implemented, of the initiative's first chapter: densities of the oriented minimum bounding box
and of the minimum volume enclosing ellipsoid (``morph_*_ombb``, ``morph_*_mvee``), and the area under
the intensity-volume curve (``ivh_auc``), none of which has consensus values. Of the second chapter
(filters): nothing; only the original image.

References
----------
Zwanenburg et al. 2020, doi:10.1148/radiol.2020191145.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from imrad.exceptions import RegionError
from imrad.radiomics import alike, cooccurrence, kernels, neighbours
from imrad.radiomics.ibsi_measures import histogram, local_peaks, morphology, statistics, volume_histogram
from imrad.radiomics.matrices import matrix_features
from imrad.radiomics.resample import Geometry
from imrad.radiomics.settings import RadiomicsSettings
from imrad.radiomics.texture import flat_rows, neighbour_steps

__all__ = ["extract_ibsi"]

Array = npt.NDArray[Any]

# Tags of the features of a matrix, in the order of matrices.matrix_features.
_MATRIX_TAGS = {
    "rlm": "glnu glnu_norm gl_var hgre lre lrhge lrlge lgre rl_entr rlnu rlnu_norm r_perc rl_var sre srhge srlge",
    "szm": "glnu glnu_norm gl_var hgze lze lzhge lzlge lgze zs_entr zsnu zsnu_norm z_perc zs_var sze szhge szlge",
    "dzm": "glnu glnu_norm gl_var hgze lde ldhge ldlge lgze zd_entr zdnu zdnu_norm z_perc zd_var sde sdhge sdlge",
    "ngl": "glnu glnu_norm gl_var hgce hde hdhge hdlge lgce dc_entr dcnu dcnu_norm dc_perc dc_var lde ldhge ldlge "
    "dc_energy",
}
_PERCENTAGE = 11

# Tag to position in cooccurrence.glcm_features.
_CM_TAGS = {
    "joint_max": 20,
    "joint_avg": 16,
    "joint_var": 23,
    "joint_entr": 18,
    "diff_avg": 6,
    "diff_var": 8,
    "diff_entr": 7,
    "sum_avg": 21,
    "sum_var": 3,
    "sum_entr": 22,
    "energy": 17,
    "contrast": 4,
    "dissimilarity": 6,
    "inv_diff": 9,
    "inv_diff_norm": 12,
    "inv_diff_mom": 10,
    "inv_diff_mom_norm": 11,
    "inv_var": 15,
    "corr": 5,
    "auto_corr": 0,
    "clust_tend": 3,
    "clust_shade": 2,
    "clust_prom": 1,
    "info_corr1": 13,
    "info_corr2": 14,
}


def extract_ibsi(image: Array, inside: Array, geometry: Geometry, settings: RadiomicsSettings) -> dict[str, float]:
    """Compute the features of one region by IBSI's definitions.

    Parameters
    ----------
    image : array, shape (z, y, x)
    inside : array of bool, shape (z, y, x)
    geometry : Geometry
    settings : RadiomicsSettings
        Read here: resampledPixelSpacing, interpolator (linear or B-spline), resegmentRange and mode,
        binWidth or binCount, force2D (slices across z), gldm_a, featureClass.

    Returns
    -------
    dict
        IBSI tag to value.

    Raises
    ------
    RegionError
        If nothing or a single voxel is left of the region.
    """
    if not inside.any():
        message = "the label is not in the mask: nothing to extract"
        raise RegionError(message)
    image, inside, spacing = _interpolated(image, inside, geometry.spacing, settings)
    shape_mask = inside
    kept = _resegmented(image, inside, settings)
    if kept.sum() < 2:
        message = (
            f"{int(kept.sum())} voxels are left of the region after resampling and re-segmentation; needs 2 or more"
        )
        raise RegionError(message)
    values = image[kept].astype(np.float64)
    levels = _levels(values, settings)
    wanted = settings.featureClass
    out: dict[str, float] = {}
    if "shape" in wanted:
        out |= morphology(image, shape_mask, kept, spacing)
    if "firstorder" in wanted:
        out |= local_peaks(image, kept, spacing)
        out |= statistics(values)
        out |= histogram(levels)
        out |= volume_histogram(values, np.issubdtype(image.dtype, np.integer), settings)
    if set(wanted) & {"glcm", "glrlm", "glszm", "gldm", "ngtdm"}:
        out |= _textures(kept, shape_mask, levels, settings)
    return out


def _interpolated(
    image: Array, inside: Array, spacing: tuple[float, float, float], settings: RadiomicsSettings
) -> tuple[Array, Array, tuple[float, float, float]]:
    wanted = settings.resampledPixelSpacing
    if wanted is None or settings.interpolator is None:
        return image, inside, spacing
    new = tuple(n or old for n, old in zip(wanted, spacing, strict=True))
    order = {"sitkNearestNeighbor": 0, "sitkLinear": 1, "sitkBSpline": 3}[settings.interpolator]
    places = []
    for axis in range(3):
        size, step = image.shape[axis], new[2 - axis] / spacing[2 - axis]
        number = int(np.ceil(size / step - 1e-9))
        place = (size - 1) / 2 + (np.arange(number) - (number - 1) / 2) * step
        covered = np.flatnonzero(inside.any(axis=tuple(a for a in range(3) if a != axis)))
        # What lies 8 mm beyond the region has no part in any feature.
        reach = 8.0 / spacing[2 - axis] + 2
        places.append(place[(place >= covered[0] - reach) & (place <= covered[-1] + reach)])
    values = _at(image.astype(np.float64), places, order)
    if np.issubdtype(image.dtype, np.integer):
        values = np.rint(values).astype(np.int64)
    return values, _at(inside.astype(np.float64), places, 1) >= 0.5 - 1e-9, (new[0], new[1], new[2])


def _at(image: Array, places: list[Array], order: int) -> Array:
    """Interpolate on the grid of places along each axis; beyond the last voxel centres the image goes on."""
    low = [max(int(np.floor(place[0])) - 12, 0) for place in places]
    high = [min(int(np.ceil(place[-1])) + 13, size) for place, size in zip(places, image.shape, strict=True)]
    part = image[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    grid = np.meshgrid(*[place - start for place, start in zip(places, low, strict=True)], indexing="ij")
    mode = "mirror" if order == 3 else "nearest"
    return ndimage.map_coordinates(part, grid, order=order, mode=mode)  # type: ignore[no-any-return]


def _resegmented(image: Array, inside: Array, settings: RadiomicsSettings) -> Array:
    if settings.resegmentRange is None:
        return inside
    limits = np.array(sorted(settings.resegmentRange), dtype=np.float64)
    if settings.resegmentMode == "sigma":
        values = image[inside].astype(np.float64)
        limits = values.mean() + limits * values.std()
    kept = inside & (image >= limits[0])
    return np.asarray(kept & (image <= limits[1]) if len(limits) == 2 else kept)


def _levels(values: Array, settings: RadiomicsSettings) -> Array:
    if settings.binCount is not None:
        low, high = values.min(), values.max()
        if high == low:
            return np.ones(values.size, np.int64)
        levels = np.floor(settings.binCount * (values - low) / (high - low)) + 1
        return np.asarray(np.minimum(levels, settings.binCount), dtype=np.int64)
    low = values.min()
    if settings.resegmentRange is not None and settings.resegmentMode == "absolute":
        low = min(settings.resegmentRange)
    return np.asarray(np.maximum(np.floor((values - low) / settings.binWidth) + 1, 1), dtype=np.int64)


# ---------------------------------------------------------------- textures


class _Part:
    """The texture matrices of one slice of the region, or of the whole of it."""

    def __init__(self, levels: Array, shape_mask: Array, steps: Array, top: int, longest: int, alpha: int) -> None:
        kept = levels > 0
        self.voxels = int(kept.sum())
        padded = np.pad(levels, 1).astype(np.int32)
        strides = np.array([padded.shape[1] * padded.shape[2], padded.shape[2], 1])
        where, starts, stops = flat_rows(padded)
        flat = padded.ravel()
        number = np.zeros(flat.size, np.int32)
        number[where] = np.arange(where.size)
        offsets = steps @ strides
        both = np.concatenate([offsets, -offsets])
        counted = kernels.count_neighbours(flat, where, offsets)
        counts = np.bincount(levels[kept], minlength=top + 1)[1:]
        joins = alike.join_table(steps)
        self.co = cooccurrence.glcm_matrices(flat, where, offsets, np.empty(0), top, True)
        self.runs, _, _ = alike.runs_and_zones(flat, where, number, starts, stops, offsets, joins, counts, longest)
        voxels, difference, self.dependence = neighbours.neighbourhood(
            flat, flat, where, starts, stops, both, counted, top, alpha, False
        )
        self.tone = np.stack([voxels, difference])
        self.zone_sizes, self.zone_distances = _zones(levels, shape_mask, self.voxels, flat_z=not steps[:, 0].any())


def _zones(levels: Array, shape_mask: Array, voxels: int, *, flat_z: bool) -> tuple[Array, Array]:
    """Return zones counted by level and size, and by level and distance from the border."""
    structure = np.ones((3, 3, 3))
    if flat_z:
        distance = ndimage.distance_transform_cdt(np.pad(shape_mask[0], 1), metric="taxicab")[None, 1:-1, 1:-1]
    else:
        distance = ndimage.distance_transform_cdt(np.pad(shape_mask, 1), metric="taxicab")[1:-1, 1:-1, 1:-1]
    top = int(levels.max())
    by_size = np.zeros((top + 1, voxels + 1))
    by_distance = np.zeros((top + 1, int(distance.max()) + 1))
    for level in np.unique(levels[levels > 0]):
        labels, number = ndimage.label(levels == level, structure)
        nearest = ndimage.minimum(distance, labels, np.arange(1, number + 1)).astype(int)
        np.add.at(by_size[level], np.bincount(labels.ravel())[1:], 1)
        np.add.at(by_distance[level], nearest, 1)
    return by_size[1:, 1:], by_distance[1:, 1:]


def _sum(matrices: list[Array]) -> Array:
    """Add matrices of different extents."""
    out = np.zeros([max(m.shape[axis] for m in matrices) for axis in range(matrices[0].ndim)])
    for m in matrices:
        out[tuple(slice(n) for n in m.shape)] += m
    return out


def _mean(found: list[Array]) -> Array:
    stacked = np.concatenate([np.atleast_2d(f) for f in found])
    valid = ~np.isnan(stacked)
    number = valid.sum(axis=0)
    total = np.where(valid, stacked, 0).sum(axis=0)
    return np.where(number > 0, total / np.maximum(number, 1), np.nan)  # type: ignore[no-any-return]


def _matrix(matrix: Array, voxels: float) -> Array:
    """Return the 16 features of a matrix and its energy."""
    sizes = np.flatnonzero(matrix.sum(axis=0)) + 1
    levels = np.arange(1, matrix.shape[0] + 1)
    found = matrix_features(np.ascontiguousarray(matrix[:, sizes - 1]), levels, sizes)
    found[_PERCENTAGE] = matrix.sum() / voxels
    return np.append(found, ((matrix / matrix.sum()) ** 2).sum())


def _tone(tone: Array) -> Array:
    present = np.flatnonzero(tone[0])
    if not present.size:
        return np.full(5, np.nan)
    number, difference = np.ascontiguousarray(tone[:, present])
    return neighbours.ngtdm_features(number, difference, present + 1)  # type: ignore[no-any-return]


def _textures(kept: Array, shape_mask: Array, levels: Array, settings: RadiomicsSettings) -> dict[str, float]:
    level_map = np.zeros(kept.shape, np.int64)
    level_map[kept] = levels
    box = tuple(slice(int(w.min()), int(w.max()) + 1) for w in np.nonzero(shape_mask))
    shape_mask, level_map = shape_mask[box], level_map[box]
    top = int(levels.max())
    longest = int(max(level_map.shape))
    steps = neighbour_steps((9, 9, 9), (1,), 0 if settings.force2D else None)
    cuts = [slice(z, z + 1) for z in range(len(level_map))] if settings.force2D else [slice(None)]
    parts = [
        _Part(level_map[cut], shape_mask[cut], steps, top, longest, settings.gldm_a)
        for cut in cuts
        if level_map[cut].any()
    ]
    voxels = sum(part.voxels for part in parts)
    grey = np.arange(1, top + 1)
    wanted = settings.featureClass
    out: dict[str, float] = {}

    def add(family: str, ending: str, tags: list[str], values: Array) -> None:
        out.update({f"{family}_{tag}_{ending}": float(v) for tag, v in zip(tags, values, strict=True)})

    def add_directional(family: str, tags: list[str], name: str, features: Any, pick: Any) -> None:
        # By slice and with slices merged; each over directions, averaged and merged.
        stacks = [getattr(part, name) for part in parts]
        merged = _sum(stacks)
        number = len(steps)
        if settings.force2D:
            by_slice = [features(s, p.voxels) for s, p in zip(stacks, parts, strict=True)]
            add(family, "2D_avg", tags, pick(_mean(by_slice)))
            by_slice = [
                features(s.sum(axis=0, keepdims=True), number * p.voxels) for s, p in zip(stacks, parts, strict=True)
            ]
            add(family, "2D_comb", tags, pick(_mean(by_slice)))
        ending = "2_5D" if settings.force2D else "3D"
        add(family, f"{ending}_avg", tags, pick(_mean([features(merged, voxels)])))
        add(family, f"{ending}_comb", tags, pick(_mean([features(merged.sum(axis=0, keepdims=True), number * voxels)])))

    def add_plain(family: str, tags: list[str], by_part: list[Array], merged: Array) -> None:
        if settings.force2D:
            add(family, "2D", tags, _mean(by_part)[: len(tags)])
        add(family, "2_5D" if settings.force2D else "3D", tags, merged[: len(tags)])

    def add_matrix(family: str, name: str) -> None:
        tags = _MATRIX_TAGS[family].split()
        matrices = [getattr(part, name) for part in parts]
        by_part = [_matrix(m, p.voxels) for m, p in zip(matrices, parts, strict=True)]
        add_plain(family, tags, by_part, _matrix(_sum(matrices), voxels))

    if "glcm" in wanted:
        places = list(_CM_TAGS.values())
        add_directional(
            "cm", list(_CM_TAGS), "co", lambda m, _: cooccurrence.glcm_features(m, grey), lambda found: found[places]
        )
    if "glrlm" in wanted:
        tags = _MATRIX_TAGS["rlm"].split()
        add_directional(
            "rlm", tags, "runs", lambda m, v: np.array([_matrix(one, v) for one in m]), lambda found: found[:16]
        )
    if "glszm" in wanted:
        add_matrix("szm", "zone_sizes")
        add_matrix("dzm", "zone_distances")
    if "ngtdm" in wanted:
        tags = ["busyness", "coarseness", "complexity", "contrast", "strength"]
        add_plain("ngt", tags, [_tone(p.tone) for p in parts], _tone(np.sum([p.tone for p in parts], axis=0)))
    if "gldm" in wanted:
        add_matrix("ngl", "dependence")
    return out
