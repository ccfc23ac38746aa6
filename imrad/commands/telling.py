"""What changed, what is installed, what the methods are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from imrad.commands.options import open_run
from imrad.commands.screen import say

__all__ = ["commands"]

commands = typer.Typer()


@commands.command(epilog="Example:  imrad diff runs/first runs/second")
def diff(
    run_a: Annotated[Path, typer.Argument(metavar="RUN_A", help="Run directory: before.")],
    run_b: Annotated[Path, typer.Argument(metavar="RUN_B", help="Run directory: after.")],
) -> None:
    """Tell which setting or input changed between two runs, and which result moved by how much."""
    from imrad.stages import difference as stage

    for line in stage.diff(open_run(run_a), open_run(run_b)):
        say(line)


@commands.command(epilog="Example:  imrad doctor")
def doctor() -> None:
    """Tell what is installed and what that enables."""
    from imrad.stages import about

    say(about.doctor())


@commands.command(epilog="Example:  imrad methods --kind selector")
def methods(
    kind: Annotated[str | None, typer.Option(help="Only one kind, such as selector or metric.")] = None,
) -> None:
    """List every method with its definition and source, and the language of targets."""
    from imrad.stages import about

    say(about.methods(kind))
