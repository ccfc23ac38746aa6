"""Where voxels lie in the patient, and how a region drawn on one grid is brought to another.

A grid maps a voxel index ``(x, y, z)`` to millimetres in DICOM's patient system (left, posterior,
superior). Arrays are NumPy's, indexed ``[z, y, x]``. A region is always brought to the image,
never the image to the region, and what that costs (shift, loss, change of volume) is measured.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from imrad.exceptions import GeometryError, RegionError

__all__ = ["Fit", "GeometryLimits", "Grid", "bounding_box", "bring", "check_fit", "combine_fits"]

Mask = NDArray[np.bool_]
Box = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]

# Two lattices count as one when their axes stay together to this fraction of a voxel over the region.
_LATTICE_TOLERANCE_VOXELS = 0.01
# A region half a voxel aside, as origins at voxels' corners and centres make it, is nearest to no voxel.
_BETWEEN_VOXELS = 0.45
_TOUCHING_MM = 0.05
# From this ratio of volumes on, the centre of a target voxel tells too little of what it covers.
_COARSE, _MOST_PARTS = 2.0, 9


@dataclass(frozen=True, slots=True)
class Grid:
    """A regular grid of voxels in the patient.

    Attributes
    ----------
    size : tuple of int
        Voxels along x, y, z.
    spacing_mm : tuple of float
        Distance of voxel centres along x, y, z.
    origin_mm : tuple of float
        Position of the centre of voxel (0, 0, 0).
    direction : tuple of float
        Row-major 3 x 3 matrix whose columns are the unit vectors of x, y, z.
    """

    size: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    origin_mm: tuple[float, float, float]
    direction: tuple[float, ...]

    @classmethod
    def of(cls, image: sitk.Image | sitk.ImageFileReader) -> Grid:
        """Return the grid of a three-dimensional SimpleITK image or of a reader's header."""
        return cls(
            tuple(int(n) for n in image.GetSize()[:3]),  # type: ignore[arg-type]
            tuple(float(s) for s in image.GetSpacing()[:3]),  # type: ignore[arg-type]
            tuple(float(o) for o in image.GetOrigin()[:3]),  # type: ignore[arg-type]
            tuple(float(d) for d in image.GetDirection()),
        )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of the NumPy array, (z, y, x)."""
        x, y, z = self.size
        return z, y, x

    @property
    def matrix(self) -> NDArray[np.float64]:
        """Millimetres per index step, 3 x 3, columns x, y, z."""
        matrix: NDArray[np.float64] = np.asarray(self.direction, dtype=float).reshape(3, 3) * np.asarray(
            self.spacing_mm
        )
        return matrix

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel in millilitres."""
        return float(abs(np.linalg.det(self.matrix)) / 1000.0)

    @property
    def sampling_mm(self) -> tuple[float, float, float]:
        """Spacing in array order, (z, y, x)."""
        x, y, z = self.spacing_mm
        return z, y, x

    def to_physical(self, index: NDArray[Any]) -> NDArray[np.float64]:
        """Map indices (..., 3) in x, y, z order to millimetres."""
        mapped: NDArray[np.float64] = np.asarray(index, dtype=float) @ self.matrix.T + np.asarray(self.origin_mm)
        return mapped

    def to_index(self, points_mm: NDArray[Any]) -> NDArray[np.float64]:
        """Map millimetres (..., 3) to continuous indices in x, y, z order."""
        centred = np.asarray(points_mm, dtype=float) - np.asarray(self.origin_mm)
        mapped: NDArray[np.float64] = centred @ np.linalg.inv(self.matrix).T
        return mapped

    def cropped(self, box: Box) -> Grid:
        """Return the grid of an array box ``((z0, z1), (y0, y1), (x0, x1))``, ends excluded."""
        (z0, z1), (y0, y1), (x0, x1) = box
        origin = self.to_physical(np.array([x0, y0, z0]))
        return Grid(
            (x1 - x0, y1 - y0, z1 - z0),
            self.spacing_mm,
            (float(origin[0]), float(origin[1]), float(origin[2])),
            self.direction,
        )

    def image(self, array: NDArray[Any]) -> sitk.Image:
        """Return a SimpleITK image of an array that lies on this grid."""
        image = sitk.GetImageFromArray(array)
        image.SetSpacing(self.spacing_mm)
        image.SetOrigin(self.origin_mm)
        image.SetDirection(self.direction)
        return image


