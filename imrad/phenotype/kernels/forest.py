"""Random forests on features that are sorted once.

Bootstrap samples, the features tried in a node and the Gini gain are scikit-learn's, drawn from the
same streams of numbers; counts are whole, so that the trees are equal and not only alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from imrad.compiled import compiled
from imrad.phenotype.classifiers import make_classifier
from imrad.phenotype.kernels.tree_draws import RAND_R_MAX, draw_feature
from imrad.phenotype.learners import Job

__all__ = ["ForestLearner", "forest_learner"]

Floats = np.ndarray[Any, np.dtype[np.float64]]


@compiled(nogil=True)
def _grow(  # noqa: C901 (a split into calls costs half the speed)
    X: Any, y: Any, order: Any, new: Any, counts: Any, seeds: Any, n_tried: int, min_split: int, min_leaf: int
) -> Any:
    n, p = X.shape
    gap = np.float32(1e-7)
    feature = np.empty(2 * n, np.int64)
    threshold = np.empty(2 * n)
    child = np.empty((2 * n, 2), np.int64)
    share = np.empty(2 * n)
    stack = np.empty((2 * n, 3), np.int64)
    known = np.empty(2 * n, np.int64)
    home = np.empty(n, np.int64)
    ranks = np.empty(n, np.int64)
    features = np.empty(p, np.int64)
    constant = np.empty(p, np.int64)
    state = np.empty(1, np.uint32)
    out = np.zeros(len(new))
    for tree in range(len(seeds)):
        drawn = counts[tree]
        size = 0
        for i in range(n):
            home[i] = 0 if drawn[i] > 0 else -1
            size += drawn[i] > 0
        for f in range(p):
            features[f] = f
        state[0] = seeds[tree]
        n_nodes, waiting = 1, 1
        stack[0, 0], stack[0, 1], stack[0, 2] = 0, size, 0
        known[0] = 0
        while waiting > 0:
            waiting -= 1
            node, m, n_known = stack[waiting, 0], stack[waiting, 1], stack[waiting, 2]
            whole, high = 0, 0
            for i in range(n):
                if home[i] == node:
                    whole += drawn[i]
                    high += drawn[i] * y[i]
            share[node] = high / whole
            best, best_feature, cut = -np.inf, -1, 0.0
            n_constant = n_known
            if m >= min_split and m >= 2 * min_leaf and 0 < high < whole:
                f_i, n_found, n_drawn, n_visited = p, 0, 0, 0
                while f_i > n_constant and (n_visited < n_tried or n_visited <= n_found + n_drawn):
                    n_visited += 1
                    f_j = draw_feature(state, n_drawn, f_i - n_found)
                    if f_j < n_known:
                        features[n_drawn], features[f_j] = features[f_j], features[n_drawn]
                        n_drawn += 1
                        continue
                    f_j += n_found
                    f = features[f_j]
                    place = 0
                    for j in range(n):
                        one = order[f, j]
                        ranks[place] = one
                        place += home[one] == node
                        if place == m:
                            break
                    if X[ranks[m - 1], f] <= X[ranks[0], f] + gap:
                        features[f_j], features[n_constant] = features[n_constant], features[f_j]
                        n_found += 1
                        n_constant += 1
                        continue
                    f_i -= 1
                    features[f_i], features[f_j] = features[f_j], features[f_i]
                    left, left_high = 0, 0
                    for j in range(m - 1):
                        one = ranks[j]
                        left += drawn[one]
                        left_high += drawn[one] * y[one]
                        if X[ranks[j + 1], f] <= X[one, f] + gap:
                            continue
                        if j + 1 < min_leaf or m - j - 1 < min_leaf:
                            continue
                        right, right_high = whole - left, high - left_high
                        left_low, right_low = left - left_high, right - right_high
                        # In scikit-learn's order of operations, whose rounding settles the ties.
                        left_gini = 1 - (left_high * left_high + left_low * left_low) / (left * left)
                        right_gini = 1 - (right_high * right_high + right_low * right_low) / (right * right)
                        gain = -right * right_gini - left * left_gini
                        if gain > best:
                            best, best_feature = gain, f
                            below, above = np.float64(X[one, f]), np.float64(X[ranks[j + 1], f])
                            cut = below / 2 + above / 2
                            if cut == above:
                                cut = below
                for j in range(n_known):
                    features[j] = constant[j]
                for j in range(n_known, n_known + n_found):
                    constant[j] = features[j]
            if best_feature < 0:
                feature[node] = -1
                continue
            feature[node], threshold[node] = best_feature, cut
            child[node, 0], child[node, 1] = n_nodes, n_nodes + 1
            n_left = 0
            for i in range(n):
                if home[i] == node:
                    goes = X[i, best_feature] <= cut
                    home[i] = n_nodes if goes else n_nodes + 1
                    n_left += goes
            # The left child is put on top, to be grown first.
            stack[waiting, 0], stack[waiting, 1], stack[waiting, 2] = n_nodes + 1, m - n_left, n_constant
            stack[waiting + 1, 0], stack[waiting + 1, 1], stack[waiting + 1, 2] = n_nodes, n_left, n_constant
            waiting += 2
            n_nodes += 2
        for i in range(len(new)):
            node = 0
            while feature[node] >= 0:
                node = child[node, 0] if new[i, feature[node]] <= threshold[node] else child[node, 1]
            out[i] += share[node]
    return out / len(seeds)


@dataclass(frozen=True)
class ForestLearner:
    """Trees on bootstrap samples, each node choosing among sqrt(features) of them.

    Attributes
    ----------
    n_trees : int
        Number of trees.
    min_split, min_leaf : int
        Patients that a node must have to be split, and a leaf to be made.

    References
    ----------
    Breiman L. doi:10.1023/A:1010933404324.
    """

    n_trees: int
    min_split: int
    min_leaf: int

    def predict_many(self, jobs: Sequence[Job]) -> list[Floats]:
        """Fit each job and return P(class 1) of its new rows."""
        out = []
        for job in jobs:
            n, p = job.X.shape
            counts, seeds = _draws(job.seed, n, self.n_trees)
            X, new = (np.ascontiguousarray(rows, dtype=np.float32) for rows in (job.X, job.X_new))
            order = np.ascontiguousarray(np.argsort(X, axis=0, kind="stable").T)
            y = np.asarray(job.y, dtype=np.int64)
            tried = max(1, int(np.sqrt(p)))
            out.append(np.asarray(_grow(X, y, order, new, counts, seeds, tried, self.min_split, self.min_leaf)))
        return out


@lru_cache(maxsize=256)
def _draws(seed: int, n: int, n_trees: int) -> tuple[Any, Any]:
    """Return how often each tree drew each patient, and the seeds of their splitters."""
    own_seeds = np.random.RandomState(seed).randint(np.iinfo(np.int32).max, size=n_trees)
    stream = np.random.RandomState(0)
    counts = np.empty((n_trees, n), dtype=np.int64)
    seeds = np.empty(n_trees, dtype=np.uint32)
    for tree, own in enumerate(own_seeds):
        stream.seed(own)
        counts[tree] = np.bincount(stream.randint(0, n, n, dtype=np.int32), minlength=n)
        stream.seed(own)
        seeds[tree] = stream.randint(0, RAND_R_MAX)
    return counts, seeds


def forest_learner(defaults: str) -> ForestLearner:
    """Return the learner with a named set of settings."""
    settings = make_classifier("random_forest", defaults=defaults).get_params()
    return ForestLearner(settings["n_estimators"], settings["min_samples_split"], settings["min_samples_leaf"])
