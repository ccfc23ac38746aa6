"""SUV of PET series: by hand for every vendor's way of writing the header, refused where the header is silent.

50 kg and 100 MBq of a nuclide of one hour, injected an hour before the scan: 50 MBq are left, so a becquerel per
ml is 50,000 g / 5e7 Bq = 0.001 g/ml. The pixels hold 1000 x slope 2 = 2000 Bq/ml: SUV 2.
"""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import SimpleITK as sitk
from pydicom.dataset import Dataset

from imrad.exceptions import ImageError
from imrad.radiomics import extract_one, open_image
from imrad.radiomics.image_settings import ImageSettings, parse_intensity
from imrad.radiomics.intensity import scaled
from imrad.radiomics.settings import RadiomicsSettings

SUV = ImageSettings(intensity="suv")


def pet(data, k, **changes):
    """Make a CT slice a PET slice; None deletes an attribute."""
    drug = Dataset()
    drug.RadionuclideTotalDose, drug.RadionuclideHalfLife = "1e8", "3600"
    drug.RadiopharmaceuticalStartTime = "100000.000000"
    data.Modality, data.Units, data.DecayCorrection = "PT", "BQML", "START"
    data.CorrectedImage = ["DECY", "ATTN", "SCAT"]
    data.PatientWeight = "50"
    data.SeriesDate = data.AcquisitionDate = "20200101"
    data.SeriesTime, data.AcquisitionTime = "110000", f"1100{10 + k:02d}"
    data.RescaleSlope, data.RescaleIntercept = "2", "0"
    for name, value in changes.items():
        where = drug if name.startswith("Radio") else data
        if value is None:
            delattr(where, name)
        else:
            setattr(where, name, value)
    data.RadiopharmaceuticalInformationSequence = [drug]


def series(files, folder, private=None, **changes):
    def edit(data, k):
        pet(data, k, **changes)
        for (group, creator, element), value in (private or {}).items():
            data.private_block(group, creator, create=True).add_new(element, "DS" if group == 0x7053 else "DT", value)

    files.series(folder, np.full((3, 4, 5), 1000, dtype=np.uint16), edit=edit)
    return open_image(folder)


def suv(files, folder, **changes):
    image = series(files, folder, **changes)
    found = scaled(image, np.ones(image.grid.shape, dtype=bool), SUV)
    values = sitk.GetArrayFromImage(found.read())
    assert np.ptp(values) <= 1e-12 * values.max()
    return float(values[0, 0, 0])


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, 2.0),
        ({"RescaleIntercept": "10"}, 2.01),
        ({"PatientWeight": "75"}, 3.0),
        # An explicit date wins over the time of day.
        ({"RadiopharmaceuticalStartDateTime": "20200101090000.00"}, 4.0),
        # Injected at 23:30, scanned at 00:30 of the next day: the time of day alone lies after the scan's.
        ({"RadiopharmaceuticalStartTime": "233000", "SeriesTime": "003000", "AcquisitionTime": "003001"}, 2.0),
        (
            {
                "RadiopharmaceuticalStartDateTime": "20191231233000",
                "RadiopharmaceuticalStartTime": "233000",
                "SeriesTime": "003000",
                "AcquisitionTime": "003001",
            },
            2.0,
        ),
        # Old exports write colons.
        ({"SeriesTime": "11:00:00", "AcquisitionTime": "11:05:00"}, 2.0),
        # Dates taken out by a de-identification.
        ({"SeriesDate": None, "AcquisitionDate": None}, 2.0),
        # Corrected to the administration: nothing has decayed.
        ({"DecayCorrection": "ADMIN"}, 1.0),
        ({"DecayCorrection": "ADMIN", "RadionuclideHalfLife": None, "RadiopharmaceuticalStartTime": None}, 1.0),
        # The series was written after the scan: the earliest acquisition is its start.
        ({"SeriesTime": "150000", "AcquisitionTime": "110000"}, 2.0),
        # In another time zone: 09:00 at +0000 is 10:00 here.
        ({"RadiopharmaceuticalStartDateTime": "20200101090000+0000", "TimezoneOffsetFromUTC": "+0100"}, 2.0),
        # Stored as SUV.
        ({"Units": "GML", "PatientWeight": None}, 2000.0),
    ],
)
@pytest.mark.filterwarnings("ignore:Invalid value for VR TM")
def test_by_hand(tmp_path, files, changes, expected):
    assert suv(files, tmp_path, **changes) == pytest.approx(expected, rel=1e-12)


