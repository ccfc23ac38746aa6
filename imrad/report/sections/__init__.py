"""One file a section; each takes the run's tables and returns its part of the page."""

from collections.abc import Callable

from imrad.report.page import Section
from imrad.report.sections import (
    biology,
    checklists,
    cohort,
    curves,
    explanations,
    external,
    features,
    grid,
    imaging,
    methods,
    model,
    models,
    responses,
    robustness,
    studies,
    subgroups,
    targets,
    verdict,
)
from imrad.report.tables import RunTables

__all__ = ["SECTIONS"]

SECTIONS: tuple[Callable[[RunTables], Section], ...] = (
    verdict.section,
    cohort.section,
    imaging.section,
    features.section,
    targets.section,
    grid.section,
    biology.section,
    models.section,
    curves.section,
    model.section,
    explanations.section,
    studies.section,
    subgroups.section,
    robustness.section,
    responses.section,
    external.section,
    checklists.section,
    methods.section,
)
