"""Images from the files that archives and hospitals hold: DICOM folders, NIfTI, NRRD and MetaImage."""

from __future__ import annotations

import gzip
import math
import os
import struct
import zlib
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import SimpleITK as sitk

from imrad.exceptions import GeometryError, ImageError, InputError
from imrad.radiomics.acquisition import acquisition
from imrad.radiomics.dicom import is_dicom
from imrad.radiomics.geometry import Grid
from imrad.radiomics.series import DicomSeries

__all__ = ["MAX_VOXELS", "OpenImage", "VolumeFile", "VoxelsInMemory", "open_image", "open_volume", "read_image"]

MAX_VOXELS = 1 << 29
"""Voxels of the largest image that is decoded without being told so: 512 x 512 x 2048."""


class OpenImage(Protocol):
    """An image whose header has been read and checked, and whose voxels have not."""

    grid: Grid
    modality: str
    series_uid: str
    frame_of_reference: str
    notes: tuple[str, ...]
    acquisition: dict[str, Any]

    @property
    def positions_mm(self) -> dict[str, tuple[float, ...]]:
        """Position of each slice by its SOPInstanceUID; empty outside DICOM."""

    def read(self, first: int = 0, last: int | None = None) -> sitk.Image:
        """Decode slices `first` to `last` (excluded)."""


class VolumeFile:
    """A NIfTI, NRRD or MetaImage file.

    Raises
    ------
    InputError
        If the file is missing, damaged or of no known format.
    ImageError
        If it is not one three-dimensional volume, or larger than allowed.
    """

    modality = ""
    series_uid = ""
    frame_of_reference = ""
    acquisition = acquisition({})

    def __init__(
        self, path: Path, *, max_voxels: int = MAX_VOXELS, layers: bool = False, volumes: bool = False
    ) -> None:
        self.path = path
        if not path.exists():
            message = f"{path} does not exist; check the path"
            raise InputError(message)
        self._reader = sitk.ImageFileReader()
        self._reader.SetFileName(str(path))
        try:
            self._reader.ReadImageInformation()
        except RuntimeError as error:
            raise _unreadable(path, error) from error
        size = self._reader.GetSize()
        n_voxels = 1
        for n in size:
            n_voxels *= int(n)
        if n_voxels > max_voxels or n_voxels == 0:
            shape = " x ".join(str(n) for n in size)
            message = f"{path} says it holds {shape} voxels, where 1 to {max_voxels} are allowed; it was not decoded"
            raise ImageError(message)
        self.n_volumes = int(size[3]) if len(size) == 4 else 1
        if len(size) > 3 and any(n > 1 for n in size[3:]) and not (volumes and len(size) == 4):
            message = f"{path} has {len(size)} dimensions ({' x '.join(map(str, size))}); give one volume of it"
            raise ImageError(message)
        if self._reader.GetNumberOfComponents() != 1 and not layers:
            message = (
                f"{path} has {self._reader.GetNumberOfComponents()} values per voxel; give an image with a single one"
            )
            raise ImageError(message)
        self.notes: tuple[str, ...] = ()
        self.labels: dict[str, str] = {key: self._reader.GetMetaData(key) for key in self._reader.GetMetaDataKeys()}
        if len(size) == 3:
            self.grid = Grid.of(self._reader)
        elif len(size) == 2:
            self.notes = ("a single slice: it is taken as 1 mm thick",)
            self.grid = Grid.of(self._volume(sitk.Image([int(n) for n in size], sitk.sitkUInt8), copy_geometry=True))
        else:
            self.grid = self._grid_of_more_dimensions()

    @property
    def positions_mm(self) -> dict[str, tuple[float, ...]]:
        """Empty: only DICOM slices have names."""
        return {}

    def read_volume(self, number: int) -> sitk.Image:
        """Read one volume of a four-dimensional file."""
        size = [int(n) for n in self._reader.GetSize()]
        if self.path.name.endswith((".nii", ".nii.gz")):
            _check_nifti(self.path)
        try:
            if len(size) > 3:
                self._reader.SetExtractSize(size[:3] + [0] * (len(size) - 3))
                self._reader.SetExtractIndex([0, 0, 0, number] + [0] * (len(size) - 4))
            return self._volume(_with_gaps(self.path, self._reader.Execute(), number))
        except RuntimeError as error:
            raise _unreadable(self.path, error) from error

    def read(self, first: int = 0, last: int | None = None) -> sitk.Image:
        """Read the file and return its slices `first` to `last` (excluded)."""
        image = self.read_volume(0)
        if first == 0 and (last is None or last == self.grid.size[2]):
            return image
        return image[:, :, first:last]

    def _volume(self, image: sitk.Image, *, copy_geometry: bool = False) -> sitk.Image:
        if image.GetDimension() == 3:
            return image
        if copy_geometry:
            image.SetSpacing(self._reader.GetSpacing())
            image.SetOrigin(self._reader.GetOrigin())
            image.SetDirection(self._reader.GetDirection())
        return sitk.JoinSeries(image, 0.0, 1.0)

    def _grid_of_more_dimensions(self) -> Grid:
        n = len(self._reader.GetSize())
        turn = self._reader.GetDirection()
        direction = tuple(float(turn[n * i + j]) for i in range(3) for j in range(3))
        size, spacing, origin = self._reader.GetSize(), self._reader.GetSpacing(), self._reader.GetOrigin()
        return Grid(tuple(map(int, size[:3])), tuple(spacing[:3]), tuple(origin[:3]), direction)  # type: ignore[arg-type]


