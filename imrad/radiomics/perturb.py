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
from imrad.radiomics.kernels import jit
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
# Voxels beyond which a cubic spline's coefficients do not feel the border: 0.268 ** 6 is 4e-4.
SUPPORT = 6


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
        moved, inside, grid = self._values, mask, self._grid
        if change.noise:
            draw = generator(change.seed, "noise").standard_normal(moved.shape, dtype=np.float32)
            moved = moved + np.float32(self.noise_level) * draw
        if box is not None and (change.rotation_deg or any(change.shift) or self._spacing != self._grid.spacing_mm):
            grid = self._target(box, change)
            coefficients = _spline(moved) if change.noise else self._coefficients
            moved, inside = _moved(coefficients, mask, *self._index_map(box, change, grid), grid.shape)
        if not inside.any():
            message = f"perturbation {change.number} leaves nothing of the region; it is too small to be perturbed"
            raise RegionError(message)
        return grid.image(self._typed(moved)), grid.image(inside.astype(np.uint8))

    def all(self, changes: list[Perturbation]) -> Iterator[tuple[sitk.Image, sitk.Image]]:
        """Yield image and mask of each perturbation."""
        for change in changes:
            yield self(change)

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
        return _spline(self._values)

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
        labels: NDArray[np.int32] = _divide(scaled, np.asarray(self._grid.sampling_mm), side_mm, LIKENESS, 3)
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


def _resized(mask: Mask, change: Perturbation) -> Mask:
    """Grow or shrink a region to a volume, layer by layer; the last layer's voxels are drawn at random."""
    from scipy.ndimage import binary_dilation, binary_erosion

    n = int(np.count_nonzero(mask))
    wanted = min(max(1, round(n * (1 + change.volume))), mask.size)
    grown = wanted > n
    layer, resized = np.zeros_like(mask), mask
    while n != wanted:
        following = binary_dilation(resized) if grown else binary_erosion(resized, border_value=1)
        count = int(np.count_nonzero(following))
        if count == n:
            return resized
        layer = following ^ resized
        if (count > wanted) == grown:
            break
        resized, n = following, count
    rim = np.flatnonzero(layer) if n != wanted else np.empty(0, dtype=int)
    chosen = generator(change.seed, "volume").permutation(rim)[: abs(wanted - n)]
    resized = resized.copy()
    resized.ravel()[chosen] = grown
    return resized


def _spline(values: NDArray[np.float32]) -> NDArray[np.float32]:
    from scipy.ndimage import spline_filter

    coefficients: NDArray[np.float32] = spline_filter(values, order=3, output=np.float32, mode="mirror")
    return coefficients


@jit
def _weights(at: float, n: int, where: Any, weights: Any) -> None:
    """Write the four indices, mirrored at the ends, and weights of the cubic B-spline around a place."""
    first = int(np.floor(at)) - 1
    t = at - np.floor(at)
    weights[0] = (1 - t) ** 3 / 6
    weights[1] = (4 - 6 * t * t + 3 * t * t * t) / 6
    weights[2] = (4 - 6 * (1 - t) ** 2 + 3 * (1 - t) ** 3) / 6
    weights[3] = t * t * t / 6
    for tap in range(4):
        index = first + tap
        if n == 1:
            index = 0
        else:
            period = 2 * (n - 1)
            index = index % period
            if index >= n:
                index = period - index
        where[tap] = index


@jit
def _moved(coefficients: Any, mask: Any, matrix: Any, offset: Any, shape: Any) -> Any:
    """Sample image (cubic spline) and mask (trilinear, at least one half) where a target grid's voxels lie.

    The map turns within slices: `matrix` mixes y with x, and leaves z to itself.
    """
    depth, height, width = coefficients.shape
    moved = np.empty(shape, np.float32)
    inside = np.zeros(shape, np.bool_)
    plane = np.empty((height, width), np.float32)
    where_y, where_x = np.empty(4, np.int64), np.empty(4, np.int64)
    wy, wx = np.empty(4), np.empty(4)
    for z in range(shape[0]):
        at_z = matrix[0, 0] * z + offset[0]
        _weights(at_z, depth, where_y, wy)
        for y in range(height):
            for x in range(width):
                plane[y, x] = (
                    wy[0] * coefficients[where_y[0], y, x]
                    + wy[1] * coefficients[where_y[1], y, x]
                    + wy[2] * coefficients[where_y[2], y, x]
                    + wy[3] * coefficients[where_y[3], y, x]
                )
        low_z = int(np.floor(at_z))
        t_z = at_z - low_z
        for y in range(shape[1]):
            for x in range(shape[2]):
                at_y = matrix[1, 1] * y + matrix[1, 2] * x + offset[1]
                at_x = matrix[2, 1] * y + matrix[2, 2] * x + offset[2]
                _weights(at_y, height, where_y, wy)
                _weights(at_x, width, where_x, wx)
                total = 0.0
                for i in range(4):
                    row = where_y[i]
                    total += wy[i] * (
                        wx[0] * plane[row, where_x[0]]
                        + wx[1] * plane[row, where_x[1]]
                        + wx[2] * plane[row, where_x[2]]
                        + wx[3] * plane[row, where_x[3]]
                    )
                moved[z, y, x] = total
                low_y, low_x = int(np.floor(at_y)), int(np.floor(at_x))
                t_y, t_x = at_y - low_y, at_x - low_x
                share = 0.0
                for k in range(8):
                    dz, dy, dx = k >> 2, (k >> 1) & 1, k & 1
                    iz, iy, ix = low_z + dz, low_y + dy, low_x + dx
                    if 0 <= iz < depth and 0 <= iy < height and 0 <= ix < width and mask[iz, iy, ix]:
                        share += (t_z if dz else 1 - t_z) * (t_y if dy else 1 - t_y) * (t_x if dx else 1 - t_x)
                inside[z, y, x] = share >= 0.5
    return moved, inside


@jit
def _divide(values: Any, sampling_mm: Any, side_mm: float, likeness: float, rounds: int) -> Any:
    """Divide an image into supervoxels of about a side's size that follow its edges (SLIC).

    Each round gives every voxel to the nearest of the centres around it, by squared distance over
    `side_mm` plus squared difference of value over `likeness`, and moves centres to their voxels' means.
    """
    shape = np.array(values.shape)
    step = sampling_mm / side_mm
    counts = np.maximum(1, np.rint(shape * step)).astype(np.int64)
    reach = shape / counts + 1
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


def shuffle_voxels(image: sitk.Image, mask: Mask, seed: int) -> sitk.Image:
    """Return the image with the region's intensities in random order: its histogram without its texture.

    References
    ----------
    Welch et al. 2019, doi 10.1016/j.radonc.2018.10.027.
    """
    values = sitk.GetArrayFromImage(image)
    values[mask] = generator(seed, "shuffled voxels").permutation(values[mask])
    return Grid.of(image).image(values)
