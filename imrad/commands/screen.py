"""What the user sees: lines, and bars of progress."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from imrad.execution import Progress
    from imrad.run import Run

__all__ = ["bars", "finish", "say"]


def say(text: str) -> None:
    """Write a line for the user."""
    typer.echo(text)


@contextmanager
def bars() -> Iterator[Progress]:
    """Draw a bar per kind of task on a terminal; elsewhere, a line at each tenth."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            TaskID,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )
        from rich.progress import Progress as Bars

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        times = (TimeElapsedColumn(), TimeRemainingColumn())
        with Bars(*columns, *times, console=Console(stderr=True)) as drawn:
            tasks: dict[str, TaskID] = {}

            def draw(label: str, done: int, total: int) -> None:
                if label not in tasks:
                    tasks[label] = drawn.add_task(label, total=total)
                drawn.update(tasks[label], completed=done, total=total)

            yield draw
    else:
        tenths: dict[str, int] = {}

        def line(label: str, done: int, total: int) -> None:
            tenth = 10 * done // max(total, 1)
            if tenths.get(label) != tenth:
                tenths[label] = tenth
                typer.echo(f"  {label}: {done}/{total}", err=True)

        yield line


def finish(run: Run) -> None:
    """Tell where the report is."""
    report = run.folder / "report.html"
    if report.exists():
        say(f"report: {report}")
