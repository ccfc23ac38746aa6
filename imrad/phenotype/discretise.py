"""Equal-frequency bins as Orange draws them: ties never split, bins closed below."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

__all__ = ["EqualFrequencyBins", "bin_codes", "equal_frequency_cuts"]

Floats = np.ndarray[Any, np.dtype[np.float64]]
Codes = np.ndarray[Any, np.dtype[np.int8]]


def equal_frequency_cuts(X: Floats, n_bins: int = 4) -> Floats:
    """Return the cut points of every feature, all features at once.

    The sorted distinct values are walked with their counts. When the running count reaches
    (cases left) / (bins left), the cut falls after the current value if the overshoot is under half
    of that value's own count and a value follows, otherwise before it; then the walk restarts with
    what is left. A feature with no more than `n_bins` distinct values is cut between all of them.

    Parameters
    ----------
    X : ndarray, patients x features
        NaN is missing and left out.
    n_bins : int
        Bins wanted.

    Returns
    -------
    ndarray, features x (n_bins - 1)
        Ascending midpoints; unused places hold +inf.
    """
    n, p = X.shape
    cuts = np.full((p, max(n_bins - 1, 1)), np.inf)
    if n == 0 or n_bins < 2:
        return cuts
    values = np.sort(X, axis=0)
    present = ~np.isnan(values)
    # A value's last row is where the next row differs or is missing.
    ends = present.copy()
    ends[:-1] &= (values[1:] != values[:-1]) | ~present[1:]
    plain = ends.all(axis=0)
    if plain.any() and n > n_bins:
        # Without ties and gaps the places of the cuts depend on the number of patients alone.
        above = _ladder(n, n_bins)
        cuts[plain] = ((values[above - 1] + values[above]) / 2).T[plain]
        if not plain.all():
            cuts[~plain] = _walk(values[:, ~plain], ends[:, ~plain], n_bins)
        return cuts
    return _walk(values, ends, n_bins)


@lru_cache(maxsize=64)
def _ladder(n: int, n_bins: int) -> np.ndarray[Any, np.dtype[np.intp]]:
    """Return the rows above each cut of `n` distinct values in ascending order."""
    walked = _walk(np.arange(n, dtype=float)[:, None], np.ones((n, 1), dtype=bool), n_bins)[0]
    return np.asarray(np.ceil(walked), dtype=np.intp)


def _walk(values: Floats, ends: np.ndarray[Any, np.dtype[np.bool_]], n_bins: int) -> Floats:
    """Walk the sorted values of all features together; `ends` marks the last row of each distinct value."""
    n, p = values.shape
    cuts = np.full((p, n_bins - 1), np.inf)
    present = ~np.isnan(values)
    few = ends.sum(axis=0) <= n_bins
    left = present.sum(axis=0).astype(float)
    wanted = np.full(p, n_bins)
    target = left / n_bins
    inside, seen, distinct, used = np.zeros(p), np.zeros(p), np.zeros(p, dtype=int), np.zeros(p, dtype=int)
    previous = np.full(p, np.nan)
    columns = np.arange(p)
    total = present.sum(axis=0)
    with np.errstate(invalid="ignore", over="ignore"):
        for row in range(n):
            end = ends[row]
            if not end.any():
                continue
            count = np.where(end, row + 1 - seen, 0.0)
            inside = inside + count
            last = row + 1 >= total
            following = values[min(row + 1, n - 1)]
            reached = end & (wanted > 1) & (distinct > 0) & (inside >= target) & ~few
            after = reached & ~last & (inside - target < count / 2)
            before = reached & ~after
            # A feature of few values is cut before every value but its first.
            between = end & few & (distinct > 0)
            place = np.where(after, _middle(values[row], following), _middle(previous, values[row]))
            cut = reached | between
            cuts[columns[cut], used[cut]] = place[cut]
            used = used + cut
            left = np.where(after, left - inside, np.where(before, left - (inside - count), left))
            inside = np.where(after, 0.0, np.where(before, count, inside))
            wanted = wanted - reached
            target = np.where(reached, left / np.maximum(wanted, 1), target)
            previous = np.where(end, values[row], previous)
            seen = np.where(end, row + 1, seen)
            distinct = distinct + end
    return cuts


def _middle(low: Floats, high: Floats) -> Floats:
    return (low + high) / 2


def bin_codes(X: Floats, cuts: Floats) -> Codes:
    """Return each value's bin, 0 .. n_bins - 1, or -1 where it is missing; a value at a cut goes up."""
    codes = np.zeros(X.shape, dtype=np.int8)
    for number in range(cuts.shape[1]):
        codes += cuts[:, number] <= X
    codes[np.isnan(X)] = -1
    return codes


class EqualFrequencyBins(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Replace each feature by its equal-frequency bin, learnt from the training rows.

    Parameters
    ----------
    n_bins : int
        Bins wanted; fewer where there are fewer distinct values.

    Attributes
    ----------
    cuts_ : ndarray, features x (n_bins - 1)
        Cut points, +inf where unused.

    References
    ----------
    Orange data mining, ``EqualFreq(n=4)``: the default before its feature scores and its naive Bayes.
    """

    def __init__(self, n_bins: int = 4) -> None:
        self.n_bins = n_bins

    def fit(self, X: Any, y: Any = None) -> EqualFrequencyBins:
        """Learn the cut points."""
        X = validate_data(self, X, dtype=np.float64, ensure_all_finite="allow-nan")
        self.cuts_ = equal_frequency_cuts(X, self.n_bins)
        return self

    def transform(self, X: Any) -> Floats:
        """Return the bins as floats, NaN where the value is missing."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, ensure_all_finite="allow-nan", reset=False)
        codes = bin_codes(X, self.cuts_).astype(np.float64)
        codes[codes < 0] = np.nan
        return codes

    def get_feature_names_out(self, input_features: Any = None) -> Any:
        """Return the names of the features, unchanged."""
        from sklearn.utils.validation import _check_feature_names_in

        return _check_feature_names_in(self, input_features)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags
