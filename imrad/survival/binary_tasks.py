"""The fits of a binary fusion, one task each: an outer fold, the whole cohort, a batch of resamples."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from imrad import content
from imrad.evaluation import Ledger
from imrad.evaluation.bootstrap import resample_indices
from imrad.evaluation.calibration import calibration_indices, smooth_calibration
from imrad.evaluation.net_benefit import net_benefit
from imrad.evaluation.outcomes import BoolArray, FloatArray
from imrad.evaluation.roc import auc, delong_interval, youden
from imrad.exceptions import FitError
from imrad.seeds import generator
from imrad.survival.binary_design import Rows
from imrad.survival.binary_forest import FittedForest
from imrad.survival.binary_models import BinaryModel, FittedBinaryModel, fit_binary_model
from imrad.survival.fusion_core import IMRAD, FusionRows, Task, record_inputs
from imrad.survival.penalty_choice import balanced_folds
from imrad.survival.perturbations import perturbed_scores

__all__ = [
    "GRID",
    "INDICES",
    "THRESHOLDS",
    "BinaryData",
    "flat_predictions",
    "observed_share",
    "run_binary_task",
]

IntArray = np.ndarray[Any, np.dtype[np.intp]]

INDICES = ("auc", "r2", "brier", "intercept", "slope", "emax", "e90", "eavg", "d", "u", "q")
GRID = np.round(np.arange(0.02, 0.99, 0.02), 2)
THRESHOLDS = np.round(np.arange(0.01, 1.0, 0.01), 2)


@dataclass(frozen=True, kw_only=True)
class BinaryData(FusionRows):
    """What every task needs, rows in cohort order.

    Attributes
    ----------
    outcome : ndarray of bool
    matched_on : str
        Block in which the two patients of the matched pair are alike.
    question : tuple of str or None
        Candidate and reference of the verdict; else chosen by what was fitted.
    levels : mapping of str to sequence of str
        Names of the ranks of an ordered column, for the nomogram's axes.
    """

    outcome: BoolArray
    matched_on: str = "Clinical"
    question: tuple[str, str] | None = None
    levels: Mapping[str, Sequence[str]] = field(default_factory=dict)


def run_binary_task(data: BinaryData, task: Task) -> dict[str, Any]:
    """Run one task; a model that cannot be fitted comes back with its reason."""
    runners = {"outer": _outer, "canary": _canary, "all": _whole, "bootstrap": _bootstrap, "site": _site}
    try:
        return runners[task.kind](data, task)
    except FitError as error:
        return {"failed": str(error)}


def _outer(data: BinaryData, task: Task) -> dict[str, Any]:
    model, fold = data.model(task.model), data.fold(task.fold)
    train, test = data.fold_blocks(model, fold)
    ledger = Ledger(data.patients)
    fitted = _fit(data, model, train, fold.train, data.inner_labels(fold), fold.name, ledger)
    threshold = _youden_threshold(data.outcome[fold.train], special.expit(fitted.training))
    probability, y = fitted.probability(test), data.outcome[fold.test]
    out = {
        "auc": float(auc(y, fitted.linear_predictor(test))),
        "brier": float(np.mean((y - probability) ** 2)),
        "threshold": threshold,
        "probability": probability,
        "linear_predictor": fitted.linear_predictor(test),
        "positive": probability > threshold,
        "state": content.digest(fitted.to_plain()),
        "ledger": ledger.to_plain(),
    }
    if data.perturbed:
        out["perturbed"] = perturbed_scores(data, model, fold, fitted.linear_predictor)
    return out | _described(fitted)


def _site(data: BinaryData, task: Task) -> dict[str, Any]:
    """Fit without a site, and judge there."""
    model, ledger = data.model(task.model), Ledger(data.patients)
    at = np.array(data.sites)
    train = np.flatnonzero(data.usable & (at != task.fold))
    test = np.flatnonzero(data.usable & (at == task.fold))
    step = f"{data.endpoint}/{model.name}/without site {task.fold}"
    (y,) = ledger.rows(train, data.outcome, stage="survival", step=step, fold="all")
    label = balanced_folds(y, 5, data.seed, "survival/site", task.fold)
    fitted = fit_binary_model(model, data.blocks(model, train), y, label)
    seen = data.outcome[test]
    c, low, high = delong_interval(seen, fitted.linear_predictor(data.blocks(model, test)))
    found = {"c": c, "low": low, "high": high, "n": len(test), "n_events": int(seen.sum())}
    return found | {"ledger": ledger.to_plain()}


def _canary(data: BinaryData, task: Task) -> dict[str, Any]:
    """Fit an outer fold whose held-out rows and outcomes are noise; what was learnt must be as before."""
    model, fold = data.model(task.model), data.fold(task.fold)
    rng = generator(data.seed, "binary/canary", model.name)
    held = np.zeros(len(data.patients), dtype=bool)
    held[fold.test] = True
    outcome = np.where(held, rng.random(len(held)) < 0.5, data.outcome)
    tables = dict(data.tables)
    for name in model.blocks:
        if name != IMRAD:
            tables[name] = _with_noise(tables[name], held, rng)
    patients = [data.patients[row] for row in fold.test]
    other = {name: part.replaced(patients, data.seed) for name, part in model.prepare.items()}
    model = replace(model, prepare=other)
    probe = replace(data, outcome=outcome, tables=tables)
    train, _ = probe.fold_blocks(model, fold)
    fitted = fit_binary_model(model, train, outcome[fold.train], data.inner_labels(fold))
    return {"state": content.digest(fitted.to_plain())}


def _with_noise(table: pd.DataFrame, held: BoolArray, rng: np.random.Generator) -> pd.DataFrame:
    """Return a table whose held-out rows are other numbers, or other patients' categories."""
    if all(pd.api.types.is_numeric_dtype(kind) for kind in set(table.dtypes)):
        values = np.ascontiguousarray(table.to_numpy(dtype=float, na_value=np.nan)).copy()
        values[held] = rng.normal(size=(int(held.sum()), values.shape[1])) * 1e3
        return pd.DataFrame(values, index=table.index, columns=table.columns)
    out = table.copy()
    for name in table.columns:
        if pd.api.types.is_numeric_dtype(table[name].dtype):
            out[name] = table[name].astype(float).mask(held, rng.normal(0, 1e3))
        else:
            out[name] = table[name].where(~held, rng.permutation(table[name].to_numpy()))
    return out


