"""Maps of relevance beside ready-made vectors: a user's own table, or what a stand-in draws; kept as pictures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from imrad import content
from imrad.exceptions import ImradError, InputError, NoOverlapError

if TYPE_CHECKING:
    from imrad.run import Run, Stage
    from imrad.stages.assembly import AssembleSettings

__all__ = ["add_maps", "map_digests"]

SIDE = 96
"""Pixels of a picture's side."""


def add_maps(run: Run, stage: Stage, settings: AssembleSettings, patients: list[str]) -> list[str]:
    """Write ``cohort/relevance.zip`` and ``.csv`` where maps came with the vectors, and return what to tell the user.

    Raises
    ------
    NoOverlapError
        If the table of maps names none of the cohort's patients.
    InputError
        If a map cannot be used, saying whose.
    """
    found: list[tuple[str, str, tuple[Any, Any, Any]]]
    if settings.maps is not None:
        found, lines = _own(run.path(settings.maps), patients)
        source = "imported"
    elif settings.standin is not None:
        known = set(patients)
        found, lines = [item for item in _drawn(run, settings) if item[0] in known], []
        source = "stand-in"
    else:
        return []
    if not found:
        return lines
    stage.plain("cohort/relevance.zip", [[patient, case, *three] for patient, case, three in found])
    about = [(patient, case, source) for patient, case, _ in found]
    stage.table("cohort/relevance.csv", pd.DataFrame(about, columns=["patient", "case", "source"]))
    return lines


def map_digests(path: Path) -> dict[str, str]:
    """Return a digest of the table of maps and of every file that it names."""
    from imrad.radiomics.deep import read_maps_table

    table = read_maps_table(path)
    files = [str(item) for name in ("image", "map", "mask") if name in table for item in table[name].dropna()]
    return {"maps": content.digest_file(path), "map files": content.digest([_bytes(Path(name)) for name in files])}


def _bytes(path: Path) -> list[str]:
    members = sorted(path.rglob("*")) if path.is_dir() else [path]
    return [content.digest_file(member) for member in members if member.is_file()]


def _own(path: Path, patients: list[str]) -> tuple[list[tuple[str, str, tuple[Any, Any, Any]]], list[str]]:
    from imrad.radiomics.deep import read_map, read_maps_table

    table = read_maps_table(path)
    ours = table[table["patient"].isin(patients)]
    if ours.empty:
        message = (
            f"{path} names {table['patient'].nunique()} patients, such as {table['patient'].iloc[0]}, none of whom is "
            f"in the cohort, which has patients such as {patients[0]}; write the names as the vectors have them"
        )
        raise NoOverlapError(message)
    found = []
    for row in ours.to_dict("records"):
        item = {str(name): value for name, value in row.items()}
        try:
            found.append((str(item["patient"]), str(item["case"]), read_map(item, size=SIDE)))
        except ImradError as error:
            message = f"{path}, case {item['case']}: {error}"
            raise InputError(message) from error
    others = len(table) - len(ours)
    left = f"; {others} of patients who are not in the cohort's folds are left out" if others else ""
    return found, [f"maps of {len(found)} cases of {ours['patient'].nunique()} patients{left}"]


def _drawn(run: Run, settings: AssembleSettings) -> Iterator[tuple[str, str, tuple[Any, Any, Any]]]:
    from imrad import datasets
    from imrad.radiomics.deep import draw_map

    asked = {"seed": run.config.seed, **(settings.standin or {})}
    named = {name: asked[name] for name in ("cohort", "size", "seed") if name in asked}
    for drawn in datasets.standin_maps(asked["study"], **named):
        three = draw_map(drawn.image, drawn.relevance, drawn.region, size=SIDE, name=f"the map of {drawn.case}")
        yield drawn.patient, drawn.case, three
