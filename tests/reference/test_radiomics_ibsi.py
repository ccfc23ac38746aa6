"""IBSI mode against the consensus of the Image Biomarker Standardisation Initiative.

Values and tolerances: Zwanenburg et al. 2020, doi:10.1148/radiol.2020191145, digital phantom and CT
phantom (configurations A and C). Reference values are given to three digits; half a unit of the last
digit is allowed beside the tolerance.
"""

from __future__ import annotations

import csv
import json
import math
import zipfile
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from imrad.radiomics import RadiomicsSettings, extract

DATA = Path(__file__).parent / "data" / "radiomics"


def outside(found, consensus):
    """Return the tags whose value is beyond tolerance, and those that are not implemented."""
    wrong, missing = [], []
    for tag, (value, tolerance) in consensus.items():
        if tag not in found:
            missing.append(tag)
            continue
        last_digit = 10 ** (math.floor(math.log10(abs(value))) - 2) if value else 1e-3
        if not abs(found[tag] - value) <= tolerance + 0.5001 * last_digit:
            wrong.append((tag, found[tag], value, tolerance))
    return wrong, missing


def test_digital_phantom():
    phantom = json.loads((DATA / "digital_phantom.json").read_text())
    image, mask = np.array(phantom["image"], np.int16), np.array(phantom["mask"], np.uint8)
    found = {}
    for slices in (False, True):
        settings = RadiomicsSettings(mode="ibsi", binWidth=1, force2D=slices)
        found |= extract(image, mask, tuple(phantom["spacing"]), settings)
    wrong, missing = outside(found, phantom["consensus"])
    assert wrong == []
    assert missing == []
    assert len(phantom["consensus"]) > 470


@pytest.fixture(scope="module")
def ct_phantom(reference_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ct")
    with zipfile.ZipFile(reference_data / "ibsi" / "ct_phantom_dicom_rtstruct.zip") as archive:
        archive.extractall(folder)
    series = next(path for path in folder.rglob("image") if path.is_dir())
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(series)))
    image = reader.Execute()
    mask = sitk.ReadImage(str(reference_data / "ibsi" / "ct_phantom_mask.nii.gz"))
    return sitk.GetArrayFromImage(image), sitk.GetArrayFromImage(mask).astype(np.uint8), image.GetSpacing()


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("a", {"force2D": True, "resegmentRange": (-500, 400)}),
        (
            "c",
            {
                "resegmentRange": (-1000, 400),
                "resampledPixelSpacing": (2, 2, 2),
                "interpolator": "sitkLinear",
                "ivhBinWidth": 2.5,
            },
        ),
    ],
)
def test_ct_phantom(ct_phantom, reference_data, name, setting):
    with (reference_data / "ibsi" / "reference" / f"ibsi_1_chest_config_{name}.csv").open() as file:
        consensus = {
            row["tag"]: (float(row["reference value"]), float(row["tolerance"]))
            for row in csv.DictReader(file, delimiter=";")
            if row["reference value"] and not row["tag"].endswith(("_img", "_roi"))
        }
    found = extract(*ct_phantom, RadiomicsSettings(mode="ibsi", binWidth=25, **setting))
    wrong, missing = outside(found, consensus)
    assert wrong == []
    assert missing == []
    assert len(consensus) > 200