@dataclass(frozen=True, slots=True)
class GeometryLimits:
    """What bringing a region to its image may cost before it is refused.

    Attributes
    ----------
    max_shift_mm : float
        Distance by which the region's grid is off the image's.
    max_overlap_loss : float
        Fraction of the region outside the image.
    max_volume_change : float
        Relative change of volume by drawing the region with the image's voxels.
    """

    max_shift_mm: float = 1.0
    max_overlap_loss: float = 0.05
    max_volume_change: float = 0.1


@dataclass(frozen=True, slots=True)
class Fit:
    """What bringing a region to its image cost.

    Attributes
    ----------
    method : str
        ``"same grid"``, ``"same lattice"`` (cropped, flipped, permuted or shifted by less than a
        voxel: voxels are copied), ``"resampled"`` (nearest neighbour) or ``"contours"``.
    shift_mm : float
        By how much the region was moved, or the grids' distance where both have the same size.
    overlap_loss : float
        Fraction of the region's voxels outside the image.
    volume_change : float
        (volume after - volume before) / volume before, of the part inside the image.
    n_source : int
        Voxels of the region on its own grid.
    """

    method: str
    shift_mm: float
    overlap_loss: float
    volume_change: float
    n_source: int


def bounding_box(mask: Mask) -> Box | None:
    """Return the array box of the non-zero voxels, ends excluded, or None where there are none."""
    planes = np.flatnonzero(np.any(mask, axis=(1, 2)))
    if planes.size == 0:
        return None
    z0, z1 = int(planes[0]), int(planes[-1]) + 1
    flat: Mask = np.asarray(np.any(mask[z0:z1], axis=0))
    rows = np.flatnonzero(np.any(flat, axis=1))
    columns = np.flatnonzero(np.any(flat, axis=0))
    return (z0, z1), (int(rows[0]), int(rows[-1]) + 1), (int(columns[0]), int(columns[-1]) + 1)


def bring(mask: Mask, source: Grid, target: Grid) -> tuple[Mask, Fit]:
    """Draw a region of one grid on another, in physical space.

    Parameters
    ----------
    mask : ndarray of bool, shape ``source.shape``
        The region on its own grid.
    source, target : Grid
        Its grid and the image's.

    Returns
    -------
    mask : ndarray of bool, shape ``target.shape``
        The region on the image's grid.
    fit : Fit
        What it cost; :func:`check_fit` refuses too much.

    Raises
    ------
    RegionError
        If the region is empty on its own grid.
    """
    box = bounding_box(mask)
    if box is None:
        message = (
            "the region is empty: it holds no voxel on its own grid; check the segment or label that was asked for"
        )
        raise RegionError(message)
    if source.size == target.size and _corner_distance(source, target, ordered=True) < 1e-4 * min(target.spacing_mm):
        return mask.astype(bool, copy=False), Fit("same grid", 0.0, 0.0, 0.0, int(np.count_nonzero(mask)))
    crop = mask[box[0][0] : box[0][1], box[1][0] : box[1][1], box[2][0] : box[2][1]]
    grid = source.cropped(box)
    drawn, fit = _copy_lattice(crop, grid, target) or _resample(crop, grid, target)
    if sorted(source.size) == sorted(target.size):
        off = _corner_distance(source, target, ordered=False)
        fit = Fit(fit.method, max(fit.shift_mm, off), fit.overlap_loss, fit.volume_change, fit.n_source)
    return drawn, fit


def _corners(grid: Grid) -> NDArray[np.float64]:
    ends = [(0, n - 1) for n in grid.size]
    return grid.to_physical(np.array(list(product(*ends)), dtype=float))


def _corner_distance(first: Grid, second: Grid, *, ordered: bool) -> float:
    """Largest distance between corners: of the same index, or of the nearest corner of the other grid."""
    one, other = _corners(first), _corners(second)
    if ordered:
        return float(np.linalg.norm(one - other, axis=1).max())
    return float(np.linalg.norm(one[:, None] - other[None], axis=2).min(axis=1).max())


