"""Fuse: models over blocks of predictors, compared without optimism, one endpoint at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd
from pydantic import Field

from imrad.config import parse_settings
from imrad.exceptions import ConfigError, FeasibilityError, FitError, TooFewEventsError
from imrad.stages import blocks, proof
from imrad.stages.description import describe_scores
from imrad.stages.outside import write_external_survival
from imrad.stages.perturbing import perturbed_blocks, perturbed_digest
from imrad.stages.prepare_settings import PrepareList, check_steps
from imrad.stages.prepare_tables import describe
from imrad.stages.preparing import make_preparation
from imrad.stages.results import write_results
from imrad.survival.settings import SurvivalSettings

if TYPE_CHECKING:
    from anndata import AnnData

    from imrad.execution import Progress
    from imrad.run import Run
    from imrad.survival import BlockModel

__all__ = ["FuseStageSettings", "check", "fuse"]

CODE = (
    "imrad.stages.fusion",
    "imrad.stages.responding",
    "imrad.stages.outside",
    "imrad.stages.model_inputs",
    "imrad.stages.responses",
    "imrad.stages.survivals",
    "imrad.stages.description",
    "imrad.stages.blocks",
    "imrad.stages.perturbing",
    "imrad.stages.preparing",
    "imrad.stages.prepare_tables",
    "imrad.radiomics.robustness",
    "imrad.radiomics.harmonise",
    "imrad.survival",
    "imrad.evaluation",
    "imrad.seeds",
)

TABLES = (
    *("models", "coefficients", "risk", "pairs", "horizons", "calibration", "net_benefit", "curves", "path", "ph"),
    *(
        "robustness",
        "perturbed_risk",
        "subgroups",
        "explanations",
        "groups",
        "folds",
        "path_coefficients",
        "cox",
        "nomogram",
    ),
    *("signature", "time_auc", "time_roc", "cut_groups", "cut_curves", "predictor_groups", "predictor_curves"),
)


SUBGROUPS = ("sex", "stage", "site", "smoker")


class FuseStageSettings(SurvivalSettings):
    """The fusion's settings, and which columns of the cohort its blocks are."""

    endpoints: tuple[str, ...] = Field(default=(), description="Endpoints, such as os and pfi; else all of the cohort.")
    clinical: tuple[str, ...] | None = Field(default=None, description="Columns of the block Clinical.")
    immune: tuple[str, ...] | None = Field(default=None, description="Targets of the block Immune; else all.")
    prepare: PrepareList = Field(
        default=(), description="Steps on the features of the block Rad, in order, fitted in every fold."
    )
    missing: dict[str, Literal["median", "indicator", "refuse"]] = Field(
        default_factory=dict,
        description="Clinical columns with missing values: median of the training part of each fold (most frequent "
        "class of classes; the default), the same with an indicator column beside it, or refuse.",
    )
    perturbed: str | None = Field(
        default=None,
        description="Table of perturbed features (patient or case, perturbation, features), to which the outer folds' "
        "models are applied; else what extract wrote with reading.perturbations.",
    )
    volume: str | None = Field(default=None, description="Volume feature; else the tumour's mesh volume.")
    extra_blocks: dict[str, tuple[str, ...]] = Field(
        default_factory=dict, description="Your own blocks: NAME: columns, and features by name or pattern."
    )


def check(run: Run) -> FuseStageSettings:
    """Check the section before anything runs."""
    settings = parse_settings(FuseStageSettings, run.config.section("fuse"), "fuse")
    check_steps(settings.prepare, "fuse")
    return settings


