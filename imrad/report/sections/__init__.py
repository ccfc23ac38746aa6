"""One file a section; each takes the run's tables and returns its part of the page."""

from collections.abc import Callable

from imrad.report.page import Section
from imrad.report.sections import cohort, curves, grid, methods, models, verdict
from imrad.report.tables import RunTables

__all__ = ["SECTIONS"]

SECTIONS: tuple[Callable[[RunTables], Section], ...] = (
    verdict.section,
    cohort.section,
    grid.section,
    models.section,
    curves.section,
    methods.section,
)
