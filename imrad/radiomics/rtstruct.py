"""RTSTRUCT: contours of a radiotherapy structure set, filled on the image's grid."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imrad.exceptions import GeometryError, InputError, RegionError
from imrad.radiomics.dicom import BROKEN, read_dataset, reason
from imrad.radiomics.geometry import Fit, Grid, Mask
from imrad.radiomics.segmentation import Segment

__all__ = ["RTSTRUCT", "StructureSet"]

RTSTRUCT = "1.2.840.10008.5.1.4.1.1.481.3"
_FILLED = {"CLOSED_PLANAR", "CLOSEDPLANAR_XOR"}
# A contour that lies within another by more than this is its hole; one that overlaps it less is a second part.
_HOLE_FRACTION = 0.9


class StructureSet:
    """An RTSTRUCT object.

    Parameters
    ----------
    path : Path
        The file.

    Raises
    ------
    InputError
        If the file is damaged or truncated.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        dataset = read_dataset(path)
        try:
            contours = {int(item.ReferencedROINumber): item for item in dataset.get("ROIContourSequence") or []}
            observed = {int(item.ReferencedROINumber): item for item in dataset.get("RTROIObservationsSequence") or []}
            self.segments = tuple(
                _segment(item, observed.get(int(item.ROINumber))) for item in dataset.StructureSetROISequence
            )
            self._contours = {
                number: [_contour(part, path) for part in item.get("ContourSequence") or []]
                for number, item in contours.items()
            }
            frames = {str(item.get("ReferencedFrameOfReferenceUID", "")) for item in dataset.StructureSetROISequence}
            self.frame_of_reference = frames.pop() if len(frames) == 1 else str(dataset.get("FrameOfReferenceUID", ""))
            self.series_uids = _referenced_series(dataset)
        except BROKEN as error:
            message = f"{path} is no complete RTSTRUCT ({reason(error)}); fetch it again"
            raise InputError(message) from error

    def draw(self, number: int, target: Grid) -> tuple[Mask, Fit]:
        """Fill one structure's contours on the image's grid.

        A voxel belongs to the structure if its centre lies inside. A contour within another of the
        same plane is a hole; a keyhole (a hole joined to the outline by a channel) fills as drawn.

        Raises
        ------
        RegionError
            If the structure has no area: no contours, or points only.
        GeometryError
            If its contours do not lie in the image's planes.
        """
        drawn = self._contours.get(number) or []
        kinds = sorted({kind for kind, _ in drawn})
        areas = [(kind, points) for kind, points in drawn if kind in _FILLED and len(points) > 2]
        if not areas:
            found = f"only {', '.join(kinds).lower()} contours" if kinds else "no contour"
            message = f"{self.path}: structure {number} is empty, it has {found}; choose another structure"
            raise RegionError(message)
        planes = self._planes(areas, target)
        levels = np.array(sorted(planes))
        steps = np.diff(levels)
        # Half the distance of contour planes, so that a structure drawn on a finer or coarser stack keeps its ends.
        reach = max(0.5, float(np.median(steps)) / 2 if steps.size else 0.5)
        if reach > 0.5:
            reach = 0.5 if _drawn_on_slices(levels) else reach
        mask = np.zeros(target.shape, dtype=bool)
        filled = {level: _fill(contours, target) for level, contours in planes.items()}
        n_inside, n_all, shift = 0, 0, 0.0
        for level, plane in filled.items():
            n_all += plane.n
            n_inside += plane.n_inside if -reach <= level <= target.size[2] - 1 + reach else 0
        for z in range(max(0, int(np.ceil(levels[0] - reach))), min(target.size[2] - 1, int(levels[-1] + reach)) + 1):
            nearest = levels[np.argmin(np.abs(levels - z))]
            if abs(nearest - z) <= reach + 1e-6:
                mask[z] |= filled[float(nearest)].mask
                shift = max(shift, abs(float(nearest) - z) * target.spacing_mm[2])
        if n_all == 0:
            message = f"{self.path}: structure {number} is empty, its contours hold no voxel centre; choose another"
            raise RegionError(message)
        return mask, Fit("contours", shift if reach <= 0.5 else 0.0, float(1.0 - n_inside / n_all), 0.0, n_all)

    def _planes(
        self, areas: list[tuple[str, NDArray[np.float64]]], target: Grid
    ) -> dict[float, list[tuple[str, NDArray[np.float64]]]]:
        """Group contours by their height in the image, in slices."""
        planes: dict[float, list[tuple[str, NDArray[np.float64]]]] = {}
        for kind, points in areas:
            index = target.to_index(points)
            heights = index[:, 2]
            if np.ptp(heights) > 0.1:
                message = (
                    f"{self.path}: a contour rises through {np.ptp(heights):.1f} slices of the image instead of lying "
                    f"in one; give the series that the structures were drawn on"
                )
                raise GeometryError(message)
            level = round(float(heights.mean()), 2)
            close = next((known for known in planes if abs(known - level) < 0.05), level)
            planes.setdefault(close, []).append((kind, index[:, :2]))
        return planes


