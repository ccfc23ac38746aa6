"""Endpoints: which time and which event, in days, checked before anyone fits them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from imrad.cohort.clinical import to_dates, to_numbers
from imrad.cohort.keys import days_column, event_column, some
from imrad.cohort.responses import read_responses
from imrad.exceptions import CohortError, ConfigError, SchemaError, TooFewEventsError

__all__ = ["DAYS_PER", "ENDPOINTS", "Endpoint", "endpoint_known", "parse_endpoint", "read_endpoint", "survival_y"]

DAYS_PER = {"days": 1.0, "weeks": 7.0, "months": 365.25 / 12, "years": 365.25}

ENDPOINTS = {
    "os": ("Overall survival", "death from any cause"),
    "dss": ("Disease-specific survival", "death from the tumour; other deaths are censored"),
    "css": ("Cancer-specific survival", "death from the tumour; other deaths are censored"),
    "pfi": (
        "Progression-free interval",
        "progression, new tumour event or death with tumour; other deaths are censored",
    ),
    "pfs": ("Progression-free survival", "progression or death from any cause"),
    "dfi": ("Disease-free interval", "recurrence after a disease-free state; deaths without it are censored"),
    "dfs": ("Disease-free survival", "recurrence or death from any cause"),
    "rfs": ("Recurrence-free survival", "recurrence or death from any cause"),
    "efs": ("Event-free survival", "progression, recurrence, end of treatment for failure, or death"),
    "mfs": ("Metastasis-free survival", "distant metastasis or death from any cause"),
    "response": ("Response", "complete or partial response by RECIST 1.1"),
    "pcr": ("Pathological complete response", "no viable tumour in the resected specimen"),
    "ttp": ("Time to progression", "progression; deaths without it are censored"),
}

_BINARY = {"response", "pcr"}
_HAPPENED = {
    "1",
    "1.0",
    "true",
    "yes",
    "y",
    "dead",
    "deceased",
    "event",
    "died",
    "progressed",
    "recurred",
    "是",
    "死亡",
}
_CENSORED = {"0", "0.0", "false", "no", "n", "alive", "living", "censored", "disease free", "否", "存活", "生存"}


@dataclass(frozen=True)
class Endpoint:
    """Where an endpoint's time and event come from.

    Attributes
    ----------
    name : str
        Short lower-case name, such as ``os``; the cohort then has ``os_days`` and ``os_event``.
    time, event : str
        Columns of the clinical table; empty where the endpoint is built from dates.
    unit : str
        Unit of `time`: days, weeks, months (of 365.25 / 12 days) or years (of 365.25 days).
    start : str
        Column of the date at which time begins, when built from dates.
    event_dates : tuple of str
        Columns of event dates, empty where none happened; the earliest counts.
    last : str
        Column of the last date at which the patient was known to be without the event.
    response : str
        Column of a binary endpoint (RECIST, pathological response, yes or no); the cohort then has one
        column of the endpoint's name, 1.0, 0.0 or missing.
    """

    name: str
    time: str = ""
    event: str = ""
    unit: str = "days"
    start: str = ""
    event_dates: tuple[str, ...] = ()
    last: str = ""
    response: str = ""

    @property
    def kind(self) -> str:
        """``survival`` or ``binary``."""
        return "binary" if self.response else "survival"

    @property
    def title(self) -> str:
        """The endpoint's name in words."""
        return ENDPOINTS.get(self.name, (self.name.upper(), ""))[0]

    @property
    def definition(self) -> str:
        """What counts as the event; empty for a name that is not a standard one."""
        return ENDPOINTS.get(self.name, ("", ""))[1]

    @property
    def columns(self) -> tuple[str, ...]:
        """The clinical columns that the endpoint is read from."""
        if self.response:
            return (self.response,)
        return (self.time, self.event) if self.time else (self.start, *self.event_dates, self.last)

    @property
    def obs_columns(self) -> tuple[str, ...]:
        """The columns that the cohort has for it."""
        return (self.name,) if self.response else (days_column(self.name), event_column(self.name))


