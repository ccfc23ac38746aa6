"""Small, random changes of image and region: what a feature should survive where only one mask exists.

Each perturbation chains noise, contour randomisation, change of volume, rotation and translation, as
Zwanenburg et al. 2019 (doi 10.1038/s41598-018-36938-4) combine them. What does not change between
the perturbations of a case (its noise level, its supervoxels) is computed once.
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
from imrad.radiomics.outlines import MAX_VOLUME_CHANGE, Outlines, grown_box, outline_room, shifted, slices, within
from imrad.radiomics.sampling import add_noise, diagonal_detail, sample_image, sample_mask
from imrad.seeds import child_seed, generator

__all__ = [
    "KINDS",
    "Kind",
    "Perturbation",
    "Perturbed",
    "Perturber",
    "draw_perturbations",
    "shuffle_voxels",
    "slices_seen",
]

Kind = Literal["rotation", "translation", "volume", "contour", "noise"]
KINDS: tuple[Kind, ...] = ("rotation", "translation", "volume", "contour", "noise")
"""What a perturbation may change."""

MAX_ROTATION_DEG = 13.0
SHIFTS = (0.0, 0.25, 0.5, 0.75)
# Voxels kept around what is sampled; with the pad, the region's spline feels the crop by less than 0.268 ** 7 = 1e-4.
SUPPORT = 3
# Voxels that a perturbed image may show, mirrored, beyond the ends of its image.
MIRRORED = 16


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


@dataclass(frozen=True, slots=True)
class Perturbed:
    """A perturbed case, cropped around its region.

    Attributes
    ----------
    values : array, shape (z, y, x)
        The image, of its own type.
    inside : array of bool, same shape
        The region.
    grid : Grid
        Where they lie.
    """

    values: NDArray[Any]
    inside: Mask
    grid: Grid


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


def slices_seen(mask: Mask, box: Box, grid: Grid, pad: int) -> tuple[int, int]:
    """Return first and last slice (excluded) that a region's perturbations at the image's own spacing can look at.

    Parameters
    ----------
    mask, box : array of bool, Box
        The region on the grid, and its bounding box.
    pad : int
        Slices that perturbed images keep around the region.
    """
    (first, last), _, _ = outline_room(mask, box, grid)
    # A shift is less than a voxel; then the spline's four coefficients, and their support.
    margin = pad + 2 + SUPPORT
    return max(0, first - margin), min(grid.shape[0], last + margin)


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
    pad : int or tuple of int
        Voxels that perturbed images keep around the region, along all axes or along z, y, x.
    """

    def __init__(
        self,
        image: sitk.Image,
        mask: Mask,
        *,
        spacing_mm: tuple[float, float, float] | None = None,
        pad: int | tuple[int, int, int] = 4,
    ) -> None:
        box = bounding_box(mask)
        if box is None:
            message = "the region is empty; nothing can be perturbed"
            raise RegionError(message)
        self._grid = grid = Grid.of(image)
        spacing = tuple(
            wanted if wanted > 0 else own for wanted, own in zip(spacing_mm or (0, 0, 0), grid.spacing_mm, strict=True)
        )
        self._spacing = (spacing[0], spacing[1], spacing[2])
        self._pad = (pad, pad, pad) if isinstance(pad, int) else pad
        self._source = image  # whose memory the view looks at
        self._values: NDArray[Any] = sitk.GetArrayViewFromImage(image)
        self._outlines = Outlines(self._values, mask, box, grid)
        self._kept = within(grown_box(self._outlines.room, self._pad), grid.shape)
        self._mask = mask

    def __call__(self, change: Perturbation) -> tuple[sitk.Image, sitk.Image]:
        """Return the perturbed image and mask (value 1), cropped around the region.

        Raises
        ------
        RegionError
            If nothing is left of the region.
        """
        found = self.perturbed(change)
        return found.grid.image(found.values), found.grid.image(found.inside.view(np.uint8))

    def all(self, changes: list[Perturbation]) -> Iterator[tuple[sitk.Image, sitk.Image]]:
        """Yield image and mask of each perturbation."""
        for change in changes:
            yield self(change)

    def perturbed(self, change: Perturbation) -> Perturbed:
        """Return the perturbed case as arrays; see :meth:`__call__`."""
        outline = self._outlines.redrawn(change.seed, contour=change.contour, volume=change.volume)
        box = bounding_box(outline)
        if box is None:
            raise _nothing_left(change)
        if self._on_own_grid(change):
            inside = np.zeros(self.unchanged.values.shape, np.bool_)
            inside[slices(shifted(self._outlines.room, self._kept))] = outline
            values = self._noisy(self._kept, change) if change.noise else self.unchanged.values
            return Perturbed(values, inside, self.unchanged.grid)
        part = np.ascontiguousarray(outline[slices(box)])
        start = np.array(
            [low + first for (low, _), (first, _) in zip(box, self._outlines.room, strict=True)], dtype=float
        )
        centre = start + (np.array(part.shape) - 1) / 2
        matrix, cells = self._turned(change, part.shape)
        offset = centre + np.array(change.shift[::-1]) - matrix @ cells
        inside = sample_mask(part, matrix, offset - start, _three(2 * cells + 1))
        found = bounding_box(inside)
        if found is None:
            raise _nothing_left(change)
        kept = self._padded(found, matrix, offset)
        first = np.array([low for low, _ in kept])
        shape = _three([high - low for low, high in kept])
        moved = self._sampled(matrix, offset + matrix @ first, shape, change)
        padded = np.zeros(shape, np.bool_)
        padded[slices(shifted(found, kept))] = inside[slices(found)]
        return Perturbed(self._typed(moved), padded, self._target(centre, first - cells, shape))

    @cached_property
    def unchanged(self) -> Perturbed:
        """The unchanged case, on the grid of all changes that do not move it."""
        cut = slices(self._kept)
        return Perturbed(self._values[cut].copy(), self._mask[cut].copy(), self._grid.cropped(self._kept))

    def keeps_image(self, change: Perturbation) -> bool:
        """Tell whether a change is one of the mask alone: its image is that of :attr:`unchanged`."""
        return self._on_own_grid(change) and not change.noise

    def _on_own_grid(self, change: Perturbation) -> bool:
        return not change.rotation_deg and not any(change.shift) and self._spacing == self._grid.spacing_mm

    def _part(self, box: Box) -> NDArray[np.float32]:
        """Return a copy of a part of the image; where it has no intensity, the lowest around the region."""
        values = self._values[slices(box)].astype(np.float32, order="C")
        if self._values.dtype.kind == "f" and not np.isfinite(values).all():
            # A spline would carry one such voxel to all others.
            values[~np.isfinite(values)] = self._lowest
        return values

    @cached_property
    def _lowest(self) -> np.float32:
        around = self._values[slices(self._kept)].astype(np.float32)
        return np.float32(around.min(initial=np.inf, where=np.isfinite(around)))

    def _noisy(self, box: Box, change: Perturbation) -> NDArray[Any]:
        values = self._part(box)
        add_noise(values, self.noise_level, generator(change.seed, "noise"))
        return self._typed(values)

    def _sampled(
        self,
        matrix: NDArray[np.float64],
        offset: NDArray[np.float64],
        shape: tuple[int, int, int],
        change: Perturbation,
    ) -> NDArray[np.float32]:
        """Sample the image, with noise where asked for, from the part of it that a target of this shape sees."""
        corners = np.array([[k >> axis & 1 for axis in range(3)] for k in range(8)]) * (np.array(shape) - 1)
        places = corners @ matrix.T + offset
        lows, highs = np.floor(places.min(axis=0)).astype(int), np.floor(places.max(axis=0)).astype(int)
        # The spline's own four, and its support; at least one voxel, where all that is seen is mirrored.
        source: Box = tuple(  # type: ignore[assignment]
            (min(max(0, low - 1 - SUPPORT), n - 1), max(min(n, high + 3 + SUPPORT), 1))
            for low, high, n in zip(lows.tolist(), highs.tolist(), self._grid.shape, strict=True)
        )
        values = self._part(source)
        if change.noise:
            add_noise(values, self.noise_level, generator(change.seed, "noise"))
        return sample_image(values, matrix, offset - [low for low, _ in source], shape)

    @cached_property
    def noise_level(self) -> float:
        """Standard deviation of the image's noise, from the in-plane diagonal wavelet detail around the region.

        References
        ----------
        Chang, Yu and Vetterli 2000, doi 10.1109/83.862633.
        """
        import pywt

        high = np.asarray(pywt.Wavelet("coif1").dec_hi, dtype=np.float32)
        values = self._part(self._kept)
        detail = diagonal_detail(np.pad(values, ((0, 0), (3, 2), (3, 2)), mode="symmetric"), high)
        return float(np.median(np.abs(detail, out=detail)) / 0.6745)

    def _typed(self, values: NDArray[np.float32]) -> NDArray[Any]:
        dtype = self._values.dtype
        if dtype.kind == "f":
            return values.astype(dtype)
        limits = np.iinfo(dtype)
        # The ends of wide types are no numbers of single precision.
        exact = values if dtype.itemsize < 4 else values.astype(np.float64)
        typed: NDArray[Any] = np.clip(np.rint(exact), limits.min, limits.max).astype(dtype)
        return typed

    def _turned(self, change: Perturbation, shape: tuple[int, ...]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return the map from a target's indices to the image's (z, y, x), and half the target that a box takes."""
        angle = np.radians(change.rotation_deg)
        cos, sin = np.cos(angle), np.sin(angle)
        own, wanted = np.array(self._grid.sampling_mm), np.array(self._spacing[::-1])
        turn = np.array([[1, 0, 0], [0, cos, sin], [0, -sin, cos]])
        half = np.ceil(np.abs(turn) @ (np.array(shape) / 2 * own) / wanted).astype(np.int64)
        return turn * wanted / own[:, None], half + 1

    def _padded(self, found: Box, matrix: NDArray[np.float64], offset: NDArray[np.float64]) -> Box:
        """Return a region's box on its target with the pad, but not far beyond what there is of the image."""
        corners = np.array([[k >> axis & 1 for axis in range(3)] for k in range(8)]) * (np.array(self._grid.shape) - 1)
        ends = (corners - offset) @ np.linalg.inv(matrix).T
        lows, highs = (
            np.floor(ends.min(axis=0)).astype(int) - MIRRORED,
            np.ceil(ends.max(axis=0)).astype(int) + MIRRORED,
        )
        return tuple(  # type: ignore[return-value]
            (min(low, max(low - pad, first)), max(high, min(high + pad, last + 1)))
            for (low, high), pad, first, last in zip(found, self._pad, lows.tolist(), highs.tolist(), strict=True)
        )

    def _target(self, centre: NDArray[np.float64], first: NDArray[np.int64], shape: tuple[int, int, int]) -> Grid:
        """Return the grid of a shape whose first voxel lies so many target voxels from the region's centre."""
        axes = np.asarray(self._grid.direction).reshape(3, 3)
        origin = self._grid.to_physical(centre[::-1]) + axes @ (first[::-1] * np.array(self._spacing))
        z, y, x = shape
        return Grid((x, y, z), self._spacing, _three_mm(origin), self._grid.direction)


def _three(values: Any) -> tuple[int, int, int]:
    z, y, x = (int(value) for value in values)
    return z, y, x


def _three_mm(values: Any) -> tuple[float, float, float]:
    x, y, z = (float(value) for value in values)
    return x, y, z


def _nothing_left(change: Perturbation) -> RegionError:
    message = f"perturbation {change.number} leaves nothing of the region; it is too small to be perturbed"
    return RegionError(message)


def shuffle_voxels(image: sitk.Image, mask: Mask, seed: int) -> sitk.Image:
    """Return the image with the region's intensities in random order: its histogram without its texture.

    References
    ----------
    Welch et al. 2019, doi 10.1016/j.radonc.2018.10.027.
    """
    values = sitk.GetArrayFromImage(image)
    values[mask] = generator(seed, "shuffled voxels").permutation(values[mask])
    return Grid.of(image).image(values)
