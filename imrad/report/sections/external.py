"""Another cohort, where the frozen models were applied."""

from __future__ import annotations

from imrad.report.page import Column, Section, Shown, Text
from imrad.report.sections.centres import add_centres
from imrad.report.sections.names import TITLES
from imrad.report.tables import RunTables

__all__ = ["section"]


def section(tables: RunTables) -> Section:
    """Return the external values of every endpoint beside those of the outer folds."""
    part = Section("external", Text(*TITLES["external"]))
    add_centres(part, tables)
    for endpoint in tables.endpoints:
        found = tables.external(endpoint)
        if found is None:
            continue
        columns = {
            "model": Column("Model"),
            "n": Column("n", ".0f"),
            "n_events": Column("Events", ".0f"),
            "c": Column("C there", ".3f"),
            "c_low": Column("95 % low", ".3f"),
            "c_high": Column("95 % high", ".3f"),
            "c_outer": Column("Outer-fold C here", ".3f"),
            "o_over_e": Column("Observed / expected", ".2f"),
            "slope": Column("Calibration slope", ".2f"),
            "reason": Column("Reason"),
        }
        models = tables.survival(endpoint, "models")
        if models is not None:
            found = found.merge(models[["model", "c_outer"]], on="model", how="left")
        kept = {name: column for name, column in columns.items() if name in found}
        text = "The frozen models on patients of another cohort; nothing was fitted there."
        part.add(Shown(f"external_{endpoint}", f"{endpoint.upper()}.", found, kept, text))
    if not part.blocks:
        part.missing(
            "No external cohort: 'imrad apply' with this run's folder as its output fills this part. Until then "
            "nothing here says how the models travel.",
            "没有外部队列：以本运行目录为输出执行 imrad apply 即可填充本节；在此之前无法判断模型的可迁移性。",
        )
    return part
