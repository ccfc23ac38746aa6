"""Tumour mutational burden and mutated genes from MAF files.

References
----------
Chalmers et al., Genome Medicine 2017, doi 10.1186/s13073-017-0424-2;
MAF format: NCI Genomic Data Commons.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from imrad.exceptions import InputError
from imrad.immune.barcodes import choose_samples, dashed, patient_of
from imrad.immune.reading import open_text
from imrad.immune.targets import gene_symbol

__all__ = ["NON_SILENT", "mutated_genes", "read_maf", "tmb_from_maf"]

NON_SILENT = (
    "Missense_Mutation",
    "Nonsense_Mutation",
    "Nonstop_Mutation",
    "Frame_Shift_Del",
    "Frame_Shift_Ins",
    "In_Frame_Del",
    "In_Frame_Ins",
    "Splice_Site",
    "Translation_Start_Site",
)
"""Variant classes counted by default: non-silent coding ones."""

_COLUMNS = {
    "hugo_symbol": "gene",
    "chromosome": "chromosome",
    "start_position": "start",
    "reference_allele": "reference",
    "tumor_seq_allele2": "alternate",
    "variant_classification": "variant_class",
    "tumor_sample_barcode": "sample",
    "filter": "filter",
}
_NEEDED = ("gene", "variant_class", "sample")
_PASSED = {"PASS", ".", "", "wga"}
_CHUNK = 200_000
_ORDER = ["sample", "gene", "chromosome", "start", "reference", "alternate", "variant_class"]

Files = str | Path | Sequence[str | Path]
"""One or several files or folders."""


def read_maf(files: Files, *, patients: Mapping[str, str] | None = None) -> tuple[pd.DataFrame, list[str]]:
    """Read MAF files, one sample a patient, each variant once.

    Parameters
    ----------
    files : path, folder or sequence of them
        Plain or gzip; folders are searched for ``*.maf`` and ``*.maf.gz``.
    patients : mapping, optional
        From file name, its folder's name, or tumour sample barcode to patient. Needed for files
        without a variant, which name no barcode; TCGA barcodes are recognised otherwise.

    Returns
    -------
    variants : DataFrame
        Columns patient, sample, gene, chromosome, start, reference, alternate, variant_class. Rows
        with a FILTER column that says neither PASS nor nothing are left out.
    covered : list of str
        All patients with a MAF, those without a variant included, sorted.

    Raises
    ------
    InputError
        If a file is missing, is no MAF, or has no variant and no patient named for it.
    """
    known = {str(key): str(value) for key, value in (patients or {}).items()}
    tables, empty = [], []
    for path in _paths(files):
        table = _read(path)
        if table.empty:
            empty.append(_patient_of_empty(path, known))
            continue
        named = _named(path, known)
        table["patient"] = [named or known.get(sample) or patient_of(sample) for sample in table["sample"]]
        tables.append(table)
    variants = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=["patient", *_ORDER])
    covered = sorted({*variants["patient"], *empty})
    variants = _one_sample(variants)
    if "filter" in variants:
        variants = variants[[str(value) in _PASSED for value in variants["filter"].fillna("")]]
    place = [name for name in ("chromosome", "start", "reference", "alternate") if name in variants]
    if {"chromosome", "start"} <= set(place):
        variants = variants.drop_duplicates(["patient", *place])
    return variants.reindex(columns=["patient", *_ORDER]).reset_index(drop=True), covered


def tmb_from_maf(
    files: Files,
    *,
    exome_mb: float = 38.0,
    classes: Collection[str] | None = NON_SILENT,
    patients: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Compute the tumour mutational burden of every patient that has a MAF.

    Parameters
    ----------
    files, patients
        See :func:`read_maf`.
    exome_mb : float
        Megabases that the count is divided by.
    classes : collection of str
        Counted ``Variant_Classification`` values; default :data:`NON_SILENT`.

    Returns
    -------
    DataFrame
        Index patient; columns TMB (variants per Mb), n_counted, n_variants. A patient whose MAF
        holds no variant has TMB 0; a patient without a MAF is not here: missing, never zero.

    Raises
    ------
    InputError
        See :func:`read_maf`; also if `exome_mb` is not positive.
    """
    if not exome_mb > 0:
        message = f"exome_mb is {exome_mb}; it must be the positive number of megabases sequenced"
        raise InputError(message)
    counted_classes = set(NON_SILENT if classes is None else classes)
    variants, covered = read_maf(files, patients=patients)
    counted = variants[variants["variant_class"].isin(counted_classes)]
    table = pd.DataFrame(index=pd.Index(covered, name="patient"))
    table["n_counted"] = counted.groupby("patient").size().reindex(covered, fill_value=0)
    table["n_variants"] = variants.groupby("patient").size().reindex(covered, fill_value=0)
    table.insert(0, "TMB", table["n_counted"] / exome_mb)
    table.attrs.update(exome_mb=exome_mb, classes=tuple(sorted(counted_classes)))
    return table


