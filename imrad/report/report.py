"""The report of a run: sections in the reader's order, written as one page and a data folder."""

from __future__ import annotations

import shutil
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imrad import content
from imrad.report import html
from imrad.report.chinese import in_chinese
from imrad.report.displays import Display
from imrad.report.identifiers import Mask
from imrad.report.page import Calculator, Note, Section, Shown, Text
from imrad.report.sections import SECTIONS
from imrad.report.tables import RunTables

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from matplotlib.figure import Figure

    from imrad.cards import Card
    from imrad.run import Run

__all__ = ["Report"]

SURVIVAL = ("models", "curves", "model", "explanations", "subgroups", "robustness")
"""Sections of survival models; a run of responses alone does without them."""


class Report:
    """Draws what a run has written; it fits nothing.

    Parameters
    ----------
    run : Run
        A run directory whose stages are done; sections without data say what would fill them.
    language : {"en", "zh"}
        In which headings, verdict and methods open; the page can be switched.
    identifiers : bool
        Whether patients are named; else they are numbered, and names in reasons are withheld.
    cards : sequence of Card
        Method cards for the methods text and its citations.
    statements : mapping
        What only the authors can say, for the checklists: item such as ``CLEAR-8`` to a sentence.
    """

    def __init__(
        self,
        run: Run,
        *,
        language: str = "en",
        identifiers: bool = False,
        cards: Sequence[Card] = (),
        statements: Mapping[str, str] | None = None,
    ) -> None:
        self.tables = RunTables(run)
        self.tables.cards = tuple(cards)
        self.tables.statements = dict(statements or {})
        self.language = language
        self.mask = Mask(self.tables, shown=identifiers)

    @cached_property
    def sections(self) -> list[Section]:
        """The sections in the reader's order."""
        made = (section(self.tables) for section in SECTIONS)
        return [self._masked(part) for part in made if self._has_place(part)]

    def _has_place(self, part: Section) -> bool:
        """Tell whether a section speaks of a kind of endpoint that this run has."""
        if part.key in ("response", "studies"):
            return bool(part.blocks)
        return part.key not in SURVIVAL or bool(self.tables.endpoints) or not self.tables.responses

    @cached_property
    def _drawings(self) -> dict[str, str]:
        return {block.name: block.svg() for block in self._blocks() if isinstance(block, Display)}

    def figures(self) -> dict[str, Figure]:
        """Return every drawing as a matplotlib figure, by name."""
        return {block.name: block.figure() for block in self._blocks() if isinstance(block, Display)}

    def data(self) -> dict[str, pd.DataFrame]:
        """Return every table that is shown, drawn or cited in text, by the stem of its file."""
        found = {block.name: block.table for block in self._blocks() if isinstance(block, Shown | Display)}
        for section in self.sections:
            for text in section.texts():
                for number in text.numbers:
                    name = cited_name(number.table)
                    if name not in found:
                        cited = self.tables.get(number.table)
                        if cited is not None:
                            found[name] = self.mask.table(cited)
        return found

    def html(self) -> str:
        """Return the page."""
        run = self.tables.run
        title = self.mask.text(run.config.title or run.config.name)
        subtitle = Text(
            "Run {digest}, seed {seed}. A research report: not for decisions about single patients.",
            "运行 {digest}，随机种子 {seed}。研究报告，不用于个体患者的决策。",
            {"digest": run.digest[:12], "seed": str(run.config.seed)},
        )
        shown = {block.name: block.table for block in self._blocks() if isinstance(block, Shown | Display)}
        tables = {name: _csv(table) for name, table in shown.items()}
        return html.render(
            title, subtitle, self.sections, language=self.language, drawings=self._drawings, tables=tables
        )

    def save(self, path: str | Path) -> Path:
        """Write the page and, beside it, ``report_data/`` with every table and drawing."""
        target = Path(path)
        folder = target.parent / "report_data"
        fresh = target.parent / ".report_data.partial"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        for name, table in self.data().items():
            (fresh / f"{name}.csv").write_text(_csv(table), encoding="utf-8")
        for name, svg in self._drawings.items():
            drawing = in_chinese(svg) if self.language == "zh" else svg
            (fresh / f"{name}.svg").write_text(drawing, encoding="utf-8")
        with content.write_atomically(target) as temporary:
            temporary.write_text(self.html(), encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        fresh.replace(folder)
        return target

    def _blocks(self) -> list[Any]:
        return [block for section in self.sections for block in section.blocks]

    def _masked(self, section: Section) -> Section:
        section.blocks = [self._masked_block(block) for block in section.blocks]
        return section

    def _masked_block(self, block: Any) -> Any:
        mask = self.mask
        if isinstance(block, Note):
            return replace(block, text=block.text.with_words(mask.text))
        if isinstance(block, Calculator):
            return block
        caption = block.caption.with_words(mask.text) if isinstance(block.caption, Text) else mask.text(block.caption)
        changed: dict[str, Any] = {
            "title": mask.text(block.title),
            "caption": caption,
            "table": mask.table(block.table),
        }
        if isinstance(block, Shown):
            kept = {name: column for name, column in block.columns.items() if name in changed["table"].columns}
            return replace(block, columns=kept, **changed)
        return replace(block, alt=mask.text(block.alt), **changed)


def cited_name(path: str) -> str:
    """Return the stem of a cited table in ``report_data/``: ``survival/os/models.csv`` is ``survival_os_models``."""
    return path.rpartition(".")[0].replace("/", "_") if "." in path else path


def _csv(table: pd.DataFrame) -> str:
    return str(table.to_csv(index=False, lineterminator="\n"))
