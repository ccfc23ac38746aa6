"""Which features survive another reader or a perturbation, and which are volume in disguise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.feature_selection import SelectorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from imrad.evaluation.agreement import Form, icc
from imrad.evaluation.plain_steps import MeanOfReaders
from imrad.exceptions import FitError, InputError
from imrad.seeds import generator

__all__ = ["ICCFilter", "ReaderMean", "VolumeFilter", "agreement", "average_readers", "robust_features"]

_KEYS = ("patient", "case", "reader", "perturbation")
On = Literal["lower", "estimate"]


def agreement(
    features: pd.DataFrame,
    *,
    by: str = "reader",
    form: Form | None = None,
    n_patients: int | None = None,
    seed: int = 0,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Measure every feature's agreement over readers, repeated segmentations or perturbations.

    Parameters
    ----------
    features : DataFrame
        Columns ``patient``, optionally ``case``, the column `by`, then features; a row for each
        measurement.
    by : str
        The column that tells measurements apart.
    form : str, optional
        Of the ICC (see :func:`imrad.evaluation.agreement.icc`); ``"1,1"`` for perturbations, else
        ``"2,1"``.
    n_patients : int, optional
        Take a random subset of patients, as studies do that had 30 or 50 scans read twice.
    seed : int
        Of that subset.
    confidence : float
        Level of the interval.

    Returns
    -------
    DataFrame
        ``feature``, ``icc``, ``lower``, ``upper``, ``p``, ``n`` (cases with all measurements), ``k``.

    Raises
    ------
    InputError
        If a column is missing, or fewer than 3 cases were measured by all.
    """
    missing = [column for column in ("patient", by) if column not in features.columns]
    if missing:
        message = f"the table of repeated measurements lacks the column {missing[0]}; it is needed to compare them"
        raise InputError(message)
    names = [name for name in features.columns if name not in (*_KEYS, by)]
    if n_patients is not None:
        patients = sorted(features["patient"].unique())
        if n_patients > len(patients):
            message = f"a subset of {n_patients} patients was asked for where {len(patients)} were measured repeatedly"
            raise InputError(message)
        drawn = generator(seed, "readers' subset").choice(np.array(patients, dtype=object), n_patients, replace=False)
        features = features[features["patient"].isin(set(drawn))]
    cube = _cube(features, by, names)
    found = icc(cube, form or ("1,1" if by == "perturbation" else "2,1"), confidence)
    return pd.DataFrame(
        {
            "feature": names,
            "icc": found.value,
            "lower": found.lower,
            "upper": found.upper,
            "p": found.p,
            "n": found.n,
            "k": found.k,
        }
    )


def _cube(features: pd.DataFrame, by: str, names: list[str]) -> NDArray[np.float64]:
    """Return measurements as cases x repeats x features; only cases that every repeat measured."""
    subject = ["patient", "case"] if "case" in features.columns else ["patient"]
    if features.duplicated([*subject, by]).any():
        message = f"a case was measured twice by the same {by}; give one row per case and {by}"
        raise InputError(message)
    repeats = sorted(features[by].unique(), key=str)
    counts = features.groupby(subject, sort=True)[by].transform("nunique")
    complete = features[counts == len(repeats)].sort_values(subject, kind="stable")
    n = len(complete) // max(len(repeats), 1)
    if n < 3 or len(repeats) < 2:
        message = (
            f"{n} cases were measured by all of {len(repeats)} {by}s, too few for an intraclass correlation; "
            f"at least 3 cases and 2 {by}s are needed"
        )
        raise InputError(message)
    order = {repeat: number for number, repeat in enumerate(repeats)}
    ordered = complete.assign(_order=complete[by].map(order)).sort_values([*subject, "_order"], kind="stable")
    return ordered[names].to_numpy(dtype=float).reshape(n, len(repeats), len(names))


def robust_features(table: pd.DataFrame, threshold: float = 0.75, on: On = "lower") -> list[str]:
    """Return the features whose agreement reaches a threshold.

    Parameters
    ----------
    table : DataFrame
        As :func:`agreement` returns it.
    threshold : float
        0.75 or 0.8 in most studies.
    on : {"lower", "estimate"}
        Lower confidence limit, or the point estimate as most studies publish.
    """
    column = "lower" if on == "lower" else "icc"
    return [str(name) for name in table.loc[table[column] >= threshold, "feature"]]


