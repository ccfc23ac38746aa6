"""The target language: what an immune quantity is called everywhere, from settings to report.

====================== ==================================================================
``TMB`` ``MSI``        tumour mutational burden per Mb; microsatellite instability score
``stromal`` ``immune`` ESTIMATE scores; ``estimate`` is their sum, ``purity`` its cosine
``cell:NAME``          a cell type of the deconvolution, such as ``cell:T_cells_CD8``
``marker:NAME``        a cell type's marker-gene score, such as ``marker:B_cells``
``gene:SYMBOL``        expression of one gene, such as ``gene:PDCD1``
``sig:FILE.gmt#NAME``  ssGSEA score of one gene set of a GMT file
``mut:SYMBOL``         whether a gene carries a counted mutation, such as ``mut:EGFR``
====================== ==================================================================
"""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from imrad.exceptions import ConfigError
from imrad.names import LM22_CELLS

__all__ = [
    "CELL_GROUPS",
    "GENE_ALIASES",
    "PLAIN_TARGETS",
    "Target",
    "canonical_cell",
    "canonical_name",
    "gene_symbol",
    "known_targets",
    "parse_target",
    "same_target",
    "target_help",
]

PLAIN_TARGETS = {
    "TMB": "tumour mutational burden: counted variants per megabase",
    "MSI": "microsatellite instability score (MANTIS or MSIsensor)",
    "stromal": "ESTIMATE stromal score",
    "immune": "ESTIMATE immune score",
    "estimate": "ESTIMATE score: stromal plus immune",
    "purity": "tumour purity from the ESTIMATE score",
}
PREFIXES = {
    "cell": "fraction of a cell type from the deconvolution",
    "marker": "marker-gene score of a cell type",
    "gene": "expression of a gene",
    "sig": "ssGSEA score of a gene set: sig:FILE.gmt#NAME",
    "mut": "a counted mutation in a gene, 0 or 1",
}

CELL_GROUPS = {
    "B_cells": ("B_cells_naive", "B_cells_memory"),
    "T_cells": tuple(name for name in LM22_CELLS if name.startswith("T_cells_")),
    "T_cells_CD4": (
        "T_cells_CD4_naive",
        "T_cells_CD4_memory_resting",
        "T_cells_CD4_memory_activated",
        "T_cells_follicular_helper",
    ),
    "NK_cells": ("NK_cells_resting", "NK_cells_activated"),
    "Macrophages": ("Macrophages_M0", "Macrophages_M1", "Macrophages_M2"),
    "Dendritic_cells": ("Dendritic_cells_resting", "Dendritic_cells_activated"),
    "Mast_cells": ("Mast_cells_resting", "Mast_cells_activated"),
}
"""Coarse cell types as sums of LM22 types, for comparing methods of different resolution."""

GENE_ALIASES = {
    "HER1": "EGFR",
    "ERBB1": "EGFR",
    "HER2": "ERBB2",
    "HER-2": "ERBB2",
    "HER2/NEU": "ERBB2",
    "NEU": "ERBB2",
    "HER3": "ERBB3",
    "HER4": "ERBB4",
    "PD1": "PDCD1",
    "PD-1": "PDCD1",
    "PDL1": "CD274",
    "PD-L1": "CD274",
    "CTLA-4": "CTLA4",
    "P53": "TP53",
    "C-MET": "MET",
    "CMET": "MET",
}
"""Names that clinicians use to the symbol of HGNC (genenames.org), in which matrices and MAF files are written."""

_RENAMED = {"Tregs": "T_cells_regulatory_Tregs", "CD8_T_cells": "T_cells_CD8", "CD4_T_cells": "T_cells_CD4"}
_SYMBOL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]*$")


@dataclass(frozen=True, slots=True)
class Target:
    """One immune quantity.

    Attributes
    ----------
    kind : str
        ``plain`` or a prefix of the language: ``cell``, ``marker``, ``gene``, ``sig``, ``mut``.
    name : str
        What follows the prefix, in canonical spelling; of a signature, the gene set's name.
    file : str
        Of a signature, its GMT file; else empty.
    """

    kind: str
    name: str
    file: str = ""

    def __str__(self) -> str:
        if self.kind == "plain":
            return self.name
        return f"sig:{self.file}#{self.name}" if self.kind == "sig" else f"{self.kind}:{self.name}"

    def slug(self) -> str:
        """Return a name for files: letters, digits, dots, underscores and dashes, unique per target."""
        text = str(self)
        if self.kind in ("plain", "cell", "marker"):
            return text.replace(":", "-")
        plain = re.sub(r"[^A-Za-z0-9._-]+", "-", text)
        if plain == text.replace(":", "-", 1):
            return plain
        return f"{plain}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def gene_symbol(text: str) -> str:
    """Return the HGNC symbol of a gene that goes by another name, such as ERBB2 of HER2; else the text."""
    return GENE_ALIASES.get(text.strip().upper(), text.strip())


