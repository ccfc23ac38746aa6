"""Fuse a binary endpoint, such as response: the same splits and the same proof as for survival."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import pandas as pd

from imrad.exceptions import FeasibilityError
from imrad.stages import proof
from imrad.stages.results import write_results

if TYPE_CHECKING:
    from anndata import AnnData

    from imrad.execution import Progress
    from imrad.run import Run, Stage

__all__ = ["fuse_response"]

TABLES = (
    *("models", "coefficients", "pairs", "operating", "indices", "calibration", "net_benefit", "folds"),
    *("reclassification", "univariable"),
)


def fuse_response(
    run: Run,
    stage: Stage,
    data: AnnData,
    name: str,
    blocks: Callable[[AnnData], Mapping[str, pd.DataFrame]],
    *,
    n_bootstrap: int,
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
    n_bootstrap : int
        Resamples.
    workers, progress
        As for :func:`imrad.execution.map_tasks`.
    """
    from imrad.evaluation import CrossFitted
    from imrad.survival import BinaryFusion

    fusion = BinaryFusion(
        n_bootstrap=n_bootstrap,
        endpoint=name,
        seed=run.config.seed,
        workers=workers,
        store=stage.store,
        progress=progress,
    )
    phenotype = CrossFitted(run.read("phenotype/crossfit.csv")) if run.has("phenotype/crossfit.csv") else None
    outcome = data.obs[name].astype(float)
    outcome.index = outcome.index.astype(str)
    try:
        result = fusion.run(outcome, blocks(data), proof.read_splits(run), phenotype)
    except FeasibilityError as error:
        stage.skip(str(error))
        return [f"{name}: skipped, {error}"]
    folder = f"response/{name}"
    for table in TABLES:
        found = getattr(result, table)
        if len(found.columns):
            stage.table(f"{folder}/{table}.csv", found)
    stage.table(f"{folder}/predictions.csv", result.probability)
    stage.json(f"{folder}/verdict.json", result.verdict)
    stage.plain(f"{folder}/models.zip", result.final)
    stage.json(f"{folder}/nomogram.json", result.nomograms)
    proof.record(run, stage, result.ledger)
    write_results(run)
    return [f"{name}: {result.verdict['sentence']}"]
