"""Every survival estimator and function on bad input: a right answer or one sentence, and no warning from below."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import pkgutil
import re

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator
from typer.testing import CliRunner

import imrad.survival
from imrad.cli import app
from imrad.datasets import make_cohort
from imrad.exceptions import CohortError, ImradError
from imrad.survival.binary_tasks import observed_share
from imrad.survival.competing_risks import cause_specific_cox, compare_causes, cumulative_incidence
from imrad.survival.cox_inference import (
    martingale_residuals,
    proportional_hazards,
    robust_variance,
    schoenfeld_residuals,
    survival_interval,
)
from imrad.survival.coxph import CoxPH
from imrad.survival.cutpoints import log_rank_scores, maximally_selected
from imrad.survival.external_response import external_tables
from imrad.survival.groups import compare_groups, group_summary, learn_cut, twin_groups
from imrad.survival.lasso_cox import LassoCox
from imrad.survival.learner import Learner
from imrad.survival.learners import SuperPC
from imrad.survival.screening import SurvivalMRMR, UnivariateCox
from imrad.survival.smooth_calibration import smooth_survival_calibration
from imrad.survival.stepwise import StepwiseAIC
from imrad.survival.univariable import univariable_table
from imrad.survival.validation import validation_indices

PLACES = imrad.survival.__path__
N, P = 40, 5
RNG = np.random.default_rng(0)
X = RNG.standard_normal((N, P))
TIME = np.round(RNG.exponential(np.exp(-X[:, 0])) * 500 + 1)
EVENT = RNG.random(N) > 0.4
NUMBER = np.arange(N)
FRAME = pd.DataFrame(X, columns=list("abcde"))


def changed(values, place, value):
    out = np.array(values, dtype=float)
    out[place] = value
    return out


# What can be answered, or refused in one sentence.
ODD = {
    "one event, first": (X, TIME, np.argmin(TIME) == NUMBER),
    "one event, last": (X, TIME, np.argmax(TIME) == NUMBER),
    "two events": (X, TIME, np.isin(NUMBER, [3, 9])),
    "all events": (X, TIME, NUMBER >= 0),
    "all tied": (X, np.full(N, 365.0), EVENT),
    "all tied, all events": (X, np.full(N, 365.0), NUMBER >= 0),
    "two times": (X, np.where(NUMBER % 2, 100.0, 200.0), EVENT),
    "all times 0": (X, np.zeros(N), EVENT),
    "tied columns": (np.round(X), TIME, EVENT),
    "constant column": (changed(X, (slice(None), 1), 3.0), TIME, EVENT),
    "all constant": (np.ones((N, P)), TIME, EVENT),
    "separation by event": (changed(X, (slice(None), 0), EVENT), TIME, EVENT),
    "separation by order": (changed(X, (slice(None), 0), -TIME), TIME, EVENT),
    "more columns than patients": (RNG.standard_normal((N, 60)), TIME, EVENT),
    "the same columns twice": (np.column_stack([X, X]), TIME, EVENT),
    "sum of columns": (np.column_stack([X, X @ np.ones(P)]), TIME, EVENT),
    "one column": (X[:, :1], TIME, EVENT),
    "outlier": (changed(X, (3, 1), 1e6), TIME, EVENT),
    "huge": (X * 1e50, TIME, EVENT),
    "tiny": (X * 1e-200, TIME, EVENT),
    "offset": (X + 1e12, TIME, EVENT),
    "rare column": (changed(X, (slice(None), 2), NUMBER == 4), TIME, EVENT),
    "two patients": (X[:2], TIME[:2], NUMBER[:2] >= 0),
    "three patients": (X[:3], TIME[:3], NUMBER[:3] >= 0),
    "tiny times": (X, TIME * 1e-300, EVENT),
    "table": (FRAME, TIME, EVENT),
    "names of two kinds": (FRAME.set_axis([1, "b", 2, "c", "d"], axis=1), TIME, EVENT),
    "column of objects": (FRAME.astype(object), TIME, EVENT),
}

# What must be refused.
WRONG = {
    "no event": (X, TIME, np.zeros(N)),
    "missing value": (changed(X, (3, 2), np.nan), TIME, EVENT),
    "missing column": (changed(X, (slice(None), 2), np.nan), TIME, EVENT),
    "infinite value": (changed(X, (3, 2), np.inf), TIME, EVENT),
    "beyond squaring": (X * 1e200, TIME, EVENT),
    "negative time": (X, changed(TIME, 3, -5), EVENT),
    "missing time": (X, changed(TIME, 3, np.nan), EVENT),
    "infinite time": (X, changed(TIME, 3, np.inf), EVENT),
    "endless times": (X, TIME * 1e300, EVENT),
    "words for times": (X, np.full(N, "a"), EVENT),
    "event of 2": (X, TIME, changed(EVENT, 3, 2)),
    "missing event": (X, TIME, changed(EVENT, 3, np.nan)),
    "words for events": (X, TIME, np.where(EVENT, "dead", "alive")),
    "fewer outcomes": (X, TIME[:-1], EVENT[:-1]),
    "fewer times": (X, TIME[:-1], EVENT),
    "nobody": (X[:0], TIME[:0], EVENT[:0]),
    "one patient": (X[:1], TIME[:1], EVENT[:1]),
    "no column": (X[:, :0], TIME, EVENT),
    "words": (FRAME.assign(a="high"), TIME, EVENT),
    "classes": (FRAME.assign(a=pd.Categorical(["x", "y"] * 20)), TIME, EVENT),
    "a name twice": (FRAME.set_axis(list("aacde"), axis=1), TIME, EVENT),
}
# A response has no times, and a number no events.
NOT_OF_RESPONSES = {
    "binomial": {name for name in WRONG if "time" in name and name != "fewer outcomes"},
    "gaussian": {"no event", "negative time", "event of 2", "missing event", "words for events"},
}

SETTINGS = {
    "CoxBoost": [
        {"n_steps": 8},
        {"n_steps": 5, "n_folds": None},
        {"n_steps": 5, "measure": "naive", "unpenalised": [0]},
    ],
    "CoxPH": [{}, {"ridge": 1.0}, {"ties": "breslow"}],
    "GradientBoostedCox": [{"n_trees": 5}, {"n_trees": 3, "depth": 3}],
    "LassoCox": [
        {"n_lambdas": 15},
        {"penalty": 0.05},
        {"n_lambdas": 8, "measure": "c", "choice": "1se"},
        {"n_lambdas": 8, "l1_ratio": 0.5, "unpenalised": [0]},
    ],
    "LassoResponse": [{"n_lambdas": 15}, {"penalty": 0.05}, {"family": "gaussian", "n_lambdas": 15}],
    "Radscore": [{"learners": {"components": SuperPC(k=3), "lasso": LassoCox(n_lambdas=10, n_folds=3)}}],
    "StepwiseAIC": [{}, {"direction": "forward"}],
    "SuperPC": [{}, {"k": 3, "n_components": 2}],
    "SurvivalForest": [{"n_trees": 3}],
    "SurvivalMRMR": [{"k": 3}],
    "UnivariateCox": [{}, {"alpha": None, "k": 3}, {"method": "BH", "at_least": 1}],
}


def discovered():
    """Every estimator that the room defines, wherever it stands."""
    modules = [importlib.import_module(f"imrad.survival.{item.name}") for item in pkgutil.iter_modules(PLACES)]
    return {
        name: kind
        for module in modules
        for name, kind in vars(module).items()
        if inspect.isclass(kind) and issubclass(kind, BaseEstimator) and kind.__module__ == module.__name__
    }


ESTIMATORS = discovered()


def test_every_estimator_is_tried():
    assert set(SETTINGS) == {name for name, kind in ESTIMATORS.items() if kind is not Learner}


def answer(kind, settings, case):
    x, time, event = case
    y = (time, event)
    if kind.__name__ == "LassoResponse":
        y = time if settings.get("family") == "gaussian" else event
    model = kind(**settings).fit(x, y)
    out = np.asarray(model.predict(x) if hasattr(model, "predict") else model.transform(x), dtype=float)
    assert np.isfinite(out).all()
    if hasattr(model, "predict_survival"):
        survival = model.predict_survival(x, [0, 100, 1e6])
        assert ((survival >= 0) & (survival <= 1)).all()
    if hasattr(model, "table"):
        assert len(model.table()) == model.n_features_in_
        assert np.isfinite(model.tests()["statistic"]).all()
    return model


def one_sentence(error):
    """A refusal of imrad's, or scikit-learn's of a shape, which its own checks want word for word."""
    text = str(error)
    if "Found array with" in text:
        return True
    ours = isinstance(error, ImradError) or "values of X are missing" in text or text.startswith("X has ")
    return ours and "\n" not in text and len(text) < 300


@contextlib.contextmanager
def answered_or_one_sentence(what):
    told = None
    try:
        yield
    except (ImradError, ValueError) as error:
        told = error
    assert told is None or one_sentence(told), (what, told)


@pytest.mark.parametrize(
    ("name", "settings"),
    [(name, item) for name, items in SETTINGS.items() for item in items],
    ids=lambda part: str(part)[:60],
)
def test_estimators(name, settings):
    for what, case in ODD.items():
        with answered_or_one_sentence(what):
            answer(ESTIMATORS[name], settings, case)
    for what, case in WRONG.items():
        if name == "LassoResponse" and what in NOT_OF_RESPONSES[settings.get("family", "binomial")]:
            continue
        with pytest.raises((ImradError, ValueError)) as told:
            answer(ESTIMATORS[name], settings, case)
        assert one_sentence(told.value), (what, told.value)


def of_cox(function):
    def run(x, time, event):
        matrix = np.asarray(x, dtype=float)[:, :3]
        return function(CoxPH().fit(matrix, (time, event)), matrix, (time, event))

    return run


def first(x):
    return np.asarray(x, dtype=float)[:, 0]


def halves(x):
    return np.where(first(x) > 0, "hi", "lo")


def share(x):
    return 1 / (1 + np.exp(-np.clip(first(x), -30, 30)))


def causes(event):
    return np.where(np.asarray(event, dtype=float) == 1, 1 + np.arange(len(event)) % 2, event)


FUNCTIONS = {
    "log_rank_scores": lambda x, t, e: log_rank_scores(t, e),
    "maximally_selected": lambda x, t, e: maximally_selected(t, e, first(x), permutations=5),
    "compare_groups": lambda x, t, e: compare_groups(t, e, halves(x), horizons=[100, 1e9]),
    "compare_groups of one": lambda x, t, e: compare_groups(t, e, np.full(len(x), "a")),
    "compare_groups of five": lambda x, t, e: compare_groups(t, e, np.arange(len(x)) % 5),
    "group_summary": lambda x, t, e: group_summary(t, e, halves(x), tau=1e9),
    "twin_groups": lambda x, t, e: twin_groups(t, e, pd.DataFrame({"a": first(x)}), pd.DataFrame({"a": first(x)})),
    "cumulative_incidence": lambda x, t, e: cumulative_incidence(t, causes(e)).at([0, 100, 1e5]),
    "compare_causes": lambda x, t, e: compare_causes(t, causes(e), halves(x)),
    "cause_specific_cox": lambda x, t, e: cause_specific_cox(t, causes(e), pd.DataFrame({"a": first(x)})),
    "proportional_hazards": of_cox(proportional_hazards),
    "proportional_hazards by log": of_cox(lambda m, x, y: proportional_hazards(m, x, y, transform="log")),
    "martingale_residuals": of_cox(martingale_residuals),
    "schoenfeld_residuals": of_cox(schoenfeld_residuals),
    "robust_variance": of_cox(robust_variance),
    "survival_interval": of_cox(lambda m, x, y: survival_interval(m, x, y, x[:3], [0, 100.0, 1e9])),
    "validation_indices": lambda x, t, e: validation_indices(t, e, first(x)),
    "smooth_survival_calibration": lambda x, t, e: smooth_survival_calibration(t, e, share(x), 300.0),
    "smooth_survival_calibration by hare": lambda x, t, e: smooth_survival_calibration(
        t, e, share(x), 300.0, smoother="hare"
    ),
}
OF_OUTCOMES = [name for name in WRONG if "time" in name or "event" in name or "outcomes" in name]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name):
    for what, case in ODD.items():
        with answered_or_one_sentence(what):
            FUNCTIONS[name](*case)
    for what in OF_OUTCOMES:
        # No event is a curve at 1, and groups of other sizes are told by the groups.
        if what == "no event" or (what == "event of 2" and "cause" in name) or "incidence" in name:
            continue
        if what == "fewer outcomes" and name in ("log_rank_scores", "compare_groups of one", "compare_groups of five"):
            continue
        with pytest.raises((ImradError, ValueError)) as told:
            FUNCTIONS[name](*WRONG[what])
        assert one_sentence(told.value) or "could not convert" in str(told.value), (what, told.value)


def test_tables_of_a_response():
    for what, (x, _, event) in (ODD | {name: WRONG[name] for name in ("no event", "nobody", "one patient")}).items():
        with answered_or_one_sentence(what):
            table = univariable_table(event, {"block": pd.DataFrame(np.asarray(x))})
            assert len(table) == np.shape(x)[1], what
            external_tables(np.asarray(event) == 1, {"a": share(x), "b": share(x)[::-1]}, {"a": 0.5, "b": 0.5})
            observed_share(np.asarray(event) == 1, share(x))
    with pytest.raises(CohortError, match="beyond 1e"):
        univariable_table(EVENT, {"block": pd.DataFrame(X * 1e200)})
    with pytest.raises(CohortError, match="40 rows for 39"):
        univariable_table(EVENT[:-1], {"block": pd.DataFrame(X)})


def test_a_cut_of_what_cannot_be_cut():
    for values in (np.full(9, np.nan), np.ones(9), np.zeros(0)):
        with pytest.raises(ImradError):
            learn_cut(values)


def test_a_column_without_information_has_no_coefficient():
    # The only event is of the patient who is followed longest: nobody else is at risk.
    model = CoxPH().fit(X, (TIME, np.argmax(TIME) == NUMBER))
    assert np.isnan(model.coef_).all()
    # The third column varies only before the first event.
    late = np.where(EVENT, TIME + 1000, TIME)
    early = changed(X, (slice(None), 2), np.where(late < late[EVENT].min(), X[:, 2], 0.0))
    assert list(np.isnan(CoxPH().fit(early, (late, EVENT)).coef_)) == [False, False, True, False, False]


def test_nothing_selected_is_said():
    with pytest.raises(ImradError, match="UnivariateCox selected none of 5 columns"):
        UnivariateCox(alpha=1e-9).fit_transform(X, (TIME, EVENT))


def test_relevance_counts_pairs():
    time = np.ceil(TIME / 200)
    coarse = np.round(X)
    later = (time[None, :] > time[:, None]) & EVENT[:, None]
    for j in range(P):
        gap = coarse[None, :, j] - coarse[:, None, j]
        c = (later & (gap > 0)).sum() + 0.5 * (later & (gap == 0)).sum()
        r = 2 * c / later.sum() - 1
        found = SurvivalMRMR(k=1).fit(coarse, (time, EVENT)).relevance_[j]
        assert found == pytest.approx(-0.5 * np.log(1 - r**2), abs=1e-12)


def test_a_hundred_thousand_patients():
    rng = np.random.default_rng(1)
    x = rng.standard_normal((100_000, 4))
    time, event = np.ceil(rng.exponential(np.exp(-x[:, 0])) * 500), rng.random(100_000) > 0.4
    assert SurvivalMRMR(k=2).fit(x, (time, event)).selected_[0] == 0
    found = StepwiseAIC(k=20.0).fit(x, (time, event))
    assert list(found.selected_) == [0]
    assert found.model_.coef_[0] == pytest.approx(1.0, abs=0.03)
    assert SuperPC(k=2).fit(x, (time, event)).selected_[0] == 0
    compare_groups(time, event, x[:, 0] > 0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"os_event": 0.0}, "endpoint os: 0 events in 40 patients"),
        ({"os_event": (NUMBER == 3) * 1.0}, "endpoint os: 1 events in 40 patients"),
        ({"os_event": (NUMBER % 20 == 0) * 1.0}, "use fewer folds or an endpoint with more events"),
        ({"os_days": np.where(NUMBER == 3, -5.0, 100.0)}, "endpoint os: negative or infinite times for SYN-00004"),
        ({"os_event": 2.0}, "events that are neither 0 nor 1"),
        ({"X": 1e200}, "values beyond 1e.60; rescale it, or leave it out"),
    ],
)
def test_the_shell_refuses_a_cohort_and_leaves_nothing(change, said, tmp_path):
    cohort = make_cohort(n_patients=N, n_features=6, seed=1)
    for name, value in change.items():
        if name == "X":
            cohort.X = cohort.X * value
        else:
            cohort.obs[name] = value
    cohort.write_h5ad(tmp_path / "c.h5ad")
    where = ["--cohort", str(tmp_path / "c.h5ad"), "-o", str(tmp_path / "out")]
    result = CliRunner().invoke(app, ["fuse", "--endpoint", "os", *where])
    assert result.exit_code == 1
    assert isinstance(result.exception, ImradError)
    assert re.search(said, str(result.exception))
    assert not (tmp_path / "out").exists()
