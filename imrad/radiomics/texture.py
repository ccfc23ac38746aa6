"""A region of interest, and the features of intensities in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from imrad.exceptions import ImageError, RegionError
from imrad.radiomics import alike, cooccurrence, kernels, matrices, neighbours
from imrad.radiomics.features import CLASSES
from imrad.radiomics.firstorder import bin_edges, first_order_features
from imrad.radiomics.last_bit import correlation, information, maximal_correlation, maximal_correlation_of_many
from imrad.radiomics.settings import FilterSettings
from imrad.radiomics.shape import shape2d_features, shape_features

__all__ = ["RegionVoxels", "TextureGrid", "flat_rows", "neighbour_steps"]

Array = npt.NDArray[Any]

# In the kernels' order: what each class calls the 16 features of its matrix.
_MATRIX_NAMES = {
    "glrlm": (
        "GrayLevelNonUniformity",
        "GrayLevelNonUniformityNormalized",
        "GrayLevelVariance",
        "HighGrayLevelRunEmphasis",
        "LongRunEmphasis",
        "LongRunHighGrayLevelEmphasis",
        "LongRunLowGrayLevelEmphasis",
        "LowGrayLevelRunEmphasis",
        "RunEntropy",
        "RunLengthNonUniformity",
        "RunLengthNonUniformityNormalized",
        "RunPercentage",
        "RunVariance",
        "ShortRunEmphasis",
        "ShortRunHighGrayLevelEmphasis",
        "ShortRunLowGrayLevelEmphasis",
    ),
    "glszm": (
        "GrayLevelNonUniformity",
        "GrayLevelNonUniformityNormalized",
        "GrayLevelVariance",
        "HighGrayLevelZoneEmphasis",
        "LargeAreaEmphasis",
        "LargeAreaHighGrayLevelEmphasis",
        "LargeAreaLowGrayLevelEmphasis",
        "LowGrayLevelZoneEmphasis",
        "ZoneEntropy",
        "SizeZoneNonUniformity",
        "SizeZoneNonUniformityNormalized",
        "ZonePercentage",
        "ZoneVariance",
        "SmallAreaEmphasis",
        "SmallAreaHighGrayLevelEmphasis",
        "SmallAreaLowGrayLevelEmphasis",
    ),
    "gldm": (
        "GrayLevelNonUniformity",
        "GrayLevelNonUniformityNormalized",
        "GrayLevelVariance",
        "HighGrayLevelEmphasis",
        "LargeDependenceEmphasis",
        "LargeDependenceHighGrayLevelEmphasis",
        "LargeDependenceLowGrayLevelEmphasis",
        "LowGrayLevelEmphasis",
        "DependenceEntropy",
        "DependenceNonUniformity",
        "DependenceNonUniformityNormalized",
        "DependencePercentage",
        "DependenceVariance",
        "SmallDependenceEmphasis",
        "SmallDependenceHighGrayLevelEmphasis",
        "SmallDependenceLowGrayLevelEmphasis",
    ),
}


MOST_LEVELS = 5000

_MCC, _IMC2, _CORRELATION, _INVERSE = (
    list(CLASSES["glcm"]).index(name) for name in ("MCC", "Imc2", "Correlation", "InverseVariance")
)


@lru_cache(maxsize=256)
def neighbour_steps(shape: tuple[int, int, int], distances: tuple[int, ...], flat_axis: int | None = None) -> Array:
    """Return one of each pair of opposite neighbour steps that fit into a box.

    Parameters
    ----------
    shape : tuple
        Of the box, along z, y, x; a step does not leave it.
    distances : tuple of int
        Largest component of a step.
    flat_axis : int, optional
        Axis along which no step goes.

    Returns
    -------
    array of int, shape (steps, 3)
        Along z, y, x; the first non-zero component is positive.
    """
    reach = max(distances)
    steps = [
        step
        for step in product(range(reach, -reach - 1, -1), repeat=3)
        if step > (0, 0, 0)
        and max(map(abs, step)) in distances
        and all(abs(s) < size for s, size in zip(step, shape, strict=True))
        and (flat_axis is None or step[flat_axis] == 0)
    ]
    return np.array(steps, dtype=np.int64).reshape(-1, 3)


@lru_cache(maxsize=32)
def _joins(steps: tuple[tuple[int, ...], ...]) -> Array:
    return alike.join_table(np.array(steps))  # type: ignore[no-any-return]


def flat_rows(padded: Array) -> tuple[Array, Array, Array]:
    """Return the flat indices of the non-zero voxels, and where their rows start and stop."""
    where = np.flatnonzero(padded)
    row = where // padded.shape[2]
    first = np.flatnonzero(np.diff(row, prepend=-1))
    last = np.append(first[1:], row.size) - 1
    return where, where[first], where[last] + 1


@dataclass
class TextureGrid:
    """The flat, padded memory that the texture kernels run over."""

    where: Array
    number: Array
    starts: Array
    stops: Array
    size: int
    steps: Array
    offsets: Array
    unit_steps: Array
    unit_offsets: Array
    joins: Array
    neighbours: Array

    def fill(self, values: Array, largest: int) -> Array:
        """Return flat memory, as narrow as it may be, with the values at the region's voxels and 0 elsewhere."""
        out = np.zeros(self.size, np.int16 if largest <= np.iinfo(np.int16).max else np.int32)
        out[self.where] = values
        return out


