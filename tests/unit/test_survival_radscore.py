"""The Radscore: what learners share, chosen by AIC; its tables and its limits."""

import numpy as np
import pytest

from imrad.exceptions import FitError
from imrad.survival import LassoCox, SuperPC
from imrad.survival.radscore import Radscore
from imrad.survival.stepwise import StepwiseAIC


def cohort(seed=2, n=120, p=12):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p))
    time = rng.exponential(500 * np.exp(-0.9 * X[:, 0] + 0.7 * X[:, 1]))
    limit = rng.exponential(900, n)
    return X, (np.minimum(time, limit), time <= limit)


QUICK = {"lasso": LassoCox(seed=1), "components": SuperPC(k=5)}


def test_what_all_select_enters_the_stepwise_regression():
    X, y = cohort()
    fitted = Radscore(learners=QUICK).fit(X, y)
    assert fitted.needed_ == 2
    shared = np.flatnonzero(fitted.votes_.all(axis=0))
    assert list(fitted.candidates_) == list(shared)
    by_hand = StepwiseAIC().fit(X[:, shared], y)
    assert sorted(shared[by_hand.selected_]) == list(fitted.selected_)
    assert np.allclose(fitted.coef_[fitted.selected_], by_hand.model_.coef_[np.argsort(by_hand.selected_)], atol=1e-6)
    assert {0, 1} <= set(fitted.selected_)
    assert np.allclose(fitted.predict(X), X @ fitted.coef_)


def test_no_more_candidates_than_events_carry():
    X, y = cohort()
    events = int(y[1].sum())
    fitted = Radscore(learners=QUICK, events_per_candidate=events // 2).fit(X, y)
    assert len(fitted.candidates_) == 2
    assert set(fitted.candidates_) == {0, 1}


class Nothing(LassoCox):
    def fit(self, X, y, **_):
        self.selected_ = np.array([], dtype=int)
        return self


def test_learners_that_agree_on_nothing_are_asked_for_the_most_votes():
    X, y = cohort()
    assert Radscore(learners={**QUICK, "none": Nothing()}).fit(X, y).needed_ == 2
    with pytest.raises(FitError, match="none of the learners selects any of 12 features"):
        Radscore(learners={"none": Nothing()}).fit(X, y)
