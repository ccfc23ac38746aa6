"""Another cohort, where the frozen models were applied."""

from __future__ import annotations

from imrad.report.page import Column, Section, Shown, Text
from imrad.report.sections.names import TITLES
from imrad.report.tables import RunTables

__all__ = ["section"]


def section(tables: RunTables) -> Section:
    """Return the external values of every endpoint."""
    part = Section("external", Text(*TITLES["external"]))
    for endpoint in tables.endpoints:
        found = tables.survival(endpoint, "external")
        if found is not None:
            columns = {str(name): Column(str(name), "" if found[name].dtype == object else ".3g") for name in found}
            part.add(Shown(f"external_{endpoint}", f"{endpoint.upper()}.", found, columns))
    if not part.blocks:
        part.missing(
            "No external cohort: applying the saved models to other patients would fill this part. "
            "Until then nothing here "
            "says how the models travel.",
            "没有外部队列：把保存的模型用于其他患者即可填充本节；在此之前无法判断模型的可迁移性。",
        )
    return part
