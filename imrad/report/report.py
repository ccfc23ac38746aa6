"""The report of a run: sections in the reader's order, written as one page and a data folder."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from imrad import content
from imrad.report import html
from imrad.report.displays import Display
from imrad.report.page import Section, Shown
from imrad.report.sections import SECTIONS
from imrad.report.tables import RunTables

if TYPE_CHECKING:
    from imrad.run import Run

__all__ = ["Report"]


class Report:
    """Draws what a run has written; it fits nothing.

    Parameters
    ----------
    run : Run
        A run directory whose stages are done; sections without data say what would fill them.
    language : {"en", "zh"}
        Of headings and verdict.
    """

    def __init__(self, run: Run, *, language: str = "en") -> None:
        self.tables = RunTables(run)
        self.language = language

    def sections(self) -> list[Section]:
        """Return the sections in the reader's order."""
        return [section(self.tables) for section in SECTIONS]

    def html(self) -> str:
        """Return the page."""
        run = self.tables.run
        title = run.config.title or run.config.name
        return html.render(
            title, f"Run {run.digest[:12]}, seed {run.config.seed}", self.sections(), language=self.language
        )

    def save(self, path: str | Path) -> Path:
        """Write the page and, beside it, ``report_data/`` with every table and drawing."""
        target = Path(path)
        folder = target.parent / "report_data"
        fresh = target.parent / ".report_data.partial"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        for section in self.sections():
            for block in section.blocks:
                if isinstance(block, Shown | Display):
                    block.table.to_csv(fresh / f"{block.name}.csv", index=False, lineterminator="\n")
                if isinstance(block, Display):
                    (fresh / f"{block.name}.svg").write_text(block.svg(), encoding="utf-8")
        with content.write_atomically(target) as temporary:
            temporary.write_text(self.html(), encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        fresh.replace(folder)
        return target
