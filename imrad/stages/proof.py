"""The run's proof: the ledgers of all stages in one table, checked against the splits."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pandas as pd

from imrad import content
from imrad.evaluation import Ledger, SplitTable, check_ledger

if TYPE_CHECKING:
    from imrad.run import Run, Stage

__all__ = ["read_splits", "record"]


def read_splits(run: Run) -> SplitTable:
    """Return the split table that every stage of the run uses.

    Raises
    ------
    InputError
        If assemble has not run.
    """
    return SplitTable(run.read("splits.csv"))


def record(run: Run, stage: Stage, ledger: Ledger) -> None:
    """Keep a stage's ledger, rewrite the run's ledger from all of them, and check it.

    Raises
    ------
    LeakError
        With the name of the step, if a fit saw a held-out patient.
    """
    stage.plain(f"ledger/{stage.name}.zip", ledger.to_plain())
    merged = Ledger(ledger.patients)
    # A stage that is being redone is no longer in the record; parts of others are.
    names = [name for name in run.record["stages"] if run.has(f"ledger/{name}.zip") and name != stage.name]
    for name in sorted([*names, stage.name]):
        merged.merge(Ledger.from_plain(ledger.patients, content.load(run.folder / f"ledger/{name}.zip")))
    frame: pd.DataFrame = merged.frame()
    check_ledger(frame, merged.sets(), read_splits(run))
    with content.write_atomically(run.folder / "ledger.csv") as temporary:
        frame.to_csv(temporary, index=False, lineterminator="\n")
    with content.write_atomically(run.folder / "ledger_sets.json") as temporary:
        temporary.write_text(json.dumps(merged.sets(), indent=0) + "\n", encoding="utf-8")
