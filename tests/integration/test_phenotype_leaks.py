"""Planted leaks: each is caught, with the name of the step."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator
from sklearn.feature_selection import SelectKBest, SelectorMixin
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from imrad.evaluation import check_ledger, draw_splits
from imrad.exceptions import LeakError
from imrad.phenotype import FixedFeatures, PhenotypeGrid, folds, parts, prepared, stacking
from imrad.phenotype.stacking import BasePredictions

N, P = 60, 30
RNG = np.random.default_rng(5)
NAMES = [f"P{number:03d}" for number in range(N)]
X = pd.DataFrame(RNG.normal(size=(N, P)), index=NAMES, columns=[f"f{number}" for number in range(P)])
Y = pd.DataFrame({"TMB": RNG.normal(size=N)}, index=NAMES)
LABELS = (Y["TMB"] > Y["TMB"].median()).to_numpy().astype(int)
SPLITS = draw_splits(NAMES, RNG.integers(0, 2, N), seed=3)


def run(**settings):
    plain = {
        "selectors": ["information_gain"],
        "classifiers": ["naive_bayes", "logistic_regression"],
        "permutations": 0,
        "controls": False,
        "ablation": False,
        "bundles": False,
        "k": 5,
    }
    return PhenotypeGrid(**{**plain, **settings}).run(X, Y, SPLITS)


class Remembered(SelectorMixin, BaseEstimator):
    """Fitted on everyone before the split; its fit in the fold does nothing."""

    def __init__(self, columns=None):
        self.columns = columns

    def fit(self, X, y):
        self.mask_ = np.isin(np.arange(X.shape[1]), self.columns)
        return self

    def _get_support_mask(self):
        return self.mask_


def test_a_selector_fitted_before_the_split_is_caught():
    chosen = np.flatnonzero(SelectKBest(k=5).fit(X, LABELS).get_support())
    with pytest.raises(LeakError, match="TMB/selector:mine is the same when its training rows are replaced"):
        run(selectors={"mine": Remembered(chosen)})


def test_a_frozen_selector_is_caught():
    frozen = FrozenEstimator(SelectKBest(k=5).fit(X.to_numpy(), LABELS))
    with pytest.raises(LeakError, match="selector:mine holds a SelectKBest that was fitted before the split"):
        run(selectors={"mine": frozen})


def test_a_list_declared_beforehand_is_allowed():
    result = run(selectors={"list": FixedFeatures([1, 2, 3])})
    assert set(result.stability["feature"]) == {"f1", "f2", "f3"}


def test_a_scaler_on_all_rows_is_caught():
    class Everyone(StandardScaler):
        def fit(self, X_, y=None):
            return super().fit(X.to_numpy())

    with pytest.raises(LeakError, match="scaler holds the cohort's rows itself"):
        run(scaler=Everyone())
    means, scales = X.mean().to_numpy(), X.std(ddof=0).to_numpy()

    class Known(StandardScaler):
        def fit(self, X_, y=None):
            super().fit(X_)
            self.mean_, self.scale_ = means, scales
            return self

    with pytest.raises(LeakError, match="TMB/scaler is the same when its training rows are replaced"):
        run(scaler=Known())
    assert len(run(scaler=StandardScaler()).grid)


def test_a_median_of_all_patients_is_caught():
    everyone = Y["TMB"]
    with pytest.raises(LeakError, match="cut holds the cohort's rows itself"):
        run(cut=lambda training: float(np.median(everyone)))
    middle = float(np.median(everyone))
    with pytest.raises(LeakError, match="TMB/cut is the same for other training values"):
        run(cut=lambda training: middle)
    with pytest.raises(LeakError, match="TMB/cut is the median of all patients"):
        run(cut={"TMB": middle})
    assert run(cut=lambda training: float(np.quantile(training, 0.6))).summary["status"].iloc[0] == "unresolved"


def test_a_selector_that_closes_over_the_full_matrix_is_caught():
    whole = X

    class Closing(SelectKBest):
        def fit(self, X_, y_):
            return super().fit(whole.to_numpy(), LABELS)

    with pytest.raises(LeakError, match=r"selector:mine holds the cohort's rows itself .*closes over whole"):
        run(selectors={"mine": Closing(k=5)})


def test_a_classifier_that_was_trained_elsewhere_is_caught():
    class Elsewhere(LogisticRegression):
        def fit(self, X_, y_):
            super().fit(X_, y_)
            self.coef_ = np.ones_like(self.coef_)
            self.intercept_ = np.zeros(1)
            return self

    with pytest.raises(LeakError, match="TMB/classifier:mine is the same when its training rows are replaced"):
        run(classifiers={"mine": Elsewhere()})


def test_stacking_on_in_sample_predictions_is_caught_by_the_ledger(monkeypatch):
    honest = stacking.base_predictions

    def in_sample(plan, target, part, selector, ledger):
        found = honest(plan, target, part, selector, ledger)
        if part.fold.name.count("/") == 1:
            return found
        rows = np.concatenate([part.fold.train, part.fold.test])
        step = f"{target.name}/bases:{selector}:all"
        producer = ledger.record(stage="phenotype", step=step, fold=part.fold.name.rsplit("/", 1)[0], rows=rows)
        return BasePredictions(found.rows, found.values, producer)

    monkeypatch.setattr(stacking, "base_predictions", in_sample)
    result = run(classifiers=["naive_bayes", "logistic_regression", "stacking"])
    with pytest.raises(LeakError, match=r"TMB/classifier:information_gain:stacking.* trains on in-sample predictions"):
        check_ledger(result.ledger.frame(), result.ledger.sets(), SPLITS)


def test_a_step_of_our_own_that_reads_held_out_rows_is_caught_by_the_canary(monkeypatch):
    honest = prepared.prepare

    def leaky(plan, rows, ledger, **names):
        made = honest(plan, rows, ledger, **names)
        made.Z = (plan.X - plan.X.mean(axis=0)) / plan.X.std(axis=0)
        return made

    prepared._KEPT.clear()
    monkeypatch.setattr(parts, "prepare", leaky)
    monkeypatch.setattr(folds, "prepare", leaky)
    with pytest.raises(LeakError, match="TMB/scaler changes when its held-out patients are replaced by noise"):
        run()
    prepared._KEPT.clear()


def test_a_fit_on_rows_that_were_held_out_is_caught_by_the_ledger(monkeypatch):
    honest = folds.fit_part

    def leaky(plan, target, fold, ledger, **more):
        everyone = folds.Fold(fold.name, np.arange(N), fold.test)
        return honest(plan, target, everyone if fold.name.count("/") == 1 else fold, ledger, **more)

    monkeypatch.setattr(folds, "fit_part", leaky)
    monkeypatch.setattr("imrad.phenotype.grid.check_canary", lambda *args, **names: None)
    result = run()
    with pytest.raises(LeakError, match=r"the fit of TMB/.* saw 12 held-out patients"):
        check_ledger(result.ledger.frame(), result.ledger.sets(), SPLITS)


def test_an_honest_run_passes_the_checker():
    result = run(classifiers=["naive_bayes", "logistic_regression", "stacking"], controls=True, ablation=True)
    check_ledger(result.ledger.frame(), result.ledger.sets(), SPLITS)
    frame = result.ledger.frame()
    inputs = frame[frame["kind"] == "input"]
    assert len(inputs) >= 5 * 5
    assert set(inputs["step"]) == {"TMB/classifier:information_gain:stacking"}
