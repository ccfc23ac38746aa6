"""Generated CT series with a DICOM SEG beside them, written with pydicom alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["Phantom", "write_ct_series", "write_segmentation"]

_DATE = "20200102"
_INTERCEPT = -1024


@dataclass(frozen=True)
class Phantom:
    """A generated volume.

    Attributes
    ----------
    hounsfield : ndarray of int16, (slices, rows, columns)
        The image.
    mask : ndarray of bool
        The region, on the same grid.
    spacing_mm, origin_mm : tuple of float
        In the order x, y, z; the axes are the patient's.
    """

    hounsfield: np.ndarray[Any, np.dtype[np.int16]]
    mask: np.ndarray[Any, np.dtype[np.bool_]]
    spacing_mm: tuple[float, float, float]
    origin_mm: tuple[float, float, float]

    def position_mm(self, number: int) -> list[float]:
        """Return the position of the first voxel of a slice."""
        x, y, z = self.origin_mm
        return [x, y, z + number * self.spacing_mm[2]]


def write_ct_series(phantom: Phantom, patient: str, folder: Path) -> list[Any]:
    """Write one CT slice per file and return the data sets.

    The same phantom and patient give the same bytes.
    """
    from pydicom.uid import CTImageStorage

    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for number, plane in enumerate(phantom.hounsfield):
        data = _new(patient, CTImageStorage, "CT", "ct", number)
        data.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        data.SeriesNumber, data.InstanceNumber = 2, number + 1
        data.SeriesDescription = "generated CT"
        data.PatientPosition = "HFS"
        data.ImagePositionPatient = phantom.position_mm(number)
        data.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        data.PixelSpacing = [phantom.spacing_mm[1], phantom.spacing_mm[0]]
        data.SliceThickness = phantom.spacing_mm[2]
        data.SliceLocation = phantom.position_mm(number)[2]
        data.KVP = 120
        _pixel_module(data, plane.shape, bits=16)
        data.RescaleSlope, data.RescaleIntercept, data.RescaleType = 1, _INTERCEPT, "HU"
        data.PixelData = (plane.astype(np.int32) - _INTERCEPT).astype("<u2").tobytes()
        data.save_as(folder / f"{number + 1:04d}.dcm", enforce_file_format=True)
        written.append(data)
    return written


def write_segmentation(phantom: Phantom, patient: str, source: list[Any], path: Path) -> None:
    """Write the phantom's mask as a binary DICOM SEG with one frame per slice of the region."""
    from pydicom.dataset import Dataset
    from pydicom.pixels import pack_bits
    from pydicom.uid import SegmentationStorage

    slices = [number for number in range(len(phantom.mask)) if phantom.mask[number].any()]
    data = _new(patient, SegmentationStorage, "SEG", "seg", 0)
    data.ImageType = ["DERIVED", "PRIMARY"]
    data.SeriesNumber, data.InstanceNumber = 300, 1
    data.SeriesDescription = "generated segmentation"
    data.ContentLabel, data.ContentDescription, data.ContentCreatorName = "TUMOUR", "generated tumour", "imrad"
    data.ContentDate, data.ContentTime = _DATE, "120000"
    data.DeviceSerialNumber, data.SoftwareVersions = "1", "1"
    data.SegmentationType = "BINARY"
    data.LossyImageCompression = "00"
    data.SegmentSequence = [_segment()]
    data.DimensionOrganizationSequence, data.DimensionIndexSequence = _dimensions(patient)
    measures, orientation, shared = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing = [phantom.spacing_mm[1], phantom.spacing_mm[0]]
    measures.SliceThickness = measures.SpacingBetweenSlices = phantom.spacing_mm[2]
    orientation.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [orientation]
    data.SharedFunctionalGroupsSequence = [shared]
    data.PerFrameFunctionalGroupsSequence = [
        _frame(rank, phantom.position_mm(number), source[number]) for rank, number in enumerate(slices, start=1)
    ]
    data.ReferencedSeriesSequence = [_referenced_series(source)]
    data.NumberOfFrames = len(slices)
    _pixel_module(data, phantom.mask.shape[1:], bits=1)
    data.PixelData = pack_bits(phantom.mask[slices].astype(np.uint8).ravel(), pad=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)