def parse_endpoint(text: str) -> Endpoint:
    """Read an endpoint from the command line or a config.

    Four forms: ``os`` (the columns are ``os_days`` and ``os_event``); ``os=TIME,EVENT`` (the unit is
    the ending of the time's name, ``os_months``, else days; ``OS.time:months`` states it);
    ``pfs=START,EVENT_DATE|EVENT_DATE,LAST_DATE`` (dates); and ``response=COLUMN`` (binary: RECIST 1.1,
    where CR and PR respond, SD and PD do not and NE is missing; pCR or non-pCR; yes or no; 1 or 0).

    Raises
    ------
    ConfigError
        If the text has none of these forms.
    """
    name, equals, columns = (part.strip() for part in text.partition("="))
    parts = [part.strip() for part in columns.split(",")] if equals else [days_column(name), event_column(name)]
    one_column_too_few = len(parts) == 1 and name.lower() in ENDPOINTS and name.lower() not in _BINARY
    if one_column_too_few or not name.replace("_", "").isalnum() or len(parts) > 3 or not all(parts):
        message = (
            f"endpoint {text!r} cannot be read; write NAME, NAME=TIME_COLUMN,EVENT_COLUMN, "
            "NAME=START_DATE,EVENT_DATE|EVENT_DATE,LAST_DATE or NAME=RESPONSE_COLUMN, such as os=os_days,os_event"
        )
        raise ConfigError(message)
    name = name.lower()
    if len(parts) == 1:
        return Endpoint(name, response=parts[0])
    if len(parts) == 3:
        dates = tuple(part.strip() for part in parts[1].split("|") if part.strip())
        return Endpoint(name, start=parts[0], event_dates=dates, last=parts[2])
    time, unit = parts[0], ""
    if ":" in time:
        time, unit = (part.strip() for part in time.rsplit(":", 1))
        if unit not in DAYS_PER:
            message = f"endpoint {text!r}: {unit!r} is not a unit of time; choose one of {', '.join(DAYS_PER)}"
            raise ConfigError(message)
    inferred = next((known for known in DAYS_PER if time.lower().endswith((f"_{known}", f".{known}"))), "days")
    return Endpoint(name, time=time, event=parts[1], unit=unit or inferred)


def read_endpoint(clinical: pd.DataFrame, endpoint: Endpoint) -> pd.DataFrame:
    """Read an endpoint from a clinical table whose index is the patient.

    Returns
    -------
    DataFrame
        Index as `clinical`; columns ``<name>_days`` (float) and ``<name>_event`` (1.0, 0.0); both
        NaN where the endpoint is not known. Of a binary endpoint, one column of its name.

    Raises
    ------
    SchemaError
        If a column is missing.
    CohortError
        If a time is negative or not a number, an event is not binary, one of time and event is
        missing alone, or a date lies before the start.
    """
    missing = [column for column in endpoint.columns if column not in clinical.columns]
    if missing:
        message = (
            f"endpoint {endpoint.name}: the clinical table has no column {', '.join(missing)}; "
            f"its columns are {some(clinical.columns, 12)}"
        )
        raise SchemaError(message)
    if endpoint.response:
        return read_responses(clinical[endpoint.response], endpoint.name).to_frame(endpoint.name)
    if endpoint.time:
        days = _numbers(clinical[endpoint.time], endpoint) * DAYS_PER[endpoint.unit]
        event = _events(clinical[endpoint.event], endpoint)
    else:
        days, event = _from_dates(clinical, endpoint)
    table = pd.DataFrame(
        {days_column(endpoint.name): days, event_column(endpoint.name): event}, index=clinical.index, dtype=float
    )
    check_endpoint(table, endpoint.name)
    return table


