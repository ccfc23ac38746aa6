"""Regions of interest: which segments a file offers, and one region brought to its image."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from imrad.exceptions import GeometryError, RegionError
from imrad.radiomics.dicom import is_dicom, read_dataset
from imrad.radiomics.geometry import Fit, GeometryLimits, Grid, Mask, bring, check_fit, combine_fits
from imrad.radiomics.images import MAX_VOXELS, OpenImage, VolumeFile, VoxelsInMemory, open_image
from imrad.radiomics.roi import no_such_segment, parse_roi, plain_name, split_parts
from imrad.radiomics.rtstruct import RTSTRUCT, StructureSet
from imrad.radiomics.segmentation import LABEL_MAP_SEGMENTATION, SEGMENTATION, DicomSegmentation, Segment

__all__ = ["LabelImage", "Region", "RegionFile", "list_segments", "open_region", "read_region"]


_LABEL_TOLERANCE = 1e-3
# The finest atlases name a few hundred parts; a slice of CT has more grey values.
_MOST_LABELS = 1000


class RegionFile(Protocol):
    """A file of regions whose header has been read and checked."""

    segments: tuple[Segment, ...]
    frame_of_reference: str
    series_uids: tuple[str, ...]

    def draw(self, number: int, target: Grid) -> tuple[Mask, Fit]:
        """Return one segment on the image's grid, and what bringing it there cost."""


class LabelImage:
    """An image whose whole-number values are labels; 0 is background.

    Names and layers of Slicer's ``.seg.nrrd`` are understood.
    """

    frame_of_reference = ""
    series_uids: tuple[str, ...] = ()

    def __init__(self, volume: VolumeFile | VoxelsInMemory, path: object) -> None:
        self.path = path
        self.grid = volume.grid
        array: NDArray[Any] = sitk.GetArrayFromImage(volume.read())
        self._layers = np.moveaxis(array, -1, 0) if array.ndim == 4 else array[None]
        if self._layers.dtype.kind == "f":
            # A scale factor leaves 0.99999994 of a label 1; not a number is a way to write background.
            given = np.nan_to_num(self._layers, nan=0.0)
            self._layers = np.rint(given)
            odd = given[np.abs(given - self._layers) > _LABEL_TOLERANCE]
            if odd.size:
                message = (
                    f"{path} holds {odd.size} values that are no whole numbers, from {odd.min():.4g} to {odd.max():.4g}"
                    f"; give a mask of label values (probabilities cut at a threshold of your choice)"
                )
                raise RegionError(message)
        lowest = float(self._layers.min())
        if lowest < 0:
            message = (
                f"{path} holds values down to {lowest:g}, as an image does and a mask of labels does not; check that "
                f"image and mask are not swapped"
            )
            raise RegionError(message)
        described = _slicer_segments(getattr(volume, "labels", {}))
        self._where = {number: (layer, value) for number, (_, layer, value) in enumerate(described, start=1)}
        if described:
            self.segments = tuple(Segment(n, name) for n, (name, _, _) in enumerate(described, start=1))
        else:
            values = np.unique(self._layers[self._layers != 0])
            if len(values) > _MOST_LABELS:
                message = (
                    f"{path} holds {len(values)} different values, as an image does and a mask of labels does not; "
                    f"check that image and mask are not swapped"
                )
                raise RegionError(message)
            self.segments = tuple(Segment(int(value)) for value in values)
            self._where = {int(value): (0, int(value)) for value in values}

    def draw(self, number: int, target: Grid) -> tuple[Mask, Fit]:
        """Return one label on the image's grid, and what bringing it there cost."""
        layer, value = self._where[number]
        mask = self._layers[layer] == value
        if not mask.any():
            message = f"{self.path}: label {number} is empty; choose another label"
            raise RegionError(message)
        return bring(mask, self.grid, target)


def _slicer_segments(labels: Mapping[str, str]) -> list[tuple[str, int, int]]:
    """Return (name, layer, value) of each segment that Slicer wrote into an NRRD header."""
    numbers = sorted(int(m.group(1)) for key in labels if (m := re.fullmatch(r"Segment(\d+)_LabelValue", key)))
    return [
        (
            labels.get(f"Segment{number}_Name", ""),
            int(labels.get(f"Segment{number}_Layer", "0")),
            int(labels[f"Segment{number}_LabelValue"]),
        )
        for number in numbers
    ]


