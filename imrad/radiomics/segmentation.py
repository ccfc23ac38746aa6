"""DICOM Segmentation: binary, fractional and Label Map, frames placed by their position."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imrad.exceptions import GeometryError, InputError, RegionError
from imrad.radiomics.dicom import BROKEN, NATIVE, functional_group, read_dataset, reason
from imrad.radiomics.geometry import Fit, Grid, Mask, bring

__all__ = ["LABEL_MAP_SEGMENTATION", "SEGMENTATION", "DicomSegmentation", "Segment"]

SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
LABEL_MAP_SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.7"


@dataclass(frozen=True, slots=True)
class Segment:
    """One region that a file offers.

    Attributes
    ----------
    number : int
        Label value, segment number or ROI number.
    label : str
        The name it was given.
    meaning, code : str
        Coded property type, such as ``"Kidney"`` and ``"SCT:64033007"``.
    category, anatomy : str
        Coded category (``"Anatomical Structure"``) and anatomic region.
    """

    number: int
    label: str = ""
    meaning: str = ""
    code: str = ""
    category: str = ""
    anatomy: str = ""

    def __str__(self) -> str:
        names = [f"'{text}'" for text in dict.fromkeys((self.label, self.meaning)) if text]
        return " ".join([str(self.number), *names])


class DicomSegmentation:
    """A DICOM SEG object, its header read and checked.

    Parameters
    ----------
    path : Path
        The file.
    fractional_threshold : float
        Fraction from which a voxel of a fractional segment belongs to the region.
    max_voxels : int
        Refuse larger objects before decoding.
    positions_mm : mapping, optional
        Position of source slices by SOPInstanceUID, for frames that only name their source.

    Raises
    ------
    InputError
        If the file is damaged or truncated.
    RegionError
        If frames are missing, or the object is too large.
    GeometryError
        If frames do not lie on one grid.
    """

    def __init__(
        self,
        path: Path,
        *,
        fractional_threshold: float = 0.5,
        max_voxels: int,
        positions_mm: dict[str, tuple[float, ...]] | None = None,
    ) -> None:
        self.path = path
        self._threshold = fractional_threshold
        dataset = read_dataset(path)
        try:
            self._read_header(dataset, max_voxels, positions_mm or {})
        except BROKEN as error:
            message = f"{path} is no complete DICOM segmentation ({reason(error)}); fetch it again"
            raise InputError(message) from error

    def _read_header(self, dataset: Any, max_voxels: int, positions_mm: dict[str, tuple[float, ...]]) -> None:
        self._dataset = dataset
        self.kind = str(dataset.get("SegmentationType", "LABELMAP")).upper()
        if str(dataset.SOPClassUID) == LABEL_MAP_SEGMENTATION:
            self.kind = "LABELMAP"
        self.segments = tuple(
            _segment(item) for item in dataset.SegmentSequence if "SegmentNumber" in item and item.SegmentNumber > 0
        )
        self.frame_of_reference = str(dataset.get("FrameOfReferenceUID", ""))
        self.series_uids = tuple(
            str(item.SeriesInstanceUID)
            for item in dataset.get("ReferencedSeriesSequence") or []
            if "SeriesInstanceUID" in item
        )
        self._rows, self._columns = int(dataset.Rows), int(dataset.Columns)
        groups = dataset.get("PerFrameFunctionalGroupsSequence") or []
        n_frames = int(dataset.get("NumberOfFrames") or 1)
        if len(groups) != n_frames:
            message = (
                f"{self.path} announces {n_frames} frames and describes {len(groups)}: frames are missing; "
                f"fetch it again"
            )
            raise RegionError(message)
        shared = (dataset.get("SharedFunctionalGroupsSequence") or [None])[0]
        self._numbers = np.array(
            [
                int(functional_group(group, shared, "SegmentIdentificationSequence").get("ReferencedSegmentNumber", 0))
                for group in groups
            ]
        )
        # Packed bits are unpacked for one segment at a time, anything else for all frames at once.
        at_once = int(np.bincount(self._numbers).max()) if self._packed else n_frames
        if at_once * self._rows * self._columns > max_voxels:
            message = (
                f"{self.path} holds {at_once} frames of {self._columns} x {self._rows}, more than the {max_voxels} "
                f"voxels allowed; it was not decoded"
            )
            raise RegionError(message)
        self._check_length(n_frames)
        self._place(groups, shared, positions_mm)

    def _check_length(self, n_frames: int) -> None:
        """Refuse pixel data that are shorter than announced."""
        if "PixelData" not in self._dataset:
            message = f"{self.path} has no pixels: it is truncated; fetch it again"
            raise InputError(message)
        if not self._native:
            return
        bits = n_frames * self._rows * self._columns * int(self._dataset.BitsAllocated)
        needed, found = (bits + 7) // 8, len(self._dataset.PixelData)
        if found < needed:
            message = f"{self.path} is truncated: {found} bytes of pixels where {needed} are needed; fetch it again"
            raise InputError(message)

    @property
    def _native(self) -> bool:
        return str(self._dataset.file_meta.TransferSyntaxUID) in NATIVE

    @property
    def _packed(self) -> bool:
        return self._native and int(self._dataset.BitsAllocated) == 1

    def _place(self, groups: Any, shared: Any, positions_mm: dict[str, tuple[float, ...]]) -> None:
        """Find the grid that the frames lie on, and each frame's plane."""
        positions = np.array([self._position(group, shared, positions_mm) for group in groups], dtype=float)
        turns = np.array(
            [functional_group(group, shared, "PlaneOrientationSequence").ImageOrientationPatient for group in groups],
            float,
        )
        if np.abs(turns - turns[0]).max() > 1e-3:
            message = f"{self.path}: its frames have different orientations; give one drawn on parallel slices"
            raise GeometryError(message)
        measures = functional_group(groups[0], shared, "PixelMeasuresSequence")
        spacing_row, spacing_column = (float(s) for s in measures.PixelSpacing)
        row, column = (turns[0, :3] / np.linalg.norm(turns[0, :3]), turns[0, 3:] / np.linalg.norm(turns[0, 3:]))
        normal = np.cross(row, column)
        heights = positions @ normal
        lowest = int(np.argmin(heights))
        off = positions - positions[lowest]
        sideways = np.linalg.norm(off - (off @ normal)[:, None] * normal, axis=1).max()
        if sideways > 0.1 * min(spacing_row, spacing_column):
            message = f"{self.path}: its frames slide {sideways:.2f} mm sideways; give one drawn on an upright stack"
            raise GeometryError(message)
        step = _plane_distance(heights, measures, self.path)
        self._planes = np.rint((heights - heights[lowest]) / step).astype(int)
        x, y, z = (float(v) for v in positions[lowest])
        self.grid = Grid(
            (self._columns, self._rows, int(self._planes.max()) + 1),
            (spacing_column, spacing_row, step),
            (x, y, z),
            tuple(float(v) for v in np.column_stack([row, column, normal]).ravel()),
        )

    def _position(self, group: Any, shared: Any, positions_mm: dict[str, tuple[float, ...]]) -> Any:
        place = functional_group(group, shared, "PlanePositionSequence").get("ImagePositionPatient")
        if place is not None:
            return [float(v) for v in place]
        derivation = functional_group(group, shared, "DerivationImageSequence")
        for source in derivation.get("SourceImageSequence") or []:
            if str(source.ReferencedSOPInstanceUID) in positions_mm:
                return positions_mm[str(source.ReferencedSOPInstanceUID)]
        message = f"{self.path}: a frame has no position and names no slice of the image; it cannot be placed"
        raise GeometryError(message)

    def draw(self, number: int, target: Grid) -> tuple[Mask, Fit]:
        """Return one segment on the image's grid, and what bringing it there cost.

        Raises
        ------
        RegionError
            If the segment has no voxel.
        """
        frames = np.arange(len(self._planes))
        if self.kind != "LABELMAP":
            frames = np.flatnonzero(self._numbers == number)
        elif len(np.unique(self._planes)) != len(self._planes):
            message = f"{self.path}: two frames of its label map lie at one position; fetch it again"
            raise RegionError(message)
        planes = self._planes[frames]
        if frames.size == 0:
            message = f"{self.path}: segment {number} is empty, no frame holds it; choose another segment"
            raise RegionError(message)
        low, high = int(planes.min()), int(planes.max()) + 1
        mask = np.zeros((high - low, self._rows, self._columns), dtype=bool)
        for plane, frame in zip(planes, frames, strict=True):
            mask[plane - low] |= self._frame(int(frame), number)
        if not mask.any():
            message = f"{self.path}: segment {number} is empty, its {len(frames)} frames hold no voxel; choose another"
            raise RegionError(message)
        return bring(mask, self.grid.cropped(((low, high), (0, self._rows), (0, self._columns))), target)

    def _frame(self, frame: int, number: int) -> Mask:
        if self._packed:
            return self._bits(frame)
        stored = self._stored[frame]
        chosen: Mask
        if self.kind == "LABELMAP":
            chosen = stored == number
        elif self.kind == "FRACTIONAL":
            full = float(self._dataset.get("MaximumFractionalValue", 255))
            chosen = (stored > 0) & (stored >= self._threshold * full)
        else:
            chosen = stored > 0
        return chosen

    def _bits(self, frame: int) -> Mask:
        """Unpack one frame of one bit per voxel; frames need not start at a byte."""
        n = self._rows * self._columns
        first = frame * n
        data = np.frombuffer(self._dataset.PixelData, dtype=np.uint8)
        bits = np.unpackbits(data[first // 8 : (first + n + 7) // 8], bitorder="little")
        return bits[first % 8 : first % 8 + n].reshape(self._rows, self._columns).astype(bool)

    @cached_property
    def _stored(self) -> NDArray[Any]:
        shape = (len(self._planes), self._rows, self._columns)
        if self._native:
            dtype = np.dtype(f"<u{int(self._dataset.BitsAllocated) // 8}")
            return np.frombuffer(self._dataset.PixelData, dtype=dtype, count=int(np.prod(shape))).reshape(shape)
        try:
            from pydicom.pixels import pixel_array

            with warnings.catch_warnings(action="ignore"):
                decoded: NDArray[Any] = pixel_array(self._dataset).reshape(shape)
        except (*BROKEN, ImportError) as error:
            message = f"{self.path} holds pixels that cannot be decoded ({reason(error)}); store it uncompressed"
            raise InputError(message) from error
        return decoded


def _segment(item: Any) -> Segment:
    def coded(keyword: str) -> Any:
        return (item.get(keyword) or [{}])[0]

    kind = coded("SegmentedPropertyTypeCodeSequence")
    value = kind.get("CodeValue") or kind.get("LongCodeValue") or ""
    return Segment(
        int(item.SegmentNumber),
        str(item.get("SegmentLabel", "")),
        str(kind.get("CodeMeaning", "")),
        f"{kind.get('CodingSchemeDesignator', '')}:{value}" if value else "",
        str(coded("SegmentedPropertyCategoryCodeSequence").get("CodeMeaning", "")),
        str(coded("AnatomicRegionSequence").get("CodeMeaning", "")),
    )


def _plane_distance(heights: NDArray[np.float64], measures: Any, path: Path) -> float:
    """Return the distance of planes that makes every frame's height a whole number of steps."""
    levels = np.unique(np.round(heights, 3))
    steps = np.diff(levels)
    steps = steps[steps > 2e-3]
    stated = [float(measures.get(name) or 0.0) for name in ("SpacingBetweenSlices", "SliceThickness")]
    if steps.size == 0:
        return next((step for step in stated if step > 0), 1.0)
    for step in (*stated[:1], float(steps.min()), *stated[1:]):
        # Rounded positions drift: judge each distance by itself, not its sum.
        if step > 2e-3 and np.abs(steps / step - np.rint(steps / step)).max() < 0.1 and (steps / step).min() > 0.5:
            counts = np.rint(steps / step).sum()
            return (
                float((levels[-1] - levels[0]) / counts)
                if abs(counts * step - (levels[-1] - levels[0])) < step
                else step
            )
    message = (
        f"{path}: its frames are unevenly spaced, {steps.min():.3f} to {steps.max():.3f} mm apart; "
        f"give one drawn on an evenly spaced series"
    )
    raise GeometryError(message)
