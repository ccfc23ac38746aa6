"""Cuts, groups, cut-points, competing risks and nomograms."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from scipy import special

from imrad.evaluation import draw_splits
from imrad.exceptions import CohortError, FeasibilityError, FitError, TooFewEventsError
from imrad.survival.binary import BinaryFusion
from imrad.survival.binary_models import BinaryModel
from imrad.survival.competing_risks import cumulative_incidence
from imrad.survival.coxph import CoxPH
from imrad.survival.cutpoints import maximally_selected
from imrad.survival.design import BlockCoding
from imrad.survival.frozen_binary import FrozenBinary
from imrad.survival.groups import compare_groups, group_curves, learn_cut, numbers_at_risk, twin_groups
from imrad.survival.nomogram import binary_nomogram, nice_ticks, nomogram_of, survival_nomogram


@pytest.fixture(scope="module")
def cohort():
    rng = np.random.default_rng(7)
    n = 90
    x = rng.normal(size=n)
    time = rng.exponential(400 * np.exp(-0.8 * x)).round() + 1
    return time, rng.random(n) < 0.7, x


def test_a_cut_is_learnt_once():
    cut = learn_cut([1.0, 2, 3, 4, np.nan], "median")
    assert cut.edges == (2.5,)
    assert cut.apply([2.5, 2.6, np.nan]).tolist() == ["low", "high", None]
    assert learn_cut(np.arange(9.0), "tertiles").labels == ("low", "middle", "high")
    assert learn_cut([0.0, 10.0], [5.0]).how == "given"
    with pytest.raises(FeasibilityError, match="leaves the group 'high' empty"):
        learn_cut([0.0, 1, 1, 1])
    with pytest.raises(FeasibilityError):
        learn_cut([np.nan])
    with pytest.raises(ValueError, match="known are"):
        learn_cut([1.0, 2.0], "best")


def test_compare_groups(cohort):
    time, event, x = cohort
    group = learn_cut(x).apply(x)
    found = compare_groups(time, event, group, horizons=[365.0], at_risk_times=[0, 200], note="outer folds")
    assert found.summary["group"].tolist() == ["low", "high"]
    assert found.summary["n"].sum() == 90
    assert found.at_risk.loc[found.at_risk["time"] == 0, "n_risk"].sum() == 90
    assert found.test.p == pytest.approx(found.pairwise["p"].iloc[0])
    assert found.test.p < 0.05
    assert found.restricted_means["difference"].iloc[0] < 0
    assert (found.curves.groupby("group")["time"].min() == 0).all()
    assert found.note == "outer folds"
    missing = group.copy()
    missing[:5] = None
    assert compare_groups(time, event, missing).summary["n"].sum() == 85
    with pytest.raises(CohortError, match="no patient"):
        group_curves(time, event, np.full(90, None))
    with pytest.raises(CohortError, match="one per patient"):
        numbers_at_risk(time, event, ["a"], [0.0])


def test_twins_speak_of_the_same_patients(cohort):
    time, event, x = cohort
    measured = pd.DataFrame({"TMB": x, "MSI": np.zeros(90)})
    measured.loc[:9, "TMB"] = np.nan
    predicted = pd.DataFrame({"Rad-TMB": x + np.random.default_rng(1).normal(size=90), "Rad-MSI": x})
    table = twin_groups(time, event, measured, predicted)
    assert table.loc[table["target"] == "TMB", "n"].tolist() == [80, 80]
    assert table["source"].tolist() == ["measured", "Rad-", "measured", "Rad-"]
    assert "empty" in table.loc[2, "reason"]
    assert table.loc[0, "p"] < 0.05


def test_maximally_selected_on_noise_is_not_significant():
    rng = np.random.default_rng(0)
    p, naive = [], []
    for _ in range(60):
        found = maximally_selected(rng.exponential(10, 80), rng.random(80) < 0.7, rng.normal(size=80))
        p.append(found.p)
        naive.append(found.p_naive)
    assert np.mean(np.array(p) < 0.05) <= 0.12
    assert np.mean(np.array(naive) < 0.05) > 0.2


def test_maximally_selected_bad_input(cohort):
    time, event, x = cohort
    with pytest.raises(FeasibilityError, match="no events"):
        maximally_selected(time, np.zeros(90, bool), x)
    with pytest.raises(FeasibilityError, match="1 different values"):
        maximally_selected(time, event, np.ones(90))
    with pytest.raises(ValueError, match="share"):
        maximally_selected(time, event, x, min_share=0.6)
    assert maximally_selected(time, event, np.round(x > 0)).n_low == int((x <= 0).sum())


def test_incidence_is_not_one_minus_kaplan_meier():
    found = cumulative_incidence([1, 2, 3, 4], [1, 2, 1, 2])
    assert found.incidence[-1].tolist() == [0.5, 0.5]
    assert found.at([0.5])["incidence"].tolist() == [0.0, 0.0]
    with pytest.raises(TooFewEventsError):
        cumulative_incidence([1, 2], [0, 0])
    with pytest.raises(CohortError, match="whole numbers"):
        cumulative_incidence([1, 2], [0.5, 1])


def test_survival_nomogram_repeats_the_model(cohort):
    time, event, x = cohort
    matrix = np.column_stack([x, np.arange(90) % 2, np.arange(90) % 4])
    model = CoxPH().fit(matrix, (time, event))
    names = ["score", "sex=male", "stage"]
    found = survival_nomogram(
        names,
        model.coef_,
        matrix,
        event_times=model.event_times_,
        hazard=model.baseline_hazard_,
        offset=model.offset_,
        times={"1-year": 365.25, "2-year": 730.5},
    )
    expected = model.predict_survival(matrix, [365.25, 730.5])
    table = found.predict(matrix)
    np.testing.assert_allclose(table[["1-year", "2-year"]], expected, rtol=1e-10)
    axes = found.axes()
    assert axes["points"].max() == pytest.approx(100.0)
    assert axes.groupby("predictor")["points"].min().abs().max() < 1e-9
    assert axes.loc[axes["predictor"] == "stage", "value"].tolist() == [0, 1, 2, 3]
    totals = found.totals()
    assert (np.diff(totals["1-year"]) < 0).all()
    marks = found.outcome_axes()
    assert (marks["total_points"] <= totals["total_points"].max()).all()
    for row in marks.itertuples():
        score = found.linear_predictor_at_zero + row.total_points / found.points_per_unit
        assert np.exp(-found.outcomes[row.outcome] * np.exp(score)) == pytest.approx(row.probability, rel=1e-9)


def test_a_calculator_needs_only_plain_values(cohort):
    x = np.column_stack([cohort[2], np.arange(90) % 2])
    plain = json.loads(json.dumps(binary_nomogram(["a", "b"], [0.5, -2.0], x, intercept=0.3).to_plain()))
    values = {"a": 1.25, "b": 1.0}
    score = plain["intercept"] + sum(item["coef"] * values[item["name"]] for item in plain["predictors"])
    assert score == pytest.approx(0.3 + 0.625 - 2.0)
    points = sum(
        (values[item["name"]] - item["zero_at"]) * item["coef"] * plain["points_per_unit"]
        for item in plain["predictors"]
    )
    again = plain["linear_predictor_at_zero"] + points / plain["points_per_unit"]
    assert special.expit(again) == pytest.approx(special.expit(score), rel=1e-12)
    assert plain["formula"].startswith("LP = 0.3 + 0.5 * a - 2 * b")


def test_nomograms_of_fusions_repeat_their_models():
    rng = np.random.default_rng(3)
    n = 70
    patients = [f"P{k}" for k in range(n)]
    clinical = pd.DataFrame(
        {
            "age_years": rng.normal(60, 9, n),
            "stage": pd.Categorical(rng.choice(["II", "III", "IV"], n), ["II", "III", "IV"], ordered=True),
            "sex": rng.choice(["male", "female"], n),
        },
        index=patients,
    )
    y = pd.Series((rng.random(n) < 0.4).astype(float), index=patients)
    splits = draw_splits(patients, y, seed=0, n_outer=3, n_inner=3)
    result = BinaryFusion([BinaryModel("Clinical", ("Clinical",))], n_bootstrap=0).run(
        y, {"Clinical": clinical}, splits
    )
    plain = result.final["Clinical"]
    found = nomogram_of(plain, {"Clinical": clinical}, outcome="response")
    coded = BlockCoding.from_plain(plain["coding"]["Clinical"]).apply(clinical)
    kept = [plain["names"].index(name) for name in found.names]
    np.testing.assert_allclose(
        found.predict(coded[:, kept])["response"], FrozenBinary(plain).probability({"Clinical": clinical}), rtol=1e-10
    )
    stage = next(item for item in found.to_plain()["predictors"] if item["name"] == "stage")
    assert stage["labels"] == ["II", "III", "IV"]
    assert result.nomograms["Clinical"]["predictors"] == found.to_plain()["predictors"]
    times, events = rng.exponential(700, n), rng.random(n) < 0.8
    model = CoxPH().fit(coded, (times, events))
    survival = plain | {
        "coef": model.coef_,
        "offset": model.offset_,
        "event_times": model.event_times_,
        "baseline_hazard": model.baseline_hazard_,
    }
    found = nomogram_of(survival, {"Clinical": clinical}, times={"1-year survival": 365.25})
    expected = model.predict_survival(coded, [365.25])[:, 0]
    np.testing.assert_allclose(found.predict(coded)["1-year survival"], expected, rtol=1e-10)


def test_an_empty_model_has_no_nomogram():
    with pytest.raises(FitError, match="empty model"):
        binary_nomogram(["a"], [0.0], [[1.0], [2.0]], intercept=0.0)
    # A column without spread has no axis, but its part is kept.
    found = binary_nomogram(["a", "b"], [2.0, 1.0], [[3.0, 1.0], [3.0, 2.0]], intercept=0.0)
    assert found.names == ["b"]
    assert found.intercept == 6.0


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (31.2, 88.9), (-0.003, 0.004), (5.0, 5.0), (0, 1e6)])
def test_ticks_enclose(low, high):
    ticks = nice_ticks(low, high)
    assert ticks[0] <= low + 1e-9
    assert ticks[-1] >= high - 1e-9
    assert len(ticks) <= 12
