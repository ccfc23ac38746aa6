"""The noise beside every result: the best cell's AUC under a permuted target, and its p.

The statistic is the largest, over the declared cells, of the mean within-fold AUC in the outer
folds. Observed and permuted targets go through the same folds, cuts, selections and fits, so under
exchangeability its rank among the permuted ones is uniform. It takes no inner folds, since the
best of all cells is compared with the best of all cells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from imrad import content
from imrad.evaluation import Fold, Ledger
from imrad.phenotype.learners import Job
from imrad.phenotype.measures import concordance
from imrad.phenotype.parts import make_job, predict_jobs
from imrad.phenotype.prepared import Plan, prepare, select
from imrad.phenotype.runner import Runner
from imrad.phenotype.targets import Target
from imrad.seeds import generator

__all__ = ["Batch", "Group", "draw_nulls", "group_targets", "null_batch", "sequential_p"]

Floats = np.ndarray[Any, np.dtype[np.float64]]

CHUNK = 10  # permutations a task: enough for engines that batch, few enough to stop early


@dataclass(frozen=True)
class Group:
    """Targets that share a null: same patients, same ties, same rule.

    Attributes
    ----------
    key : str
        Digest of what the null depends on.
    values : ndarray, patients
        Values in ascending order on the measured patients, NaN elsewhere; only their order and,
        for a fixed cut, their side of it matter.
    rule : str, float or callable
        Cut rule.
    targets : tuple of str
        Names.
    """

    key: str
    values: Floats
    rule: Any
    targets: tuple[str, ...]


def group_targets(targets: Sequence[Target], *, share: bool = True) -> list[Group]:
    """Gather the targets whose permuted values have the same distribution in the grid.

    Cuts at the median depend on the order and ties of the values alone, fixed cuts on the number
    above them; either way the measured patients must be the same. With `share` off every target
    has its own null, with its own draws.
    """
    members: dict[str, list[str]] = {}
    firsts: dict[str, tuple[Floats, Any]] = {}
    for target in targets:
        values, rule = _canonical(target)
        parts: list[Any] = [target.measured, values, rule if not callable(rule) else target.name]
        key = content.digest(parts if share else [*parts, target.name])
        members.setdefault(key, []).append(target.name)
        firsts.setdefault(key, (values, rule))
    return [Group(key[:12], *firsts[key], tuple(names)) for key, names in members.items()]


def _canonical(target: Target) -> tuple[Floats, Any]:
    known = target.values[target.measured]
    rule = target.rule
    if callable(rule):
        values = np.sort(known)
    elif rule in ("median", "continuous") and (known == 0).mean() < 0.2:
        # Too few zeros for a training fold to be zero-inflated: dense ranks keep ties and order.
        values = np.sort(np.unique(known, return_inverse=True)[1] + 1.0)
    elif rule in ("median", "continuous"):
        # A median cut may fall on zero, so zeros and signs are kept.
        levels, inverse = np.unique(known, return_inverse=True)
        values = np.sort(inverse - float((levels < 0).sum()) + (0.0 if (levels == 0).any() else 0.5))
    else:
        cut = 0.0 if rule == "zero" else float(rule)
        values, rule = np.sort((known > cut).astype(float)), 0.5
    out = np.full(len(target.values), np.nan)
    out[target.measured] = values
    return out, rule


@dataclass(frozen=True)
class Batch:
    """Some permutations of one group: numbers `start` to `stop` - 1."""

    group: Group
    start: int
    stop: int


def null_batch(plan: Plan, batch: Batch) -> dict[str, Any]:
    """Return the statistic of each permutation, and the ledger's counts."""
    ledger = Ledger(plan.patients)
    known = np.flatnonzero(~np.isnan(batch.group.values))
    drawn = []
    for number in range(batch.start, batch.stop):
        order = generator(plan.seed, "null", batch.group.key, number).permutation(len(known))
        values = batch.group.values.copy()
        values[known] = batch.group.values[known][order]
        drawn.append(Target("permuted", values, batch.group.rule))
    folds = [fold for repeat in plan.splits.repeats for fold in plan.splits.outer(repeat)]
    auc = np.stack([outer_auc(plan, drawn, fold, ledger) for fold in folds])
    for fold in folds:
        n = len(drawn) * len(plan.cells)
        ledger.count(stage="phenotype", step="permutations", fold=fold.name, n=n)
    return {"statistic": best_cell(auc), "ledger": ledger.to_plain()}


