"""From finished fits to the tables of a fusion and its verdict."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from imrad.evaluation.bootstrap import corrected_interval
from imrad.evaluation.kaplan_meier import kaplan_meier, log_rank
from imrad.evaluation.outcomes import FloatArray
from imrad.exceptions import FitError
from imrad.survival import fusion_views, prepared, study_tables
from imrad.survival.coxph import CoxPH
from imrad.survival.fusion_core import IMRAD, FinishedFits
from imrad.survival.fusion_tasks import FusionData
from imrad.survival.perturbations import perturbed_patients

__all__ = ["Finished", "summarise"]

# Below this many events per candidate predictor even the corrected bootstrap is known to be optimistic.
EVENTS_PER_CANDIDATE = 10
REFERENCE, CANDIDATE, WITHOUT_PHENOTYPES = "Clinical", "Clinical+ImRad", "Clinical+Rad"


@dataclass(frozen=True)
class Finished(FinishedFits):
    """All results of a survival fusion's tasks.

    Attributes
    ----------
    horizons : DataFrame
        Feasibility of each horizon.
    """

    data: FusionData
    horizons: pd.DataFrame


def summarise(done: Finished) -> dict[str, Any]:
    """Return every table of a FusionResult, and its verdict."""
    risk = _risk(done)
    curves, groups = _curves(done, risk)
    path, path_coefficients = done.paths()
    return {
        "models": _models(done),
        "coefficients": _coefficients(done),
        "risk": risk,
        "folds": _folds(done),
        "pairs": _pairs(done),
        "horizons": _horizons(done),
        "calibration": fusion_views.calibration(done, risk),
        "net_benefit": fusion_views.net_benefit(done, risk),
        "curves": curves,
        "groups": groups,
        "path": path,
        "path_coefficients": path_coefficients,
        "ph": fusion_views.hazards_over_time(done),
        "verdict": _verdict(done),
        "robustness": fusion_views.robustness(done, risk),
        "perturbed_risk": perturbed_patients(done, "risk"),
        "subgroups": fusion_views.subgroups(done, risk),
        "explanations": fusion_views.explanations(done),
        "funnel": prepared.funnel(done),
        **study_tables.tables(done, risk),
        "final": {name: _plain_final(done.whole(name)) for name in done.fitted},
    }


def _plain_final(part: dict[str, Any]) -> dict[str, Any]:
    return dict(part["final"])


def _models(done: Finished) -> pd.DataFrame:
    data = done.data
    n, n_events = int(data.usable.sum()), int(data.event[data.usable].sum())
    rows = []
    for name in done.names:
        row: dict[str, Any] = {"model": name, "n": n, "n_events": n_events}
        reason = done.failure(name)
        if reason:
            rows.append(row | {"status": "skipped", "reason": reason})
            continue
        whole = done.whole(name)
        interval = corrected_interval(done.values(name, "c"), test_share=done.test_share, null=0.5, bounds=(0.0, 1.0))
        boot = [part for task, part in done.results.items() if task.kind == "bootstrap" and task.model == name]
        corrected = np.nan
        if boot and not any("failed" in part for part in boot):
            gap = np.concatenate([part["inside"] - part["outside"] for part in boot])
            corrected = whole["c"] - np.nanmean(gap) if np.isfinite(gap).any() else np.nan
        candidates = _candidates(data, name)
        notes = [note for _, part in done.outer(name) for note in part["notes"]] + list(whole["notes"])
        if n_events < EVENTS_PER_CANDIDATE * candidates:
            notes.insert(
                0,
                f"{n_events / candidates:.1f} events per candidate predictor (below {EVENTS_PER_CANDIDATE}): "
                "apparent and bootstrap-corrected values stay optimistic",
            )
        rows.append(
            row
            | {
                "c_apparent": whole["c"],
                "c_bootstrap": corrected,
                "c_outer": interval.mean,
                "c_outer_low": interval.low,
                "c_outer_high": interval.high,
                "uno_outer": _mean(done.values(name, "uno")),
                "ibs_outer": _mean(done.values(name, "ibs")),
                "ibs_without_predictors": _mean(done.values(name, "ibs_none")),
                "n_candidates": candidates,
                "events_per_candidate": n_events / candidates,
                "n_selected": int(np.count_nonzero(whole["used"])),
                "status": "fitted",
                "reason": "",
                "notes": "; ".join(dict.fromkeys(notes)),
            }
        )
    columns = [
        *("model", "n", "n_events", "c_apparent", "c_bootstrap", "c_outer", "c_outer_low", "c_outer_high"),
        *(
            "uno_outer",
            "ibs_outer",
            "ibs_without_predictors",
            "n_candidates",
            "events_per_candidate",
            "n_selected",
            "status",
            "reason",
            "notes",
        ),
    ]
    return pd.DataFrame(rows, columns=columns)


def _candidates(data: FusionData, name: str) -> int:
    """Count the columns that a model could have chosen from, before any screening."""
    total = 0
    for block in data.model(name).blocks:
        if block == IMRAD:
            total += len(data.phenotype.targets) if data.phenotype is not None else 0
        else:
            total += data.tables[block].shape[1]
    return max(total, 1)


def _coefficients(done: Finished) -> pd.DataFrame:
    parts = []
    for name in done.fitted:
        whole, model = done.whole(name), done.data.model(name)
        outer = [dict(zip(part["names"], part["used"], strict=True)) for _, part in done.outer(name)]
        table = pd.DataFrame({"feature": whole["names"], "coef": whole["coef"], "block": whole["block"]})
        table["inclusion"] = [np.mean([bool(fold.get(item, False)) for fold in outer]) for item in table["feature"]]
        table["coef_per_sd"] = table["coef"] * whole["scale"]
        free = table["block"].isin(model.unpenalised)
        table["kind"] = np.where(free, "unpenalised", "penalised") if model.learner is None else whole["kind"]
        if whole["kind"] != "linear":
            # A column of a forest has a part in the risk and no coefficient.
            table[["coef", "coef_per_sd"]] = np.nan
        table["hr"] = np.exp(table["coef"])
        wald = {"hr_low": np.nan, "hr_high": np.nan, "p": np.nan}
        if not model.penalised and model.learner is None:
            half = stats.norm.ppf(0.975) * whole["se"]
            wald = {
                "hr_low": np.exp(whole["coef"] - half),
                "hr_high": np.exp(whole["coef"] + half),
                "p": 2 * stats.norm.sf(np.abs(whole["coef"] / whole["se"])),
            }
        table = table.assign(model=name, **wald)
        parts.append(table)
        if model.penalised:
            parts.append(_refit(done, name, whole, table))
    columns = ["model", "feature", "coef", "hr", "hr_low", "hr_high", "p", "inclusion", "block", "kind", "coef_per_sd"]
    parts = [part for part in parts if len(part)]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def _refit(done: Finished, name: str, whole: dict[str, Any], table: pd.DataFrame) -> pd.DataFrame:
    """Refit the selected columns by plain Cox regression: intervals that ignore the selection."""
    kept = np.flatnonzero(whole["coef"])
    rows = np.flatnonzero(done.data.usable)
    if len(kept) == 0:
        return pd.DataFrame()
    try:
        fitted = CoxPH().fit(whole["matrix"][:, kept], (done.data.time[rows], done.data.event[rows]))
    except FitError:
        return pd.DataFrame()
    wald = fitted.table()
    out = table.iloc[kept].reset_index(drop=True)
    out["kind"] = "refit, naive after selection"
    for column in ("coef", "hr", "hr_low", "hr_high", "p"):
        out[column] = wald[column].to_numpy()
    out["coef_per_sd"] = out["coef"] * np.asarray(whole["scale"])[kept]
    return out


def _risk(done: Finished) -> pd.DataFrame:
    parts = []
    patients = np.asarray(done.data.patients, dtype=object)
    for name in done.fitted:
        for fold, part in done.outer(name):
            test = done.data.fold(fold).test
            table = pd.DataFrame(
                {"patient": patients[test], "model": name, "fold": fold, "risk": part["risk"], "high": part["high"]}
            )
            for number, horizon in enumerate(done.data.horizons):
                table[f"survival_{horizon:g}d"] = np.asarray(part["survival"])[:, number]
            parts.append(table)
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _folds(done: Finished) -> pd.DataFrame:
    rows = []
    for name in done.fitted:
        for label, part in done.outer(name):
            fold = done.data.fold(label)
            rows.append(
                {
                    "model": name,
                    "fold": label,
                    "n_train": len(fold.train),
                    "n_train_events": int(done.data.event[fold.train].sum()),
                    "n_test": len(fold.test),
                    "n_test_events": int(done.data.event[fold.test].sum()),
                    "c": part["c"],
                    "uno": part["uno"],
                    "ibs": part["ibs"],
                    "penalty": part["penalty"],
                    "n_selected": int(np.count_nonzero(part["used"])),
                }
            )
    return pd.DataFrame(rows)


def _pairs(done: Finished) -> pd.DataFrame:
    rows = []
    for reference, model in combinations(done.fitted, 2):
        for measure in ("c", "uno", "ibs"):
            gap = done.values(model, measure) - done.values(reference, measure)
            found = corrected_interval(gap, test_share=done.test_share)
            rows.append(
                {
                    "model": model,
                    "reference": reference,
                    "measure": measure,
                    "difference": found.mean,
                    "low": found.low,
                    "high": found.high,
                    "p": found.p,
                    "n_folds": found.n,
                }
            )
    columns = ["model", "reference", "measure", "difference", "low", "high", "p", "n_folds"]
    return pd.DataFrame(rows, columns=columns)


def _horizons(done: Finished) -> pd.DataFrame:
    rows = []
    for name in done.fitted:
        for plan in done.horizons.to_dict("records"):
            row: dict[str, Any] = {"model": name} | {str(key): value for key, value in plan.items()}
            if plan["status"] == "feasible":
                number = done.data.horizons.index(plan["horizon_days"])
                for measure in ("auc", "brier"):
                    values = np.array([part[measure][number] for _, part in done.outer(name)], dtype=float)
                    found = corrected_interval(values, test_share=done.test_share, bounds=(0.0, 1.0))
                    row |= {measure: found.mean, f"{measure}_low": found.low, f"{measure}_high": found.high}
                    row[f"{measure}_folds"] = found.n
            rows.append(row)
    columns = [
        *("model", "horizon_days", "status", "reason", "min_at_risk", "auc", "auc_low", "auc_high", "auc_folds"),
        *("brier", "brier_low", "brier_high", "brier_folds"),
    ]
    return pd.DataFrame(rows, columns=columns)


def _curves(done: Finished, risk: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Kaplan-Meier by groups cut at each training median, in the first repeat's test patients."""
    curves, groups = [], []
    number = {name: row for row, name in enumerate(done.data.patients)}
    first = f"r{done.data.splits.repeats[0]}/"
    for name in done.fitted:
        part = risk[(risk["model"] == name) & risk["fold"].str.startswith(first)]
        rows = np.array([number[str(patient)] for patient in part["patient"]])
        high = part["high"].to_numpy(dtype=bool)
        time, event = done.data.time[rows], done.data.event[rows]
        test = log_rank(time, event, high) if high.any() and not high.all() else None
        for label, inside in (("low", ~high), ("high", high)):
            if not inside.any():
                continue
            curve = kaplan_meier(time[inside], event[inside])
            curves.append(curve.table().assign(model=name, group=label))
            median, low, upper = curve.median()
            groups.append(
                {
                    "model": name,
                    "group": label,
                    "n": int(inside.sum()),
                    "n_events": int(event[inside].sum()),
                    "median_days": median,
                    "median_low": low,
                    "median_high": upper,
                    "log_rank_chi2": test.chi2 if test else np.nan,
                    "log_rank_p": test.p if test else np.nan,
                }
            )
    table = pd.concat(curves, ignore_index=True) if curves else pd.DataFrame()
    return table, pd.DataFrame(groups)


