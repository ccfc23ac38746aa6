"""I-squared over a model's predictors, as the founding study printed it: only beside its protocol, and labelled."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from imrad.report.page import Section
from imrad.report.tables import RunTables

__all__ = ["heterogeneity", "predictors_i2"]

Z = 1.959963984540054


def predictors_i2(log_ratios: Any, errors: Any) -> tuple[float, float, float]:
    """Return Cochran's Q, I-squared and DerSimonian and Laird's tau-squared of several estimates.

    Higgins and Thompson, doi:10.1002/sim.1186; DerSimonian and Laird, doi:10.1016/0197-2456(86)90046-2.

    Parameters
    ----------
    log_ratios, errors : array_like, shape (n_terms,)
        Log hazard ratios and their standard errors.
    """
    effects, weights = np.asarray(log_ratios, dtype=float), 1 / np.asarray(errors, dtype=float) ** 2
    mean = float((weights * effects).sum() / weights.sum())
    q = float((weights * (effects - mean) ** 2).sum())
    free = len(effects) - 1
    i2 = max(0.0, (q - free) / q) if q > 0 else 0.0
    spread = float(weights.sum() - (weights**2).sum() / weights.sum())
    return q, i2, max(0.0, (q - free) / spread) if spread > 0 else 0.0


def heterogeneity(part: Section, tables: RunTables, endpoint: str) -> None:
    """Say I-squared of the fullest model whose terms have intervals, where the published protocol was asked for."""
    table = tables.survival(endpoint, "coefficients")
    if tables.get("phenotype/published.csv") is None or table is None:
        return
    spread = table[["hr_low", "hr_high"]].gt(0).all(axis=1) & (table["hr_high"] > table["hr_low"])
    known: pd.DataFrame = table[spread]
    known = known.loc[np.isfinite(known[["hr_low", "hr_high"]].to_numpy(dtype=float)).all(axis=1)]
    counts = known["model"].value_counts()
    known = known.loc[known["model"].isin(counts.index[counts >= 2])]
    if known.empty:
        return
    own = known[known["model"] == tables.fullest(known)]
    middle = (np.log(own["hr_low"]) + np.log(own["hr_high"])) / 2
    errors = (np.log(own["hr_high"]) - np.log(own["hr_low"])) / (2 * Z)
    q, i2, tau2 = predictors_i2(middle, errors)
    if not math.isfinite(i2):
        return
    name = f"predictors_i2_{endpoint}"
    row = {"model": str(own["model"].iloc[0]), "terms": len(own), "q": q, "i2": i2, "tau2": tau2}
    tables.register(name, pd.DataFrame([row]))
    part.say(
        "For comparison with the founding study only: over the {terms} terms of {model}, I² is {i2} and τ² {tau2}. "
        "It has no meaning: terms of one model are no repeated estimates of one effect, and their units differ.",
        "仅供与原研究对照：{model} 的 {terms} 个模型项的 I² 为 {i2}，τ² 为 {tau2}。该数值没有意义："
        "同一模型的各项并非同一效应的重复估计，且单位各异。",
        terms=tables.number(name, 0, "terms", "d"),
        model=str(row["model"]),
        i2=tables.number(name, 0, "i2", "share"),
        tau2=tables.number(name, 0, "tau2", ".3g"),
    )
