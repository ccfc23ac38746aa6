"""The tables that a run has written, read once and only when a section asks for them."""

from __future__ import annotations

import json
import math
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pandas as pd

from imrad.report.page import Number

if TYPE_CHECKING:
    from imrad.cards import Card
    from imrad.run import Run

__all__ = ["MODELS", "RunTables", "label"]

MODELS = ("Clinical+ImRad", "Clinical+Rad", "ImRad", "Clinical", "Rad", "Volume")
"""Which model is shown where there is room for one only: the fullest first."""


class RunTables:
    """Read-only view of a run directory for the report.

    Parameters
    ----------
    run : Run
        The run to be reported.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.cards: tuple[Card, ...] = ()
        self.statements: dict[str, str] = {}
        self._read: dict[str, pd.DataFrame | None] = {}

    def get(self, path: str) -> pd.DataFrame | None:
        """Return a table of the run (a flat JSON file is a table of one row), or None where it is absent or empty."""
        if path not in self._read:
            self._read[path] = self._open(path)
        return self._read[path]

    def _open(self, path: str) -> pd.DataFrame | None:
        if not self.run.has(path):
            return None
        if path.endswith(".json"):
            flat = {
                key: value
                for key, value in self.json(path).items()
                if value is None or isinstance(value, str | float | int)
            }
            return pd.DataFrame([flat])
        try:
            table = self.run.read(path)
        except pd.errors.EmptyDataError:
            return None
        if table.empty:
            return None
        for name in table.columns:
            # An empty cell of a text column is no word.
            if not pd.api.types.is_numeric_dtype(table[name].dtype) and _is_text(table[name]):
                table[name] = table[name].where(table[name].notna(), "")
        return table

    def register(self, name: str, table: pd.DataFrame) -> pd.DataFrame:
        """Make a table that the report counted together citable, under a name without a slash."""
        kept = table.reset_index(drop=True)
        self._read[name] = kept
        return kept

    def number(self, path: str, row: Any, column: str, spec: str) -> Number:
        """Return a number for use in text; the only way by which one gets there."""
        table = self.get(path)
        if table is None:
            message = f"{path} is not a table of this run"
            raise KeyError(message)
        value = table.loc[row, column]
        return Number(path, int(row), column, value, spec)

    def json(self, path: str) -> Any:
        """Return a JSON file of the run, or None."""
        target = self.run.folder / path
        return json.loads(target.read_text(encoding="utf-8")) if target.exists() else None

    @cached_property
    def endpoints(self) -> list[str]:
        """Endpoints that a fusion has written, in the config's order where it names them."""
        folder = self.run.folder / "survival"
        found = sorted(path.parent.name for path in folder.glob("*/models.csv")) if folder.is_dir() else []
        wanted = list(self.run.config.section("fuse").get("endpoints", []))
        return sorted(found, key=lambda name: (wanted.index(name) if name in wanted else len(wanted), name))

    @cached_property
    def responses(self) -> list[str]:
        """Binary endpoints that a fusion has written."""
        folder = self.run.folder / "response"
        return sorted(path.parent.name for path in folder.glob("*/models.csv")) if folder.is_dir() else []

    def response(self, endpoint: str, name: str) -> pd.DataFrame | None:
        """Return a table of a binary endpoint's fusion."""
        return self.get(f"response/{endpoint}/{name}.csv")

    def survival(self, endpoint: str, name: str) -> pd.DataFrame | None:
        """Return a table of an endpoint's fusion."""
        return self.get(f"survival/{endpoint}/{name}.csv")

    def external(self, endpoint: str) -> pd.DataFrame | None:
        """Return the values of an endpoint's models in another cohort."""
        return self.get(f"external/{endpoint}/models.csv")

    def fullest(self, table: pd.DataFrame) -> str:
        """Return the model to show where a table has several and there is room for one."""
        present = [str(name) for name in dict.fromkeys(table["model"])]
        return next((name for name in MODELS if name in present), present[-1])

    @property
    def is_tcga(self) -> bool:
        """Whether the patients are those of The Cancer Genome Atlas."""
        splits = self.get("splits.csv")
        return splits is not None and bool(splits["patient"].astype(str).str.match(r"TCGA-\w\w-\w{4}").mean() > 0.5)

    @property
    def has_treatment(self) -> bool:
        """Whether a treatment column was described with the cohort."""
        table = self.get("cohort/table1.csv")
        return table is not None and bool(
            table["variable"].astype(str).str.contains("treatment|therapy", case=False).any()
        )


def label(endpoint: str) -> str:
    """Return how a binary endpoint is called in sentences and headings: ``pcr`` is PCR, ``response`` Response."""
    words = endpoint.replace("_", " ")
    return words.upper() if len(words) <= 4 else words[:1].upper() + words[1:]


def finite(value: Any) -> bool:
    """Tell whether a cell holds a number."""
    return isinstance(value, int | float) and math.isfinite(value)


def _is_text(column: pd.Series[Any]) -> bool:
    return bool(column.map(lambda item: isinstance(item, str) or (isinstance(item, float) and math.isnan(item))).all())
