"""Mutation targets from a user's own table: words of a pathology report as 1 and 0."""

from __future__ import annotations

from typing import Any

import pandas as pd

from imrad.cohort.keys import some
from imrad.exceptions import SchemaError

__all__ = ["mutation_status"]

_CARRIES = {"1", "1.0", "true", "yes", "y", "+", "positive", "pos", "mut", "mutant", "mutated", "mutation",
            "amplified", "3+", "突变", "突变型", "阳性", "扩增", "是"}  # fmt: skip
_CARRIES_NOT = {"0", "0.0", "false", "no", "n", "-", "negative", "neg", "wt", "wild", "wild type", "wildtype",
                "not amplified", "0+", "1+", "野生", "野生型", "阴性", "无扩增", "否"}  # fmt: skip
_UNKNOWN = {"", "na", "nan", "n/a", "nd", "none", "unknown", "not tested", "equivocal", "2+", "未检测", "未知", "不详"}


def mutation_status(column: pd.Series[Any]) -> pd.Series[float]:
    """Return whether each patient carries the alteration: 1.0, 0.0 or NaN where it is not known.

    An immunohistochemical 2+ is equivocal: NaN until in situ hybridisation decides.

    Raises
    ------
    SchemaError
        If a word is none of those known; naming it and the patients.
    """
    words = column.map(
        lambda value: "" if pd.isna(value) else " ".join(str(value).lower().replace("-type", " type").split())
    )
    known = {**dict.fromkeys(_CARRIES, 1.0), **dict.fromkeys(_CARRIES_NOT, 0.0)}
    odd = ~words.isin({*known, *_UNKNOWN})
    if odd.any():
        message = (
            f"the column {column.name} holds {column[odd].iloc[0]!r} for {some(column.index[odd])}; write 1 or 0, "
            f"mutated or wild-type, positive or negative, or leave it empty"
        )
        raise SchemaError(message)
    return words.map(known).astype(float)
