"""Survival: final models on other patients, judged where follow-up is known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from imrad.exceptions import BundleError, FitError
from imrad.stages.aggregates import LEAST, SMALL
from imrad.stages.model_inputs import block_tables, filled
from imrad.stages.preparing import sides_of

if TYPE_CHECKING:
    from anndata import AnnData

    from imrad.survival.frozen import FrozenModel

__all__ = ["judge_survival"]


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
        except (BundleError, FitError) as error:
            models.append({"model": name, "n": len(rows), "n_events": int(event.sum()), "reason": str(error)})
            continue
        survival = model.survival(risk + added, horizons)
        table = pd.DataFrame({"patient": data.obs_names.astype(str), "model": name, "risk": risk})
        for number, horizon in enumerate(horizons):
            table[f"survival_{horizon:g}d"] = survival[:, number]
        risks.append(table)
        row, groups, curves = _judge(model, risk[rows], added, time, event, horizons, private=private)
        models.append({"model": name, "imputed": ", ".join(filled(model, sources)), **row})
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
