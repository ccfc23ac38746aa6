"""Which CT series of a patient is used, and why: a stated policy, and its decisions as a table.

What the index tells (this module) is judged before anything is fetched; what only the image headers
tell (:mod:`data_connectors.dicom`) is judged after. In short:

1. Dropped by kind: not CT image storage, fewer than 20 images, localisers, bolus tracking, dose and
   protocol pages, reformats and projections, lung and bone reconstructions of an abdominal cohort,
   series of another part of the body, mixed encodings, secondary workstations.
2. A series that a tumour segmentation refers to is used whatever its name says.
3. Studies more than 60 days after the first usable one are dropped where nothing shows that the tumour
   was still there.
4. The phase asked for, or in the order venous, delayed, arterial, contrast of unknown phase, unknown,
   none. An unasked phase never stands in for one that was asked for.
5. Then soft kernels, the earlier study, more images (thinner slices, larger coverage), and the
   lexically first UID.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from typing import Any, Final

from data_connectors.errors import SelectionError

__all__ = ["COLUMNS", "MIN_IMAGES", "PHASES", "Row", "check_phase", "judge", "order", "phase_of"]

Row = dict[str, Any]

MIN_IMAGES: Final = 20
LATER_DAYS: Final = 60
PHASES: Final = ("arterial", "venous", "delayed", "best")

COLUMNS: Final = (
    "patient",
    "decision",
    "reason",
    "rank",
    "modality",
    "phase",
    "segmentation",
    "source_series",
    "series",
    "study",
    "study_date",
    "number",
    "description",
    "manufacturer",
    "images",
    "bytes",
    "bucket",
    "uuid",
    "licence",
    "doi",
)
"""Columns of the decisions table; `decision` is ``fetch``, ``candidate`` or ``drop``."""

CT_CLASSES = frozenset({"1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.2.1"})


def _words(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


# A letter or digit may not stand before or after the short words: RECON is not COR, SCORE is not SCO.
_DROPS: Final = (
    (_words(r"scout|topo|locali[sz]|locator|surv+iew|scanogram|^\s*ap\s*/\s*lat|^\s*lat\b"), "localiser"),
    (_words(r"smart\s*prep|bolus|monitor|premon|tracker|timing|test\s+inj"), "bolus tracking"),
    (
        _words(r"patient\s+protocol|^\s*protocol|^\s*dose|dose\s+(rep|info|rec|sum|page)|summary|screen\s*save|report"),
        "protocol or dose page",
    ),
    (
        _words(r"(?<![a-z])(cor|sag|obl|oblique)(?![a-z])|coron|sagit|reformat|curved"),
        "reformat in another plane",
    ),
    (_words(r"(?<![a-z])(mpr|mip|minip|vrt|spo|3d|ray\s*sum|volume render\w*)(?![a-z])"), "reformat or projection"),
    (_words(r"subtract|perfusion|processed|(?<![a-z])(cbf|mtt|diff)(?![a-z])"), "derived map"),
)
_LUNG_KERNEL = _words(r"(?<![a-z])lungs?(?![a-z])|hi\s*-?res|hrct|bone|(?<![a-z0-9])b(6|7|8)\d[fs]?(?![0-9])")
_SHARP_KERNEL = _words(
    r"lung\s+(recon|window|kernel|algo)|hi\s*-?res|hrct|bone|(?<![a-z0-9])b(5|6|7|8)\d[fs]?(?![0-9])"
)
_SOFT_KERNEL = _words(r"standard|soft|(?<![a-z])std?(?![a-z])|(?<![a-z0-9])b(2|3|4)\d[fs]?(?![0-9])")
_ABDOMEN = _words(r"abd|(?<![a-z])(a/?p|c/?a/?p|c-a-p|a-p|ap|cap)(?![a-z])|pel|kid|renal|liver|bladder")
_ELSEWHERE = {
    "abdomen": _words(r"chest|thorax|head|brain|neck|(?<![a-z])(femur|spine|knee|hip|sinus)(?![a-z])"),
    "chest": _words(r"head|brain|neck|(?<![a-z])(femur|spine|knee|hip|sinus)(?![a-z])"),
}

_PHASE_WORDS: Final = (
    (
        "none",
        _words(r"(?<![a-z])(non|no|without|w/o)[\s_-]*(con|iv|enh|c\b)|non[\s_-]*contrast|unenh|native|plain|przed"),
    ),
    ("none", _words(r"(?<![a-z])(pre|w/o|wo)(?![a-z])|(?<![a-z])i\s?-(?!\w)|^\s*-c(?![a-z])")),
    ("arterial", _words(r"(?<![a-z])art|cortico|(?<![a-z])cm\s+phase")),
    ("venous", _words(r"(?<![a-z])(ven|pv|portal|porto)|nephro")),
    ("delayed", _words(r"delay|excret|(?<![a-z])late(?![a-z])|(?<![0-9])\d{1,2}\s*min")),
    ("contrast", _words(r"(?<![a-z])(post|with|enhanced|omnipaque|isovue|contrast|w/(?!o))|\+\s*c(?![a-z])|i\s?\+")),
)
_SECONDS = _words(r"(?<![0-9])(\d{2,3})\s*sec")
_PREFERENCE: Final = {"venous": 0, "delayed": 1, "arterial": 2, "contrast": 3, "unknown": 4, "none": 5}


def phase_of(description: str) -> str:
    """Return the contrast phase that a series description names.

    Returns
    -------
    str
        ``none`` (no contrast), ``arterial``, ``venous`` (nephrographic included), ``delayed``,
        ``contrast`` (given, phase not named) or ``unknown``.

    Examples
    --------
    >>> [phase_of(text) for text in ("Arterial Phase  5.0  B30f", "Kids w/o", "3 MIN DELAY", "A/P (RENAL)")]
    ['arterial', 'none', 'delayed', 'unknown']
    """
    for phase, words in _PHASE_WORDS:
        if words.search(description):
            return phase
    delay = _SECONDS.search(description)
    if delay is not None:
        seconds = int(delay.group(1))
        return "arterial" if seconds < 50 else "venous" if seconds <= 110 else "delayed"
    return "unknown"


def check_phase(phase: str) -> None:
    """Raise SelectionError unless `phase` is one of :data:`PHASES`."""
    if phase not in PHASES:
        message = f"there is no phase {phase!r}; give one of {', '.join(PHASES)}"
        raise SelectionError(message)


def _kind_problem(row: Row, region: str) -> str:
    text = row["description"]
    if row["sop_class"] not in CT_CLASSES:
        return "not CT images (secondary capture)"
    if "," in row["syntax"]:
        return "images in several encodings"
    for words, reason in _DROPS:
        if words.search(text):
            return reason
    if row["images"] < MIN_IMAGES:
        return f"fewer than {MIN_IMAGES} images ({row['images']})"
    if row["manufacturer"].lower().startswith("barco"):
        return "made on a secondary workstation"
    if region == "abdomen" and _LUNG_KERNEL.search(text) and not _ABDOMEN.search(text):
        return "lung or bone reconstruction"
    elsewhere = _ELSEWHERE[region].search(text) or _ELSEWHERE["chest"].search(row["study_description"])
    if elsewhere and not _ABDOMEN.search(f"{text} {row['study_description']}"):
        return f"another part of the body ({elsewhere.group(0).lower()})"
    return ""


def judge(row: Row, region: str) -> Row:
    """Judge a CT series by what the index tells.

    Parameters
    ----------
    row : dict
        A row of :func:`data_connectors.idc.series_of`.
    region : str
        ``abdomen`` or ``chest``: which words mean another part of the body.

    Returns
    -------
    dict
        The row with `phase` and `problem` (empty where the series is usable).
    """
    return {**row, "phase": phase_of(row["description"]), "problem": _kind_problem(row, region)}


def order(rows: Sequence[Row], phase: str, *, segmented: bool = False) -> list[Row]:
    """Rank the judged CT series of one patient, best first; `problem` says why one is out of it.

    Parameters
    ----------
    rows : sequence of dict
        Judged rows.
    phase : str
        One of :data:`PHASES`.
    segmented : bool
        Whether segmentations refer to these series: then the time since the first study does not count.
    """
    check_phase(phase)
    ranked = [dict(row) for row in rows]
    for row in ranked:
        if not row["problem"] and phase not in ("best", row["phase"]):
            row["problem"] = f"the phase is {row['phase']} and {phase} was asked for"
    days = [_day(row) for row in ranked if not row["problem"]]
    first = min((day for day in days if day is not None), default=None)
    for row in ranked:
        day = _day(row)
        if not segmented and not row["problem"] and first is not None and day is not None and day > first + LATER_DAYS:
            row["problem"] = f"more than {LATER_DAYS} days after the first usable study, maybe after surgery"
    ranked.sort(key=_merit)
    for rank, row in enumerate(ranked, start=1):
        row["rank"] = rank
    return ranked


def _merit(row: Row) -> tuple[Any, ...]:
    return (
        bool(row["problem"]),
        _PREFERENCE[row["phase"]],
        _kernel_rank(row["description"]),
        _day(row) or 0,
        -row["images"],
        row["series"],
    )


def _day(row: Row) -> int | None:
    try:
        return date.fromisoformat(row["study_date"][:10]).toordinal()
    except ValueError:
        return None


def _kernel_rank(text: str) -> int:
    if _SHARP_KERNEL.search(text):
        return 2
    return 0 if _SOFT_KERNEL.search(text) else 1