def outer_auc(plan: Plan, targets: Sequence[Target], fold: Fold, ledger: Ledger) -> Floats:
    """Return the AUC of every cell in one outer fold, targets x cells; all targets share their patients."""
    measured = targets[0].measured
    rows, new = fold.train[measured[fold.train]], fold.test[measured[fold.test]]
    # Permutation fits are recorded as counts, not one by one.
    prepared = prepare(plan, rows, Ledger(plan.patients), stage="phenotype", step="permutations", fold=fold.name)
    cuts = [target.cut(target.values[rows]) for target in targets]
    Y = np.column_stack([target.values[rows] > cut for target, cut in zip(targets, cuts, strict=True)]).astype(np.int64)
    keys: dict[tuple[int, bytes], int] = {}
    jobs: list[Job] = []
    wanted: list[list[int]] = [[] for _ in targets]
    for selector in plan.selectors:
        for number, selection in enumerate(select(plan, prepared, selector, Y)):
            key = (number, selection.key)
            if key not in keys:
                keys[key] = len(jobs)
                jobs.append(make_job(plan, selection, rows, Y[:, number], new, fold.name))
            wanted[number].append(keys[key])
    values = {name: predict_jobs(learner, jobs) for name, learner in plan.learners.items()}
    out = np.empty((len(targets), len(plan.selectors) * len(plan.learners)))
    for number, (target, cut) in enumerate(zip(targets, cuts, strict=True)):
        scores = np.stack([values[name][job] for job in wanted[number] for name in plan.learners])
        out[number] = concordance(scores, target.truth(new, cut))
    return out


def best_cell(auc: Floats) -> Floats:
    """Return the largest mean over folds; `auc` is folds x targets x cells, NaN where a fold has one class."""
    known = ~np.isnan(auc)
    mean = np.where(known, auc, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    # A target of one class in all folds has nothing to show.
    return np.asarray(np.where(known.any(axis=0), mean, 0.5).max(axis=1))


def sequential_p(null: Floats, observed: float, *, exceedances: int, cap: int) -> tuple[float, int, bool]:
    """Return Besag and Clifford's p, the permutations used, and whether they settled it.

    Drawing stops at the `exceedances`-th permuted value at or above the observed one, with p =
    exceedances / draws; at the cap p = (values at or above + 1) / (draws + 1).

    References
    ----------
    Besag J, Clifford P. doi:10.1093/biomet/78.2.301.
    """
    # Equal in exact arithmetic must count as equal.
    above = np.cumsum(null[:cap] >= observed - 1e-12)
    reached = np.flatnonzero(above >= exceedances)
    if len(reached):
        used = int(reached[0]) + 1
        return exceedances / used, used, True
    used = len(above)
    return (float(above[-1]) + 1) / (used + 1) if used else float("nan"), used, used >= cap


def draw_nulls(
    runner: Runner,
    plan: Plan,
    targets: Sequence[Target],
    observed: Mapping[str, float],
    *,
    cap: int,
    exceedances: int,
    share: bool,
) -> tuple[dict[str, tuple[float, int, bool, str]], pd.DataFrame]:
    """Draw permutations, in rounds that grow, until each target is settled or the cap is reached.

    Returns
    -------
    dict
        Target to p, permutations used, whether they settled it, and its group's key.
    DataFrame
        group, targets, permutation, statistic.
    """
    groups = group_targets(targets, share=share)
    drawn = {group.key: np.zeros(0) for group in groups}

    def judge(group: Group, name: str) -> tuple[float, int, bool]:
        return sequential_p(drawn[group.key], observed[name], exceedances=exceedances, cap=cap)

    size = 2 * CHUNK
    while True:
        batches: list[Batch] = []
        for group in groups:
            start = len(drawn[group.key])
            if start < cap and not all(judge(group, name)[2] for name in group.targets):
                stop = min(start + size, cap)
                batches += [Batch(group, at, min(at + CHUNK, stop)) for at in range(start, stop, CHUNK)]
        if not batches:
            break
        found = runner.map(partial(null_batch, plan), batches, "permutations", _batch_parts)
        for batch, one in zip(batches, found, strict=True):
            drawn[batch.group.key] = np.concatenate([drawn[batch.group.key], one["statistic"]])
        size *= 2
    rows = [
        (group.key, ";".join(group.targets), number, value)
        for group in groups
        for number, value in enumerate(drawn[group.key])
    ]
    table = pd.DataFrame(rows, columns=["group", "targets", "permutation", "statistic"])
    return {name: (*judge(group, name), group.key) for group in groups for name in group.targets}, table


def _batch_parts(batch: Batch) -> list[Any]:
    return [batch.group.key, batch.group.values, batch.start, batch.stop]
