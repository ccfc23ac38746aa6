"""The support vector machine by libsvm's steps, with the probability of SupportVectors.

Each step moves the pair of patients that libsvm's second-order rule chooses, in single-precision
kernels as libsvm keeps them, so that a limit on steps leaves off at the same place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit

from imrad.compiled import compiled
from imrad.phenotype.classifiers import make_classifier
from imrad.phenotype.learners import Job

__all__ = ["VectorsLearner", "vectors_learner"]

Floats = np.ndarray[Any, np.dtype[np.float64]]


@compiled(nogil=True)
def _squared_distances(A: Any, B: Any) -> Any:
    out = np.empty((len(A), len(B)))
    for i in range(len(A)):
        for j in range(len(B)):
            total = 0.0
            for f in range(A.shape[1]):
                one = A[i, f] - B[j, f]
                total += one * one
            out[i, j] = total
    return out


@compiled(nogil=True)
def _solve(kernel: Any, sign: Any, C: float, max_iter: int) -> Any:  # noqa: C901
    """Return the signed weights of the training rows and the threshold rho."""
    n = len(sign)
    alpha = np.zeros(n)
    slope = np.full(n, -1.0)
    limit = max_iter if max_iter >= 0 else max(10_000_000, 100 * n)
    for _ in range(limit):
        top, i, low = -np.inf, -1, -np.inf
        for t in range(n):
            if sign[t] > 0:
                if alpha[t] < C and -slope[t] >= top:
                    top, i = -slope[t], t
            elif alpha[t] > 0 and slope[t] >= top:
                top, i = slope[t], t
        j, most = -1, np.inf
        for t in range(n):
            if sign[t] > 0:
                if alpha[t] <= 0:
                    continue
                away, here = top + slope[t], slope[t]
            else:
                if alpha[t] >= C:
                    continue
                away, here = top - slope[t], -slope[t]
            low = max(low, here)
            if away > 0 and i >= 0:
                bend = 2.0 - 2.0 * float(kernel[i, t])
                gain = -(away * away) / (bend if bend > 0 else 1e-12)
                if gain <= most:
                    most, j = gain, t
        if top + low < 1e-3 or j < 0:
            break
        bend = 2.0 - 2.0 * float(kernel[i, j])
        if bend <= 0:
            bend = 1e-12
        old_i, old_j = alpha[i], alpha[j]
        if sign[i] != sign[j]:
            delta = (-slope[i] - slope[j]) / bend
            apart = alpha[i] - alpha[j]
            alpha[i] += delta
            alpha[j] += delta
            if apart > 0:
                if alpha[j] < 0:
                    alpha[j], alpha[i] = 0.0, apart
            elif alpha[i] < 0:
                alpha[i], alpha[j] = 0.0, -apart
            if apart > 0:
                if alpha[i] > C:
                    alpha[i], alpha[j] = C, C - apart
            elif alpha[j] > C:
                alpha[j], alpha[i] = C, C + apart
        else:
            delta = (slope[i] - slope[j]) / bend
            both = alpha[i] + alpha[j]
            alpha[i] -= delta
            alpha[j] += delta
            if both > C:
                if alpha[i] > C:
                    alpha[i], alpha[j] = C, both - C
            elif alpha[j] < 0:
                alpha[j], alpha[i] = 0.0, both
            if both > C:
                if alpha[j] > C:
                    alpha[j], alpha[i] = C, both - C
            elif alpha[i] < 0:
                alpha[i], alpha[j] = 0.0, both
        move_i, move_j = sign[i] * (alpha[i] - old_i), sign[j] * (alpha[j] - old_j)
        for t in range(n):
            slope[t] += sign[t] * (np.float64(kernel[i, t]) * move_i + np.float64(kernel[j, t]) * move_j)
    upper, lower, free, n_free = np.inf, -np.inf, 0.0, 0
    for t in range(n):
        here = sign[t] * slope[t]
        if alpha[t] >= C:
            if sign[t] < 0:
                upper = min(upper, here)
            else:
                lower = max(lower, here)
        elif alpha[t] <= 0:
            if sign[t] > 0:
                upper = min(upper, here)
            else:
                lower = max(lower, here)
        else:
            n_free += 1
            free += here
    return alpha * sign, free / n_free if n_free > 0 else (upper + lower) / 2


@compiled(nogil=True)
def _platt_loss(margins: Any, goal: Any, slope: float, shift: float) -> Any:
    total = 0.0
    for i in range(len(margins)):
        value = slope * margins[i] + shift
        total += max(value, 0.0) + np.log1p(np.exp(-abs(value))) - goal[i] * value
    return total


@compiled(nogil=True)
def _platt(margins: Any, y: Any) -> Any:
    """Return slope and intercept of the sigmoid; nearly flat where the margins say nothing."""
    n = len(y)
    n_high = y.sum()
    n_low = n - n_high
    goal = np.empty(n)
    for i in range(n):
        goal[i] = (n_high + 1) / (n_high + 2) if y[i] == 1 else 1 / (n_low + 2)
    flat = np.log((n_high + 1) / (n_low + 1))
    a, b = 0.0, flat
    for _ in range(100):
        ga, gb, haa, hab, hbb = 0.0, 0.0, 1e-12, 0.0, 1e-12
        for i in range(n):
            chance = 1 / (1 + np.exp(-(a * margins[i] + b)))
            away, weight = chance - goal[i], chance * (1 - chance)
            ga += away * margins[i]
            gb += away
            haa += weight * margins[i] * margins[i]
            hab += weight * margins[i]
            hbb += weight
        if max(abs(ga), abs(gb)) < 1e-8:
            break
        det = haa * hbb - hab * hab
        if det <= 0:
            break
        da, db = (hbb * ga - hab * gb) / det, (haa * gb - hab * ga) / det
        size, before = 1.0, _platt_loss(margins, goal, a, b)
        while size > 1e-10 and _platt_loss(margins, goal, a - size * da, b - size * db) > before - 1e-4 * size * (
            ga * da + gb * db
        ):
            size /= 2
        a, b = a - size * da, b - size * db
    if a <= 0:
        return 1e-3, flat
    return a, b


@compiled(nogil=True)
def _width(X: Any, rows: Any) -> Any:
    """Return the kernel width that scikit-learn calls "scale"."""
    size = len(rows) * X.shape[1]
    total = 0.0
    for i in rows:
        for f in range(X.shape[1]):
            total += X[i, f]
    mean = total / size
    spread = 0.0
    for i in rows:
        for f in range(X.shape[1]):
            spread += (X[i, f] - mean) ** 2
    return size / (X.shape[1] * spread) if spread > 0 else 1.0


@compiled(nogil=True)
def _fit(apart: Any, width: float, y: Any, rows: Any, C: float, max_iter: int) -> Any:
    """Return the weights of all rows, zero outside `rows`, and the threshold."""
    # libsvm puts the rows of the first class, whose sign is +1, before the other's.
    n = len(rows)
    grouped = np.empty(n, np.int64)
    sign = np.empty(n)
    place = 0
    for number in range(2):
        for i in rows:
            if y[i] == number:
                grouped[place] = i
                sign[place] = 1.0 - 2.0 * number
                place += 1
    kernel = np.empty((n, n), np.float32)
    for a in range(n):
        for b in range(a + 1):
            kernel[a, b] = np.exp(-width * apart[grouped[a], grouped[b]])
            kernel[b, a] = kernel[a, b]
    weights, rho = _solve(kernel, sign, C, max_iter)
    out = np.zeros(len(y))
    for a in range(n):
        out[grouped[a]] = -weights[a]
    return out, -rho


@compiled(nogil=True)
def _margin(apart: Any, width: float, weights: Any, rho: float) -> Any:
    """Return the margin of one row, by its squared distances to the training rows."""
    total = 0.0
    for j in range(len(weights)):
        if weights[j] != 0:
            total += weights[j] * np.exp(-width * apart[j])
    return total - rho


@compiled(nogil=True)
def _predict(X: Any, y: Any, new: Any, C: float, max_iter: int, n_folds: int) -> Any:
    """Return the log odds of the new rows."""
    n = len(y)
    apart = _squared_distances(X, X)
    every = np.arange(n)
    width = _width(X, every)
    weights, rho = _fit(apart, width, y, every, C, max_iter)
    margins = np.empty(n)
    if n_folds < 2:
        for i in range(n):
            margins[i] = _margin(apart[i], width, weights, rho)
    else:
        place = np.empty(n, np.int64)
        dealt = np.zeros(2, np.int64)
        for i in range(n):
            place[i] = dealt[y[i]] % n_folds
            dealt[y[i]] += 1
        for fold in range(n_folds):
            kept = np.flatnonzero(place != fold)
            narrow = _width(X, kept)
            part, threshold = _fit(apart, narrow, y, kept, C, max_iter)
            for i in range(n):
                if place[i] == fold:
                    margins[i] = _margin(apart[i], narrow, part, threshold)
    slope, shift = _platt(margins, y)
    far = _squared_distances(new, X)
    out = np.empty(len(new))
    for i in range(len(new)):
        out[i] = slope * _margin(far[i], width, weights, rho) + shift
    return out


@dataclass(frozen=True)
class VectorsLearner:
    """:class:`~imrad.phenotype.SupportVectors` with a kernel matrix computed once for all its fits.

    Attributes
    ----------
    C : float
        Cost of a margin violation.
    max_iter : int
        Limit on the steps of a fit; -1 for none.
    n_folds : int
        Folds for the sigmoid; fewer where a class is smaller.

    References
    ----------
    Fan RE, Chen PH, Lin CJ. Working set selection using second order information. JMLR 2005;6:1889-1918.
    Chang CC, Lin CJ. doi:10.1145/1961189.1961199.
    """

    C: float
    max_iter: int
    n_folds: int

    def predict_many(self, jobs: Sequence[Job]) -> list[Floats]:
        """Fit each job and return P(class 1) of its new rows."""
        out = []
        for job in jobs:
            X, new = (np.ascontiguousarray(rows, dtype=np.float64) for rows in (job.X, job.X_new))
            y = np.asarray(job.y, dtype=np.int64)
            n_folds = min(self.n_folds, int(np.bincount(y).min()))
            out.append(np.asarray(expit(_predict(X, y, new, self.C, self.max_iter, n_folds))))
        return out


def vectors_learner(defaults: str) -> VectorsLearner:
    """Return the learner with a named set of settings."""
    settings = make_classifier("svm", defaults=defaults).get_params()
    return VectorsLearner(settings["C"], settings["max_iter"], settings["n_folds"])
