"""Patient identifiers are taken out of everything that leaves with a report, unless they were asked for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from imrad.report.tables import RunTables

__all__ = ["Mask"]

COLUMNS = ("patient", "case", "sample")
FILES = ("series", "image", "mask", "path", "file")
SOURCES = (
    *(
        "splits.csv",
        "features.csv",
        "immune.csv",
        "clinical.csv",
        "raw/cases.csv",
        "raw/clinical.csv",
        "raw/immune.csv",
    ),
    *("extract/failures.csv", "extract/geometry.csv", "extract/quality.csv", "score/scores.csv"),
    "cohort/relevance.csv",
)
BARCODE = r"TCGA[-._]\w\w[-._]\w{4}(?:[-._]\w+)*"
PATH = r"(?:(?<=\s)|^)(?:[A-Za-z]:)?[/\\](?:[^\s/\\:;,]+[/\\])*[^\s/\\:;,]+"
HIDDEN = "[withheld]"


class Mask:
    """Replaces identifiers of patients in text and tables.

    Parameters
    ----------
    tables : RunTables
        Known identifiers are the patients, cases and samples of every table that the run holds.
    shown : bool
        Whether identifiers were asked for; nothing is changed then.
    """

    def __init__(self, tables: RunTables, *, shown: bool = False) -> None:
        self.shown = shown
        self._numbers: dict[str, str] = {}
        if shown:
            return
        known: set[str] = set()
        for path in SOURCES:
            table = tables.get(path)
            for name in COLUMNS:
                if table is not None and name in table.columns:
                    known |= {str(item) for item in table[name] if str(item)}
        splits = tables.get("splits.csv")
        order = [] if splits is None else sorted(set(splits["patient"].astype(str)))
        self._numbers = {patient: f"patient {number + 1}" for number, patient in enumerate(order)}
        # A name of one to three characters would be found inside ordinary words and numbers.
        long = sorted((item for item in known if len(item) > 3), key=lambda item: (-len(item), item))
        either = "|".join([BARCODE, *(re.escape(item) for item in long)])
        self._known = re.compile(rf"(?<![A-Za-z0-9])(?:{either})(?![A-Za-z0-9])")
        self._path = re.compile(PATH)

    def text(self, text: str) -> str:
        """Return a text without the identifiers that are known, and without paths."""
        if self.shown:
            return text
        return self._known.sub(HIDDEN, self._path.sub(HIDDEN, text))

    def patient(self, name: str) -> str:
        """Return a number in place of a patient's name."""
        return name if self.shown else self._numbers.get(name, HIDDEN)

    def table(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return a table with patients numbered, files left out, and texts without identifiers."""
        if self.shown:
            return table
        out = table.drop(columns=[name for name in FILES if name in table.columns])
        for name in out.columns:
            column = out[name]
            if name in COLUMNS:
                out = out.assign(**{name: [self.patient(str(item)) for item in column]})
            elif column.dtype == object or pd.api.types.is_string_dtype(column.dtype):
                change = self._reason if name in ("reason", "error", "note", "notes", "flags") else self._cell
                out = out.assign(**{str(name): [change(item) for item in column]})
        return out

    def _cell(self, item: Any) -> Any:
        return self.text(item) if isinstance(item, str) else item

    def _reason(self, item: Any) -> Any:
        """Also withhold what a reason lists after its colon: names that no table of the run knows."""
        if not isinstance(item, str):
            return item
        parts = []
        for part in item.split("; "):
            head, colon, tail = part.partition(": ")
            clean = self.text(head)
            listed = colon and clean == head and _looks_like_names(tail)
            parts.append(f"{clean}: {HIDDEN}" if listed else self.text(part))
        return "; ".join(parts)


def _looks_like_names(tail: str) -> bool:
    words = [word.strip() for word in tail.split(",")]
    return all(word and (" " not in word or word.startswith(("and ", "... "))) for word in words)
