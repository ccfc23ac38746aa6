"""Choosing columns before a model, as steps that are fitted inside the fold."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from scipy import stats
from sklearn.base import BaseEstimator

from imrad.compiled import compiled
from imrad.evaluation.multiplicity import adjust
from imrad.evaluation.outcomes import BoolArray, FloatArray
from imrad.survival.columns import Chooser, checked_training
from imrad.survival.partial_likelihood import univariate

__all__ = ["SurvivalMRMR", "UnivariateCox"]


class UnivariateCox(Chooser, BaseEstimator):  # type: ignore[misc]
    """Keep the columns that one-column Cox models relate to survival.

    Parameters
    ----------
    k : int, optional
        Keep the k smallest Wald p values.
    alpha : float, optional
        Keep p values below this; with `k`, at most k of them.
    method : str, optional
        Adjustment of the p values before `alpha` (``"BH"``, ``"holm"`` ...).
    ties : {"efron", "breslow"}
    at_least : int
        Keep so many of the smallest p values where fewer are below `alpha`.

    Attributes
    ----------
    hazard_ratio_, z_, p_, p_lrt_, p_score_ : ndarray, shape (n_features,)
        Per standard deviation, with the p of the Wald, likelihood ratio and score tests; NaN for
        constant columns.
    p_adjusted_ : ndarray, shape (n_features,)
        Of the Wald test.
    selected_ : ndarray of int
        Smallest p first.
    """

    def __init__(
        self,
        *,
        k: int | None = None,
        alpha: float | None = 0.05,
        method: str | None = None,
        ties: str = "efron",
        at_least: int = 0,
    ) -> None:
        self.at_least = at_least
        self.k = k
        self.alpha = alpha
        self.method = method
        self.ties = ties

    def fit(self, X: Any, y: Any) -> Self:
        """Fit one Cox model per column.

        Raises
        ------
        TooFewEventsError
            If there is no event.
        """
        X, time, event = checked_training(self, X, y)
        fitted = univariate(X, time, event, ties=self.ties)
        self.hazard_ratio_, self.z_ = np.exp(fitted["coef"]), fitted["z"]
        self.p_ = 2 * stats.norm.sf(np.abs(self.z_))
        gain = 2 * (fitted["log_likelihood"] - fitted["log_likelihood_null"])
        self.p_lrt_, self.p_score_ = stats.chi2.sf(gain, 1), stats.chi2.sf(fitted["score_test"], 1)
        self.p_adjusted_ = self.p_ if self.method is None else adjust(self.p_, self.method)
        order = np.argsort(np.where(np.isnan(self.z_), np.inf, -np.abs(self.z_)), kind="stable")
        kept = [int(j) for j in order if np.isfinite(self.z_[j])]
        if self.alpha is not None:
            below = [j for j in kept if self.p_adjusted_[j] < self.alpha]
            kept = below if len(below) >= self.at_least else kept[: self.at_least]
        self.selected_ = np.array(kept if self.k is None else kept[: self.k], dtype=np.intp)
        return self


class SurvivalMRMR(Chooser, BaseEstimator):  # type: ignore[misc]
    """Maximum relevance to survival with minimum redundancy, greedily, as mRMRe's classic solution.

    Relevance and redundancy are mutual information of normal variables, ``-log(1 - r^2) / 2``:
    r is ``2 C - 1`` with the concordance C between a column and survival, and Pearson's
    correlation between two columns.

    Parameters
    ----------
    k : int
        Columns to keep.

    Attributes
    ----------
    relevance_ : ndarray, shape (n_features,)
    selected_ : ndarray of int
        In order of selection.
    scores_ : ndarray
        Relevance minus mean redundancy when selected.

    References
    ----------
    De Jay et al., 2013, doi:10.1093/bioinformatics/btt383.
    """

    def __init__(self, *, k: int = 30) -> None:
        self.k = k

    def fit(self, X: Any, y: Any) -> Self:
        """Select greedily.

        Raises
        ------
        TooFewEventsError
            If there is no event.
        """
        X, time, event = checked_training(self, X, y)
        centred = X - X.mean(axis=0)
        spread = np.sqrt((centred**2).sum(axis=0))
        varies = spread > 1e-12 * np.maximum(np.abs(X.mean(axis=0)), 1e-300) * np.sqrt(len(X))
        unit = np.where(varies, centred / np.where(varies, spread, 1.0), 0.0)
        self.relevance_ = np.where(varies, _information(2 * _concordances(time, event, X) - 1), 0.0)
        open_ = varies.copy()
        redundancy = np.zeros(X.shape[1])
        chosen: list[int] = []
        scores: list[float] = []
        for _ in range(min(self.k, int(varies.sum()))):
            value = np.where(open_, self.relevance_ - redundancy / max(len(chosen), 1), -np.inf)
            best = int(np.argmax(value))
            chosen.append(best)
            scores.append(float(value[best]))
            open_[best] = False
            redundancy += _information(unit.T @ unit[:, best])
        self.selected_, self.scores_ = np.array(chosen, dtype=np.intp), np.array(scores)
        return self


def _information(r: FloatArray) -> FloatArray:
    return np.asarray(-0.5 * np.log(np.maximum(1 - np.minimum(r**2, 1.0), 1e-300)))


def _concordances(time: FloatArray, event: BoolArray, X: FloatArray) -> FloatArray:
    """Share of comparable pairs in which the larger value has the later event, ties one half.

    Values are counted in a tree as time falls, so that n log(n) steps a column suffice.
    """
    order = np.argsort(-time, kind="stable")
    bounds = np.append(np.flatnonzero(np.diff(time[order], prepend=np.inf)), len(time))
    good, pairs = _count(_dense_ranks(X[order].T), event[order], bounds)
    return np.asarray(good / pairs) if pairs else np.full(X.shape[1], 0.5)


def _dense_ranks(rows: FloatArray) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return each value's rank in its row from 0, equal values sharing one."""
    order = np.argsort(rows, axis=1)
    steps = np.diff(np.take_along_axis(rows, order, axis=1), axis=1) > 0
    ranks = np.zeros(rows.shape, dtype=np.int64)
    np.put_along_axis(ranks, order[:, 1:], np.cumsum(steps, axis=1), axis=1)
    return ranks


@compiled()
def _count(codes, event, bounds):  # type: ignore[no-untyped-def] # pragma: no cover
    """Return, for each column of dense ranks in falling time, concordant pairs, and all pairs."""
    p = len(codes)
    good = np.zeros(p)
    pairs = 0.0
    for j in range(p):
        top = codes[j].max() + 1
        tree = np.zeros(top + 1, dtype=np.int64)
        pairs = 0.0
        for b in range(len(bounds) - 1):
            # Strictly later, as mRMRe has it: Harrell's C also counts those censored at the same time.
            later = bounds[b]
            for i in range(bounds[b], bounds[b + 1]):
                if not event[i]:
                    continue
                not_above, below = 0, 0
                k = codes[j, i] + 1
                while k > 0:
                    not_above += tree[k]
                    k -= k & -k
                k = codes[j, i]
                while k > 0:
                    below += tree[k]
                    k -= k & -k
                good[j] += (later - not_above) + 0.5 * (not_above - below)
                pairs += later
            for i in range(bounds[b], bounds[b + 1]):
                k = codes[j, i] + 1
                while k <= top:
                    tree[k] += 1
                    k += k & -k
    return good, pairs
