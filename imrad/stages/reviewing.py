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
        Columns ``patient`` and ``case``, and ``reader`` where several drew.
    path : Path
        Table with the columns ``case`` (and ``patient``), ``verdict`` (accept, reject or redraw; empty is
        accept) and ``reason``. With several readers a column ``reader`` says whose mask is meant; a row without one
        is about the masks of all readers.

    Returns
    -------
    kept, attrition : DataFrame
        The second has the columns step, n_in, n_out, reason, unit; it is empty where nothing was lost.

    Raises
    ------
    InputError
        If the table cannot be read, names a case or reader that is not there, or gives no known verdict.
    """
    from imrad.cohort import read_table

    table = read_table(path)
    table = table.rename(columns={name: str(name).strip().lower() for name in table.columns})
    for name in ("case", "verdict"):
        if name not in table.columns:
            message = f"{path} lacks the column {name}; it needs patient, case, verdict and reason"
            raise InputError(message)
    by = [name for name in ("patient", "case") if name in table.columns]
    text = table.reindex(columns=[*by, "reader", "verdict", "reason"]).astype(object)
    text = text.where(text.notna(), "").astype(str).apply(lambda column: column.str.strip())
    text["reader"] = text["reader"].str.removesuffix(".0")
    unknown = sorted(set(text["verdict"].str.lower()) - set(VERDICTS))
    if unknown:
        message = f"{path} gives the verdict {unknown[0]!r}; write accept, reject or redraw"
        raise InputError(message)
    read_by_many = "reader" in cases.columns
    keys = cases.reindex(columns=[*by, "reader"]).astype(object)
    keys = keys.where(keys.notna(), "").astype(str)
    meant = [_rows(keys, by, key) for key in text[[*by, "reader"]].itertuples(index=False, name=None)]
    for rows, (*key, reader) in zip(meant, text[[*by, "reader"]].itertuples(index=False, name=None), strict=True):
        if not rows:
            whose = f" of the reader {reader}" if reader else ""
            message = (
                f"{path} names the case {' '.join(key)}{whose}, which is not in the table of cases; write it as there"
            )
            raise InputError(message)
    verdict = text["verdict"].str.lower().map(VERDICTS)
    lost: dict[int, str] = {}
    parts = []
    for kind, words in WORDS.items():
        own = [at for at, said in enumerate(verdict) if said == kind]
        rows = sorted({row for at in own for row in meant[at]} - set(lost))
        lost |= dict.fromkeys(rows, kind)
        if rows:
            reasons = ", ".join(dict.fromkeys(reason for reason in text["reason"].iloc[own] if reason))
            n_cases = len(keys.iloc[rows][by].drop_duplicates())
            what = f"{len(rows)} masks of {n_cases} case{'s' * (n_cases > 1)}" if read_by_many else f"{len(rows)}"
            parts.append(f"{what} {words}{f' ({reasons})' if reasons else ''}")
    kept = cases[[row not in lost for row in range(len(cases))]].reset_index(drop=True)
    if kept.empty:
        message = f"{path} accepts no mask; nothing is left to measure"
        raise InputError(message)
    columns = ["step", "n_in", "n_out", "reason", "unit"]
    unit = "masks" if read_by_many else "cases"
    row = {"step": "mask review", "n_in": len(cases), "n_out": len(kept), "reason": "; ".join(parts), "unit": unit}
    return kept, pd.DataFrame([row] if parts else [], columns=columns)


def _rows(keys: pd.DataFrame, by: list[str], key: tuple[str, ...]) -> list[int]:
    """Return which rows of the table of cases a verdict is about."""
    *names, reader = key
    same = (keys[by] == names).all(axis=1)
    if reader:
        same &= keys["reader"] == reader
    return [row for row, here in enumerate(same) if here]