def test_time_of_a_processed_series_comes_from_the_frame(tmp_path, files):
    # The frame began at 11:10:00, 600 s after the scan; its average count rate lay 59.885 s into its 120 s.
    changes = {"SeriesTime": "150000", "AcquisitionTime": "111000"}
    changes |= {"FrameReferenceTime": "659884.5", "ActualFrameDuration": "120000"}
    assert suv(files, tmp_path, **changes) == pytest.approx(2.0, rel=1e-6)


def test_ge_writes_the_time_of_the_scan(tmp_path, files):
    private = {(0x0009, "GEMS_PETD_01", 0x0D): "20200101120000.00"}
    changes = {"SeriesTime": "150000", "AcquisitionTime": "121000"}
    assert suv(files, tmp_path, private=private, **changes) == pytest.approx(4.0, rel=1e-12)


def test_philips_counts(tmp_path, files):
    group = (0x7053, "Philips PET Private Group")
    assert suv(files, tmp_path / "suv", private={(*group, 0): "0.25"}, Units="CNTS") == pytest.approx(500.0)
    assert suv(files, tmp_path / "bq", private={(*group, 9): "3"}, Units="CNTS") == pytest.approx(6.0)
    with pytest.raises(ImageError, match=r"neither Philips' SUV factor \(7053,1000\)"):
        suv(files, tmp_path / "no", Units="CNTS")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"PatientWeight": None, "RadionuclideTotalDose": None}, "PatientWeight (0010,1030) and RadionuclideTotalDose"),
        ({"PatientWeight": "0"}, "PatientWeight (0010,1030) is missing, empty or zero"),
        ({"RadionuclideHalfLife": None}, "RadionuclideHalfLife (0018,1075) is missing"),
        ({"RadiopharmaceuticalStartTime": None}, "RadiopharmaceuticalStartTime (0018,1072) is missing"),
        ({"SeriesTime": None, "AcquisitionTime": None}, "SeriesTime (0008,0031) or AcquisitionTime (0008,0032)"),
        ({"Units": None, "CorrectedImage": None, "DecayCorrection": None}, "Units (0054,1001), CorrectedImage"),
        ({"CorrectedImage": ["DECY"]}, "not for ATTN (0028,0051)"),
        ({"DecayCorrection": "NONE"}, "is NONE where START or ADMIN is needed"),
        ({"Units": "PROPCPS"}, "are PROPCPS where BQML, CNTS or GML is needed"),
        ({"Units": "GML", "SUVType": "LBM"}, "SUV of type LBM"),
        ({"RadionuclideTotalDose": "370"}, "370 Bq is no injected dose"),
        ({"RadiopharmaceuticalStartDateTime": "20200102100000"}, "82800 s after the scan"),
        ({"RadiopharmaceuticalStartDateTime": "20191225100000"}, "169.0 half-lives before"),
        ({"Modality": "NM"}, "modality NM where SUV needs a PET series"),
    ],
)
def test_refused_in_one_sentence(tmp_path, files, changes, words):
    with pytest.raises(ImageError) as caught:
        suv(files, tmp_path, **changes)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_features_are_of_the_suv(tmp_path, files):
    rng = np.random.default_rng(0)
    stored = rng.integers(500, 3000, (6, 8, 9)).astype(np.uint16)
    files.series(tmp_path / "pet", stored, edit=pet)
    mask = np.zeros(stored.shape, dtype=np.uint8)
    mask[1:5, 2:6, 2:7] = 1
    drawn = sitk.GetImageFromArray(mask)
    drawn.CopyInformation(open_image(tmp_path / "pet").read())
    sitk.WriteImage(drawn, str(tmp_path / "mask.nii.gz"))
    settings = RadiomicsSettings(binWidth=0.25, featureClass={"firstorder": ("Mean", "Maximum")})
    found = extract_one(tmp_path / "pet", tmp_path / "mask.nii.gz", settings, intensity="suv")
    inside = stored[mask > 0] * 2 * 0.001
    assert found["original_firstorder_Mean"] == pytest.approx(inside.mean(), rel=1e-12)
    assert found["original_firstorder_Maximum"] == pytest.approx(inside.max(), rel=1e-12)
    shutil.copy(tmp_path / "mask.nii.gz", tmp_path / "converted.nii.gz")
    with pytest.raises(ImageError, match="SUV needs the headers of a DICOM PET series"):
        extract_one(tmp_path / "converted.nii.gz", tmp_path / "mask.nii.gz", settings, intensity="suv")


def test_intensity_is_spelled_in_one_way():
    assert parse_intensity(" ZScore:Region") == ImageSettings(intensity="zscore", within="region")
