"""Who is in, and who was lost on the way."""

from __future__ import annotations

from imrad.report.page import Column, Section, Shown
from imrad.report.tables import RunTables

__all__ = ["section"]


def section(tables: RunTables) -> Section:
    """Return the attrition table."""
    part = Section("cohort", "Cohort and attrition")
    attrition = tables.get("attrition.csv")
    if attrition is None:
        part.say("No attrition table: the stage assemble writes it.", "missing")
        return part
    columns = {
        "step": Column("Step"),
        "n_in": Column("Before", "d"),
        "n_out": Column("After", "d"),
        "reason": Column("Reason"),
    }
    part.add(Shown("attrition", "Every loss, with its reason.", attrition, columns))
    return part