def check_endpoint(obs: pd.DataFrame, name: str) -> None:
    """Refuse times and events that no survival model can use.

    Raises
    ------
    CohortError
        If a time is negative or infinite, an event is neither 0 nor 1, or one of the two is missing.
    """
    days, event = obs[days_column(name)].astype(float), obs[event_column(name)].astype(float)
    alone = obs.index[days.isna() != event.isna()]
    negative = obs.index[(days < 0) | np.isinf(days)]
    unclear = obs.index[event.notna() & ~event.isin([0.0, 1.0])]
    for patients, what, remedy in (
        (unclear, "events that are neither 0 nor 1", "code the event as 1 where it happened and 0 where censored"),
        (alone, "only one of time and event", "fill the other or empty both"),
        (negative, "negative or infinite times", "correct the times or drop the patients"),
    ):
        if len(patients):
            message = f"endpoint {name}: {what} for {some(patients)} ({len(patients)} of {len(obs)}); {remedy}"
            raise CohortError(message)


def endpoint_known(obs: pd.DataFrame, name: str) -> pd.Series[bool]:
    """Tell for each patient whether the endpoint's time and event are known.

    Raises
    ------
    SchemaError
        If the cohort has no such endpoint.
    """
    if name in obs.columns and days_column(name) not in obs.columns:
        return obs[name].notna()
    _need(obs, name)
    return obs[days_column(name)].notna() & obs[event_column(name)].notna()


def survival_y(obs: pd.DataFrame, name: str) -> np.ndarray[Any, Any]:
    """Return an endpoint as the structured array that scikit-survival takes.

    Parameters
    ----------
    obs : DataFrame
        A cohort's obs, restricted to patients whose endpoint is known (:func:`endpoint_known`).
    name : str
        The endpoint, such as ``os``.

    Returns
    -------
    ndarray of shape (n_patients,)
        Fields ``event`` (bool, True where it happened) and ``time`` (float, days).

    Raises
    ------
    SchemaError
        If the cohort has no such endpoint.
    CohortError
        If a time is missing or negative, or an event is not binary.
    TooFewEventsError
        If every patient is censored.
    """
    unknown = obs.index[~endpoint_known(obs, name)]
    check_endpoint(obs, name)
    if len(unknown):
        message = (
            f"endpoint {name}: time and event are missing for {len(unknown)} of {len(obs)} patients "
            f"({some(unknown)}); drop them first"
        )
        raise CohortError(message)
    event = obs[event_column(name)].to_numpy(dtype=float) == 1.0
    refuse_all_censored(event, name)
    y = np.empty(len(obs), dtype=[("event", bool), ("time", float)])
    y["event"], y["time"] = event, obs[days_column(name)].to_numpy(dtype=float)
    return y


def refuse_all_censored(event: np.ndarray[Any, Any], name: str) -> None:
    """Refuse an endpoint without a single event.

    Raises
    ------
    TooFewEventsError
        If no event happened.
    """
    if not np.nansum(np.asarray(event, dtype=float)):
        message = (
            f"endpoint {name}: all {len(event)} patients are censored, so no model can be fitted; "
            "check which value of the event column means that it happened"
        )
        raise TooFewEventsError(message)


def refuse_one_outcome(obs: pd.DataFrame, endpoint: Endpoint) -> None:
    """Refuse an endpoint that is alike in all patients: all censored, or all of one response.

    Raises
    ------
    TooFewEventsError
        If no model can be fitted to it.
    """
    known = obs[endpoint.obs_columns[-1]].dropna().to_numpy(dtype=float)
    if endpoint.kind == "survival":
        refuse_all_censored(known, endpoint.name)
    elif len(set(known)) < 2:
        message = (
            f"endpoint {endpoint.name}: all {len(known)} patients with a known response have the same one, "
            "so no model can be fitted; check the column"
        )
        raise TooFewEventsError(message)


