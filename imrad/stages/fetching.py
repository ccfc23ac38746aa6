"""Fetch: a public cohort from its name to verified files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

import data_connectors
from data_connectors.errors import ConnectorError
from imrad import content
from imrad.config import parse_settings
from imrad.exceptions import FetchError

if TYPE_CHECKING:
    from imrad.execution import Progress
    from imrad.run import Run

__all__ = ["FetchSettings", "check", "cohorts", "download", "fetch"]

CODE = ("imrad.stages.fetching", "data_connectors")


class FetchSettings(BaseModel):
    """Which cohort, and how much of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cohort: str = Field(description="A cohort of 'imrad cohorts'.")
    only: tuple[str, ...] | None = Field(default=None, description="Kinds of data; else all.")
    patients: int | str | tuple[str, ...] | None = Field(default=None, description="A number, a file, or names.")
    phase: Literal["arterial", "venous", "delayed", "best"] = Field(default="best", description="Contrast phase.")
    manifest: str | None = Field(default=None, description="Repeat the frozen download of this manifest.jsonl.")


def check(run: Run) -> FetchSettings:
    """Check the section before anything runs."""
    return parse_settings(FetchSettings, run.config.section("fetch"), "fetch")


@contextmanager
def _handed_on() -> Iterator[None]:
    try:
        yield
    except ConnectorError as error:
        raise FetchError(str(error)) from error


@_handed_on()
def fetch(run: Run, *, workers: int = 4, progress: Progress | None = None) -> list[str]:
    """Download what the config names into the run's folder raw/, and return what to tell the user."""
    settings = check(run)
    with run.stage("fetch", settings=settings.model_dump(), inputs={}, code=CODE) as stage:
        if stage.fresh:
            return ["nothing to do"]
        folder = run.folder / "raw"
        patients = settings.patients
        if isinstance(patients, str):
            patients = str(run.path(patients))
        if settings.manifest is not None:
            done = data_connectors.repeat(
                run.path(settings.manifest), folder, workers=max(4, workers), progress=progress
            )
        else:
            plan = data_connectors.plan(settings.cohort, only=settings.only, patients=patients, phase=settings.phase)
            done = data_connectors.execute(plan, folder, workers=max(4, workers), progress=progress)
        for path in sorted(folder.glob("*.csv")):
            stage.wrote(f"raw/{path.name}", content.digest_file(path))
        clinical = folder / "clinical.csv"
        if clinical.exists():
            with content.write_atomically(run.folder / "clinical.csv") as temporary:
                temporary.write_bytes(clinical.read_bytes())
            stage.wrote("clinical.csv", content.digest_file(clinical))
        return _lines(done)


def _lines(done: data_connectors.Fetched) -> list[str]:
    lines = [f"{len(done.patients)} patients in {done.folder}; every file and its digest: {done.manifest}"]
    lost = done.attrition[done.attrition["n_out"] < done.attrition["n_in"]]
    lines += [f"  {row.step}: {row.n_in} -> {row.n_out} ({row.reason})" for row in lost.itertuples()]
    return [*lines, *(f"  {note}" for note in done.notes)]


@_handed_on()
def download(
    cohort: str,
    folder: Path,
    *,
    only: str | None,
    patients: str | None,
    phase: str,
    manifest: Path | None,
    dry_run: bool,
    workers: int,
    progress: Progress | None,
) -> list[str]:
    """Download a cohort into a folder, outside any run."""
    if manifest is not None and not dry_run:
        return _lines(data_connectors.repeat(manifest, folder, workers=workers, progress=progress))
    chosen: int | str | None = int(patients) if patients is not None and patients.isdigit() else patients
    kinds = None if only is None else [name.strip() for name in only.split(",")]
    plan = data_connectors.plan(cohort, only=kinds, patients=chosen, phase=phase)
    if dry_run:
        return plan.summary().splitlines()
    return _lines(data_connectors.execute(plan, folder, workers=workers, progress=progress))


@_handed_on()
def cohorts() -> str:
    """Return the cohorts as a text table."""
    return str(data_connectors.cohort_table().to_string(index=False))