def open_region(
    path: str | os.PathLike[str] | sitk.Image,
    *,
    positions_mm: dict[str, tuple[float, ...]] | None = None,
    fractional_threshold: float = 0.5,
    max_voxels: int = MAX_VOXELS,
    image_voxels: int | None = None,
) -> RegionFile:
    """Open a file of regions: DICOM SEG, RTSTRUCT, or a label image.

    Parameters
    ----------
    path : path-like or SimpleITK.Image
        The file, or a folder that holds a single SEG or RTSTRUCT file.
    positions_mm : mapping, optional
        Position of the image's slices by SOPInstanceUID, for SEG frames that only name their source.
    fractional_threshold : float
        Fraction from which a voxel of a fractional segment belongs to the region.
    max_voxels : int
        Refuse larger files before decoding.
    image_voxels : int, optional
        Voxels of the image; a label image of more than eight times as many is refused too.

    Raises
    ------
    InputError, RegionError, GeometryError
        If the file cannot be read or used; in one sentence.
    """
    if isinstance(path, sitk.Image):
        return LabelImage(VoxelsInMemory(path), "the mask")
    path = Path(path)
    if path.is_dir():
        path = _only_object(path)
    if not is_dicom(path):
        most = max_voxels if image_voxels is None else min(max_voxels, max(8 * image_voxels, 1 << 20))
        return LabelImage(VolumeFile(path, max_voxels=most, layers=True), path)
    # A deflated object is inflated whole for its class: the bound of read_dataset holds.
    sop_class = str(read_dataset(path, pixels=False, tags=["SOPClassUID"]).get("SOPClassUID", ""))
    if sop_class in (SEGMENTATION, LABEL_MAP_SEGMENTATION):
        return DicomSegmentation(
            path, fractional_threshold=fractional_threshold, max_voxels=max_voxels, positions_mm=positions_mm
        )
    if sop_class == RTSTRUCT:
        return StructureSet(path)
    message = f"{path} is a DICOM object of class {sop_class}; give a SEG, an RTSTRUCT or a label image"
    raise RegionError(message)


def _only_object(folder: Path) -> Path:
    objects = []
    for file in sorted(folder.iterdir()):
        if is_dicom(file):
            head = read_dataset(file, pixels=False, tags=["Modality"])
            if str(head.get("Modality", "")) in ("SEG", "RTSTRUCT"):
                objects.append(file)
    if len(objects) != 1:
        message = f"{folder} holds {len(objects)} SEG or RTSTRUCT files where one is needed; name the file"
        raise RegionError(message)
    return objects[0]


def list_segments(path: str | os.PathLike[str]) -> list[Segment]:
    """Return the segments, structures or labels that a file offers."""
    return list(open_region(path).segments)


@dataclass(frozen=True)
class Region:
    """One region on its image's grid.

    Attributes
    ----------
    mask : ndarray of bool, shape ``grid.shape``
        The voxels.
    grid : Grid
        The image's.
    fit : Fit
        What bringing it there cost.
    segments : tuple of Segment
        What it was made of.
    each : bool
        Whether its connected parts are to be taken one by one.
    notes : tuple of str
        What looks odd.
    """

    mask: Mask
    grid: Grid
    fit: Fit
    segments: tuple[Segment, ...]
    each: bool = False
    notes: tuple[str, ...] = ()

    def parts(self) -> list[Mask]:
        """Return the connected parts, largest first."""
        return split_parts(self.mask)


