"""The Imaging Data Commons' index: which series exist, asked offline.

The index is the parquet file of idc-index-data, read with DuckDB (about 1 s; the archive's own client
takes 3 GB of memory). One row is one series. Nothing here speaks HTTP, so that a plan starts at once.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from data_connectors.endpoints import Endpoints
from data_connectors.errors import SelectionError

__all__ = ["index_path", "index_version", "series_of"]

_COLUMNS = {
    "collection": ("collection_id",),
    "analysis": ("analysis_result_id",),
    "patient": ("PatientID",),
    "modality": ("Modality",),
    "series": ("SeriesInstanceUID",),
    "study": ("StudyInstanceUID",),
    "study_date": ("StudyDate",),
    "study_description": ("StudyDescription",),
    "number": ("SeriesNumber",),
    "description": ("SeriesDescription",),
    "manufacturer": ("Manufacturer",),
    "sop_class": ("SOPClassUID",),
    "syntax": ("TransferSyntaxUID",),
    "images": ("instanceCount",),
    "megabytes": ("series_size_MB",),
    "bucket": ("aws_bucket",),
    "uuid": ("crdc_series_uuid",),
    "address": ("series_aws_url",),
    "licence": ("license_short_name",),
    "doi": ("source_DOI",),
}
_NEEDED = ("collection", "patient", "modality", "series", "study", "images", "megabytes", "licence")
_PATHOLOGY = ("tcga_sbu_til_maps", "pan_cancer_nuclei_seg_dicom")


def index_path(endpoints: Endpoints) -> Path:
    """Return the parquet file of the image index."""
    if endpoints.index is not None:
        path = Path(endpoints.index)
        if not path.is_file():
            message = f"the image index {str(path)!r} does not exist; check the key 'index' of the endpoints file"
            raise SelectionError(message)
        return path
    import idc_index_data

    return Path(idc_index_data.IDC_INDEX_PARQUET_FILEPATH)


def index_version(endpoints: Endpoints) -> str:
    """Return the release of the image index; its major number is the archive's data release."""
    version = importlib.metadata.version("idc-index-data")
    return version if endpoints.index is None else f"{version} (index {Path(endpoints.index).name})"


def series_of(collections: Sequence[str], endpoints: Endpoints) -> pd.DataFrame:
    """Return the CT, SEG and RTSTRUCT series of collections from the index, offline.

    Slide segmentations are left out: they share the modality SEG and outnumber the others.

    Raises
    ------
    SelectionError
        If the index lacks a column that is needed.
    """
    import duckdb

    path = str(index_path(endpoints))
    with duckdb.connect(config={"threads": 2, "memory_limit": "300MB"}) as connection:
        # On a slow machine it would draw a bar on standard output.
        connection.execute("SET enable_progress_bar = false")
        described = connection.execute("DESCRIBE SELECT * FROM read_parquet(?)", [path]).fetchall()
        present = {row[0] for row in described}
        chosen = {
            name: next((column for column in columns if column in present), None) for name, columns in _COLUMNS.items()
        }
        missing = [_COLUMNS[name][0] for name in _NEEDED if chosen[name] is None]
        if missing:
            message = (
                f"the image index {path} has no column {missing[0]}; install another release: "
                "pip install 'idc-index-data>=25.0.5,<26'"
            )
            raise SelectionError(message)
        parts = ", ".join(f'"{column}" AS "{name}"' for name, column in chosen.items() if column is not None)
        marks = ", ".join("?" for _ in collections)
        skip = ", ".join(f"'{name}'" for name in _PATHOLOGY)
        analysis = chosen["analysis"]
        unwanted = f"AND coalesce(\"{analysis}\", '') NOT IN ({skip})" if analysis else ""
        answer = connection.execute(
            f'SELECT {parts} FROM read_parquet(?) WHERE "collection_id" IN ({marks}) '
            f"AND \"Modality\" IN ('CT', 'SEG', 'RTSTRUCT') {unwanted}",
            [path, *collections],
        )
        names = [column[0] for column in answer.description]
        rows = pd.DataFrame(answer.fetchall(), columns=names, dtype=object)
    return _tidy(rows)


def _tidy(rows: pd.DataFrame) -> pd.DataFrame:
    for name in _COLUMNS:
        if name not in rows:
            rows[name] = ""
        if name not in ("images", "megabytes"):
            rows[name] = pd.Series(["" if value is None else str(value) for value in rows[name]], dtype=object)
    parts = rows["address"].str.extract(r"^s3://([^/]+)/([^/]+)/")
    rows["bucket"] = rows["bucket"].where(rows["bucket"].ne(""), parts[0].fillna(""))
    rows["uuid"] = rows["uuid"].where(rows["uuid"].ne(""), parts[1].fillna(""))
    rows["bytes"] = (rows["megabytes"].astype(float) * 1e6).round().astype("int64")
    rows["images"] = rows["images"].astype("int64")
    rows["description"] = rows["description"].str.strip()
    return rows.drop(columns=["megabytes", "address"]).sort_values(["patient", "series"], ignore_index=True)
