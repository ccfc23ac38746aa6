"""The command line: one command a stage, no science; it draws progress and words errors."""

from __future__ import annotations

import os
import sys
import warnings
from typing import Annotated, Any, NoReturn

import typer

from imrad.commands import gathering, hospitals, modelling, telling, whole
from imrad.commands.screen import say

__all__ = ["app", "main"]

STOPPED = 130
_STOPPED = "stopped; nothing is left half-written, and a run goes on from here when it is called again"

app = typer.Typer(
    name="imrad",
    help="From public archives or a hospital's own folder to immune-radiomic phenotypes and a survival-fusion report.",
    epilog="Start with:  imrad demo",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    # Drawing the help with rich takes longer to import than everything else the command does.
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

# The help lists them in this order.
for part in (whole, gathering, modelling, hospitals, telling):
    app.add_typer(part.commands)


def _version(value: bool) -> None:
    if value:
        from imrad import __version__

        say(f"imrad {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def main() -> NoReturn:
    """Run the command line; errors that imrad foresees are one sentence and exit code 1."""
    # BLAS reads these when it is loaded: more threads would change the last bits of every result.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"):
        os.environ[name] = "1"
    from imrad.exceptions import ImradError

    plainly = warnings.showwarning

    def told(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        # imrad's own warnings are sentences for the user, who has no use for the line of code.
        if category is UserWarning and f"{os.sep}imrad{os.sep}" in str(place[0] if place else more.get("filename")):
            typer.echo(f"imrad: {message}", err=True)
        else:
            plainly(message, category, *place, **more)

    try:
        with warnings.catch_warnings():
            warnings.showwarning = told
            app()
    except ImradError as error:
        typer.echo(f"imrad: {error}", err=True)
        sys.exit(1)
    except OSError as error:
        if error.filename is None:
            raise
        why = (error.strerror or type(error).__name__).lower()
        place = error.filename2 or error.filename
        typer.echo(
            f"imrad: {place} cannot be read or written ({why}); check the path, its rights and the disk", err=True
        )
        sys.exit(1)
    except SystemExit as ended:
        # Typer's answer to Ctrl-C is this code, without a word.
        if ended.code == STOPPED:
            typer.echo(f"imrad: {_STOPPED}", err=True)
        raise
    except KeyboardInterrupt:
        typer.echo(f"imrad: {_STOPPED}", err=True)
        sys.exit(STOPPED)
    sys.exit(0)