def _verdict(done: Finished) -> dict[str, Any]:
    data = done.data
    # Where there are no phenotypes, the question is asked of the images' own features.
    candidate = WITHOUT_PHENOTYPES if data.phenotype is None and WITHOUT_PHENOTYPES in done.fitted else CANDIDATE
    out: dict[str, Any] = {
        "endpoint": data.endpoint,
        "model": candidate,
        "reference": REFERENCE,
        "n": int(data.usable.sum()),
        "n_events": int(data.event[data.usable].sum()),
    }
    absent = [name for name in (REFERENCE, candidate) if name not in done.fitted]
    if absent:
        reasons = "; ".join(
            f"{name}: {done.failure(name) if name in done.names else 'not asked for'}" for name in absent
        )
        return out | {"status": "not_answered", "sentence": f"Not answered for {data.endpoint}: {reasons}."}
    measures = {"c": "c", "ibs": "ibs"}
    for measure, name in measures.items():
        gap = done.values(candidate, measure) - done.values(REFERENCE, measure)
        found = corrected_interval(gap, test_share=done.test_share)
        out |= {
            f"{name}_difference": found.mean,
            f"{name}_low": found.low,
            f"{name}_high": found.high,
            f"{name}_p": found.p,
        }
    out["n_folds"] = len(done.outer(candidate))
    adds = out["c_low"] > 0
    harms = out["c_high"] < 0
    out["status"] = "adds" if adds else "worse" if harms else "not_shown"
    words = {
        "adds": "Imaging adds to the clinical variables",
        "worse": "Imaging makes prediction by the clinical variables worse",
        "not_shown": "It is not shown that imaging adds to the clinical variables",
    }[out["status"]]
    if np.array_equal(done.values(candidate, "c"), done.values(REFERENCE, "c"), equal_nan=True):
        out["sentence"] = (
            f"{words} for {data.endpoint}: {candidate} ranks the patients as {REFERENCE} does in every fold; "
            f"{out['n']} patients, {out['n_events']} events, {out['n_folds']} outer folds."
        )
        return out
    out["sentence"] = (
        f"{words} for {data.endpoint}: C of {candidate} minus {REFERENCE} in the outer folds is "
        f"{out['c_difference']:+.3f} (95 % interval {out['c_low']:+.3f} to {out['c_high']:+.3f}, "
        f"p = {out['c_p']:.2f}), "
        f"integrated Brier score {out['ibs_difference']:+.4f} ({out['ibs_low']:+.4f} to {out['ibs_high']:+.4f}); "
        f"{out['n']} patients, {out['n_events']} events, {out['n_folds']} outer folds."
    )
    return out


def _mean(values: FloatArray) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")