def fuse(
    run: Run, *, endpoint: str | Sequence[str] | None = None, workers: int = 1, progress: Progress | None = None
) -> list[str]:
    """Run the fusion of every endpoint and write its tables, and return what to tell the user.

    Parameters
    ----------
    run : Run
        A run whose cohort is assembled; its phenotypes are used where they are there.
    endpoint : str or sequence of str, optional
        Endpoints instead of the config's.
    workers, progress
        As for :func:`imrad.execution.map_tasks`.
    """
    from imrad import cohort

    settings = check(run)
    data = cohort.read_cohort(run.folder / "cohort.h5ad")
    binary = blocks.binary_endpoints(data)
    known = [name.removesuffix("_event") for name in data.obs.columns if str(name).endswith("_event")] + binary
    names = [endpoint] if isinstance(endpoint, str) else list(endpoint or settings.endpoints or known)
    for name in names:
        if name not in known:
            message = f"unknown endpoint '{name}'{blocks.nearest(name, known)}; the cohort has {', '.join(known)}"
            raise ConfigError(message)
    if not names:
        message = "the cohort has no endpoint to fuse; name one where it is assembled, such as os=os_days,os_event"
        raise ConfigError(message)
    lines = []
    for name in names:
        one = _one_response if name in binary else _one
        lines += one(run, data, name, settings, workers, progress)
    return lines


def _inputs(run: Run, settings: FuseStageSettings) -> dict[str, str]:
    return {**run.outputs("assemble"), **run.outputs("phenotype"), **perturbed_digest(run, settings.perturbed)}


def _one(
    run: Run, data: AnnData, name: str, settings: FuseStageSettings, workers: int, progress: Progress | None
) -> list[str]:
    inputs = _inputs(run, settings)
    options = settings.model_dump(exclude={"perturbed", "endpoints", "response_models", "response_question"})
    with run.stage(f"fuse-{name}", settings=options, inputs=inputs, code=CODE) as stage:
        if stage.fresh:
            return [f"{name}: nothing to do"]
        from imrad.evaluation import CrossFitted
        from imrad.survival import SurvivalFusion

        preparation = make_preparation(data, settings.prepare, "fuse", "survival", seed=run.config.seed)
        splits = proof.read_splits(run)
        tables = _blocks(data, settings)
        own = {name: len(tables[name].columns) if name in tables else 0 for name in settings.extra_blocks}
        fusion = SurvivalFusion(
            _models(settings, own),
            study_tables=settings.study_tables,
            n_bootstrap=settings.n_bootstrap,
            horizons_days=settings.horizons_days,
            endpoint=name,
            seed=run.config.seed,
            workers=workers,
            store=stage.store,
            progress=progress,
            prepare=preparation.steps,
        )
        phenotype = CrossFitted(run.read("phenotype/crossfit.csv")) if run.has("phenotype/crossfit.csv") else None
        try:
            y = data.obs[[f"{name}_days", f"{name}_event"]].astype(float)
            result = fusion.run(
                y,
                tables,
                splits,
                phenotype,
                sites=_sites(data),
                subgroups=_subgroups(data),
                sides=preparation.sides,
                perturbed=perturbed_blocks(run, data, settings.perturbed, lambda other: _blocks(other, settings)),
            )
        except (FeasibilityError, TooFewEventsError) as error:
            stage.skip(str(error))
            return [f"{name}: skipped, {error}"]
        folder = f"survival/{name}"
        for table in TABLES:
            found = getattr(result, table, None)
            if isinstance(found, pd.DataFrame) and len(found.columns):
                stage.table(f"{folder}/{table}.csv", found)
        if len(preparation):
            stage.table(f"{folder}/funnel.csv", result.funnel)
            describe(stage, folder, preparation, blocks.features(data), splits)
        stage.json(f"{folder}/verdict.json", result.verdict)
        stage.plain(f"{folder}/models.zip", result.final)
        stage.json(f"{folder}/nomogram.json", _nomograms(result, settings.horizons_days, blocks.ordered_levels(data)))
        describe_scores(run, stage, data, name)
        proof.record(run, stage, result.ledger)
        write_results(run)
        others = write_external_survival(run, stage, data, name, result.final, settings.horizons_days)
        return [f"{name}: {result.verdict['sentence']}", *others]


