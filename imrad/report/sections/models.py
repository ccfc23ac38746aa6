"""The survival models side by side: apparent, corrected and outer-fold values."""

from __future__ import annotations

from imrad.report.page import Column, Section, Shown
from imrad.report.tables import RunTables

__all__ = ["section"]


def section(tables: RunTables) -> Section:
    """Return the model table of every endpoint."""
    part = Section("models", "Survival models")
    for endpoint in tables.endpoints:
        models = tables.get(f"survival/{endpoint}/models.csv")
        if models is None:
            continue
        columns = {
            "model": Column("Model"),
            "n": Column("n", ".0f"),
            "n_events": Column("Events", ".0f"),
            "c_apparent": Column("Apparent C", ".3f"),
            "c_bootstrap": Column("Bootstrap-corrected C", ".3f"),
            "c_outer": Column("Outer-fold C", ".3f"),
            "c_outer_low": Column("low", ".3f"),
            "c_outer_high": Column("high", ".3f"),
            "uno_outer": Column("Uno's C", ".3f"),
        }
        text = "Only the outer-fold value carries the verdict; a model always looks better on its own patients."
        part.add(Shown(f"models_{endpoint}", f"{endpoint.upper()}.", models, columns, text))
    if not part.blocks:
        part.say("No fusion has run: add the section fuse to the config.", "missing")
    return part
