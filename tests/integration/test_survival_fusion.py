"""The fusion on synthetic cohorts with known truth: its tables, its ledger, its verdict and its refusals."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from imrad import content
from imrad.evaluation import CrossFitted, Ledger, check_ledger, draw_splits
from imrad.evaluation.discrimination import harrell_c
from imrad.exceptions import CohortError, ConfigError, InSampleError, LeakError, TooFewEventsError
from imrad.execution import Store
from imrad.survival.frozen import FrozenModel
from imrad.survival.fusion import SurvivalFusion
from imrad.survival.learners import CoxBoost, GradientBoostedCox, SuperPC
from imrad.survival.models import COMPARISON_MODELS, DEFAULT_MODELS, BlockModel

MODELS = ["Clinical", "Volume", "Rad", "ImRad", "Clinical+Immune", "Clinical+ImRad"]


def make(n=90, n_rad=40, n_targets=5, strength=0.0, seed=0, n_repeats=1):
    """A cohort whose immune state may drive survival, its blocks, splits, cross-fitted scores and their ledger."""
    rng = np.random.default_rng(seed)
    names = [f"P{i:03d}" for i in range(n)]
    immune = rng.standard_normal((n, n_targets))
    stage = rng.choice(["I", "II", "III"], n)
    clinical = pd.DataFrame(
        {
            "age_years": rng.normal(60, 10, n),
            "sex": rng.choice(["male", "female"], n),
            "stage": pd.Categorical(stage, categories=["I", "II", "III"], ordered=True),
        },
        index=names,
    )
    score = 0.04 * (clinical["age_years"] - 60) + strength * immune[:, 0]
    clinical.loc[names[3], "age_years"] = np.nan
    clinical.loc[names[5], "sex"] = None
    died = -np.log(rng.uniform(size=n)) / np.exp(score.to_numpy()) * 900
    left = rng.uniform(200, 3000, n)
    y = pd.DataFrame({"os_days": np.round(np.minimum(died, left)), "os_event": died <= left}, index=names)
    blocks = {
        "Clinical": clinical,
        "Volume": pd.DataFrame({"volume_ml": np.exp(rng.standard_normal(n))}, index=names),
        "Rad": pd.DataFrame(rng.standard_normal((n, n_rad)), index=names).add_prefix("f"),
        "Immune": pd.DataFrame(immune + 0.3 * rng.standard_normal(immune.shape), index=names).add_prefix("cell:"),
    }
    splits = draw_splits(names, y["os_event"], seed=1, n_outer=4, n_inner=4, n_repeats=n_repeats)
    ledger, rows = Ledger(names), []
    for repeat in splits.repeats:
        for fold in splits.outer(repeat):
            outer = int(fold.name.split("/o")[1])
            for role, folds in (("test", [fold]), ("train", list(splits.inner(fold)))):
                for one in folds:
                    fit = ledger.record(stage="phenotype", step="score", fold=one.name, rows=one.train)
                    for row in one.test:
                        for j in range(n_targets):
                            value = immune[row, j] + 0.5 * rng.standard_normal()
                            rows.append((names[row], f"T{j}", repeat, outer, role, value, fit))
    columns = ["patient", "target", "repeat", "outer", "role", "score", "fit"]
    return y, blocks, splits, CrossFitted(pd.DataFrame(rows, columns=columns)), ledger


@pytest.fixture(scope="module")
def cohort():
    return make(strength=1.5)


@pytest.fixture(scope="module")
def result(cohort):
    y, blocks, splits, phenotype, _ = cohort
    sites = pd.Series(np.where(np.arange(len(y)) % 2, "A", "B"), index=y.index)
    groups = blocks["Clinical"][["sex"]]
    return SurvivalFusion(seed=1, n_bootstrap=6).run(y, blocks, splits, phenotype, sites=sites, subgroups=groups)


def test_models_table(result, cohort):
    table = result.models.set_index("model")
    assert list(table.index) == MODELS
    assert (table["status"] == "fitted").all()
    assert (table["n"] == len(cohort[0])).all()
    assert (table["n_events"] == cohort[0]["os_event"].sum()).all()
    imaging = ["ImRad", "Clinical+ImRad"]
    assert table.loc[imaging, "c_bootstrap"].isna().all()
    assert table.drop(index=imaging)["c_bootstrap"].notna().all()
    assert ((table["c_outer_low"] <= table["c_outer"]) & (table["c_outer"] <= table["c_outer_high"])).all()
    assert table["notes"]["Rad"].startswith(f"{table['n_events']['Rad'] / 40:.1f} events per candidate")


def test_planted_signal_is_found(result):
    table = result.models.set_index("model")["c_outer"]
    assert table["Clinical+ImRad"] > table["Clinical"] + 0.1
    assert result.verdict["status"] == "adds"
    assert result.verdict["c_low"] > 0
    assert result.verdict["ibs_difference"] < 0
    assert "Imaging adds to the clinical variables for os" in result.verdict["sentence"]
    assert {result.verdict["n"], result.verdict["n_folds"]} == {90, 4}
    pair = result.pairs.query("model == 'Clinical+ImRad' and reference == 'Clinical' and measure == 'c'").iloc[0]
    assert pair["difference"] == pytest.approx(result.verdict["c_difference"])


def test_noise_is_not_claimed():
    y, blocks, splits, phenotype, _ = make(strength=0.0, seed=5)
    chosen = [model for model in DEFAULT_MODELS if model.name in ("Clinical", "Clinical+ImRad")]
    found = SurvivalFusion(chosen, n_bootstrap=0).run(y, blocks, splits, phenotype)
    assert found.verdict["status"] == "not_shown"
    assert "not shown" in found.verdict["sentence"]


def test_ledger_proves_the_folds(result, cohort):
    _, _, splits, _, ledger = cohort
    merged = Ledger(splits.patients)
    merged.merge(ledger)
    merged.merge(result.ledger)
    frame = merged.frame()
    check_ledger(frame, merged.sets(), splits)
    survival = frame[frame["stage"] == "survival"]
    for step in ("coding", "screening", "penalty", "cox", "bootstrap"):
        assert survival["step"].str.endswith("/" + step).any(), step
    inputs = survival[survival["kind"] == "input"]
    assert set(inputs["step"]) == {"os/ImRad/cox", "os/Clinical+ImRad/cox"}
    # A leak in the scores' own fits is caught through the fusion's inputs.
    leaky = merged.frame()
    seen = merged.sets()
    key = leaky.loc[(leaky["stage"] == "phenotype") & (leaky["fold"] == "r0/o0/i0"), "digest"].iloc[0]
    row = leaky.index[(leaky["stage"] == "phenotype") & (leaky["fold"] == "r0/o0/i0")]
    everyone = "e" * 16
    leaky.loc[row, "digest"] = everyone
    leaky.loc[row, "fold"] = "all"
    with pytest.raises(LeakError, match="in-sample"):
        check_ledger(leaky, seen | {everyone: splits.patients, key: seen[key]}, splits)


def test_risks_are_those_of_the_outer_folds(result, cohort):
    y, _, splits, _, _ = cohort
    for fold in splits.outer(0):
        part = result.risk[(result.risk["model"] == "Clinical") & (result.risk["fold"] == fold.name)]
        assert list(part["patient"]) == [splits.patients[row] for row in fold.test]
        own = y.loc[part["patient"]]
        c = harrell_c(own["os_days"], own["os_event"], part["risk"])
        row = result.folds[(result.folds["model"] == "Clinical") & (result.folds["fold"] == fold.name)]
        assert row["c"].iloc[0] == pytest.approx(c)


def test_coefficients(result):
    table = result.coefficients
    clinical = table[table["model"] == "Clinical"]
    assert list(clinical["feature"]) == [
        "age_years",
        "sex=female" if "sex=female" in set(table["feature"]) else "sex=male",
        "stage",
    ]
    assert clinical[["hr_low", "hr_high", "p"]].notna().all(axis=None)
    penalised = table[table["kind"] == "penalised"]
    assert penalised[["hr_low", "hr_high", "p"]].isna().all(axis=None)
    refit = table[table["kind"] == "refit, naive after selection"]
    assert set(refit["model"]) <= {"Rad", "ImRad", "Clinical+Immune", "Clinical+ImRad"}
    assert refit["p"].notna().all()
    assert table["inclusion"].between(0, 1).all()
    best = penalised[penalised["model"] == "ImRad"].set_index("feature")
    assert best["inclusion"]["Rad-T0"] == 1.0


def test_views(result, cohort):
    y = cohort[0]
    assert set(result.horizons["status"]) == {"feasible", "refused"}
    refused = result.horizons[result.horizons["status"] == "refused"]
    assert refused["auc"].isna().all()
    assert refused["reason"].str.contains("at risk in the smallest training fold").all()
    feasible = result.horizons[result.horizons["status"] == "feasible"]
    assert feasible[["auc", "brier"]].notna().all(axis=None)
    groups = result.calibration[
        (result.calibration["model"] == "Clinical") & (result.calibration["source"] == "outer folds")
    ]
    assert groups.groupby("horizon_days")["n"].sum().eq(len(y)).all()
    assert result.calibration.query("source == 'apparent' and model == 'Clinical'")["corrected"].notna().any()
    assert set(result.net_benefit["model"]) == set(MODELS)
    assert set(result.curves["group"]) == {"low", "high"}
    assert result.groups.groupby("model")["n"].sum().eq(len(y)).all()
    assert set(result.robustness["kind"]) == {"site left out", "perturbed features", "cut"}
    assert set(result.robustness.query("kind == 'site left out'")["level"]) == {"A", "B"}
    assert set(result.subgroups["level"]) == {"male", "female"}
    assert result.ph.groupby("model")["term"].last().eq("GLOBAL").all()
    assert result.path.groupby("model")["chosen"].sum().eq(1).all()
    total = result.explanations.query("model == 'ImRad'").groupby("patient")["contribution"].sum()
    assert total.mean() == pytest.approx(0, abs=1e-9)
    assert content.digest(result.final)


def test_resuming_and_workers_change_nothing(cohort, tmp_path):
    y, blocks, splits, phenotype, _ = cohort
    chosen = [model for model in DEFAULT_MODELS if model.name in ("Clinical", "Clinical+ImRad")]
    calls = []
    store = Store(tmp_path / "store")
    first = SurvivalFusion(chosen, n_bootstrap=4, store=store).run(y, blocks, splits, phenotype)
    again = SurvivalFusion(
        chosen, n_bootstrap=4, store=store, progress=lambda label, done, total: calls.append((done, total))
    ).run(y, blocks, splits, phenotype)
    assert calls == [(calls[0][1], calls[0][1])]
    for name, table in first.tables().items():
        assert content.digest(table) == content.digest(again.tables()[name]), name
    assert content.digest(first.verdict) == content.digest(again.verdict)
    assert content.digest(first.ledger.frame()) == content.digest(again.ledger.frame())
    few = [DEFAULT_MODELS[0]]
    one, two = (SurvivalFusion(few, n_bootstrap=0, workers=number).run(y, blocks, splits) for number in (1, 2))
    for name, table in one.tables().items():
        assert content.digest(table) == content.digest(two.tables()[name]), name


def test_comparison_models(cohort):
    y, blocks, splits, phenotype, _ = cohort
    found = SurvivalFusion(COMPARISON_MODELS, n_bootstrap=0).run(y, blocks, splits, phenotype)
    table = found.models.set_index("model")
    assert table["c_outer"]["Clinical+ImRad (forest)"] > 0.6
    assert found.verdict["status"] == "not_answered"
    assert found.risk["survival_365d"].between(0, 1).all()
    trees = found.coefficients
    assert set(trees["kind"]) == {"trees"}
    assert trees["coef"].isna().all()
    assert trees["inclusion"].between(0, 1).all()


def test_every_kind_of_model_is_explained_and_travels(cohort, tmp_path):
    y, blocks, splits, phenotype, _ = cohort
    models = [
        *COMPARISON_MODELS,
        BlockModel("boosted", ("Rad",), screening={}, learner=CoxBoost(n_steps=10, n_folds=None)),
        BlockModel("components", ("Clinical", "Rad"), screening={}, learner=SuperPC(k=5)),
        BlockModel("Clinical", ("Clinical",)),
    ]
    found = SurvivalFusion(models, n_bootstrap=0).run(y, blocks, splits, phenotype)
    content.save(tmp_path / "models.zip", found.final)
    stored = content.load(tmp_path / "models.zip")
    scores = pd.concat(
        [
            part.pivot(index="patient", columns="target", values="score").add_prefix("Rad-")
            for _, part in phenotype.table.query("role == 'test'").groupby("outer")
        ]
    ).loc[splits.patients]
    tables = {name: table.reindex(splits.patients) for name, table in blocks.items()} | {"ImRad": scores}
    for model in models:
        frozen = FrozenModel(stored[model.name])
        risk = frozen.risk(tables)
        part = found.explanations.query("model == @model.name")
        assert set(part["method"]) == {"trees, Shapley" if model in COMPARISON_MODELS else "linear, exact"}
        total = part.groupby("patient")["contribution"].sum().loc[splits.patients].to_numpy()
        gap = risk - total
        # What the columns add, and one constant, is the risk.
        np.testing.assert_allclose(gap, gap.mean(), atol=1e-5 * max(1.0, np.abs(total).max()))
        assert np.std(total) > 0.01
        used = {column for names in frozen.needed.values() for column in names}
        assert {name.split("=")[0] for name in part["feature"]} == used
        assert ((survival := frozen.survival(risk, [365.0])) >= 0).all()
        assert (survival <= 1).all()
    # The risk agrees with a model that was never stored.
    own = GradientBoostedCox()
    columns = FrozenModel(stored["Rad (GBM-Cox)"])
    matrix = blocks["Rad"].iloc[:, columns._kept["Rad"]].to_numpy()
    grown = own.fit(matrix, (y["os_days"], y["os_event"])).predict(matrix)
    np.testing.assert_allclose(columns.risk(tables), grown - grown.mean(), atol=1e-12)


def test_columns_can_be_cut_at_the_training_median(cohort):
    y, blocks, splits, phenotype, _ = cohort
    model = BlockModel("ImRad", ("ImRad",), cut=("ImRad",))
    found = SurvivalFusion([model], n_bootstrap=0).run(y, blocks, splits, phenotype)
    assert found.coefficients["feature"].str.endswith(" high").all()
    assert set(found.explanations["value"].unique()) == {0.0, 1.0}


def test_patients_without_the_outcome_are_left_out(cohort):
    y, blocks, splits, _, _ = cohort
    partial = y.astype({"os_event": object}).copy()
    partial.iloc[:7] = np.nan
    found = SurvivalFusion([DEFAULT_MODELS[0]], n_bootstrap=0).run(partial.iloc[:-3], blocks, splits)
    assert found.models["n"].iloc[0] == len(y) - 10
    assert set(found.risk["patient"]) == set(y.index[7:-3])


def test_held_out_rows_do_not_reach_a_fit(cohort):
    """The canary: noise in a fold's held-out rows leaves that fold's fits as they were."""
    y, blocks, splits, _, _ = cohort
    chosen = [model for model in DEFAULT_MODELS if model.name in ("Clinical", "Rad")]
    fold = next(iter(splits.outer(0)))
    altered = {name: table.copy() for name, table in blocks.items()}
    held = [splits.patients[row] for row in fold.test]
    altered["Rad"].loc[held] = np.random.default_rng(9).standard_normal((len(held), 40)) * 50
    before = SurvivalFusion(chosen, n_bootstrap=0).run(y, blocks, splits)
    after = SurvivalFusion(chosen, n_bootstrap=0).run(y, altered, splits)
    tables = [found.folds[found.folds["model"] == "Rad"].set_index("fold")["penalty"] for found in (before, after)]
    assert tables[0][fold.name] == tables[1][fold.name]
    assert (tables[0].drop(fold.name) != tables[1].drop(fold.name)).all()


def test_refusals(cohort):
    y, blocks, splits, _, _ = cohort
    fusion = SurvivalFusion([DEFAULT_MODELS[0]], n_bootstrap=0)
    with pytest.raises(InSampleError, match="CrossFitted"):
        fusion.run(y, blocks | {"ImRad": blocks["Immune"]}, splits)
    with pytest.raises(InSampleError, match="in-sample"):
        fusion.run(y, blocks, splits, blocks["Immune"])
    with pytest.raises(TooFewEventsError, match="0 events in 90 patients"):
        fusion.run(y.assign(os_event=False), blocks, splits)
    none_in_fold = y.copy()
    fold = next(iter(splits.outer(0)))
    none_in_fold.iloc[fold.test, 1] = False
    with pytest.raises(TooFewEventsError, match="test part of fold r0/o0"):
        fusion.run(none_in_fold, blocks, splits)
    with pytest.raises(CohortError, match="negative"):
        fusion.run(y.assign(os_days=-1.0), blocks, splits)
    with pytest.raises(CohortError, match="several rows"):
        fusion.run(y, blocks | {"Clinical": pd.concat([blocks["Clinical"]] * 2)}, splits)
    with pytest.raises(CohortError, match="no patient of the splits"):
        fusion.run(y, blocks | {"Clinical": blocks["Clinical"].add_prefix("x", axis=0)}, splits)
    with pytest.raises(ConfigError, match="no model can be fitted"):
        fusion.run(y, {"Volume": blocks["Volume"]}, splits)
    with pytest.raises(ConfigError, match="same name"):
        SurvivalFusion([DEFAULT_MODELS[0]] * 2)
    skipped = SurvivalFusion(n_bootstrap=0).run(y, {"Clinical": blocks["Clinical"]}, splits).models
    assert list(skipped["status"]) == ["fitted"] + ["skipped"] * 5
    assert skipped["reason"].iloc[3] == "no columns in the block ImRad"


def test_separating_clinical_column_is_held_and_said(cohort):
    y, blocks, splits, _, _ = cohort
    clinical = blocks["Clinical"].assign(late=(~y["os_event"]).astype(float) * 5)
    found = SurvivalFusion([DEFAULT_MODELS[0]], n_bootstrap=0).run(y, {"Clinical": clinical}, splits)
    assert "ridge" in found.models["notes"].iloc[0]
    assert np.isfinite(found.coefficients["coef"]).all()


def test_pure_noise_is_half_in_the_outer_folds_and_high_in_the_apparent():
    model = BlockModel("noise", ("Noise",), unpenalised=("Noise",))
    apparent, outer = [], []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        names = [f"P{i:03d}" for i in range(113)]
        died, left = rng.exponential(size=113), rng.exponential(1 / 3, size=113)
        y = pd.DataFrame({"days": np.minimum(died, left) * 1000, "event": died <= left}, index=names)
        block = pd.DataFrame(rng.standard_normal((113, 30)), index=names).add_prefix("noise")
        splits = draw_splits(names, y["event"], seed=seed)
        found = SurvivalFusion([model], n_bootstrap=0, horizons_days=()).run(y, {"Noise": block}, splits).models.iloc[0]
        apparent.append(found["c_apparent"])
        outer.append(found["c_outer"])
        assert "events per candidate predictor" in found["notes"]
    assert 0.74 < np.mean(apparent) < 0.86
    assert abs(np.mean(outer) - 0.5) < 3 * np.std(outer, ddof=1) / np.sqrt(len(outer))
