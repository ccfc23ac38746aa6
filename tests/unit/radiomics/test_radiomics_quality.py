"""What is measured of a case before its features, and the pictures for the contact sheet."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from imrad.radiomics.geometry import Grid
from imrad.radiomics.quality import constant_features, inspect_case, n_bins, preview_bins, thumbnail

GRID = Grid((40, 36, 12), (0.5, 0.5, 2.0), (0.0, 0.0, 0.0), (1.0, 0, 0, 0, 1, 0, 0, 0, 1))


def ct(seed=0):
    values = np.random.default_rng(seed).normal(50, 60, GRID.shape)
    values[:, :4] = -1000
    return np.rint(values).astype(np.int16)


def block(*boxes):
    mask = np.zeros(GRID.shape, bool)
    for z, y, x in boxes:
        mask[slice(*z), slice(*y), slice(*x)] = True
    return mask


def test_counts():
    mask = block(((2, 5), (10, 20), (10, 20)), ((8, 9), (25, 30), (25, 29)))
    found = inspect_case(ct(), mask, GRID, modality="CT")
    assert found["n_voxels"] == 320
    assert found["volume_ml"] == pytest.approx(320 * 0.5e-3)
    assert (found["n_parts"], found["largest_part"]) == (2, pytest.approx(300 / 320))
    assert (found["n_slices"], found["n_gap_slices"]) == (4, 3)
    assert not found["on_border"]
    inside = ct()[mask]
    assert (found["intensity_min"], found["intensity_max"]) == (inside.min(), inside.max())
    edges = np.arange(np.floor(inside.min() / 25) * 25, inside.max() + 50, 25)
    assert found["n_bins"] == np.digitize(inside.max(), edges)
    assert "3 slices without region" in found["flags"]


@pytest.mark.parametrize(
    ("values", "modality", "flag"),
    [
        (ct(), "CT", ""),
        (np.clip(ct(), -150, 250), "CT", "no air in the image"),
        (np.clip(ct() + 1024, 0, None), "CT", "rescale intercept looks lost"),
        (np.clip(ct() + 100, 0, 255), "", "look rescaled to 8 bits"),
        (ct() - 3000, "CT", "is no tissue"),
        (np.full(GRID.shape, 7), "MR", "constant intensity"),
    ],
)
def test_implausible_intensities_are_flagged(values, modality, flag):
    found = inspect_case(values, block(((2, 6), (10, 20), (10, 20))), GRID, modality=modality, bin_width=10)
    assert flag in found["flags"]
    if not flag:
        assert found["flags"] == ""


def test_grey_levels_and_small_regions_are_flagged():
    mask = block(((2, 3), (0, 5), (10, 15)))
    flags = inspect_case(ct(), mask, GRID, bin_width=0.5)["flags"]
    for words in ("only 25 voxels", "one slice only", "touches the image's border", "a wider bin is steadier"):
        assert words in flags
    assert "a narrower bin" in inspect_case(ct(), block(((2, 6), (10, 20), (10, 20))), GRID, bin_width=100)["flags"]


def test_bins_of_the_cohort():
    assert n_bins(-30, 24, 25) == 3
    assert n_bins(0, 24.9, 25) == 1
    assert n_bins(0, 25, 25) == 2
    quality = pd.DataFrame({"intensity_min": [0, 0, -100, np.nan], "intensity_max": [100, 400, 300, np.nan]})
    found = preview_bins(quality, (5, 25)).set_index("bin_width")
    assert found.loc[25, "n_bins_median"] == 17
    assert found.loc[25, "n_unfit"] == 1
    assert found.loc[5, "n_unfit"] == 0
    assert preview_bins(quality.iloc[:0])["n_bins_median"].isna().all()


def test_constant_features():
    table = pd.DataFrame({"patient": ["a", "b"], "x": [1.0, 1.0], "y": [1.0, 2.0], "z": [np.nan, np.nan]})
    assert constant_features(table) == ["x", "z"]


def test_thumbnails_show_the_largest_slice_in_its_window():
    values = ct()
    values[3] = 240
    mask = block(((2, 3), (10, 15), (10, 15)), ((3, 4), (10, 22), (10, 22)))
    grey, outline = thumbnail(values, mask, GRID, modality="CT", size=64)
    assert grey.dtype == outline.dtype == np.uint8
    assert grey.shape == outline.shape == (64, 64)
    assert grey[32, 32] == 255
    ring = np.argwhere(outline)
    side_px = np.ptp(ring, axis=0) + 1
    assert np.abs(side_px - 64 * 12 * 0.5 / (2 * 0.9 * 20)).max() < 2
    assert outline.sum() < side_px[0] * 4
    other, _ = thumbnail(ct() / 7, mask, GRID, modality="MR")
    assert other.max() == 255
