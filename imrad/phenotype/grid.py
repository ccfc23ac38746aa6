"""The phenotype grid: selectors by classifiers, nested, with its noise beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from imrad import __version__, content
from imrad.evaluation import Ledger, SplitTable
from imrad.evaluation.inspection import inspect_parts
from imrad.evaluation.preparation import Preparation, Step
from imrad.exceptions import ConfigError, DuplicateError, InputError, NoOverlapError
from imrad.execution import Progress, Store, single_thread
from imrad.phenotype import beside, choices, tables
from imrad.phenotype.bundle import make_bundle
from imrad.phenotype.canary import check_canary, inspect_cuts
from imrad.phenotype.classifiers import CLASSIFIERS
from imrad.phenotype.controls import bare_cells, bare_plan, block_rows, quick_plan, shuffled_row
from imrad.phenotype.folds import Task, fit_fold
from imrad.phenotype.grid_result import GridResult
from imrad.phenotype.learners import make_learners, make_meta
from imrad.phenotype.nulls import draw_nulls
from imrad.phenotype.prepared import STACKING, Plan
from imrad.phenotype.published import published_cells
from imrad.phenotype.runner import Runner, target_parts, task_parts
from imrad.phenotype.selectors import SELECTORS
from imrad.phenotype.targets import CutRule, Gates, Target, check_feasibility, make_targets

__all__ = ["PhenotypeGrid"]

Floats = np.ndarray[Any, np.dtype[np.float64]]

FOUNDING_SELECTORS = ("information_gain", "gain_ratio", "gini_decrease", "fcbf")


@dataclass
class PhenotypeGrid:
    """Predict immune quantities from radiomic features: selectors by classifiers, without leaks.

    Parameters
    ----------
    selectors : sequence of str, or mapping of name to (name or transformer)
        Names of :data:`imrad.phenotype.selectors.SELECTORS` or ``none``. The user's own transformers
        get imputed, scaled features.
    classifiers : sequence of str, or mapping of name to (name or estimator)
        Names of :data:`imrad.phenotype.classifiers.CLASSIFIERS`; ``stacking`` stands on all others.
    k, n_bins : int
        Features kept; equal-frequency bins.
    defaults : {"founding", "imrad"}
        Named set of classifier settings.
    engine : {"imrad", "sklearn"} or mapping of classifier to engine
        Whose models; a classifier (or ``stacking``) that a mapping leaves out is imrad's. The two agree:
        forests, neighbours and naive Bayes are equal, the rest is fitted to a closer optimum or differs
        by rounding.
    cut : str, float, callable, or mapping of target to one of them
        ``median`` (of the training fold; zero-inflated targets are cut at zero), ``zero``,
        ``continuous`` (trained on median classes, judged by the measured quantity), a number, or a
        function of the training values. High means strictly above. The key ``*`` is for the rest.
    permutations : int or "auto"
        Most permutations of a target; ``auto`` is 20 times the feasible targets, the fewest with
        which one of them can reach q < 0.05.
    exceedances : int
        Permuted results at or above the observed one that end a target's permutations.
    null_classifiers : sequence of str, "auto" or "all"
        Cells the permutation test takes the maximum over. ``auto``: the quick learners where
        scikit-learn's models are used, all base learners otherwise.
    share_null : bool
        Let targets of the same patients, ties and rule share permutations.
    protocol : {"nested", "published"}
        ``published`` also runs the leaky protocol, reported beside the honest value.
    controls, ablation, bundles : bool
        Whether to make those outputs.
    scaler : transformer, optional
        In place of median imputation and standardisation.
    prepare : sequence of Step or (str, transformer)
        Steps before scaling and bins, fitted in every fold; see :mod:`imrad.evaluation.preparation`.
    gates : Gates
        What a target must bring.
    seed : int
        Seed of everything that is drawn.
    workers, cluster, store, progress
        See :func:`imrad.execution.map_tasks`.

    Notes
    -----
    ``summary.auc`` is the mean within-fold AUC in the outer folds of the cell that each one's inner
    folds chose. ``summary.p_permutation`` belongs to another statistic, ``auc_best_cell``: the
    largest mean outer AUC over the declared cells, against the same under permuted targets; it is
    valid whichever cell is chosen. A target is claimed when its q is below 0.05 and its honest AUC
    is above 0.5.
    """

    selectors: Sequence[str] | Mapping[str, Any] = FOUNDING_SELECTORS
    classifiers: Sequence[str] | Mapping[str, Any] = CLASSIFIERS
    k: int = 20
    n_bins: int = 4
    defaults: str = "founding"
    engine: str | Mapping[str, str] = "imrad"
    cut: CutRule | Mapping[str, CutRule] = "median"
    permutations: int | str = "auto"
    exceedances: int = 10
    null_classifiers: Sequence[str] | str = "auto"
    share_null: bool = True
    protocol: str = "nested"
    controls: bool = True
    ablation: bool = True
    bundles: bool = True
    scaler: Any = None
    prepare: Sequence[Step | tuple[str, Any]] = ()
    gates: Gates = field(default_factory=Gates)
    seed: int = 0
    workers: int = 1
    cluster: str | None = None
    store: Store | None = None
    progress: Progress | None = None

    def run(
        self,
        X: pd.DataFrame,
        Y: pd.DataFrame,
        splits: SplitTable,
        *,
        volume: Any = None,
        clinical: pd.DataFrame | None = None,
        sides: Mapping[str, Any] | None = None,
    ) -> GridResult:
        """Fit the grid.

        Parameters
        ----------
        X : DataFrame, patients x features
            Raw features; NaN is missing.
        Y : DataFrame, patients x targets
            Measured quantities; NaN is not measured. Such patients are predicted too.
        splits : SplitTable
            The cohort's folds.
        volume : Series, DataFrame, str or list of str, optional
            Volume of each patient, or the names of the features that measure it.
        clinical : DataFrame, optional
            Clinical columns for the clinical-only row.
        sides : mapping of str to (Series or DataFrame), optional
            Side tables that the preparation steps name, indexed by patient: sites, another reader.

        Raises
        ------
        ConfigError
            If a setting cannot be used.
        DuplicateError, NoOverlapError, InputError
            If the tables cannot be used together.
        LeakError
            If the canary finds that a fit knows its held-out patients.
        """
        with single_thread():
            return self._run(X, Y, splits, volume, clinical, sides)

    def _run(
        self, X: pd.DataFrame, Y: pd.DataFrame, splits: SplitTable, volume: Any, clinical: Any, sides: Any
    ) -> GridResult:
        plan = self._plan(X, splits, Preparation(self.prepare, sides))
        features = [str(name) for name in X.columns]
        table = _aligned(Y, plan.patients, "targets")
        targets = make_targets(table, self.cut)
        feasibility = check_feasibility(targets, splits, self.gates)
        able = [target for target, fit in zip(targets, feasibility["feasible"], strict=True) if fit]
        inspect_parts(self._own_parts() | plan.preparation.parts, plan.X, table)
        inspect_cuts(targets)
        ledger = Ledger(plan.patients)
        runner = self._runner(plan, ledger)
        folds = [fold for repeat in splits.repeats for fold in splits.outer(repeat)]
        if able:
            check_canary(plan, Task(able[0], folds[0]), own=self._own_parts() | _testable(plan.preparation))
        tasks = [Task(target, fold) for fold in folds for target in able]
        found = runner.map(partial(fit_fold, plan), tasks, "phenotype grid", task_parts)
        results = {(task.target.name, task.fold.name): one for task, one in zip(tasks, found, strict=True)}

        null_plan = self._null_plan(plan)
        observed = tables.observed_statistics(null_plan, plan, able, folds, results)
        cap = 20 * len(able) if self.permutations == "auto" else int(self.permutations)
        nulls, null_table = draw_nulls(
            runner, null_plan, able, observed, cap=cap, exceedances=self.exceedances, share=self.share_null
        )
        published = (
            runner.map(partial(published_cells, plan), able, "published protocol", target_parts)
            if self.protocol == "published"
            else []
        )
        control_rows = self._controls(runner, plan, able, X, volume, clinical) if self.controls else []
        bare = self._ablation(runner, plan, able) if self.ablation else []

        grid = tables.grid_table(plan, able, folds, results, feasibility)
        summary = tables.summary_table(
            plan, null_plan, targets, folds, results, feasibility, nulls, null_table, cap=cap, observed=observed
        )
        made = choices.bundle_choices(plan, able, folds, results) if self.bundles else {}
        predictions = tables.prediction_table(plan, able, folds, results)
        shown = beside.published_table(plan, able, published, grid)
        jobs = [(target, made[target.name]) for target in able if target.name in made]
        reference = {name: part for name, part in predictions.groupby("target", sort=False)}
        bundles = runner.map(
            partial(make_bundle, plan, features, self.defaults),
            jobs,
            "model bundles",
            lambda job: [*target_parts(job[0]), [list(cell) for cell in job[1]]],
        )
        whole = {target.name: one.get("funnel", []) for (target, _), one in zip(jobs, bundles, strict=True)}
        return GridResult(
            grid=grid,
            summary=summary,
            predictions=predictions,
            feasibility=feasibility,
            stability=choices.stability_table(plan, able, folds, results, features),
            agreement=choices.agreement_table(plan, able, folds, results),
            study_table=beside.study_table(plan, grid),
            ablation=beside.ablation_table(grid, bare),
            null=null_table,
            controls=beside.control_table(control_rows),
            published=shown,
            optimism=beside.optimism_table(shown, summary),
            inner=choices.inner_table(plan, able, folds, results),
            funnel=choices.funnel_table(able if len(plan.preparation) else [], folds, results, whole),
            crossfit=tables.crossfit(plan, able, folds, results),
            ledger=ledger,
            bundles={
                target.name: {**_travelling(bundle), "reference": _reference(reference[target.name])}
                for (target, _), bundle in zip(jobs, bundles, strict=True)
            },
        )

    def _plan(self, X: pd.DataFrame, splits: SplitTable, preparation: Preparation | None = None) -> Plan:
        if self.protocol not in ("nested", "published"):
            message = f"unknown protocol {self.protocol!r}; use 'nested' or 'published'"
            raise ConfigError(message)
        if self.k < 1:
            message = f"the selectors keep k >= 1 features, got k={self.k}"
            raise ConfigError(message)
        if self.permutations != "auto" and (not isinstance(self.permutations, int) or self.permutations < 0):
            message = f"permutations must be a whole number or 'auto', got {self.permutations!r}"
            raise ConfigError(message)
        table = _aligned(X, splits.patients, "features", whole=True)
        words = [name for name in table.columns if not pd.api.types.is_numeric_dtype(table[name].dtype)]
        if words or table.shape[1] == 0:
            message = f"features must be numeric columns; {f'{words[0]} is not' if words else 'there are none'}"
            raise InputError(message)
        values = table.to_numpy(dtype=float, na_value=np.nan).copy()
        if np.isinf(values).any():
            name = table.columns[int(np.flatnonzero(np.isinf(values).any(axis=0))[0])]
            message = f"feature {name} holds infinite values; make them missing or leave the feature out"
            raise InputError(message)
        selectors = (
            dict(self.selectors)
            if isinstance(self.selectors, Mapping)
            else {str(name): name for name in self.selectors}
        )
        for name, what in selectors.items():
            known = isinstance(what, str) and (what in SELECTORS or what == "none")
            if not known and not hasattr(what, "fit"):
                message = f"unknown selector {name!r}; the known ones are none, {', '.join(SELECTORS)}"
                raise ConfigError(message)
        learners = make_learners(self.classifiers, engine=self.engine, defaults=self.defaults)
        stacking = STACKING in self.classifiers
        if not selectors or not learners or (stacking and len(learners) < 2):
            message = "the grid needs a selector and a classifier, and stacking needs two classifiers beside it"
            raise ConfigError(message)
        return Plan(
            X=values,
            patients=splits.patients,
            splits=splits,
            selectors=selectors,
            learners=learners,
            stacking=stacking,
            k=self.k,
            n_bins=self.n_bins,
            seed=self.seed,
            scaler=self.scaler,
            meta=make_meta(self.engine),
            features=[str(name) for name in table.columns],
            preparation=Preparation([]) if preparation is None else preparation,
        )

    def _own_parts(self) -> dict[str, Any]:
        """Return the user's own parts by the name of their step."""
        own: dict[str, Any] = {}
        if isinstance(self.selectors, Mapping):
            own |= {f"selector:{name}": what for name, what in self.selectors.items() if not isinstance(what, str)}
        if isinstance(self.classifiers, Mapping):
            own |= {f"classifier:{name}": what for name, what in self.classifiers.items() if not isinstance(what, str)}
        if self.scaler is not None:
            own["scaler"] = self.scaler
        rules = self.cut.values() if isinstance(self.cut, Mapping) else [self.cut]
        if any(callable(rule) for rule in rules):
            own["cut"] = [rule for rule in rules if callable(rule)]
        return own

    def _runner(self, plan: Plan, ledger: Ledger) -> Runner:
        key = [
            __version__,
            plan.X,
            plan.patients,
            plan.splits.table,
            list(plan.selectors),
            list(plan.classifiers),
            list(self._null_plan(plan).learners),
            self.engine if isinstance(self.engine, str) else dict(self.engine),
            [self.k, self.n_bins, self.defaults, self.seed, plan.preparation.key],
        ]
        # The user's own objects have no content that a key could name for sure.
        store = None if self._own_parts() or not plan.preparation.key else self.store
        return Runner(plan, content.digest(key), ledger, self.workers, self.cluster, store, self.progress)

    def _null_plan(self, plan: Plan) -> Plan:
        if isinstance(self.null_classifiers, str) and self.null_classifiers not in ("auto", "all"):
            message = f"null_classifiers must be 'auto', 'all' or names, got {self.null_classifiers!r}"
            raise ConfigError(message)
        if self.null_classifiers == "auto":
            return quick_plan(plan) if self.engine == "sklearn" else replace(plan, stacking=False)
        if self.null_classifiers == "all":
            return replace(plan, stacking=False)
        missing = [name for name in self.null_classifiers if name not in plan.learners]
        if missing or not self.null_classifiers:
            message = (
                f"null_classifiers must name base classifiers of the grid ({', '.join(plan.learners)}); got {missing}"
            )
            raise ConfigError(message)
        return replace(plan, learners={name: plan.learners[name] for name in self.null_classifiers}, stacking=False)

    def _controls(
        self, runner: Runner, plan: Plan, able: list[Target], X: pd.DataFrame, volume: Any, clinical: Any
    ) -> list[dict[str, Any]]:
        blocks: dict[str, pd.DataFrame] = {}
        if volume is not None:
            if isinstance(volume, pd.Series | pd.DataFrame):
                block = volume.to_frame() if isinstance(volume, pd.Series) else volume
            else:
                names = [volume] if isinstance(volume, str) else list(volume)
                absent = [name for name in names if name not in X.columns]
                if absent:
                    message = f"volume feature {absent[0]!r} is not among the features"
                    raise ConfigError(message)
                block = X[names]
            blocks["volume"] = _aligned(block, plan.patients, "volume")
        if clinical is not None and clinical.shape[1]:
            blocks["clinical"] = _aligned(clinical, plan.patients, "clinical data")
        rows = []
        for name, block in blocks.items():
            key = content.digest(block)
            rows += runner.map(
                partial(block_rows, plan, name, block),
                able,
                f"{name} only",
                partial(_block_parts, name, key),
            )
        return rows + runner.map(partial(shuffled_row, plan), able, "shuffled features", target_parts)

    def _ablation(self, runner: Runner, plan: Plan, able: list[Target]) -> list[dict[str, Any]]:
        return runner.map(partial(bare_cells, bare_plan(plan)), able, "no selector", target_parts)


