"""The recursive Laplacian of Gaussian is ITK's, nearly always to the last bit."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from imrad.radiomics.recursive_gaussian import laplacian


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize(
    ("shape", "spacing_mm", "sigma_mm"),
    [((20, 70, 33), (0.75, 0.78, 3.0), 3.0), ((4, 9, 5), (1.0, 2.0, 1.5), 0.5), ((30, 4, 90), (0.977, 1, 2.5), 5.0)],
)
def test_every_value_is_itks(dtype, shape, spacing_mm, sigma_mm):
    rng = np.random.default_rng(0)
    values = np.abs(rng.normal(50, 60, shape)) if dtype == np.uint8 else rng.normal(50, 60, shape)
    if dtype == np.int32:
        values *= 1e6  # more than single precision tells apart
    values = values.astype(dtype)
    image = sitk.GetImageFromArray(values)
    image.SetSpacing(spacing_mm)
    expected = sitk.GetArrayFromImage(sitk.LaplacianRecursiveGaussian(image, sigma_mm, True))
    found = laplacian(values, spacing_mm, sigma_mm)
    assert np.mean(found != expected) < 1e-4
    np.testing.assert_allclose(found, expected, rtol=3e-7, atol=1e-7 * np.abs(expected).max())


def test_a_part_of_an_image_is_filtered_as_its_copy():
    values = np.random.default_rng(1).normal(size=(12, 40, 30)).astype(np.float32)
    part = values[2:10, 5:35, 3:25]
    np.testing.assert_array_equal(laplacian(part, (1, 1, 2), 2.0), laplacian(part.copy(), (1, 1, 2), 2.0))
