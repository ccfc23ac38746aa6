"""DICOM image series: headers first, checks with numbers, then only the slices that are needed."""

from __future__ import annotations

import locale
import os
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from imrad.exceptions import GeometryError, ImageError, ImradError, InputError
from imrad.radiomics.acquisition import ACQUISITION_TAGS, acquisition
from imrad.radiomics.dicom import (
    BROKEN,
    EXPLICIT_LITTLE_ENDIAN,
    NATIVE,
    functional_group,
    is_dicom,
    read_dataset,
    reason,
)
from imrad.radiomics.geometry import Grid

__all__ = ["DicomSeries"]

# What no pixel grid of a patient is in: regions, plans, reports, presentation states.
NO_IMAGE = {"SEG", "RTSTRUCT", "RTDOSE", "RTPLAN", "RTRECORD", "SR", "PR", "KO", "REG", "FID", "DOC"}

_TAGS = [
    "SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "Modality", "ImageType",
    "FrameOfReferenceUID", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness",
    "Rows", "Columns", "RescaleSlope", "RescaleIntercept", "NumberOfFrames", "AcquisitionNumber", "SamplesPerPixel",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", *ACQUISITION_TAGS,
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Frame:
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


class DicomSeries:
    """One image series of a folder, its planes sorted by position.

    Parameters
    ----------
    path : Path
        A folder (searched with its subfolders) or one file.
    series : str, optional
        The SeriesInstanceUID to take where the folder holds several.
    files : sequence of Path, optional
        Only these of the folder's files.
    max_voxels : int
        Refuse larger images before decoding.

    Attributes
    ----------
    grid : Grid
        Planes ascend along the cross product of the row and column directions.
    modality, series_uid, study_uid, frame_of_reference : str
        From the headers.
    acquisition : dict
        See :func:`imrad.radiomics.acquisition.acquisition`.
    notes : tuple of str
        What was left out or looks odd, with numbers.

    Raises
    ------
    InputError
        If there is no DICOM image.
    ImageError
        If several series are mixed, or positions hold different slices.
    GeometryError
        If slices are missing, unevenly spaced or tilted.
    """

    def __init__(
        self, path: Path, *, series: str | None = None, files: Sequence[Path] | None = None, max_voxels: int
    ) -> None:
        self.path = path
        frames, head, notes = _choose_series(path, series, files)
        self.modality = str(head.get("Modality", ""))
        self.series_uid = str(head.get("SeriesInstanceUID", ""))
        self.study_uid = str(head.get("StudyInstanceUID", ""))
        self.acquisition = acquisition(head)
        frames = _one_kind(frames, path, notes)
        rows, columns = frames[0].shape
        if rows * columns * len(frames) > max_voxels:
            message = (
                f"{path} holds {columns} x {rows} x {len(frames)} voxels, more than the {max_voxels} allowed; "
                f"raise max_voxels if this is meant"
            )
            raise ImageError(message)
        self.frame_of_reference = frames[0].frame_of_reference
        self._frames, self.grid = _stack(frames, path, notes)
        self.notes = tuple(notes)

    @property
    def positions_mm(self) -> dict[str, tuple[float, ...]]:
        """Position of each slice by its SOPInstanceUID, single-frame files only."""
        return {frame.sop_uid: frame.position_mm for frame in self._frames if frame.position_mm and frame.number == 0}

    @property
    def files(self) -> tuple[tuple[Path, str], ...]:
        """File and SOPInstanceUID of each slice."""
        return tuple((frame.path, frame.sop_uid) for frame in self._frames)

    def read(self, first: int = 0, last: int | None = None) -> sitk.Image:
        """Decode slices `first` to `last` (excluded) into an image that lies where they lie.

        Values are rescaled by each slice's own slope and intercept: 16 or 32 bit integers where
        these are whole numbers, else 64 bit floats.
        """
        z, y, x = self.grid.shape
        last = z if last is None else last
        chosen = self._frames[first:last]
        whole = all(float(f.slope).is_integer() and float(f.intercept).is_integer() for f in chosen)
        planes: list[NDArray[Any]] = []
        for frame, plane in zip(chosen, _pixels(chosen), strict=True):
            if plane.shape != (y, x):
                message = f"{frame.path} decodes to {plane.shape} pixels where its header says {(y, x)}; fetch it again"
                raise ImageError(message)
            planes.append(plane)
        dtype: Any = np.float64
        if whole:
            dtype = np.int16
            if any(plane.min() < -32768 or plane.max() > 32767 for plane in planes):
                dtype = np.int32
        volume = np.empty((len(planes), y, x), dtype=dtype)
        for number, plane in enumerate(planes):
            volume[number] = plane
        return self.grid.cropped(((first, last), (0, y), (0, x))).image(volume)


def _choose_series(path: Path, series: str | None, files: Sequence[Path] | None) -> tuple[list[_Frame], Any, list[str]]:
    """Read all headers below `path` (or of some files) and return the frames of one image series."""
    groups: dict[str, list[_Frame]] = defaultdict(list)
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


def _list_series(groups: dict[str, list[_Frame]], heads: dict[str, Any]) -> str:
    parts = []
    for uid, frames in list(groups.items())[:5]:
        head = heads[uid]
        parts.append(f"{uid} ({head.get('Modality', '?')} '{head.get('SeriesDescription', '')}', {len(frames)} images)")
    more = f" and {len(groups) - 5} more" if len(groups) > 5 else ""
    return ", ".join(parts) + more


def _floats(value: Any) -> tuple[float, ...] | None:
    return None if value is None or not len(value) else tuple(float(item) for item in value)


def _frames(path: Path, head: Any) -> list[_Frame]:
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


def _frame(path: Path, head: Any, number: int, place: Any, turn: Any, measures: Any, rescale: Any) -> _Frame:
    kinds = {str(kind).upper() for kind in (head.get("ImageType") or [])}
    return _Frame(
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


def _one_kind(frames: list[_Frame], path: Path, notes: list[str]) -> list[_Frame]:
    """Leave out localisers and planes without a position; refuse mixed sizes, spacings and orientations."""
    slices = [frame for frame in frames if not frame.localiser]
    if slices and len(slices) < len(frames):
        notes.append(f"{len(frames) - len(slices)} localiser images left out")
    slices = slices or frames
    placed = [f for f in slices if f.position_mm and f.orientation and f.spacing_mm]
    if not placed:
        message = (
            f"{path}: none of {len(slices)} images has position, orientation and pixel spacing; give a volume image"
        )
        raise GeometryError(message)
    if len(placed) < len(slices):
        notes.append(f"{len(slices) - len(placed)} images without a position left out")
    turns = Counter(tuple(np.round(f.orientation or (), 3) + 0.0) for f in placed)
    main, n_main = turns.most_common(1)[0]
    odd = len(placed) - n_main
    if odd and odd <= max(3, len(placed) // 20):
        placed = [f for f in placed if tuple(np.round(f.orientation or (), 3) + 0.0) == main]
        notes.append(f"{odd} localiser images of another orientation left out")
    elif odd:
        counts = ", ".join(str(n) for _, n in turns.most_common(4))
        message = f"{path} mixes {len(turns)} orientations ({counts} images); give a folder with one series"
        raise GeometryError(message)
    for what, values in (
        ("image sizes", Counter(f"{f.shape[1]} x {f.shape[0]}" for f in placed)),
        ("pixel spacings", Counter(" x ".join(f"{s:.4f}" for s in f.spacing_mm or ()) for f in placed)),
        ("frames of reference", Counter(f.frame_of_reference for f in placed)),
    ):
        if len(values) > 1:
            counts = ", ".join(f"{n} of {value}" for value, n in values.most_common(4))
            message = f"{path} mixes {len(values)} {what} ({counts}); give a folder with one series"
            raise GeometryError(message)
    return placed


def _stack(frames: list[_Frame], path: Path, notes: list[str]) -> tuple[list[_Frame], Grid]:
    """Sort planes along their normal and return them with the grid they make."""
    turn = np.array([f.orientation for f in frames], dtype=float).mean(axis=0)
    row, column = turn[:3] / np.linalg.norm(turn[:3]), turn[3:] / np.linalg.norm(turn[3:])
    if abs(row @ column) > 1e-3:
        message = f"{path}: row and column directions are not at right angles ({row @ column:.4f}); check the header"
        raise GeometryError(message)
    column = column - (row @ column) * row
    column /= np.linalg.norm(column)
    normal = np.cross(row, column)
    along = [float(np.asarray(f.position_mm) @ normal) for f in frames]
    order = np.argsort(along, kind="stable")
    ordered = _drop_copies([frames[i] for i in order], [along[i] for i in order], path, notes)
    heights = np.array([np.asarray(f.position_mm) @ normal for f in ordered])
    spacing_z = _even_spacing(heights, ordered, path, notes)
    _straight(ordered, normal, path)
    spacing_row, spacing_column = (ordered[0].spacing_mm or (0.0, 0.0))[:2]
    origin = ordered[0].position_mm or (0.0, 0.0, 0.0)
    rows, columns = ordered[0].shape
    grid = Grid(
        (columns, rows, len(ordered)),
        (spacing_column, spacing_row, spacing_z),
        (origin[0], origin[1], origin[2]),
        tuple(float(v) for v in np.column_stack([row, column, normal]).ravel()),
    )
    return ordered, grid


def _drop_copies(frames: list[_Frame], along: list[float], path: Path, notes: list[str]) -> list[_Frame]:
    """Keep one of identical slices at one position; refuse different ones."""
    groups: list[list[_Frame]] = []
    last = None
    for frame, height in zip(frames, along, strict=True):
        if last is not None and height - last < 1e-3:
            groups[-1].append(frame)
        else:
            groups.append([frame])
            last = height
    crowded = [group for group in groups if len(group) > 1]
    different = [group for group in crowded if not _same_pixels(group)]
    if different:
        acquisitions = sorted({frame.acquisition for group in different for frame in group if frame.acquisition})
        hint = f" (acquisitions {', '.join(acquisitions)})" if len(acquisitions) > 1 else ""
        message = (
            f"{path}: {len(different)} of {len(groups)} positions hold several different slices{hint}; "
            f"give a folder with one acquisition"
        )
        raise ImageError(message)
    if crowded:
        notes.append(f"{sum(len(group) - 1 for group in crowded)} duplicate slices left out")
    return [group[0] for group in groups]


def _same_pixels(group: list[_Frame]) -> bool:
    first, *rest = _pixels(group)
    return all(np.array_equal(first, other) for other in rest)


def _even_spacing(heights: NDArray[np.float64], frames: list[_Frame], path: Path, notes: list[str]) -> float:
    if len(heights) == 1:
        notes.append("one slice only: its thickness is taken as the spacing")
        return frames[0].thickness_mm or 1.0
    steps = np.diff(heights)
    usual = float(np.median(steps))
    wide = np.flatnonzero(steps > 1.5 * usual)
    if wide.size:
        missing = int(np.rint(steps[wide] / usual).sum() - wide.size)
        at = int(wide[0])
        message = (
            f"{path}: about {missing} slices are missing in {wide.size} gaps, the first of {steps[at]:.2f} mm between "
            f"{heights[at]:.2f} and {heights[at + 1]:.2f} mm where slices are {usual:.2f} mm apart; "
            f"fetch the series again"
        )
        raise GeometryError(message)
    if np.abs(steps - usual).max() > 0.1 * usual:
        message = (
            f"{path}: slices are unevenly spaced, {steps.min():.3f} to {steps.max():.3f} mm apart; "
            f"give an evenly spaced series"
        )
        raise GeometryError(message)
    mean = float((heights[-1] - heights[0]) / (len(heights) - 1))
    if np.abs(steps - mean).max() > 0.01 * mean:
        notes.append(f"slice distances vary from {steps.min():.3f} to {steps.max():.3f} mm")
    return mean


def _straight(frames: list[_Frame], normal: NDArray[np.float64], path: Path) -> None:
    """Refuse a stack whose slices slide sideways: a tilted gantry, or planes that do not stack."""
    if len(frames) < 2:
        return
    positions = np.array([f.position_mm for f in frames])
    course = positions[-1] - positions[0]
    aside = float(np.linalg.norm(course - (course @ normal) * normal))
    tilt = float(np.degrees(np.arctan2(aside, abs(course @ normal))))
    spacing = min(frames[0].spacing_mm or (1.0,))
    if tilt > 0.1 and aside > 0.5 * spacing:
        message = (
            f"{path}: the slices are tilted by {tilt:.1f} degrees (they slide {aside:.1f} mm sideways over the stack); "
            f"resample the series to an upright grid first"
        )
        raise GeometryError(message)
    line = positions[0] + np.linspace(0.0, 1.0, len(frames))[:, None] * course
    off = positions - line
    sideways = np.linalg.norm(off - (off @ normal)[:, None] * normal, axis=1)
    if sideways.max() > 0.5 * spacing:
        message = f"{path}: a slice lies {sideways.max():.2f} mm beside the stack; give a folder with one series"
        raise GeometryError(message)


def _pixels(frames: Sequence[_Frame]) -> Iterable[NDArray[Any]]:
    """Yield the rescaled pixels of each frame, reading a multi-frame file once."""
    path, dataset = None, None
    for frame in frames:
        if frame.path != path:
            path, dataset = frame.path, read_dataset(frame.path)
        try:
            yield _decode(dataset, frame)
        except ImradError:
            raise
        except BROKEN as error:
            message = f"{frame.path} holds pixels that cannot be decoded ({reason(error)}); fetch it again"
            raise ImageError(message) from error


def _decode(dataset: Any, frame: _Frame) -> NDArray[Any]:
    if int(dataset.get("SamplesPerPixel", 1)) != 1:
        message = f"{frame.path} is a colour image; give one with a single value per pixel"
        raise ImageError(message)
    syntax = str(dataset.file_meta.get("TransferSyntaxUID", EXPLICIT_LITTLE_ENDIAN))
    allocated = int(dataset.BitsAllocated)
    if syntax in NATIVE and allocated in (8, 16, 32) and "PixelData" in dataset:
        stored = _native(dataset, frame, allocated)
    else:
        try:
            from pydicom.pixels import pixel_array

            with warnings.catch_warnings(action="ignore"):
                stored = pixel_array(dataset, index=frame.number)
        except (RuntimeError, ImportError, NotImplementedError):
            # No plugin for this compression: ITK brings decoders for JPEG, JPEG-LS and JPEG 2000, and rescales itself.
            return _decode_with_itk(frame)
    if frame.slope == 1.0 and frame.intercept == 0.0:
        return stored
    if float(frame.slope).is_integer() and float(frame.intercept).is_integer():
        rescaled: NDArray[Any] = stored.astype(np.int32) * np.int32(frame.slope) + np.int32(frame.intercept)
        return rescaled
    return stored * frame.slope + frame.intercept


def _native(dataset: Any, frame: _Frame, allocated: int) -> NDArray[Any]:
    rows, columns = frame.shape
    signed = int(dataset.get("PixelRepresentation", 0)) == 1
    dtype = np.dtype(f"<{'i' if signed else 'u'}{allocated // 8}")
    n_bytes = rows * columns * dtype.itemsize
    data = dataset.PixelData
    if len(data) < (frame.number + 1) * n_bytes:
        message = (
            f"{frame.path} is truncated: {len(data)} bytes of pixels where {(frame.number + 1) * n_bytes} are needed; "
            f"fetch it again"
        )
        raise ImageError(message)
    stored = np.frombuffer(data, dtype=dtype, count=rows * columns, offset=frame.number * n_bytes)
    unused = allocated - int(dataset.get("BitsStored", allocated))
    if unused > 0:
        # Bits above BitsStored may hold overlays or a missing sign.
        stored = (stored << unused) >> unused
    return stored.reshape(rows, columns)


def _decode_with_itk(frame: _Frame) -> NDArray[Any]:
    # ITK's JPEG decoder leaves the process in the C locale, in which other code no longer reads UTF-8.
    before = locale.setlocale(locale.LC_CTYPE)
    try:
        plane: NDArray[Any] = sitk.GetArrayFromImage(sitk.ReadImage(str(frame.path)))
    finally:
        locale.setlocale(locale.LC_CTYPE, before)
    return plane[frame.number] if plane.ndim == 3 else plane
