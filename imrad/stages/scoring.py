"""Score: immune targets of every patient, from expression, mutations and published tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from pydantic import Field

from imrad import content
from imrad.config import parse_settings
from imrad.exceptions import ConfigError, ScoreError
from imrad.immune.settings import ImmuneSettings

if TYPE_CHECKING:
    from imrad.execution import Progress, Store
    from imrad.immune.scores import ImmuneScores
    from imrad.run import Run, Stage

__all__ = ["ScoreStageSettings", "check", "files", "score"]

CODE = ("imrad.stages.scoring", "imrad.immune")

PUBLISHED = ("cell:", "MSI", "mut:", "cibersort_")
"""Columns of a published table that are taken; what is computed here is not taken twice."""


class ScoreStageSettings(ImmuneSettings):
    """The immune room's settings, and the files it reads; those that fetch wrote need no name."""

    expression: str | None = Field(default=None, description="Expression matrix, or a folder of GDC STAR files.")
    maf: str | None = Field(default=None, description="MAF file, or a folder of them.")
    msi: str | None = Field(default=None, description="MANTIS or MSIsensor table.")
    published: str | None = Field(default=None, description="Published scores: patient, then a column a target.")


def check(run: Run) -> ScoreStageSettings:
    """Check the section before anything runs.

    Raises
    ------
    ConfigError
        If a key is unknown or nothing to score is named.
    """
    settings = parse_settings(ScoreStageSettings, run.config.section("score"), "score")
    if run.config.fetch is None and not (settings.expression or settings.maf or settings.published):
        message = "score needs expression, maf or published (files), or the section fetch in the config"
        raise ConfigError(message)
    return settings


def _sources(run: Run, settings: ScoreStageSettings) -> dict[str, Path]:
    raw = run.folder / "raw"
    fetched = {"expression": raw / "expression", "maf": raw / "mutations", "published": raw / "immune.csv"}
    found = {}
    for name in ("expression", "maf", "msi", "published"):
        given = getattr(settings, name)
        path = run.path(given) if given else fetched.get(name)
        if path is not None and (given or path.exists()):
            if not path.exists():
                message = f"score.{name}: {path} is not there"
                raise ConfigError(message)
            found[name] = path
    return found


def score(run: Run, *, workers: int = 1, progress: Progress | None = None) -> list[str]:
    """Write immune.csv and the tables beside it, and return what to tell the user."""
    settings = check(run)
    sources = _sources(run, settings)
    inputs = {name: _digest(path) for name, path in sources.items()}
    with run.stage("score", settings=settings.model_dump(), inputs=inputs, code=CODE) as stage:
        if stage.fresh:
            return ["nothing to do"]
        done, messages = None, []
        if "expression" in sources:
            try:
                done = _computed(settings, sources, run.config.seed, workers, stage.store, progress)
            except ScoreError as error:
                if "published" not in sources:
                    raise
                messages.append(f"nothing was scored from the expression files: {error}")
        mutations = None
        if settings.mutations and "maf" not in sources:
            message = f"score.mutations names {', '.join(settings.mutations)}, and there is no MAF file; name score.maf"
            raise ConfigError(message)
        if done is None and "maf" in sources:
            mutations = _from_maf(settings, sources["maf"])
        table = _joined(done, sources.get("published"), mutations)
        stage.table("immune.csv", table)
        messages += list(done.messages) if done is not None else []
        if done is not None:
            _beside(stage, done, table)
        stage.json("score/messages.json", messages)
        return [f"{len(table)} patients x {len(table.columns) - 1} columns", *(f"  {text}" for text in messages)]


def _digest(path: Path) -> str:
    if path.is_dir():
        return content.digest(
            {member.name: content.digest_file(member) for member in path.rglob("*") if member.is_file()}
        )
    return content.digest_file(path)


def _computed(
    settings: ScoreStageSettings,
    sources: dict[str, Path],
    seed: int,
    workers: int,
    store: Store | None,
    progress: Progress | None,
) -> ImmuneScores:
    from imrad import immune

    options = settings.model_dump(exclude={"expression", "maf", "msi", "published", "p_rule", "mutations", "methods"})
    if settings.mutations:
        wanted = [f"mut:{name}" for name in settings.mutations]
        options["variant_classes"] = options["variant_classes"] or immune.NON_SILENT
    else:
        wanted = []
    done: ImmuneScores = immune.score(
        sources["expression"],
        settings.methods,
        **{name: value for name, value in options.items() if name != "gene_sets"},
        gene_sets=settings.gene_sets,
        maf=sources.get("maf"),
        maf_patients=_sheet(sources.get("maf")),
        msi=sources.get("msi"),
        seed=seed,
        workers=workers,
        store=store,
        progress=progress,
    )
    if settings.p_rule == "exclude":
        done = immune.apply_p_rule(done, settings.p_rule)
    if wanted and "maf" in sources:
        named = _sheet(sources["maf"])
        table = immune.mutated_genes(sources["maf"], settings.mutations, patients=named).reindex(done.scores.index)
        done = done.replaced(scores=pd.concat([done.scores, table], axis=1))
    return done


