"""Cox regression against R's survival: every key of each case, which carries its data, call and tolerance."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from imrad.evaluation.discrimination import concordance
from imrad.survival.cox_inference import (
    martingale_residuals,
    proportional_hazards,
    robust_variance,
    schoenfeld_residuals,
    survival_interval,
)
from imrad.survival.coxph import CoxPH

Z = float(stats.norm.ppf(0.975))


def design(table, terms):
    """The columns R made: factors as indicators against their first level."""
    columns = {}
    for term in terms:
        factor = next((name for name in table if f"factor({name})" in term), None)
        if term in table:
            columns[term] = table[term]
        elif factor is not None:
            columns[term] = table[factor].astype(str) == term.removeprefix(f"factor({factor})")
        else:
            columns[term] = table["celltype"] == term.removeprefix("celltype")
    return pd.DataFrame(columns).astype(float)


@pytest.mark.survival_cases("survival/coxph", only=lambda name: "robust" not in name)
def test_coxph(name, case, outcome, agree, near):
    values, table, y = case["values"], pd.DataFrame(case["input"]), outcome(case)
    X = design(table, values["terms"])
    strata = table["stage"] if "strata" in name else None
    model = CoxPH(ties="breslow" if "breslow" in name else "efron").fit(X, y, strata=strata)
    it, tests = model.table(), model.tests().set_index("test")
    np.testing.assert_allclose(it["hr_inverse"], np.exp(-np.array(values["coef"])), rtol=1e-6)
    assert tests.loc["wald", "minus_2_log_likelihood"] == pytest.approx(-2 * values["loglik"], rel=1e-6)
    half = Z * it["se"]
    p, events = len(it), int(y[1].sum())
    found = {"n": len(X), "nevent": events, "terms": it["feature"], "p": near(it["p"], 1e-5)}
    found |= {ours: it[theirs] for ours, theirs in (("coef", "coef"), ("HR", "hr"), ("se", "se"), ("z", "z"))}
    found |= {"coef_lower95": it["coef"] - half, "coef_upper95": it["coef"] + half}
    found |= {"HR_lower95": it["hr_low"], "HR_upper95": it["hr_high"], "vcov": near(model.variance_, 1e-6, 1e-12)}
    found |= {"loglik": model.log_likelihood_, "loglik_null": model.log_likelihood_null_}
    found["AIC"] = 2 * p - 2 * model.log_likelihood_
    found["BIC"] = p * np.log(events) - 2 * model.log_likelihood_
    for ours, theirs in (("lrt", "likelihood ratio"), ("wald", "wald"), ("score", "score")):
        # R prints the Wald statistic rounded to two digits.
        found[ours] = near(tests.loc[theirs, ["statistic", "df", "p"]], 1e-5, 0.0051 if ours == "wald" else 0)
    c = concordance(*y, model.predict(X), strata=strata)
    found["concordance"] = [c.c, c.se]
    # R centres on the mean, except columns of 0 and 1.
    means = np.where(X.isin([-1, 0, 1]).all(), 0.0, X.mean())
    found["means"], found["lp"] = means, near((model.predict(X) - means @ model.coef_)[:5], 0, 1e-7)
    terms = {
        row: [j for j, term in enumerate(values["terms"]) if term == row or (row not in X and term.startswith(row))]
        for row in values["cox_zph"]["rows"][:-1]
    }
    kept = ["chi2", "df", "p"]
    found["cox_zph"] = near(proportional_hazards(model, X, y, terms=terms, strata=strata)[kept], 1e-5)
    found["cox_zph_log_terms_false"] = near(
        proportional_hazards(model, X, y, transform="log", strata=strata)[kept], 1e-5
    )
    if "pred_times" in values:
        times = values["pred_times"]
        survival, low, high = survival_interval(model, X, y, X.iloc[:5], times)
        log_se = (np.log(survival) - np.log(low)) / Z
        at_zero = -np.log(model.predict_survival(pd.DataFrame(np.zeros((1, p)), columns=X.columns), times))[0]
        names = ("pred_surv", "pred_lower", "pred_upper", "pred_se_logsurv")
        found |= {key: near(part.T, 0, 1e-8) for key, part in zip(names, (survival, low, high, log_se), strict=True)}
        found |= {"pred_times": times, "basehaz_uncentered_at_times": near(at_zero, 1e-6)}
        np.testing.assert_allclose(model.predict_survival(X.iloc[:5], times), survival, rtol=1e-9)
    found["martingale_first10"] = near(martingale_residuals(model, X, y, strata=strata)[:10], 0, 1e-7)
    residuals = schoenfeld_residuals(model, X, y, strata=strata).drop(columns="time")
    found["schoenfeld_first5"] = near(residuals.head(5), 1e-6, 1e-7)
    agree(found, values, rtol=1e-6, left_out={"iter", "newdata_rows"})


@pytest.mark.survival_cases("survival/coxph", only=lambda name: "robust" in name)
def test_robust_variance(name, case, outcome, agree, near):
    values, table, y = case["values"], pd.DataFrame(case["input"]), outcome(case)
    X = table[list(values["coef"])]
    model = CoxPH().fit(X, y)
    se = np.sqrt(np.diag(robust_variance(model, X, y, clusters=table["id"])))
    z = model.coef_ / se
    parts = {"coef": model.coef_, "se": np.sqrt(np.diag(model.variance_)), "robust_se": se, "z": z}
    parts["p"] = 2 * stats.norm.sf(np.abs(z))
    found = {key: dict(zip(X.columns, part, strict=True)) for key, part in parts.items()}
    found["p"] = {key: near(p, 1e-5) for key, p in found["p"].items()}
    agree(found, values, rtol=1e-6)


@pytest.mark.survival_cases("survival/lasso_cox", only=lambda name: name == "lung_heavy_ties")
def test_three_likelihoods_of_ties(name, case, outcome, agree):
    values, table = case["values"], pd.DataFrame(case["input"])
    X = table[values["beta"]["rows"]]
    found = {}
    for ties in ("breslow", "efron", "exact"):
        found[f"coxph_{ties}"] = dict(zip(X.columns, CoxPH(ties=ties).fit(X, outcome(case)).coef_, strict=True))
    agree(found, values, rtol=1e-6, left_out={"lambda", "beta"})
