"""Several readers of the same images: the first one's features are the cohort's, the others' stand beside them."""

from __future__ import annotations

import re

import pandas as pd

from imrad.cohort import keys
from imrad.exceptions import ConfigError

__all__ = ["described", "order_readers", "reader_slot", "split_readers"]


def reader_slot(number: int) -> str:
    """Return the obsm slot of the second, third, ... reader."""
    return f"reader_{number}"


def split_readers(
    features: pd.DataFrame, about: pd.DataFrame, first: str | None = None
) -> list[tuple[str, pd.DataFrame, pd.DataFrame]]:
    """Part the rows of a radiomics table by reader.

    Parameters
    ----------
    features, about : DataFrame
        Same rows; ``about`` may have a column ``reader``.
    first : str, optional
        The reader whose features become X; see :func:`order_readers` for the default.

    Returns
    -------
    list of (str, DataFrame, DataFrame)
        Name, features and columns about the case; the first is X's. One nameless part where there
        are no readers.

    Raises
    ------
    ConfigError
        If the reader asked for is not there.
    """
    if "reader" not in about or not about["reader"].notna().any():
        if first is not None:
            message = f"reader '{first}' is asked for, and the radiomics table has no column reader; add it"
            raise ConfigError(message)
        return [("", features, about.drop(columns="reader", errors="ignore"))]
    names = about["reader"].map(lambda value: "" if pd.isna(value) else str(value).strip()).to_numpy()
    patients = {name: len(set(features.index[names == name])) for name in dict.fromkeys(names)}
    ordered = order_readers(patients)
    if first is not None:
        if first not in patients:
            message = f"there is no reader '{first}'; the radiomics table has {', '.join(map(str, ordered))}"
            raise ConfigError(message)
        ordered = [first, *(name for name in ordered if name != first)]
    rest = about.drop(columns="reader")
    return [(name, features[names == name], rest[names == name]) for name in ordered]


def order_readers(patients: dict[str, int]) -> list[str]:
    """Return readers by name, numbers in them as numbers; one who read less than half of what another did comes last.

    Parameters
    ----------
    patients : dict
        Reader to the number of patients read: a second reader often draws a random subset only.
    """
    most = max(patients.values(), default=0)

    def place(name: str) -> tuple[bool, list[tuple[int, str]]]:
        parts = [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]
        return 2 * patients[name] < most, parts

    return sorted(patients, key=place)


def described(parts: list[tuple[str, pd.DataFrame, pd.DataFrame]]) -> str:
    """Say whose features are where, for the attrition table."""
    told = [f"'{parts[0][0]}' is modelled"]
    told += [
        f"'{name}' ({features.index.nunique()} patients) is {reader_slot(number)}"
        for number, (name, features, _) in enumerate(parts[1:], start=2)
    ]
    return keys.some(told, 20)
