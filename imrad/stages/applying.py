"""Apply: an exported model on another cohort; nothing is fitted, and strangers among the patients are named."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from imrad import __version__, content
from imrad.exceptions import BundleError, ConfigError
from imrad.stages.blocks import MISSING
from imrad.stages.exporting import open_bundle
from imrad.stages.likeness import clinical_shift, strangers
from imrad.stages.newcomers import measure
from imrad.stages.preparing import sides_of

if TYPE_CHECKING:
    from anndata import AnnData

    from imrad.execution import Progress
    from imrad.survival.frozen import FrozenModel
    from imrad.survival.frozen_binary import FrozenBinary

__all__ = ["SMALL", "apply", "apply_phenotypes", "block_tables", "judge_survival", "stand_in"]

LEAST = 10
"""Fewest patients whose aggregates may leave a hospital, and fewest at risk at a horizon that is judged."""

SMALL = 5
"""Counts below this are not written where only aggregates may leave."""

MOST_ABSENT = 0.1
"""Most of a model's features that a cohort may lack altogether; they take the training median, and are named."""

MEASURED = ("Volume", "Rad")


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
        _refuse_rows(folder, data.n_obs)
    elif found is not None:
        _write(folder / "measured.csv", found.features)
        _write(folder / "failures.csv", found.failures)
    with single_thread():
        return lines + _apply(value, data, folder, aggregate_only=aggregate_only, recalibrate=recalibrate)


def _refuse_rows(folder: Path, n_patients: int) -> None:
    if n_patients < LEAST:
        message = f"aggregates of {n_patients} patients tell about single ones; --aggregate-only needs {LEAST}"
        raise ConfigError(message)
    names = ("patients.csv", "phenotypes.csv", "measured.csv", "failures.csv", "external/*/risk.csv")
    rows = [path for name in names for path in folder.glob(name)]
    if rows:
        message = f"{rows[0]} holds rows of patients from an earlier call; choose another folder for aggregates"
        raise ConfigError(message)


def _apply(
    value: Mapping[str, Any], data: AnnData, folder: Path, *, aggregate_only: bool, recalibrate: bool
) -> list[str]:
    from imrad.stages import blocks, responses

    features = blocks.features(data)
    patients, seen = strangers(value["features"], features, value["joint"])
    sides = sides_of(data, value["levels"])
    middle = _medians(value["features"])
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
    _write(folder / "feature_shift.csv", _without_small(seen, data.n_obs) if aggregate_only else seen)
    _write(folder / "clinical_shift.csv", _without_small(clinical, data.n_obs) if aggregate_only else clinical)
    if not aggregate_only:
        _write(folder / "patients.csv", patients)
        if len(phenotypes.columns):
            both = {"probability": phenotypes, "percentile": percentiles}
            long = {name: table.rename_axis("patient").reset_index() for name, table in both.items()}
            melted = [table.melt("patient", var_name="phenotype", value_name=name) for name, table in long.items()]
            _write(folder / "phenotypes.csv", melted[0].merge(melted[1], on=["patient", "phenotype"]))
    for kind, judge in (("endpoints", judge_survival), ("responses", responses.judge_responses)):
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


def _without_small(table: pd.DataFrame, n_patients: int) -> pd.DataFrame:
    """Leave out shares that stand for fewer than five patients, but not those of none."""
    out = table.copy()
    for name in out.columns.intersection(["share_below", "share_above", "share_outside", "missing"]):
        counts = out[name].astype(float) * n_patients
        out[name] = out[name].where((counts < 0.5) | (counts >= SMALL - 0.5))
    return out


def _medians(training: Mapping[str, Any]) -> pd.Series[float]:
    middle = np.asarray(training["quantiles"])[list(training["levels"]).index(0.5)]
    return pd.Series(middle, index=[str(name) for name in training["names"]])


def stand_in(needed: Sequence[str], features: pd.DataFrame, medians: pd.Series[float] | None) -> pd.DataFrame:
    """Return training medians for the few features that a whole cohort lacks; nothing where they are many.

    Parameters
    ----------
    needed : sequence of str
        Features that a model uses.
    features : DataFrame
        Patients x features of the cohort.
    medians : Series, optional
        Of the training cohort, by feature.
    """
    absent = [name for name in dict.fromkeys(needed) if name not in features.columns]
    few = len(absent) <= MOST_ABSENT * len(set(needed))
    known = medians is not None and all(name in medians.index for name in absent)
    if not absent or not few or medians is None or not known:
        return pd.DataFrame(index=features.index)
    return pd.DataFrame({name: float(medians[name]) for name in absent}, index=features.index)


def _write(path: Path, table: pd.DataFrame) -> None:
    with content.write_atomically(path) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")


