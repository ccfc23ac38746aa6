"""Compiling shared among the workers, before the first of them needs it.

Left to themselves, one process compiles the grid's kernels while the others wait, and later every worker
compiles the same kernel of the fusion. numba keeps what is compiled on disk, where all find it.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING

from imrad.compiled import keeps
from imrad.execution import map_tasks

if TYPE_CHECKING:
    from imrad.execution import Progress

__all__ = ["share_compiling"]


def share_compiling(classifiers: Sequence[str], *, fusion: bool, workers: int, progress: Progress | None) -> None:
    """Compile what the grid's classifiers need, and what a fusion does, each part in one worker."""
    from imrad.phenotype.rehearsal import rehearsals
    from imrad.survival.rehearsal import REHEARSALS

    if workers < 2 or not keeps():
        return
    parts = [("phenotype", name) for name in rehearsals(classifiers)]
    if fusion:
        first, *others = REHEARSALS
        parts = [("survival", first), *parts, *(("survival", name) for name in others)]
    map_tasks(_rehearse, parts, key="/".join, workers=workers, progress=progress, label="compiling")


def _rehearse(part: tuple[str, str]) -> None:
    room, name = part
    import_module(f"imrad.{room}.rehearsal").rehearse(name)
