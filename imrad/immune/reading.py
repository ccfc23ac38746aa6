"""Expression files as they arrive: text matrices, GCT, Parquet, and GDC STAR-counts files and folders."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd

from imrad.exceptions import InputError

__all__ = ["EXACT", "open_text", "read_expression", "read_table"]

_STAR_VALUES = (
    "unstranded",
    "stranded_first",
    "stranded_second",
    "tpm_unstranded",
    "fpkm_unstranded",
    "fpkm_uq_unstranded",
)
_STAR_SUFFIX = "star_gene_counts.tsv"
_LABELS = ("hugo_symbol", "gene_name", "symbol", "gene_symbol", "genesymbol", "hgnc_symbol", "name", "gene", "gene_id")
_ANNOTATION = (*_LABELS, "entrez_gene_id", "entrez_id", "description", "gene_type", "id", "cytoband", "ensembl_id")
_CHUNK_CELLS = 4_000_000
# Until version 3 pandas reads floats to the last digit only when told to.
EXACT: dict[str, Any] = {"float_precision": "round_trip"} if int(pd.__version__.split(".")[0]) < 3 else {}
_MISSING = ["", "NA", "NaN", "nan", "N/A", "null", "NULL", "None", "#N/A"]


def read_expression(
    path: str | Path | Sequence[str | Path], *, value: str = "tpm_unstranded", samples: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """Read an expression matrix, whatever form it came in; nothing is converted.

    Parameters
    ----------
    path : path or sequence of paths
        A text matrix (csv, tsv, txt, gct; gzip is recognised), a Parquet file, a GDC STAR-counts
        file, several of these, or a folder that holds them (as downloaded: one folder a file).
    value : str
        Column of STAR-counts files.
    samples : mapping, optional
        For STAR-counts files: file name, file's folder or file id to sample barcode. A GDC sample
        sheet (``gdc_sample_sheet*.tsv``) in the folder is used by itself.

    Returns
    -------
    DataFrame
        Rows and columns as in the file, labels as text, values float64; ``attrs["unit"]`` where the
        file itself states the unit. Orientation is settled by :func:`prepare_expression`.

    Raises
    ------
    InputError
        If a file is missing, damaged, or holds no matrix of numbers.
    """
    if not isinstance(path, str | Path):
        return _read_star([Path(item) for item in path], value, samples or {})
    source = Path(path)
    if source.is_dir():
        found = sorted(item for item in source.rglob("*") if item.name.removesuffix(".gz").endswith(_STAR_SUFFIX))
        if not found:
            message = f"folder {source} holds no GDC STAR-counts file (*{_STAR_SUFFIX}); give a matrix file instead"
            raise InputError(message)
        return _read_star(found, value, samples if samples is not None else _sample_sheet(source))
    if not source.is_file():
        message = f"expression file {source} does not exist"
        raise InputError(message)
    try:
        if source.suffix.lower() in (".parquet", ".pq"):
            return _read_parquet(source)
        if _is_star(source):
            return _read_star([source], value, samples or {})
        return _read_text(source)
    except (OSError, EOFError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        message = f"expression file {source} cannot be read ({error}); it must be a text table, GCT or Parquet"
        raise InputError(message) from error


def open_text(path: Path) -> IO[str]:
    """Open a text file, gzip recognised by content."""
    if _zipped(path):
        return io.TextIOWrapper(gzip.open(path), encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _is_star(path: Path) -> bool:
    with open_text(path) as handle:
        for line in handle:
            if not line.startswith("#"):
                return line.startswith("gene_id\tgene_name\tgene_type\t")
    return False


def _sample_sheet(folder: Path) -> dict[str, str]:
    names: dict[str, str] = {}
    for sheet in sorted(folder.glob("gdc_sample_sheet*.tsv")):
        table = pd.read_csv(sheet, sep="\t", dtype=str)
        for _, row in table.iterrows():
            names[row["File ID"]] = names[row["File Name"]] = str(row["Sample ID"]).split(",")[0].strip()
    return names


def _read_star(paths: Sequence[Path], value: str, samples: Mapping[str, str]) -> pd.DataFrame:
    if value not in _STAR_VALUES:
        message = f"STAR-counts files have no column {value!r}; choose one of {', '.join(_STAR_VALUES)}"
        raise InputError(message)
    ids: pd.Index[str] | None = None
    columns: dict[str, np.ndarray[Any, Any]] = {}
    names: list[str] = []
    for path in paths:
        table = _star_table(path, value)
        if ids is None:
            ids, names = pd.Index(table["gene_id"]), table["gene_name"].tolist()
        elif not ids.equals(pd.Index(table["gene_id"])):
            message = f"{path.name} lists other genes than {paths[0].name}; read one gene model at a time"
            raise InputError(message)
        sample = _star_sample(path, samples)
        if sample in columns:
            message = f"two STAR-counts files belong to sample {sample} (one is {path.name}); choose one of them"
            raise InputError(message)
        columns[sample] = table[value].to_numpy(dtype=np.float64)
    frame = pd.DataFrame(np.column_stack(list(columns.values())), index=names, columns=list(columns))
    unit = {"t": "tpm", "f": "fpkm"}.get(value[0], "counts")
    frame.attrs.update(unit=unit, evidence=f"column {value} of GDC STAR-counts files")
    return frame


def _star_table(path: Path, value: str) -> pd.DataFrame:
    with open_text(path) as handle:
        lines = (line for line in handle if not line.startswith("#"))
        try:
            table: pd.DataFrame = pd.read_csv(
                io.StringIO("".join(lines)), sep="\t", usecols=["gene_id", "gene_name", value], **EXACT
            )
        except (ValueError, EOFError, OSError) as error:
            message = f"STAR-counts file {path} cannot be read ({error}); download it again"
            raise InputError(message) from error
    table = table[~table["gene_id"].str.startswith("N_") & ~table["gene_id"].str.endswith("_PAR_Y")]
    if table.empty or table[value].isna().any():
        message = f"STAR-counts file {path} is cut short or has no values in {value}; download it again"
        raise InputError(message)
    return table.assign(gene_name=table["gene_name"].fillna("").astype(str))


def _star_sample(path: Path, samples: Mapping[str, str]) -> str:
    uuid = path.name.split(".")[0]
    return next((str(samples[key]) for key in (path.name, path.parent.name, uuid, str(path)) if key in samples), uuid)


def _read_parquet(source: Path) -> pd.DataFrame:
    """Read a matrix column by column into one array, so that it is never in memory twice."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(source) as file:
        schema = file.schema_arrow
        numbers = [
            field.name for field in schema if pa.types.is_integer(field.type) or pa.types.is_floating(field.type)
        ]
        text = [field.name for field in schema if field.name not in numbers]
        stored = [name for name in (schema.pandas_metadata or {}).get("index_columns", []) if isinstance(name, str)]
        named = [name for name in text if name.lower() in _LABELS]
        label = next((name for name in (*stored, *named, *text) if name in schema.names), "")
        kept = [name for name in numbers if name != label and name.lower() not in _ANNOTATION]
        if not kept or not label:
            message = f"expression file {source} needs one column of labels and columns of numbers"
            raise InputError(message)
        odd = [name for name in text if name != label and name.lower() not in _ANNOTATION]
        if odd:
            message = f"expression file {source} holds text among its values (column {odd[0]!r}); give numbers only"
            raise InputError(message)
        labels = [str(name).strip() for name in file.read([label]).column(0).to_pylist()]
        values = np.empty((len(labels), len(kept)), dtype=np.float64, order="F")
        for start in range(0, len(kept), 64):
            batch = file.read(kept[start : start + 64], use_threads=False)
            for offset in range(batch.num_columns):
                values[:, start + offset] = batch.column(offset).to_numpy()
    return pd.DataFrame(values, index=labels, columns=kept, copy=False)