def apply_phenotypes(
    bundles: Mapping[str, Any],
    features: pd.DataFrame,
    sides: Mapping[str, Any],
    medians: pd.Series[float] | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, str]]:
    """Return probabilities and percentiles, patients x phenotypes, and why some are not there."""
    from imrad.phenotype.bundle import PhenotypeModel

    found, places, unusable = {}, {}, {}
    for target, bundle in bundles.items():
        try:
            model = PhenotypeModel(bundle)
            scores = model.predict(features.join(stand_in(model.features, features, medians)), sides)
        except BundleError as error:
            unusable[target] = str(error)
            continue
        found[f"Rad-{target}"] = scores
        places[f"Rad-{target}"] = model.percentile(scores)
    index = features.index
    return pd.DataFrame(found, index=index), pd.DataFrame(places, index=index), unusable


def block_tables(
    model: FrozenModel | FrozenBinary,
    data: AnnData,
    sources: Mapping[str, Any],
    levels: Mapping[str, list[str]],
) -> dict[str, pd.DataFrame]:
    """Return the model's blocks of the new cohort, coded as in training; absent columns stay absent."""
    out = {}
    for block in model.blocks:
        if block == "ImRad":
            source = sources["ImRad"]
        elif block in MEASURED:
            features = sources["features"]
            source = features.join(stand_in(model.needed[block], features, sources.get("medians")))
        elif block == "Immune":
            source = pd.DataFrame(data.obsm["immune"]) if "immune" in data.obsm else pd.DataFrame(index=data.obs_names)
        else:
            # The user's own blocks may hold clinical columns and features.
            wanted = [name for name, _ in model.columns(block)]
            own = [name for name in wanted if name in data.obs]
            told = {
                name: data.obs[name.removesuffix(MISSING)].isna().astype(float)
                for name in wanted
                if name.endswith(MISSING) and name.removesuffix(MISSING) in data.obs
            }
            rest = [name for name in wanted if name not in data.obs and name in sources["features"]]
            parts = [data.obs[own], sources["features"][rest].set_index(data.obs.index)]
            source = pd.concat([*parts, pd.DataFrame(told, index=data.obs.index)], axis=1)
        columns = {
            name: _column(source[name], kind, levels.get(name))
            for name, kind in model.columns(block)
            if name in source.columns
        }
        out[block] = pd.DataFrame(columns, index=data.obs_names.astype(str))
    return out


def _column(values: pd.Series[Any], kind: str, levels: list[str] | None) -> np.ndarray[Any, Any]:
    if kind == "classes":
        return np.asarray(values.astype(object).where(values.notna(), None))
    if levels is not None:
        # Ranks are the training cohort's: a cohort without stage I must not call stage II the lowest.
        rank = {level: float(number) for number, level in enumerate(levels)}
        return np.array([rank.get(str(item), np.nan) for item in values], dtype=float)
    numbers = pd.to_numeric(values.astype(object), errors="coerce")
    return np.asarray(numbers.to_numpy(dtype=float, na_value=np.nan))


def judge_survival(
    endpoint: str,
    part: Mapping[str, Any],
    data: AnnData,
    sources: Mapping[str, Any],
    levels: Mapping[str, list[str]],
    *,
    recalibrate: bool,
    private: bool = False,
) -> dict[str, pd.DataFrame]:
    """Return how final survival models do on other patients: models, calibration, net_benefit and risk.

    Where the tables are `private`, only aggregates of enough patients are judged and written.
    """
    from imrad.evaluation.outcomes import survival_outcome
    from imrad.survival.frozen import FrozenModel

    pair = [f"{endpoint}_days", f"{endpoint}_event"]
    outcome = data.obs[pair].astype(float) if set(pair) <= set(data.obs.columns) else None
    rows = np.flatnonzero(outcome.notna().all(axis=1)) if outcome is not None else np.zeros(0, dtype=int)
    time, event = np.zeros(0), np.zeros(0, dtype=bool)
    if outcome is not None and len(rows):
        time, event = survival_outcome(outcome.iloc[rows, 0].to_numpy(), outcome.iloc[rows, 1].to_numpy() == 1)
    horizons = [float(horizon) for horizon in part["horizons_days"]]
    models, calibration, benefit, risks = [], [], [], []
    for name, plain in part["models"].items():
        try:
            model = FrozenModel(plain)
            risk = model.risk(block_tables(model, data, sources, levels), sides_of(data, levels))
            added = model.shift(risk[rows], time, event) if recalibrate else 0.0
        except BundleError as error:
            models.append({"model": name, "n": len(rows), "n_events": int(event.sum()), "reason": str(error)})
            continue
        survival = model.survival(risk + added, horizons)
        table = pd.DataFrame({"patient": data.obs_names.astype(str), "model": name, "risk": risk})
        for number, horizon in enumerate(horizons):
            table[f"survival_{horizon:g}d"] = survival[:, number]
        risks.append(table)
        row, groups, curves = _judge(model, risk[rows], added, time, event, horizons, private=private)
        filled = [item for block in model.blocks if block in MEASURED for item in _filled(model, block, sources)]
        models.append({"model": name, "imputed": ", ".join(filled), **row})
        calibration += [group.assign(model=name) for group in groups]
        benefit += [curve.assign(model=name) for curve in curves]
    columns = ["model", "n", "n_events", "c", "c_low", "c_high", "expected", "o_over_e", "o_over_e_low"]
    columns += ["o_over_e_high", "slope", "shift", "reason", "imputed"]
    columns += [f"{measure}_{horizon:g}d" for horizon in horizons for measure in ("auc", "auc_low", "auc_high")]
    return {
        "models": pd.DataFrame(models).reindex(columns=columns).fillna({"reason": "", "imputed": ""}),
        "calibration": _stack(calibration, ["model", "horizon_days", "group", "n", "events", "predicted", "observed"]),
        "net_benefit": _stack(benefit, ["model", "horizon_days", "threshold", "net_benefit", "net_benefit_all"]),
        "risk": _stack(risks, ["patient", "model", "risk"]),
    }


