"""Sums of trees as plain arrays: boosting and forests that can be stored, applied and explained."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from imrad.evaluation.outcomes import FloatArray

__all__ = ["TreeSum"]

IntArray = np.ndarray[Any, np.dtype[np.intp]]

_NODES = ("left", "right", "feature", "threshold", "value", "weight")


@dataclass(frozen=True)
class TreeSum:
    """Trees whose leaves' values are added up; nodes of all trees stand one after another.

    Attributes
    ----------
    left, right : ndarray of int, shape (n_nodes,)
        Children, counted from the start of their tree; -1 at a leaf.
    feature : ndarray of int, shape (n_nodes,)
    threshold : ndarray, shape (n_nodes,)
        A patient at or below it, in single precision as the trees were grown, goes left.
    value : ndarray, shape (n_nodes,)
        What a leaf adds.
    weight : ndarray, shape (n_nodes,)
        Training patients that came through.
    start : ndarray of int, shape (n_trees,)
    """

    left: IntArray
    right: IntArray
    feature: IntArray
    threshold: FloatArray
    value: FloatArray
    weight: FloatArray
    start: IntArray

    @classmethod
    def of(cls, trees: Sequence[Any], values: Sequence[FloatArray]) -> Self:
        """Copy scikit-learn's trees (``tree_`` objects), each with what its nodes are worth."""
        sizes = [tree.node_count for tree in trees]
        return cls(
            left=np.concatenate([tree.children_left for tree in trees]),
            right=np.concatenate([tree.children_right for tree in trees]),
            feature=np.concatenate([tree.feature for tree in trees]),
            threshold=np.concatenate([tree.threshold for tree in trees]),
            value=np.concatenate([np.asarray(value, dtype=float) for value in values]),
            weight=np.concatenate([tree.weighted_n_node_samples for tree in trees]),
            start=np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.intp),
        )

    def predict(self, X: FloatArray) -> FloatArray:
        """Return the sum of the leaves' values of each row."""
        limit = float(np.finfo(np.float32).max)
        single = np.clip(X, -limit, limit).astype(np.float32)
        total, rows = np.zeros(len(single)), np.arange(len(single))
        for start in self.start:
            node = np.full(len(single), int(start))
            while (inner := self.left[node] >= 0).any():
                feature = np.where(inner, self.feature[node], 0)
                goes_left = single[rows, feature] <= self.threshold[node]
                below = np.where(goes_left, self.left[node], self.right[node])
                node = np.where(inner, start + below, node)
            total += self.value[node]
        return total

    @property
    def used(self) -> IntArray:
        """Columns that any tree splits on."""
        return np.unique(self.feature[self.left >= 0])

    def shapley(self, X: FloatArray) -> FloatArray:
        """Return Shapley values, shape (n, n_features): a row's values sum to its prediction less the mean.

        A tree's own training patients are the background.

        References
        ----------
        Lundberg et al., 2020, doi:10.1038/s42256-019-0138-9.
        """
        with warnings.catch_warnings():
            # shap prepares colours for drawings that nobody makes here, by functions on their way out.
            warnings.filterwarnings("ignore", category=PendingDeprecationWarning)
            warnings.filterwarnings("ignore", category=DeprecationWarning)
            import shap

        if not len(self.used):
            return np.zeros(np.shape(X))
        trees = []
        for start, end in zip(self.start, [*self.start[1:], len(self.left)], strict=True):
            part = slice(int(start), int(end))
            trees.append(
                {
                    "children_left": self.left[part],
                    "children_right": self.right[part],
                    "children_default": self.left[part],
                    "features": self.feature[part],
                    "thresholds": self.threshold[part],
                    "values": self.value[part, None],
                    "node_sample_weight": self.weight[part],
                }
            )
        found = shap.TreeExplainer({"trees": trees}).shap_values(np.asarray(X, dtype=np.float32))
        return np.asarray(found, dtype=float).reshape(np.shape(X))

    def to_plain(self) -> dict[str, Any]:
        """Return the arrays by name."""
        return {name: getattr(self, name) for name in (*_NODES, "start")}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Self:
        """Rebuild from :meth:`to_plain`.

        Raises
        ------
        ValueError
            If the arrays do not describe trees, such as a child that does not exist.
        """

        def whole(name: str) -> IntArray:
            return np.asarray(plain[name], dtype=np.intp)

        def real(name: str) -> FloatArray:
            return np.asarray(plain[name], dtype=np.float64)

        found = cls(
            left=whole("left"),
            right=whole("right"),
            feature=whole("feature"),
            threshold=real("threshold"),
            value=real("value"),
            weight=real("weight"),
            start=whole("start"),
        )
        found._check()
        return found

    def _check(self) -> None:
        """Refuse trees that would never end or reach beyond their arrays: a stored file may be anyone's."""
        n = len(self.left)
        same = all(getattr(self, name).shape == (n,) for name in _NODES)
        starts = np.array_equal(np.unique(self.start), self.start) and len(self.start) and self.start[0] == 0
        if not same or not starts or self.start[-1] >= n:
            message = "its trees' arrays do not belong together"
            raise ValueError(message)
        ends = np.append(self.start[1:], n)
        tree = np.searchsorted(self.start, np.arange(n), side="right") - 1
        inner = self.left >= 0
        for child in (self.left, self.right):
            at = self.start[tree] + child
            # Children stand after their parents, so every walk ends.
            if (inner & ((at <= np.arange(n)) | (at >= ends[tree]))).any() or (inner & (self.feature < 0)).any():
                message = "its trees have nodes that lead nowhere"
                raise ValueError(message)
