"""The vectorised bins and scores against their definitions written down plainly."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from imrad.phenotype.discretise import bin_codes, equal_frequency_cuts
from imrad.phenotype.scores import ContingencyScores, top_k

QUIET = settings(derandomize=True, deadline=None, max_examples=60)


def plain_cuts(column, n_bins):
    values, counts = np.unique(column[~np.isnan(column)], return_counts=True)
    if len(values) <= n_bins:
        return list((values[1:] + values[:-1]) / 2)
    left, bins, inside, cuts = counts.sum(), n_bins, 0, []
    for place, (value, count) in enumerate(zip(values, counts, strict=True)):
        if bins <= 1:
            break
        inside += count
        target = left / bins
        if place == 0 or inside < target:
            continue
        if place < len(values) - 1 and inside - target < count / 2:
            cuts.append((value + values[place + 1]) / 2)
            left, inside = left - inside, 0
        else:
            cuts.append((value + values[place - 1]) / 2)
            left, inside = left - (inside - count), count
        bins -= 1
    return cuts


columns = hnp.arrays(
    np.float64,
    st.integers(5, 40),
    elements=st.one_of(st.integers(-4, 4).map(float), st.floats(-9, 9, width=32), st.just(float("nan"))),
)


@QUIET
@given(columns, st.integers(2, 6))
def test_cuts_follow_the_walk_over_distinct_values(column, n_bins):
    own = equal_frequency_cuts(column[:, None], n_bins)[0]
    np.testing.assert_array_equal(own[np.isfinite(own)], plain_cuts(column, n_bins))


@QUIET
@given(columns, st.integers(2, 6))
def test_bins_are_closed_below_and_missing_stays_missing(column, n_bins):
    cuts = equal_frequency_cuts(column[:, None], n_bins)
    codes = bin_codes(column[:, None], cuts)[:, 0]
    finite = cuts[0][np.isfinite(cuts[0])]
    for value, code in zip(column, codes, strict=True):
        assert code == (-1 if np.isnan(value) else int((finite <= value).sum()))


def entropy(labels):
    if not len(labels):
        return 0.0
    share = np.unique(labels, return_counts=True)[1] / len(labels)
    return float(-(share * np.log2(share)).sum())


def impurity(labels):
    share = np.unique(labels, return_counts=True)[1] / max(len(labels), 1)
    return float(1 - (share**2).sum())


def plain_scores(code, y):
    known = code >= 0
    c, labels = code[known], y[known]
    n = max(len(c), 1)
    inside = sum((c == b).sum() / n * entropy(labels[c == b]) for b in np.unique(c))
    gini = sum((c == b).sum() / n * impurity(labels[c == b]) for b in np.unique(c))
    share = known.mean()
    gain = entropy(labels) - inside
    below = entropy(c)
    decrease = impurity(labels) - gini if len(c) else 0.0
    return gain * share, gain / (below if below > 0 else 1.0) * share, decrease * share


@QUIET
@given(st.integers(0, 2**32 - 1), st.integers(6, 40), st.integers(1, 6), st.booleans())
def test_scores_follow_their_definitions(seed, n, p, missing):
    rng = np.random.default_rng(seed)
    codes = rng.integers(-1 if missing else 0, 4, (n, p)).astype(np.int8)
    Y = rng.integers(0, 2, (n, 3))
    scores = ContingencyScores(codes)
    found = scores.information_gain(Y), scores.gain_ratio(Y), scores.gini_decrease(Y)
    for target in range(3):
        for feature in range(p):
            expected = plain_scores(codes[:, feature], Y[:, target])
            for own, value in zip(found, expected, strict=True):
                assert abs(own[feature, target] - value) < 1e-9


@QUIET
@given(st.integers(0, 2**32 - 1), st.integers(8, 40))
def test_equal_tables_have_equal_scores_whatever_the_order_of_their_bins(seed, n):
    rng = np.random.default_rng(seed)
    code = rng.integers(0, 4, n)
    codes = np.column_stack([order[code] for order in (rng.permutation(4) for _ in range(6))]).astype(np.int8)
    Y = rng.integers(0, 2, (n, 1))
    scores = ContingencyScores(codes)
    for found in (
        scores.information_gain(Y),
        scores.gain_ratio(Y),
        scores.gini_decrease(Y),
        scores.class_uncertainty(Y),
    ):
        assert len(np.unique(found)) == 1


@QUIET
@given(st.integers(0, 2**32 - 1), st.integers(10, 40), st.integers(2, 12))
def test_fcbf_removes_what_a_kept_feature_knows_better(seed, n, p):
    rng = np.random.default_rng(seed)
    base = rng.integers(0, 4, (n, 3))
    codes = np.column_stack([np.where(rng.random(n) < 0.8, base[:, j % 3], rng.integers(0, 4, n)) for j in range(p)])
    y = rng.integers(0, 2, (n, 1))
    scores = ContingencyScores(codes.astype(np.int8))
    relevance = scores.class_uncertainty(y)[:, 0]
    kept = []
    for feature in np.argsort(-relevance, kind="stable"):
        if all(scores.pair_uncertainty(one)[feature] < relevance[feature] for one in kept):
            kept.append(int(feature))
    expected = relevance * 1e-4
    expected[kept] = relevance[kept]
    np.testing.assert_allclose(scores.fcbf(y)[:, 0], expected)


def test_ties_go_to_the_lower_column_and_missing_scores_come_last():
    assert list(top_k(np.array([0.5, 0.7, 0.5, np.nan, 0.5]), 3)) == [0, 1, 2]
    assert list(top_k(np.array([0.1, np.nan]), 5)) == [0, 1]
