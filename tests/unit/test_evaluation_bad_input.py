"""Bad and extreme input to the metrics: a right answer or one clear sentence, and no warning from below."""

from __future__ import annotations

import numpy as np
import pytest

from imrad.evaluation.bootstrap import corrected_interval, optimism, resample_counts, resample_indices
from imrad.evaluation.calibration import brier_interval, brier_survival, calibration_groups, calibration_indices
from imrad.evaluation.censoring_weights import censoring_survival
from imrad.evaluation.clustering import kmeans, linkage, medoids, silhouette
from imrad.evaluation.contingency import chi_square, fisher_exact
from imrad.evaluation.discrimination import bootstrap_c, concordance, harrell_c, uno_c
from imrad.evaluation.kaplan_meier import follow_up, kaplan_meier, log_rank
from imrad.evaluation.logistic import fit_logistic
from imrad.evaluation.multiplicity import adjust
from imrad.evaluation.net_benefit import decision_curve, decision_curve_survival, reclassification
from imrad.evaluation.paired_concordance import compare_concordance_unbiased
from imrad.evaluation.redundancy import correlation_matrix, find_correlation
from imrad.evaluation.roc import auc, delong, delong_test, roc_curve, youden
from imrad.evaluation.several_groups import bartlett, correlation, kruskal_wallis, shapiro_wilk
from imrad.evaluation.time_dependent import time_dependent_auc
from imrad.evaluation.two_group import ks_two_sample, rank_sum, screen, student, welch
from imrad.exceptions import CohortError, FitError

TIME, EVENT = np.array([1.0, 2, 3, 4, 5, 6]), np.array([1, 0, 1, 1, 0, 1], dtype=bool)
RISK = np.array([6.0, 5, 4, 3, 2, 1])


def test_perfect_and_reversed_order():
    assert harrell_c(TIME, EVENT, RISK) == 1.0
    assert harrell_c(TIME, EVENT, -RISK) == 0.0
    assert harrell_c(TIME, EVENT, np.ones(6)) == 0.5


@pytest.mark.parametrize("event", [np.zeros(6, bool), np.array([0, 0, 0, 0, 0, 1], bool)])
def test_nothing_to_compare_is_missing(event):
    assert np.isnan(harrell_c(TIME, event, RISK))
    assert np.isnan(uno_c(TIME, event, RISK))
    assert np.isnan(concordance(TIME, event, RISK).c)
    assert np.isnan(bootstrap_c(TIME, event, RISK, np.ones((2, 6), int))).all()
    assert np.isnan(time_dependent_auc(TIME, event, RISK, [0.5]).auc).all()


def test_all_times_tied():
    assert np.isnan(harrell_c(np.ones(6), EVENT[[0, 0, 0, 0, 0, 0]], RISK))
    # Those censored at the events' time outlived them: 4 events against 2 censored.
    assert concordance(np.ones(6), EVENT, RISK).concordant + concordance(np.ones(6), EVENT, RISK).discordant == 8


def test_one_patient():
    assert np.isnan(harrell_c([3.0], [True], [1.0]))
    assert kaplan_meier([3.0], [True]).median()[0] == 3.0
    assert np.isnan(follow_up([3.0], [True])[0])


@pytest.mark.parametrize(
    ("time", "event", "risk", "words"),
    [
        ([1.0, -2.0], [1, 0], [1, 2], "negative"),
        ([1.0, np.nan], [1, 0], [1, 2], "missing"),
        ([1.0, 2.0], [1, 2], [1, 2], "neither 0 nor 1"),
        ([1.0, 2.0], ["dead", "alive"], [1, 2], "neither 0 nor 1"),
        ([1.0, 2.0], [1, 0], [1.0, np.nan], "missing"),
        ([1.0, 2.0], [1, 0], [1.0], "one row per patient"),
        ([1.0, 2.0, 3.0], [1, 0], [1.0, 2.0, 3.0], "one of each per patient"),
    ],
)
def test_invalid_survival_input_is_one_sentence(time, event, risk, words):
    for function in (harrell_c, uno_c, concordance, lambda *a: time_dependent_auc(*a, [1.0])):
        with pytest.raises(CohortError, match=words) as error:
            function(time, event, risk)
        assert "\n" not in str(error.value)


