"""Gene identifiers: what kind they are, and how they become symbols."""

from __future__ import annotations

import gzip
import io
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from imrad.exceptions import InputError, ScoreError
from imrad.immune.signatures import entrez_symbols, estimate_genes, marker_sets, read_signature

__all__ = ["identifier_kind", "read_gene_map", "reference_symbols", "to_symbols"]

_KINDS = {
    "ensembl": re.compile(r"ENSG\d{11}(\.\d+)?(_PAR_Y)?$"),
    "entrez": re.compile(r"\d+$"),
    "symbol|entrez": re.compile(r"[^|]+\|\d+$"),
    "ensembl|symbol": re.compile(r"ENSG\d{11}(\.\d+)?[|_:;](?!PAR_Y$)[^|]+$"),
    "symbol|ensembl": re.compile(r"[^|]+[|_:;]ENSG\d{11}(\.\d+)?$"),
    "transcript": re.compile(r"(ENST\d{11}|N[MR]_\d+|uc\d{3}\w{3})(\.\d+)?$"),
    "other species": re.compile(r"ENS[A-Z]{3,}G\d{11}(\.\d+)?$"),
    "probe": re.compile(r"(\d+(_[a-z])*_at|ILMN_\d+|A_\d+_P\d+|AFFX\S+)$"),
}
_ENSEMBL_COLUMNS = ("gene_id", "ensembl_gene_id", "gene stable id", "ensembl gene id", "ensembl", "ensembl_id", "id")
_ENTREZ_COLUMNS: tuple[str, ...] = (
    "entrez_id",
    "entrezgene",
    "entrez",
    "entrezid",
    "entrez_gene_id",
    "entrezgene_id",
    "ncbi gene id",
)
_ENTREZ_COLUMNS = (*_ENTREZ_COLUMNS, "ncbi gene (formerly entrezgene) id", "ncbi gene id(supplied by ncbi)")
_SYMBOL_COLUMNS: tuple[str, ...] = (
    "gene_name",
    "symbol",
    "hgnc_symbol",
    "gene",
    "gene name",
    "approved symbol",
    "genesymbol",
)
_SYMBOL_COLUMNS = (*_SYMBOL_COLUMNS, "hgnc symbol", "external_gene_name", "hugo_symbol", "gene_symbol")
_HOW = (
    "pass gene_map=, a table with those ids and symbols such as any GDC STAR-counts file, a GENCODE or Ensembl GTF, "
    "an Ensembl BioMart export or HGNC's complete set"
)


def reference_symbols() -> frozenset[str]:
    """Return the symbols of all embedded signatures, by which gene labels are recognised."""
    symbols = set(estimate_genes()["common"])
    symbols.update(gene for genes in marker_sets().values() for gene in genes)
    symbols.update(str(gene) for gene in read_signature(None).matrix.index)
    return frozenset(symbols)


