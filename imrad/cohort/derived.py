"""Columns worked out from others, patient by patient: ratios of blood counts, and what two readers make of one sign."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from imrad.cohort.keys import some
from imrad.exceptions import CohortError, ConfigError

__all__ = ["derive_columns", "reader_pairs"]

_BINARY = re.compile(r"^(?P<one>.+?)\s+(?P<sign>[-+*/])\s+(?P<two>.+)$")
_READERS = re.compile(r"^(?P<how>mean|consensus)\((?P<one>[^,]+),(?P<two>[^,]+)\)$")
_SIGNS = {"+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide}


def derive_columns(adata: Any, rules: Mapping[str, str]) -> None:
    """Add columns to a cohort's obs.

    Parameters
    ----------
    adata : AnnData
        Changed in place.
    rules : mapping of str to str
        Name of the new column to how it is made, in order: ``A / B`` (also ``+``, ``-``, ``*``; 0 below the line
        is missing), ``mean(A, B)`` of two readers' measurements (one of them where the other is missing) or
        ``consensus(A, B)`` of two readers' signs (missing where they differ).

    Raises
    ------
    ConfigError
        If a rule cannot be read, a column it names is not there, or the new name is taken.
    CohortError
        If a column of a calculation holds text.
    """
    for name, rule in rules.items():
        how, one, two = _parsed(name, rule)
        if name in adata.obs:
            message = f"derive: the cohort has a column {name} already; choose another name"
            raise ConfigError(message)
        absent = [column for column in (one, two) if column not in adata.obs]
        if absent:
            message = f"derive: {name} needs the column {absent[0]}; the cohort has {some(adata.obs.columns, 20)}"
            raise ConfigError(message)
        if how == "consensus":
            adata.obs[name] = _consensus(adata.obs[one], adata.obs[two])
            continue
        first, second = _numbers(name, adata.obs[one]), _numbers(name, adata.obs[two])
        if how == "mean":
            adata.obs[name] = pd.DataFrame({"one": first, "two": second}).mean(axis=1)
            continue
        with np.errstate(divide="ignore", invalid="ignore"):
            found = _SIGNS[how](first.to_numpy(), second.to_numpy())
        adata.obs[name] = np.where(np.isfinite(found), found, np.nan)


def _parsed(name: str, rule: str) -> tuple[str, str, str]:
    readers, binary = _READERS.match(rule.strip()), _BINARY.match(rule.strip())
    if readers is not None:
        return readers["how"], readers["one"].strip(), readers["two"].strip()
    if binary is not None:
        return binary["sign"], binary["one"].strip(), binary["two"].strip()
    message = f"derive: {name} is {rule!r}; write A / B (or + - *, with spaces), mean(A, B) or consensus(A, B)"
    raise ConfigError(message)


def _numbers(name: str, column: pd.Series[Any]) -> pd.Series[float]:
    if not pd.api.types.is_numeric_dtype(column.dtype):
        message = f"derive: {name} is calculated from {column.name}, which holds text; it must hold numbers"
        raise CohortError(message)
    return column.astype(float)


def _consensus(one: pd.Series[Any], two: pd.Series[Any]) -> Any:
    agreed = (one.astype(str) == two.astype(str)).to_numpy() & one.notna().to_numpy() & two.notna().to_numpy()
    if pd.api.types.is_numeric_dtype(one.dtype):
        return one.astype(float).where(agreed)
    return one.astype(object).where(agreed, np.nan).astype("category")


def reader_pairs(rules: Mapping[str, str]) -> list[tuple[str, str, str, str]]:
    """Return name, ``mean`` or ``consensus``, and both columns of every rule that speaks of two readers."""
    parsed = [(name, *_parsed(name, rule)) for name, rule in rules.items()]
    return [item for item in parsed if item[1] in ("mean", "consensus")]