def _whole(data: BinaryData, task: Task) -> dict[str, Any]:
    model = data.model(task.model)
    rows, tables, outer = data.whole_blocks(model)
    ledger = Ledger(data.patients)
    fitted = _fit(data, model, tables, rows, outer, "all", ledger)
    y, probability, matrix = data.outcome[rows], fitted.probability(tables), fitted.matrix(tables)
    threshold = _youden_threshold(y, special.expit(fitted.training))
    out = {
        "probability": probability,
        "threshold": threshold,
        "indices": _indices(y, probability),
        "calibration": observed_share(y, probability) - GRID,
        "net_benefit": net_benefit(y, probability, THRESHOLDS),
        "matrix": matrix,
        "scale": matrix.std(axis=0),
        "choice": fitted.choice,
        "final": fitted.to_plain() | {"threshold": threshold},
        "ledger": ledger.to_plain(),
    }
    if fitted.path is not None:
        out |= {"path_lambda": fitted.path.lambdas, "path_coef": fitted.path.coef}
    if isinstance(fitted.score, FittedForest):
        out["forest"] = _votes_explained(fitted.score, tables)
    return out | _described(fitted)


def _votes_explained(forest: FittedForest, tables: dict[str, pd.DataFrame]) -> dict[str, Any]:
    """Return the Shapley values of a forest's share of votes for the patients it was grown on."""
    matrix = forest.matrix(tables)
    return {"inputs": forest.inputs, "matrix": matrix, "shap": forest.shapley(matrix)}


def _bootstrap(data: BinaryData, task: Task) -> dict[str, Any]:
    model = data.model(task.model)
    rows = np.flatnonzero(data.usable)
    tables, y = data.blocks(model, rows), data.outcome[rows]
    folds = max(len(data.folds(data.splits.repeats[0])), 2)
    n = task.last - task.first
    out: dict[str, np.ndarray[Any, Any]] = {
        f"{part}_{name}": np.full((n, size), np.nan)
        for part in ("inside", "outside")
        for name, size in (("indices", len(INDICES)), ("calibration", len(GRID)), ("net_benefit", len(THRESHOLDS)))
    }
    out["left_out"] = np.full(n, np.nan)
    ranked = Rows.of(tables, model)
    whole, own = tables, model
    drawn = resample_indices(len(rows), n, seed=data.seed, name="binary/bootstrap", first=task.first)
    for number, chosen in enumerate(drawn):
        # Copies of one patient share a fold, or the penalty would be chosen on seen patients.
        unique = np.unique(chosen)
        share = balanced_folds(y[unique], folds, data.seed, "binary/bootstrap", task.first + number)
        try:
            if model.prepare:
                # Steps that look at no outcome are fitted once a resample; the others in its inner folds too.
                tables, own = _prepared(model, whole, chosen)
                ranked = Rows.of(tables, own)
            label = share[np.searchsorted(unique, chosen)]
            fitted = fit_binary_model(own, ranked.take(chosen), y[chosen], label, share_penalty=True)
        except FitError:
            continue
        probability = fitted.probability(tables)
        for name, seen in (("inside", chosen), ("outside", np.arange(len(rows)))):
            out[f"{name}_indices"][number] = list(_indices(y[seen], probability[seen]).values())
            out[f"{name}_calibration"][number] = observed_share(y[seen], probability[seen]) - GRID
            out[f"{name}_net_benefit"][number] = net_benefit(y[seen], probability[seen], THRESHOLDS)
        rest = np.setdiff1d(np.arange(len(rows)), unique)
        if len(rest):
            out["left_out"][number] = float(auc(y[rest], probability[rest]))
    ledger = Ledger(data.patients)
    ledger.count(stage="survival", step=f"{data.endpoint}/{model.name}/bootstrap", fold="all", n=n)
    return out | {"ledger": ledger.to_plain()}


