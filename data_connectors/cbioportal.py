"""cBioPortal: the microsatellite scores of the PanCanAtlas samples, which only it serves by machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from data_connectors._transfer import Transfer
from data_connectors.endpoints import PUBLIC
from data_connectors.errors import ChangedServiceError, NotFoundError
from data_connectors.samples import tidy_barcode

__all__ = ["ATTRIBUTES", "msi_scores"]

ATTRIBUTES: Final[Mapping[str, str]] = {"MSI_SCORE_MANTIS": "msi_mantis", "MSI_SENSOR_SCORE": "msi_sensor"}
PAGE: Final = 100_000


def msi_scores(transfer: Transfer, study: str) -> dict[str, dict[str, float]]:
    """Return MANTIS and MSIsensor scores of primary tumours by patient.

    A study without one of the two scores has an empty column; a value that is no number is missing.
    """
    scores: dict[str, dict[str, float]] = {}
    for attribute, column in ATTRIBUTES.items():
        for row in _attribute(transfer, study, attribute):
            sample = tidy_barcode(str(row.get("sampleId", "")))
            if sample[13:15] not in ("01", "03"):
                continue
            try:
                value = float(row["value"])
            except (KeyError, TypeError, ValueError):
                continue
            scores.setdefault(sample[:12], {})[column] = value
    return scores


def _attribute(transfer: Transfer, study: str, attribute: str) -> list[dict[str, Any]]:
    url = f"{PUBLIC['cbioportal']}/studies/{study}/clinical-data"
    params = {
        "clinicalDataType": "SAMPLE",
        "attributeId": attribute,
        "projection": "SUMMARY",
        "pageSize": str(PAGE),
        "pageNumber": "0",
    }

    def ask() -> Any:
        try:
            rows = transfer.client.json(url, params=params)
        except NotFoundError:
            return []
        if not isinstance(rows, list):
            message = f"{url} answered without a list of values; update imrad, or report it"
            raise ChangedServiceError(message)
        return sorted(rows, key=lambda row: str(row.get("sampleId")))

    path = f"raw/cbioportal_{attribute.lower()}.json"
    answer = transfer.query(path, url, ask, request=params, licence="ODbL", source="cBioPortal", version=study)
    return list(answer)
