"""The fits of a fusion, one task each: an outer fold, the whole cohort, a batch of bootstrap resamples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from imrad.evaluation import Ledger
from imrad.evaluation.bootstrap import resample_indices
from imrad.evaluation.calibration import brier_survival, calibration_cuts, calibration_groups, integrated_brier
from imrad.evaluation.discrimination import concordance, harrell_c, uno_c
from imrad.evaluation.kaplan_meier import kaplan_meier
from imrad.evaluation.outcomes import BoolArray, FloatArray
from imrad.evaluation.time_dependent import time_dependent_auc
from imrad.exceptions import FeasibilityError, FitError
from imrad.survival.cutpoints import maximally_selected
from imrad.survival.fusion_core import IMRAD, FusionRows, Task, record_inputs
from imrad.survival.models import BlockModel, FittedBlockModel, fit_block_model
from imrad.survival.penalty_choice import balanced_folds
from imrad.survival.perturbations import perturbed_scores

__all__ = ["FusionData", "run_task"]

IntArray = np.ndarray[Any, np.dtype[np.intp]]

_GROUPS = 4


@dataclass(frozen=True, kw_only=True)
class FusionData(FusionRows):
    """What every task needs, rows in cohort order.

    Attributes
    ----------
    study_tables : bool
        Whether to keep what published studies print beside their models.
    grid : ndarray
        Times at which the Brier score is integrated.
    """

    time: FloatArray
    event: BoolArray
    horizons: tuple[float, ...]
    grid: FloatArray
    study_tables: bool = False


def run_task(data: FusionData, task: Task) -> dict[str, Any]:
    """Run one task; a model that cannot be fitted comes back with its reason."""
    runners = {"outer": _outer, "all": _whole, "bootstrap": _bootstrap, "site": _site}
    try:
        return runners[task.kind](data, task)
    except FitError as error:
        return {"failed": str(error)}


def _outer(data: FusionData, task: Task) -> dict[str, Any]:
    model, fold = data.model(task.model), data.fold(task.fold)
    ledger = Ledger(data.patients)
    train, test = data.fold_blocks(model, fold)
    label = data.inner_labels(fold)
    fitted = _fit(data, model, train, fold.train, label, fold.name, ledger)
    risk_train, risk = fitted.risk(train), fitted.risk(test)
    time, event = data.time[fold.test], data.event[fold.test]
    known = (data.time[fold.train], data.event[fold.train])
    horizons = np.array(data.horizons)
    out: dict[str, Any] = {
        "c": harrell_c(time, event, risk),
        "uno": uno_c(time, event, risk, train=known),
        "auc": time_dependent_auc(time, event, risk, horizons, train=known).auc if len(horizons) else horizons,
        "brier": _brier(known, time, event, fitted.survival(risk, horizons), horizons),
        "ibs": _integrated(_brier(known, time, event, fitted.survival(risk, data.grid), data.grid), data.grid),
        "ibs_none": _integrated(
            _brier(known, time, event, _without(known, len(time), data.grid), data.grid), data.grid
        ),
        "risk": risk,
        "high": risk > np.median(risk_train),
        "survival": fitted.survival(risk, horizons),
        "ledger": ledger.to_plain(),
    }
    if data.perturbed:
        out["perturbed"] = perturbed_scores(data, model, fold, fitted.risk)
    if data.study_tables:
        own = time_dependent_auc(*known, risk_train, horizons, train=known).auc if len(horizons) else horizons
        out |= {"auc_train": own, "high_selected": _above_best_cut(known, risk_train, risk)}
    return out | _described(fitted)


def _above_best_cut(known: tuple[FloatArray, BoolArray], risk_train: FloatArray, risk: FloatArray) -> BoolArray | None:
    """Return who lies above the cut that maximally selected ranks find on the training risks."""
    try:
        return np.asarray(risk > maximally_selected(*known, risk_train).cutpoint)
    except FeasibilityError:
        return None


def _whole(data: FusionData, task: Task) -> dict[str, Any]:
    model = data.model(task.model)
    ledger = Ledger(data.patients)
    rows, tables, outer = data.whole_blocks(model)
    fitted = _fit(data, model, tables, rows, outer, "all", ledger)
    risk = fitted.risk(tables)
    time, event = data.time[rows], data.event[rows]
    out: dict[str, Any] = {"c": harrell_c(time, event, risk), "risk": risk, "ledger": ledger.to_plain()}
    X = fitted.matrix(tables)
    out["scale"], out["centre"] = X.std(axis=0), X.mean(axis=0)
    out["survival"] = fitted.survival(risk, data.horizons)
    if fitted.path is not None:
        out["path_lambda"], out["path_coef"] = fitted.path.lambdas, fitted.path.coef
        out["choice"] = fitted.choice
    out["final"] = fitted.to_plain()
    out["matrix"] = X
    out["contributions"] = fitted.contributions(X)
    return out | _described(fitted)


def _bootstrap(data: FusionData, task: Task) -> dict[str, Any]:
    model = data.model(task.model)
    rows = np.flatnonzero(data.usable)
    tables = {name: data.tables[name].iloc[rows] for name in model.blocks}
    time, event = data.time[rows], data.event[rows]
    folds = len(list(data.splits.outer(data.splits.repeats[0])))
    inside, outside = [], []
    whole = fit_block_model(model, tables, time, event, balanced_folds(event, folds, data.seed, "survival/bootstrap"))
    cuts = _cuts(data, whole.survival(whole.risk(tables), data.horizons))
    optimism = np.full((task.last - task.first, len(data.horizons), _GROUPS), np.nan)
    drawn = resample_indices(len(rows), task.last, seed=data.seed, name="survival/bootstrap")[task.first :]
    for number, chosen in enumerate(drawn, start=task.first):
        try:
            # Copies of one patient share a fold, or the penalty would be chosen on seen patients.
            unique = np.unique(chosen)
            share = balanced_folds(event[unique], folds, data.seed, "survival/bootstrap", number)
            label = share[np.searchsorted(unique, chosen)]
            part = {name: table.iloc[chosen] for name, table in tables.items()}
            fitted = fit_block_model(model, part, time[chosen], event[chosen], label)
        except FitError:
            inside.append(np.nan)
            outside.append(np.nan)
            continue
        risk = fitted.risk(tables)
        counts = np.bincount(chosen, minlength=len(rows)).astype(float)
        inside.append(harrell_c(time, event, risk, weights=counts))
        outside.append(harrell_c(time, event, risk))
        survival = fitted.survival(risk, data.horizons)
        for column, horizon in enumerate(data.horizons):
            own = _errors(time[chosen], event[chosen], survival[chosen, column], horizon, cuts[column])
            original = _errors(time, event, survival[:, column], horizon, cuts[column])
            optimism[number - task.first, column] = own - original
    ledger = Ledger(data.patients)
    ledger.count(stage="survival", step=f"{data.endpoint}/{model.name}/bootstrap", fold="all", n=len(drawn))
    return {
        "inside": np.array(inside),
        "outside": np.array(outside),
        "calibration_optimism": optimism,
        "ledger": ledger.to_plain(),
    }


def _cuts(data: FusionData, survival: FloatArray) -> list[FloatArray]:
    return [np.asarray(calibration_cuts(survival[:, column], _GROUPS)) for column in range(len(data.horizons))]


def _errors(time: FloatArray, event: BoolArray, survival: FloatArray, horizon: float, cuts: FloatArray) -> FloatArray:
    """Observed minus predicted survival in the groups that the apparent model's predictions define."""
    out = np.full(_GROUPS, np.nan)
    table = calibration_groups(time, event, survival, horizon, cuts=cuts)
    present = np.unique(np.searchsorted(cuts, survival, side="right"))
    if len(present) == len(table):
        out[present] = (table["observed"] - table["predicted"]).to_numpy()
    return out


