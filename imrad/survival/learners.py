"""The survival learners of published radiomics studies, beside the lasso: boosting, forest, principal components."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import clone

from imrad.evaluation.outcomes import BoolArray, FloatArray
from imrad.exceptions import ConfigError, FitError
from imrad.survival.coxph import CoxPH
from imrad.survival.lasso_cox import LassoCox
from imrad.survival.learner import Learner
from imrad.survival.outcome import require_events
from imrad.survival.penalty_choice import balanced_folds, factors, fold_labels
from imrad.survival.risk_sets import BreslowSums, Turns
from imrad.survival.tree_learners import GradientBoostedCox, SurvivalForest

__all__ = ["CoxBoost", "GradientBoostedCox", "SuperPC", "SurvivalForest", "shared_features", "study_learners"]


class CoxBoost(Learner):
    """Likelihood-based boosting: each step moves the one coefficient with the best penalised score.

    Parameters
    ----------
    n_steps : int
        Most boosting steps.
    penalty : float, optional
        Added to each column's information; 9 times the number of events by default.
    unpenalised : sequence of str or int
        Columns that take a Newton step together before every boosting step.
    n_folds : int, optional
        Folds in which the number of steps is chosen; None takes all steps.
    measure : {"verweij", "naive"}
        Cross-validated log likelihood of all minus that of the training patients, or of the
        left-out patients alone.
    seed : int
        Of the folds.

    Attributes
    ----------
    coef_ : ndarray, shape (n_features,)
        On the original scale, after ``step_`` steps.
    path_ : ndarray, shape (n_steps + 1, n_features)
    step_ : int
    cv_ : DataFrame or None
        step, mean log likelihood.
    selected_ : ndarray of int
        Columns with a coefficient, unpenalised ones included.

    References
    ----------
    Binder and Schumacher, 2008, doi:10.1186/1471-2105-9-14.
    """

    def __init__(
        self,
        *,
        n_steps: int = 100,
        penalty: float | None = None,
        unpenalised: Any = (),
        n_folds: int | None = 10,
        measure: str = "verweij",
        seed: int = 0,
    ) -> None:
        self.n_steps = n_steps
        self.penalty = penalty
        self.unpenalised = unpenalised
        self.n_folds = n_folds
        self.measure = measure
        self.seed = seed

    def fit(self, X: Any, y: Any, *, folds: Any = None) -> Self:
        """Boost, and choose the number of steps.

        Raises
        ------
        TooFewEventsError
            If there are too few events.
        ConfigError
            If no column is penalised, so that none can be boosted.
        """
        X, time, event = self._checked(X, y)
        free = factors(self.unpenalised, getattr(self, "feature_names_in_", None), X.shape[1]) == 0
        if free.all():
            message = f"all {len(free)} columns are unpenalised, so none is left to boost; use CoxPH"
            raise ConfigError(message)
        penalty = 9.0 * event.sum() if self.penalty is None else self.penalty
        path = _boost(X, time, event, free, penalty, self.n_steps)
        self.cv_: pd.DataFrame | None = None
        self.step_ = self.n_steps
        if folds is not None or self.n_folds is not None:
            if folds is None:
                require_events(event, 2, where="cross-validation of the steps")
                n_folds = min(int(self.n_folds or 10), int(event.sum()))
                label = balanced_folds(event, n_folds, self.seed, "coxboost")
            else:
                label = fold_labels(folds, len(event))
            self._choose(X, time, event, free, penalty, label)
        self.path_ = path
        self.coef_ = path[self.step_]
        # As in the original, unpenalised columns are not centred.
        self.centre_ = np.where(free, 0.0, X.mean(axis=0))
        self.selected_ = np.flatnonzero(self.coef_)
        return self

    def _choose(
        self,
        X: FloatArray,
        time: FloatArray,
        event: BoolArray,
        free: BoolArray,
        penalty: float,
        label: np.ndarray[Any, Any],
    ) -> None:
        rows = []
        for fold in range(int(label.max()) + 1):
            out = label == fold
            require_events(event[~out], where=f"training part of fold {fold}")
            path = _boost(X[~out], time[~out], event[~out], free, penalty, self.n_steps)
            scores = X @ path.T
            if self.measure == "verweij":
                whole = Turns.of(time, event).log_likelihood(scores)
                value = whole - Turns.of(time[~out], event[~out]).log_likelihood(scores[~out])
            else:
                value = Turns.of(time[out], event[out]).log_likelihood(scores[out])
            rows.append(value)
        mean = np.mean(rows, axis=0)
        self.cv_ = pd.DataFrame({"step": np.arange(len(mean)), "mean": mean})
        self.step_ = int(np.argmax(mean))

    def _risk(self, X: FloatArray) -> FloatArray:
        return np.asarray((X - self.centre_) @ self.coef_)


def _boost(
    X: FloatArray, time: FloatArray, event: BoolArray, free: BoolArray, penalty: float, n_steps: int
) -> FloatArray:
    """Return coefficients after each step, on the original scale; penalised columns are boosted as z-scores."""
    if len(X) < 2:
        message = f"boosting needs 2 patients or more in every training part, found {len(X)}; use fewer folds"
        raise FitError(message)
    centre, scale = X.mean(axis=0), X.std(axis=0, ddof=1)
    varies = scale > 1e-12 * np.maximum(np.abs(centre), 1e-300)
    scale = np.where(free | ~varies, 1.0, scale)
    columns = np.where(varies | free, (X - centre) / scale, 0.0)
    turns = Turns.of(time, event)
    beta = np.zeros(columns.shape[1])
    path = np.zeros((n_steps + 1, len(beta)))
    fixed = np.flatnonzero(free)
    moving = np.flatnonzero(~free)
    squares = columns**2

    def newton_step() -> None:
        if len(fixed):
            gradient, information = turns.derivatives(columns[:, fixed], columns @ beta)
            beta[fixed] += np.linalg.lstsq(information, gradient, rcond=None)[0]

    newton_step()
    path[0] = beta
    for step in range(1, n_steps + 1):
        if step > 1:
            newton_step()
        score, information = turns.marginal(columns[:, moving], squares[:, moving], columns @ beta)
        best = int(np.argmax(score**2 / (information + penalty)))
        beta[moving[best]] += score[best] / (information[best] + penalty)
        path[step] = beta
    return path / scale


class SuperPC(Learner):
    """Supervised principal components: the columns with the best Cox scores, then their components.

    Parameters
    ----------
    k : int
        Columns kept (the founding study's 50).
    n_components : int
        Components in the Cox model.
    standardise : bool
        Whether columns are scaled to unit variance (n - 1) first.

    Attributes
    ----------
    scores_ : ndarray, shape (n_features,)
        Cox score over its standard deviation plus the median one, Breslow ties.
    selected_ : ndarray of int
        Best first.
    components_ : ndarray, shape (n_components, k)
        Loadings of the selected columns; superpc's v.pred is a component over the sum of its absolute
        loadings.
    singular_values_ : ndarray, shape (n_components,)
    coef_ : ndarray, shape (n_features,)
        On the original scale: the components' coefficients, multiplied out.

    References
    ----------
    Bair and Tibshirani, 2004, doi:10.1371/journal.pbio.0020108.
    """

    def __init__(self, *, k: int = 50, n_components: int = 1, standardise: bool = True) -> None:
        self.k = k
        self.n_components = n_components
        self.standardise = standardise

    def fit(self, X: Any, y: Any) -> Self:
        """Fit.

        Raises
        ------
        TooFewEventsError
            If there is no event.
        """
        X, time, event = self._checked(X, y)
        self.centre_, scale = X.mean(axis=0), X.std(axis=0, ddof=1)
        varies = scale > 1e-12 * np.maximum(np.abs(self.centre_), 1e-300)
        self.scale_ = np.where(varies & self.standardise, scale, 1.0)
        columns = (X - self.centre_) / self.scale_
        self.scores_ = cox_scores(columns, time, event)
        self.selected_ = np.argsort(-np.abs(self.scores_), kind="stable")[: self.k]
        _, values, right = np.linalg.svd(columns[:, self.selected_], full_matrices=False)
        self.singular_values_ = values[: self.n_components]
        self.components_ = right[: self.n_components]
        self.model_ = CoxPH(ridge=1e-8).fit(self.components(X), (time, event))
        self.coef_ = np.zeros(X.shape[1])
        self.coef_[self.selected_] = self.components_.T @ np.nan_to_num(self.model_.coef_)
        self.coef_ /= self.scale_
        return self

    def components(self, X: Any) -> FloatArray:
        """Return the components of patients, shape (n_patients, n_components)."""
        columns = (X - self.centre_) / self.scale_
        return np.asarray(columns[:, self.selected_] @ self.components_.T)

    def _risk(self, X: FloatArray) -> FloatArray:
        return self.model_.predict(self.components(X))


def cox_scores(columns: FloatArray, time: FloatArray, event: BoolArray) -> FloatArray:
    """Return superpc's feature scores: score over its standard deviation plus the median one."""
    score, information = BreslowSums.of(time, event).marginal(columns, columns**2, np.zeros(len(columns)))
    spread = np.sqrt(np.maximum(information, 0.0))
    offset = float(np.median(spread))
    return np.asarray(score / np.where(spread + offset > 0, spread + offset, np.inf))


def study_learners(*, seed: int = 0) -> dict[str, Any]:
    """Return the six learners of the oesophageal founding study, by name."""
    return {
        "elastic net": LassoCox(l1_ratio=0.5, seed=seed),
        "CoxBoost": CoxBoost(seed=seed),
        "gradient boosting": GradientBoostedCox(seed=seed),
        "lasso": LassoCox(seed=seed),
        "random survival forest": SurvivalForest(seed=seed),
        "supervised principal components": SuperPC(),
    }


def shared_features(X: Any, y: Any, learners: Mapping[str, Any] | None = None, *, seed: int = 0) -> pd.DataFrame:
    """Fit learners on the same patients and say which columns each selects.

    Parameters
    ----------
    X : DataFrame or array, shape (n_patients, n_features)
        Usually the columns that a univariate screening kept.
    y
        Times and events.
    learners : mapping of str to estimator, optional
        With ``selected_`` after the fit; :func:`study_learners` by default.

    Returns
    -------
    DataFrame
        feature, one boolean column a learner, n_learners and shared (selected by all); most
        selected first.
    """
    models = {name: clone(model) for name, model in (learners or study_learners(seed=seed)).items()}
    names = [str(name) for name in X.columns] if isinstance(X, pd.DataFrame) else [f"x{j}" for j in range(X.shape[1])]
    table = pd.DataFrame({"feature": names})
    for name, model in models.items():
        table[name] = np.isin(np.arange(len(names)), model.fit(X, y).selected_)
    chosen = table[list(models)]
    table["n_learners"] = chosen.sum(axis=1)
    table["shared"] = chosen.all(axis=1)
    return table.sort_values("n_learners", ascending=False, kind="stable", ignore_index=True)