class RegionVoxels:
    """The voxels of interest in their bounding box.

    Parameters
    ----------
    inside : array of bool, shape (z, y, x)
        Tight around the region.
    spacing : tuple
        In mm along x, y, z.
    """

    def __init__(self, inside: Array, spacing: tuple[float, float, float]) -> None:
        self.inside = np.ascontiguousarray(inside)
        self.spacing = spacing
        self._grids: dict[tuple[tuple[int, ...], int | None], TextureGrid] = {}
        self._reach: dict[int | None, Array] = {}

    @cached_property
    def indices(self) -> Array:
        """Flat indices of the region's voxels in the box."""
        return np.flatnonzero(self.inside)

    @property
    def voxels(self) -> int:
        """Number of voxels."""
        return int(self.indices.size)

    def shape(self, feature_class: str, flat_axis: int = 0) -> dict[str, float]:
        """Return the features of class ``shape``, or of ``shape2D`` across `flat_axis`."""
        if feature_class == "shape":
            return shape_features(self.inside, self.spacing)
        if self.inside.shape[flat_axis] > 1:
            message = (
                f"shape2D needs a region one voxel thick along axis {'zyx'[flat_axis]}, this one has "
                f"{self.inside.shape[flat_axis]}; take one slice or leave shape2D out"
            )
            raise RegionError(message)
        steps = [step for axis, step in enumerate(self.spacing[::-1]) if axis != flat_axis]
        return shape2d_features(self.inside.squeeze(axis=flat_axis), (steps[0], steps[1]))

    def grid(self, distances: tuple[int, ...], flat_axis: int | None) -> TextureGrid:
        """Return the flat memory of the texture kernels for these neighbour distances."""
        key = (distances, flat_axis)
        if key in self._grids:
            return self._grids[key]
        pad = max(distances)
        depth, height, width = self.inside.shape
        padded = np.zeros((depth + 2 * pad, height + 2 * pad, width + 2 * pad), np.uint8)
        padded[pad : pad + depth, pad : pad + height, pad : pad + width] = self.inside
        flat = padded.ravel()
        where, starts, stops = flat_rows(padded)
        strides = np.array([padded.shape[1] * padded.shape[2], padded.shape[2], 1])
        steps = neighbour_steps(self.inside.shape, distances, flat_axis)
        unit_steps = neighbour_steps(self.inside.shape, (1,), flat_axis)
        if not len(steps) or not len(unit_steps):
            message = "no two neighbours fit into this region's box; texture needs a region of several voxels"
            raise RegionError(message)
        offsets = steps @ strides
        number = np.zeros(flat.size, np.int32)
        number[where] = np.arange(where.size, dtype=np.int32)
        grid = TextureGrid(
            where=where,
            number=number,
            starts=starts,
            stops=stops,
            size=flat.size,
            steps=steps,
            offsets=offsets,
            unit_steps=unit_steps,
            unit_offsets=unit_steps @ strides,
            joins=_joins(tuple(map(tuple, unit_steps.tolist()))),
            neighbours=kernels.count_neighbours(flat, where, offsets),
        )
        reach = kernels.angle_reach(flat, grid.starts, grid.stops, grid.unit_offsets)
        if not reach.all():
            box = self.inside.view(np.uint8)
            reach[~reach] = kernels.line_reach(box, np.array(box.shape), unit_steps[~reach])
        self._reach[flat_axis] = reach
        self._grids[key] = grid
        return grid

    def features(
        self, values: Array, settings: FilterSettings, classes: Mapping[str, tuple[str, ...]]
    ) -> dict[str, dict[str, float]]:
        """Return the intensity and texture features of one image.

        Parameters
        ----------
        values : array, shape (box) or (voxels,)
            The image in the region's box, or its values at the region's voxels in memory order.
        settings : FilterSettings
            How grey levels and textures are made.
        classes : mapping
            The classes wanted; shape is not made here.

        Returns
        -------
        dict
            Class to feature to value.
        """
        if values.shape == self.inside.shape and values.ndim == 3:
            values = np.take(values, self.indices)
        edges = bin_edges(values, settings)
        intensities = values.astype(np.float64)
        levels = np.empty(intensities.size, np.int64)
        kernels.digitise(intensities, edges, levels)
        return self.level_features(intensities, levels, settings, classes)

    def level_features(
        self,
        intensities: Array,
        levels: Array,
        settings: FilterSettings,
        classes: Mapping[str, tuple[str, ...]],
    ) -> dict[str, dict[str, float]]:
        """Return the features of voxels whose grey levels (from 1) are known."""
        grey, counts, ranks = kernels.compress(levels, int(levels.max()))
        out: dict[str, dict[str, float]] = {}
        texture = [name for name in classes if name in ("glcm", "glrlm", "glszm", "gldm", "ngtdm")]
        if "firstorder" in classes:
            voxel_volume = float(np.multiply.reduce(np.array(self.spacing)))
            out["firstorder"] = first_order_features(intensities, counts, settings, voxel_volume)
        if not texture:
            return out
        grid = self.grid(tuple(settings.distances), settings.force2Ddimension if settings.force2D else None)
        count = grey.size
        flat = grid.fill(ranks, count)
        if "glcm" in classes:
            out["glcm"] = self._co_occurrence(grid, flat, grey, settings)
        if "glrlm" in classes or "glszm" in classes:
            runs, zone_rank, zone_size = alike.runs_and_zones(
                flat,
                grid.where,
                grid.number,
                grid.starts,
                grid.stops,
                grid.unit_offsets,
                grid.joins,
                counts,
                max(self.inside.shape),
            )
            if "glrlm" in classes:
                out["glrlm"] = self._runs(grid, runs, grey, settings)
            if "glszm" in classes:
                matrix, sizes = matrices.zone_matrix(zone_rank, zone_size, count)
                out["glszm"] = _named("glszm", matrices.matrix_features(matrix, grey, sizes))
        if "gldm" in classes or "ngtdm" in classes:
            both = np.concatenate([grid.offsets, -grid.offsets])
            most = int(grey[-1]) * len(both)
            level_map = flat if int(grey[-1]) == count else grid.fill(levels, most)
            if level_map.dtype == np.int16 and most > np.iinfo(np.int16).max:
                level_map = level_map.astype(np.int32)
            number, difference, dependence = neighbours.neighbourhood(
                level_map,
                flat,
                grid.where,
                grid.starts,
                grid.stops,
                both,
                grid.neighbours,
                count,
                settings.gldm_a,
                True,
            )
            if "gldm" in classes:
                sizes = np.arange(1, dependence.shape[1] + 1)
                out["gldm"] = _named("gldm", matrices.matrix_features(dependence, grey, sizes))
            if "ngtdm" in classes:
                names = CLASSES["ngtdm"]
                found = neighbours.ngtdm_features(number, difference, grey)
                out["ngtdm"] = dict(zip(names, found.tolist(), strict=True))
        return out

    def _step_lengths(self, steps: Array, norm: str) -> Array:
        lengths = np.abs(steps) * np.array(self.spacing[::-1])
        if norm == "infinity":
            return lengths.max(axis=1)  # type: ignore[no-any-return]
        if norm == "euclidean":
            return np.sqrt((lengths**2).sum(axis=1))  # type: ignore[no-any-return]
        return lengths.sum(axis=1)  # type: ignore[no-any-return]

    def _co_occurrence(self, grid: TextureGrid, flat: Array, grey: Array, settings: FilterSettings) -> dict[str, float]:
        norm = settings.weightingNorm
        if norm is None:
            weights = np.empty(0)
        elif norm == "no_weighting":
            weights = np.ones(len(grid.steps))
        else:
            weights = np.exp(-(self._step_lengths(grid.steps, norm) ** 2))
        if grey.size > MOST_LEVELS:
            message = (
                f"{grey.size} different grey levels in a region of {self.voxels} voxels say nothing of texture and "
                f"need matrices of gigabytes; choose a larger binWidth (now {settings.binWidth:g}) or a binCount"
            )
            raise ImageError(message)
        # One direction at a time where all matrices together would be large.
        each = len(grid.offsets) if weights.size or grey.size <= 512 else 1
        parts = []
        for n in range(0, len(grid.offsets), each):
            offsets = grid.offsets[n : n + each]
            counted = cooccurrence.glcm_matrices(
                flat, grid.where, offsets, weights, grey.size, settings.symmetricalGLCM
            )
            parts.append(cooccurrence.glcm_features(counted, grey))
            for row in np.flatnonzero(np.isinf(parts[-1][:, _MCC])):
                parts[-1][row, _MCC] = maximal_correlation_of_many(counted[row])
        found = np.concatenate(parts)
        mean = matrices.mean_of_directions(found)
        if len(counted) == len(found):
            _decide_by_the_last_bit(mean, found, counted, grey, settings.symmetricalGLCM)
        return dict(zip(CLASSES["glcm"], mean.tolist(), strict=True))

    def _runs(self, grid: TextureGrid, runs: Array, grey: Array, settings: FilterSettings) -> dict[str, float]:
        # A direction in which no line meets the region twice says nothing of runs.
        runs[~self._reach[settings.force2Ddimension if settings.force2D else None]] = 0
        norm = settings.weightingNorm
        if norm is not None:
            weights = (
                np.ones(len(grid.unit_steps)) if norm == "no_weighting" else self._step_lengths(grid.unit_steps, norm)
            )
            runs = (runs * weights[:, None, None]).sum(axis=0, keepdims=True)
        found = matrices.run_features(runs, grey, np.arange(1, runs.shape[2] + 1))
        out = _named("glrlm", matrices.mean_of_directions(found))
        if len(runs) == 1 and not runs.any():
            # One matrix, and no run in it: these two of pyradiomics are sums over nothing.
            out["RunEntropy"] = out["RunVariance"] = 0.0
        return out


