"""The Genomic Data Commons: questions with every page, and files with their announced digest.

Files are asked for one by one: an archive of several has neither length nor digest, opens although it
was cut off, and is refused whole for one file in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from data_connectors._download import Item
from data_connectors._http import Client
from data_connectors._transfer import Transfer
from data_connectors.endpoints import PUBLIC
from data_connectors.errors import (
    ChangedServiceError,
    ConnectorError,
    IncompleteError,
    NotFoundError,
    TransferError,
)
from data_connectors.samples import Aliquot, tidy_barcode

__all__ = ["KIND_FILTERS", "aliquots_of", "bring_files", "cases", "files", "release"]

BASE: Final = PUBLIC["gdc"]
LICENCE: Final = "GDC open access"
PAGE: Final = 500
RESTARTS: Final = 3

KIND_FILTERS: Final[Mapping[str, Mapping[str, str]]] = {
    "expression": {
        "files.data_type": "Gene Expression Quantification",
        "files.analysis.workflow_type": "STAR - Counts",
    },
    "mutations": {
        "files.data_type": "Masked Somatic Mutation",
        "files.analysis.workflow_type": "Aliquot Ensemble Somatic Variant Merging and Masking",
    },
}

_FILE_FIELDS: Final = (
    "file_id",
    "file_name",
    "file_size",
    "md5sum",
    "access",
    "cases.submitter_id",
    "associated_entities.entity_submitter_id",
    "associated_entities.entity_type",
)
_WISHED_FIELDS: Final = (
    "state",
    "data_release",
    "cases.samples.submitter_id",
    "cases.samples.sample_type",
    "cases.samples.tissue_type",
    "cases.samples.preservation_method",
    "cases.samples.portions.is_ffpe",
)
"""Fields that have moved before: asked for, and done without where the service does not know them."""


def release(transfer: Transfer) -> str:
    """Return the data release, as recorded in the folder or as the service tells it."""
    url = f"{BASE}/status"
    status = transfer.query(
        "raw/gdc_status.json", url, lambda: transfer.client.json(url), licence=LICENCE, source="GDC"
    )
    if not isinstance(status, dict):
        message = f"{url} did not tell its data release; run the same command again later"
        raise ChangedServiceError(message)
    return f"GDC {status.get('data_release', '?')}, API {status.get('tag', status.get('version', '?'))}"


def cases(transfer: Transfer, project: str, patients: Sequence[str], version: str) -> list[dict[str, Any]]:
    """Return the clinical records of these patients, as the service holds them."""
    body = {
        "filters": _all_of({"cases.project.project_id": [project], "cases.submitter_id": sorted(patients)}),
        "expand": "demographic,diagnoses,follow_ups",
        "fields": "case_id,submitter_id,project.project_id,primary_site,disease_type",
        "sort": "case_id:asc",
        "format": "JSON",
    }
    return _ask(transfer, "raw/gdc_cases.json", "cases", body, "case_id", version)


def files(transfer: Transfer, project: str, patients: Sequence[str], kind: str, version: str) -> list[dict[str, Any]]:
    """Return the open files of a kind for these patients."""
    wanted = {
        "cases.project.project_id": [project],
        **{field: [value] for field, value in KIND_FILTERS[kind].items()},
        "files.access": ["open"],
        "cases.submitter_id": sorted(patients),
    }
    body = {
        "filters": _all_of(wanted),
        "fields": ",".join(_FILE_FIELDS + _WISHED_FIELDS),
        "sort": "file_id:asc",
        "format": "JSON",
    }
    return _ask(transfer, f"raw/gdc_{kind}_files.json", "files", body, "file_id", version)


def _all_of(wanted: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    parts = [{"op": "in", "content": {"field": field, "value": list(values)}} for field, values in wanted.items()]
    return {"op": "and", "content": parts}


def _ask(
    transfer: Transfer, path: str, endpoint: str, body: dict[str, Any], key: str, version: str
) -> list[dict[str, Any]]:
    url = f"{BASE}/{endpoint}"
    answer = transfer.query(
        path,
        url,
        lambda: ask_all(transfer.client, endpoint, body, key),
        request=body,
        part=lambda hit: str(hit.get("submitter_id") or hit.get(key)),
        licence=LICENCE,
        source="GDC",
        version=version,
    )
    return list(answer)


def ask_all(client: Client, endpoint: str, body: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    """Ask a question and return every page's hits.

    Raises
    ------
    ChangedServiceError
        If the service warns (an unknown field is answered with a warning and silence, not an error), or
        answers in another form.
    IncompleteError
        If the number of hits keeps changing between pages.
    """
    url = f"{BASE}/{endpoint}"
    asked = dict(body)
    for _ in range(RESTARTS):
        hits: list[dict[str, Any]] = []
        total: int | None = None
        while total is None or len(hits) < total:
            page = client.json(url, body={**asked, "size": PAGE, "from": len(hits)})
            found, announced, warned = _page(page, url)
            if warned:
                fewer = _without_wishes(asked, warned)
                if fewer is None:
                    message = (
                        f"{url} warns: {warned[:200]}; a field that imrad needs was renamed: update imrad, or report it"
                    )
                    raise ChangedServiceError(message)
                asked, hits, total = fewer, [], None
                continue
            if total is not None and announced != total:
                break
            total = announced
            if not found:
                break
            hits.extend(found)
        if total is not None and len(hits) == total and len({hit.get(key) for hit in hits}) == total:
            return sorted(hits, key=lambda hit: str(hit.get(key)))
    message = f"{url} changed its answer between pages {RESTARTS} times; run the same command again later"
    raise IncompleteError(message)


def _page(page: Any, url: str) -> tuple[list[dict[str, Any]], int, str]:
    try:
        warnings = page.get("warnings") or {}
        return list(page["data"]["hits"]), int(page["data"]["pagination"]["total"]), str(warnings) if warnings else ""
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        message = f"{url} answered in another form than data.hits and data.pagination; update imrad, or report it"
        raise ChangedServiceError(message) from error


def _without_wishes(asked: Mapping[str, Any], warned: str) -> dict[str, Any] | None:
    """Return the question without the fields that a warning names, if imrad can do without all of them."""
    named = [name.strip() for names in re.findall(r"\[([^\]]*)\]", warned) for name in names.split(",")]
    asked_fields = str(asked.get("fields", "")).split(",")
    if not named or not set(named) <= set(_WISHED_FIELDS).intersection(asked_fields):
        return None
    return {**asked, "fields": ",".join(field for field in asked_fields if field not in named)}


def aliquots_of(hits: Iterable[Mapping[str, Any]]) -> list[Aliquot]:
    """Return the aliquot behind each file; the tumour one where a file names two."""
    found = []
    for hit in hits:
        case = (_listed(hit.get("cases")) or [{}])[0]
        names = [
            tidy_barcode(str(entity["entity_submitter_id"]))
            for entity in _listed(hit.get("associated_entities"))
            if entity.get("entity_submitter_id") and entity.get("entity_type", "aliquot") == "aliquot"
        ]
        samples = _listed(case.get("samples"))
        tumour = [name for name in names if name[13:15] in ("01", "03", "05", "06")] or names
        barcode = sorted(tumour)[0] if tumour else ""
        mine = [one for one in samples if barcode.startswith(str(one.get("submitter_id", "?")))] or samples
        types = sorted({str(one.get("sample_type") or "") for one in mine})
        found.append(
            Aliquot(
                str(case.get("submitter_id", "")),
                barcode,
                str(hit.get("file_id", "")),
                next((kind for kind in types if "primary tumor" in kind.lower()), types[0] if types else ""),
                any(_is_fixed(one) for one in mine),
            )
        )
    return found


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _is_fixed(sample: Mapping[str, Any]) -> bool:
    flags = [sample.get("is_ffpe"), *(portion.get("is_ffpe") for portion in _listed(sample.get("portions")))]
    return str(sample.get("preservation_method", "")).upper() == "FFPE" or any(
        flag is True or str(flag).lower() == "true" for flag in flags
    )


def item_of(hit: Mapping[str, Any], kind: str, folder: str, version: str) -> Item:
    """Return the file behind a hit, to be brought into a folder under its own name."""
    return Item(
        kind,
        f"{folder}/{hit['file_name']}",
        (f"{BASE}/data/{hit['file_id']}",),
        int(hit["file_size"]),
        str(hit["md5sum"]).lower(),
        licence=LICENCE,
        source="GDC",
        version=version,
    )


def bring_files(
    transfer: Transfer, hits: Sequence[Mapping[str, Any]], kind: str, chosen: Mapping[str, str], version: str
) -> dict[str, str]:
    """Bring files, following one that was superseded to its newest version.

    Parameters
    ----------
    transfer : Transfer
        Brings.
    hits : sequence of mapping
        What :func:`files` says of each.
    kind : str
        Names the folder; inside it each patient has one, which names the patient where a file without
        a variant does not.
    chosen : mapping
        File id by patient.
    version : str
        Release of the service.

    Returns
    -------
    dict
        Path in the folder by the id of the file that was asked for.
    """
    folders = {file_id: f"{kind}/{name}" for name, file_id in chosen.items()}
    items = {str(hit["file_id"]): item_of(hit, kind, folders[str(hit["file_id"])], version) for hit in hits}
    for file_id in items:
        if _versions_path(file_id) in transfer.manifest.records:
            items[file_id] = _newest(transfer, file_id, kind, folders[file_id], version)
    try:
        transfer.bring(list(items.values()), kind)
    except (NotFoundError, TransferError) as error:
        gone = _gone(error, items)
        if not gone:
            raise
        for file_id in gone:
            items[file_id] = _newest(transfer, file_id, kind, folders[file_id], version)
        transfer.bring(list(items.values()), kind)
    return {file_id: item.path for file_id, item in items.items()}


def _versions_path(file_id: str) -> str:
    return f"raw/gdc_versions/{file_id}.json"


def _gone(error: ConnectorError, items: Mapping[str, Item]) -> list[str]:
    if isinstance(error, TransferError):
        if not all(isinstance(one, NotFoundError) for one in error.failures.values()):
            return []
        return [file_id for file_id, item in items.items() if item.path in error.failures]
    return [file_id for file_id in items if file_id in str(error)]


def _newest(transfer: Transfer, file_id: str, kind: str, folder: str, version: str) -> Item:
    url = f"{BASE}/files/versions/{file_id}"
    answer = transfer.query(
        _versions_path(file_id), url, lambda: transfer.client.json(url), source="GDC", version=version
    )
    known = [one for one in _listed(answer) if one.get("latest_id")]
    if not known or known[0]["latest_id"] == file_id:
        message = (
            f"the GDC no longer has file {file_id} and names no newer version; fetch into a new folder for its "
            "present state"
        )
        raise NotFoundError(message)
    latest = known[0]
    hit = {
        "file_id": latest["latest_id"],
        "file_name": latest["latest_filename"],
        "file_size": latest["latest_size"],
        "md5sum": latest["latest_md5"],
    }
    return item_of(hit, kind, folder, f"{version}, in place of {file_id}")
