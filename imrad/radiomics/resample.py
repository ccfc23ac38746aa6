"""Bringing image and region to a new voxel spacing, on the grid that pyradiomics uses.

The mask goes through ITK's own nearest neighbour on ITK's own grid: new voxel centres often lie
exactly between two mask voxels, and the last float bit then decides. The image goes through the
same cubic B-spline as ITK's, but the spline is made of the region's surroundings only. ITK cuts
whole-number images off at the decimal point; wherever a value comes so near to a whole number that
rounding could decide the cut, the whole image is given to ITK instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from imrad.radiomics.kernels import jit
from imrad.radiomics.settings import RadiomicsSettings

__all__ = ["Geometry", "ResampledGrid", "bspline", "new_grid", "resample_image", "resample_mask", "wider_grid"]

Array = npt.NDArray[Any]

POLE = np.sqrt(3.0) - 2.0
# |POLE|^40 = 1e-23: the spline coefficients of a crop are those of the whole image, to the last bit.
SPLINE_SUPPORT = 40
IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


@dataclass(frozen=True)
class Geometry:
    """Where voxels lie: all in mm and in x, y, z order, as in SimpleITK."""

    spacing: tuple[float, float, float]
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    direction: tuple[float, ...] = IDENTITY

    def of(self, array: Array) -> sitk.Image:
        """Return a SimpleITK image of a z, y, x array."""
        image = sitk.GetImageFromArray(np.ascontiguousarray(array))
        image.SetSpacing(self.spacing)
        image.SetOrigin(self.origin)
        image.SetDirection(self.direction)
        return image

    @classmethod
    def from_image(cls, image: sitk.Image) -> Geometry:
        """Return the geometry of a SimpleITK image."""
        return cls(tuple(image.GetSpacing()), tuple(image.GetOrigin()), tuple(image.GetDirection()))

    def agrees(self, other: Geometry, tolerance: float) -> bool:
        """Tell whether two grids coincide, as ITK judges it: relative to the spacing along x."""
        length = abs(tolerance * self.spacing[0])
        return (
            bool(np.allclose(self.origin, other.origin, rtol=0, atol=length))
            and bool(np.allclose(self.spacing, other.spacing, rtol=0, atol=length))
            and bool(np.allclose(self.direction, other.direction, rtol=0, atol=tolerance))
        )


@dataclass(frozen=True)
class ResampledGrid:
    """The grid resampled onto.

    Attributes
    ----------
    spacing, origin : tuple of float
        In mm, x, y, z.
    old_spacing : tuple of float
        Of the grid resampled from.
    size : tuple of int
        x, y, z.
    start : tuple of float
        Continuous index (x, y, z) of the first voxel centre in the grid resampled from.
    """

    spacing: tuple[float, float, float]
    origin: tuple[float, float, float]
    size: tuple[int, int, int]
    start: tuple[float, float, float]
    direction: tuple[float, ...]
    old_spacing: tuple[float, float, float]


def new_grid(
    box: Array,
    mask_size: tuple[int, int, int],
    geometry: Geometry,
    settings: RadiomicsSettings,
    pad: int,
    image_spacing: tuple[float, float, float] | None = None,
) -> ResampledGrid | None:
    """Return the padded grid around a region, or None where the image has the spacing already.

    Parameters
    ----------
    box : array
        First and last index of the region along z, y and x.
    mask_size : tuple
        x, y, z.
    geometry : Geometry
        The mask's.
    image_spacing : tuple, optional
        Where it differs from the mask's.
    """
    assert settings.resampledPixelSpacing is not None
    old = np.array(geometry.spacing)
    first = np.array([box[4], box[2], box[0]])
    extent = np.array([box[5] - box[4], box[3] - box[2], box[1] - box[0]]) + 1
    wanted = np.array(settings.resampledPixelSpacing, dtype=np.float64)
    new = np.where(wanted == 0, old, wanted)
    new = np.where(extent != 1, new, old)  # a region of one slice stays one slice
    if np.allclose(image_spacing or geometry.spacing, new):
        return None
    ratio = old / new
    low = np.maximum(np.floor((first - 0.5) * ratio - pad), 0)
    high = np.ceil((first + extent - 0.5) * ratio + pad)
    high = np.minimum(high, np.ceil(np.array(mask_size) * ratio) - 1)
    size = (high - low + 1).astype(int)
    start = 0.5 * (new - old) / old + low / ratio
    probe = sitk.Image(1, 1, 1, sitk.sitkUInt8)
    probe.SetSpacing(geometry.spacing)
    probe.SetOrigin(geometry.origin)
    probe.SetDirection(geometry.direction)
    origin = probe.TransformContinuousIndexToPhysicalPoint(start.tolist())
    return ResampledGrid(
        spacing=tuple(new.tolist()),
        origin=tuple(origin),
        size=tuple(size.tolist()),
        start=tuple(start.tolist()),
        direction=geometry.direction,
        old_spacing=geometry.spacing,
    )


def wider_grid(
    grid: ResampledGrid, margin: tuple[int, int, int], shape: tuple[int, ...]
) -> tuple[ResampledGrid, tuple[int, ...]]:
    """Return the grid grown by whole voxels (within the image), and by how many on the low sides (z, y, x)."""
    start, size, shift = list(grid.start), list(grid.size), []
    for axis in range(3):
        k = 2 - axis
        step = grid.spacing[k] / grid.old_spacing[k]
        before = int(min(margin[axis], np.floor((start[k] + 0.5) / step + 1e-9)))
        last = start[k] + (size[k] - 1) * step
        after = int(min(margin[axis], max(np.floor((shape[axis] - 0.5 - last) / step - 1e-9), 0)))
        start[k] -= before * step
        size[k] += before + after
        shift.append(before)
    offsets = np.array(start) - np.array(grid.start)
    turn = np.array(grid.direction).reshape(3, 3)
    origin = np.array(grid.origin) + turn @ (offsets * np.array(grid.old_spacing))
    wider = ResampledGrid(
        spacing=grid.spacing,
        origin=tuple(origin.tolist()),
        size=(size[0], size[1], size[2]),
        start=(start[0], start[1], start[2]),
        direction=grid.direction,
        old_spacing=grid.old_spacing,
    )
    return wider, tuple(shift)


def _resampler(grid: ResampledGrid, interpolator: int, pixel_type: int) -> sitk.ResampleImageFilter:
    resampler = sitk.ResampleImageFilter()
    resampler.SetOutputSpacing(grid.spacing)
    resampler.SetOutputDirection(grid.direction)
    resampler.SetSize(grid.size)
    resampler.SetOutputOrigin(grid.origin)
    resampler.SetInterpolator(interpolator)
    resampler.SetOutputPixelType(pixel_type)
    return resampler


def resample_mask(mask: sitk.Image, grid: ResampledGrid) -> Array:
    """Return the mask on the grid, by ITK's nearest neighbour."""
    resampler = _resampler(grid, sitk.sitkNearestNeighbor, mask.GetPixelID())
    return sitk.GetArrayFromImage(resampler.Execute(mask))  # type: ignore[no-any-return]


