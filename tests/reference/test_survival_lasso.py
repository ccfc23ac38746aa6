"""Penalised paths against glmnet: every case carries its data, call and tolerance in data/survival."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from imrad.evaluation.discrimination import harrell_c
from imrad.evaluation.kaplan_meier import log_rank
from imrad.evaluation.multiplicity import adjust
from imrad.survival.lasso_cox import LassoCox
from imrad.survival.lasso_response import LassoResponse
from imrad.survival.screening import UnivariateCox

DATA = Path(__file__).parent / "data"


def load(method):
    return json.loads(gzip.decompress((DATA / "survival" / f"{method}.json.gz").read_bytes()))


def synth():
    return pd.read_csv(DATA / "survival" / "synth_A.csv.gz")


COX = load("lasso_cox") | load("elasticnet_cox")
PATHS = [name for name, case in COX.items() if "path" in case]


def columns_of(name, table):
    features = list(table.columns[10:])
    if name.startswith("lung"):
        return table[["age", "sex", "ph.ecog", "ph.karno", "wt.loss"]]
    if name == "synthA_nostd_first60":
        X = table[features[:60]]
        return (X - X.mean()) / X.std()
    if name == "synthA_unpenalised_clinical":
        return table[["age", "sex", "stage", *features[:100]]]
    return table[features[: 50 if "first50" in name else None]]


def problem(name):
    case = COX[name]
    table = synth() if case["input"] == "synth_A" else pd.DataFrame(case["input"])
    time = table["time"].to_numpy(float)
    time = time / 1000 if time.max() > 200 and name.startswith("lung") else time
    event = (table["status"] == table["status"].max()).to_numpy()
    return columns_of(name, table), (time, event), case


def model_for(name, case, **settings):
    values = case["values"]
    free = ("age", "sex", "stage") if name == "synthA_unpenalised_clinical" else ()
    return LassoCox(l1_ratio=values["alpha"], standardise=values["standardize"], unpenalised=free, **settings)


def wanted(coefficients, X):
    return np.array([coefficients.get(name, 0.0) for name in X.columns])


@pytest.mark.parametrize("name", PATHS)
def test_path(name):
    X, y, case = problem(name)
    values, sd = case["values"], X.std(ddof=0).to_numpy()
    model = model_for(name, case).fit(X, y, folds=values["foldid"])
    path = model.path_
    steps = min(len(path.lambdas), values["n_lambda"])
    # One case ended where glmnet had used up its passes; this path goes on.
    assert len(path.lambdas) == values["n_lambda"] or name == "synthA_unpenalised_clinical"
    # glmnet gives the unpenalised fit that opens the path to its own tolerance.
    rtol = 3e-8 if name == "synthA_unpenalised_clinical" else 1e-8
    np.testing.assert_allclose(path.lambdas[:steps], case["path"]["lambda"][:steps], rtol=rtol)
    assert path.lambdas[0] == pytest.approx(values["lambda_max"], rel=rtol)
    assert path.null_deviance == pytest.approx(values["nulldev"], rel=1e-10)
    exact = name.startswith("lung")
    for at in values["coef_at_steps"]:
        tight = exact or at["thresh"] == 1e-15
        if name == "synthA_unpenalised_clinical" and not tight:
            continue
        gap = np.abs((path.coef[:, at["step"] - 1] - wanted(at["coef"], X)) * sd)
        assert gap.max() < (1e-5 if tight else 2e-3), at["step"]
    early = slice(0, min(steps, 30))
    np.testing.assert_allclose(
        path.deviance_ratio[early], case["path"]["dev_ratio"][early], atol=1e-5 if exact else 5e-5
    )
    at = values.get("coef_at_interpolated_lambda")
    if at:
        assert np.abs((model.coef_at(at["s"]) - wanted(at["coef"], X)) * sd).max() < 1e-5


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize("measure", ["deviance", "c"])
def test_choice(name, measure):
    X, y, case = problem(name)
    values, prefix = case["values"], "" if measure == "deviance" else "_C"
    model = model_for(name, case, measure=measure).fit(X, y, folds=values["foldid"])
    expected = pd.DataFrame(case["path"])
    keys = ("lambda_min", "lambda_1se") if measure == "deviance" else ("C_lambda_min", "C_lambda_1se")
    for found, key in zip((model.lambda_min_, model.lambda_1se_), keys, strict=True):
        step = int(np.argmin(np.abs(np.log(model.path_.lambdas / found))))
        reference = int(np.argmin(np.abs(np.log(expected["lambda"] / values[key]))))
        assert abs(step - reference) <= (0 if name.startswith("lung") else 1)
    # To the chosen penalty: beyond it glmnet's folds are far from converged.
    until = 1 + int(np.argmin(np.abs(np.log(expected["lambda"] / values["lambda_min"]))))
    rtol = 1e-5 if name.startswith("lung") else 1e-3 if measure == "deviance" else 4e-3
    np.testing.assert_allclose(model.cv_["mean"][:until], expected["cvm" + prefix][:until], rtol=rtol)
    np.testing.assert_allclose(
        model.cv_["se"][:until], expected["cvsd" + prefix][:until], rtol=5e-3 if rtol < 2e-3 else 0.05
    )
    if measure == "deviance":
        sd = X.std(ddof=0).to_numpy()
        gap = np.abs((model.coef_ - wanted(values["coef_lambda_min"], X)) * sd)
        assert gap.max() < (1e-5 if name.startswith("lung") else 2e-3)
        sparse = model_for(name, case, choice="1se").fit(X, y, folds=values["foldid"])
        gap = np.abs((sparse.coef_ - wanted(values["coef_lambda_1se"], X)) * sd)
        assert gap.max() < (1e-5 if name.startswith("lung") else 2e-3)


@pytest.mark.parametrize("unit", [1.0, 1000.0])
def test_ties_do_not_depend_on_the_unit_or_the_order(unit):
    case = COX["lung_days_tie_trap"]
    values, table = case["values"], pd.DataFrame(case["input"])
    X = table[values["beta_scaled"]["rows"]]
    time, event = table["time"].to_numpy(float) / unit, (table["status"] == table["status"].max()).to_numpy()
    order = np.random.default_rng(1).permutation(len(time))
    model = LassoCox(lambdas=values["lambda"], n_folds=3).fit(X.iloc[order], (time[order], event[order]))
    sd = X.std(ddof=0).to_numpy()[:, None]
    assert np.abs((model.path_.coef - np.array(values["beta_scaled"]["data"])) * sd).max() < 1e-5
    breslow = np.array([values["coxph_breslow"][name] for name in X.columns])
    assert np.abs((model.path_.coef[:, -1] - breslow) * sd[:, 0]).max() < 1e-6


def test_heavy_ties():
    case = COX["lung_heavy_ties"]
    values, table = case["values"], pd.DataFrame(case["input"])
    X = table[values["beta"]["rows"]]
    y = (table["time"].to_numpy(float), (table["status"] == table["status"].max()).to_numpy())
    model = LassoCox(lambdas=values["lambda"], n_folds=3).fit(X, y)
    assert np.abs(model.path_.coef - np.array(values["beta"]["data"])).max() < 1e-5


def test_univariate_screening():
    case = load("univariate_cox")["synthA"]
    table, expected = synth(), pd.DataFrame(case["table"])
    X = table[table.columns[10:]]
    y = (table["time"], table["status"])
    found = UnivariateCox(method="BH").fit(X, y)
    sd_ratio = np.sqrt(len(X) / (len(X) - 1))
    np.testing.assert_allclose(np.log(found.hazard_ratio_) * sd_ratio, expected["coef"], rtol=1e-6)
    np.testing.assert_allclose(found.z_, expected["z"], rtol=1e-6)
    np.testing.assert_allclose(found.p_, expected["p_wald"], rtol=1e-6)
    np.testing.assert_allclose(found.p_lrt_, expected["p_lrt"], rtol=1e-6)
    np.testing.assert_allclose(found.p_score_, expected["p_score"], rtol=1e-6)
    np.testing.assert_allclose(found.p_adjusted_, expected["p_BH"], rtol=1e-6)
    half = 1.959963984540054 * expected["se"]
    np.testing.assert_allclose(np.log(found.hazard_ratio_) * sd_ratio / found.z_, expected["se"], rtol=1e-6)
    for name, sign in (("HR_lower", -1), ("HR_upper", 1)):
        np.testing.assert_allclose(found.hazard_ratio_**sd_ratio * np.exp(sign * half), expected[name], rtol=1e-6)
    for method in ("holm", "bonferroni", "BY"):
        np.testing.assert_allclose(adjust(found.p_, method), expected[f"p_{method}"], rtol=1e-6)
    for j in range(0, X.shape[1], 30):
        column = X.iloc[:, j].to_numpy()
        risk = column * np.sign(np.log(found.hazard_ratio_[j]))
        assert harrell_c(*y, risk) == pytest.approx(expected["cindex"][j], rel=1e-10)
        assert log_rank(*y, column > np.median(column)).p == pytest.approx(expected["p_logrank_median"][j], rel=1e-8)
    assert len(found.selected_) == case["values"]["n_selected_BH05"]
    assert len(UnivariateCox().fit(X, y).selected_) == case["values"]["n_selected_p05"]


RESPONSE = {
    "binomial": load("lasso_binomial")["synthA_response"],
    "gaussian": load("lasso_gaussian")["synthA_response"],
}
MEASURES = [("binomial", measure) for measure in ("deviance", "auc", "mse", "class")]
MEASURES += [("gaussian", measure) for measure in ("mse", "mae")]


@pytest.mark.parametrize(("family", "measure"), MEASURES)
def test_response(family, measure):
    table, values = synth(), RESPONSE[family]["values"]
    X = table[table.columns[10:]]
    sd = X.std(ddof=0).to_numpy()
    model = LassoResponse(family, measure=measure).fit(X, table["response"], folds=values["foldid"])
    np.testing.assert_allclose(model.path_.lambdas, values["lambda"], rtol=1e-8)
    np.testing.assert_allclose(model.path_.deviance_ratio, values["dev_ratio"], atol=1e-5)
    for at in values["coef_at_steps"]:
        gap = np.abs((model.path_.coef[:, at["step"] - 1] - wanted(at["coef"], X)) * sd)
        assert gap.max() < 1e-5
        assert model.path_.intercept[at["step"] - 1] == pytest.approx(at["coef"]["(Intercept)"], abs=2e-3)
    expected = values[f"cv_{measure}"]
    # The last steps interpolate near-saturated fold fits, where these meet the optimum's conditions to
    # 1e-7 of the penalty and glmnet does not.
    np.testing.assert_allclose(model.cv_["mean"][:80], expected["cvm"][:80], rtol=1e-4)
    np.testing.assert_allclose(model.cv_["mean"], expected["cvm"], rtol=2e-3)
    np.testing.assert_allclose(model.cv_["se"][:80], expected["cvsd"][:80], rtol=2e-3)
    np.testing.assert_allclose(
        [model.lambda_min_, model.lambda_1se_], [expected["lambda_min"], expected["lambda_1se"]], rtol=1e-8
    )
    assert np.abs((model.coef_ - wanted(expected["coef_min"], X)) * sd).max() < 1e-5


OTHER = load("other_keys")["lasso_response"]


@pytest.mark.parametrize("name", list(OTHER))
def test_response_on_other_data(name, agree, near):
    values, X = OTHER[name]["values"], np.array(OTHER[name]["input"]["x"], dtype=float)
    found = {}
    for key in [key for key in values if key.startswith("cv_")]:
        measure = key.removeprefix("cv_")
        model, sparse = (
            LassoResponse(values["family"], l1_ratio=values["alpha"], measure=measure, choice=choice).fit(
                X, OTHER[name]["input"]["y"], folds=values["foldid"]
            )
            for choice in ("min", "1se")
        )
        path = model.path_
        found |= {
            "lambda": path.lambdas,
            "df": (path.coef != 0).sum(axis=0),
            "dev_ratio": near(path.deviance_ratio, 1e-6, 1e-12),
        }
        found[key] = {
            "cvm": near(model.cv_["mean"], 2e-6),
            "cvsd": near(model.cv_["se"], 1e-5),
            "nzero": model.cv_["n_selected"],
            "lambda_min": model.lambda_min_,
            "lambda_1se": model.lambda_1se_,
            "coef_min": near([model.intercept_, *model.coef_], 1e-5, 1e-5),
            "coef_1se": near([sparse.intercept_, *sparse.coef_], 1e-5, 1e-5),
        }
    agree(found, values, left_out={"family", "alpha", "foldid"})
