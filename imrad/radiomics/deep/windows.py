"""Windows of a volume on a grid of their own: cut before they are resampled, so that no whole volume is ever copied."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from imrad.exceptions import RegionError
from imrad.radiomics.geometry import Grid, Mask, bounding_box

__all__ = ["View", "Window", "cut", "place_windows"]

View = Literal["windows", "centre", "box"]

REACH = 12
"""Voxels around a window that its B-spline may depend on: the cubic spline's memory, 0.27 a voxel, is then 1e-7."""

MOST = 4096
"""Most windows of a volume."""

LPS = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


@dataclass(frozen=True)
class Window:
    """A grid along the patient's axes, whatever the axes of the file.

    Attributes
    ----------
    origin_mm, spacing_mm : tuple of float
        Of x, y, z.
    size : tuple of int
        Voxels along x, y, z.
    """

    origin_mm: tuple[float, float, float]
    spacing_mm: tuple[float, float, float]
    size: tuple[int, int, int]

    @property
    def corners_mm(self) -> NDArray[np.float64]:
        """The eight corners' voxel centres, shape (8, 3)."""
        ends = [(o, o + s * (n - 1)) for o, s, n in zip(self.origin_mm, self.spacing_mm, self.size, strict=True)]
        return np.array([[x, y, z] for x in ends[0] for y in ends[1] for z in ends[2]])


def place_windows(
    low_mm: Sequence[float],
    high_mm: Sequence[float],
    shape: tuple[int, int, int],
    spacing_mm: tuple[float, float, float],
    view: View,
    margin_mm: float = 0.0,
) -> list[Window]:
    """Place windows on a box in the patient.

    Parameters
    ----------
    low_mm, high_mm : sequence of float
        The box, x, y, z.
    shape : tuple of int
        Voxels of a window, z, y, x.
    spacing_mm : tuple of float
        x, y, z.
    view : {"windows", "centre", "box"}
        As few windows as cover the box, evenly; one on its middle; or the box stretched to one window.
    margin_mm : float
        Added to the box on every side.

    Raises
    ------
    RegionError
        If more windows would be needed than are reasonable.
    """
    low, high = np.asarray(low_mm, dtype=float) - margin_mm, np.asarray(high_mm, dtype=float) + margin_mm
    size = np.array(shape[::-1])
    middle = (low + high) / 2
    if view == "box":
        step = np.maximum(high - low, np.asarray(spacing_mm)) / np.maximum(size - 1, 1)
        return [_window(middle - step * (size - 1) / 2, step, size)]
    step = np.asarray(spacing_mm, dtype=float)
    extent = step * (size - 1)
    if view == "centre":
        return [_window(middle - extent / 2, step, size)]
    starts = []
    for axis in range(3):
        needed = high[axis] - low[axis]
        count = max(1, int(np.ceil((needed - extent[axis]) / (extent[axis] + step[axis]) - 1e-9)) + 1)
        # Evenly: the first begins at the box's one side, the last ends at its other; a small box is centred.
        first, last = low[axis], high[axis] - extent[axis]
        starts.append([middle[axis] - extent[axis] / 2] if count == 1 else list(np.linspace(first, last, count)))
    total = int(np.prod([len(items) for items in starts]))
    if total > MOST:
        message = f"the region needs {total} windows, more than {MOST}; choose a coarser spacing or view: centre"
        raise RegionError(message)
    # z outermost: neighbouring windows then share the slices that are read.
    return [_window(np.array([x, y, z]), step, size) for z in starts[2] for y in starts[1] for x in starts[0]]


def _window(origin: NDArray[np.float64], step: NDArray[np.float64], size: NDArray[np.int64]) -> Window:
    def three(values: NDArray[Any]) -> tuple[Any, Any, Any]:
        return values[0].item(), values[1].item(), values[2].item()

    return Window(three(origin), three(step), three(size))


def cut(
    image: Any, windows: Sequence[Window], interpolator: int = sitk.sitkBSpline, beyond: float | None = None
) -> Iterator[NDArray[np.float32]]:
    """Yield each window of an open image, (z, y, x); only the slices that it depends on are held.

    Beyond the image stands `beyond`, or the darkest value near the window: air.

    Raises
    ------
    RegionError
        If a window lies outside the image.
    """
    grid: Grid = image.grid
    held: tuple[int, int, Any] | None = None
    for window in windows:
        at = grid.to_index(window.corners_mm)
        low = np.floor(at.min(axis=0)).astype(int) - REACH
        high = np.ceil(at.max(axis=0)).astype(int) + REACH + 1
        size = np.array(grid.size)
        if (at.max(axis=0) < -0.5).any() or (at.min(axis=0) > size - 0.5).any():
            centre = ", ".join(f"{value:.0f}" for value in window.corners_mm.mean(axis=0))
            message = f"a window around ({centre}) mm lies outside the image; check the mask or the centre"
            raise RegionError(message)
        low, high = np.clip(low, 0, size - 1), np.clip(high, 1, size)
        if held is None or not (held[0] <= low[2] and high[2] <= held[1]):
            # Forget the old slab before the next is read. A file that can only be decoded whole is, once.
            held = None
            first, last = (int(low[2]), int(high[2])) if image.positions_mm else (0, grid.size[2])
            held = (first, last, image.read(first, last))
        start = held[0]
        part = held[2][low[0] : high[0], low[1] : high[1], low[2] - start : high[2] - start]
        yield _resampled(sitk.Cast(part, sitk.sitkFloat32), window, interpolator, beyond)


def _resampled(part: sitk.Image, window: Window, interpolator: int, beyond: float | None) -> NDArray[np.float32]:
    values = sitk.GetArrayViewFromImage(part)
    if not np.isfinite(values).all():
        message = "the image holds values that are not finite in a window; repair it"
        raise RegionError(message)
    edge = float(values.min()) if beyond is None else beyond
    if min(part.GetSize()) < 4 and interpolator == sitk.sitkBSpline:
        interpolator = sitk.sitkLinear
    before = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    try:
        moved = sitk.Resample(
            part,
            list(window.size),
            sitk.Transform(3, sitk.sitkIdentity),
            interpolator,
            list(window.origin_mm),
            list(window.spacing_mm),
            list(LPS),
            edge,
            sitk.sitkFloat32,
        )
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(before)
    found: NDArray[np.float32] = sitk.GetArrayFromImage(moved)
    return found


def region_box(mask: Mask, grid: Grid) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the lowest and highest x, y, z in millimetres of a region's voxel centres."""
    box = bounding_box(mask)
    if box is None:
        message = "the region is empty; draw it, or name a centre"
        raise RegionError(message)
    (z0, z1), (y0, y1), (x0, x1) = box
    corners = grid.to_physical(np.array([[x, y, z] for x in (x0, x1 - 1) for y in (y0, y1 - 1) for z in (z0, z1 - 1)]))
    return corners.min(axis=0), corners.max(axis=0)
