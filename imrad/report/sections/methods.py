"""Methods, settings, versions, seeds, citations and ledger: what a reader needs to repeat and to cite the run."""

from __future__ import annotations

import pandas as pd

from imrad.report.methods_text import bibtex, methods_text
from imrad.report.page import Column, Section, Shown, Text
from imrad.report.sections.names import TITLES
from imrad.report.tables import RunTables

__all__ = ["section"]


def section(tables: RunTables) -> Section:
    """Return the methods text in both languages, then what it rests on."""
    part = Section("methods", Text(*TITLES["methods"]))
    for text in methods_text(tables):
        part.tell(text)
    _ledger(part, tables)
    _settings(part, tables)
    _stages(part, tables)
    _cards(part, tables)
    part.head("Citations", "引文")
    part.say("{bibtex}", kind="code", bibtex=bibtex(tables))
    return part


def _ledger(part: Section, tables: RunTables) -> None:
    ledger = tables.get("ledger.csv")
    if ledger is None:
        part.missing("No ledger: neither phenotype nor fuse has run.", "没有账本：phenotype 与 fuse 均未运行。")
        return
    inner = ledger["fold"].astype(str).str.contains("/i")
    whole = ledger["fold"].astype(str) == "all"
    kind = inner.map({True: "inner folds", False: "outer folds"}).where(~whole, "all patients")
    counts = ledger.groupby(["stage", kind.rename("where")], sort=False).size().rename("fits").reset_index()
    tables.register("ledger_counts", pd.DataFrame([{"fits": len(ledger)}]))
    part.say(
        "The ledger holds {fits} fits, each with the patients it saw; a checker joins it to the "
        "splits and proves that no "
        "fit saw a patient it was tested on.",
        "账本记录了 {fits} 次拟合及各自所见患者；检查程序将其与划分表对照，证明没有拟合见过其测试患者。",
        fits=tables.number("ledger_counts", 0, "fits", "d"),
    )
    columns = {"stage": Column("Stage"), "where": Column("Fitted on"), "fits": Column("Fits", "d")}
    part.add(Shown("ledger", "Ledger.", counts, columns))


def _settings(part: Section, tables: RunTables) -> None:
    rows = [("run", "seed", str(tables.run.config.seed))]
    for stage, entry in tables.run.record["stages"].items():
        if stage == "report":
            continue
        for name, value in _flat(entry.get("settings", {})):
            rows.append((stage, name, value))
    frame = pd.DataFrame(rows, columns=["stage", "setting", "value"])
    columns = {"stage": Column("Stage"), "setting": Column("Setting"), "value": Column("Value")}
    part.add(
        Shown(
            "settings",
            "Settings and seed.",
            frame,
            columns,
            "Every random step draws from the one seed by its name.",
            collapsed=True,
        )
    )


def _flat(settings: object, prefix: str = "") -> list[tuple[str, str]]:
    if isinstance(settings, dict):
        return [pair for key, value in sorted(settings.items()) for pair in _flat(value, f"{prefix}{key}.")]
    if settings is None:
        return []
    text = ", ".join(str(item) for item in settings) if isinstance(settings, list) else str(settings)
    return [(prefix.rstrip("."), text)]


def _stages(part: Section, tables: RunTables) -> None:
    record = tables.run.record
    stages = pd.DataFrame(
        [
            {"stage": name, "status": entry["status"], "reason": entry["reason"], "files": len(entry["outputs"])}
            for name, entry in record["stages"].items()
            if name != "report"
        ],
        columns=["stage", "status", "reason", "files"],
    )
    columns = {
        "stage": Column("Stage"),
        "status": Column("Status"),
        "reason": Column("Reason"),
        "files": Column("Files", "d"),
    }
    part.add(Shown("stages", "Stages.", stages, columns))
    installed = {"Python": record["python"], **record["versions"]}
    versions = pd.DataFrame({"package": list(installed), "version": list(installed.values())})
    shown = {"package": Column("Package"), "version": Column("Version")}
    part.add(Shown("versions", "Versions.", versions, shown, collapsed=True))


def _cards(part: Section, tables: RunTables) -> None:
    if not tables.cards:
        return
    rows = [(card.kind, card.name, card.summary, card.reference) for card in tables.cards]
    frame = pd.DataFrame(rows, columns=["kind", "name", "summary", "reference"])
    columns = {
        "kind": Column("Kind"),
        "name": Column("Name"),
        "summary": Column("What it computes"),
        "reference": Column("Reference"),
    }
    part.add(Shown("cards", "Method cards.", frame, columns, "Definitions of what this run could use.", collapsed=True))