def same_target(wanted: str, columns: Iterable[str]) -> str | None:
    """Return the column that holds a target: of its name, or of another name of its gene.

    Examples
    --------
    >>> same_target("mut:HER2", ["TMB", "mut:ERBB2"])
    'mut:ERBB2'
    """
    listed = list(columns)
    if wanted in listed:
        return wanted

    def spelled(name: str) -> str:
        prefix, colon, rest = name.partition(":")
        return f"{prefix}:{gene_symbol(rest)}" if colon and prefix in ("mut", "gene") else name

    return next((name for name in listed if spelled(name) == spelled(wanted)), None)


def canonical_name(text: str) -> str:
    """Return a name with every run of other characters than letters and digits as one underscore."""
    return re.sub(r"[^A-Za-z0-9]+", "_", text.strip()).strip("_")


def canonical_cell(text: str) -> str:
    """Return a cell type's name as the target language spells it.

    ``T cells regulatory (Tregs)``, ``T.cells.regulatory..Tregs.`` and ``Tregs`` all become
    ``T_cells_regulatory_Tregs``; LM22 names are recognised whatever their case.
    """
    name = canonical_name(text)
    name = _RENAMED.get(name, name)
    known = {cell.lower(): cell for cell in (*LM22_CELLS, *CELL_GROUPS)}
    return known.get(name.lower(), name)


def parse_target(text: str, *, known: Iterable[str] = ()) -> Target:
    """Read one target.

    Parameters
    ----------
    text : str
        Such as ``TMB`` or ``cell:T_cells_CD8``; the plain names may be in any case.
    known : iterable of str
        If given, the target must be one of these (the columns at hand), else the error lists them.

    Raises
    ------
    ConfigError
        If the text is not of the language, or not among the known targets.

    Examples
    --------
    >>> str(parse_target("cell:T cells CD8"))
    'cell:T_cells_CD8'
    >>> parse_target("sig:hallmark.gmt#HYPOXIA").name
    'HYPOXIA'
    """
    target = _parse(text.strip(), known)
    listed = list(known)
    if listed and str(target) not in listed:
        raise ConfigError(_unknown(text, listed))
    return target


def _parse(text: str, known: Iterable[str]) -> Target:
    prefix, colon, rest = text.partition(":")
    rest = rest.strip()
    if not colon:
        plain = {name.lower(): name for name in PLAIN_TARGETS}
        if prefix.lower() in plain:
            return Target("plain", plain[prefix.lower()])
        if text in set(known):
            return Target("plain", text)
        raise ConfigError(_unknown(text, list(known) or known_targets()))
    kind = prefix.strip().lower()
    if kind not in PREFIXES or not rest:
        raise ConfigError(_unknown(text, list(known) or known_targets()))
    if kind in ("cell", "marker"):
        return Target(kind, canonical_cell(rest))
    if kind == "sig":
        file, hash_, name = rest.rpartition("#")
        if not hash_ or not file or not name:
            message = f"target {text!r} names no gene set; write sig:FILE.gmt#NAME"
            raise ConfigError(message)
        return Target(kind, name, file)
    if not _SYMBOL.match(rest):
        message = f"target {text!r} holds no gene symbol after {kind}:; write for example {kind}:PDCD1"
        raise ConfigError(message)
    return Target(kind, rest)


def _unknown(text: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(text.lower(), [name.lower() for name in known], n=1, cutoff=0.6)
    hint = ""
    if near:
        hint = next(f"; did you mean {name!r}" for name in known if name.lower() == near[0])
    return f"unknown target {text!r}{hint}; known targets are {', '.join(known)}"


def known_targets(columns: Iterable[str] = ()) -> list[str]:
    """Return the targets that exist without looking at data, followed by `columns` not among them."""
    fixed = [*PLAIN_TARGETS, *(f"cell:{name}" for name in LM22_CELLS), "marker:NAME", "gene:SYMBOL", "mut:SYMBOL"]
    fixed.append("sig:FILE.gmt#NAME")
    return [*fixed, *(name for name in columns if name not in fixed)]


def target_help() -> list[tuple[str, str]]:
    """Return (spelling, meaning) rows of the target language, for `imrad methods`."""
    rows = list(PLAIN_TARGETS.items())
    rows += [(f"cell:{name}", PREFIXES["cell"]) for name in LM22_CELLS]
    rows += [
        ("cell:NAME", "a cell type of any other signature matrix, such as the embedded TIL10"),
        ("marker:NAME", PREFIXES["marker"] + ", such as marker:B_cells"),
        ("gene:SYMBOL", PREFIXES["gene"] + ", such as gene:PDCD1"),
        ("sig:FILE.gmt#NAME", "ssGSEA score of one gene set of a GMT file"),
        ("mut:SYMBOL", PREFIXES["mut"] + ", such as mut:EGFR"),
    ]
    return rows
