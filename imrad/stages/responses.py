"""Responses: final models of a binary outcome on other patients, judged where the outcome is known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.special import expit

from imrad.exceptions import BundleError, FitError
from imrad.stages.aggregates import SMALL, without_small_cells
from imrad.stages.model_inputs import block_tables
from imrad.stages.preparing import sides_of

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["judge_responses", "known_responses", "predict_responses"]


def judge_responses(
    endpoint: str,
    part: Mapping[str, Any],
    data: AnnData,
    sources: Mapping[str, Any],
    levels: Mapping[str, list[str]],
    *,
    recalibrate: bool,
    private: bool = False,
) -> dict[str, pd.DataFrame]:
    """Return how final models of a response do on other patients.

    Returns
    -------
    dict of str to DataFrame
        ``models`` (AUC, shares at the threshold fixed in training, Brier score, calibration), ``pairs``,
        ``roc``, ``calibration``, ``net_benefit``, and ``risk``: each patient's probability. Recalibrated in
        the large, log odds are shifted so that expected equal observed responses; the training threshold
        is shifted with them, so that the same patients are called positive.
    """
    from imrad.survival.external_response import external_tables

    table, reasons = predict_responses(endpoint, part["models"], data, sources, levels, recalibrate=recalibrate)
    _, probability, thresholds = known_responses(table)
    observed = _observed(data, endpoint)
    y = observed[np.isfinite(observed)] > 0
    counts = {"n": len(y), "n_positive": int(y.sum())}
    refused = [{"model": name, **counts, "reason": reason} for name, reason in reasons.items()]
    few = min(int(y.sum()), len(y) - int(y.sum()))
    tables = external_tables(y, probability, thresholds)
    if private and few < SMALL:
        tables = {name: table.iloc[:0] for name, table in tables.items()}
        reason = f"fewer than {SMALL} of a class: they would tell about patients"
        refused = [{"model": name, "n": len(y), "reason": reason} for name in part["models"]]
    if private:
        tables["models"] = without_small_cells(tables["models"])
        tables["roc"] = tables["roc"].iloc[:0]
        fine = tables["net_benefit"]["threshold"].astype(float) * 20
        tables["net_benefit"] = tables["net_benefit"][np.isclose(fine, fine.round())]
    models = tables["models"]
    if refused:
        models = pd.concat([models, pd.DataFrame(refused)], ignore_index=True) if len(models) else pd.DataFrame(refused)
    models = models.reindex(columns=list(dict.fromkeys([*tables["models"].columns, *models.columns])))
    models["shift"] = models["model"].map(table.groupby("model")["shift"].first())
    tables["models"] = models.fillna({"reason": ""})
    tables["risk"] = table[["patient", "model", "probability", "threshold", "positive"]]
    return tables


def predict_responses(
    endpoint: str,
    models: Mapping[str, Mapping[str, Any]],
    data: AnnData,
    sources: Mapping[str, Any],
    levels: Mapping[str, list[str]],
    *,
    recalibrate: bool = False,
) -> tuple[pd.DataFrame, dict[str, str]]:
    """Return what each frozen model says of each patient, and why some models say nothing.

    Returns
    -------
    DataFrame
        patient, model, probability, threshold, positive, observed (NaN where it is not known), shift (what was
        added to the log odds).
    dict of str to str
        Model to the reason for which it is not applied.
    """
    from imrad.survival.frozen_binary import FrozenBinary

    observed = _observed(data, endpoint)
    known = np.isfinite(observed)
    parts, reasons = [], {}
    for name, plain in models.items():
        try:
            model = FrozenBinary(plain)
            odds = model.linear_predictor(block_tables(model, data, sources, levels), sides_of(data, levels))
            shift = _shift(odds[known], observed[known] > 0, name) if recalibrate else 0.0
        except (BundleError, FitError) as error:
            reasons[name] = str(error)
            continue
        cut = model.threshold
        threshold = float(expit(np.log(cut / (1 - cut)) + shift)) if shift and 0 < cut < 1 else cut
        p = expit(odds + shift)
        columns = {"patient": data.obs_names.astype(str), "model": name, "probability": p, "threshold": threshold}
        parts.append(pd.DataFrame({**columns, "positive": p > threshold, "observed": observed, "shift": shift}))
    shape = ["patient", "model", "probability", "threshold", "positive", "observed", "shift"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=shape), reasons


def _observed(data: AnnData, endpoint: str) -> np.ndarray[Any, Any]:
    return data.obs[endpoint].to_numpy(dtype=float) if endpoint in data.obs else np.full(data.n_obs, np.nan)


def known_responses(table: pd.DataFrame) -> tuple[Any, dict[str, Any], dict[str, float]]:
    """Return outcomes, probabilities by model and thresholds of the patients whose outcome is known."""
    known = table[table["observed"].notna()]
    by_model = {str(name): part for name, part in known.groupby("model", sort=False)}
    first = next(iter(by_model.values()), known)
    probability = {name: part["probability"].to_numpy(dtype=float) for name, part in by_model.items()}
    thresholds = {name: float(part["threshold"].iloc[0]) for name, part in by_model.items()}
    return first["observed"].to_numpy(dtype=float) > 0, probability, thresholds


def _shift(odds: Any, y: Any, name: str) -> float:
    """Return what must be added to log odds for expected to equal observed responses."""
    from scipy.optimize import brentq

    if not len(y) or y.all() or not y.any():
        message = (
            f"the model {name} cannot be recalibrated on {int(np.sum(y))} responses of {len(y)} patients; "
            "both classes are needed"
        )
        raise BundleError(message)
    wanted = float(y.sum())
    return float(brentq(lambda added: float(expit(odds + added).sum()) - wanted, -60.0, 60.0, xtol=1e-12))
