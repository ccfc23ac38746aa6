"""Every error of the connectors; each message says what was found, what was needed and what to do.

::

    ConnectorError
    ├── SelectionError          a cohort, patient, kind or phase that does not exist
    ├── MissingExtraError       an optional package that is not installed
    ├── ServiceError            a service that cannot be reached or keeps failing
    │   ├── RefusedError        it answered, and said no (4xx)
    │   │   └── NotFoundError   what was asked for is not there (404)
    │   ├── RedirectError       it sent us to a host that is not on the list
    │   └── ChangedServiceError it answered in a form that it did not have before
    ├── IntegrityError          bytes that are not what was announced
    │   ├── ChecksumError       another digest or size
    │   ├── IncompleteError     a series, listing or archive with members missing
    │   └── ArchiveError        an archive that is broken or unsafe
    ├── LimitError              more bytes or more time than allowed
    │   └── DiskSpaceError      not enough room on the disk
    ├── BusyError               another fetch works in the same folder
    ├── ManifestError           a manifest that cannot be read
    ├── UpstreamChangedError    a frozen download that upstream no longer serves
    └── TransferError           several files failed; holds each failure
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = [
    "ArchiveError",
    "BusyError",
    "ChangedServiceError",
    "ChecksumError",
    "ConnectorError",
    "DiskSpaceError",
    "IncompleteError",
    "IntegrityError",
    "LimitError",
    "ManifestError",
    "MissingExtraError",
    "NotFoundError",
    "RedirectError",
    "RefusedError",
    "SelectionError",
    "ServiceError",
    "TransferError",
    "UpstreamChangedError",
]


class ConnectorError(Exception):
    """Base of every error that the connectors raise on purpose."""


class SelectionError(ConnectorError):
    """A cohort, a patient, a kind of data or a phase that does not exist."""


class MissingExtraError(ConnectorError):
    """An optional package is needed and not installed."""


class ServiceError(ConnectorError):
    """A service cannot be reached or keeps failing."""


class RefusedError(ServiceError):
    """A service answered, and said no.

    Attributes
    ----------
    status : int
        The HTTP status; 0 where none is known.
    """

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class NotFoundError(RefusedError):
    """What was asked for is not there."""


class RedirectError(ServiceError):
    """A service sent us to a host that is not on the list."""


class ChangedServiceError(ServiceError):
    """A service answered in a form that it did not have before."""


class IntegrityError(ConnectorError):
    """Bytes are not what was announced."""


class ChecksumError(IntegrityError):
    """A file has another digest or another size than announced."""


class IncompleteError(IntegrityError):
    """A series, a listing or an archive lacks members."""


class ArchiveError(IntegrityError):
    """An archive is broken or unsafe."""


class LimitError(ConnectorError):
    """More bytes or more time were needed than allowed."""


class DiskSpaceError(LimitError):
    """The disk has not enough room."""


class BusyError(ConnectorError):
    """Another fetch works in the same folder."""


class ManifestError(ConnectorError):
    """A manifest cannot be read."""


class UpstreamChangedError(ConnectorError):
    """A frozen download is no longer served as it was.

    Attributes
    ----------
    changes : dict
        Path of each file that changed, and what changed.
    """

    def __init__(self, message: str, changes: Mapping[str, str]) -> None:
        super().__init__(message)
        self.changes = dict(changes)


class TransferError(ConnectorError):
    """Several files failed.

    Attributes
    ----------
    failures : dict
        Path of each file that failed, and its error.
    """

    def __init__(self, message: str, failures: Mapping[str, ConnectorError]) -> None:
        super().__init__(message)
        self.failures = dict(failures)
