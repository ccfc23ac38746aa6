"""TCGA barcodes: patient, sample and aliquot, however a table spells them.

References
----------
NCI Genomic Data Commons, TCGA barcode:
https://docs.gdc.cancer.gov/Encyclopedia/pages/TCGA_Barcode/
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import pandas as pd

from imrad.cohort.keys import some
from imrad.exceptions import CohortError

__all__ = [
    "SAMPLE_TYPES",
    "AliquotRule",
    "Barcode",
    "choose_aliquots",
    "is_tcga",
    "mistyped",
    "parse_barcode",
    "patient_id",
]

AliquotRule = Literal["first", "gdac"]

SAMPLE_TYPES = {
    "01": "primary solid tumour",
    "02": "recurrent solid tumour",
    "03": "primary blood-derived cancer, peripheral blood",
    "05": "additional new primary",
    "06": "metastatic",
    "07": "additional metastatic",
    "10": "blood-derived normal",
    "11": "solid tissue normal",
    "12": "buccal cell normal",
    "14": "bone marrow normal",
}

_BARCODE = re.compile(
    r"""TCGA[-.](?P<site>[A-Z0-9]{2})[-.](?P<participant>[A-Z0-9]{4})
    (?:[-.](?P<sample_type>\d{2})(?P<vial>[A-Z])?
       (?:[-.](?P<portion>\d{2})(?P<analyte>[A-Z])?
          (?:[-.](?P<plate>[A-Z0-9]{4})(?:[-.](?P<center>\d{2}))?)?
          (?:[-.](?:DX|TS|BS|MS)[A-Z0-9]*(?:\.[^_]*)?)?
       )?
    )?
    (?:_(?P<series>.+))?""",
    re.VERBOSE | re.IGNORECASE,
)
_LOOK_ALIKE = str.maketrans("OIL", "011")
# Broad GDAC prefers analyte H over R over T for RNA and D over G, W, X for DNA.
_ANALYTE_ORDER = "HRTDGWX"


@dataclass(frozen=True, slots=True)
class Barcode:
    """One parsed TCGA barcode; parts that the text does not carry are empty.

    Attributes
    ----------
    text : str
        The barcode as it was written.
    patient : str
        The 12-character patient barcode with dashes, such as ``TCGA-CU-A0YR``.
    site : str
        Tissue source site, two characters.
    sample_type : str
        Two digits, a key of :data:`SAMPLE_TYPES`.
    vial, portion, analyte, plate, center : str
        The finer parts of an aliquot barcode.
    series : str
        What follows an underscore: the number of an image series in some feature tables.
    """

    text: str
    patient: str
    site: str
    sample_type: str = ""
    vial: str = ""
    portion: str = ""
    analyte: str = ""
    plate: str = ""
    center: str = ""
    series: str = ""


def parse_barcode(text: str) -> Barcode:
    """Parse a patient, sample, aliquot or slide barcode, or a case label with a series suffix.

    Raises
    ------
    CohortError
        If the text is not a TCGA barcode.
    """
    match = _BARCODE.fullmatch(str(text).strip())
    if match is None:
        message = f"{text!r} is not a TCGA barcode; one looks like TCGA-CU-A0YR or TCGA-CU-A0YR-01A-11R-A10U-07"
        raise CohortError(message)
    parts = {name: (value or "").upper() for name, value in match.groupdict().items()}
    participant = parts.pop("participant")
    parts["series"] = match["series"] or ""
    return Barcode(text=str(text), patient=f"TCGA-{parts['site']}-{participant}", **parts)


def is_tcga(text: str) -> bool:
    """Tell whether a text is a TCGA barcode of any depth."""
    return _BARCODE.fullmatch(str(text).strip()) is not None


def patient_id(text: object) -> str:
    """Return the patient that an identifier belongs to.

    A TCGA barcode gives its 12-character patient barcode; any other identifier is the hospital's
    own and is returned as it is, without the blanks around it. A whole number that a spreadsheet
    turned into ``1001.0`` is ``1001``.
    """
    if isinstance(text, float) and text.is_integer():
        text = int(text)
    plain = str(text).strip()
    match = _BARCODE.fullmatch(plain)
    return plain if match is None else f"TCGA-{match['site']}-{match['participant']}".upper()


def mistyped(label: str, known: Collection[str]) -> str | None:
    """Return the known patient whose barcode differs only in letters that look like digits.

    The letters O, I and L occur in true barcodes, so nothing is corrected here: a label that the
    registry does not know is only compared with those that it does know.
    """
    if label in known or not is_tcga(label):
        return None
    folded = label.upper().translate(_LOOK_ALIKE)
    matches = [name for name in known if name.upper().translate(_LOOK_ALIKE) == folded]
    return matches[0] if len(matches) == 1 else None


def choose_aliquots(
    labels: Sequence[str], *, sample_types: Sequence[str] = ("01",), rule: AliquotRule = "first"
) -> pd.DataFrame:
    """Choose one row per patient among samples and aliquots.

    Parameters
    ----------
    labels : sequence of str
        Sample or aliquot barcodes, one per row of a table, dots or dashes.
    sample_types : sequence of str
        Sample types to keep, most wanted first; a barcode without a sample type is kept.
    rule : {"first", "gdac"}
        Among a patient's aliquots of the same sample type: ``first`` takes the lowest barcode (vial
        A before B, so a frozen before a paraffin sample); ``gdac`` takes vial A before B, the
        analyte in Broad GDAC's order, then the highest portion and plate. Of identical barcodes
        the first row is taken.

    Returns
    -------
    DataFrame
        One row per label, in order: label, patient, chosen (bool), reason (why not).

    Raises
    ------
    CohortError
        If a label is not a TCGA barcode or the rule has no such name.
    """
    if rule not in get_args(AliquotRule):
        message = f"aliquot rule {rule!r} is not known; choose one of {', '.join(get_args(AliquotRule))}"
        raise CohortError(message)
    barcodes = [parse_barcode(label) for label in labels]
    wanted = {kind: rank for rank, kind in enumerate(sample_types)}

    def order(row: int) -> tuple[object, ...]:
        code = barcodes[row]
        kind = wanted.get(code.sample_type, -1)
        if rule == "first":
            return (kind, code.vial, code.portion, code.analyte, code.plate, code.center, row)
        analyte = _ANALYTE_ORDER.find(code.analyte) % (len(_ANALYTE_ORDER) + 1)
        return (kind, code.vial, analyte, _reversed(code.portion), _reversed(code.plate), row)

    reasons = [""] * len(barcodes)
    rows_of: dict[str, list[int]] = {}
    for row, code in enumerate(barcodes):
        if code.sample_type and code.sample_type not in wanted:
            kind = SAMPLE_TYPES.get(code.sample_type, "another sample type")
            reasons[row] = f"sample type {code.sample_type} ({kind})"
        else:
            rows_of.setdefault(code.patient, []).append(row)
    for rows in rows_of.values():
        best = min(rows, key=order)
        for row in rows:
            if row != best:
                reasons[row] = f"another aliquot of the patient was chosen by the rule {rule!r}"
    return pd.DataFrame(
        {
            "label": [code.text for code in barcodes],
            "patient": [code.patient for code in barcodes],
            "chosen": pd.Series([not reason for reason in reasons], dtype=bool),
            "reason": reasons,
        }
    )


def _reversed(text: str) -> tuple[int, ...]:
    return tuple(-ord(letter) for letter in text)


def refuse_unknown_patients(labels: Sequence[str]) -> None:
    """Refuse empty identifiers, naming the rows.

    Raises
    ------
    CohortError
        If an identifier is empty or missing.
    """
    empty = [row for row, label in enumerate(labels, start=1) if pd.isna(label) or not str(label).strip()]
    if empty:
        message = f"rows {some(empty)} have no patient identifier; fill the column or delete the rows"
        raise CohortError(message)
