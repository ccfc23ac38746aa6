"""The tables that a run has written, read once and only when a section asks for them."""

from __future__ import annotations

import json
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from imrad.run import Run

__all__ = ["RunTables"]


class RunTables:
    """Read-only view of a run directory for the report.

    Parameters
    ----------
    run : Run
        The run to be reported.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self._read: dict[str, pd.DataFrame | None] = {}

    def get(self, path: str) -> pd.DataFrame | None:
        """Return a table of the run, or None where no stage has written it or it is empty."""
        if path not in self._read:
            table = self.run.read(path) if self.run.has(path) else None
            self._read[path] = None if table is None or table.empty else table
        return self._read[path]

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
