"""mRMR in the order of mrmr-selection, pymrmre, R's mRMRe and Peng's definition."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn import datasets

from imrad.exceptions import ConfigError
from imrad.phenotype import MRMRSelector
from imrad.phenotype.mrmr import _auc_correlation, _correlations, _gaussian_information, _pearson, greedy_ensemble

DATA = Path(__file__).parent / "data" / "phenotype"
SCHEMES = {
    "mrmr_selection_FCQ": "fcq",
    "peng2005_MID": "mid",
    "peng2005_MIQ": "miq",
    "pymrmre_pearson": "mrmre",
}


def load(name):
    if name == "breast_cancer":
        found, keep = datasets.load_breast_cancer(), slice(None)
        y = found.target
    elif name == "wine_binary01":
        found = datasets.load_wine()
        keep = found.target < 2
        y = found.target[keep]
    else:
        found = datasets.load_iris()
        keep = found.target > 0
        y = found.target[keep] - 1
    return pd.DataFrame(found.data[keep], columns=found.feature_names), y


@pytest.mark.parametrize("dataset", ["breast_cancer", "wine_binary01", "iris_binary12"])
@pytest.mark.parametrize("method", SCHEMES)
def test_ranking_is_reproduced_in_order(dataset, method):
    X, y = load(dataset)
    table = pd.read_csv(DATA / "mrmr_rankings.csv")
    theirs = table[(table["dataset"] == dataset) & (table["method"] == method)].sort_values("rank")["feature"]
    fitted = MRMRSelector(k=len(theirs), scheme=SCHEMES[method]).fit(X.to_numpy(), y)
    assert [X.columns[column] for column in fitted.ranking_] == list(theirs)


def test_running_sums_give_the_order_of_the_mrmr_selection_package():
    X, y = datasets.make_classification(113, 120, n_informative=10, n_redundant=40, random_state=3)
    package = MRMRSelector(k=15, engine="mrmr-selection").fit(X, y)
    own = MRMRSelector(k=15).fit(X, y)
    np.testing.assert_array_equal(own.ranking_, package.ranking_)
    np.testing.assert_array_equal(own.selected_, package.selected_)


@pytest.mark.parametrize(
    ("case", "column", "scheme", "correlation"),
    [
        ("synthA_response_numeric", "response", "mrmre", _pearson),
        ("synthA_status_ordered", "status", "mrmre_ordered", _auc_correlation),
    ],
)
def test_mrmre_of_r_is_reproduced(case, column, scheme, correlation):
    table = pd.read_csv(DATA / "synth_A.csv.gz")
    theirs = json.loads((DATA / "mrmre.json").read_text())[case]
    X, y = table.iloc[:, 2:], table[column].to_numpy()
    information = _gaussian_information(correlation(X.to_numpy(), y.astype(float)))
    np.testing.assert_allclose(information, theirs["mi_target"], rtol=1e-8)
    fitted = MRMRSelector(k=30, scheme=scheme).fit(X.to_numpy(), y)
    assert [X.columns[place] for place in fitted.ranking_] == theirs["selected"]
    several = greedy_ensemble(information, _correlations(X.to_numpy(), _gaussian_information), 10)
    # mRMRe prints the classic solution last.
    assert [[X.columns[place] for place in one] for one in several[::-1]] == theirs["ensemble3_first10"]


def test_unknown_schemes_and_engines_are_refused():
    X, y = datasets.make_classification(40, 8, random_state=0)
    with pytest.raises(ConfigError, match="unknown mRMR scheme 'mi'"):
        MRMRSelector(scheme="mi").fit(X, y)
    with pytest.raises(ConfigError, match="unknown mRMR engine 'r'"):
        MRMRSelector(engine="r").fit(X, y)
    with pytest.raises(ConfigError, match="offers the scheme 'fcq'"):
        MRMRSelector(scheme="mid", engine="mrmr-selection").fit(X, y)
