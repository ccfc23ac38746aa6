"""Files as hospitals really have them: each gives the right numbers, or one sentence that says what is wrong."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.uid import ExplicitVRLittleEndian, MediaStorageDirectoryStorage, generate_uid

from imrad.exceptions import GeometryError, ImageError, InputError, RegionError
from imrad.radiomics import extract_one
from imrad.radiomics.images import read_image
from imrad.radiomics.settings import RadiomicsSettings

MEAN = "original_firstorder_Mean"
SETTINGS = RadiomicsSettings(featureClass={"firstorder": ("Mean",)})


@pytest.fixture
def case(tmp_path):
    """An image and a mask in one space, and a writer of variants of them."""
    rng = np.random.default_rng(3)
    values = rng.integers(-200, 300, (8, 12, 14)).astype(np.int16)
    mask = np.zeros(values.shape, dtype=np.uint8)
    mask[2:6, 3:9, 4:11] = 1

    def write(array, name, *, origin=(-10.0, -20.0, 5.0), spacing=(2.0, 2.0, 3.0)):
        image = sitk.GetImageFromArray(array)
        image.SetOrigin(origin)
        image.SetSpacing(spacing)
        sitk.WriteImage(image, str(tmp_path / name))
        return tmp_path / name

    return values, mask, write


def mean_of(image, mask, **options):
    return extract_one(image, mask, SETTINGS, **options)[MEAN]


@pytest.mark.parametrize(
    "change",
    [
        lambda mask: mask.astype(np.float32),
        lambda mask: mask.astype(np.float32) * np.float32(0.99999994),
        lambda mask: np.where(mask > 0, 1.0, np.nan).astype(np.float32),
        lambda mask: mask * 255,
    ],
)
def test_masks_as_programs_write_them(case, change):
    values, mask, write = case
    assert mean_of(write(values, "ct.nii.gz"), write(change(mask), "m.nii.gz")) == pytest.approx(
        values[mask > 0].mean()
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda mask: mask * np.float32(0.7), "holds 168 values that are no whole numbers, from 0.7 to 0.7"),
        (lambda mask: mask * 0, "holds 0 regions: it is empty, or every voxel is background"),
        (lambda mask: -mask.astype(np.int16), "holds values down to -1, as an image does"),
        (lambda mask: np.arange(mask.size, dtype=np.int32).reshape(mask.shape), "holds 1343 different values"),
    ],
)
def test_masks_that_are_none(case, change, words):
    values, mask, write = case
    with pytest.raises(RegionError) as caught:
        mean_of(write(values, "ct.nii.gz"), write(change(mask), "m.nii.gz"))
    assert words in str(caught.value)


def test_image_and_mask_swapped_or_the_same(case):
    values, mask, write = case
    image, region = write(values, "ct.nii.gz"), write(mask, "m.nii.gz")
    with pytest.raises(RegionError, match="check that image and mask are not swapped"):
        mean_of(region, image, label=1)
    with pytest.raises(InputError, match="given as both image and mask"):
        mean_of(region, region)


@pytest.mark.parametrize(("shift", "axis", "mm"), [((1.0, 0, 0), "x", "1"), ((0, 0, -1.5), "z", "1.5")])
def test_a_mask_half_a_voxel_aside_is_refused_with_the_numbers(case, shift, axis, mm):
    values, mask, write = case
    moved = write(mask, "m.nii.gz", origin=tuple(np.add((-10.0, -20.0, 5.0), shift)))
    with pytest.raises(GeometryError, match=rf"between the image's, 0\.50 of a voxel \({mm} mm\) .* along {axis}"):
        mean_of(write(values, "ct.nii.gz"), moved)
    near = write(mask, "near.nii.gz", origin=tuple(np.add((-10.0, -20.0, 5.0), np.multiply(shift, 0.4))))
    assert mean_of(write(values, "ct.nii.gz"), near) == pytest.approx(values[mask > 0].mean())


@pytest.mark.parametrize("name", ["ct.nii.gz", "ct.nii"])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_what_is_no_number_stays_none(case, name, kind):
    values, mask, write = case
    region = write(mask, "m.nii.gz")
    inside = np.where(mask > 0, np.nan, values).astype(kind)
    # ITK's reader of NIfTI makes 0 of it: a region without a value would have been a region of 0.
    with pytest.raises(ImageError, match="168 of 168 voxels of the region are not finite"):
        mean_of(write(inside, name), region)
    outside = np.where(mask > 0, values, np.nan).astype(kind)
    assert mean_of(write(outside, name), region) == pytest.approx(values[mask > 0].mean())


@pytest.mark.parametrize("kind", ["JPEG", "JPEG2000"])
@pytest.mark.parametrize(("dtype", "shift"), [(np.uint16, 1024), (np.int16, 0)])
def test_compressed_slices_are_what_was_compressed(tmp_path, files, stored, kind, dtype, shift):
    files.series(tmp_path / "plain", stored)
    (tmp_path / "packed").mkdir()
    for path in sorted((tmp_path / "plain").glob("*")):
        plain = sitk.ReadImage(str(path))
        packed = sitk.GetImageFromArray((sitk.GetArrayFromImage(plain) + shift).astype(dtype))
        packed.CopyInformation(plain)
        for key in plain.GetMetaDataKeys():
            if not key.startswith("0028"):
                packed.SetMetaData(key, plain.GetMetaData(key))
        writer = sitk.ImageFileWriter()
        writer.SetFileName(str(tmp_path / "packed" / f"{path.name}.dcm"))
        writer.KeepOriginalImageUIDOn()
        writer.SetUseCompression(True)
        writer.SetCompressor(kind)
        writer.Execute(packed)
        written = pydicom.dcmread(tmp_path / "packed" / f"{path.name}.dcm")
        written.RescaleSlope, written.RescaleIntercept = "1", str(-shift)
        written.save_as(tmp_path / "packed" / f"{path.name}.dcm")
    assert "JPEG" in written.file_meta.TransferSyntaxUID.name
    found = sitk.GetArrayFromImage(read_image(tmp_path / "packed"))
    np.testing.assert_array_equal(found, stored.astype(int) - 1024)


def test_a_dicomdir_stands_for_its_folder(tmp_path, files, stored):
    files.series(tmp_path / "PT000000", stored)
    listing = pydicom.Dataset()
    listing.file_meta = pydicom.dataset.FileMetaDataset()
    listing.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    listing.file_meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    listing.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    listing.FileSetID = "DISC"
    listing.save_as(tmp_path / "DICOMDIR", enforce_file_format=True)
    for given in (tmp_path, tmp_path / "DICOMDIR"):
        np.testing.assert_array_equal(sitk.GetArrayFromImage(read_image(given)), stored.astype(int) - 1024)