def _read_text(source: Path) -> pd.DataFrame:
    with open_text(source) as handle:
        skip, header, first = _head(handle)
        n_rows = sum(1 for line in handle if line.strip()) + 1
    sep = "\t" if "\t" in header else ("," if "," in header else ";")
    names = [name.strip() for name in next(csv.reader([header], delimiter=sep))]
    width = len(next(csv.reader([first], delimiter=sep)))
    if width == len(names) + 1:
        names = ["", *names]
    if width < 2 or width != len(names):
        message = f"expression file {source} has {len(names)} column names and {width} values in the first row"
        raise InputError(message)
    probe = next(csv.reader([first], delimiter=sep))
    label, dropped = _label_column(names, probe)
    kept = [number for number in range(width) if number != label and number not in dropped]
    values = np.empty((n_rows, len(kept)), dtype=np.float64)
    labels: list[str] = []
    missing: dict[Any, list[str]] = dict.fromkeys(kept, _MISSING)
    with open_text(source) as handle:
        for _ in range(skip + 1):
            handle.readline()
        chunks = pd.read_csv(  # type: ignore[call-overload]
            handle,
            sep=sep,
            header=None,
            usecols=[label, *kept],
            dtype={label: str},
            keep_default_na=False,
            na_values=missing,
            chunksize=max(1, _CHUNK_CELLS // width),
            **EXACT,
        )
        for chunk in chunks:
            text = [names[number] for number in kept if not pd.api.types.is_numeric_dtype(chunk[number].dtype)]
            if text:
                message = (
                    f"expression file {source} holds text among its values (column {text[0]!r}); give numbers only"
                )
                raise InputError(message)
            start = len(labels)
            labels += chunk[label].astype(str).str.strip().tolist()
            values[start : len(labels)] = chunk[kept].to_numpy(dtype=np.float64)
    if len(labels) != n_rows:
        values = values[: len(labels)]
    return pd.DataFrame(values, index=labels, columns=[names[number] for number in kept], copy=False)


def _head(handle: IO[str]) -> tuple[int, str, str]:
    skip = 0
    header = handle.readline()
    while header.startswith("#") or (header and not header.strip()):
        gct = header.startswith("#1.")
        skip += 1
        header = handle.readline()
        if gct:
            skip += 1
            header = handle.readline()
    first = handle.readline()
    if not header.strip() or not first.strip():
        message = "the file has no header and rows"
        raise pd.errors.EmptyDataError(message)
    return skip, header.rstrip("\r\n"), first.rstrip("\r\n")


def _label_column(names: Sequence[str], probe: Sequence[str]) -> tuple[int, set[int]]:
    """Return the column of labels and the annotation columns beside it."""
    lower = [name.lower() for name in names]
    annotation = {number for number, name in enumerate(lower) if name in _ANNOTATION}
    for number in range(min(4, len(names))):
        if number not in annotation and not _is_number(probe[number]) and number + 1 < len(names):
            annotation.add(number)
    named = [number for wanted in _LABELS for number, name in enumerate(lower) if name == wanted and number < 4]
    filled = [number for number in named if probe[number].strip()]
    label = filled[0] if filled else 0
    return label, {number for number in annotation if number != label and number < 6}


def _is_number(text: str) -> bool:
    if text.strip() in _MISSING:
        return True
    try:
        float(text)
    except ValueError:
        return False
    return True


def read_table(path: str | Path, what: str) -> pd.DataFrame:
    """Read a csv, tsv or Parquet table with a header; leading lines of `#` are skipped.

    Raises
    ------
    InputError
        If the file is missing or cannot be read; `what` names it in the message.
    """
    source = Path(path)
    if not source.is_file():
        message = f"{what} {source} does not exist"
        raise InputError(message)
    try:
        if source.suffix.lower() in (".parquet", ".pq"):
            stored = pd.read_parquet(source)
            return stored if isinstance(stored.index, pd.RangeIndex) else stored.reset_index()
        with open_text(source) as handle:
            skip, header, _ = _head(handle)
        sep = "\t" if "\t" in header else ("," if "," in header else ";")
        with open_text(source) as handle:
            table: pd.DataFrame = pd.read_csv(handle, sep=sep, skiprows=skip, **EXACT)
    except (ValueError, OSError, EOFError) as error:
        message = f"{what} {source} cannot be read ({error}); give csv, tsv or Parquet with a header and rows"
        raise InputError(message) from error
    return table


def _zipped(path: Path) -> bool:
    with path.open("rb") as handle:
        return handle.read(2) == b"\x1f\x8b"
