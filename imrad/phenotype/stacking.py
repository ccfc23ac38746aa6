"""Stacking on inner out-of-fold predictions that the grid has already computed.

The stack of an outer fold stands on the base learners' predictions of the inner folds' held-out
rows. In the inner folds it is judged by the mean of its bases' probabilities: a meta-learner fitted
across inner folds would stand on predictions whose fits had seen the rows it is judged on (on noise
that gives an AUC of 0.54). Where a stack is chosen, its own out-of-fold scores of the training rows
are computed cleanly, with base fits that leave out two inner folds at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from imrad.evaluation import Fold, Ledger
from imrad.phenotype.learners import meta_job
from imrad.phenotype.parts import Part, fit_part, predict_parts
from imrad.phenotype.prepared import STACKING, Plan
from imrad.phenotype.targets import Target

__all__ = ["BasePredictions", "base_predictions", "stack_test", "stack_training"]

Floats = np.ndarray[Any, np.dtype[np.float64]]
Rows = np.ndarray[Any, np.dtype[np.intp]]


@dataclass(frozen=True)
class BasePredictions:
    """Predictions of the base learners for held-out rows, with the fit that made them.

    Attributes
    ----------
    rows : ndarray of int
        Rows predicted.
    values : ndarray, rows x base learners
        Probabilities.
    producer : str
        The ledger's name of the fits, taken together.
    """

    rows: Rows
    values: Floats
    producer: str


def base_predictions(plan: Plan, target: Target, part: Part, selector: str, ledger: Ledger) -> BasePredictions:
    """Return the base learners' predictions of the rows held out from a part."""
    n_new = len(part.fold.test)
    values = np.column_stack([part.predictions[selector, name][:n_new] for name in plan.learners])
    step = f"{target.name}{part.label}/bases:{selector}"
    producer = ledger.record(stage="phenotype", step=step, fold=part.fold.name, rows=part.rows)
    return BasePredictions(part.fold.test, values, producer)


def stack_test(
    plan: Plan,
    target: Target,
    inner: Sequence[Part],
    outer: Part,
    selector: str,
    ledger: Ledger,
    stacks: dict[tuple[bytes, bytes], Floats],
) -> Floats:
    """Return the stack's probabilities of an outer fold's test rows.

    Selectors that picked the same features everywhere have the same bases and share one stack, which
    `stacks` remembers.
    """
    base = [base_predictions(plan, target, part, selector, ledger) for part in inner]
    held = base_predictions(plan, target, outer, selector, ledger)
    return _stack(plan, target, base, outer, held.values, selector, ledger, stacks)


def stack_training(
    plan: Plan, target: Target, inner: Sequence[Part], fold: Fold, selector: str, ledger: Ledger
) -> Floats:
    """Return the stack's out-of-fold probabilities of an outer fold's training rows, in their order.

    For inner fold i the stack stands on predictions of each other inner fold j by base fits that
    saw neither i nor j; one such fit serves both i and j.
    """
    pairs: dict[tuple[int, int], Part] = {}
    for i, j in combinations(range(len(inner)), 2):
        held = np.sort(np.concatenate([inner[i].fold.test, inner[j].fold.test]))
        both = Fold(inner[i].fold.name, np.setdiff1d(fold.train, held), held)
        label = f"~without-i{j}"
        pairs[i, j] = fit_part(plan, target, both, ledger, selectors=[selector], label=label)
    predict_parts(plan, list(pairs.values()), target, ledger)
    out = np.full(len(fold.train), np.nan)
    for number, part in enumerate(inner):
        base = []
        for other in range(len(inner)):
            if other == number:
                continue
            found = base_predictions(plan, target, pairs[min(number, other), max(number, other)], selector, ledger)
            own = np.isin(found.rows, inner[other].fold.test)
            base.append(BasePredictions(found.rows[own], found.values[own], found.producer))
        judged = base_predictions(plan, target, part, selector, ledger)
        scores = _stack(plan, target, base, part, judged.values, selector, ledger, {})
        out[np.searchsorted(fold.train, part.fold.test)] = scores
    return out


def _stack(
    plan: Plan,
    target: Target,
    base: Sequence[BasePredictions],
    part: Part,
    held: Floats,
    selector: str,
    ledger: Ledger,
    stacks: dict[tuple[bytes, bytes], Floats],
) -> Floats:
    """Fit the meta-learner of a part on its rows' out-of-fold predictions, and apply it to held-out ones."""
    rows = np.concatenate([one.rows for one in base])
    measured = target.measured
    known = measured[rows]
    step = f"{target.name}/classifier:{selector}:{STACKING}"
    consumer = ledger.record(stage="phenotype", step=step, fold=part.fold.name, rows=rows[known])
    for one in base:
        ledger.use(consumer=consumer, producer=one.producer, rows=one.rows[measured[one.rows]])
    y = (target.values[rows[known]] > part.cut).astype(np.int64)
    if y.min() == y.max():
        return np.full(len(held), float(y[0]))
    bases = np.concatenate([one.values for one in base])[known]
    name = (bases.tobytes(), held.tobytes())
    if name not in stacks:
        stacks[name] = plan.meta.predict_many([meta_job(bases, y, held)])[0]
    return stacks[name]
