"""Small DICOM files made on the spot: CT series, segmentations, structure sets."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

CT = "1.2.840.10008.5.1.4.1.1.2"
RTSTRUCT = "1.2.840.10008.5.1.4.1.1.481.3"


def _blank(storage: str, modality: str, **uids: str) -> Dataset:
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = storage
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    data.Modality = modality
    data.PatientID, data.PatientName, data.PatientBirthDate, data.PatientSex = "P1", "P^1", "", ""
    data.StudyDate, data.StudyTime, data.StudyID, data.AccessionNumber = "20200101", "000000", "1", ""
    data.ReferringPhysicianName, data.SeriesNumber, data.Manufacturer = "", "1", "test"
    for name, uid in uids.items():
        setattr(data, name, uid)
    return data


def write_series(folder, volume, *, spacing=(0.8, 0.7, 2.5), origin=(-10.0, -20.0, 30.0), axes=None, slope=1,
                 intercept=-1024, edit=None, order=None, prefix="", series=None, study=None, frame=None,
                 image_type=("ORIGINAL", "PRIMARY", "AXIAL")):  # fmt: skip
    """Write stored values (z, y, x) as CT slices; `edit(dataset, k)` may spoil each, returning False to drop it."""
    folder.mkdir(parents=True, exist_ok=True)
    axes = np.eye(3) if axes is None else np.asarray(axes, dtype=float)
    uids = {
        "SeriesInstanceUID": series or generate_uid(),
        "StudyInstanceUID": study or generate_uid(),
        "FrameOfReferenceUID": frame or generate_uid(),
    }
    slices = []
    for k, plane in enumerate(volume):
        data = _blank(CT, "CT", **uids)
        data.InstanceNumber = str(len(volume) - k)
        data.ImageType = list(image_type)
        position = np.asarray(origin) + axes[:, 2] * spacing[2] * k
        data.ImagePositionPatient = [f"{v:.6f}" for v in position]
        data.ImageOrientationPatient = [f"{v:.8f}" for v in (*axes[:, 0], *axes[:, 1])]
        data.PixelSpacing = [str(spacing[1]), str(spacing[0])]
        data.SliceThickness = str(spacing[2])
        data.Rows, data.Columns = plane.shape
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.BitsAllocated, data.BitsStored, data.HighBit = 16, 16, 15
        data.PixelRepresentation = int(plane.dtype.kind == "i")
        data.RescaleSlope, data.RescaleIntercept = str(slope), str(intercept)
        data.PixelData = plane.astype(f"<{plane.dtype.kind}2").tobytes()
        if edit is not None and edit(data, k) is False:
            continue
        number = k if order is None else order[k]
        data.save_as(folder / f"{prefix}{number:03d}.dcm", enforce_file_format=True)
        slices.append(data)
    return slices


def write_structures(path, source, structures, *, frame=None):
    """Write an RTSTRUCT; structures are (number, name, [(type, points in mm)])."""
    data = _blank(RTSTRUCT, "RTSTRUCT", SeriesInstanceUID=generate_uid(), StudyInstanceUID=source[0].StudyInstanceUID)
    frame = frame or source[0].FrameOfReferenceUID
    series = Dataset()
    series.SeriesInstanceUID = source[0].SeriesInstanceUID
    study = Dataset()
    study.RTReferencedSeriesSequence = Sequence([series])
    reference = Dataset()
    reference.FrameOfReferenceUID = frame
    reference.RTReferencedStudySequence = Sequence([study])
    data.ReferencedFrameOfReferenceSequence = Sequence([reference])
    data.StructureSetROISequence, data.ROIContourSequence = Sequence(), Sequence()
    for number, name, contours in structures:
        item = Dataset()
        item.ROINumber, item.ROIName, item.ReferencedFrameOfReferenceUID = number, name, frame
        data.StructureSetROISequence.append(item)
        drawn = Dataset()
        drawn.ReferencedROINumber = number
        drawn.ContourSequence = Sequence()
        for kind, points in contours:
            part = Dataset()
            part.ContourGeometricType, part.NumberOfContourPoints = kind, len(points)
            part.ContourData = [f"{v:.4f}" for v in np.asarray(points).ravel()]
            drawn.ContourSequence.append(part)
        data.ROIContourSequence.append(drawn)
    data.save_as(path, enforce_file_format=True)
    return path


def write_seg(path, source, masks, *, kind="BINARY", meanings=None, omit_empty=True, deflated=False):
    """Write a SEG with highdicom: `masks` are boolean (or fractional) volumes, one a segment, in the slices' order."""
    import highdicom as hd
    from highdicom.sr.coding import CodedConcept

    coded = meanings or [("64033007", "Kidney"), ("108369006", "Neoplasm"), ("367643001", "Cyst")]
    descriptions = [
        hd.seg.SegmentDescription(
            segment_number=i + 1,
            segment_label=f"segment {chr(97 + i)}",
            segmented_property_category=CodedConcept("91723000", "SCT", "Anatomical Structure"),
            segmented_property_type=CodedConcept(coded[i][0], "SCT", coded[i][1]),
            algorithm_type=hd.seg.SegmentAlgorithmTypeValues.MANUAL,
        )
        for i in range(len(masks))
    ]
    if kind == "LABELMAP":
        pixels = np.zeros(masks[0].shape, np.uint8)
        for i, mask in enumerate(masks):
            pixels[mask > 0] = i + 1
    else:
        pixels = np.stack([m if kind == "FRACTIONAL" else m.astype(np.uint8) for m in masks], axis=-1)
    syntax = pydicom.uid.DeflatedExplicitVRLittleEndian if deflated else ExplicitVRLittleEndian
    segmentation = hd.seg.Segmentation(
        source_images=source,
        pixel_array=pixels,
        segmentation_type=kind,
        segment_descriptions=descriptions,
        series_instance_uid=generate_uid(),
        series_number=2,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="test",
        manufacturer_model_name="test",
        software_versions="1",
        device_serial_number="1",
        omit_empty_frames=omit_empty,
        transfer_syntax_uid=ExplicitVRLittleEndian,
    )
    if deflated:
        segmentation.file_meta.TransferSyntaxUID = syntax
    pydicom.dcmwrite(path, segmentation, enforce_file_format=True)
    # highdicom leaves its in-memory table of frames open, of which Python 3.13 warns.
    segmentation._db_con.close()
    return path


@pytest.fixture(scope="session")
def files():
    return SimpleNamespace(series=write_series, structures=write_structures, seg=write_seg)


@pytest.fixture
def stored():
    """Stored CT values, 6 x 16 x 20, all different."""
    return np.arange(6 * 16 * 20, dtype=np.int16).reshape(6, 16, 20)