def average_readers(features: pd.DataFrame, by: str = "reader") -> pd.DataFrame:
    """Return one row per case: the mean of its readers' values; the cases' order is kept."""
    subject = ["patient", "case"] if "case" in features.columns else ["patient"]
    names = [name for name in features.columns if name not in (*_KEYS, by)]
    return features.groupby(subject, sort=False, as_index=False)[names].mean()


class _Filter(SelectorMixin, BaseEstimator):  # type: ignore[misc]
    """Keeps some columns; refuses to keep none."""

    def _get_support_mask(self) -> NDArray[np.bool_]:
        check_is_fitted(self, "support_")
        mask: NDArray[np.bool_] = self.support_
        return mask

    def _keep(self, support: NDArray[np.bool_], why: str) -> None:
        if not support.any():
            message = f"none of {support.size} features {why}; lower the threshold or look at the measurements"
            raise FitError(message)
        self.support_ = support


class ICCFilter(_Filter):
    """Keep features that agree over the repeated measurements of the rows that are fitted, and of no others.

    Parameters
    ----------
    repeats : DataFrame, optional
        Repeated measurements of all patients: a column ``patient``, one that tells measurements
        apart (`by`), and the features under the names they have in `X`. `X` then needs patients as
        index, and only the rows of its patients are looked at. Without it, `fit` needs them.
    by : str
        ``"perturbation"`` or ``"reader"``.
    form : str
        Of the ICC.
    threshold : float
        The least agreement.
    on : {"lower", "estimate"}
        Whether the lower limit or the estimate must reach it.

    Attributes
    ----------
    icc_, lower_ : ndarray, shape (n_features,)
    support_ : ndarray of bool
    n_cases_ : int
        Cases with all measurements.
    """

    def __init__(
        self,
        repeats: pd.DataFrame | None = None,
        by: str = "perturbation",
        form: Form = "1,1",
        threshold: float = 0.75,
        on: On = "lower",
    ) -> None:
        self.repeats = repeats
        self.by = by
        self.form = form
        self.threshold = threshold
        self.on = on

    def fit(self, X: Any, y: Any = None, repeats: ArrayLike | Sequence[pd.DataFrame] | None = None) -> Self:
        """Measure agreement.

        Parameters
        ----------
        X : array or DataFrame, shape (n, p)
            Features; a DataFrame indexed by patient where the constructor got a table.
        y : ignored
        repeats : array, shape (n, k, p), or sequence of DataFrames, optional
            Repeated measurements of these rows; rows without any are NaN. DataFrames hold the other
            readers' values of the same rows, `X` being the first reader's.

        Raises
        ------
        FitError
            If fewer than 3 rows have measurements, or no feature agrees.
        """
        index = getattr(X, "index", None)
        validate_data(self, X, dtype=np.float64, ensure_all_finite="allow-nan")
        if repeats is not None:
            cube = self._with_others(X, repeats) if _are_tables(repeats) else np.asarray(repeats, dtype=float)
            if cube.ndim != 3 or cube.shape[0] != len(X) or cube.shape[2] != self.n_features_in_:
                message = (
                    f"repeats have the shape {cube.shape} where rows x measurements x {self.n_features_in_} are needed"
                )
                raise ValueError(message)
        elif self.repeats is not None and index is not None and hasattr(self, "feature_names_in_"):
            cube = self._of_patients(index)
        else:
            message = "ICCFilter needs repeated measurements: a table and X indexed by patient, or repeats= in fit"
            raise ValueError(message)
        found = icc(cube, self.form)
        self.n_cases_ = int(found.n.max(initial=0))
        if self.n_cases_ < 3:
            message = f"{self.n_cases_} of {len(X)} rows have repeated measurements; at least 3 are needed"
            raise FitError(message)
        self.icc_, self.lower_ = found.value, found.lower
        chosen = self.lower_ if self.on == "lower" else self.icc_
        self._keep(np.nan_to_num(chosen, nan=-1.0) >= self.threshold, f"reaches an ICC of {self.threshold}")
        return self

    def _with_others(self, X: Any, others: Any) -> NDArray[np.float64]:
        """Return X and the other readers' tables as rows x readers x features."""
        names = list(getattr(self, "feature_names_in_", others[0].columns))
        for table in others:
            absent = [name for name in names if name not in table.columns]
            if absent:
                message = f"another reader's table lacks {len(absent)} features of X, the first {absent[0]}"
                raise ValueError(message)
        own = np.asarray(X, dtype=float)
        return np.stack([own, *(table[names].to_numpy(dtype=float) for table in others)], axis=1)

    def _of_patients(self, index: pd.Index[Any]) -> NDArray[np.float64]:
        table = self.repeats
        names = list(self.feature_names_in_)
        absent = [name for name in names if name not in table.columns]  # type: ignore[union-attr]
        if absent:
            message = f"the repeated measurements lack {len(absent)} features of X, the first {absent[0]}"
            raise ValueError(message)
        rows = table[table["patient"].isin(set(index))]  # type: ignore[index]
        try:
            return _cube(rows, self.by, names)
        except InputError as error:
            raise FitError(str(error)) from error

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


