"""What holds for the metrics whatever the data."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from imrad.evaluation.bootstrap import resample_counts
from imrad.evaluation.contingency import fisher_exact
from imrad.evaluation.discrimination import bootstrap_c, concordance, harrell_c
from imrad.evaluation.kaplan_meier import kaplan_meier, log_rank
from imrad.evaluation.multiplicity import METHODS, adjust
from imrad.evaluation.redundancy import correlation_matrix, find_correlation
from imrad.evaluation.roc import auc, delong, roc_curve
from imrad.evaluation.time_dependent import time_dependent_auc
from imrad.evaluation.two_group import rank_sum

FEW = settings(derandomize=True, deadline=None, max_examples=60)


@st.composite
def cohorts(draw, largest=25):
    n = draw(st.integers(2, largest))
    time = draw(hnp.arrays(float, n, elements=st.integers(0, 12).map(float)))
    event = draw(hnp.arrays(bool, n))
    risk = draw(hnp.arrays(float, n, elements=st.integers(-4, 4).map(float)))
    return time, event, risk


def slow_c(time, event, risk):
    good = pairs = 0.0
    for i in range(len(time)):
        for j in range(len(time)):
            if event[i] and (time[j] > time[i] or (time[j] == time[i] and not event[j])):
                pairs += 1
                good += 1.0 if risk[i] > risk[j] else 0.5 if risk[i] == risk[j] else 0.0
    return good / pairs if pairs else np.nan


@FEW
@given(cohorts())
def test_harrell_is_its_definition(cohort):
    time, event, risk = cohort
    assert harrell_c(time, event, risk) == pytest.approx(slow_c(time, event, risk), nan_ok=True, abs=1e-12)


@FEW
@given(cohorts())
def test_c_depends_on_ranks_only_and_turns_with_the_sign(cohort):
    time, event, risk = cohort
    c = harrell_c(time, event, risk)
    assert harrell_c(time, event, np.exp(risk) * 3 + 1) == pytest.approx(c, nan_ok=True, abs=1e-12)
    assert harrell_c(time * 365.25, event, risk) == pytest.approx(c, nan_ok=True, abs=1e-12)
    assert harrell_c(time, event, -risk) == pytest.approx(1 - c, nan_ok=True, abs=1e-12)


@FEW
@given(cohorts(), st.integers(0, 50))
def test_c_of_resamples_is_c_of_copied_rows(cohort, seed):
    time, event, risk = cohort
    counts = resample_counts(len(time), 3, seed=seed)
    found = bootstrap_c(time, event, risk, counts)
    for row, value in zip(counts, found, strict=True):
        copied = np.repeat(np.arange(len(time)), row)
        assert value == pytest.approx(harrell_c(time[copied], event[copied], risk[copied]), nan_ok=True, abs=1e-12)


@FEW
@given(cohorts())
def test_influences_add_to_zero_and_are_derivatives(cohort):
    time, event, risk = cohort
    found = concordance(time, event, risk)
    if np.isnan(found.c):
        return
    assert found.influence.sum() == pytest.approx(0.0, abs=1e-9)
    weights = np.ones(len(time))
    weights[0] += 1e-6
    moved = harrell_c(time, event, risk, weights=weights)
    if not np.isnan(moved):
        assert (moved - found.c) / 1e-6 == pytest.approx(found.influence[0], abs=1e-4)


@FEW
@given(cohorts())
def test_kaplan_meier_falls_from_one_and_ignores_order(cohort):
    time, event, _ = cohort
    curve = kaplan_meier(time, event)
    assert (np.diff(np.concatenate(([1.0], curve.survival))) <= 1e-15).all()
    assert curve.n_risk[0] == len(time)
    assert (curve.n_event + curve.n_censored).sum() == len(time)
    turned = kaplan_meier(time[::-1], event[::-1])
    np.testing.assert_array_equal(curve.survival, turned.survival)
    if event.all():
        assert curve.restricted_mean(time.max())[0] == pytest.approx(time.mean())
        assert curve.median()[0] == pytest.approx(np.median(time))


@FEW
@given(cohorts())
def test_log_rank_does_not_know_names(cohort):
    time, event, risk = cohort
    one = log_rank(time, event, risk > 0)
    two = log_rank(time, event, np.where(risk > 0, "a", "b"))
    assert one.p == pytest.approx(two.p, nan_ok=True, rel=1e-9, abs=1e-12)
    assert one.observed.sum() == pytest.approx(one.expected.sum())


@FEW
@given(cohorts())
def test_auc_at_the_end_without_censoring_is_auc(cohort):
    time, _, risk = cohort
    t = float(np.floor(np.median(time))) + 0.5
    found = time_dependent_auc(time, np.ones(len(time), bool), risk, [t]).auc[0]
    assert found == pytest.approx(float(auc(time < t, risk)), nan_ok=True, abs=1e-12)


@FEW
@given(st.lists(st.tuples(st.booleans(), st.integers(-3, 3)), min_size=4, max_size=30))
def test_auc_is_u_and_the_area_of_its_curve(pairs):
    y, score = np.array([p[0] for p in pairs]), np.array([float(p[1]) for p in pairs])
    if min(y.sum(), (~y).sum()) < 2:
        return
    area = float(auc(y, score))
    assert rank_sum(score[y], score[~y]).w == pytest.approx(area * y.sum() * (~y).sum())
    curve = roc_curve(y, score)
    assert abs(np.trapezoid(curve["sensitivity"], curve["specificity"])) == pytest.approx(area, abs=1e-12)
    value, covariance = delong(y, np.column_stack([score, -score]))
    assert value.sum() == pytest.approx(1.0)
    assert covariance[0, 0] == pytest.approx(-covariance[0, 1], abs=1e-12)


@FEW
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.sampled_from(METHODS))
def test_adjusted_p_are_larger_and_keep_the_order(p, method):
    p = np.array(p)
    found = adjust(p, method)
    assert (found >= p - 1e-15).all()
    assert (found <= 1.0).all()
    order = np.argsort(p, kind="stable")
    assert (np.diff(found[order]) >= -1e-12).all()


@FEW
@given(hnp.arrays(int, st.tuples(st.integers(2, 3), st.integers(2, 3)), elements=st.integers(0, 5)))
def test_fisher_ignores_the_order_of_rows_and_columns(table):
    p = fisher_exact(table).p
    assert 0 <= p <= 1
    assert fisher_exact(table[::-1]).p == pytest.approx(p, rel=1e-9)
    assert fisher_exact(table.T).p == pytest.approx(p, rel=1e-9)


@FEW
@given(hnp.arrays(float, (12, 6), elements=st.integers(-5, 5).map(float)), st.floats(0.3, 0.95))
def test_what_is_left_is_not_correlated(x, cutoff):
    r = correlation_matrix(x)
    left = [k for k in range(6) if k not in find_correlation(r, cutoff)]
    rest = np.abs(r[np.ix_(left, left)])
    np.fill_diagonal(rest, 0.0)
    assert (rest <= cutoff + 1e-12).all()
