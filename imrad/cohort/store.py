"""The cohort on disk: one h5ad that plain anndata opens, and the same as CSV or Parquet."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from imrad.cohort import keys
from imrad.cohort.schema import validate
from imrad.content import digest, write_atomically
from imrad.exceptions import InputError

__all__ = ["attach_out_of_fold", "cohort_digest", "export_tables", "read_cohort", "write_cohort"]


def write_cohort(adata: Any, path: str | Path) -> None:
    """Validate a cohort and write it as h5ad: the same content gives the same bytes.

    Raises
    ------
    SchemaError
        If the cohort breaks the convention; nothing is written then.
    """
    validate(adata)
    plain = adata.copy()
    with write_atomically(path) as temporary, warnings.catch_warnings():
        warnings.filterwarnings("ignore")  # anndata's own notices about strings and formats
        plain.write_h5ad(temporary, compression="gzip")


def read_cohort(path: str | Path) -> Any:
    """Read a cohort and validate it.

    Raises
    ------
    InputError
        If the file is missing or is not an h5ad file.
    SchemaError
        If it is no cohort.
    """
    if not Path(path).is_file():
        message = f"{path} does not exist; write a cohort with `imrad assemble` first"
        raise InputError(message)
    import anndata

    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore")  # anndata's own notices about older formats
            adata = anndata.read_h5ad(path)
    except (OSError, KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        message = f"{path} cannot be read as h5ad ({str(error).splitlines()[0]}); write it again with `imrad assemble`"
        raise InputError(message) from error
    validate(adata)
    return adata


def cohort_digest(adata: Any) -> str:
    """Return the digest of a cohort's content; provenance (paths, versions, times) does not count."""
    parts: dict[str, Any] = {
        "patients": list(adata.obs_names),
        "features": list(adata.var_names),
        "x": adata.X,
        "obs": adata.obs,
        "var": adata.var.astype({"robustness": float}),
        "attrition": adata.uns[keys.NAMESPACE]["attrition"],
        "endpoints": adata.uns[keys.NAMESPACE].get("endpoints", pd.DataFrame()),
    }
    parts |= {f"obsm {name}": adata.obsm[name] for name in sorted(adata.obsm)}
    return digest(parts)


def export_tables(adata: Any, folder: str | Path, *, kind: Literal["csv", "parquet"] = "csv") -> list[Path]:
    """Write a cohort's parts as plain tables: radiomics, clinical, immune, features and attrition.

    Returns
    -------
    list of Path
        The files written; tables with patients begin with the column ``patient``.
    """
    tables = {
        "radiomics": pd.DataFrame(adata.X, index=adata.obs_names, columns=adata.var_names).rename_axis(keys.PATIENT),
        "clinical": adata.obs.rename_axis(keys.PATIENT),
        "features": adata.var.rename_axis("feature"),
    }
    for name in sorted(adata.obsm):
        tables[name] = adata.obsm[name].rename_axis(keys.PATIENT)
    written = []
    for name, table in tables.items():
        written.append(_write_table(table.reset_index(), Path(folder) / f"{name}.{kind}"))
    written.append(_write_table(adata.uns[keys.NAMESPACE]["attrition"], Path(folder) / f"attrition.{kind}"))
    return written


def _write_table(table: pd.DataFrame, path: Path) -> Path:
    with write_atomically(path) as temporary:
        if path.suffix == ".csv":
            table.to_csv(temporary, index=False, lineterminator="\n")
        else:
            table.to_parquet(temporary, index=False)
    return path


def attach_out_of_fold(
    adata: Any, slot: Literal["phenotype", "risk"], values: pd.DataFrame, folds: pd.DataFrame
) -> None:
    """Put out-of-fold values into a cohort, with the fold that made each of them.

    Parameters
    ----------
    adata : AnnData
        A cohort; it is changed in place.
    slot : {"phenotype", "risk"}
        Where the values go.
    values : DataFrame
        Patients x phenotypes (or models), NaN where there is none.
    folds : DataFrame
        Same shape; the name of the fold whose fit made the value, such as ``r0/o2``.

    Raises
    ------
    InSampleError
        If a value has no outer or inner fold.
    """
    names = [keys.safe_key(str(name)) for name in values.columns]
    adata.obsm[slot] = values.reindex(adata.obs_names).set_axis(names, axis=1).astype(float)
    made = folds[values.columns].reindex(adata.obs_names).set_axis(names, axis=1)
    namespace = adata.uns[keys.NAMESPACE]
    text = made.apply(lambda column: column.map(lambda name: "" if pd.isna(name) else str(name))).astype(object)
    namespace[keys.OUT_OF_FOLD] = {**namespace.get(keys.OUT_OF_FOLD, {}), slot: text}
    validate(adata)
