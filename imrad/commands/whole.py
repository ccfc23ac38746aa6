"""The whole way: a config, or the demonstration, from data to report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from imrad.commands.options import ClusterOption, WorkersOption, config_run, worker_count
from imrad.commands.screen import bars, finish, say

__all__ = ["commands"]

commands = typer.Typer()


@commands.command(epilog="Example:  imrad demo --workers 2")
def demo(
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Run directory; else runs/tcga-blca.")] = None,
    workers: WorkersOption = None,
) -> None:
    """Run the main job on 75 real bladder-cancer patients that come with imrad."""
    from imrad import stages

    run = config_run("tcga-blca", output)
    with bars() as progress:
        stages.run_all(run, workers=worker_count(workers), progress=progress, say=say)
    finish(run)


@commands.command("run", epilog="Example:  imrad run configs/synthetic.yaml   (or by name: imrad run synthetic)")
def run_(
    config: Annotated[str, typer.Argument(metavar="CONFIG", help="A YAML file, or the name of one that comes along.")],
    run: Annotated[
        Path | None, typer.Option("--run", "-o", "--output", metavar="DIR", help="Run directory; else runs/NAME.")
    ] = None,
    workers: WorkersOption = None,
    cluster: ClusterOption = None,
) -> None:
    """Go through every stage of a config; what is done already is not done again."""
    from imrad import stages

    opened = config_run(config, run)
    with bars() as progress:
        stages.run_all(opened, workers=worker_count(workers), cluster=cluster, progress=progress, say=say)
    finish(opened)