def _uid(*names: object) -> str:
    from pydicom.uid import generate_uid

    return str(generate_uid(prefix="2.25.", entropy_srcs=[str(name) for name in ("imrad phantom", *names)]))


def _new(patient: str, storage: str, modality: str, series: str, number: int) -> Any:
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SOPClassUID = storage
    data.SOPInstanceUID = _uid(patient, series, number)
    data.StudyInstanceUID = _uid(patient, "study")
    data.SeriesInstanceUID = _uid(patient, series)
    data.FrameOfReferenceUID = _uid(patient, "frame of reference")
    data.PositionReferenceIndicator = ""
    data.PatientID = data.PatientName = patient
    data.PatientBirthDate = data.PatientSex = ""
    data.StudyDate = data.SeriesDate = _DATE
    data.StudyTime = data.SeriesTime = "120000"
    data.StudyID, data.AccessionNumber, data.ReferringPhysicianName = "1", "", ""
    data.Modality, data.Manufacturer, data.ManufacturerModelName = modality, "imrad", "generated"
    return data


def _pixel_module(data: Any, shape: tuple[int, ...], *, bits: int) -> None:
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.Rows, data.Columns = shape
    data.BitsAllocated = data.BitsStored = bits
    data.HighBit, data.PixelRepresentation = bits - 1, 0


def _code(value: str, scheme: str, meaning: str) -> Any:
    from pydicom.dataset import Dataset

    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, meaning
    return code


def _segment() -> Any:
    from pydicom.dataset import Dataset

    segment = Dataset()
    segment.SegmentNumber, segment.SegmentLabel = 1, "tumour"
    segment.SegmentAlgorithmType = "MANUAL"
    segment.SegmentedPropertyCategoryCodeSequence = [_code("49755003", "SCT", "Morphologically Altered Structure")]
    segment.SegmentedPropertyTypeCodeSequence = [_code("108369006", "SCT", "Neoplasm")]
    return segment


def _dimensions(patient: str) -> tuple[list[Any], list[Any]]:
    from pydicom.dataset import Dataset
    from pydicom.tag import Tag

    organisation = Dataset()
    organisation.DimensionOrganizationUID = _uid(patient, "dimensions")
    indices = []
    for pointer, group in (
        ("ReferencedSegmentNumber", "SegmentIdentificationSequence"),
        ("ImagePositionPatient", "PlanePositionSequence"),
    ):
        index = Dataset()
        index.DimensionOrganizationUID = organisation.DimensionOrganizationUID
        index.DimensionIndexPointer, index.FunctionalGroupPointer = Tag(pointer), Tag(group)
        indices.append(index)
    return [organisation], indices


def _frame(rank: int, position_mm: list[float], source: Any) -> Any:
    from pydicom.dataset import Dataset

    content, position, identity, derivation, image, frame = (Dataset() for _ in range(6))
    content.DimensionIndexValues = [1, rank]
    position.ImagePositionPatient = position_mm
    identity.ReferencedSegmentNumber = 1
    image.ReferencedSOPClassUID, image.ReferencedSOPInstanceUID = source.SOPClassUID, source.SOPInstanceUID
    image.PurposeOfReferenceCodeSequence = [_code("121322", "DCM", "Source image for image processing operation")]
    derivation.SourceImageSequence = [image]
    derivation.DerivationCodeSequence = [_code("113076", "DCM", "Segmentation")]
    frame.FrameContentSequence, frame.PlanePositionSequence = [content], [position]
    frame.SegmentIdentificationSequence, frame.DerivationImageSequence = [identity], [derivation]
    return frame


def _referenced_series(source: list[Any]) -> Any:
    from pydicom.dataset import Dataset

    series = Dataset()
    series.SeriesInstanceUID = source[0].SeriesInstanceUID
    series.ReferencedInstanceSequence = []
    for item in source:
        instance = Dataset()
        instance.ReferencedSOPClassUID, instance.ReferencedSOPInstanceUID = item.SOPClassUID, item.SOPInstanceUID
        series.ReferencedInstanceSequence.append(instance)
    return series
