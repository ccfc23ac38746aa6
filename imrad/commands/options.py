"""Options that several commands share, and what becomes of them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from imrad.run import Run

__all__ = [
    "ClusterOption",
    "OutOption",
    "RunOption",
    "WorkersOption",
    "config_run",
    "on_cohort",
    "open_run",
    "worker_count",
]

RunOption = Annotated[
    Path | None, typer.Option("--run", metavar="DIR", help="Run directory; else the newest under runs/.")
]
WorkersOption = Annotated[
    int | None, typer.Option("--workers", min=1, help="Processes; else one per core. Results are the same.")
]
ClusterOption = Annotated[
    str | None, typer.Option("--cluster", metavar="ADDRESS", help="An existing Dask scheduler (extra 'dask').")
]
OutOption = Annotated[Path | None, typer.Option("-o", "--output", help="Where to write.")]


def worker_count(given: int | None) -> int:
    """Return the number of processes: one per core unless it is given."""
    return given if given is not None else max(1, len(os.sched_getaffinity(0)) if sys.platform == "linux" else 1)


def open_run(run: Path | None) -> Run:
    """Open a run directory, else the newest under runs/."""
    from imrad.run import Run, newest_run

    return Run.open(run if run is not None else newest_run())


def config_run(config: str, folder: Path | None) -> Run:
    """Open the run of a config, in its own directory unless another is given."""
    from imrad.config import load_config
    from imrad.run import Run

    loaded, base = load_config(config)
    return Run(folder if folder is not None else Path("runs") / loaded.name, loaded, base)


@contextmanager
def on_cohort(cohort: Path | None, output: Path | None, run: Path | None, **sections: dict[str, Any]) -> Iterator[Run]:
    """Open a run directory, or make one around a user's own cohort.h5ad; a refused question leaves no new one."""
    if cohort is None:
        yield open_run(run)
        return
    import shutil

    from imrad import stages
    from imrad.exceptions import CohortError, ConfigError, FeasibilityError

    folder = output if output is not None else Path("runs") / cohort.stem
    new = not folder.exists()
    try:
        yield stages.run_on(cohort, folder, sections)
    except (CohortError, ConfigError, FeasibilityError):
        if new:
            shutil.rmtree(folder, ignore_errors=True)
        raise
