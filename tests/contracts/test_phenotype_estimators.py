"""Every public estimator of the phenotype room passes scikit-learn's own checks."""

from sklearn.utils.estimator_checks import parametrize_with_checks

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


@parametrize_with_checks(
    [
        InformationGain(k=2),
        GainRatio(k=2),
        GiniDecrease(k=2),
        FCBF(k=2),
        MRMRSelector(k=2),
        MRMRSelector(k=2, scheme="mid"),
        MRMRSelector(k=2, scheme="mrmre_ordered"),
        UnivariateSelector(k=2),
        UnivariateSelector(k=2, test="kruskal"),
        LassoSelector(k=2),
        FixedFeatures(),
        EqualFrequencyBins(),
        BinnedNaiveBayes(),
        SupportVectors(),
    ]
)
def test_estimator_checks(estimator, check):
    # Array API input is claimed by none of these estimators, and its checks skip themselves.
    if "array_api" not in str(check):
        check(estimator)