def _copy_lattice(crop: Mask, grid: Grid, target: Grid) -> tuple[Mask, Fit] | None:
    """Copy voxel by voxel where the two grids' axes are the same up to order and sign."""
    step = np.linalg.inv(target.matrix) @ grid.matrix
    turn = np.rint(step)
    if not (np.abs(turn).sum(axis=0) == 1).all() or not (np.abs(turn).sum(axis=1) == 1).all():
        return None
    centre = (np.asarray(grid.size) - 1) / 2
    spacing = target.spacing_mm
    if (np.abs(step - turn) @ np.maximum(centre, 0.5)).max() > _LATTICE_TOLERANCE_VOXELS:
        return None
    mapped = target.to_index(grid.to_physical(centre))
    ends = turn @ np.array([-centre, centre]).T
    low = mapped + ends.min(axis=1)
    start = np.floor(low + 0.5).astype(int)
    shift_mm = round(float(np.linalg.norm(target.matrix @ (start - low))), 6)
    apart = np.abs(start - low)
    if apart.max() > _BETWEEN_VOXELS and shift_mm > _TOUCHING_MM:
        axis = int(apart.argmax())
        beside = f"{apart[axis]:.2f} of a voxel ({apart[axis] * spacing[axis]:.3g} mm)"
        message = (
            f"the region's voxels lie between the image's, {beside} beside them along {'xyz'[axis]}, so that neither "
            f"neighbour is right; correct the region's origin ({_describe(grid)}), or resample it to the image"
        )
        raise GeometryError(message)

    axes = np.abs(turn).argmax(axis=1)
    signs = turn[np.arange(3), axes]
    turned = crop.transpose(2, 1, 0).transpose(axes)
    turned = turned[tuple(slice(None, None, int(sign)) for sign in signs)]
    taken, placed = [], []
    for axis in range(3):
        first, last = max(0, start[axis]), min(target.size[axis], start[axis] + turned.shape[axis])
        taken.append(slice(max(first - start[axis], 0), max(last - start[axis], 0)))
        placed.append(slice(first, max(last, first)))
    drawn = np.zeros(target.shape, dtype=bool)
    n_source = int(np.count_nonzero(crop))
    inside = turned[tuple(taken)]
    if inside.size:
        drawn.transpose(2, 1, 0)[tuple(placed)] = inside
    loss = 1.0 - np.count_nonzero(inside) / n_source
    return drawn, Fit("same lattice", shift_mm, float(loss), 0.0, n_source)


