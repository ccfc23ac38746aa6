"""Regions must decode to the arrays that other programs decode them to.

Segmentations: QIICR/dcmqi (BSD-3-Clause), data/segmentations/ct-3slice: DICOM SEG and the NRRD files that dcmqi's
segimage2itkimage writes of them (overlapping segments in three files). The CT slices' pixels are set to 0 here.
RTSTRUCT: the IBSI CT phantom (Lambin, CC BY-NC), of which only its own copy is read.
"""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from imrad.radiomics.images import open_image
from imrad.radiomics.regions import list_segments, read_region

DATA = Path(__file__).parent / "data" / "segmentations"


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dcmqi")
    (folder / "ct").mkdir()
    for path in DATA.glob("*.dcm.gz"):
        place = folder if "seg" in path.name else folder / "ct"
        (place / path.name.removesuffix(".gz")).write_bytes(gzip.decompress(path.read_bytes()))
    return folder


def array(name):
    return sitk.GetArrayFromImage(sitk.ReadImage(str(DATA / name)))


def test_a_liver(unpacked):
    region = read_region(unpacked / "liver_seg.dcm", unpacked / "ct", label="liver")
    np.testing.assert_array_equal(region.mask, array("liver_seg.nrrd") > 0)
    assert region.mask.sum() == 107098


@pytest.mark.parametrize(("number", "file"), [(1, 1), (2, 2), (3, 3), (4, 1), (5, 1)])
def test_overlapping_segments_in_sparse_frames(unpacked, number, file):
    image = open_image(unpacked / "ct")
    region = read_region(unpacked / "partial_overlaps_seg.dcm", image, label=number)
    np.testing.assert_array_equal(region.mask, array(f"partial_overlaps-{file}.nrrd") == number)
    assert region.fit.overlap_loss == 0


def test_segments_by_meaning(unpacked):
    names = {segment.meaning: segment.number for segment in list_segments(unpacked / "partial_overlaps_seg.dcm")}
    assert names == {"Tissue": 1, "Artery": 2, "Capillary": 3, "Edema": 4, "Vein": 5}
    by_name = read_region(unpacked / "partial_overlaps_seg.dcm", unpacked / "ct", roi="edema | SCT:29092000")
    labels = array("partial_overlaps-1.nrrd")
    np.testing.assert_array_equal(by_name.mask, np.isin(labels, (4, 5)))


@pytest.mark.parametrize("name", ["liver_seg.nrrd", "partial_overlaps-1.nrrd"])
def test_the_nrrd_of_a_program_lies_where_the_series_does(unpacked, name):
    region = read_region(DATA / name, unpacked / "ct", roi="1")
    np.testing.assert_array_equal(region.mask, array(name) == 1)


def test_ibsi_phantom_contours_are_its_published_mask(reference_data, tmp_path):
    with zipfile.ZipFile(reference_data / "ibsi" / "ct_phantom_dicom_rtstruct.zip") as archive:
        archive.extractall(tmp_path)
    image = open_image(tmp_path / "chest_ct" / "image")
    region = read_region(tmp_path / "chest_ct" / "mask", image, label="GTV-1")
    published = reference_data / "ibsi" / "ct_phantom_mask.nii.gz"
    np.testing.assert_array_equal(region.mask, sitk.GetArrayFromImage(sitk.ReadImage(str(published))) > 0)
    assert region.mask.sum() == 125256
    np.testing.assert_array_equal(read_region(published, image).mask, region.mask)


def test_ct_values_are_itks(reference_data, tmp_path):
    for path in (reference_data / "dicom" / "dcmqi_ct3slice").glob("0?.dcm.gz"):
        (tmp_path / path.name.removesuffix(".gz")).write_bytes(gzip.decompress(path.read_bytes()))
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path)))
    theirs, ours = reader.Execute(), open_image(tmp_path).read()
    np.testing.assert_array_equal(sitk.GetArrayFromImage(ours), sitk.GetArrayFromImage(theirs))
    assert ours.GetOrigin() == pytest.approx(theirs.GetOrigin())
    assert ours.GetSpacing() == pytest.approx(theirs.GetSpacing())
