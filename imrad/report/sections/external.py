"""Another cohort, where the frozen models were applied."""

from __future__ import annotations

from imrad.report.page import Section, Text
from imrad.report.sections.applied import add_applied
from imrad.report.sections.centres import add_centres
from imrad.report.sections.names import TITLES
from imrad.report.tables import RunTables

__all__ = ["section"]


def section(tables: RunTables) -> Section:
    """Return the external values of every endpoint beside those of the outer folds."""
    part = Section("external", Text(*TITLES["external"]))
    add_centres(part, tables)
    add_applied(part, tables)
    if not part.blocks:
        part.missing(
            "No external cohort: 'imrad apply' with this run's folder as its output fills this part. Until then "
            "nothing here says how the models travel.",
            "没有外部队列：以本运行目录为输出执行 imrad apply 即可填充本节；在此之前无法判断模型的可迁移性。",
        )
    return part
