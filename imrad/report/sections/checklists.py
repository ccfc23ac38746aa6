"""Checks with codes, and the checklists that reviewers ask for, filled from the run."""

from __future__ import annotations

import pandas as pd

from imrad.report.checklists import CLEAR, METRICS, RQS, TRIPOD_AI, Filled, fill
from imrad.report.checks import run_checks
from imrad.report.page import Column, Section, Shown, Text
from imrad.report.sections.names import TITLES
from imrad.report.tables import RunTables

__all__ = ["section"]

SHARES = {"yes", "stated"}
BANDS = (
    (20.0, "very low", "很低"),
    (40.0, "low", "低"),
    (60.0, "moderate", "中等"),
    (80.0, "good", "良好"),
    (100.1, "excellent", "优秀"),
)
"""Upper ends of the score's categories, doi:10.1186/s13244-023-01572-w."""


def section(tables: RunTables) -> Section:
    """Return the table of checks, and METRICS, RQS, CLEAR and TRIPOD+AI."""
    part = Section("checklists", Text(*TITLES["checklists"]))
    checks = run_checks(tables)
    rows = [(item.code, str(item.title), item.title.plain("zh"), item.status) for item in checks]
    columns = {
        "code": Column("Code"),
        "check": Column("Looks at"),
        "status": Column("Outcome"),
    }
    frame = pd.DataFrame(rows, columns=["code", "check", "check_zh", "status"])
    part.add(Shown("checks", "Checks.", frame, columns, "Those that fire stand in the verdict."))
    part.say(
        "An item is ticked only where the run shows it. What the run cannot know is unknown, and "
        "counts for nothing, until "
        "the authors state it (report.statements in the config).",
        "只有运行结果能证明的条目才打勾；运行无从得知的为“unknown”，不计分，除非作者在配置 report.statements 中声明。",
    )
    _metrics(part, tables)
    _rqs(part, tables)
    for name, title, items in (("clear", "CLEAR", CLEAR), ("tripod", "TRIPOD+AI", TRIPOD_AI)):
        filled = fill(items, tables)
        counts = _counts(tables, name, filled)
        part.head("{title}", title=title)
        part.tell(
            Text(
                "{yes} of {all} items are shown by the run, {stated} stated by the authors, {no} not met, "
                "{unknown} unknown.",
                "{all} 项中 {yes} 项由运行证明，{stated} 项由作者声明，{no} 项未满足，{unknown} 项未知。",
                {key: tables.number(f"{name}_counts", 0, key, "d") for key in counts},
            )
        )
        part.add(_shown(name, title, filled, points=False))
    return part


def _counts(tables: RunTables, name: str, filled: list[Filled]) -> list[str]:
    status = [item.status for item in filled]
    found = {key: status.count(key) for key in ("yes", "stated", "no", "unknown")} | {"all": len(status)}
    tables.register(f"{name}_counts", pd.DataFrame([found]))
    return list(found)


def _metrics(part: Section, tables: RunTables) -> None:
    filled = fill(METRICS, tables)
    possible = sum(item.item.earned for item in filled if item.status != "not applicable")
    score = 100 * sum(item.points for item in filled if item.status == "yes") / possible
    stated = 100 * sum(item.points for item in filled if item.status in SHARES) / possible
    unknown = sum(item.status == "unknown" for item in filled)
    tables.register("metrics_score", pd.DataFrame([{"shown": score, "with_statements": stated, "unknown": unknown}]))
    part.head("METRICS")
    band, chinese = next(words for limit, *words in BANDS if stated <= limit)
    part.say(
        f"The run itself earns {{shown}} of 100; with the authors' statements {{stated}} ({band}, by the published "
        "bands). {unknown} items are unknown.",
        f"运行本身得 {{shown}} 分（满分 100）；计入作者声明为 {{stated}} 分（按已发表分级为{chinese}）；"
        "{unknown} 项未知。",
        shown=tables.number("metrics_score", 0, "shown", ".1f"),
        stated=tables.number("metrics_score", 0, "with_statements", ".1f"),
        unknown=tables.number("metrics_score", 0, "unknown", "d"),
    )
    part.add(_shown("metrics", "METRICS", filled, points=True))


def _rqs(part: Section, tables: RunTables) -> None:
    filled = fill(RQS, tables)
    score = sum(item.points for item in filled)
    tables.register("rqs_score", pd.DataFrame([{"points": score, "lowest": -8, "highest": 36}]))
    part.head("Radiomics quality score")
    part.tell(
        Text(
            "{points} points, on a scale from {lowest} to {highest}.",
            "{points} 分（范围 {lowest} 至 {highest}）。",
            {key: tables.number("rqs_score", 0, key, "d") for key in ("points", "lowest", "highest")},
        )
    )
    part.add(_shown("rqs", "RQS", filled, points=True))


def _shown(name: str, title: str, filled: list[Filled], *, points: bool) -> Shown:
    rows = [
        (f.item.id, f.item.group, f.item.words, f.status, f.points, f.evidence, TITLES.get(f.section, ("",))[0])
        for f in filled
    ]
    frame = pd.DataFrame(rows, columns=["item", "part", "asks_for", "status", "points", "evidence", "section"])
    columns = {"item": Column("Item"), "asks_for": Column("Asks for"), "status": Column("Status")}
    columns |= {"points": Column("Points", ".4g")} if points else {}
    columns |= {"evidence": Column("Evidence"), "section": Column("Where")}
    return Shown(name, title, frame, columns, collapsed=True)
