"""Blocks of clinical, immune, radiomic and immune-radiomic predictors, compared on the same folds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from imrad import content
from imrad.evaluation import CrossFitted, Ledger, SplitTable
from imrad.evaluation.outcomes import BoolArray, FloatArray
from imrad.evaluation.preparation import Preparation, Step
from imrad.exceptions import CohortError, TooFewEventsError
from imrad.execution import Progress, Store, map_tasks
from imrad.survival import fusion_tables
from imrad.survival.fusion_core import (
    IMRAD,
    Task,
    aligned,
    aligned_sites,
    distinct_names,
    merged_ledger,
    refuse_in_sample,
    runnable_models,
)
from imrad.survival.fusion_tasks import FusionData, run_task
from imrad.survival.models import DEFAULT_MODELS, BlockModel
from imrad.survival.outcome import as_outcome, require_events
from imrad.survival.perturbations import aligned_perturbations
from imrad.survival.prepared import check_prepared, prepared_model

__all__ = ["FusionResult", "SurvivalFusion"]

_AT_RISK = 10
_BATCH = 10
_SITE_EVENTS = 5


@dataclass(frozen=True)
class FusionResult:
    """What a fusion found; every table is a DataFrame with one row per model, or per model and more.

    Attributes
    ----------
    endpoint : str
    models : DataFrame
        model, n, n_events, c_apparent, c_bootstrap, c_outer, c_outer_low, c_outer_high, uno_outer,
        ibs_outer, n_candidates, events_per_candidate, status, reason.
    coefficients : DataFrame
        model, feature, coef, hr, hr_low, hr_high, p, inclusion, block, kind.
    risk : DataFrame
        patient, model, fold, risk, high, and predicted survival at each horizon.
    folds : DataFrame
        model, fold, n_train, n_test, n_test_events, c, uno, ibs, penalty, n_selected.
    pairs : DataFrame
        model, reference, measure, difference, low, high, p, n_folds.
    horizons : DataFrame
        model, horizon_days, status, reason, min_at_risk, auc, auc_low, auc_high, brier, ...
    calibration, net_benefit, curves, groups, path, path_coefficients, ph : DataFrame
    verdict : dict
        Whether imaging adds to clinical variables: difference Clinical+ImRad minus Clinical in the
        outer folds' C and integrated Brier score, interval, p, n, events, folds, and a sentence.
    robustness : DataFrame
        kind (``site left out``, ``perturbed features``, ``cut``), model, level, n, n_events and what was found.
    perturbed_risk : DataFrame
        patient, model, fold, n_perturbations, risk, risk_sd, risk_low, risk_high.
    subgroups : DataFrame
        C of the outer folds' risks within each category.
    signature, time_auc, time_roc, cut_groups, cut_curves, predictor_groups, predictor_curves : DataFrame
        See :mod:`imrad.survival.study_tables`; empty where they were not asked for.
    funnel : DataFrame
        Columns of Rad given to and kept by each preparation step, then with a coefficient other than 0.
    explanations : DataFrame
        patient, model, feature, value, contribution, method: what each column adds to each patient's
        log hazard in the final models (``linear, exact`` or ``trees, Shapley``).
    final : dict
        Each model fitted on the whole cohort, as plain values.
    ledger : Ledger
        Every fit of this fusion; ``ledger.frame()`` and ``ledger.sets()`` are its tables.
    """

    endpoint: str
    models: pd.DataFrame
    coefficients: pd.DataFrame
    risk: pd.DataFrame
    folds: pd.DataFrame
    pairs: pd.DataFrame
    horizons: pd.DataFrame
    calibration: pd.DataFrame
    net_benefit: pd.DataFrame
    curves: pd.DataFrame
    groups: pd.DataFrame
    path: pd.DataFrame
    path_coefficients: pd.DataFrame
    ph: pd.DataFrame
    verdict: dict[str, Any]
    robustness: pd.DataFrame
    perturbed_risk: pd.DataFrame
    subgroups: pd.DataFrame
    funnel: pd.DataFrame
    signature: pd.DataFrame
    time_auc: pd.DataFrame
    time_roc: pd.DataFrame
    cut_groups: pd.DataFrame
    cut_curves: pd.DataFrame
    predictor_groups: pd.DataFrame
    predictor_curves: pd.DataFrame
    explanations: pd.DataFrame
    final: dict[str, Any]
    ledger: Ledger

    def tables(self) -> dict[str, pd.DataFrame]:
        """Return every table by name."""
        return {name: value for name, value in vars(self).items() if isinstance(value, pd.DataFrame)}


class SurvivalFusion:
    """Compare survival models over blocks of predictors by nested cross-validation.

    Parameters
    ----------
    models : sequence of BlockModel, optional
        By default Clinical, Volume, Rad, ImRad, Clinical+Immune, Clinical+ImRad.
    seed : int
    n_bootstrap : int
        Resamples for the optimism of models without ImRad; 0 for none.
    horizons_days : sequence of float
        Times at which AUC, Brier score and calibration are asked for.
    endpoint : str
        Name for the ledger and the tables, such as ``os``.
    workers : int
        Processes.
    cluster : str, optional
        Address of a Dask scheduler.
    store : Store, optional
        Where finished fits are kept for resuming.
    progress : callable, optional
    study_tables : bool
        Also make what published studies print beside their models: AUC over time on training and held-out
        rows, ROC curves at each horizon, groups cut by maximally selected ranks.
    prepare : sequence of Step or (str, transformer)
        Steps that stand before the block Rad, fitted on each training part; see
        :mod:`imrad.evaluation.preparation`. Steps that look at an outcome take the place of the
        block's screening.

    Notes
    -----
    Missing predictors are imputed in the fold, columns screened and penalties chosen in it. A
    training patient's ImRad score is its inner out-of-fold score, a test patient's the outer fit's.
    """

    def __init__(
        self,
        models: Sequence[BlockModel] | None = None,
        *,
        seed: int = 0,
        n_bootstrap: int = 100,
        horizons_days: Sequence[float] = (365.0, 1095.0, 1825.0),
        endpoint: str = "os",
        workers: int = 1,
        cluster: str | None = None,
        store: Store | None = None,
        progress: Progress | None = None,
        prepare: Sequence[Step | tuple[str, Any]] = (),
        study_tables: bool = False,
    ) -> None:
        self.models = distinct_names(DEFAULT_MODELS if models is None else models)
        self.seed = seed
        self.n_bootstrap = n_bootstrap
        self.horizons_days = tuple(float(h) for h in horizons_days)
        self.endpoint = endpoint
        self.workers = workers
        self.cluster = cluster
        self.store = store
        self.progress = progress
        self.prepare = tuple(prepare)
        self.study_tables = study_tables

    def run(
        self,
        y: Any,
        blocks: Mapping[str, pd.DataFrame],
        splits: SplitTable,
        phenotype: CrossFitted | None = None,
        *,
        sites: pd.Series[Any] | None = None,
        subgroups: pd.DataFrame | None = None,
        sides: Mapping[str, Any] | None = None,
        perturbed: Mapping[str, Mapping[str, pd.DataFrame]] | None = None,
    ) -> FusionResult:
        """Fit and compare all models.

        Parameters
        ----------
        y : DataFrame or structured array
            Time in days and event. A DataFrame is matched by patient and may lack patients or
            values: they are left out of this endpoint. An array follows the order of `splits`.
        blocks : mapping of str to DataFrame
            Patients x columns; matched by patient.
        splits : SplitTable
        phenotype : CrossFitted, optional
            ImRad scores; in-sample scores cannot be given.
        sites : Series, optional
            Site of each patient, by patient: models without ImRad are also fitted without each site.
        subgroups : DataFrame, optional
            Patients x categories, in which the outer folds' risks are judged apart.
        sides : mapping of str to (Series or DataFrame), optional
            Side tables that the preparation steps name, indexed by patient: sites, another reader.
        perturbed : mapping of str to (mapping of str to DataFrame), optional
            For each perturbation of the images the blocks measured on it, such as Rad and Volume: the outer
            folds' models are applied to them, and nothing is fitted.

        Raises
        ------
        TooFewEventsError
            If the endpoint cannot be cross-validated, with the numbers.
        InSampleError
            If ImRad scores come as anything but cross-fitted ones.
        LeakError
            If a preparation step knows held-out patients.
        """
        patients = splits.patients
        time, event, usable = _outcome(y, patients)
        refuse_in_sample(blocks, phenotype)
        tables = {name: aligned(table, patients, f"block {name}") for name, table in blocks.items()}
        feasible, horizons = self._feasibility(time, event, usable, splits)
        runnable, skipped = runnable_models(self.models, tables, phenotype)
        preparation = Preparation(self.prepare, sides)
        if len(preparation) and "Rad" in tables:
            runnable = tuple(prepared_model(model, preparation) for model in runnable)
            check_prepared(preparation, tables["Rad"], (time, event), usable, splits, self.endpoint, self.seed)
        data = FusionData(
            endpoint=self.endpoint,
            patients=patients,
            usable=usable,
            time=time,
            event=event,
            tables=tables,
            splits=splits,
            phenotype=phenotype,
            models=runnable,
            horizons=tuple(horizons.loc[horizons["status"] == "feasible", "horizon_days"]),
            sites=aligned_sites(sites, patients),
            subgroups=None if subgroups is None else aligned(subgroups, patients),
            grid=np.linspace(0, feasible, 101)[1:],
            seed=self.seed,
            study_tables=self.study_tables,
            perturbed=aligned_perturbations(perturbed, tables, patients),
        )
        tasks = self._tasks(data)
        # Nothing names a user's own step for sure.
        store = self.store if preparation.key else None
        done = map_tasks(
            partial(run_task, data),
            tasks,
            key=partial(_key, self._fingerprint(data)),
            workers=self.workers,
            cluster=self.cluster,
            store=store,
            progress=self.progress,
            label=f"survival models ({self.endpoint})",
        )
        ledger = merged_ledger(patients, done)
        names = [model.name for model in self.models]
        finished = fusion_tables.Finished(data, names, dict(zip(tasks, done, strict=True)), skipped, horizons)
        return FusionResult(endpoint=self.endpoint, ledger=ledger, **fusion_tables.summarise(finished))

    def _feasibility(
        self, time: FloatArray, event: BoolArray, usable: BoolArray, splits: SplitTable
    ) -> tuple[float, pd.DataFrame]:
        """Refuse endpoints that cannot be cross-validated; find the horizons that every fold can carry."""
        require_events(event[usable], 2, where=f"endpoint {self.endpoint}")
        at_risk = dict.fromkeys(self.horizons_days, len(time))
        last = np.inf
        for repeat in splits.repeats:
            for fold in splits.outer(repeat):
                train, test = fold.train[usable[fold.train]], fold.test[usable[fold.test]]
                for rows, part in ((train, "training"), (test, "test")):
                    where = f"endpoint {self.endpoint}, {part} part of fold {fold.name}"
                    require_events(event[rows], where=where, advice="use fewer folds or an endpoint with more events")
                ordered = np.sort(time[train])
                if len(ordered) < _AT_RISK:
                    message = (
                        f"endpoint {self.endpoint}: {len(train)} patients in the training part of fold {fold.name}, "
                        f"at least {_AT_RISK} are needed; use fewer folds or more patients"
                    )
                    raise TooFewEventsError(message)
                last = min(last, float(ordered[-_AT_RISK]))
                for horizon in self.horizons_days:
                    at_risk[horizon] = min(at_risk[horizon], int((ordered >= horizon).sum()))
        plan = [
            {
                "horizon_days": horizon,
                "status": "feasible" if number >= _AT_RISK else "refused",
                "reason": ""
                if number >= _AT_RISK
                else f"{number} at risk in the smallest training fold, {_AT_RISK} are needed (up to {last:g} days)",
                "min_at_risk": number,
            }
            for horizon, number in at_risk.items()
        ]
        return last, pd.DataFrame(plan, columns=["horizon_days", "status", "reason", "min_at_risk"])

    def _tasks(self, data: FusionData) -> list[Task]:
        tasks = []
        for model in data.models:
            tasks.append(Task("all", model.name))
            for repeat in data.splits.repeats:
                tasks += [Task("outer", model.name, fold.name) for fold in data.splits.outer(repeat)]
            if IMRAD not in model.blocks and model.resampled:
                for first in range(0, self.n_bootstrap, _BATCH):
                    tasks.append(Task("bootstrap", model.name, first=first, last=min(first + _BATCH, self.n_bootstrap)))
                tasks += [Task("site", model.name, site) for site in _judgeable(data)]
        return tasks

    def _fingerprint(self, data: FusionData) -> str:
        if self.store is None:
            return ""
        own = {"time": data.time, "event": data.event, "horizons": list(data.horizons)}
        return content.digest({**data.contents(), **own, "study_tables": data.study_tables, "version": 4})


def _key(fingerprint: str, task: Task) -> str:
    return f"survival/{fingerprint}/{task.key()}"


def _judgeable(data: FusionData) -> list[str]:
    """Sites with enough events to judge, and to do without."""
    at, counts = np.array(data.sites), []
    happened = data.event & data.usable
    for site in sorted(set(data.sites) - {""}):
        inside = int(happened[at == site].sum())
        if inside >= _SITE_EVENTS and int(happened.sum()) - inside >= _AT_RISK:
            counts.append(site)
    return counts


def _outcome(y: Any, patients: list[str]) -> tuple[FloatArray, BoolArray, BoolArray]:
    """Times, events and which patients have both, in cohort order."""
    if not isinstance(y, pd.DataFrame):
        time, event = as_outcome(y)
        if len(time) != len(patients):
            message = f"y has {len(time)} rows and the splits name {len(patients)} patients; one of each is needed"
            raise CohortError(message)
        return time, event, np.ones(len(time), dtype=bool)
    table = aligned(y, patients)
    known = table.notna().all(axis=1).to_numpy()
    if not known.any():
        message = f"none of the {len(patients)} patients of the splits has a time and an event"
        raise CohortError(message)
    kinds = {name: y[name].dtype for name in y.columns if y[name].dtype.kind == "b"}
    time, event = np.zeros(len(patients)), np.zeros(len(patients), dtype=bool)
    time[known], event[known] = as_outcome(table[known].astype(kinds))
    return time, event, known
