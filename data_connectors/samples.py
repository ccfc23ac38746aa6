"""Sample barcodes, and which one aliquot stands for a patient, by stated rules.

1. Primary tumours only (sample type 01; 03 for leukaemia); a patient without one is reported, never
   served by a normal or a metastasis.
2. Formalin-fixed samples and samples marked ``Do_not_use`` are dropped.
3. Vial A first; analyte R before T for RNA, D before G, W and X for DNA; then the highest plate; then the
   lexically last barcode.

References
----------
GDC Encyclopedia, TCGA Barcode.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

__all__ = ["DECISION_COLUMNS", "Aliquot", "choose_aliquots", "tidy_barcode"]

PRIMARY: Final = ("01", "03")
ANALYTES: Final = {"expression": "RTH", "mutations": "DGWX"}
DECISION_COLUMNS: Final = ("patient", "kind", "barcode", "file_id", "decision", "reason")

_BARCODE = re.compile(
    r"^(?P<patient>TCGA-[A-Z0-9]{2}-[A-Z0-9]{4})(?:-(?P<type>\d{2})(?P<vial>[A-Z])?)?"
    r"(?:-(?P<portion>\d{2})(?P<analyte>[A-Z])?)?(?:-(?P<plate>[A-Z0-9]{4}))?(?:-(?P<center>\d{2}))?$"
)


def tidy_barcode(text: str) -> str:
    """Return a barcode in capitals with dashes; other text only stripped.

    Examples
    --------
    >>> tidy_barcode(" tcga.or.a5jg.01a.11r.a29s.07")
    'TCGA-OR-A5JG-01A-11R-A29S-07'
    """
    plain = re.sub(r"[._]", "-", text.strip().upper())
    return plain if plain.startswith("TCGA-") else text.strip()


@dataclass(frozen=True)
class Aliquot:
    """One aliquot's file: whose it is, and what decides whether it is used.

    Attributes
    ----------
    patient, barcode, file_id : str
        Case, aliquot and file.
    sample_type : str
        In words, for programmes whose barcodes do not tell it.
    fixed : bool
        Whether the sample was fixed in formalin.
    """

    patient: str
    barcode: str
    file_id: str
    sample_type: str = ""
    fixed: bool = False

    def problem(self, unusable: frozenset[str]) -> str:
        """Say why this aliquot cannot stand for the patient, or nothing."""
        found = _BARCODE.match(self.barcode)
        if found is not None and found["type"]:
            if found["type"] not in PRIMARY:
                return f"sample type {found['type']} is not a primary tumour"
        elif "primary tumor" not in self.sample_type.lower():
            return f"{self.sample_type or 'unknown sample type'} is not a primary tumour"
        if self.fixed:
            return "formalin-fixed"
        if self.barcode in unusable:
            return "marked Do_not_use in the sample quality annotations"
        return ""

    def merit(self, kind: str) -> tuple[bool, int, str, str]:
        """Return what the better aliquot has more of."""
        found = _BARCODE.match(self.barcode)
        vial = (found and found["vial"]) or ""
        analyte = (found and found["analyte"]) or ""
        wanted = ANALYTES[kind]
        place = wanted.find(analyte) if analyte else -1
        return vial == "A", -place if place >= 0 else -len(wanted), (found and found["plate"]) or "", self.barcode


def choose_aliquots(
    aliquots: Iterable[Aliquot], kind: str, patients: Sequence[str], unusable: frozenset[str] = frozenset()
) -> tuple[dict[str, Aliquot], list[dict[str, str]]]:
    """Choose one aliquot per patient.

    Parameters
    ----------
    aliquots : iterable of Aliquot
        All that a service offers.
    kind : str
        ``expression`` or ``mutations``: which analyte is preferred.
    patients : sequence of str
        For whom.
    unusable : frozenset of str
        Barcodes marked ``Do_not_use``.

    Returns
    -------
    tuple
        The chosen aliquot by patient, and a decisions table (columns :data:`DECISION_COLUMNS`) with every
        aliquot and every patient who has none.
    """
    by_patient: dict[str, list[Aliquot]] = {name: [] for name in patients}
    for one in aliquots:
        if one.patient in by_patient:
            by_patient[one.patient].append(one)
    chosen: dict[str, Aliquot] = {}
    decisions: list[dict[str, str]] = []
    for name, offered in by_patient.items():
        problems = {one.file_id: one.problem(unusable) for one in offered}
        usable = sorted((one for one in offered if not problems[one.file_id]), key=lambda one: one.merit(kind))
        if usable:
            chosen[name] = usable[-1]
        elif not offered:
            decisions.append(_decision(name, kind, "", "", "missing", "the service has no open file"))
        for one in sorted(offered, key=lambda one: (one.barcode, one.file_id)):
            if usable and one is usable[-1]:
                decisions.append(_decision(name, kind, one.barcode, one.file_id, "use", "first by the rules"))
            else:
                reason = problems[one.file_id] or f"{usable[-1].barcode} comes first by the rules"
                decisions.append(_decision(name, kind, one.barcode, one.file_id, "drop", reason))
    return chosen, decisions


def _decision(*values: str) -> dict[str, str]:
    return dict(zip(DECISION_COLUMNS, values, strict=True))
