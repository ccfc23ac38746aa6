"""The engine's doors: arrays and images, labels and types, reuse, errors, and the table of features."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

from imrad.exceptions import GeometryError, ImageError, RegionError
from imrad.radiomics import PreparedImage, RadiomicsSettings, extract, extract_image, feature_names, feature_table
from imrad.radiomics.alike import join_table, runs_and_zones
from imrad.radiomics.firstorder import percentiles
from imrad.radiomics.kernels import digitise
from imrad.radiomics.texture import RegionVoxels, flat_rows, neighbour_steps

SPACING = (0.8, 0.9, 2.5)
SMALL = RadiomicsSettings(imageType={"Original": {}, "Wavelet": {}, "LoG": {"sigma": [2.0]}, "Square": {}})


@pytest.fixture(scope="module")
def case():
    rng = np.random.default_rng(1)
    image = np.rint(40 + 50 * ndimage.gaussian_filter(rng.standard_normal((20, 34, 30)), 1.2) / 0.15).astype(np.int16)
    z, y, x = np.ogrid[:20, :34, :30]
    mask = (((z - 9) / 5) ** 2 + ((y - 17) / 9) ** 2 + ((x - 14) / 8) ** 2 < 1).astype(np.uint8)
    return image, mask


def same(a, b):
    assert list(a) == list(b)
    np.testing.assert_array_equal(list(a.values()), list(b.values()))


def test_label_and_mask_types(case):
    image, mask = case
    expected = extract(image, mask, SPACING)
    same(extract(image, mask.astype(bool), SPACING), expected)
    same(extract(image, mask.astype(np.int64) * 3 + 2 * (mask == 0), SPACING, label=3), expected)
    same(extract(image, mask.astype(np.float32), SPACING), expected)
    same(extract(image, mask.astype(np.uint8) * 7, SPACING, RadiomicsSettings(label=7)), expected)


def test_image_and_array_doors_agree(case):
    image, mask = case
    images = [sitk.GetImageFromArray(array) for array in case]
    for made in images:
        made.SetSpacing(SPACING)
        made.SetOrigin((-11.0, 3.5, 90.0))
    same(extract_image(*images, SMALL), extract(image, mask, SPACING, SMALL))
    vector = sitk.Compose(images[1] * 0, images[1])
    same(extract_image(images[0], vector, RadiomicsSettings(label_channel=1)), extract(image, mask, SPACING))


@pytest.mark.parametrize("spacing", [None, (1.0, 1.0, 1.0)])
def test_several_regions_of_one_image_do_not_influence_each_other(case, spacing):
    image, mask = case
    settings = SMALL.model_copy(update={"resampledPixelSpacing": spacing})
    regions = [mask, ndimage.binary_erosion(mask).astype(np.uint8), np.roll(mask, 2, axis=1)]
    prepared = PreparedImage(image, SPACING, settings)
    union = np.max(regions, axis=0)
    prepared.reserve(union)
    for region in [*regions, regions[0]]:
        found, alone = prepared.extract(region), extract(image, region, SPACING, settings)
        assert list(found) == list(alone)
        np.testing.assert_allclose(list(found.values()), list(alone.values()), rtol=1e-9, atol=1e-12)


def test_far_surroundings_do_not_matter(case):
    image, mask = case
    padded = [np.pad(array, ((30, 30), (60, 60), (60, 60)), mode="symmetric") for array in case]
    padded[1][:] = 0
    padded[1][30:50, 60:94, 60:90] = mask
    settings = RadiomicsSettings(imageType={"Original": {}, "Wavelet": {}, "Gradient": {}})
    same(extract(padded[0], padded[1], SPACING, settings), extract(image, mask, SPACING, settings))


def test_fast_spline_is_itk_s(case, monkeypatch):
    import imrad.radiomics.resample as module

    image, mask = case
    settings = RadiomicsSettings(resampledPixelSpacing=(1.1, 1.1, 1.1))
    called = []
    fast = module.bspline
    monkeypatch.setattr(module, "bspline", lambda *a: called.append(fast(*a)) or called[-1])
    found = extract(image, mask, SPACING, settings)
    assert called[0] is not None
    monkeypatch.setattr(module, "bspline", lambda *_: None)
    same(extract(image, mask, SPACING, settings), found)


def test_values_on_a_whole_number_are_given_to_itk(case):
    from imrad.radiomics.resample import Geometry, bspline, new_grid

    image, _ = case
    settings = RadiomicsSettings(resampledPixelSpacing=(1.0, 1.0, 1.0))
    box = np.array([5, 12, 9, 25, 8, 20, 1])
    # 3 mm slices at 1 mm: every third new slice is an old one, whose values are whole but for rounding.
    grid = new_grid(box, (30, 34, 20), Geometry((1.0, 1.0, 3.0)), settings, 5)
    assert bspline(image, grid, 25.0) is None


def test_full_support_of_the_laplacian(case):
    image, mask = case
    common = {"imageType": {"LoG": {"sigma": [2.0]}}, "resampledPixelSpacing": (1.0, 1.0, 1.0)}
    padded = extract(image, mask, SPACING, RadiomicsSettings(**common))
    wide = extract(image, mask, SPACING, RadiomicsSettings(**common, padDistance=60))
    full = extract(image, mask, SPACING, RadiomicsSettings(**common, logSupport="full"))
    name = "log-sigma-2-0-mm-3D_firstorder_Variance"
    assert full[name] == pytest.approx(wide[name], rel=1e-6)
    assert padded[name] != pytest.approx(wide[name], rel=1e-6)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda i, m: (i, m * 0), RegionError, "empty"),
        (lambda i, m: (i, m * 4), RegionError, "which has [4]"),
        (lambda i, m: (i[1:], m), ImageError, "same voxels"),
        (lambda i, m: (i[0], m[0]), ImageError, "three axes"),
        (lambda i, m: (i.astype(complex), m), ImageError, "real numbers"),
        (lambda i, m: (np.where(m, np.nan, i), m), ImageError, "not finite"),
        (lambda i, m: (i.astype(float) * 1e9, m), ImageError, "grey levels"),
        (lambda i, m: (i, np.arange(m.size).reshape(m.shape) == 900), RegionError, "single voxel"),
        (lambda i, m: (i, (np.arange(m.size).reshape(m.shape) // 3) == 900), RegionError, "minimumROIDimensions"),
    ],
)
def test_what_cannot_be_extracted(case, change, error, words):
    with pytest.raises(error) as caught:
        extract(*change(*case), SPACING)
    assert words in str(caught.value)


def test_limits_of_the_region(case):
    image, mask = case
    voxels = int(mask.sum())
    with pytest.raises(RegionError, match="minimumROISize"):
        extract(image, mask, SPACING, RadiomicsSettings(minimumROISize=voxels))
    extract(image, mask, SPACING, RadiomicsSettings(minimumROISize=voxels - 1))
    with pytest.raises(RegionError, match="resegmentRange"):
        extract(image, mask, SPACING, RadiomicsSettings(resegmentRange=(5000, 6000)))
    with pytest.raises(RegionError, match="one voxel thick"):
        extract(image, mask, SPACING, RadiomicsSettings(featureClass={"shape2D": ()}, force2D=True))
    with pytest.raises(ImageError, match="spacing"):
        extract(image, mask, (1.0, 0.0, 1.0))


def test_other_grids(case):
    image, mask = (sitk.GetImageFromArray(array) for array in case)
    image.SetSpacing(SPACING)
    finer = sitk.Image(30, 34, 20, sitk.sitkUInt8)
    mask.SetSpacing(SPACING)
    shifted = sitk.Image(mask)
    shifted.SetOrigin((0.8, 0.0, 0.0))
    with pytest.raises(GeometryError, match="different grids"):
        extract_image(image, shifted)
    corrected = extract_image(image, shifted, RadiomicsSettings(correctMask=True))
    moved = np.roll(case[1], 1, axis=2)
    same(corrected, extract(case[0], moved, SPACING))
    far = sitk.Image(mask)
    far.SetOrigin((500.0, 0.0, 0.0))
    with pytest.raises(GeometryError, match="outside the image"):
        extract_image(image, far, RadiomicsSettings(resampledPixelSpacing=(1, 1, 1)))
    with pytest.raises(RegionError, match="empty"):
        extract_image(image, finer, RadiomicsSettings(correctMask=True))


def test_too_small_for_a_filter_gives_nan():
    image = np.arange(3 * 6 * 7, dtype=np.int16).reshape(3, 6, 7)
    mask = np.zeros(image.shape, np.uint8)
    mask[1, 2:4, 2:5] = 1
    settings = RadiomicsSettings(imageType={"Original": {}, "LoG": {"sigma": [1.0]}})
    found = extract(image, mask, (1, 1, 1), settings)
    assert list(found) == feature_names(settings)
    assert all(np.isnan(v) == name.startswith("log") for name, v in found.items())


def test_feature_table():
    table = feature_table(
        ["original_glcm_Contrast", "wavelet-HHH_firstorder_Variance", "tumour:original_shape_MeshVolume"]
    )
    assert table.loc["original_glcm_Contrast", "ibsi_code"] == "ACUI"
    assert table.loc["wavelet-HHH_firstorder_Variance"].tolist() == ["firstorder", "wavelet-HHH", "I^2", ""]
    assert table["unit"].iloc[2] == "mm^3"
    full = feature_table(feature_names(SMALL))
    assert len(full) == len(feature_names(SMALL))
    assert feature_table(["cm_contrast_3D_avg"]).loc["cm_contrast_3D_avg", "feature_class"] == "cm"
    with pytest.raises(KeyError, match="not a feature"):
        feature_table(["original_glcm_Contrst"])


def test_features_by_name_only(case):
    image, mask = case
    settings = RadiomicsSettings(
        featureClass={"shape": ["Compactness2", "Sphericity"], "firstorder": ["StandardDeviation"]}
    )
    found = extract(image, mask, SPACING, settings)
    assert found["original_shape_Compactness2"] == pytest.approx(found["original_shape_Sphericity"] ** 3)
    assert found["original_firstorder_StandardDeviation"] == pytest.approx(image[mask > 0].std())


def test_order_statistics_are_those_of_the_sorted_values():
    rng = np.random.default_rng(7)
    samples = [rng.normal(size=1001), np.exp(9 * rng.normal(size=777)), rng.integers(-9, 9, 500).astype(float)]
    samples += [np.full(7, 0.1), np.array([5e-324, 1e-320, 0.0]), np.array([1e308, -1e308, 0.0]), np.array([3.0, 2.0])]
    for values in samples:
        wanted = (10, 25, 50, 75, 90)
        np.testing.assert_array_equal(percentiles(values, wanted), np.percentile(values, wanted))


def _runs_and_zones(levels, flat_axis=None):
    padded = np.pad(levels, 1)
    where, starts, stops = flat_rows(padded)
    strides = np.array([padded.shape[1] * padded.shape[2], padded.shape[2], 1])
    steps = neighbour_steps(levels.shape, (1,), flat_axis)
    number = np.zeros(padded.size, np.int32)
    number[where] = np.arange(where.size)
    counts = np.bincount(levels.ravel())[1:]
    found = runs_and_zones(
        padded.ravel(), where, number, starts, stops, steps @ strides, join_table(steps), counts, max(levels.shape)
    )
    return steps, *found


def test_zones_are_the_connected_components():
    rng = np.random.default_rng(3)
    for top in (2, 4, 30):
        levels = rng.integers(0, top, (9, 11, 10)).astype(np.int16)
        _, _, rank, size = _runs_and_zones(levels)
        for level in range(1, top):
            labels, _ = ndimage.label(levels == level, np.ones((3, 3, 3)))
            assert sorted(size[rank == level]) == sorted(np.bincount(labels.ravel())[1:])


@pytest.mark.parametrize("flat_axis", [None, 0, 2])
def test_runs_are_those_of_a_walk_along_every_line(flat_axis):
    rng = np.random.default_rng(5)
    # A lonely part far off: sweeps over rows must not run past the gap, nor lose what follows.
    levels = rng.integers(0, 3, (6, 40, 130)).astype(np.int16)
    levels[:, 3:37, 10:100] = 0
    levels[2, 5, 10:90] = 1
    steps, runs, _, _ = _runs_and_zones(levels, flat_axis)
    padded = np.pad(levels, 1)
    for step, found in zip(steps, runs, strict=True):
        wanted = np.zeros_like(found)
        for place in np.argwhere(padded > 0):
            level = padded[tuple(place)]
            if padded[tuple(place - step)] == level:
                continue
            length = 1
            while padded[tuple(place + length * step)] == level:
                length += 1
            wanted[level - 1, length - 1] += 1
        np.testing.assert_array_equal(found, wanted)


def test_levels_are_numpy_s():
    rng = np.random.default_rng(4)
    values = np.concatenate([rng.normal(0, 100, 500), np.arange(-300, 300, 25.0)])
    edges = np.arange(values.min() - values.min() % 25, values.max() + 50, 25)
    levels = np.empty(values.size, np.int64)
    digitise(values, edges, levels)
    np.testing.assert_array_equal(levels, np.digitize(values, edges))


def test_intensities_alike_but_for_rounding_are_one_grey_level():
    # A wavelet band of a constant image; numpy finds no room for 16 bins there, and pyradiomics stops.
    image = np.full((3, 4, 4), 2.0**20)
    image[1, 1, 1] = np.nextafter(2.0**20, np.inf)
    settings = RadiomicsSettings(binCount=16, featureClass={"firstorder": ["Uniformity"], "glcm": ["JointEnergy"]})
    found = extract(image, np.ones(image.shape, np.uint8), (1.0, 1.0, 1.0), settings)
    assert found == {"original_firstorder_Uniformity": 1.0, "original_glcm_JointEnergy": 1.0}


def test_many_grey_levels_are_refused():
    values = np.arange(24_000.0)
    region = RegionVoxels(np.ones((20, 30, 40), bool), (1.0, 1.0, 1.0))
    with pytest.raises(ImageError, match="larger binWidth"):
        region.features(values, RadiomicsSettings(binWidth=1.0), {"glcm": ()})


def test_region_without_neighbours():
    inside = np.zeros((1, 1, 4), bool)
    inside[0, 0, [0, 3]] = True
    region = RegionVoxels(inside, (1.0, 1.0, 1.0))
    found = region.features(np.array([10, 60]), RadiomicsSettings(), {"glcm": (), "glrlm": ()})
    assert np.isnan(found["glcm"]["Contrast"])
    assert found["glrlm"]["ShortRunEmphasis"] == 1.0
