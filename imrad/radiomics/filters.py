"""Filtered images, computed only where the region needs them.

Every filter gets the whole working image and a box, and returns its values in the box as if it had
run over the whole image: local filters see the box and their support; where a filter depends on the
whole image (the largest intensity, the periodic edges of the wavelet), it gets that too.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
import pywt
import SimpleITK as sitk

from imrad.exceptions import ConfigError
from imrad.radiomics.kernels import jit
from imrad.radiomics.recursive_gaussian import laplacian
from imrad.radiomics.settings import FilterSettings

__all__ = ["Box", "filtered", "filtered_names", "log_margin", "to_sitk"]

Array = npt.NDArray[Any]
Box = tuple[slice, slice, slice]

# The recursive Gaussian decays by about e^-1.3 per sigma; at 26 sigma 2e-15 of it is left.
LOG_SUPPORT = 26.0
# Values that are convolved at once: what is read and written for them stays next to the processor.
BLOCK = 1024


def to_sitk(array: Array, spacing: tuple[float, float, float]) -> sitk.Image:
    """Return an image of a z, y, x array; `spacing` in mm along x, y, z."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(array))
    image.SetSpacing(spacing)
    return image


def log_margin(sigma: float, spacing: tuple[float, float, float]) -> tuple[int, int, int]:
    """Return the voxels along z, y, x that a Laplacian of Gaussian of `sigma` mm reaches."""
    z, y, x = (int(np.ceil(LOG_SUPPORT * sigma / step)) + 1 for step in spacing[::-1])
    return z, y, x


def _grown(box: Box, margin: tuple[int, int, int], shape: tuple[int, ...]) -> tuple[Box, Box]:
    """Return the box with a margin, held to the image, and where the box lies in it."""
    starts = [max(part.start - m, 0) for part, m in zip(box, margin, strict=True)]
    stops = [min(part.stop + m, size) for part, m, size in zip(box, margin, shape, strict=True)]
    z, y, x = (slice(a, b) for a, b in zip(starts, stops, strict=True))
    iz, iy, ix = (slice(part.start - a, part.stop - a) for part, a in zip(box, starts, strict=True))
    return (z, y, x), (iz, iy, ix)


def _in_plane(settings: FilterSettings) -> list[int]:
    axes = [2, 1, 0]
    if settings.force2D:
        axes.remove(settings.force2Ddimension)
    return axes


def _sigma_name(sigma: float) -> str:
    return f"log-sigma-{str(sigma).replace('.', '-')}-mm-3D"


def _wavelet_names(settings: FilterSettings) -> list[tuple[int, str, str]]:
    """Return level, PyWavelets key and image name of every band, in pyradiomics' order."""
    count = len(_in_plane(settings))
    bands = []
    for level in range(1, settings.level + 1):
        prefix = "wavelet" if level == 1 else f"wavelet{level}"
        for letters in product("ad", repeat=count):
            key = "".join(letters)
            if key != "a" * count:
                bands.append((level, key, f"{prefix}-{key.replace('a', 'L').replace('d', 'H')}"))
    prefix = "wavelet" if settings.level == 1 else f"wavelet{settings.level}"
    bands.append((settings.level, "a" * count, f"{prefix}-{'L' * count}"))
    return bands


def filtered_names(image_type: str, settings: FilterSettings) -> list[str]:
    """Return the names of the images that an image type gives."""
    if image_type == "Wavelet":
        return [name for _, _, name in _wavelet_names(settings)]
    if image_type == "LoG":
        return [_sigma_name(sigma) for sigma in settings.sigma]
    if image_type == "LBP3D":
        return [f"lbp-3D-m{level + 1}" for level in range(settings.lbp3DLevels)] + ["lbp-3D-k"]
    return [{"LBP2D": "lbp-2D"}.get(image_type, image_type.lower())]


def filtered(
    image_type: str,
    image: Array,
    spacing: tuple[float, float, float],
    box: Box,
    settings: FilterSettings,
    inside: Array,
) -> Iterator[tuple[str, Array | None]]:
    """Yield name and values in the box of each image that an image type gives.

    Parameters
    ----------
    image : array, shape (z, y, x)
        The working image.
    spacing : tuple
        In mm along x, y, z.
    box : tuple of slices
        Along z, y, x.
    inside : array of bool
        The region, of the box's shape.

    Yields
    ------
    str, array or None
        None where the image is too small for the filter.
    """
    if image_type == "Original":
        yield "original", image[box]
    elif image_type == "Wavelet":
        yield from _wavelet(image, box, settings)
    elif image_type == "LoG":
        for sigma in settings.sigma:
            yield _sigma_name(sigma), laplacian_of_gaussian(image, spacing, box, sigma)
    elif image_type == "Gradient":
        part, within = _grown(box, (2, 2, 2), image.shape)
        gradient = sitk.GradientMagnitude(to_sitk(image[part], spacing), settings.gradientUseSpacing)
        yield "gradient", sitk.GetArrayFromImage(gradient)[within]
    elif image_type == "LBP2D":
        yield "lbp-2D", _binary_pattern(image, box, settings)
    elif image_type == "LBP3D":
        from imrad.radiomics.lbp3d import binary_patterns_3d

        yield from zip(
            filtered_names(image_type, settings), binary_patterns_3d(image, box, settings, inside), strict=True
        )
    else:
        yield image_type.lower(), _pointwise(image_type, image, box)


