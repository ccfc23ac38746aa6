"""Every public estimator of the phenotype room passes scikit-learn's own checks."""

from sklearn.base import BaseEstimator
from sklearn.utils.estimator_checks import parametrize_with_checks

import imrad.phenotype
from imrad.phenotype import (
    FCBF,
    BinnedNaiveBayes,
    EqualFrequencyBins,
    FixedFeatures,
    GainRatio,
    GiniDecrease,
    InformationGain,
    LassoSelector,
    MRMRSelector,
    SupportVectors,
    UnivariateSelector,
)

CHECKED = [
    InformationGain(k=2),
    GainRatio(k=2),
    GiniDecrease(k=2),
    FCBF(k=2),
    MRMRSelector(k=2),
    MRMRSelector(k=2, scheme="mid"),
    MRMRSelector(k=2, scheme="miq"),
    MRMRSelector(k=2, scheme="mrmre"),
    MRMRSelector(k=2, scheme="mrmre_ordered"),
    UnivariateSelector(k=2),
    UnivariateSelector(k=2, test="kruskal"),
    LassoSelector(k=2),
    FixedFeatures(),
    EqualFrequencyBins(),
    BinnedNaiveBayes(),
    SupportVectors(),
]


def test_no_public_estimator_is_left_out():
    public = {getattr(imrad.phenotype, name) for name in imrad.phenotype.__all__}
    kinds = {kind for kind in public if isinstance(kind, type) and issubclass(kind, BaseEstimator)}
    assert kinds == {type(one) for one in CHECKED}


@parametrize_with_checks(CHECKED)
def test_estimator_checks(estimator, check):
    # Array API input is claimed by none of these estimators, and its checks skip themselves.
    if "array_api" not in str(check):
        check(estimator)
