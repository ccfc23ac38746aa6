"""Rows beside the grid: what volume alone, clinical data alone, shuffled patients and no selector reach."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from imrad.evaluation import Fold, Ledger
from imrad.phenotype.folds import Task, fit_fold
from imrad.phenotype.measures import concordance, nadeau_bengio
from imrad.phenotype.nulls import outer_auc
from imrad.phenotype.prepared import Plan, apply_scale, learn_scale
from imrad.phenotype.targets import Target
from imrad.seeds import generator

__all__ = ["bare_cells", "bare_plan", "block_rows", "quick_plan", "shuffled_row"]

Floats = np.ndarray[Any, np.dtype[np.float64]]

QUICK = ("logistic_regression", "naive_bayes", "knn")
"""Learners that cost a few milliseconds a fit."""


def quick_plan(plan: Plan) -> Plan:
    """Return the plan with its quick learners only, or with all where it has none of them."""
    quick = {name: learner for name, learner in plan.learners.items() if name in QUICK}
    return replace(plan, learners=quick or plan.learners, stacking=False)


def bare_plan(plan: Plan) -> Plan:
    """Return the plan without a selector, with the learners that hundreds of features do not slow down."""
    quick = {name: learner for name, learner in plan.learners.items() if name in (*QUICK, "svm", "random_forest")}
    return replace(plan, selectors={"none": "none"}, learners=quick or plan.learners, stacking=False)


def block_rows(plan: Plan, name: str, block: pd.DataFrame, target: Target) -> dict[str, Any]:
    """Judge a logistic regression on a few columns (volume, clinical) in the outer folds.

    Numbers are imputed and scaled, categories are expanded, by the training rows. Columns without
    a value in a training part are left out there.
    """
    from sklearn.linear_model import LogisticRegression

    ledger = Ledger(plan.patients)
    values, shares = [], []
    for repeat in plan.splits.repeats:
        for fold in plan.splits.outer(repeat):
            rows, new = fold.train[target.measured[fold.train]], fold.test[target.measured[fold.test]]
            step = f"{target.name}/control:{name}"
            ledger.record(stage="phenotype", step=step, fold=fold.name, rows=rows)
            cut = target.cut(target.values[rows])
            y = (target.values[rows] > cut).astype(int)
            truth = target.truth(new, cut)
            shares.append(len(new) / max(len(rows), 1))
            design = _design(block, rows)
            if design.shape[1] == 0 or y.min() == y.max() or len(new) == 0:
                values.append(np.nan)
                continue
            learnt = learn_scale(design[rows])
            Z = apply_scale(design, *learnt)
            model = LogisticRegression(max_iter=1000).fit(Z[rows], y)
            values.append(float(concordance(model.predict_proba(Z[new])[:, 1], truth)[0]))
    auc, low, high = nadeau_bengio(np.array(values), float(np.mean(shares)))
    return {
        "target": target.name,
        "control": name,
        "model": "logistic regression",
        "n": int(target.measured.sum()),
        "auc": auc,
        "auc_low": low,
        "auc_high": high,
        "ledger": ledger.to_plain(),
    }


def _design(block: pd.DataFrame, rows: np.ndarray[Any, Any]) -> Floats:
    columns = []
    for name in block.columns:
        column = block[name]
        if pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype):
            values = column.to_numpy(dtype=float, na_value=np.nan)
            if not np.isnan(values[rows]).all():
                columns.append(values)
            continue
        text = column.astype(object)
        missing = text.isna().to_numpy()
        levels = sorted({str(text.iloc[row]) for row in rows if not missing[row]})
        for level in levels[1:]:
            same = np.array([str(item) == level for item in text], dtype=float)
            same[missing] = np.nan
            columns.append(same)
    return np.column_stack(columns) if columns else np.zeros((len(block), 0))


def shuffled_row(plan: Plan, target: Target) -> dict[str, Any]:
    """Judge the quick part of the grid, inner choice included, on patients whose features were exchanged."""
    known = np.flatnonzero(target.measured)
    order = generator(plan.seed, "shuffled", target.name).permutation(len(known))
    values = target.values.copy()
    values[known] = target.values[known][order]
    shuffled = Target(target.name, values, target.rule)
    small = quick_plan(plan)
    ledger = Ledger(plan.patients)
    found, shares, n_fits = [], [], 0
    for repeat in plan.splits.repeats:
        for fold in plan.splits.outer(repeat):
            result = fit_fold(small, Task(shuffled, fold))
            held = shuffled.measured[fold.test]
            scores = result["test"][result["chosen"]][held]
            found.append(float(concordance(scores, shuffled.truth(fold.test[held], result["cut"]))[0]))
            shares.append(held.sum() / max(len(known) - held.sum(), 1))
            n_fits = len(small.cells) * (1 + result["inner_auc"].shape[1])
            ledger.count(stage="phenotype", step=f"{target.name}/control:shuffled_features", fold=fold.name, n=n_fits)
    auc, low, high = nadeau_bengio(np.array(found), float(np.mean(shares)))
    return {
        "target": target.name,
        "control": "shuffled_features",
        "model": f"best inner cell of {len(small.cells)}",
        "n": len(known),
        "auc": auc,
        "auc_low": low,
        "auc_high": high,
        "ledger": ledger.to_plain(),
    }


def bare_cells(plan: Plan, target: Target) -> dict[str, Any]:
    """Judge every learner on all features in the outer folds."""
    ledger = Ledger(plan.patients)
    folds: list[Fold] = [fold for repeat in plan.splits.repeats for fold in plan.splits.outer(repeat)]
    values = []
    for fold in folds:
        rows = fold.train[target.measured[fold.train]]
        for name in plan.learners:
            step = f"{target.name}/classifier:none:{name}"
            ledger.record(stage="phenotype", step=step, fold=fold.name, rows=rows)
        values.append(outer_auc(plan, [target], fold, ledger)[0])
    return {
        "target": target.name,
        "classifiers": list(plan.learners),
        "auc": np.stack(values),
        "ledger": ledger.to_plain(),
    }