def laplacian_of_gaussian(image: Array, spacing: tuple[float, float, float], box: Box, sigma: float) -> Array | None:
    """Return ITK's recursive Laplacian of Gaussian in the box, normalised across scales."""
    size = np.array(image.shape[::-1])
    if size.min() < 4 or np.any(size < np.ceil(sigma / np.array(spacing)) + 1):
        return None
    part, within = _grown(box, log_margin(sigma, spacing), image.shape)
    return laplacian(image[part], spacing, sigma)[within]


def _pointwise(image_type: str, image: Array, box: Box) -> Array | None:
    # The scale comes from the whole working image: the filters keep its largest intensity.
    largest = max(abs(float(image.max())), abs(float(image.min())))
    values = image[box].astype(np.float64)
    if image_type == "SquareRoot":
        return np.sign(values) * np.sqrt(np.abs(values) * largest)  # type: ignore[no-any-return]
    if largest == 0.0:
        return None
    if image_type == "Square":
        return (1 / np.sqrt(largest) * values) ** 2  # type: ignore[no-any-return]
    if image_type == "Logarithm":
        return np.sign(values) * np.log(np.abs(values) + 1) * (largest / np.log(largest + 1))  # type: ignore[no-any-return]
    if image_type == "Exponential":
        return np.exp(np.log(largest) / largest * values)  # type: ignore[no-any-return]
    message = f"image type {image_type!r} is not known"
    raise ConfigError(message)


