"""DICOM image series: headers first, checks with numbers, then only the slices that are needed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from imrad.exceptions import ImageError
from imrad.radiomics.acquisition import acquisition
from imrad.radiomics.dicom_frames import choose_series
from imrad.radiomics.dicom_pixels import pixels
from imrad.radiomics.dicom_stack import one_kind, stack

__all__ = ["DicomSeries"]


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
        frames, head, notes = choose_series(path, series, files)
        self.modality = str(head.get("Modality", ""))
        self.series_uid = str(head.get("SeriesInstanceUID", ""))
        self.study_uid = str(head.get("StudyInstanceUID", ""))
        self.acquisition = acquisition(head)
        frames = one_kind(frames, path, notes)
        rows, columns = frames[0].shape
        if rows * columns * len(frames) > max_voxels:
            message = (
                f"{path} holds {columns} x {rows} x {len(frames)} voxels, more than the {max_voxels} allowed; "
                f"raise max_voxels if this is meant"
            )
            raise ImageError(message)
        self.frame_of_reference = frames[0].frame_of_reference
        self._frames, self.grid = stack(frames, path, notes)
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
        for frame, plane in zip(chosen, pixels(chosen), strict=True):
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
