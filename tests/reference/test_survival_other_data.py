"""Weights, strata, ties and odd sizes against R on other data; data/statistics/other_data.R makes them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from imrad.evaluation.discrimination import concordance, harrell_c
from imrad.survival.cox_inference import proportional_hazards, robust_variance
from imrad.survival.coxph import CoxPH
from imrad.survival.cutpoints import maximally_selected

CASES = json.loads(gzip.decompress((Path(__file__).parent / "data" / "statistics" / "other_data.json.gz").read_bytes()))
SIZES = list(CASES)


def problem(name):
    case = CASES[name]
    table = pd.DataFrame(case["input"])
    return case, table, (table["time"].to_numpy(float), table["status"].to_numpy() == 1)


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("ties", ["efron", "breslow"])
def test_weighted_and_stratified_cox(name, ties):
    case, table, y = problem(name)
    expected, X = case[ties], table[["f1", "f2", "f5"]]
    model = CoxPH(ties=ties).fit(X, y, sample_weight=table["w"])
    np.testing.assert_allclose(model.coef_, expected["coef"], rtol=1e-6)
    np.testing.assert_allclose([model.log_likelihood_null_, model.log_likelihood_], expected["loglik"], rtol=1e-9)
    np.testing.assert_allclose(np.sqrt(np.diag(model.variance_)), expected["naive"], rtol=1e-6)
    robust = robust_variance(model, X, y, sample_weight=table["w"])
    np.testing.assert_allclose(np.sqrt(np.diag(robust)), expected["robust"], rtol=1e-6)
    model = CoxPH(ties=ties).fit(X, y, strata=table["s"])
    np.testing.assert_allclose(model.coef_, expected["strata_coef"], rtol=1e-6)
    np.testing.assert_allclose(model.variance_, expected["strata_var"], rtol=1e-6)
    for transform in ("km", "rank", "identity"):
        found = proportional_hazards(model, X, y, transform=transform, strata=table["s"])
        np.testing.assert_allclose(found[["chi2", "df", "p"]].to_numpy(float), expected[f"zph_{transform}"], rtol=1e-5)


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("share", [0.1, 0.13])
def test_shares_that_are_no_whole_numbers_of_patients(name, share):
    case, table, y = problem(name)
    expected = case[f"maxstat_{share:g}"]
    found = maximally_selected(*y, table["f1"], min_share=share, max_share=1 - share)
    assert (found.cutpoint, len(found.scan)) == (pytest.approx(expected["cut"], rel=1e-12), expected["n"])
    assert found.statistic == pytest.approx(expected["statistic"], rel=1e-8)
    assert [found.p_lau92, found.p_lau94] == pytest.approx(expected["p"][:2], rel=1e-6)
    # maxstat integrates the third by quasi-random points.
    assert found.p_gauss == pytest.approx(expected["p"][2], abs=2e-3)


@pytest.mark.parametrize("name", SIZES)
def test_concordance_with_weights_and_ties(name):
    case, table, y = problem(name)
    risk = np.array(case["lp"], dtype=float)
    for weight in ("n", "n/G2"):
        found = concordance(*y, risk, time_weight=weight)
        assert [found.c, found.variance] == pytest.approx(case[f"c_{weight}"], rel=1e-8)
    assert harrell_c(*y, risk, weights=table["w"]) == pytest.approx(case["c_weighted"], rel=1e-10)
    for weight in ("n", "n/G2"):
        weighted = concordance(*y, risk, time_weight=weight, weights=table["w"])
        within = concordance(*y, risk, time_weight=weight, strata=table["s"])
        for found, key in ((weighted, "weighted"), (within, "strata")):
            expected = case[f"{key}_{weight}"]
            assert [found.c, found.variance, found.variance_null] == pytest.approx(expected, rel=1e-8)
