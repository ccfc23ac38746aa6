"""How an image was acquired: what DICOM headers say of scanner, protocol and contrast, one plain value each."""

from __future__ import annotations

import re
from typing import Any

__all__ = ["ACQUISITION_TAGS", "acquisition", "contrast_phase"]

ACQUISITION_TAGS = [
    "Manufacturer", "ManufacturerModelName", "ConvolutionKernel", "ContrastBolusAgent", "KVP", "ProtocolName",
    "ContrastBolusAgentSequence", "SeriesDescription", "SliceThickness", "Modality",
    "SharedFunctionalGroupsSequence",
]  # fmt: skip

# No attribute of a CT slice names the phase; archives and hospitals write it into the series' description.
_PHASES = (
    ("unenhanced", r"unenhanced|native|plain|non?[ -]?contrast|without|w/o|\bpre\b|\bnc\b|\bi-"),
    ("excretory", r"excret\w*|urogra\w*|pyelogra\w*"),
    ("nephrographic", r"neph\w*"),
    ("corticomedullary", r"cortico\w*|\bcmp\b"),
    ("portal venous", r"portal|\bpv[p]?\b"),
    ("venous", r"venous|\bven\b"),
    ("arterial", r"arterial|\bart\b"),
    ("delayed", r"delay\w*"),
    ("enhanced", r"\benhanced|\bpost\b|\bwith contrast|\+ ?c\b|\bi\+|\bcect\b"),
)


def contrast_phase(description: str, agent: str = "") -> str:
    """Return the contrast phase that a series' description names.

    Parameters
    ----------
    description : str
        SeriesDescription and ProtocolName.
    agent : str
        ContrastBolusAgent, empty where none is named.

    Returns
    -------
    str
        ``unenhanced``, ``arterial``, ``corticomedullary``, ``portal venous``, ``venous``,
        ``nephrographic``, ``excretory``, ``delayed``; ``enhanced`` where there was contrast and no phase
        is named; ``several`` where the words contradict one another; empty where nothing is said.
    """
    text = re.sub(r"[_.,;:()]+", " ", description.lower())
    # "Delayed nephrographic" is one phase: the wider word only tells where no narrower one does.
    found = [name for name, words in _PHASES if re.search(words, text)]
    if re.search(r"with and without|without and with|\bw ?(?:&|and)? ?w/?o\b|w/?o ?(?:&|and|\+) ?w\b", text):
        return "several"
    narrow = [name for name in found if name not in ("enhanced", "delayed")] or found[:1]
    if "portal venous" in narrow and "venous" in narrow:
        narrow.remove("venous")
    if len(narrow) > 1 or {"unenhanced", "enhanced"} <= set(found):
        return "several"
    if narrow:
        return narrow[0]
    named = agent.strip().lower()
    return "enhanced" if named and named not in ("none", "no", "n", "without", "oral") else ""


def acquisition(head: Any) -> dict[str, Any]:
    """Return the acquisition of a series, by one of its headers.

    Parameters
    ----------
    head : pydicom.Dataset
        Of a slice, or of an enhanced multi-frame object.

    Returns
    -------
    dict
        ``modality``, ``manufacturer``, ``scanner_model``, ``convolution_kernel``, ``contrast_agent``,
        ``contrast_phase``, ``kvp``, ``slice_thickness_mm`` and ``series_description``: text, empty where
        the header is silent, or a number, NaN where it is.
    """
    shared = (head.get("SharedFunctionalGroupsSequence") or [{}])[0]
    agent = _text(head.get("ContrastBolusAgent"))
    if not agent and head.get("ContrastBolusAgentSequence"):
        agent = _text(head.ContrastBolusAgentSequence[0].get("CodeMeaning"))
    description = _text(head.get("SeriesDescription"))
    return {
        "modality": _text(head.get("Modality")),
        "manufacturer": _text(head.get("Manufacturer")),
        "scanner_model": _text(head.get("ManufacturerModelName")),
        "convolution_kernel": _text(_find(head, shared, "CTReconstructionSequence", "ConvolutionKernel")),
        "contrast_agent": agent,
        "contrast_phase": contrast_phase(f"{description} {_text(head.get('ProtocolName'))}", agent),
        "kvp": _number(_find(head, shared, "CTXRayDetailsSequence", "KVP")),
        "slice_thickness_mm": _number(_find(head, shared, "PixelMeasuresSequence", "SliceThickness")),
        "series_description": description,
    }


def _find(head: Any, shared: Any, sequence: str, keyword: str) -> Any:
    """Return an attribute of the header, or of the group that all frames of an enhanced object share."""
    value = head.get(keyword)
    if value in (None, "") and shared.get(sequence):
        value = shared.get(sequence)[0].get(keyword)
    return value


def _text(value: Any) -> str:
    if value is None:
        return ""
    parts = [value] if isinstance(value, (str, bytes)) else list(value) if hasattr(value, "__iter__") else [value]
    return " ".join(" ".join(str(part).split()) for part in parts).strip()


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")
