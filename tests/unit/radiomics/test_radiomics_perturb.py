"""Perturbations do what they say, repeat by their seed, and share their preparation."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

from imrad.exceptions import RegionError
from imrad.radiomics import RadiomicsSettings, extract_image, feature_names
from imrad.radiomics.geometry import Grid, bounding_box
from imrad.radiomics.perturb import KINDS, Perturbation, Perturber, draw_perturbations, shuffle_voxels, slices_seen
from imrad.radiomics.reach import perturbed_pad
from imrad.radiomics.region_features import perturbed_features, region_features

SHAPE, SPACING = (26, 64, 60), (0.8, 0.8, 2.0)
GRID = Grid((60, 64, 26), SPACING, (-20.0, 10.0, 5.0), (1.0, 0, 0, 0, 1, 0, 0, 0, 1))


def smooth(seed=0):
    rng = np.random.default_rng(seed)
    return 60 * ndimage.gaussian_filter(rng.standard_normal(SHAPE), (1.5, 4, 4)) / 0.03


def ellipsoid():
    z, y, x = np.indices(SHAPE)
    return ((z - 12) / 5) ** 2 + ((y - 30) / 14) ** 2 + ((x - 28) / 9) ** 2 <= 1


@pytest.fixture
def perturber():
    return Perturber(GRID.image(np.rint(smooth()).astype(np.int16)), ellipsoid())


def arrays(pair):
    return tuple(sitk.GetArrayFromImage(image) for image in pair)


def centre_mm(mask):
    index = np.argwhere(sitk.GetArrayFromImage(mask))[:, ::-1].mean(axis=0)
    return np.array(mask.TransformContinuousIndexToPhysicalPoint(index.tolist()))


def test_nothing_changes_nothing(perturber):
    image, mask = perturber(Perturbation(0))
    assert image.GetPixelID() == sitk.sitkInt16
    values, inside = arrays((image, mask))
    whole = np.rint(smooth()).astype(np.int16)
    np.testing.assert_array_equal(values[inside > 0], whole[ellipsoid()])


def test_translation_samples_between_voxels():
    # A sloping plane is reproduced exactly by a cubic spline away from the border.
    z, y, x = np.indices(SHAPE)
    plane = (3.0 * x + 5.0 * y - 2.0 * z).astype(np.float32)
    change = Perturbation(0, shift=(0.25, 0.5, 0.75))
    image, mask = Perturber(GRID.image(plane), ellipsoid(), pad=4)(change)
    values, inside = arrays((image, mask))
    index = np.argwhere(inside)[::17]
    for z, y, x in index:
        point = image.TransformIndexToPhysicalPoint((int(x), int(y), int(z)))
        at = GRID.to_index(np.array(point)) + change.shift
        assert values[z, y, x] == pytest.approx(3 * at[0] + 5 * at[1] - 2 * at[2], abs=0.05)
    shift_mm = GRID.to_physical(np.array(change.shift)) - GRID.to_physical(np.zeros(3))
    reference = centre_mm(GRID.image(ellipsoid().astype(np.uint8)))
    # A mask moves by whole voxels of the new grid, with a voxel at one half counted in.
    assert (np.abs(centre_mm(mask) - reference + shift_mm) < 0.26 * np.array(SPACING)).all()


def test_rotation_is_itks():
    change = Perturbation(0, rotation_deg=11.0)
    source = GRID.image(smooth().astype(np.float32))
    image, mask = Perturber(source, ellipsoid())(change)
    turn = sitk.Euler3DTransform()
    z, y, x = (
        (a + b) / 2 for a, b in zip(np.argwhere(ellipsoid()).min(0), np.argwhere(ellipsoid()).max(0), strict=True)
    )
    turn.SetCenter(GRID.to_physical(np.array([x, y, z])).tolist())
    turn.SetRotation(0, 0, np.radians(11.0))
    theirs = sitk.GetArrayFromImage(sitk.Resample(source, image, turn, sitk.sitkBSpline))
    values, inside = arrays((image, mask))
    assert np.abs(values - theirs)[inside > 0].max() < 0.02 * smooth().std()
    share = sitk.Resample(
        sitk.Cast(GRID.image(ellipsoid().astype(np.uint8)), sitk.sitkFloat64), image, turn, sitk.sitkLinear
    )
    differs = (sitk.GetArrayFromImage(share) >= 0.5) != (inside > 0)
    assert differs.sum() <= 3  # the last bit at exactly one half


@pytest.mark.parametrize("volume", [-0.3, -0.1, 0.05, 0.3])
def test_volume_changes_as_asked_at_the_rim(perturber, volume):
    _, mask = perturber(Perturbation(0, volume=volume, seed=3))
    _, before = perturber(Perturbation(0))
    now, then = sitk.GetArrayFromImage(mask) > 0, sitk.GetArrayFromImage(before) > 0
    assert now.sum() == round(then.sum() * (1 + volume))
    changed = now ^ then
    assert not (then & ~now).any() or volume < 0
    rim = ndimage.binary_dilation(then, iterations=4) & ~ndimage.binary_erosion(then, iterations=4)
    assert not (changed & ~rim).any()
    _, other = perturber(Perturbation(0, volume=volume, seed=4))
    assert not np.array_equal(sitk.GetArrayFromImage(other) > 0, now)


def test_noise_has_the_images_own_level():
    flat = GRID.image((100 + np.random.default_rng(1).normal(0, 12, SHAPE)).astype(np.float32))
    perturber = Perturber(flat, ellipsoid())
    assert perturber.noise_level == pytest.approx(12, rel=0.05)
    noisy, _ = arrays(perturber(Perturbation(0, noise=True, seed=1)))
    still, _ = arrays(perturber(Perturbation(0)))
    assert (noisy - still).std() == pytest.approx(12, rel=0.05)


def test_contours_follow_supervoxels(perturber):
    then = sitk.GetArrayFromImage(perturber(Perturbation(0))[1]) > 0
    seen = []
    for seed in range(4):
        now = sitk.GetArrayFromImage(perturber(Perturbation(0, contour=True, seed=seed))[1]) > 0
        dice = 2 * (now & then).sum() / (now.sum() + then.sum())
        assert 0.7 < dice < 1
        seen.append(now)
    assert not np.array_equal(seen[0], seen[1])
    labels, overlap = perturber._outlines.supervoxels
    assert overlap.max() == 1
    assert labels.max() + 1 == overlap.size
    volume_mm3 = 0.8 * 0.8 * 2.0 * labels.size / overlap.size
    region_mm3 = ellipsoid().sum() * 0.8 * 0.8 * 2.0
    assert volume_mm3 == pytest.approx(region_mm3 / 64, rel=0.5)


def test_a_series_spreads_and_repeats():
    series = draw_perturbations(20, seed=7)
    assert series == draw_perturbations(20, seed=7)
    assert series != draw_perturbations(20, seed=8)
    assert sorted(p.rotation_deg for p in series) == pytest.approx(np.linspace(-13, 13, 20))
    assert sorted(p.volume for p in series) == pytest.approx(np.linspace(-0.15, 0.15, 20))
    assert {s for p in series for s in p.shift} == {0.0, 0.25, 0.5, 0.75}
    assert len({p.seed for p in series}) == 20
    only = draw_perturbations(5, 7, ("rotation",))
    assert all(p.volume == 0 and not p.noise and not p.contour and p.shift == (0, 0, 0) for p in only)
    with pytest.raises(ValueError, match="'blur' is not known"):
        draw_perturbations(2, 1, ("blur",))


def test_the_same_change_gives_the_same_bytes(perturber):
    changes = draw_perturbations(4, seed=2)
    first = [arrays(pair) for pair in perturber.all(changes)]
    fresh = Perturber(GRID.image(np.rint(smooth()).astype(np.int16)), ellipsoid())
    for change, (values, inside) in reversed(list(zip(changes, first, strict=True))):
        again = arrays(fresh(change))
        np.testing.assert_array_equal(again[0], values)
        np.testing.assert_array_equal(again[1], inside)


def test_sampling_at_another_spacing():
    perturber = Perturber(GRID.image(smooth().astype(np.float32)), ellipsoid(), spacing_mm=(1.0, 1.0, 1.0))
    image, mask = perturber(Perturbation(0, rotation_deg=5))
    assert image.GetSpacing() == (1, 1, 1)
    volume = sitk.GetArrayFromImage(mask).sum()
    assert volume == pytest.approx(ellipsoid().sum() * 0.8 * 0.8 * 2, rel=0.03)
    edges = np.argwhere(sitk.GetArrayFromImage(mask))
    shape = np.array(mask.GetSize())[::-1]
    assert (edges.min(axis=0) >= 3).all()
    assert (shape - 1 - edges.max(axis=0) >= 3).all()


def test_regions_at_the_border_and_of_nothing():
    mask = np.zeros(SHAPE, bool)
    mask[:3, :6, :6] = True
    image = GRID.image(np.rint(smooth()).astype(np.int16))
    for change in draw_perturbations(4, seed=1):
        values, inside = arrays(Perturber(image, mask)(change))
        assert inside.any()
        assert np.isfinite(values).all()
    with pytest.raises(RegionError, match="empty"):
        Perturber(image, np.zeros(SHAPE, bool))


def test_shuffled_voxels():
    image = GRID.image(np.rint(smooth()).astype(np.int16))
    mask = ellipsoid()
    shuffled = shuffle_voxels(image, mask, seed=3)
    before, after = sitk.GetArrayFromImage(image), sitk.GetArrayFromImage(shuffled)
    np.testing.assert_array_equal(np.sort(after[mask]), np.sort(before[mask]))
    np.testing.assert_array_equal(after[~mask], before[~mask])
    assert abs(np.corrcoef(after[mask], before[mask])[0, 1]) < 0.1
    assert shuffled.GetOrigin() == image.GetOrigin()


WAVELET = {"Original": {}, "Wavelet": {}}


@pytest.mark.parametrize("kinds", [KINDS, *[(kind,) for kind in KINDS], ("volume", "contour")], ids="+".join)
@pytest.mark.parametrize(
    "settings",
    [
        RadiomicsSettings(imageType=WAVELET),
        RadiomicsSettings(imageType=WAVELET, resampledPixelSpacing=(1, 1, 1), binCount=16),
        RadiomicsSettings(imageType={**WAVELET, "LoG": {"sigma": [2]}, "Square": {}}, resegmentRange=(-100, 90)),
    ],
    ids=["plain", "resampled", "resegmented"],
)
def test_features_are_those_of_each_change_alone(kinds, settings):
    image = GRID.image(np.rint(smooth()).astype(np.int16))
    names = feature_names(settings)
    changes = draw_perturbations(4, seed=5, kinds=kinds)
    found = perturbed_features(image, ellipsoid(), settings, changes, names)
    alone = settings.model_copy(update={"resampledPixelSpacing": None})
    for row, change in zip(found, changes, strict=True):
        spacing_mm = settings.resampledPixelSpacing or SPACING
        fresh = Perturber(image, ellipsoid(), spacing_mm=spacing_mm, pad=perturbed_pad(settings, spacing_mm))
        expected = extract_image(*fresh(change), alone)
        np.testing.assert_allclose(row, [expected[name] for name in names], rtol=1e-12, atol=0)
    assert len(np.unique(found[:, names.index("original_firstorder_Mean")])) == len(changes)


def test_a_change_that_leaves_nothing_gives_no_features():
    image = GRID.image(np.rint(smooth()).astype(np.int16))
    mask = np.zeros(SHAPE, bool)
    mask[12, 30, 28:30] = True
    settings = RadiomicsSettings(minimumROISize=20)
    names = feature_names(settings)
    for kinds in (("volume",), ("rotation",)):
        found = perturbed_features(image, mask, settings, draw_perturbations(2, 1, kinds), names)
        assert np.isnan(found).all()


def test_every_voxel_of_a_moved_image_is_sampled():
    # Beyond the slab that is there, the image is mirrored.
    mask = np.zeros(SHAPE, bool)
    mask[:, :6, :5] = True
    flat = GRID.image(np.full(SHAPE, 57, np.int16))
    for change in draw_perturbations(4, seed=5, kinds=("rotation", "translation")):
        values, _ = arrays(Perturber(flat, mask)(change))
        assert (values == 57).all()


MOVING = tuple(kind for kind in KINDS if kind != "noise")


@pytest.mark.parametrize("region", [(20, 21, 40, 80, 58, 62), (15, 25, 40, 80, 40, 80)], ids=["long", "broad"])
def test_a_moved_image_is_the_images_own_to_its_corners(region):
    # A slope stays a slope; what is mirrored instead of looked at would bend it.
    z, y, x = np.indices((40, 120, 120))
    grid = Grid((120, 120, 40), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), GRID.direction)
    z0, z1, y0, y1, x0, x1 = region
    mask = (z >= z0) & (z < z1) & (y >= y0) & (y < y1) & (x >= x0) & (x < x1)
    perturber = Perturber(grid.image((3.0 * x + 5.0 * y - 2.0 * z).astype(np.float32)), mask)
    furthest = [Perturbation(0, turn, (0.75, 0.75, 0.75)) for turn in (-13.0, 13.0)]
    for change in (*furthest, *draw_perturbations(8, seed=1, kinds=MOVING)):
        values = perturber.perturbed(change).values
        assert all(np.abs(np.diff(values, n=2, axis=axis)).max() < 0.02 for axis in range(3))


def test_the_slices_seen_are_all_that_perturbations_need():
    shape = (80, 64, 60)
    values = np.random.default_rng(3).normal(0, 50, shape).astype(np.float32)
    grid = Grid((60, 64, 80), (0.8, 0.8, 0.7), (0.0, 0.0, 0.0), GRID.direction)
    z, y, x = np.indices(shape)
    mask = ((z - 40) / 6) ** 2 + ((y - 30) / 14) ** 2 + ((x - 28) / 9) ** 2 <= 1
    first, last = slices_seen(mask, bounding_box(mask), grid, 4)
    assert first > 0
    assert last < 80
    whole = Perturber(grid.image(values), mask)
    slab = grid.cropped(((first, last), (0, 64), (0, 60)))
    part = Perturber(slab.image(values[first:last]), mask[first:last])
    for change in draw_perturbations(12, seed=4):
        expected, found = whole.perturbed(change), part.perturbed(change)
        np.testing.assert_array_equal(found.inside, expected.inside)
        np.testing.assert_array_equal(found.values, expected.values)


def test_a_wide_pad_ends_with_the_image():
    # Where features need all of an image, its perturbations are not much larger than it.
    image = GRID.image(smooth().astype(np.float32))
    values, _ = arrays(Perturber(image, ellipsoid(), pad=500)(Perturbation(0, rotation_deg=13.0)))
    assert all(n < size + 60 for n, size in zip(values.shape, SHAPE, strict=True))


@pytest.mark.parametrize(
    ("settings", "tolerance"),
    [
        ({"imageType": {**WAVELET, "Gradient": {}, "LBP2D": {}, "LBP3D": {}}}, 1e-9),
        ({"imageType": {**WAVELET, "Gradient": {}, "LoG": {"sigma": [1.5]}}, "preCrop": True, "padDistance": 3}, 1e-9),
        ({"imageType": {"Square": {}, "Exponential": {}}}, 1e-9),
        ({"imageType": WAVELET, "normalize": True, "normalizeScale": 100, "removeOutliers": 2}, 0.02),
        ({"imageType": {"LoG": {"sigma": [0.5, 1]}}}, 1e-4),
        ({"mode": "ibsi"}, 1e-9),
    ],
    ids=["local", "cropped", "scaled", "normalised", "log", "ibsi"],
)
def test_no_change_gives_the_features_of_the_whole_image(settings, tolerance):
    # What surrounds a perturbed region is as much as its features look at.
    values = np.rint(smooth() + np.random.default_rng(2).normal(0, 20, SHAPE)).astype(np.int16)
    values[:, :4], values[0] = 900, 800
    image, settings = GRID.image(values), RadiomicsSettings(**settings)
    (expected,) = region_features(image, [ellipsoid()], settings)
    names = [name for name in expected if "ibsi" in settings.mode or "firstorder" in name]
    for change in (Perturbation(0), Perturbation(0, rotation_deg=1e-7)):
        found = perturbed_features(image, ellipsoid(), settings, [change], names)
        np.testing.assert_allclose(found[0], [expected[name] for name in names], rtol=tolerance, atol=tolerance)


def test_voxels_without_intensity_stay_where_they_are():
    # Beyond a scanner's field of view some images hold NaN.
    values = smooth().astype(np.float32)
    values[:, :12] = np.nan
    values[:, :, -2:] = np.inf
    perturber = Perturber(GRID.image(values), ellipsoid())
    for change in (*draw_perturbations(4, seed=1), Perturbation(0, noise=True)):
        found = perturber.perturbed(change)
        assert np.isfinite(found.values).all()
        assert found.values.min() > np.nanmin(values[np.isfinite(values)]) - 100


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.uint32])
def test_intensities_at_their_types_end_stay_there(dtype):
    values = np.full(SHAPE, np.iinfo(dtype).max - 1, dtype)
    values[ellipsoid()] -= 100
    for change in draw_perturbations(3, seed=1):
        found = Perturber(GRID.image(values), ellipsoid()).perturbed(change).values
        assert found.dtype == dtype
        assert found.min() > np.iinfo(dtype).max // 2