def test_a_hundred_thousand_patients():
    rng = np.random.default_rng(0)
    n = 100_000
    time, event, risk = rng.exponential(500, n).round(1), rng.random(n) < 0.3, rng.normal(size=n).round(3)
    assert harrell_c(time, event, risk) == pytest.approx(0.5, abs=0.01)
    assert concordance(time, event, risk).se < 0.01
    assert log_rank(time, event, risk > 0).p > 1e-6
    found = time_dependent_auc(time, event, risk, [365.0])
    assert found.auc[0] == pytest.approx(0.5, abs=0.02)
    assert 0 < found.se[0] < 0.01
    assert brier_survival(time, event, np.full(n, 0.7), [365.0])[0] < 0.5
    assert len(decision_curve(event, rng.random(n))) == 99
    area, covariance = delong(event, risk)
    assert area[0] == pytest.approx(0.5, abs=0.02)
    assert covariance[0, 0] > 0


def test_large_and_small_ways_agree(monkeypatch):
    rng = np.random.default_rng(1)
    n = 300
    time, event, risk = rng.exponential(20, n).round(), rng.random(n) < 0.5, rng.normal(size=n).round(1)
    weights = rng.integers(0, 3, n).astype(float)
    small = concordance(time, event, risk, weights=weights, time_weight="n/G2")
    monkeypatch.setattr("imrad.evaluation.comparable_pairs.PAIR_MATRIX_LIMIT", 0)
    large = concordance(time, event, risk, weights=weights, time_weight="n/G2")
    assert large.c == pytest.approx(small.c, rel=1e-12)
    np.testing.assert_allclose(large.influence, small.influence, atol=1e-15)


def test_bootstrap_c_is_the_loop():
    pytest.importorskip("sksurv")
    from sksurv.metrics import concordance_index_censored

    rng = np.random.default_rng(2)
    n = 90
    time, event, risk = rng.exponential(20, n).round(), rng.random(n) < 0.5, rng.normal(size=n).round(1)
    rows = resample_indices(n, 40, seed=5)
    found = bootstrap_c(time, event, risk, resample_counts(n, 40, seed=5))
    loop = [concordance_index_censored(event[part], time[part], risk[part])[0] for part in rows]
    np.testing.assert_allclose(found, loop, atol=1e-12)


def test_rounding_does_not_break_ties():
    risk = np.array([0.1 + 0.2, 0.3, 1.0])
    assert concordance([1.0, 2, 3], [1, 1, 1], risk).tied_risk == 1


def test_training_follow_up_shorter_than_test():
    # G of the training patients reaches 0 at 3: later test events cannot be weighted.
    known = ([1.0, 2.0, 3.0], [1, 1, 0])
    assert censoring_survival(*known, at=[5.0])[0] == 0.0
    assert np.isfinite(uno_c(TIME, EVENT, RISK, train=known))
    assert np.isfinite(time_dependent_auc(TIME, EVENT, RISK, [3.5], train=known).auc[0])
    assert np.isfinite(brier_survival(TIME, EVENT, np.full(6, 0.5), [5.5], train=known)[0])


def test_intervals_of_folds():
    found = corrected_interval([0.6, np.nan, 0.7, 0.65], test_share=0.25, null=0.5)
    assert found.n == 3
    assert found.low < found.mean < found.high
    # Corrected by hand: sqrt((1/3 + 1/4) * 0.0025).
    assert found.se == pytest.approx(np.sqrt((1 / 3 + 0.25) * 0.0025))
    assert np.isnan(corrected_interval([np.nan], test_share=0.25).mean)
    assert np.isnan(corrected_interval([0.6], test_share=0.25).low)
    assert corrected_interval([0.5, 0.5], test_share=0.25, null=0.5).p == 1.0


def test_optimism_counts_failures():
    def fit(rows):
        if len(np.unique(rows)) < 6:
            message = "too few patients"
            raise FitError(message)
        return rows

    table = optimism(fit, lambda model, rows: {"m": 1.0}, 6, resample_indices(6, 10, seed=1))
    assert table.loc["m", "n_failed"] + table.loc["m", "n_resamples"] == 10
    assert table.loc["m", "n_failed"] > 0


