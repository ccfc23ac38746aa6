"""The selectors against Orange's own scores (tests/reference/data/phenotype/README.md)."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn import datasets

from imrad.phenotype import FCBF, GainRatio, GiniDecrease, InformationGain
from imrad.phenotype.discretise import bin_codes, equal_frequency_cuts
from imrad.phenotype.scores import ContingencyScores

DATA = Path(__file__).parent / "data" / "phenotype"
NAMES = ["breast_cancer", "wine_binary01", "iris_binary12", "synthetic_113x851_seed0"]
SCORES = [(InformationGain, "info_gain"), (GainRatio, "gain_ratio"), (GiniDecrease, "gini"), (FCBF, "fcbf")]


def load(name):
    if name == "breast_cancer":
        return datasets.load_breast_cancer(return_X_y=True)
    if name == "wine_binary01":
        X, y = datasets.load_wine(return_X_y=True)
        return X[y < 2], y[y < 2]
    if name == "iris_binary12":
        X, y = datasets.load_iris(return_X_y=True)
        return X[y > 0], y[y > 0] - 1
    return datasets.make_classification(
        113, 851, n_informative=20, n_redundant=200, n_clusters_per_class=1, class_sep=0.8, shuffle=True, random_state=0
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("selector", "column"), SCORES)
def test_scores_equal_oranges_and_pick_the_same_twenty(name, selector, column):
    X, y = load(name)
    theirs = pd.read_csv(DATA / f"orange_{name}.csv.gz")[column].to_numpy()
    fitted = selector(k=20).fit(X, y)
    np.testing.assert_allclose(fitted.scores_, theirs, rtol=0, atol=1e-9)
    best = np.argsort(-np.round(theirs, 10), kind="stable")[:20]
    np.testing.assert_array_equal(fitted.selected_, np.sort(best))


@pytest.mark.parametrize("name", NAMES[:3])
def test_cut_points_equal_oranges(name):
    X, _ = load(name)
    cuts = equal_frequency_cuts(X)
    for own, text in zip(cuts, pd.read_csv(DATA / f"orange_{name}.csv.gz", dtype=str)["cut_points"], strict=True):
        np.testing.assert_allclose(own[np.isfinite(own)], [float(part) for part in text.split(";")], rtol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_bin_counts_equal_oranges(name):
    X, _ = load(name)
    codes = bin_codes(X, equal_frequency_cuts(X))
    counts = pd.read_csv(DATA / f"orange_{name}.csv.gz", dtype=str)["bin_counts"]
    for column, text in zip(codes.T, counts, strict=True):
        assert list(np.bincount(column)) == [int(part) for part in text.split(";")]


def test_fcbf_that_stops_at_k_picks_what_the_whole_walk_picks():
    for name in NAMES:
        X, y = load(name)
        codes = bin_codes(X, equal_frequency_cuts(X))
        whole = ContingencyScores(codes).fcbf(y[:, None])[:, 0]
        early = ContingencyScores(codes).fcbf(y[:, None], k=20)[:, 0]
        for scores in (whole, early):
            assert len(scores) == X.shape[1]
        assert set(np.argsort(-whole, kind="stable")[:20]) == set(np.argsort(-early, kind="stable")[:20])


def test_gain_ratio_ranks_as_information_gain_on_data_without_ties():
    X, y = load("synthetic_113x851_seed0")
    first, second = InformationGain(k=20).fit(X, y), GainRatio(k=20).fit(X, y)
    np.testing.assert_array_equal(first.selected_, second.selected_)
