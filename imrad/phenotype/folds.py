"""One outer fold of one target: everything is learnt from its training rows, each thing once.

What does not depend on the target (imputation, scaling, bins, feature-to-feature uncertainty) is
learnt once per set of training rows and kept; equal sets of selected features are fitted once.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression

from imrad import content
from imrad.evaluation import Fold, Ledger, SplitTable
from imrad.phenotype.discretise import bin_codes, equal_frequency_cuts
from imrad.phenotype.learners import Job, Learner
from imrad.phenotype.measures import concordance
from imrad.phenotype.scores import ContingencyScores, top_k
from imrad.phenotype.selectors import make_selector
from imrad.phenotype.targets import Target
from imrad.seeds import child_seed

__all__ = ["STACKING", "Plan", "Prepared", "Selection", "Task", "fit_fold", "prepare"]

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

    @cached_property
    def key(self) -> str:
        """Digest of what a preparation depends on."""
        return content.digest([self.X, self.n_bins, repr(self.scaler)])

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

    def state(self) -> list[Any]:
        """Return what was learnt, for comparison."""
        return [self.Z[self.rows], self.medians, self.means, self.scales, self.cuts]


_KEPT: OrderedDict[tuple[str, bytes], Prepared] = OrderedDict()
_KEEP = 8  # an outer fold and its inner ones, and two to spare


def prepare(plan: Plan, rows: Rows, ledger: Ledger, *, stage: str, step: str, fold: str) -> Prepared:
    """Learn imputation, scale and bins from training rows; repeated calls for the same rows are free."""
    (training,) = ledger.rows(rows, plan.X, stage=stage, step=f"{step}/scaler", fold=fold)
    ledger.record(stage=stage, step=f"{step}/bins", fold=fold, rows=rows)
    name = (plan.key, rows.tobytes())
    if name in _KEPT:
        _KEPT.move_to_end(name)
        return _KEPT[name]
    if plan.scaler is None:
        medians, means, scales = learn_scale(training)
        Z = apply_scale(plan.X, medians, means, scales)
    else:
        scaler = clone(plan.scaler).fit(training)
        Z = np.asarray(scaler.transform(plan.X), dtype=float)
        medians = means = scales = np.zeros(0)
    cuts = equal_frequency_cuts(training, plan.n_bins)
    codes = bin_codes(plan.X, cuts)
    made = Prepared(rows, Z, codes, ContingencyScores(codes[rows], plan.n_bins), medians, means, scales, cuts)
    _KEPT[name] = made
    while len(_KEPT) > _KEEP:
        _KEPT.popitem(last=False)
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


@dataclass(frozen=True)
class Task:
    """One target in one outer fold.

    Attributes
    ----------
    target : Target
        What is predicted.
    fold : Fold
        Outer fold.
    probe : bool
        Also predict the training rows with the outer fits: their fitted state, for the canary.
    """

    target: Target
    fold: Fold
    probe: bool = False


@dataclass
class _Part:
    """One training part (an inner one or the outer one) while a task runs."""

    fold: Fold
    rows: Rows
    cut: float
    y: np.ndarray[Any, Any]
    new: Rows
    selections: dict[str, Selection] = field(default_factory=dict)
    predictions: dict[tuple[str, str], Floats] = field(default_factory=dict)


def fit_fold(plan: Plan, task: Task) -> dict[str, Any]:
    """Fit all cells in one outer fold and its inner folds.

    Returns
    -------
    dict
        ``cut``; ``test`` (cells x test rows) and ``inner`` (cells x training rows) out-of-fold
        probabilities of all patients, measured or not; ``inner_auc`` (cells x inner folds);
        ``chosen`` (number of the cell of best mean inner AUC); ``selected`` (selector to columns);
        ``ledger``; with ``probe`` also ``state``.
    """
    ledger = Ledger(plan.patients)
    parts = [*plan.splits.inner(task.fold), task.fold]
    fitted = [_fit_part(plan, task, fold, ledger) for fold in parts]
    _predict(plan, fitted, task, ledger)
    inner, outer = fitted[:-1], fitted[-1]
    train, test = task.fold.train, task.fold.test
    n_test = len(test)
    cells = plan.cells
    out_test = np.empty((len(cells), n_test))
    out_inner = np.full((len(cells), len(train)), np.nan)
    place = np.full(len(plan.patients), -1)
    place[train] = np.arange(len(train))
    stacks = _stacks(plan, task, inner, outer, place, ledger) if plan.stacking else {}
    for number, (selector, classifier) in enumerate(cells):
        if classifier == STACKING:
            out_inner[number], out_test[number] = stacks[selector]
            continue
        out_test[number] = outer.predictions[selector, classifier][:n_test]
        for part in inner:
            out_inner[number, place[part.new]] = part.predictions[selector, classifier]
    inner_auc = np.column_stack([_judge(task.target, part, out_inner[:, place[part.new]]) for part in inner])
    result = {
        "cut": outer.cut,
        "test": out_test,
        "inner": out_inner,
        "inner_auc": inner_auc,
        "chosen": choose(inner_auc),
        "selected": {name: chosen.columns for name, chosen in outer.selections.items()},
        "ledger": ledger.to_plain(),
    }
    if task.probe:
        result["state"] = _state(plan, task, fitted, ledger)
    return result


def choose(inner_auc: Floats) -> int:
    """Return the cell of best mean inner AUC; the first of equals, 0 where nothing could be judged."""
    known = ~np.isnan(inner_auc)
    sums = np.where(known, inner_auc, 0.0).sum(axis=1)
    means = np.divide(sums, known.sum(axis=1), out=np.full(len(sums), -1.0), where=known.any(axis=1))
    return int(np.argmax(np.round(means, 12)))


def _judge(target: Target, part: _Part, scores: Floats) -> Floats:
    known = target.measured[part.new]
    return concordance(scores[:, known], target.truth(part.new[known], part.cut))


def _fit_part(plan: Plan, task: Task, fold: Fold, ledger: Ledger) -> _Part:
    target, name = task.target, task.target.name
    rows = fold.train[target.measured[fold.train]]
    prepared = prepare(plan, rows, ledger, stage="phenotype", step=name, fold=fold.name)
    (values,) = ledger.rows(rows, target.values, stage="phenotype", step=f"{name}/cut", fold=fold.name)
    cut = target.cut(values)
    y = (values > cut).astype(np.int64)
    outer = fold is task.fold
    new = np.concatenate([fold.test, rows]) if outer and task.probe else fold.test
    part = _Part(fold, rows, cut, y, new)
    for selector in plan.selectors:
        ledger.record(stage="phenotype", step=f"{name}/selector:{selector}", fold=fold.name, rows=rows)
        part.selections[selector] = select(plan, prepared, selector, y[:, None])[0]
    return part


def make_job(plan: Plan, selection: Selection, rows: Rows, y: np.ndarray[Any, Any], new: Rows, fold: str) -> Job:
    """Return the job of one selection in one training part."""
    return Job(
        X=np.ascontiguousarray(selection.Z[rows]),
        y=y,
        X_new=np.ascontiguousarray(selection.Z[new]),
        codes=selection.codes[rows],
        codes_new=selection.codes[new],
        n_bins=plan.n_bins,
        seed=child_seed(plan.seed, "classifier", fold),
    )


def predict_jobs(learner: Learner, jobs: Sequence[Job]) -> list[Floats]:
    """Run a learner over jobs; one class in the training rows gives every patient its share."""
    able = [number for number, job in enumerate(jobs) if job.y.min() != job.y.max()]
    out = [np.full(len(job.X_new), float(job.y[0])) for job in jobs]
    for number, values in zip(able, learner.predict_many([jobs[number] for number in able]), strict=True):
        out[number] = values
    return out


def _predict(plan: Plan, parts: list[_Part], task: Task, ledger: Ledger) -> None:
    """Fit every distinct job once and hand its predictions to all cells that share it."""
    keys: dict[tuple[int, bytes], int] = {}
    jobs: list[Job] = []
    for number, part in enumerate(parts):
        for selection in part.selections.values():
            if (number, selection.key) not in keys:
                keys[number, selection.key] = len(jobs)
                jobs.append(make_job(plan, selection, part.rows, part.y, part.new, part.fold.name))
    for classifier, learner in plan.learners.items():
        values = predict_jobs(learner, jobs)
        for number, part in enumerate(parts):
            for selector, selection in part.selections.items():
                part.predictions[selector, classifier] = values[keys[number, selection.key]]
                step = f"{task.target.name}/classifier:{selector}:{classifier}"
                ledger.record(stage="phenotype", step=step, fold=part.fold.name, rows=part.rows)


@dataclass(frozen=True)
class BasePredictions:
    """Predictions of the base learners for some rows, with the fit that made them."""

    rows: Rows
    values: Floats
    producer: str


def inner_predictions(plan: Plan, task: Task, part: _Part, selector: str, ledger: Ledger) -> BasePredictions:
    """Return the base learners' predictions of one inner fold's held-out rows."""
    values = np.column_stack([part.predictions[selector, name] for name in plan.learners])
    step = f"{task.target.name}/bases:{selector}"
    producer = ledger.record(stage="phenotype", step=step, fold=part.fold.name, rows=part.rows)
    return BasePredictions(part.new, values, producer)


def _stacks(
    plan: Plan, task: Task, inner: list[_Part], outer: _Part, place: Rows, ledger: Ledger
) -> dict[str, tuple[Floats, Floats]]:
    """Return, by selector, the stack's out-of-fold probabilities of training rows and of test rows.

    The meta-learner of the test rows stands on all inner out-of-fold predictions. For an inner
    fold's rows it stands on those of the other inner folds, so that the stack is judged beside the
    other cells without fitting any base learner again.
    """
    labels = np.full(len(plan.patients), -1)
    labels[outer.rows] = outer.y
    out: dict[str, tuple[Floats, Floats]] = {}
    made: dict[tuple[bytes, ...], tuple[Floats, Floats]] = {}
    for selector in plan.selectors:
        base = [inner_predictions(plan, task, part, selector, ledger) for part in inner]
        same = tuple(part.selections[selector].key for part in [*inner, outer])
        step = f"{task.target.name}/classifier:{selector}:{STACKING}"
        known = same in made
        held = made[same][0] if known else np.full(len(task.fold.train), np.nan)
        for number, part in enumerate(inner):
            others = [one for place_, one in enumerate(base) if place_ != number]
            model = _meta(plan, task, f"{step}~i{number}", others, labels, ledger, fit=not known)
            if not known:
                held[place[part.new]] = _meta_predict(model, base[number].values)
        model = _meta(plan, task, step, base, labels, ledger, fit=not known)
        if not known:
            bases = np.column_stack(
                [outer.predictions[selector, name][: len(task.fold.test)] for name in plan.learners]
            )
            made[same] = held, _meta_predict(model, bases)
        out[selector] = made[same]
    return out


def _meta(
    plan: Plan, task: Task, step: str, base: list[BasePredictions], labels: Rows, ledger: Ledger, *, fit: bool
) -> Any:
    rows = np.concatenate([one.rows for one in base])
    known = labels[rows] >= 0
    consumer = ledger.record(stage="phenotype", step=step, fold=task.fold.name, rows=rows[known])
    for one in base:
        ledger.use(consumer=consumer, producer=one.producer, rows=one.rows[labels[one.rows] >= 0])
    if not fit:
        return None
    y = labels[rows[known]]
    if y.min() == y.max():
        return float(y[0])
    from sklearn import config_context

    with config_context(skip_parameter_validation=True, assume_finite=True):
        return LogisticRegression().fit(np.concatenate([one.values for one in base])[known], y)


def _meta_predict(model: Any, bases: Floats) -> Floats:
    if isinstance(model, float):
        return np.full(len(bases), model)
    return np.asarray(model.predict_proba(bases))[:, 1]


def _state(plan: Plan, task: Task, parts: list[_Part], ledger: Ledger) -> dict[str, Any]:
    """Return, by step, a digest of what each fit learnt."""
    outer, n_test = parts[-1], len(task.fold.test)
    prepared = prepare(plan, outer.rows, ledger, stage="phenotype", step=task.target.name, fold=task.fold.name)
    name = task.target.name
    state = {
        f"{name}/cut": content.digest([part.cut for part in parts]),
        f"{name}/scaler": content.digest([prepared.Z[outer.rows], prepared.medians, prepared.means, prepared.scales]),
        f"{name}/bins": content.digest([prepared.cuts, prepared.codes[outer.rows]]),
    }
    for selector in plan.selectors:
        chosen = [part.selections[selector] for part in parts]
        held = [[one.columns, one.Z[part.rows]] for one, part in zip(chosen, parts, strict=True)]
        state[f"{name}/selector:{selector}"] = content.digest(held)
        for classifier in plan.learners:
            fits = [part.predictions[selector, classifier] for part in parts[:-1]]
            fits.append(outer.predictions[selector, classifier][n_test:])
            state[f"{name}/classifier:{selector}:{classifier}"] = content.digest(fits)
    return state
