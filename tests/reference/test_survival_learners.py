"""Stepwise search, boosting, forest, principal components and mRMR against the R packages of the studies."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from imrad.phenotype.mrmr import greedy_ensemble
from imrad.survival.learners import CoxBoost, GradientBoostedCox, SurvivalForest, cox_scores
from imrad.survival.screening import SurvivalMRMR
from imrad.survival.stepwise import StepwiseAIC

DATA = Path(__file__).parent / "data" / "survival"


def load(method):
    return json.loads(gzip.decompress((DATA / f"{method}.json.gz").read_bytes()))


def cases(method):
    return pytest.mark.parametrize("name", list(load(method)))


def data(case):
    table = pd.read_csv(DATA / "synth_A.csv.gz") if case["input"] == "synth_A" else pd.DataFrame(case["input"])
    return table, (table["time"].to_numpy(float), (table["status"] == table["status"].max()).to_numpy())


@cases("stepaic_cox")
@pytest.mark.parametrize("direction", ["both", "backward", "forward"])
def test_stepwise(name, direction):
    case = load("stepaic_cox")[name]
    table, y = data(case)
    names = [item.strip() for item in case["values"]["full"].split("~")[1].split("+")]
    terms = None
    if name == "veteran":
        kinds = sorted(table["celltype"].unique())[1:]
        X = pd.DataFrame(
            {"trt": table["trt"]}
            | {f"celltype{kind}": table["celltype"] == kind for kind in kinds}
            | {item: table[item] for item in ("karno", "diagtime", "age", "prior")}
        ).astype(float)
        terms = {item: [j for j, column in enumerate(X.columns) if column.startswith(item)] for item in names}
    else:
        X = table[names]
        X = X if name == "lung" else ((X - X.mean()) / X.std()).round(6)
    expected = case["values"][direction]
    found = StepwiseAIC(direction=direction, terms=terms).fit(X, y)
    assert found.selected_terms_ == expected["selected"]
    assert list(found.steps_["step"]) == expected["path_step"]
    np.testing.assert_allclose(found.steps_["criterion"], expected["path_AIC"], atol=1e-6)
    assert found.aic_ == pytest.approx(expected["AIC"], abs=1e-6)
    np.testing.assert_allclose(found.model_.coef_, list(expected["coef"].values()), rtol=1e-6)
    assert found.model_.log_likelihood_ == pytest.approx(expected["logLik"], rel=1e-8)


@cases("coxboost")
def test_coxboost(name):
    case = load("coxboost")[name]
    table, y = data(case)
    values, features = case["values"], list(table.columns[10:])
    free = values["unpenalised"] or []
    X = table[["age", "sex", "ph.ecog", "ph.karno", "wt.loss"] if name == "lung" else features[: 100 if free else None]]
    X = pd.concat([table[free], X], axis=1)
    model = CoxBoost(n_steps=values["stepno"], penalty=values["penalty"], unpenalised=free, n_folds=None).fit(X, y)
    # The package multiplies penalised coefficients by the variance when it prints them.
    printed = np.array([1.0 if column in free else X[column].var() for column in X.columns])
    for at in values["coef_at_step"]:
        expected = [at["coef"].get(column, 0.0) for column in X.columns]
        np.testing.assert_allclose(model.path_[at["step"]] * printed, expected, atol=1e-6)
    np.testing.assert_allclose(model.predict(X), values["lp_final_newdata"], atol=1e-6)
    entered = np.flatnonzero(model.path_[-1])
    assert {X.columns[j]: int(np.argmax(model.path_[:, j] != 0)) for j in entered} == values["first_entry_step"]
    for measure in ("verweij", "naive"):
        if f"cv_{measure}" not in values:
            continue
        chosen = CoxBoost(n_steps=values["stepno"], penalty=values["penalty"], measure=measure)
        chosen.fit(X, y, folds=table["foldid"])
        np.testing.assert_allclose(chosen.cv_["mean"], values[f"cv_{measure}"]["mean_logplik"], rtol=1e-6)
        assert chosen.step_ == values[f"cv_{measure}"]["optimal_step"]
        if measure == "verweij" and values.get("coef_at_cv_step"):
            expected = [values["coef_at_cv_step"].get(column, 0.0) for column in X.columns]
            np.testing.assert_allclose(chosen.coef_ * printed, expected, atol=1e-6)


@cases("gbm_cox")
def test_gradient_boosting(name):
    case = load("gbm_cox")[name]
    table, y = data(case)
    values = case["values"]
    X = table[["age", "sex", "ph.ecog", "ph.karno", "wt.loss"] if name == "lung" else list(table.columns[10:70])]
    for column, n_trees in enumerate(values["pred_at_trees"]):
        model = GradientBoostedCox(
            n_trees=n_trees,
            depth=values["depth"],
            min_leaf=values["n_minobsinnode"],
            learning_rate=values["shrinkage"],
        ).fit(X, y)
        assert spearmanr(model.predict(X), np.array(values["pred"])[:, column])[0] > 0.98
        assert model.score(X, y) == pytest.approx(values["cindex"][column], abs=0.01)
    best = [X.columns[j] for j in np.argsort(-model.importance_)[:10]]
    assert len(set(best) & set(list(values["top_influence"])[:10])) >= min(7, X.shape[1])


@cases("rsf")
def test_random_survival_forest(name):
    case = load("rsf")[name]
    table, y = data(case)
    values = case["values"]
    if name == "veteran":
        X = table[["trt", "celltype", "karno", "diagtime", "age", "prior"]].copy()
        X["celltype"] = pd.factorize(X["celltype"], sort=True)[0] + 1
    else:
        X = table[list(table.columns[10:70])]
    model = SurvivalForest(
        n_trees=values["ntree"], min_leaf=values["nodesize"] // 3, max_features=values["mtry"], seed=1
    ).fit(X, y)
    assert model.oob_c_ == pytest.approx(values["rfsrc_oob_C"]["mean"], abs=0.03)
    assert spearmanr(model.oob_risk_, values["rfsrc_oob_mortality_mean"])[0] > 0.9
    importance = pd.DataFrame(case["importance"])
    column = next(item for item in importance.columns if "ranger" in item)
    best = set(importance.sort_values(column, ascending=False)["feature"].head(10 if len(importance) > 10 else 2))
    found = {X.columns[j] for j in np.argsort(model.minimal_depth_)[: len(best)]}
    assert len(best & found) >= len(best) // 2


def test_scores_of_supervised_principal_components():
    case = load("superpc")["synthA"]
    table, (time, event) = data(case)
    features = list(table.columns[10:])
    X = table[features].apply(lambda column: (column - column.mean()) / column.std()).to_numpy()
    train = np.array(case["values"]["train_rows_1based"]) - 1
    centred = X[train] - X[train].mean(axis=0)
    np.testing.assert_allclose(cox_scores(centred, time[train], event[train]), case["scores"]["score"], rtol=1e-6)


def test_mrmr_on_survival():
    case = load("mrmre")["synthA_surv"]
    table, y = data(case)
    X = table[case["mi_target"]["feature"]]
    found = SurvivalMRMR(k=case["values"]["k"]).fit(X, y)
    np.testing.assert_allclose(found.relevance_, case["mi_target"]["mi_signed_or_raw"], rtol=1e-8)
    assert [X.columns[j] for j in found.selected_] == case["values"]["selected"]
    np.testing.assert_allclose(found.scores_[1:], np.array(case["values"]["scores"][1:], float), rtol=1e-8)
    between = np.corrcoef(X.to_numpy().T)
    several = greedy_ensemble(found.relevance_, lambda j: -0.5 * np.log(np.maximum(1 - between[j] ** 2, 1e-300)), 10)
    # mRMRe prints the classic solution last.
    assert [[X.columns[j] for j in one] for one in several[::-1]] == case["values"]["ensemble3_first10"]