def resample_image(image: Array, geometry: Geometry, grid: ResampledGrid, settings: RadiomicsSettings) -> Array:
    """Return the image on the grid, in its own type.

    Parameters
    ----------
    image : array, shape (z, y, x)
        On the grid that `grid` was made from.
    """
    if settings.interpolator == "sitkBSpline" and min(image.shape) > 1:
        values = bspline(image, grid, settings.binWidth)
        if values is not None:
            return values
    return resample_image_itk(geometry.of(image), grid, settings)


def resample_image_itk(image: sitk.Image, grid: ResampledGrid, settings: RadiomicsSettings) -> Array:
    """Return the image on the grid, by ITK on the whole image."""
    resampler = _resampler(grid, getattr(sitk, str(settings.interpolator)), image.GetPixelID())
    return sitk.GetArrayFromImage(resampler.Execute(image))  # type: ignore[no-any-return]


@jit
def _coefficients(data: Any, low_edge: bool, high_edge: bool) -> None:  # noqa: C901 - one compiled loop
    """Turn samples along the first axis into spline coefficients, in place (Unser 1999).

    At an edge of the image the signal is mirrored, as far as ITK looks; elsewhere any start will do,
    for its effect fades within the margin.
    """
    n, width = data.shape
    z = POLE
    gain = (1.0 - z) * (1.0 - 1.0 / z)
    for k in range(n):
        for j in range(width):
            data[k, j] *= gain
    horizon = int(np.ceil(np.log(1e-10) / np.log(abs(z))))
    first = np.empty(width)
    for j in range(width):
        first[j] = data[0, j]
    if low_edge:
        if horizon < n:
            zn = z
            for k in range(1, horizon):
                for j in range(width):
                    first[j] += zn * data[k, j]
                zn *= z
        else:
            iz = 1.0 / z
            zn = z
            z2n = z ** (n - 1)
            for j in range(width):
                first[j] = data[0, j] + z2n * data[n - 1, j]
            z2n *= z2n * iz
            for k in range(1, n - 1):
                for j in range(width):
                    first[j] += (zn + z2n) * data[k, j]
                zn *= z
                z2n *= iz
            for j in range(width):
                first[j] /= 1.0 - zn * zn
    for j in range(width):
        data[0, j] = first[j]
    for k in range(1, n):
        for j in range(width):
            data[k, j] += z * data[k - 1, j]
    if high_edge:
        for j in range(width):
            data[n - 1, j] = (z / (z * z - 1.0)) * (z * data[n - 2, j] + data[n - 1, j])
    for k in range(n - 2, -1, -1):
        for j in range(width):
            data[k, j] = z * (data[k + 1, j] - data[k, j])


