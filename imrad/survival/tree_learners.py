"""Gradient boosting and survival forests: trees that become plain arrays once they are grown."""

from __future__ import annotations

import warnings
from typing import Any, Self

import numpy as np
from sklearn.tree import DecisionTreeRegressor

from imrad.evaluation.discrimination import harrell_c
from imrad.evaluation.outcomes import FloatArray
from imrad.exceptions import ConfigError, FitError
from imrad.survival.learner import Learner
from imrad.survival.risk_sets import BreslowSums
from imrad.survival.trees import TreeSum

__all__ = ["GradientBoostedCox", "SurvivalForest"]


class GradientBoostedCox(Learner):
    """Gradient boosting of trees on Breslow's partial likelihood, by gbm's rules without subsampling.

    Each tree is grown best first on the martingale residuals; its leaves take one Newton step of
    the partial likelihood together, the last leaf as reference.

    Parameters
    ----------
    n_trees, depth, min_leaf : int
        `depth` is the number of splits of a tree (gbm's interaction.depth).
    learning_rate : float
    ties : {"breslow", "row_order"}
        gbm takes tied times for untied ones, the last row to go first: ``row_order`` repeats its
        numbers to rounding, but another order of the rows gives another model.
    seed : int
        Settles equally good splits.

    Attributes
    ----------
    importance_ : ndarray, shape (n_features,)
        Sum of the squared-error reductions, in percent.
    reduction_ : ndarray, shape (n_features,)
        The sum itself (gbm's relative.influence).
    train_error_ : ndarray, shape (n_trees,)
        After each tree, twice the negative log partial likelihood per event.
    selected_ : ndarray of int
        Columns that any tree used.
    trees_ : TreeSum

    References
    ----------
    Ridgeway, 1999; Friedman, 2001, doi:10.1214/aos/1013203451.
    """

    def __init__(
        self,
        *,
        n_trees: int = 100,
        depth: int = 1,
        min_leaf: int = 10,
        learning_rate: float = 0.1,
        ties: str = "breslow",
        seed: int = 0,
    ) -> None:
        self.n_trees = n_trees
        self.depth = depth
        self.min_leaf = min_leaf
        self.learning_rate = learning_rate
        self.ties = ties
        self.seed = seed

    def fit(self, X: Any, y: Any) -> Self:
        """Boost.

        Raises
        ------
        ConfigError
            If `ties` is unknown.
        TooFewEventsError
            If there is no event.
        """
        if self.ties not in ("breslow", "row_order"):
            message = f"ties must be breslow or row_order; found {self.ties!r}"
            raise ConfigError(message)
        X, time, event = self._checked(X, y)
        if self.ties == "row_order":
            place = np.lexsort((-np.arange(len(time)), time))
            time = np.empty(len(time))
            time[place] = np.arange(1.0, len(time) + 1)
        _refuse_beyond_single(X)
        turns = BreslowSums.of(time, event)
        score = np.zeros(len(X))
        importance = np.zeros(X.shape[1])
        grown, worth, errors = [], [], []
        min_leaf = min(self.min_leaf, max(len(X) // 2, 1))
        for _ in range(self.n_trees):
            residual = turns.residual(score)
            tree = DecisionTreeRegressor(
                max_leaf_nodes=self.depth + 1, min_samples_leaf=min_leaf, random_state=self.seed
            ).fit(X, residual)
            leaf = tree.apply(X)
            nodes = np.unique(leaf)
            values = np.zeros(tree.tree_.node_count)
            if len(nodes) > 1:
                member = (leaf[:, None] == nodes[:-1]).astype(float)
                gradient, information = turns.derivatives(member, score)
                values[nodes[:-1]] = np.linalg.lstsq(information, gradient, rcond=None)[0]
            score = score + self.learning_rate * values[leaf]
            importance += tree.tree_.compute_feature_importances(normalize=False) * len(X)
            grown.append(tree.tree_)
            worth.append(self.learning_rate * values)
            errors.append(-2 * turns.log_likelihood(score) / event.sum())
        self.train_error_ = np.array(errors)
        self.trees_ = TreeSum.of(grown, worth)
        total = importance.sum()
        self.reduction_ = importance
        self.importance_ = 100 * importance / total if total > 0 else importance
        self.selected_ = np.flatnonzero(importance > 0)
        return self

    def _risk(self, X: FloatArray) -> FloatArray:
        return self.trees_.predict(X)


class SurvivalForest(Learner):
    """Random survival forest (scikit-survival), with selection by minimal depth.

    Parameters
    ----------
    n_trees, min_leaf : int
    max_features : int, float or str, optional
        Columns tried at a split.
    seed : int

    Attributes
    ----------
    trees_ : TreeSum
    oob_c_ : float
        Harrell's C of the out-of-bag predictions.
    oob_risk_ : ndarray, shape (n_patients,)
    minimal_depth_ : ndarray, shape (n_features,)
        Mean over trees of the depth of the first split on a column (the tree's depth where absent).
    selected_ : ndarray of int
        Columns whose mean minimal depth is below the mean over columns, smallest first.

    References
    ----------
    Ishwaran et al., 2008, doi:10.1214/08-AOAS169; 2010, doi:10.1198/jasa.2009.tm08622.
    """

    def __init__(self, *, n_trees: int = 500, min_leaf: int = 15, max_features: Any = "sqrt", seed: int = 0) -> None:
        self.n_trees = n_trees
        self.min_leaf = min_leaf
        self.max_features = max_features
        self.seed = seed

    def fit(self, X: Any, y: Any) -> Self:
        """Grow the forest.

        Raises
        ------
        TooFewEventsError
            If there is no event.
        FitError
            If nobody outlives anybody's event, so that no two patients can be compared.
        """
        from sksurv.ensemble import RandomSurvivalForest
        from sksurv.util import Surv

        X, time, event = self._checked(X, y)
        _refuse_beyond_single(X)
        if not (time[event].min() < time.max() or ((time == time.max()) & ~event).any()):
            message = (
                f"no patient of {len(time)} outlives another's event, so a forest has nothing to learn; "
                "choose an endpoint with earlier events"
            )
            raise FitError(message)
        forest = RandomSurvivalForest(
            n_estimators=self.n_trees,
            min_samples_leaf=min(self.min_leaf, max(len(X) // 4, 1)),
            max_features=self.max_features,
            oob_score=True,
            low_memory=True,
            random_state=self.seed,
        )
        with warnings.catch_warnings(record=True) as told:
            warnings.filterwarnings("always", message="Some inputs do not have OOB")
            forest.fit(X, Surv.from_arrays(event, time))
        self.oob_risk_ = np.array(forest.oob_prediction_, dtype=float)
        if any("OOB" in str(item.message) for item in told):
            # Few trees: who was in the bag of every one of them has a risk of 0, which is no prediction.
            self.oob_risk_[self.oob_risk_ == 0] = np.nan
        known = np.isfinite(self.oob_risk_)
        self.oob_c_ = harrell_c(time[known], event[known], self.oob_risk_[known])
        grown = [tree.tree_ for tree in forest]
        # A leaf's value is its patients' cumulative hazard summed over all event times.
        self.trees_ = TreeSum.of(grown, [tree.value[:, 0, 0] / len(grown) for tree in grown])
        self.minimal_depth_ = np.mean([_first_splits(tree, X.shape[1]) for tree in grown], axis=0)
        order = np.argsort(self.minimal_depth_, kind="stable")
        self.selected_ = order[self.minimal_depth_[order] < self.minimal_depth_.mean()]
        return self

    def _risk(self, X: FloatArray) -> FloatArray:
        return self.trees_.predict(X)


def _refuse_beyond_single(X: FloatArray) -> None:
    """Trees compare in single precision, where larger numbers have no value."""
    largest = float(np.abs(X).max(initial=0.0))
    if largest > float(np.finfo(np.float32).max):
        message = f"a value of {largest:.3g} is too large for trees, which compare in single precision; rescale it"
        raise FitError(message)


def _first_splits(tree: Any, n_features: int) -> FloatArray:
    depth = np.zeros(tree.node_count, dtype=int)
    first = np.full(n_features, -1)
    for node in range(tree.node_count):
        for child in (tree.children_left[node], tree.children_right[node]):
            if child >= 0:
                depth[child] = depth[node] + 1
        feature = tree.feature[node]
        if feature >= 0 and (first[feature] < 0 or depth[node] < first[feature]):
            first[feature] = depth[node]
    return np.where(first < 0, depth.max(initial=0), first).astype(float)
