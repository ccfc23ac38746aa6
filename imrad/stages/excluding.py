"""Exclusion of patients who were followed for too short a time, with the bias that it brings shown beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from imrad.exceptions import ConfigError
from imrad.stages import blocks

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["ShortFollowUp", "exclude_short"]

YEARS = (1, 2, 3, 4, 5)
LEAST_AT_RISK = 10


class ShortFollowUp(BaseModel):
    """Who is left out for a short follow-up."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    endpoint: str = Field(description="Survival endpoint whose time counts.")
    days: float = Field(gt=0, description="Patients with a shorter time are left out.")
    who: Literal["censored", "all"] = Field(
        "censored", description="Only those lost without the event, or those with an early event too (survivors only)."
    )


def exclude_short(data: AnnData, settings: ShortFollowUp) -> tuple[AnnData, dict[str, pd.DataFrame]]:
    """Leave out patients of short follow-up, name the loss, and compare.

    Returns
    -------
    data : AnnData
        The patients that are kept, with a row more in the attrition table.
    tables : dict of str to DataFrame
        ``excluded``: variable, level, n_kept, kept, n_excluded, excluded, p. ``exclusion_effect``:
        patients (all, kept), n, n_events, median_days with limits, and survival at each whole year that
        ten patients reach.

    Raises
    ------
    ConfigError
        If there is no such endpoint, or nobody would be left.
    """
    name = settings.endpoint
    if f"{name}_event" not in data.obs or f"{name}_days" not in data.obs:
        known = [str(column).removesuffix("_event") for column in data.obs.columns if str(column).endswith("_event")]
        near = blocks.nearest(name, known)
        message = f"assemble.short_follow_up: unknown endpoint '{name}'{near}; the cohort has {', '.join(known)}"
        raise ConfigError(message)
    time = data.obs[f"{name}_days"].to_numpy(dtype=float)
    event = data.obs[f"{name}_event"].to_numpy(dtype=float)
    short = time < settings.days
    if settings.who == "censored":
        short &= event == 0
    if short.all():
        message = f"assemble.short_follow_up: all {len(time)} patients have less than {settings.days:g} days of {name}"
        raise ConfigError(message)
    tables = {"excluded": _comparison(data, short, name), "exclusion_effect": _effect(time, event, short)}
    kept = data[~short].copy()
    kind = "lost" if settings.who == "censored" else "followed"
    lost = [str(patient) for patient in data.obs_names[short]]
    reason = f"{kind} within {settings.days:g} days of {name}: {', '.join(lost[:20])}" if lost else "nobody was lost"
    attrition = data.uns["imrad"]["attrition"]
    row = {"step": f"short follow-up ({name})", "n_in": len(time), "n_out": int((~short).sum()), "reason": reason}
    row["unit"] = "patients"
    added = pd.DataFrame([row])[list(attrition.columns)].astype(attrition.dtypes.to_dict())
    kept.uns["imrad"]["attrition"] = pd.concat([attrition, added], ignore_index=True)
    return kept, tables


def _comparison(data: AnnData, short: Any, endpoint: str) -> pd.DataFrame:
    from scipy import stats

    rows: list[dict[str, Any]] = []
    own = {f"{endpoint}_days", f"{endpoint}_event"}
    for name in data.obs.columns:
        column = data.obs[name]
        if name in own or str(name).endswith(("_days", "_event")) or column.nunique() < 2:
            continue
        base = {"variable": str(name), "n_kept": int((~short).sum()), "n_excluded": int(short.sum())}
        if pd.api.types.is_numeric_dtype(column.dtype) and column.nunique() > 2:
            values = column.to_numpy(dtype=float)
            parts = [part[np.isfinite(part)] for part in (values[~short], values[short])]
            told = [f"{np.median(part):.4g}" if len(part) else "" for part in parts]
            p = stats.mannwhitneyu(*parts).pvalue if min(map(len, parts)) else np.nan
            rows.append(base | {"level": "median", "kept": told[0], "excluded": told[1], "p": p})
            continue
        if column.nunique() > 6:
            continue
        text = column.astype(object).where(column.notna(), None)
        counts = pd.crosstab(text, short)
        p = stats.chi2_contingency(counts).pvalue if counts.shape[1] == 2 and counts.shape[0] > 1 else np.nan
        for number, level in enumerate(counts.index):
            told = []
            for part in (text[~short], text[short]):
                inside = int((part == level).sum())
                told.append(f"{inside} ({100 * inside / max(part.notna().sum(), 1):.0f} %)")
            rows.append(
                base | {"level": str(level), "kept": told[0], "excluded": told[1], "p": p if number == 0 else np.nan}
            )
    return pd.DataFrame(rows, columns=["variable", "level", "n_kept", "kept", "n_excluded", "excluded", "p"])


def _effect(time: Any, event: Any, short: Any) -> pd.DataFrame:
    from imrad.evaluation.kaplan_meier import kaplan_meier

    known = np.isfinite(time) & np.isfinite(event)
    rows = []
    for label, inside in (("all", known), ("kept", known & ~short)):
        curve = kaplan_meier(time[inside], event[inside] == 1)
        median, low, high = curve.median()
        row = {"patients": label, "n": int(inside.sum()), "n_events": int(event[inside].sum())}
        row |= {"median_days": median, "median_low": low, "median_high": high}
        for year in YEARS:
            if int((time[inside] >= 365.25 * year).sum()) >= LEAST_AT_RISK:
                row[f"survival_{year}y"] = float(curve.at([365.25 * year])["survival"].iloc[0])
        rows.append(row)
    return pd.DataFrame(rows)