def _from_maf(settings: ScoreStageSettings, maf: Path) -> pd.DataFrame:
    """Return TMB and mutated genes where there is no expression matrix to go with them."""
    from imrad import immune

    options: dict[str, Any] = {"classes": settings.variant_classes or immune.NON_SILENT, "patients": _sheet(maf)}
    burden = immune.tmb_from_maf(maf, exome_mb=settings.exome_mb, **options)[["TMB"]]
    genes: pd.DataFrame = immune.mutated_genes(maf, settings.mutations, **options)
    joined: pd.DataFrame = pd.concat([burden, genes], axis=1)
    return joined


def _sheet(maf: Path | None) -> dict[str, str] | None:
    """Return the patient of each file by the GDC's sample sheet; a file without a variant names nobody."""
    path = None if maf is None else maf / "gdc_sample_sheet.tsv"
    if path is None or not path.is_file():
        return None
    sheet = pd.read_csv(path, sep="\t", dtype=str)
    return dict(zip(sheet["File Name"], sheet["Case ID"], strict=True))


def _joined(done: ImmuneScores | None, published: Path | None, mutations: pd.DataFrame | None = None) -> pd.DataFrame:
    parts: list[pd.DataFrame] = []
    if published is not None:
        parts.append(_published(published))
    if mutations is not None:
        # A patient's own table goes before the MAF, gene by gene.
        have = set(parts[0].columns) if parts else set()
        parts.append(mutations[[name for name in mutations.columns if name not in have]])
    if done is not None:
        fit = done.fit.add_prefix("cibersort_").rename(columns={"cibersort_p_value": "cibersort_p"})
        scored = pd.concat([done.scores, fit], axis=1)
        taken = set(parts[0].columns) if parts else set()
        fractions = any(str(name).startswith("cell:") for name in taken)
        keep = [
            name
            for name in scored.columns
            if name not in taken and not (fractions and str(name).startswith(("cell:", "cibersort_")))
        ]
        parts.append(scored[keep])
    joined = pd.concat(parts, axis=1)
    return joined.rename_axis("patient").reset_index()


def _published(path: Path) -> pd.DataFrame:
    """Return the published columns; fractions as numbers, since they are compared with what is computed here."""
    from imrad import cohort

    table = cohort.read_table(path)
    if "patient" not in table.columns:
        message = f"{path} has the columns {', '.join(table.columns[:5])}; call the one that names the patients patient"
        raise ConfigError(message)
    table = table.set_index("patient")
    if table.index.has_duplicates:
        message = f"{path} has several rows for {table.index[table.index.duplicated()][0]}; keep one row per patient"
        raise ConfigError(message)
    table = table[[name for name in table.columns if str(name).startswith(PUBLISHED)]]
    for name in table.columns:
        numbers, wrong = cohort.to_numbers(table[name])
        if not wrong.any():
            table = table.assign(**{name: numbers})
        elif str(name).startswith("cell:"):
            message = (
                f"{path} holds {table.loc[wrong, name].iloc[0]!r} in {name} for {wrong.sum()} patients; "
                "correct it or leave it empty"
            )
            raise ConfigError(message)
    return table


def _beside(stage: Stage, done: ImmuneScores, table: pd.DataFrame) -> None:
    from imrad import immune

    stage.table("score/coverage.csv", done.coverage)
    stage.table("score/scores.csv", done.scores.rename_axis("sample").reset_index())
    rows = []
    first = table.set_index("patient")
    others: dict[str, Any] = {**done.second, "computed here": done.scores}
    for name, second in others.items():
        shared = [column for column in second.columns if str(column).startswith("cell:")]
        if shared and len(first.index.intersection(second.index)) > 2:
            found = immune.agreement(first, second[shared])
            if len(found):
                rows.append(found.assign(second=name))
    if rows:
        stage.table("score/agreement.csv", pd.concat(rows, ignore_index=True))


def files(
    expression: Path | None,
    *,
    methods: Sequence[str],
    signature: Path | None,
    maf: Sequence[Path],
    output: Path,
    workers: int = 1,
    progress: Progress | None = None,
) -> list[str]:
    """Score a user's own matrix (or MAF files alone), and write one row a patient."""
    from imrad import immune

    if expression is None:
        table, messages = immune.tmb_from_maf(list(maf)), []
    else:
        done = immune.score(
            expression,
            list(methods),
            signature=signature,
            maf=list(maf) or None,
            genes=(),
            n_permutations=100 if "cibersort" in methods else 0,
            workers=workers,
            progress=progress,
        )
        fit = done.fit.add_prefix("cibersort_").rename(columns={"cibersort_p_value": "cibersort_p"})
        table, messages = pd.concat([done.scores, fit], axis=1), list(done.messages)
    with content.write_atomically(output) as temporary:
        table.rename_axis("patient").reset_index().to_csv(temporary, index=False, lineterminator="\n")
    return [f"{output}: {len(table)} patients x {len(table.columns)} columns", *(f"  {text}" for text in messages)]