def _stack(parts: list[pd.DataFrame], first: list[str]) -> pd.DataFrame:
    if not parts:
        return pd.DataFrame(columns=first)
    table = pd.concat(parts, ignore_index=True)
    return table[[*first, *(name for name in table.columns if name not in first)]]


def _filled(model: FrozenModel, block: str, sources: Mapping[str, Any]) -> list[str]:
    return list(stand_in(model.needed[block], sources["features"], sources.get("medians")).columns)


def _judge(
    model: FrozenModel, risk: Any, added: float, time: Any, event: Any, horizons: list[float], *, private: bool
) -> tuple[dict[str, Any], list[pd.DataFrame], list[pd.DataFrame]]:
    """Return C, AUC at horizons, calibration in the large, its slope, its groups, and decision curves."""
    from imrad.evaluation.calibration import calibration_groups
    from imrad.evaluation.discrimination import concordance
    from imrad.evaluation.net_benefit import decision_curve_survival
    from imrad.evaluation.time_dependent import time_dependent_auc
    from imrad.survival.validation import validation_indices

    row: dict[str, Any] = {"n": len(risk), "n_events": int(np.sum(event)), "shift": added, "reason": ""}
    if row["n_events"] == 0:
        return {**row, "reason": "no event is known in this cohort: risks only"}, [], []
    if private and row["n_events"] < SMALL:
        return (
            {**row, "n_events": np.nan, "reason": f"fewer than {SMALL} events: they would tell about patients"},
            [],
            [],
        )
    found = concordance(time, event, risk)
    expected = float(model.expected(risk + added, time).sum())
    ratio, error = row["n_events"] / expected, 1.96 / np.sqrt(row["n_events"])
    row |= {"c": found.c, "c_low": max(found.low, 0.0), "c_high": min(found.high, 1.0), "expected": expected}
    row |= {"o_over_e": ratio, "o_over_e_low": ratio * np.exp(-error), "o_over_e_high": ratio * np.exp(error)}
    row["slope"] = validation_indices(time, event, risk)["slope"]
    groups, curves = [], []
    for horizon in horizons:
        if int((time >= horizon).sum()) < LEAST or not (event & (time < horizon)).any():
            continue
        auc = time_dependent_auc(time, event, risk, [horizon])
        row |= {f"auc_{horizon:g}d": auc.auc[0], f"auc_low_{horizon:g}d": max(auc.low[0], 0.0)}
        row[f"auc_high_{horizon:g}d"] = min(auc.high[0], 1.0)
        survival = model.survival(risk + added, [horizon])[:, 0]
        n_groups = max(1, min(4, len(risk) // LEAST)) if private else 4
        table = calibration_groups(time, event, survival, horizon, n_groups=n_groups)
        curve = decision_curve_survival(time, event, 1 - survival, horizon)
        if private:
            table["events"] = table["events"].where((table["events"] == 0) | (table["events"] >= SMALL))
            # Between neighbouring thresholds of a fine curve single patients would show.
            curve = curve[np.isclose(curve["threshold"] * 20, (curve["threshold"] * 20).round())]
        groups.append(table.assign(horizon_days=horizon, group=np.arange(1, len(table) + 1)))
        curves.append(curve.assign(horizon_days=horizon))
    return row, groups, curves
