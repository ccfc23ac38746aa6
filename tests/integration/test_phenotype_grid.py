"""The grid against plain loops, its tables, its noise, and its resume."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from imrad import content
from imrad.evaluation import check_ledger, draw_splits
from imrad.exceptions import ConfigError, DuplicateError, InputError, NoOverlapError
from imrad.execution import Store
from imrad.phenotype import PhenotypeGrid, PhenotypeModel, make_classifier, make_selector
from imrad.phenotype.classifiers import BASE_CLASSIFIERS
from imrad.seeds import child_seed

SELECTORS = ("information_gain", "gain_ratio", "gini_decrease", "fcbf")
QUICK = ("logistic_regression", "naive_bayes", "knn")


def cohort(n=80, p=60, seed=0, strength=1.5):
    rng = np.random.default_rng(seed)
    names = [f"P{number:03d}" for number in range(n)]
    hidden = rng.normal(size=(n, p // 5))
    values = np.repeat(hidden, 5, axis=1) * 0.7 + rng.normal(size=(n, p)) * 0.7
    X = pd.DataFrame(values, index=names, columns=[f"f{number:02d}" for number in range(p)])
    Y = pd.DataFrame(
        {"signal": strength * hidden[:, 0] + rng.normal(size=n) * 0.5, "noise": rng.normal(size=n)}, index=names
    )
    return X, Y, draw_splits(names, rng.integers(0, 2, n), seed=seed)


@pytest.fixture(scope="module")
def binary():
    """One grid with all learners on a target of two classes, whose cut no fold can change."""
    X, Y, splits = cohort(n=70, p=40, seed=1, strength=0.8)
    labels = (Y[["signal"]] > Y["signal"].median()).astype(float)
    grid = PhenotypeGrid(
        cut=0.5, k=8, permutations=0, controls=False, ablation=False, bundles=False, seed=4, engine="sklearn"
    )
    return X, labels, splits, grid, grid._plan(X, splits)


def fitted(X, y, rows, new, selector, classifier, seed):
    model = make_pipeline(
        StandardScaler(), make_selector(selector, 8), make_classifier(classifier, random_state=seed)
    ).fit(X[rows], y[rows])
    return model.predict_proba(X[new])[:, 1]


def test_every_cell_equals_a_plain_loop_and_the_stack_one_that_selects_again_in_every_inner_fold(binary):
    from imrad.phenotype.folds import Task, fit_fold
    from imrad.phenotype.targets import make_targets

    X, labels, splits, _, plan = binary
    fold = next(iter(splits.outer()))
    found = fit_fold(plan, Task(make_targets(labels, 0.5)[0], fold))
    values, y = X.to_numpy(), labels["signal"].to_numpy().astype(int)
    cells = {cell: number for number, cell in enumerate(plan.cells)}
    outer_seed = child_seed(4, "classifier", fold.name)
    for selector in ("information_gain", "fcbf"):
        bases = np.full((len(y), len(BASE_CLASSIFIERS)), np.nan)
        outer = []
        for number, classifier in enumerate(BASE_CLASSIFIERS):
            own = fitted(values, y, fold.train, fold.test, selector, classifier, outer_seed)
            np.testing.assert_allclose(found["test"][cells[selector, classifier]], own, rtol=0, atol=1e-9)
            outer.append(own)
            for number_, inner in enumerate(splits.inner(fold)):
                seed = child_seed(4, "classifier", inner.name)
                bases[inner.test, number] = fitted(values, y, inner.train, inner.test, selector, classifier, seed)
                auc = roc_auc_score(y[inner.test], bases[inner.test, number])
                assert found["inner_auc"][cells[selector, classifier], number_] == pytest.approx(auc, abs=1e-12)
        meta = LogisticRegression().fit(bases[fold.train], y[fold.train])
        slow = meta.predict_proba(np.column_stack(outer))[:, 1]
        np.testing.assert_allclose(found["test"][cells[selector, "stacking"]], slow, rtol=0, atol=1e-7)


def test_imrads_own_models_say_what_scikit_learns_say(binary):
    from imrad.phenotype.folds import Task, fit_fold
    from imrad.phenotype.targets import make_targets

    X, labels, splits, grid, plan = binary
    own_plan = replace(grid, engine="imrad")._plan(X, splits)
    task = Task(make_targets(labels, 0.5)[0], next(iter(splits.outer())))
    theirs, own = fit_fold(plan, task), fit_fold(own_plan, task)
    apart = np.abs(own["test"] - theirs["test"]).max(axis=1)
    most = {"random_forest": 1e-9, "naive_bayes": 1e-9, "knn": 1e-9, "svm": 1e-3, "logistic_regression": 1e-3}
    for cell, difference in zip(plan.cells, apart, strict=True):
        assert difference < most.get(cell[1], 0.1), cell
    assert np.nanmean(np.abs(own["inner_auc"] - theirs["inner_auc"])) < 0.01


def test_a_chosen_stacks_scores_of_training_rows_equal_stacks_fitted_anew_without_them(binary):
    from imrad.evaluation import Ledger
    from imrad.phenotype.parts import fit_part, predict_parts
    from imrad.phenotype.stacking import stack_training
    from imrad.phenotype.targets import make_targets

    X, labels, splits, grid, _ = binary
    names = ("logistic_regression", "naive_bayes", "knn")
    plan = replace(grid, classifiers=(*names, "stacking"))._plan(X, splits)
    fold, target, ledger = next(iter(splits.outer())), make_targets(labels, 0.5)[0], Ledger(splits.patients)
    inner = [fit_part(plan, target, part, ledger) for part in splits.inner(fold)]
    predict_parts(plan, inner, target, ledger)
    found = stack_training(plan, target, inner, fold, "gini_decrease", ledger)
    values, y = X.to_numpy(), labels["signal"].to_numpy().astype(int)
    parts = list(splits.inner(fold))
    for part in parts:
        bases = np.full((len(y), len(names)), np.nan)
        for other in parts:
            if other.name == part.name:
                continue
            rows = np.setdiff1d(part.train, other.test)
            for number, name in enumerate(names):
                bases[other.test, number] = fitted(values, y, rows, other.test, "gini_decrease", name, None)
        held = [fitted(values, y, part.train, part.test, "gini_decrease", name, None) for name in names]
        meta = LogisticRegression().fit(bases[part.train], y[part.train])
        slow = meta.predict_proba(np.column_stack(held))[:, 1]
        np.testing.assert_allclose(found[np.searchsorted(fold.train, part.test)], slow, rtol=0, atol=1e-7)
    check_ledger(ledger.frame(), ledger.sets(), splits)


@pytest.fixture(scope="module")
def planted():
    X, Y, splits = cohort(seed=2)
    Y["signal"] = Y["signal"].where(np.arange(len(Y)) != 7)
    Y["flat"] = 2.0
    grid = PhenotypeGrid(classifiers=(*QUICK, "stacking"), protocol="published", seed=2, k=10)
    clinical = pd.DataFrame({"age_years": np.linspace(40, 80, len(X)), "sex": ["m", "f"] * (len(X) // 2)}, X.index)
    clinical.iloc[3] = [np.nan, None]
    result = grid.run(X, Y, splits, volume="f03", clinical=clinical)
    return X, Y, splits, result


def test_status_says_which_side_of_the_noise_a_target_is_on(planted):
    *_, result = planted
    summary = result.summary.set_index("target")
    assert summary.loc["signal", "status"] == "claimed"
    assert summary.loc["signal", "auc"] > 0.8
    assert summary.loc["signal", "spearman"] > 0.5
    assert summary.loc["signal", "p_permutation"] == 1 / 41
    assert summary.loc["signal", "permutations"] == 40
    assert summary.loc["noise", "status"] == "not_claimed"
    assert summary.loc["noise", "permutations"] < 40
    assert summary.loc["flat", "status"] == "skipped"
    assert "constant: all 80 patients" in summary.loc["flat", "reason"]
    assert summary.loc["signal", "n"] == 79


def test_tables_have_the_columns_that_others_rely_on(planted):
    _X, _Y, _splits, result = planted
    grid = "target selector classifier n n_positive auc auc_low auc_high accuracy precision sensitivity specificity npv"
    assert list(result.grid.columns)[:13] == grid.split()
    assert len(result.grid) == 2 * 4 * 4
    summary = "target status reason n n_positive auc auc_low auc_high p_permutation q_fdr spearman"
    assert list(result.summary.columns)[:11] == summary.split()
    assert list(result.predictions.columns)[:6] == ["patient", "target", "repeat", "fold", "probability", "observed"]
    assert list(result.summary["target"]) == ["signal", "noise", "flat"]
    assert set(result.controls["control"]) == {"volume", "clinical", "shuffled_features"}
    assert result.study_table.set_index("target").loc["signal", "best_auc"] > 0.8
    assert set(result.ablation["part"]) == {"selector", "classifier", "no_selector"}
    same = result.agreement.set_index(["selector_a", "selector_b"])
    assert same.loc[("information_gain", "gain_ratio"), "shared"] == 10
    assert (result.published["optimism"] == result.published["auc"] - result.published["auc_honest"]).all()
    frequency = result.stability.query("target == 'signal'").groupby("feature")["frequency"].mean()
    assert set(frequency.nlargest(5).index) == {"f00", "f01", "f02", "f03", "f04"}


def test_every_patient_is_predicted_once_a_repeat_the_unmeasured_too(planted):
    X, _Y, _splits, result = planted
    for name in ("signal", "noise"):
        part = result.predictions[result.predictions["target"] == name]
        assert sorted(part["patient"]) == sorted(X.index)
        assert part["probability"].between(0, 1).all()
    missing = result.predictions.query("target == 'signal' and patient == 'P007'").iloc[0]
    assert np.isnan(missing["observed"])


def test_classes_are_cut_at_the_training_folds_median(planted):
    X, Y, splits, result = planted
    part = result.predictions.query("target == 'noise'").set_index("patient")
    for number, fold in enumerate(splits.outer()):
        training = Y["noise"].to_numpy()[fold.train]
        for row in fold.test:
            name = X.index[row]
            assert part.loc[name, "fold"] == number
            assert part.loc[name, "cut"] == np.median(training)
            assert part.loc[name, "observed"] == float(Y["noise"].iloc[row] > np.median(training))


def test_scores_for_a_second_model_are_out_of_fold_and_proven(planted):
    _X, _Y, splits, result = planted
    frame, sets = result.ledger.frame(), result.ledger.sets()
    check_ledger(frame, sets, splits)
    seen = {}
    for row in frame[frame["kind"] == "fit"].itertuples():
        seen.setdefault(row.fit, set()).update(sets[row.digest])
    for row in result.crossfit.table.itertuples():
        assert row.patient not in seen[row.fit]
    for fold in splits.outer():
        train, test = result.crossfit.block(fold, splits.patients)
        assert train.shape == (len(fold.train), 2)
        assert np.isfinite(train).all()
        assert np.isfinite(test).all()


def test_published_order_flatters_noise(planted):
    *_, result = planted
    noise = result.published[result.published["target"] == "noise"]
    assert noise["auc"].mean() > 0.62
    assert noise["auc_honest"].mean() < 0.58


def test_what_each_choice_was_made_on_is_told(planted):
    *_, result = planted
    assert result.inner.groupby(["target", "repeat", "fold"])["chosen"].sum().eq(1).all()
    chosen = result.inner[result.inner["chosen"]]
    best = result.inner.groupby(["target", "fold"])["auc_inner"].max()
    np.testing.assert_allclose(
        chosen.set_index(["target", "fold"])["auc_inner"], best[chosen.set_index(["target", "fold"]).index]
    )
    nested = chosen.groupby("target")["auc_outer"].mean()
    summary = result.summary.set_index("target")["auc"]
    np.testing.assert_allclose(nested[["signal", "noise"]], summary[["signal", "noise"]].astype(float))
    last = result.optimism.iloc[-1]
    assert (last["selector"], last["n_targets"]) == ("best", 2)
    assert last["auc_honest"] == pytest.approx(nested.mean())


def test_bundles_predict_without_patients(planted, tmp_path):
    X, Y, _splits, result = planted
    content.save(tmp_path / "bundle.zip", result.bundles["signal"])
    model = PhenotypeModel(content.load(tmp_path / "bundle.zip"))
    apparent = model.predict(X)
    high = (Y["signal"] > Y["signal"].median())[Y["signal"].notna()]
    assert apparent[high.index][high].mean() > apparent[high.index][~high].mean() + 0.3
    assert model.percentile(apparent).between(0, 1).all()
    assert result.bundles["signal"]["cut"] == Y["signal"].median()
    text = (tmp_path / "bundle.zip").read_bytes() + repr(result.bundles["signal"]).encode()
    assert b"P00" not in text
    arrays = [item for item in result.bundles["signal"].values() if isinstance(item, np.ndarray)]
    assert all(len(array) != len(X) for array in arrays)


def test_workers_and_resume_change_no_byte(tmp_path, monkeypatch):
    X, Y, _ = cohort(n=60, p=30, seed=3)
    splits = draw_splits(X.index, np.arange(60) % 2, seed=3, n_outer=3, n_inner=3)
    settings = {"classifiers": ("naive_bayes", "knn", "stacking"), "permutations": 10, "k": 5, "seed": 9}

    def run(**more):
        return PhenotypeGrid(**settings, **more).run(X, Y, splits)

    def digest(result):
        tables = [result.grid, result.summary, result.predictions, result.null, result.controls, result.ablation]
        return content.digest([*tables, result.crossfit.table, result.ledger.frame(), result.bundles])

    alone = digest(run())
    assert digest(run(workers=2)) == alone

    class Killed(RuntimeError):
        pass

    count = {"puts": 0}
    honest = Store.put

    def dying(self, key, value):
        honest(self, key, value)
        count["puts"] += 1
        if count["puts"] == 4:
            raise Killed

    store = Store(tmp_path)
    monkeypatch.setattr(Store, "put", dying)
    with pytest.raises(Killed):
        run(store=store)
    count["puts"] = 10
    assert digest(run(store=store)) == alone
    done = count["puts"]
    assert digest(run(store=store)) == alone
    assert count["puts"] == done


def test_a_cap_too_low_for_the_question_leaves_it_unresolved():
    X, Y, splits = cohort(seed=5)
    plain = {"classifiers": QUICK, "controls": False, "ablation": False, "bundles": False}
    result = PhenotypeGrid(permutations=5, **plain).run(X, Y, splits)
    assert set(result.summary["status"]) == {"unresolved"}
    assert result.summary["reason"].str.contains("at least 40 are needed").all()
    none = PhenotypeGrid(permutations=0, **plain).run(X, Y, splits)
    assert list(none.summary["reason"]) == ["no permutations were run"] * 2


def test_continuous_targets_are_judged_by_the_measured_quantity():
    X, Y, splits = cohort(seed=6)
    grid = PhenotypeGrid(
        cut={"signal": "continuous"}, classifiers=QUICK, permutations=20, controls=False, ablation=False, bundles=False
    )
    result = grid.run(X, Y[["signal"]], splits)
    row = result.summary.iloc[0]
    assert row["cut_rule"] == "continuous"
    assert row["status"] == "claimed"
    assert 0.6 < row["auc"] < 0.95


def test_missing_features_and_repeats_are_carried():
    rng = np.random.default_rng(8)
    X, Y, _ = cohort(n=60, p=30, seed=7)
    X = X.mask(rng.random(X.shape) < 0.05)
    X["empty"] = np.nan
    X["same"] = 1.0
    splits = draw_splits(X.index, rng.integers(0, 2, 60), seed=1, n_outer=3, n_inner=3, n_repeats=2)
    result = PhenotypeGrid(
        classifiers=("naive_bayes", "svm", "logistic_regression", "stacking"), permutations=20, k=5
    ).run(X, Y, splits)
    assert result.predictions.groupby(["target", "repeat"]).size().eq(60).all()
    assert result.grid["auc"].notna().all()
    check_ledger(result.ledger.frame(), result.ledger.sets(), splits)


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"selectors": ("entropy",)}, ConfigError, "unknown selector 'entropy'"),
        ({"classifiers": ("xgboost",)}, ConfigError, "unknown classifier 'xgboost'"),
        ({"classifiers": ("naive_bayes", "stacking")}, ConfigError, "stacking needs two classifiers"),
        ({"protocol": "leaky"}, ConfigError, "unknown protocol 'leaky'"),
        ({"cut": "mode"}, ConfigError, "unknown cut 'mode'"),
        ({"cut": {"TBM": "zero"}}, ConfigError, "cut rules name unknown targets: TBM"),
        ({"permutations": -1}, ConfigError, "whole number or 'auto'"),
        ({"null_classifiers": ("svm",), "classifiers": QUICK}, ConfigError, "must name base classifiers"),
        ({"engine": "cuda"}, ConfigError, "unknown engine 'cuda'"),
        ({"engine": {"knnn": "sklearn"}}, ConfigError, "engine names the classifier 'knnn'"),
        ({"defaults": "mine"}, ConfigError, "unknown set of classifier defaults 'mine'"),
        ({"k": 0}, ConfigError, "keep k >= 1"),
    ],
)
def test_settings_that_cannot_work_are_refused_before_fitting(settings, error, words):
    X, Y, splits = cohort(n=40, p=10)
    with pytest.raises(error, match=words):
        PhenotypeGrid(**settings).run(X, Y, splits)


def test_tables_that_cannot_meet_are_refused_before_fitting():
    X, Y, splits = cohort(n=40, p=10)
    grid = PhenotypeGrid(classifiers=QUICK)
    with pytest.raises(NoOverlapError, match="targets share no patient"):
        grid.run(X, Y.set_axis([f"Q{name}" for name in Y.index]), splits)
    with pytest.raises(InputError, match="features: 1 patients of the splits have no row, among them P000"):
        grid.run(X.iloc[1:], Y, splits)
    with pytest.raises(DuplicateError, match="patient P000 has several rows"):
        grid.run(X, pd.concat([Y, Y.iloc[:1]]), splits)
    with pytest.raises(InputError, match="feature f01 holds infinite values"):
        grid.run(X.assign(f01=np.inf), Y, splits)
    with pytest.raises(InputError, match="features must be numeric columns; f02 is not"):
        grid.run(X.assign(f02="large"), Y, splits)
    with pytest.raises(InputError, match="there are none"):
        grid.run(X[[]], Y, splits)
    with pytest.raises(ConfigError, match="volume feature 'size'"):
        grid.run(X, Y, splits, volume="size")
