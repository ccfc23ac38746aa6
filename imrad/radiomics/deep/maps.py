"""Where a vector comes from, drawn on the slice through the region: a heat map beside the grey picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from imrad.content import write_atomically

__all__ = ["colour_overlay", "draw_plane", "picture", "plane_of_cells", "slice_sums", "write_overlay"]

Bytes = NDArray[np.uint8]


def picture(
    window: NDArray[np.float32],
    relevance: NDArray[np.float64],
    region: NDArray[np.bool_] | None = None,
    *,
    size: int = 96,
) -> tuple[Bytes, Bytes, Bytes]:
    """Return a window's slice, its relevance and the region's outline, three pictures of (size, size).

    Parameters
    ----------
    window : ndarray, shape (z, y, x)
        Grey values.
    relevance : ndarray
        Coarser cells over the same window; they are interpolated between their centres.
    region : ndarray of bool, optional
        The region in the window; the slice with most of it is shown, else the one of most relevance.
    size : int
        Pixels of a side.

    Returns
    -------
    grey, heat, outline : ndarray of uint8
        Heat is 255 at the window's most relevant voxel.
    """
    heat = _interpolated(relevance, window.shape)
    if region is not None and region.any():
        at = int(region.sum(axis=(1, 2)).argmax())
    else:
        at = int(heat.sum(axis=(1, 2)).argmax())
    plane = np.zeros(window.shape[1:], dtype=bool) if region is None else region[at]
    return draw_plane(window[at], heat[at] / max(float(heat.max()), 1e-300), plane, size=size)


def draw_plane(
    grey: NDArray[Any], heat: NDArray[np.float64], region: NDArray[np.bool_], *, size: int = 96
) -> tuple[Bytes, Bytes, Bytes]:
    """Return one slice, its relevance in [0, 1] and its region's outline as three pictures of (size, size)."""
    low, high = np.percentile(grey, [1, 99])
    level = np.clip((grey - low) / max(float(high - low), 1e-12), 0, 1)
    rows, columns = (np.minimum(np.arange(size) * n // size, n - 1) for n in grey.shape)
    at = np.ix_(rows, columns)
    # The rim is found at the picture's own pixels: a thinner one would be lost between them.
    inside = region[at]
    core = inside.copy()
    core[1:] &= inside[:-1]
    core[:-1] &= inside[1:]
    core[:, 1:] &= inside[:, :-1]
    core[:, :-1] &= inside[:, 1:]
    one, two = (np.rint(part[at] * 255).astype(np.uint8) for part in (level, heat))
    return one, two, (inside & ~core).astype(np.uint8)


def slice_sums(cells: NDArray[np.float64], n_slices: int) -> NDArray[np.float64]:
    """Return how much relevance lies in each of so many slices."""
    return np.asarray(np.interp(_places(n_slices, len(cells)), np.arange(len(cells)), cells.sum(axis=(1, 2))))


def plane_of_cells(cells: NDArray[np.float64], shape: tuple[int, ...], at: int) -> NDArray[np.float64]:
    """Return one slice of cells that are interpolated to a shape (z, y, x), shape (y, x)."""
    place = _places(shape[0], len(cells))[at]
    below = min(int(place), len(cells) - 1)
    above, share = min(below + 1, len(cells) - 1), place - int(place)
    plane = (1 - share) * cells[below] + share * cells[above]
    return plane if plane.shape == tuple(shape[1:]) else _interpolated(plane, shape[1:])


def _places(n: int, k: int) -> NDArray[np.float64]:
    """Return where the middles of n voxels lie among the centres of k cells."""
    return np.asarray(np.clip((np.arange(n) + 0.5) * k / n - 0.5, 0, k - 1))


def _interpolated(cells: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Interpolate linearly between the cells' centres; beyond the outermost centres the value stays."""
    from scipy.ndimage import map_coordinates

    grid = np.meshgrid(*(_places(n, k) for n, k in zip(shape, cells.shape, strict=True)), indexing="ij")
    return np.asarray(map_coordinates(cells, grid, order=1, mode="nearest"))


def colour_overlay(grey: Bytes, heat: Bytes, outline: Bytes | None = None) -> Bytes:
    """Return the heat over the grey picture in colour, (rows, columns, 3): dark blue to yellow, outline white."""
    stops = np.array([0.0, 0.35, 0.7, 1.0])
    colours = np.array([[0, 0, 90], [120, 20, 110], [235, 90, 40], [255, 235, 80]], dtype=float)
    level = heat / 255.0
    colour = np.stack([np.interp(level, stops, colours[:, channel]) for channel in range(3)], axis=-1)
    weight = (0.65 * level)[..., None]
    mixed = (1 - weight) * grey[..., None].astype(float) + weight * colour
    if outline is not None:
        mixed[outline > 0] = 255.0
    return np.asarray(np.rint(mixed).astype(np.uint8))


def write_overlay(path: str | Path, grey: Bytes, heat: Bytes, outline: Bytes | None = None) -> None:
    """Write the overlay beside the plain picture as one PNG file."""
    pair = np.concatenate([np.repeat(grey[..., None], 3, axis=2), colour_overlay(grey, heat, outline)], axis=1)
    with write_atomically(path) as temporary:
        writer = sitk.ImageFileWriter()
        writer.SetImageIO("PNGImageIO")
        writer.SetFileName(str(temporary))
        writer.Execute(sitk.GetImageFromArray(np.ascontiguousarray(pair), isVector=True))
