"""A reviewer's verdict on each mask: what is rejected or to be redrawn is left out, counted and told."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from imrad.exceptions import InputError

__all__ = ["reviewed"]

VERDICTS = {
    **dict.fromkeys(("", "accept", "accepted", "ok", "yes", "接受", "通过", "合格"), "accept"),
    **dict.fromkeys(("reject", "rejected", "no", "拒绝", "不合格", "排除"), "reject"),
    **dict.fromkeys(("redraw", "redrawn", "revise", "重画", "重勾", "重新勾画", "修改"), "redraw"),
}
WORDS = {"reject": "rejected by the reviewer", "redraw": "to be redrawn"}


def reviewed(cases: pd.DataFrame, path: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the cases whose masks were accepted, and what was lost.

    Parameters
    ----------
    cases : DataFrame
        Columns ``patient`` and ``case``.
    path : Path
        Table with the columns ``case`` (and ``patient``), ``verdict`` (accept, reject or redraw; empty is
        accept) and ``reason``.

    Returns
    -------
    kept, attrition : DataFrame
        The second has the columns step, n_in, n_out, reason, unit; it is empty where nothing was lost.

    Raises
    ------
    InputError
        If the table cannot be read, names a case that is not there, or gives no known verdict.
    """
    from imrad.cohort import read_table

    table = read_table(path)
    table = table.rename(columns={name: str(name).strip().lower() for name in table.columns})
    for name in ("case", "verdict"):
        if name not in table.columns:
            message = f"{path} lacks the column {name}; it needs patient, case, verdict and reason"
            raise InputError(message)
    by = ["patient", "case"] if "patient" in table.columns else ["case"]
    text = table.reindex(columns=[*by, "verdict", "reason"]).astype(object)
    text = text.where(text.notna(), "").astype(str).apply(lambda column: column.str.strip())
    unknown = sorted(set(text["verdict"].str.lower()) - set(VERDICTS))
    if unknown:
        message = f"{path} gives the verdict {unknown[0]!r}; write accept, reject or redraw"
        raise InputError(message)
    verdict = text["verdict"].str.lower().map(VERDICTS)
    there = set(cases[by].astype(str).itertuples(index=False, name=None))
    named = list(text[by].itertuples(index=False, name=None))
    absent = [" ".join(key) for key in named if key not in there]
    if absent:
        message = f"{path} names the case {absent[0]}, which is not in the table of cases; write it as there"
        raise InputError(message)
    lost = {key: kind for key, kind in zip(named, verdict, strict=True) if kind != "accept"}
    keep = [key not in lost for key in cases[by].astype(str).itertuples(index=False, name=None)]
    parts = []
    for kind, words in WORDS.items():
        rows = text[verdict == kind]
        if len(rows):
            reasons = ", ".join(dict.fromkeys(reason for reason in rows["reason"] if reason))
            parts.append(f"{len(rows)} {words}{f' ({reasons})' if reasons else ''}")
    kept = cases[keep].reset_index(drop=True)
    if kept.empty:
        message = f"{path} accepts no mask; nothing is left to measure"
        raise InputError(message)
    columns = ["step", "n_in", "n_out", "reason", "unit"]
    row = {"step": "mask review", "n_in": len(cases), "n_out": len(kept), "reason": "; ".join(parts), "unit": "cases"}
    return kept, pd.DataFrame([row] if parts else [], columns=columns)
