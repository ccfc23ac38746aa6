"""Small, random changes of image and region: what a feature should survive where only one mask exists.

Each perturbation chains noise, contour randomisation, change of volume, rotation and translation, as
Zwanenburg et al. 2019 (doi 10.1038/s41598-018-36938-4) combine them. What does not change between
the perturbations of a case (its crop, noise level, supervoxels, spline) is computed once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from imrad.exceptions import RegionError
from imrad.radiomics.geometry import Box, Grid, Mask, bounding_box
from imrad.radiomics.sampling import add_noise, sample_image, sample_mask, spline, supervoxels
from imrad.seeds import child_seed, generator

__all__ = ["KINDS", "Kind", "Perturbation", "Perturber", "draw_perturbations", "shuffle_voxels"]

Kind = Literal["rotation", "translation", "volume", "contour", "noise"]
KINDS: tuple[Kind, ...] = ("rotation", "translation", "volume", "contour", "noise")
"""What a perturbation may change."""

MAX_ROTATION_DEG = 13.0
SHIFTS = (0.0, 0.25, 0.5, 0.75)
MAX_VOLUME_CHANGE = 0.15
# Supervoxels of a quarter of a millilitre, or this many to a smaller region, but never of fewer voxels than this.
SUPERVOXEL_MM3, SUPERVOXELS, SUPERVOXEL_VOXELS = 250.0, 64, 20
# Overlap below which a supervoxel never, and above which it always belongs to the region.
NEVER, ALWAYS = 0.2, 0.9
# Difference of intensity, as a fraction of the image's range, that counts like one side of a supervoxel.
LIKENESS = 0.1
# Voxels kept around what is sampled; with the pad, the region's spline feels the crop by less than 0.268 ** 7 = 1e-4.
SUPPORT = 3


@dataclass(frozen=True, slots=True)
class Perturbation:
    """One combined change.

    Attributes
    ----------
    number : int
        Its place in the series.
    rotation_deg : float
        About the slice axis through the region's centre.
    shift : tuple of float
        Along x, y, z, as fractions of a voxel.
    volume : float
        Relative change of the region's volume.
    contour : bool
        Whether the outline is redrawn along supervoxels.
    noise : bool
        Whether noise of the image's own level is added.
    seed : int
        Of its random draws.
    """

    number: int
    rotation_deg: float = 0.0
    shift: tuple[float, float, float] = (0.0, 0.0, 0.0)
    volume: float = 0.0
    contour: bool = False
    noise: bool = False
    seed: int = 0


def draw_perturbations(n: int, seed: int, kinds: tuple[Kind, ...] = KINDS) -> list[Perturbation]:
    """Draw a series of perturbations: angles and volumes evenly spread, shifts and their order at random.

    Parameters
    ----------
    n : int
        How many.
    seed : int
        The study's seed.
    kinds : tuple of str
        What may change, of :data:`KINDS`.

    Raises
    ------
    ValueError
        If a kind is not known.
    """
    unknown = sorted(set(kinds) - set(KINDS))
    if unknown:
        message = f"perturbation '{unknown[0]}' is not known; choose of {', '.join(KINDS)}"
        raise ValueError(message)
    draw = generator(seed, "perturbations", n)
    angles = np.linspace(-MAX_ROTATION_DEG, MAX_ROTATION_DEG, n) if n > 1 else np.array([MAX_ROTATION_DEG])
    volumes = np.linspace(-MAX_VOLUME_CHANGE, MAX_VOLUME_CHANGE, n) if n > 1 else np.array([MAX_VOLUME_CHANGE])
    shifts = draw.choice(SHIFTS, size=(n, 3))
    angles, volumes = draw.permutation(angles), draw.permutation(volumes)
    return [
        Perturbation(
            i,
            float(angles[i]) if "rotation" in kinds else 0.0,
            tuple(float(s) for s in shifts[i]) if "translation" in kinds else (0.0, 0.0, 0.0),  # type: ignore[arg-type]
            float(volumes[i]) if "volume" in kinds else 0.0,
            "contour" in kinds,
            "noise" in kinds,
            child_seed(seed, "perturbation", i),
        )
        for i in range(n)
    ]


class Perturber:
    """One case, ready to be perturbed many times.

    Parameters
    ----------
    image : SimpleITK.Image
        The image, or a slab of it that reaches far enough around the region.
    mask : ndarray of bool, shape (z, y, x)
        The region on it.
    spacing_mm : tuple of float, optional
        Spacing along x, y, z to sample perturbed images at; the image's own by default.
    pad : int
        Voxels that perturbed images keep around the region.
    """

    def __init__(
        self, image: sitk.Image, mask: Mask, *, spacing_mm: tuple[float, float, float] | None = None, pad: int = 4
    ) -> None:
        box = bounding_box(mask)
        if box is None:
            message = "the region is empty; nothing can be perturbed"
            raise RegionError(message)
        whole = Grid.of(image)
        spacing = tuple(
            wanted if wanted > 0 else own for wanted, own in zip(spacing_mm or (0, 0, 0), whole.spacing_mm, strict=True)
        )
        self._spacing = (spacing[0], spacing[1], spacing[2])
        self._pad = pad
        reach = self._reach(box, whole)
        inner: Box = tuple(  # type: ignore[assignment]
            (max(0, a - r), min(n, b + r)) for (a, b), r, n in zip(box, reach, whole.shape, strict=True)
        )
        self._grid = whole.cropped(inner)
        cut = tuple(slice(*ends) for ends in inner)
        view = sitk.GetArrayViewFromImage(image)
        self._dtype: np.dtype[Any] = view.dtype
        self._values: NDArray[np.float32] = view[cut].astype(np.float32)
        self._mask: Mask = mask[cut].copy()

    def _reach(self, box: Box, grid: Grid) -> tuple[int, ...]:
        """Return how far around the box, in voxels (z, y, x), its rotated, grown and padded copy looks."""
        (_, _), (y0, y1), (x0, x1) = box
        half = {1: (x1 - x0) * grid.spacing_mm[0] / 2, 2: (y1 - y0) * grid.spacing_mm[1] / 2, 0: 0.0}
        turn = np.sin(np.radians(MAX_ROTATION_DEG))
        reach = []
        for axis, (own, wanted) in enumerate(zip(grid.sampling_mm, self._spacing[::-1], strict=True)):
            # The pad at the sampled spacing, growth by a few voxels, and the spline's support.
            border_mm = self._pad * wanted + 2 * max(own, wanted) + SUPPORT * own
            reach.append(int(np.ceil((turn * half[axis] + (1 + turn * (axis > 0)) * border_mm) / own)))
        return tuple(reach)

    def __call__(self, change: Perturbation) -> tuple[sitk.Image, sitk.Image]:
        """Return the perturbed image and mask (value 1), cropped around the region.

        Raises
        ------
        RegionError
            If nothing is left of the region.
        """
        mask = self._redrawn(change)
        box = bounding_box(mask)
        if box is None:
            raise _nothing_left(change)
        if self._on_own_grid(change):
            image = self._grid.image(self._typed(self._noisy(self._values, change))) if change.noise else self.image
            return image, self._grid.image(mask.astype(np.uint8))
        target = self._target(box, change)
        matrix, offset = self._index_map(box, change, target)
        part = tuple(slice(max(0, low - 1), min(n, high + 1)) for (low, high), n in zip(box, mask.shape, strict=True))
        start = np.array([ends.start for ends in part], dtype=float)
        inside = sample_mask(np.ascontiguousarray(mask[part]), matrix, offset - start, target.shape)
        found = bounding_box(inside)
        if found is None:
            raise _nothing_left(change)
        kept: Box = tuple(  # type: ignore[assignment]
            (max(0, low - self._pad), min(n, high + self._pad))
            for (low, high), n in zip(found, target.shape, strict=True)
        )
        inside = inside[tuple(slice(*ends) for ends in kept)]
        offset = offset + matrix @ np.array([low for low, _ in kept], dtype=float)
        grid = target.cropped(kept)
        coefficients = self._coefficients
        if change.noise:
            source = self._source(matrix, offset, grid.shape)
            coefficients = spline(self._noisy(self._values[source], change))
            offset = offset - np.array([part.start for part in source], dtype=float)
        moved = sample_image(coefficients, matrix, offset, grid.shape)
        return grid.image(self._typed(moved)), grid.image(inside.astype(np.uint8))

    @cached_property
    def image(self) -> sitk.Image:
        """The unchanged image on this case's grid."""
        return self._grid.image(self._typed(self._values))

    def keeps_image(self, change: Perturbation) -> bool:
        """Tell whether a change is one of the mask alone: its image is :attr:`image`."""
        return self._on_own_grid(change) and not change.noise

    def _on_own_grid(self, change: Perturbation) -> bool:
        return not change.rotation_deg and not any(change.shift) and self._spacing == self._grid.spacing_mm

    def all(self, changes: list[Perturbation]) -> Iterator[tuple[sitk.Image, sitk.Image]]:
        """Yield image and mask of each perturbation."""
        for change in changes:
            yield self(change)

    def _noisy(self, values: NDArray[np.float32], change: Perturbation) -> NDArray[np.float32]:
        return add_noise(values, self.noise_level, generator(change.seed, "noise"))

    def _source(
        self, matrix: NDArray[np.float64], offset: NDArray[np.float64], shape: tuple[int, ...]
    ) -> tuple[slice, ...]:
        """Return the part of the image that a target of this shape is sampled from, its spline's support included."""
        corners = np.array([[k >> axis & 1 for axis in range(3)] for k in range(8)]) * (np.array(shape) - 1)
        places = corners @ matrix.T + offset
        return tuple(
            slice(max(0, int(np.floor(low)) - 1 - SUPPORT), min(n, int(np.floor(high)) + 3 + SUPPORT))
            for low, high, n in zip(places.min(axis=0), places.max(axis=0), self._values.shape, strict=True)
        )

    @cached_property
    def noise_level(self) -> float:
        """Standard deviation of the image's noise, from the in-plane diagonal wavelet detail.

        References
        ----------
        Chang, Yu and Vetterli 2000, doi 10.1109/83.862633.
        """
        import pywt
        from scipy.ndimage import correlate1d

        high = np.asarray(pywt.Wavelet("coif1").dec_hi)
        detail = correlate1d(correlate1d(self._values, high, axis=1), high, axis=2)
        return float(np.median(np.abs(detail)) / 0.6745)

    @cached_property
    def _coefficients(self) -> NDArray[np.float32]:
        return spline(self._values)

    @cached_property
    def _supervoxels(self) -> tuple[tuple[slice, ...], NDArray[np.int32], NDArray[np.float64]]:
        """The box of supervoxels that may touch the region, their labels, and their overlap with it."""
        voxel_mm3 = 1000 * self._grid.voxel_ml
        region_mm3 = np.count_nonzero(self._mask) * voxel_mm3
        side_mm = max(min(SUPERVOXEL_MM3, region_mm3 / SUPERVOXELS), SUPERVOXEL_VOXELS * voxel_mm3) ** (1 / 3)
        box = bounding_box(self._mask) or ((0, 1), (0, 1), (0, 1))
        cut = tuple(
            slice(max(0, low - int(side_mm / step) - 1), min(n, high + int(side_mm / step) + 1))
            for (low, high), step, n in zip(box, self._grid.sampling_mm, self._mask.shape, strict=True)
        )
        values, mask = self._values[cut], self._mask[cut]
        low, high = np.percentile(values, [1, 99])
        scaled = np.clip((values - low) / max(float(high - low), 1e-6), 0, 1)
        labels: NDArray[np.int32] = supervoxels(scaled, np.asarray(self._grid.sampling_mm), side_mm, LIKENESS, 2)
        whole = np.bincount(labels.ravel())
        inside = np.bincount(labels.ravel(), weights=mask.ravel(), minlength=whole.size)
        return cut, labels, inside / np.maximum(whole, 1)

    def _redrawn(self, change: Perturbation) -> Mask:
        mask = self._mask
        if change.contour:
            cut, labels, overlap = self._supervoxels
            draw = generator(change.seed, "contour").random(overlap.size)
            chosen = (overlap >= ALWAYS) | ((overlap >= NEVER) & (draw < overlap))
            redrawn = np.zeros_like(mask)
            redrawn[cut] = chosen[labels]
            # A region smaller than the supervoxels keeps its outline rather than vanish.
            mask = redrawn if np.count_nonzero(redrawn) >= 0.5 * np.count_nonzero(mask) else mask
        return _resized(mask, change) if change.volume else mask

    def _typed(self, values: NDArray[Any]) -> NDArray[Any]:
        if self._dtype.kind == "f":
            return values.astype(self._dtype)
        limits = np.iinfo(self._dtype)
        typed: NDArray[Any] = np.clip(np.rint(values), limits.min, limits.max).astype(self._dtype)
        return typed

    def _index_map(
        self, box: Box, change: Perturbation, target: Grid
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return matrix and offset from the target's indices to this grid's, both in z, y, x order."""
        centre = self._grid.to_physical(np.array([(a + b - 1) / 2 for a, b in reversed(box)]))
        angle = np.radians(change.rotation_deg)
        turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
        axes = np.asarray(self._grid.direction).reshape(3, 3)
        rotation = axes @ turn @ axes.T
        shift_mm = self._grid.matrix @ np.asarray(change.shift)
        matrix = np.linalg.inv(self._grid.matrix) @ rotation @ target.matrix
        offset = self._grid.to_index(rotation @ (np.asarray(target.origin_mm) - centre) + centre + shift_mm)
        return matrix[::-1, ::-1].copy(), offset[::-1].copy()

    def _target(self, box: Box, change: Perturbation) -> Grid:
        """Return the grid around the rotated box, at the wanted spacing."""
        angle = np.radians(change.rotation_deg)
        half_mm = np.array([(b - a) / 2 * s for (a, b), s in zip(reversed(box), self._grid.spacing_mm, strict=True)])
        cos, sin = abs(np.cos(angle)), abs(np.sin(angle))
        reach_mm = np.array([cos * half_mm[0] + sin * half_mm[1], sin * half_mm[0] + cos * half_mm[1], half_mm[2]])
        spacing = np.asarray(self._spacing)
        cells = np.ceil(reach_mm / spacing).astype(int) + self._pad + 1
        centre = self._grid.to_physical(np.array([(a + b - 1) / 2 for a, b in reversed(box)]))
        axes = np.asarray(self._grid.direction).reshape(3, 3)
        origin = centre - axes @ (cells * spacing)
        return Grid(
            (int(2 * cells[0] + 1), int(2 * cells[1] + 1), int(2 * cells[2] + 1)),
            self._spacing,
            (float(origin[0]), float(origin[1]), float(origin[2])),
            self._grid.direction,
        )


def _nothing_left(change: Perturbation) -> RegionError:
    message = f"perturbation {change.number} leaves nothing of the region; it is too small to be perturbed"
    return RegionError(message)


def _resized(mask: Mask, change: Perturbation) -> Mask:
    """Grow or shrink a region to a volume, layer by layer; the last layer's voxels are drawn at random."""
    box = bounding_box(mask)
    n = int(np.count_nonzero(mask))
    wanted = min(max(1, round(n * (1 + change.volume))), mask.size)
    if box is None or wanted == n:
        return mask
    grown = wanted > n
    cut = tuple(slice(max(0, low - 8), min(size, high + 8)) for (low, high), size in zip(box, mask.shape, strict=True))
    part = mask[cut]
    layer = np.zeros_like(part)
    while n != wanted:
        following = _grown(part) if grown else ~_grown(~part)
        count = int(np.count_nonzero(following))
        if count == n:
            break
        layer = following ^ part
        if (count > wanted) == grown:
            break
        part, n = following, count
        layer = np.zeros_like(part)
    part = part.copy()
    rim = np.flatnonzero(layer)
    part.ravel()[generator(change.seed, "volume").permutation(rim)[: abs(wanted - n)]] = grown
    resized = mask.copy()
    resized[cut] = part
    return resized


def _grown(mask: Mask) -> Mask:
    """Add the voxels that share a face with the region."""
    grown = mask.copy()
    for axis in range(3):
        ahead, behind = [slice(None)] * 3, [slice(None)] * 3
        ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
        grown[tuple(ahead)] |= mask[tuple(behind)]
        grown[tuple(behind)] |= mask[tuple(ahead)]
    return grown


def shuffle_voxels(image: sitk.Image, mask: Mask, seed: int) -> sitk.Image:
    """Return the image with the region's intensities in random order: its histogram without its texture.

    References
    ----------
    Welch et al. 2019, doi 10.1016/j.radonc.2018.10.027.
    """
    values = sitk.GetArrayFromImage(image)
    values[mask] = generator(seed, "shuffled voxels").permutation(values[mask])
    return Grid.of(image).image(values)
