"""What a page is made of, before any HTML: sections of paragraphs, tables and displays."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from imrad.report.displays import Display

__all__ = ["Column", "Note", "Section", "Shown"]


@dataclass(frozen=True)
class Column:
    """How a column of a table is shown: its heading and the format of its numbers."""

    heading: str
    format: str = ""


@dataclass(frozen=True)
class Shown:
    """A table on the page; its full-precision twin goes to ``report_data/NAME.csv``."""

    name: str
    title: str
    table: pd.DataFrame
    columns: dict[str, Column]
    caption: str = ""
    collapsed: bool = False


@dataclass(frozen=True)
class Note:
    """A paragraph; ``kind`` is ``text``, ``lead`` (the sentence to read first), ``warning`` or ``missing``."""

    text: str
    kind: str = "text"


@dataclass
class Section:
    """One numbered part of the report."""

    key: str
    title: str
    blocks: list[Note | Shown | Display] = field(default_factory=list)

    def say(self, text: str, kind: str = "text") -> None:
        """Add a paragraph."""
        self.blocks.append(Note(text, kind))

    def add(self, *blocks: Shown | Display) -> None:
        """Add tables and displays."""
        self.blocks.extend(blocks)
