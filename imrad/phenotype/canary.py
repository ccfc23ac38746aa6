"""What no record of rows can see: parts that know the held-out patients from elsewhere.

One outer fold is fitted twice, the second time with its held-out rows and labels replaced by
noise: what was learnt must be identical. The user's own parts get three more looks. They are
fitted on noise in place of the training rows: what was learnt must differ, or it was learnt before
the split. What they carry or close over is searched for the cohort's rows, and for models that
were fitted already.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.base import clone

from imrad import content
from imrad.evaluation import Fold
from imrad.exceptions import LeakError
from imrad.phenotype.folds import Task, fit_fold
from imrad.phenotype.learners import _probability
from imrad.phenotype.prepared import Plan, learn_scale
from imrad.phenotype.selectors import FixedFeatures
from imrad.phenotype.targets import Target
from imrad.seeds import generator

__all__ = ["check_canary", "inspect_cuts"]


def check_canary(plan: Plan, task: Task, *, own: Mapping[str, Any]) -> None:
    """Fit one outer fold twice, and the user's own parts on noise.

    Raises
    ------
    LeakError
        Naming the step that knows its held-out patients.
    """
    name, fold = task.target.name, task.fold
    for part, what in own.items():
        _check_dependence(plan, task, part, what)
    probe = replace(task, probe=True)
    rng = generator(plan.seed, "canary", name, fold.name)
    noise = plan.X.copy()
    _, _, spread = learn_scale(plan.X)
    noise[fold.test] = rng.normal(size=(len(fold.test), noise.shape[1])) * (10 * spread + 1)
    values = task.target.values.copy()
    known = values[task.target.measured]
    values[fold.test] = rng.permutation(np.resize(known, len(fold.test))) + 7 * (known.std() + 1)
    first = fit_fold(plan, probe)
    others = plan.preparation.replaced([plan.patients[row] for row in fold.test], plan.seed)
    second = fit_fold(
        replace(plan, X=noise, preparation=others), replace(probe, target=replace(task.target, values=values))
    )
    changed = [step for step, digest in first["state"].items() if second["state"][step] != digest]
    if not changed and not np.array_equal(first["training"], second["training"], equal_nan=True):
        changed = [f"{name}/classifier:stacking"]
    if changed:
        raise LeakError(_message(changed[0], plan, fold, "changes when its held-out patients are replaced by noise"))


def _message(step: str, plan: Plan, fold: Fold, what: str) -> str:
    held = ", ".join(plan.patients[row] for row in fold.test[:3])
    return (
        f"leak: {step} {what} (fold {fold.name}, {len(fold.test)} held-out patients, among them {held}); "
        "learn everything in fit() from the rows it is given"
    )


def _check_dependence(plan: Plan, task: Task, part: str, what: Any) -> None:
    """Fit a user's part on the training rows and on noise; equal states were not learnt here."""
    target, fold = task.target, task.fold
    rows = fold.train[target.measured[fold.train]]
    rng = generator(plan.seed, "canary", part)
    if part == "cut":
        values = target.values[rows]
        for rule in what:
            other = rng.normal(size=len(values)) * (np.std(values) + 1) + 3 * (np.abs(values).max() + 1)
            if rule(values) == rule(other):
                said = "is the same for other training values: it was learnt before the split"
                raise LeakError(_message(f"{target.name}/cut", plan, fold, said))
        return
    if isinstance(what, FixedFeatures):
        return
    filled = np.where(np.isnan(plan.X), 0.0, plan.X)
    real, y = filled[rows], (target.values[rows] > target.cut(target.values[rows])).astype(int)
    # The noise tells a selector or classifier something, so that it has something to learn from it.
    false_y = rng.permutation(y)
    false = rng.normal(size=real.shape) * (filled.std(axis=0) + 1)
    false[:, rng.permutation(real.shape[1])[: max(1, real.shape[1] // 10)]] += 3.0 * false_y[:, None]
    states = [_learnt(part, what, X, labels, filled) for X, labels in ((real, y), (false, false_y))]
    if states[0] is not None and states[0] == states[1]:
        said = "is the same when its training rows are replaced by noise: it was learnt before the split"
        if part.startswith("selector"):
            said += " (a list fixed before these data were seen is given as FixedFeatures)"
        raise LeakError(_message(f"{target.name}/{part}", plan, fold, said))


def _learnt(part: str, what: Any, X: Any, y: Any, everyone: Any) -> str | None:
    """Return a digest of what a part learnt, or None where it has nothing to show."""
    model = clone(what)
    model.fit(X, y) if part != "scaler" else model.fit(X)
    if part.startswith("classifier"):
        return content.digest(_probability(model, everyone))
    if hasattr(model, "get_support"):
        support = np.asarray(model.get_support())
        # Keeping everything says nothing about anyone.
        return None if support.all() else content.digest(support)
    return content.digest(np.asarray(model.transform(everyone), dtype=float))


def inspect_cuts(targets: Sequence[Target]) -> None:
    """Refuse a cut-point given as a number that is the median or mean of all patients.

    Raises
    ------
    LeakError
        Naming the target.
    """
    for target in targets:
        if callable(target.rule) or isinstance(target.rule, str) or not target.measured.any():
            continue
        known, cut = target.values[target.measured], float(target.rule)
        # A round number is a cut-point that someone may have named beforehand.
        if round(cut, 2) == cut:
            continue
        for name, value in (("median", np.median(known)), ("mean", known.mean())):
            if abs(cut - value) <= 1e-12 * abs(value):
                message = (
                    f"leak: {target.name}/cut is the {name} of all patients ({cut:g}), the held-out ones among them; "
                    "use cut='median', which is learnt in the fold, or a cut-point named beforehand"
                )
                raise LeakError(message)
