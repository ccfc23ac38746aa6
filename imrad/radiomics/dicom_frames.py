"""The planes that DICOM files hold, by their headers alone: where each lies, and of which series it is."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imrad.exceptions import ImageError, InputError
from imrad.radiomics.acquisition import ACQUISITION_TAGS
from imrad.radiomics.dicom import BROKEN, functional_group, is_dicom, read_dataset, reason

__all__ = ["NO_IMAGE", "Frame", "choose_series"]

# What no pixel grid of a patient is in: regions, plans, reports, presentation states.
NO_IMAGE = {"SEG", "RTSTRUCT", "RTDOSE", "RTPLAN", "RTRECORD", "SR", "PR", "KO", "REG", "FID", "DOC"}

_TAGS = [
    "SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "Modality", "ImageType",
    "FrameOfReferenceUID", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness",
    "Rows", "Columns", "RescaleSlope", "RescaleIntercept", "NumberOfFrames", "AcquisitionNumber", "SamplesPerPixel",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", *ACQUISITION_TAGS,
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Frame:
    """One plane of an image: where it lies and where its pixels are."""

    path: Path
    number: int
    sop_uid: str
    position_mm: tuple[float, ...] | None
    orientation: tuple[float, ...] | None
    spacing_mm: tuple[float, ...] | None
    thickness_mm: float
    shape: tuple[int, int]
    slope: float
    intercept: float
    frame_of_reference: str
    localiser: bool
    acquisition: str


def choose_series(path: Path, series: str | None, files: Sequence[Path] | None) -> tuple[list[Frame], Any, list[str]]:
    """Read all headers below `path` (or of some files) and return the frames of one image series."""
    groups: dict[str, list[Frame]] = defaultdict(list)
    heads: dict[str, Any] = {}
    others = Counter[str]()
    for file in _files(path) if files is None else files:
        if not is_dicom(file):
            others["files that are not DICOM"] += 1
            continue
        head = read_dataset(file, pixels=False, tags=_TAGS)
        modality = str(head.get("Modality", ""))
        if modality in NO_IMAGE or "Rows" not in head:
            others[f"{modality or 'non-image'} objects"] += 1
            continue
        uid = str(head.get("SeriesInstanceUID", ""))
        heads.setdefault(uid, head)
        groups[uid].extend(_frames(file, head))
    if not groups:
        found = "; ".join(f"{n} {what}" for what, n in others.items()) or "no file"
        message = f"{path} holds no DICOM image ({found}); give the folder of one image series"
        raise InputError(message)
    if series is not None:
        if series not in groups:
            message = f"{path} does not hold the series {series}; it holds {_list_series(groups, heads)}"
            raise ImageError(message)
        uid = series
    else:
        full = [uid for uid, frames in groups.items() if not all(frame.localiser for frame in frames)] or list(groups)
        if len(full) > 1:
            message = (
                f"{path} mixes {len(full)} image series: {_list_series({u: groups[u] for u in full}, heads)}; "
                f"give a folder with one, or name the series"
            )
            raise ImageError(message)
        uid = full[0]
    notes = [f"{n} {what} left out" for what, n in others.items() if what.startswith("files")]
    left = sum(len(frames) for other, frames in groups.items() if other != uid)
    if left:
        notes.append(f"{left} images of other series left out")
    return groups[uid], heads[uid], notes


def _files(path: Path) -> Iterable[Path]:
    if path.is_file() and path.name.upper() != "DICOMDIR":
        return [path]
    # A DICOMDIR lists what lies beside it.
    path = path.parent if path.is_file() else path
    found = [
        Path(folder) / name
        for folder, _, names in os.walk(path)
        for name in names
        if name != "DICOMDIR" and not name.startswith(".")
    ]
    return sorted(found)


def _list_series(groups: dict[str, list[Frame]], heads: dict[str, Any]) -> str:
    parts = []
    for uid, frames in list(groups.items())[:5]:
        head = heads[uid]
        parts.append(f"{uid} ({head.get('Modality', '?')} '{head.get('SeriesDescription', '')}', {len(frames)} images)")
    more = f" and {len(groups) - 5} more" if len(groups) > 5 else ""
    return ", ".join(parts) + more


def _floats(value: Any) -> tuple[float, ...] | None:
    return None if value is None or not len(value) else tuple(float(item) for item in value)


def _frames(path: Path, head: Any) -> list[Frame]:
    """Return the planes of one file: one, or those of an enhanced multi-frame object."""
    try:
        groups = head.get("PerFrameFunctionalGroupsSequence")
        shared = (head.get("SharedFunctionalGroupsSequence") or [None])[0]
        if groups is None:
            return [_frame(path, head, 0, head, head, head, head)]
        frames = []
        for number, group in enumerate(groups):
            parts = [
                functional_group(group, shared, keyword)
                for keyword in ("PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence",
                                "PixelValueTransformationSequence")
            ]  # fmt: skip
            frames.append(_frame(path, head, number, *parts))
    except BROKEN as error:
        message = f"{path} has a header that cannot be used ({reason(error)}); fetch it again"
        raise ImageError(message) from error
    return frames


def _frame(path: Path, head: Any, number: int, place: Any, turn: Any, measures: Any, rescale: Any) -> Frame:
    kinds = {str(kind).upper() for kind in (head.get("ImageType") or [])}
    return Frame(
        path,
        number,
        str(head.get("SOPInstanceUID", "")),
        _floats(place.get("ImagePositionPatient")),
        _floats(turn.get("ImageOrientationPatient")),
        _floats(measures.get("PixelSpacing")),
        float(measures.get("SliceThickness") or 0.0),
        (int(head.Rows), int(head.Columns)),
        float(1.0 if rescale.get("RescaleSlope") is None else rescale.get("RescaleSlope")),
        float(0.0 if rescale.get("RescaleIntercept") is None else rescale.get("RescaleIntercept")),
        str(head.get("FrameOfReferenceUID", "")),
        bool(kinds & {"LOCALIZER", "SCOUT"}),
        str(head.get("AcquisitionNumber", "")),
    )
