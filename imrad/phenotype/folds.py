"""One outer fold of one target: all cells fitted in its inner folds and in itself, each thing once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from imrad import content
from imrad.evaluation import Fold, Ledger
from imrad.phenotype.measures import concordance
from imrad.phenotype.parts import Part, fit_part, predict_parts
from imrad.phenotype.prepared import STACKING, Plan, Prepared, narrow, prepare
from imrad.phenotype.stacking import stack_test, stack_training
from imrad.phenotype.targets import Target

__all__ = ["Task", "fit_fold"]

Floats = np.ndarray[Any, np.dtype[np.float64]]


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


def fit_fold(plan: Plan, task: Task) -> dict[str, Any]:
    """Fit all cells in one outer fold and its inner folds, and choose one.

    Returns
    -------
    dict
        ``cut``; ``test`` (cells x test rows), probabilities of all patients, measured or not;
        ``inner_auc`` (cells x inner folds), that of a stack being of its bases' mean; ``chosen``
        (number of the cell of best mean inner AUC); ``training`` (training rows), the chosen
        cell's inner out-of-fold probabilities; ``selected`` (selector to names); ``funnel``; ``ledger``;
        with ``probe`` also ``state``.
    """
    ledger, target = Ledger(plan.patients), task.target
    inner = [fit_part(plan, target, fold, ledger) for fold in plan.splits.inner(task.fold)]
    outer = fit_part(plan, target, task.fold, ledger, probe=task.probe)
    predict_parts(plan, [*inner, outer], target, ledger)
    test = np.empty((len(plan.cells), len(task.fold.test)))
    stacks: dict[tuple[bytes, bytes], Floats] = {}
    for number, (selector, classifier) in enumerate(plan.cells):
        if classifier != STACKING:
            test[number] = outer.predictions[selector, classifier][: len(task.fold.test)]
        else:
            test[number] = stack_test(plan, target, inner, outer, selector, ledger, stacks)
    inner_auc = np.column_stack([_judge(plan, target, part) for part in inner])
    chosen = choose(inner_auc)
    result = {
        "cut": outer.cut,
        "test": test,
        "inner_auc": inner_auc,
        "chosen": chosen,
        "training": _training(plan, target, inner, task.fold, chosen, ledger),
        "selected": {name: list(selection.names) for name, selection in outer.selections.items()},
        "funnel": _funnel(plan, task, outer, ledger),
        "ledger": ledger.to_plain(),
    }
    if task.probe:
        result["state"] = _state(plan, task, [*inner, outer], ledger)
    return result


def _inner_scores(plan: Plan, part: Part) -> Floats:
    """Return every cell's scores of an inner fold's held-out rows; a stack's are its bases' mean."""
    rows: list[Floats] = []
    for selector in plan.selectors:
        base = [part.predictions[selector, name] for name in plan.learners]
        rows += [*base, np.mean(base, axis=0)] if plan.stacking else base
    return np.stack(rows)


def _judge(plan: Plan, target: Target, part: Part) -> Floats:
    known = target.measured[part.new]
    return concordance(_inner_scores(plan, part)[:, known], target.truth(part.new[known], part.cut))


def _training(plan: Plan, target: Target, inner: list[Part], fold: Fold, chosen: int, ledger: Ledger) -> Floats:
    selector, classifier = plan.cells[chosen]
    if classifier == STACKING:
        return stack_training(plan, target, inner, fold, selector, ledger)
    out = np.full(len(fold.train), np.nan)
    for part in inner:
        out[np.searchsorted(fold.train, part.new)] = part.predictions[selector, classifier]
    return out


def choose(inner_auc: Floats) -> int:
    """Return the cell of best mean inner AUC; the first of equals, 0 where nothing could be judged."""
    known = ~np.isnan(inner_auc)
    sums = np.where(known, inner_auc, 0.0).sum(axis=1)
    means = np.divide(sums, known.sum(axis=1), out=np.full(len(sums), -1.0), where=known.any(axis=1))
    return int(np.argmax(np.round(means, 12)))


def _shared(plan: Plan, task: Task, outer: Part, ledger: Ledger) -> Prepared:
    return prepare(plan, outer.rows, ledger, stage="phenotype", step=task.target.name, fold=task.fold.name)


def _funnel(plan: Plan, task: Task, outer: Part, ledger: Ledger) -> list[dict[str, Any]]:
    """Return how many features each preparation step was given and kept."""
    if not len(plan.preparation):
        return []
    return narrow(plan, _shared(plan, task, outer, ledger), outer.y).preparation.funnel()


def _state(plan: Plan, task: Task, parts: list[Part], ledger: Ledger) -> dict[str, Any]:
    """Return, by step, a digest of what each fit learnt."""
    outer, n_test = parts[-1], len(task.fold.test)
    name = task.target.name
    prepared = _shared(plan, task, outer, ledger)
    own = narrow(plan, prepared, outer.y)
    state = {
        f"{name}/cut": content.digest([part.cut for part in parts]),
        f"{name}/scaler": content.digest([prepared.Z[outer.rows], prepared.medians, prepared.means, prepared.scales]),
        f"{name}/bins": content.digest([prepared.cuts, prepared.codes[outer.rows]]),
    }
    state |= {f"{name}/prepare:{step}": digest for step, digest in own.preparation.states().items()}
    for selector in plan.selectors:
        chosen = [part.selections[selector] for part in parts]
        held = [[one.columns, list(one.names), one.Z[part.rows]] for one, part in zip(chosen, parts, strict=True)]
        state[f"{name}/selector:{selector}"] = content.digest(held)
        for classifier in plan.learners:
            fits = [part.predictions[selector, classifier] for part in parts[:-1]]
            fits.append(outer.predictions[selector, classifier][n_test:])
            state[f"{name}/classifier:{selector}:{classifier}"] = content.digest(fits)
    return state
