"""Dates and times of DICOM headers: whole, partial, with the colons of old exports, or without their dates."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any

from imrad.radiomics.dicom import read_dataset

__all__ = ["TIME_TAGS", "acquired_at", "clock", "date_time", "moment", "someday"]

TIME_TAGS = [
    "AcquisitionDateTime", "AcquisitionDate", "AcquisitionTime", "SeriesDate", "StudyDate", "TimezoneOffsetFromUTC",
    "TriggerTime",
]  # fmt: skip


def clock(value: Any) -> time | None:
    """Return a time of day (TM), or nothing where it is none."""
    text = str(value or "").strip().replace(":", "")
    found = re.fullmatch(r"(\d{2})(\d{2})?(\d{2})?(?:\.(\d{1,6}))?", text)
    if found is None:
        return None
    hour, minute, second = (int(part or 0) for part in found.groups()[:3])
    if hour > 23 or minute > 59 or second > 60:
        return None
    return time(hour, minute, min(second, 59), int((found.group(4) or "0").ljust(6, "0")))


def someday(at: time) -> datetime:
    """Return a time of day whose date is not known; the second of January leaves room for a day before."""
    return datetime.combine(datetime(1, 1, 2).date(), at)


def moment(head: Any, which: str) -> datetime | None:
    """Return the date and time of a header's ``Series`` or ``Acquisition``."""
    at = clock(head.get(f"{which}Time"))
    if at is None:
        return None
    # A date that was taken out is that of the other moment, or of the study.
    dates = (head.get(name) for name in (f"{which}Date", "AcquisitionDate", "SeriesDate", "StudyDate"))
    day = re.sub(r"\D", "", str(next((date for date in dates if date), "")))
    try:
        return datetime.combine(datetime.strptime(day[:8], "%Y%m%d").date(), at)
    except ValueError:
        return someday(at)


def date_time(value: Any, head: Any) -> datetime | None:
    """Return a date and time (DT) on the clock of the header that holds it, or nothing."""
    found = re.fullmatch(r"(\d{8})(\d{2,6}(?:\.\d{1,6})?)([+-]\d{4})?", str(value or "").strip())
    at = clock(found.group(2)) if found else None
    if found is None or at is None:
        return None
    try:
        result = datetime.combine(datetime.strptime(found.group(1), "%Y%m%d").date(), at)
    except ValueError:
        return None
    local = str(head.get("TimezoneOffsetFromUTC") or "").strip()
    if found.group(3) and re.fullmatch(r"[+-]\d{4}", local):
        result += _offset(local) - _offset(found.group(3))
    return result


def _offset(text: str) -> timedelta:
    shift = timedelta(hours=int(text[1:3]), minutes=int(text[3:5]))
    return -shift if text[0] == "-" else shift


def acquired_at(files: Sequence[Path]) -> tuple[datetime | None, float | None]:
    """Return when the earliest of a volume's files was acquired, and its least trigger delay in ms, as far as told."""
    moments: list[datetime | None] = []
    delays: list[float | None] = []
    for file in dict.fromkeys(files):
        head = read_dataset(file, pixels=False, tags=TIME_TAGS)
        moments.append(date_time(head.get("AcquisitionDateTime"), head) or moment(head, "Acquisition"))
        try:
            delays.append(float(head.get("TriggerTime")))
        except (TypeError, ValueError):
            delays.append(None)
    known, told = [at for at in moments if at is not None], [delay for delay in delays if delay is not None]
    return (min(known) if len(known) == len(moments) and known else None), (
        min(told) if len(told) == len(delays) and told else None
    )
