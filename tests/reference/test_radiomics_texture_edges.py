"""Values of pyradiomics 3.0.1 (computed with it on these arrays) where a texture all but vanishes."""

from __future__ import annotations

import numpy as np
import pytest

from imrad.radiomics import RadiomicsSettings, extract


def measure(mask, image, **settings):
    settings = RadiomicsSettings(binWidth=1, **settings)
    return extract(np.asarray(image, np.int16), np.asarray(mask, np.uint8), (1.0, 1.0, 1.0), settings)


def two_lonely_voxels():
    mask = np.zeros((5, 5, 5))
    mask[0, 0, 0] = mask[4, 4, 3] = 1
    return mask


def test_mcc_of_a_symmetric_texture():
    # A regular start vector of the eigenvalue's search would be orthogonal to the wanted eigenvector.
    image, mask = np.zeros((3, 4, 4)), np.zeros((3, 4, 4))
    image[1, 1:3, 1:3] = [[1, 2], [3, 4]]
    mask[1, 1:3, 1:3] = 1
    found = measure(mask, image, weightingNorm="manhattan", featureClass={"glcm": ["MCC"]})
    assert found["original_glcm_MCC"] == pytest.approx(0.9514222046414718, rel=1e-9)


def test_correlation_where_all_pairs_of_a_direction_end_in_one_level():
    rng = np.random.default_rng(30)
    mask = np.zeros((5, 6, 6))
    mask[1:4, 1:5, 1:5] = rng.random((3, 4, 4)) < 0.35
    image = rng.integers(0, 3, mask.shape)
    found = measure(mask, image, symmetricalGLCM=False, distances=(2,), featureClass={"glcm": ["Correlation"]})
    assert found["original_glcm_Correlation"] == pytest.approx(0.6550387596899224, rel=1e-9)


@pytest.mark.parametrize("norm", ["no_weighting", "euclidean"])
def test_no_run_in_the_one_matrix_of_weighted_directions(norm):
    image = np.arange(125).reshape(5, 5, 5) % 7
    found = measure(two_lonely_voxels(), image, weightingNorm=norm, featureClass={"glrlm": []})
    assert found["original_glrlm_RunEntropy"] == found["original_glrlm_RunVariance"] == 0.0
    assert np.isnan(found["original_glrlm_RunPercentage"])


def test_one_level_and_no_neighbours():
    image = np.ones((5, 5, 5))
    found = measure(two_lonely_voxels(), image, featureClass={"glcm": []})
    assert found["original_glcm_MCC"] == 1.0
    assert sum(np.isnan(v) for v in found.values()) == 23
    found = measure(two_lonely_voxels(), image, weightingNorm="infinity", featureClass={"glcm": []})
    assert found["original_glcm_InverseVariance"] == 0.0
    assert sum(np.isnan(v) for v in found.values()) == 23
