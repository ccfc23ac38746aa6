"""What a check is: its code, what it looks at, and the sentences that it may say."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from imrad.report.page import Number, Text
from imrad.report.tables import RunTables

__all__ = ["CHECKS", "Check", "Findings", "Listed", "Parts", "check", "counted", "each_endpoint", "listed"]

Parts = dict[str, Number | str]
Findings = list[Text] | None
"""Sentences of a check that fires, an empty list where all is well, None where it does not apply."""


@dataclass(frozen=True)
class Check:
    """One check: its code, what it looks at, and how."""

    code: str
    title: Text
    find: Callable[[RunTables], Findings]


CHECKS: list[Check] = []


def check(code: str, en: str, zh: str) -> Callable[[Callable[[RunTables], Findings]], Callable[[RunTables], Findings]]:
    """Keep a function as the check of this code and title."""

    def keep(find: Callable[[RunTables], Findings]) -> Callable[[RunTables], Findings]:
        CHECKS.append(Check(code, Text(en, zh), find))
        CHECKS.sort(key=lambda item: item.code)
        return find

    return keep


def each_endpoint(
    tables: RunTables,
    name: str,
    find: Callable[[str, str, pd.DataFrame], list[Text]],
    needed: tuple[str, ...] = (),
    *,
    response: Callable[[str, str, pd.DataFrame], list[Text]] | None = None,
) -> Findings:
    """Apply a check to a table of every endpoint, `response` to that of binary ones; None where no endpoint has it."""
    found, applies = [], False
    for endpoint in tables.responses if response is not None else ():
        table = tables.response(endpoint, name)
        if response is None or table is None or not set(needed) <= set(table.columns):
            continue
        applies = True
        found += response(endpoint, f"response/{endpoint}/{name}.csv", table)
    for endpoint in tables.endpoints:
        table = tables.survival(endpoint, name)
        if table is None or not set(needed) <= set(table.columns):
            continue
        applies = True
        found += find(endpoint, f"survival/{endpoint}/{name}.csv", table)
    return found if applies else None


def counted(tables: RunTables, name: str, n: int, total: int) -> Parts:
    """Return two counts that the report made, citable as ``{n}`` and ``{total}``."""
    tables.register(name, pd.DataFrame([{"n": n, "total": total}]))
    return {"n": tables.number(name, 0, "n", "d"), "total": tables.number(name, 0, "total", "d")}


@dataclass(frozen=True)
class Listed:
    """Rows of a table as a list within a sentence: a template, and what it holds."""

    text: str
    parts: Parts


def listed(tables: RunTables, path: str, rows: Iterable[Any], pattern: str, **cells: tuple[str, str]) -> Listed:
    """Return rows of a table as ``pattern, pattern, ...``; each cell is (column, format), a word without a format."""
    table = tables.get(path)
    words, parts = [], {}
    for place, row in enumerate(rows):
        text = pattern
        for name, (column, spec) in cells.items():
            text = text.replace(f"{{{name}}}", f"{{{name}{place}}}")
            word = "" if table is None else str(table.loc[row, column])
            parts[f"{name}{place}"] = tables.number(path, row, column, spec) if spec else word
        words.append(text)
    return Listed(", ".join(words), parts)
