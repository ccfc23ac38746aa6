"""Signature matrices and gene sets: the embedded open ones, and the user's files."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd

from imrad.content import digest
from imrad.exceptions import InputError, ScoreError
from imrad.immune.reading import EXACT
from imrad.immune.targets import canonical_cell
from imrad.names import LM22_CELLS

__all__ = [
    "Coverage",
    "Signature",
    "estimate_genes",
    "marker_sets",
    "match_genes",
    "read_gmt",
    "read_signature",
    "renames",
]

LM22_SHAPE = (547, 22)


@dataclass(frozen=True)
class Signature:
    """A matrix of cell types' expression.

    Attributes
    ----------
    name : str
        ``TIL10``, ``LM22`` where shape and cell names are those of LM22, else the file's name.
    matrix : DataFrame
        Genes x cell types, linear scale, cell types spelt as in the target language.
    note : str
        What a reader should know of this copy; empty if nothing.
    """

    name: str
    matrix: pd.DataFrame
    note: str = ""


@dataclass(frozen=True)
class Coverage:
    """How much of a signature a matrix holds.

    Attributes
    ----------
    name : str
        The signature.
    n_genes, n_found : int
        Genes of the signature, and those in the matrix.
    missing : tuple of str
        The others.
    renamed : tuple of str
        Genes found under their older or newer HGNC symbol, as ``WISP1=CCN4``.
    digest : str
        Of the signature's content.
    """

    name: str
    n_genes: int
    n_found: int
    missing: tuple[str, ...]
    renamed: tuple[str, ...] = ()
    digest: str = ""

    @property
    def share(self) -> float:
        """Return the found share, in [0, 1]."""
        return self.n_found / self.n_genes if self.n_genes else 0.0

    def require(self, least: float) -> None:
        """Refuse a coverage below `least`, listing what is missing.

        Raises
        ------
        ScoreError
            If the share found is below `least`, or nothing was found.
        """
        if self.n_found and self.share >= least:
            return
        shown = ", ".join(self.missing[:25]) + (f" and {len(self.missing) - 25} more" if len(self.missing) > 25 else "")
        message = (
            f"{self.n_found} of {self.n_genes} genes ({self.share:.0%}) of {self.name} are in the expression matrix, "
            f"at least {least:.0%} were needed; check gene ids and species or lower min_coverage (missing: {shown})"
        )
        raise ScoreError(message)


def _data(name: str) -> bytes:
    return files("imrad.immune").joinpath("data", name).read_bytes()


@lru_cache(maxsize=1)
def renames() -> dict[str, str]:
    """Return other names of signature genes that HGNC renamed, in both directions."""
    rows = list(csv.DictReader(io.StringIO(_data("gene_renames.csv").decode())))
    both = {row["older"]: row["newer"] for row in rows}
    both.update({row["newer"]: row["older"] for row in rows})
    return both


@lru_cache(maxsize=1)
def _estimate_table() -> pd.DataFrame:
    text = gzip.decompress(_data("estimate_genes.csv.gz")).decode()
    return pd.read_csv(io.StringIO(text), keep_default_na=False, dtype={"symbol": str, "entrez_id": str, "set": str})


def estimate_genes() -> dict[str, list[str]]:
    """Return ESTIMATE's gene lists: ``stromal``, ``immune`` and ``common``."""
    table = _estimate_table()
    return {
        "stromal": table.loc[table["set"] == "stromal", "symbol"].tolist(),
        "immune": table.loc[table["set"] == "immune", "symbol"].tolist(),
        "common": table["symbol"].tolist(),
    }


def entrez_symbols() -> dict[str, str]:
    """Return the embedded map from Entrez ids to symbols (ESTIMATE's 10,412 common genes)."""
    table = _estimate_table()
    return dict(zip(table["entrez_id"], table["symbol"], strict=True))


def marker_sets() -> dict[str, list[str]]:
    """Return the marker genes of Danaher et al. 2017 by cell type."""
    return _parse_gmt(_data("markers_danaher2017.gmt").decode(), "markers")


def read_gmt(path: str | Path) -> dict[str, list[str]]:
    """Read gene sets: one line each, name, description, genes, separated by tabs.

    Raises
    ------
    InputError
        If the file is missing or a line is not of this form.
    """
    try:
        text = _read_text(Path(path))
    except FileNotFoundError as error:
        message = f"gene set file {path} does not exist; give the path of a GMT file"
        raise InputError(message) from error
    return _parse_gmt(text, str(path))


