"""Binary endpoints: the fusion's tables, its honesty on noise, its refusals, its ledger."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from imrad.evaluation import CrossFitted, Ledger, check_ledger, draw_splits
from imrad.evaluation.logistic import fit_logistic
from imrad.evaluation.roc import auc
from imrad.evaluation.two_group import rank_sum
from imrad.exceptions import CohortError, ConfigError, FeasibilityError, InSampleError
from imrad.survival import BinaryFusion, BinaryModel
from imrad.survival.univariable import univariable_table


def make(n=80, signal=1.5, seed=0, n_features=12):
    rng = np.random.default_rng(seed)
    patients = [f"P{number:03d}" for number in range(n)]
    clinical = pd.DataFrame(
        {
            "age_years": rng.normal(60, 8, n),
            "sex": rng.choice(["male", "female"], n),
            "stage": pd.Categorical(rng.choice(["II", "III", "IV"], n), ["II", "III", "IV"], ordered=True),
        },
        index=patients,
    )
    clinical.iloc[2, 0] = np.nan
    rad = pd.DataFrame(rng.normal(size=(n, n_features)), index=patients, columns=[f"f{k}" for k in range(n_features)])
    p = 1 / (1 + np.exp(-signal * rad["f0"]))
    y = pd.Series((rng.random(n) < p).astype(float), index=patients)
    y.iloc[1] = np.nan
    return y, {"Clinical": clinical, "Rad": rad}, draw_splits(patients, y.fillna(0), seed=seed, n_outer=4, n_inner=4)


def scores(splits, seed=0):
    """Scores that are honestly cross-fitted: every row names a fit that had not seen the patient."""
    rng = np.random.default_rng(seed)
    patients, rows = splits.patients, []
    for fold in splits.outer(0):
        outer = int(fold.name.split("o")[1])
        for inner in splits.inner(fold):
            rows += [
                (patients[k], "TMB", 0, outer, "train", rng.normal(), f"phenotype:{inner.name}:TMB") for k in inner.test
            ]
        rows += [(patients[k], "TMB", 0, outer, "test", rng.normal(), f"phenotype:{fold.name}:TMB") for k in fold.test]
    return CrossFitted(pd.DataFrame(rows, columns=["patient", "target", "repeat", "outer", "role", "score", "fit"]))


MODELS = [
    BinaryModel("Clinical", ("Clinical",)),
    BinaryModel("Rad", ("Rad",), screening={"Rad": 6}),
    BinaryModel("Clinical+ImRad", ("Clinical", "ImRad")),
    BinaryModel("Machine", ("Rad",), screening={}, estimator="svm"),
    BinaryModel("Volume", ("Volume",)),
]


@pytest.fixture(scope="module")
def found():
    y, blocks, splits = make()
    result = BinaryFusion(MODELS, seed=1, n_bootstrap=12).run(y, blocks, splits, scores(splits))
    return y, blocks, splits, result


def test_tables(found):
    result = found[-1]
    models = result.models.set_index("model")
    assert models.loc["Volume", "status"] == "skipped"
    assert "no columns in the block Volume" in models.loc["Volume", "reason"]
    fitted = models[models["status"] == "fitted"]
    assert (fitted["n"] == 79).all()
    assert fitted.loc["Rad", "auc_outer"] > 0.6
    assert np.isnan(fitted.loc["Clinical+ImRad", "auc_bootstrap"])
    assert fitted.loc["Machine", "auc_bootstrap"] < fitted.loc["Machine", "auc_apparent"]
    part = result.probability[result.probability["model"] == "Rad"]
    assert len(part) == 79
    assert "P001" not in set(part["patient"])
    assert float(auc(part["observed"], part["probability"])) == pytest.approx(fitted.loc["Rad", "auc_pooled"])
    assert set(result.calibration["kind"]) == {"ideal", "apparent", "bias-corrected", "outer"}
    assert result.net_benefit.groupby("model").size().eq(99).all()
    corrected = result.indices.set_index(["model", "index"])["corrected"]
    assert corrected["Clinical", "slope"] < 1
    assert set(result.pairs["method"]) == {"outer folds", "bootstrap, refitted"}
    assert set(result.operating["kind"]) == {"apparent", "outer"}
    assert result.univariable.set_index("feature").loc["f0", "p"] < 0.05
    assert result.univariable.set_index("feature").loc["stage", "test"] in ("Fisher", "chi-square")
    assert result.verdict["status"] in ("adds", "worse", "not_shown")
    assert "NRI" not in result.verdict["sentence"]
    assert set(result.coefficients["kind"]) >= {"unpenalised", "penalised"}
    assert set(result.tables()) >= {"models", "coefficients", "probability", "folds", "pairs"}


def test_fits_never_saw_their_test_patients(found):
    _, _, splits, result = found
    ledger = Ledger(splits.patients)
    ledger.merge(result.ledger)
    for fold in splits.outer(0):
        ledger.record(stage="phenotype", step="TMB", fold=fold.name, rows=fold.train)
        for inner in splits.inner(fold):
            ledger.record(stage="phenotype", step="TMB", fold=inner.name, rows=inner.train)
    check_ledger(ledger.frame(), ledger.sets(), splits)
    assert (ledger.frame()["kind"] == "input").any()


def test_held_out_outcomes_do_not_reach_a_fold(found):
    y, blocks, splits, result = found
    fold = next(iter(splits.outer(0)))
    changed = y.copy()
    held = [splits.patients[row] for row in fold.test]
    changed.loc[held] = 1 - changed.loc[held]
    again = BinaryFusion(MODELS[1:2], seed=1, n_bootstrap=0).run(changed, {"Rad": blocks["Rad"]}, splits)
    before = result.probability.query("model == 'Rad' and fold == @fold.name").set_index("patient")["probability"]
    after = again.probability.query("fold == @fold.name").set_index("patient")["probability"]
    pd.testing.assert_series_equal(before, after)


def test_same_seed_same_tables(found):
    y, blocks, splits, result = found
    again = BinaryFusion(MODELS, seed=1, n_bootstrap=12, workers=1).run(y, blocks, splits, scores(splits))
    for name, table in result.tables().items():
        pd.testing.assert_frame_equal(table, again.tables()[name])


def test_external_patients_are_compared_by_delong(found):
    y, blocks, _, result = found
    with pytest.raises(CohortError, match="leave them out"):
        result.external(y.dropna(), blocks)
    new_y, new_blocks, _ = make(seed=9)
    names = [f"N{number}" for number in range(len(new_y))]
    new_blocks = {name: table.set_axis(names) for name, table in new_blocks.items()}
    external = result.external(new_y.fillna(0).set_axis(names), new_blocks)
    assert set(external.models["model"]) == {"Clinical", "Rad", "Machine"}
    row = external.models.set_index("model").loc["Rad"]
    assert row["auc_low"] < row["auc"] < row["auc_high"]
    assert row["auc"] > 0.65
    assert len(external.pairs) == 3


def test_noise_stays_noise():
    outer = []
    for seed in range(12):
        y, blocks, splits = make(n=60, signal=0.0, seed=seed, n_features=30)
        result = BinaryFusion([BinaryModel("Rad", ("Rad",), screening={"Rad": 5}, unpenalised=("Rad",))], n_bootstrap=0)
        outer.append(result.run(y, blocks, splits).models["auc_outer"].iloc[0])
    assert np.mean(outer) == pytest.approx(0.5, abs=0.07)


def test_refusals():
    y, blocks, splits = make()
    fusion = BinaryFusion(MODELS[:1], n_bootstrap=0)
    with pytest.raises(InSampleError, match="ImRad"):
        fusion.run(y, blocks | {"ImRad": blocks["Rad"]}, splits)
    with pytest.raises(InSampleError, match="CrossFitted"):
        fusion.run(y, blocks, splits, phenotype=blocks["Rad"])
    with pytest.raises(FeasibilityError, match="at least 2 of each class"):
        fusion.run(y * 0, blocks, splits)
    with pytest.raises(CohortError, match="Series"):
        fusion.run(y.to_numpy(), blocks, splits)
    with pytest.raises(CohortError, match="neither 0 nor 1"):
        fusion.run(y + 1, blocks, splits)
    with pytest.raises(ConfigError, match="no model can be fitted"):
        fusion.run(y, {"Rad": blocks["Rad"]}, splits)
    with pytest.raises(ConfigError, match="same name"):
        BinaryFusion([MODELS[0], MODELS[0]])
    with pytest.raises(ConfigError, match="l1_ratio"):
        BinaryModel("x", ("Rad",), l1_ratio=0.0)


def test_separation_and_constant_columns():
    y, blocks, splits = make()
    blocks["Clinical"]["leak"] = y.fillna(0)
    blocks["Clinical"]["same"] = 1.0
    result = BinaryFusion(MODELS[:1], n_bootstrap=3).run(y, blocks, splits)
    row = result.models.iloc[0]
    assert row["status"] == "fitted"
    assert row["auc_outer"] == pytest.approx(1.0, abs=0.05)
    assert "separate" in row["notes"]
    assert np.isfinite(result.coefficients["coef"]).all()


def test_univariable_table_is_the_single_tests():
    rng = np.random.default_rng(5)
    n = 60
    y = rng.random(n) < 0.45
    table = pd.DataFrame(
        {
            "x": rng.normal(2, 3, n) + y,
            "sex": rng.choice(["f", "m"], n),
            "grade": pd.Categorical(rng.choice(["1", "2", "3"], n), ["1", "2", "3"], ordered=True),
            "flag": (rng.random(n) < 0.1).astype(float),
            "same": 1.0,
            "leak": y * 5.0 + rng.random(n),
            "gone": np.nan,
        }
    )
    table.loc[:4, "x"] = np.nan
    found = univariable_table(y, {"Clinical": table}).set_index("feature")
    known = table["x"].notna().to_numpy()
    x = table["x"][known].to_numpy()
    alone = fit_logistic(y[known], (x - x.mean()) / x.std()).table().iloc[1]
    np.testing.assert_allclose(
        found.loc["x", ["or", "or_low", "or_high"]].to_numpy(dtype=float),
        alone[["odds_ratio", "low", "high"]].to_numpy(dtype=float),
        rtol=1e-7,
    )
    assert found.loc["x", "p"] == pytest.approx(rank_sum(x[y[known]], x[~y[known]], exact=False).p)
    male = (table["sex"] == "m").to_numpy(dtype=float)
    assert found.loc["sex", "or"] == pytest.approx(np.exp(fit_logistic(y, male).coef[1]), rel=1e-7)
    assert found.loc["flag", "test"] == "Fisher"
    assert np.isnan(found.loc["grade", "or"])
    assert found.loc["same", "test"] == "none"
    assert np.isnan(found.loc["leak", "or"])
    assert found.loc["leak", "p"] < 1e-8
    assert found.loc["gone", "n"] == 0
    assert found["q"].dropna().ge(found["p"].dropna()).all()


def test_each_site_is_left_out_once(found):
    y, blocks, splits, _ = found
    sites = pd.Series(np.where(np.arange(len(y)) % 3 == 0, "A", "B"), index=y.index).mask(np.arange(len(y)) == 5)
    result = BinaryFusion([MODELS[0], MODELS[1]], seed=1, n_bootstrap=0).run(y, blocks, splits, sites=sites)
    rows = result.robustness.query("kind == 'site left out'").set_index(["model", "level"])
    assert set(rows.index) == {(name, site) for name in ("Clinical", "Rad") for site in "AB"}
    test, train = (sites == "A") & y.notna(), (sites != "A") & y.notna()
    table = blocks["Clinical"].assign(male=lambda x: x["sex"] == "male", rank=lambda x: x["stage"].cat.codes)
    x = table[["age_years", "male", "rank"]].astype(float).fillna(table.loc[train, "age_years"].median())
    model = fit_logistic(y[train], x[train].to_numpy())
    score = np.asarray(x[test].to_numpy() @ model.coef[1:])
    assert rows.loc[("Clinical", "A"), "c"] == pytest.approx(float(auc(y[test], score)))
    assert rows.loc[("Clinical", "A"), "n"] == test.sum()
    few = pd.Series("A", index=y.index).mask(np.arange(len(y)) < 4, "C")
    assert not (
        BinaryFusion([MODELS[0]], n_bootstrap=0).run(y, blocks, splits, sites=few).robustness["c"].notna()
    ).any()