def _drawn_on_slices(levels: NDArray[np.float64]) -> bool:
    """Return whether every contour lies on an image slice: then slices between them were left out on purpose."""
    return bool(np.abs(levels - np.rint(levels)).max() < 0.1)


class _Filled:
    """The filled contours of one plane, also where they leave the image."""

    def __init__(self, mask: Mask, n: int, n_inside: int) -> None:
        self.mask, self.n, self.n_inside = mask, n, n_inside


def _fill(contours: list[tuple[str, NDArray[np.float64]]], target: Grid) -> _Filled:
    corners = np.concatenate([points for _, points in contours])
    low = np.floor(corners.min(axis=0)).astype(int)
    high = np.ceil(corners.max(axis=0)).astype(int) + 1
    width, height = (int(n) for n in high - low)
    columns, rows = target.size[0], target.size[1]
    if width * height > 64 * columns * rows:
        message = (
            f"a contour spans {width} x {height} voxels of an image of {columns} x {rows}; they do not belong together"
        )
        raise GeometryError(message)
    plane = np.zeros((height, width), dtype=bool)
    seen: set[bytes] = set()
    polygons = []
    for kind, points in contours:
        local = points - low
        ring = np.round(local, 4)
        # The same contour stored twice, whatever point it starts from, must not cancel itself.
        name = np.unique(ring, axis=0).tobytes()
        if name not in seen:
            seen.add(name)
            polygons.append((kind, _inside(local, (height, width))))
    polygons.sort(key=lambda item: -int(np.count_nonzero(item[1])))
    for kind, polygon in polygons:
        n = int(np.count_nonzero(polygon))
        within = int(np.count_nonzero(plane & polygon))
        if kind == "CLOSEDPLANAR_XOR" or (n and within / n >= _HOLE_FRACTION):
            plane ^= polygon
        else:
            plane |= polygon
    mask = np.zeros((rows, columns), dtype=bool)
    y0, x0 = max(0, low[1]), max(0, low[0])
    y1, x1 = min(rows, high[1]), min(columns, high[0])
    n_inside = 0
    if y1 > y0 and x1 > x0:
        part = plane[y0 - low[1] : y1 - low[1], x0 - low[0] : x1 - low[0]]
        mask[y0:y1, x0:x1] = part
        n_inside = int(np.count_nonzero(part))
    return _Filled(mask, int(np.count_nonzero(plane)), n_inside)


def _inside(points: NDArray[np.float64], shape: tuple[int, int]) -> Mask:
    """Return the pixels whose centre lies inside a closed polygon, by the even-odd rule.

    Each edge is crossed by the rows between its ends (lower end included); a pixel is inside if an
    odd number of crossings lies at or left of it.
    """
    x0, y0 = points[:, 0], points[:, 1]
    x1, y1 = np.roll(x0, -1), np.roll(y0, -1)
    first = np.ceil(np.minimum(y0, y1)).astype(int)
    last = np.ceil(np.maximum(y0, y1)).astype(int)
    lengths = last - first
    edges = np.repeat(np.arange(len(points)), lengths)
    starts = np.repeat(np.cumsum(lengths) - lengths, lengths)
    rows = first[edges] + np.arange(lengths.sum()) - starts
    slope = (x1[edges] - x0[edges]) / (y1[edges] - y0[edges])
    crossing = np.ceil(x0[edges] + (rows - y0[edges]) * slope).astype(int)
    toggles = np.zeros((shape[0], shape[1] + 1), dtype=np.int64)
    np.add.at(toggles, (rows, np.clip(crossing, 0, shape[1])), 1)
    inside: Mask = (np.cumsum(toggles, axis=1)[:, :-1] % 2).astype(bool)
    return inside


def _segment(item: Any, observation: Any) -> Segment:
    kind = str(observation.get("RTROIInterpretedType", "")) if observation is not None else ""
    label = str(observation.get("ROIObservationLabel", "")) if observation is not None else ""
    return Segment(int(item.ROINumber), str(item.get("ROIName", "") or label), kind)


def _contour(part: Any, path: Path) -> tuple[str, NDArray[np.float64]]:
    values = np.array([float(v) for v in part.get("ContourData") or []])
    if values.size % 3:
        message = f"{path} is truncated: a contour holds {values.size} numbers, no multiple of 3; fetch it again"
        raise InputError(message)
    return str(part.get("ContourGeometricType", "")).upper(), values.reshape(-1, 3)


def _referenced_series(dataset: Any) -> tuple[str, ...]:
    return tuple(
        str(series.SeriesInstanceUID)
        for frame in dataset.get("ReferencedFrameOfReferenceSequence") or []
        for study in frame.get("RTReferencedStudySequence") or []
        for series in study.get("RTReferencedSeriesSequence") or []
    )
