"""A random forest on the principal components of wide blocks, kept as plain arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd
from scipy import special

from imrad.evaluation.outcomes import BoolArray, FloatArray
from imrad.seeds import generator
from imrad.survival.binary_design import Design
from imrad.survival.trees import TreeSum

if TYPE_CHECKING:
    from imrad.survival.binary_design import Rows
    from imrad.survival.binary_models import BinaryModel

__all__ = ["Components", "FittedForest", "fit_forest"]

TREES = 500
LEAST_LEAF = 3


@dataclass(frozen=True)
class Components:
    """Standardised columns turned to their first principal components, learnt on training rows.

    Attributes
    ----------
    mean, scale : ndarray, shape (n_columns,)
    axes : ndarray, shape (n_components, n_columns)
        Empty where columns are used as they are.
    explained : ndarray, shape (n_components,)
        Share of the variance.
    """

    mean: FloatArray
    scale: FloatArray
    axes: FloatArray
    explained: FloatArray

    @classmethod
    def learn(cls, x: FloatArray, n_components: int) -> Self:
        """Learn means, spreads and, where a number of components is given, their directions."""
        mean, sd = x.mean(axis=0), x.std(axis=0)
        scale = np.where(sd > 0, sd, 1.0)
        if not n_components:
            return cls(mean, scale, np.zeros((0, x.shape[1])), np.zeros(0))
        _, size, axes = np.linalg.svd((x - mean) / scale, full_matrices=False)
        n = min(n_components, max(int((size > 1e-9 * max(size[0], 1e-300)).sum()), 1))
        axes = axes[:n]
        # The sign of a component means nothing: its largest weight is made positive.
        axes = axes * np.sign(axes[np.arange(n), np.abs(axes).argmax(axis=1)])[:, None]
        return cls(mean, scale, axes, size[:n] ** 2 / max(float((size**2).sum()), 1e-300))

    def apply(self, x: FloatArray) -> FloatArray:
        """Return components, or standardised columns where there are none."""
        z = (x - self.mean) / self.scale
        return np.asarray(z @ self.axes.T if len(self.axes) else z)


@dataclass(frozen=True)
class FittedForest:
    """A forest over blocks, whose value is the log odds of the share of its votes.

    Attributes
    ----------
    design : Design
        How the blocks become columns.
    components : Components
    trees : TreeSum
        Whose nodes' values are shares of outcome 1.
    """

    design: Design
    components: Components
    trees: TreeSum

    @property
    def inputs(self) -> list[str]:
        """Names of what the trees split on."""
        if len(self.components.axes):
            return [f"PC{number + 1}" for number in range(len(self.components.axes))]
        return self.design.names

    def matrix(self, tables: Mapping[str, pd.DataFrame]) -> FloatArray:
        """Return what the trees split on, shape (n_patients, n_inputs)."""
        return self.components.apply(self.design.apply(tables))

    def value(self, tables: Mapping[str, pd.DataFrame]) -> FloatArray:
        """Return the log odds of the mean share of outcome 1 in the leaves."""
        share = self.votes(self.matrix(tables))
        edge = 0.5 / (len(self.trees.start) + 1)
        return np.asarray(special.logit(np.clip(share, edge, 1 - edge)))

    def votes(self, x: FloatArray) -> FloatArray:
        """Return the mean share of outcome 1 in the leaves."""
        return np.asarray(self.trees.predict(x) / len(self.trees.start))

    def shapley(self, x: FloatArray) -> FloatArray:
        """Return Shapley values of the share of votes, shape (n_patients, n_inputs); doi:10.1038/s42256-019-0138-9.

        A tree's own patients are the background, so the values of one patient and the mean add up to its votes.
        """
        return np.asarray(self.trees.shapley(x) / len(self.trees.start))

    def to_plain(self) -> dict[str, Any]:
        """Return all that prediction needs, as plain values and arrays."""
        return {
            "kind": "forest",
            **self.design.to_plain(),
            "mean": self.components.mean,
            "scale": self.components.scale,
            "axes": self.components.axes,
            "explained": self.components.explained,
            **{"share" if name == "value" else name: array for name, array in self.trees.to_plain().items()},
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Self:
        """Rebuild a forest from :meth:`to_plain`."""
        parts = (np.asarray(plain[name], dtype=float) for name in ("mean", "scale", "axes", "explained"))
        trees = TreeSum.from_plain({**plain, "value": plain["share"]})
        return cls(Design.from_plain(plain), Components(*parts), trees)


def fit_forest(model: BinaryModel, rows: Rows, y: BoolArray) -> FittedForest:
    """Fit components and a forest on training rows."""
    from sklearn.ensemble import RandomForestClassifier

    design = Design.learn(replace(model, screening={}), rows, y)
    x = design.apply(rows.tables)
    components = Components.learn(x, model.components)
    seed = int(generator(model.seed, "binary/forest", model.name).integers(2**31 - 1))
    forest = RandomForestClassifier(n_estimators=TREES, min_samples_leaf=LEAST_LEAF, random_state=seed, n_jobs=1)
    forest.fit(components.apply(x), y)
    column = list(forest.classes_).index(True)
    grown = [tree.tree_ for tree in forest.estimators_]
    shares = [tree.value[:, 0, column] / tree.value[:, 0, :].sum(axis=1) for tree in grown]
    return FittedForest(design, components, TreeSum.of(grown, shares))