def _unreadable(path: Path, error: RuntimeError) -> InputError | GeometryError:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = lines[-1].removeprefix("sitk::ERROR:").strip().rstrip(".") if lines else "unknown reason"
    if "orthonormal" in str(error):
        return GeometryError(f"{path}: its axes are not at right angles; resample it to an upright grid first")
    if "Unable to determine ImageIO" in str(error):
        return InputError(f"{path} is damaged or no NIfTI, NRRD, MetaImage or DICOM file; check it or fetch it again")
    return InputError(f"{path} is damaged or truncated ({reason}); fetch it again")


def _check_nifti(path: Path) -> None:
    """Refuse a NIfTI file that ends early: ITK would fill what is missing with zeros."""
    with path.open("rb") as handle:
        packed = handle.read(2) == b"\x1f\x8b"
    try:
        with gzip.open(path) if packed else path.open("rb") as handle:
            needed = _nifti_bytes(handle.read(540))
        if packed:
            with path.open("rb") as handle:
                handle.seek(-4, os.SEEK_END)
                # The last four bytes of a gzip file are the length of what it holds.
                if struct.unpack("<I", handle.read())[0] == needed % (1 << 32):
                    return
            found = _length(path, needed)
        else:
            found = path.stat().st_size
    except (OSError, EOFError, struct.error, zlib.error) as error:
        message = f"{path} is damaged or truncated ({error}); fetch it again"
        raise InputError(message) from error
    if found < needed:
        message = f"{path} is damaged or truncated: {found} bytes where its header announces {needed}; fetch it again"
        raise InputError(message)


def _with_gaps(path: Path, image: sitk.Image, number: int) -> sitk.Image:
    """Give a NIfTI image back the voxels that are no number: ITK's reader makes them 0."""
    floats = {sitk.sitkFloat32: (16, "f4"), sitk.sitkFloat64: (64, "f8")}
    if not path.name.endswith((".nii", ".nii.gz")) or image.GetPixelID() not in floats:
        return image
    with path.open("rb") as handle:
        packed = handle.read(2) == b"\x1f\x8b"
    with gzip.open(path) if packed else path.open("rb") as handle:
        header = handle.read(540)
        order = "<" if struct.unpack("<i", header[:4])[0] in (348, 540) else ">"
        second = struct.unpack(f"{order}i", header[:4])[0] == 540
        (kind,) = struct.unpack(f"{order}h", header[12:14] if second else header[70:72])
        (start,) = (
            struct.unpack(f"{order}q", header[168:176]) if second else struct.unpack(f"{order}f", header[108:112])
        )
        stored = next((name for code, name in floats.values() if code == kind), None)
        if stored is None:
            # Whole numbers with a scale factor.
            return image
        n = image.GetNumberOfPixels()
        width = int(stored[1])
        handle.seek(int(start) + number * n * width)
        raw = np.frombuffer(handle.read(n * width), dtype=f"{order}{stored}")
    gaps = ~np.isfinite(raw)
    if len(raw) != n or not gaps.any():
        return image
    values = sitk.GetArrayFromImage(image)
    values[gaps.reshape(values.shape)] = np.nan
    mended = sitk.GetImageFromArray(values)
    mended.CopyInformation(image)
    return mended


