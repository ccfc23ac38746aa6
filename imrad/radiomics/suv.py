"""Standardised uptake values of PET: body weight over the injected activity, decayed to the scan.

The rules are those of the vendor-neutral pseudo-code of the Quantitative Imaging Biomarkers Alliance
(QIBA FDG-PET/CT profile 1.13, appendix G; https://qibawiki.rsna.org/index.php/Standardized_Uptake_Value_(SUV)),
with decay correction to the administration added.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from imrad.exceptions import ImageError
from imrad.radiomics.dicom import read_dataset
from imrad.radiomics.dicom_time import clock, date_time, moment, someday

__all__ = ["SuvScale", "suv_scale"]

_GE, _PHILIPS = (0x0009, "GEMS_PETD_01"), (0x7053, "Philips PET Private Group")
# Less than this injected is no adult's or child's dose in Bq: the value was written in MBq or mCi.
_LEAST_DOSE_BQ = 1e5
_MOST_HALF_LIVES = 10.0


@dataclass(frozen=True, slots=True)
class SuvScale:
    """What turns a PET series into SUV.

    Attributes
    ----------
    factors : dict
        SOPInstanceUID of each slice to the factor of its rescaled values, in g/ml per unit.
    note : str
        How it was found, with the numbers.
    """

    factors: dict[str, float]
    note: str


def suv_scale(files: Sequence[Path], name: object = "the series") -> SuvScale:
    """Return the factor that turns each slice of a PET series into SUV by body weight (g/ml).

    Parameters
    ----------
    files : sequence of Path
        All slices of one series: the scan starts with the earliest of them.
    name : object
        What to call the series in a message.

    Raises
    ------
    ImageError
        If the headers do not tell what SUV needs; the missing attributes are named.
    """
    # Private elements have no keyword: all but the pixels is read.
    heads = [read_dataset(file, pixels=False) for file in dict.fromkeys(files)]
    with warnings.catch_warnings(action="ignore"):
        # pydicom warns of each value that is written against the standard; what cannot be used is refused here.
        return _scale(heads, name)


def _scale(heads: list[Any], name: object) -> SuvScale:
    head = heads[0]
    modality = str(head.get("Modality", ""))
    if modality != "PT":
        message = (
            f"{name} is of modality {modality or 'unknown'} where SUV needs a PET series (PT); measure it as stored"
        )
        raise ImageError(message)
    units = str(head.get("Units") or "").upper()
    if units == "GML":
        return _as_stored(heads, name)
    _refuse_missing(head, name, units)
    if units == "CNTS":
        factors = [_philips(item, 0x00) for item in heads]
        if all(factors):
            return SuvScale(_by_uid(heads, factors), "SUV by Philips' own factor (7053,1000)")
        activity = [_philips(item, 0x09) for item in heads]
        if not all(activity):
            message = (
                f"SUV cannot be computed from {name}: its Units are CNTS and neither Philips' SUV factor (7053,1000) "
                f"nor its activity factor (7053,1009) is there; export the series in BQML"
            )
            raise ImageError(message)
        factor, note = _by_activity(heads, name)
        return SuvScale(_by_uid(heads, [factor * value for value in activity]), f"{note}, counts by (7053,1009)")
    if units != "BQML":
        message = (
            f"SUV cannot be computed from {name}: its Units (0054,1001) are {units} where BQML, CNTS or GML is needed; "
            f"export the series in BQML"
        )
        raise ImageError(message)
    factor, note = _by_activity(heads, name)
    return SuvScale(_by_uid(heads, [factor] * len(heads)), note)


def _by_uid(heads: Sequence[Any], factors: Sequence[float]) -> dict[str, float]:
    return {str(head.get("SOPInstanceUID", "")): factor for head, factor in zip(heads, factors, strict=True)}


def _as_stored(heads: Sequence[Any], name: object) -> SuvScale:
    kind = str(heads[0].get("SUVType") or "BW").upper()
    if kind != "BW":
        message = f"{name} holds SUV of type {kind} (0054,1006) where body weight (BW) is needed; export it as SUVbw"
        raise ImageError(message)
    return SuvScale(_by_uid(heads, [1.0] * len(heads)), "stored as SUV (GML)")


def _refuse_missing(head: Any, name: object, units: str) -> None:
    """Name every attribute that SUV needs and the header lacks, at once."""
    correction = str(head.get("DecayCorrection") or "").upper()
    corrected = {str(item).upper() for item in _many(head.get("CorrectedImage"))}
    given: dict[str, Any] = {
        "Units (0054,1001)": units,
        "CorrectedImage (0028,0051)": corrected,
        "DecayCorrection (0054,1102)": correction,
    }
    direct = units == "CNTS" and _philips(head, 0x00)
    if not direct:
        drug = _drug(head)
        given["PatientWeight (0010,1030)"] = _number(head.get("PatientWeight"))
        given["RadionuclideTotalDose (0018,1074)"] = _number(drug.get("RadionuclideTotalDose"))
        if correction != "ADMIN":
            given["RadionuclideHalfLife (0018,1075)"] = _number(drug.get("RadionuclideHalfLife"))
            start = drug.get("RadiopharmaceuticalStartDateTime") or drug.get("RadiopharmaceuticalStartTime")
            given["RadiopharmaceuticalStartTime (0018,1072)"] = start
            given["SeriesTime (0008,0031) or AcquisitionTime (0008,0032)"] = head.get("SeriesTime") or head.get(
                "AcquisitionTime"
            )
    missing = [tag for tag, value in given.items() if not value]
    if missing:
        message = (
            f"SUV cannot be computed from {name}: {_listed(missing)} {'is' if len(missing) == 1 else 'are'} missing, "
            f"empty or zero; complete the headers, or measure the series as stored"
        )
        raise ImageError(message)
    lacking = [word for word in ("ATTN", "DECY") if word not in corrected]
    if lacking:
        message = (
            f"SUV cannot be computed from {name}: it is corrected for {', '.join(sorted(corrected))} and not for "
            f"{_listed(lacking)} (0028,0051); give the attenuation- and decay-corrected series"
        )
        raise ImageError(message)
    if correction not in ("START", "ADMIN"):
        message = (
            f"SUV cannot be computed from {name}: its DecayCorrection (0054,1102) is {correction} where START or ADMIN "
            f"is needed; give the decay-corrected series"
        )
        raise ImageError(message)


def _by_activity(heads: Sequence[Any], name: object) -> tuple[float, str]:
    """Return grams of body weight per becquerel left of the injected activity."""
    head = heads[0]
    drug = _drug(head)
    weight_kg, dose_bq = _number(head.get("PatientWeight")), _number(drug.get("RadionuclideTotalDose"))
    if dose_bq < _LEAST_DOSE_BQ:
        message = (
            f"SUV cannot be computed from {name}: its RadionuclideTotalDose (0018,1074) of {dose_bq:g} Bq is no "
            f"injected dose, as if written in MBq; correct the header"
        )
        raise ImageError(message)
    if str(head.get("DecayCorrection")).upper() == "ADMIN":
        note = f"SUV by {weight_kg:g} kg and {dose_bq / 1e6:.6g} MBq, corrected to administration"
        return weight_kg * 1000.0 / dose_bq, note
    half_life_s = _number(drug.get("RadionuclideHalfLife"))
    decay_s = _decay_seconds(heads, half_life_s, name)
    left_bq = dose_bq * 2.0 ** (-decay_s / half_life_s)
    note = f"SUV by {weight_kg:g} kg and {dose_bq / 1e6:.6g} MBq injected {decay_s:g} s before the scan"
    return weight_kg * 1000.0 / left_bq, note


def _decay_seconds(heads: Sequence[Any], half_life_s: float, name: object) -> float:
    """Return the seconds from injection to the time that the series is decay-corrected to."""
    drug, scan = _drug(heads[0]), _scan_start(heads, half_life_s, name)
    start = date_time(drug.get("RadiopharmaceuticalStartDateTime"), heads[0])
    if start is None or scan.year == 1:
        # Without a date the injection was on the day of the scan, or, where its clock shows later, on the day before.
        at = start.time() if start is not None else clock(drug.get("RadiopharmaceuticalStartTime"))
        if at is None:
            message = (
                f"SUV cannot be computed from {name}: RadiopharmaceuticalStartTime (0018,1072) is "
                f"'{drug.get('RadiopharmaceuticalStartTime')}', no time of day; correct the header"
            )
            raise ImageError(message)
        start = datetime.combine(scan.date(), at) if scan.year > 1 else someday(at)
        if start > scan:
            start -= timedelta(days=1)
    decay_s = (scan - start).total_seconds()
    if decay_s < 0 or decay_s > _MOST_HALF_LIVES * half_life_s:
        where = f"{-decay_s:g} s after" if decay_s < 0 else f"{decay_s / half_life_s:.1f} half-lives before"
        message = (
            f"SUV cannot be computed from {name}: by its header the injection ({start:%Y-%m-%d %H:%M:%S}) was {where} "
            f"the scan ({scan:%Y-%m-%d %H:%M:%S}); correct RadiopharmaceuticalStartDateTime (0018,1078)"
        )
        raise ImageError(message)
    return decay_s


def _scan_start(heads: Sequence[Any], half_life_s: float, name: object) -> datetime:
    """Return when the scan began: the series' time, unless it was written after the acquisition."""
    series = moment(heads[0], "Series")
    acquired = sorted(
        (at, number) for number, head in enumerate(heads) if (at := moment(head, "Acquisition")) is not None
    )
    if series is not None and (not acquired or series <= acquired[0][0]):
        return series
    private = next((found for head in heads if (found := date_time(_private(head, *_GE, 0x0D), head))), None)
    if private is not None:
        return private
    if not acquired:
        message = (
            f"SUV cannot be computed from {name}: neither SeriesTime (0008,0031) nor AcquisitionTime (0008,0032) holds "
            f"a time; complete the headers"
        )
        raise ImageError(message)
    first, number = acquired[0]
    reference_s = _number(heads[number].get("FrameReferenceTime")) / 1000.0
    duration_s = _number(heads[number].get("ActualFrameDuration")) / 1000.0
    if reference_s > 0 and duration_s > 0:
        # The reference time is that of the frame's average count rate, which lies a little before its middle.
        decay = math.log(2.0) / half_life_s
        within = decay * duration_s
        average_s = math.log(within / -math.expm1(-within)) / decay
        return first - timedelta(seconds=reference_s) + timedelta(seconds=average_s)
    return first


def _drug(head: Any) -> Any:
    items = head.get("RadiopharmaceuticalInformationSequence")
    return items[0] if items else {}


def _private(head: Any, group: int, creator: str, element: int) -> Any:
    try:
        value = head.private_block(group, creator)[element].value
    except KeyError:
        # Without the element that names the block, it lies where its maker puts it.
        found = head.get((group, 0x1000 + element))
        value = None if found is None else found.value
    # An element of unknown representation comes as bytes.
    return value.decode("ascii", "ignore").strip("\x00 ") if isinstance(value, bytes) else value


def _philips(head: Any, element: int) -> float:
    return _number(_private(head, *_PHILIPS, element))


def _number(value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return 0.0
    return number if math.isfinite(number) and number > 0 else 0.0


def _many(value: Any) -> list[Any]:
    if value is None or value == "":
        return []
    return [value] if isinstance(value, str) else list(value)


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
