"""Models of a binary outcome: selection, scores, forests, cut-points, and the same values after travelling."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier

from imrad import content
from imrad.evaluation import draw_splits
from imrad.evaluation.operating import operating_point, wilson
from imrad.evaluation.roc import auc
from imrad.evaluation.two_group import screen
from imrad.exceptions import BundleError, ConfigError, LeakError
from imrad.survival import BinaryFusion, BinaryModel, binary_models, binary_tasks
from imrad.survival.binary_models import fit_binary_model
from imrad.survival.frozen_binary import FrozenBinary
from imrad.survival.rank_kernel import order_codes, rank_sum_p

MODELS = (
    BinaryModel("plain", ("Clinical",), screening={"Clinical": 0.9}, cuts=("age_years",)),
    BinaryModel("lasso", ("Rad",)),
    BinaryModel("refitted", ("Rad",), select=True),
    BinaryModel("machine", ("Rad",), select=True, estimator="svm"),
    BinaryModel("score", ("Clinical", "Rad"), combine=True, cuts=("age_years",)),
    BinaryModel("machine score", ("Clinical", "Rad"), select=True, estimator="svm", combine=True),
    BinaryModel("forest", ("Clinical", "Rad"), estimator="forest", components=4),
)


@pytest.fixture(autouse=True)
def _few_trees(monkeypatch):
    monkeypatch.setattr("imrad.survival.binary_forest.TREES", 20)


def make(n=80, seed=0, effect=2.0):
    rng = np.random.default_rng(seed)
    rad = pd.DataFrame(rng.normal(size=(n, 50)), columns=[f"f{k}" for k in range(50)])
    rad.iloc[:, :10] += rng.normal(size=(n, 1)) * 2
    signal = rad.iloc[:, :10].mean(axis=1).to_numpy() * effect
    rad.iloc[3, 4] = np.nan
    y = rng.random(n) < 1 / (1 + np.exp(-signal))
    clinical = pd.DataFrame({"age_years": rng.normal(60, 9, n) + 4 * y, "sex": rng.choice(["male", "female"], n)})
    return y, {"Clinical": clinical, "Rad": rad}


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_a_model_read_back_predicts_the_same(model, tmp_path):
    y, tables = make()
    fitted = fit_binary_model(model, tables, y, np.arange(len(y)) % 4)
    content.save(tmp_path / "model.zip", fitted.to_plain())
    frozen = FrozenBinary(content.load(tmp_path / "model.zip"))
    np.testing.assert_allclose(frozen.probability(tables), fitted.probability(tables), rtol=0, atol=1e-12)
    block, needed = next((block, names) for block, names in frozen.needed.items() if names)
    with pytest.raises(BundleError, match=f"needs columns that are missing: {needed[0]}"):
        frozen.probability({**tables, block: tables[block].drop(columns=needed[0])})


def test_a_score_of_the_training_patients_is_out_of_fold():
    y, tables = make(effect=0.0)
    model = BinaryModel("forest", ("Rad",), estimator="forest", components=4)
    fitted = fit_binary_model(model, tables, y, np.arange(len(y)) % 4)
    # A forest knows its own patients by heart; what the model was fitted to, and its threshold rests on, must not.
    assert auc(y, fitted.score.value(tables)) > 0.9
    assert auc(y, fitted.training) < 0.75


def test_the_kept_forest_votes_as_scikit_learns():
    y, tables = make()
    fitted = fit_binary_model(MODELS[-1], tables, y, np.arange(len(y)) % 4)
    forest = fitted.score
    x = forest.matrix(tables)
    assert x.shape == (80, 4)
    seed = int(binary_models.fit_forest.__globals__["generator"](0, "binary/forest", "forest").integers(2**31 - 1))
    grown = RandomForestClassifier(20, min_samples_leaf=3, random_state=seed).fit(x, y)
    np.testing.assert_allclose(forest.votes(x), grown.predict_proba(x)[:, 1], atol=1e-12)
    # Shapley values of one patient add up to its votes less the mean.
    rest = forest.votes(x) - forest.shapley(x).sum(axis=1)
    assert np.ptp(rest) < 1e-9


def test_rank_sums_of_subsets_are_the_screens():
    rng = np.random.default_rng(1)
    x = np.round(rng.normal(size=(40, 30)), 1)
    x[rng.random(x.shape) < 0.1] = np.nan
    x[:, 5], x[:, 6] = 1.0, np.nan
    y = rng.random(40) < 0.4
    codes = order_codes(x)
    for rows in (np.arange(40), rng.integers(0, 40, 40), np.arange(0, 40, 2)):
        found = rank_sum_p(codes[:, rows], y[rows])
        np.testing.assert_allclose(found, screen(y[rows], x[rows])["p"].to_numpy(), rtol=1e-10)


def test_a_cut_point_is_youdens_whichever_side():
    y = np.array([0, 0, 0, 1, 1, 1, 1, 0], dtype=bool)
    age = np.array([70.0, 71, 72, 40, 41, 42, 43, 73])
    model = BinaryModel("cut", ("Clinical",), cuts=("age_years",))
    fitted = fit_binary_model(model, {"Clinical": pd.DataFrame({"age_years": age})}, y, np.arange(8) % 2)
    assert fitted.design.cuts[0] == pytest.approx(56.5)
    assert fitted.coef[0] < 0


def test_no_column_passes():
    y, tables = make()
    model = BinaryModel("none", ("Clinical",), screening={"Clinical": 1e-12})
    fitted = fit_binary_model(model, tables, y, np.arange(len(y)) % 4)
    np.testing.assert_allclose(fitted.probability(tables), y.mean())
    assert "no column passed" in fitted.notes[0]


def test_a_leak_is_caught_by_name(monkeypatch):
    y, tables = make()
    patients = [f"P{number:02d}" for number in range(len(y))]
    splits = draw_splits(patients, y, seed=0, n_outer=4, n_inner=4)
    tables = {name: table.set_axis(patients) for name, table in tables.items()}
    original = binary_tasks.BinaryData.blocks

    def leaking(data, model, rows):
        found = original(data, model, rows)
        # Centred on all patients, held-out ones among them.
        return {name: table - data.tables[name].mean() if name == "Rad" else table for name, table in found.items()}

    monkeypatch.setattr(binary_tasks.BinaryData, "blocks", leaking)
    with pytest.raises(LeakError, match="response/lasso changes when its held-out patients"):
        BinaryFusion([MODELS[1]], n_bootstrap=0).run(pd.Series(y.astype(float), index=patients), tables, splits)


def test_a_question_needs_its_models():
    y, tables = make()
    patients = [f"P{number:02d}" for number in range(len(y))]
    splits = draw_splits(patients, y, seed=0, n_outer=4, n_inner=4)
    tables = {name: table.set_axis(patients) for name, table in tables.items()}
    with pytest.raises(ConfigError, match="the verdict names the model other"):
        BinaryFusion(MODELS[:2], n_bootstrap=0).run(
            pd.Series(y.astype(float), index=patients), tables, splits, question=("other", "plain")
        )


def test_a_prepared_block_travels_and_its_leak_is_caught(tmp_path):
    y, tables = make()
    patients = [f"P{number:02d}" for number in range(len(y))]
    splits = draw_splits(patients, y, seed=0, n_outer=4, n_inner=4)
    tables = {name: table.set_axis(patients) for name, table in tables.items()}
    outcome = pd.Series(y.astype(float), index=patients)
    fusion = BinaryFusion([MODELS[3], MODELS[-1]], n_bootstrap=2, prepare=[("pca", PCA(5, svd_solver="full"))])
    result = fusion.run(outcome, tables, splits)
    steps = result.funnel.query("model == 'machine' and fold == 'all'")
    assert list(steps["step"]) == ["extracted", "pca", "rank sum", "lasso"]
    assert steps["n_out"].iloc[1] == 5
    assert result.models.set_index("model").loc["machine", "n_resamples"] == 2
    assert (result.ledger.frame()["step"] == "response/machine/prepare:pca").any()
    for name, plain in result.final.items():
        content.save(tmp_path / "model.zip", plain)
        found = FrozenBinary(content.load(tmp_path / "model.zip"))
        assert len(found.needed["Rad"]) == 50
        assert found.probability(tables).std() > 0, name

    class Knowing(PCA):
        def fit(self, X, y=None):
            return super().fit(tables["Rad"].fillna(0).to_numpy())

    with pytest.raises(LeakError, match="prepare:knowing"):
        BinaryFusion([MODELS[1]], n_bootstrap=0, prepare=[("knowing", Knowing(5))]).run(outcome, tables, splits)


def test_refused_settings():
    with pytest.raises(ConfigError, match="are unpenalised; add a block such as Rad"):
        BinaryModel("x", ("Clinical",), combine=True)
    with pytest.raises(ConfigError, match="components are for the estimator forest"):
        BinaryModel("x", ("Rad",), components=3)


def test_operating_point():
    found = operating_point([1, 1, 0, 0, 0], [True, False, True, False, False])
    assert (found["tp"], found["fn"], found["fp"], found["tn"]) == (1, 1, 1, 2)
    assert found["accuracy"] == pytest.approx(0.6)
    # statsmodels 0.14.4: proportion_confint(3, 5, method="wilson").
    assert wilson(3, 5) == pytest.approx((0.2307242813, 0.8823792258), abs=1e-9)
    assert wilson(5, 5)[1] == 1.0
    assert np.isnan(wilson(0, 0)).all()


def test_resamples_may_share_a_penalty():
    y, tables = make()
    label = np.arange(len(y)) % 4
    for model in (MODELS[3], MODELS[4], MODELS[5]):
        strict = fit_binary_model(model, tables, y, label)
        quick = fit_binary_model(model, tables, y, label, share_penalty=True)
        # What is scored is the same; only the scale that out-of-fold values give may differ.
        assert quick.names == strict.names
        assert np.corrcoef(quick.linear_predictor(tables), strict.linear_predictor(tables))[0, 1] > 0.97


def test_scores_of_noise_stay_noise():
    models = [
        BinaryModel("score", ("Clinical", "Rad"), combine=True),
        BinaryModel("machine", ("Rad",), select=True, estimator="svm"),
    ]
    outer = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        patients = [f"P{number:02d}" for number in range(60)]
        y = pd.Series(np.arange(60) % 2 * 1.0, index=patients)
        tables = {
            "Clinical": pd.DataFrame({"age_years": rng.normal(60, 9, 60)}, index=patients),
            "Rad": pd.DataFrame(rng.normal(size=(60, 80)), index=patients, columns=[f"f{k}" for k in range(80)]),
        }
        splits = draw_splits(patients, y, seed=seed, n_outer=4, n_inner=4)
        outer.append(BinaryFusion(models, n_bootstrap=0).run(y, tables, splits).models["auc_outer"])
    # One AUC of 60 patients has a standard deviation of 0.075; the mean of ten lies within three errors of 0.5.
    assert np.mean(outer, axis=0) == pytest.approx([0.5, 0.5], abs=3 * 0.075 / np.sqrt(10))
