"""TCIA's NBIA: a cross-check of what the image index says, and the last resort for a series' bytes.

NBIA is being replaced by the Imaging Data Commons, serves zip archives without a length, and closes an
archive normally when it failed to read some of its images. So counts and digests are checked here, and
the download functions of tcia-utils, which check nothing, are not used. Its metadata call is, where it
is installed; it then asks through our own client, with our time limits and list of hosts.
"""

from __future__ import annotations

import contextlib
import json
import logging
import threading
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from data_connectors._archive import read_series_archive
from data_connectors._download import Item
from data_connectors._http import Client, Transient
from data_connectors._transfer import Transfer
from data_connectors.endpoints import PUBLIC
from data_connectors.errors import (
    ArchiveError,
    ConnectorError,
    IncompleteError,
    LimitError,
    MissingExtraError,
    NotFoundError,
    RefusedError,
)

if TYPE_CHECKING:
    from data_connectors.planning import Plan

__all__ = ["bring_series", "cross_check", "series_metadata"]

BASE: Final = PUBLIC["nbia"]
ZIP_BYTES: Final = 8 << 30

_one_at_a_time = threading.Lock()


def series_metadata(client: Client, *, collection: str = "", patient: str = "", series: str = "") -> pd.DataFrame:
    """Return NBIA's rows about series: through tcia-utils where it is installed, else directly.

    Parameters
    ----------
    client : Client
        Asks, in both cases.
    collection, patient, series : str
        What to ask about; names as TCIA writes them.

    Returns
    -------
    DataFrame
        Columns as NBIA names them (`SeriesInstanceUID`, `PatientID`, `Modality`, `ImageCount`, ...);
        empty where NBIA knows nothing.

    Raises
    ------
    ServiceError
        If NBIA cannot be reached: never mistaken for knowing nothing.
    """
    try:
        return _with_tcia_utils(client, collection, patient, series)
    except MissingExtraError:
        params = {"Collection": collection, "PatientID": patient, "SeriesInstanceUID": series, "format": "json"}
        rows = client.json(f"{BASE}/getSeries", params={name: value for name, value in params.items() if value})
        return pd.DataFrame(rows or [])


def _with_tcia_utils(client: Client, collection: str, patient: str, series: str) -> pd.DataFrame:
    with _one_at_a_time:
        nbia = _import_nbia()
        failures: list[Exception] = []
        with _asking_through(nbia, client, failures), _silent(nbia):
            rows = nbia.getSeries(collection=collection, patientId=patient, seriesUid=series)
        # tcia-utils turns every failure into None, which it also returns when there is nothing.
        if failures:
            raise failures[0]
    return pd.DataFrame(rows if rows is not None else [])


def _import_nbia() -> ModuleType:
    """Import tcia_utils.nbia without the handler and level that it gives the root logger."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        with warnings.catch_warnings(action="ignore"):
            from tcia_utils import nbia
    except ImportError as error:
        message = "asking TCIA through tcia-utils needs the extra 'tcia': pip install 'imrad[tcia]'"
        raise MissingExtraError(message) from error
    finally:
        for handler in list(root.handlers):
            if handler not in handlers:
                root.removeHandler(handler)
        root.setLevel(level)
    return nbia  # type: ignore[no-any-return]


@contextlib.contextmanager
def _asking_through(nbia: ModuleType, client: Client, failures: list[Exception]) -> Iterator[None]:
    """Let the module's requests go through our client for the time of the block."""
    import requests

    def get(url: str, params: Mapping[str, Any] | None = None, **_: Any) -> requests.Response:
        response = requests.Response()
        response.status_code, response.url = 200, url
        try:
            response._content = client.text(url, params=params)
        except ConnectorError as error:
            failures.append(error)
            raise requests.ConnectionError(str(error)) from error
        return response

    original = nbia.requests
    nbia.requests = SimpleNamespace(get=get, exceptions=requests.exceptions)  # type: ignore[attr-defined]
    try:
        yield
    finally:
        nbia.requests = original  # type: ignore[attr-defined]


@contextlib.contextmanager
def _silent(nbia: ModuleType) -> Iterator[None]:
    log = logging.getLogger(nbia.__name__)
    before = log.disabled
    log.disabled = True
    try:
        yield
    finally:
        log.disabled = before