def _testable(preparation: Preparation) -> dict[str, Any]:
    """Return the user's own steps that can be fitted on features and classes alone."""
    return {
        f"prepare:{step.name}": step.transformer
        for step in preparation.steps
        if not step.fit_with
        and not step.transform_with
        and type(step.transformer).__module__.split(".")[0] not in ("imrad", "sklearn")
    }


def _block_parts(name: str, key: str, target: Target) -> list[Any]:
    return [*target_parts(target), name, key]


def _travelling(bundle: dict[str, Any]) -> dict[str, Any]:
    """Return a bundle without the record of its fit, which names patients."""
    return {name: item for name, item in bundle.items() if name != "ledger"}


def _reference(predictions: pd.DataFrame) -> dict[str, Any]:
    """Return the distribution of the cohort's out-of-fold scores, as quantiles."""
    grid = np.linspace(0, 1, 101)
    return {"quantile": grid, "probability": np.quantile(predictions["probability"].to_numpy(dtype=float), grid)}


def _aligned(table: pd.DataFrame, patients: list[str], what: str, *, whole: bool = False) -> pd.DataFrame:
    """Return the table's rows in the order of the splits' patients."""
    names = table.index.astype(str)
    if names.duplicated().any():
        message = f"{what}: patient {names[names.duplicated()][0]} has several rows; give one row a patient"
        raise DuplicateError(message)
    common = [name for name in patients if name in set(names)]
    if not common:
        message = (
            f"{what} share no patient with the splits ({names[0] if len(names) else 'none'} against {patients[0]})"
        )
        raise NoOverlapError(message)
    if whole and len(common) < len(patients):
        absent = next(name for name in patients if name not in set(names))
        message = f"{what}: {len(patients) - len(common)} patients of the splits have no row, among them {absent}"
        raise InputError(message)
    return table.set_axis(names, axis=0).reindex(patients)
