"""Orange's feature scores for all features and many targets at once, from one-hot matrix products.

Counts are whole numbers and n log2 n is kept in fixed point, so that scores of equal contingency
tables are equal to the last bit, in any order of summation: ties are true ties.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["ContingencyScores", "top_k"]

Floats = np.ndarray[Any, np.dtype[np.float64]]
Ints = np.ndarray[Any, np.dtype[np.int64]]

_ONE = 1 << 36  # fixed point: 2**36 leaves room for n log2 n up to n = 5,000,000
_FINE = 1 << 40  # sums of squares over counts stay below n


def _entropy_table(n: int) -> Ints:
    k = np.arange(n + 1, dtype=float)
    k[0] = 1.0
    table: Ints = np.rint(np.arange(n + 1) * np.log2(k) * _ONE).astype(np.int64)
    return table


class ContingencyScores:
    """Scores of binned training rows against 0/1 targets.

    Parameters
    ----------
    codes : ndarray of int, patients x features
        Bins of the training rows, -1 where missing.
    n_bins : int
        Number of bins.

    Notes
    -----
    Every score takes `Y` as patients x targets of 0/1, or as one vector of class numbers, and
    returns features x targets.

    References
    ----------
    Orange data mining: InfoGain, GainRatio, Gini, FCBF.
    Yu L, Liu H. Feature selection for high-dimensional data: a fast correlation-based filter
    solution. ICML 2003:856-863.
    """

    def __init__(self, codes: np.ndarray[Any, Any], n_bins: int = 4) -> None:
        self.n, self.p = codes.shape
        self.n_bins = n_bins
        # float32 holds every count below 2**24 exactly and halves the cost of the products.
        self._hot = (codes[:, :, None] == np.arange(n_bins)).reshape(self.n, -1).astype(np.float32)
        self._table = _entropy_table(self.n)
        self._bins = self._hot.sum(axis=0).astype(np.int64).reshape(self.p, n_bins)
        self._valid = self._bins.sum(axis=1)
        self._bin_sum = self._table[self._bins].sum(axis=1)
        self._complete = bool((self._valid == self.n).all())
        self._pairs: Floats | None = None
        self._last: tuple[Any, list[Ints]] | None = None
        self._have: np.ndarray[Any, np.dtype[np.bool_]] | None = None

    @property
    def nbytes(self) -> int:
        """Memory it may come to hold, once all pairs of features have been asked for."""
        return int(self._hot.nbytes + 8 * self.p**2)

    def _counts(self, Y: np.ndarray[Any, Any]) -> list[Ints]:
        """Return the count of each class in each bin, features x bins x targets."""
        # The selectors of a fold ask for the same counts one after another.
        name = (Y.shape, Y.tobytes())
        last = self._last
        if last is None or last[0] != name:
            if Y.ndim == 1:
                high = self._high(Y[:, None] == np.arange(int(Y.max(initial=0)) + 1))
                last = name, [high[:, :, [number]] for number in range(high.shape[2])]
            else:
                high = self._high(Y)
                last = name, [self._bins[:, :, None] - high, high]
            self._last = last
        return last[1]

    def _high(self, Y: np.ndarray[Any, Any]) -> Ints:
        counts: Ints = (self._hot.T @ Y.astype(np.float32)).astype(np.int64)
        return counts.reshape(self.p, self.n_bins, -1)

    def _gain(self, counts: list[Ints]) -> tuple[Ints, Ints]:
        """Return information gain and class entropy, both times the valid cases, in fixed point."""
        table = self._table
        classes = table[self._valid[:, None]] - sum(table[count.sum(axis=1)] for count in counts)
        inside = self._bin_sum[:, None] - sum(table[count].sum(axis=1) for count in counts)
        return classes - inside, classes

    def _share(self, fixed: Ints) -> Floats:
        # Dividing by all cases is dividing by the valid ones times (1 - share of missing values).
        return np.asarray(fixed / (float(_ONE) * max(self.n, 1)))

    def information_gain(self, Y: np.ndarray[Any, Any]) -> Floats:
        """Return H(class) - sum_b p(b) H(class | b) in bits, features x targets."""
        return self._share(self._gain(self._counts(Y))[0])

    def gain_ratio(self, Y: np.ndarray[Any, Any]) -> Floats:
        """Return information gain over the entropy of the bins (1 where that is 0)."""
        gain = self._share(self._gain(self._counts(Y))[0])
        entropy = (self._table[self._valid] - self._bin_sum) / (float(_ONE) * np.maximum(self._valid, 1))
        return gain / np.where(entropy > 0, entropy, 1.0)[:, None]

    def gini_decrease(self, Y: np.ndarray[Any, Any]) -> Floats:
        """Return G(class) - sum_b p(b) G(class | b), G = 1 - sum p^2."""
        counts = [count.astype(float) for count in self._counts(Y)]
        valid = np.maximum(self._valid, 1)[:, None].astype(float)
        whole = np.asarray(sum(count.sum(axis=1) ** 2 for count in counts)) / valid
        parts = np.asarray(sum(count**2 for count in counts)) / np.maximum(self._bins, 1)[:, :, None]
        # Fixed point again: equal tables give equal sums whatever the order of their bins.
        fixed = np.rint(parts * _FINE).astype(np.int64).sum(axis=1) - np.rint(whole * _FINE).astype(np.int64)
        return np.asarray(fixed / (float(_FINE) * max(self.n, 1)))

    def class_uncertainty(self, Y: np.ndarray[Any, Any]) -> Floats:
        """Return Orange's symmetric uncertainty of every feature with every target.

        Orange divides 2 IG by H(feature | class) + H(class | feature). That is u / (1 - u) of the
        published u = 2 IG / (H(feature) + H(class)): another scale, the same order.
        """
        gain, classes = self._gain(self._counts(Y))
        return _uncertainty(gain, classes + (self._table[self._valid] - self._bin_sum)[:, None])

    def pair_uncertainty(self, feature: int) -> Floats:
        """Return the same uncertainty of one feature with all; kept, since targets share it."""
        if self._pairs is None or self._have is None:
            self._pairs = np.empty((self.p, self.p))
            self._have = np.zeros(self.p, dtype=bool)
        if not self._have[feature]:
            self._pairs[feature] = self._pair_row(feature)
            self._have[feature] = True
        row: Floats = self._pairs[feature]
        return row

    def _pair_row(self, feature: int) -> Floats:
        table, b = self._table, self.n_bins
        own = self._hot[:, feature * b : (feature + 1) * b]
        joint = (own.T @ self._hot).astype(np.int64).reshape(b, self.p, b)
        joint_sum = table[joint].sum(axis=(0, 2))
        if self._complete:
            first = table[self.n] - self._bin_sum[feature]
            second = table[self.n] - self._bin_sum
            whole: Any = table[self.n]
        else:
            whole = table[joint.sum(axis=(0, 2))]
            first = whole - table[joint.sum(axis=2)].sum(axis=0)
            second = whole - table[joint.sum(axis=0)].sum(axis=1)
        entropies = first + second
        return _uncertainty(entropies - (whole - joint_sum), entropies)

    def fcbf(self, Y: np.ndarray[Any, Any], *, k: int | None = None) -> Floats:
        """Return FCBF's scores: the class uncertainty of kept features, 1e-4 of it for removed ones.

        With `k`, the walk ends as soon as the best `k` are settled; later scores are then those of
        removed features.
        """
        scores = self.class_uncertainty(Y)
        for target in range(scores.shape[1]):
            scores[:, target] = self._fcbf(scores[:, target], k)
        return scores

    def _fcbf(self, relevance: Floats, k: int | None) -> Floats:
        order = np.argsort(-relevance, kind="stable")
        alive = np.ones(self.p, dtype=bool)
        kept: list[int] = []
        floor = relevance.max(initial=0.0) * 1e-4
        for place, feature in enumerate(order):
            if not alive[feature]:
                continue
            kept.append(int(feature))
            if k is not None and len(kept) >= k and relevance[feature] > floor:
                break
            later = order[place + 1 :]
            later = later[alive[later]]
            alive[later[self.pair_uncertainty(int(feature))[later] >= relevance[later]]] = False
        scores = relevance * 1e-4
        scores[kept] = relevance[kept]
        return scores


def _uncertainty(gain: Ints, entropies: Ints) -> Floats:
    # One fixed-point unit stands for a denominator of zero: two features that determine each other.
    return np.asarray(2.0 * gain / np.maximum(entropies - 2 * gain, 1))


def top_k(scores: Floats, k: int) -> np.ndarray[Any, np.dtype[np.intp]]:
    """Return the `k` best features of one target, in ascending order of index; ties by lower index.

    NaN counts as the worst score.
    """
    clean = np.where(np.isnan(scores), -np.inf, scores)
    return np.sort(np.argsort(-clean, kind="stable")[: min(k, len(clean))])
