"""Regions from SEG, Label Map SEG, RTSTRUCT and label images, whole and broken, on their image's grid."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from imrad.exceptions import GeometryError, ImageError, InputError, RegionError
from imrad.radiomics import dicom
from imrad.radiomics.geometry import GeometryLimits
from imrad.radiomics.images import open_image
from imrad.radiomics.regions import list_segments, open_region, read_region


def ball(shape, centre, radius):
    z, y, x = np.indices(shape)
    return (z - centre[0]) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2 <= radius**2


@pytest.fixture
def case(tmp_path, files):
    """A CT series of 8 x 33 x 21 (in-plane count no multiple of 8), and three overlapping regions."""
    volume = np.random.default_rng(3).integers(0, 2000, (8, 33, 21)).astype(np.int16)
    source = files.series(tmp_path / "ct", volume, order=[5, 2, 7, 0, 1, 6, 3, 4])
    masks = [ball(volume.shape, c, r) for c, r in (((3, 12, 9), 4), ((4, 16, 12), 3), ((6, 25, 5), 1.5))]
    return tmp_path, source, masks, open_image(tmp_path / "ct")


def expected(masks, kind, number):
    if kind != "LABELMAP":
        return masks[number - 1]
    later = [m for m in masks[number:]]
    return masks[number - 1] & ~np.logical_or.reduce(later) if later else masks[number - 1]


@pytest.mark.parametrize(("kind", "deflated"), [("BINARY", False), ("LABELMAP", False), ("LABELMAP", True)])
@pytest.mark.parametrize("omit", [True, False])
def test_segments_are_the_arrays_they_were_made_of(case, files, kind, deflated, omit):
    folder, source, masks, image = case
    path = files.seg(folder / "seg.dcm", source, masks, kind=kind, deflated=deflated, omit_empty=omit)
    sop = pydicom.dcmread(path, stop_before_pixels=True).SOPClassUID
    assert sop == ("1.2.840.10008.5.1.4.1.1.66.7" if kind == "LABELMAP" else "1.2.840.10008.5.1.4.1.1.66.4")
    for number in (1, 2, 3):
        region = read_region(path, image, label=number)
        np.testing.assert_array_equal(region.mask, expected(masks, kind, number))
        assert region.fit.overlap_loss == 0
        assert region.fit.shift_mm == 0


def test_label_maps_are_read_by_meaning_whatever_the_numbers(case, files):
    # As RCC-AID has them (IDC release 25): deflated, sparse frames, two kidneys of one code, numbers by patient.
    folder, source, masks, image = case
    kidney, mass, cyst = ("64033007", "Kidney"), ("4147007", "Mass"), ("367643001", "Cyst")
    other = ball(masks[0].shape, (1, 27, 15), 3)
    regions = {"left": masks[0], "right": other, "mass": masks[1], "cyst": masks[2]}
    for number, order in enumerate((("left", "right", "mass", "cyst"), ("cyst", "left", "mass", "right"))):
        codes = [{"mass": mass, "cyst": cyst}.get(name, kidney) for name in order]
        drawn = [regions[name] for name in order]
        path = files.seg(folder / f"{number}.dcm", source, drawn, kind="LABELMAP", deflated=True, meanings=codes)
        for meaning, names in (("kidney", ("left", "right")), ("MASS", ("mass",)), ("SCT:367643001", ("cyst",))):
            parts = [expected(drawn, "LABELMAP", order.index(name) + 1) for name in names]
            np.testing.assert_array_equal(read_region(path, image, label=meaning).mask, np.logical_or.reduce(parts))
        both = read_region(path, image, roi="kidney | mass").mask
        np.testing.assert_array_equal(both & ~masks[2], (masks[0] | masks[1] | other) & ~masks[2])


def test_fractional_segments_have_a_threshold(case, files):
    folder, source, masks, image = case
    share = np.zeros(masks[0].shape)
    share[masks[0]], share[masks[1]] = 0.4, 0.8
    path = files.seg(folder / "seg.dcm", source, [share], kind="FRACTIONAL")
    np.testing.assert_array_equal(read_region(path, image).mask, share >= 0.5)
    np.testing.assert_array_equal(read_region(path, image, fractional_threshold=0.3).mask, share >= 0.3)


def test_segments_are_chosen_by_meaning_code_and_label(case, files):
    folder, source, masks, image = case
    path = files.seg(folder / "seg.dcm", source, masks)
    names = [(s.number, s.label, s.meaning, s.code) for s in list_segments(path)]
    assert names[1] == (2, "segment b", "Neoplasm", "SCT:108369006")
    for label in ("neoplasm", "Segment_B", "SCT:108369006", 2, "2", "2.0"):
        np.testing.assert_array_equal(read_region(path, image, label=label).mask, masks[1])
    np.testing.assert_array_equal(read_region(path, image, roi="kidney | neoplasm").mask, masks[0] | masks[1])
    with pytest.raises(RegionError, match=r"holds 3 regions \(1 'segment a' 'Kidney', 2 .* give a label or a roi"):
        read_region(path, image)
    with pytest.raises(RegionError, match="has no segment 'liver'; it has 1 'segment a'"):
        read_region(path, image, label="liver")


def test_one_meaning_may_name_several_segments(case, files):
    folder, source, masks, image = case
    meanings = [("64033007", "Kidney"), ("4147007", "Mass"), ("4147007", "Mass")]
    path = files.seg(folder / "seg.dcm", source, masks, meanings=meanings)
    region = read_region(path, image, label="mass")
    np.testing.assert_array_equal(region.mask, masks[1] | masks[2])
    assert [segment.number for segment in region.segments] == [2, 3]


def test_frames_are_placed_by_position_whatever_their_order(case, files):
    folder, source, masks, image = case
    path = files.seg(folder / "seg.dcm", source[::-1], [m[::-1] for m in masks])
    np.testing.assert_array_equal(read_region(path, image, label=1).mask, masks[0])


def test_flipped_rows_are_turned_back(case, files):
    folder, source, masks, image = case
    path = files.seg(folder / "seg.dcm", source, masks)
    data = pydicom.dcmread(path)
    arrays = data.pixel_array[:, ::-1, :]
    shared = data.SharedFunctionalGroupsSequence[0]
    turn = shared.PlaneOrientationSequence[0].ImageOrientationPatient
    shared.PlaneOrientationSequence[0].ImageOrientationPatient = [*turn[:3], 0, -1, 0]
    for group in data.PerFrameFunctionalGroupsSequence:
        position = [float(v) for v in group.PlanePositionSequence[0].ImagePositionPatient]
        position[1] += 0.7 * (arrays.shape[1] - 1)
        group.PlanePositionSequence[0].ImagePositionPatient = position
    data.PixelData = np.packbits(arrays.ravel(), bitorder="little").tobytes() + b"\0"
    data.PixelData = data.PixelData[: len(data.PixelData) // 2 * 2]
    data.save_as(path)
    np.testing.assert_array_equal(read_region(path, image, label=2).mask, masks[1])


def test_frames_without_position_name_their_slice(case, files):
    folder, source, masks, image = case
    path = files.seg(folder / "seg.dcm", source, masks[:1])
    data = pydicom.dcmread(path)
    for group in data.PerFrameFunctionalGroupsSequence:
        del group.PlanePositionSequence
    data.save_as(path)
    np.testing.assert_array_equal(read_region(path, image).mask, masks[0])


def test_other_frame_of_reference_is_refused(case, files):
    folder, source, masks, image = case
    path = files.seg(folder / "seg.dcm", source, masks)
    data = pydicom.dcmread(path)
    data.FrameOfReferenceUID = "1.2.3.4"
    data.save_as(path)
    with pytest.raises(GeometryError, match=r"another frame of reference \(1\.2\.3\.4\)"):
        read_region(path, image, label=1)


def test_another_source_series_is_noted(case, files):
    folder, source, masks, image = case
    path = files.seg(folder / "seg.dcm", source, masks)
    data = pydicom.dcmread(path)
    data.ReferencedSeriesSequence[0].SeriesInstanceUID = "1.2.3"
    data.save_as(path)
    assert "drawn on series 1.2.3" in read_region(path, image, label=1).notes[0]


def spoil(path, change):
    data = pydicom.dcmread(path)
    change(data)
    data.save_as(path)


@pytest.mark.parametrize(
    ("change", "error", "sentence"),
    [
        (lambda d: d.PerFrameFunctionalGroupsSequence.pop(), RegionError, "frames and describes .* frames are missing"),
        (lambda d: setattr(d, "PixelData", d.PixelData[:500]), InputError, "is truncated: 500 bytes of pixels"),
        (lambda d: d.SegmentSequence[2].__setattr__("SegmentNumber", 9), RegionError, "segment 9 is empty"),
        (lambda d: setattr(d, "PixelData", bytes(len(d.PixelData))), RegionError, "is empty"),
        (lambda d: d.__delattr__("SegmentSequence"), InputError, "no complete DICOM segmentation"),
        (lambda d: d.__delattr__("PixelData"), InputError, "no pixels"),
    ],
)
def test_broken_segmentations_end_in_a_sentence(case, files, change, error, sentence):
    folder, source, masks, image = case
    path = files.seg(folder / "seg.dcm", source, masks)
    spoil(path, change)
    with pytest.raises(error, match=sentence) as caught:
        read_region(path, image, label=9 if "9" in sentence else 1)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("keep", [100, 200, 1500, -800])
def test_cut_files_end_in_a_sentence(case, files, keep):
    folder, source, masks, image = case
    for deflated in (False, True):
        path = files.seg(folder / "seg.dcm", source, masks, kind="LABELMAP", deflated=deflated)
        path.write_bytes(path.read_bytes()[:keep])
        with pytest.raises((InputError, RegionError)) as caught:
            read_region(path, image, label=1)
        assert "\n" not in str(caught.value)


def test_a_deflated_bomb_is_not_inflated(case, files, monkeypatch):
    folder, source, masks, image = case
    path = files.seg(folder / "seg.dcm", source, masks, kind="LABELMAP", deflated=True)
    raw = path.read_bytes()
    (length,) = struct.unpack("<L", raw[140:144])
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    inner = packer.compress(bytes(30 << 20)) + packer.flush()
    path.write_bytes(raw[: 144 + length] + inner)
    monkeypatch.setattr(dicom, "MAX_INFLATED_BYTES", 10 << 20)
    with pytest.raises(InputError, match=r"inflates to more than 10 MB from (29|30) kB"):
        read_region(path, image, label=1)


def test_a_bomb_of_frames_is_not_decoded(case, files):
    folder, source, masks, image = case
    path = files.seg(folder / "seg.dcm", source, masks)
    with pytest.raises(RegionError, match="frames of 21 x 33, more than the 1000 voxels allowed"):
        read_region(path, image, label=1, max_voxels=1000)


def test_a_label_image_far_larger_than_its_image_is_not_decoded(case):
    folder, _, _, image = case
    path = folder / "bomb.nrrd"
    head = "NRRD0004\ntype: uchar\ndimension: 3\nsizes: 800 800 800\nencoding: gzip\n\n"
    path.write_bytes(head.encode() + b"\x1f\x8b")
    with pytest.raises(ImageError, match=r"800 x 800 x 800 voxels, where 1 to 1048576 are allowed"):
        read_region(path, image)


def test_many_segments_are_bounded_one_at_a_time(case, files):
    folder, source, masks, image = case
    path = files.seg(folder / "seg.dcm", source, masks)
    most = max(int(m.any(axis=(1, 2)).sum()) for m in masks) * 33 * 21
    np.testing.assert_array_equal(read_region(path, image, label=1, max_voxels=most).mask, masks[0])


def circle(centre, radius, z, n=200):
    t = np.linspace(0, 2 * np.pi, n, endpoint=False)
    return np.column_stack([centre[0] + radius * np.cos(t), centre[1] + radius * np.sin(t), np.full(n, z)])


def disc(image, centre, radius, z):
    """Voxels of one slice whose centre is within a radius, in mm."""
    size = image.grid.size
    yy, xx = np.mgrid[: size[1], : size[0]]
    points = image.grid.to_physical(np.stack([xx, yy, np.full_like(xx, z)], axis=-1))
    return np.hypot(points[..., 0] - centre[0], points[..., 1] - centre[1]) < radius


def test_structures_with_holes_keyholes_and_islands(case, files):
    folder, source, _, image = case
    centre = (-2.0, -8.0)
    height = [30 + 2.5 * k for k in range(8)]
    outer, inner, island = circle(centre, 6, height[2]), circle(centre, 3, height[2]), circle(centre, 1.5, height[2])
    keyhole = np.concatenate([circle(centre, 6, height[3]), circle(centre, 6, height[3])[:1]])
    hole = circle(centre, 3, height[3])[::-1]
    keyhole = np.concatenate([keyhole, hole[-1:], hole, keyhole[:1]])
    contours = [
        ("CLOSED_PLANAR", inner),
        ("CLOSED_PLANAR", outer),
        ("CLOSED_PLANAR", outer),  # stored twice: must not cancel itself
        ("CLOSED_PLANAR", np.roll(island, 7, axis=0)),
        ("CLOSED_PLANAR", keyhole),
        ("CLOSEDPLANAR_XOR", circle(centre, 6, height[4])),
        ("CLOSEDPLANAR_XOR", circle(centre, 3, height[4])),
    ]
    seeds = [("POINT", [(-2.0, -8.0, height[2])])]
    path = files.structures(folder / "rs.dcm", source, [(4, "GTV-1", contours), (5, "seed point", seeds)])
    region = read_region(path, image, label="gtv-1")
    ring = disc(image, centre, 6, 2) & ~disc(image, centre, 3, 2)
    want = np.zeros(image.grid.shape, bool)
    want[2], want[3], want[4] = ring | disc(image, centre, 1.5, 2), ring, ring
    # The polygon is a little smaller than its circle, and the keyhole's channel has no width.
    assert np.count_nonzero(region.mask != want) <= 0.01 * want.sum()
    assert not region.mask[5:].any()
    assert region.fit.method == "contours"
    with pytest.raises(RegionError, match="structure 5 is empty, it has only point contours"):
        read_region(path, image, label=5)


def test_structures_partly_outside_or_across_slices(case, files):
    folder, source, _, image = case
    half_out = [("CLOSED_PLANAR", circle((-10.4, -8.0), 4, 35.0))]
    upright = np.column_stack([np.full(4, 0.0), [-10, -5, -5, -10], [30, 30, 40, 40]])
    path = files.structures(
        folder / "rs.dcm", source, [(1, "out", half_out), (2, "sagittal", [("CLOSED_PLANAR", upright)])]
    )
    with pytest.raises(GeometryError, match=r"(4|5)\d\.\d % of the region lies outside the image"):
        read_region(path, image, label=1)
    assert read_region(path, image, label=1, limits=GeometryLimits(max_overlap_loss=0.6)).mask.any()
    with pytest.raises(GeometryError, match=r"rises through 4\.0 slices"):
        read_region(path, image, label=2)


def test_structures_between_slices_go_to_the_nearest(case, files):
    folder, source, _, image = case
    path = files.structures(folder / "rs.dcm", source, [(1, "a", [("CLOSED_PLANAR", circle((-2, -8), 4, 35.9))])])
    region = read_region(path, image)
    assert np.flatnonzero(region.mask.any(axis=(1, 2))).tolist() == [2]
    assert region.fit.shift_mm == pytest.approx(0.9, abs=0.03)


def test_structures_drawn_on_a_coarser_stack_fill_the_slices_between(case, files):
    folder, source, _, image = case
    # Contours 5 mm apart and off the slices, on slices 2.5 mm apart: each serves the slices nearest to it.
    levels = (33.0, 38.0, 43.0)
    contours = [("CLOSED_PLANAR", circle((-2, -8), 4, z)) for z in levels]
    path = files.structures(folder / "rs.dcm", source, [(1, "a", contours)])
    filled = np.flatnonzero(read_region(path, image).mask.any(axis=(1, 2)))
    assert filled.tolist() == [1, 2, 3, 4, 5, 6]


def test_structure_sets_of_another_patient_space_or_cut_short(case, files):
    folder, source, _, image = case
    contours = [("CLOSED_PLANAR", circle((-2, -8), 4, 35.0))]
    path = files.structures(folder / "rs.dcm", source, [(1, "a", contours)], frame="1.2.3")
    with pytest.raises(GeometryError, match="another frame of reference"):
        read_region(path, image)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) - 700])
    with pytest.raises((InputError, RegionError)):
        read_region(path, image)


def label_image(image, labels, **changes):
    drawn = image.grid.image(labels.astype(np.uint8))
    for name, value in changes.items():
        getattr(drawn, f"Set{name}")(value)
    return drawn


def test_label_images(case, tmp_path):
    _, _, masks, image = case
    labels = np.zeros(masks[0].shape)
    labels[masks[0]], labels[masks[2]] = 2, 3
    path = tmp_path / "mask.nii.gz"
    sitk.WriteImage(label_image(image, labels), str(path))
    assert [s.number for s in list_segments(path)] == [2, 3]
    np.testing.assert_array_equal(read_region(path, image, roi="tumour = 2|3").mask, labels > 0)
    with pytest.raises(RegionError, match="holds 2 regions"):
        read_region(path, image)
    with pytest.raises(RegionError, match="both label '2' and roi '3'"):
        read_region(path, image, label=2, roi="3")
    sitk.WriteImage(image.grid.image(labels * 0.5), str(path))
    with pytest.raises(RegionError, match="no whole numbers"):
        read_region(path, image)
    sitk.WriteImage(label_image(image, np.zeros_like(labels)), str(path))
    with pytest.raises(RegionError, match="holds 0 regions"):
        read_region(path, image)


def test_slicer_names_and_layers(case, tmp_path):
    _, _, masks, image = case
    drawn = sitk.GetImageFromArray(np.stack([masks[0], masks[1]], axis=-1).astype(np.uint8), isVector=True)
    drawn.CopyInformation(label_image(image, masks[0]))
    for number, name in enumerate(("Kidney", "Tumor")):
        drawn.SetMetaData(f"Segment{number}_Name", name)
        drawn.SetMetaData(f"Segment{number}_LabelValue", "1")
        drawn.SetMetaData(f"Segment{number}_Layer", str(number))
    path = tmp_path / "regions.seg.nrrd"
    sitk.WriteImage(drawn, str(path))
    assert [s.label for s in list_segments(path)] == ["Kidney", "Tumor"]
    np.testing.assert_array_equal(read_region(path, image, label="tumour").mask, masks[1])


def test_not_a_region(case):
    folder, _, _, image = case
    with pytest.raises(RegionError, match="DICOM object of class"):
        open_region(folder / "ct" / "000.dcm")
    with pytest.raises(RegionError, match="holds 0 SEG or RTSTRUCT files"):
        open_region(folder / "ct")
    with pytest.raises(InputError, match="does not exist"):
        read_region(folder / "none.nrrd", image)