def _need(obs: pd.DataFrame, name: str) -> None:
    if days_column(name) not in obs.columns or event_column(name) not in obs.columns:
        known = [column.removesuffix("_event") for column in map(str, obs.columns) if column.endswith("_event")]
        message = f"the cohort has no endpoint {name!r}; it has {', '.join(known) or 'none'}"
        raise SchemaError(message)


def as_endpoints(endpoints: str | Endpoint | Iterable[str | Endpoint] | Mapping[str, str]) -> list[Endpoint]:
    """Return endpoints however they were named: one, a list, or a mapping of name to columns."""
    if isinstance(endpoints, str | Endpoint):
        endpoints = [endpoints]
    if isinstance(endpoints, Mapping):
        endpoints = [f"{name}={columns}" for name, columns in endpoints.items()]
    parsed = [item if isinstance(item, Endpoint) else parse_endpoint(item) for item in endpoints]
    names = [item.name for item in parsed]
    if len(set(names)) < len(names):
        message = f"endpoint names must differ; found {', '.join(names)}"
        raise ConfigError(message)
    return parsed


def _numbers(column: pd.Series[Any], endpoint: Endpoint) -> pd.Series[float]:
    numbers, wrong = to_numbers(column)
    if wrong.any():
        patients = column.index[wrong]
        message = (
            f"endpoint {endpoint.name}: the time column {column.name} holds {str(column[patients[0]])!r} "
            f"for {some(patients)}; it must hold numbers of {endpoint.unit}"
        )
        raise CohortError(message)
    return numbers


def _events(column: pd.Series[Any], endpoint: Endpoint) -> pd.Series[float]:
    def read(value: Any) -> float:
        if pd.isna(value) or not str(value).strip():
            return np.nan
        text = str(value).strip().lower()
        # cBioPortal writes 1:DECEASED and 0:LIVING.
        code = text.split(":", 1)[0] if ":" in text else text
        return 1.0 if code in _HAPPENED else 0.0 if code in _CENSORED else -1.0

    events = pd.Series([read(value) for value in column], index=column.index, dtype=float)
    wrong = column.index[events == -1.0]
    if len(wrong):
        values = sorted({str(column[name]) for name in wrong[:50]})
        message = (
            f"endpoint {endpoint.name}: the event column {column.name} holds {some(values)} for {some(wrong)}; "
            "it must hold 1 (happened) and 0 (censored)"
        )
        raise CohortError(message)
    return events


def _from_dates(clinical: pd.DataFrame, endpoint: Endpoint) -> tuple[pd.Series[float], pd.Series[float]]:
    def dates(column: str) -> pd.Series[Any]:
        read, wrong = to_dates(clinical[column])
        if wrong.any():
            patients = clinical.index[wrong]
            message = (
                f"endpoint {endpoint.name}: {column} holds {str(clinical[column][patients[0]])!r} "
                f"for {some(patients)}; write dates as YYYY-MM-DD"
            )
            raise CohortError(message)
        return read

    start, last = dates(endpoint.start), dates(endpoint.last)
    first_event = pd.concat([dates(column) for column in endpoint.event_dates], axis=1).min(axis=1)
    happened = first_event.notna()
    end = first_event.where(happened, last)
    early = clinical.index[(end < start).to_numpy()]
    if len(early):
        message = (
            f"endpoint {endpoint.name}: the event or last contact of {some(early)} lies before {endpoint.start}; "
            "correct the dates or drop the patients"
        )
        raise CohortError(message)
    days = (end - start).dt.total_seconds() / 86400.0
    return days, happened.astype(float).where(days.notna())


def endpoint_table(endpoints: Sequence[Endpoint]) -> pd.DataFrame:
    """Return the endpoints as the table that a cohort carries in ``uns``."""
    return pd.DataFrame(
        [
            {
                "name": item.name,
                "kind": item.kind,
                "title": item.title,
                "event": item.definition,
                "columns": ", ".join(item.columns),
            }
            for item in endpoints
        ],
        columns=["name", "kind", "title", "event", "columns"],
        dtype=object,
    )