def _nifti_bytes(header: bytes) -> int:
    """Return the bytes that a NIfTI-1 or NIfTI-2 file needs, by its header."""
    order = "<" if struct.unpack("<i", header[:4])[0] in (348, 540) else ">"
    if struct.unpack(f"{order}i", header[:4])[0] == 540:
        (bits,) = struct.unpack(f"{order}h", header[14:16])
        dims = struct.unpack(f"{order}8q", header[16:80])
        (offset,) = struct.unpack(f"{order}q", header[168:176])
    else:
        dims = struct.unpack(f"{order}8h", header[40:56])
        (bits,) = struct.unpack(f"{order}h", header[72:74])
        (offset,) = struct.unpack(f"{order}f", header[108:112])
    n_voxels: int = math.prod(max(1, n) for n in dims[1 : 1 + dims[0]])
    return int(offset) + n_voxels * int(bits) // 8


def _length(path: Path, enough: int) -> int:
    """Return how many bytes a gzip file holds, up to `enough`, without keeping them."""
    length = 0
    with gzip.open(path) as handle:
        while length < enough:
            part = handle.read(1 << 20)
            if not part:
                break
            length += len(part)
    return length


class VoxelsInMemory:
    """A SimpleITK image that is already decoded, seen as an open image."""

    modality = ""
    series_uid = ""
    frame_of_reference = ""
    notes: tuple[str, ...] = ()
    acquisition = acquisition({})

    def __init__(self, image: sitk.Image) -> None:
        if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
            message = (
                f"the image has {image.GetDimension()} dimensions and {image.GetNumberOfComponentsPerPixel()} values "
                f"per voxel; give a three-dimensional image with one value per voxel"
            )
            raise ImageError(message)
        self._image = image
        self.grid = Grid.of(image)

    @property
    def positions_mm(self) -> dict[str, tuple[float, ...]]:
        """Empty: only DICOM slices have names."""
        return {}

    def read(self, first: int = 0, last: int | None = None) -> sitk.Image:
        """Return slices `first` to `last` (excluded)."""
        if first == 0 and (last is None or last == self.grid.size[2]):
            return self._image
        return self._image[:, :, first:last]


def open_volume(path: str | os.PathLike[str], **options: Any) -> VolumeFile:
    """Open a NIfTI, NRRD or MetaImage file; see :class:`VolumeFile`."""
    return VolumeFile(Path(path), **options)


def open_image(
    path: str | os.PathLike[str] | sitk.Image, *, series: str | None = None, max_voxels: int = MAX_VOXELS
) -> OpenImage:
    """Open an image: read and check its header, not yet its voxels.

    Parameters
    ----------
    path : path-like or SimpleITK.Image
        A DICOM folder or file, or a NIfTI, NRRD or MetaImage file.
    series : str, optional
        SeriesInstanceUID to take from a DICOM folder that holds several.
    max_voxels : int
        Refuse larger images before decoding.

    Raises
    ------
    InputError
        If nothing readable is there.
    ImageError, GeometryError
        If what is there is no single, evenly spaced volume; with the numbers.
    """
    if isinstance(path, sitk.Image):
        return VoxelsInMemory(path)
    path = Path(path)
    if path.is_dir() or is_dicom(path):
        return DicomSeries(path, series=series, max_voxels=max_voxels)
    return VolumeFile(path, max_voxels=max_voxels)


def read_image(path: str | os.PathLike[str], *, series: str | None = None, max_voxels: int = MAX_VOXELS) -> sitk.Image:
    """Read a whole image; parameters and errors as in :func:`open_image`."""
    return open_image(path, series=series, max_voxels=max_voxels).read()
