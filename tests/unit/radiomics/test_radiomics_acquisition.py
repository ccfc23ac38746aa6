"""What headers say of scanner, protocol and contrast phase."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from pydicom.dataset import Dataset

from imrad.radiomics import RadiomicsSettings, extract_cases
from imrad.radiomics.acquisition import acquisition, contrast_phase

FIRST_ORDER = RadiomicsSettings(featureClass={"firstorder": ["Mean"]})


# Series descriptions of TCGA-KIRC in the Imaging Data Commons (release 25), and what their readers call them.
@pytest.mark.parametrize(
    ("description", "phase"),
    [
        ("PRE-CONTRAST", "unenhanced"),
        ("Non_Contrast  5.0  B31f", "unenhanced"),
        ("KIDNEYS I-  5.0  B30f", "unenhanced"),
        ("Kids w/o  5.0  B40f", "unenhanced"),
        ("Native 5.0 B30f", "unenhanced"),
        ("Arterial_Phase  5.0  B30f", "arterial"),
        ("Venous Phase  5.0  B30f", "venous"),
        ("PORTAL VENOUS", "portal venous"),
        ("Delay Nephro  5.0  B31f", "nephrographic"),
        ("3 MIN DELAY", "delayed"),
        ("CT ABD KIDNEY 3 MIN EXCRETION", "excretory"),
        ("POST CONTRAST", "enhanced"),
        ("with Contrast", "enhanced"),
        ("+C", "enhanced"),
        ("ABD W/O & W CONTRAST", "several"),
        ("PRE/POST ARTERIAL", "several"),
        ("CAP Routine  5.0  B40f", ""),
        ("", ""),
    ],
)
def test_phase_is_what_the_description_says(description, phase):
    assert contrast_phase(description) == phase


def test_an_agent_tells_of_contrast_where_no_phase_is_named():
    assert contrast_phase("C-A-P", "OMNIPAQUE 300") == "enhanced"
    assert contrast_phase("C-A-P", "ORAL") == ""
    assert contrast_phase("PRE", "OMNIPAQUE 300") == "unenhanced"


def test_enhanced_objects_keep_kernel_and_kvp_in_the_shared_group():
    head, shared, reconstruction, xray, measures = (Dataset() for _ in range(5))
    reconstruction.ConvolutionKernel = ["I30f", "3"]
    xray.KVP = "100"
    measures.SliceThickness = "1.25"
    shared.CTReconstructionSequence = [reconstruction]
    shared.CTXRayDetailsSequence, shared.PixelMeasuresSequence = [xray], [measures]
    head.SharedFunctionalGroupsSequence = [shared]
    found = acquisition(head)
    assert (found["convolution_kernel"], found["kvp"], found["slice_thickness_mm"]) == ("I30f 3", 100.0, 1.25)
    assert found["manufacturer"] == ""


def test_the_imaging_table_has_a_row_for_each_case(tmp_path, files):
    def scanner(data, _):
        data.Manufacturer, data.ManufacturerModelName = "SIEMENS", "Sensation 16"
        data.ConvolutionKernel, data.KVP, data.SliceThickness = "B30f", "120", "5"
        data.SeriesDescription = "Arterial Phase  5.0  B30f"

    rng = np.random.default_rng(0)
    volume = rng.integers(900, 1100, (6, 9, 8)).astype(np.uint16)
    files.series(tmp_path / "ct", volume, edit=scanner)
    rows = [{"patient": "A", "image": str(tmp_path / "ct")}, {"patient": "B", "image": str(tmp_path / "ct.nii.gz")}]
    grid = sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(tmp_path / "ct")))
    sitk.WriteImage(grid, str(tmp_path / "ct.nii.gz"))
    mask = sitk.GetImageFromArray((np.indices(volume.shape).sum(axis=0) > 8).astype(np.uint8))
    mask.CopyInformation(grid)
    sitk.WriteImage(mask, str(tmp_path / "mask.nii.gz"))
    found = extract_cases(pd.DataFrame(rows).assign(mask=str(tmp_path / "mask.nii.gz")), FIRST_ORDER)
    assert len(found.failures) == 0, found.failures["reason"].tolist()
    imaging = found.imaging.set_index("case")
    expected = {
        "modality": "CT",
        "manufacturer": "SIEMENS",
        "scanner_model": "Sensation 16",
        "convolution_kernel": "B30f",
        "contrast_phase": "arterial",
        "kvp": 120.0,
        "slice_thickness_mm": 5.0,
        "spacing_x_mm": 0.8,
        "spacing_y_mm": 0.7,
        "spacing_z_mm": 2.5,
    }
    assert imaging.loc["A", list(expected)].to_dict() == pytest.approx(expected)
    assert imaging.loc["B", "manufacturer"] == ""
    assert np.isnan(imaging.loc["B", "kvp"])
    assert imaging.loc["B", "spacing_z_mm"] == pytest.approx(2.5)
