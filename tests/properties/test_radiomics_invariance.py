"""What must not change a feature does not, and what must change it does so as it should."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from imrad.radiomics import RadiomicsSettings, extract

TEXTURES = RadiomicsSettings(featureClass=dict.fromkeys(("firstorder", "glcm", "glrlm", "glszm", "gldm", "ngtdm"), ()))


def make(seed, shape=(9, 11, 10)):
    rng = np.random.default_rng(seed)
    image = np.rint(60 * ndimage.gaussian_filter(rng.standard_normal(shape), 1) / 0.2).astype(np.int16)
    mask = (ndimage.gaussian_filter(rng.standard_normal(shape), 1.5) > 0).astype(np.uint8)
    return image, mask


def close(a, b, names=None):
    names = list(a) if names is None else names
    np.testing.assert_allclose([a[n] for n in names], [b[n] for n in names], rtol=1e-9, atol=1e-9)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10_000), axes=st.permutations([0, 1, 2]), flips=st.lists(st.booleans(), min_size=3, max_size=3)
)
def test_turning_the_case_turns_nothing(seed, axes, flips):
    image, mask = make(seed)
    turn = [np.flip(a.transpose(axes), [n for n in range(3) if flips[n]]) for a in (image, mask)]
    everything = extract(image, mask, (1, 1, 1))
    turned = extract(*turn, (1, 1, 1))
    # The mesh's choice at ambiguous cubes, and the named planes, know directions.
    fixed = [
        n
        for n in everything
        if "2DDiameter" not in n and not n.endswith(("MeshVolume", "SurfaceArea", "Sphericity", "Ratio"))
    ]
    close(turned, everything, fixed)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10_000), bins=st.integers(-20, 20))
def test_whole_bins_added_change_no_texture(seed, bins):
    image, mask = make(seed)
    before = extract(image, mask, (1, 1, 2), TEXTURES)
    after = extract((image + 25 * bins).astype(np.int16), mask, (1, 1, 2), TEXTURES)
    close(after, before, [n for n in before if "firstorder" not in n])
    assert after["original_firstorder_Mean"] == pytest.approx(before["original_firstorder_Mean"] + 25 * bins)
    assert after["original_firstorder_Variance"] == pytest.approx(before["original_firstorder_Variance"])


@settings(max_examples=15, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10_000), factor=st.floats(0.2, 5))
def test_shape_scales_with_the_spacing(seed, factor):
    image, mask = make(seed)
    only = RadiomicsSettings(featureClass={"shape": ()})
    small = extract(image, mask, (1.0, 0.7, 2.0), only)
    large = extract(image, mask, (factor, 0.7 * factor, 2 * factor), only)
    powers = {"MeshVolume": 3, "VoxelVolume": 3, "SurfaceArea": 2, "SurfaceVolumeRatio": -1}
    for name, value in small.items():
        feature = name.rsplit("_", 1)[1]
        power = powers.get(feature, 1 if "Diameter" in feature or "Length" in feature else 0)
        assert large[name] == pytest.approx(value * factor**power, rel=1e-9, abs=1e-9)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10_000))
def test_what_lies_outside_the_region_changes_nothing(seed):
    image, mask = make(seed)
    before = extract(image, mask, (1, 1, 1))
    changed = np.where(mask, image, np.random.default_rng(seed + 1).integers(-1000, 3000, image.shape)).astype(np.int16)
    close(extract(changed, mask, (1, 1, 1)), before)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10_000), number=st.integers(2, 40))
def test_bin_count_ignores_scale_and_shift(seed, number):
    image, mask = make(seed)
    counted = TEXTURES.model_copy(update={"binCount": number})
    before = extract(image.astype(np.float64), mask, (1, 1, 1), counted)
    after = extract(4.0 * image + 64.0, mask, (1, 1, 1), counted)
    close(after, before, [n for n in before if "firstorder" not in n])
