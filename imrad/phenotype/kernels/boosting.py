"""Gradient boosting of shallow trees on features that are sorted once.

The trees, their visiting order of the features and the Newton step of their leaves are those of
scikit-learn's GradientBoostingClassifier. It sorts every feature in every node; here each is sorted
once, and its order is split with the node. Two features that part a node's patients in the same way
tie but for rounding, so that single trees may differ; that is all that differs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from imrad.compiled import compiled
from imrad.phenotype.classifiers import make_classifier
from imrad.phenotype.kernels.tree_draws import draw_feature, splitter_seeds
from imrad.phenotype.learners import Job

__all__ = ["BoostingLearner", "boosting_learner"]

Floats = np.ndarray[Any, np.dtype[np.float64]]


@compiled(nogil=True)
def _pairwise_sum(values: Any, n: int) -> Any:
    """Return the sum of the first n in NumPy's order of additions (up to 128): leaves equal scikit-learn's bits."""
    total = 0.0
    if n < 8:
        for i in range(n):
            total += values[i]
        return total
    part = np.empty(8)
    for j in range(8):
        part[j] = values[j]
    i = 8
    while i < n - n % 8:
        for j in range(8):
            part[j] += values[i + j]
        i += 8
    total = ((part[0] + part[1]) + (part[2] + part[3])) + ((part[4] + part[5]) + (part[6] + part[7]))
    for j in range(i, n):
        total += values[j]
    return total


@compiled(nogil=True)
def _boost(X: Any, y: Any, order: Any, tied: Any, new: Any, seeds: Any, max_depth: int, rate: float) -> Any:  # noqa: C901 (a split into calls costs half the speed)
    n, p = X.shape
    gap = np.float32(1e-7)
    most_nodes = 2 ** (max_depth + 1)
    feature = np.empty(most_nodes, np.int64)
    threshold = np.empty(most_nodes)
    child = np.empty((most_nodes, 2), np.int64)
    value = np.empty(most_nodes)
    # Nodes that wait: number, first and past-the-last place, depth, constant features known.
    stack = np.empty((most_nodes, 5), np.int64)
    work = np.empty((p, n), np.int32)
    spare = np.empty(n + 1, np.int32)
    inside = np.zeros(n, np.bool_)
    slopes = np.empty(n)
    curves = np.empty(n)
    keep = np.empty(n + 1, np.int32)
    samples = np.empty(n, np.int64)
    goes_left = np.empty(n, np.int32)
    weight = np.empty(n + 1)
    residual = np.empty(n)
    curve = np.empty(n)
    features = np.empty(p, np.int64)
    constant = np.empty(p, np.int64)
    state = np.empty(1, np.uint32)
    share = y.sum() / n
    start_raw = np.log(share / (1 - share))
    raw = np.full(n, start_raw)
    out = np.full(len(new), start_raw)
    for tree in range(len(seeds)):
        for i in range(n):
            if raw[i] > -37:
                odds = np.exp(-raw[i])
                residual[i] = -(((1 - y[i]) - y[i] * odds) / (1 + odds))
            else:
                residual[i] = y[i] - np.exp(raw[i])
            probability = y[i] - residual[i]
            curve[i] = probability * (1 - probability)
            samples[i] = i
        for f in range(p):
            features[f] = f
            for j in range(n):
                work[f, j] = order[f, j]
        state[0] = seeds[tree]
        n_nodes, waiting = 1, 1
        stack[0, 0], stack[0, 1], stack[0, 2], stack[0, 3], stack[0, 4] = 0, 0, n, 0, 0
        while waiting > 0:
            waiting -= 1
            node, first, last, depth = stack[waiting, 0], stack[waiting, 1], stack[waiting, 2], stack[waiting, 3]
            n_known = stack[waiting, 4]
            m = last - first
            total, squares = 0.0, 0.0
            for j in range(first, last):
                one = residual[samples[j]]
                total += one
                squares += one * one
            mean = total / m
            best, best_feature, best_place = -1.0, -1, 0
            bar, slack = -1.0, 1e-13 * squares
            if depth < max_depth and m >= 2 and squares / m - mean * mean > 2.220446049250313e-16:
                # The gain above that of no split screens; where it is near the best, scikit-learn's own
                # formula decides, whose rounding settles the ties.
                for j in range(1, m):
                    weight[j] = m / (j * (m - j))
                f_i, n_found, n_drawn, n_constant, visited = p, 0, 0, n_known, -1
                while f_i > n_constant:
                    f_j = draw_feature(state, n_drawn, f_i - n_found)
                    if f_j < n_known:
                        features[n_drawn], features[f_j] = features[f_j], features[n_drawn]
                        n_drawn += 1
                        continue
                    f_j += n_found
                    f = features[f_j]
                    visited = f
                    ranks = work[f]
                    if X[ranks[last - 1], f] <= X[ranks[first], f] + gap:
                        features[f_j], features[n_constant] = features[n_constant], features[f_j]
                        n_found += 1
                        n_constant += 1
                        continue
                    f_i -= 1
                    features[f_i], features[f_j] = features[f_j], features[f_i]
                    left, expected = 0.0, 0.0
                    if tied[f]:
                        for j in range(first, last - 1):
                            left += residual[ranks[j]]
                            if X[ranks[j + 1], f] <= X[ranks[j], f] + gap:
                                continue
                            done = j - first + 1
                            away = left - done * mean
                            gain = away * away * weight[done]
                            if gain > bar:
                                right = total - left
                                exact = left * left / done + right * right / (m - done)
                                if exact > best:
                                    best, best_feature, best_place = exact, f, j
                                    bar = gain - 1e-9 * gain - slack
                    else:
                        for j in range(first, last - 1):
                            left += residual[ranks[j]]
                            expected += mean
                            away = left - expected
                            gain = away * away * weight[j - first + 1]
                            if gain > bar:
                                right, done = total - left, j - first + 1
                                exact = left * left / done + right * right / (m - done)
                                if exact > best:
                                    best, best_feature, best_place = exact, f, j
                                    bar = gain - 1e-9 * gain - slack
                for j in range(n_known):
                    features[j] = constant[j]
                for j in range(n_known, n_known + n_found):
                    constant[j] = features[j]
            if best_feature < 0:
                # In the rows' order, as scikit-learn adds them.
                for j in range(first, last):
                    inside[samples[j]] = True
                held = 0
                for i in range(n):
                    if inside[i]:
                        slopes[held], curves[held] = residual[i], curve[i]
                        held += 1
                        inside[i] = False
                top = _pairwise_sum(slopes, m) / m
                bottom = _pairwise_sum(curves, m) / m
                step = 0.0 if abs(bottom) < 1e-150 else rate * (top / bottom)
                feature[node], value[node] = -1, step
                for j in range(first, last):
                    raw[samples[j]] += step
                continue
            low = np.float64(X[work[best_feature, best_place], best_feature])
            high = np.float64(X[work[best_feature, best_place + 1], best_feature])
            cut = low / 2 + high / 2
            if cut == high:
                cut = low
            for j in range(first, last):
                samples[j] = work[visited, j]
                goes_left[samples[j]] = 1 if X[samples[j], best_feature] <= cut else 0
            place, end = first, last
            while place < end:
                if goes_left[samples[place]] == 1:
                    place += 1
                else:
                    end -= 1
                    samples[place], samples[end] = samples[end], samples[place]
            if depth + 1 < max_depth:
                for f in range(p):
                    ranks = work[f]
                    a, b = 0, 0
                    for j in range(first, last):
                        one = ranks[j]
                        goes = goes_left[one]
                        keep[a] = one
                        spare[b] = one
                        a += goes
                        b += 1 - goes
                    for j in range(a):
                        ranks[first + j] = keep[j]
                    for j in range(b):
                        ranks[first + a + j] = spare[j]
            feature[node], threshold[node] = best_feature, cut
            child[node, 0], child[node, 1] = n_nodes, n_nodes + 1
            for side in range(2):
                # The left child is put on top, to be grown first.
                at = waiting + 1 - side
                stack[at, 0] = n_nodes + side
                stack[at, 1] = first if side == 0 else place
                stack[at, 2] = place if side == 0 else last
                stack[at, 3] = depth + 1
                stack[at, 4] = n_constant
            waiting += 2
            n_nodes += 2
        for i in range(len(new)):
            node = 0
            while feature[node] >= 0:
                node = child[node, 0] if new[i, feature[node]] <= threshold[node] else child[node, 1]
            out[i] += value[node]
    return 1 / (1 + np.exp(-out))


@dataclass(frozen=True)
class BoostingLearner:
    """Boosted trees of a fixed depth on the log loss.

    Attributes
    ----------
    n_trees, max_depth : int
        Number of trees, and their depth.
    rate : float
        Learning rate.

    References
    ----------
    Friedman JH. doi:10.1214/aos/1013203451.
    """

    n_trees: int
    max_depth: int
    rate: float

    def predict_many(self, jobs: Sequence[Job]) -> list[Floats]:
        """Fit each job and return P(class 1) of its new rows."""
        seeds: dict[int, Any] = {}
        out = []
        for job in jobs:
            if job.seed not in seeds:
                seeds[job.seed] = splitter_seeds(job.seed, self.n_trees)
            X, new = (np.ascontiguousarray(rows, dtype=np.float32) for rows in (job.X, job.X_new))
            order = np.argsort(X, axis=0, kind="stable")
            steps = np.take_along_axis(X, order, axis=0)
            tied = (steps[1:] <= steps[:-1] + np.float32(1e-7)).any(axis=0)
            ranks = np.ascontiguousarray(order.T, dtype=np.int32)
            y = np.asarray(job.y, dtype=np.float64)
            out.append(np.asarray(_boost(X, y, ranks, tied, new, seeds[job.seed], self.max_depth, self.rate)))
        return out


def boosting_learner(defaults: str) -> BoostingLearner:
    """Return the learner with a named set of settings."""
    settings = make_classifier("gradient_boosting", defaults=defaults).get_params()
    return BoostingLearner(settings["n_estimators"], settings["max_depth"], settings["learning_rate"])
