"""DICOM folders, NIfTI, NRRD and MetaImage files, whole and broken."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.uid import RLELossless, generate_uid

from imrad.exceptions import GeometryError, ImageError, InputError
from imrad.radiomics.images import open_image, read_image


def with_itk(folder):
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return reader.Execute()


def array(image):
    return sitk.GetArrayFromImage(image)


def same_grid(one, other):
    return (
        one.GetSize() == other.GetSize()
        and np.allclose(one.GetSpacing(), other.GetSpacing(), atol=1e-6)
        and np.allclose(one.GetOrigin(), other.GetOrigin(), atol=1e-6)
        and np.allclose(one.GetDirection(), other.GetDirection(), atol=1e-6)
    )


OBLIQUE = [[0.96, 0.0, 0.28], [0.0, 1.0, 0.0], [-0.28, 0.0, 0.96]]


@pytest.mark.parametrize("axes", [None, OBLIQUE, np.diag([-1.0, -1.0, 1.0]), np.diag([1.0, -1.0, -1.0])])
def test_series_is_what_itk_reads(tmp_path, files, stored, axes):
    files.series(tmp_path, stored, axes=axes, order=[3, 0, 5, 1, 4, 2])
    ours, theirs = read_image(tmp_path), with_itk(tmp_path)
    assert same_grid(ours, theirs)
    np.testing.assert_array_equal(array(ours), array(theirs))
    assert ours.GetPixelID() == sitk.sitkInt16


@pytest.mark.parametrize(("slope", "intercept", "dtype"), [(1, -1024, "i2"), (0.5, 3, "f8"), (100, 0, "i4")])
def test_rescaling_decides_the_type(tmp_path, files, stored, slope, intercept, dtype):
    files.series(tmp_path, stored, slope=slope, intercept=intercept)
    found = array(read_image(tmp_path))
    assert found.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(found, stored.astype(float) * slope + intercept)


def test_each_slice_has_its_own_rescaling(tmp_path, files, stored):
    def edit(data, k):
        data.RescaleSlope, data.RescaleIntercept = str(1 + k), "0"

    files.series(tmp_path, stored, edit=edit)
    expected = stored.astype(int) * np.arange(1, 7)[:, None, None]
    np.testing.assert_array_equal(array(read_image(tmp_path)), expected)


def test_unsigned_and_partly_used_bits(tmp_path, files):
    values = np.array([[[0, 1, 4095, 2048]] * 4] * 3, dtype=np.uint16)

    def edit(data, _):
        data.BitsStored, data.HighBit = 12, 11
        data.PixelData = (values[0] | 0x4000).astype("<u2").tobytes()  # an overlay bit above the stored ones

    files.series(tmp_path, values, edit=edit, intercept=0)
    np.testing.assert_array_equal(array(read_image(tmp_path)), values)


def test_compressed_slices_are_decoded(tmp_path, files, stored):
    def edit(data, _):
        data.compress(RLELossless)

    files.series(tmp_path, stored, edit=edit)
    np.testing.assert_array_equal(array(read_image(tmp_path)), stored - 1024)


def test_jpeg_2000_is_decoded_by_itk(tmp_path, files, stored):
    files.series(tmp_path / "plain", stored)
    plain = with_itk(tmp_path / "plain")
    (tmp_path / "packed").mkdir()
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    writer.UseCompressionOn()
    for k in range(6):
        plane = sitk.Cast(plain[:, :, k], sitk.sitkInt16)
        head = pydicom.dcmread(tmp_path / "plain" / f"{k:03d}.dcm", stop_before_pixels=True)
        for tag, value in {
            "0008|0060": "CT",
            "0020|000e": head.SeriesInstanceUID,
            "0020|000d": head.StudyInstanceUID,
            "0020|0052": head.FrameOfReferenceUID,
            "0020|0032": "\\".join(str(v) for v in head.ImagePositionPatient),
            "0020|0037": "\\".join(str(v) for v in head.ImageOrientationPatient),
            "0028|1052": "-1024",
            "0028|1053": "1",
        }.items():
            plane.SetMetaData(tag, value)
        writer.SetFileName(str(tmp_path / "packed" / f"{k}.dcm"))
        writer.Execute(plane)
    packed = pydicom.dcmread(tmp_path / "packed" / "0.dcm")
    assert packed.file_meta.TransferSyntaxUID.is_compressed
    np.testing.assert_array_equal(array(read_image(tmp_path / "packed")), stored - 1024)


def test_old_exports_without_preamble_are_read(tmp_path, files, stored):
    files.series(tmp_path, stored)
    for path in tmp_path.iterdir():
        data = pydicom.dcmread(path)
        with path.open("wb") as handle:
            pydicom.filewriter.write_dataset(_little_endian(handle), data)
    assert (tmp_path / "000.dcm").read_bytes()[:2] == b"\x08\x00"
    np.testing.assert_array_equal(array(read_image(tmp_path)), stored - 1024)


def _little_endian(handle):
    stream = pydicom.filebase.DicomFileLike(handle)
    stream.is_little_endian, stream.is_implicit_VR = True, False
    return stream


def test_only_asked_slices_are_decoded(tmp_path, files, stored, monkeypatch):
    files.series(tmp_path, stored)
    image = open_image(tmp_path)
    from imrad.radiomics import dicom_pixels

    seen = []
    read = dicom_pixels.read_dataset
    monkeypatch.setattr(dicom_pixels, "read_dataset", lambda path, **kw: seen.append(path.name) or read(path, **kw))
    part = image.read(2, 4)
    assert seen == ["002.dcm", "003.dcm"]
    whole = image.read()
    assert same_grid(part, whole[:, :, 2:4])
    np.testing.assert_array_equal(array(part), array(whole)[2:4])


def test_missing_slices_are_counted(tmp_path, files, stored):
    files.series(tmp_path, stored, edit=lambda _, k: k not in (2, 3))
    with pytest.raises(
        GeometryError, match=r"about 2 slices are missing in 1 gaps, .* 7\.50 mm between 32\.50 and 40\.00"
    ):
        open_image(tmp_path)


def test_uneven_slices_are_refused(tmp_path, files, stored):
    def edit(data, k):
        data.ImagePositionPatient = [-10, -20, [0, 2.5, 5.6, 7.5, 10, 12.5][k]]

    files.series(tmp_path, stored, edit=edit)
    with pytest.raises(GeometryError, match=r"unevenly spaced, 1\.900 to 3\.100 mm"):
        open_image(tmp_path)


def test_jitter_of_rounding_is_noted(tmp_path, files, stored):
    def edit(data, k):
        data.ImagePositionPatient = [-10, -20, [0, 2.5, 5.0, 7.6, 10, 12.5][k]]

    files.series(tmp_path, stored, edit=edit)
    image = open_image(tmp_path)
    assert image.grid.spacing_mm[2] == pytest.approx(2.5)
    assert "vary from 2.400 to 2.600 mm" in image.notes[0]


def test_tilted_gantry_is_refused_with_its_angle(tmp_path, files, stored):
    def edit(data, k):
        data.ImagePositionPatient = [-10, -20 + k * 2.5 * np.tan(np.radians(12)), 2.5 * k]

    files.series(tmp_path, stored, edit=edit)
    with pytest.raises(GeometryError, match=r"tilted by 12\.0 degrees"):
        open_image(tmp_path)


def test_copies_are_dropped_and_different_slices_refused(tmp_path, files, stored):
    frame, series = generate_uid(), generate_uid()
    files.series(tmp_path, stored, frame=frame, series=series)
    files.series(tmp_path, stored, frame=frame, series=series, prefix="copy", edit=lambda _, k: k < 2)
    assert "2 duplicate slices left out" in open_image(tmp_path).notes

    def edit(data, _):
        data.AcquisitionNumber = "2"

    files.series(tmp_path, stored + 7, frame=frame, series=series, prefix="phase", edit=edit)
    with pytest.raises(ImageError, match="6 of 6 positions hold several different slices"):
        open_image(tmp_path)


def test_mixed_series_need_a_name(tmp_path, files, stored):
    first = files.series(tmp_path, stored, prefix="a")
    files.series(tmp_path, stored[:4], prefix="b")
    with pytest.raises(ImageError, match=r"mixes 2 image series: .*6 images.*4 images"):
        open_image(tmp_path)
    chosen = open_image(tmp_path, series=str(first[0].SeriesInstanceUID))
    assert chosen.grid.size[2] == 6
    assert "4 images of other series left out" in chosen.notes
    with pytest.raises(ImageError, match=r"does not hold the series 1\.2\.3"):
        open_image(tmp_path, series="1.2.3")


def test_localisers_are_left_out(tmp_path, files, stored):
    series, frame = generate_uid(), generate_uid()
    files.series(tmp_path, stored, series=series, frame=frame)
    files.series(
        tmp_path,
        stored[:1, :9],
        series=series,
        frame=frame,
        prefix="scout",
        image_type=("ORIGINAL", "PRIMARY", "LOCALIZER"),
    )
    files.series(
        tmp_path, stored[:2], series=series, frame=frame, prefix="cor", axes=[[1, 0, 0], [0, 0, 1], [0, -1, 0]]
    )
    image = open_image(tmp_path)
    assert image.grid.size == (20, 16, 6)
    assert image.notes == ("1 localiser images left out", "2 localiser images of another orientation left out")


@pytest.mark.parametrize(
    ("edit", "what"),
    [
        (lambda d, k: setattr(d, "PixelSpacing", ["0.5", "0.5"]) if k > 3 else None, "2 pixel spacings"),
        (lambda d, k: setattr(d, "FrameOfReferenceUID", "1.2.3") if k > 3 else None, "2 frames of reference"),
    ],
)
def test_mixed_geometry_is_refused(tmp_path, files, stored, edit, what):
    files.series(tmp_path, stored, edit=edit)
    with pytest.raises(GeometryError, match=f"mixes {what}"):
        open_image(tmp_path)


def test_other_files_do_not_disturb(tmp_path, files, stored):
    source = files.series(tmp_path, stored)
    (tmp_path / "LICENSE").write_text("text")
    files.seg(tmp_path / "seg.dcm", source, [stored > 900])
    image = open_image(tmp_path)
    assert image.grid.size == (20, 16, 6)
    assert image.notes == ("1 files that are not DICOM left out",)


def test_folder_without_image(tmp_path, files, stored):
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(InputError, match="holds no DICOM image"):
        open_image(tmp_path)


def test_truncated_slice_and_bomb(tmp_path, files, stored):
    def edit(data, k):
        if k == 3:
            data.PixelData = data.PixelData[:100]

    files.series(tmp_path, stored, edit=edit)
    image = open_image(tmp_path)
    image.read(0, 3)
    with pytest.raises(ImageError, match=r"003\.dcm is truncated: 100 bytes of pixels where 640 are needed"):
        image.read()
    with pytest.raises(ImageError, match="20 x 16 x 6 voxels, more than the 1000 allowed"):
        open_image(tmp_path, max_voxels=1000)


def test_file_cut_in_its_header(tmp_path, files, stored):
    files.series(tmp_path, stored)
    path = tmp_path / "002.dcm"
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises((InputError, ImageError, GeometryError)):
        open_image(tmp_path)


def test_enhanced_multiframe(tmp_path, files, stored):
    one = files.series(tmp_path / "slices", stored)[0]
    data = pydicom.dcmread(tmp_path / "slices" / "000.dcm")
    data.NumberOfFrames = "6"
    shared, measures, turn, rescale = (pydicom.Dataset() for _ in range(4))
    measures.PixelSpacing, measures.SliceThickness = one.PixelSpacing, one.SliceThickness
    turn.ImageOrientationPatient = one.ImageOrientationPatient
    rescale.RescaleSlope, rescale.RescaleIntercept = "1", "-1024"
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [turn]
    shared.PixelValueTransformationSequence = [rescale]
    data.SharedFunctionalGroupsSequence = [shared]
    groups = []
    for k in (4, 0, 2, 5, 1, 3):
        group, place = pydicom.Dataset(), pydicom.Dataset()
        place.ImagePositionPatient = [-10, -20, 30 + 2.5 * k]
        group.PlanePositionSequence = [place]
        groups.append(group)
    data.PerFrameFunctionalGroupsSequence = groups
    for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope", "RescaleIntercept"):
        delattr(data, name)
    data.PixelData = stored[[4, 0, 2, 5, 1, 3]].tobytes()
    data.save_as(tmp_path / "multi.dcm", enforce_file_format=True)
    ours, theirs = read_image(tmp_path / "multi.dcm"), read_image(tmp_path / "slices")
    assert same_grid(ours, theirs)
    np.testing.assert_array_equal(array(ours), array(theirs))


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha"])
def test_volume_files(tmp_path, suffix):
    rng = np.random.default_rng(1)
    image = sitk.GetImageFromArray(rng.integers(-500, 500, (5, 6, 7)).astype(np.int16))
    image.SetSpacing((0.7, 0.8, 2.5))
    image.SetOrigin((-1.5, 20, 3))
    path = tmp_path / f"image{suffix}"
    sitk.WriteImage(image, str(path), useCompression=True)
    found = open_image(path)
    assert same_grid(found.read(), image)
    assert found.grid.size == (7, 6, 5)
    np.testing.assert_array_equal(array(found.read(1, 3)), array(image)[1:3])
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    with pytest.raises(InputError, match="damaged"):
        open_image(path).read()


def test_volume_file_that_is_missing_or_none(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        open_image(tmp_path / "no.nii.gz")
    (tmp_path / "text.nii").write_text("no image")
    with pytest.raises(InputError, match="damaged"):
        open_image(tmp_path / "text.nii")


def test_volume_file_of_other_shapes(tmp_path):
    four = sitk.GetImageFromArray(np.zeros((3, 4, 5, 6), np.int16), isVector=False)
    sitk.WriteImage(four, str(tmp_path / "four.nii.gz"))
    with pytest.raises(ImageError, match="4 dimensions"):
        open_image(tmp_path / "four.nii.gz")
    one = sitk.GetImageFromArray(np.arange(60, dtype=np.int16).reshape(1, 3, 4, 5), isVector=False)
    sitk.WriteImage(one, str(tmp_path / "one.nii.gz"))
    np.testing.assert_array_equal(array(read_image(tmp_path / "one.nii.gz")), np.arange(60).reshape(3, 4, 5))
    colour = sitk.GetImageFromArray(np.zeros((3, 4, 5, 3), np.uint8), isVector=True)
    sitk.WriteImage(colour, str(tmp_path / "colour.nrrd"))
    with pytest.raises(ImageError, match="3 values per voxel"):
        open_image(tmp_path / "colour.nrrd")
    plane = sitk.GetImageFromArray(np.arange(12, dtype=np.int16).reshape(3, 4))
    sitk.WriteImage(plane, str(tmp_path / "plane.mha"))
    assert read_image(tmp_path / "plane.mha").GetSize() == (4, 3, 1)


def test_volume_file_that_announces_too_much(tmp_path):
    path = tmp_path / "bomb.nrrd"
    path.write_bytes(
        b"NRRD0004\ntype: short\ndimension: 3\nsizes: 40000 40000 40000\nencoding: gzip\nendian: little\n\n"
        + b"\x1f\x8b"
    )
    with pytest.raises(ImageError, match="40000 x 40000 x 40000 voxels"):
        open_image(path)