def _decide_by_the_last_bit(mean: Array, found: Array, counted: Array, grey: Array, symmetric: bool) -> None:
    """Put right, in the mean over directions, what hangs on pyradiomics' own rounding."""
    if not counted.any():
        if grey.size == 1:  # no voxel has a neighbour: what pyradiomics has of sums over nothing
            mean[_MCC if len(found) > 1 else _INVERSE] = 1.0 if len(found) > 1 else 0.0
        return
    close = ~(found[:, [_MCC, _IMC2]] > 1e-5)
    if close.any():
        close &= np.asarray(counted.any(axis=(1, 2)))[:, None]
        if grey.size <= 64 and close[:, 0].any():
            mean[_MCC] = maximal_correlation(counted)
        if close[:, 1].any():
            mean[_IMC2] = information(counted)
    if not symmetric and grey.size > 1:
        levels_met = np.minimum(counted.any(axis=2).sum(axis=1), counted.any(axis=1).sum(axis=1))
        if (levels_met == 1).any():
            mean[_CORRELATION] = correlation(counted, grey)


def _named(feature_class: str, found: Array) -> dict[str, float]:
    values = dict(zip(_MATRIX_NAMES[feature_class], found.tolist(), strict=True))
    return {name: values[name] for name in CLASSES[feature_class]}