def cross_check(plan: Plan, *, client: Client | None = None) -> pd.DataFrame:
    """Compare the planned series with what NBIA says of them; nothing is downloaded.

    Parameters
    ----------
    plan : Plan
        What would be fetched.
    client : Client, optional
        Asks; by default one for the plan's endpoints.

    Returns
    -------
    DataFrame
        Columns `patient`, `series`, `images_index`, `images_nbia`, `verdict` (``agrees``, ``differs`` or
        ``unknown to NBIA``), one row per series that is fetched.
    """
    asking = client or Client(plan.endpoints)
    wanted = plan.series[plan.series["decision"].eq("fetch")]
    collection = plan.cohort.collection.upper().replace("_", "-")
    rows = []
    for patient, part in wanted.groupby("patient", sort=False):
        told = series_metadata(asking, collection=collection, patient=str(patient))
        counts = {}
        if len(told):
            counts = dict(zip(told["SeriesInstanceUID"], told["ImageCount"].astype(int), strict=True))
        for series, images in zip(part["series"], part["images"], strict=True):
            known = counts.get(series)
            verdict = "unknown to NBIA" if known is None else "agrees" if known == images else "differs"
            rows.append((patient, series, int(images), known, verdict))
    table = pd.DataFrame(rows, columns=["patient", "series", "images_index", "images_nbia", "verdict"])
    table["images_nbia"] = table["images_nbia"].astype("Int64")
    return table


def bring_series(transfer: Transfer, series: str, images: int, folder: str, licence: str, doi: str) -> list[str]:
    """Bring the images of a series that neither cloud serves, from NBIA.

    Parameters
    ----------
    transfer : Transfer
        Records them.
    series : str
        SeriesInstanceUID.
    images : int
        Images that the index announces.
    folder : str
        Where they go, relative.
    licence, doi : str
        As the index says.

    Returns
    -------
    list of str
        Paths, relative.

    Raises
    ------
    IncompleteError
        If NBIA has another number of images, or keeps leaving some out.
    ConnectorError
        If it cannot serve the series.
    """
    listing = f"raw/nbia/{series}.json"
    recorded = transfer.manifest.records.get(listing)
    if recorded is not None:
        items = [Item("images", **entry) for entry in _entries(json.loads(transfer.path_of(listing).read_bytes()))]
        if all(transfer.is_there(item) for item in items):
            return [item.path for item in items]
    told = series_metadata(transfer.client, series=series)
    count = int(told["ImageCount"].iloc[0]) if len(told) else 0
    if count != images:
        message = (
            f"series {series} has {images} images in the index and {count} at TCIA, and neither cloud serves it; "
            "leave the patient out or update idc-index-data"
        )
        raise IncompleteError(message)
    archive = transfer.path_of(f"raw/nbia/{series}.zip.part")
    archive.parent.mkdir(parents=True, exist_ok=True)
    try:
        return _unpack(transfer, archive, series, images, folder, licence, doi, listing)
    finally:
        archive.unlink(missing_ok=True)


def _entries(value: Any) -> list[dict[str, Any]]:
    return [{**entry, "urls": tuple(entry["urls"])} for entry in value]


def _unpack(
    transfer: Transfer, archive: Path, series: str, images: int, folder: str, licence: str, doi: str, listing: str
) -> list[str]:
    url = f"{BASE}/getImageWithMD5Hash"

    def attempt(_: int) -> Any:
        try:
            _pull(transfer.client, url, {"SeriesInstanceUID": series}, archive)
            return read_series_archive(archive, images, hashed=True)
        except NotFoundError:
            raise
        except RefusedError as error:
            message = f"TCIA does not serve series {series}: {error}"
            raise NotFoundError(message) from error
        except (IncompleteError, ArchiveError) as error:
            if "refused" in str(error):
                raise
            message = (
                f"TCIA keeps sending an incomplete archive of series {series}: {error}; leave the patient out or "
                "try later"
            )
            raise Transient(message, becomes=IncompleteError) from error

    checked = transfer.client.patiently(attempt, tries=3)
    stem = f"{url}?SeriesInstanceUID={series}"
    items: list[Item] = []
    with zipfile.ZipFile(archive) as packed:
        for number, name in enumerate(sorted(checked.images), start=1):
            item = Item(
                "images", f"{folder}/{number:08d}.dcm", (stem,), packed.getinfo(name).file_size, checked.md5[name],
                licence=licence, source=f"doi:{doi}", version="TCIA NBIA",
            )  # fmt: skip
            transfer.put(item, packed.read(name))
            items.append(item)
    if checked.licence:
        transfer.table(f"raw/nbia/{series}.LICENSE.txt", checked.licence.encode())
    described = [
        {
            "path": item.path,
            "urls": list(item.urls),
            "size": item.size,
            "md5": item.md5,
            "licence": licence,
            "source": item.source,
            "version": item.version,
        }
        for item in items
    ]
    transfer.query(listing, stem, lambda: described, source="TCIA NBIA")
    return [item.path for item in items]


def _pull(client: Client, url: str, params: Mapping[str, Any], target: Path) -> None:
    with client.answer(url, params=params) as response, target.open("wb") as file:
        try:
            for chunk in client.chunks(response, ZIP_BYTES):
                file.write(chunk)
        except LimitError as error:
            message = f"{error} (a series of more than {ZIP_BYTES >> 30} GB is not one that imrad expects)"
            raise LimitError(message) from error
    if not target.stat().st_size:
        message = f"{url} sent nothing for {params}; run the same command again later"
        raise Transient(message)