@jit
def _interpolate(data: Any, index: Any, weight: Any, out: Any) -> None:
    """Interpolate along the first axis: four taps for each new sample."""
    width = data.shape[1]
    for k in range(out.shape[0]):
        a, b, c, d = index[k, 0], index[k, 1], index[k, 2], index[k, 3]
        wa, wb, wc, wd = weight[k, 0], weight[k, 1], weight[k, 2], weight[k, 3]
        for j in range(width):
            out[k, j] = wa * data[a, j] + wb * data[b, j] + wc * data[c, j] + wd * data[d, j]


@jit
def _near_step(values: Any, step: float, margin: float, cut: bool) -> bool:
    for n in range(values.size):
        ratio = values[n] / step
        nearest = np.rint(ratio)
        # Cutting off is smooth at 0: both sides of it become 0.
        if abs(ratio - nearest) * step < margin and not (cut and nearest == 0.0):
            return True
    return False


@jit
def _flat_somewhere(values: Any, margin: float) -> bool:
    """Tell whether two neighbours along the last axis are equal up to rounding."""
    for z in range(values.shape[0]):
        for y in range(values.shape[1]):
            for x in range(1, values.shape[2]):
                if abs(values[z, y, x] - values[z, y, x - 1]) <= margin:
                    return True
    return False


def bspline(image: Array, grid: ResampledGrid, bin_width: float) -> Array | None:
    """Resample by the cubic B-spline of the region's surroundings.

    Returns
    -------
    array or None
        None where a value lies so near to a whole number (whole-number images) or to a grey level's
        edge (others) that rounding would decide, where real numbers are constant but for rounding, or
        where a new voxel lies on the very edge of the image.
    """
    axes = []
    covered = []
    for axis in range(3):
        k = 2 - axis
        size = image.shape[axis]
        step = grid.spacing[k] / grid.old_spacing[k]
        place = grid.start[k] + np.arange(grid.size[k]) * step
        if np.any(np.abs(np.abs(place - (size - 1) / 2) - size / 2) < 1e-6):
            return None
        outside = (place < -0.5) | (place >= size - 0.5)
        base = np.floor(place).astype(int)
        start = max(int(base.min()) - 1 - SPLINE_SUPPORT, 0)
        stop = min(int(base.max()) + 3 + SPLINE_SUPPORT, size)
        w = place - base
        w3 = w**3 / 6
        w0 = 1 / 6 + 0.5 * w * (w - 1) - w3
        w2 = w + w0 - 2 * w3
        weights = np.stack([w0, 1 - w0 - w2 - w3, w2, w3], axis=1)
        weights[outside] = 0
        index = base[:, None] + np.arange(-1, 3)
        index = np.where(index < 0, -index, index)
        index = np.where(index > size - 1, 2 * (size - 1) - index, index)
        axes.append((start, stop, np.clip(index - start, 0, stop - start - 1), weights))
        covered.append(~outside)
    data = image[tuple(slice(start, stop) for start, stop, _, _ in axes)].astype(np.float64)
    largest = max(abs(float(data.max())), abs(float(data.min())))
    for axis, (start, stop, index, weights) in enumerate(axes):
        # Each pass works on its axis brought to the front, and leaves it interpolated.
        moved = np.ascontiguousarray(np.moveaxis(data, axis, 0))
        flat = moved.reshape(moved.shape[0], -1)
        if flat.shape[0] > 1:
            _coefficients(flat, start == 0, stop == image.shape[axis])
        out = np.empty((len(index), flat.shape[1]))
        _interpolate(flat, index, weights, out)
        data = np.moveaxis(out.reshape(len(index), *moved.shape[1:]), 0, axis)
    data = np.ascontiguousarray(data)
    whole = np.issubdtype(image.dtype, np.integer)
    margin = 2e-8 * max(1.0, largest / 4000)
    if _near_step(data[np.ix_(*covered)].ravel(), 1.0 if whole else bin_width, margin, whole):
        return None
    if not whole and _flat_somewhere(data, 1e-10 * largest):
        return None
    if whole:
        limits = np.iinfo(image.dtype)
        data = np.trunc(np.clip(data, limits.min, limits.max))
    return data.astype(image.dtype)
