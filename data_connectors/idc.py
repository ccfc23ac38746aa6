"""The Imaging Data Commons' public buckets: the files of a series, and where their bytes are.

The index does not name the instances of a series; they are found by listing its prefix in either cloud.
"""

from __future__ import annotations

import base64
import binascii
import importlib.metadata
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from data_connectors._http import Client, Transient
from data_connectors.endpoints import BUCKETS, PUBLIC
from data_connectors.errors import ChangedServiceError, IncompleteError, SelectionError, ServiceError

__all__ = ["Instance", "list_instances", "mirror_url", "object_url"]


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