def _fit(
    data: FusionData,
    model: BlockModel,
    tables: dict[str, pd.DataFrame],
    rows: IntArray,
    label: IntArray,
    fold: str,
    ledger: Ledger,
) -> FittedBlockModel:
    step = f"{data.endpoint}/{model.name}"
    time, event = ledger.rows(rows, data.time, data.event, stage="survival", step=f"{step}/cox", fold=fold)
    ledger.record(stage="survival", step=f"{step}/coding", fold=fold, rows=rows)
    for name, preparation in model.prepare.items():
        if name in model.blocks:
            preparation.record(ledger, stage="survival", step=step, fold=fold, rows=rows)
    if any(name in model.screening for name in model.blocks):
        ledger.record(stage="survival", step=f"{step}/screening", fold=fold, rows=rows)
    if model.penalised:
        for number in np.unique(label):
            # On the whole cohort the penalty is chosen in the outer folds of the first repeat.
            where = f"{fold}/i{number}" if fold != "all" else "all"
            inner = rows[label != number]
            ledger.record(stage="survival", step=f"{step}/penalty", fold=where, rows=inner)
            for preparation in model.prepare.values():
                preparation.record(ledger, stage="survival", step=step, fold=where, rows=inner)
    if IMRAD in model.blocks:
        record_inputs(data, f"survival:{fold}:{step}/cox", rows, fold, ledger)
    return fit_block_model(model, tables, time, event, label)


