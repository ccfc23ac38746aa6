"""Other outlines that a reader might have drawn: regions redrawn along supervoxels, grown and shrunk.

After Zwanenburg et al. 2019 (doi 10.1038/s41598-018-36938-4).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imrad.radiomics.geometry import Box, Grid, Mask
from imrad.radiomics.sampling import supervoxels
from imrad.seeds import generator

__all__ = ["MAX_VOLUME_CHANGE", "Outlines", "grown_box", "outline_room", "shifted", "slices", "within"]

MAX_VOLUME_CHANGE = 0.15
# Supervoxels of a quarter of a millilitre, or this many to a smaller region, but never of fewer voxels than this.
SUPERVOXEL_MM3, SUPERVOXELS, SUPERVOXEL_VOXELS = 250.0, 64, 20
# Overlap below which a supervoxel never, and above which it always belongs to the region.
NEVER, ALWAYS = 0.2, 0.9
# Difference of intensity, as a fraction of the image's range, that counts like one side of a supervoxel.
LIKENESS = 0.1


class Outlines:
    """A region, ready to be redrawn many times.

    Parameters
    ----------
    values : array, shape (z, y, x)
        The image.
    mask : array of bool, same shape
        The region.
    box : Box
        Its bounding box.
    grid : Grid
        Where the voxels lie.

    Attributes
    ----------
    room : Box
        Where all outlines lie.
    """

    def __init__(self, values: NDArray[Any], mask: Mask, box: Box, grid: Grid) -> None:
        self._values, self._sampling_mm = values, grid.sampling_mm
        self._n_voxels = int(np.count_nonzero(mask[slices(box)]))
        self._side_mm = _supervoxel_side_mm(self._n_voxels, grid)
        self._near, self.room = _rooms(box, self._side_mm, grid)
        # With a rim at the far ends: in memory, what lies beyond an end is nothing's.
        self._outline: Mask = np.zeros(tuple(high - low + 1 for low, high in self.room), np.bool_)
        self._outline[:-1, :-1, :-1] = mask[slices(self.room)]

    def redrawn(self, seed: int, *, contour: bool, volume: float) -> Mask:
        """Return the region in its room, redrawn along supervoxels and grown by a fraction of its volume."""
        outline, n = self._outline, self._n_voxels
        if contour:
            labels, overlap = self.supervoxels
            draw = generator(seed, "contour").random(overlap.size)
            chosen = (overlap >= ALWAYS) | ((overlap >= NEVER) & (draw < overlap))
            found = chosen.take(labels)
            count = int(np.count_nonzero(found))
            # A region smaller than the supervoxels keeps its outline rather than vanish.
            if count >= 0.5 * n:
                outline, n = np.zeros_like(outline), count
                outline[slices(shifted(self._near, self.room))] = found
        if volume:
            outline = _resized(outline, n, volume, generator(seed, "volume"))
        return outline[:-1, :-1, :-1]

    @cached_property
    def supervoxels(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The labels of supervoxels that may touch the region, and each one's overlap with it."""
        near = slices(shifted(self._near, self.room))
        values, mask = self._values[slices(self._near)].astype(np.float32), self._outline[near]
        low, high = (float(value) for value in np.percentile(values, [1, 99]))
        scaled = np.clip((values - low) / max(high - low, 1e-6), 0, 1)
        labels: NDArray[np.int64] = supervoxels(scaled, np.asarray(self._sampling_mm), self._side_mm, LIKENESS, 2)
        whole = np.bincount(labels.ravel())
        inside = np.bincount(labels.ravel(), weights=mask.ravel(), minlength=whole.size)
        return labels, inside / np.maximum(whole, 1)


def outline_room(mask: Mask, box: Box, grid: Grid) -> Box:
    """Return the box in which all redrawn outlines of a region lie."""
    n_voxels = int(np.count_nonzero(mask[slices(box)]))
    return _rooms(box, _supervoxel_side_mm(n_voxels, grid), grid)[1]


def _supervoxel_side_mm(n_voxels: int, grid: Grid) -> float:
    voxel_mm3 = 1000 * grid.voxel_ml
    volume_mm3 = min(SUPERVOXEL_MM3, n_voxels * voxel_mm3 / SUPERVOXELS)
    return float(max(volume_mm3, SUPERVOXEL_VOXELS * voxel_mm3) ** (1 / 3))


def _rooms(box: Box, side_mm: float, grid: Grid) -> tuple[Box, Box]:
    """Return where supervoxels that touch a region may lie, and their outlines after the largest growth."""
    z, y, x = (int(side_mm / step) + 1 for step in grid.sampling_mm)
    near = within(grown_box(box, (z, y, x)), grid.shape)
    # A layer adds two voxels at least to every line through the region, those along its box's shortest side included.
    layers = int(np.ceil(MAX_VOLUME_CHANGE * min(high - low for low, high in near) / 2))
    return near, within(grown_box(near, (layers, layers, layers)), grid.shape)


def slices(box: Sequence[tuple[int, int]]) -> tuple[slice, ...]:
    """Return a box as an array's index."""
    return tuple(slice(low, high) for low, high in box)


def grown_box(box: Box, reach: tuple[int, int, int]) -> Box:
    """Return a box with so many voxels more on either side of each axis."""
    z, y, x = ((low - n, high + n) for (low, high), n in zip(box, reach, strict=True))
    return z, y, x


def within(box: Box, shape: tuple[int, ...]) -> Box:
    """Return the part of a box that an array of this shape has."""
    z, y, x = ((max(low, 0), min(high, n)) for (low, high), n in zip(box, shape, strict=True))
    return z, y, x


def shifted(box: Box, outer: Box) -> Box:
    """Return a box as seen from the first voxel of another."""
    z, y, x = ((low - first, high - first) for (low, high), (first, _) in zip(box, outer, strict=True))
    return z, y, x


def _resized(outline: Mask, n: int, volume: float, draw: np.random.Generator) -> Mask:
    """Grow or shrink a region of n voxels to a volume, layer by layer; the last layer's voxels are drawn at random.

    The arrays have a rim of nothing at their far ends; a region shrinks as what is around it grows.
    """
    inner = (slice(None, -1),) * 3
    size = int(np.prod([side - 1 for side in outline.shape]))
    wanted = min(max(1, round(n * (1 + volume))), size)
    grows = wanted > n
    front = outline
    if not grows:
        front = np.zeros_like(outline)
        np.logical_not(outline[inner], out=front[inner])
        n, wanted = size - n, size - wanted
    while n < wanted:
        following = _grown(front)
        count = int(np.count_nonzero(following))
        if count == n:
            break
        if count > wanted:
            rim = np.flatnonzero(following ^ front)
            following = front.copy()
            following.reshape(-1)[draw.permutation(rim)[: wanted - n]] = True
            count = wanted
        front, n = following, count
    if grows:
        return front
    shrunk = np.zeros_like(front)
    np.logical_not(front[inner], out=shrunk[inner])
    return shrunk


def _grown(front: Mask) -> Mask:
    """Add the voxels that share a face with a region that has a rim of nothing at its far ends."""
    grown = front.copy()
    before, after = front.reshape(-1), grown.reshape(-1)
    for step in (1, front.shape[2], front.shape[1] * front.shape[2]):
        after[step:] |= before[:-step]
        after[:-step] |= before[step:]
    grown[-1], grown[:, -1], grown[:, :, -1] = False, False, False
    return grown
