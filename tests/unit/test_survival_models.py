"""Survival estimators: scikit-learn's checks, bad input, and what holds without a reference program."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.utils import check_array
from sklearn.utils.estimator_checks import parametrize_with_checks
from sksurv.linear_model import CoxnetSurvivalAnalysis, CoxPHSurvivalAnalysis
from sksurv.util import Surv

from imrad.evaluation.kaplan_meier import log_rank
from imrad.exceptions import CohortError, ConfigError, FitError, TooFewEventsError
from imrad.survival.coxph import CoxPH
from imrad.survival.lasso_cox import LassoCox, breslow_deviance
from imrad.survival.lasso_response import LassoResponse
from imrad.survival.learners import CoxBoost, GradientBoostedCox, SuperPC, SurvivalForest, shared_features
from imrad.survival.outcome import as_outcome
from imrad.survival.penalised import Problem, fit_path
from imrad.survival.risk_sets import BreslowSums
from imrad.survival.screening import SurvivalMRMR, UnivariateCox
from imrad.survival.stepwise import StepwiseAIC
from imrad.survival.trees import TreeSum


class PlainTimes:
    """Takes scikit-learn's plain y as event times, since its checks know no censoring."""

    def fit(self, X, y=None):
        if y is None:
            message = "requires y to be passed, but the target y is None"
            raise ValueError(message)
        return super().fit(X, self._outcome(y))

    def _outcome(self, y):
        time = check_array(y, ensure_2d=False, dtype=None).astype(float).ravel()
        return time - time.min() + 1, np.ones(len(time))


class PlainModel(PlainTimes):
    def score(self, X, y):
        return super().score(X, self._outcome(y))


class PlainLassoCox(PlainModel, LassoCox):
    pass


class PlainCoxPH(PlainModel, CoxPH):
    pass


class PlainUnivariateCox(PlainTimes, UnivariateCox):
    pass


class PlainSurvivalMRMR(PlainTimes, SurvivalMRMR):
    pass


class PlainGradientBoostedCox(PlainModel, GradientBoostedCox):
    pass


class PlainCoxBoost(PlainModel, CoxBoost):
    pass


class PlainSuperPC(PlainModel, SuperPC):
    pass


@parametrize_with_checks(
    [
        PlainLassoCox(n_lambdas=8),
        PlainLassoCox(penalty=0.1),
        PlainCoxPH(ridge=0.1),
        PlainUnivariateCox(alpha=None, k=2),
        PlainSurvivalMRMR(k=2),
        PlainGradientBoostedCox(n_trees=3),
        PlainCoxBoost(n_steps=3, n_folds=None),
        PlainSuperPC(k=2),
    ]
)
def test_estimator_checks(estimator, check):
    check(estimator)


def sample(n=120, p=8, seed=0, censored=0.4):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, p))
    time = np.round(rng.exponential(np.exp(-X[:, 0])) * 500 + 1)
    return X, time, rng.random(n) > censored


def test_as_outcome_takes_the_usual_forms():
    time, event = np.array([3.0, 1.0]), np.array([True, False])
    forms = [
        Surv.from_arrays(event, time),
        pd.DataFrame({"os_days": time, "os_event": event}),
        pd.DataFrame({"os_event": event.astype(int), "os_days": time}),
        (time, event),
        [list(time), [1, 0]],
        np.column_stack([time, event]),
        pd.DataFrame({"days": time, "status": pd.array([1, 0], dtype="Int64")}),
    ]
    for form in forms:
        found = as_outcome(form)
        np.testing.assert_array_equal(found[0], time)
        np.testing.assert_array_equal(found[1], event)
        assert found[1].dtype == bool


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (([1.0, -2.0], [1, 0]), "negative"),
        (([1.0, np.nan], [1, 0]), "missing"),
        (([1.0, 2.0], [1, 2]), "neither 0 nor 1"),
        ((["a", "b"], [1, 0]), "must be numbers"),
        (np.ones(3), "two columns"),
        (pd.DataFrame({"a": [1.0], "b": [2.0]}), "two columns time and event"),
    ],
)
def test_bad_outcomes_get_one_sentence(y, message):
    with pytest.raises(CohortError, match=message):
        as_outcome(y)


