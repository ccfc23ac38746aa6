"""Cases as archives hold them: a folder of mixed DICOM series, segmentations that name theirs, and broken ones."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pydicom
import pytest
import SimpleITK as sitk

from imrad.datasets.dicom import Phantom, write_ct_series, write_segmentation
from imrad.radiomics.cases import extract_cases
from imrad.radiomics.settings import RadiomicsSettings

SMALL = RadiomicsSettings(featureClass={"shape": [], "firstorder": []})
SHAPE = (12, 32, 36)


def phantom(seed):
    rng = np.random.default_rng(seed)
    z, y, x = np.indices(SHAPE)
    mask = ((z - 6) / 3) ** 2 + ((y - 15) / 7) ** 2 + ((x - 18) / 8) ** 2 <= 1
    values = (rng.normal(30, 15, SHAPE) + 50 * mask).astype(np.int16)
    return Phantom(values, mask, (0.7, 0.7, 3.0), (-5.0, 8.0, 100.0))


@pytest.fixture
def archive(tmp_path):
    """One folder with two patients' series mixed, a SEG for each, and the same as NIfTI."""
    rows = []
    for number, patient in enumerate(("A", "B")):
        made = phantom(number)
        source = write_ct_series(made, patient, tmp_path / "mixed" / patient)
        write_segmentation(made, patient, source, tmp_path / f"{patient}.dcm")
        for name, array in (("image", made.hounsfield), ("mask", made.mask.astype(np.uint8))):
            image = sitk.GetImageFromArray(array)
            image.SetSpacing(made.spacing_mm)
            image.SetOrigin(made.origin_mm)
            sitk.WriteImage(image, str(tmp_path / f"{patient}_{name}.nii.gz"))
        rows.append({"patient": patient, "image": str(tmp_path / "mixed"), "mask": str(tmp_path / f"{patient}.dcm")})
    return tmp_path, pd.DataFrame(rows)


def test_a_segmentation_names_its_series_and_gives_what_nifti_gives(archive):
    folder, table = archive
    found = extract_cases(table, SMALL)
    assert list(found.features["patient"]) == ["A", "B"]
    nifti = table.assign(
        image=[str(folder / f"{p}_image.nii.gz") for p in "AB"], mask=[str(folder / f"{p}_mask.nii.gz") for p in "AB"]
    )
    other = extract_cases(nifti, SMALL).features
    names = list(other.columns[2:])
    # NIfTI keeps spacing and origin in single precision.
    np.testing.assert_allclose(found.features[names], other[names], rtol=1e-6)
    assert found.geometry["notes"].str.contains("12 images of other series left out").all()


def spoil(folder, name, change):
    data = pydicom.dcmread(folder / "A.dcm")
    change(data)
    data.save_as(folder / f"{name}.dcm")


def test_broken_segmentations_are_failure_rows(archive):
    folder, _ = archive
    spoil(folder, "frames", lambda d: d.PerFrameFunctionalGroupsSequence.pop())
    spoil(folder, "space", lambda d: setattr(d, "FrameOfReferenceUID", "1.2.3"))
    spoil(folder, "empty", lambda d: setattr(d, "PixelData", bytes(len(d.PixelData))))
    spoil(folder, "pixels", lambda d: setattr(d, "PixelData", d.PixelData[:40]))
    spoil(folder, "bomb", lambda d: (setattr(d, "Rows", 60000), setattr(d, "Columns", 60000)))
    cut = (folder / "A.dcm").read_bytes()
    (folder / "cut.dcm").write_bytes(cut[: len(cut) // 3])
    names = ["A", "frames", "space", "empty", "pixels", "bomb", "cut", "B"]
    cases = pd.DataFrame(
        [
            {
                "patient": n,
                "image": str(folder / "mixed" / ("B" if n == "B" else "A")),
                "mask": str(folder / f"{n}.dcm"),
            }
            for n in names
        ]
    )
    found = extract_cases(cases, SMALL)
    assert list(found.features["patient"]) == ["A", "B"]
    reasons = found.failures.set_index("patient")["reason"]
    assert list(reasons.index) == names[1:-1]
    for name, words in {
        "frames": "frames are missing",
        "space": "another frame of reference",
        "empty": "is empty",
        "pixels": "is truncated",
        "bomb": "it was not decoded",
        "cut": "it lacks SegmentSequence",
    }.items():
        assert words in reasons[name], reasons[name]


def test_a_series_with_a_gap_or_too_large_is_a_failure_row(archive):
    folder, table = archive
    (folder / "mixed" / "A" / "0005.dcm").unlink()
    found = extract_cases(table, SMALL)
    assert list(found.failures["error"]) == ["GeometryError"]
    assert "about 1 slices are missing in 1 gaps" in found.failures.loc[0, "reason"]
    assert list(found.features["patient"]) == ["B"]
