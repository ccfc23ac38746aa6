"""Responses: final models of a binary outcome on other patients, judged where the outcome is known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.special import expit

from imrad.exceptions import BundleError
from imrad.stages.preparing import sides_of

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["judge_responses"]


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
    from imrad.stages.applying import SMALL, block_tables
    from imrad.survival.external_response import external_tables
    from imrad.survival.frozen_binary import FrozenBinary

    observed = data.obs[endpoint].to_numpy(dtype=float) if endpoint in data.obs else np.full(data.n_obs, np.nan)
    known = np.isfinite(observed)
    y = observed[known] > 0
    probability: dict[str, Any] = {}
    thresholds: dict[str, float] = {}
    shifts: dict[str, float] = {}
    refused = []
    for name, plain in part["models"].items():
        try:
            model = FrozenBinary(plain)
            odds = model.linear_predictor(block_tables(model, data, sources, levels), sides_of(data, levels))
            shifts[name] = _shift(odds[known], y, name) if recalibrate else 0.0
        except BundleError as error:
            refused.append({"model": name, "n": int(known.sum()), "n_positive": int(y.sum()), "reason": str(error)})
            continue
        probability[name] = expit(odds + shifts[name])
        cut = model.threshold
        thresholds[name] = float(expit(np.log(cut / (1 - cut)) + shifts[name])) if 0 < cut < 1 else cut
    few = min(int(y.sum()), len(y) - int(y.sum()))
    tables = external_tables(y, {name: p[known] for name, p in probability.items()}, thresholds)
    if private and few < SMALL:
        tables = {name: table.iloc[:0] for name, table in tables.items()}
        reason = f"fewer than {SMALL} of a class: they would tell about patients"
        refused = [{"model": name, "n": int(known.sum()), "reason": reason} for name in part["models"]]
    if private:
        tables["roc"] = tables["roc"].iloc[:0]
        fine = tables["net_benefit"]["threshold"].astype(float) * 20
        tables["net_benefit"] = tables["net_benefit"][np.isclose(fine, fine.round())]
    models = tables["models"]
    if refused:
        models = pd.concat([models, pd.DataFrame(refused)], ignore_index=True) if len(models) else pd.DataFrame(refused)
    models = models.reindex(columns=list(dict.fromkeys([*tables["models"].columns, *models.columns])))
    models["shift"] = models["model"].map(shifts)
    tables["models"] = models.fillna({"reason": ""})
    risk = [
        pd.DataFrame(
            {
                **{"patient": data.obs_names.astype(str), "model": name, "probability": p},
                **{"threshold": thresholds[name], "positive": p > thresholds[name]},
            }
        )
        for name, p in probability.items()
    ]
    shape = ["patient", "model", "probability", "threshold", "positive"]
    tables["risk"] = pd.concat(risk, ignore_index=True) if risk else pd.DataFrame(columns=shape)
    return tables


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