def read_region(
    path: str | os.PathLike[str] | sitk.Image | RegionFile,
    image: OpenImage | sitk.Image | str | os.PathLike[str],
    *,
    label: int | str | None = None,
    roi: str | None = None,
    definitions: Mapping[str, str] | None = None,
    limits: GeometryLimits | None = None,
    fractional_threshold: float = 0.5,
    max_voxels: int = MAX_VOXELS,
) -> Region:
    """Read a region and bring it to its image in physical space.

    Parameters
    ----------
    path : path-like, SimpleITK.Image or RegionFile
        DICOM SEG, RTSTRUCT or label image.
    image : OpenImage, SimpleITK.Image or path-like
        The image it belongs to; its header suffices.
    label : int or str, optional
        A label value or segment number, or a segment's label, coded meaning or code.
    roi : str, optional
        A region expression (see :mod:`imrad.radiomics.roi`); not together with `label`.
    definitions : mapping, optional
        Named expressions that `roi` may use.
    limits : GeometryLimits, optional
        What is refused.
    fractional_threshold, max_voxels
        See :func:`open_region`.

    Raises
    ------
    RegionError
        If the region is empty, missing or ambiguous; listing what there is.
    GeometryError
        If it does not fit the image, with the numbers.
    """
    on: OpenImage = image if hasattr(image, "grid") else open_image(image)  # type: ignore[assignment]
    file: Any = path
    if not hasattr(path, "draw"):
        file = open_region(
            path,  # type: ignore[arg-type]
            positions_mm=on.positions_mm,
            fractional_threshold=fractional_threshold,
            max_voxels=max_voxels,
            image_voxels=math.prod(on.grid.size),
        )
    notes = _same_patient_space(file, on)
    used: dict[int, Segment] = {}
    fits: list[Fit] = []

    def lookup(name: str) -> Mask:
        mask: Mask | None = None
        found = _find(file, name)
        if not found and plain_name(name) == "case":
            # What a declared feature set calls the case's own region, where the case names none.
            found = _find(file, _expression(file, None, None))
        for segment in found:
            part, fit = file.draw(segment.number, on.grid)
            used[segment.number] = segment
            fits.append(fit)
            mask = part if mask is None else mask | part
        if mask is None:
            raise no_such_segment(name, [str(s) for s in file.segments], file.path)
        return mask

    expression = parse_roi(_expression(file, label, roi), definitions)
    mask = expression.evaluate(lookup, on.grid)
    fit = combine_fits(fits)
    check_fit(fit, limits or GeometryLimits(), getattr(file, "grid", None), on.grid)
    if not mask.any():
        message = f"{file.path}: the region '{expression.text}' is empty on the image; check labels and distances"
        raise RegionError(message)
    return Region(mask, on.grid, fit, tuple(used.values()), expression.each, notes)


def _expression(file: Any, label: int | str | None, roi: str | None) -> str:
    if roi is not None and label is not None:
        message = f"both label '{label}' and roi '{roi}' are given; give one of them"
        raise RegionError(message)
    if roi is not None:
        return roi
    if label is not None:
        text = str(label).strip()
        return str(int(float(text))) if re.fullmatch(r"\d+(\.0+)?", text) else f'"{text}"'
    if len(file.segments) == 1:
        return str(file.segments[0].number)
    if not file.segments:
        message = f"{file.path} holds 0 regions: it is empty, or every voxel is background; give the mask"
        raise RegionError(message)
    offers = ", ".join(str(segment) for segment in file.segments[:12])
    message = f"{file.path} holds {len(file.segments)} regions ({offers}) where one is needed; give a label or a roi"
    raise RegionError(message)


def _find(file: Any, name: str) -> list[Segment]:
    """Return the segments of a number, or of the first kind of name that fits: label, code, meaning, anatomy."""
    segments: tuple[Segment, ...] = file.segments
    if name.isdigit():
        return [segment for segment in segments if segment.number == int(name)]
    wanted = plain_name(name)
    for kind in ("label", "code", "meaning", "anatomy"):
        found = [segment for segment in segments if plain_name(getattr(segment, kind)) == wanted]
        if found:
            return found
    return []


def _same_patient_space(file: Any, image: OpenImage) -> tuple[str, ...]:
    """Refuse another frame of reference; note another source series."""
    theirs, ours = file.frame_of_reference, image.frame_of_reference
    if theirs and ours and theirs != ours:
        message = (
            f"{file.path} lies in another frame of reference ({theirs}) than the image ({ours}); "
            f"give the image it was drawn on"
        )
        raise GeometryError(message)
    if file.series_uids and image.series_uid and image.series_uid not in file.series_uids:
        return (f"drawn on series {file.series_uids[0]}, not on the image's {image.series_uid}",)
    return ()