def _prepared(
    model: BinaryModel, tables: dict[str, pd.DataFrame], chosen: IntArray
) -> tuple[dict[str, pd.DataFrame], BinaryModel]:
    """Return blocks after the steps that serve any outcome, fitted on some rows, and the model with the rest."""
    out, left = dict(tables), {}
    for name, steps in model.prepare.items():
        if name not in tables:
            continue
        if len(steps.shared):
            out[name] = steps.shared.fit(tables[name].iloc[chosen]).transform(tables[name], steps.sides)
        if len(steps.own):
            left[name] = steps.own
    return out, replace(model, prepare=left)


def _fit(
    data: BinaryData,
    model: BinaryModel,
    tables: dict[str, pd.DataFrame],
    rows: IntArray,
    label: IntArray,
    fold: str,
    ledger: Ledger,
) -> FittedBinaryModel:
    step = f"{data.endpoint}/{model.name}"
    (y,) = ledger.rows(rows, data.outcome, stage="survival", step=f"{step}/{model.estimator}", fold=fold)
    ledger.record(stage="survival", step=f"{step}/coding", fold=fold, rows=rows)
    for steps in model.prepare.values():
        steps.record(ledger, stage="survival", step=step, fold=fold, rows=rows)
    if any(name in model.screening for name in model.blocks):
        ledger.record(stage="survival", step=f"{step}/screening", fold=fold, rows=rows)
    if model.penalised:
        for number in np.unique(label):
            # On the whole cohort the penalty is chosen in the outer folds of the first repeat.
            where = f"{fold}/i{number}" if fold != "all" else "all"
            ledger.record(stage="survival", step=f"{step}/penalty", fold=where, rows=rows[label != number])
            for steps in model.prepare.values():
                steps.record(ledger, stage="survival", step=step, fold=where, rows=rows[label != number])
    if model.scored or model.estimator == "svm":
        _record_scores(data, model, step, rows, label, fold, ledger)
    if IMRAD in model.blocks:
        record_inputs(data, f"survival:{fold}:{step}/{model.estimator}", rows, fold, ledger)
    return fit_binary_model(model, tables, y, label)


def _record_scores(
    data: BinaryData, model: BinaryModel, step: str, rows: IntArray, label: IntArray, fold: str, ledger: Ledger
) -> None:
    """Record the fits whose held-out values a model trains on."""
    for number in np.unique(label):
        # On the whole cohort the inner folds are the outer folds of the first repeat.
        where = f"{fold}/i{number}" if fold != "all" else f"r{data.splits.repeats[0]}/o{number}"
        producer = ledger.record(stage="survival", step=f"{step}/score", fold=where, rows=rows[label != number])
        ledger.use(consumer=f"survival:{fold}:{step}/{model.estimator}", producer=producer, rows=rows[label == number])


def _youden_threshold(y: BoolArray, probability: FloatArray) -> float:
    best = youden(y, probability)["threshold"].to_numpy(dtype=float)
    known = best[np.isfinite(best)]
    return float(known[0]) if len(known) else 0.5


def _indices(y: BoolArray, probability: FloatArray) -> dict[str, float]:
    with flat_predictions():
        found = calibration_indices(y, probability)
    found["auc"] = found["c"]
    return {name: found[name] for name in INDICES}


@contextmanager
def flat_predictions() -> Iterator[None]:
    """Smooth predictions that may be all but equal: the curve is missing where they have no slope."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "invalid value|divide by zero", RuntimeWarning)
        yield


def observed_share(y: BoolArray, probability: FloatArray) -> FloatArray:
    """Return the smoothed share of events at the grid; NaN outside the predictions, and where they do not vary."""
    with flat_predictions():
        return np.asarray(smooth_calibration(y, probability, GRID)[1])


def _described(fitted: FittedBinaryModel) -> dict[str, Any]:
    return {
        "names": fitted.names,
        "cuts": fitted.design.cuts,
        "block": fitted.block,
        "coef": fitted.coef,
        "intercept": fitted.intercept,
        "se": np.full(len(fitted.coef), np.nan) if fitted.se is None else fitted.se,
        "penalty": fitted.penalty,
        "funnel": fitted.funnel(),
        "notes": list(dict.fromkeys(fitted.notes)),
    }
