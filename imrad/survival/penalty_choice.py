"""How a penalty is chosen along a path: folds, their summary, and glmnet's two rules."""

from __future__ import annotations

from typing import Any

import numpy as np

from imrad.evaluation.outcomes import FloatArray
from imrad.exceptions import ConfigError
from imrad.seeds import generator

__all__ = ["balanced_folds", "best", "factors", "fold_labels", "over_folds"]

IntArray = np.ndarray[Any, np.dtype[np.intp]]


def over_folds(values: FloatArray, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the weighted mean over folds and its standard error, as cv.glmnet.

    Parameters
    ----------
    values : ndarray, shape (n_folds, n_lambdas)
        NaN where a fold has no value.
    weights : ndarray, shape (n_folds,)
    """
    used = np.isfinite(values) & (weights[:, None] > 0)
    share = np.where(used, weights[:, None], 0.0)
    filled = np.where(used, values, 0.0)
    total, count = share.sum(axis=0), used.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = (share * filled).sum(axis=0) / total
        spread = np.sqrt((share * np.where(used, (filled - mean) ** 2, 0.0)).sum(axis=0) / total / (count - 1))
    return mean, spread


def best(mean: FloatArray, error: FloatArray, *, larger_is_better: bool) -> tuple[int, int]:
    """Return the steps of the best mean and of the largest penalty within one standard error of it.

    Ties, but for rounding, go to the larger penalty. Where no fold gave a value, the empty model (step 0) is chosen.
    """
    loss = -mean if larger_is_better else mean
    if not np.isfinite(loss).any():
        return 0, 0
    least = np.nanmin(loss)
    lowest = int(np.flatnonzero(loss <= least + 1e-12 * abs(least))[0])
    bound = loss[lowest] + (error[lowest] if np.isfinite(error[lowest]) else 0.0)
    within = int(np.flatnonzero(np.where(np.isfinite(loss), loss, np.inf) <= bound)[0])
    return lowest, within


def balanced_folds(classes: Any, n_folds: int, seed: int, *names: object) -> IntArray:
    """Draw fold numbers 0 .. n_folds - 1, each class spread evenly over them."""
    rng = generator(seed, *names, "folds")
    label = np.asarray(classes)
    order = rng.permutation(len(label))
    order = order[np.argsort(label[order], kind="stable")]
    folds = np.empty(len(label), dtype=np.intp)
    folds[order] = (np.arange(len(label)) + int(rng.integers(n_folds))) % n_folds
    return folds


def fold_labels(folds: Any, n: int) -> IntArray:
    """Return given fold labels as numbers from 0.

    Raises
    ------
    ConfigError
        If there is not one label per patient, or only one fold.
    """
    labels = np.asarray(folds)
    if labels.shape != (n,):
        message = f"folds must hold one fold per patient ({n}); found shape {labels.shape}"
        raise ConfigError(message)
    numbers = np.unique(labels, return_inverse=True)[1]
    if numbers.max() < 1:
        message = "folds must name at least 2 folds; found 1"
        raise ConfigError(message)
    return np.asarray(numbers, dtype=np.intp)


def factors(unpenalised: Any, names: Any, n_features: int) -> FloatArray:
    """Return penalty factors: 0 for the columns named (or numbered) in `unpenalised`, 1 for others.

    Raises
    ------
    ConfigError
        If a name is not a column.
    """
    out = np.ones(n_features)
    known = {str(name): number for number, name in enumerate(names)} if names is not None else {}
    for item in unpenalised:
        if isinstance(item, str):
            if item not in known:
                message = f"unpenalised column {item!r} is not among the {n_features} columns of X"
                raise ConfigError(message)
            out[known[item]] = 0.0
        elif 0 <= int(item) < n_features:
            out[int(item)] = 0.0
        else:
            message = f"unpenalised column {item} does not exist; X has {n_features} columns"
            raise ConfigError(message)
    return out