def _one_response(
    run: Run, data: AnnData, name: str, settings: FuseStageSettings, workers: int, progress: Progress | None
) -> list[str]:
    inputs = _inputs(run, settings)
    options = settings.model_dump(
        exclude={"perturbed", "endpoints", "horizons_days", "comparison_models", "radscore", "models", "study_tables"}
    )
    with run.stage(f"fuse-{name}", settings=options, inputs=inputs, code=CODE) as stage:
        if stage.fresh:
            return [f"{name}: nothing to do"]
        from imrad.stages.responding import fuse_response

        return fuse_response(
            run,
            stage,
            data,
            name,
            lambda cohort: _blocks(cohort, settings),
            settings,
            subgroups=_subgroups(data),
            sites=_sites(data),
            workers=workers,
            progress=progress,
        )


def _models(settings: FuseStageSettings, own: Mapping[str, int]) -> list[BlockModel]:
    """Return the usual models, those for comparison, the config's, and those over its own blocks."""
    from imrad.survival.models import COMPARISON_MODELS, DEFAULT_MODELS, RADSCORE_MODEL, named_model
    from imrad.survival.own_models import with_own_blocks

    models = [*DEFAULT_MODELS, *(COMPARISON_MODELS if settings.comparison_models else ())]
    models += [RADSCORE_MODEL] if settings.radscore else []
    models += [
        named_model(name, model.blocks, model.learner, model.choice, model.cut)
        for name, model in settings.models.items()
    ]
    return with_own_blocks(models, own)


def _sites(data: AnnData) -> pd.Series[Any] | None:
    found = [name for name in ("site", "center", "centre", "hospital") if name in data.obs]
    return data.obs[found[0]].astype(object) if found else None


def _subgroups(data: AnnData) -> pd.DataFrame | None:
    """Return sex, stage, site and halves by the median age, where the cohort has them."""
    table = pd.DataFrame({name: data.obs[name].astype(object) for name in SUBGROUPS if name in data.obs})
    table.index = data.obs_names.astype(str)
    if "age_years" in data.obs:
        age = data.obs["age_years"].astype(float).to_numpy()
        middle = round(float(pd.Series(age).median())) if (age == age).any() else 0
        older = pd.Series(age >= middle, index=table.index).map({True: f"{middle} and over", False: f"under {middle}"})
        table["age"] = older.where(age == age)
    return table if len(table.columns) else None


def _nomograms(result: Any, horizons: Sequence[float], levels: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return what a calculator needs of each final model: axes, points, baseline hazards, category levels."""
    from imrad.survival.nomogram import survival_nomogram

    found: dict[str, Any] = {}
    if result.explanations.empty:
        return found
    for name, part in result.explanations.groupby("model", sort=False):
        final = result.final[name]
        if final["trees"] is not None:
            continue
        columns = list(dict.fromkeys(part["feature"]))
        coef = dict(zip(final["names"], final["coef"], strict=True))
        values = part.pivot(index="patient", columns="feature", values="value")[columns]
        longest = float(max(final["event_times"]))
        times = {f"{round(horizon / 365.25, 1):g}-year survival": horizon for horizon in horizons if horizon <= longest}
        try:
            drawn = survival_nomogram(
                columns,
                [coef[column] for column in columns],
                values.to_numpy(dtype=float),
                event_times=final["event_times"],
                hazard=final["baseline_hazard"],
                offset=float(final["offset"]),
                times=times,
                labels=levels,
            )
        except FitError:
            continue
        tables = {"axes": drawn.axes(), "outcome_axes": drawn.outcome_axes(), "totals": drawn.totals()}
        plain = {key: table.to_dict("records") for key, table in tables.items()}
        found[str(name)] = drawn.to_plain() | plain | {"n": len(values)}
    return found


def _blocks(data: AnnData, settings: FuseStageSettings) -> dict[str, pd.DataFrame]:
    found: dict[str, Any] = {
        "Clinical": blocks.clinical_block(data, settings.clinical),
        "Volume": blocks.volume_block(data, settings.volume),
        "Rad": blocks.features(data),
    }
    if "immune" in data.obsm:
        found["Immune"] = blocks.targets(data, settings.immune)
    for name, columns in settings.extra_blocks.items():
        found[name] = blocks.own_block(data, columns)
    found = blocks.with_missing(found, settings.missing)
    return {name: table for name, table in found.items() if not table.empty}
