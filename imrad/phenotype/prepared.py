"""What the training rows of a part teach: scale, bins and selected features, each learnt once.

What does not depend on the target (imputation, scaling, bins, feature-to-feature uncertainty) is
learnt once per set of training rows and kept for the targets that follow.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from functools import cached_property
from threading import Lock
from typing import Any

import numpy as np
from sklearn.base import clone

from imrad import content
from imrad.evaluation import Ledger, SplitTable
from imrad.phenotype.discretise import bin_codes, equal_frequency_cuts
from imrad.phenotype.learners import Learner, make_meta
from imrad.phenotype.scores import ContingencyScores, top_k
from imrad.phenotype.selectors import make_selector

__all__ = ["STACKING", "Plan", "Prepared", "Selection", "apply_scale", "learn_scale", "prepare", "select"]

Floats = np.ndarray[Any, np.dtype[np.float64]]
Rows = np.ndarray[Any, np.dtype[np.intp]]

STACKING = "stacking"

_SCORED = {
    "information_gain": "information_gain",
    "gain_ratio": "gain_ratio",
    "gini_decrease": "gini_decrease",
    "fcbf": "fcbf",
}


@dataclass(frozen=True)
class Plan:
    """What all targets and folds of one grid share.

    Attributes
    ----------
    X : ndarray, patients x features
        Raw features, NaN where missing.
    patients : list of str
        Row names.
    splits : SplitTable
        Outer and inner folds.
    selectors : dict
        Name in the tables to a known name or an unfitted estimator.
    learners : dict
        Name in the tables to a learner, stacking left out.
    stacking : bool
        Whether the grid has the stack as its last classifier.
    k, n_bins, seed : int
        Features kept, bins, and the seed.
    scaler : estimator, optional
        In place of median imputation and standardisation.
    meta : Learner
        What the stack stands on its bases with.
    """

    X: Floats
    patients: list[str]
    splits: SplitTable
    selectors: dict[str, Any]
    learners: dict[str, Learner]
    stacking: bool = True
    k: int = 20
    n_bins: int = 4
    seed: int = 0
    scaler: Any = None
    meta: Learner = field(default_factory=lambda: make_meta("sklearn"))

    @cached_property
    def key(self) -> str:
        """Digest of what a preparation depends on."""
        return content.digest([self.X, self.n_bins])

    @property
    def classifiers(self) -> list[str]:
        """Classifier names in the order of the cells."""
        return [*self.learners, *([STACKING] if self.stacking else [])]

    @property
    def cells(self) -> list[tuple[str, str]]:
        """(selector, classifier) of every cell, in order."""
        return [(selector, classifier) for selector in self.selectors for classifier in self.classifiers]


@dataclass
class Prepared:
    """What a set of training rows teaches without any target.

    Attributes
    ----------
    rows : ndarray of int
        Training rows.
    Z : ndarray, patients x features
        All patients' features, imputed and scaled by the training rows.
    codes : ndarray of int8
        All patients' bins, drawn from the training rows.
    scores : ContingencyScores
        Of the training rows.
    medians, means, scales, cuts : ndarray
        What was learnt.
    """

    rows: Rows
    Z: Floats
    codes: np.ndarray[Any, Any]
    scores: ContingencyScores
    medians: Floats
    means: Floats
    scales: Floats
    cuts: Floats

    @property
    def nbytes(self) -> int:
        """Memory it may come to hold, the uncertainties of all pairs of features included."""
        return self.Z.nbytes + self.codes.nbytes + self.scores.nbytes


_KEPT: OrderedDict[tuple[str, bytes], Prepared] = OrderedDict()
_LOCK = Lock()  # a Dask worker may run several threads
_KEEP_BYTES = 300_000_000  # at 113 x 851 an outer fold and its inner ones take a tenth of it


def prepare(plan: Plan, rows: Rows, ledger: Ledger, *, stage: str, step: str, fold: str) -> Prepared:
    """Learn imputation, scale and bins from training rows; repeated calls for the same rows are free."""
    (training,) = ledger.rows(rows, plan.X, stage=stage, step=f"{step}/scaler", fold=fold)
    ledger.record(stage=stage, step=f"{step}/bins", fold=fold, rows=rows)
    if plan.scaler is not None:
        # Nothing names a user's own scaler for sure, so what it learns is not kept.
        return _learn(plan, rows, training)
    name = (plan.key, rows.tobytes())
    with _LOCK:
        if name in _KEPT:
            _KEPT.move_to_end(name)
            return _KEPT[name]
    made = _learn(plan, rows, training)
    with _LOCK:
        _KEPT[name] = made
        while len(_KEPT) > 2 and len(_KEPT) * made.nbytes > _KEEP_BYTES:
            _KEPT.popitem(last=False)
    return made


def _learn(plan: Plan, rows: Rows, training: Floats) -> Prepared:
    if plan.scaler is None:
        medians, means, scales = learn_scale(training)
        Z = apply_scale(plan.X, medians, means, scales)
    else:
        scaler = clone(plan.scaler).fit(training)
        Z = np.asarray(scaler.transform(plan.X), dtype=float)
        medians = means = scales = np.zeros(0)
    cuts = equal_frequency_cuts(training, plan.n_bins)
    codes = bin_codes(plan.X, cuts)
    return Prepared(rows, Z, codes, ContingencyScores(codes[rows], plan.n_bins), medians, means, scales, cuts)


def learn_scale(training: Floats) -> tuple[Floats, Floats, Floats]:
    """Return medians, and means and standard deviations after imputing them; constant features get scale 1."""
    known = ~np.isnan(training)
    medians = np.zeros(training.shape[1])
    full = known.all(axis=0)
    medians[full] = np.median(training[:, full], axis=0)
    for column in np.flatnonzero(known.any(axis=0) & ~full):
        medians[column] = np.median(training[known[:, column], column])
    filled = np.where(known, training, medians)
    means, scales = filled.mean(axis=0), filled.std(axis=0)
    # Rounding leaves dust in the spread of a constant feature.
    constant = scales <= 10 * np.finfo(float).eps * np.abs(means)
    return medians, means, np.where(constant, 1.0, scales)


def apply_scale(X: Floats, medians: Floats, means: Floats, scales: Floats) -> Floats:
    """Impute and standardise with what was learnt."""
    return np.asarray((np.where(np.isnan(X), medians, X) - means) / scales)


@dataclass(frozen=True)
class Selection:
    """Selected features of all patients.

    Attributes
    ----------
    columns : ndarray of int
        Selected columns, empty where the user's selector makes new ones.
    Z, codes : ndarray
        The features, scaled and binned, of all patients.
    key : bytes
        Equal for equal matrices from the same training rows.
    """

    columns: Rows
    Z: Floats
    codes: np.ndarray[Any, Any]
    key: bytes


def select(plan: Plan, prepared: Prepared, name: str, Y: np.ndarray[Any, Any]) -> list[Selection]:
    """Select features for every column of 0/1 labels of the training rows."""
    what = plan.selectors[name]
    if isinstance(what, str) and what in _SCORED:
        method = getattr(prepared.scores, _SCORED[what])
        table = method(Y, k=plan.k) if what == "fcbf" else method(Y)
        return [_subset(prepared, top_k(table[:, target], plan.k)) for target in range(Y.shape[1])]
    if what == "none":
        whole = np.arange(prepared.Z.shape[1])
        return [_subset(prepared, whole)] * Y.shape[1]
    return [_user_selection(plan, prepared, what, Y[:, target]) for target in range(Y.shape[1])]


def _subset(prepared: Prepared, columns: Rows) -> Selection:
    return Selection(columns, prepared.Z[:, columns], prepared.codes[:, columns], columns.tobytes())


def _user_selection(plan: Plan, prepared: Prepared, what: Any, y: np.ndarray[Any, Any]) -> Selection:
    model = make_selector(what, plan.k) if isinstance(what, str) else clone(what)
    model.fit(prepared.Z[prepared.rows], y)
    if hasattr(model, "get_support"):
        return _subset(prepared, np.flatnonzero(model.get_support()))
    Z = np.asarray(model.transform(prepared.Z), dtype=float)
    cuts = equal_frequency_cuts(Z[prepared.rows], plan.n_bins)
    return Selection(np.zeros(0, dtype=np.intp), Z, bin_codes(Z, cuts), content.digest(Z).encode())
