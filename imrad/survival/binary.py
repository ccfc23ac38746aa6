"""Binary endpoints, such as response to immunotherapy: blocks compared on the same folds as survival."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from imrad import content
from imrad.evaluation import CrossFitted, SplitTable
from imrad.evaluation.outcomes import BoolArray, binary_outcome
from imrad.evaluation.preparation import Preparation, Step
from imrad.exceptions import CohortError, ConfigError, FeasibilityError, LeakError
from imrad.execution import Progress, Store, map_tasks
from imrad.survival.binary_models import DEFAULT_BINARY_MODELS, BinaryModel
from imrad.survival.binary_result import BinaryResult
from imrad.survival.binary_tables import FinishedBinary, summarise_binary
from imrad.survival.binary_tasks import BinaryData, run_binary_task
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
from imrad.survival.perturbations import aligned_perturbations
from imrad.survival.prepared import check_prepared, prepared_model

__all__ = ["BinaryFusion"]

_BATCH = 20
# Patients of the rarer class at a site that is left out, and at the others together.
_SITE_CLASS, _REST_CLASS = 5, 10


class BinaryFusion:
    """Compare models of a binary outcome over blocks of predictors by nested cross-validation.

    Parameters
    ----------
    models : sequence of BinaryModel, optional
        By default Clinical, Volume, Rad, ImRad, Clinical+Immune, Clinical+ImRad.
    seed : int
    n_bootstrap : int
        Resamples in which models without ImRad are fitted anew; 0 for none.
    endpoint : str
        Name for the ledger and the tables, such as ``response``.
    workers : int
        Processes.
    cluster : str, optional
        Address of a Dask scheduler.
    store : Store, optional
        Where finished fits are kept for resuming.
    progress : callable, optional
    prepare : sequence of Step or (str, transformer)
        Steps on the columns of the block Rad, in order, fitted in every fold.

    Notes
    -----
    DeLong's test compares predictions that neither model was fitted on; within a cohort models are
    compared by the outer folds (Nadeau and Bengio) and by a paired bootstrap that refits both and
    scores the patients left out (doi:10.1002/sim.5328).
    """

    def __init__(
        self,
        models: Sequence[BinaryModel] | None = None,
        *,
        seed: int = 0,
        n_bootstrap: int = 1000,
        endpoint: str = "response",
        workers: int = 1,
        cluster: str | None = None,
        store: Store | None = None,
        progress: Progress | None = None,
        prepare: Sequence[Step | tuple[str, Any]] = (),
    ) -> None:
        chosen = DEFAULT_BINARY_MODELS if models is None else models
        self.models = distinct_names([replace(model, seed=seed) for model in chosen])
        self.seed = seed
        self.n_bootstrap = n_bootstrap
        self.endpoint = endpoint
        self.workers = workers
        self.cluster = cluster
        self.store = store
        self.progress = progress
        self.prepare = tuple(prepare)

    def run(
        self,
        y: pd.Series[Any],
        blocks: Mapping[str, pd.DataFrame],
        splits: SplitTable,
        phenotype: CrossFitted | None = None,
        *,
        subgroups: pd.DataFrame | None = None,
        question: tuple[str, str] | None = None,
        sides: Mapping[str, Any] | None = None,
        sites: pd.Series[Any] | None = None,
        perturbed: Mapping[str, Mapping[str, pd.DataFrame]] | None = None,
        levels: Mapping[str, Sequence[str]] | None = None,
    ) -> BinaryResult:
        """Fit and compare all models.

        Parameters
        ----------
        y : Series
            0 or 1, index patient; patients without a value are left out of this endpoint.
        blocks : mapping of str to DataFrame
            Patients x columns; matched by patient.
        splits : SplitTable
        phenotype : CrossFitted, optional
            ImRad scores; in-sample scores cannot be given.
        subgroups : DataFrame, optional
            Patients x categories, in which the outer folds' predictions are judged apart.
        question : tuple of str, optional
            The two models whose difference in AUC is the verdict, candidate and reference; by default
            Clinical+ImRad (else Clinical+Rad) and Clinical.
        sides : mapping of str to (Series or DataFrame), optional
            Side tables of the preparation, indexed by patient.
        sites : Series, optional
            Site of each patient, by patient: models without ImRad are also fitted without each site.
        perturbed : mapping of str to (mapping of str to DataFrame), optional
            For each perturbation of the images the blocks measured on it; nothing is fitted.
        levels : mapping of str to sequence of str, optional
            Names of the ranks of columns that are ordered categories, for the nomogram's axes.

        Raises
        ------
        FeasibilityError
            If the classes are too small to be cross-validated, with the numbers.
        InSampleError
            If ImRad scores come as anything but cross-fitted ones.
        LeakError
            If what a model learnt in the first outer fold depends on the fold's held-out patients.
        """
        patients = splits.patients
        outcome, usable = _outcome(y, patients)
        refuse_in_sample(blocks, phenotype)
        tables = {name: _in_one_order(aligned(table, patients, f"block {name}")) for name, table in blocks.items()}
        runnable, skipped = runnable_models(self.models, tables, phenotype)
        preparation = Preparation(self.prepare, sides)
        if len(preparation) and "Rad" in tables:
            runnable = tuple(prepared_model(model, preparation) for model in runnable)
            check_prepared(preparation, tables["Rad"], outcome, usable, splits, self.endpoint, self.seed)
        unknown = [name for name in question or () if name not in {model.name for model in self.models}]
        if unknown:
            message = f"the verdict names the model {unknown[0]}; models are {[model.name for model in self.models]}"
            raise ConfigError(message)
        data = BinaryData(
            endpoint=self.endpoint,
            patients=patients,
            usable=usable,
            outcome=outcome,
            tables=tables,
            splits=splits,
            phenotype=phenotype,
            models=runnable,
            seed=self.seed,
            subgroups=None if subgroups is None else aligned(subgroups, patients),
            question=question,
            sites=aligned_sites(sites, patients),
            perturbed=aligned_perturbations(perturbed, tables, patients),
            levels=dict(levels or {}),
        )
        _require_feasible(data)
        tasks = self._tasks(data)
        fingerprint = self._fingerprint(data)
        # Nothing names a user's own step for sure. Worked out here, the steps' names go to every worker.
        store = self.store if preparation.key and (preparation.shared.key or not len(preparation.shared)) else None
        done = map_tasks(
            partial(run_binary_task, data),
            tasks,
            key=partial(_key, fingerprint),
            workers=self.workers,
            cluster=self.cluster,
            store=store,
            progress=self.progress,
            label=f"models ({self.endpoint})",
        )
        ledger = merged_ledger(patients, done)
        results = dict(zip(tasks, done, strict=True))
        _check_canary(data, results)
        names = [model.name for model in self.models]
        finished = FinishedBinary(data, names, results, skipped)
        return BinaryResult(endpoint=self.endpoint, ledger=ledger, **summarise_binary(finished))

    def _tasks(self, data: BinaryData) -> list[Task]:
        tasks = []
        for model in data.models:
            tasks.append(Task("all", model.name))
            for repeat in data.splits.repeats:
                tasks += [Task("outer", model.name, fold.name) for fold in data.splits.outer(repeat)]
            tasks.append(Task("canary", model.name, next(iter(data.splits.outer(data.splits.repeats[0]))).name))
            if IMRAD not in model.blocks:
                tasks += [Task("site", model.name, site) for site in _judgeable(data)]
            # A forest is too dear to be grown a thousand times, and so are phenotypes.
            if IMRAD not in model.blocks and model.estimator != "forest":
                for first in range(0, self.n_bootstrap, _BATCH):
                    tasks.append(Task("bootstrap", model.name, first=first, last=min(first + _BATCH, self.n_bootstrap)))
        return tasks

    def _fingerprint(self, data: BinaryData) -> str:
        if self.store is None:
            return ""
        return content.digest({**data.contents(), "outcome": data.outcome, "version": 3})


def _in_one_order(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table of numbers laid out row by row: sums, and so the last bits, depend on the order in memory."""
    if not table.shape[1] or not all(pd.api.types.is_numeric_dtype(kind) for kind in set(table.dtypes)):
        return table
    values = np.ascontiguousarray(table.to_numpy(dtype=float, na_value=np.nan))
    return pd.DataFrame(values, index=table.index, columns=table.columns)


def _check_canary(data: BinaryData, results: Mapping[Task, Mapping[str, Any]]) -> None:
    for task, found in results.items():
        first = results.get(Task("outer", task.model, task.fold), {})
        if task.kind == "canary" and found.get("state") != first.get("state"):
            held = data.fold(task.fold).test
            message = (
                f"leak: {data.endpoint}/{task.model} changes when its held-out patients are replaced by noise (fold "
                f"{task.fold}, {len(held)} held-out patients, among them {data.patients[held[0]]}); learn everything "
                "from the training rows"
            )
            raise LeakError(message)


def _key(fingerprint: str, task: Task) -> str:
    return f"binary/{fingerprint}/{task.key()}"


def _outcome(y: pd.Series[Any], patients: list[str]) -> tuple[BoolArray, BoolArray]:
    if not isinstance(y, pd.Series):
        message = f"y must be a Series of 0 and 1 with the patients as index; found {type(y).__name__}"
        raise CohortError(message)
    column = aligned(y.to_frame("y"), patients)["y"]
    usable = column.notna().to_numpy()
    if not usable.any():
        message = f"none of the {len(patients)} patients of the splits has an outcome"
        raise CohortError(message)
    outcome = np.zeros(len(patients), dtype=bool)
    outcome[usable] = binary_outcome(column[usable].to_numpy())
    return outcome, usable


def _judgeable(data: BinaryData) -> list[str]:
    """Sites with enough patients of both classes to judge, and to do without."""
    at, found = np.array(data.sites), []
    for site in sorted(set(data.sites) - {""}):
        inside, outside = data.outcome[data.usable & (at == site)], data.outcome[data.usable & (at != site)]
        here, rest = (min(int(part.sum()), int((~part).sum())) for part in (inside, outside))
        if here >= _SITE_CLASS and rest >= _REST_CLASS:
            found.append(site)
    return found


def _require_feasible(data: BinaryData) -> None:
    scored = 0
    for repeat in data.splits.repeats:
        for fold in data.folds(repeat):
            y = data.outcome[fold.train]
            fewer = min(int(y.sum()), int((~y).sum()))
            if fewer < 2:
                message = (
                    f"endpoint {data.endpoint}: {int(y.sum())} of {len(y)} training patients of fold {fold.name} have "
                    "outcome 1; at least 2 of each class are needed, so choose another endpoint or fewer folds"
                )
                raise FeasibilityError(message)
            test = data.outcome[fold.test]
            scored += bool(test.any() and not test.all())
    if scored < 2:
        message = (
            f"endpoint {data.endpoint}: {scored} outer folds hold both classes in their test part, at least 2 are "
            "needed; choose another endpoint or fewer folds"
        )
        raise FeasibilityError(message)
