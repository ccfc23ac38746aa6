"""One training part of one target, an outer fold's or an inner one's: cut, selections and predictions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from imrad.evaluation import Fold, Ledger
from imrad.phenotype.learners import Job, Learner
from imrad.phenotype.prepared import Plan, Selection, prepare, select
from imrad.phenotype.targets import Target
from imrad.seeds import child_seed

__all__ = ["Part", "fit_part", "make_job", "predict_jobs", "predict_parts"]

Floats = np.ndarray[Any, np.dtype[np.float64]]
Rows = np.ndarray[Any, np.dtype[np.intp]]


@dataclass
class Part:
    """A training part and what was learnt in it.

    Attributes
    ----------
    fold : Fold
        Its training rows and the rows held out from it.
    label : str
        Added to the names of its steps; empty for the folds of the split table themselves.
    rows : ndarray of int
        Training rows with a measured target.
    cut : float
        Cut-point learnt from them.
    y : ndarray of int
        Their classes.
    new : ndarray of int
        Rows to predict.
    selections : dict
        Selector to selected features.
    predictions : dict
        (selector, classifier) to probabilities of the rows to predict.
    """

    fold: Fold
    label: str
    rows: Rows
    cut: float
    y: np.ndarray[Any, Any]
    new: Rows
    selections: dict[str, Selection] = field(default_factory=dict)
    predictions: dict[tuple[str, str], Floats] = field(default_factory=dict)


def fit_part(
    plan: Plan,
    target: Target,
    fold: Fold,
    ledger: Ledger,
    *,
    selectors: Iterable[str] | None = None,
    label: str = "",
    probe: bool = False,
) -> Part:
    """Cut the target and select features; with `probe` the training rows are to be predicted too."""
    name = target.name
    rows = fold.train[target.measured[fold.train]]
    prepared = prepare(plan, rows, ledger, stage="phenotype", step=f"{name}{label}", fold=fold.name)
    (values,) = ledger.rows(rows, target.values, stage="phenotype", step=f"{name}{label}/cut", fold=fold.name)
    cut = target.cut(values)
    y = (values > cut).astype(np.int64)
    part = Part(fold, label, rows, cut, y, np.concatenate([fold.test, rows]) if probe else fold.test)
    for selector in plan.selectors if selectors is None else selectors:
        ledger.record(stage="phenotype", step=f"{name}{label}/selector:{selector}", fold=fold.name, rows=rows)
        part.selections[selector] = select(plan, prepared, selector, y[:, None])[0]
    return part


def make_job(plan: Plan, selection: Selection, rows: Rows, y: np.ndarray[Any, Any], new: Rows, fold: str) -> Job:
    """Return the job of one selection in one training part."""
    return Job(
        X=np.ascontiguousarray(selection.Z[rows]),
        # One layout for all: a kernel is compiled anew for every layout that it meets.
        y=np.ascontiguousarray(y),
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


def predict_parts(plan: Plan, parts: Sequence[Part], target: Target, ledger: Ledger) -> None:
    """Fit every distinct job once and hand its predictions to all cells that share it."""
    keys: dict[tuple[int, bytes], int] = {}
    jobs: list[Job] = []
    for number, part in enumerate(parts):
        for selection in part.selections.values():
            if (number, selection.key) not in keys:
                keys[number, selection.key] = len(jobs)
                jobs.append(make_job(plan, selection, part.rows, part.y, part.new, part.fold.name + part.label))
    for classifier, learner in plan.learners.items():
        values = predict_jobs(learner, jobs)
        for number, part in enumerate(parts):
            for selector, selection in part.selections.items():
                part.predictions[selector, classifier] = values[keys[number, selection.key]]
                step = f"{target.name}{part.label}/classifier:{selector}:{classifier}"
                ledger.record(stage="phenotype", step=step, fold=part.fold.name, rows=part.rows)
