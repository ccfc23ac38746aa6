"""What a page is made of, before any HTML: sections of paragraphs, tables, displays and calculators."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from string import Formatter
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from imrad.report.chinese import chinese

if TYPE_CHECKING:
    import pandas as pd

    from imrad.report.displays import Display

__all__ = ["Calculator", "Column", "Note", "Number", "Section", "Shown", "Text", "shown_value"]


def shown_value(value: Any, spec: str = "") -> str:
    """Return a value as the page shows it; a missing value is a dash.

    `spec` is a format, or ``p`` (p value), ``p=`` (the same in a sentence) or ``share`` (as per cent).
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, bool) or type(value).__name__ == "bool_":
        return "yes" if value else "no"
    if spec and not isinstance(value, str):
        number = float(value)
        if math.isnan(number):
            return "–"
        if spec == "p":
            return "< 0.001" if number < 0.001 else f"{number:.3f}"
        if spec == "p=":
            return "< 0.001" if number < 0.001 else f"= {number:.2g}"
        if spec == "share":
            return f"{100 * number:.0f} %"
        text = format(round(number) if spec.endswith("d") else number, spec)
        # A rounded zero has no sign.
        return text.lstrip("+-") if float(text) == 0 else text
    return str(value)


@dataclass(frozen=True)
class Number:
    """A number in text: where it stands, its value and how it is written.

    Attributes
    ----------
    table : str
        A table of the run by its path, or one that the report has registered.
    row : int
        Row of that table, from 0.
    column : str
    value : float
    spec : str
        As for :func:`shown_value`.
    """

    table: str
    row: int
    column: str
    value: Any
    spec: str

    def __str__(self) -> str:
        return shown_value(self.value, self.spec)

    def __html__(self) -> Markup:
        value = self.value.item() if hasattr(self.value, "item") else self.value
        return Markup(
            '<data value="{}" data-table="{}" data-row="{}" data-column="{}" data-format="{}">{}</data>'
        ).format(repr(value), self.table, self.row, self.column, self.spec, str(self))


@dataclass(frozen=True)
class Text:
    """A sentence in English and, where the report has it, in Chinese; numbers only as :class:`Number`.

    Attributes
    ----------
    en, zh : str
        Templates; ``{name}`` stands for an entry of `parts`.
    parts : mapping
        Numbers, and words from the data (names of features, targets, sites).
    """

    en: str
    zh: str = ""
    parts: Mapping[str, Number | str] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.en.format(**{name: str(part) for name, part in self.parts.items()})

    def plain(self, language: str) -> str:
        """Return the sentence without markup."""
        template = self.zh if language == "zh" and self.zh else self.en
        return template.format(**{name: str(part) for name, part in self.parts.items()})

    def __html__(self) -> Markup:
        if not self.zh:
            return self._filled(self.en)
        return Markup('<span lang="en">{}</span><span lang="zh">{}</span>').format(
            self._filled(self.en), self._filled(self.zh, chinese)
        )

    def _filled(self, template: str, word: Callable[[str], str] = str) -> Markup:
        out = Markup("")
        for literal, name, _, _ in Formatter().parse(template):
            out += escape(literal)
            if name:
                part = self.parts[name]
                text = part if isinstance(part, Number) else word(part) or part
                out += text.__html__() if isinstance(text, Number) else Markup("<i class=word>{}</i>").format(text)
        return out

    @property
    def numbers(self) -> list[Number]:
        """Every number of the sentence."""
        return [part for part in self.parts.values() if isinstance(part, Number)]

    def with_words(self, change: Callable[[str], str]) -> Text:
        """Return the text with its words from the data changed."""
        parts = {name: part if isinstance(part, Number) else change(part) for name, part in self.parts.items()}
        return Text(self.en, self.zh, parts)


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
    caption: str | Text = ""
    collapsed: bool = False


@dataclass(frozen=True)
class Note:
    """A paragraph; ``kind`` is ``text``, ``lead``, ``warning``, ``missing``, ``code`` or ``subheading``."""

    text: Text
    kind: str = "text"


@dataclass(frozen=True)
class Calculator:
    """An in-page calculator of final models: for each model what ``survival/<endpoint>/nomogram.json`` holds."""

    name: str
    title: str
    models: Mapping[str, Mapping[str, Any]]


@dataclass
class Section:
    """One numbered part of the report."""

    key: str
    title: Text
    blocks: list[Any] = field(default_factory=list)

    def say(self, en: str, zh: str = "", *, kind: str = "text", **parts: Number | str) -> None:
        """Add a paragraph; every number and every word from the data comes in as a part."""
        self.blocks.append(Note(Text(en, zh, parts), kind))

    def tell(self, text: Text, kind: str = "text") -> None:
        """Add a paragraph that is made already."""
        self.blocks.append(Note(text, kind))

    def head(self, en: str, zh: str = "", **parts: Number | str) -> None:
        """Add a heading within the section."""
        self.say(en, zh, kind="subheading", **parts)

    def missing(self, en: str, zh: str = "") -> None:
        """Say in one line what would fill a part."""
        self.say(en, zh, kind="missing")

    def add(self, *blocks: Shown | Display | Calculator | Note) -> None:
        """Add tables and displays."""
        self.blocks.extend(blocks)

    def texts(self) -> Iterator[Text]:
        """Yield every text of the section."""
        for block in self.blocks:
            if isinstance(block, Note):
                yield block.text
            elif isinstance(getattr(block, "caption", None), Text):
                yield block.caption
