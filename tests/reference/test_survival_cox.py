"""Cox regression against R's survival: every case carries its data, call and tolerance in data/survival."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from imrad.evaluation.discrimination import concordance
from imrad.survival.cox_inference import (
    martingale_residuals,
    proportional_hazards,
    robust_variance,
    schoenfeld_residuals,
    survival_interval,
)
from imrad.survival.coxph import CoxPH

DATA = Path(__file__).parent / "data"


def load(method):
    return json.loads(gzip.decompress((DATA / "survival" / f"{method}.json.gz").read_bytes()))


COXPH = load("coxph")
PLAIN = [name for name in COXPH if name != "veteran_robust"]


def numbers(values):
    return np.array([np.nan if item is None else item for item in np.ravel(np.array(values, dtype=object))], float)


def design(case, terms):
    """The columns R made: factors as indicators against their first level."""
    table = pd.DataFrame(case["input"])
    columns = {}
    for term in terms:
        if term in table:
            columns[term] = table[term]
        elif term.startswith("celltype"):
            columns[term] = table["celltype"] == term.removeprefix("celltype")
        else:
            factor, level = term[len("factor(") :].split(")")
            columns[term] = table[factor].astype(str) == level
    outcome = (table["time"].to_numpy(float), (table["status"] == table["status"].max()).to_numpy())
    return pd.DataFrame(columns).astype(float), outcome, table


@pytest.mark.parametrize("name", PLAIN)
def test_coefficients_tests_and_likelihood(name):
    values = COXPH[name]["values"]
    X, y, table = design(COXPH[name], values["terms"])
    strata = table["stage"] if name == "synthA_strata" else None
    model = CoxPH(ties="breslow" if "breslow" in name else "efron").fit(X, y, strata=strata)
    found = model.table()
    for column, expected in (
        ("coef", "coef"),
        ("se", "se"),
        ("hr", "HR"),
        ("hr_low", "HR_lower95"),
        ("hr_high", "HR_upper95"),
        ("z", "z"),
    ):
        np.testing.assert_allclose(found[column], values[expected], rtol=1e-6)
    np.testing.assert_allclose(found["p"], values["p"], rtol=1e-5)
    np.testing.assert_allclose(found["hr_inverse"], np.exp(-np.array(values["coef"])), rtol=1e-6)
    np.testing.assert_allclose(model.variance_, np.array(values["vcov"]), rtol=1e-6, atol=1e-12)
    assert model.log_likelihood_ == pytest.approx(values["loglik"], rel=1e-6)
    assert model.log_likelihood_null_ == pytest.approx(values["loglik_null"], rel=1e-6)
    tests = model.tests().set_index("test")
    assert tests.loc["likelihood ratio", "statistic"] == pytest.approx(values["lrt"][0], rel=1e-6)
    assert tests.loc["likelihood ratio", "p"] == pytest.approx(values["lrt"][2], rel=1e-5)
    assert tests.loc["score", "statistic"] == pytest.approx(values["score"][0], rel=1e-6)
    # R prints the Wald statistic rounded to two digits.
    assert tests.loc["wald", "statistic"] == pytest.approx(values["wald"][0], abs=0.005)
    assert tests.loc["wald", "minus_2_log_likelihood"] == pytest.approx(-2 * values["loglik"], rel=1e-6)
    half = 1.959963984540054 * found["se"]
    for sign, name in ((-1, "coef_lower95"), (1, "coef_upper95")):
        np.testing.assert_allclose(found["coef"] + sign * half, values[name], rtol=1e-6, atol=1e-9)
    assert int(y[1].sum()) == values["nevent"]
    criterion = len(values["terms"]) * np.log(values["nevent"]) - 2 * model.log_likelihood_
    assert criterion == pytest.approx(values["BIC"], rel=1e-8)
    if "lp" in values:
        # R centres on the means of the numeric columns: differences between patients are the same.
        own, theirs = model.predict(X)[: len(values["lp"])], numbers(values["lp"])
        np.testing.assert_allclose(own - own[0], theirs - theirs[0], atol=1e-6)
    if strata is None:
        c = concordance(*y, model.predict(X))
        assert (c.c, c.se) == pytest.approx(values["concordance"], rel=1e-6)


@pytest.mark.parametrize("name", PLAIN)
def test_proportional_hazards(name):
    values = COXPH[name]["values"]
    X, y, table = design(COXPH[name], values["terms"])
    strata = table["stage"] if name == "synthA_strata" else None
    model = CoxPH(ties="breslow" if "breslow" in name else "efron").fit(X, y, strata=strata)
    expected = values["cox_zph"]
    terms: dict[str, list[int]] = {}
    for row in expected["rows"][:-1]:
        terms[row] = [j for j, term in enumerate(values["terms"]) if term.startswith(row)]
    found = proportional_hazards(model, X, y, terms=terms, strata=strata)
    reference = np.array([numbers(row) for row in expected["data"]])
    np.testing.assert_allclose(found[["chi2", "df", "p"]].to_numpy(float), reference, rtol=1e-5)
    log = values["cox_zph_log_terms_false"]
    found = proportional_hazards(model, X, y, transform="log", strata=strata)
    np.testing.assert_allclose(
        found[["chi2", "df", "p"]].to_numpy(float), np.array([numbers(row) for row in log["data"]]), rtol=1e-5
    )


@pytest.mark.parametrize("name", [name for name in PLAIN if "pred_surv" in COXPH[name]["values"]])
def test_predicted_survival(name):
    values = COXPH[name]["values"]
    X, y, _ = design(COXPH[name], values["terms"])
    model = CoxPH(ties="breslow" if "breslow" in name else "efron").fit(X, y)
    found = survival_interval(model, X, y, X.iloc[:5], values["pred_times"])
    for part, expected in zip(found, ("pred_surv", "pred_lower", "pred_upper"), strict=True):
        np.testing.assert_allclose(part.T, np.array([numbers(row) for row in values[expected]]), atol=1e-8)


@pytest.mark.parametrize("name", PLAIN)
def test_residuals(name):
    values = COXPH[name]["values"]
    X, y, table = design(COXPH[name], values["terms"])
    strata = table["stage"] if name == "synthA_strata" else None
    model = CoxPH(ties="breslow" if "breslow" in name else "efron").fit(X, y, strata=strata)
    found = martingale_residuals(model, X, y, strata=strata)
    np.testing.assert_allclose(found[:10], values["martingale_first10"], atol=1e-8)
    found = schoenfeld_residuals(model, X, y, strata=strata).drop(columns="time")
    np.testing.assert_allclose(found.head(5).to_numpy(), np.array(values["schoenfeld_first5"]), rtol=1e-6, atol=1e-8)


def test_robust_variance_by_cluster():
    case = COXPH["veteran_robust"]
    values = case["values"]
    X, y, table = design(case, list(values["coef"]))
    model = CoxPH().fit(X, y)
    se = np.sqrt(np.diag(robust_variance(model, X, y, clusters=table["id"])))
    np.testing.assert_allclose(model.coef_, list(values["coef"].values()), rtol=1e-6)
    np.testing.assert_allclose(se, list(values["robust_se"].values()), rtol=1e-6)
    np.testing.assert_allclose(model.coef_ / se, list(values["z"].values()), rtol=1e-6)
