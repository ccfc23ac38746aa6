"""Report: draw report.html and report_data/ from the tables of the run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from imrad import content
from imrad.config import parse_settings

if TYPE_CHECKING:
    from imrad.run import Run

__all__ = ["ReportSettings", "check", "report"]

CODE = ("imrad.stages.reporting", "imrad.report", "imrad.cards")


class ReportSettings(BaseModel):
    """How the report reads."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    language: Literal["en", "zh"] = Field(default="en", description="Language of headings and verdict.")
    identifiers: bool = Field(default=False, description="Name patients in the report; else they are numbered.")
    statements: dict[str, str] = Field(
        default_factory=dict, description="What only the authors can say, by checklist item: CLEAR-8: a sentence."
    )


def check(run: Run) -> ReportSettings:
    """Check the section before anything runs."""
    return parse_settings(ReportSettings, run.config.section("report"), "report")


def report(run: Run) -> list[str]:
    """Write report.html, and return what to tell the user."""
    settings = check(run)
    inputs = {name: content.digest(run.outputs(name)) for name in run.record["stages"] if name != "report"}
    for path in sorted((run.folder / "external").glob("*/models.csv")):
        inputs[str(path.relative_to(run.folder))] = content.digest_file(path)
    with run.stage("report", settings=settings.model_dump(), inputs=inputs, code=CODE) as stage:
        if stage.fresh:
            return ["nothing to do"]
        from imrad.report import Report
        from imrad.stages import about

        page = Report(
            run,
            language=settings.language,
            identifiers=settings.identifiers,
            cards=about.cards(),
            statements=settings.statements,
        )
        page.save(run.folder / "report.html")
        stage.wrote("report.html", content.digest_file(run.folder / "report.html"))
        return ["written"]
