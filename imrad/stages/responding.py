"""Fuse a binary endpoint, such as response: the same splits and the same proof as for survival."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from imrad.exceptions import FeasibilityError
from imrad.stages import proof
from imrad.stages.blocks import CLINICAL, features, ordered_levels
from imrad.stages.outside import write_external_responses
from imrad.stages.perturbing import perturbed_blocks
from imrad.stages.prepare_tables import describe
from imrad.stages.preparing import make_preparation
from imrad.stages.results import write_results

if TYPE_CHECKING:
    from anndata import AnnData

    from imrad.execution import Progress
    from imrad.run import Run, Stage
    from imrad.stages.fusion import FuseStageSettings
    from imrad.survival import BinaryModel

__all__ = ["fuse_response", "response_models"]

TABLES = (
    *("models", "coefficients", "pairs", "operating", "indices", "calibration", "net_benefit", "folds"),
    *("reclassification", "univariable", "multivariable", "roc", "score_ks", "score_histogram", "subgroups"),
    *("explanations", "funnel", "robustness", "perturbed_risk", "path", "path_coefficients"),
)


def fuse_response(
    run: Run,
    stage: Stage,
    data: AnnData,
    name: str,
    blocks: Callable[[AnnData], Mapping[str, pd.DataFrame]],
    settings: FuseStageSettings,
    *,
    subgroups: pd.DataFrame | None,
    sites: pd.Series[Any] | None,
    workers: int,
    progress: Progress | None,
) -> list[str]:
    """Run the binary fusion of one endpoint and write its tables into ``response/<endpoint>/``.

    Parameters
    ----------
    run, stage : Run, Stage
    data : AnnData
        The cohort.
    name : str
        A binary endpoint, a column of its obs.
    blocks : callable
        Returns a cohort's blocks of predictors.
    settings : FuseStageSettings
        Its resamples, response models and question.
    subgroups : DataFrame, optional
        Patients x categories.
    sites : Series, optional
        Site of each patient, each of which is left out once.
    workers, progress
        As for :func:`imrad.execution.map_tasks`.
    """
    from imrad.evaluation import CrossFitted
    from imrad.survival import BinaryFusion

    preparation = make_preparation(data, settings.prepare, "fuse", "classes", seed=run.config.seed)
    splits = proof.read_splits(run)
    tables = blocks(data)
    fusion = BinaryFusion(
        response_models(settings, tables),
        n_bootstrap=settings.n_bootstrap,
        endpoint=name,
        seed=run.config.seed,
        workers=workers,
        store=stage.store,
        progress=progress,
        prepare=preparation.steps,
    )
    phenotype = CrossFitted(run.read("phenotype/crossfit.csv")) if run.has("phenotype/crossfit.csv") else None
    outcome = data.obs[name].astype(float)
    outcome.index = outcome.index.astype(str)
    try:
        result = fusion.run(
            outcome,
            tables,
            splits,
            phenotype,
            subgroups=subgroups,
            question=settings.response_question,
            levels=ordered_levels(data),
            sides=preparation.sides,
            sites=sites,
            perturbed=perturbed_blocks(run, data, settings.perturbed, blocks),
        )
    except FeasibilityError as error:
        stage.skip(str(error))
        return [f"{name}: skipped, {error}"]
    folder, n = f"response/{name}", int(outcome.notna().sum())
    for table in TABLES:
        found = getattr(result, table)
        found = _with_levels(found, data, outcome) if table == "univariable" else found
        if len(found.columns):
            stage.table(f"{folder}/{table}.csv", found)
    if len(preparation):
        describe(stage, folder, preparation, features(data), splits)
    stage.table(f"{folder}/predictions.csv", result.probability)
    stage.table(f"{folder}/matched_pair.csv", _with_columns(result.matched_pair, data, settings.clinical or CLINICAL))
    stage.json(f"{folder}/verdict.json", result.verdict)
    stage.plain(f"{folder}/models.zip", result.final)
    stage.json(f"{folder}/nomogram.json", {model: plain | {"n": n} for model, plain in result.nomograms.items()})
    proof.record(run, stage, result.ledger)
    write_results(run)
    return [f"{name}: {result.verdict['sentence']}", *write_external_responses(run, stage, data, name, result.final)]


def response_models(settings: FuseStageSettings, tables: Mapping[str, pd.DataFrame]) -> list[BinaryModel]:
    """Return the config's models; else the usual ones and those over its own blocks."""
    from imrad.survival import BinaryModel
    from imrad.survival.binary_models import DEFAULT_BINARY_MODELS
    from imrad.survival.own_models import check_blocks, with_own_blocks

    own = {name: len(tables[name].columns) if name in tables else 0 for name in settings.extra_blocks}
    named = [BinaryModel(title, **how.parameters()) for title, how in settings.response_models.items()]
    if named:
        check_blocks(named, own)
        return named
    return with_own_blocks(list(DEFAULT_BINARY_MODELS), own)


def _with_levels(table: pd.DataFrame, data: AnnData, outcome: pd.Series[float]) -> pd.DataFrame:
    """Return the univariable table with ordered categories summarised by their names, which ranks do not tell."""
    out = table.copy()
    for name, levels in ordered_levels(data).items():
        rows = (out["feature"] == name) & (out["block"] == "Clinical")
        for column, value in (("summary_0", 0.0), ("summary_1", 1.0)):
            known = data.obs[name][(outcome == value).to_numpy()].dropna().astype(str)
            counts = [(level, int((known == level).sum())) for level in levels]
            parts = [f"{level}: {n} ({100 * n / max(len(known), 1):.0f} %)" for level, n in counts]
            out.loc[rows, column] = ", ".join(parts)
    return out


def _with_columns(pair: pd.DataFrame, data: AnnData, wanted: Sequence[str]) -> pd.DataFrame:
    """Return the matched pair with the patients' clinical columns as the cohort holds them."""
    # What tells who a patient is (case, series, dates) stays out: these rows are shown.
    columns = [column for column in wanted if column in data.obs and column not in pair.columns]
    obs = data.obs.loc[list(pair["patient"]), columns]
    return pair.join(obs.astype(object).reset_index(drop=True))
