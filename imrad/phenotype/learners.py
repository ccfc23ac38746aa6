"""How the grid runs a base learner: many jobs of one kind at once, by an engine chosen per name.

An engine sees all jobs of a fold's task together, so that it may batch them. ``sklearn`` fits one
estimator after another; ``imrad`` takes the learners of :mod:`imrad.phenotype.kernels` where it has
one of that name. A learner's answer to a job must not depend on the jobs it is handed with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from sklearn import config_context
from sklearn.base import BaseEstimator, clone
from sklearn.linear_model import LogisticRegression

from imrad.exceptions import ConfigError
from imrad.phenotype.classifiers import BASE_CLASSIFIERS, bayes_posterior, bayes_tables, make_classifier

__all__ = ["ENGINES", "EstimatorLearner", "Job", "Learner", "make_learners", "make_meta", "meta_job"]

Floats = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Job:
    """One fit and what it is to predict.

    Attributes
    ----------
    X : ndarray, training rows x features
        Selected features, imputed and scaled by the training rows.
    y : ndarray of int
        0 or 1; both are present.
    X_new : ndarray, rows x features
        Rows to predict.
    codes, codes_new : ndarray of int8
        The same features in the training rows' bins, -1 where missing.
    n_bins : int
        Number of bins.
    seed : int
        For learners that draw random numbers; it names the fold, never the target.
    """

    X: Floats
    y: np.ndarray[Any, Any]
    X_new: Floats
    codes: np.ndarray[Any, Any]
    codes_new: np.ndarray[Any, Any]
    n_bins: int
    seed: int


class Learner(Protocol):
    """A classifier as the grid uses it."""

    def predict_many(self, jobs: Sequence[Job]) -> list[Floats]:
        """Fit each job and return P(class 1) of its new rows."""
        ...


@dataclass(frozen=True)
class EstimatorLearner:
    """One scikit-learn estimator, cloned for each job.

    Attributes
    ----------
    estimator : estimator
        Unfitted; its ``random_state``, where it has one, is set to the job's seed.
    """

    estimator: Any

    def predict_many(self, jobs: Sequence[Job]) -> list[Floats]:
        """Fit each job and return P(class 1) of its new rows."""
        out = []
        seeded = "random_state" in self.estimator.get_params(deep=False)
        # The rows were checked once, when the grid took them.
        with config_context(skip_parameter_validation=True, assume_finite=True):
            for job in jobs:
                model = clone(self.estimator)
                if seeded:
                    model.set_params(random_state=job.seed)
                model.fit(job.X, job.y)
                out.append(_probability(model, job.X_new))
        return out


def _probability(model: Any, X: Floats) -> Floats:
    """Return P(class 1), or a decision value mapped to 0 .. 1 in its own order."""
    if hasattr(model, "predict_proba"):
        return np.asarray(model.predict_proba(X), dtype=float)[:, -1]
    from scipy.special import expit

    return np.asarray(expit(model.decision_function(X)), dtype=float)


@dataclass(frozen=True)
class NaiveBayesLearner:
    """:class:`~imrad.phenotype.BinnedNaiveBayes` on the bins that the fold has already drawn."""

    def predict_many(self, jobs: Sequence[Job]) -> list[Floats]:
        """Count each job's bins and return P(class 1) of its new rows."""
        out = []
        for job in jobs:
            prior, ratio = bayes_tables(job.codes, job.y, 2, job.n_bins)
            out.append(bayes_posterior(job.codes_new, prior, ratio)[:, 1])
        return out


ENGINES = ("sklearn", "imrad")


def _own_learners() -> Mapping[str, Callable[[str], Learner]]:
    from imrad.phenotype.kernels import LEARNERS

    return LEARNERS


def make_learners(
    classifiers: Sequence[str] | Mapping[str, Any], *, engine: str | Mapping[str, str], defaults: str
) -> dict[str, Learner]:
    """Return the learner of every classifier but stacking.

    Parameters
    ----------
    classifiers : sequence of str, or mapping of name to estimator (or name)
        Names of :data:`~imrad.phenotype.classifiers.CLASSIFIERS`, or the user's own estimators.
    engine : str or mapping of classifier name to str
        ``sklearn`` or ``imrad``.
    defaults : str
        Named set of settings.

    Raises
    ------
    ConfigError
        If an engine or a classifier is unknown.
    """
    own = dict(classifiers) if isinstance(classifiers, Mapping) else {name: name for name in classifiers}
    unknown = [name for name in ([] if isinstance(engine, str) else engine) if name not in own]
    if unknown:
        message = f"engine names the classifier {unknown[0]!r}, which the grid does not have; it has {', '.join(own)}"
        raise ConfigError(message)
    out: dict[str, Learner] = {}
    for name, what in own.items():
        if what == "stacking":
            continue
        if not isinstance(what, str):
            if not isinstance(what, BaseEstimator):
                message = f"classifier {name!r} must be a scikit-learn estimator or a name, got {type(what).__name__}"
                raise ConfigError(message)
            out[name] = EstimatorLearner(what)
            continue
        wanted = engine if isinstance(engine, str) else engine.get(name, "imrad")
        if wanted not in ENGINES:
            message = f"unknown engine {wanted!r}; the known ones are {', '.join(ENGINES)}"
            raise ConfigError(message)
        own_learners = _own_learners() if wanted == "imrad" else {}
        if what in own_learners and what in BASE_CLASSIFIERS:
            make_classifier(what, defaults=defaults)
            out[name] = own_learners[what](defaults)
        elif what == "naive_bayes":
            make_classifier(what, defaults=defaults)
            out[name] = NaiveBayesLearner()
        else:
            out[name] = EstimatorLearner(make_classifier(what, defaults=defaults))
    return out


def make_meta(engine: str | Mapping[str, str]) -> Learner:
    """Return the stack's meta-learner: logistic regression on its bases' probabilities, C = 1."""
    wanted = engine if isinstance(engine, str) else engine.get("stacking", "imrad")
    return _own_learners()["logistic_regression"]("founding") if wanted == "imrad" else EstimatorLearner(META)


META = LogisticRegression()


def meta_job(bases: Floats, y: np.ndarray[Any, Any], held: Floats) -> Job:
    """Return the meta-learner's job: patients x base learners, their classes, and the rows to predict."""
    none = np.zeros((0, 0), dtype=np.int8)
    return Job(np.ascontiguousarray(bases), y, np.ascontiguousarray(held), none, none, 0, 0)
