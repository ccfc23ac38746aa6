"""Maximum relevance, minimum redundancy by running sums: one column of redundancies a step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["SCHEMES", "f_statistic", "greedy_ensemble", "rank_mrmr", "rank_with_mrmr_selection"]

Floats = np.ndarray[Any, np.dtype[np.float64]]
Rows = np.ndarray[Any, np.dtype[np.intp]]

SCHEMES = ("fcq", "mid", "miq", "mrmre", "mrmre_ordered")

_FLOOR = 0.001  # mrmr-selection's least redundancy


def f_statistic(X: Floats, labels: np.ndarray[Any, Any]) -> Floats:
    """Return the one-way analysis-of-variance F of every feature; 0 where it is constant."""
    n, numbers = len(X), np.unique(labels)
    centred = X - X.mean(axis=0)
    total = (centred**2).sum(axis=0)
    between = np.zeros(X.shape[1])
    for number in numbers:
        inside = labels == number
        between += centred[inside].sum(axis=0) ** 2 / inside.sum()
    within = total - between
    freedom = (n - len(numbers)) / max(len(numbers) - 1, 1)
    # A constant feature leaves rounding dust in both sums.
    moved = total > 1e-24 * np.maximum((X**2).sum(axis=0), 1e-300)
    least = np.finfo(float).eps * np.maximum(total, 1e-300)
    return np.asarray(np.where(moved, freedom * between / np.maximum(within, least), 0.0))


def rank_mrmr(X: Floats, labels: np.ndarray[Any, Any], k: int, *, scheme: str = "fcq") -> Rows:
    """Return up to `k` columns in the order in which they are chosen.

    Parameters
    ----------
    X : ndarray, patients x features
        Training rows, without missing values.
    labels : ndarray of int
        Classes, 0 .. c - 1.
    k : int
        Columns wanted.
    scheme : str
        See :class:`imrad.phenotype.MRMRSelector`.
    """
    if scheme == "fcq":
        relevance, redundancy = f_statistic(X, labels), _correlations(X, lambda r: np.maximum(np.abs(r), _FLOOR))
        candidates = np.flatnonzero(relevance > 0)
    elif scheme in ("mid", "miq"):
        states = _three_states(X)
        relevance, redundancy = _state_information(states, labels), lambda j: _state_information(states, states[:, j])
        candidates = np.arange(X.shape[1])
    else:
        with_class = _auc_correlation(X, labels) if scheme == "mrmre_ordered" else _pearson(X, labels.astype(float))
        relevance, redundancy = _gaussian_information(with_class), _correlations(X, _gaussian_information)
        candidates = np.arange(X.shape[1])
    return _greedy(relevance, redundancy, candidates, k, quotient=scheme in ("fcq", "miq"))


def _greedy(
    relevance: Floats, redundancy: Callable[[int], Floats], candidates: Rows, k: int, *, quotient: bool
) -> Rows:
    chosen: list[int] = []
    running = np.zeros(len(relevance))
    free = np.zeros(len(relevance), dtype=bool)
    free[candidates] = True
    score = relevance
    while len(chosen) < min(k, len(candidates)):
        best = int(np.argmax(np.where(free, score, -np.inf)))
        chosen.append(best)
        free[best] = False
        running += redundancy(best)
        mean = running / len(chosen)
        score = relevance / np.maximum(mean, 1e-12) if quotient else relevance - mean
    return np.array(chosen, dtype=np.intp)


def greedy_ensemble(
    relevance: Floats, redundancy: Callable[[int], Floats], k: int, *, n_solutions: int = 3
) -> list[Rows]:
    """Return several greedy selections, as mRMRe's exhaustive mRMR.ensemble.

    Each starts from another of the most relevant columns and goes on greedily; a step that would make
    a solution the same set as an earlier one takes the next best column.

    Parameters
    ----------
    relevance : ndarray, shape (n_features,)
        Mutual information with the target.
    redundancy : callable
        Column to its mutual information with every column.
    k : int
        Columns of a solution.
    n_solutions : int
        Solutions wanted.

    Returns
    -------
    list of ndarray of int
        In order of selection; the first solution is the classic one.

    References
    ----------
    De Jay et al., 2013, doi:10.1093/bioinformatics/btt383.
    """
    starts = np.argsort(-relevance, kind="stable")[: max(n_solutions, 0)]
    paths = [[int(start)] for start in starts]
    running = [np.array(redundancy(int(start))) for start in starts]
    for size in range(1, min(k, len(relevance))):
        seen: set[frozenset[int]] = set()
        for path, sums in zip(paths, running, strict=True):
            score = relevance - sums / size
            score[path] = -np.inf
            order = [int(j) for j in np.argsort(-score, kind="stable")[: len(score) - size]]
            best = next((j for j in order if frozenset([*path, j]) not in seen), order[0])
            path.append(best)
            sums += redundancy(best)
            seen.add(frozenset(path))
    return [np.array(path, dtype=np.intp) for path in paths]


def _standardised(X: Floats) -> Floats:
    centred = X - X.mean(axis=0)
    length = np.sqrt((centred**2).sum(axis=0))
    return np.asarray(centred / np.where(length > 0, length, 1.0))


def _pearson(X: Floats, y: Floats) -> Floats:
    return np.asarray(_standardised(y[:, None])[:, 0] @ _standardised(X))


def _correlations(X: Floats, shape: Callable[[Floats], Floats]) -> Callable[[int], Floats]:
    Z = _standardised(X)
    return lambda j: shape(Z[:, j] @ Z)


def _auc_correlation(X: Floats, labels: np.ndarray[Any, Any]) -> Floats:
    """Return 2 C - 1, C the concordance with the ordered classes; mRMRe counts tied values as discordant."""
    from scipy.stats import rankdata

    numbers = np.unique(labels)
    concordant, pairs = np.zeros(X.shape[1]), 0
    for place, low in enumerate(numbers):
        for high in numbers[place + 1 :]:
            rows = np.flatnonzero((labels == low) | (labels == high))
            up = labels[rows] == high
            below = rankdata(X[rows], axis=0, method="min")[up].sum(axis=0)
            concordant += below - rankdata(X[rows][up], axis=0, method="min").sum(axis=0)
            pairs += int(up.sum()) * int((~up).sum())
    return np.asarray(2 * concordant / max(pairs, 1) - 1)


def _gaussian_information(r: Floats) -> Floats:
    return np.asarray(-0.5 * np.log(np.maximum(1 - r**2, 1e-300)))


def _three_states(X: Floats) -> np.ndarray[Any, np.dtype[np.intp]]:
    mean, sd = X.mean(axis=0), X.std(axis=0)
    return np.where(mean + sd < X, 2, np.where(mean - sd > X, 0, 1))


def _state_information(states: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> Floats:
    """Return the mutual information in nats of every column of states with one vector of states."""
    n = len(states)
    joint = np.stack(
        [
            np.stack([((states == a) & (other == b)[:, None]).sum(axis=0) for a in range(3)])
            for b in range(int(other.max(initial=0)) + 1)
        ]
    )
    share = joint / n
    product = share.sum(axis=0, keepdims=True) * share.sum(axis=1, keepdims=True)
    ratio = np.divide(share, product, out=np.ones_like(share), where=share > 0)
    return np.asarray((share * np.log(ratio)).sum(axis=(0, 1)))


def rank_with_mrmr_selection(X: Floats, labels: np.ndarray[Any, Any], k: int) -> Rows:
    """Return the columns that the package mrmr-selection chooses, in its order."""
    import warnings

    import pandas as pd
    from mrmr import mrmr_classif

    with warnings.catch_warnings():
        # The package divides by zero variances and writes into frames in deprecated ways.
        warnings.filterwarnings("ignore")
        names = mrmr_classif(X=pd.DataFrame(X), y=pd.Series(labels), K=k, show_progress=False, n_jobs=1)
    return np.array([int(name) for name in names], dtype=np.intp)
