"""Intensities of MRI on a common scale, and maps over time, against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from pydantic import ValidationError
from pydicom.uid import generate_uid

from imrad.exceptions import ConfigError, GeometryError, ImageError
from imrad.radiomics import body_mask, dynamic_map, open_image
from imrad.radiomics.dynamic import DynamicImage, open_dynamic
from imrad.radiomics.image_settings import MAPS, ImageSettings, parse_intensity
from imrad.radiomics.intensity import scaled


def image_of(values):
    return sitk.GetImageFromArray(np.asarray(values, dtype=np.float64))


def body_in_air():
    """A body of 60 and 100 with a dark hole of 0 inside it, in air of 0."""
    values = np.zeros((3, 8, 8))
    values[:, 1:7, 1:4], values[:, 1:7, 4:7] = 60.0, 100.0
    values[1, 3, 3] = 0.0
    return values


def test_body_is_filled_and_without_air():
    expected = np.zeros((3, 8, 8), dtype=bool)
    expected[:, 1:7, 1:7] = True
    np.testing.assert_array_equal(body_mask(body_in_air()), expected)


@pytest.mark.parametrize("within", ["image", "body", "region"])
def test_zscore(within):
    values = body_in_air()
    region = np.zeros(values.shape, dtype=bool)
    region[0, 2:4, 2:5] = True  # four voxels of 60, two of 100: mean 73.333, variance 355.556
    found = scaled(open_image(image_of(values)), region, ImageSettings(intensity="zscore", within=within, factor=100))
    inside = {"image": values.ravel(), "body": values[body_mask(values)], "region": values[region]}[within]
    expected = 100 * (values - inside.mean()) / inside.std()
    np.testing.assert_allclose(sitk.GetArrayFromImage(found.read()), expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(sitk.GetArrayFromImage(found.read(1, 2)), expected[1:2], rtol=1e-12, atol=1e-12)
    if within == "region":
        assert expected[0, 2, 2] == pytest.approx(100 * (60 - 220 / 3) / np.sqrt(3200 / 9))
        assert "zscore within the region: 73.3333 taken off, divided by 18.8562" in found.notes[-1]


def test_percentiles():
    values = np.arange(101.0).reshape(1, 1, 101)
    settings = ImageSettings(intensity="percentile", within="image", percentiles=(10, 60))
    found = scaled(open_image(image_of(values)), values > 0, settings).read()
    np.testing.assert_allclose(sitk.GetArrayFromImage(found), (values - 10) / 50, atol=1e-12)


def test_intensities_all_alike_are_refused():
    with pytest.raises(ImageError, match="27 voxels of the image have a standard deviation of 0 around 5"):
        scaled(
            open_image(image_of(np.full((3, 3, 3), 5.0))),
            np.ones((3, 3, 3), dtype=bool),
            ImageSettings(intensity="zscore", within="image"),
        )


@pytest.mark.parametrize(
    "wrong",
    [
        {"intensity": "z-score"},
        {"percentiles": (99, 1)},
        {"maps": ("slope_per_min", "slope_per_min")},
        {"maps": ("slope_per_min",), "intensity": "suv"},
    ],
)
def test_settings_that_cannot_be(wrong):
    with pytest.raises(ValidationError):
        ImageSettings(**wrong)


def test_unknown_intensity_lists_the_known():
    with pytest.raises(ConfigError, match="intensity 'whitestripe' is not known; write one of stored, suv, zscore"):
        parse_intensity("whitestripe")


# One voxel that is enhanced, washes out and is sampled unevenly, and one that only falls.
TIMES = (0.0, 60.0, 120.0, 240.0, 360.0)
SIGNAL = np.array([[100.0, 50.0], [110.0, 48.0], [160.0, 46.0], [220.0, 42.0], [190.0, 38.0]])
BY_HAND = {
    # All five points: mean time 2.6 min, sum of squares 23.2 min2, cross product 400 / min and -2 per minute.
    "slope_per_min": (
        np.polyfit(np.array(TIMES) / 60, SIGNAL[:, 0], 1)[0],
        -2.0,
    ),
    # From 1 to 4 min: (110, 160, 220) at 1, 2, 4: mean time 7/3, slope 166.667 / 4.6667.
    "wash_in_slope_per_min": (
        ((1 - 7 / 3) * 110 + (2 - 7 / 3) * 160 + (4 - 7 / 3) * 220) / (16 / 9 + 1 / 9 + 25 / 9),
        0.0,
    ),
    "wash_out_slope_per_min": (-15.0, -2.0),
    "time_to_peak_s": (180.0, 0.0),
    # Unenhanced means: 105 and 49.
    "peak_enhancement": (115.0, -1.0),
    "peak_enhancement_percent": (100 * 115 / 105, -100 / 49),
}


@pytest.mark.parametrize("name", list(MAPS))
def test_maps_by_hand(name):
    found = dynamic_map(SIGNAL, TIMES, name, unenhanced=2)
    np.testing.assert_allclose(found, BY_HAND[name], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("signal", "times", "words"),
    [
        (SIGNAL[:1], [0], "at least two time points, and there is 1"),
        (SIGNAL, [0, 60, 60, 240, 360], r"do not increase \(60 s, then 60 s\)"),
        (SIGNAL, [0, 60, 30, 240, 360], r"do not increase \(60 s, then 30 s\)"),
        (SIGNAL, [0, 60], "5 volumes have 2 acquisition times"),
        (SIGNAL, [0, 60, float("nan"), 240, 360], "do not increase"),
    ],
)
def test_time_points_that_make_no_map(signal, times, words):
    with pytest.raises(ImageError, match=words):
        dynamic_map(signal, times, "slope_per_min")


def test_no_enhanced_volume_and_unknown_map():
    with pytest.raises(ImageError, match="5 of 5 time points are said to be unenhanced"):
        dynamic_map(SIGNAL, TIMES, "slope_per_min", unenhanced=5)
    with pytest.raises(ConfigError, match="no map 'ktrans'; known are slope_per_min"):
        dynamic_map(SIGNAL, TIMES, "ktrans")


def test_volumes_of_a_map_share_their_grid():
    first, other = image_of(np.zeros((3, 4, 5))), image_of(np.zeros((3, 4, 6)))
    with pytest.raises(GeometryError, match="time point 2 has 6 x 4 x 3 voxels where the first has 5 x 4 x 3"):
        DynamicImage([open_image(first), open_image(other)], [0, 60], "slope_per_min")
    moved = image_of(np.zeros((3, 4, 5)))
    moved.SetOrigin((0.0, 3.0, 0.0))
    with pytest.raises(GeometryError, match=r"time point 2 lies 3\.00 mm off the first"):
        DynamicImage([open_image(first), open_image(moved)], [0, 60], "slope_per_min")


def test_volumes_from_several_files_or_one_of_four_dimensions(tmp_path):
    rng = np.random.default_rng(0)
    volumes = rng.normal(100, 10, (3, 4, 5, 6))
    paths = []
    for number, volume in enumerate(volumes):
        paths.append(tmp_path / f"t{number}.nii.gz")
        sitk.WriteImage(image_of(volume), str(paths[-1]))
    joined = tmp_path / "all.nii.gz"
    sitk.WriteImage(sitk.JoinSeries([image_of(volume) for volume in volumes]), str(joined))
    expected = dynamic_map(volumes, [0, 30, 90], "slope_per_min")
    for given in (paths, [joined]):
        image = open_dynamic(given, [0, 30, 90], "slope_per_min", max_voxels=10**6)
        np.testing.assert_allclose(sitk.GetArrayFromImage(image.read()), expected, rtol=1e-12)
        np.testing.assert_allclose(sitk.GetArrayFromImage(image.read(1, 3)), expected[1:3], rtol=1e-12)
    with pytest.raises(ImageError, match="4 dimensions"):
        open_image(joined)
    with pytest.raises(ImageError, match="holds one volume where a map over time needs several"):
        open_dynamic(paths[:1], [0], "slope_per_min", max_voxels=10**6)


def dce(files, folder, volumes, tell):
    """Write every volume as slices of one series (or several), each told apart by `tell(dataset, number)`."""
    series, frame, study = generate_uid(), generate_uid(), generate_uid()
    for number, volume in enumerate(volumes):
        files.series(
            folder,
            volume,
            prefix=f"t{number}_",
            series=series,
            frame=frame,
            study=study,
            edit=lambda data, _k, number=number: tell(data, number),
        )


def by_series(data, number):
    data.SeriesInstanceUID, data.AcquisitionTime = f"1.2.3.4.{9 - number}", f"1000{10 * number:02d}"


def by_position(data, number):
    data.TemporalPositionIdentifier, data.AcquisitionTime = str(number + 1), "100000"
    data.TriggerTime = str(10000 * number)


def by_acquisition(data, number):
    data.AcquisitionNumber, data.AcquisitionDateTime = str(number + 1), f"202001011000{10 * number:02d}.00"


@pytest.mark.parametrize("tell", [by_series, by_position, by_acquisition])
def test_one_folder_of_all_time_points(tmp_path, files, tell):
    rng = np.random.default_rng(0)
    volumes = rng.integers(1000, 2000, (3, 4, 5, 6)).astype(np.uint16)
    dce(files, tmp_path / "dce", volumes, tell)
    image = open_dynamic([tmp_path / "dce"], [], "slope_per_min", max_voxels=10**6)
    expected = dynamic_map(volumes.astype(float) - 1024, [0, 10, 20], "slope_per_min")
    np.testing.assert_allclose(sitk.GetArrayFromImage(image.read()), expected, rtol=1e-12, atol=1e-9)
    assert "slope_per_min over 3 time points, 0 to 20 s" in image.notes[-1]


def test_a_folder_that_does_not_part_into_volumes(tmp_path, files, stored):
    files.series(tmp_path / "one", stored)
    with pytest.raises(ImageError, match=r"holds 6 slices at 6 positions, and no attribute .* parts them"):
        open_dynamic([tmp_path / "one"], [], "slope_per_min", max_voxels=10**6)
    dce(
        files,
        tmp_path / "silent",
        [stored, stored],
        lambda data, number: setattr(data, "AcquisitionNumber", str(number)),
    )
    with pytest.raises(ImageError, match="2 volumes do not tell when each was acquired"):
        open_dynamic([tmp_path / "silent"], [], "slope_per_min", max_voxels=10**6)
    image = open_dynamic([tmp_path / "silent"], [0, 60], "slope_per_min", max_voxels=10**6)
    assert not sitk.GetArrayFromImage(image.read()).any()
