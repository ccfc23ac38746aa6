"""The verdict: does imaging add anything here, and how sure are we."""

from __future__ import annotations

from imrad.report.page import Column, Section, Shown
from imrad.report.tables import RunTables

__all__ = ["section"]


def section(tables: RunTables) -> Section:
    """Return the first thing a reader sees: one sentence per question, then its numbers."""
    part = Section("verdict", "Verdict")
    for endpoint in tables.endpoints:
        found = tables.json(f"survival/{endpoint}/verdict.json")
        if found:
            part.say(f"{endpoint.upper()}: {found['sentence']}", "lead")
    summary = tables.get("phenotype/summary.csv")
    if summary is not None:
        claimed = summary[summary["status"] == "claimed"]
        tried = int((summary["status"] != "skipped").sum())
        if len(claimed):
            part.say(
                f"{len(claimed)} of {tried} phenotypes survive correction: {', '.join(claimed['target'])}.", "lead"
            )
        else:
            part.say(
                f"No phenotype survives correction: none of {tried} targets can be claimed from these images.", "lead"
            )
        counts = summary["status"].value_counts().rename_axis("status").reset_index(name="targets")
        columns = {"status": Column("Status"), "targets": Column("Targets", "d")}
        part.add(Shown("verdict_targets", "What became of the targets.", counts, columns))
    if not part.blocks:
        part.say(
            "Neither a phenotype nor a fusion has run: add the sections phenotype and fuse to the config.", "missing"
        )
    return part
