"""External cohorts of the config: final models on patients that no fit has seen, centre by centre."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from imrad import content
from imrad.stages import blocks
from imrad.stages.exporting import levels, used_columns
from imrad.stages.likeness import joint_reference, reference, strangers
from imrad.stages.model_inputs import apply_phenotypes
from imrad.stages.preparing import sides_of
from imrad.stages.responses import known_responses, predict_responses
from imrad.stages.setting_apart import HOLDOUT
from imrad.stages.survivals import judge_survival

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

    from imrad.run import Run, Stage

__all__ = ["POOLED", "external_cohorts", "write_external_responses", "write_external_survival"]

POOLED = "all external"
"""Name of all other centres together."""


def external_cohorts(run: Run) -> dict[str, AnnData]:
    """Return the cohorts that assemble set apart, by name: the hold-out, then the config's order."""
    from imrad import cohort

    paths = [path for path in run.outputs("assemble") if path.startswith("external/") and path.endswith(".h5ad")]
    found = {path.removeprefix("external/").removesuffix(".h5ad"): path for path in paths}
    order = [HOLDOUT, *run.config.section("assemble").get("external", {})]
    names = sorted(found, key=lambda name: (order.index(name) if name in order else len(order), name))
    return {name: cohort.read_cohort(run.folder / found[name]) for name in names}


def write_external_responses(
    run: Run, stage: Stage, training: AnnData, endpoint: str, final: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    """Judge the final models of a binary endpoint in every external cohort.

    Writes ``response/<endpoint>/external.csv`` (a row per centre and model), and ``external_pairs``,
    ``external_roc``, ``external_calibration``, ``external_net_benefit``, ``external_predictions`` beside it.

    Returns
    -------
    list of str
        What to tell the user.
    """
    from imrad.survival.external_response import external_tables

    found: dict[str, list[pd.DataFrame]] = {"models": []}
    predicted: dict[str, pd.DataFrame] = {}
    lines = []
    for name, data in external_cohorts(run).items():
        ranks = levels(training)
        table, reasons = predict_responses(endpoint, final, data, _sources(run, data, ranks), ranks)
        predicted[name] = table.drop(columns="shift")
        strange = _n_strange(run, training, data, {"endpoints": {}, "responses": {endpoint: {"models": final}}})
        for kind, table in external_tables(*known_responses(predicted[name])).items():
            extra = {"n_out_of_distribution": strange} if kind == "models" else {}
            found.setdefault(kind, []).append(table.assign(cohort=name, **extra))
        failed = [{"cohort": name, "model": model, "reason": reason} for model, reason in reasons.items()]
        found["models"].append(pd.DataFrame(failed, columns=["cohort", "model", "reason"]))
        lines.append(f"{endpoint}, {name}: {data.n_obs} patients, {strange} out of distribution")
        lines += [f"  {row.model}: AUC {row.auc:.3f}" for row in found["models"][-2].itertuples() if not row.reason]
        lines += [f"  {model} not applied: {reason}" for model, reason in reasons.items()]
    if not predicted:
        return []
    centres = [table.assign(cohort=name) for name, table in predicted.items() if name != HOLDOUT]
    if len(centres) > 1:
        for kind, table in external_tables(*known_responses(pd.concat(centres, ignore_index=True))).items():
            found[kind].append(table.assign(cohort=POOLED))
    for kind, parts in found.items():
        ending = "" if kind == "models" else f"_{kind}"
        stage.table(f"response/{endpoint}/external{ending}.csv", _stacked(parts))
    every = _stacked([table.assign(cohort=name) for name, table in predicted.items()])
    first = ["patient", "cohort", "model"]
    every = every[[*first, *(name for name in every.columns if name not in first)]]
    stage.table(f"response/{endpoint}/external_predictions.csv", every)
    return lines


def _stacked(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Join tables, the cohort's name first; empty ones only where there is nothing else."""
    whole = pd.concat([part for part in parts if len(part)] or list(parts)[:1], ignore_index=True)
    return whole[["cohort", *(name for name in whole.columns if name != "cohort")]]


def _bundles(run: Run) -> dict[str, Any]:
    bundles = [content.load(path) for path in sorted((run.folder / "phenotype/models").glob("*.zip"))]
    return {str(bundle["target"]): bundle for bundle in bundles}


def _sources(run: Run, data: AnnData, ranks: Mapping[str, list[str]]) -> dict[str, pd.DataFrame]:
    features = blocks.features(data)
    scores, _, _ = apply_phenotypes(_bundles(run), features, sides_of(data, ranks))
    return {"features": features, "ImRad": scores}


def _n_strange(run: Run, training: AnnData, data: AnnData, parts: Mapping[str, Any]) -> int:
    from imrad.execution import single_thread

    features = blocks.features(training)
    used, _ = used_columns(_bundles(run), parts)
    with single_thread():
        joint = joint_reference(features, [name for name in used if name in features])
        patients, _ = strangers(reference(features), blocks.features(data), joint)
    return int(patients["out_of_distribution"].sum())


def write_external_survival(
    run: Run,
    stage: Stage,
    training: AnnData,
    endpoint: str,
    final: Mapping[str, Mapping[str, Any]],
    horizons_days: Sequence[float],
) -> list[str]:
    """Judge the final survival models in every external cohort.

    Writes ``survival/<endpoint>/external.csv`` (C, AUC at horizons, calibration in the large and slope, a row
    per centre and model), and ``external_calibration``, ``external_net_benefit``, ``external_risk`` beside it.
    """
    found: dict[str, list[pd.DataFrame]] = {}
    lines = []
    part = {"models": final, "horizons_days": list(horizons_days)}
    for name, data in external_cohorts(run).items():
        strange = _n_strange(run, training, data, {"endpoints": {endpoint: {"models": final}}, "responses": {}})
        ranks = levels(training)
        tables = judge_survival(endpoint, part, data, _sources(run, data, ranks), ranks, recalibrate=False)
        tables["models"] = tables["models"].assign(n_out_of_distribution=strange)
        for kind, table in tables.items():
            found.setdefault(kind, []).append(table.assign(cohort=name))
        lines.append(f"{endpoint}, {name}: {data.n_obs} patients, {strange} out of distribution")
        judged = tables["models"][tables["models"]["c"].notna()]
        lines += [f"  {row['model']}: C {row['c']:.3f}" for row in judged.to_dict("records")]
    for kind, parts in found.items():
        ending = "" if kind == "models" else f"_{kind}"
        table = _stacked(parts)
        if kind == "risk":
            table = table[["patient", *(name for name in table.columns if name != "patient")]]
        stage.table(f"survival/{endpoint}/external{ending}.csv", table)
    return lines