def _read_text(path: Path) -> str:
    raw = path.read_bytes()
    return (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode("utf-8-sig")


def _parse_gmt(text: str, origin: str) -> dict[str, list[str]]:
    sets: dict[str, list[str]] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        fields = [field.strip() for field in line.split("\t")]
        if len(fields) < 3:
            message = f"line {number} of {origin} is not a gene set: name, description and genes separated by tabs"
            raise InputError(message)
        if fields[0] in sets:
            message = f"{origin} holds the gene set {fields[0]!r} twice; keep one"
            raise InputError(message)
        sets[fields[0]] = list(dict.fromkeys(field for field in fields[2:] if field))
    if not sets:
        message = f"{origin} holds no gene set"
        raise InputError(message)
    return sets


def read_signature(source: str | Path | pd.DataFrame | Signature | None = None) -> Signature:
    """Return a signature matrix, checked.

    Parameters
    ----------
    source : path, DataFrame, Signature or None
        A tab- or comma-separated file or a table, genes in rows (first column) and cell types in
        columns, linear scale; ``None`` or ``"TIL10"`` is the embedded open TIL10. LM22 is
        recognised by its shape and cell names; a copy of another shape carries a note.

    Raises
    ------
    InputError
        If the file is missing or not such a matrix.
    ScoreError
        If the matrix has missing, negative or duplicated entries.
    """
    if isinstance(source, Signature):
        return source
    if source is None or (isinstance(source, str) and source.upper() == "TIL10"):
        table = pd.read_csv(io.BytesIO(_data("til10.csv")), index_col=0, **EXACT)
        return _checked(table, "TIL10")
    if isinstance(source, pd.DataFrame):
        return _checked(source, "signature")
    path = Path(source)
    try:
        text = _read_text(path)
    except FileNotFoundError as error:
        message = (
            f"signature file {path} does not exist; give a genes x cell types file such as your own copy of LM22, "
            "or leave it out to use the open TIL10"
        )
        raise InputError(message) from error
    except (UnicodeDecodeError, IsADirectoryError, gzip.BadGzipFile) as error:
        message = f"signature file {path} is not a text table; save the matrix as tab- or comma-separated text"
        raise InputError(message) from error
    head = text.split("\n", 1)[0]
    table = pd.read_csv(io.StringIO(text), sep="\t" if "\t" in head else ",", index_col=0, **EXACT)
    return _checked(table, path.name.split(".")[0])


def _checked(table: pd.DataFrame, name: str) -> Signature:
    if table.shape[1] < 2 or table.shape[0] < 3:
        message = (
            f"signature {name} has {table.shape[0]} genes and {table.shape[1]} cell types; at least 3 and 2 needed"
        )
        raise ScoreError(message)
    table = table.copy()
    table.index = pd.Index([str(gene).strip() for gene in table.index], name="gene")
    table.columns = pd.Index([canonical_cell(str(cell)) for cell in table.columns])
    bad = [str(cell) for cell in table.columns if not pd.api.types.is_numeric_dtype(table[cell])]
    if bad or not table.columns.is_unique:
        message = f"signature {name} has columns that are not numbers or share a name ({', '.join(bad[:5])})"
        raise ScoreError(message)
    values = table.to_numpy(dtype=float)
    if not np.isfinite(values).all() or (values < 0).any() or not table.index.is_unique:
        message = f"signature {name} has missing or negative values or repeated genes; give one clean row a gene"
        raise ScoreError(message)
    note = ""
    if set(table.columns) == set(LM22_CELLS):
        if table.shape[0] == LM22_SHAPE[0]:
            name = "LM22"
        else:
            note = f"{name} has LM22's cell types but {table.shape[0]} genes where LM22 has {LM22_SHAPE[0]}: not LM22"
    return Signature(name, table.astype(float), note)


def match_genes(wanted: Sequence[str], present: Iterable[str], name: str) -> tuple[dict[str, str], Coverage]:
    """Find a signature's genes in a matrix, under the other name where HGNC renamed one.

    Returns
    -------
    found : dict
        From the signature's symbol to the matrix's.
    coverage : Coverage
        What was found, renamed and missing.
    """
    have = present if isinstance(present, set | frozenset) else set(present)
    other = renames()
    asked = set(wanted)
    found: dict[str, str] = {}
    renamed: list[str] = []
    missing: list[str] = []
    for gene in wanted:
        alias = other.get(gene, "")
        if gene in have:
            found[gene] = gene
        elif alias in have and alias not in asked:
            found[gene] = alias
            renamed.append(f"{gene}={alias}")
        else:
            missing.append(gene)
    return found, Coverage(name, len(wanted), len(found), tuple(missing), tuple(renamed), digest(sorted(wanted))[:16])


def coverage_table(coverages: Sequence[Coverage]) -> pd.DataFrame:
    """Return one row a signature: signature, n_genes, n_found, coverage, renamed, missing, digest."""
    rows: list[Mapping[str, object]] = [
        {
            "signature": item.name,
            "n_genes": item.n_genes,
            "n_found": item.n_found,
            "coverage": item.share,
            "renamed": ";".join(item.renamed),
            "missing": ";".join(item.missing),
            "digest": item.digest,
        }
        for item in coverages
    ]
    return pd.DataFrame(rows, columns=["signature", "n_genes", "n_found", "coverage", "renamed", "missing", "digest"])
