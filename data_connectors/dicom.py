"""What only image headers tell: which scan a segmentation outlines, and whether a series is one even stack."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data_connectors.errors import IncompleteError, IntegrityError

__all__ = ["SegmentationHeader", "Stack", "read_segmentation", "read_stack"]

DEFLATED = "1.2.840.10008.1.2.1.99"
INFLATED_BYTES = 4 << 30
SPACING_TOLERANCE_MM = 0.1
SPACING_TOLERANCE = 0.01
TILT_DEGREES = 1.0
AXIAL = 0.9


@dataclass(frozen=True)
class SegmentationHeader:
    """What a SEG or RTSTRUCT says about itself.

    Attributes
    ----------
    modality, series, study : str
        Of the object itself.
    sources : tuple of str
        SeriesInstanceUIDs that it refers to.
    frame_of_reference : str
        Coordinate system of the outlines.
    segments : tuple of (int, str, str)
        Number, label and coded meaning of each segment or structure.
    """

    modality: str
    series: str
    study: str
    sources: tuple[str, ...]
    frame_of_reference: str
    segments: tuple[tuple[int, str, str], ...]


@dataclass(frozen=True)
class Stack:
    """What the headers of a series say together; `problem` is empty where it is one even stack.

    Attributes
    ----------
    images : int
        Files.
    slices : int
        Different positions.
    spacing_mm : tuple of float
        Between rows, between columns, between slices.
    notes : tuple of str
        What was found and does not matter.
    """

    series: str
    frame_of_reference: str
    images: int
    slices: int
    spacing_mm: tuple[float, float, float]
    rows: int
    columns: int
    kernel: str
    thickness_mm: float
    contrast: bool
    problem: str = ""
    notes: tuple[str, ...] = field(default_factory=tuple)


_HEADER_TAGS = [
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "FrameOfReferenceUID",
    "ImageType",
    "Rows",
    "Columns",
    "PixelSpacing",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "GantryDetectorTilt",
    "ConvolutionKernel",
    "SliceThickness",
    "ContrastBolusAgent",
    "PixelData",
]


def read_segmentation(path: Path) -> SegmentationHeader:
    """Read the header of a SEG (also a deflated label map) or an RTSTRUCT.

    Raises
    ------
    IntegrityError
        If the file is not DICOM, inflates without end, or is neither of the two.
    """
    import pydicom

    try:
        meta = pydicom.filereader.read_file_meta_info(path)
        if str(meta.get("TransferSyntaxUID", "")) == DEFLATED:
            _refuse_bomb(path, meta)
        data = pydicom.dcmread(path, stop_before_pixels=True)
        modality = str(data.get("Modality", ""))
        if modality == "SEG":
            sources, segments = _seg_sources(data), _seg_segments(data)
        elif modality == "RTSTRUCT":
            sources, segments = _structure_sources(data), _structures(data)
        else:
            message = (
                f"{path} is a DICOM object of modality {modality!r} where SEG or RTSTRUCT was announced; it was "
                "kept for inspection"
            )
            raise IntegrityError(message)
        return SegmentationHeader(
            modality,
            str(data.get("SeriesInstanceUID", "")),
            str(data.get("StudyInstanceUID", "")),
            tuple(dict.fromkeys(sources)),
            _frame(data),
            tuple(segments),
        )
    except (OSError, EOFError, KeyError, ValueError, TypeError, AttributeError, zlib.error) as error:
        message = (
            f"{path} is not a readable DICOM object ({type(error).__name__}: {error}); delete it and run the same "
            "command again"
        )
        raise IntegrityError(message) from error
    except pydicom.errors.InvalidDicomError as error:
        message = f"{path} is not DICOM; delete it and run the same command again"
        raise IntegrityError(message) from error


def _refuse_bomb(path: Path, meta: Any) -> None:
    data = path.read_bytes()
    # Preamble, prefix, and the group length element itself, then the meta group.
    start = 132 + 12 + int(meta.FileMetaInformationGroupLength)
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    rest, size = data[start:], 0
    while rest:
        size += len(inflater.decompress(rest, 16 << 20))
        rest = inflater.unconsumed_tail
        if size > INFLATED_BYTES:
            message = f"{path} inflates to more than {INFLATED_BYTES >> 30} GB; it was refused: leave the patient out"
            raise IntegrityError(message)


def _seg_sources(data: Any) -> list[str]:
    return [
        str(one.SeriesInstanceUID) for one in data.get("ReferencedSeriesSequence", []) if "SeriesInstanceUID" in one
    ]


def _seg_segments(data: Any) -> list[tuple[int, str, str]]:
    found = []
    for one in data.get("SegmentSequence", []):
        codes = one.get("SegmentedPropertyTypeCodeSequence", [])
        meaning = str(codes[0].get("CodeMeaning", "")) if codes else ""
        found.append((int(one.get("SegmentNumber", 0)), str(one.get("SegmentLabel", "")), meaning))
    return found


def _structure_sources(data: Any) -> list[str]:
    return [
        str(series.SeriesInstanceUID)
        for frame in data.get("ReferencedFrameOfReferenceSequence", [])
        for study in frame.get("RTReferencedStudySequence", [])
        for series in study.get("RTReferencedSeriesSequence", [])
        if "SeriesInstanceUID" in series
    ]


def _structures(data: Any) -> list[tuple[int, str, str]]:
    return [
        (int(one.get("ROINumber", 0)), str(one.get("ROIName", "")), "")
        for one in data.get("StructureSetROISequence", [])
    ]


def _frame(data: Any) -> str:
    own = str(data.get("FrameOfReferenceUID", "") or "")
    if own:
        return own
    for frame in data.get("ReferencedFrameOfReferenceSequence", []):
        return str(frame.get("FrameOfReferenceUID", "") or "")
    for one in data.get("StructureSetROISequence", []):
        return str(one.get("ReferencedFrameOfReferenceUID", "") or "")
    return ""


def read_stack(paths: Sequence[Path], expected_series: str) -> Stack:
    """Read the headers of a series and judge its geometry.

    Parameters
    ----------
    paths : sequence of Path
        All its files.
    expected_series : str
        SeriesInstanceUID that the index announced.

    Raises
    ------
    IncompleteError
        If there is no file.
    IntegrityError
        If a file is not DICOM or belongs to another series.
    """
    import pydicom

    heads = []
    for path in paths:
        try:
            heads.append(pydicom.dcmread(path, specific_tags=_HEADER_TAGS, defer_size=4096))
        except (OSError, EOFError, ValueError, KeyError, pydicom.errors.InvalidDicomError) as error:
            message = f"{path} is not a readable DICOM image ({error}); delete it and run the same command again"
            raise IntegrityError(message) from error
    if not heads:
        message = f"no image of series {expected_series} is there; run the same command again"
        raise IncompleteError(message)
    others = sorted({str(head.get("SeriesInstanceUID", "")) for head in heads} - {expected_series})
    if others:
        message = (
            f"{paths[0].parent} holds images of series {others[0]} where {expected_series} was announced; delete "
            "the folder and run again"
        )
        raise IntegrityError(message)
    return _judge(heads, expected_series)


def _judge(heads: list[Any], series: str) -> Stack:
    notes = []
    images = {str(head.get("SOPInstanceUID", number)): head for number, head in enumerate(heads)}
    if len(images) < len(heads):
        notes.append(f"{len(heads) - len(images)} files repeat an image")
    whole = [head for head in images.values() if "PixelData" in head and head.get("ImagePositionPatient") is not None]
    if len(whole) < len(images):
        notes.append(f"{len(images) - len(whole)} objects are not images with a position")
    localisers = [head for head in whole if "LOCALIZER" in [str(part).upper() for part in head.get("ImageType", [])]]
    whole = [head for head in whole if head not in localisers]
    if localisers:
        notes.append(f"{len(localisers)} localiser images")
    first = whole[0] if whole else heads[0]
    spacing, slices, problem = _geometry(whole)
    rows_mm, columns_mm = ([float(one) for one in first.get("PixelSpacing", None) or (0.0, 0.0)])[:2]
    return Stack(
        series,
        str(first.get("FrameOfReferenceUID", "") or ""),
        len(heads),
        slices,
        (rows_mm, columns_mm, spacing),
        int(first.get("Rows", 0) or 0),
        int(first.get("Columns", 0) or 0),
        str(first.get("ConvolutionKernel", "") or ""),
        float(first.get("SliceThickness", None) or math.nan),
        bool(first.get("ContrastBolusAgent", "")),
        problem,
        tuple(notes),
    )


def _geometry(whole: list[Any]) -> tuple[float, int, str]:
    """Return slice spacing in mm, number of slices, and what is wrong with the stack."""
    import numpy as np

    if len(whole) < 2:
        return 0.0, len(whole), f"{len(whole)} images with a position are no volume"
    turns = np.array([[float(one) for one in head.ImageOrientationPatient] for head in whole])
    sizes = {
        (int(head.Rows), int(head.Columns), *(round(float(one), 4) for one in head.PixelSpacing)) for head in whole
    }
    if np.abs(turns - turns[0]).max() > 1e-3:
        return 0.0, len(whole), "images of several orientations"
    if len(sizes) > 1:
        return 0.0, len(whole), "images of several sizes or pixel spacings"
    along, across = turns[0][:3], turns[0][3:]
    normal = np.cross(along, across)
    if abs(normal[2]) < AXIAL:
        return 0.0, len(whole), "not axial"
    places = np.array([[float(one) for one in head.ImagePositionPatient] for head in whole])
    heights = places @ normal
    ordering = np.argsort(heights, kind="stable")
    steps = np.diff(heights[ordering])
    apart = steps > 0.01
    spacing = float(np.median(steps[apart])) if apart.any() else 0.0
    slices = int(apart.sum()) + 1
    if not apart.all():
        return spacing, slices, f"{int((~apart).sum())} positions occur twice (two phases in one series?)"
    drift = np.diff(places[ordering], axis=0) - steps[:, None] * normal
    tilt = math.degrees(math.atan(float(np.linalg.norm(drift, axis=1).max()) / spacing))
    if tilt > TILT_DEGREES:
        return spacing, slices, f"tilted by {tilt:.1f} degrees"
    tolerance = max(SPACING_TOLERANCE_MM, SPACING_TOLERANCE * spacing)
    uneven = np.abs(steps - spacing) > tolerance
    if uneven.any():
        missing = int(np.round(steps[uneven] / spacing - 1).clip(0).sum())
        what = f"{missing} slices missing" if missing else f"{int(uneven.sum())} uneven steps"
        return spacing, slices, f"{what} at a spacing of {spacing:.2f} mm"
    return spacing, slices, ""
