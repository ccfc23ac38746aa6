"""Assemble: join everything into one cohort.h5ad, name every loss, draw the splits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from imrad import content
from imrad.cohort.delta import DeltaSettings
from imrad.config import parse_settings
from imrad.exceptions import ConfigError, InputError
from imrad.stages.description import describe, describe_responses
from imrad.stages.excluding import ShortFollowUp, exclude_short
from imrad.stages.picturing import add_maps, map_digests
from imrad.stages.readers import add_readers, reader_agreement
from imrad.stages.setting_apart import HOLDOUT, check_external, external_cohort, set_apart, standin_options

if TYPE_CHECKING:
    from anndata import AnnData

    from imrad.run import Run, Stage

__all__ = ["AssembleSettings", "SplitSettings", "assemble", "check", "files"]

CODE = (
    "imrad.stages.excluding",
    *("imrad.stages.assembly", "imrad.stages.setting_apart", "imrad.stages.readers", "imrad.stages.description"),
    *("imrad.stages.blocks", "imrad.cohort", "imrad.datasets", "imrad.evaluation.agreement"),
    *("imrad.stages.picturing", "imrad.radiomics.deep.ready_maps", "imrad.radiomics.deep.maps"),
    *("imrad.evaluation.splits", "imrad.evaluation.kaplan_meier"),
)


class SplitSettings(BaseModel):
    """How patients are split; the table is drawn once and serves every target and endpoint."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str | None = Field(default=None, description="Your own splits.csv instead of a draw.")
    outer: int = Field(default=5, ge=2, description="Outer folds.")
    inner: int = Field(default=5, ge=2, description="Inner folds within each outer training part.")
    repeats: int = Field(
        default=5, ge=1, description="Repeats of the nested cross-validation, each with other folds; 1 is quick."
    )
    holdout: float = Field(
        default=0.0, ge=0.0, le=0.5, description="Share of patients set aside as an internal test set, in no fit."
    )


class ExternalSettings(BaseModel):
    """Another centre's patients, assembled as the cohort is and in no fit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    standin: dict[str, Any] | None = Field(default=None, description="A stand-in's other cohort: study, cohort, size.")
    synthetic: dict[str, Any] | None = Field(default=None, description="Arguments of make_cohort.")
    cohort: str | None = Field(default=None, description="An existing cohort.h5ad.")
    radiomics: str | None = Field(default=None, description="Feature table.")
    immune: str | None = Field(default=None, description="Target table.")
    clinical: str | None = Field(default=None, description="Clinical table.")
    columns: dict[str, str] = Field(
        default_factory=dict, description="Names in the cohort: this centre's columns, where they differ."
    )


class AssembleSettings(BaseModel):
    """Where the cohort comes from: an embedded or synthetic one, your own h5ad, or tables to join."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str | None = Field(default=None, description="An embedded cohort: tcga_blca.")
    synthetic: dict[str, Any] | None = Field(default=None, description="Arguments of make_cohort.")
    standin: dict[str, Any] | None = Field(default=None, description="A stand-in of a published study: study, size.")
    cohort: str | None = Field(default=None, description="An existing cohort.h5ad.")
    radiomics: str | None = Field(default=None, description="Feature table; else what extract wrote.")
    immune: str | None = Field(default=None, description="Target table; else what score wrote.")
    clinical: str | None = Field(default=None, description="Clinical table; else what fetch wrote.")
    maps: str | None = Field(
        default=None,
        description="Maps of relevance that came with ready-made vectors, for the report: patient, image, map (in "
        "[0, 1]), and mask, case.",
    )
    endpoints: dict[str, str] = Field(
        default_factory=dict, description="NAME: TIME_COLUMN,EVENT_COLUMN, or START,EVENT_DATE|EVENT_DATE,LAST."
    )
    aggregation: str | None = Field(default=None, description="How several rows of a patient become one.")
    delta: DeltaSettings | None = Field(default=None, description="Changes between two time points as features.")
    reader: str | None = Field(default=None, description="Whose features are X; the others' are in obsm reader_2, ...")
    on_missing: dict[str, Literal["drop", "keep", "refuse"]] = Field(
        default_factory=dict, description="What becomes of patients without clinical, immune or endpoint data."
    )
    columns: dict[str, str] = Field(default_factory=dict, description="Names in the cohort: your clinical columns.")
    derive: dict[str, str] = Field(
        default_factory=dict,
        description="New clinical columns: NAME: A / B (or - + *), mean(A, B) or consensus(A, B) of two readers.",
    )
    external: dict[str, ExternalSettings] = Field(
        default_factory=dict, description="Other centres, judged by the final models and in no fit: NAME: where from."
    )
    readers: dict[str, str] = Field(
        default_factory=dict, description="Features of further readers: NAME: table, such as reader_2: second.csv."
    )
    short_follow_up: ShortFollowUp | None = Field(
        default=None, description="Leave out patients of short follow-up: endpoint, days, who; the bias is shown."
    )
    splits: SplitSettings = Field(default=SplitSettings(), description="Folds.")


