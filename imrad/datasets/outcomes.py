"""Clinical variables, survival and response of synthetic patients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from imrad.seeds import generator

__all__ = ["draw_clinical", "draw_response", "draw_survival", "hide_at_random"]

FloatArray = np.ndarray[Any, np.dtype[np.float64]]

_MEDIAN_DAYS = 1500.0
_WEIBULL_SHAPE = 1.2
_STAGES = np.array(["I", "II", "III", "IV"])


def draw_clinical(
    targets: pd.DataFrame,
    size: FloatArray,
    *,
    survival_effect: Mapping[str, float],
    clinical_effect: float,
    volume_effect: float,
    seed: int,
    draw: int,
) -> tuple[pd.DataFrame, FloatArray]:
    """Draw age, sex, stage (related to size) and grade; return them and the log hazard."""
    rng = generator(seed, "clinical", draw)
    n = len(targets)
    age = np.clip(np.round(rng.normal(62, 11, n)), 20, 90)
    stage = np.digitize(0.6 * size + 0.8 * rng.standard_normal(n), [-0.5, 0.3, 1.0])
    grade = np.digitize(0.5 * stage - 0.7 + rng.standard_normal(n), [-1.0, 0.0, 1.0])
    sex = np.where(rng.random(n) < 0.62, "male", "female")
    table = pd.DataFrame(
        {"age_years": age, "sex": sex, "stage": _STAGES[stage], "grade": [f"G{number + 1}" for number in grade]},
        index=targets.index,
    )
    log_hazard = clinical_effect * ((stage - 1.3) + 0.2 * (age - 62) / 10)
    log_hazard = log_hazard + volume_effect * size
    for name, effect in survival_effect.items():
        log_hazard = log_hazard + effect * targets[name].to_numpy()
    return table, np.asarray(log_hazard, dtype=float)


def draw_survival(log_hazard: FloatArray, event_rate: float, seed: int, draw: int, patients: pd.Index) -> pd.DataFrame:
    """Draw Weibull OS and PFI with censoring such that the wanted share has an OS event."""
    rng = generator(seed, "survival", draw)
    n = len(patients)
    scale = _MEDIAN_DAYS / np.log(2) ** (1 / _WEIBULL_SHAPE) * np.exp(-log_hazard / _WEIBULL_SHAPE)
    death = np.maximum(1.0, np.ceil(scale * rng.weibull(_WEIBULL_SHAPE, n)))
    progression = np.maximum(1.0, np.ceil(0.8 * scale * rng.weibull(_WEIBULL_SHAPE, n)))
    entry = rng.random(n) + 0.05
    # Death happens before a censoring time of c * entry as soon as c > death / entry: the wanted share of
    # events is a quantile of those ratios.
    ratio = np.sort(death / entry)
    n_events = round(event_rate * n)
    limit = ratio[-1] * 1.01 if n_events >= n else 0.5 * (ratio[max(n_events, 1) - 1] + ratio[max(n_events, 1)])
    censoring = np.maximum(1.0, np.floor(limit * entry))
    earliest = np.minimum(death, progression)
    return pd.DataFrame(
        {
            "os_days": np.minimum(death, censoring),
            "os_event": (death <= limit * entry).astype(float),
            "pfi_days": np.minimum(earliest, censoring),
            "pfi_event": (earliest <= limit * entry).astype(float),
        },
        index=patients,
    ).pipe(_at_least_one_day)


def _at_least_one_day(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(os_days=table["os_days"].clip(lower=1.0), pfi_days=table["pfi_days"].clip(lower=1.0))


def draw_response(signal: pd.DataFrame, effect: float, seed: int, draw: int) -> pd.DataFrame:
    """Draw response (1, 0, missing) and RECIST from the first target's image signal."""
    rng = generator(seed, "response", draw)
    n = len(signal)
    known = signal.iloc[:, 0].to_numpy() if signal.shape[1] else np.zeros(n)
    odds = effect * known - 0.6
    responds = rng.random(n) < 1 / (1 + np.exp(-odds))
    better = rng.random(n) < 0.15
    recist = np.where(responds, np.where(better, "CR", "PR"), np.where(rng.random(n) < 0.5, "SD", "PD")).astype(object)
    unknown = rng.random(n) < 0.04
    recist[unknown] = "NE"
    return pd.DataFrame({"response": np.where(unknown, np.nan, responds), "best_response": recist}, index=signal.index)


def hide_at_random(clinical: pd.DataFrame, rate: float, seed: int, draw: int) -> pd.DataFrame:
    """Remove clinical values at random; endpoints stay."""
    columns = [name for name in ("age_years", "sex", "stage", "grade") if name in clinical]
    hidden = generator(seed, "missing clinical", draw).random((len(clinical), len(columns))) < rate
    out = clinical.copy()
    out[columns] = clinical[columns].astype(object).mask(hidden, np.nan)
    return out
