"""Tables as they lie in a hospital's folder: CSV, TSV, Excel or Parquet, in UTF-8 or GBK."""

from __future__ import annotations

import csv
import gzip
import io
import warnings
from pathlib import Path

import pandas as pd

from imrad.cohort.keys import some
from imrad.exceptions import InputError

__all__ = ["decoded", "read_table"]


def read_table(path: str | Path, *, sheet: str | int = 0) -> pd.DataFrame:
    """Read a CSV, TSV, Excel or Parquet table; identifiers keep their leading zeros.

    Text files may be UTF-8 (with or without a byte-order mark) or GBK; comma, semicolon and tab
    separate; lines that begin with ``#`` before the header (cBioPortal's four) are passed over.
    The columns of text files come as text.

    Raises
    ------
    InputError
        If the file is missing, empty, of an unknown kind or not readable as what its name says.
    """
    path = Path(path)
    if not path.is_file():
        message = f"{path} does not exist; give the path of a CSV, TSV, Excel or Parquet table"
        raise InputError(message)
    kind = "".join(path.suffixes[-2:]).lower().removesuffix(".gz")
    try:
        if kind.endswith((".xlsx", ".xlsm")):
            table = _read_excel(path, sheet)
        elif kind.endswith((".parquet", ".pq")):
            table = pd.read_parquet(path)
        elif kind.endswith((".csv", ".tsv", ".txt")):
            table = _read_text(path)
        else:
            message = f"{path} is neither a CSV, TSV, Excel (.xlsx) nor Parquet table; save it as one of them"
            raise InputError(message)
    except (ValueError, OSError, KeyError, csv.Error, EOFError, pd.errors.ParserWarning) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        message = f"{path} cannot be read as a table ({first}); save it again as CSV or .xlsx"
        raise InputError(message) from error
    if table.empty:
        message = f"{path} holds no rows; a header line and one row per patient are needed"
        raise InputError(message)
    table.columns = pd.Index([str(name).strip() for name in table.columns])
    twice = table.columns[table.columns.duplicated()]
    if len(twice):
        message = f"{path} has several columns named {some(sorted(set(twice)))}; rename or delete the extra ones"
        raise InputError(message)
    return table


def _read_excel(path: Path, sheet: str | int) -> pd.DataFrame:
    # Without a header pandas does not rename repeated columns, and sheets often carry empty margins.
    cells = pd.read_excel(path, sheet_name=sheet, header=None, dtype=object)
    cells = cells.dropna(axis=0, how="all").dropna(axis=1, how="all")
    if cells.empty:
        message = "its sheet is empty"
        raise ValueError(message)
    names = ["unnamed" if pd.isna(name) else str(name) for name in cells.iloc[0]]
    return cells.iloc[1:].set_axis(names, axis=1).reset_index(drop=True)


def decoded(raw: bytes) -> str:
    """Return text that is UTF-8 or GBK, or begins with UTF-16's byte-order mark, as Excel's "Unicode text" does.

    Raises
    ------
    ValueError
        If it is none of them.
    """
    for encoding in ("utf-16",) if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else ("utf-8-sig", "gb18030"):
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    message = "its text is neither UTF-8 nor GBK"
    raise ValueError(message)


def _read_text(path: Path) -> pd.DataFrame:
    text = decoded(gzip.decompress(path.read_bytes()) if path.suffix.lower() == ".gz" else path.read_bytes())
    lines = text.splitlines(keepends=True)
    start = 0
    while start < len(lines) and lines[start].startswith("#"):
        start += 1
    if start == len(lines):
        message = "it is empty"
        raise ValueError(message)
    separator = max("\t;,", key=lines[start].count)
    names = next(csv.reader(lines[start:], delimiter=separator))
    with warnings.catch_warnings():
        # Rows longer than the header would otherwise lose their last fields.
        warnings.filterwarnings("error", category=pd.errors.ParserWarning)
        table = pd.read_csv(
            io.StringIO("".join(lines[start:])), sep=separator, dtype=object, keep_default_na=False, index_col=False
        )
    # pandas renames repeated columns; the file's own names are wanted.
    return table.set_axis(names, axis=1)