def check(run: Run) -> AssembleSettings:
    """Check the section before anything runs.

    Raises
    ------
    ConfigError
        If a key is unknown or several sources are named.
    """
    settings = parse_settings(AssembleSettings, run.config.section("assemble"), "assemble")
    named = [name for name in ("dataset", "synthetic", "standin", "cohort") if getattr(settings, name) is not None]
    if len(named) > 1:
        message = f"assemble names several sources ({', '.join(named)}); name one"
        raise ConfigError(message)
    check_external(settings)
    return settings


def assemble(run: Run) -> list[str]:
    """Write cohort.h5ad, attrition.csv and splits.csv, and return what to tell the user."""
    settings = check(run)
    inputs = _inputs(run, settings)
    with run.stage("assemble", settings=settings.model_dump(), inputs=inputs, code=CODE) as stage:
        if stage.fresh:
            return ["nothing to do"]
        from imrad import cohort

        data = _cohort(run, settings)
        add_readers(data, {name: run.path(given) for name, given in settings.readers.items()})
        tables: dict[str, pd.DataFrame] = {}
        if settings.short_follow_up is not None:
            data, tables = exclude_short(data, settings.short_follow_up)
        cohort.derive_columns(data, settings.derive)
        data, apart = set_apart(data, settings.splits.holdout, run.config.seed)
        cohort.validate(data)
        cohort.write_cohort(data, run.folder / "cohort.h5ad")
        stage.wrote("cohort.h5ad", cohort.cohort_digest(data))
        attrition = data.uns["imrad"]["attrition"]
        stage.table("attrition.csv", attrition)
        _splits(run, stage, settings.splits, data)
        others = {name: external_cohort(run, settings, name, data, _join) for name in settings.external}
        unseen = {**({HOLDOUT: apart} if apart is not None else {}), **others}
        for name, other in unseen.items():
            cohort.write_cohort(other, run.folder / f"external/{name}.h5ad")
            stage.wrote(f"external/{name}.h5ad", cohort.cohort_digest(other))
        describe(stage, data)
        describe_responses(stage, {"training": data, **unseen})
        for name, table in tables.items():
            stage.table(f"cohort/{name}.csv", table)
        stage.table("cohort/agreement.csv", reader_agreement(data.obs, settings.derive))
        lines = [f"{name}: {other.n_obs} patients, in no fit" for name, other in others.items()]
        lines += add_maps(run, stage, settings, [str(name) for name in data.obs_names])
        return [f"{data.n_obs} patients x {data.n_vars} features", *_losses(attrition), *lines]


def files(
    *,
    radiomics: Path,
    immune: Path | None,
    clinical: Path | None,
    endpoints: Sequence[str],
    aggregation: str | None,
    output: Path,
    delta: str | None = None,
) -> list[str]:
    """Join a user's own tables into one cohort file.

    Raises
    ------
    ConfigError
        If `delta` is not two time points with a comma between.
    """
    from imrad import cohort

    change = None
    if delta is not None:
        earlier, _, later = (part.strip() for part in delta.partition(","))
        if not earlier or not later or earlier == later:
            message = f"--delta is '{delta}'; name two time points, such as pre,post"
            raise ConfigError(message)
        change = DeltaSettings.model_validate({"from": earlier, "to": later})
    data = _join(radiomics, immune, clinical, list(endpoints), {"aggregation": aggregation, "delta": change}, {}, None)
    cohort.write_cohort(data, output)
    return [f"{output}: {data.n_obs} patients x {data.n_vars} features", *_losses(data.uns["imrad"]["attrition"])]


def _losses(attrition: pd.DataFrame) -> list[str]:
    lost = attrition[attrition["n_out"] < attrition["n_in"]]
    return [f"  {row.step}: {row.n_in} -> {row.n_out} ({row.reason})" for row in lost.itertuples()]


def _inputs(run: Run, settings: AssembleSettings) -> dict[str, str]:
    found = {}
    for name in ("cohort", "radiomics", "immune", "clinical"):
        given = getattr(settings, name)
        if given is not None:
            found[name] = _digest_file(run.path(given))
    for centre, where in settings.external.items():
        for name in ("cohort", "radiomics", "immune", "clinical"):
            given = getattr(where, name)
            if given is not None:
                found[f"{centre}/{name}"] = _digest_file(run.path(given))
    for name, given in settings.readers.items():
        found[f"reader {name}"] = _digest_file(run.path(given))
    if settings.maps is not None:
        found |= map_digests(run.path(settings.maps))
    if settings.splits.file is not None:
        found["splits"] = _digest_file(run.path(settings.splits.file))
    for stage in ("fetch", "extract", "score"):
        found[stage] = content.digest(run.outputs(stage))
    return found