def _described(fitted: FittedBlockModel) -> dict[str, Any]:
    variance = fitted.variance
    return {
        "names": fitted.names,
        "block": fitted.block,
        "coef": fitted.coef,
        "used": fitted.used,
        "kind": "trees" if fitted.trees is not None else "linear" if fitted.learner is None else "other",
        "se": np.full(len(fitted.coef), np.nan) if variance is None else np.sqrt(np.diag(variance)),
        "penalty": fitted.penalty,
        "notes": sorted(set(fitted.notes)),
        "votes": fitted.votes,
        "funnel": {name: part.funnel() for name, part in fitted.design.prepared.items()},
    }


def _site(data: FusionData, task: Task) -> dict[str, Any]:
    model, ledger = data.model(task.model), Ledger(data.patients)
    at = np.array(data.sites)
    train = np.flatnonzero(data.usable & (at != task.fold))
    test = np.flatnonzero(data.usable & (at == task.fold))
    step = f"{data.endpoint}/{model.name}/without site {task.fold}"
    ledger.record(stage="survival", step=step, fold="all", rows=train)
    label = balanced_folds(data.event[train], 5, data.seed, "survival/site", task.fold)
    tables = {name: data.tables[name].iloc[train] for name in model.blocks}
    fitted = fit_block_model(model, tables, data.time[train], data.event[train], label)
    risk = fitted.risk({name: data.tables[name].iloc[test] for name in model.blocks})
    found = concordance(data.time[test], data.event[test], risk)
    return {
        "c": found.c,
        "low": found.low,
        "high": found.high,
        "n": len(test),
        "n_events": int(data.event[test].sum()),
        "ledger": ledger.to_plain(),
    }


def _without(known: tuple[FloatArray, BoolArray], n: int, times: FloatArray) -> FloatArray:
    """Survival of the training patients as a whole: the prediction that uses no predictor."""
    return np.tile(kaplan_meier(*known).at(times)["survival"].to_numpy(), (n, 1))


def _brier(
    known: tuple[FloatArray, BoolArray], time: FloatArray, event: BoolArray, survival: FloatArray, times: FloatArray
) -> FloatArray:
    return brier_survival(time, event, survival, times, train=known) if len(times) else np.zeros(0)


def _integrated(values: FloatArray, grid: FloatArray) -> float:
    good = np.isfinite(values)
    return integrated_brier(values[good], grid[good], step=False) if good.sum() > 1 else float("nan")
