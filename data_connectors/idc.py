"""The Imaging Data Commons: its bundled index, asked offline, and the listing of its public buckets.

The index is the parquet file of idc-index-data, read with DuckDB (1 s and under 200 MB; the archive's
own client takes 3 GB). One row is one series; the instances of a series are found by listing its
prefix, since their names are not in the index.
"""

from __future__ import annotations

import base64
import binascii
import importlib.metadata
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from data_connectors._http import Client, Transient
from data_connectors.endpoints import BUCKETS, PUBLIC, Endpoints
from data_connectors.errors import ChangedServiceError, IncompleteError, SelectionError, ServiceError

__all__ = ["Instance", "index_version", "list_instances", "mirror_url", "series_of"]

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
        rows = connection.execute(
            f'SELECT {parts} FROM read_parquet(?) WHERE "collection_id" IN ({marks}) '
            f"AND \"Modality\" IN ('CT', 'SEG', 'RTSTRUCT') {unwanted}",
            [path, *collections],
        ).df()
    return _tidy(rows)


def _tidy(rows: pd.DataFrame) -> pd.DataFrame:
    for name in _COLUMNS:
        if name not in rows:
            rows[name] = ""
        if name not in ("images", "megabytes"):
            rows[name] = rows[name].astype(object).where(rows[name].notna(), "").astype(str)
    parts = rows["address"].str.extract(r"^s3://([^/]+)/([^/]+)/")
    rows["bucket"] = rows["bucket"].where(rows["bucket"].ne(""), parts[0].fillna(""))
    rows["uuid"] = rows["uuid"].where(rows["uuid"].ne(""), parts[1].fillna(""))
    rows["bytes"] = (rows["megabytes"].astype(float) * 1e6).round().astype("int64")
    rows["images"] = rows["images"].astype("int64")
    rows["description"] = rows["description"].str.strip()
    return rows.drop(columns=["megabytes", "address"]).sort_values(["patient", "series"], ignore_index=True)


@dataclass(frozen=True)
class Instance:
    """One file of a series in a bucket: its key, bytes, and MD5 where the listing tells it."""

    key: str
    size: int
    md5: str | None


def object_url(bucket: str, key: str) -> str:
    """Return the preferred public address of an object."""
    return f"{PUBLIC['s3'].format(bucket=bucket)}/{key}"


def mirror_url(bucket: str, key: str) -> str:
    """Return the other cloud's address of the same object."""
    return f"{PUBLIC['gcs']}/{BUCKETS.get(bucket, bucket)}/{key}"


def list_instances(client: Client, bucket: str, uuid: str, expected: int, label: str) -> list[Instance]:
    """List the files of a series, from the preferred cloud or the other one.

    Parameters
    ----------
    client : Client
        Asks.
    bucket, uuid : str
        Where the index says that the series is.
    expected : int
        Images that the index announces.
    label : str
        Names the series in errors.

    Raises
    ------
    IncompleteError
        If neither cloud lists as many images as announced.
    ServiceError
        If neither answers.
    """
    if bucket not in BUCKETS:
        message = f"{label} is in the bucket {bucket!r}, which is not one of {', '.join(BUCKETS)}; update imrad"
        raise IncompleteError(message)
    if not re.fullmatch(r"[0-9a-fA-F-]{8,64}", uuid):
        message = f"{label} has the unusable address {uuid!r} in the index; reinstall idc-index-data"
        raise SelectionError(message)
    said = ""
    failure: Exception | None = None
    for listing in (_list_s3, _list_gcs):
        try:
            found = listing(client, bucket, uuid)
        except ServiceError as error:
            failure = error
            continue
        if len(found) == expected:
            return found
        said = f"{label} lists {len(found)} images where the index announces {expected}"
    if not said:
        raise failure or ServiceError(label)
    message = (
        f"{said} (idc-index-data {importlib.metadata.version('idc-index-data')}); update idc-index-data or leave "
        "the patient out"
    )
    raise IncompleteError(message)


def _list_s3(client: Client, bucket: str, uuid: str) -> list[Instance]:
    url = f"{PUBLIC['s3'].format(bucket=bucket)}/"
    found: list[Instance] = []
    token = ""
    while True:
        params = {"list-type": "2", "prefix": f"{uuid}/", "max-keys": "1000"}
        if token:
            params["continuation-token"] = token
        root = client.patiently(partial(_page, client, url, params), tries=3)
        for entry in _children(root, "Contents"):
            key, size = _text(entry, "Key"), int(_text(entry, "Size") or 0)
            if key.endswith("/") or size == 0:
                continue
            found.append(Instance(key, size, _etag_md5(_text(entry, "ETag"))))
        token = _text(root, "NextContinuationToken")
        if _text(root, "IsTruncated").lower() != "true":
            return _sound(found, uuid, bucket)
        if not token:
            message = (
                f"the listing of {bucket}/{uuid} is cut off without a way to go on; run the same command again later"
            )
            raise ChangedServiceError(message)


def _list_gcs(client: Client, bucket: str, uuid: str) -> list[Instance]:
    name = BUCKETS[bucket]
    url = f"{PUBLIC['gcs']}/storage/v1/b/{name}/o"
    found: list[Instance] = []
    token = ""
    while True:
        params = {"prefix": f"{uuid}/", **({"pageToken": token} if token else {})}
        page = client.json(url, params=params)
        if not isinstance(page, dict):
            message = f"{url} answered without a listing; run the same command again later"
            raise ChangedServiceError(message)
        for entry in page.get("items", []):
            size = int(entry.get("size", 0))
            if entry["name"].endswith("/") or size == 0:
                continue
            found.append(Instance(entry["name"], size, _base64_md5(entry.get("md5Hash"))))
        token = str(page.get("nextPageToken") or "")
        if not token:
            return _sound(found, uuid, name)


def _sound(found: list[Instance], uuid: str, bucket: str) -> list[Instance]:
    for one in found:
        if not re.fullmatch(rf"{re.escape(uuid)}/[A-Za-z0-9._-]+", one.key) or ".." in one.key:
            message = f"the bucket {bucket} lists the unusable name {one.key!r} under {uuid}; it was refused"
            raise ChangedServiceError(message)
    return sorted(found, key=lambda one: one.key)


def _page(client: Client, url: str, params: Mapping[str, str], _: int) -> Any:
    data = client.text(url, params=params)
    # A listing is small and has no document type; one that brings entities is not a listing.
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        message = f"{url} answered with a document that is not a listing; it was refused"
        raise ChangedServiceError(message)
    try:
        return ElementTree.fromstring(data)
    except ElementTree.ParseError as error:
        message = f"{url} answered with something that is not a listing; run the same command again later"
        raise Transient(message) from error


def _children(element: Any, name: str) -> list[Any]:
    return [child for child in element if child.tag.rsplit("}", 1)[-1] == name]


def _text(element: Any, name: str) -> str:
    for child in _children(element, name):
        return (child.text or "").strip()
    return ""


def _etag_md5(etag: str) -> str | None:
    value = etag.strip('"').lower()
    return value if re.fullmatch(r"[0-9a-f]{32}", value) else None


def _base64_md5(value: str | None) -> str | None:
    if not value:
        return None
    try:
        digest = base64.b64decode(value, validate=True)
    except binascii.Error:
        return None
    return digest.hex() if len(digest) == 16 else None
