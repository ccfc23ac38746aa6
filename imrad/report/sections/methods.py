"""Methods, versions and seeds: what a reader needs to repeat the run."""

from __future__ import annotations

import pandas as pd

from imrad.report.page import Column, Section, Shown
from imrad.report.tables import RunTables

__all__ = ["section"]


def section(tables: RunTables) -> Section:
    """Return versions, stages and the ledger's size."""
    part = Section("methods", "Methods and versions")
    record = tables.run.record
    part.say(
        "Every step that learns (discretisation, scaling, cut-points, selection, classifiers, Cox models) was fitted "
        "inside the training part of its fold; the ledger names the patients each fit saw, and a checker proved that "
        "no held-out patient was among them."
    )
    ledger = tables.get("ledger.csv")
    if ledger is not None:
        part.say(f"The ledger holds {len(ledger)} entries of {ledger['stage'].nunique()} stages.")
    stages = pd.DataFrame(
        [
            {"stage": name, "status": entry["status"], "reason": entry["reason"], "files": len(entry["outputs"])}
            for name, entry in record["stages"].items()
            if name != "report"
        ]
    )
    columns = {
        "stage": Column("Stage"),
        "status": Column("Status"),
        "reason": Column("Reason"),
        "files": Column("Files", "d"),
    }
    part.add(Shown("stages", "Stages.", stages, columns))
    versions = pd.DataFrame({"package": list(record["versions"]), "version": list(record["versions"].values())})
    shown = {"package": Column("Package"), "version": Column("Version")}
    part.add(Shown("versions", f"Versions (Python {record['python']}).", versions, shown, collapsed=True))
    return part
