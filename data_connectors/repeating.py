"""The same folder again from its manifest, or what has changed upstream."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from data_connectors._download import Item
from data_connectors._http import Client, Limits
from data_connectors._transfer import Progress, Transfer
from data_connectors.cohorts import find_cohort
from data_connectors.endpoints import BUCKETS, PUBLIC, Endpoints
from data_connectors.errors import ChecksumError, ManifestError, RefusedError, TransferError, UpstreamChangedError
from data_connectors.fetching import STATUS, Fetch, Fetched, made_folder
from data_connectors.idc import mirror_url, object_url
from data_connectors.manifest import Manifest, Record, opened, read_manifest
from data_connectors.planning import KINDS, Plan
from data_connectors.series import COLUMNS

__all__ = ["repeat"]


def repeat(
    manifest: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    endpoints: Endpoints | None = None,
    workers: int = 4,
    progress: Progress | None = None,
    limits: Limits | None = None,
    offline: bool = False,
    client: Client | None = None,
) -> Fetched:
    """Repeat a frozen download byte for byte, or say exactly what has changed upstream.

    Answers of the services that still lie beside the manifest are taken from there; otherwise they are
    asked for again and compared.

    Parameters
    ----------
    manifest : path-like
        ``manifest.jsonl`` of an earlier fetch.
    folder : path-like
        Where to.
    endpoints : Endpoints, optional
        Where the services stand; by default what the environment says.
    workers, progress, limits, offline, client
        As for :func:`execute`.

    Raises
    ------
    ManifestError
        If the manifest cannot be read.
    UpstreamChangedError
        If a file or an answer is no longer what it was; its ``changes`` names each.
    """
    source = Path(manifest)
    header, records = read_manifest(source)
    places = endpoints or (client.endpoints if client else Endpoints.from_environment())
    plan = _plan_of(header, source, places)
    target = made_folder(folder)
    asking = client or Client(places, limits, workers=workers)
    try:
        with opened(target) as ledger:
            _take_answers(source, ledger, records)
            transfer = Transfer(asking, ledger, workers=workers, progress=progress, offline=offline, frozen=records)
            changes = _bring_frozen(transfer, records)
            if not changes:
                fetched = Fetch(plan, transfer).run()
                changes = _compare(records, ledger)
    finally:
        if client is None:
            asking.close()
    if changes:
        path, what = next(iter(changes.items()))
        message = f"{len(changes)} of {len(records)} files are not what {source} records, the first {path}: {what}"
        raise UpstreamChangedError(message, changes)
    return fetched


def _plan_of(header: Mapping[str, Any], source: Path, places: Endpoints) -> Plan:
    try:
        cohort = find_cohort(header["cohort"])
        only = tuple(kind for kind in KINDS if kind in header["only"])
        series = pd.DataFrame(header["series"], columns=header["columns"])[list(COLUMNS)]
        patients, phase, version = tuple(header["patients"]), str(header["phase"]), str(header["index_version"])
    except (KeyError, TypeError, ValueError) as error:
        message = f"{source} has no header of a fetch ({error}); give the manifest.jsonl of an earlier fetch"
        raise ManifestError(message) from error
    columns = ["kind", "what", "count", "bytes", "exact", "licence"]
    return Plan(cohort, only, patients, phase, series, pd.DataFrame(columns=columns), places, version)


def _take_answers(source: Path, ledger: Manifest, records: Mapping[str, Record]) -> None:
    """Copy recorded answers that lie beside the manifest; the ledger's check of digests follows at use."""
    if source.parent.resolve() == ledger.folder.resolve():
        return
    for record in records.values():
        beside = source.parent.joinpath(*record.path.split("/"))
        unsafe = record.path.startswith("/") or ".." in record.path.split("/")
        if record.kind != "query" or unsafe or not beside.is_file():
            continue
        target = ledger.folder.joinpath(*record.path.split("/"))
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(beside, target)
        ledger.add(record)


def _bring_frozen(transfer: Transfer, records: Mapping[str, Record]) -> dict[str, str]:
    """Bring every recorded file from where it came; return what is no longer there or is another one."""
    by_kind: dict[str, list[Item]] = {}
    for record in records.values():
        if record.kind in ("query", "table") or "getImageWithMD5Hash" in record.uri:
            continue
        by_kind.setdefault(record.kind, []).append(
            Item(
                record.kind, record.path, _addresses(record.uri), record.size, record.md5, record.sha256,
                record.licence, record.source, record.version,
            )
        )  # fmt: skip
    changes: dict[str, str] = {}
    for kind, items in by_kind.items():
        try:
            transfer.bring(items, kind)
        except TransferError as error:
            for path, failure in error.failures.items():
                if not isinstance(failure, ChecksumError | RefusedError):
                    raise
                changes[path] = str(failure)
        except (ChecksumError, RefusedError) as error:
            missing = [item.path for item in items if not transfer.is_there(item)]
            changes[missing[0] if missing else kind] = str(error)
    return changes


def _addresses(uri: str) -> tuple[str, ...]:
    """Return a recorded address and its mirror in the other cloud."""
    for bucket, mirror in BUCKETS.items():
        for base in (f"{PUBLIC['s3'].format(bucket=bucket)}/", f"{PUBLIC['gcs']}/{mirror}/"):
            if uri.startswith(base):
                key = uri[len(base) :]
                return tuple(dict.fromkeys((uri, object_url(bucket, key), mirror_url(bucket, key))))
    return (uri,)


def _compare(records: Mapping[str, Record], ledger: Manifest) -> dict[str, str]:
    changes: dict[str, str] = {}
    for path, old in records.items():
        new = ledger.records.get(path)
        if new is None:
            changes[path] = "was not made again"
        elif new.sha256 != old.sha256 and path != STATUS:
            changes[path] = _difference(old, new)
    return changes


def _difference(old: Record, new: Record) -> str:
    if old.kind == "table":
        return "a table made here differs; was it made by another version of imrad?"
    if old.parts is None or new.parts is None:
        return f"the answer of {old.uri} has changed since {old.time}"
    gone = sorted(set(old.parts) - set(new.parts))
    came = sorted(set(new.parts) - set(old.parts))
    other = sorted(name for name in set(old.parts) & set(new.parts) if old.parts[name] != new.parts[name])
    kinds = (("gone", gone), ("new", came), ("altered", other))
    told = [f"{what} {len(names)} ({', '.join(names[:3])})" for what, names in kinds if names]
    return f"the answer of {old.uri} has changed since {old.time}: {'; '.join(told)}"
