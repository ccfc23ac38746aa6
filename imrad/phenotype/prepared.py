"""What the training rows of a part teach: scale, bins and selected features, each learnt once.

What does not depend on the target (preparation steps, imputation, scaling, bins, feature-to-feature
uncertainty) is learnt once per set of training rows and kept for the targets that follow; preparation
from the first step on that looks at the outcome is learnt for each target.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field, replace
from functools import cached_property
from threading import Lock
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone

from imrad import content
from imrad.evaluation import Ledger, SplitTable
from imrad.evaluation.preparation import FittedPreparation, Preparation
from imrad.phenotype.discretise import bin_codes, equal_frequency_cuts
from imrad.phenotype.learners import Learner, make_meta
from imrad.phenotype.scores import ContingencyScores, top_k
from imrad.phenotype.selectors import make_selector

__all__ = ["STACKING", "Plan", "Prepared", "Selection", "apply_scale", "learn_scale", "narrow", "prepare", "select"]

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
    features : list of str
        Column names.
    preparation : Preparation
        Steps before scaling and bins.
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
    features: list[str] = field(default_factory=list)
    preparation: Preparation = field(default_factory=lambda: Preparation([]))

    @cached_property
    def key(self) -> str:
        """Digest of what a preparation depends on."""
        return content.digest([self.X, self.n_bins, self.preparation.key])

    @cached_property
    def table(self) -> pd.DataFrame:
        """The raw features with their names, as preparation steps get them."""
        return pd.DataFrame(self.X, index=self.patients, columns=self.features)

    @property
    def keeps(self) -> bool:
        """Whether what is learnt has a name for sure, so that it may be kept."""
        return self.scaler is None and bool(self.preparation.key)

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
    names : list of str
        Columns after preparation.
    preparation : FittedPreparation
        What the preparation steps learnt.
    narrowed : dict
        The same after the steps that look at the outcome, by the outcome.
    """

    rows: Rows
    Z: Floats
    codes: np.ndarray[Any, Any]
    scores: ContingencyScores
    medians: Floats
    means: Floats
    scales: Floats
    cuts: Floats
    names: list[str]
    preparation: FittedPreparation
    narrowed: OrderedDict[bytes, Prepared] = field(default_factory=OrderedDict)

    @property
    def nbytes(self) -> int:
        """Memory it may come to hold, the uncertainties of all pairs of features included."""
        return self.Z.nbytes + self.codes.nbytes + self.scores.nbytes


_KEPT: OrderedDict[tuple[str, bytes], Prepared] = OrderedDict()
_LOCK = Lock()  # a Dask worker may run several threads
_KEEP_NARROWED = 16  # more than the targets or permutations that are looked at together
_KEEP_BYTES = 300_000_000  # at 113 x 851 an outer fold and its inner ones take a tenth of it


def prepare(plan: Plan, rows: Rows, ledger: Ledger, *, stage: str, step: str, fold: str) -> Prepared:
    """Learn imputation, scale and bins from training rows; repeated calls for the same rows are free."""
    (training,) = ledger.rows(rows, plan.X, stage=stage, step=f"{step}/scaler", fold=fold)
    ledger.record(stage=stage, step=f"{step}/bins", fold=fold, rows=rows)
    plan.preparation.record(ledger, stage=stage, step=step, fold=fold, rows=rows)
    if not plan.keeps:
        # Nothing names a user's own scaler or step for sure, so what it learns is not kept.
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
    shared = plan.preparation.shared
    if not len(shared):
        return _scaled(plan, rows, plan.X, training, FittedPreparation((), {}, tuple(plan.features)))
    fitted = shared.fit(pd.DataFrame(training, index=plan.table.index[rows], columns=plan.features))
    values = fitted.transform(plan.table, shared.sides).to_numpy()
    return _scaled(plan, rows, values, values[rows], fitted)


def _scaled(plan: Plan, rows: Rows, values: Floats, training: Floats, preparation: FittedPreparation) -> Prepared:
    """Learn scale and bins of prepared features."""
    if plan.scaler is None:
        medians, means, scales = learn_scale(training)
        Z = apply_scale(values, medians, means, scales)
    else:
        scaler = clone(plan.scaler).fit(training)
        Z = np.asarray(scaler.transform(values), dtype=float)
        medians = means = scales = np.zeros(0)
    cuts = equal_frequency_cuts(training, plan.n_bins)
    codes = bin_codes(values, cuts)
    scores = ContingencyScores(codes[rows], plan.n_bins)
    return Prepared(rows, Z, codes, scores, medians, means, scales, cuts, list(preparation.names), preparation)


def narrow(plan: Plan, prepared: Prepared, y: np.ndarray[Any, Any]) -> Prepared:
    """Return what the training rows teach once the steps that look at the outcome have seen it.

    The same where there are no such steps.
    """
    own = plan.preparation.own
    if not len(own):
        return prepared
    name = np.asarray(y, dtype=np.int8).tobytes()
    with _LOCK:
        if name in prepared.narrowed:
            return prepared.narrowed[name]
    shared = plan.preparation.shared
    table = prepared.preparation.transform(plan.table, shared.sides)
    fitted = own.fit(table.iloc[prepared.rows], y)
    values = fitted.transform(table, own.sides).to_numpy()
    made = _scaled(plan, prepared.rows, values, values[prepared.rows], prepared.preparation.then(fitted))
    with _LOCK:
        prepared.narrowed[name] = made
        while len(prepared.narrowed) > _KEEP_NARROWED:
            prepared.narrowed.popitem(last=False)
    return made


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
    names : tuple of str
        The selected columns' names.
    """

    columns: Rows
    Z: Floats
    codes: np.ndarray[Any, Any]
    key: bytes
    names: tuple[str, ...] = ()


def select(plan: Plan, prepared: Prepared, name: str, Y: np.ndarray[Any, Any]) -> list[Selection]:
    """Select features for every column of 0/1 labels of the training rows."""
    if len(plan.preparation.own):
        bare = replace(plan, preparation=plan.preparation.shared)
        return [select(bare, narrow(plan, prepared, y), name, y[:, None])[0] for y in Y.T]
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
    names = tuple(prepared.names[column] for column in columns)
    key = columns.tobytes() if not len(prepared.preparation.steps) else "\x1f".join(names).encode()
    return Selection(columns, prepared.Z[:, columns], prepared.codes[:, columns], key, names)


def _user_selection(plan: Plan, prepared: Prepared, what: Any, y: np.ndarray[Any, Any]) -> Selection:
    model = make_selector(what, plan.k) if isinstance(what, str) else clone(what)
    model.fit(prepared.Z[prepared.rows], y)
    if hasattr(model, "get_support"):
        return _subset(prepared, np.flatnonzero(model.get_support()))
    Z = np.asarray(model.transform(prepared.Z), dtype=float)
    cuts = equal_frequency_cuts(Z[prepared.rows], plan.n_bins)
    return Selection(np.zeros(0, dtype=np.intp), Z, bin_codes(Z, cuts), content.digest(Z).encode())