def _wavelet(image: Array, box: Box, settings: FilterSettings) -> Iterator[tuple[str, Array]]:
    """Undecimated wavelet bands: periodic over the image, whose odd axes repeat their first voxel."""
    wavelet = pywt.Wavelet(settings.wavelet)
    depth = settings.start_level + settings.level
    axes = _in_plane(settings)
    block = image
    cropped = wavelet.dec_len % 2 == 0
    within = list(box)
    for axis in range(3):
        size = image.shape[axis]
        period = size + size % 2
        start, stop = box[axis].start, box[axis].stop
        margin = depth * (wavelet.dec_len // 2) if axis in axes else 0
        length = stop - start + 2 * margin
        length += length % 2 if axis in axes else 0
        if length >= period:
            index, offset = np.arange(period), start
            cropped = cropped and axis not in axes
        else:
            index, offset = np.arange(start - margin, start - margin + length) % period, margin
        index[index == size] = 0
        consecutive = index[-1] - index[0] == index.size - 1
        part = slice(int(index[0]), int(index[-1]) + 1) if consecutive else index
        block = block[(slice(None),) * axis + (part,)]
        within[axis] = slice(offset, offset + stop - start)
    bands = _wavelet_names(settings)
    if depth == 1 and cropped and image.dtype != np.float32:
        yield from zip((name for _, _, name in bands), _bands(block, box, axes, wavelet), strict=True)
        return
    window = tuple(within)
    data = np.ascontiguousarray(block)
    for level in range(1 - settings.start_level, settings.level + 1):
        found = pywt.swtn(data, wavelet, level=1, start_level=0, axes=tuple(axes))[0]
        data = found["a" * len(axes)]
        for band_level, key, name in bands[:-1]:
            if band_level == level:
                yield name, found[key][window]
    yield bands[-1][2], data[window]


@jit
def _convolve(data: Any, taps: Any, step: int, out: Any) -> None:
    """Convolve along an axis whose voxels lie `step` apart, in PyWavelets' order, so that the last bit agrees."""
    reach = taps.size
    for a in range(out.shape[0]):
        for start in range(0, out.shape[1], BLOCK):
            row = out[a, start : start + BLOCK]
            for j in range(reach):
                tap = taps[j]
                first = start + (reach - j) * step
                source = data[a, first : first + row.size]
                if j == 0:
                    for c in range(row.size):
                        row[c] = 0.0 + tap * source[c]
                else:
                    for c in range(row.size):
                        row[c] += tap * source[c]


@jit
def _convolve_rows(data: Any, taps: Any, out: Any) -> None:
    """Convolve along the last axis, in the same order."""
    reach = taps.size
    width = out.shape[1]
    for a in range(out.shape[0]):
        row = out[a]
        row[:] = 0
        for j in range(reach):
            tap = taps[j]
            source = data[a, reach - j : reach - j + width]
            for c in range(width):
                row[c] += tap * source[c]


def _bands(block: Array, box: Box, axes: list[int], wavelet: pywt.Wavelet) -> list[Array]:
    """Return the bands of one level in the box, approximation last, from a block with the filter's margin.

    All bands are one piece of memory, which the next image is likely to be given again; many small ones
    would go back to the system and be cleared page by page.
    """
    filters = [np.array(taps, dtype=np.float64) for taps in (wavelet.dec_lo, wavelet.dec_hi)]
    shapes = [block.shape]
    for axis in axes:
        shapes.append((*shapes[-1][:axis], box[axis].stop - box[axis].start, *shapes[-1][axis + 1 :]))
    between = [np.empty(shape) for shape in shapes[1:-1]]
    bands = np.empty((2 ** len(axes), *shapes[-1]))

    def split(data: Array, depth: int, outs: Array) -> None:
        for taps, half in zip(filters, np.split(outs, 2), strict=True):
            last = depth == len(axes) - 1
            out = half[0] if last else between[depth]
            _convolve_along(axes[depth], data, taps, out)
            if not last:
                split(out, depth + 1, half)

    split(np.ascontiguousarray(block, dtype=np.float64), 0, bands)
    return [*bands[1:], bands[0]]


def _convolve_along(axis: int, data: Array, taps: Array, out: Array) -> None:
    if axis == 2:
        _convolve_rows(data.reshape(-1, data.shape[2]), taps, out.reshape(-1, out.shape[2]))
    else:
        before, step = int(np.prod(out.shape[:axis])), int(np.prod(out.shape[axis + 1 :]))
        _convolve(data.reshape(before, -1), taps, step, out.reshape(before, -1))


@jit
def _sample_pattern(plane: Any, rows: Any, columns: Any, method: int, out: Any) -> None:
    """Local binary patterns of every pixel; method 0 default, 1 ror, 2 uniform, 3 var.

    Samples lie on a circle, bilinear between pixels, and 0 beyond the edge.
    """
    height, width = plane.shape
    samples = rows.size
    bits = np.empty(samples, np.int64)
    texture = np.empty(samples)
    for r in range(height):
        for c in range(width):
            for s in range(samples):
                y, x = r + rows[s], c + columns[s]
                y0, x0 = int(np.floor(y)), int(np.floor(x))
                y1, x1 = int(np.ceil(y)), int(np.ceil(x))
                dy, dx = y - y0, x - x0
                inside00 = 0 <= y0 < height and 0 <= x0 < width
                inside01 = 0 <= y0 < height and 0 <= x1 < width
                inside10 = 0 <= y1 < height and 0 <= x0 < width
                inside11 = 0 <= y1 < height and 0 <= x1 < width
                v00 = plane[y0, x0] if inside00 else 0.0
                v01 = plane[y0, x1] if inside01 else 0.0
                v10 = plane[y1, x0] if inside10 else 0.0
                v11 = plane[y1, x1] if inside11 else 0.0
                top = (1 - dx) * v00 + dx * v01
                bottom = (1 - dx) * v10 + dx * v11
                texture[s] = (1 - dy) * top + dy * bottom
                bits[s] = 1 if texture[s] - plane[r, c] >= 0 else 0
            code = 0.0
            if method == 3:
                total = squares = 0.0
                for s in range(samples):
                    total += texture[s]
                    squares += texture[s] * texture[s]
                variance = (squares - total * total / samples) / samples
                code = variance if variance != 0 else np.nan
            elif method == 2:
                changes = 0
                ones = bits[0]
                for s in range(samples - 1):
                    changes += bits[s] != bits[s + 1]
                    ones += bits[s + 1]
                code = ones if changes <= 2 else samples + 1
            else:
                value = 0
                for s in range(samples):
                    value += bits[s] << s
                code = value
                if method == 1:
                    for _ in range(samples - 1):
                        value = (value >> 1) | ((value & 1) << (samples - 1))
                        code = min(code, value)
            out[r, c] = code


def _binary_pattern(image: Array, box: Box, settings: FilterSettings) -> Array:
    """Rotation-invariant local binary patterns within slices (Ojala 2002, doi:10.1109/TPAMI.2002.1017623)."""
    axis = settings.force2Ddimension
    reach = int(np.ceil(settings.lbp2DRadius)) + 1
    margin = [reach] * 3
    margin[axis] = 0
    part, within = _grown(box, (margin[0], margin[1], margin[2]), image.shape)
    angles = 2 * np.pi * np.arange(settings.lbp2DSamples) / settings.lbp2DSamples
    rows = np.round(-settings.lbp2DRadius * np.sin(angles), 5)
    columns = np.round(settings.lbp2DRadius * np.cos(angles), 5)
    method = ("default", "ror", "uniform", "var").index(settings.lbp2DMethod)
    planes = np.swapaxes(image[part], 0, axis)
    out = np.empty(planes.shape)
    for n, plane in enumerate(planes):
        _sample_pattern(np.ascontiguousarray(plane, dtype=np.float64), rows, columns, method, out[n])
    if image.dtype.kind in "iu":
        # The variance of samples without any is not defined; what a whole number makes of that, neither.
        np.nan_to_num(out, copy=False, nan=0.0)
    # The image's own type holds the codes, as in pyradiomics.
    return np.swapaxes(out, 0, axis)[within].astype(image.dtype)  # type: ignore[no-any-return]
