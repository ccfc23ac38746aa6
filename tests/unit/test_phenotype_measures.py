"""Discrimination, its interval, thresholds and q values against their definitions."""

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from imrad.phenotype.measures import at_threshold, concordance, fdr, hanley_mcneil_se, nadeau_bengio, spearman


def test_concordance_is_the_auc_for_two_classes_with_ties():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 40).astype(float)
    scores = rng.integers(0, 6, (5, 40)).astype(float)
    expected = [metrics.roc_auc_score(truth, row) for row in scores]
    np.testing.assert_allclose(concordance(scores, truth), expected, rtol=1e-12)


def test_concordance_of_a_quantity_counts_pairs():
    rng = np.random.default_rng(1)
    truth, score = rng.integers(0, 9, 25).astype(float), rng.normal(size=25)
    pairs = [(a, b) for a in range(25) for b in range(25) if truth[a] > truth[b]]
    expected = np.mean([(score[a] > score[b]) + 0.5 * (score[a] == score[b]) for a, b in pairs])
    assert concordance(score, truth)[0] == pytest.approx(expected, abs=1e-12)


def test_one_class_has_no_auc():
    assert np.isnan(concordance(np.arange(4.0), np.ones(4))[0])


def test_nadeau_bengio_is_the_corrected_resampled_t_interval():
    values = np.array([0.6, 0.7, 0.55, 0.65, 0.62])
    mean, low, high = nadeau_bengio(values, 0.25)
    half = stats.t.ppf(0.975, 4) * np.sqrt(values.var(ddof=1) * (1 / 5 + 0.25))
    assert (mean, low, high) == pytest.approx((values.mean(), values.mean() - half, values.mean() + half))
    assert nadeau_bengio(np.array([np.nan, 0.6]), 0.25)[0] == 0.6
    assert nadeau_bengio(np.array([0.9, 1.0, 0.4]), 0.25)[1:] == (0.0, 1.0)


def test_threshold_measures():
    probability = np.array([0.9, 0.8, 0.5, 0.2, 0.6])
    high = np.array([True, False, True, False, True])
    found = at_threshold(probability, high)
    assert found == pytest.approx(
        {"accuracy": 3 / 5, "precision": 2 / 3, "sensitivity": 2 / 3, "specificity": 1 / 2, "npv": 1 / 2}
    )


def test_spearman_is_scipys():
    rng = np.random.default_rng(2)
    a, b = rng.integers(0, 5, 30).astype(float), rng.normal(size=30)
    assert spearman(a, b) == pytest.approx(stats.spearmanr(a, b).statistic)
    assert np.isnan(spearman(np.ones(5), np.arange(5.0)))


def test_q_values_are_benjamini_and_hochbergs_and_leave_missing_out():
    p = np.array([0.01, np.nan, 0.04, 0.03, 0.5])
    np.testing.assert_allclose(fdr(p)[[0, 2, 3, 4]], stats.false_discovery_control(p[~np.isnan(p)]))
    assert np.isnan(fdr(p)[1])


def test_hanley_mcneil_without_discrimination_is_the_rank_tests_error():
    assert hanley_mcneil_se(0.5, 30, 45) == pytest.approx(np.sqrt((30 + 45 + 1) / (12 * 30 * 45)))
    assert hanley_mcneil_se(0.8, 30, 45) < hanley_mcneil_se(0.7, 30, 45) < hanley_mcneil_se(0.7, 15, 22)
