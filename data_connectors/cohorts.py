"""The cohorts that can be fetched: what each is called in each archive, and who has what."""

from __future__ import annotations

import difflib
import gzip
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from data_connectors.errors import SelectionError

__all__ = ["Cohort", "SegmentationSource", "availability", "find_cohort", "load_cohorts"]

HERE = Path(__file__).parent


@dataclass(frozen=True)
class SegmentationSource:
    """One published set of tumour segmentations; fields as explained in ``cohorts.yaml``."""

    name: str
    analysis: str | None
    modality: str
    by: str
    take: str
    tumour: str
    include: str | None = None
    exclude: str | None = None
    prefer: str | None = None
    names: str | None = None

    def covers(self, description: str) -> bool:
        """Say whether a series with this description is one of this source's tumour segmentations."""
        included = self.include is None or re.search(self.include, description, re.IGNORECASE)
        excluded = self.exclude is not None and re.search(self.exclude, description, re.IGNORECASE)
        return bool(included) and not excluded

    def is_tumour(self, label: str) -> bool:
        """Say whether a segment or structure of this name is tumour."""
        return re.search(self.tumour, label, re.IGNORECASE) is not None


@dataclass(frozen=True)
class Cohort:
    """One cohort; `project` is its name in the GDC, `code` the tumour type in the PanCanAtlas tables."""

    name: str
    title: str
    collection: str
    region: str
    project: str | None = None
    code: str | None = None
    study: str | None = None
    clinical: str | None = None
    expression: str | None = None
    segmentations: tuple[SegmentationSource, ...] = field(default_factory=tuple)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of data that this cohort has."""
        kinds = ["images"]
        if self.segmentations:
            kinds.append("segmentations")
        if self.project or self.expression:
            kinds.append("expression")
        if self.project:
            kinds.append("mutations")
        if self.project or self.clinical:
            kinds.append("clinical")
        if self.code:
            kinds.append("immune")
        return tuple(kinds)


@cache
def load_cohorts() -> Mapping[str, Cohort]:
    """Return every cohort by name."""
    import yaml

    table = yaml.safe_load((HERE / "cohorts.yaml").read_text(encoding="utf-8"))
    return {name: _cohort(name, entry) for name, entry in table.items() if not name.startswith(".")}


def _cohort(name: str, entry: Mapping[str, Any]) -> Cohort:
    fields = dict(entry)
    sources = tuple(SegmentationSource(**source) for source in fields.pop("segmentations", []))
    return Cohort(name=name, segmentations=sources, **fields)


def find_cohort(name: str) -> Cohort:
    """Return a cohort by its name, however it is written (``TCGA-KIRC``, ``tcga_kirc``).

    Raises
    ------
    SelectionError
        With the nearest known names.
    """
    cohorts = load_cohorts()
    wanted = name.strip().lower().replace("_", "-")
    if wanted in cohorts:
        return cohorts[wanted]
    near = difflib.get_close_matches(wanted, cohorts, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(cohorts)}"
    message = f"there is no cohort {name!r}; {hint}"
    raise SelectionError(message)


@cache
def availability(code: str) -> Mapping[str, frozenset[str]]:
    """Return the patients of a TCGA tumour type known to have ``rna``, ``maf`` and ``survival``.

    From the published PanCanAtlas tables (CIBERSORT with a primary tumour sample, MC3 mutation load,
    TCGA-CDR with a known overall survival), so that a plan can be made without asking anyone; the
    GDC's own answer counts when fetching.
    """
    found: dict[str, set[str]] = {"rna": set(), "maf": set(), "survival": set()}
    with gzip.open(HERE / "availability.csv.gz", "rt", encoding="ascii") as lines:
        next(lines)
        for line in lines:
            tumour, patient, flags = line.rstrip("\n").split(",")
            if tumour == code:
                for letter, kind in (("r", "rna"), ("m", "maf"), ("s", "survival")):
                    if letter in flags:
                        found[kind].add(patient)
    return {kind: frozenset(patients) for kind, patients in found.items()}
