"""The order of the founding study, leaky on purpose: selection and cut on all patients, then five folds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from imrad.evaluation import Ledger
from imrad.evaluation.preparation import Preparation
from imrad.phenotype.learners import Job, meta_job
from imrad.phenotype.measures import concordance
from imrad.phenotype.parts import make_job, predict_jobs
from imrad.phenotype.prepared import STACKING, Plan, narrow, prepare, select
from imrad.phenotype.targets import Target

__all__ = ["published_cells"]

Floats = np.ndarray[Any, np.dtype[np.float64]]


def published_cells(plan: Plan, target: Target) -> dict[str, Any]:
    """Return every cell's AUC when cut and selection have seen all patients.

    The folds are the outer folds of the first repeat; scaling, bins and classifiers are learnt in
    the fold, as Orange does. The stack's meta-learner for a fold stands on the other folds'
    predictions. These numbers may only stand beside the honest ones, as optimism.

    Returns
    -------
    dict
        ``auc`` (cells, mean within-fold), ``auc_pooled`` (cells), ``cut``, ``ledger``.
    """
    ledger = Ledger(plan.patients)
    everyone = np.flatnonzero(target.measured)
    stage, name = "published", target.name
    whole = prepare(plan, everyone, ledger, stage=stage, step=name, fold="all")
    ledger.record(stage=stage, step=f"{name}/cut", fold="all", rows=everyone)
    cut = target.cut(target.values[everyone])
    labels = np.zeros(len(plan.patients), dtype=np.int64)
    labels[everyone] = target.values[everyone] > cut
    if len(plan.preparation):
        # Here preparation, too, has seen all patients.
        whole = narrow(plan, whole, labels[everyone])
        ready = whole.preparation.transform(plan.table, plan.preparation.sides).to_numpy()
        plan = replace(plan, X=ready, features=whole.names, preparation=Preparation([]))
    columns = {}
    for selector in plan.selectors:
        ledger.record(stage=stage, step=f"{name}/selector:{selector}", fold="all", rows=everyone)
        columns[selector] = select(plan, whole, selector, labels[everyone][:, None])[0]
    folds = list(plan.splits.outer(plan.splits.repeats[0]))
    scores = np.full((len(plan.cells), len(plan.patients)), np.nan)
    jobs: list[Job] = []
    where: list[tuple[str, np.ndarray[Any, Any], int]] = []
    for fold in folds:
        rows, new = fold.train[target.measured[fold.train]], fold.test[target.measured[fold.test]]
        prepared = prepare(plan, rows, ledger, stage=stage, step=name, fold=fold.name)
        keys: dict[bytes, int] = {}
        for selector, chosen in columns.items():
            if chosen.key not in keys:
                keys[chosen.key] = len(jobs)
                if len(chosen.columns):
                    fitted = type(chosen)(
                        chosen.columns, prepared.Z[:, chosen.columns], prepared.codes[:, chosen.columns], chosen.key
                    )
                else:
                    fitted = chosen
                jobs.append(make_job(plan, fitted, rows, labels[rows], new, fold.name))
            where.append((selector, new, keys[chosen.key]))
            for classifier in plan.classifiers:
                step = f"{name}/classifier:{selector}:{classifier}"
                ledger.record(stage=stage, step=step, fold=fold.name, rows=rows)
    cells = {cell: number for number, cell in enumerate(plan.cells)}
    for classifier, learner in plan.learners.items():
        values = predict_jobs(learner, jobs)
        for selector, new, job in where:
            scores[cells[selector, classifier], new] = values[job]
    if plan.stacking:
        for selector in plan.selectors:
            bases = np.stack([scores[cells[selector, classifier]] for classifier in plan.learners], axis=1)
            scores[cells[selector, STACKING]] = _stack(plan, bases, labels, folds, target)
    within = np.stack(
        [
            concordance(scores[:, new], target.truth(new, cut))
            for new in (fold.test[target.measured[fold.test]] for fold in folds)
        ]
    )
    known = ~np.isnan(within)
    auc = np.where(known, within, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    pooled = concordance(scores[:, everyone], target.truth(everyone, cut))
    return {"auc": auc, "auc_pooled": pooled, "cut": cut, "ledger": ledger.to_plain()}


def _stack(plan: Plan, bases: Floats, labels: np.ndarray[Any, Any], folds: list[Any], target: Target) -> Floats:
    out = np.full(len(labels), np.nan)
    for fold in folds:
        rows, new = fold.train[target.measured[fold.train]], fold.test[target.measured[fold.test]]
        if labels[rows].min() == labels[rows].max():
            out[new] = float(labels[rows][0])
        else:
            out[new] = plan.meta.predict_many([meta_job(bases[rows], labels[rows], bases[new])])[0]
    return out
