"""Bringing a region to its image in physical space: copied where grids agree, else resampled, or refused."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from imrad.exceptions import GeometryError, RegionError
from imrad.radiomics.geometry import Fit, GeometryLimits, Grid, bounding_box, bring, check_fit, combine_fits

UPRIGHT = (1.0, 0, 0, 0, 1, 0, 0, 0, 1)


def grid(size=(12, 14, 9), spacing=(0.8, 0.9, 2.5), origin=(-3.0, 5.0, 40.0), direction=UPRIGHT):
    return Grid(size, spacing, origin, direction)


def blob(shape, seed=0):
    from scipy.ndimage import gaussian_filter

    noise = gaussian_filter(np.random.default_rng(seed).standard_normal(shape), 1.5)
    mask = noise > np.quantile(noise, 0.8)
    mask[[0, -1]] = False
    return mask


def test_index_and_physical_space_are_itks():
    turn = np.linalg.qr(np.random.default_rng(2).standard_normal((3, 3)))[0]
    ours = grid(direction=tuple(turn.ravel()))
    image = ours.image(np.zeros(ours.shape, np.uint8))
    for index in ((0, 0, 0), (3, 1, 7), (11, 13, 8)):
        np.testing.assert_allclose(ours.to_physical(index), image.TransformIndexToPhysicalPoint(index), atol=1e-9)
    np.testing.assert_allclose(ours.to_index(ours.to_physical([1.5, 2, 3])), [1.5, 2, 3], atol=1e-12)
    assert Grid.of(image) == ours


@settings(derandomize=True, max_examples=40, deadline=None)
@given(axes=st.permutations([0, 1, 2]), flips=st.tuples(*[st.booleans()] * 3), crop=st.tuples(*[st.integers(0, 3)] * 3))
def test_the_same_voxels_in_any_orientation_and_crop_come_back(axes, flips, crop):
    target = grid()
    mask = blob(target.shape)
    mask[: crop[2]] = False
    mask[:, : crop[1]] = False
    mask[:, :, : crop[0]] = False
    image = target.image(mask.astype(np.uint8))[crop[0] :, crop[1] :, crop[2] :]
    image = sitk.Flip(sitk.PermuteAxes(image, axes), flips)
    drawn, fit = bring(sitk.GetArrayFromImage(image) > 0, Grid.of(image), target)
    np.testing.assert_array_equal(drawn, mask)
    assert fit.overlap_loss == 0
    assert fit.volume_change == 0
    assert fit.shift_mm < 1e-6


@pytest.mark.parametrize("shift", [(0.1, 0.0, 0.0), (0.0, -0.3, 1.0)])
def test_a_shift_below_half_a_voxel_copies_and_is_reported(shift):
    target = grid()
    mask = blob(target.shape)
    moved = grid(origin=tuple(np.add(target.origin_mm, shift)))
    drawn, fit = bring(mask, moved, target)
    np.testing.assert_array_equal(drawn, mask)
    assert fit.shift_mm == pytest.approx(np.linalg.norm(shift), rel=1e-6)


def test_a_lost_origin_is_refused_with_the_numbers():
    target = grid()
    mask = blob(target.shape)
    lost = grid(origin=(0.0, 0.0, 0.0))
    _, fit = bring(mask, lost, target)
    assert fit.overlap_loss == 1
    with pytest.raises(GeometryError, match=r"100\.0 % of the region lies outside .*from \(-3, 5, 40\)"):
        check_fit(fit, GeometryLimits(), lost, target)
    near = grid(origin=(-3.0, 5.0, 42.5))
    _, fit = bring(mask, near, target)
    assert fit.shift_mm == pytest.approx(2.5)
    with pytest.raises(GeometryError, match=r"2\.50 mm off the image's, more than the 1 mm allowed"):
        check_fit(Fit("same lattice", fit.shift_mm, 0.0, 0.0, 5), GeometryLimits(), near, target)
    check_fit(fit, GeometryLimits(max_shift_mm=3.0, max_overlap_loss=1.0))


def test_resampling_is_itks_nearest_neighbour():
    target = grid(size=(40, 44, 18), spacing=(0.5, 0.55, 1.3))
    angle = 0.2
    turned = (np.cos(angle), -np.sin(angle), 0, np.sin(angle), np.cos(angle), 0, 0, 0, 1)
    source = grid(origin=(-1.0, 5.0, 40.5), direction=turned)
    mask = blob(source.shape, seed=4)
    drawn, fit = bring(mask, source, target)
    reference = target.image(np.zeros(target.shape, np.uint8))
    moved = sitk.Resample(source.image(mask.astype(np.uint8)), reference, sitk.Transform(), sitk.sitkNearestNeighbor)
    np.testing.assert_array_equal(drawn, sitk.GetArrayFromImage(moved) > 0)
    assert fit.method == "resampled"
    assert abs(fit.volume_change) < 0.05
    assert fit.shift_mm < 0.2


def test_loss_outside_the_image_is_a_fraction_of_voxels():
    target = grid()
    source = grid(size=(12, 14, 20), origin=(-3.0, 5.0, 40.0))
    mask = np.zeros(source.shape, bool)
    mask[5:13, 3:6, 3:6] = True
    _, fit = bring(mask, source, target)
    assert fit.overlap_loss == pytest.approx(0.5)


def test_empty_and_coarse_regions():
    with pytest.raises(RegionError, match="empty"):
        bring(np.zeros(grid().shape, bool), grid(), grid())
    fine = grid(size=(4, 4, 4), spacing=(0.1, 0.1, 0.1), origin=(-2.75, 5.25, 41.0))
    drawn, fit = bring(np.ones(fine.shape, bool), fine, grid())
    assert not drawn.any()
    with pytest.raises(GeometryError, match=r"changes by -100\.0 %"):
        check_fit(fit, GeometryLimits())


def test_box_and_combination():
    mask = np.zeros((4, 5, 6), bool)
    assert bounding_box(mask) is None
    mask[1, 2, 3] = mask[2, 4, 5] = True
    assert bounding_box(mask) == ((1, 3), (2, 5), (3, 6))
    both = combine_fits([Fit("same grid", 0.0, 0.0, 0.0, 30), Fit("resampled", 0.4, 0.2, 0.1, 10)])
    assert both == Fit("resampled and same grid", 0.4, 0.05, pytest.approx(0.025), 40)


@pytest.mark.parametrize("shift", [(0.0, 0.0, 0.0), (1.3, -0.7, 2.1)])
def test_a_region_of_a_ct_on_a_pet_is_what_half_covers(shift):
    # A ball of 15 mm: by the centres of voxels of 4 mm alone its volume changes by up to 14 %.
    fine = Grid((80, 80, 40), (1.0, 1.0, 2.0), (0.0, 0.0, 0.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))
    coarse = Grid((20, 20, 20), (4.0, 4.0, 4.0), shift, fine.direction)
    z, y, x = np.meshgrid(np.arange(40) * 2.0, np.arange(80) * 1.0, np.arange(80) * 1.0, indexing="ij")
    drawn, fit = bring((z - 40) ** 2 + (y - 40) ** 2 + (x - 40) ** 2 < 15**2, fine, coarse)
    assert abs(fit.volume_change) < 0.1
    # The share of each coarse voxel inside the ball, by 1,000 points of it.
    offsets = (np.arange(10) - 4.5) * 0.4
    at = [np.add.outer(np.arange(20) * 4.0 + start - 40.0, offsets) ** 2 for start in shift]
    square = (
        at[2][:, None, None, :, None, None] + at[1][None, :, None, None, :, None] + at[0][None, None, :, None, None]
    )
    share = (square < 15**2).mean(axis=(3, 4, 5))
    certain = np.abs(share - 0.5) > 0.2
    np.testing.assert_array_equal(drawn[certain], share[certain] > 0.5)
    assert (certain & drawn).sum() > 100
