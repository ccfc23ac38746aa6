"""What was recorded for a binary endpoint, what it counts as, and for how many patients."""

from __future__ import annotations

import pandas as pd

from imrad.report.page import Column, Section, Shown, Text
from imrad.report.tables import RunTables

__all__ = ["add_recorded"]

COHORTS = {"training": "Training", "holdout": "Set aside"}
COUNTS = {1.0: "response", 0.0: "no response"}


def add_recorded(part: Section, tables: RunTables, endpoint: str) -> None:
    """Add the table of recorded values against the outcome, a column of counts for each cohort."""
    table = tables.get("cohort/responses.csv")
    rows = None if table is None else table[table["endpoint"] == endpoint]
    if rows is None or not len(rows):
        return
    levels = rows["recorded"].fillna("").astype(str)
    rows = rows.assign(recorded=levels.where(levels != "", "not recorded"))
    by_recist = bool((rows["scale"].fillna("") == "RECIST 1.1").all())
    if not by_recist and set(rows["recorded"]) <= {"0", "1", "not recorded"}:
        # A column of 1 and 0 was mapped by nobody.
        return
    meaning = rows.drop_duplicates("recorded").set_index("recorded")["counts_as"]
    counts = rows.pivot_table(index="recorded", columns="cohort", values="n", aggfunc="sum", fill_value=0)
    cohorts = list(dict.fromkeys(rows["cohort"]))
    wide = counts.reindex(index=list(meaning.index), columns=cohorts).astype(int).reset_index()
    wide.insert(1, "counts_as", [COUNTS.get(float(value), "missing") for value in meaning])
    total = {"recorded": "all", "counts_as": ""} | {name: int(wide[name].sum()) for name in cohorts}
    wide = pd.concat([wide, pd.DataFrame([total])], ignore_index=True)
    columns = {"recorded": Column("Recorded"), "counts_as": Column("Counts as")}
    columns |= {name: Column(COHORTS.get(str(name), str(name)), "d") for name in cohorts}
    words = {"column": str(rows["column"].iloc[0])}
    if by_recist:
        text = Text(
            "Patients by {column}. By RECIST 1.1 complete and partial response (CR, PR) count as response, stable and "
            "progressive disease (SD, PD) as none. Who could not be evaluated (NE), or has no entry, is missing: in "
            "no model, and neither with nor without the outcome.",
            "按 {column} 统计的患者数。依据 RECIST 1.1，完全缓解与部分缓解（CR、PR）计为有反应，疾病稳定与进展"
            "（SD、PD）计为无反应。无法评价（NE）或无记录者为缺失：不进入任何模型，也不计入有或无该结局。",
            words,
        )
    else:
        text = Text(
            "Patients by what {column} holds, and what it counts as. Missing ones are in no model, and neither with "
            "nor without the outcome.",
            "按 {column} 取值统计的患者数及其归类。缺失者不进入任何模型，也不计入有或无该结局。",
            words,
        )
    part.add(Shown(f"recorded_{endpoint}", "What was recorded, and what it counts as.", wide, columns, text))