def test_resamples_do_not_depend_on_their_number():
    assert all(
        (one == two).all()
        for one, two in zip(resample_indices(20, 3, seed=1), resample_indices(20, 9, seed=1), strict=False)
    )
    late = resample_indices(20, 2, seed=1, first=5)
    assert (late[0] == resample_indices(20, 6, seed=1)[5]).all()
    strata = np.array([0] * 15 + [1] * 5)
    assert (resample_counts(20, 8, seed=1, strata=strata)[:, 15:].sum(axis=1) == 5).all()
    groups = np.repeat(np.arange(10), 2)
    assert all(
        (np.bincount(rows, minlength=20)[::2] == np.bincount(rows, minlength=20)[1::2]).all()
        for rows in resample_indices(20, 5, seed=1, groups=groups)
    )


def test_one_class():
    assert np.isnan(auc([0, 0, 0], [1.0, 2, 3]))
    assert np.isnan(auc([1, 1, 1], np.ones((3, 2)))).all()
    for function in (roc_curve, youden, reclassification):
        with pytest.raises(CohortError):
            function([0, 0, 0], [0.1, 0.2, 0.3], *([0.1, 0.2, 0.3],) * (function is reclassification))
    with pytest.raises(CohortError, match="DeLong"):
        delong([1, 0, 0], [1.0, 2, 3])
    with pytest.raises(FitError, match="both classes"):
        fit_logistic([1, 1, 1])
    assert np.isnan(calibration_indices([0, 0, 0], [0.1, 0.2, 0.3])["slope"])


def test_auc_of_many_columns_is_auc_of_each():
    rng = np.random.default_rng(3)
    y, scores = rng.random((40, 5)) < 0.4, rng.normal(size=(40, 7)).round(1)
    table = auc(y, scores)
    assert table.shape == (5, 7)
    assert table[2, 3] == pytest.approx(float(auc(y[:, 2], scores[:, 3])), rel=1e-14)


def test_equal_scores():
    test = delong_test([1, 0, 1, 0, 1], [1, 2, 3, 4, 5], [1, 2, 3, 4, 5])
    assert (test.difference, test.p) == (0.0, 1.0)


def test_probabilities_are_required():
    for function in (decision_curve, calibration_indices):
        with pytest.raises(CohortError, match="predicted probabilities"):
            function([0, 1], [-0.5, 2.0])
    with pytest.raises(CohortError, match="between 0 and 1"):
        decision_curve([0, 1], [0.5, 0.6], [0.0])
    with pytest.raises(CohortError):
        decision_curve_survival([1.0, 2.0], [1, 0], [0.2, 1.4], 1.0)


def test_separation_is_said():
    fit = fit_logistic([0, 0, 0, 1, 1, 1], [[1.0], [2], [3], [4], [5], [6]])
    assert fit.separated
    assert np.isfinite(fit.table(profile=True)["coef"]).all()
    with pytest.raises(FitError, match="one value"):
        fit_logistic([0, 1, 0, 1], np.ones((4, 1)))
    with pytest.raises(FitError, match="depend on each other"):
        fit_logistic([0, 1, 0, 1, 1], np.column_stack([np.arange(5), np.arange(5) * 2]))


def test_constant_predictions():
    found = calibration_indices([0, 1, 0, 1], np.full(4, 0.5))
    assert np.isnan(found["slope"])
    assert found["brier"] == 0.25
    groups = calibration_groups(TIME, EVENT, np.full(6, 0.5), 3.0, n_groups=3)
    assert groups["n"].sum() == 6
    assert brier_interval(TIME, EVENT, np.full(6, 0.5), 3.0)["brier"] > 0


def test_groups_of_one_and_empty():
    with pytest.raises(CohortError):
        rank_sum([], [1.0])
    assert rank_sum([1.0], [2.0]).p == 1.0
    assert rank_sum([1.0, 1.0], [1.0, 1.0], exact=False).p == 1.0
    with pytest.raises(CohortError):
        welch([1.0], [2.0, 3.0])
    assert ks_two_sample([1.0, 1.0], [1.0, 1.0]) == (0.0, 1.0)
    assert kruskal_wallis([1.0, 1, 1, 1], ["a", "a", "b", "b"])["p"] == 1.0
    with pytest.raises(CohortError):
        kruskal_wallis([1.0, 2.0], ["a", "a"])
    assert np.isnan(correlation([1.0, 1, 1], [1.0, 2, 3])["r"])
    assert np.isnan(log_rank(TIME, EVENT, np.ones(6)).p)


