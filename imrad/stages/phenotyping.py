"""Phenotype: the grid of selectors by classifiers on the targets, with its noise and its ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import Field

from imrad.config import parse_settings
from imrad.exceptions import FeasibilityError
from imrad.phenotype.settings import PhenotypeSettings
from imrad.stages import blocks, proof
from imrad.stages.prepare_settings import PrepareList, check_steps
from imrad.stages.prepare_tables import describe
from imrad.stages.preparing import make_preparation
from imrad.stages.rehearsing import share_compiling
from imrad.stages.results import write_results

if TYPE_CHECKING:
    from imrad.execution import Progress
    from imrad.run import Run

__all__ = ["PhenotypeStageSettings", "check", "phenotype"]

CODE = (
    *(
        "imrad.stages.phenotyping",
        "imrad.stages.blocks",
        "imrad.stages.preparing",
        "imrad.stages.prepare_tables",
        "imrad.phenotype",
    ),
    *("imrad.evaluation", "imrad.seeds", "imrad.radiomics.robustness", "imrad.radiomics.harmonise"),
)

TABLES = (
    *("grid", "summary", "predictions", "feasibility", "stability", "null", "controls", "published"),
    *("optimism", "ablation", "study_table", "agreement", "inner"),
)


class PhenotypeStageSettings(PhenotypeSettings):
    """The grid's settings, and which columns of the cohort it reads."""

    targets: str | tuple[str, ...] = Field(default="all", description="Target names, or all.")
    volume: str | None = Field(default=None, description="Volume feature; else the tumour's mesh volume.")
    clinical: tuple[str, ...] | None = Field(default=None, description="Clinical columns of the clinical-only row.")
    prepare: PrepareList = Field(default=(), description="Steps on the features, in order, fitted in every fold.")


def check(run: Run, changes: Mapping[str, Any] | None = None) -> PhenotypeStageSettings:
    """Check the section before anything runs."""
    values = {**run.config.section("phenotype"), **(changes or {})}
    settings = parse_settings(PhenotypeStageSettings, values, "phenotype")
    check_steps(settings.prepare, "phenotype", "classes")
    return settings


def phenotype(
    run: Run,
    *,
    target: str | Sequence[str] | None = None,
    changes: Mapping[str, Any] | None = None,
    workers: int = 1,
    cluster: str | None = None,
    progress: Progress | None = None,
) -> list[str]:
    """Run the grid and write its tables, and return what to tell the user.

    Parameters
    ----------
    run : Run
        A run whose cohort is assembled.
    target : str or sequence of str, optional
        Targets instead of the config's; ``all`` for every one.
    changes : mapping, optional
        Settings instead of the config's.
    workers, cluster, progress
        As for :func:`imrad.execution.map_tasks`.
    """
    given = {"targets": (target,) if isinstance(target, str) else tuple(target)} if target else {}
    settings = check(run, {**(changes or {}), **given})
    wanted = None if settings.targets in ("all", ("all",)) else settings.targets
    inputs = run.outputs("assemble")
    with run.stage("phenotype", settings=settings.model_dump(), inputs=inputs, code=CODE) as stage:
        if stage.fresh:
            return ["nothing to do"]
        from imrad import cohort
        from imrad.phenotype import PhenotypeGrid

        data = cohort.read_cohort(run.folder / "cohort.h5ad")
        Y = blocks.targets(data, [wanted] if isinstance(wanted, str) else wanted)
        volume = blocks.volume_block(data, settings.volume)
        clinical = blocks.clinical_block(data, settings.clinical)
        own = ("targets", "volume", "clinical", "prepare")
        names = [str(name) for name in Y.columns]
        seed = run.config.seed
        preparation = make_preparation(data, settings.prepare, "phenotype", "classes", seed=seed, targets=names)
        splits = proof.read_splits(run)
        if settings.engine == "imrad" and cluster is None:
            fusion = run.config.fuse is not None
            share_compiling(settings.classifiers, fusion=fusion, workers=workers, progress=progress)
        grid = PhenotypeGrid(
            **{name: value for name, value in settings.parameters().items() if name not in own},
            prepare=preparation.steps,
            seed=seed,
            workers=workers,
            cluster=cluster,
            store=stage.store,
            progress=progress,
        )
        result = grid.run(
            blocks.features(data),
            Y,
            splits,
            volume=None if volume.empty else volume.iloc[:, 0],
            clinical=None if clinical.empty else clinical,
            sides=preparation.sides,
        )
        if target and (result.summary["status"] == "skipped").all():
            reasons = "; ".join(f"{row.target}: {row.reason}" for row in result.summary.itertuples())
            message = f"the targets asked for cannot carry the question ({reasons})"
            raise FeasibilityError(message)
        for name in TABLES:
            stage.table(f"phenotype/{name}.csv", getattr(result, name))
        if len(preparation):
            stage.table("phenotype/funnel.csv", result.funnel)
            describe(stage, "phenotype", preparation, blocks.features(data), splits)
        stage.table("phenotype/crossfit.csv", result.crossfit.table)
        for name, bundle in result.bundles.items():
            stage.plain(f"phenotype/models/{_slug(name)}.zip", bundle)
        proof.record(run, stage, result.ledger)
        write_results(run)
        return _lines(result.summary)


def _slug(name: str) -> str:
    from imrad.run import slug

    return slug(name)


def _lines(summary: Any) -> list[str]:
    counts = summary["status"].value_counts()
    told = ", ".join(f"{counts[name]} {name.replace('_', ' ')}" for name in counts.index)
    claimed = summary[summary["status"] == "claimed"]
    lines = [f"{len(summary)} targets: {told}"]
    drawn = summary.loc[summary["status"] != "skipped", "permutations"].astype(int)
    if len(drawn):
        least, most = int(drawn.min()), int(drawn.max())
        told = f"{most}" if least == most else f"{least} to {most}"
        lines.append(f"permutations used: {told} a target")
    lines += [f"  {row.target}: AUC {row.auc:.3f}, q {row.q_fdr:.3g}" for row in claimed.itertuples()]
    return lines