def identifier_kind(labels: Sequence[str]) -> str:
    """Return what most labels are: ``ensembl``, ``entrez``, ``symbol|entrez``, ..., else ``symbol``."""
    step = max(1, len(labels) // 2000)
    counts = Counter(_kind(label) for label in labels[::step] if label and not label.startswith(("N_", "__", "?|")))
    return counts.most_common(1)[0][0] if counts else "symbol"


def _kind(label: str) -> str:
    return next((kind for kind, pattern in _KINDS.items() if pattern.match(label)), "symbol")


def to_symbols(
    labels: Sequence[str], gene_map: str | Path | pd.DataFrame | Mapping[str, str] | None = None
) -> tuple[list[str], list[str]]:
    """Convert gene labels to symbols.

    Parameters
    ----------
    labels : sequence of str
        Symbols, Ensembl gene ids (versions are stripped), Entrez ids, or pairs such as ``A1BG|1``.
    gene_map : path, DataFrame or mapping, optional
        Ids to symbols; see :func:`read_gene_map`. Entrez ids need none for the embedded signatures.

    Returns
    -------
    symbols : list of str
        One a label; empty where the row is no gene or has no symbol.
    messages : list of str
        What was done, in sentences.

    Raises
    ------
    ScoreError
        If the labels are of transcripts, probes or another species, or Ensembl ids come without a map.
    """
    kind = identifier_kind(labels)
    refusals = {
        "transcript": "gene labels are transcripts; sum them to genes first",
        "other species": "gene labels are Ensembl ids of another species; the signatures are human, map to orthologues",
        "probe": "gene labels are array probes; map them to gene symbols first",
    }
    if kind in refusals:
        message = f"{refusals[kind]} (first label {labels[0]!r})"
        raise ScoreError(message)
    if kind == "symbol":
        return _plain_symbols(labels, gene_map)
    if kind in ("symbol|entrez", "symbol|ensembl"):
        return [_part(label, 0) for label in labels], [f"symbols taken from labels such as {labels[-1]!r}"]
    if kind == "ensembl|symbol":
        return [_part(label, 1) for label in labels], [f"symbols taken from labels such as {labels[-1]!r}"]
    table, origin = _map_for(kind, gene_map)
    symbols = ["" if label.endswith("_PAR_Y") else table.get(_stripped(label), "") for label in labels]
    known = sum(bool(symbol) for symbol in symbols)
    if not known:
        message = f"none of the {len(labels)} {kind} ids is in {origin}; {_HOW}"
        raise ScoreError(message)
    return symbols, [f"{known} of {len(labels)} {kind} ids converted to symbols by {origin}"]


def _plain_symbols(
    labels: Sequence[str], gene_map: str | Path | pd.DataFrame | Mapping[str, str] | None
) -> tuple[list[str], list[str]]:
    letters = [label for label in labels if any(c.isalpha() for c in label)]
    mouse = sum(len(label) > 2 and label[0].isupper() and label[1:].islower() for label in letters)
    if len(letters) > 100 and mouse > 0.5 * len(letters) and not any("_" in label for label in letters[:50]):
        message = f"gene labels such as {letters[0]!r} are spelt as mouse symbols; map them to human orthologues"
        raise ScoreError(message)
    messages = []
    dates = [label for label in labels if re.match(r"\d{1,2}-(Mar|Sep|Dec|Oct)$", label)]
    if dates:
        messages.append(f"{len(dates)} gene labels are dates that a spreadsheet made of symbols ({dates[0]}); dropped")
    gone = set(dates)
    if isinstance(gene_map, Mapping):
        return [str(gene_map.get(label, label)) for label in labels], [*messages, "symbols renamed by the user's map"]
    return ["" if label in gone or label in ("?", "nan", "NA") else label for label in labels], messages


def _stripped(label: str) -> str:
    return label.split(".", 1)[0]


def _part(label: str, number: int) -> str:
    pieces = re.split(r"[|:;]", label, maxsplit=1)
    if len(pieces) == 1:
        pieces = label.rsplit("_", 1) if number == 0 else label.split("_", 1)
    symbol = pieces[number] if len(pieces) > number else ""
    return "" if symbol == "?" else symbol


def _map_for(
    kind: str, gene_map: str | Path | pd.DataFrame | Mapping[str, str] | None
) -> tuple[Mapping[str, str], str]:
    if gene_map is not None:
        return read_gene_map(gene_map), "the user's gene map"
    if kind == "entrez":
        return entrez_symbols(), "the embedded table of ESTIMATE's 10,412 genes"
    message = f"gene labels are Ensembl ids and no map to symbols was given; {_HOW}"
    raise ScoreError(message)


def read_gene_map(source: str | Path | pd.DataFrame | Mapping[str, str]) -> dict[str, str]:
    """Return a map from Ensembl (without version) and Entrez ids to symbols.

    Parameters
    ----------
    source : path, DataFrame or mapping
        A table with a column of symbols and one or both of Ensembl and Entrez ids, recognised by
        their usual names (GDC STAR counts, BioMart, HGNC), or a GTF file; gzip is recognised.

    Raises
    ------
    InputError
        If the file is missing, or no such columns are found.
    """
    if isinstance(source, Mapping):
        return {_stripped(str(key)): str(value) for key, value in source.items()}
    if isinstance(source, pd.DataFrame):
        return _map_from_table(source, "the gene map")
    path = Path(source)
    if not path.is_file():
        message = f"gene map {path} does not exist; give a table of ids and symbols"
        raise InputError(message)
    raw = path.read_bytes()
    text = (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode("utf-8-sig", errors="replace")
    if 'gene_id "' in text[:200_000]:
        return _map_from_gtf(text)
    body = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    sep = "\t" if "\t" in body.split("\n", 1)[0] else ","
    return _map_from_table(pd.read_csv(io.StringIO(body), sep=sep, dtype=str, keep_default_na=False), str(path))


def _map_from_gtf(text: str) -> dict[str, str]:
    pairs = re.findall(r'gene_id "([^"]+)"[^\n]*?gene_name "([^"]+)"', text)
    return {_stripped(gene): symbol for gene, symbol in pairs if not gene.endswith("_PAR_Y")}


def _map_from_table(table: pd.DataFrame, origin: str) -> dict[str, str]:
    lower = {str(name).strip().lower(): name for name in table.columns}
    symbol = next((lower[name] for name in _SYMBOL_COLUMNS if name in lower), None)
    ids = [lower[name] for name in (*_ENSEMBL_COLUMNS, *_ENTREZ_COLUMNS) if name in lower and lower[name] != symbol]
    if symbol is None or not ids:
        message = (
            f"{origin} has no columns of ids and symbols that imrad knows (found {', '.join(map(str, lower))[:200]}); "
            "name them gene_id and gene_name"
        )
        raise InputError(message)
    found: dict[str, str] = {}
    for column in ids:
        for key, value in zip(table[column].astype(str), table[symbol].astype(str), strict=True):
            if key and value and not key.endswith("_PAR_Y") and identifier_kind([key]) in ("ensembl", "entrez"):
                found.setdefault(_stripped(key), value)
    return found
