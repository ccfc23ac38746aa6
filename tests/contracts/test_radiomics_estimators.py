"""Public estimators of the radiomics room pass scikit-learn's own checks.

ICCFilter is left out for a reason: it judges features by repeated measurements of the same rows and cannot be
fitted on X alone, which every one of the checks does; what they would show of it is tested here by hand.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from imrad.exceptions import FitError
from imrad.radiomics.harmonise import ComBat
from imrad.radiomics.robustness import ICCFilter, VolumeFilter


@parametrize_with_checks([ComBat(), ComBat(parametric=False), VolumeFilter(volume=0, threshold=1.0)])
def test_estimator_checks(estimator, check):
    # Array API input is claimed by none of these estimators, and its checks skip themselves.
    if "array_api" not in str(check):
        check(estimator)


@pytest.fixture
def measured():
    """40 patients; two features that five perturbations leave alone, two that they scatter."""
    rng = np.random.default_rng(4)
    patients = [f"P{i:02d}" for i in range(40)]
    truth = rng.standard_normal((40, 4))
    noise = np.array([0.1, 1.5, 0.2, 2.0])
    X = pd.DataFrame(truth, index=patients, columns=list("abcd"))
    repeats = (
        pd.concat(X + noise * rng.standard_normal(truth.shape) for _ in range(5)).rename_axis("patient").reset_index()
    )
    repeats.insert(1, "perturbation", np.repeat(range(5), 40))
    return X, repeats


def test_icc_filter_keeps_what_survives(measured):
    X, repeats = measured
    chosen = ICCFilter(repeats, threshold=0.8).fit(X)
    assert list(chosen.get_feature_names_out()) == ["a", "c"]
    np.testing.assert_array_equal(chosen.transform(X), X[["a", "c"]])
    assert (chosen.lower_ < chosen.icc_).all()
    assert chosen.n_cases_ == 40
    copy = clone(chosen)
    assert not hasattr(copy, "support_")
    assert copy.get_params()["threshold"] == 0.8


def test_icc_filter_sees_only_the_rows_it_is_fitted_on(measured):
    X, repeats = measured
    rows = X.index[:25]
    spoiled = repeats.copy()
    outside = ~spoiled["patient"].isin(set(rows))
    spoiled.loc[outside, list("abcd")] = np.random.default_rng(0).standard_normal((outside.sum(), 4)) * 1e6
    one, other = ICCFilter(repeats).fit(X.loc[rows]), ICCFilter(spoiled).fit(X.loc[rows])
    np.testing.assert_array_equal(one.icc_, other.icc_)
    assert one.n_cases_ == 25


def test_icc_filter_takes_arrays_with_the_rows(measured):
    X, repeats = measured
    cube = repeats[list("abcd")].to_numpy().reshape(5, 40, 4).swapaxes(0, 1)
    by_table, by_array = ICCFilter(repeats).fit(X), ICCFilter().fit(X.to_numpy(), repeats=cube)
    np.testing.assert_allclose(by_array.icc_, by_table.icc_)
    partly = cube.copy()
    partly[10:] = np.nan
    assert ICCFilter().fit(X.to_numpy(), repeats=partly).n_cases_ == 10


def test_icc_filter_refuses_in_a_sentence(measured):
    X, repeats = measured
    with pytest.raises(FitError, match=r"none of 4 features reaches an ICC of 0\.999"):
        ICCFilter(repeats, threshold=0.999).fit(X)
    with pytest.raises(ValueError, match="needs repeated measurements"):
        ICCFilter().fit(X)
    with pytest.raises(ValueError, match="needs repeated measurements"):
        ICCFilter(repeats).fit(X.to_numpy())
    with pytest.raises(FitError, match="2 cases were measured by all"):
        ICCFilter(repeats).fit(X.iloc[:2])
    with pytest.raises(ValueError, match="lack 1 features of X, the first e"):
        ICCFilter(repeats).fit(X.assign(e=1.0))


def test_volume_filter_is_spearman_and_keeps_the_volume():
    rng = np.random.default_rng(1)
    volume = rng.lognormal(size=60)
    X = pd.DataFrame(
        {
            "original_shape_VoxelVolume": volume,
            "cube root": volume ** (1 / 3),
            "inverse": -volume,
            "noise": rng.standard_normal(60),
            "partly": np.where(np.arange(60) < 5, np.nan, rng.standard_normal(60)),
            "constant": 1.0,
        }
    )
    screen = VolumeFilter().fit(X)
    want = [*X.iloc[:, :5].corrwith(X.iloc[:, 0], method="spearman"), 0.0]
    np.testing.assert_allclose(screen.correlation_, want, atol=1e-12)
    assert list(screen.get_feature_names_out()) == ["original_shape_VoxelVolume", "noise", "partly", "constant"]
    with pytest.raises(ValueError, match="no column 'original_shape_VoxelVolume'"):
        VolumeFilter().fit(X.iloc[:, 1:])


def test_they_stand_in_a_pipeline(measured):
    X, repeats = measured
    X = X.assign(original_shape_VoxelVolume=np.arange(40.0), site=["a", "b"] * 20)
    repeats = repeats.assign(original_shape_VoxelVolume=repeats["a"])
    chain = make_pipeline(ComBat(batch_column="site"), VolumeFilter(volume=4))
    assert chain.fit_transform(X).shape == (40, 5)
    chain.set_output(transform="pandas")
    assert list(chain.fit_transform(X).columns) == ["a", "b", "c", "d", "original_shape_VoxelVolume"]
