"""A network of one hidden layer, trained by Adam as scikit-learn's MLPClassifier trains it.

Same first weights, batches, loss and stopping rule, in single precision and in one compiled loop.
Up to 200 patients make one batch, so that the order of the rows does not matter.
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

__all__ = ["NetworkLearner", "network_learner"]

Floats = np.ndarray[Any, np.dtype[np.float64]]


# Inlined, since a copy of its own, rounded otherwise, would be called where both were compiled in this process
# and not where they were read from disk.
@compiled(nogil=True, error_model="numpy", forceinline=True)
def _adam(weights: Any, slope: Any, mean: Any, square: Any, rate: Any) -> None:
    one, b1, b2, tiny = np.float32(1), np.float32(0.9), np.float32(0.999), np.float32(1e-8)
    for i in range(weights.size):
        mean[i] = b1 * mean[i] + (one - b1) * slope[i]
        square[i] = b2 * square[i] + (one - b2) * (slope[i] * slope[i])
        weights[i] -= rate * mean[i] / (np.sqrt(square[i]) + tiny)


@compiled(nogil=True, error_model="numpy", fastmath={"reassoc", "contract"})
def _train(X: Any, y: Any, W: Any, v: Any, orders: Any, batch: int, n_iter: int, alpha: float, tol: float) -> Any:  # noqa: C901
    """Train in place: W (features + 1) x hidden, its last row the bias; v hidden + 1, its last entry the bias."""
    n, p = X.shape
    hidden = W.shape[1]
    whole = batch >= n
    slope_W, slope_v = np.zeros_like(W), np.zeros_like(v)
    mean_W, square_W = np.zeros(W.size, np.float32), np.zeros(W.size, np.float32)
    mean_v, square_v = np.zeros_like(v), np.zeros_like(v)
    flat_W, flat_slope = W.reshape(-1), slope_W.reshape(-1)
    Xb, yb = X[:batch].copy(), y[:batch].copy()
    Xt = np.ascontiguousarray(Xb.T)
    H = np.empty((batch, hidden), np.float32)
    core = W[:p]
    grad = slope_W[:p]
    zero = np.float32(0)
    shrink = np.float32(alpha)
    best, idle, step = np.inf, 0, 0
    for epoch in range(n_iter):
        summed = 0.0
        for first in range(0, n, batch):
            size = min(batch, n - first)
            if not whole:
                for i in range(size):
                    drawn = orders[epoch, first + i]
                    for f in range(p):
                        Xb[i, f] = X[drawn, f]
                    yb[i] = y[drawn]
                for i in range(size, batch):
                    Xb[i] = zero
                Xt = np.ascontiguousarray(Xb.T)
            np.dot(Xb, core, H)
            loss = 0.0
            slope_v[:] = zero
            slope_W[p] = zero
            bias = W[p]
            for i in range(batch):
                row = H[i]
                if i >= size:
                    row[:] = zero
                    continue
                out = v[hidden]
                for h in range(hidden):
                    one = max(row[h] + bias[h], zero)
                    row[h] = one
                    out += one * v[h]
                value = np.float64(out)
                truth = np.float64(yb[i])
                # ln(1 + e^value) without overflow.
                odds = np.exp(-abs(value))
                loss += max(value, 0.0) - truth * value + np.log1p(odds)
                chance = 1 / (1 + odds) if value >= 0 else odds / (1 + odds)
                delta = np.float32(chance - truth)
                slope_v[hidden] += delta
                last = slope_W[p]
                for h in range(hidden):
                    slope_v[h] += delta * row[h]
                    inner = delta * v[h] if row[h] > zero else zero
                    row[h] = inner
                    last[h] += inner
            np.dot(Xt, H, grad)
            penalty = 0.0
            for f in range(p):
                for h in range(hidden):
                    penalty += W[f, h] * W[f, h]
                    slope_W[f, h] += shrink * W[f, h]
            for h in range(hidden):
                penalty += v[h] * v[h]
                slope_v[h] += shrink * v[h]
            per = np.float32(1.0 / size)
            for i in range(flat_slope.size):
                flat_slope[i] *= per
            for i in range(slope_v.size):
                slope_v[i] *= per
            summed += loss + 0.5 * alpha * penalty
            step += 1
            rate = np.float32(0.001 * np.sqrt(1 - 0.999**step) / (1 - 0.9**step))
            _adam(flat_W, flat_slope, mean_W, square_W, rate)
            _adam(v, slope_v, mean_v, square_v, rate)
        summed /= n
        idle = idle + 1 if summed > best - tol else 0
        best = min(best, summed)
        if idle > 10:
            break
    return step


@dataclass(frozen=True)
class NetworkLearner:
    """Rectified hidden units, logistic output, Adam.

    Attributes
    ----------
    n_hidden, n_iter : int
        Hidden units; passes over the rows at most.
    alpha : float
        Weight of the squared coefficients in the loss.
    tol : float
        Training ends when the loss has not fallen by as much in ten passes.

    References
    ----------
    Kingma DP, Ba J. Adam: a method for stochastic optimization, ICLR 2015.
    """

    n_hidden: int
    n_iter: int
    alpha: float
    tol: float

    def predict_many(self, jobs: Sequence[Job]) -> list[Floats]:
        """Fit each job and return P(class 1) of its new rows."""
        starts: dict[tuple[int, int, int], Any] = {}
        out = []
        for job in jobs:
            key = (job.seed, *job.X.shape)
            if key not in starts:
                starts[key] = self._start(*key)
            W, v, orders = starts[key]
            W, v = W.copy(), v.copy()
            X, y = np.ascontiguousarray(job.X, dtype=np.float32), np.asarray(job.y, dtype=np.float32)
            _train(X, y, W, v, orders, min(200, len(X)), self.n_iter, self.alpha, self.tol)
            inner = np.maximum(job.X_new @ W[:-1].astype(np.float64) + W[-1], 0)
            out.append(np.asarray(expit(inner @ v[:-1].astype(np.float64) + v[-1])))
        return out

    def _start(self, seed: int, n: int, p: int) -> tuple[Any, Any, Any]:
        """Return the first weights and, where there are several batches, the orders of the rows."""
        rng = np.random.RandomState(seed)
        wide, narrow = np.sqrt(6 / (p + self.n_hidden)), np.sqrt(6 / (self.n_hidden + 1))
        W = rng.uniform(-wide, wide, (p + 1, self.n_hidden)).astype(np.float32)
        v = rng.uniform(-narrow, narrow, self.n_hidden + 1).astype(np.float32)
        orders = np.zeros((1, 1), dtype=np.int64)
        if n > 200:
            orders = np.empty((self.n_iter, n), dtype=np.int64)
            rows = np.arange(n)
            for epoch in range(self.n_iter):
                places = np.arange(n)
                rng.shuffle(places)
                rows = rows[places]
                orders[epoch] = rows
        return W, v, orders


def network_learner(defaults: str) -> NetworkLearner:
    """Return the learner with a named set of settings."""
    settings = make_classifier("neural_network", defaults=defaults).get_params()
    (n_hidden,) = settings["hidden_layer_sizes"]
    return NetworkLearner(n_hidden, settings["max_iter"], settings["alpha"], settings["tol"])
