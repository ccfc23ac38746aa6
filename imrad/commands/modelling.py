"""From a cohort to phenotypes, survival models and the report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from imrad.commands.options import ClusterOption, OutOption, RunOption, WorkersOption, on_cohort, open_run, worker_count
from imrad.commands.screen import bars, finish, say

__all__ = ["commands"]

commands = typer.Typer()


@commands.command(epilog="Example:  imrad phenotype --cohort cohort.h5ad --target TMB -o out")
def phenotype(
    target: Annotated[
        list[str] | None, typer.Option("--target", help="TMB, cell:T_cells_CD8, gene:PDCD1, ... or all (repeat)")
    ] = None,
    cohort: Annotated[Path | None, typer.Option(help="Your own cohort.h5ad.")] = None,
    protocol: Annotated[str | None, typer.Option(help="nested, or published (reported beside the honest one).")] = None,
    permutations: Annotated[int | None, typer.Option(min=0, help="Cap of permutations per target.")] = None,
    run: RunOption = None,
    output: OutOption = None,
    workers: WorkersOption = None,
    cluster: ClusterOption = None,
) -> None:
    """The grid of four selectors by eight classifiers, leak-free, with its own noise beside it."""
    from imrad.stages import phenotyping as stage

    changes = {"protocol": protocol, "permutations": permutations}
    with on_cohort(cohort, output, run, phenotype={}) as opened, bars() as progress:
        lines = stage.phenotype(
            opened,
            target=target or None,
            changes={name: value for name, value in changes.items() if value is not None},
            workers=worker_count(workers),
            cluster=cluster,
            progress=progress,
        )
    for line in lines:
        say(line)


@commands.command(epilog="Example:  imrad fuse --endpoint os")
def fuse(
    endpoint: Annotated[
        list[str] | None, typer.Option("--endpoint", help="os, pfi, ... (repeat); else all of the config.")
    ] = None,
    cohort: Annotated[Path | None, typer.Option(help="Your own cohort.h5ad.")] = None,
    perturbed: Annotated[
        Path | None,
        typer.Option(help="With --cohort: features of perturbed images (patient, perturbation, features)."),
    ] = None,
    run: RunOption = None,
    output: OutOption = None,
    workers: WorkersOption = None,
) -> None:
    """Fuse blocks of predictors: Clinical, Volume, Rad, ImRad and their combinations, compared without optimism."""
    from imrad.exceptions import ConfigError, FeasibilityError
    from imrad.stages import fusion as stage

    if perturbed is not None and cohort is None:
        message = "--perturbed goes with --cohort; in a config it is fuse: {perturbed: FILE}"
        raise ConfigError(message)
    section = {} if perturbed is None else {"perturbed": str(perturbed.resolve())}
    with on_cohort(cohort, output, run, fuse=section) as opened, bars() as progress:
        lines = stage.fuse(opened, endpoint=endpoint or None, workers=worker_count(workers), progress=progress)
        reasons = [line.partition(": skipped, ")[2] for line in lines]
        if cohort is not None and all(reasons):
            # In a run an endpoint that cannot be answered is a line of the report; here nothing was answered.
            raise FeasibilityError("; ".join(reasons))
    for line in lines:
        say(line)


@commands.command(epilog="Example:  imrad report --run runs/tcga-blca")
def report(run: RunOption = None) -> None:
    """Draw report.html and report_data/ from the tables of a run; it fits nothing."""
    from imrad.stages import reporting as stage

    opened = open_run(run)
    for line in stage.report(opened):
        say(line)
    finish(opened)
