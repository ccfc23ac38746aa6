"""A hospital's own folder, and models that travel between hospitals."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from imrad.commands.options import WorkersOption, open_run, worker_count
from imrad.commands.screen import bars, say

__all__ = ["commands"]

commands = typer.Typer()


@commands.command(epilog="Example:  imrad init my_hospital")
def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder with images, masks and a CSV or Excel sheet.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Write there instead, for folders that must stay as they are.")
    ] = None,
) -> None:
    """Look at a hospital's folder, tell who has what, and write the config and cases.csv to edit."""
    from imrad.stages import starting as stage

    with bars() as progress:
        lines = stage.start(folder, output, progress=progress)
    for line in lines:
        say(line)


@commands.command(epilog="Example:  imrad export runs/tcga-blca -o model.imrad")
def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run directory.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Where to write.")] = Path("model.imrad"),
) -> None:
    """Write a run's final models to one file without a patient in it, and print the digest of its content."""
    from imrad.stages import exporting as stage

    for line in stage.export(open_run(run), output):
        say(line)


@commands.command(
    epilog="Examples:  imrad apply model.imrad --cohort new.h5ad --digest DIGEST -o applied\n\n"
    "imrad apply model.imrad --cases cases.csv --clinical sheet.xlsx --endpoint os=OS_days,death -o applied"
)
def apply(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="What 'imrad export' wrote.")],
    cohort: Annotated[Path | None, typer.Option(help="cohort.h5ad of the other patients.")] = None,
    cases: Annotated[
        Path | None, typer.Option(help="Or their images: patient, image, mask; measured by the model's own settings.")
    ] = None,
    clinical: Annotated[Path | None, typer.Option(help="Clinical sheet beside --cases, CSV or Excel.")] = None,
    immune: Annotated[Path | None, typer.Option(help="Immune scores beside --cases, a row a patient.")] = None,
    endpoint: Annotated[
        list[str] | None, typer.Option("--endpoint", help="NAME=TIME,EVENT, where the sheet's names differ (repeat)")
    ] = None,
    column: Annotated[
        list[str] | None, typer.Option("--column", help="NAME=COLUMN, such as age_years=Alter (repeat)")
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="The network's file, where the features are a network's vectors.")
    ] = None,
    digest: Annotated[str | None, typer.Option(help="What export printed; a file of other content is refused.")] = None,
    aggregate_only: Annotated[
        bool, typer.Option("--aggregate-only", help="Write no row of a patient: what may leave the hospital.")
    ] = False,
    recalibrate: Annotated[
        bool, typer.Option("--recalibrate", help="Shift the baseline hazard: expected equal observed events.")
    ] = False,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to write to.")] = Path("applied"),
    workers: WorkersOption = None,
) -> None:
    """Apply an exported model to other patients: risks, strangers among them, and an external validation."""
    from imrad.exceptions import ConfigError
    from imrad.stages import applying as stage

    pairs = [text.partition("=") for text in column or ()]
    if wrong := next((name for name, sign, value in pairs if not (name and sign and value)), None):
        message = f"--column {wrong} cannot be read; write NAME=COLUMN, such as age_years=Alter"
        raise ConfigError(message)
    with bars() as progress:
        lines = stage.apply(
            model,
            cohort,
            output,
            cases=cases,
            clinical=clinical,
            immune=immune,
            endpoints=endpoint or (),
            columns={name: value for name, _, value in pairs},
            weights=weights,
            digest=digest,
            aggregate_only=aggregate_only,
            recalibrate=recalibrate,
            workers=worker_count(workers),
            progress=progress,
        )
    for line in lines:
        say(line)