@pytest.mark.parametrize("model", [LassoCox(), LassoCox(penalty=0.1), CoxPH(), UnivariateCox(), GradientBoostedCox()])
def test_all_censored(model):
    X, time, _ = sample()
    with pytest.raises(TooFewEventsError, match="0 events in 120 patients"):
        model.fit(X, (time, np.zeros(120)))


def test_one_event():
    X, time, _ = sample()
    event = np.zeros(120, dtype=bool)
    event[np.argmin(time)] = True
    with pytest.raises(TooFewEventsError, match="1 events in 120 patients, at least 2"):
        LassoCox().fit(X, (time, event))
    model = LassoCox(penalty=0.5).fit(X, (time, event))
    assert np.isfinite(model.coef_).all()
    last = np.zeros(120, dtype=bool)
    last[np.argmax(time)] = True
    assert not LassoCox(penalty=0.1).fit(X, (np.arange(120) if last is None else time, last)).coef_.any()


def test_lasso_equals_scikit_survival_at_convergence():
    X, time, event = sample(p=20)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    ours = LassoCox(lambda_min_ratio=0.05).fit(X, (time, event))
    theirs = CoxnetSurvivalAnalysis(l1_ratio=1.0, alphas=ours.path_.lambdas, tol=1e-14, max_iter=1_000_000)
    theirs.fit(X, Surv.from_arrays(event, time))
    np.testing.assert_allclose(ours.path_.coef, theirs.coef_, atol=2e-6)


@pytest.mark.parametrize("ties", ["efron", "breslow"])
def test_cox_equals_scikit_survival(ties):
    X, time, event = sample()
    time = np.ceil(time / 100)
    theirs = CoxPHSurvivalAnalysis(ties=ties, tol=1e-14).fit(X, Surv.from_arrays(event, time))
    np.testing.assert_allclose(CoxPH(ties=ties).fit(X, (time, event)).coef_, theirs.coef_, rtol=1e-7)


def optimality(problem, path, l1_ratio, factor):
    """Largest violation of the optimum's conditions along a path, relative to the penalty."""
    worst = 0.0
    scale = np.where(problem.scale > 0, problem.scale, 1.0)
    for step, lam in enumerate(path.lambdas):
        beta = path.coef[:, step] * scale
        eta = problem.columns @ beta
        risk = np.exp(eta - eta.max()) * problem.weight
        sums = np.cumsum(risk[::-1])[::-1][problem.first]
        hazard = np.concatenate(([0.0], np.cumsum(problem.deaths / sums)))[problem.passed]
        slope = problem.columns.T @ (problem.weight * problem.target - risk * hazard) / len(eta)
        slope = slope - lam * (1 - l1_ratio) * factor * beta
        bound = lam * l1_ratio * factor
        active = beta != 0
        worst = max(worst, np.abs(slope[active] - bound[active] * np.sign(beta[active])).max(initial=0.0) / lam)
        worst = max(worst, (np.abs(slope[~active]) - bound[~active]).max(initial=0.0) / lam)
    return worst