def test_screening_with_missing_and_constant_columns():
    rng = np.random.default_rng(4)
    y, x = rng.random(30) < 0.5, rng.normal(size=(30, 4))
    x[:, 1] = 2.0
    x[5:9, 2] = np.nan
    x[:, 3] = np.nan
    table = screen(y, x)
    assert table["n"].tolist() == [30, 30, 26, 0]
    assert table.loc[1, "p"] == 1.0
    assert np.isnan(table.loc[3, "p"])
    known = ~np.isnan(x[:, 2])
    alone = rank_sum(x[known & y, 2], x[known & ~y, 2], exact=False)
    assert table.loc[2, "p"] == pytest.approx(alone.p, rel=1e-12)


def test_tables_of_counts():
    with pytest.raises(CohortError, match="whole counts"):
        chi_square([[1, -2], [3, 4]])
    assert np.isnan(chi_square([[0, 0], [3, 4]])["p"])
    assert fisher_exact([[0, 0], [3, 4]]).p == 1.0
    # Permuting rows or columns, or turning the table, changes nothing.
    table = np.array([[3, 0, 2, 6], [1, 5, 4, 0], [2, 2, 0, 3]])
    p = fisher_exact(table).p
    assert fisher_exact(table[::-1, ::-1]).p == pytest.approx(p, rel=1e-9)
    assert fisher_exact(table.T).p == pytest.approx(p, rel=1e-9)
    # R 4.2.2: fisher.test(table, workspace = 2e7)$p.value
    assert p == pytest.approx(FISHER_3X4, rel=1e-7)


FISHER_3X4 = 0.00661235187701116


def test_p_values():
    with pytest.raises(CohortError):
        adjust([0.1, 1.2])
    assert adjust([]).shape == (0,)
    assert np.isnan(adjust([np.nan, 0.5])[0])


def test_redundancy_and_clusters():
    x = np.column_stack([np.arange(10.0), np.arange(10.0) * 2, np.ones(10)])
    assert find_correlation(correlation_matrix(x), 0.9) in ([0], [1])
    assert find_correlation(np.eye(1), 0.9) == []
    with pytest.raises(CohortError):
        silhouette(np.zeros((3, 3)), [1, 1, 1])
    with pytest.raises(CohortError):
        medoids(np.zeros((3, 3)), 4)
    with pytest.raises(CohortError):
        linkage(np.zeros((3, 2)))


def test_tests_of_means_variances_and_normality_say_what_they_need():
    with pytest.raises(CohortError, match="at least 3 values in all"):
        student([1.0], [2.0, np.nan])
    assert np.isnan(student([1.0, 1.0], [2.0, 2.0])["p"])
    with pytest.raises(CohortError, match="at least 2 in each"):
        bartlett([1.0, 2, 3], [0, 0, 1])
    assert np.isnan(bartlett([1.0, 1, 2, 3], [0, 0, 1, 1])["p"])
    with pytest.raises(CohortError, match="3 to 5000"):
        shapiro_wilk([1.0, 1.0, 1.0])


def test_comparisons_of_pairs_and_means_say_what_they_need():
    with pytest.raises(CohortError, match="take 4 to 20000"):
        compare_concordance_unbiased(TIME[:3], EVENT[:3], RISK[:3], RISK[:3])
    with pytest.raises(CohortError, match="no two can be compared"):
        compare_concordance_unbiased(TIME, np.zeros(6, bool), RISK, RISK)
    same = compare_concordance_unbiased(TIME, EVENT, RISK, RISK)
    assert (same.difference, same.p) == (0.0, 1.0)
    with pytest.raises(CohortError, match="of 2 distinct rows"):
        kmeans([[1.0], [2.0], [1.0]], 3)
    with pytest.raises(CohortError, match="without missing values"):
        kmeans([[1.0], [np.nan]], 1)
    means, labels, within = kmeans([[1.0], [2.0], [11.0], [12.0]], 2)
    assert (means.ravel().tolist(), labels.tolist(), within) == ([1.5, 11.5], [1, 1, 2, 2], 1.0)
