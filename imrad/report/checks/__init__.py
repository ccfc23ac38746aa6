"""Coded checks of a run: each says in one sentence what a careful reader would doubt, or that it does not apply."""

from __future__ import annotations

from dataclasses import dataclass

from imrad.report.checks import data, phenotypes, survival
from imrad.report.checks.catalogue import CHECKS, Check
from imrad.report.page import Text
from imrad.report.tables import RunTables

__all__ = ["CHECKS", "Check", "Outcome", "data", "phenotypes", "run_checks", "survival"]


@dataclass(frozen=True)
class Outcome:
    """What a check found; ``status`` is ``fires``, ``clear`` or ``not applicable``."""

    code: str
    title: Text
    status: str
    findings: list[Text]


def run_checks(tables: RunTables) -> list[Outcome]:
    """Return the outcome of every check, in the order of the codes."""
    found = []
    for check in CHECKS:
        findings = check.find(tables)
        status = "not applicable" if findings is None else "fires" if findings else "clear"
        found.append(Outcome(check.code, check.title, status, findings or []))
    return found
