"""results.h5ad: the cohort with its out-of-fold phenotypes and risks; cohort.h5ad stays as it was."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from imrad.run import Run

__all__ = ["write_results"]


def write_results(run: Run) -> None:
    """Write the out-of-fold values that the run has so far, first repeat, with the fold of each."""
    from imrad import cohort

    data = cohort.read_cohort(run.folder / "cohort.h5ad")
    if run.has("phenotype/predictions.csv"):
        table = run.read("phenotype/predictions.csv")
        table = table[table["repeat"] == 0].assign(
            name="Rad-" + table["target"], fold="r0/o" + table["fold"].astype(int).astype(str)
        )
        if len(table):
            cohort.attach_out_of_fold(data, "phenotype", *_wide(table, "probability"))
    parts = []
    for path in sorted((run.folder / "survival").glob("*/risk.csv")):
        table = run.read(str(path.relative_to(run.folder)))
        first = table["fold"].astype(str).str.startswith("r0/")
        parts.append(table[first].assign(name=path.parent.name + " " + table["model"]))
    for path in sorted((run.folder / "response").glob("*/predictions.csv")):
        table = run.read(str(path.relative_to(run.folder))).rename(columns={"probability": "risk"})
        first = table["fold"].astype(str).str.startswith("r0/")
        parts.append(table[first].assign(name=path.parent.name + " " + table["model"]))
    if parts:
        cohort.attach_out_of_fold(data, "risk", *_wide(pd.concat(parts), "risk"))
    cohort.write_cohort(data, run.folder / "results.h5ad")


def _wide(table: pd.DataFrame, values: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    wide = table.pivot(index="patient", columns="name", values=[values, "fold"])
    return pd.DataFrame(wide[values]).astype(float), pd.DataFrame(wide["fold"])