def mutated_genes(
    files: Files,
    genes: Iterable[str],
    *,
    classes: Collection[str] | None = NON_SILENT,
    patients: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Return whether each patient with a MAF carries a counted variant in each gene.

    Genes may be called as clinicians do (HER2); the columns have the symbols that a MAF has (ERBB2).

    Returns
    -------
    DataFrame
        Index patient, columns ``mut:GENE``, values 0.0 or 1.0. Patients without a MAF are not here.
    """
    counted_classes = set(NON_SILENT if classes is None else classes)
    variants, covered = read_maf(files, patients=patients)
    counted = variants[variants["variant_class"].isin(counted_classes)]
    table = pd.DataFrame(index=pd.Index(covered, name="patient"))
    for gene in dict.fromkeys(gene_symbol(gene) for gene in genes):
        carriers = set(counted.loc[counted["gene"] == gene, "patient"])
        table[f"mut:{gene}"] = [float(patient in carriers) for patient in covered]
    return table


def _paths(files: Files) -> list[Path]:
    items = [files] if isinstance(files, str | Path) else list(files)
    found: list[Path] = []
    for item in map(Path, items):
        if item.is_dir():
            inside = sorted(path for path in item.rglob("*") if path.name.endswith((".maf", ".maf.gz", ".maf.txt")))
            if not inside:
                message = f"folder {item} holds no MAF file (*.maf, *.maf.gz)"
                raise InputError(message)
            found += inside
        elif item.is_file():
            found.append(item)
        else:
            message = f"MAF file {item} does not exist"
            raise InputError(message)
    return found


def _read(path: Path) -> pd.DataFrame:
    try:
        with open_text(path) as handle:
            header = handle.readline()
            while header.startswith("#"):
                header = handle.readline()
            names = [name.strip() for name in header.rstrip("\r\n").split("\t")]
            wanted = {name: _COLUMNS[name.lower()] for name in names if name.lower() in _COLUMNS}
            missing = [name for name in _NEEDED if name not in wanted.values()]
            if missing:
                message = (
                    f"{path} is no MAF: its header lacks the columns of {', '.join(missing)} "
                    "(Hugo_Symbol, Variant_Classification, Tumor_Sample_Barcode)"
                )
                raise InputError(message)
            chunks = pd.read_csv(
                handle,
                sep="\t",
                names=names,
                usecols=list(wanted),
                dtype=str,
                keep_default_na=False,
                quoting=3,
                chunksize=_CHUNK,
            )
            parts = [chunk.rename(columns=wanted) for chunk in chunks]
    except (OSError, EOFError, pd.errors.ParserError) as error:
        message = f"MAF file {path} is damaged ({error}); download it again"
        raise InputError(message) from error
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(wanted.values()))
    return table.assign(sample=[dashed(name) for name in table["sample"]])


def _named(path: Path, known: Mapping[str, str]) -> str:
    keys = (path.name, path.name.removesuffix(".gz"), path.parent.name, path.name.split(".")[0], str(path))
    return next((known[key] for key in keys if key in known), "")


def _patient_of_empty(path: Path, known: Mapping[str, str]) -> str:
    named = _named(path, known)
    if not named:
        named = next((patient_of(part) for part in (path.name, path.parent.name) if patient_of(part) != part), "")
    if not named:
        message = (
            f"MAF file {path} holds no variant and names no patient; name its patient in patients= (TMB is then 0)"
        )
        raise InputError(message)
    return named


def _one_sample(variants: pd.DataFrame) -> pd.DataFrame:
    pairs = variants[["patient", "sample"]].drop_duplicates()
    if pairs["patient"].is_unique:
        return variants
    keep = []
    for _, group in pairs.groupby("patient"):
        names = group["sample"].tolist()
        chosen, _ = choose_samples(names)
        keep.append(names[int(chosen["row"].iloc[0])] if len(chosen) else names[0])
    return variants[variants["sample"].isin(set(keep))]