def _digest_file(path: Path) -> str:
    if not path.is_file():
        message = f"{path} is not there"
        raise InputError(message)
    return content.digest_file(path)


def _cohort(run: Run, settings: AssembleSettings) -> AnnData:
    from imrad import cohort, datasets

    if settings.dataset is not None:
        if settings.dataset != "tcga_blca":
            message = f"no embedded cohort '{settings.dataset}'; there is tcga_blca"
            raise ConfigError(message)
        return datasets.load_tcga_blca()
    if settings.synthetic is not None:
        return datasets.make_cohort(**{"seed": run.config.seed, **settings.synthetic})
    if settings.standin is not None:
        return datasets.standin(**{**standin_options(run, settings), **settings.standin})
    if settings.cohort is not None:
        return cohort.read_cohort(run.path(settings.cohort))
    radiomics = run.path(settings.radiomics) if settings.radiomics else _written(run, "features.csv", "extract")
    immune = run.path(settings.immune) if settings.immune else _optional(run, "immune.csv")
    clinical = run.path(settings.clinical) if settings.clinical else _optional(run, "clinical.csv")
    endpoints = [f"{name}={text}" if text else name for name, text in settings.endpoints.items()]
    before, policy = _earlier(run), dict(settings.on_missing) or None
    rows = {"aggregation": settings.aggregation, "delta": settings.delta, "reader": settings.reader}
    return _join(radiomics, immune, clinical, endpoints, rows, settings.columns, before, policy)


def _earlier(run: Run) -> pd.DataFrame | None:
    """Return the losses of the stages before this one."""
    found = [run.read(name) for name in ("raw/attrition.csv", "extract/attrition.csv") if run.has(name)]
    return pd.concat(found, ignore_index=True).fillna({"reason": ""}) if found else None


def _written(run: Run, name: str, stage: str) -> Path:
    path = run.folder / name
    if not path.exists():
        message = f"assemble needs radiomic features: name assemble.radiomics, or add the section {stage} to the config"
        raise ConfigError(message)
    return path


def _optional(run: Run, name: str) -> Path | None:
    path = run.folder / name
    return path if path.exists() else None


def _join(
    radiomics: Path,
    immune: Path | None,
    clinical: Path | None,
    endpoints: list[str],
    rows: dict[str, Any],
    columns: dict[str, str],
    before: pd.DataFrame | None,
    on_missing: dict[str, Any] | None = None,
) -> AnnData:
    from imrad import cohort
    from imrad import radiomics as room

    if clinical is None:
        message = "assemble needs a clinical table: one row a patient, with the columns of the endpoints"
        raise ConfigError(message)
    features = cohort.read_table(radiomics)
    names = cohort.feature_columns(features)
    try:
        var: pd.DataFrame | None = room.feature_table(names)
    except KeyError:
        # The user's own or deep features: the cohort reads from their names what they tell.
        var = None
    return cohort.assemble(
        features,
        cohort.read_table(clinical),
        None if immune is None else cohort.read_table(immune),
        endpoints=endpoints,
        **rows,
        var=var,
        mapping=columns or None,
        on_missing=on_missing,
        attrition=before,
        provenance={"radiomics": radiomics.name, "clinical": clinical.name, "immune": immune.name if immune else ""},
    )


def _splits(run: Run, stage: Stage, settings: SplitSettings, data: AnnData) -> None:
    from imrad.evaluation import SplitTable, draw_splits

    patients = [str(name) for name in data.obs_names]
    if settings.file is not None:
        splits = SplitTable(pd.read_csv(run.path(settings.file), dtype={"patient": str}))
        if sorted(splits.patients) != sorted(patients):
            message = f"{settings.file} does not name exactly the {len(patients)} patients of the cohort"
            raise InputError(message)
    else:
        splits = draw_splits(
            patients,
            _strata(data),
            seed=run.config.seed,
            n_outer=settings.outer,
            n_inner=settings.inner,
            n_repeats=settings.repeats,
        )
    stage.table("splits.csv", splits.table)


def _strata(data: AnnData) -> list[Any]:
    endpoints = data.uns["imrad"].get("endpoints")
    if endpoints is not None and len(endpoints):
        first = str(endpoints["name"].iloc[0])
        outcome = data.obs[f"{first}_event" if f"{first}_event" in data.obs else first]
        return list(outcome.astype(float).fillna(-1.0))
    return list(data.obs["response"]) if "response" in data.obs else [0] * data.n_obs