def _are_tables(repeats: Any) -> bool:
    return isinstance(repeats, list | tuple) and all(isinstance(item, pd.DataFrame) for item in repeats)


class ReaderMean(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Average each patient's features over the readers who measured them; nothing is learnt.

    A patient whom one reader measured keeps that reader's values, as do new patients.
    """

    def fit(self, X: Any, y: Any = None) -> Self:
        """Remember the features."""
        validate_data(self, X, dtype=np.float64, ensure_all_finite="allow-nan")
        return self

    def frozen(self) -> MeanOfReaders:
        """Return the step as plain values, which is what :meth:`transform` applies."""
        check_is_fitted(self, "n_features_in_")
        names = tuple(map(str, getattr(self, "feature_names_in_", range(self.n_features_in_))))
        return MeanOfReaders(names, names)

    def transform(self, X: Any, repeats: Sequence[pd.DataFrame] | None = None) -> NDArray[np.float64]:
        """Return the mean of `X` and the other readers' tables of the same rows."""
        x = validate_data(self, X, reset=False, dtype=np.float64, ensure_all_finite="allow-nan")
        return self.frozen().apply(x, {"repeats": repeats})

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


class VolumeFilter(_Filter):
    """Drop features that rank patients as the region's volume does.

    Parameters
    ----------
    volume : str or int
        The volume's column, by name or position; it is kept.
    threshold : float
        Largest absolute Spearman correlation that is kept.

    Attributes
    ----------
    correlation_ : ndarray, shape (n_features,)
        Spearman's, with volume; 0 for constant features.
    support_ : ndarray of bool

    References
    ----------
    Welch et al. 2019, doi 10.1016/j.radonc.2018.10.027.
    """

    def __init__(self, volume: str | int = "original_shape_VoxelVolume", threshold: float = 0.8) -> None:
        self.volume = volume
        self.threshold = threshold

    def fit(self, X: Any, y: Any = None) -> Self:
        """Correlate every column with the volume's; rows with a missing value count for neither."""
        from scipy.stats import rankdata

        x = validate_data(self, X, dtype=np.float64, ensure_all_finite="allow-nan", ensure_min_samples=2)
        names = list(getattr(self, "feature_names_in_", ()))
        position = self.volume if isinstance(self.volume, int) else None
        if position is None and self.volume in names:
            position = names.index(self.volume)
        if position is None or not 0 <= position < x.shape[1]:
            message = f"X has no column {self.volume!r} to take the volume from"
            raise ValueError(message)
        at = position
        self.correlation_ = np.zeros(x.shape[1])
        complete = np.isfinite(x) & np.isfinite(x[:, [at]])
        whole = complete.all(axis=0)
        groups: list[Any] = [np.flatnonzero(whole), *([j] for j in np.flatnonzero(~whole))]
        for columns in groups:
            if len(columns) == 0:
                continue
            rows = complete[:, columns[0]]
            if rows.sum() < 2:
                continue
            ranks = rankdata(np.column_stack([x[np.ix_(rows, columns)], x[rows, at]]), axis=0)
            ranks -= ranks.mean(axis=0)
            spread = np.sqrt((ranks**2).sum(axis=0))
            product = spread[:-1] * spread[-1]
            together = ranks[:, :-1].T @ ranks[:, -1]
            self.correlation_[columns] = np.divide(together, product, out=np.zeros_like(product), where=product > 0)
        support = np.abs(self.correlation_) <= self.threshold
        support[at] = True
        self._keep(support, f"stays below a correlation of {self.threshold} with volume")
        return self

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags
