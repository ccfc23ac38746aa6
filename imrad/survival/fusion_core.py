"""What fusions of survival and of binary endpoints share: their patients and blocks, ImRad scores, tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
import pandas as pd

from imrad.evaluation import CrossFitted, Fold, Ledger, SplitTable
from imrad.evaluation.outcomes import BoolArray, FloatArray
from imrad.exceptions import CohortError, ConfigError, InSampleError
from imrad.survival.columns import LARGEST

__all__ = [
    "IMRAD",
    "FinishedFits",
    "FusionRows",
    "Task",
    "aligned",
    "aligned_sites",
    "distinct_names",
    "fold_scores",
    "merged_ledger",
    "record_inputs",
    "refuse_in_sample",
    "runnable_models",
]

IntArray = np.ndarray[Any, np.dtype[np.intp]]

IMRAD = "ImRad"


class _Model(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def blocks(self) -> tuple[str, ...]: ...


M = TypeVar("M", bound=_Model)


@dataclass(frozen=True)
class Task:
    """One unit of work.

    ``outer`` (model, fold), ``canary`` (model, fold), ``all`` (model), ``bootstrap`` (model, resamples first
    to last) or ``site`` (model, the site left out as fold).
    """

    kind: str
    model: str
    fold: str = "all"
    first: int = 0
    last: int = 0

    def key(self) -> str:
        """Return a name unique within a fusion."""
        return f"{self.kind}/{self.model}/{self.fold}/{self.first}-{self.last}"


@dataclass(frozen=True, kw_only=True)
class FusionRows:
    """The patients of a fusion and what is known of them, rows in cohort order.

    Attributes
    ----------
    usable : ndarray of bool
        Patients with a known outcome; the others are in no fit and in no score.
    tables : dict of str to DataFrame
        The blocks, except ImRad.
    sites : tuple of str
        Of each patient; empty where not known.
    subgroups : DataFrame or None
        Patients x categories.
    perturbed : tuple of Perturbation
        Blocks of perturbed images; in no fit.
    """

    endpoint: str
    patients: list[str]
    usable: BoolArray
    tables: dict[str, pd.DataFrame]
    splits: SplitTable
    phenotype: CrossFitted | None
    models: tuple[Any, ...]
    seed: int
    sites: tuple[str, ...] = ()
    subgroups: pd.DataFrame | None = None
    perturbed: tuple[Any, ...] = ()

    def model(self, name: str) -> Any:
        """Return a model by name."""
        return next(model for model in self.models if model.name == name)

    def folds(self, repeat: int) -> list[Fold]:
        """Return the outer folds of a repeat, usable patients only."""
        return [
            Fold(fold.name, fold.train[self.usable[fold.train]], fold.test[self.usable[fold.test]])
            for fold in self.splits.outer(repeat)
        ]

    def fold(self, name: str) -> Fold:
        """Return an outer fold by name, usable patients only."""
        return next(fold for fold in self.folds(int(name.split("/")[0][1:])) if fold.name == name)

    def inner_labels(self, fold: Fold) -> IntArray:
        """Return the inner fold of each training row."""
        label = np.full(len(self.patients), -1)
        for number, inner in enumerate(self.splits.inner(fold)):
            label[inner.test] = number
        return np.asarray(label[fold.train], dtype=np.intp)

    def contents(self) -> dict[str, Any]:
        """Return what every fit of the fusion depends on beside the outcome, for the keys of a store."""
        return {
            "endpoint": self.endpoint,
            "patients": self.patients,
            "usable": self.usable,
            "tables": {name: table.assign(patient=self.patients) for name, table in self.tables.items()},
            "dtypes": {name: [str(kind) for kind in table.dtypes] for name, table in self.tables.items()},
            "splits": self.splits.table,
            "phenotype": None if self.phenotype is None else self.phenotype.table,
            # Screening estimators and rules are part of a model's text.
            "models": [repr(model) for model in self.models],
            "seed": self.seed,
            "sites": list(self.sites),
            "perturbed": {item.name: item.tables for item in self.perturbed},
        }

    def blocks(self, model: _Model, rows: IntArray) -> dict[str, pd.DataFrame]:
        """Return some rows of a model's blocks, except ImRad."""
        return {name: self.tables[name].iloc[rows] for name in model.blocks if name != IMRAD}

    def fold_blocks(self, model: _Model, fold: Fold) -> tuple[dict[str, pd.DataFrame], dict[str, pd.DataFrame]]:
        """Return the training and the test part of a model's blocks in an outer fold, ImRad cross-fitted."""
        train, test = self.blocks(model, fold.train), self.blocks(model, fold.test)
        if IMRAD in model.blocks:
            train[IMRAD], test[IMRAD] = fold_scores(self.phenotype, fold, self.patients)
        return train, test

    def whole_blocks(self, model: _Model) -> tuple[IntArray, dict[str, pd.DataFrame], IntArray]:
        """Return all usable rows, a model's blocks for them, and the outer fold of each in the first repeat."""
        rows = np.flatnonzero(self.usable)
        tables = self.blocks(model, rows)
        outer = np.full(len(self.patients), -1)
        scores = []
        for number, fold in enumerate(self.folds(self.splits.repeats[0])):
            outer[fold.test] = number
            if IMRAD in model.blocks:
                scores.append(fold_scores(self.phenotype, fold, self.patients)[1].set_index(fold.test))
        if scores:
            # Each patient's score comes from the outer fit that had not seen it.
            tables[IMRAD] = pd.concat(scores).loc[rows].reset_index(drop=True)
        return rows, tables, np.asarray(outer[rows], dtype=np.intp)


@dataclass(frozen=True)
class FinishedFits:
    """All results of a fusion's tasks.

    Attributes
    ----------
    names : list of str
        Every model asked for, in order.
    results : dict of Task to dict
    skipped : dict of str to str
        Models not run, and why.
    """

    data: Any
    names: list[str]
    results: dict[Task, dict[str, Any]]
    skipped: dict[str, str]

    def whole(self, name: str) -> dict[str, Any]:
        """Return the fit on the whole cohort."""
        return self.results[Task("all", name)]

    def outer(self, name: str) -> list[tuple[str, dict[str, Any]]]:
        """Return fold names and results of the outer folds."""
        return [(task.fold, part) for task, part in self.results.items() if task.kind == "outer" and task.model == name]

    def failure(self, name: str) -> str:
        """Return why a model has no result, or an empty string."""
        if name in self.skipped:
            return self.skipped[name]
        parts = [self.whole(name), *(part for _, part in self.outer(name))]
        return next((str(part["failed"]) for part in parts if "failed" in part), "")

    @property
    def fitted(self) -> list[str]:
        """Names of the models with results in every fold."""
        return [name for name in self.names if not self.failure(name)]

    def values(self, name: str, measure: str) -> FloatArray:
        """Return a measure in each outer fold."""
        return np.array([part[measure] for _, part in self.outer(name)], dtype=float)

    @property
    def test_share(self) -> float:
        """Return n_test / n_train of the outer folds."""
        return 1 / (len(list(self.data.splits.outer(self.data.splits.repeats[0]))) - 1)

    def paths(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Return each final lasso's cross-validated deviance, and its coefficients other than 0, by lambda."""
        choices, coefficients = [], []
        for name in self.fitted:
            whole = self.whole(name)
            if whole.get("choice") is None or whole.get("path_coef") is None:
                continue
            choices.append(pd.DataFrame(whole["choice"]).assign(model=name))
            ever = np.flatnonzero(np.any(whole["path_coef"] != 0, axis=1))
            wide = pd.DataFrame(whole["path_coef"][ever].T, columns=[whole["names"][j] for j in ever])
            wide["lambda"] = whole["path_lambda"]
            coefficients.append(wide.melt(id_vars="lambda", var_name="feature", value_name="coef").assign(model=name))
        empty = pd.DataFrame(columns=["model", "lambda"])
        return (
            pd.concat(choices, ignore_index=True) if choices else empty,
            pd.concat(coefficients, ignore_index=True) if coefficients else empty,
        )

    def sites_left_out(self) -> list[dict[str, Any]]:
        """Return rows of the robustness table: each model without each site, tested on that site."""
        rows: list[dict[str, Any]] = []
        for task, part in self.results.items():
            if task.kind == "site":
                found = {key: part.get(key, np.nan) for key in ("n", "n_events", "c", "low", "high")}
                site = {
                    "kind": "site left out",
                    "model": task.model,
                    "level": task.fold,
                    "note": part.get("failed", ""),
                }
                rows.append(site | found)
        return rows


def fold_scores(phenotype: CrossFitted | None, fold: Fold, patients: list[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return cross-fitted ImRad scores of a fold's training and test patients, by patient.

    Raises
    ------
    InSampleError
        If the scores are no cross-fitted ones.
    """
    if not isinstance(phenotype, CrossFitted):
        message = (
            "ImRad scores must be cross-fitted (imrad.evaluation.CrossFitted): in-sample phenotypes cannot enter "
            f"a survival model; found {type(phenotype).__name__}"
        )
        raise InSampleError(message)
    names = [f"Rad-{target}" for target in phenotype.targets]
    train, test = phenotype.block(fold, patients)
    return pd.DataFrame(train, columns=names), pd.DataFrame(test, columns=names)


def record_inputs(data: FusionRows, consumer: str, rows: IntArray, fold: str, ledger: Ledger) -> None:
    """Record which phenotype fits made the scores that a model trains on."""
    if data.phenotype is None:
        return
    table = data.phenotype.table
    if fold == "all":
        table = table[(table["repeat"] == data.splits.repeats[0]) & (table["role"] == "test")]
    else:
        repeat, outer = (int(text[1:]) for text in fold.split("/"))
        table = table[(table["repeat"] == repeat) & (table["outer"] == outer) & (table["role"] == "train")]
    place = {name: row for row, name in enumerate(data.patients)}
    table = table[table["patient"].isin([data.patients[row] for row in rows])]
    for producer, part in table.groupby("fit", sort=True):
        ledger.use(
            consumer=consumer,
            producer=str(producer),
            rows=np.unique([place[str(name)] for name in part["patient"]]),
        )


def aligned(table: pd.DataFrame, patients: list[str], name: str = "a block") -> pd.DataFrame:
    """Return a table's rows in the order of the patients; missing where it lacks one.

    Raises
    ------
    CohortError
        If it is no table, names a patient or a column twice, names no patient, or holds a value beyond 1e60.
    """
    if not isinstance(table, pd.DataFrame):
        message = f"a block must be a DataFrame of patients x columns; found {type(table).__name__}"
        raise CohortError(message)
    index = table.index.astype(str)
    if index.has_duplicates:
        message = f"patient {index[index.duplicated()][0]} stands in several rows of a block; one row each is needed"
        raise CohortError(message)
    if len(table) and not set(index) & set(patients):
        message = f"a block names no patient of the splits (block: {index[0]} ..., splits: {patients[0]} ...)"
        raise CohortError(message)
    names = table.columns.astype(str)
    if names.has_duplicates:
        message = f"{name} has several columns named {names[names.duplicated()][0]}; give each its own name"
        raise CohortError(message)
    number = table.select_dtypes("number").to_numpy(dtype=float, na_value=np.nan)
    beyond = (np.abs(number) > LARGEST) & np.isfinite(number)
    if beyond.any():
        column = table.select_dtypes("number").columns[int(np.argmax(beyond.any(axis=0)))]
        message = (
            f"{name}: column {column} holds {int(beyond.sum())} values beyond {LARGEST:g}; rescale it, or leave it out"
        )
        raise CohortError(message)
    return table.set_axis(index, axis=0).reindex(patients)


def aligned_sites(sites: pd.Series[Any] | None, patients: list[str]) -> tuple[str, ...]:
    """Return each patient's site; empty where it is not known."""
    if sites is None:
        return ("",) * len(patients)
    known = aligned(sites.to_frame("site"), patients)["site"]
    return tuple("" if pd.isna(item) else str(item) for item in known)


def refuse_in_sample(blocks: Mapping[str, pd.DataFrame], phenotype: Any) -> None:
    """Refuse ImRad scores that may come from fits which saw the patients.

    Raises
    ------
    InSampleError
        If they come as a table, or as anything but cross-fitted scores.
    """
    if IMRAD in blocks:
        message = (
            "the block ImRad cannot be given as a table, since a table does not say which fit made its scores; "
            "pass the phenotypes as CrossFitted"
        )
        raise InSampleError(message)
    if phenotype is not None and not isinstance(phenotype, CrossFitted):
        message = (
            f"phenotype must be CrossFitted scores; found {type(phenotype).__name__}, which may hold in-sample scores"
        )
        raise InSampleError(message)


def distinct_names(models: Sequence[M]) -> tuple[M, ...]:
    """Return the models, or refuse two of one name.

    Raises
    ------
    ConfigError
        With all names.
    """
    if len({model.name for model in models}) != len(models):
        message = f"two models have the same name: {[model.name for model in models]}"
        raise ConfigError(message)
    return tuple(models)


def runnable_models(
    models: Sequence[M], tables: Mapping[str, pd.DataFrame], phenotype: CrossFitted | None
) -> tuple[tuple[M, ...], dict[str, str]]:
    """Return the models whose blocks are there, and why each of the others is not.

    Raises
    ------
    ConfigError
        If none is left.
    """
    present = {name for name, table in tables.items() if table.shape[1]} | ({IMRAD} if phenotype else set())
    skipped = {}
    for model in models:
        absent = [name for name in model.blocks if name not in present]
        if absent:
            skipped[model.name] = f"no columns in the block {' and '.join(absent)}"
    runnable = tuple(model for model in models if model.name not in skipped)
    if not runnable:
        message = f"no model can be fitted: blocks given are {sorted(present)}; " + "; ".join(
            f"{name}: {reason}" for name, reason in skipped.items()
        )
        raise ConfigError(message)
    return runnable, skipped


def merged_ledger(patients: list[str], done: Sequence[Mapping[str, Any]]) -> Ledger:
    """Return one ledger of what all tasks saw."""
    ledger = Ledger(patients)
    for part in done:
        if "ledger" in part:
            ledger.merge(Ledger.from_plain(patients, part["ledger"]))
    return ledger