def _resample(crop: Mask, grid: Grid, target: Grid) -> tuple[Mask, Fit]:
    """Draw by nearest neighbour: a target voxel belongs to the region if its centre lies in a region voxel.

    A target voxel that holds many of the region's, as a PET's does of a CT's, belongs to it if half of it does.
    """
    padded = np.pad(crop, 1)
    outer = grid.cropped(((-1, crop.shape[0] + 1), (-1, crop.shape[1] + 1), (-1, crop.shape[2] + 1)))
    reach = target.to_index(_corners(outer))
    size = np.asarray(target.size)
    low = np.clip(np.floor(reach.min(axis=0)).astype(int), 0, size)
    high = np.clip(np.ceil(reach.max(axis=0)).astype(int) + 1, 0, size)
    drawn = np.zeros(target.shape, dtype=bool)
    where = np.argwhere(crop)[:, ::-1]
    centres = grid.to_physical(where)
    index = target.to_index(centres)
    inside = ((index > -0.5) & (index < size - 0.5)).all(axis=1)
    n_source = len(where)
    if (high > low).all():
        box: Box = ((low[2], high[2]), (low[1], high[1]), (low[0], high[0]))
        parts = _subdivision(grid, target)
        part = _subdivided(target.cropped(box), parts)
        reference = sitk.Image([int(n) for n in part.size], sitk.sitkUInt8)
        reference.SetSpacing(part.spacing_mm)
        reference.SetOrigin(part.origin_mm)
        reference.SetDirection(part.direction)
        moved = sitk.Resample(
            outer.image(padded.astype(np.uint8)), reference, sitk.Transform(), sitk.sitkNearestNeighbor, 0.0
        )
        covered = sitk.GetArrayViewFromImage(moved) > 0
        if max(parts) > 1:
            x, y, z = parts
            blocks = covered.reshape(len(covered) // z, z, -1, y, covered.shape[2] // x, x)
            covered = blocks.mean(axis=(1, 3, 5)) >= 0.5
        drawn[low[2] : high[2], low[1] : high[1], low[0] : high[0]] = covered
    shift_mm, change = 0.0, 0.0
    after = np.argwhere(drawn)[:, ::-1]
    if inside.any():
        before_ml = np.count_nonzero(inside) * grid.voxel_ml
        change = len(after) * target.voxel_ml / before_ml - 1.0
        if len(after):
            shift_mm = float(np.linalg.norm(target.to_physical(after.mean(axis=0)) - centres[inside].mean(axis=0)))
    return drawn, Fit("resampled", shift_mm, float(1.0 - inside.mean()), float(change), n_source)


def _subdivision(source: Grid, target: Grid) -> tuple[int, int, int]:
    """Return into how many parts each axis of a target voxel is divided to see how much of it is covered."""
    if target.voxel_ml < _COARSE * source.voxel_ml:
        return 1, 1, 1
    finest = min(source.spacing_mm)
    # An odd number looks at the centre, and does not fall between the source's voxels where spacings are multiples.
    x, y, z = (int(np.clip(np.ceil(step / finest), 1, _MOST_PARTS)) | 1 for step in target.spacing_mm)
    return x, y, z


def _subdivided(grid: Grid, parts: tuple[int, int, int]) -> Grid:
    """Return the same box with each axis of its voxels divided."""
    first = np.array([0.5 / n - 0.5 for n in parts])
    x, y, z = (float(v) for v in grid.to_physical(first))
    size = tuple(n * k for n, k in zip(grid.size, parts, strict=True))
    spacing = tuple(step / k for step, k in zip(grid.spacing_mm, parts, strict=True))
    return Grid(size, spacing, (x, y, z), grid.direction)  # type: ignore[arg-type]


def combine_fits(fits: list[Fit]) -> Fit:
    """Return the cost of a region made of several segments: the worst shift, the mean loss and change."""
    if len(fits) == 1:
        return fits[0]
    weights = np.array([fit.n_source for fit in fits], dtype=float)
    methods = sorted({fit.method for fit in fits})
    return Fit(
        " and ".join(methods),
        max(fit.shift_mm for fit in fits),
        float(np.average([fit.overlap_loss for fit in fits], weights=weights)),
        float(np.average([fit.volume_change for fit in fits], weights=weights)),
        int(weights.sum()),
    )


def check_fit(fit: Fit, limits: GeometryLimits, source: Grid | None = None, target: Grid | None = None) -> None:
    """Refuse a region that does not fit its image.

    Raises
    ------
    GeometryError
        With the numbers, if a limit is exceeded.
    """
    grids = ""
    if source is not None and target is not None:
        turned = not np.allclose(source.direction, target.direction, atol=1e-3)
        axes = "; their axes point elsewhere" if turned else ""
        grids = f" (image {_describe(target)}; region {_describe(source)}{axes})"
    if fit.overlap_loss > limits.max_overlap_loss:
        message = (
            f"{100 * fit.overlap_loss:.1f} % of the region lies outside the image, more than the "
            f"{100 * limits.max_overlap_loss:g} % allowed{grids}; check that region and image belong together"
        )
        raise GeometryError(message)
    if fit.shift_mm > limits.max_shift_mm:
        message = (
            f"the region's grid is {fit.shift_mm:.2f} mm off the image's, more than the {limits.max_shift_mm:g} mm "
            f"allowed{grids}; check origin and orientation, or raise max_shift_mm if this is meant"
        )
        raise GeometryError(message)
    if abs(fit.volume_change) > limits.max_volume_change:
        message = (
            f"drawn with the image's voxels the region's volume changes by {100 * fit.volume_change:+.1f} %, more than "
            f"the {100 * limits.max_volume_change:g} % allowed{grids}; give a region drawn on this image, or raise "
            f"max_volume_change"
        )
        raise GeometryError(message)


def _describe(grid: Grid) -> str:
    size = " x ".join(str(n) for n in grid.size)
    spacing = " x ".join(f"{s:.4g}" for s in grid.spacing_mm)
    origin = ", ".join(f"{o:.4g}" for o in grid.origin_mm)
    return f"{size} voxels of {spacing} mm from ({origin})"
