"""Apply: an exported model on another cohort; nothing is fitted, and strangers among the patients are named."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from imrad import __version__, content
from imrad.exceptions import ConfigError
from imrad.stages.aggregates import SMALL, refuse_rows, without_small
from imrad.stages.exporting import open_bundle
from imrad.stages.likeness import clinical_shift, strangers
from imrad.stages.model_inputs import apply_phenotypes, medians
from imrad.stages.newcomers import measure
from imrad.stages.preparing import sides_of
from imrad.stages.responses import judge_responses
from imrad.stages.survivals import judge_survival

if TYPE_CHECKING:
    from anndata import AnnData

    from imrad.execution import Progress

__all__ = ["apply"]


def apply(
    bundle: str | Path,
    new_cohort: str | Path | None,
    output: str | Path,
    *,
    cases: str | Path | None = None,
    clinical: str | Path | None = None,
    immune: str | Path | None = None,
    endpoints: Sequence[str] = (),
    columns: Mapping[str, str] | None = None,
    weights: str | Path | None = None,
    digest: str | None = None,
    aggregate_only: bool = False,
    recalibrate: bool = False,
    workers: int = 1,
    progress: Progress | None = None,
) -> list[str]:
    """Predict phenotypes and risks of a new cohort, judge them where outcomes are known, and write tables.

    Parameters
    ----------
    bundle : path-like
        What :func:`imrad.stages.exporting.export` wrote.
    new_cohort : path-like, optional
        cohort.h5ad of the other hospital; or `cases`.
    output : path-like
        Folder of the tables.
    cases, clinical, immune, endpoints, columns, weights
        Images and sheets instead, measured by the settings in the bundle; see
        :func:`imrad.stages.newcomers.measure`.
    digest : str, optional
        What export printed; another content is refused.
    aggregate_only : bool
        Write no row of a patient.
    recalibrate : bool
        Shift the baseline hazard so that expected equal observed events; ranks are as before.
    workers, progress
        As for :func:`imrad.execution.map_tasks`; of the extraction.

    Raises
    ------
    BundleError
        If the bundle is altered or unsafe.
    ConfigError
        If only aggregates are asked for and there are too few patients, or patients' rows lie in `output`;
        or if not exactly one of `new_cohort` and `cases` is given.
    InputError
        If nothing of `cases` could be measured.
    """
    from imrad import cohort
    from imrad.execution import single_thread

    if (new_cohort is None) == (cases is None):
        message = "apply needs either --cohort with a cohort.h5ad, or --cases with a table of images and masks"
        raise ConfigError(message)
    if cases is None and (clinical is not None or immune is not None or endpoints or columns):
        message = (
            "--clinical, --immune, --endpoint and --column belong to --cases; a cohort.h5ad holds its clinical data"
        )
        raise ConfigError(message)
    value = open_bundle(bundle, digest)
    folder = Path(output)
    lines: list[str] = []
    found = None
    if cases is not None:
        options: dict[str, Any] = {"endpoints": endpoints, "columns": columns, "weights": weights}
        found = measure(value, cases, clinical, immune, **options, workers=workers, progress=progress)
        lines += found.lines
    data = cohort.read_cohort(str(new_cohort)) if found is None else found.data
    if aggregate_only:
        refuse_rows(folder, data.n_obs)
    elif found is not None:
        _write(folder / "measured.csv", found.features)
        _write(folder / "failures.csv", found.failures)
    with single_thread():
        return lines + _apply(value, data, folder, aggregate_only=aggregate_only, recalibrate=recalibrate)


def _apply(
    value: Mapping[str, Any], data: AnnData, folder: Path, *, aggregate_only: bool, recalibrate: bool
) -> list[str]:
    from imrad.stages import blocks

    features = blocks.features(data)
    patients, seen = strangers(value["features"], features, value["joint"])
    sides = sides_of(data, value["levels"])
    middle = medians(value["features"])
    phenotypes, percentiles, unusable = apply_phenotypes(value["phenotypes"], features, sides, middle)
    sources = {"features": features, "ImRad": phenotypes, "medians": middle}
    clinical, lines = clinical_shift(value["clinical"], data, name_classes=not aggregate_only)
    n_strange = int(patients["out_of_distribution"].sum())
    n_apart = int((patients["distance"] > value["joint"].get("limit", np.inf)).sum())
    beyond = int((~(patients["share_outside"] <= value["features"]["limit"])).sum())
    lines.insert(
        0,
        f"{data.n_obs} patients; {n_strange} out of distribution ({beyond} with more than "
        f"{value['features']['limit']:.0%} of their features beyond the training cohort's 0.5 to 99.5 % range, "
        f"{n_apart} farther off than 99 % of it in the features that the models use)",
    )
    absent = seen.loc[seen["missing"] == 1, "feature"].tolist()
    if absent:
        lines.append(f"{len(absent)} features of the training cohort are missing, among them {absent[0]}")
    lines += [f"phenotype {name} not applied: {reason}" for name, reason in unusable.items()]
    _write(folder / "feature_shift.csv", without_small(seen, data.n_obs) if aggregate_only else seen)
    _write(folder / "clinical_shift.csv", without_small(clinical, data.n_obs) if aggregate_only else clinical)
    if not aggregate_only:
        _write(folder / "patients.csv", patients)
        if len(phenotypes.columns):
            both = {"probability": phenotypes, "percentile": percentiles}
            long = {name: table.rename_axis("patient").reset_index() for name, table in both.items()}
            melted = [table.melt("patient", var_name="phenotype", value_name=name) for name, table in long.items()]
            _write(folder / "phenotypes.csv", melted[0].merge(melted[1], on=["patient", "phenotype"]))
    for kind, judge in (("endpoints", judge_survival), ("responses", judge_responses)):
        for endpoint, part in value[kind].items():
            tables = judge(
                *(endpoint, part, data, sources, value["levels"]), recalibrate=recalibrate, private=aggregate_only
            )
            for name, table in tables.items():
                if name != "risk" or not aggregate_only:
                    _write(folder / "external" / endpoint / f"{name}.csv", table)
            lines += [f"{endpoint} {row['model']}: {_told(row)}" for row in tables["models"].to_dict("records")]
    summary = {
        "model": value["name"],
        "digest": content.digest(dict(value)),
        "imrad": __version__,
        "n_patients": int(data.n_obs),
        "n_out_of_distribution": f"fewer than {SMALL}" if aggregate_only and 0 < n_strange < SMALL else n_strange,
        "limit": value["features"]["limit"],
        "missing_features": absent,
        "phenotypes_not_applied": unusable,
        "recalibrated": recalibrate,
        "aggregate_only": aggregate_only,
    }
    with content.write_atomically(folder / "apply.json") as temporary:
        temporary.write_text(json.dumps(summary, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return lines


def _told(row: Mapping[Any, Any]) -> str:
    if row["reason"]:
        return str(row["reason"])
    measure, name = ("C", "c") if "c" in row else ("AUC", "auc")
    told = (
        f"{measure} {row[name]:.3f} ({row[f'{name}_low']:.3f} to {row[f'{name}_high']:.3f}), O/E {row['o_over_e']:.2f}"
    )
    return told + (f"; training medians stand for {row['imputed']}" if row.get("imputed") else "")


def _write(path: Path, table: pd.DataFrame) -> None:
    with content.write_atomically(path) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")
