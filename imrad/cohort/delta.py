"""Delta features: how each feature changed from one time point to another, as rows of time points of their own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, model_validator

from imrad.cohort import keys
from imrad.cohort.attrition import Attrition
from imrad.cohort.clinical import to_dates
from imrad.exceptions import CohortError, SchemaError

__all__ = ["PREFIXES", "DeltaSettings", "add_delta", "delta_unit"]

PREFIXES = {"absolute": "delta", "relative": "delta_relative", "per_day": "delta_per_day"}
"""Prefix of the features of each kind of change: later minus earlier; that over the earlier; that over the days."""

_APART = ("phase", "sequence", "region", "label", "reader")


class DeltaSettings(BaseModel):
    """Which change is measured between which two time points."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    earlier: str = Field(alias="from", description="Time point before, as the column timepoint has it.")
    later: str = Field(alias="to", description="Time point after.")
    kinds: tuple[Literal["absolute", "relative", "per_day"], ...] = Field(
        default=("absolute",), min_length=1, description="Changes: later - earlier, that / earlier, that / days."
    )
    keep: tuple[str, ...] | None = Field(
        default=None, description="Time points whose own features stay beside the changes; else all, () for none."
    )

    @model_validator(mode="after")
    def _two(self) -> DeltaSettings:
        if self.earlier == self.later:
            message = f"from and to are both '{self.earlier}'; a change needs two time points"
            raise ValueError(message)
        return self


def add_delta(
    features: pd.DataFrame, about: pd.DataFrame, settings: DeltaSettings, lost: Attrition
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Add a row of changes for every patient, sequence, region and reader that has both time points.

    Parameters
    ----------
    features : DataFrame
        A row per case, index patient.
    about : DataFrame
        Same rows: ``timepoint``, for changes per day ``date``, and what else tells cases apart.
    settings : DeltaSettings
        What is measured. A relative change is NaN where the earlier value is 0.
    lost : Attrition
        Gets the patients who lack a time point; they are kept.

    Returns
    -------
    features, about : DataFrame
        The new rows have the time points of :data:`PREFIXES`.

    Raises
    ------
    SchemaError
        If there is no such column or time point, or a change per day has no dates.
    CohortError
        If a date lies before that of the earlier time point; naming the patients.
    """
    if "timepoint" not in about:
        message = "delta features need a column timepoint in the radiomics table; add it"
        raise SchemaError(message)
    times = about["timepoint"].map(str).to_numpy()
    there = list(dict.fromkeys(times))
    absent = [name for name in (settings.earlier, settings.later, *(settings.keep or ())) if name not in there]
    if absent:
        message = f"there is no time point '{absent[0]}'; the radiomics table has {', '.join(there)}"
        raise SchemaError(message)
    apart = [name for name in _APART if name in about]
    identity = pd.MultiIndex.from_arrays([features.index, *(about[name].map(str) for name in apart)])
    first = [row for row, name in enumerate(times) if name == settings.earlier]
    second = [row for row, name in enumerate(times) if name == settings.later]
    for rows in (first, second):
        twice = identity.take(rows)[identity.take(rows).duplicated()].unique()
        if len(twice):
            named = [" ".join(map(str, item)) if isinstance(item, tuple) else str(item) for item in twice]
            message = f"several rows for {keys.some(named)} at {times[rows[0]]}; keep one row per time point"
            raise SchemaError(message)
    place = {identity[row]: row for row in second}
    pairs = [(row, place[identity[row]]) for row in first if identity[row] in place]
    both = {str(features.index[row]) for row, _ in pairs}
    patients = [str(name) for name in features.index.unique()]
    without = [name for name in patients if name not in both]
    why = f"kept without changes, one time point only: {keys.some(without, 20)}" if without else "nobody was lost"
    lost.add(f"delta features, {settings.earlier} to {settings.later}", len(patients), len(patients), why)
    kept = np.ones(len(times), dtype=bool) if settings.keep is None else np.isin(times, settings.keep)
    parts, abouts = [features[kept]], [about[kept]]
    if pairs:
        before, after = features.iloc[[row for row, _ in pairs]], features.iloc[[row for _, row in pairs]]
        days = _days(about, pairs, settings) if "per_day" in settings.kinds else None
        change = after - before.to_numpy()
        for kind in settings.kinds:
            parts.append(_of_kind(kind, change, before, days))
            abouts.append(about.iloc[[row for _, row in pairs]].assign(timepoint=PREFIXES[kind]))
    return pd.concat(parts), pd.concat(abouts)


def _of_kind(kind: str, change: pd.DataFrame, before: pd.DataFrame, days: Any) -> pd.DataFrame:
    if kind == "absolute":
        return change
    values = change.to_numpy() / (before.where(before != 0).to_numpy() if kind == "relative" else days[:, None])
    return pd.DataFrame(values, index=change.index, columns=change.columns)


def _days(about: pd.DataFrame, pairs: list[tuple[int, int]], settings: DeltaSettings) -> Any:
    """Return the days from the earlier to the later scan of each pair, NaN where a date is missing."""
    if "date" not in about:
        message = "changes per day need a column date in the radiomics table; add the dates of the scans"
        raise SchemaError(message)
    dates, wrong = to_dates(about["date"])
    if wrong.any():
        odd = about["date"][wrong.to_numpy()]
        message = f"the date '{odd.iloc[0]}' of {keys.some(odd.index.unique())} is none; write YYYY-MM-DD"
        raise SchemaError(message)
    values = dates.to_numpy()
    days = np.array([(values[after] - values[before]) / np.timedelta64(1, "D") for before, after in pairs])
    bad = [str(about.index[before]) for (before, _), number in zip(pairs, days, strict=True) if number <= 0]
    if bad:
        message = (
            f"{settings.later} lies on or before the day of {settings.earlier} for {keys.some(dict.fromkeys(bad))}; "
            f"correct the dates, or take absolute or relative changes"
        )
        raise CohortError(message)
    return days


def delta_unit(name: str, unit: str) -> str:
    """Return the unit of a feature by its prefix: none for a relative change, per day for a change per day."""
    prefixes: Iterable[str] = name.split(":")[:-1]
    if PREFIXES["relative"] in prefixes:
        return ""
    if PREFIXES["per_day"] in prefixes:
        return f"{unit or '1'}/day"
    return unit