@pytest.mark.parametrize(("n", "p", "l1_ratio"), [(60, 200, 1.0), (200, 30, 1.0), (80, 120, 0.3), (150, 10, 1.0)])
def test_every_step_meets_the_conditions_of_the_optimum(n, p, l1_ratio):
    rng = np.random.default_rng(n)
    base = rng.standard_normal((n, max(p // 3, 1)))
    X = base[:, rng.integers(base.shape[1], size=p)] + 0.3 * rng.standard_normal((n, p))
    time, event = np.ceil(rng.exponential(size=n) * 8), rng.random(n) < 0.6
    weight = rng.uniform(0.5, 2, n)
    factor = np.ones(p)
    factor[:2] = 0
    factor *= p / factor.sum()
    problem = Problem.cox(X, time, event, weight)
    path = fit_path(problem, l1_ratio=l1_ratio, penalty_factor=factor, lambda_min_ratio=0.05)
    assert optimality(problem, path, l1_ratio, factor) < 2e-5


def test_weights_are_copies():
    X, time, event = sample(n=60)
    weight = np.random.default_rng(1).integers(1, 4, 60)
    lambdas = [0.1, 0.03, 0.01]
    repeated = [np.repeat(part, weight, axis=0) for part in (X, time, event)]
    a = fit_path(Problem.cox(X, time, event, weight.astype(float)), lambdas=np.array(lambdas))
    b = fit_path(Problem.cox(*repeated), lambdas=np.array(lambdas))
    np.testing.assert_allclose(a.coef, b.coef, atol=1e-6)
    np.testing.assert_allclose(
        CoxPH(ties="breslow").fit(X, (time, event), weight).coef_,
        CoxPH(ties="breslow").fit(repeated[0], tuple(repeated[1:])).coef_,
        rtol=1e-7,
    )


def test_empty_model_is_honest():
    X, time, event = sample(p=5)
    model = LassoCox(penalty=10.0).fit(X, (time, event))
    assert len(model.selected_) == 0
    assert not model.predict(X).any()
    survival = model.predict_survival(X, [100, 500])
    assert np.ptp(survival, axis=0).max() == 0
    assert (survival > 0).all()
    assert model.score(X, (time, event)) == 0.5


def test_unpenalised_by_name_and_position():
    X, time, event = sample()
    table = pd.DataFrame(X).add_prefix("f")
    by_name = LassoCox(unpenalised=["f1", "f2"], penalty=5.0).fit(table, (time, event))
    by_place = LassoCox(unpenalised=[1, 2], penalty=5.0).fit(X, (time, event))
    np.testing.assert_allclose(by_name.coef_, by_place.coef_)
    assert list(by_name.selected_) == [1, 2]
    alone = CoxPH(ties="breslow").fit(X[:, [1, 2]], (time, event))
    np.testing.assert_allclose(by_name.coef_[[1, 2]], alone.coef_, atol=1e-6)
    with pytest.raises(ConfigError, match="'age' is not among"):
        LassoCox(unpenalised=["age"]).fit(table, (time, event))


def test_constant_duplicate_and_huge_columns():
    X, time, event = sample()
    odd = np.column_stack([X, np.full(120, 7.0), X[:, 0], X[:, 1] * 1e9 + 1e12, X[:, 2] * 1e-9])
    model = LassoCox().fit(odd, (time, event))
    assert model.coef_[8] == 0
    assert np.isfinite(model.coef_).all()
    cox = CoxPH().fit(odd[:, [0, 8, 9, 2]], (time, event))
    assert list(np.isnan(cox.coef_)) == [False, True, True, False]
    assert np.isfinite(cox.predict(odd[:, [0, 8, 9, 2]])).all()
    assert cox.table()["p"].isna().sum() == 2
    constant = LassoCox().fit(np.ones((120, 3)), (time, event))
    assert not constant.coef_.any()
    assert np.isnan(UnivariateCox(alpha=None).fit(odd, (time, event)).p_[8])


def test_separation_is_said():
    X, time, _ = sample()
    event = time < np.median(time)
    X[:, 0] = time < np.median(time)
    with pytest.raises(FitError, match="column 0 separates"):
        CoxPH().fit(X, (time, event))
    with pytest.raises(FitError, match="separate the outcome"):
        LassoCox(unpenalised=[0], penalty=0.1).fit(X, (time, event))
    assert np.isfinite(CoxPH(ridge=1.0).fit(X, (time, event)).coef_).all()
    assert np.isfinite(LassoCox().fit(X, (time, event)).coef_).all()


def test_everyone_tied():
    X, _, event = sample()
    same = np.full(120, 365.0)
    model = LassoCox().fit(X, (same, event))
    assert np.isfinite(model.coef_).all()
    assert np.isfinite(CoxPH().fit(X[:, :2], (same, event)).coef_).all()


def test_more_columns_than_patients():
    X, time, event = sample(n=50, p=400)
    model = LassoCox(choice="1se").fit(X, (time, event))
    assert len(model.selected_) <= event.sum()


def test_hundred_thousand_patients():
    X, time, event = sample(n=100_000, p=6)
    cox = CoxPH().fit(X, (time, event))
    lasso = LassoCox(n_lambdas=10, n_folds=3).fit(X, (time, event))
    assert cox.coef_[0] == pytest.approx(1.0, abs=0.03)
    assert lasso.coef_[0] == pytest.approx(1.0, abs=0.03)


def test_missing_values_are_refused():
    X, time, event = sample()
    X[3, 2] = np.nan
    for model in (LassoCox(), CoxPH(), UnivariateCox(), SurvivalMRMR(), CoxBoost(), SuperPC()):
        with pytest.raises(ValueError, match="NaN"):
            model.fit(X, (time, event))


def test_given_folds_and_settings():
    X, time, event = sample()
    with pytest.raises(ConfigError, match="one fold per patient"):
        LassoCox().fit(X, (time, event), folds=[1, 2])
    with pytest.raises(ConfigError, match="measure"):
        LassoCox(measure="auc").fit(X, (time, event))
    with pytest.raises(ConfigError, match="l1_ratio"):
        LassoCox(l1_ratio=2).fit(X, (time, event))
    with pytest.raises(ValueError, match="one of each per patient"):
        LassoCox().fit(X[:-1], (time, event))
    with pytest.raises(ConfigError, match="ties"):
        CoxPH(ties="none").fit(X, (time, event))
    labels = np.arange(120) % 3
    named = np.array(["a", "b", "c"])[labels]
    first, second = (LassoCox().fit(X, (time, event), folds=folds) for folds in (labels, named))
    pd.testing.assert_frame_equal(first.cv_, second.cv_)


def test_deviance_of_no_predictor_is_the_paths_null():
    X, time, event = sample()
    time = np.ceil(time / 50)
    path = fit_path(Problem.cox(X, time, event))
    assert breslow_deviance(time, event, np.zeros((120, 1)))[0] == pytest.approx(path.null_deviance)


def test_response_refuses_a_class_too_small():
    X, _, event = sample()
    with pytest.raises(FitError, match="1 patients in its rarer class of 120"):
        LassoResponse().fit(X, np.arange(120) == 3)
    assert LassoResponse(penalty=0.02).fit(X, event).probability(X).max() < 1


def test_trees_become_arrays_that_predict_the_same():
    from sksurv.ensemble import RandomSurvivalForest
    from sksurv.util import Surv

    X, time, event = sample(n=100, p=6)
    found = SurvivalForest(n_trees=20, min_leaf=5, seed=3).fit(X, (time, event))
    theirs = RandomSurvivalForest(
        n_estimators=20, min_samples_leaf=5, max_features="sqrt", low_memory=True, random_state=3
    ).fit(X, Surv.from_arrays(event, time))
    new = np.random.default_rng(5).standard_normal((50, 6))
    np.testing.assert_allclose(found.predict(new), theirs.predict(new), rtol=1e-12)
    again = TreeSum.from_plain(found.trees_.to_plain())
    np.testing.assert_array_equal(again.predict(new), found.predict(new))
    share = again.shapley(new)
    gap = found.predict(new) - share.sum(axis=1)
    np.testing.assert_allclose(gap, gap[0], rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "change"),
    [("left", lambda x: np.where(x >= 0, 0, x)), ("right", lambda x: x + 999), ("value", lambda x: x[:-1])],
)
def test_stored_trees_that_would_not_end_are_refused(name, change):
    X, time, event = sample(n=100, p=6)
    plain = GradientBoostedCox(n_trees=5).fit(X, (time, event)).trees_.to_plain()
    with pytest.raises(ValueError, match="its trees"):
        TreeSum.from_plain(plain | {name: change(plain[name])})


def test_a_forest_of_few_trees_says_nothing_of_patients_in_every_bag():
    X, time, event = sample(n=40, p=3)
    found = SurvivalForest(n_trees=2, min_leaf=5).fit(X, (time, event))
    assert np.isnan(found.oob_risk_).any()
    assert np.isfinite(found.oob_c_)


def test_shared_features():
    X, time, event = sample(n=150, p=12)
    learners = {
        "lasso": LassoCox(n_folds=5),
        "CoxBoost": CoxBoost(n_steps=30, n_folds=5),
        "forest": SurvivalForest(n_trees=30, min_leaf=5),
        "components": SuperPC(k=3),
    }
    table = shared_features(pd.DataFrame(X).add_prefix("f"), (time, event), learners)
    assert table["feature"].iloc[0] == "f0"
    assert bool(table["shared"].iloc[0])
    assert table["n_learners"].is_monotonic_decreasing


def test_stepwise_keeps_what_matters():
    X, time, event = sample(n=300)
    table = pd.DataFrame(X).add_prefix("f")
    found = StepwiseAIC(k=np.log(event.sum())).fit(table, (time, event))
    assert found.selected_terms_[0] == "f0"
    assert StepwiseAIC(k=1e6).fit(table, (time, event)).model_ is None
    assert found.get_support().sum() == len(found.selected_)


def test_a_left_out_patient_far_outside_the_training_range():
    X, time, event = sample(n=80, p=6)
    X[:, 3] *= 1e-6
    X[7, 3] = 1e3
    folds = np.arange(80) % 5
    model = LassoCox().fit(X, (time, event), folds=folds)
    assert np.isfinite(model.cv_["mean"]).all()
    assert np.isfinite(model.predict_survival(X * 1e6, [10.0, 500.0])).all()
    assert np.isfinite(CoxBoost(n_steps=20).fit(X, (time, event), folds=folds).cv_["mean"]).all()


def test_running_sums_are_the_risk_sets():
    _, time, event = sample(n=70)
    time = np.ceil(time / 100)
    columns, score = np.random.default_rng(2).standard_normal((2, 70, 3))
    score = score[:, 0]
    sums = BreslowSums.of(time, event)
    at_risk = [(time >= moment, (event & (time == moment)).sum()) for moment in np.unique(time[event])]
    expected = sum(d * inside * np.exp(score) / np.exp(score[inside]).sum() for inside, d in at_risk)
    np.testing.assert_allclose(sums.residual(score), event - expected, atol=1e-12)
    means = [np.average(columns[inside], axis=0, weights=np.exp(score[inside])) for inside, _ in at_risk]
    gradient, information = sums.derivatives(columns, score)
    np.testing.assert_allclose(gradient, event @ columns - sum(d * m for (_, d), m in zip(at_risk, means, strict=True)))
    spread = [np.cov(columns[inside].T, aweights=np.exp(score[inside]), ddof=0) for inside, _ in at_risk]
    np.testing.assert_allclose(information, sum(d * s for (_, d), s in zip(at_risk, spread, strict=True)))
    np.testing.assert_allclose(sums.marginal(columns, columns**2, score)[1], np.diag(information))


def test_sizes_and_shapes_that_cannot_be_used_get_a_sentence():
    rng = np.random.default_rng(0)
    time, event = rng.exponential(size=20_000), np.arange(20_000) % 1 == 0
    with pytest.raises(FitError, match="20000 patients with 20000 events are too many"):
        CoxBoost(n_folds=None).fit(rng.standard_normal((20_000, 2)), (time, event))
    assert GradientBoostedCox(n_trees=2).fit(rng.standard_normal((20_000, 2)), (time, event)).trees_.start.size == 2
    X, time, event = sample(n=60)
    for model in (SurvivalMRMR(k=2), UnivariateCox(), StepwiseAIC(), CoxPH(), LassoCox(), SuperPC()):
        with pytest.raises(ValueError, match="X has 60 rows and y has 59"):
            model.fit(X, (time[:-1], event[:-1]))
    for model in (GradientBoostedCox(), SurvivalForest()):
        with pytest.raises(FitError, match="single precision"):
            model.fit(X * 1e50, (time, event))
    with pytest.raises(CohortError, match="0 patients with 0 groups"):
        log_rank([], [], [])
